//! What the clients saw.
//!
//! A history is the only thing that the black-box oracles may look at. Its events (a client sends a request, a
//! client gets the answer) are ordered by one sequence number and not by virtual time: two events at one instant
//! still have an order in the run, and an oracle that knows it refuses more.

use std::fmt;

use crate::api::request_op::Request as Op;
use crate::api::{
    AuthRequest, CompactionRequest, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest,
    LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest,
    RangeRequest, RequestOp, TxnRequest, compare,
};
use crate::auth;
use crate::error::Error;
use crate::response::Response;

/// A request.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// A read.
    Range(RangeRequest),
    /// A write of one key.
    Put(PutRequest),
    /// A deletion.
    DeleteRange(DeleteRangeRequest),
    /// A transaction.
    Txn(TxnRequest),
    /// A compaction.
    Compact(CompactionRequest),
    /// The grant of a lease.
    LeaseGrant(LeaseGrantRequest),
    /// The revocation of a lease, which deletes the keys attached to it.
    LeaseRevoke(LeaseRevokeRequest),
    /// A sign that a lease is still wanted.
    LeaseKeepAlive(LeaseKeepAliveRequest),
    /// A question about a lease.
    LeaseTimeToLive(LeaseTimeToLiveRequest),
    /// A question which leases there are.
    LeaseLeases(LeaseLeasesRequest),
    /// Something about users and roles.
    Auth(AuthRequest),
}

impl Request {
    /// The kind of request, as it stands in signatures.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Range(_) => "Range",
            Self::Put(_) => "Put",
            Self::DeleteRange(_) => "DeleteRange",
            Self::Txn(_) => "Txn",
            Self::Compact(_) => "Compact",
            Self::LeaseGrant(_) => "LeaseGrant",
            Self::LeaseRevoke(_) => "LeaseRevoke",
            Self::LeaseKeepAlive(_) => "LeaseKeepAlive",
            Self::LeaseTimeToLive(_) => "LeaseTimeToLive",
            Self::LeaseLeases(_) => "LeaseLeases",
            Self::Auth(request) => auth::kind(request),
        }
    }

    /// Whether the request goes past Raft: a read, or a transaction of reads alone, or something that the leader does
    /// with a lease on its own.
    ///
    /// As in etcd, a transaction with a transaction inside is no such thing, whatever the inner one does.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Range(_) | Self::LeaseKeepAlive(_) | Self::LeaseTimeToLive(_) | Self::LeaseLeases(_) => {
                true
            }
            Self::Put(_)
            | Self::DeleteRange(_)
            | Self::Compact(_)
            | Self::LeaseGrant(_)
            | Self::LeaseRevoke(_)
            | Self::Auth(_) => false,
            Self::Txn(txn) => reads(txn).all(|read| read.is_some()),
        }
    }

    /// Whether the answer may come from a member that lags behind: a read marked so, or a transaction of such
    /// reads alone (as in etcd, also one without any operation). The answers about leases bear a revision of the member
    /// that was asked, and tell nothing of what it has.
    #[must_use]
    pub fn is_serializable(&self) -> bool {
        match self {
            Self::Range(read) => read.serializable,
            Self::LeaseKeepAlive(_) | Self::LeaseTimeToLive(_) | Self::LeaseLeases(_) => true,
            Self::Put(_)
            | Self::DeleteRange(_)
            | Self::Compact(_)
            | Self::LeaseGrant(_)
            | Self::LeaseRevoke(_)
            | Self::Auth(_) => false,
            Self::Txn(txn) => reads(txn).all(|read| read.is_some_and(|read| read.serializable)),
        }
    }

    /// Whether the client asks for a token. That goes through the log, and changes nothing in it.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        matches!(self, Self::Auth(AuthRequest::Authenticate(_)))
    }

    /// The request as a member proposes it, without a header; `None` for what is not proposed.
    #[must_use]
    pub fn to_proposal(&self) -> Option<InternalRaftRequest> {
        let mut proposal = InternalRaftRequest::default();
        match self {
            Self::Range(_) | Self::LeaseKeepAlive(_) | Self::LeaseTimeToLive(_) | Self::LeaseLeases(_) => {
                return None;
            }
            Self::Put(put) => proposal.put = Some(put.clone()),
            Self::DeleteRange(delete) => proposal.delete_range = Some(delete.clone()),
            Self::Txn(txn) => proposal.txn = Some(txn.clone()),
            Self::Compact(compaction) => proposal.compaction = Some(*compaction),
            Self::LeaseGrant(grant) => proposal.lease_grant = Some(*grant),
            Self::LeaseRevoke(revoke) => proposal.lease_revoke = Some(*revoke),
            Self::Auth(request) => proposal.auth = Some(request.clone()),
        }
        Some(proposal)
    }

    /// The request of which this is the proposal; none for what is no operation of a client.
    pub(crate) fn of_proposal(proposal: &InternalRaftRequest) -> Option<Self> {
        let InternalRaftRequest {
            put, delete_range, txn, compaction, lease_grant, lease_revoke, auth, ..
        } = proposal;
        let put = put.clone().map(Self::Put);
        put.or_else(|| delete_range.clone().map(Self::DeleteRange))
            .or_else(|| txn.clone().map(Self::Txn))
            .or(compaction.map(Self::Compact))
            .or(lease_grant.map(Self::LeaseGrant))
            .or(lease_revoke.map(Self::LeaseRevoke))
            .or_else(|| auth.as_ref().and_then(auth::asked_by).map(Self::Auth))
    }
}

