//! What writes to a store: puts, deletions, and transactions of them.
//!
//! A transaction is executed as etcd does it, in three passes over what is nested in it: every comparison is
//! decided on the state before the transaction, every operation of the chosen branches is checked on that state as
//! well, and only then is anything changed. So an error leaves the store as it was.

use bytes::Bytes;

use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::request_op::Request;
use crate::api::response_op::Response as OpResponse;
use crate::api::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, InternalRaftRequest, KeyValue, PutRequest, PutResponse,
    RangeRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use crate::error::Error;
use crate::response::Response;

use super::buckets::{Read, Write};
use super::index::Keys;
use super::key_index::KeyIndex;
use super::leases::Leases;
use super::record;
use super::revision::Revision;
use super::store::Store;
use super::validate::sorting;

/// Whether a transaction can be answered without a proposal: all operations of both branches are reads.
///
/// A nested transaction makes it a write, whatever is in it.
#[must_use]
pub fn is_read_only(request: &TxnRequest) -> bool {
    let read = |op: &RequestOp| matches!(op.request, Some(Request::RequestRange(_)));
    request.success.iter().chain(&request.failure).all(read)
}

/// Whether a transaction can be answered without a quorum: all operations are reads that want none.
#[must_use]
pub fn is_serializable(request: &TxnRequest) -> bool {
    let serializable =
        |op: &RequestOp| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable);
    request.success.iter().chain(&request.failure).all(serializable)
}

impl Store {
    /// Applies a committed request. It counts when it is [published](Self::publish).
    ///
    /// It takes the request as one that `validate` let pass, and answers any other deterministically too.
    ///
    /// # Errors
    ///
    /// `KeyNotFound`, `LeaseNotFound`, and those of a read inside a transaction: `FutureRevision`, `Compacted`,
    /// `InvalidSortOption`. `UnknownMethod` if there is no request. With each, the store is as it was.
    pub fn apply(
        &mut self,
        tx: &mut impl Write,
        leases: &mut impl Leases,
        request: &InternalRaftRequest,
    ) -> Result<Response, Error> {
        if let Some(put) = &request.put {
            check_lease(leases, put)?;
            self.write(tx, leases, |writer| writer.put(put)).map(Response::Put)
        } else if let Some(deletion) = &request.delete_range {
            self.write(tx, leases, |writer| Ok(writer.delete_range(deletion))).map(Response::DeleteRange)
        } else if let Some(txn) = &request.txn {
            let path = self.decide(tx, txn);
            if self.check_txn(leases, txn, &mut path.iter())? {
                let mut writes = Vec::new();
                self.check_ignored(txn, &mut path.iter(), &mut writes)?;
            }
            self.write(tx, leases, |writer| {
                let mut response = writer.txn(txn, &mut path.iter())?;
                response.header = header(writer.revision());
                Ok(response)
            })
            .map(Response::Txn)
        } else {
            Err(Error::UnknownMethod)
        }
    }

