//! What the services of locks and elections do with the member itself, as its client: etcd has one inside of its server.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;

use super::call::Call;
use super::{Failure, Server};
use crate::api::request_op::Request as Op;
use crate::api::response_op::Response as OpReply;
use crate::api::{
    Compare, DeleteRangeRequest, Event, LeaseGrantRequest, PutRequest, RangeRequest, RangeResponse,
    RequestOp, TxnRequest, TxnResponse, compare,
};
use crate::error::{Code, Error};
use crate::grpc::Status;
use crate::history::{Outcome, Request};
use crate::member::server::{self, Origin};
use crate::mvcc::watch::{Channel, Number, Response as Told, Watch};
use crate::response::Response;

/// How long a lease lives that is made for a caller who names none, in seconds.
const SESSION_TTL: i64 = 60;

/// What is under way at a member for one call.
pub(super) struct Inner<'a> {
    server: &'a Server,
    call: &'a Call,
}

/// A watch of the member's own store.
pub(super) struct Watching {
    number: Number,
    told: Rc<Channel<Told>>,
}

/// Who stands in line for a lock or an election.
pub(super) struct Session<'a> {
    pub(super) inner: Inner<'a>,
    pub(super) lease: i64,
    /// What the keys of all who do begin with.
    pub(super) prefix: Bytes,
    /// Its own.
    pub(super) key: Bytes,
}

impl<'a> Session<'a> {
    /// With the lease that the caller names, or one that is made for it.
    pub(super) async fn begin(
        server: &'a Server,
        call: &'a Call,
        name: &Bytes,
        lease: i64,
    ) -> Result<Self, Failure> {
        let inner = Inner::new(server, call);
        let lease = inner.lease(lease).await?;
        let prefix = prefix(name);
        let key = session_key(&prefix, lease);
        Ok(Self { inner, lease, prefix, key })
    }
}

impl<'a> Inner<'a> {
    pub(super) fn new(server: &'a Server, call: &'a Call) -> Self {
        Self { server, call }
    }

    /// Performs an operation, of which the history knows as of one of a client's: there is no other who could tell of it.
    pub(super) async fn perform(&self, request: Request) -> Result<Response, Failure> {
        let (member, token) = (&self.server.member, &self.call.token);
        let observer = &member.observer;
        let operation = observer.invoked(observer.new_session(), &request);
        if let Ok(caller) = member.caller(token.as_ref()).await {
            observer.invoked_by(operation, caller.user, token.clone());
        }
        let origin = Origin { operation: Some(operation), token: token.clone() };
        let result = Box::pin(server::execute(member, &origin, request)).await;
        let outcome = match &result {
            Ok(response) => Outcome::Ok(response.clone()),
            Err(error) if error.outcome_unknown() => Outcome::Unknown,
            Err(error) => Outcome::Failed(*error),
        };
        let index = (outcome != Outcome::Unknown).then(|| member.visible_index());
        observer.returned(operation, &outcome, index);
        result.map_err(|error| failed(error.to_string()))
    }

    /// The lease that a caller names, or a new one.
    pub(super) async fn lease(&self, named: i64) -> Result<i64, Failure> {
        if named != 0 {
            return Ok(named);
        }
        let grant = LeaseGrantRequest { ttl: SESSION_TTL, id: 0 };
        match self.perform(Request::LeaseGrant(grant)).await? {
            Response::LeaseGrant(granted) => Ok(granted.id),
            other => unreachable!("the response to a grant: {other:?}"),
        }
    }

    pub(super) async fn get(&self, read: RangeRequest) -> Result<RangeResponse, Failure> {
        match self.perform(Request::Range(read)).await? {
            Response::Range(found) => Ok(found),
            other => unreachable!("the response to a read: {other:?}"),
        }
    }

    pub(super) async fn txn(&self, txn: TxnRequest) -> Result<TxnResponse, Failure> {
        match self.perform(Request::Txn(txn)).await? {
            Response::Txn(done) => Ok(done),
            other => unreachable!("the response to a transaction: {other:?}"),
        }
    }