/// Each operation of both branches: the read, or `None` for another kind of operation.
fn reads(txn: &TxnRequest) -> impl Iterator<Item = Option<&RangeRequest>> {
    txn.success.iter().chain(&txn.failure).map(|op| match &op.request {
        Some(Op::RequestRange(read)) => Some(read),
        _ => None,
    })
}

/// How an operation ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It succeeded.
    Ok(Response),
    /// It was refused, and certainly changed nothing.
    Failed(Error),
    /// It may have taken effect, may yet take effect, or never will.
    Unknown,
}

/// One operation of one client.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The client's session. A client opens another after an unknown outcome, so that within a session each
    /// operation begins after the one before it has ended.
    pub session: u32,
    /// What was asked.
    pub request: Request,
    /// Sequence number of the asking.
    pub invoked: u64,
    /// Sequence number of the answer, if one came.
    pub returned: Option<u64>,
    /// The answer; [`Outcome::Unknown`] until one came.
    pub outcome: Outcome,
}

impl Operation {
    /// The reply, if the operation succeeded.
    #[must_use]
    pub fn reply(&self) -> Option<&Response> {
        match &self.outcome {
            Outcome::Ok(response) => Some(response),
            _ => None,
        }
    }

    /// What it asked for, to those who do not know the answer. A lease whose number the store has chosen is still that lease.
    pub(crate) fn unanswered(&self) -> Request {
        match (&self.request, self.reply()) {
            (Request::LeaseGrant(grant), Some(Response::LeaseGrant(granted))) => {
                Request::LeaseGrant(LeaseGrantRequest { id: granted.id, ..*grant })
            }
            (request, _) => request.clone(),
        }
    }

    /// When the operation was certainly over; `u64::MAX` while its outcome is unknown, for it may yet take effect.
    #[must_use]
    pub fn ended(&self) -> u64 {
        match (&self.outcome, self.returned) {
            (Outcome::Unknown, _) | (_, None) => u64::MAX,
            (_, Some(returned)) => returned,
        }
    }
}

/// `session 3: Put "a"="1" at 17..19 -> revision 5`.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}: {} at {}..", self.session, self.request, self.invoked)?;
        if let Some(returned) = self.returned {
            write!(f, "{returned}")?;
        }
        match &self.outcome {
            Outcome::Ok(response) => write!(f, " -> revision {}", response.revision()),
            Outcome::Failed(error) => write!(f, " -> refused: {error}"),
            Outcome::Unknown => write!(f, " -> unknown"),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(read) => write_range(f, read),
            Self::Put(put) => write_put(f, put),
            Self::DeleteRange(delete) => write_delete(f, delete),
            Self::Txn(txn) => write_txn(f, txn),
            Self::Compact(compaction) => {
                let how = if compaction.physical { " physically" } else { "" };
                write!(f, "Compact at {}{how}", compaction.revision)
            }
            Self::LeaseGrant(grant) => write!(f, "LeaseGrant {} for {} s", grant.id, grant.ttl),
            Self::LeaseRevoke(revoke) => write!(f, "LeaseRevoke {}", revoke.id),
            Self::LeaseKeepAlive(keep_alive) => write!(f, "LeaseKeepAlive {}", keep_alive.id),
            Self::LeaseTimeToLive(question) => write!(f, "LeaseTimeToLive {}", question.id),
            Self::LeaseLeases(_) => write!(f, "LeaseLeases"),
            Self::Auth(request) => write!(f, "{}", auth::Shown(request)),
        }
    }
}

fn write_interval(f: &mut fmt::Formatter<'_>, key: &[u8], range_end: &[u8]) -> fmt::Result {
    write!(f, "\"{}\"", key.escape_ascii())?;
    if !range_end.is_empty() {
        write!(f, "..\"{}\"", range_end.escape_ascii())?;
    }
    Ok(())
}

