//! What is told of a history.

use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use serde::Serialize;
use vertebra_sim::linearizability::Explanation;
use vertebra_sim::linearizability::specs::{key_value, register};

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

/// Why there is no order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Illegal {
    part: String,
    /// The lines of the operation that nothing explains.
    refused: [usize; 2],
    /// The lines of those that contradict each other.
    contradiction: Vec<[usize; 2]>,
    /// So many operations before it have an order.
    ordered: usize,
    #[serde(skip)]
    told: Vec<String>,
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

    pub fn is_illegal<Q: Shown, R: Shown>(
        &mut self,
        part: &impl Shown,
        why: &Explanation,
        recorded: &Recorded<Q, R>,
    ) {
        if self.illegal.is_some() {
            return;
        }
        let lines = |number: &usize| {
            let place = &recorded.places[*number];
            [place.invoked, place.returned.unwrap_or(place.invoked)]
        };
        let told = |number: &usize| {
            let (operation, place) = (&recorded.operations[*number], &recorded.places[*number]);
            let [from, to] = lines(number);
            let answer = match &operation.returned {
                Some((_, reply)) => reply.shown(),
                None => "unknown".to_owned(),
            };
            let request = operation.request.shown();
            format!("lines {from} to {to}, process {}: {request} -> {answer}", place.process)
        };
        self.verdict = "illegal";
        self.illegal = Some(Illegal {
            part: part.shown(),
            refused: lines(&why.refused),
            contradiction: why.contradiction.iter().map(lines).collect(),
            ordered: why.order.len(),
            told: why.contradiction.iter().take(TOLD_MAX).map(told).collect(),
        });
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
        let Some(illegal) = &self.illegal else { return };
        let of = if illegal.part.is_empty() { String::new() } else { format!(" of {}", illegal.part) };
        out.line(format_args!(
            "  nothing explains line {}; before it, {}{of} can be ordered. These contradict each other:",
            illegal.refused[1],
            counted(illegal.ordered as u64, "operation"),
        ));
        for operation in &illegal.told {
            out.line(format_args!("    {}", Line(operation)));
        }
        if let Some(more @ 1..) = illegal.contradiction.len().checked_sub(illegal.told.len()) {
            out.line(format_args!("    and {more} more, which --json tells"));
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
