//! What etcd's KV and Lease services are, as short and as naive as it can be said; `auth` says who may use them.
//!
//! The oracles compare the members with it, so it shares no code with their store: it has the messages, the
//! responses and the errors in common, and no more. Where the store has an index of revisions, generations and
//! tombstones, here a key is the list of the values that it had. One request costs time linear in the keys that it
//! reads.
//!
//! A request is taken as one that a server let pass: what its gRPC layer refuses never gets here. Time is not known:
//! that a lease has expired is somebody's request to revoke it. A compaction takes nothing away here: it says which
//! revisions can no more be asked for.

mod auth;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::{
    CompactionResponse, Compare, DeleteRangeRequest, DeleteRangeResponse, InternalRaftRequest, KeyValue,
    LeaseCheckpointResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
    TxnResponse, is_in_range, request_op, response_op,
};
use crate::error::Error;
use crate::response::Response;

pub use auth::Auth;

/// What etcd says before the first compaction.
const NEVER_COMPACTED: i64 = -1;

/// The keys, each with what it was from a revision on (nothing while it did not exist), and the current revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Specification {
    keys: BTreeMap<Bytes, Vec<(i64, Option<KeyValue>)>>,
    revision: i64,
    /// The oldest revision that can be asked for; -1 before the first compaction.
    compacted: i64,
    leases: Leases,
    /// Once there was anything to do with users and roles.
    auth: Option<Box<Auth>>,
}

/// The leases that there are.
#[derive(Clone, Debug, PartialEq)]
enum Leases {
    /// Every number is that of a lease.
    Any,
    /// By number, each with its TTL, which is at least `ttl_min`.
    Granted { ttl_min: i64, ttls: BTreeMap<i64, i64> },
}

impl Default for Specification {
    fn default() -> Self {
        Self::new()
    }
}

/// A transaction whose comparisons are decided: whether they held, and the operations to execute.
struct Decided<'a> {
    succeeded: bool,
    ops: Vec<Op<'a>>,
}