fn write_range(f: &mut fmt::Formatter<'_>, read: &RangeRequest) -> fmt::Result {
    write!(f, "Range ")?;
    write_interval(f, &read.key, &read.range_end)?;
    if read.revision > 0 {
        write!(f, " revision {}", read.revision)?;
    }
    if read.limit > 0 {
        write!(f, " limit {}", read.limit)?;
    }
    if read.serializable {
        write!(f, " serializable")?;
    }
    Ok(())
}

fn write_put(f: &mut fmt::Formatter<'_>, put: &PutRequest) -> fmt::Result {
    write!(f, "Put \"{}\"=\"{}\"", put.key.escape_ascii(), put.value.escape_ascii())?;
    if put.lease != 0 {
        write!(f, " lease {}", put.lease)?;
    }
    Ok(())
}

fn write_delete(f: &mut fmt::Formatter<'_>, delete: &DeleteRangeRequest) -> fmt::Result {
    write!(f, "DeleteRange ")?;
    write_interval(f, &delete.key, &delete.range_end)
}

fn write_txn(f: &mut fmt::Formatter<'_>, txn: &TxnRequest) -> fmt::Result {
    write!(f, "Txn if [")?;
    for (number, compare) in txn.compare.iter().enumerate() {
        if number > 0 {
            write!(f, ", ")?;
        }
        write_interval(f, &compare.key, &compare.range_end)?;
        write!(f, " {} {}", compare.target().as_str_name(), compare.result().as_str_name())?;
        match &compare.target_union {
            Some(compare::TargetUnion::Value(value)) => write!(f, " \"{}\"", value.escape_ascii())?,
            Some(
                compare::TargetUnion::Version(number)
                | compare::TargetUnion::CreateRevision(number)
                | compare::TargetUnion::ModRevision(number)
                | compare::TargetUnion::Lease(number),
            ) => write!(f, " {number}")?,
            None => {}
        }
    }
    write!(f, "] then [")?;
    write_ops(f, &txn.success)?;
    write!(f, "] else [")?;
    write_ops(f, &txn.failure)?;
    write!(f, "]")
}

fn write_ops(f: &mut fmt::Formatter<'_>, ops: &[RequestOp]) -> fmt::Result {
    for (number, op) in ops.iter().enumerate() {
        if number > 0 {
            write!(f, ", ")?;
        }
        match &op.request {
            Some(Op::RequestRange(read)) => write_range(f, read)?,
            Some(Op::RequestPut(put)) => write_put(f, put)?,
            Some(Op::RequestDeleteRange(delete)) => write_delete(f, delete)?,
            Some(Op::RequestTxn(txn)) => write_txn(f, txn)?,
            None => write!(f, "nothing")?,
        }
    }
    Ok(())
}

/// Which operation of a [`History`]: its place in the order of invocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OperationId(u32);

impl OperationId {
    /// The operation at a place in [`History::operations`].
    pub(crate) fn at(place: u32) -> Self {
        Self(place)
    }

    /// The place in [`History::operations`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One end of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The client sent the request.
    Invoked(OperationId),
    /// The client got its answer, or stopped waiting for it.
    Returned(OperationId),
}

/// The operations of all clients, recorded as they happen. It only ever grows.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Replies tell of keys neither when they were created nor what leases they have, and of a compaction no revision.
    is_partial: bool,
    operations: Vec<Operation>,
    /// At each sequence number, what happened.
    events: Vec<Event>,
}

impl History {
    /// A history without operations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A history without operations, whose replies will not tell all: of a key neither its create revision nor its lease
    /// (there is 0 in their place), and the revision neither of a compaction nor of what is within a transaction.
    #[must_use]
    pub fn partial() -> Self {
        Self { is_partial: true, ..Self::default() }
    }

    /// Whether its replies leave out what [`History::partial`] says.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Records that `session` sends `request` now.
    ///
    /// # Panics
    ///
    /// If there are more than 2^32 operations.
    pub fn invoke(&mut self, session: u32, request: Request) -> OperationId {
        let id = OperationId(u32::try_from(self.operations.len()).expect("fewer than 2^32 operations"));
        let invoked = self.clock();
        if self.operations.capacity() == 0 {
            // What most runs need: to grow means to move them all.
            self.operations.reserve(512);
            self.events.reserve(1_024);
        }
        self.operations.push(Operation {
            session,
            request,
            invoked,
            returned: None,
            outcome: Outcome::Unknown,
        });
        self.events.push(Event::Invoked(id));
        id
    }