    /// Answers a transaction that only reads.
    ///
    /// # Errors
    ///
    /// `FutureRevision`, `Compacted`, `InvalidSortOption`.
    ///
    /// # Panics
    ///
    /// If the transaction is not one of those that [`is_read_only`] names.
    pub fn read_txn(&self, tx: &impl Read, request: &TxnRequest) -> Result<TxnResponse, Error> {
        assert!(is_read_only(request), "a transaction that may write goes through Raft");
        let succeeded = request.compare.iter().all(|compare| self.holds(tx, compare));
        let ops = if succeeded { &request.success } else { &request.failure };
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            let Some(Request::RequestRange(range)) = &op.request else { continue };
            self.check_range(range)?;
            let response = OpResponse::ResponseRange(self.range(tx, range)?);
            responses.push(ResponseOp { response: Some(response) });
        }
        Ok(TxnResponse { header: header(self.revision()), succeeded, responses })
    }

    /// Deletes those of some keys that exist, as one revision. It counts when it is [published](Self::publish).
    pub fn delete_keys(&mut self, tx: &mut impl Write, leases: &mut impl Leases, keys: &[Bytes]) {
        let mut writer = Writer { store: self, tx, leases, changes: 0 };
        for key in keys {
            writer.delete_range(&DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() });
        }
        let revision = writer.revision();
        self.written.revision = revision;
    }

    /// Lets `write` change the store, as one revision if it changes anything.
    fn write<W: Write, L: Leases, T>(
        &mut self,
        tx: &mut W,
        leases: &mut L,
        write: impl FnOnce(&mut Writer<'_, W, L>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut writer = Writer { store: self, tx, leases, changes: 0 };
        let result = write(&mut writer)?;
        let revision = writer.revision();
        self.written.revision = revision;
        Ok(result)
    }

    /// Which branch each transaction takes that is executed: the outermost one, then those nested in it, each
    /// before its own, in their order.
    fn decide(&self, tx: &impl Read, request: &TxnRequest) -> Vec<bool> {
        let mut path = Vec::with_capacity(1);
        self.decide_into(tx, request, &mut path);
        path
    }

    fn decide_into(&self, tx: &impl Read, request: &TxnRequest, path: &mut Vec<bool>) {
        let succeeded = request.compare.iter().all(|compare| self.holds(tx, compare));
        path.push(succeeded);
        for op in if succeeded { &request.success } else { &request.failure } {
            if let Some(Request::RequestTxn(nested)) = &op.request {
                self.decide_into(tx, nested, path);
            }
        }
    }

    /// Whether every key of the comparison's range satisfies it.
    ///
    /// A range without keys is compared as a key whose numbers are all 0; such a key has no value to compare.
    fn holds(&self, tx: &impl Read, compare: &Compare) -> bool {
        let (mut exists, mut holds) = (false, true);
        self.index.visit(Keys::new(&compare.key, &compare.range_end), self.revision(), |found| {
            exists = true;
            holds = satisfies(compare, &record::get(tx, found.modified));
            holds
        });
        match exists {
            true => holds,
            false if compare.target == CompareTarget::Value as i32 => false,
            false => satisfies(compare, &KeyValue::default()),
        }
    }

    /// Checks the operations that `path` executes, and tells whether a put among them needs its key to exist.
    fn check_txn<'p>(
        &self,
        leases: &impl Leases,
        request: &TxnRequest,
        path: &mut impl Iterator<Item = &'p bool>,
    ) -> Result<bool, Error> {
        let mut needs_key = false;
        for op in chosen(request, path) {
            match &op.request {
                Some(Request::RequestRange(range)) => self.check_range(range)?,
                Some(Request::RequestPut(put)) => {
                    self.check_put(put)?;
                    check_lease(leases, put)?;
                    needs_key |= put.ignore_value || put.ignore_lease;
                }
                Some(Request::RequestTxn(nested)) => needs_key |= self.check_txn(leases, nested, path)?,
                Some(Request::RequestDeleteRange(_)) | None => {}
            }
        }
        Ok(needs_key)
    }

    fn check_put(&self, request: &PutRequest) -> Result<(), Error> {
        let exists = || self.index.get(&request.key).is_some_and(|life| life.newest().is_some());
        if (request.ignore_value || request.ignore_lease) && !exists() {
            Err(Error::KeyNotFound)
        } else {
            Ok(())
        }
    }

    /// Checks a read inside a transaction, before anything is written.
    ///
    /// It differs from that of a plain read: what the transaction itself will write is in the future, and a negative
    /// revision is not the present but one before the compaction.
    fn check_range(&self, request: &RangeRequest) -> Result<(), Error> {
        sorting(request)?;
        match request.revision {
            0 => Ok(()),
            revision if revision > self.revision() => Err(Error::FutureRevision),
            revision if revision < self.compact_revision() => Err(Error::Compacted),
            _ => Ok(()),
        }
    }

    /// Refuses a put that needs its key to exist where the transaction will have deleted it by then.
    ///
    /// etcd overlooks this. Such a request passes all checks if the deletion is one "from this key on", and then
    /// every member panics when it applies it, and again at each restart. The model has no use for that.
    fn check_ignored<'r, 'p>(
        &self,
        request: &'r TxnRequest,
        path: &mut impl Iterator<Item = &'p bool>,
        writes: &mut Vec<(Keys<'r>, bool)>,
    ) -> Result<(), Error> {
        for op in chosen(request, path) {
            match &op.request {
                Some(Request::RequestPut(put)) => {
                    let last = writes.iter().rev().find(|(keys, _)| keys.contain(&put.key));
                    if (put.ignore_value || put.ignore_lease) && matches!(last, Some((_, false))) {
                        return Err(Error::KeyNotFound);
                    }
                    writes.push((Keys::One(&put.key), true));
                }
                Some(Request::RequestDeleteRange(deletion)) => {
                    writes.push((Keys::new(&deletion.key, &deletion.range_end), false));
                }
                Some(Request::RequestTxn(nested)) => self.check_ignored(nested, path, writes)?,
                Some(Request::RequestRange(_)) | None => {}
            }
        }
        Ok(())
    }
}

/// One revision in the making.
struct Writer<'s, W, L> {
    store: &'s mut Store,
    tx: &'s mut W,
    leases: &'s mut L,
    changes: i64,
}

