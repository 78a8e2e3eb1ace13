//! Linearizability by what clients saw alone (black box).
//!
//! Verifies that there is one order of all operations in which each takes effect between its invocation and its
//! return, and in which a single store gives each of them the reply that its client got. Writes of unknown outcome
//! may stand anywhere after their invocation, or nowhere. A refusal that tells of the state (`KeyNotFound`,
//! `FutureRevision`) must be right at some moment between the ends of its operation.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `malformed reply` | a reply that does not belong to its request |
//! | `impossible revision` | a header below the first revision, or a write that claims to be that one |
//! | `duplicate revision` | two writes have the same revision |
//! | `unexplained revision` | a revision that no write, acknowledged or unknown, can have made |
//! | `applied twice` | such a revision, and its content is that of an acknowledged write |
//! | `real-time order` | an operation does not see one that was over before it began |
//! | `write reply`, `read reply` | a reply other than the store gives at that revision |
//! | `unfounded error` | a refusal for which there was no reason at any moment of the operation |
//! | `lease order` | a lease is seen, granted or revoked where it cannot have been, or cannot have ended |
//! | `compaction` | a compaction out of order, or a revision that was read after it was compacted |
//!
//! Does NOT verify: serializable reads (see `serializable`) or which member answered; errors that tell of other
//! things than keys, leases and revisions; how long leases live, or that they are kept alive (see `leases`); histories
//! that begin with a store that is not empty.
//!
//! # How
//!
//! Each reply bears the store's revision, and a write moves it by exactly one. That gives each known operation its
//! place: 2r for the write that made revision r, 2r + 1 for whatever saw r and changed nothing. The history is
//! linearizable if and only if the writes' revisions are distinct, no operation has a lower place than one that
//! returned before it was invoked, and a replay in order of the places gives every reply. (Sort by place, equal
//! ones by invocation: that order is a linearization. In any linearization the revision never falls, so it is
//! sorted by place.) The cost is linear.
//!
//! A revision that no known write claims is a gap, and an unknown write must stand there. Which one may be a choice.
//! Most gaps leave none: what some reader saw at that revision names the write, the versions that readers saw count
//! the writes of a key (module `evidence`), and requests that nobody could tell apart are one class of which any
//! will do: their values count only where somebody sees or compares them (module `values`). Leases add to these: that one has
//! expired is a write that no client made (module `leases`). What is left is searched, and a failure leads back to a choice that
//! it depends on, and there to writes that do something else to the keys that it depends on (modules `search` and
//! `conflicts`). A search that tries too much gives up and says so. Why a history has no order, in as few operations as
//! possible, is told by module [`explain`].
//!
//! Leases, compactions and refusals have to fit into that order too, and nothing shows where: module `beside`.

mod beside;
mod conflicts;
mod evidence;
pub mod explain;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod general;
mod items;
mod keys;
mod leases;
mod names;
mod replies;
mod search;
mod suspects;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeSet;

use vertebra_sim::verdict::Violation;

use super::replay::{FIRST_REVISION, Refusal};
use super::shape;
use crate::api::request_op::Request as Op;
use crate::api::response_op::Response as OpReply;
use crate::api::{TxnRequest, TxnResponse};
use crate::history::{Event, History, Operation, OperationId, Outcome, Request};
use crate::response::Response;
use beside::Beside;
use evidence::Evidence;
use items::Item;
use leases::Leases;
pub(super) use names::Names;
pub(super) use replies::{
    each_delete, each_key, each_possible_put, each_put, each_revision, has_empty_operation, tells_of_state,
};
use search::Search;

/// Its name.
pub const NAME: &str = "linearizable history";

/// No operation.
const NONE: u32 = u32::MAX;

/// What the oracle concludes where it found no violation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conclusion {
    /// There is an order.
    Linearizable,
    /// There may be one or not: unknown outcomes left too many choices.
    Undecided {
        /// Revisions that no acknowledged write claims.
        gaps: Vec<i64>,
        /// How many choices were tried.
        alternatives: u64,
    },
}

/// Judges `history`.
///
/// # Errors
///
/// The clause that no order can keep. Where choices were left, it is the one that the search came to last.
/// [`explain::explain`] says which operations contradict each other.
pub fn check(history: &History) -> Result<Conclusion, Violation> {
    judge(history, usize::MAX, Limits::of(history), |_, result| result)
}