    /// Records that the operation `id` ends now with `outcome`.
    ///
    /// An operation ends once; what is recorded after its end is not kept.
    pub fn returned(&mut self, id: OperationId, outcome: Outcome) {
        let now = self.clock();
        let Some(operation) = self.operations.get_mut(id.index()) else { return };
        debug_assert!(operation.returned.is_none(), "an operation returned twice: {operation}");
        if operation.returned.is_none() {
            operation.returned = Some(now);
            operation.outcome = outcome;
            self.events.push(Event::Returned(id));
        }
    }

    /// The sequence number of the next event. What happens between two events, such as the commit of an entry,
    /// bears the number that the next one will get: it comes after all events below it.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.events.len() as u64
    }

    /// All operations, in the order of their invocation.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// All events; the place is the sequence number.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The same history, as it was when it had so many events: what had not ended by then has no outcome.
    #[must_use]
    pub fn until(&self, events: usize) -> Self {
        let mut earlier = Self { is_partial: self.is_partial, ..Self::default() };
        earlier.move_to(self, events);
        earlier
    }

    /// Makes `self`, which is the history `whole` as it was at some time, that which `whole` was when it had so many events.
    ///
    /// To look at a history at several times, this is less work than to copy it for each.
    pub(crate) fn move_to(&mut self, whole: &Self, events: usize) {
        while self.events.len() > events {
            match self.events.pop() {
                Some(Event::Invoked(_)) => drop(self.operations.pop()),
                Some(Event::Returned(id)) => {
                    let operation = &mut self.operations[id.index()];
                    (operation.returned, operation.outcome) = (None, Outcome::Unknown);
                    operation.request = whole[id].unanswered();
                }
                None => {}
            }
        }
        let events = events.min(whole.events.len());
        for event in whole.events.get(self.events.len()..events).unwrap_or_default() {
            match *event {
                Event::Invoked(id) => _ = self.invoke(whole[id].session, whole[id].unanswered()),
                Event::Returned(id) => {
                    if matches!(whole[id].request, Request::LeaseGrant(_)) {
                        self.operations[id.index()].request = whole[id].request.clone();
                    }
                    self.returned(id, whole[id].outcome.clone());
                }
            }
        }
    }

    /// All operations with their names.
    pub fn iter(&self) -> impl Iterator<Item = (OperationId, &Operation)> {
        (0..).map(OperationId).zip(&self.operations)
    }
}

impl std::ops::Index<OperationId> for History {
    type Output = Operation;

    fn index(&self, id: OperationId) -> &Operation {
        &self.operations[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(serializable: bool) -> RangeRequest {
        RangeRequest { key: "a".into(), serializable, ..Default::default() }
    }

    fn txn(ops: Vec<Op>) -> Request {
        let success = ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
        Request::Txn(TxnRequest { success, ..Default::default() })
    }

    #[test]
    fn events_are_numbered_in_the_order_in_which_they_are_recorded() {
        let mut history = History::new();
        let first = history.invoke(1, Request::Range(get(false)));
        let second = history.invoke(2, Request::Put(PutRequest::default()));
        history.returned(second, Outcome::Failed(Error::EmptyKey));
        history.returned(first, Outcome::Unknown);
        assert_eq!((history[first].invoked, history[first].returned), (0, Some(3)));
        assert_eq!((history[second].invoked, history[second].returned), (1, Some(2)));
        assert_eq!((history[second].ended(), history[first].ended()), (2, u64::MAX));
        assert_eq!(history.clock(), 4);
    }

    #[test]
    fn a_transaction_is_a_read_if_it_holds_reads_alone() {
        let read = |serializable| Op::RequestRange(get(serializable));
        assert!(txn(vec![read(false)]).is_read_only());
        assert!(!txn(vec![read(false), Op::RequestPut(PutRequest::default())]).is_read_only());
        assert!(!txn(vec![Op::RequestTxn(TxnRequest::default())]).is_read_only());
        assert!(txn(vec![read(true)]).is_serializable() && txn(vec![]).is_serializable());
        assert!(!txn(vec![read(true), read(false)]).is_serializable());
    }

    #[test]
    fn an_operation_is_shown_on_one_line() {
        let mut history = History::new();
        let put = PutRequest { key: "a".into(), value: "1".into(), ..Default::default() };
        let id = history.invoke(3, txn(vec![Op::RequestPut(put), Op::RequestRange(get(true))]));
        assert_eq!(
            history[id].to_string(),
            "session 3: Txn if [] then [Put \"a\"=\"1\", Range \"a\" serializable] else [] at 0.. -> unknown"
        );
    }
}