enum Op<'a> {
    Range(&'a RangeRequest),
    Put(&'a PutRequest),
    Delete(&'a DeleteRangeRequest),
    Txn(Decided<'a>),
    Empty,
}

impl Specification {
    /// An empty store, at revision 1, which takes every lease as given.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
            revision: 1,
            compacted: NEVER_COMPACTED,
            leases: Leases::Any,
            auth: None,
        }
    }

    /// An empty store, at revision 1, and no leases. Those that are granted live for at least `ttl_min` seconds.
    #[must_use]
    pub fn with_leases(ttl_min: i64) -> Self {
        Self { leases: Leases::Granted { ttl_min, ttls: BTreeMap::new() }, ..Self::new() }
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Executes a write. If anything changes, the revision is one more afterwards.
    ///
    /// # Errors
    ///
    /// `KeyNotFound`, `FutureRevision`, `Compacted`, `InvalidSortOption`, `UnknownMethod`; `LeaseNotFound`,
    /// `LeaseExists`, `LeaseTtlTooLarge`; those of users and roles. Nothing changes then.
    pub fn apply(&mut self, request: &InternalRaftRequest) -> Result<Response, Error> {
        self.apply_and_tell(request, &mut Vec::new())
    }

    /// The same; adds the keys that it changed to `changed`, in the order of the changes.
    ///
    /// # Errors
    ///
    /// As above. What is in `changed` then means nothing.
    pub(crate) fn apply_and_tell(
        &mut self,
        request: &InternalRaftRequest,
        changed: &mut Vec<Bytes>,
    ) -> Result<Response, Error> {
        if let Some(asked) = &request.auth {
            let auth = self.auth.get_or_insert_default();
            let mut response = auth.apply(asked, request.header.as_ref())?;
            *response.header_mut() = header(self.revision);
            return Ok(Response::Auth(response));
        }
        if let Some(auth) = &self.auth {
            auth.check(request, &|lease| self.keys_of(lease))?;
        }
        if let Some(compaction) = &request.compaction {
            return self.compact(compaction.revision);
        }
        if let Some(grant) = &request.lease_grant {
            return self.grant(grant).map(Response::LeaseGrant);
        }
        if let Some(revoke) = &request.lease_revoke {
            return self.revoke(revoke, changed).map(Response::LeaseRevoke);
        }
        if request.lease_checkpoint.is_some() {
            let header = header(self.revision);
            return Ok(Response::LeaseCheckpoint(LeaseCheckpointResponse { header }));
        }
        let next = self.revision + 1;
        let result = match (&request.put, &request.delete_range, &request.txn) {
            (Some(put), _, _) => {
                self.check_lease(put).and_then(|()| self.put(put, changed)).map(Response::Put)
            }
            (_, Some(deletion), _) => Ok(Response::DeleteRange(self.delete(deletion, changed))),
            (_, _, Some(txn)) => {
                let decided = self.decide(txn, self.revision);
                self.check(&decided, self.revision, self.compacted).and_then(|()| {
                    let mut response = self.execute(&decided, changed)?;
                    response.header = header(if changed.is_empty() { self.revision } else { next });
                    Ok(Response::Txn(response))
                })
            }
            (None, None, None) => Err(Error::UnknownMethod),
        };
        if result.is_err() && !changed.is_empty() {
            self.keys.retain(|_, values| {
                values.retain(|(since, _)| *since < next);
                !values.is_empty()
            });
        } else if !changed.is_empty() {
            self.revision = next;
        }
        result
    }

    /// Makes all revisions before `revision` unreadable.
    fn compact(&mut self, revision: i64) -> Result<Response, Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        Ok(Response::Compact(CompactionResponse { header: header(self.revision) }))
    }

    /// The oldest revision that can be asked for; -1 before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    fn grant(&mut self, request: &LeaseGrantRequest) -> Result<LeaseGrantResponse, Error> {
        let Leases::Granted { ttl_min, ttls } = &mut self.leases else { return Err(Error::LeaseExists) };
        if request.id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if request.ttl > 9_000_000_000 {
            return Err(Error::LeaseTtlTooLarge);
        }
        if ttls.contains_key(&request.id) {
            return Err(Error::LeaseExists);
        }
        let (id, ttl) = (request.id, request.ttl.max(*ttl_min));
        ttls.insert(id, ttl);
        Ok(LeaseGrantResponse { header: header(self.revision), id, ttl, error: String::new() })
    }

    /// Takes a lease away, and with it every key that has it.
    fn revoke(
        &mut self,
        request: &LeaseRevokeRequest,
        changed: &mut Vec<Bytes>,
    ) -> Result<LeaseRevokeResponse, Error> {
        let Leases::Granted { ttls, .. } = &mut self.leases else { return Err(Error::LeaseNotFound) };
        if ttls.remove(&request.id).is_none() {
            return Err(Error::LeaseNotFound);
        }
        let next = self.revision + 1;
        for (key, values) in &mut self.keys {
            let has_it = matches!(values.last(), Some((_, Some(kv))) if kv.lease == request.id);
            if has_it {
                changed.push(key.clone());
                values.push((next, None));
                self.revision = next;
            }
        }
        Ok(LeaseRevokeResponse { header: header(self.revision) })
    }

    /// The TTL of a lease, in seconds, if there is such a lease.
    #[must_use]
    pub fn lease(&self, id: i64) -> Option<i64> {
        match &self.leases {
            Leases::Any => None,
            Leases::Granted { ttls, .. } => ttls.get(&id).copied(),
        }
    }

    /// The numbers of all leases.
    pub fn leases(&self) -> impl Iterator<Item = i64> {
        let ttls = match &self.leases {
            Leases::Any => None,
            Leases::Granted { ttls, .. } => Some(ttls.keys().copied()),
        };
        ttls.into_iter().flatten()
    }

    /// The keys that are attached to a lease.
    pub(crate) fn keys_of(&self, lease: i64) -> Vec<Bytes> {
        self.keys_with(|attached| attached == lease)
    }

    /// Those that are attached to any.
    pub(crate) fn keys_with_leases(&self) -> Vec<Bytes> {
        self.keys_with(|attached| attached != 0)
    }

    fn keys_with(&self, wanted: impl Fn(i64) -> bool) -> Vec<Bytes> {
        let last = |values: &[(i64, Option<KeyValue>)]| Some(values.last()?.1.as_ref()?.lease);
        let keys = self.keys.iter().filter(|(_, values)| last(values).is_some_and(&wanted));
        keys.map(|(key, _)| key.clone()).collect()
    }

    /// Users and roles, once there was anything to do with them.
    #[must_use]
    pub fn auth(&self) -> Option<&Auth> {
        self.auth.as_deref()
    }

    fn check_lease(&self, put: &PutRequest) -> Result<(), Error> {
        let exists = put.lease == 0 || self.leases == Leases::Any || self.lease(put.lease).is_some();
        if exists { Ok(()) } else { Err(Error::LeaseNotFound) }
    }

    /// Answers a read of the current state.
    ///
    /// # Errors
    ///
    /// `FutureRevision`, `Compacted`, `InvalidSortOption`.
    pub fn read(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        let sorted = SortOrder::try_from(request.sort_order).is_ok()
            && SortTarget::try_from(request.sort_target).is_ok();
        if sorted && request.revision > 0 && request.revision < self.compacted {
            return Err(Error::Compacted);
        }
        self.read_at(request, self.revision)
    }

    /// Answers a read as it would have been answered when the current revision was `moment`, if nothing was
    /// compacted by then.
    ///
    /// # Errors
    ///
    /// `FutureRevision` for a revision after that moment, `InvalidSortOption`.
    pub fn read_at(&self, request: &RangeRequest, moment: i64) -> Result<RangeResponse, Error> {
        let (Ok(order), Ok(target)) =
            (SortOrder::try_from(request.sort_order), SortTarget::try_from(request.sort_target))
        else {
            return Err(Error::InvalidSortOption);
        };
        if request.revision > moment {
            return Err(Error::FutureRevision);
        }
        let revision = if request.revision > 0 { request.revision } else { moment };
        let mut kvs = self.existing(&request.key, &request.range_end, revision);
        let count = kvs.len() as i64;
        let mut more = false;
        if request.count_only {
            kvs.clear();
        }

        let bounds = [
            (request.min_mod_revision, request.max_mod_revision),
            (request.min_create_revision, request.max_create_revision),
        ];
        kvs.retain(|kv| {
            [kv.mod_revision, kv.create_revision]
                .into_iter()
                .zip(bounds)
                .all(|(revision, (min, max))| (min == 0 || revision >= min) && (max == 0 || revision <= max))
        });

        let limit = if request.limit > 0 { request.limit as usize } else { kvs.len() };
        // Without an order, but with a target, etcd takes the first keys, up to one over the limit, and sorts those.
        if order == SortOrder::None && bounds == [(0, 0); 2] {
            kvs.truncate(limit.saturating_add(1));
        }
        kvs.sort_by(|one, other| {
            let ascending = match target {
                SortTarget::Key => one.key.cmp(&other.key),
                SortTarget::Version => one.version.cmp(&other.version),
                SortTarget::Create => one.create_revision.cmp(&other.create_revision),
                SortTarget::Mod => one.mod_revision.cmp(&other.mod_revision),
                SortTarget::Value => one.value.cmp(&other.value),
            };
            if order == SortOrder::Descend { ascending.reverse() } else { ascending }
        });
        if kvs.len() > limit {
            kvs.truncate(limit);
            more = true;
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        Ok(RangeResponse { header: header(moment), kvs, more, count })
    }

    /// Answers a transaction of reads on the current state.
    ///
    /// # Errors
    ///
    /// `FutureRevision`, `Compacted`, `InvalidSortOption`.
    pub fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        let decided = self.decide(request, self.revision);
        self.check(&decided, self.revision, self.compacted)?;
        self.read_txn_at(request, self.revision)
    }

    /// Answers a transaction of reads as it would have been answered when the current revision was `moment`, if nothing
    /// was compacted by then.
    /// An operation that is no read has an empty response.
    ///
    /// # Errors
    ///
    /// `FutureRevision`, `Compacted`, `InvalidSortOption`.
    pub fn read_txn_at(&self, request: &TxnRequest, moment: i64) -> Result<TxnResponse, Error> {
        let decided = self.decide(request, moment);
        self.check(&decided, moment, NEVER_COMPACTED)?;
        let mut responses = Vec::new();
        for op in &decided.ops {
            let response = match op {
                Op::Range(range) => Some(response_op::Response::ResponseRange(self.read_at(range, moment)?)),
                _ => None,
            };
            responses.push(ResponseOp { response });
        }
        Ok(TxnResponse { header: header(moment), succeeded: decided.succeeded, responses })
    }

    /// What `key` was at the end of `revision`.
    pub(crate) fn value(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        let values = self.keys.get(key)?;
        let later = values.partition_point(|(since, _)| *since <= revision);
        values[later.checked_sub(1)?].1.as_ref()
    }

    /// What `key` became at `revision`, step by step: once, mostly, but a transaction may both put it and delete it.
    pub(crate) fn steps(
        &self,
        key: &[u8],
        revision: i64,
    ) -> impl ExactSizeIterator<Item = Option<&KeyValue>> {
        let values = self.keys.get(key).map_or(&[][..], Vec::as_slice);
        let first = values.partition_point(|(since, _)| *since < revision);
        let later = first + values[first..].partition_point(|(since, _)| *since == revision);
        values[first..later].iter().map(|(_, kv)| kv.as_ref())
    }

    /// The keys of a range that existed at the end of `revision`.
    fn existing(&self, key: &[u8], range_end: &[u8], revision: i64) -> Vec<KeyValue> {
        if range_end.is_empty() {
            return self.value(key, revision).cloned().into_iter().collect();
        }
        let from = self.keys.range::<[u8], _>((std::ops::Bound::Included(key), std::ops::Bound::Unbounded));
        let within = from.map(|(key, _)| key).take_while(|other| is_in_range(key, range_end, other));
        within.filter_map(|key| self.value(key, revision).cloned()).collect()
    }

    fn decide<'a>(&self, request: &'a TxnRequest, moment: i64) -> Decided<'a> {
        let succeeded = request.compare.iter().all(|compare| self.compare(compare, moment));
        let decide = |op: &'a RequestOp| match &op.request {
            Some(request_op::Request::RequestRange(range)) => Op::Range(range),
            Some(request_op::Request::RequestPut(put)) => Op::Put(put),
            Some(request_op::Request::RequestDeleteRange(deletion)) => Op::Delete(deletion),
            Some(request_op::Request::RequestTxn(txn)) => Op::Txn(self.decide(txn, moment)),
            None => Op::Empty,
        };
        let branch = if succeeded { &request.success } else { &request.failure };
        Decided { succeeded, ops: branch.iter().map(decide).collect() }
    }

    /// Whether all keys of the range satisfy the comparison; where there are none, whether a key of zeros does,
    /// which has no value that could be compared.
    fn compare(&self, compare: &Compare, moment: i64) -> bool {
        let kvs = self.existing(&compare.key, &compare.range_end, moment);
        if kvs.is_empty() {
            return compare.target != CompareTarget::Value as i32 && satisfied(compare, &KeyValue::default());
        }
        kvs.iter().all(|kv| satisfied(compare, kv))
    }

    /// What can be wrong with operations before any of them is executed.
    fn check(&self, decided: &Decided<'_>, moment: i64, compacted: i64) -> Result<(), Error> {
        for op in &decided.ops {
            match op {
                Op::Range(range) => {
                    if SortOrder::try_from(range.sort_order).is_err()
                        || SortTarget::try_from(range.sort_target).is_err()
                    {
                        return Err(Error::InvalidSortOption);
                    }
                    if range.revision > moment {
                        return Err(Error::FutureRevision);
                    }
                    // Never compacted is to etcd compacted at -1, and here it looks at negative revisions too.
                    if range.revision != 0 && range.revision < compacted {
                        return Err(Error::Compacted);
                    }
                }
                Op::Put(put) => {
                    if (put.ignore_value || put.ignore_lease) && self.value(&put.key, moment).is_none() {
                        return Err(Error::KeyNotFound);
                    }
                    self.check_lease(put)?;
                }
                Op::Txn(nested) => self.check(nested, moment, compacted)?,
                Op::Delete(_) | Op::Empty => {}
            }
        }
        Ok(())
    }

    fn execute(&mut self, decided: &Decided<'_>, changed: &mut Vec<Bytes>) -> Result<TxnResponse, Error> {
        let mut responses = Vec::new();
        for op in &decided.ops {
            let response = match op {
                Op::Range(range) => {
                    let moment = if changed.is_empty() { self.revision } else { self.revision + 1 };
                    Some(response_op::Response::ResponseRange(self.read_at(range, moment)?))
                }
                Op::Put(put) => Some(response_op::Response::ResponsePut(self.put(put, changed)?)),
                Op::Delete(deletion) => {
                    Some(response_op::Response::ResponseDeleteRange(self.delete(deletion, changed)))
                }
                Op::Txn(nested) => Some(response_op::Response::ResponseTxn(self.execute(nested, changed)?)),
                Op::Empty => None,
            };
            responses.push(ResponseOp { response });
        }
        // Of nested transactions, etcd leaves the header empty.
        Ok(TxnResponse { header: header(0), succeeded: decided.succeeded, responses })
    }

    fn put(&mut self, request: &PutRequest, changed: &mut Vec<Bytes>) -> Result<PutResponse, Error> {
        let next = self.revision + 1;
        let previous = self.value(&request.key, next).cloned();
        let mut kv = KeyValue {
            key: request.key.clone(),
            create_revision: next,
            mod_revision: next,
            version: 1,
            value: request.value.clone(),
            lease: request.lease,
        };
        match &previous {
            Some(previous) => {
                kv.create_revision = previous.create_revision;
                kv.version = previous.version + 1;
                if request.ignore_value {
                    kv.value = previous.value.clone();
                }
                if request.ignore_lease {
                    kv.lease = previous.lease;
                }
            }
            None if request.ignore_value || request.ignore_lease => return Err(Error::KeyNotFound),
            None => {}
        }
        self.keys.entry(kv.key.clone()).or_default().push((next, Some(kv)));
        changed.push(request.key.clone());
        Ok(PutResponse { header: header(next), prev_kv: previous.filter(|_| request.prev_kv) })
    }

    fn delete(&mut self, request: &DeleteRangeRequest, changed: &mut Vec<Bytes>) -> DeleteRangeResponse {
        let next = self.revision + 1;
        let existing = self.existing(&request.key, &request.range_end, next);
        for kv in &existing {
            self.keys.entry(kv.key.clone()).or_default().push((next, None));
            changed.push(kv.key.clone());
        }
        DeleteRangeResponse {
            header: header(if changed.is_empty() { self.revision } else { next }),
            deleted: existing.len() as i64,
            prev_kvs: if request.prev_kv { existing } else { Vec::new() },
        }
    }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

