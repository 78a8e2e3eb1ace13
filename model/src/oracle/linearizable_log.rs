//! Linearizability by the committed log (white box).
//!
//! The log is a witness: it says in which order the writes took effect, and the index at which each read was served
//! says where the reads stand among them. If a replay in that order gives each client its reply, and the order keeps
//! to real time, the history is linearizable, wherever the log came from. One pass, no search.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `log order` | the witness itself: indexes that do not rise |
//! | `lost write` | an acknowledged write that is not in the log |
//! | `applied twice` | a request that is in the log more than once |
//! | `refused but applied` | a write that failed for certain, and changed something |
//! | `phantom entry` | an entry that no client asked for, or not with this content, and no leader for its leases |
//! | `applied before invocation` | an entry that was committed before its client asked for it |
//! | `write reply` | the reply of a write, revision included, is not that of the replay |
//! | `read reply` | the reply of a read is not that of the replay at its index |
//! | `read without index` | an acknowledged linearizable read that does not say where it was served |
//! | `error without index` | a refusal that tells of the state, and does not say of which |
//! | `real-time order` | an operation stands before one that was over before it began; a read whose revision tells it, as soon as it is answered |
//!
//! Stated in etcd's API guarantees (strict serializability of everything but serializable reads), and by Herlihy and Wing
//! (1990).
//!
//! Does NOT verify: that the members agree on the log (see `raft_safety`); serializable reads (see `serializable`);
//! that an acknowledged write was committed by then, and that a read was fresh with regard to writes that nobody
//! had seen acknowledged (see `commit_window`); what members store (see `agreement`, `durability`).
//!
//! The replay runs on the [`Specification`], which shares no code with the members nor with the store of
//! `linearizable_history`.

use std::collections::{BTreeMap, BTreeSet};

mod freshness;

use prost::Message;
use vertebra_sim::verdict::Violation;

use super::linearizable_history::{has_empty_operation, tells_of_state};
use super::raft_safety::MemberId;
use super::replayed::Replayed;
use super::shape;
use crate::api::{AuthRequest, InternalRaftRequest, ResponseOp, response_op};
use crate::auth::{self, AuthResponse};
use crate::error::Error;
use crate::history::{Event, History, Operation, OperationId, Outcome, Request};
use crate::response::Response;
use crate::specification::Specification;

pub use freshness::Freshness;

/// The name of the oracle.
pub const NAME: &str = "linearizable log";

/// A committed entry that holds a client's request. Entries without one (a new leader's, changes of membership) are
/// left out, so that indexes may skip.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Place in the log.
    pub index: u64,
    /// The request as proposed; its header's identifier says for which operation.
    pub request: InternalRaftRequest,
    /// [`History::clock`] when the first member learnt that it is committed.
    pub committed: u64,
}

impl LogEntry {
    /// The identifier under which the request was proposed; 0 for none.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.request.header.as_ref().map_or(0, |header| header.id)
    }
}

/// Where one operation left its mark inside the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// The identifier under which it was proposed.
    pub proposal: Option<u64>,
    /// The applied index at which it was served, for what goes past the log.
    pub served_at: Option<u64>,
}

/// What the inside of the cluster tells about a history.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    entries: Vec<LogEntry>,
    traces: Vec<Trace>,
    /// What the leader proposed on its own, by identifier.
    own: BTreeSet<u64>,
    /// What was proposed for an operation before what was proposed for it last.
    repeated: BTreeSet<u64>,
    /// Whether any entry is about users and roles.
    has_auth: bool,
    lease_ttl_min: i64,
    /// The last of the entries that are not of the cluster's own log, which begins behind them.
    before: u64,
    /// When members started, by the clock of the history.
    starts: BTreeMap<MemberId, Vec<u64>>,
}

impl Witness {
    /// A witness who has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Leases get a TTL of at least so many seconds.
    #[must_use]
    pub fn with_lease_ttl_min(seconds: i64) -> Self {
        Self { lease_ttl_min: seconds, ..Self::default() }
    }

