//! An API server of Kubernetes, as etcd sees it.
//!
//! It uses little of etcd's API: transactions that write one key if it is as it was last seen, and return it if it is not;
//! lists page by page, all at the revision of the first; leases that are granted and left to expire; and compactions, which
//! the API servers share among them by the version of one key (`compact_rev_key`): who writes it next compacts, at the revision
//! that etcd had when it last tried.

use std::collections::BTreeMap;

use bytes::Bytes;
use vertebra_sim::random::Stream;

use super::text::Text;
use super::{delete_op, put_op, range_op};
use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::{
    CompactionRequest, Compare, DeleteRangeRequest, KeyValue, LeaseGrantRequest, PutRequest, RangeRequest,
    TxnRequest, response_op,
};
use crate::error::Error;
use crate::history::{OperationId, Outcome, Request};
use crate::options::KubernetesTraffic;
use crate::response::Response;

/// The resources, each with all of its objects below one prefix. Those of the last one have a lease each.
pub(crate) const RESOURCES: [&[u8]; 3] = [b"/registry/pods/", b"/registry/nodes/", b"/registry/events/"];

/// Of those that have none.
const DURABLE: usize = 2;

/// What all objects begin with, and what comes behind them.
const REGISTRY: (&[u8], &[u8]) = (b"/registry/", b"/registry0");

/// The key whose version is the number of compactions, and whose value the revision of the last one.
const COMPACT_REV_KEY: &[u8] = b"compact_rev_key";

/// The key that is read to see whether etcd answers. There is none.
const HEALTH_KEY: &[u8] = b"/registry/health";

/// What one API server knows, besides its caches.
#[derive(Default)]
pub(super) struct ApiServer {
    /// The objects as last seen, by key: their revisions.
    seen: BTreeMap<Bytes, i64>,
    /// The last list, as far as it was read.
    list: List,
    /// An object that was not as it was last seen, and that is to be written all the same.
    retry: Option<Bytes>,
    /// A lease for the next event.
    lease: Option<i64>,
    compactor: Compactor,
    /// The request that is under way, if it is one of these.
    asked: Option<Step>,
}

/// A list that is read page by page.
#[derive(Default)]
struct List {
    pages: Vec<OperationId>,
    /// The next page, if there is one.
    next: Option<RangeRequest>,
}

/// One of those who compact by turns.
#[derive(Default)]
struct Compactor {
    /// The version of the key as far as it knows.
    version: i64,
    /// The revision that etcd had when it last tried; 0 if it never did.
    revision: i64,
    /// It is its turn to compact here.
    due: Option<i64>,
}

#[derive(Clone, Copy)]
enum Kind {
    Update,
    Create,
    Delete,
    Event,
    Get,
    GetAt,
    List,
    ListAt,
    Count,
    Health,
    Compact,
}

#[derive(Clone, PartialEq, Debug)]
enum Step {
    Write { key: Bytes, creates: bool, deletes: bool },
    Grant,
    Page(RangeRequest),
    Compete,
    Compact,
    Read,
}

/// What an API server went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Met {
    /// An object was not as it was last seen.
    Conflict,
    /// There is an object of this name.
    Exists,
    /// A list was read to its end, over so many pages.
    Listed { pages: usize },
    /// The revision of a list was compacted before its last page was read.
    Expired,
    /// Another one compacts.
    OthersTurn,
    /// It has compacted.
    Compacted,
    /// It was its turn to compact, and another one has come further.
    Overtaken,
}

/// A page of all that begins with `prefix`.
pub(crate) fn first_page(prefix: &'static [u8], page_objects: u16) -> RangeRequest {
    let mut range_end = prefix.to_vec();
    *range_end.last_mut().expect("no prefix is empty") += 1;
    let (key, range_end, limit) = (Bytes::from_static(prefix), range_end.into(), i64::from(page_objects));
    RangeRequest { key, range_end, limit, ..RangeRequest::default() }
}

/// The page after `page`, at the same revision; nothing if `kvs` was the last one.
pub(crate) fn next_page(
    page: &RangeRequest,
    kvs: &[KeyValue],
    more: bool,
    revision: i64,
) -> Option<RangeRequest> {
    let last = kvs.last().filter(|_| more)?;
    let mut key = last.key.to_vec();
    key.push(0);
    let revision = if page.revision > 0 { page.revision } else { revision };
    Some(RangeRequest { key: key.into(), revision, ..page.clone() })
}

/// All objects.
pub(super) fn everything() -> Request {
    let (key, range_end) = (Bytes::from_static(REGISTRY.0), Bytes::from_static(REGISTRY.1));
    Request::Range(RangeRequest { key, range_end, ..RangeRequest::default() })
}