/// The same; if there is an order, also the write that made each revision, from the second on.
///
/// # Errors
///
/// As above.
pub fn find_order(history: &History, limits: Limits) -> Result<(Conclusion, Vec<Write>), Violation> {
    find_order_of_told(history, usize::MAX, limits)
}

/// The same, where the operations from number `told` on say what others have heard of the past: no compaction hides it from
/// them.
pub(super) fn find_order_of_told(
    history: &History,
    told: usize,
    limits: Limits,
) -> Result<(Conclusion, Vec<Write>), Violation> {
    judge(history, told, limits, |search, result| {
        let conclusion = result?;
        let is_found = conclusion == Conclusion::Linearizable;
        Ok((conclusion, if is_found { search.writes() } else { Vec::new() }))
    })
}

/// What `take` makes of the search when it has ended, unless there is a violation that needs none.
fn judge<T>(
    history: &History,
    told: usize,
    limits: Limits,
    take: impl FnOnce(&Search<'_>, Result<Conclusion, Violation>) -> Result<T, Violation>,
) -> Result<T, Violation> {
    let leases = Leases::of(history)?;
    let names = Names::of(history);
    let (places, mut items) = Places::of(history, &leases, &names)?;
    items.retain(|item| !(item.is_shown() && item.operation as usize >= told));
    // Without a gap, only a refusal that nothing else explains can ask for an unknown write.
    let needs_evidence =
        !places.gaps.is_empty() || !places.unknown.is_empty() && items.iter().any(Item::is_refused);
    let evidence = needs_evidence.then(|| Evidence::gather(&places, false));
    let beside = Beside::new(history, &leases, items, limits.configurations);
    let mut search = Search::new(&places, evidence.as_ref(), &beside);
    let result = search.run(limits);
    if result == Ok(Conclusion::Linearizable) || !evidence.as_ref().is_some_and(|evidence| evidence.is_coarse)
    {
        return take(&search, result);
    }
    let evidence = Evidence::gather(&places, true);
    let mut search = Search::new(&places, Some(&evidence), &beside);
    let result = search.run(limits);
    take(&search, result)
}

/// After how much the search gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Candidates for gaps that are tried when another one has failed.
    pub alternatives: u64,
    /// Operations that are replayed.
    pub replays: u64,
    /// Possibilities for leases and compactions at one revision.
    pub configurations: u64,
    /// What it takes to fill gaps: looks at what may have filled them, and copies of what is known before each. No verdict is
    /// bounded by it.
    work: u64,
}

impl Limits {
    /// After nothing.
    pub const NONE: Self = Self::all(u64::MAX);

    /// After so many steps of each sort.
    #[must_use]
    pub const fn all(steps: u64) -> Self {
        Self { alternatives: steps, replays: steps, configurations: steps, work: u64::MAX }
    }

    /// What a run's history is worth: a little more than linear time.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let operations = history.operations().len() as u64;
        let replays = 1_000_000 + 200 * operations;
        Self { alternatives: operations.max(10_000), replays, configurations: 2_000, work: u64::MAX }
    }
}

/// The write that made a revision.
#[derive(Clone, PartialEq, Debug)]
pub struct Write {
    /// The operation that it is of; none of the history where a lease has expired.
    pub operation: Option<OperationId>,
    /// What was asked for; of a lease that has expired, its revocation.
    pub request: Request,
    /// When: the sequence number in the history.
    pub invoked: u64,
    /// No other write than this one, and those that nobody could tell from it, can have made the revision.
    pub is_certain: bool,
}

/// The operations in their places.
struct Places<'a> {
    history: &'a History,
    leases: &'a Leases,
    names: &'a Names<'a>,
    /// By revision from the second on: the write that made it, or `NONE`.
    writes: Vec<u32>,
    /// Operations that changed nothing, by the revision that they show; and where in it each revision begins.
    reads: Vec<u32>,
    reads_begin: Vec<u32>,
    /// Writes that may have happened, by invocation.
    unknown: Vec<u32>,
    gaps: Vec<i64>,
    /// By revision from the first on: when the first operation that must come after it was over. A write invoked
    /// later than that cannot have made it.
    deadlines: Vec<u64>,
}

