//! Deletions, and the records that changes leave.

use vertebra_model::api::DeleteRangeRequest;
use vertebra_model::api::request_op::Request;
use vertebra_model::mvcc::Revision;

use crate::pair::{Pair, all, delete, put, range, txn};

#[test]
fn a_deletion_counts_what_it_deletes_and_makes_one_revision() {
    let cases = [
        (delete("a", ""), 1, "b c d"),
        (delete("x", ""), 0, "a b c d"),
        (delete("a", "c"), 2, "c d"),
        (delete("c", "a"), 0, "a b c d"),
        (delete("b", "\0"), 3, "a"),
        (delete("\0", "\0"), 4, ""),
    ];
    for (deletion, deleted, left) in cases {
        let mut pair = Pair::with_five_revisions();
        let response = pair.delete(deletion);
        assert_eq!((response.deleted, pair.keys(all()).as_str()), (deleted, left));
        let revision = if deleted > 0 { 7 } else { 6 };
        assert_eq!((pair.revision(), response.header.unwrap().revision), (revision, revision));
    }
}

#[test]
fn a_deletion_of_what_was_deleted_changes_nothing() {
    let mut pair = Pair::with_five_revisions();
    pair.delete(delete("a", ""));
    let hash = pair.store.state_hash();
    assert_eq!((pair.delete(delete("a", "")).deleted, pair.revision()), (0, 7));
    assert_eq!(pair.store.state_hash(), hash);
}

#[test]
fn a_deletion_answers_with_the_previous_values_when_asked() {
    let mut pair = Pair::with_five_revisions();
    let response = pair.delete(DeleteRangeRequest { prev_kv: true, ..delete("b", "d") });
    let previous: Vec<_> =
        response.prev_kvs.iter().map(|kv| (&kv.key[..], &kv.value[..], kv.version)).collect();
    assert_eq!(previous, [(&b"b"[..], &b"b2"[..], 2), (&b"c"[..], &b"2"[..], 1)]);
}

#[test]
fn a_deleted_key_can_be_read_before_its_deletion_only() {
    let mut pair = Pair::with_five_revisions();
    pair.delete(delete("b", ""));
    let mut read = range("b", "");
    let mut values = Vec::new();
    for revision in 1..=7 {
        read.revision = revision;
        values.push(pair.range(read.clone()).unwrap().kvs.pop().map(|kv| kv.value));
    }
    let three = Some("3".into());
    assert_eq!(values, [None, None, three.clone(), three.clone(), three, Some("b2".into()), None]);
}

#[test]
fn every_change_leaves_a_record_in_its_order() {
    let mut pair = Pair::with_five_revisions();
    pair.txn(txn([Request::RequestDeleteRange(delete("b", "d")), Request::RequestPut(put("x", "1"))]))
        .unwrap();
    let records = pair.store.records(7);
    let seen: Vec<_> =
        records.iter().map(|record| (record.revision, record.tombstone, &record.kv.key[..])).collect();
    let at = |sub| Revision { main: 7, sub };
    assert_eq!(seen, [(at(0), true, &b"b"[..]), (at(1), true, &b"c"[..]), (at(2), false, &b"x"[..])]);
    assert!(records.iter().all(|record| record.revision.main == 7));
    assert_eq!(pair.store.records(6).len(), 1);
    assert!(pair.store.records(1).is_empty() && pair.store.records(8).is_empty());
}
