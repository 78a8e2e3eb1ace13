//! How a comparison is told.

use anstyle::AnsiColor;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::told::VERDICT;
use super::{Comparison, SCHEDULE, event};
use crate::output::{Line, Output};

/// What `--json` has of a comparison.
#[derive(Serialize)]
pub struct ComparisonLine {
    r#type: &'static str,
    equal: bool,
    /// How many events are equal.
    events: u64,
    #[serde(flatten)]
    difference: Option<DifferenceLine>,
}

#[derive(Serialize)]
struct DifferenceLine {
    before: Vec<Box<RawValue>>,
    first: Vec<Box<RawValue>>,
    second: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digests_differ_from: Option<u64>,
}

impl Comparison {
    /// It as JSON. Runs that tell the same may still not be equal, for how they end.
    pub fn line(&self, equal: bool) -> ComparisonLine {
        let difference = (!equal).then(|| {
            let [first, second] =
                self.after.as_ref().map_or([&[][..]; 2], |after| after.each_ref().map(Vec::as_slice));
            DifferenceLine {
                before: self.before.iter().filter_map(raw).collect(),
                first: first.iter().filter_map(raw).collect(),
                second: second.iter().filter_map(raw).collect(),
                digests_differ_from: self.hidden,
            }
        });
        ComparisonLine { r#type: "comparison", equal, events: self.events, difference }
    }

    /// Tells where the runs begin to differ: the first event that does, and its neighbours. Each of `titles` stands
    /// before `goes on`, and `heading` before the difference.
    pub fn tell(&self, out: &mut Output, titles: [&str; 2], heading: &str) {
        if let Some(after) = &self.after {
            out.line(format_args!("The last lines in which the two runs agree:"));
            if self.before.is_empty() {
                out.line(format_args!("             there is none"));
            }
            for line in &self.before {
                tell(out, line);
            }
            for (title, lines) in titles.iter().zip(after) {
                out.line(format_args!("\n{title} goes on:"));
                if lines.is_empty() {
                    out.line(format_args!("             it is over"));
                }
                for line in lines {
                    tell(out, line);
                }
            }
            out.line(format_args!(""));
        }
        let heading = out.paint(AnsiColor::Red.on_default().bold(), heading).to_string();
        out.line(format_args!("{heading}: {}", self.summary()));
    }
}

/// A line as it is when it is JSON, and else as a string.
fn raw(line: &String) -> Option<Box<RawValue>> {
    serde_json::from_str(line).or_else(|_| to_raw_value(line)).ok()
}

fn tell(out: &mut Output, line: &str) {
    match event(line) {
        Some(event) => event.tell(out),
        // Too long to be of use here; a replay shows it.
        None if line.starts_with(SCHEDULE) => out.line(format_args!("             the schedule")),
        // It stands below, too.
        None if line.starts_with(VERDICT) => out.line(format_args!("             it is over")),
        None => out.line(format_args!("             {}", Line(line))),
    }
}
