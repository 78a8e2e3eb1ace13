//! Puts and revisions.

use vertebra_model::api::{InternalRaftRequest, PutRequest};
use vertebra_model::error::Error;

use crate::pair::{Pair, delete, put};

#[test]
fn a_store_begins_at_revision_1_and_each_put_makes_the_next() {
    let mut pair = Pair::default();
    assert_eq!((pair.revision(), pair.store.compact_revision()), (1, -1));
    for revision in 2..5 {
        assert_eq!(pair.put(put("a", "1")).unwrap().header.unwrap().revision, revision);
        assert_eq!(pair.revision(), revision);
    }
}

#[test]
fn a_version_counts_the_puts_since_the_key_was_created() {
    let mut pair = Pair::default();
    let mut seen = Vec::new();
    for deletes in [false, false, true, false] {
        if deletes {
            pair.delete(delete("a", ""));
        }
        pair.put(put("a", "1")).unwrap();
        let kv = pair.get("a").unwrap();
        seen.push((kv.create_revision, kv.mod_revision, kv.version));
    }
    assert_eq!(seen, [(2, 2, 1), (2, 3, 2), (5, 5, 1), (5, 6, 2)]);
}

#[test]
fn a_put_answers_with_the_previous_value_when_asked() {
    let mut pair = Pair::default();
    let asking = |value| PutRequest { prev_kv: true, ..put("a", value) };
    assert_eq!(pair.put(asking("1")).unwrap().prev_kv, None);
    assert_eq!(pair.put(put("a", "2")).unwrap().prev_kv, None);
    let previous = pair.put(asking("3")).unwrap().prev_kv.unwrap();
    assert_eq!((&previous.value[..], previous.mod_revision, previous.version), (&b"2"[..], 3, 2));
}

#[test]
fn a_put_that_ignores_value_or_lease_keeps_it() {
    let mut pair = Pair::default();
    pair.put(PutRequest { lease: 7, ..put("a", "1") }).unwrap();
    pair.put(PutRequest { ignore_value: true, lease: 8, ..put("a", "") }).unwrap();
    let kv = pair.get("a").unwrap();
    assert_eq!((&kv.value[..], kv.lease, kv.version), (&b"1"[..], 8, 2));
    pair.put(PutRequest { ignore_lease: true, ..put("a", "2") }).unwrap();
    let kv = pair.get("a").unwrap();
    assert_eq!((&kv.value[..], kv.lease, kv.version), (&b"2"[..], 8, 3));
}

#[test]
fn a_put_without_a_lease_detaches_the_key() {
    let mut pair = Pair::default();
    pair.put(PutRequest { lease: 7, ..put("a", "1") }).unwrap();
    pair.put(put("a", "1")).unwrap();
    assert_eq!(pair.get("a").unwrap().lease, 0);
}

#[test]
fn a_put_that_ignores_value_or_lease_needs_the_key_to_exist() {
    let mut pair = Pair::default();
    pair.put(put("gone", "1")).unwrap();
    pair.delete(delete("gone", ""));
    for key in ["gone", "never"] {
        let value = PutRequest { ignore_value: true, ..put(key, "") };
        let lease = PutRequest { ignore_lease: true, ..put(key, "1") };
        assert_eq!((pair.put(value), pair.put(lease)), (Err(Error::KeyNotFound), Err(Error::KeyNotFound)));
    }
    assert_eq!(pair.revision(), 3);
}

#[test]
fn a_proposal_without_a_request_is_an_unknown_method() {
    assert_eq!(Pair::default().apply(&InternalRaftRequest::default()), Err(Error::UnknownMethod));
}