/// An object of a resource.
fn object(resource: usize, number: u64) -> Bytes {
    let mut text = Text::default();
    text.push(RESOURCES[resource]);
    text.push_number(number, 2);
    Bytes::copy_from_slice(text.bytes())
}

impl ApiServer {
    /// The next request. `value` is one that no other put has; there are so many `keys`, and `revision` is the last that
    /// is known.
    pub(super) fn draw(
        &mut self,
        stream: &mut Stream,
        traffic: &KubernetesTraffic,
        value: Bytes,
        keys: u16,
        revision: i64,
    ) -> Request {
        let (step, request) = self.next(stream, traffic, value, keys, revision);
        self.asked = Some(step);
        request
    }

    /// What was drawn last is not sent.
    pub(super) fn forget(&mut self) {
        if self.asked.take() == Some(Step::Compact) {
            self.compactor.due = None;
        }
    }

    /// Whether the request that was drawn last is one of these.
    pub(super) fn is_under_way(&self) -> bool {
        self.asked.is_some()
    }

    fn next(
        &mut self,
        stream: &mut Stream,
        traffic: &KubernetesTraffic,
        value: Bytes,
        keys: u16,
        revision: i64,
    ) -> (Step, Request) {
        if let Some(revision) = self.compactor.due {
            return (Step::Compact, Request::Compact(CompactionRequest { revision, physical: false }));
        }
        if let Some(lease) = self.lease.take() {
            let key = object(DURABLE, stream.below(u64::from(keys)));
            return Self::write(key, 0, Some((value, lease)));
        }
        if let Some(page) = self.list.next.take() {
            return Self::read_page(page);
        }
        if let Some(key) = self.retry.take() {
            let expected = self.seen.get(&key).copied().unwrap_or_default();
            return Self::write(key, expected, Some((value, 0)));
        }
        let key = object(stream.below(DURABLE as u64) as usize, stream.below(u64::from(keys)));
        let expected = self.seen.get(&key).copied().unwrap_or_default();
        let past = (revision - stream.below(20) as i64).max(1);
        let resource = *stream.pick::<&'static [u8]>(&RESOURCES);
        let page = first_page(resource, traffic.page_objects);
        let kinds = [
            (traffic.update, Kind::Update),
            (traffic.create, Kind::Create),
            (traffic.delete, Kind::Delete),
            (traffic.event, Kind::Event),
            (traffic.get, Kind::Get),
            (traffic.get_at, Kind::GetAt),
            (traffic.list, Kind::List),
            (traffic.list_at, Kind::ListAt),
            (traffic.count, Kind::Count),
            (traffic.health, Kind::Health),
            (traffic.compact, Kind::Compact),
        ];
        match *stream.weighted(&kinds) {
            Kind::Update => Self::write(key, expected, Some((value, 0))),
            Kind::Create => Self::write(key, 0, Some((value, 0))),
            // What it knows nothing of it does not delete.
            Kind::Delete if expected == 0 => Self::read(key, 0),
            Kind::Delete => Self::write(key, expected, None),
            Kind::Event => {
                let ttl = stream.between(1, 6) as i64;
                (Step::Grant, Request::LeaseGrant(LeaseGrantRequest { ttl, id: 0 }))
            }
            Kind::Get => Self::read(key, 0),
            Kind::GetAt => Self::read(key, past),
            Kind::List => self.begin(page),
            Kind::ListAt => self.begin(RangeRequest { revision: past, ..page }),
            Kind::Count => (Step::Read, Request::Range(RangeRequest { count_only: true, limit: 0, ..page })),
            Kind::Health => Self::read(Bytes::from_static(HEALTH_KEY), 0),
            Kind::Compact => (Step::Compete, self.compete()),
        }
    }

    fn read(key: Bytes, revision: i64) -> (Step, Request) {
        (Step::Read, Request::Range(RangeRequest { key, revision, ..RangeRequest::default() }))
    }

    fn begin(&mut self, page: RangeRequest) -> (Step, Request) {
        self.list = List::default();
        Self::read_page(page)
    }

    fn read_page(page: RangeRequest) -> (Step, Request) {
        (Step::Page(page.clone()), Request::Range(page))
    }

    /// Writes an object, or deletes it, if it was last changed at this revision (0: if there is none). Says otherwise what it
    /// is.
    fn write(key: Bytes, expected: i64, put: Option<(Bytes, i64)>) -> (Step, Request) {
        let compare = compare(&key, CompareTarget::Mod, TargetUnion::ModRevision(expected));
        let failure = vec![range_op(RangeRequest { key: key.clone(), ..RangeRequest::default() })];
        let step = Step::Write { key: key.clone(), creates: expected == 0, deletes: put.is_none() };
        let success = vec![match put {
            Some((value, lease)) => put_op(PutRequest { key, value, lease, ..PutRequest::default() }),
            None => delete_op(DeleteRangeRequest { key, ..DeleteRangeRequest::default() }),
        }];
        (step, Request::Txn(TxnRequest { compare: vec![compare], success, failure }))
    }