    /// A leader proposed something of its own: to revoke a lease that has expired, or to write down what one has left.
    pub fn proposed_by_leader(&mut self, proposal: u64) {
        self.own.insert(proposal);
    }

    /// Whether a leader proposed it on its own.
    pub(super) fn is_of_leader(&self, entry: &LogEntry) -> bool {
        self.own.contains(&entry.id())
    }

    /// A member starts, on what its disk holds: its store may be older than it was.
    pub fn restarted(&mut self, member: MemberId, clock: u64) {
        self.starts.entry(member).or_default().push(clock);
    }

    /// When `member` started, by [`History::clock`], in order.
    pub(super) fn starts(&self, member: MemberId) -> &[u64] {
        self.starts.get(&member).map_or(&[], |starts| starts)
    }

    /// The shortest TTL of a lease, in seconds.
    pub(super) fn lease_ttl_min(&self) -> i64 {
        self.lease_ttl_min
    }

    /// An empty store, for a replay of the log.
    pub(crate) fn empty_store(&self) -> Specification {
        Specification::with_leases(self.lease_ttl_min)
    }

    /// The cluster's own log begins behind `index`: its entry `i` is told of as entry `index + i`. What comes before is of the
    /// cluster from which it was restored.
    pub fn begins_behind(&mut self, index: u64) {
        self.before = index;
    }

    /// The index of an entry in the cluster's own log; nothing if it is not in there.
    pub(super) fn own_index(&self, index: u64) -> Option<u64> {
        index.checked_sub(self.before).filter(|own| *own > 0)
    }

    /// The entry is committed: the first member learns of it. Told in the order of the log, once for each index.
    pub fn committed(&mut self, entry: LogEntry) {
        self.has_auth |= entry.request.auth.is_some();
        self.entries.push(entry);
    }

    /// The operation was proposed under the identifier `proposal`. An authentication is proposed again when the password
    /// that was checked may have changed meanwhile.
    pub fn proposed(&mut self, operation: OperationId, proposal: u64) {
        if let Some(earlier) = self.trace_mut(operation).proposal.replace(proposal) {
            self.repeated.insert(earlier);
        }
    }

    /// The operation, a read, was answered by a store that had applied everything up to `index`.
    pub fn served(&mut self, operation: OperationId, index: u64) {
        self.trace_mut(operation).served_at = Some(index);
    }

    /// Whether any entry is about users and roles.
    pub(super) fn has_auth(&self) -> bool {
        self.has_auth
    }

    /// The committed entries.
    #[must_use]
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// What is known of `operation`.
    #[must_use]
    pub fn trace(&self, operation: OperationId) -> Trace {
        self.traces.get(operation.index()).copied().unwrap_or_default()
    }

    fn trace_mut(&mut self, operation: OperationId) -> &mut Trace {
        if self.traces.len() <= operation.index() {
            self.traces.resize(operation.index() + 1, Trace::default());
        }
        &mut self.traces[operation.index()]
    }

    /// For each entry, the operation that was proposed under its identifier.
    pub(super) fn operations(&self, history: &History) -> Vec<Option<OperationId>> {
        let mut proposals: Vec<(u64, OperationId)> =
            history.iter().filter_map(|(id, _)| Some((self.trace(id).proposal?, id))).collect();
        proposals.sort_unstable();
        let find = |entry: &LogEntry| {
            let place = proposals.binary_search_by_key(&entry.id(), |(proposal, _)| *proposal).ok()?;
            Some(proposals[place].1)
        };
        self.entries.iter().map(find).collect()
    }
}

/// Judges `history` by `witness`.
///
/// # Errors
///
/// The first broken clause.
pub fn check(history: &History, witness: &Witness) -> Result<(), Violation> {
    replay(history, witness).map(drop)
}

/// The same; returns what came of the log, for oracles that hold other things against it.
///
/// # Errors
///
/// The first broken clause.
pub fn replay(history: &History, witness: &Witness) -> Result<Replayed, Violation> {
    let mut replayed = Replayed::nothing_of(witness);
    check_all(history, witness, &mut replayed)?;
    Ok(replayed)
}