impl<W: Write, L: Leases> Writer<'_, W, L> {
    /// What counts as the present: the revision in the making, once anything is changed.
    fn revision(&self) -> i64 {
        self.store.written.revision + i64::from(self.changes > 0)
    }

    /// The moment of the next change.
    fn next(&self) -> Revision {
        Revision { main: self.store.written.revision + 1, sub: self.changes }
    }

    /// Writes one key. What can fail here fails before anything is changed.
    fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Error> {
        let revision = self.next();
        let Store { index, written, .. } = &mut *self.store;
        let life = index.get_mut(&request.key);
        let mut prev_kv = None;
        let (mut value, mut lease) = (request.value.clone(), request.lease);
        if request.prev_kv || request.ignore_value || request.ignore_lease {
            let previous = life.as_ref().and_then(|life| life.newest());
            let previous = previous.map(|found| record::get(self.tx, found.modified));
            if request.ignore_value {
                value = previous.as_ref().ok_or(Error::KeyNotFound)?.value.clone();
            }
            if request.ignore_lease {
                lease = previous.as_ref().ok_or(Error::KeyNotFound)?.lease;
            }
            if request.prev_kv {
                prev_kv = previous;
            }
        }
        let (create_revision, version) = match life {
            Some(life) => {
                let found = life.put(revision);
                (found.created, found.version)
            }
            None => {
                index.insert(request.key.clone(), KeyIndex::create(revision));
                (revision.main, 1)
            }
        };
        let key = request.key.clone();
        let kv = KeyValue { key, create_revision, mod_revision: revision.main, version, value, lease };
        written.hash = record::put(self.tx, revision, &kv, written.hash);
        self.leases.attach(&request.key, lease);
        self.changes += 1;
        Ok(PutResponse { header: header(revision.main), prev_kv })
    }

    fn delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let mut revision = self.next();
        let mut prev_kvs = Vec::new();
        let Store { index, written, .. } = &mut *self.store;
        for (key, life, found) in index.living_mut(Keys::new(&request.key, &request.range_end)) {
            if request.prev_kv {
                prev_kvs.push(record::get(self.tx, found.modified));
            }
            life.tombstone(revision);
            written.hash = record::tombstone(self.tx, revision, key.clone(), written.hash);
            self.leases.attach(key, 0);
            revision.sub += 1;
        }
        let deleted = revision.sub - self.changes;
        self.changes = revision.sub;
        DeleteRangeResponse { header: header(self.revision()), deleted, prev_kvs }
    }

    /// Executes the branches that `path` names.
    ///
    /// The response's header is empty: etcd fills it for the outermost transaction alone.
    fn txn<'p>(
        &mut self,
        request: &TxnRequest,
        path: &mut std::slice::Iter<'p, bool>,
    ) -> Result<TxnResponse, Error> {
        let succeeded = path.as_slice().first().copied().unwrap_or_default();
        let ops = chosen(request, path);
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            let response = match &op.request {
                Some(Request::RequestRange(range)) => {
                    Some(OpResponse::ResponseRange(self.store.range_at(self.tx, range, self.revision())?))
                }
                Some(Request::RequestPut(put)) => Some(OpResponse::ResponsePut(self.put(put)?)),
                Some(Request::RequestDeleteRange(deletion)) => {
                    Some(OpResponse::ResponseDeleteRange(self.delete_range(deletion)))
                }
                Some(Request::RequestTxn(nested)) => Some(OpResponse::ResponseTxn(self.txn(nested, path)?)),
                None => None,
            };
            responses.push(ResponseOp { response });
        }
        Ok(TxnResponse { header: header(0), succeeded, responses })
    }
}

/// The operations of the branch that the next step of `path` names.
fn chosen<'r, 'p>(request: &'r TxnRequest, path: &mut impl Iterator<Item = &'p bool>) -> &'r [RequestOp] {
    match path.next() {
        Some(true) => &request.success,
        _ => &request.failure,
    }
}

fn check_lease(leases: &impl Leases, request: &PutRequest) -> Result<(), Error> {
    if request.lease == 0 || leases.exists(request.lease) { Ok(()) } else { Err(Error::LeaseNotFound) }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

/// Whether `kv` satisfies the comparison.
///
/// An operand of another kind than the target counts as 0 or as empty, a result that etcd does not know as
/// satisfied.
fn satisfies(compare: &Compare, kv: &KeyValue) -> bool {
    use std::cmp::Ordering::Equal;
    let ordering = match (CompareTarget::try_from(compare.target), &compare.target_union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(version))) => kv.version.cmp(version),
        (Ok(CompareTarget::Version), _) => kv.version.cmp(&0),
        (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(main))) => kv.create_revision.cmp(main),
        (Ok(CompareTarget::Create), _) => kv.create_revision.cmp(&0),
        (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(main))) => kv.mod_revision.cmp(main),
        (Ok(CompareTarget::Mod), _) => kv.mod_revision.cmp(&0),
        (Ok(CompareTarget::Value), Some(TargetUnion::Value(value))) => kv.value.cmp(value),
        (Ok(CompareTarget::Value), _) => kv.value.as_ref().cmp(b"".as_slice()),
        (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(lease))) => kv.lease.cmp(lease),
        (Ok(CompareTarget::Lease), _) => kv.lease.cmp(&0),
        (Err(_), _) => Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering == Equal,
        Ok(CompareResult::NotEqual) => ordering != Equal,
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}
