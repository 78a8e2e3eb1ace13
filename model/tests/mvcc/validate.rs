//! What is refused before anything is proposed.

use vertebra_model::api::request_op::Request::{
    self, RequestDeleteRange, RequestPut, RequestRange, RequestTxn,
};
use vertebra_model::api::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};
use vertebra_model::error::Error;
use vertebra_model::mvcc::validate::{self, TXN_OPS_MAX};

use crate::pair::{delete, ops, put, range, txn};

fn check(request: &TxnRequest) -> Result<(), Error> {
    validate::txn(request, TXN_OPS_MAX)
}

fn puts(key: &'static str) -> Request {
    RequestPut(put(key, ""))
}

fn deletes(key: &'static str, end: &'static str) -> Request {
    RequestDeleteRange(delete(key, end))
}

fn nested(success: impl IntoIterator<Item = Request>, failure: impl IntoIterator<Item = Request>) -> Request {
    RequestTxn(TxnRequest { success: ops(success), failure: ops(failure), ..TxnRequest::default() })
}

#[test]
fn every_request_needs_a_key() {
    assert_eq!(validate::range(&range("", "\0")), Err(Error::EmptyKey));
    assert_eq!(validate::put(&put("", "1")), Err(Error::EmptyKey));
    assert_eq!(validate::delete_range(&delete("", "a")), Err(Error::EmptyKey));
    for request in [RequestRange(range("", "")), puts(""), deletes("", ""), nested([puts("")], [])] {
        assert_eq!(check(&txn([request.clone()])), Err(Error::EmptyKey));
        assert_eq!(
            check(&TxnRequest { failure: ops([request]), ..TxnRequest::default() }),
            Err(Error::EmptyKey)
        );
    }
    let compare = vec![Compare { range_end: "\0".into(), ..Compare::default() }];
    assert_eq!(check(&TxnRequest { compare, ..TxnRequest::default() }), Err(Error::EmptyKey));
}

#[test]
fn what_is_ignored_must_not_be_given() {
    let value = PutRequest { ignore_value: true, ..put("a", "1") };
    let lease = PutRequest { ignore_lease: true, lease: 1, ..put("a", "1") };
    assert_eq!(validate::put(&value), Err(Error::ValueProvided));
    assert_eq!(validate::put(&lease), Err(Error::LeaseProvided));
    assert_eq!(check(&txn([RequestPut(value)])), Err(Error::ValueProvided));
    assert_eq!(validate::put(&PutRequest { ignore_value: true, lease: 1, ..put("a", "") }), Ok(()));
}

#[test]
fn a_sort_option_must_be_a_known_one() {
    for (sort_order, sort_target) in [(3, 0), (0, 5), (-1, -1)] {
        let request = RangeRequest { sort_order, sort_target, ..range("a", "") };
        assert_eq!(validate::range(&request), Err(Error::InvalidSortOption));
        assert_eq!(check(&txn([RequestRange(request)])), Err(Error::InvalidSortOption));
    }
    assert_eq!(validate::range(&RangeRequest { sort_order: 2, sort_target: 4, ..range("a", "") }), Ok(()));
}

#[test]
fn an_operation_must_not_be_empty() {
    let request = TxnRequest { success: vec![RequestOp::default()], ..TxnRequest::default() };
    assert_eq!(check(&request), Err(Error::KeyNotFound));
    assert_eq!(check(&TxnRequest::default()), Ok(()));
}

#[test]
fn a_transaction_has_a_limit_of_operations_and_comparisons() {
    let reads = |count| vec![RequestOp { request: Some(RequestRange(range("a", ""))) }; count];
    let compares = |count| vec![Compare { key: "a".into(), ..Compare::default() }; count];
    let request = TxnRequest { compare: compares(128), success: reads(128), failure: reads(128) };
    assert_eq!(check(&request), Ok(()));
    for over in [
        TxnRequest { compare: compares(129), ..TxnRequest::default() },
        TxnRequest { success: reads(129), ..TxnRequest::default() },
        TxnRequest { failure: reads(129), ..TxnRequest::default() },
    ] {
        assert_eq!(check(&over), Err(Error::TooManyOps));
    }
}

