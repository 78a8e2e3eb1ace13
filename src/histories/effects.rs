//! What operations did to keys, and what replies and watches showed of them.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use vertebra_model::api::request_op::Request as Op;
use vertebra_model::api::response_op::Response as OpReply;
use vertebra_model::api::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse, RangeRequest,
    RangeResponse, TxnRequest, TxnResponse,
};
use vertebra_model::history::{History, Operation, Outcome, Request};
use vertebra_model::response::Response;
use vertebra_model::watch_history::WatchHistory;

/// One thing that an acknowledged request did.
#[derive(Clone, Copy, Debug)]
pub enum Did<'a> {
    Read(&'a RangeRequest, &'a RangeResponse),
    Put(&'a PutRequest, &'a PutResponse),
    Delete(&'a DeleteRangeRequest, &'a DeleteRangeResponse),
}

/// What an acknowledged request did to keys, one after the other.
#[derive(Clone, Default, Debug)]
pub struct Done<'a> {
    /// Comparisons of transactions that held: what came after them, in `did`, was done for that.
    pub held: Vec<&'a Compare>,
    pub did: Vec<Did<'a>>,
}

impl<'a> Done<'a> {
    pub fn of(request: &'a Request, reply: &'a Response) -> Self {
        let mut done = Self::default();
        match (request, reply) {
            (Request::Range(read), Response::Range(reply)) => done.did.push(Did::Read(read, reply)),
            (Request::Put(put), Response::Put(reply)) => done.did.push(Did::Put(put, reply)),
            (Request::DeleteRange(delete), Response::DeleteRange(reply)) => {
                done.did.push(Did::Delete(delete, reply));
            }
            (Request::Txn(txn), Response::Txn(reply)) => done.take(txn, reply),
            _ => {}
        }
        done
    }

    fn take(&mut self, txn: &'a TxnRequest, reply: &'a TxnResponse) {
        if reply.succeeded && self.did.is_empty() {
            // Behind a change of the same transaction, they would tell of that.
            self.held.extend(&txn.compare);
        }
        let branch = if reply.succeeded { &txn.success } else { &txn.failure };
        for (op, reply) in branch.iter().zip(&reply.responses) {
            match (&op.request, &reply.response) {
                (Some(Op::RequestRange(read)), Some(OpReply::ResponseRange(reply))) => {
                    self.did.push(Did::Read(read, reply));
                }
                (Some(Op::RequestPut(put)), Some(OpReply::ResponsePut(reply))) => {
                    self.did.push(Did::Put(put, reply));
                }
                (Some(Op::RequestDeleteRange(delete)), Some(OpReply::ResponseDeleteRange(reply))) => {
                    self.did.push(Did::Delete(delete, reply));
                }
                (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => self.take(txn, reply),
                _ => {}
            }
        }
    }
}

/// Each put that a request would make, in one branch or another.
pub fn each_put<'a>(request: &'a Request, sink: &mut impl FnMut(&'a PutRequest)) {
    match request {
        Request::Put(put) => sink(put),
        Request::Txn(txn) => each_op(txn, &mut |op| {
            if let Op::RequestPut(put) = op {
                sink(put);
            }
        }),
        _ => {}
    }
}

/// Each operation of all branches, of nested transactions too.
pub fn each_op<'a>(txn: &'a TxnRequest, sink: &mut dyn FnMut(&'a Op)) {
    for op in txn.success.iter().chain(&txn.failure).filter_map(|op| op.request.as_ref()) {
        sink(op);
        if let Op::RequestTxn(nested) = op {
            each_op(nested, sink);
        }
    }
}

/// What a key was at the revision that made it so; as far as that was seen or is clear.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Version {
    pub value: Option<Bytes>,
    pub lease: Option<i64>,
    /// Somebody was told that it was made.
    pub is_acknowledged: bool,
}

/// What a history shows of keys.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    /// All that somebody put or saw, with the number of the first event that knows of it.
    pub keys: BTreeMap<Bytes, u64>,
    /// By key and the revision that made it so.
    pub versions: BTreeMap<(Bytes, i64), Version>,
}

impl Seen {
    pub fn of(history: &History, watches: &WatchHistory) -> Self {
        let mut seen = Self::default();
        for operation in history.operations() {
            seen.take(operation);
        }
        for heard in watches.watches().iter().flat_map(|watched| &watched.heard) {
            for event in &heard.response.events {
                let put = event.kv.iter().filter(|kv| kv.version > 0);
                put.chain(&event.prev_kv).for_each(|kv| seen.see(kv, false, heard.clock));
            }
        }
        seen
    }

    fn take(&mut self, operation: &Operation) {
        let Operation { request, invoked, outcome, .. } = operation;
        match outcome {
            Outcome::Failed(_) => {}
            Outcome::Unknown => each_put(request, &mut |put| self.know(&put.key, *invoked)),
            Outcome::Ok(reply) => {
                let (revision, ended) = (reply.revision(), operation.ended());
                for did in Done::of(request, reply).did {
                    match did {
                        Did::Read(read, reply) => {
                            reply.kvs.iter().for_each(|kv| self.see(kv, read.keys_only, ended));
                        }
                        Did::Put(put, reply) => {
                            reply.prev_kv.iter().for_each(|kv| self.see(kv, false, ended));
                            self.know(&put.key, *invoked);
                            let version = self.versions.entry((put.key.clone(), revision)).or_default();
                            version.is_acknowledged = true;
                            if !put.ignore_value {
                                version.value.get_or_insert_with(|| put.value.clone());
                            }
                            if !put.ignore_lease {
                                version.lease.get_or_insert(put.lease);
                            }
                        }
                        Did::Delete(_, reply) => {
                            reply.prev_kvs.iter().for_each(|kv| self.see(kv, false, ended));
                        }
                    }
                }
            }
        }
    }

    fn know(&mut self, key: &Bytes, clock: u64) {
        let first = self.keys.entry(key.clone()).or_insert(clock);
        *first = clock.min(*first);
    }

    fn see(&mut self, kv: &KeyValue, keys_only: bool, clock: u64) {
        self.know(&kv.key, clock);
        let version = self.versions.entry((kv.key.clone(), kv.mod_revision)).or_default();
        if !keys_only {
            version.value.get_or_insert_with(|| kv.value.clone());
        }
        version.lease.get_or_insert(kv.lease);
    }

    /// The keys in a range, as requests have it.
    pub fn within<'s>(
        &'s self,
        first: &Bytes,
        range_end: &[u8],
    ) -> impl Iterator<Item = (&'s Bytes, u64)> + use<'s> {
        let end = match range_end {
            [] => Bound::Included(first.clone()),
            [0] => Bound::Unbounded,
            end => Bound::Excluded(Bytes::copy_from_slice(end)),
        };
        // A range that ends before it begins has no keys, and would be a panic.
        let is_empty = matches!(&end, Bound::Excluded(end) if end <= first);
        let range = (!is_empty).then(|| self.keys.range((Bound::Included(first.clone()), end)));
        range.into_iter().flatten().map(|(key, first)| (key, *first))
    }
}
