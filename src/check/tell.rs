//! What is told of a history.

use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use serde::Serialize;
use vertebra_sim::Violation;
use vertebra_sim::linearizability::{Conclusion, Explanation};

use super::history::Model;
use super::recorded::Recorded;
use super::shown::Shown;
use crate::output::{Line, Output};
use crate::words::counted;

/// So many operations of a contradiction are told at most.
const TOLD_MAX: usize = 40;

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
    #[serde(skip)]
    marked: Option<Marked>,
}

/// The operations that an illegal verdict is about: places in what was read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Marked {
    /// Those of the part that is illegal.
    pub members: Vec<usize>,
    pub refused: Option<usize>,
    pub contradiction: Vec<usize>,
    /// Of a history of etcd: which cluster; and the response of a watch that cannot be.
    pub cluster: usize,
    pub told: Option<WatchTold>,
}

/// Which response of which watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchTold {
    pub watch: usize,
    pub response: usize,
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
        /// None of them can be left out, for certain.
        least: bool,
        /// So many operations before it have an order.
        ordered: usize,
        #[serde(skip)]
        told: Vec<String>,
    },
    /// The clause of an oracle that a history of etcd breaks.
    Promise {
        signature: String,
        oracle: &'static str,
        clause: &'static str,
        shape: String,
        detail: String,
        /// Why its operations have no order, if that is it.
        explanation: Option<Explained>,
    },
}

/// Operations of a history of etcd.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explained {
    /// The answer that nothing explains, in short.
    #[serde(skip)]
    pub answer: String,
    /// The operation that it is of.
    pub refused: String,
    /// Those that contradict each other.
    pub contradiction: Vec<String>,
    /// None of them can be left out, for certain.
    pub least: bool,
    /// So many before it have an order.
    pub ordered: usize,
}

/// How many operations come before what nothing explains.
fn headline(what: &str, ordered: usize, of: &str, is_least: bool) -> String {
    let ordered = counted(ordered as u64, "operation");
    let perhaps = if is_least { "" } else { ", and fewer of them may do" };
    format!(
        "nothing explains {what}; before it, {ordered}{of} can be ordered. These contradict each other{perhaps}:"
    )
}

impl Verdict {
    pub fn ok(path: &Path, model: Model, operations: usize, parts: usize) -> Self {
        let path = path.to_owned();
        let (illegal, marked) = (None, None);
        Self { r#type: "history", path, model, verdict: "ok", operations, parts, illegal, marked }
    }

    pub fn is_ok(&self) -> bool {
        self.verdict == "ok"
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `ok`, `illegal` or `unknown`.
    pub fn word(&self) -> &'static str {
        self.verdict
    }

    /// The operations that it is about, if it is illegal.
    pub fn marked(&self) -> Option<&Marked> {
        self.marked.as_ref()
    }

    /// How many operations it is of, and of what.
    pub fn subject(&self) -> String {
        let model = format!("{:?}", self.model).to_lowercase();
        format!("{}, {model}", counted(self.operations as u64, "operation"))
    }

    /// The promise that is broken, line by line; nothing if it is no history of etcd.
    pub fn promise(&self) -> Vec<String> {
        match &self.illegal {
            Some(Illegal::Promise { signature, detail, .. }) => {
                [signature.as_str()].into_iter().chain(detail.lines()).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What is said before the operations that contradict each other, and the part that they are of.
    pub fn why(&self) -> Option<(String, &str)> {
        match self.illegal.as_ref()? {
            Illegal::Contradiction { part, refused, ordered, least, .. } => {
                let of = if part.is_empty() { String::new() } else { format!(" of {part}") };
                Some((headline(&format!("line {}", refused[1]), *ordered, &of, *least), part))
            }
            Illegal::Promise { explanation, .. } => {
                let Explained { answer, ordered, least, .. } = explanation.as_ref()?;
                Some((headline(answer, *ordered, "", *least), ""))
            }
        }
    }

    pub fn is_undecided(&mut self) {
        if self.illegal.is_none() {
            self.verdict = "unknown";
        }
    }

    /// What a part comes to. Its operations are in the places of `recorded` that `place` says; all of them are `members`.
    pub fn take<Q: Shown, R: Shown>(
        &mut self,
        part: &impl Shown,
        conclusion: &Conclusion,
        recorded: &Recorded<Q, R>,
        place: &dyn Fn(usize) -> usize,
        members: impl FnOnce() -> Vec<usize>,
    ) {
        match conclusion {
            Conclusion::Linearizable(_) => {}
            Conclusion::Undecided => self.is_undecided(),
            Conclusion::Illegal(_) if self.illegal.is_some() => {}
            Conclusion::Illegal(why) => {
                self.is_illegal(part, why, recorded, place);
                self.marked = Some(Marked {
                    members: members(),
                    refused: Some(place(why.refused)),
                    contradiction: why.contradiction.iter().map(|number| place(*number)).collect(),
                    ..Marked::default()
                });
            }
        }
    }

    fn is_illegal<Q: Shown, R: Shown>(
        &mut self,
        part: &impl Shown,
        why: &Explanation,
        recorded: &Recorded<Q, R>,
        place: &dyn Fn(usize) -> usize,
    ) {
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
            least: why.is_least,
            ordered: why.order.len(),
            told: why.contradiction.iter().take(TOLD_MAX).map(told).collect(),
        });
    }

    /// A promise of etcd's is broken.
    pub fn breaks(&mut self, violation: &Violation, explanation: Option<Explained>, marked: Marked) {
        if self.illegal.is_none() {
            self.verdict = "illegal";
            self.marked = Some(marked);
            self.illegal = Some(Illegal::Promise {
                signature: violation.signature(),
                oracle: violation.oracle,
                clause: violation.clause,
                shape: violation.shape.clone(),
                detail: violation.detail.clone(),
                explanation,
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
            Some(Illegal::Contradiction { part, refused, contradiction, least, ordered, told }) => {
                let of = if part.is_empty() { String::new() } else { format!(" of {part}") };
                let headline = headline(&format!("line {}", refused[1]), *ordered, &of, *least);
                tell_operations(out, &headline, told, contradiction.len());
            }
            Some(Illegal::Promise { signature, detail, explanation, .. }) => {
                out.line(format_args!("  {}", Line(signature)));
                for line in detail.lines() {
                    out.line(format_args!("    {}", Line(line)));
                }
                if let Some(Explained { answer, contradiction, least, ordered, .. }) = explanation {
                    let told = &contradiction[..contradiction.len().min(TOLD_MAX)];
                    tell_operations(out, &headline(answer, *ordered, "", *least), told, contradiction.len());
                }
            }
        }
    }
}

fn tell_operations(out: &mut Output, headline: &str, told: &[String], count: usize) {
    out.line(format_args!("  {}", Line(headline)));
    for operation in told {
        out.line(format_args!("    {}", Line(operation)));
    }
    if let Some(more @ 1..) = count.checked_sub(told.len()) {
        out.line(format_args!("    and {more} more, which --json tells"));
    }
}