impl<'a> Places<'a> {
    /// Also what has to find its place beside the keys, by invocation.
    fn of(
        history: &'a History,
        leases: &'a Leases,
        names: &'a Names<'a>,
    ) -> Result<(Self, Vec<Item>), Violation> {
        let operations = history.operations();
        // 2r or 2r + 1; 0 for no place.
        let mut places = vec![0_i64; operations.len()];
        let (mut unknown, mut items) = (Vec::new(), Vec::new());
        // What changed nothing, each with the revision that it shows.
        let mut shown = Vec::with_capacity(operations.len());
        let (mut last, mut writes_count) = (FIRST_REVISION, 0_u64);
        for (number, operation) in operations.iter().enumerate() {
            if operation.request.is_serializable() {
                continue;
            }
            if let Some(item) = Item::of(number, operation) {
                items.push(item);
            }
            match &operation.outcome {
                // It has no place, for its reply bears no revision.
                Outcome::Ok(_)
                    if history.is_partial() && matches!(operation.request, Request::Compact(_)) => {}
                Outcome::Ok(reply) => {
                    let place = place_of(operation, reply).ok_or_else(|| misplaced(operation, reply))?;
                    places[number] = place;
                    if place % 2 == 1 {
                        shown.push((shown_by(operation, place), number as u32));
                    }
                    last = last.max(place / 2);
                    writes_count += u64::from(place % 2 == 0);
                }
                Outcome::Unknown if operation.request.is_read_only() => {}
                // They make no revision.
                Outcome::Unknown if matches!(operation.request, Request::Compact(_)) => {}
                // The one makes no revision, and the other has its ghost.
                Outcome::Unknown
                    if matches!(operation.request, Request::LeaseGrant(_) | Request::LeaseRevoke(_)) => {}
                Outcome::Unknown => unknown.push(number as u32),
                Outcome::Failed(_) => {}
            }
        }
        unknown.extend((operations.len() as u32..).take(leases.ghosts().len()));
        let revisions = (last - FIRST_REVISION) as u64;
        if revisions > writes_count + unknown.len() as u64 {
            return Err(unexplained(history, first_gap(history, &places)));
        }
        let (writes, gaps) = slots(history, &places, revisions as usize)?;
        if gaps.len() > unknown.len() {
            return Err(unexplained(history, gaps[0]));
        }
        in_real_time(history, &places, &mut items)?;
        let (reads, reads_begin) = by_revision(&shown, revisions as usize);
        let deadlines =
            if gaps.is_empty() { Vec::new() } else { deadlines(operations, &places, revisions as usize) };
        Ok((Self { history, leases, names, writes, reads, reads_begin, unknown, gaps, deadlines }, items))
    }

    fn last(&self) -> i64 {
        FIRST_REVISION + self.writes.len() as i64
    }

    /// How many versions a key has if all have the same number.
    fn versions_of_each(&self) -> usize {
        self.writes.len() / self.names.count().max(1)
    }

    /// The write that made `revision`.
    fn write(&self, revision: i64) -> Option<u32> {
        let place = usize::try_from(revision - FIRST_REVISION - 1).ok()?;
        self.writes.get(place).copied().filter(|&write| write != NONE)
    }

    /// The operations that show `revision` and changed nothing.
    fn reads(&self, revision: i64) -> &[u32] {
        let place = (revision - FIRST_REVISION) as usize;
        match self.reads_begin.get(place..place + 2) {
            Some(&[begin, end]) => &self.reads[begin as usize..end as usize],
            _ => &[],
        }
    }

    fn deadline(&self, revision: i64) -> u64 {
        self.deadlines.get((revision - FIRST_REVISION) as usize).copied().unwrap_or(u64::MAX)
    }

    /// An operation of the history, or behind them the ghost of a lease.
    fn operation(&self, number: u32) -> &'a Operation {
        let (operations, number) = (self.history.operations(), number as usize);
        operations.get(number).unwrap_or_else(|| &self.leases.ghosts()[number - operations.len()])
    }
}

/// The place of an operation, if its reply is one to its request and shows a revision at which it can stand.
fn place_of(operation: &Operation, reply: &Response) -> Option<i64> {
    let (revision, changes) = (reply.revision(), changes(&operation.request, reply)?);
    let first = if changes { FIRST_REVISION + 1 } else { FIRST_REVISION };
    (first..i64::MAX / 4).contains(&revision).then(|| 2 * revision + i64::from(!changes))
}

