//! Random requests: few keys and values, every option, and the values at which things go wrong.

use bytes::Bytes;
use vertebra_model::api::compare::TargetUnion;
use vertebra_model::api::request_op::Request;
use vertebra_model::api::{
    Compare, DeleteRangeRequest, InternalRaftRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use vertebra_sim::random::Stream;

const KEYS: [&str; 9] = ["a", "aa", "b", "c", "d", "b\0", "\0", "\x7f\x7f", ""];
const ENDS: [&str; 10] = ["\0", "\0", "\0", "\x7f\x7f\x7f", "\x7f", "d", "c", "b", "a", "\0\0"];
const VALUES: [&str; 5] = ["", "1", "2", "10", "\0"];

/// Chances in parts per million.
const HALF: u32 = 500_000;
const RARELY: u32 = 100_000;

/// Draws requests against a store at some revision.
pub struct Generator<'s> {
    pub stream: &'s mut Stream,
    pub revision: i64,
}

impl Generator<'_> {
    fn key(&mut self) -> Bytes {
        // The last is the empty key, which no server lets pass.
        let below = if self.stream.chance(RARELY / 10) { KEYS.len() } else { KEYS.len() - 1 };
        Bytes::from_static(self.stream.pick(&KEYS[..below]).as_bytes())
    }

    fn range_end(&mut self) -> Bytes {
        if self.stream.chance(HALF) {
            Bytes::new()
        } else {
            Bytes::from_static(self.stream.pick(&ENDS).as_bytes())
        }
    }

    fn value(&mut self) -> Bytes {
        Bytes::from_static(self.stream.pick(&VALUES).as_bytes())
    }

    /// A revision that exists, mostly; or one before, after, or far from all that do.
    fn some_revision(&mut self) -> i64 {
        let edges = [0, -1, -2, 1, self.revision, self.revision + 1, self.revision + 2, i64::MAX, i64::MIN];
        if self.stream.chance(2 * RARELY) {
            *self.stream.pick(&edges)
        } else {
            self.stream.between(0, self.revision.unsigned_abs()) as i64
        }
    }

    fn bound(&mut self) -> i64 {
        if self.stream.chance(9 * RARELY) { 0 } else { self.some_revision() }
    }

    pub fn range(&mut self) -> RangeRequest {
        let unknown = self.stream.chance(RARELY / 10);
        RangeRequest {
            key: self.key(),
            range_end: self.range_end(),
            limit: *self.stream.weighted(&[(5, 0), (3, 1), (3, 2), (3, 3), (1, -1), (1, i64::MAX), (1, 100)]),
            revision: if self.stream.chance(HALF) { 0 } else { self.some_revision() },
            sort_order: self.stream.below(3 + u64::from(unknown)) as i32,
            sort_target: self.stream.below(5 + u64::from(unknown)) as i32,
            serializable: self.stream.chance(HALF),
            keys_only: self.stream.chance(RARELY),
            count_only: self.stream.chance(RARELY),
            min_mod_revision: self.bound(),
            max_mod_revision: self.bound(),
            min_create_revision: self.bound(),
            max_create_revision: self.bound(),
        }
    }

    pub fn put(&mut self) -> PutRequest {
        let mut put = PutRequest {
            key: self.key(),
            value: self.value(),
            lease: *self.stream.weighted(&[(4, 0), (1, 1), (1, 2)]),
            prev_kv: self.stream.chance(HALF),
            ignore_value: self.stream.chance(2 * RARELY),
            ignore_lease: self.stream.chance(2 * RARELY),
        };
        if put.ignore_value && !self.stream.chance(RARELY) {
            put.value.clear();
        }
        if put.ignore_lease && !self.stream.chance(RARELY) {
            put.lease = 0;
        }
        put
    }

    pub fn delete_range(&mut self) -> DeleteRangeRequest {
        // Single keys mostly, or nothing would live for long.
        let range_end = if self.stream.chance(8 * RARELY) { Bytes::new() } else { self.range_end() };
        DeleteRangeRequest { key: self.key(), range_end, prev_kv: self.stream.chance(HALF) }
    }

    fn compare(&mut self) -> Compare {
        let number = *self.stream.pick(&[0, 1, 2, 3, self.revision, self.revision / 2]);
        let unknown = u64::from(self.stream.chance(RARELY / 10));
        let target = self.stream.below(5 + unknown) as i32;
        let kind = if self.stream.chance(RARELY) { self.stream.below(6) as i32 } else { target };
        Compare {
            result: self.stream.below(4 + unknown) as i32,
            target,
            key: self.key(),
            target_union: match kind {
                0 => Some(TargetUnion::Version(number)),
                1 => Some(TargetUnion::CreateRevision(number)),
                2 => Some(TargetUnion::ModRevision(number)),
                3 => Some(TargetUnion::Value(self.value())),
                4 => Some(TargetUnion::Lease(number)),
                _ => None,
            },
            range_end: if self.stream.chance(7 * RARELY) { Bytes::new() } else { self.range_end() },
        }
    }

    fn ops(&mut self, depth: u32) -> Vec<RequestOp> {
        let count = self.stream.below(5);
        (0..count).map(|_| self.op(depth)).collect()
    }

    fn op(&mut self, depth: u32) -> RequestOp {
        let kinds = [(30, 0), (40, 1), (10, 2), (if depth > 0 { 20 } else { 0 }, 3)];
        let request = match self.stream.weighted(&kinds) {
            0 => Request::RequestRange(self.range_in_txn()),
            1 => Request::RequestPut(self.put()),
            2 => Request::RequestDeleteRange(self.delete_range()),
            _ => Request::RequestTxn(self.txn(depth - 1)),
        };
        RequestOp { request: if self.stream.chance(RARELY / 50) { None } else { Some(request) } }
    }

    /// One wrong revision fails the whole transaction, so they are rare here.
    fn range_in_txn(&mut self) -> RangeRequest {
        let range = self.range();
        if self.stream.chance(8 * RARELY) { RangeRequest { revision: 0, ..range } } else { range }
    }

    /// A transaction that nests others up to `depth` deep.
    pub fn txn(&mut self, depth: u32) -> TxnRequest {
        let compares = *self.stream.weighted(&[(3, 0), (4, 1), (1, 2)]);
        let compare = (0..compares).map(|_| self.compare()).collect();
        TxnRequest { compare, success: self.ops(depth), failure: self.ops(depth) }
    }

    /// A transaction that only reads.
    pub fn read_txn(&mut self) -> TxnRequest {
        let mut txn = self.txn(0);
        for op in txn.success.iter_mut().chain(&mut txn.failure) {
            op.request = Some(Request::RequestRange(self.range_in_txn()));
        }
        txn
    }

    /// A write of any kind.
    pub fn write(&mut self) -> InternalRaftRequest {
        let mut request = InternalRaftRequest::default();
        match self.stream.weighted(&[(8, 0), (1, 1), (8, 2)]) {
            0 => request.put = Some(self.put()),
            1 => request.delete_range = Some(self.delete_range()),
            _ => request.txn = Some(self.txn(2)),
        }
        request
    }
}
