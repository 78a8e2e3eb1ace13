//! The form that porcupine's viewer draws: the operations, an order of them, and the state after each step of that.
//!
//! The viewer draws one row for each client, here a session, and has no other times than ranks, of which each is a hundred. An
//! operation without an answer returns after everything, and one that took effect nowhere stands at the end of the order, as a step
//! that changes nothing: so porcupine's models have it. If there is no order, it is that of all that was known before the first
//! operation with which there is none.
//!
//! What has no place in an order is drawn as annotations: reads of one member, refusals, what is asked of leases and users, and
//! each watch with what it was told. The history is one partition, since a revision is of all keys.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;
use vertebra_model::api::{InternalRaftRequest, LeaseGrantRequest, RangeRequest};
use vertebra_model::history::{History, Operation, OperationId, Outcome, Request};
use vertebra_model::oracle::linearizable_history::explain::{Step, explain, steps};
use vertebra_model::oracle::linearizable_history::{Conclusion, Limits, find_order};
use vertebra_model::specification::Specification;
use vertebra_model::watch_history::{Heard, WatchHistory};
use vertebra_sim::Violation;

use super::effects::each_put;
use super::{shown, time_ns};

/// Between one time and the next.
const RANK: u64 = 100;
/// So many keys of a state are told.
const KEYS_MAX: i64 = 20;
/// What is told of an operation is short.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// All that is drawn.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    partitions: Vec<Partition>,
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Partition {
    history: Vec<Element>,
    partial_linearizations: Vec<Vec<Linearized>>,
    /// By the place of an element: the order in which it stands.
    largest: BTreeMap<usize, usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Element {
    client_id: u32,
    start: u64,
    original_start: String,
    end: u64,
    original_end: String,
    description: String,
    metadata: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Linearized {
    index: usize,
    state_description: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Annotation {
    client_id: u32,
    tag: String,
    start: u64,
    end: u64,
    description: String,
    details: String,
    annotation: bool,
    text_color: &'static str,
    background_color: &'static str,
}

/// Writes a history.
///
/// # Errors
///
/// What writing fails with.
pub fn write(to: &mut dyn Write, history: &History, watches: &WatchHistory) -> io::Result<()> {
    let drawing = Drawing::of(history, watches);
    let (orders, refused) = orders(history, &drawing.places);
    let (mut annotations, mut largest) = (drawing.annotations(watches), BTreeMap::new());
    annotations.extend(refused.map(|(id, why)| drawing.refusal(id, &why)));
    for (number, order) in orders.iter().enumerate().rev() {
        largest.extend(order.iter().map(|step| (step.index, number)));
    }
    let partition = Partition { history: drawing.elements(), partial_linearizations: orders, largest };
    serde_json::to_writer(&mut *to, &Data { partitions: vec![partition], annotations })?;
    to.write_all(b"\n")
}

/// An operation that an order can have.
fn has_place(operation: &Operation) -> bool {
    let Operation { request, outcome, .. } = operation;
    match outcome {
        Outcome::Ok(_) => !request.is_serializable() && !matches!(request, Request::Auth(_)),
        Outcome::Unknown => !request.is_read_only() && !matches!(request, Request::Auth(_)),
        Outcome::Failed(_) => false,
    }
}

/// What is drawn where.
struct Drawing<'a> {
    history: &'a History,
    /// The operations that are elements, in order; and the place of each.
    elements: Vec<OperationId>,
    places: BTreeMap<OperationId, usize>,
    /// The rank of each time.
    ranks: BTreeMap<u64, u64>,
}

/// When an operation is drawn to end that has no answer.
const NEVER: u64 = i64::MAX as u64;

fn ended_ns(operation: &Operation) -> u64 {
    match operation.outcome {
        Outcome::Unknown => NEVER,
        _ => operation.returned.map_or(NEVER, time_ns),
    }
}

/// Between the event before it and the next one.
fn heard_ns(heard: &Heard) -> u64 {
    1_000 * heard.clock + 500
}

impl<'a> Drawing<'a> {
    fn of(history: &'a History, watches: &WatchHistory) -> Self {
        let mut times = BTreeSet::new();
        for operation in history.operations() {
            times.extend([time_ns(operation.invoked), ended_ns(operation)]);
        }
        for heard in watches.watches().iter().flat_map(|watched| &watched.heard) {
            times.insert(heard_ns(heard));
        }
        let ranks = times.into_iter().zip((0..).map(|rank| rank * RANK)).collect();
        let elements: Vec<OperationId> =
            history.iter().filter(|(_, operation)| has_place(operation)).map(|(id, _)| id).collect();
        let places = elements.iter().copied().zip(0..).collect();
        Self { history, elements, places, ranks }
    }

    fn elements(&self) -> Vec<Element> {
        let element = |id: &OperationId| {
            let operation = &self.history[*id];
            let (start, end) = (time_ns(operation.invoked), ended_ns(operation));
            Element {
                client_id: operation.session,
                start: self.ranks[&start],
                original_start: start.to_string(),
                end: self.ranks[&end],
                original_end: end.to_string(),
                description: description(operation),
                metadata: String::new(),
            }
        };
        self.elements.iter().map(element).collect()
    }

    fn annotations(&self, watches: &WatchHistory) -> Vec<Annotation> {
        let mut annotations = Vec::new();
        for (_, operation) in self.history.iter().filter(|(id, _)| !self.places.contains_key(id)) {
            let (start, end) = (time_ns(operation.invoked), ended_ns(operation));
            annotations.push(Annotation {
                client_id: operation.session,
                start: self.ranks[&start],
                end: self.ranks[&end],
                description: description(operation),
                ..Annotation::new(escaped(&shown::outcome(&operation.outcome)))
            });
        }
        for (number, watched) in watches.watches().iter().enumerate() {
            for told in watched.heard.chunk_by(|one, other| one.clock == other.clock) {
                let rank = self.ranks[&heard_ns(&told[0])];
                let details: Vec<String> =
                    told.iter().map(|heard| escaped(&shown::watch(&heard.response))).collect();
                annotations.push(Annotation {
                    tag: format!("watch {number}"),
                    start: rank,
                    end: rank,
                    description: shown::told(told.iter().map(|heard| &heard.response)),
                    ..Annotation::new(details.join("<br>"))
                });
            }
        }
        annotations
    }

    /// Where there is no order any more.
    fn refusal(&self, id: OperationId, why: &Violation) -> Annotation {
        let rank = self.ranks[&ended_ns(&self.history[id])];
        Annotation {
            tag: "verdict".to_owned(),
            start: rank,
            end: rank,
            description: why.signature(),
            background_color: "#efaeae",
            ..Annotation::new(escaped(&why.detail).replace('\n', "<br>"))
        }
    }
}

impl Annotation {
    fn new(details: String) -> Self {
        Self {
            client_id: 0,
            tag: String::new(),
            start: 0,
            end: 0,
            description: String::new(),
            details,
            annotation: true,
            text_color: "",
            background_color: "",
        }
    }
}

fn description(operation: &Operation) -> String {
    let whole = format!("{} -> {}", operation.request, shown::outcome(&operation.outcome));
    match whole.char_indices().nth(DESCRIPTION_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &whole[..end]),
        None => whole,
    }
}

/// Text that the viewer takes for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The order that was found, with the states that it leads through; or that of the beginning, and the operation with which
/// there is none. Nothing if that is not clear.
fn orders(
    history: &History,
    places: &BTreeMap<OperationId, usize>,
) -> (Vec<Vec<Linearized>>, Option<(OperationId, Violation)>) {
    let order = |known: &History| match find_order(known, Limits::of(known)) {
        Ok((Conclusion::Linearizable, writes)) => {
            let order = linearized(history, known, &steps(known, &writes), places);
            if order.is_empty() { Vec::new() } else { vec![order] }
        }
        _ => Vec::new(),
    };
    match find_order(history, Limits::of(history)) {
        Ok(_) => (order(history), None),
        Err(violation) => match explain(history) {
            Some(why) => (order(&history.until(why.before)), Some((why.refused, violation))),
            None => (Vec::new(), None),
        },
    }
}

fn linearized(
    history: &History,
    known: &History,
    steps: &[Step<'_>],
    places: &BTreeMap<OperationId, usize>,
) -> Vec<Linearized> {
    let mut store = Specification::with_leases(0);
    let (mut order, mut state) = (Vec::new(), described(&store));
    let mut taken = BTreeSet::new();
    for step in steps {
        if let Some(request) = step.changed {
            execute(&mut store, request);
            state = described(&store);
        }
        if let Some(index) = step.operation.and_then(|id| places.get(&id)) {
            taken.insert(*index);
            order.push(Linearized { index: *index, state_description: state.clone() });
        }
    }
    // Those that may never have happened stand behind all others, as porcupine's models have it.
    for (id, _) in known.iter().filter(|(id, _)| history[*id].outcome == Outcome::Unknown) {
        if let Some(index) = places.get(&id).filter(|index| !taken.contains(*index)) {
            order.push(Linearized { index: *index, state_description: state.clone() });
        }
    }
    order
}

/// What changes the store does so, whatever leases there are.
fn execute(store: &mut Specification, request: &Request) {
    each_put(request, &mut |put| {
        if put.lease != 0 {
            let lease_grant = Some(LeaseGrantRequest { id: put.lease, ttl: 1 });
            let _ = store.apply(&InternalRaftRequest { lease_grant, ..InternalRaftRequest::default() });
        }
    });
    if let Some(proposal) = request.to_proposal() {
        let _ = store.apply(&proposal);
    }
}

fn described(store: &Specification) -> String {
    let all = RangeRequest {
        key: (&b"\0"[..]).into(),
        range_end: (&b"\0"[..]).into(),
        limit: KEYS_MAX,
        ..RangeRequest::default()
    };
    let mut lines = vec![format!("revision {}", store.revision())];
    if let Ok(read) = store.read(&all) {
        lines.extend(read.kvs.iter().map(|kv| escaped(&shown::key(kv))));
        if read.count > KEYS_MAX {
            lines.push(format!("and {} more keys", read.count - KEYS_MAX));
        }
    }
    lines.join("<br>")
}
