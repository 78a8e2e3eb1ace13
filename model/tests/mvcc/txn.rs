//! Transactions.

use vertebra_model::api::compare::CompareResult::{Equal, Greater, Less, NotEqual};
use vertebra_model::api::compare::{CompareTarget, TargetUnion};
use vertebra_model::api::request_op::Request::{RequestDeleteRange, RequestPut, RequestRange, RequestTxn};
use vertebra_model::api::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};
use vertebra_model::error::Error;
use vertebra_model::mvcc::{is_read_only, is_serializable};

use crate::pair::{Pair, all, compare, delete, ops, put, range, read_of, txn, txn_of};

#[test]
fn every_target_is_compared_with_every_result() {
    let mut pair = Pair::with_five_revisions();
    pair.put(PutRequest { lease: 9, ..put("b", "m") }).unwrap();
    // b is at version 3, created at 3, modified at 7, with value m and lease 9.
    type Operands = [TargetUnion; 3];
    let targets: [(CompareTarget, Operands); 5] = [
        (CompareTarget::Version, [2, 3, 4].map(TargetUnion::Version)),
        (CompareTarget::Create, [2, 3, 4].map(TargetUnion::CreateRevision)),
        (CompareTarget::Mod, [6, 7, 8].map(TargetUnion::ModRevision)),
        (CompareTarget::Value, ["l", "m", "n"].map(|value| TargetUnion::Value(value.into()))),
        (CompareTarget::Lease, [8, 9, 10].map(TargetUnion::Lease)),
    ];
    for (target, [less, equal, greater]) in targets {
        for (result, expected) in [
            (Equal, [false, true, false]),
            (NotEqual, [true, false, true]),
            (Greater, [true, false, false]),
            (Less, [false, false, true]),
        ] {
            let operands = [less.clone(), equal.clone(), greater.clone()];
            let held = operands.map(|operand| pair.holds(compare("b", result, target, operand)));
            assert_eq!(held, expected, "{target:?} {result:?}");
        }
    }
}

#[test]
fn a_missing_key_compares_as_zeros_and_has_no_value() {
    let mut pair = Pair::default();
    for target in [CompareTarget::Version, CompareTarget::Create, CompareTarget::Mod, CompareTarget::Lease] {
        assert!(pair.holds(compare("x", Equal, target, None)), "{target:?}");
        assert!(!pair.holds(compare("x", Greater, target, None)), "{target:?}");
    }
    for result in [Equal, NotEqual, Greater, Less] {
        let value = TargetUnion::Value("".into());
        assert!(!pair.holds(compare("x", result, CompareTarget::Value, value)), "{result:?}");
    }
}

#[test]
fn an_operand_of_another_kind_counts_as_zero() {
    let mut pair = Pair::with_five_revisions();
    assert!(!pair.holds(compare("a", Equal, CompareTarget::Version, TargetUnion::ModRevision(1))));
    assert!(pair.holds(compare("a", Greater, CompareTarget::Version, TargetUnion::ModRevision(1))));
    assert!(pair.holds(compare("a", Greater, CompareTarget::Value, TargetUnion::Version(1))));
}

#[test]
fn an_unknown_result_holds_and_an_unknown_target_is_equal() {
    let mut pair = Pair::with_five_revisions();
    let version = compare("a", Equal, CompareTarget::Version, TargetUnion::Version(99));
    assert!(pair.holds(Compare { result: 77, ..version.clone() }));
    assert!(pair.holds(Compare { target: 77, ..version.clone() }));
    assert!(!pair.holds(Compare { target: 77, result: Less.into(), ..version }));
}

#[test]
fn a_comparison_over_a_range_wants_every_key_to_hold() {
    let mut pair = Pair::with_five_revisions();
    let over = |end: &'static str, result, version| Compare {
        range_end: end.into(),
        ..compare("a", result, CompareTarget::Version, TargetUnion::Version(version))
    };
    assert!(pair.holds(over("\0", Greater, 0)));
    assert!(!pair.holds(over("\0", Equal, 1)), "b is at version 2");
    assert!(pair.holds(over("b", Equal, 1)));
    assert!(pair.holds(over("Z", Equal, 0)), "an empty range is compared as zeros");
    assert!(!pair.holds(over("Z", Greater, 0)));
}