#[test]
fn a_nested_transaction_gets_what_its_parent_leaves() {
    let reads = |count| vec![RequestOp { request: Some(RequestRange(range("a", ""))) }; count];
    let with = |own: usize, inner: usize| {
        let mut success = reads(own - 1);
        let inner = TxnRequest { success: reads(inner), ..TxnRequest::default() };
        success.push(RequestOp { request: Some(RequestTxn(inner)) });
        TxnRequest { success, ..TxnRequest::default() }
    };
    assert_eq!((check(&with(28, 100)), check(&with(29, 100))), (Ok(()), Err(Error::TooManyOps)));
    assert_eq!((check(&with(128, 0)), check(&with(128, 1))), (Ok(()), Err(Error::TooManyOps)));
    let mut deep = TxnRequest::default();
    for _ in 0..200 {
        deep = txn([RequestTxn(deep)]);
    }
    assert_eq!(check(&deep), Err(Error::TooManyOps));
}

#[test]
fn a_key_is_put_once_and_not_deleted_too() {
    let cases: [(&str, Vec<Request>, bool); 12] = [
        ("two puts of one key", vec![puts("a"), puts("a")], false),
        ("puts of two keys", vec![puts("a"), puts("b")], true),
        ("a put of a deleted key", vec![deletes("a", ""), puts("a")], false),
        ("a deletion of a put key", vec![puts("a"), deletes("a", "")], false),
        ("a put inside a deleted range", vec![puts("b"), deletes("a", "c")], false),
        ("a put at the end of a deleted range", vec![puts("c"), deletes("a", "c")], true),
        ("a put before a deleted range", vec![puts("Z"), deletes("a", "c")], true),
        ("overlapping deletions", vec![deletes("a", "c"), deletes("b", "d")], true),
        ("a put in a range the wrong way round", vec![puts("b"), deletes("c", "a")], true),
        ("a nested put of a key put here", vec![nested([puts("a")], []), puts("a")], false),
        ("a nested put of a key deleted here", vec![nested([], [puts("a")]), deletes("a", "")], false),
        ("a nested deletion of a key put here", vec![puts("a"), nested([deletes("a", "")], [])], false),
    ];
    for (what, requests, allowed) in cases {
        let expected = if allowed { Ok(()) } else { Err(Error::DuplicateKey) };
        let success = ops(requests.clone());
        assert_eq!(check(&txn(requests.clone())), expected, "{what}");
        let failure = TxnRequest { failure: success, ..TxnRequest::default() };
        assert_eq!(check(&failure), expected, "{what}, in the other branch");
        assert_eq!(check(&txn([nested(requests, [])])), expected, "{what}, nested");
    }
}

#[test]
fn only_one_branch_is_executed_so_both_may_put_a_key() {
    let both = TxnRequest { success: ops([puts("a")]), failure: ops([puts("a")]), ..TxnRequest::default() };
    assert_eq!(check(&both), Ok(()));
    assert_eq!(check(&txn([nested([puts("a")], [puts("a")])])), Ok(()));
    assert_eq!(check(&txn([nested([puts("a")], [deletes("a", "")])])), Ok(()));
    for deletion in [nested([deletes("a", "")], []), nested([], [deletes("a", "")])] {
        assert_eq!(check(&txn([deletion, nested([puts("a")], [])])), Err(Error::DuplicateKey));
    }
    let again = nested([puts("a")], [puts("a")]);
    assert_eq!(check(&txn([again.clone(), nested([], [puts("a")])])), Err(Error::DuplicateKey));
    assert_eq!(check(&txn([nested([], [puts("a")]), again])), Err(Error::DuplicateKey));
}

#[test]
fn etcd_overlooks_a_deletion_without_an_end_and_one_nested_after_the_put() {
    assert_eq!(check(&txn([deletes("a", "\0"), puts("b")])), Ok(()));
    assert_eq!(check(&txn([nested([puts("a")], []), nested([deletes("a", "")], [])])), Ok(()));
    assert_eq!(
        check(&txn([nested([deletes("a", "")], []), nested([puts("a")], [])])),
        Err(Error::DuplicateKey)
    );
}