/// Why an operation has no place.
#[cold]
fn misplaced(operation: &Operation, reply: &Response) -> Violation {
    let kind = operation.request.kind();
    match changes(&operation.request, reply) {
        None => violation("malformed reply", kind, format!("{operation}: {reply:?}")),
        Some(_) => violation("impossible revision", kind, operation.to_string()),
    }
}

/// Whether the operation that got `reply` changed anything; `None` if the reply is not one to `request`.
pub(super) fn changes(request: &Request, reply: &Response) -> Option<bool> {
    match (request, reply) {
        (Request::Range(_), Response::Range(_)) => Some(false),
        (Request::Put(_), Response::Put(_)) => Some(true),
        (Request::DeleteRange(_), Response::DeleteRange(reply)) => Some(reply.deleted > 0),
        (Request::Txn(txn), Response::Txn(reply)) => txn_changes(txn, reply),
        (Request::Compact(_), Response::Compact(_)) => Some(false),
        (Request::LeaseGrant(_), Response::LeaseGrant(_)) => Some(false),
        (Request::Auth(_), Response::Auth(_)) => Some(false),
        // Whether there were keys the reply does not say. If there were, they are gone at the revision that it shows.
        (Request::LeaseRevoke(_), Response::LeaseRevoke(_)) => Some(false),
        _ => None,
    }
}

