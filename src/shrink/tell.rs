//! What is told of a schedule that was shrunk: as text, as JSON, and at the head of its file.

use std::fmt::Write;
use std::time::Duration;

use anstyle::Style;
use serde::Serialize;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::time::text;
use vertebra_sim::{Report, Verdict};

use super::options;
use super::reduce::{faults, operations};
use super::story::Story;
use super::trials::{Stop, Trials};
use crate::Subject;
use crate::corpus::head_line;
use crate::exit::Refusal;
use crate::failure::Failure;
use crate::output::{Line, Output};
use crate::words::{Count, Span, counted};

/// How wide a comment in a file is.
const COMMENT_WIDTH: usize = 116;

/// How large a schedule and its run are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Size {
    faults: u64,
    operations: u64,
    clients: u16,
    members: u16,
    duration_ns: u64,
    /// Up to the violation.
    events: u64,
    /// The fields that are not as usual.
    options: Vec<String>,
}

impl Size {
    pub fn new<S: Subject>(schedule: &Schedule<S::Options>, report: &Report) -> Self {
        let shape = S::shape(&schedule.options).ok();
        let differences = options::differences::<S>(&schedule.options);
        Self {
            faults: faults(schedule),
            operations: operations::<S>(schedule, report),
            clients: shape.map_or(0, |shape| shape.clients),
            members: shape.map_or(0, |shape| shape.members),
            duration_ns: u64::try_from(schedule.duration.as_nanos()).unwrap_or(u64::MAX),
            events: report.events,
            options: differences.into_iter().map(|difference| difference.path.join(".")).collect(),
        }
    }

    /// What of it is told in a row of its own.
    fn rows(&self) -> [(&'static str, String); 7] {
        let count = |count: u64| Count(count).to_string();
        [
            ("faults", count(self.faults)),
            ("operations", count(self.operations)),
            ("clients", count(self.clients.into())),
            ("members", count(self.members.into())),
            ("duration", text::format(Duration::from_nanos(self.duration_ns))),
            ("events", count(self.events)),
            ("options", count(self.options.len() as u64)),
        ]
    }
}

/// A schedule that was shrunk.
#[derive(Serialize)]
pub struct Shrunk {
    r#type: &'static str,
    end: &'static str,
    before: Size,
    after: Size,
    candidates: u64,
    wall_time_ms: u64,
    story: Vec<String>,
    #[serde(skip)]
    left_out: Option<String>,
    #[serde(flatten)]
    pub failure: Failure,
}

impl Shrunk {
    /// What came of it; `command` runs the result.
    pub fn new(
        [before, after]: [Size; 2],
        report: &Report,
        end: Option<&Stop>,
        trials: &Trials<'_>,
        story: Story,
        command: String,
    ) -> Result<Self, Refusal> {
        let Verdict::Violation { violation, at } = &report.verdict else {
            return Err(Refusal::new("what is left passes, which is a fault of the search"));
        };
        let end = match end {
            None => "smallest",
            Some(Stop::Time) => "time",
            Some(Stop::Candidates) => "candidates",
            Some(Stop::Interrupt) => "interrupt",
            Some(Stop::Nondeterminism(_)) => "nondeterminism",
        };
        Ok(Self {
            r#type: "shrunk",
            end,
            before,
            after,
            candidates: trials.count,
            wall_time_ms: u64::try_from(trials.progress.wall_time().as_millis()).unwrap_or(u64::MAX),
            story: story.lines,
            left_out: story.left_out,
            failure: Failure::new(violation, *at, command),
        })
    }

    /// Why it may not be the smallest.
    fn remark(&self) -> &'static str {
        match self.end {
            "time" => "; the time is over",
            "candidates" => "; the candidates are spent",
            "interrupt" => "; interrupted",
            "nondeterminism" => "; ended by non-determinism",
            _ => "",
        }
    }

    /// Tells it as text.
    pub fn tell(&self, out: &mut Output) {
        let wall_time = Span(Duration::from_millis(self.wall_time_ms));
        let candidates = counted(self.candidates, "candidate");
        out.line(format_args!("{candidates} in {wall_time}{}", self.remark()));
        out.line(format_args!("{:<12}{:>12}{:>12}", "", "before", "after"));
        let bold = Style::new().bold();
        for ((name, before), (_, after)) in self.before.rows().into_iter().zip(self.after.rows()) {
            let after = out.paint(bold, format_args!("{after:>12}")).to_string();
            out.line(format_args!("{name:<12}{before:>12}{after}"));
        }
        for name in &self.after.options {
            out.line(format_args!("{:<12}{}", "", Line(name)));
        }
        out.line(format_args!(""));
        for line in &self.story {
            out.line(format_args!("{line}"));
        }
        if let Some(left_out) = &self.left_out {
            out.line(format_args!("{:>11}  not told here: {left_out}", ""));
        }
        out.line(format_args!(""));
        self.failure.tell(out, "");
    }

    /// The comment at the head of its file: the verdict that it must give, and what happens in it.
    pub fn head(&self, origin: &str) -> String {
        let mut head = head_line(Some(&self.failure.signature));
        let mut comment = |line: &str| {
            let line = Line(line).to_string();
            let line = line.trim_end();
            // Writing to a `String` does not fail.
            let _ = match line {
                "" => writeln!(head, "#"),
                line => writeln!(head, "# {line}"),
            };
        };
        comment("");
        wrapped(&format!("Shrunk from {origin}: {}.", self.sizes())).iter().for_each(|line| comment(line));
        comment("");
        comment(&format!("{} found that `{}` does not hold:", self.failure.oracle, self.failure.clause));
        self.failure.detail.lines().flat_map(wrapped).for_each(|line| comment(&format!("  {line}")));
        comment("");
        comment(&format!("What happens, as `{}` tells it:", self.failure.command));
        comment("");
        for line in &self.story {
            comment(line);
        }
        if let Some(left_out) = &self.left_out {
            comment("");
            comment(&format!("Not told here: {left_out}."));
        }
        head
    }

    fn sizes(&self) -> String {
        let rows = self.before.rows().into_iter().zip(self.after.rows());
        let told = rows.map(|((name, before), (_, after))| format!("{name} {before} to {after}"));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// `text` in lines that fit into a comment.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let fits = lines.last().is_some_and(|line| line.len() + word.len() < COMMENT_WIDTH);
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if fits => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
