//! What is drawn of a history: when each operation was, what is said of it, and which ones an illegal verdict is about.

use std::collections::BTreeMap;
use std::fmt;

use vertebra_model::history::Outcome;
use vertebra_model::watch_history::Heard;

use crate::check::cluster::Cluster;
use crate::check::history::History;
use crate::check::recorded::Recorded;
use crate::check::shown::Shown;
use crate::check::tell::{Marked, Verdict};
use crate::histories::shown;
use crate::words::counted;

/// Whose bars stand beside each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Row {
    Process(i64),
    Session(u32),
    Watch(usize),
}

impl Row {
    /// What it is of, and which one.
    pub fn named(self) -> (&'static str, i64) {
        match self {
            Self::Process(number) => ("process", number),
            Self::Session(number) => ("session", i64::from(number)),
            Self::Watch(number) => ("watch", number as i64),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, number) = self.named();
        write!(f, "{kind} {number}")
    }
}

/// When an operation was; without an end where nobody knows what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub row: Row,
    pub invoked: u64,
    pub returned: Option<u64>,
}

/// What is said of an operation.
#[derive(Clone, Debug)]
pub struct Said {
    pub asked: String,
    pub answered: String,
    /// Where it stands in the file, or among all events.
    pub at: String,
    pub is_refused: bool,
}

/// What an operation is to an illegal verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    None,
    Contradicts,
    Unexplained,
}

/// A history, as it is drawn. Operations go by their places in `spans`.
pub struct Drawing<'a> {
    pub title: String,
    pub verdict: &'static str,
    /// How much it is, and of what.
    pub of: String,
    /// The promise that is broken.
    pub facts: Vec<String>,
    /// What is said before the operations that contradict each other.
    pub why: Option<String>,
    /// What is not drawn.
    pub notes: Vec<String>,
    pub spans: Vec<Span>,
    marks: BTreeMap<usize, Mark>,
    say: Box<dyn Fn(usize) -> Said + 'a>,
}

impl<'a> Drawing<'a> {
    pub fn of(history: &'a History, verdict: &Verdict) -> Self {
        let why = verdict.why();
        let mut new = Self {
            title: verdict.path().display().to_string(),
            verdict: verdict.word(),
            of: verdict.subject(),
            facts: verdict.promise(),
            why: why.as_ref().map(|(headline, _)| headline.clone()),
            notes: Vec::new(),
            spans: Vec::new(),
            marks: BTreeMap::new(),
            say: Box::new(|_| unreachable!("nothing is drawn")),
        };
        if let Some((_, part)) = why.filter(|(_, part)| !part.is_empty()) {
            new.notes.push(format!("Of {part} alone: what is asked of others has nothing to do with it."));
        }
        let marked = verdict.marked();
        match history {
            History::Register(recorded) => new.take(recorded, marked),
            History::Kv(recorded) => new.take(recorded, marked),
            History::Set(recorded) => new.take(recorded, marked),
            History::Append(recorded) => new.take(recorded, marked),
            History::Etcd(clusters) => {
                let number = marked.map_or(0, |marked| marked.cluster);
                if clusters.len() > 1 {
                    let (number, count) = (number + 1, clusters.len());
                    new.notes.push(format!(
                        "Of {count} clusters, each restored from the one before it, this is number {number}."
                    ));
                }
                new.take_cluster(&clusters[number], marked);
            }
        }
        new
    }

    /// What is said of an operation.
    pub fn said(&self, place: usize) -> Said {
        (self.say)(place)
    }

    pub fn mark(&self, place: usize) -> Mark {
        self.marks.get(&place).copied().unwrap_or(Mark::None)
    }

    /// So many of what is drawn, in words.
    pub fn counted(&self, count: usize) -> String {
        let counted = counted(count as u64, "operation");
        let is_watch = |span: &Span| matches!(span.row, Row::Watch(_));
        if self.spans.iter().any(is_watch) { format!("{counted} and responses") } else { counted }
    }

    /// The places that are marked.
    pub fn marked(&self) -> impl Iterator<Item = usize> + '_ {
        self.marks.keys().copied()
    }

    fn take<Q: Shown, R: Shown>(&mut self, recorded: &'a Recorded<Q, R>, marked: Option<&Marked>) {
        let members = match marked {
            Some(marked) => marked.members.clone(),
            None => (0..recorded.operations.len()).collect(),
        };
        let drawn: BTreeMap<usize, usize> = members.iter().copied().zip(0..).collect();
        if let Some(marked) = marked {
            self.marks.extend(marked.contradiction.iter().map(|place| (drawn[place], Mark::Contradicts)));
            self.marks.extend(marked.refused.map(|place| (drawn[&place], Mark::Unexplained)));
        }
        let span = |place: &usize| {
            let (operation, of) = (&recorded.operations[*place], &recorded.places[*place]);
            let returned = operation.returned.as_ref().map(|(returned, _)| *returned);
            Span { row: Row::Process(of.process), invoked: operation.invoked, returned }
        };
        self.spans = members.iter().map(span).collect();
        self.say = Box::new(move |place| {
            let (operation, of) = (&recorded.operations[members[place]], &recorded.places[members[place]]);
            let answered =
                operation.returned.as_ref().map_or("unknown".to_owned(), |(_, reply)| reply.shown());
            let at = match of.returned {
                Some(returned) => format!("lines {} to {returned}", of.invoked),
                None => format!("line {}", of.invoked),
            };
            Said { asked: operation.request.shown(), answered, at, is_refused: false }
        });
    }

    fn take_cluster(&mut self, cluster: &'a Cluster, marked: Option<&Marked>) {
        let operations = cluster.history.operations();
        let told = marked.and_then(|marked| marked.told);
        // Between two events there is room for what a watch tells.
        let moment = |clock: u64| 2 * clock + 1;
        self.spans = operations
            .iter()
            .map(|operation| {
                let is_known = operation.outcome != Outcome::Unknown;
                let returned = operation.returned.filter(|_| is_known).map(moment);
                Span { row: Row::Session(operation.session), invoked: moment(operation.invoked), returned }
            })
            .collect();
        let heard: &[Heard] = told.map_or(&[], |told| &cluster.watches.watches()[told.watch].heard);
        for told in told.into_iter() {
            let at = heard.iter().map(|heard| 2 * heard.clock);
            self.spans.extend(at.map(|at| Span {
                row: Row::Watch(told.watch),
                invoked: at,
                returned: Some(at),
            }));
            self.marks.insert(operations.len() + told.response, Mark::Unexplained);
        }
        if let Some(marked) = marked {
            self.marks.extend(marked.contradiction.iter().map(|place| (*place, Mark::Contradicts)));
            self.marks.extend(marked.refused.map(|place| (place, Mark::Unexplained)));
        }
        if cluster.watches.watches().len() > heard.len().min(1) {
            self.notes.push("Watches are drawn only where what they told cannot be.".to_owned());
        }
        self.say = Box::new(move |place| match operations.get(place) {
            Some(operation) => {
                let (invoked, returned) = (operation.invoked, operation.returned);
                let at = match returned {
                    Some(returned) => format!("events {invoked} to {returned}"),
                    None => format!("from event {invoked} on"),
                };
                let (asked, answered) = (operation.request.to_string(), shown::outcome(&operation.outcome));
                Said { asked, answered, at, is_refused: matches!(operation.outcome, Outcome::Failed(_)) }
            }
            None => {
                let Heard { clock, response } = &heard[place - operations.len()];
                let (asked, answered) = (shown::told([response].into_iter()), shown::watch(response));
                Said { asked, answered, at: format!("before event {clock}"), is_refused: false }
            }
        });
    }
}