fn txn_changes(txn: &TxnRequest, reply: &TxnResponse) -> Option<bool> {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    if branch.len() != reply.responses.len() {
        return None;
    }
    let mut changed = false;
    for (op, reply) in branch.iter().zip(&reply.responses) {
        changed |= match (&op.request, &reply.response) {
            (Some(Op::RequestRange(_)), Some(OpReply::ResponseRange(_))) | (None, None) => false,
            (Some(Op::RequestPut(_)), Some(OpReply::ResponsePut(_))) => true,
            (Some(Op::RequestDeleteRange(_)), Some(OpReply::ResponseDeleteRange(reply))) => reply.deleted > 0,
            (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => txn_changes(txn, reply)?,
            _ => return None,
        };
    }
    Some(changed)
}

/// By revision: the write that made it; and the revisions that have none.
fn slots(history: &History, places: &[i64], revisions: usize) -> Result<(Vec<u32>, Vec<i64>), Violation> {
    let mut writes = vec![NONE; revisions];
    for (number, &place) in places.iter().enumerate() {
        if place == 0 || place % 2 == 1 {
            continue;
        }
        let slot = &mut writes[(place / 2 - FIRST_REVISION - 1) as usize];
        if *slot != NONE {
            let (one, other) = (&history.operations()[*slot as usize], &history.operations()[number]);
            return Err(violation("duplicate revision", shape(one, other), format!("{one}\n{other}")));
        }
        *slot = number as u32;
    }
    let gaps = (FIRST_REVISION + 1..).zip(&writes).filter(|&(_, &write)| write == NONE);
    let gaps = gaps.map(|(revision, _)| revision).collect();
    Ok((writes, gaps))
}

/// No operation has a lower place than one that was over before it began. Gives the items their bounds.
fn in_real_time(history: &History, places: &[i64], items: &mut [Item]) -> Result<(), Violation> {
    let (mut floor, mut floor_of) = (0, 0);
    let mut unbounded = items.iter_mut().peekable();
    for event in history.events() {
        match *event {
            Event::Invoked(id) => {
                let place = places[id.index()];
                if place != 0 && place < floor {
                    let (earlier, later) = (&history.operations()[floor_of], &history[id]);
                    let detail = format!("{earlier}\nwas over before this began: {later}");
                    return Err(violation("real-time order", shape(earlier, later), detail));
                }
                if let Some(item) = unbounded.next_if(|item| item.operation as usize == id.index()) {
                    item.floor = floor;
                    item.low = FIRST_REVISION.max(floor / 2);
                    if place != 0 {
                        (item.low, item.high) = (place / 2, place / 2);
                    }
                }
            }
            Event::Returned(id) => {
                if places[id.index()] > floor {
                    (floor, floor_of) = (places[id.index()], id.index());
                }
            }
        }
    }
    let is_open = |item: &&mut Item| places[item.operation as usize] == 0 && item.ended < u64::MAX;
    let mut unbounded: Vec<&mut Item> = items.iter_mut().filter(is_open).collect();
    unbounded.sort_unstable_by_key(|item| item.ended);
    if unbounded.is_empty() {
        return Ok(());
    }
    let mut ceiling = i64::MAX;
    for (number, event) in history.events().iter().enumerate().rev() {
        match *event {
            Event::Invoked(id) if places[id.index()] != 0 => ceiling = ceiling.min(places[id.index()]),
            Event::Invoked(_) => {}
            Event::Returned(_) => {
                if let Some(item) = unbounded.pop_if(|item| item.ended == number as u64) {
                    item.high = (ceiling - 1) / 2;
                }
            }
        }
    }
    Ok(())
}

/// The revision that an operation shows. A read of the past can be compared as soon as the replay gets there, which tells a
/// wrong choice long before the moment of the read.
fn shown_by(operation: &Operation, place: i64) -> i64 {
    match &operation.request {
        Request::Range(read) if read.revision > 0 => read.revision.min(place / 2),
        _ => place / 2,
    }
}

/// The operations that changed nothing, counting-sorted by the revision that they show; and where each revision begins.
fn by_revision(shown: &[(i64, u32)], revisions: usize) -> (Vec<u32>, Vec<u32>) {
    let mut begin = vec![0_u32; revisions + 2];
    for (revision, _) in shown {
        begin[(revision - FIRST_REVISION) as usize + 1] += 1;
    }
    for place in 1..begin.len() {
        begin[place] += begin[place - 1];
    }
    let mut next = begin.clone();
    let mut reads = vec![0; shown.len()];
    for &(revision, number) in shown {
        let slot = &mut next[(revision - FIRST_REVISION) as usize];
        reads[*slot as usize] = number;
        *slot += 1;
    }
    (reads, begin)
}

fn deadlines(operations: &[Operation], places: &[i64], revisions: usize) -> Vec<u64> {
    let mut deadlines = vec![u64::MAX; revisions + 1];
    for (operation, &place) in operations.iter().zip(places) {
        if place != 0 {
            // The last revision before the place.
            let before = ((place - 1) / 2 - FIRST_REVISION) as usize;
            deadlines[before] = deadlines[before].min(operation.ended());
        }
    }
    for place in (0..revisions).rev() {
        deadlines[place] = deadlines[place].min(deadlines[place + 1]);
    }
    deadlines
}

fn first_gap(history: &History, places: &[i64]) -> i64 {
    let claimed: BTreeSet<i64> =
        places.iter().filter(|&place| place % 2 == 0).map(|place| place / 2).collect();
    let gap = (FIRST_REVISION + 1..).find(|revision| !claimed.contains(revision));
    debug_assert!(!history.operations().is_empty());
    gap.unwrap_or(FIRST_REVISION)
}

/// The violation for a revision that no write explains: is its content that of an acknowledged one?
fn unexplained(history: &History, revision: i64) -> Violation {
    let mut seen = None;
    for operation in history.operations() {
        if let Some(reply) = operation.reply() {
            each_key(&operation.request, reply, &mut |sight| {
                if sight.kv.mod_revision == revision && !sight.keys_only {
                    seen = seen.or(Some(sight.kv));
                }
            });
        }
    }
    if let Some(kv) = seen {
        for operation in history.operations() {
            let Some(reply) = operation.reply() else { continue };
            let mut same = false;
            each_put(&operation.request, reply, &mut |put| {
                same |= put.key == kv.key && put.value == kv.value;
            });
            if same {
                let detail = format!("revision {revision} has the content of {operation}");
                return violation("applied twice", operation.request.kind(), detail);
            }
        }
    }
    violation(
        "unexplained revision",
        "",
        format!("no write can have made revision {revision}; there: {seen:?}"),
    )
}

fn violation(clause: &'static str, shape: impl Into<String>, detail: String) -> Violation {
    Violation::new(NAME, clause, shape, detail)
}

fn wrong_reply(clause: &'static str, operation: &Operation, refusal: &Refusal) -> Violation {
    let shape = format!("{}: {}", operation.request.kind(), refusal.field());
    violation(clause, shape, format!("{operation}: {refusal}"))
}
