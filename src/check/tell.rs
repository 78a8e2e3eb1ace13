//! What is told of a history.

use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use serde::Serialize;
use vertebra_sim::Violation;
use vertebra_sim::linearizability::append::Step;
use vertebra_sim::linearizability::specs::{key_value, register};
use vertebra_sim::linearizability::{Conclusion, Explanation, adds};

use super::history::Model;
use super::recorded::Recorded;
use crate::output::{Line, Output};
use crate::words::counted;

/// So many operations of a contradiction are told at most.
const TOLD_MAX: usize = 40;
/// So much of a text.
const TEXT_MAX: usize = 200;

/// How something stands in what is told.
pub trait Shown {
    fn shown(&self) -> String;
}

/// The verdict on a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verdict {
    r#type: &'static str,
    path: PathBuf,
    model: Model,
    verdict: &'static str,
    operations: usize,
    parts: usize,
    #[serde(flatten)]
    illegal: Option<Illegal>,
}

/// Why it is illegal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
enum Illegal {
    /// There is no order.
    Contradiction {
        part: String,
        /// The lines of the operation that nothing explains.
        refused: [usize; 2],
        /// The lines of those that contradict each other.
        contradiction: Vec<[usize; 2]>,
        /// So many operations before it have an order.
        ordered: usize,
        #[serde(skip)]
        told: Vec<String>,
    },
    /// The clause of an oracle that a history of etcd breaks.
    Promise { signature: String, oracle: &'static str, clause: &'static str, shape: String, detail: String },
}

impl Verdict {
    pub fn ok(path: &Path, model: Model, operations: usize, parts: usize) -> Self {
        let path = path.to_owned();
        Self { r#type: "history", path, model, verdict: "ok", operations, parts, illegal: None }
    }

    pub fn is_ok(&self) -> bool {
        self.verdict == "ok"
    }

    pub fn is_undecided(&mut self) {
        if self.illegal.is_none() {
            self.verdict = "unknown";
        }
    }

    /// What a part comes to. Its operations are in the places of `recorded` that `place` says.
    pub fn take<Q: Shown, R: Shown>(
        &mut self,
        part: &impl Shown,
        conclusion: &Conclusion,
        recorded: &Recorded<Q, R>,
        place: &dyn Fn(usize) -> usize,
    ) {
        match conclusion {
            Conclusion::Linearizable(_) => {}
            Conclusion::Undecided => self.is_undecided(),
            Conclusion::Illegal(why) => self.is_illegal(part, why, recorded, place),
        }
    }

    fn is_illegal<Q: Shown, R: Shown>(
        &mut self,
        part: &impl Shown,
        why: &Explanation,
        recorded: &Recorded<Q, R>,
        place: &dyn Fn(usize) -> usize,
    ) {
        if self.illegal.is_some() {
            return;
        }
        let lines = |number: &usize| {
            let place = &recorded.places[place(*number)];
            [place.invoked, place.returned.unwrap_or(place.invoked)]
        };
        let told = |number: &usize| {
            let (operation, place) = (&recorded.operations[place(*number)], &recorded.places[place(*number)]);
            let [from, to] = lines(number);
            let answer = match &operation.returned {
                Some((_, reply)) => reply.shown(),
                None => "unknown".to_owned(),
            };
            let request = operation.request.shown();
            format!("lines {from} to {to}, process {}: {request} -> {answer}", place.process)
        };
        self.verdict = "illegal";
        self.illegal = Some(Illegal::Contradiction {
            part: part.shown(),
            refused: lines(&why.refused),
            contradiction: why.contradiction.iter().map(lines).collect(),
            ordered: why.order.len(),
            told: why.contradiction.iter().take(TOLD_MAX).map(told).collect(),
        });
    }

    /// A promise of etcd's is broken.
    pub fn breaks(&mut self, violation: &Violation) {
        if self.illegal.is_none() {
            self.verdict = "illegal";
            self.illegal = Some(Illegal::Promise {
                signature: violation.signature(),
                oracle: violation.oracle,
                clause: violation.clause,
                shape: violation.shape.clone(),
                detail: violation.detail.clone(),
            });
        }
    }

    pub fn tell(&self, out: &mut Output, json: bool) {
        if json {
            return out.json(self);
        }
        let colour = match self.verdict {
            "ok" => AnsiColor::Green,
            "illegal" => AnsiColor::Red,
            _ => AnsiColor::Yellow,
        };
        let verdict = out.paint(colour.on_default(), format!("{:8}", self.verdict));
        let path = self.path.display().to_string();
        let operations = counted(self.operations as u64, "operation");
        out.line(format_args!("{verdict} {}  {operations}", Line(&path)));
        match &self.illegal {
            None => {}
            Some(Illegal::Contradiction { part, refused, contradiction, ordered, told }) => {
                let of = if part.is_empty() { String::new() } else { format!(" of {part}") };
                out.line(format_args!(
                    "  nothing explains line {}; before it, {}{} can be ordered. These contradict each other:",
                    refused[1],
                    counted(*ordered as u64, "operation"),
                    Line(&of),
                ));
                for operation in told {
                    out.line(format_args!("    {}", Line(operation)));
                }
                if let Some(more @ 1..) = contradiction.len().checked_sub(told.len()) {
                    out.line(format_args!("    and {more} more, which --json tells"));
                }
            }
            Some(Illegal::Promise { signature, detail, .. }) => {
                out.line(format_args!("  {}", Line(signature)));
                for line in detail.lines() {
                    out.line(format_args!("    {}", Line(line)));
                }
            }
        }
    }
}

impl Shown for () {
    fn shown(&self) -> String {
        String::new()
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        match self.char_indices().nth(TEXT_MAX) {
            Some((end, _)) => format!("{:?}... ({} bytes)", &self[..end], self.len()),
            None => format!("{self:?}"),
        }
    }
}

impl Shown for register::Request {
    fn shown(&self) -> String {
        match self {
            Self::Read => "read".to_owned(),
            Self::Write(value) => format!("write {value}"),
            Self::CompareAndSet(expected, value) => format!("cas {expected} {value}"),
        }
    }
}

impl Shown for register::Reply {
    fn shown(&self) -> String {
        match self {
            Self::Value(None) => "nil".to_owned(),
            Self::Value(Some(value)) => value.to_string(),
            Self::Done | Self::Swapped(true) => "ok".to_owned(),
            Self::Swapped(false) => "fail".to_owned(),
        }
    }
}

impl Shown for key_value::Request {
    fn shown(&self) -> String {
        match self {
            Self::Get(_) => "get".to_owned(),
            Self::Put(_, text) => format!("put {}", text.shown()),
            Self::Append(_, text) => format!("append {}", text.shown()),
        }
    }
}

impl Shown for key_value::Reply {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.shown(),
            Self::Done => "ok".to_owned(),
        }
    }
}