fn check_all(history: &History, witness: &Witness, replayed: &mut Replayed) -> Result<(), Violation> {
    // 2i for the write at index i, 2i + 1 for the read at i.
    let mut places = vec![None; history.operations().len()];
    let mut reads = served_reads(history, witness, &mut places)?.into_iter().peekable();
    let mut index = 0;
    let mut own = BTreeSet::new();
    for (entry, operation) in witness.entries.iter().zip(witness.operations(history)) {
        if entry.index <= index {
            return violation("log order", "", format!("entry {} follows entry {index}", entry.index));
        }
        while let Some((_, read)) = reads.next_if(|(served_at, _)| *served_at < entry.index) {
            check_read(&replayed.specification, &history[read])?;
        }
        index = entry.index;
        let Some(id) = operation else {
            if witness.repeated.contains(&entry.id()) && is_authentication(&entry.request) {
                let _ = replayed.execute(entry);
                continue;
            }
            if witness.is_of_leader(entry) && is_of_leases_alone(&entry.request) {
                if !own.insert(entry.id()) {
                    let detail = format!("entry {index} repeats what a leader proposed: {:?}", entry.request);
                    return violation("applied twice", "of a leader", detail);
                }
                // It may be too late, and then it changes nothing.
                let _ = replayed.execute(entry);
                continue;
            }
            return violation(
                "phantom entry",
                "",
                format!("entry {index} is of no operation: {:?}", entry.request),
            );
        };
        let operation = &history[id];
        check_entry(entry, operation)?;
        if let Some(place) = places[id.index()].replace(2 * index) {
            let detail = format!("{operation}: entries {} and {index}", place / 2);
            return violation("applied twice", operation.request.kind(), detail);
        }
        check_write(replayed.execute(entry), operation, index)?;
    }
    for (_, read) in reads {
        check_read(&replayed.specification, &history[read])?;
    }
    for (operation, place) in history.operations().iter().zip(&places) {
        let (request, read_only) = (&operation.request, operation.request.is_read_only());
        match operation.outcome {
            _ if place.is_some() || request.is_serializable() => {}
            Outcome::Ok(_) if !read_only => {
                return violation("lost write", request.kind(), operation.to_string());
            }
            Outcome::Failed(error) if tells_of_state(error) && !has_empty_operation(request) => {
                return violation("error without index", request.kind(), operation.to_string());
            }
            _ => {}
        }
    }
    in_real_time(history, &places)
}

/// The linearizable reads by the index at which they were served.
fn served_reads(
    history: &History,
    witness: &Witness,
    places: &mut [Option<u64>],
) -> Result<Vec<(u64, OperationId)>, Violation> {
    let mut reads = Vec::new();
    for (id, operation) in history.iter() {
        let request = &operation.request;
        if !request.is_read_only() || request.is_serializable() || operation.outcome == Outcome::Unknown {
            continue;
        }
        match (witness.trace(id).served_at, &operation.outcome) {
            // It does not tell of any state (a learner's, for one, that is far behind).
            (_, Outcome::Failed(error)) if !tells_of_state(*error) => {}
            (Some(index), _) => {
                reads.push((index, id));
                places[id.index()] = Some(2 * index + 1);
            }
            (None, Outcome::Ok(_)) => {
                return violation("read without index", request.kind(), operation.to_string());
            }
            (None, _) => {}
        }
    }
    reads.sort_unstable();
    Ok(reads)
}

/// Whether a member may propose it again for one operation: it changes nothing.
fn is_authentication(request: &InternalRaftRequest) -> bool {
    matches!(request.auth, Some(AuthRequest::Authenticate(_)))
}

/// Whether a leader may propose it on its own.
fn is_of_leases_alone(request: &InternalRaftRequest) -> bool {
    let InternalRaftRequest { header, lease_revoke, lease_checkpoint, .. } = request;
    *request
        == InternalRaftRequest {
            header: header.clone(),
            lease_revoke: *lease_revoke,
            lease_checkpoint: lease_checkpoint.clone(),
            ..Default::default()
        }
}

