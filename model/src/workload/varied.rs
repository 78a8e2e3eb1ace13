//! Requests with any of the options that etcd's API has for them.

use bytes::Bytes;

use super::{Kind, Requests, delete_op, key, put_op, range_op};
use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, request_op};
use crate::history::Request;

/// How deep transactions are nested at most.
const DEPTH_MAX: u32 = 2;

/// How many of a million have a flaw.
const FLAWED_PPM: u32 = 30_000;

impl Requests {
    /// A request of this kind; at times one in its place that has a flaw. That is drawn from a stream of its own, so that the others
    /// do not move.
    pub(super) fn any(&mut self, kind: Kind) -> Request {
        let request = match kind {
            Kind::AnyRange => Request::Range(self.any_range()),
            Kind::AnyPut => Request::Put(self.any_put()),
            Kind::AnyDelete => Request::DeleteRange(self.any_delete()),
            _ => Request::Txn(self.any_txn()),
        };
        if !self.flaw_stream.chance(FLAWED_PPM) {
            return request;
        }
        std::mem::swap(&mut self.stream, &mut self.flaw_stream);
        let flawed = self.flawed();
        std::mem::swap(&mut self.stream, &mut self.flaw_stream);
        flawed
    }

    /// What has no key, or changes a key twice; or nearly does.
    fn flawed(&mut self) -> Request {
        match self.stream.below(8) {
            0 => Request::Range(RangeRequest { key: Bytes::new(), ..self.get() }),
            1 => Request::Put(PutRequest { key: Bytes::new(), ..self.put() }),
            2 => Request::DeleteRange(DeleteRangeRequest { key: Bytes::new(), ..self.any_delete() }),
            3 => {
                let compare = vec![Compare { key: Bytes::new(), ..self.any_compare() }];
                Request::Txn(TxnRequest { compare, success: vec![put_op(self.put())], failure: Vec::new() })
            }
            4 => {
                let (first, second) = (self.put(), self.put());
                self.one_of_two(vec![put_op(first), put_op(second)])
            }
            _ => {
                let first = self.stream.below(u64::from(self.traffic.keys)) as u16;
                let behind = first + self.stream.between(1, 3) as u16;
                let range_end = if behind == first + 1 { Bytes::new() } else { key(behind) };
                // Before it, its first, its last, or behind it.
                let at = *self.stream.pick(&[first.saturating_sub(1), first, behind - 1, behind]);
                let put = PutRequest { key: key(at), ..self.put() };
                let deletion = DeleteRangeRequest { key: key(first), range_end, prev_kv: false };
                self.one_of_two(vec![put_op(put), delete_op(deletion)])
            }
        }
    }

    /// A transaction of these operations, in either order, or with one of them in a list within the other's.
    fn one_of_two(&mut self, mut ops: Vec<RequestOp>) -> Request {
        self.stream.shuffle(&mut ops);
        if self.stream.chance(300_000) {
            let success = ops.pop().into_iter().collect();
            let nested = TxnRequest { success, ..TxnRequest::default() };
            ops.insert(0, RequestOp { request: Some(request_op::Request::RequestTxn(nested)) });
        }
        Request::Txn(TxnRequest { success: ops, ..TxnRequest::default() })
    }