impl<Q: Shown> Shown for (String, Q) {
    /// Of a key, where there are several.
    fn shown(&self) -> String {
        let (key, of) = (&self.0, self.1.shown());
        match (key.is_empty(), of.is_empty()) {
            (true, _) => of,
            (false, true) => key.clone(),
            (false, false) => format!("{key}: {of}"),
        }
    }
}

impl Shown for adds::Request {
    fn shown(&self) -> String {
        match self {
            Self::Add(element) => format!("add {element}"),
            Self::Read => "read".to_owned(),
        }
    }
}

/// A list of elements, as far as it fits on a line.
fn elements(elements: &[i64]) -> String {
    const ELEMENTS_MAX: usize = 20;
    let told: Vec<String> = elements.iter().rev().take(ELEMENTS_MAX).map(i64::to_string).collect();
    let told: Vec<&str> = told.iter().rev().map(String::as_str).collect();
    match elements.len() {
        0..=ELEMENTS_MAX => format!("[{}]", told.join(" ")),
        count => format!("[... {}] ({count} elements)", told.join(" ")),
    }
}

impl Shown for adds::Reply {
    fn shown(&self) -> String {
        match self {
            Self::Added => "ok".to_owned(),
            Self::Elements(read) => elements(read),
        }
    }
}

impl Shown for Vec<Step> {
    fn shown(&self) -> String {
        let step = |step: &Step| match step {
            Step::Append(key, element) => format!("append {key} {element}"),
            Step::Read(key) => format!("read {key}"),
        };
        self.iter().map(step).collect::<Vec<_>>().join(", ")
    }
}

impl Shown for Vec<Option<Vec<i64>>> {
    fn shown(&self) -> String {
        let lists: Vec<String> = self.iter().flatten().map(|list| elements(list)).collect();
        if lists.is_empty() { "ok".to_owned() } else { lists.join(", ") }
    }
}