    /// Waits until no key of the prefix is left that was created at this revision or before.
    pub(super) async fn wait_for_deletions(&self, prefix: &Bytes, created_max: i64) -> Result<(), Failure> {
        loop {
            let last = RangeRequest { max_create_revision: created_max, ..youngest(prefix) };
            let found = self.get(last).await?;
            let Some(before) = found.kvs.first() else { return Ok(()) };
            let revision = found.header.map_or(0, |header| header.revision);
            let watching = self.watch(before.key.clone(), Bytes::new(), revision).await;
            let deleted = self.wait_for_deletion(&watching).await;
            self.end(watching).await;
            deleted?;
        }
    }

    async fn wait_for_deletion(&self, watching: &Watching) -> Result<(), Failure> {
        loop {
            if self.events(watching).await?.iter().any(is_deletion) {
                return Ok(());
            }
        }
    }

    /// Begins a watch, which must be ended.
    pub(super) async fn watch(&self, key: Bytes, range_end: Bytes, start: i64) -> Watching {
        let member = &self.server.member;
        let told = Rc::new(Channel::new(member.options.watch.channel_responses_max, None));
        let channel = Rc::clone(&told);
        let watch = Watch { id: 0, key, range_end, start, filters: Vec::new(), channel };
        Watching { number: member.kv.watch(watch).await, told }
    }

    /// The next events of a watch.
    pub(super) async fn events(&self, watching: &Watching) -> Result<Vec<Event>, Failure> {
        let told = poll_fn(|context| watching.told.poll_receive(context));
        let told = self.unless_over(told).await?;
        if told.compact_revision != 0 {
            return Err(failed(Error::Compacted.to_string()));
        }
        Ok(told.events)
    }

    pub(super) async fn end(&self, watching: Watching) {
        self.server.member.kv.cancel_watch(&self.server.member, watching.number).await;
    }

    /// Goes on as long as somebody waits for the call.
    async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        use futures_util::future::{Either, select};
        match select(std::pin::pin!(work), std::pin::pin!(self.call.cancelled())).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(Failure::Over),
        }
    }
}

/// What a service ends with that is a client itself: the text of the error, and no code.
pub(super) fn failed(text: impl Into<String>) -> Failure {
    Status::new(Code::Unknown, text).into()
}

/// The key of a session below a name.
fn session_key(prefix: &Bytes, lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    [&prefix[..], format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
}

/// A name as a prefix of keys.
pub(super) fn prefix(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// The end of the range of all keys with a prefix.
pub(super) fn end_of(prefix: &Bytes) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

/// The read of one key.
pub(super) fn one(key: &Bytes) -> RangeRequest {
    RangeRequest { key: key.clone(), ..RangeRequest::default() }
}

/// The read of the key with a prefix that was created first.
pub(super) fn oldest(prefix: &Bytes) -> RangeRequest {
    use crate::api::range_request::{SortOrder, SortTarget};
    RangeRequest {
        key: prefix.clone(),
        range_end: end_of(prefix),
        limit: 1,
        sort_target: SortTarget::Create.into(),
        sort_order: SortOrder::Ascend.into(),
        ..RangeRequest::default()
    }
}

/// The read of the one that was created last.
fn youngest(prefix: &Bytes) -> RangeRequest {
    let sort_order = crate::api::range_request::SortOrder::Descend.into();
    RangeRequest { sort_order, ..oldest(prefix) }
}

/// The condition that a key was created at a revision; 0: that there is none.
pub(super) fn is_created_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Create.into(),
        key: key.clone(),
        target_union: Some(compare::TargetUnion::CreateRevision(revision)),
        ..Compare::default()
    }
}

pub(super) fn reading(read: RangeRequest) -> RequestOp {
    RequestOp { request: Some(Op::RequestRange(read)) }
}

pub(super) fn putting(key: &Bytes, value: Bytes, lease: i64) -> RequestOp {
    let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
    RequestOp { request: Some(Op::RequestPut(put)) }
}

pub(super) fn deleting(key: &Bytes) -> RequestOp {
    let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
    RequestOp { request: Some(Op::RequestDeleteRange(delete)) }
}

/// What the read that is an operation of a transaction found first.
pub(super) fn found(done: &TxnResponse, operation: usize) -> Option<&crate::api::KeyValue> {
    match &done.responses.get(operation)?.response {
        Some(OpReply::ResponseRange(found)) => found.kvs.first(),
        _ => None,
    }
}

pub(super) fn is_deletion(event: &Event) -> bool {
    event.r#type() == crate::api::mvccpb::event::EventType::Delete
}