fn check_entry(entry: &LogEntry, operation: &Operation) -> Result<(), Violation> {
    let same = match &operation.request {
        Request::Range(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases(_) => false,
        Request::Put(put) => entry.request.put.as_ref() == Some(put),
        Request::DeleteRange(delete) => entry.request.delete_range.as_ref() == Some(delete),
        Request::Txn(txn) => entry.request.txn.as_ref() == Some(txn),
        Request::Compact(compaction) => entry.request.compaction.as_ref() == Some(compaction),
        // Where the client names no number, the member chooses one.
        Request::LeaseGrant(grant) => entry.request.lease_grant.is_some_and(|entry| {
            entry.ttl == grant.ttl && (entry.id == grant.id || grant.id == 0 && entry.id > 0)
        }),
        Request::LeaseRevoke(revoke) => entry.request.lease_revoke.as_ref() == Some(revoke),
        Request::Auth(asked) => {
            entry.request.auth.as_ref().is_some_and(|proposed| auth::is_proposal_for(proposed, asked))
        }
    };
    if !same {
        let shape = format!("{} with other content", operation.request.kind());
        let bytes = entry.request.encoded_len();
        let detail = format!("{operation}: entry {} ({bytes} bytes) is {:?}", entry.index, entry.request);
        return violation("phantom entry", shape, detail);
    }
    if entry.committed <= operation.invoked {
        let detail = format!("{operation}: entry {} was committed at {}", entry.index, entry.committed);
        return violation("applied before invocation", operation.request.kind(), detail);
    }
    Ok(())
}

fn check_write(result: Result<Response, Error>, operation: &Operation, index: u64) -> Result<(), Violation> {
    let kind = operation.request.kind();
    match (&operation.outcome, result) {
        (Outcome::Ok(reply), Ok(expected)) => match difference(&expected, reply) {
            None => Ok(()),
            Some(field) => {
                let detail =
                    format!("{operation}: entry {index} gives {expected:?}, the client got {reply:?}");
                violation("write reply", format!("{kind}: {field}"), detail)
            }
        },
        (Outcome::Ok(_), Err(error)) => violation(
            "write reply",
            format!("{kind}: success instead of an error"),
            format!("{operation}: entry {index} gives the error: {error}"),
        ),
        (Outcome::Failed(found), Err(expected)) if *found == expected => Ok(()),
        // It was refused before it was proposed again.
        (Outcome::Failed(_), _) if operation.request.is_authentication() => Ok(()),
        (Outcome::Failed(_), result) => {
            let detail = format!("{operation}: entry {index} gives {result:?}");
            violation("refused but applied", kind, detail)
        }
        (Outcome::Unknown, _) => Ok(()),
    }
}

fn check_read(specification: &Specification, operation: &Operation) -> Result<(), Violation> {
    let result = match &operation.request {
        Request::Range(read) => specification.read(read).map(Response::Range),
        Request::Txn(txn) => specification.read_txn(txn).map(Response::Txn),
        _ => return Ok(()),
    };
    let (kind, at) = (operation.request.kind(), specification.revision());
    match (&operation.outcome, result) {
        (Outcome::Ok(reply), Ok(expected)) => match difference(&expected, reply) {
            None => Ok(()),
            Some(field) => {
                let detail = format!(
                    "{operation}: the state of revision {at} gives {expected:?}, the client got {reply:?}"
                );
                violation("read reply", format!("{kind}: {field}"), detail)
            }
        },
        (Outcome::Ok(_), Err(error)) => {
            let detail = format!("{operation}: the state of revision {at} gives the error: {error}");
            violation("read reply", format!("{kind}: success instead of an error"), detail)
        }
        (Outcome::Failed(found), result)
            if tells_of_state(*found) && result.as_ref().err() != Some(found) =>
        {
            let detail = format!("{operation}: the state of revision {at} gives {result:?}");
            violation("read reply", format!("{kind}: error without a reason"), detail)
        }
        _ => Ok(()),
    }
}

/// Which part of a reply is another than expected. Only what the specification knows of headers counts: revisions.
pub(super) fn difference(expected: &Response, found: &Response) -> Option<&'static str> {
    if expected.revision() != found.revision() {
        return Some("header revision");
    }
    match (expected, found) {
        (Response::Range(expected), Response::Range(found)) => {
            (expected.kvs != found.kvs || expected.more != found.more || expected.count != found.count)
                .then_some("content")
        }
        (Response::Put(expected), Response::Put(found)) => {
            (expected.prev_kv != found.prev_kv).then_some("previous key")
        }
        (Response::DeleteRange(expected), Response::DeleteRange(found)) => {
            if expected.deleted != found.deleted {
                return Some("number of keys deleted");
            }
            (expected.prev_kvs != found.prev_kvs).then_some("previous keys")
        }
        (Response::Txn(expected), Response::Txn(found)) => {
            if expected.succeeded != found.succeeded {
                return Some("branch of the transaction");
            }
            if expected.responses.len() != found.responses.len() {
                return Some("number of responses");
            }
            let mut pairs = expected.responses.iter().zip(&found.responses);
            pairs.find_map(|(expected, found)| op_difference(expected, found))
        }
        // There is nothing in it but its header.
        (Response::Compact(_), Response::Compact(_)) => None,
        (Response::LeaseGrant(expected), Response::LeaseGrant(found)) => {
            if expected.id != found.id {
                return Some("number of the lease");
            }
            (expected.ttl != found.ttl).then_some("TTL")
        }
        (Response::LeaseRevoke(_), Response::LeaseRevoke(_)) => None,
        (Response::Auth(expected), Response::Auth(found)) => auth_difference(expected, found),
        _ => Some("kind of reply"),
    }
}