    /// Keys in any of the ways in which a request can name them: one, some, those with a prefix, all from one on, none.
    fn any_keys(&mut self) -> (Bytes, Bytes) {
        let first = self.stream.below(u64::from(self.traffic.keys)) as u16;
        let range_end = match self.stream.below(20) {
            0..8 => Bytes::new(),
            8..14 => key(first + 1 + self.stream.below(u64::from(self.traffic.keys)) as u16),
            14..17 => return (Bytes::from_static(b"key"), Bytes::from_static(b"kez")),
            17 => return (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
            18 => Bytes::from_static(b"\0"),
            // It ends before it begins.
            _ => Bytes::from_static(b"key"),
        };
        (key(first), range_end)
    }

    fn any_range(&mut self) -> RangeRequest {
        let (key, range_end) = self.any_keys();
        let mut read = RangeRequest { key, range_end, ..RangeRequest::default() };
        let stream = &mut self.stream;
        if stream.chance(400_000) {
            read.limit = stream.between(1, 5) as i64;
        }
        if stream.chance(500_000) {
            let targets = [
                SortTarget::Key,
                SortTarget::Version,
                SortTarget::Create,
                SortTarget::Mod,
                SortTarget::Value,
            ];
            read.sort_order =
                (*stream.pick(&[SortOrder::None, SortOrder::Ascend, SortOrder::Descend])).into();
            read.sort_target = (*stream.pick(&targets)).into();
        }
        match stream.below(10) {
            0 | 1 => read.keys_only = true,
            2 => read.count_only = true,
            _ => {}
        }
        read.serializable = stream.chance(200_000);
        let bounds = [
            &mut read.min_mod_revision,
            &mut read.max_mod_revision,
            &mut read.min_create_revision,
            &mut read.max_create_revision,
        ];
        for bound in bounds {
            if stream.chance(100_000) {
                *bound = (self.revision - stream.below(30) as i64).max(1);
            }
        }
        if self.stream.chance(150_000) {
            read.revision = self.older_revision();
        }
        read
    }

    fn any_put(&mut self) -> PutRequest {
        let mut put = PutRequest { lease: self.some_lease(), ..self.put() };
        put.prev_kv = self.stream.chance(600_000);
        match self.stream.below(40) {
            0..12 => (put.ignore_value, put.value) = (true, Bytes::new()),
            12..20 => (put.ignore_lease, put.lease) = (true, 0),
            // To be refused, unless it has none to be left out.
            20 => (put.ignore_value, put.ignore_lease) = (true, true),
            21 => put.ignore_lease = true,
            _ => {}
        }
        put
    }

    fn any_delete(&mut self) -> DeleteRangeRequest {
        let (key, range_end) = self.any_keys();
        DeleteRangeRequest { key, range_end, prev_kv: self.stream.chance(700_000) }
    }

    /// Comparisons, and operations for either outcome.
    ///
    /// It either puts or deletes. etcd means to refuse what writes a key twice, and overlooks some transactions that put a key
    /// and delete it as well; that a revision changes a key once is what all who read revisions take for granted.
    fn any_txn(&mut self) -> TxnRequest {
        let deletes = self.stream.chance(300_000);
        self.any_nested_txn(deletes, 0)
    }

    fn any_nested_txn(&mut self, deletes: bool, depth: u32) -> TxnRequest {
        let compare = (0..self.stream.below(3)).map(|_| self.any_compare()).collect();
        let success = self.any_operations(1, deletes, depth);
        let failure = self.any_operations(0, deletes, depth);
        TxnRequest { compare, success, failure }
    }

    fn any_operations(&mut self, least: u64, deletes: bool, depth: u32) -> Vec<RequestOp> {
        (0..self.stream.between(least, 3)).map(|_| self.any_operation(deletes, depth)).collect()
    }

    fn any_operation(&mut self, deletes: bool, depth: u32) -> RequestOp {
        match self.stream.below(10) {
            0..4 => range_op(self.any_range()),
            4..8 if deletes => delete_op(self.any_delete()),
            4..8 => put_op(self.any_put()),
            _ if depth < DEPTH_MAX => {
                let nested = self.any_nested_txn(deletes, depth + 1);
                RequestOp { request: Some(request_op::Request::RequestTxn(nested)) }
            }
            _ => range_op(self.get()),
        }
    }

    fn any_compare(&mut self) -> Compare {
        let (key, range_end) =
            if self.stream.chance(700_000) { (self.key(), Bytes::new()) } else { self.any_keys() };
        let seen = self.seen.iter().find(|kv| kv.key == key);
        let (version, created, modified, lease) =
            seen.map_or((0, 0, 0, 0), |kv| (kv.version, kv.create_revision, kv.mod_revision, kv.lease));
        let value = seen.map_or_else(Bytes::new, |kv| kv.value.clone());
        let (target, operand) = match self.stream.below(5) {
            0 => (CompareTarget::Version, TargetUnion::Version(version)),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(created)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(modified)),
            3 => (CompareTarget::Value, TargetUnion::Value(value)),
            _ => (CompareTarget::Lease, TargetUnion::Lease(lease)),
        };
        let results =
            [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];
        let result = (*self.stream.pick(&results)).into();
        Compare { result, target: target.into(), key, range_end, target_union: Some(operand) }
    }
}