fn satisfied(compare: &Compare, kv: &KeyValue) -> bool {
    // An operand that is not of the target's kind counts as 0, or as no bytes.
    let number = |actual: i64, operand: Option<i64>| actual.cmp(&operand.unwrap_or(0));
    let operand = compare.target_union.as_ref();
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => number(
            kv.version,
            operand.and_then(|operand| if let TargetUnion::Version(n) = operand { Some(*n) } else { None }),
        ),
        Ok(CompareTarget::Create) => number(
            kv.create_revision,
            operand.and_then(
                |operand| if let TargetUnion::CreateRevision(n) = operand { Some(*n) } else { None },
            ),
        ),
        Ok(CompareTarget::Mod) => number(
            kv.mod_revision,
            operand
                .and_then(|operand| if let TargetUnion::ModRevision(n) = operand { Some(*n) } else { None }),
        ),
        Ok(CompareTarget::Lease) => number(
            kv.lease,
            operand.and_then(|operand| if let TargetUnion::Lease(n) = operand { Some(*n) } else { None }),
        ),
        Ok(CompareTarget::Value) => match operand {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value.cmp(&Bytes::new()),
        },
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering == Ordering::Equal,
        Ok(CompareResult::Greater) => ordering == Ordering::Greater,
        Ok(CompareResult::Less) => ordering == Ordering::Less,
        Ok(CompareResult::NotEqual) => ordering != Ordering::Equal,
        Err(_) => true,
    }
}
