//! `replay --twice`: the same run in two processes, compared line by line as they tell it.
//!
//! Two processes, since what differs between runs is most often what differs between processes: addresses, the
//! keys of hash maps, what an earlier run left in a global. Each line has the digest up to its event, so the first
//! line that differs is the first event that does. Only the last few lines are kept, however long the run is.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anstyle::AnsiColor;
use serde::Serialize;
use serde_json::value::RawValue;
use vertebra_sim::Instant;

use super::ending::Ending;
use super::timeline::EventLine;
use super::{Flags, half};
use crate::exit::Refusal;
use crate::output::{Line, Output};
use crate::words::counted;

/// Equal lines before a difference that are told.
const BEFORE: usize = 10;
/// Lines from a difference on that are told of each run.
const AFTER: usize = 4;
/// How the lines of a schedule and of an event begin.
const SCHEDULE: &str = r#"{"type":"schedule""#;
const EVENT: &str = r#"{"type":"event""#;

/// What came of a comparison.
pub enum Comparison {
    /// Both told the same.
    Equal { events: u64, ending: Box<Ending> },
    /// They did not.
    Different(Divergence),
}

/// The place at which two runs begin to differ.
pub struct Divergence {
    /// Equal lines before it, the last of them directly.
    before: VecDeque<String>,
    /// Lines from it on, of each run. None where a run is over.
    after: [Vec<String>; 2],
}

/// Runs the schedule of `flags` in two processes of `program`.
///
/// # Errors
///
/// If a process cannot be started, or ends without a verdict and does so as the other one does.
pub fn twice(program: &Path, flags: &Flags) -> Result<Comparison, Refusal> {
    let (mut first, mut second) = (Half::start(program, flags)?, Half::start(program, flags)?);
    let (mut before, mut events) = (VecDeque::with_capacity(BEFORE + 1), 0);
    loop {
        let lines = (first.next()?, second.next()?);
        match lines {
            (Some(line), Some(other)) if line == other => {
                events += u64::from(line.starts_with(EVENT));
                before.push_back(line);
                if before.len() > BEFORE {
                    before.pop_front();
                }
            }
            (None, None) => break,
            (one, other) => {
                let after = [first.following(one)?, second.following(other)?];
                return Ok(Comparison::Different(Divergence { before, after }));
            }
        }
    }
    let ending = before.back().and_then(|line| serde_json::from_str(line).ok());
    match ending {
        Some(ending) => Ok(Comparison::Equal { events, ending: Box::new(ending) }),
        None => {
            let status =
                first.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(Refusal::new(format!("both runs ended without a verdict ({status})")))
        }
    }
}

/// One of the two processes.
struct Half {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Half {
    fn start(program: &Path, flags: &Flags) -> Result<Self, Refusal> {
        let mut command = Command::new(program);
        command.args(half(flags)).stdin(Stdio::null()).stdout(Stdio::piped());
        let failed = |error: std::io::Error| format!("{}: {error}", program.display());
        let mut child = command.spawn().map_err(failed)?;
        let Some(stdout) = child.stdout.take() else { return Err(Refusal::new("a process without output")) };
        Ok(Self { child, lines: BufReader::with_capacity(1 << 16, stdout).lines() })
    }

    fn next(&mut self) -> Result<Option<String>, Refusal> {
        let line = self.lines.next().transpose();
        line.map_err(|error| Refusal::new(format!("what a run tells cannot be read: {error}")))
    }

    /// `line` and a few that follow it.
    fn following(&mut self, line: Option<String>) -> Result<Vec<String>, Refusal> {
        let mut lines: Vec<String> = line.into_iter().collect();
        while !lines.is_empty() && lines.len() < AFTER {
            match self.next()? {
                Some(line) => lines.push(line),
                None => break,
            }
        }
        Ok(lines)
    }
}

impl Drop for Half {
    /// Leaves no process behind, whichever way the comparison ends.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `replay --twice --json`.
#[derive(Serialize)]
struct ComparisonLine<'a> {
    r#type: &'static str,
    equal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(flatten)]
    divergence: Option<DivergenceLine<'a>>,
}

#[derive(Serialize)]
struct DivergenceLine<'a> {
    before: Vec<&'a RawValue>,
    first: Vec<&'a RawValue>,
    second: Vec<&'a RawValue>,
    command: String,
}

/// Tells that both runs were the same.
pub fn tell_equal(out: &mut Output, flags: &Flags, events: u64, ending: &Ending) {
    if flags.json {
        let (events, digest) = (Some(events), Some(ending.digest.as_str()));
        return out.json(&ComparisonLine {
            r#type: "comparison",
            equal: true,
            events,
            digest,
            divergence: None,
        });
    }
    let equal = out.paint(AnsiColor::Green.on_default().bold(), "equal").to_string();
    out.line(format_args!("{equal}      two processes told the same {}", counted(events, "event")));
}

/// Tells where the runs begin to differ: the first event that does, and its neighbours.
pub fn tell_divergence(out: &mut Output, flags: &Flags, divergence: &Divergence) {
    let Divergence { before, after: [first, second] } = divergence;
    let command = format!("{} --twice", flags.source.command(&flags.changes));
    if flags.json {
        let parts = DivergenceLine {
            before: before.iter().filter_map(|line| raw(line)).collect(),
            first: first.iter().filter_map(|line| raw(line)).collect(),
            second: second.iter().filter_map(|line| raw(line)).collect(),
            command,
        };
        return out.json(&ComparisonLine {
            r#type: "comparison",
            equal: false,
            events: None,
            digest: None,
            divergence: Some(parts),
        });
    }
    out.line(format_args!("The last lines in which the two runs agree:"));
    for line in before {
        tell(out, line);
    }
    for (name, lines) in [("first", first), ("second", second)] {
        out.line(format_args!("\nThe {name} run goes on:"));
        if lines.is_empty() {
            out.line(format_args!("             it is over"));
        }
        for line in lines {
            tell(out, line);
        }
    }
    let red = AnsiColor::Red.on_default().bold();
    let what = match (first.first().and_then(|line| event(line)), second.first().and_then(|line| event(line)))
    {
        (Some(first), Some(second)) => {
            let same_text =
                (&first.node, &first.text, first.at_ns) == (&second.node, &second.text, second.at_ns);
            let how = if same_text { ", in a value that its text does not show" } else { "" };
            format!("event {} differs at {} s{how}", first.event, Instant::from_nanos(first.at_ns))
        }
        (Some(event), None) | (None, Some(event)) => {
            format!("event {} at {} s is in one run only", event.event, Instant::from_nanos(event.at_ns))
        }
        (None, None) => "the runs differ outside of their events".to_owned(),
    };
    let title = out.paint(red, "non-determinism").to_string();
    out.line(format_args!("\n{title}: {what}"));
    out.line(format_args!("reproduce  {command}"));
}

fn event(line: &str) -> Option<EventLine<String>> {
    serde_json::from_str(line).ok()
}

fn raw(line: &str) -> Option<&RawValue> {
    serde_json::from_str(line).ok()
}

fn tell(out: &mut Output, line: &str) {
    match event(line) {
        Some(event) => event.tell(out),
        // Too long to be of use here; a replay shows it.
        None if line.starts_with(SCHEDULE) => out.line(format_args!("             the schedule")),
        None => out.line(format_args!("             {}", Line(line))),
    }
}
