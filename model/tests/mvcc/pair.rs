//! A store and a specification that are asked the same, and short ways to ask.

use vertebra_model::api::compare::{CompareResult, CompareTarget, TargetUnion};
use vertebra_model::api::request_op::Request;
use vertebra_model::api::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, InternalRaftRequest, KeyValue, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse, response_op,
};
use vertebra_model::error::Error;
use vertebra_model::mvcc::is_read_only;
use vertebra_model::response::Response;
use vertebra_model::specification::Specification;

use crate::store::Store;

/// Both, always in the same state. Every answer is that of both.
#[derive(Default)]
pub struct Pair {
    pub store: Store,
    pub specification: Specification,
}

impl Pair {
    /// The keys `a` to `d` with the values `4` to `1`, one revision each from 2 on; then `b` again, with value `b2`.
    pub fn with_five_revisions() -> Self {
        let mut pair = Self::default();
        for (key, value) in [("a", "4"), ("b", "3"), ("c", "2"), ("d", "1"), ("b", "b2")] {
            pair.put(put(key, value)).unwrap();
        }
        pair
    }

    pub fn revision(&self) -> i64 {
        assert_eq!(self.store.revision(), self.specification.revision());
        self.store.revision()
    }

    pub fn apply(&mut self, request: &InternalRaftRequest) -> Result<Response, Error> {
        let before = (self.store.clone(), self.specification.clone());
        let response = self.store.apply(request);
        assert_eq!(response, self.specification.apply(request), "store and specification, on {request:?}");
        if response.is_err() {
            assert!(before == (self.store.clone(), self.specification.clone()), "an error changes nothing");
        }
        self.revision();
        response
    }

    pub fn put(&mut self, put: PutRequest) -> Result<PutResponse, Error> {
        let request = InternalRaftRequest { put: Some(put), ..InternalRaftRequest::default() };
        self.apply(&request).map(|response| match response {
            Response::Put(response) => response,
            other => panic!("{other:?} to a put"),
        })
    }

    pub fn delete(&mut self, deletion: DeleteRangeRequest) -> DeleteRangeResponse {
        let request = InternalRaftRequest { delete_range: Some(deletion), ..InternalRaftRequest::default() };
        match self.apply(&request) {
            Ok(Response::DeleteRange(response)) => response,
            other => panic!("{other:?} to a deletion"),
        }
    }

    pub fn txn(&mut self, txn: TxnRequest) -> Result<TxnResponse, Error> {
        if is_read_only(&txn) {
            let response = self.store.read_txn(&txn);
            assert_eq!(response, self.specification.read_txn(&txn), "store and specification, on {txn:?}");
        }
        let request = InternalRaftRequest { txn: Some(txn), ..InternalRaftRequest::default() };
        self.apply(&request).map(|response| match response {
            Response::Txn(response) => response,
            other => panic!("{other:?} to a transaction"),
        })
    }

    pub fn range(&self, range: RangeRequest) -> Result<RangeResponse, Error> {
        let response = self.store.range(&range);
        assert_eq!(response, self.specification.read(&range), "store and specification, on {range:?}");
        response
    }

    /// The keys that a read answers with, in its order.
    pub fn keys(&self, range: RangeRequest) -> String {
        let kvs = self.range(range).unwrap().kvs;
        kvs.iter().map(|kv| std::str::from_utf8(&kv.key).unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// The one key, if it exists.
    pub fn get(&self, key: &'static str) -> Option<KeyValue> {
        self.range(range(key, "")).unwrap().kvs.pop()
    }

    /// Whether a comparison holds now.
    pub fn holds(&mut self, compare: Compare) -> bool {
        self.txn(TxnRequest { compare: vec![compare], ..TxnRequest::default() }).unwrap().succeeded
    }
}

pub fn range(key: &'static str, range_end: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), range_end: range_end.into(), ..RangeRequest::default() }
}

/// Every key.
pub fn all() -> RangeRequest {
    range("\0", "\0")
}

pub fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() }
}

pub fn delete(key: &'static str, range_end: &'static str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false }
}

pub fn compare(
    key: &'static str,
    result: CompareResult,
    target: CompareTarget,
    operand: impl Into<Option<TargetUnion>>,
) -> Compare {
    Compare {
        key: key.into(),
        result: result.into(),
        target: target.into(),
        target_union: operand.into(),
        ..Compare::default()
    }
}

pub fn ops(requests: impl IntoIterator<Item = Request>) -> Vec<RequestOp> {
    requests.into_iter().map(|request| RequestOp { request: Some(request) }).collect()
}

pub fn txn(requests: impl IntoIterator<Item = Request>) -> TxnRequest {
    TxnRequest { success: ops(requests), ..TxnRequest::default() }
}

/// The response of the operation at `position`, as a read's.
pub fn read_of(response: &TxnResponse, position: usize) -> &RangeResponse {
    match response.responses[position].response.as_ref() {
        Some(response_op::Response::ResponseRange(response)) => response,
        other => panic!("{other:?} to a read"),
    }
}

/// The response of the operation at `position`, as a nested transaction's.
pub fn txn_of(response: &TxnResponse, position: usize) -> &TxnResponse {
    match response.responses[position].response.as_ref() {
        Some(response_op::Response::ResponseTxn(response)) => response,
        other => panic!("{other:?} to a transaction"),
    }
}