    /// Asks to be the one who compacts next.
    fn compete(&self) -> Request {
        let Compactor { version, revision, .. } = self.compactor;
        let key = Bytes::from_static(COMPACT_REV_KEY);
        let compare = vec![compare(&key, CompareTarget::Version, TargetUnion::Version(version))];
        let failure = vec![range_op(RangeRequest { key: key.clone(), ..RangeRequest::default() })];
        let value = revision.to_string().into();
        let success = vec![put_op(PutRequest { key, value, ..PutRequest::default() })];
        Request::Txn(TxnRequest { compare, success, failure })
    }

    /// Takes in how the last request ended, if it was one of these. Of a list that is over it returns the pages.
    pub(super) fn told(
        &mut self,
        operation: OperationId,
        outcome: &Outcome,
    ) -> (Option<Met>, Option<Vec<OperationId>>) {
        let step = self.asked.take();
        if let Some(Step::Page(page)) = step {
            return self.told_page(page, operation, outcome);
        }
        (step.and_then(|step| self.learn(step, outcome)), None)
    }

    fn told_page(
        &mut self,
        page: RangeRequest,
        operation: OperationId,
        outcome: &Outcome,
    ) -> (Option<Met>, Option<Vec<OperationId>>) {
        self.list.pages.push(operation);
        let pages = self.list.pages.len();
        let met = match outcome {
            Outcome::Ok(Response::Range(range)) => {
                self.seen.extend(range.kvs.iter().map(|kv| (kv.key.clone(), kv.mod_revision)));
                let revision = range.header.map_or(0, |header| header.revision);
                self.list.next = next_page(&page, &range.kvs, range.more, revision);
                if self.list.next.is_some() {
                    return (None, None);
                }
                Some(Met::Listed { pages })
            }
            Outcome::Failed(Error::Compacted) if pages > 1 => Some(Met::Expired),
            _ => None,
        };
        (met, Some(std::mem::take(&mut self.list.pages)))
    }

    fn learn(&mut self, step: Step, outcome: &Outcome) -> Option<Met> {
        match (step, outcome) {
            (Step::Grant, Outcome::Ok(Response::LeaseGrant(granted))) => {
                self.lease = Some(granted.id);
                None
            }
            (Step::Write { key, deletes: true, .. }, Outcome::Ok(Response::Txn(txn))) if txn.succeeded => {
                self.seen.remove(&key);
                None
            }
            (Step::Write { key, .. }, Outcome::Ok(Response::Txn(txn))) if txn.succeeded => {
                self.seen.insert(key, outcome_revision(outcome));
                None
            }
            (Step::Write { key, creates, deletes }, Outcome::Ok(Response::Txn(txn))) => {
                match present(&txn.responses) {
                    Some(kv) => self.seen.insert(key.clone(), kv.mod_revision),
                    None => self.seen.remove(&key),
                };
                if creates {
                    return Some(Met::Exists);
                }
                // As Kubernetes' GuaranteedUpdate, which then begins with what is there.
                self.retry = Some(key).filter(|_| !deletes);
                Some(Met::Conflict)
            }
            (Step::Compete, Outcome::Ok(Response::Txn(txn))) => {
                let last = std::mem::replace(&mut self.compactor.revision, outcome_revision(outcome));
                if !txn.succeeded {
                    self.compactor.version = present(&txn.responses).map_or(0, |kv| kv.version);
                    return Some(Met::OthersTurn);
                }
                self.compactor.version += 1;
                self.compactor.due = Some(last).filter(|last| *last > 0);
                None
            }
            (Step::Compact, _) => {
                self.compactor.due = None;
                match outcome {
                    Outcome::Ok(_) => Some(Met::Compacted),
                    Outcome::Failed(Error::Compacted) => Some(Met::Overtaken),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Takes in all objects.
    pub(super) fn learn_all(&mut self, kvs: &[KeyValue]) {
        self.seen = kvs.iter().map(|kv| (kv.key.clone(), kv.mod_revision)).collect();
    }
}

fn compare(key: &Bytes, target: CompareTarget, operand: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.clone(),
        target_union: Some(operand),
        ..Compare::default()
    }
}

fn outcome_revision(outcome: &Outcome) -> i64 {
    if let Outcome::Ok(response) = outcome { response.revision() } else { 0 }
}

/// What a transaction that failed says of its key.
fn present(responses: &[crate::api::ResponseOp]) -> Option<&KeyValue> {
    match responses.first()?.response.as_ref()? {
        response_op::Response::ResponseRange(range) => range.kvs.first(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