#[test]
fn comparisons_choose_the_branch_and_none_choose_success() {
    let mut pair = Pair::with_five_revisions();
    let branches = |compare: Vec<Compare>| TxnRequest {
        compare,
        success: ops([RequestPut(put("x", "success"))]),
        failure: ops([RequestPut(put("x", "failure")), RequestRange(range("x", ""))]),
    };
    assert!(pair.txn(branches(vec![])).unwrap().succeeded);
    assert_eq!(&pair.get("x").unwrap().value[..], b"success");
    let is = |key, version| compare(key, Equal, CompareTarget::Version, TargetUnion::Version(version));
    let response = pair.txn(branches(vec![is("a", 1), is("a", 2)])).unwrap();
    assert!(!response.succeeded);
    assert_eq!(&read_of(&response, 1).kvs[0].value[..], b"failure");
}

#[test]
fn operations_see_those_before_them_and_share_one_revision() {
    let mut pair = Pair::with_five_revisions();
    let response = pair
        .txn(txn([
            RequestRange(range("a", "")),
            RequestPut(put("a", "new")),
            RequestRange(range("a", "")),
            RequestDeleteRange(delete("b", "d")),
            RequestRange(RangeRequest { count_only: true, ..all() }),
            RequestRange(RangeRequest { revision: 6, ..range("a", "") }),
        ]))
        .unwrap();
    let read = |position| {
        let response = read_of(&response, position);
        (response.header.unwrap().revision, response.count, response.kvs.first().map(|kv| kv.value.clone()))
    };
    assert_eq!(read(0), (6, 1, Some("4".into())));
    assert_eq!(read(2), (7, 1, Some("new".into())));
    assert_eq!(read(4), (7, 2, None));
    assert_eq!(read(5), (7, 1, Some("4".into())));
    assert_eq!((pair.revision(), response.header.unwrap().revision), (7, 7));
}

#[test]
fn a_transaction_that_changes_nothing_makes_no_revision() {
    let mut pair = Pair::with_five_revisions();
    let response =
        pair.txn(txn([RequestDeleteRange(delete("x", "")), RequestRange(range("a", ""))])).unwrap();
    assert_eq!((pair.revision(), response.header.unwrap().revision), (6, 6));
}

#[test]
fn an_error_in_any_operation_leaves_everything_as_it_was() {
    let mut pair = Pair::with_five_revisions();
    let failing = [
        (RequestRange(RangeRequest { revision: 7, ..all() }), Error::FutureRevision),
        (RequestRange(RangeRequest { revision: -2, ..all() }), Error::Compacted),
        (RequestRange(RangeRequest { sort_order: 9, ..all() }), Error::InvalidSortOption),
        (RequestPut(PutRequest { ignore_value: true, ..put("x", "") }), Error::KeyNotFound),
        (RequestPut(PutRequest { ignore_lease: true, ..put("x", "") }), Error::KeyNotFound),
    ];
    for (request, error) in failing {
        let writes = [RequestPut(put("y", "1")), RequestDeleteRange(delete("a", ""))];
        let nested = RequestTxn(txn([request.clone()]));
        assert_eq!(pair.txn(txn(writes.clone().into_iter().chain([request.clone()]))), Err(error));
        assert_eq!(pair.txn(txn(writes.into_iter().chain([nested]))), Err(error));
        assert!(
            pair.txn(TxnRequest { failure: ops([request]), ..TxnRequest::default() }).is_ok(),
            "not executed"
        );
    }
    assert_eq!((pair.revision(), pair.keys(all()).as_str()), (6, "a b c d"));
}

#[test]
fn the_first_wrong_operation_decides_the_error() {
    let mut pair = Pair::default();
    let missing = RequestPut(PutRequest { ignore_value: true, ..put("x", "") });
    let future = RequestRange(RangeRequest { revision: 9, ..all() });
    assert_eq!(pair.txn(txn([missing.clone(), future.clone()])), Err(Error::KeyNotFound));
    assert_eq!(pair.txn(txn([future, missing])), Err(Error::FutureRevision));
}

#[test]
fn a_revision_of_minus_1_inside_a_transaction_is_the_present_until_a_compaction() {
    let mut pair = Pair::with_five_revisions();
    let response = pair.txn(txn([RequestRange(RangeRequest { revision: -1, ..all() })])).unwrap();
    assert_eq!(read_of(&response, 0).count, 4);
}