/// The header is compared. What it does not know of a token is the second part.
fn auth_difference(expected: &AuthResponse, found: &AuthResponse) -> Option<&'static str> {
    if let (AuthResponse::Authenticate(expected), AuthResponse::Authenticate(found)) = (expected, found) {
        let first = found.token.split('.').next();
        return (first != Some(&expected.token)).then_some("token");
    }
    let mut expected = expected.clone();
    *expected.header_mut() = found.header();
    (expected != *found).then_some("content")
}

fn op_difference(expected: &ResponseOp, found: &ResponseOp) -> Option<&'static str> {
    use response_op::Response as Op;
    let (expected, found) = match (&expected.response, &found.response) {
        (None, None) => return None,
        (Some(expected), Some(found)) => (expected, found),
        _ => return Some("kind of reply"),
    };
    let response = |op: &Op| match op {
        Op::ResponseRange(response) => Response::Range(response.clone()),
        Op::ResponsePut(response) => Response::Put(response.clone()),
        Op::ResponseDeleteRange(response) => Response::DeleteRange(response.clone()),
        Op::ResponseTxn(response) => Response::Txn(response.clone()),
    };
    difference(&response(expected), &response(found))
}

/// No operation stands before one that was over before it began.
fn in_real_time(history: &History, places: &[Option<u64>]) -> Result<(), Violation> {
    let (mut floor, mut floor_of) = (0, None);
    for event in history.events() {
        match *event {
            Event::Invoked(id) => {
                if let (Some(place), Some(earlier)) = (places[id.index()], floor_of)
                    && place < floor
                {
                    let (earlier, later) = (&history[earlier], &history[id]);
                    let detail = format!("{earlier}\nwas over before this began: {later}");
                    return violation("real-time order", shape(earlier, later), detail);
                }
            }
            Event::Returned(id) => {
                let place = places[id.index()].filter(|_| history[id].outcome != Outcome::Unknown);
                if let Some(place) = place.filter(|place| *place >= floor) {
                    (floor, floor_of) = (place, Some(id));
                }
            }
        }
    }
    Ok(())
}

fn violation<T>(clause: &'static str, shape: impl Into<String>, detail: String) -> Result<T, Violation> {
    Err(Violation::new(NAME, clause, shape, detail))
}

#[cfg(test)]
mod tests;