#[test]
fn nested_comparisons_see_the_state_before_the_whole_transaction() {
    let mut pair = Pair::with_five_revisions();
    let nested = TxnRequest {
        compare: vec![compare("x", Equal, CompareTarget::Version, TargetUnion::Version(0))],
        success: ops([RequestRange(range("x", "")), RequestPut(put("y", "1"))]),
        failure: vec![],
    };
    let response = pair.txn(txn([RequestPut(put("x", "1")), RequestTxn(nested)])).unwrap();
    let inner = txn_of(&response, 1);
    assert!(inner.succeeded, "x did not exist before");
    assert_eq!(read_of(inner, 0).count, 1, "and does when it is read");
    assert_eq!(inner.header.unwrap().revision, 0, "only the outermost header is filled");
    assert_eq!((pair.revision(), response.header.unwrap().revision), (7, 7));
}

#[test]
fn each_of_several_nested_transactions_takes_its_own_branch() {
    let mut pair = Pair::with_five_revisions();
    let exists = |key, success: Vec<RequestOp>| TxnRequest {
        compare: vec![compare(key, Greater, CompareTarget::Version, TargetUnion::Version(0))],
        success,
        failure: ops([RequestTxn(TxnRequest::default())]),
    };
    let deep = exists("a", ops([RequestTxn(exists("x", vec![])), RequestTxn(exists("b", vec![]))]));
    let request = txn([RequestTxn(exists("y", vec![])), RequestTxn(deep), RequestTxn(exists("c", vec![]))]);
    let response = pair.txn(request).unwrap();
    let succeeded: Vec<_> = (0..3).map(|position| txn_of(&response, position).succeeded).collect();
    assert_eq!(succeeded, [false, true, true]);
    let deep = txn_of(&response, 1);
    assert_eq!([0, 1].map(|position| txn_of(deep, position).succeeded), [false, true]);
}

#[test]
fn a_key_can_be_deleted_and_put_in_one_transaction_if_etcd_overlooks_it() {
    let mut pair = Pair::with_five_revisions();
    pair.txn(txn([RequestDeleteRange(delete("b", "\0")), RequestPut(put("b", "again"))])).unwrap();
    let kv = pair.get("b").unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (7, 7, 1));
    assert_eq!(pair.keys(all()), "a b");
    pair.txn(txn([RequestPut(put("a", "1")), RequestDeleteRange(delete("a", "\0"))])).unwrap();
    assert_eq!((pair.keys(all()).as_str(), pair.revision()), ("", 8));
    assert_eq!(pair.keys(RangeRequest { revision: 7, ..all() }), "a b");
}

#[test]
fn a_put_that_keeps_what_its_transaction_deleted_is_refused_where_etcd_panics() {
    let mut pair = Pair::with_five_revisions();
    let keeping = RequestPut(PutRequest { ignore_value: true, ..put("b", "") });
    let deletion = RequestDeleteRange(delete("b", "\0"));
    let request = txn([RequestPut(put("x", "1")), deletion.clone(), RequestTxn(txn([keeping.clone()]))]);
    assert_eq!(pair.txn(request), Err(Error::KeyNotFound));
    assert_eq!((pair.revision(), pair.get("x")), (6, None));
    assert!(pair.txn(txn([deletion, RequestPut(put("b", "1")), keeping])).is_ok());
}

#[test]
fn a_transaction_of_reads_alone_is_read_only_unless_it_nests_one() {
    let read = || RequestRange(range("a", ""));
    let local = || RequestRange(RangeRequest { serializable: true, ..range("a", "") });
    assert!(is_read_only(&TxnRequest::default()) && is_serializable(&TxnRequest::default()));
    assert!(is_read_only(&txn([read(), local()])) && !is_serializable(&txn([read(), local()])));
    assert!(is_serializable(&txn([local()])));
    assert!(!is_read_only(&txn([RequestTxn(txn([read()]))])));
    assert!(!is_read_only(&TxnRequest { failure: ops([RequestPut(put("a", ""))]), ..TxnRequest::default() }));
}

#[test]
#[should_panic(expected = "goes through Raft")]
fn a_transaction_that_may_write_is_not_answered_as_a_read() {
    let _ = Pair::default().store.read_txn(&txn([RequestPut(put("a", "1"))]));
}
