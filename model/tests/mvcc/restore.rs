//! Stores that are restored from their backend, whole and damaged.

use bytes::Bytes;
use vertebra_model::api::{InternalRaftRequest, PutRequest, RangeRequest};
use vertebra_model::backend::Bucket;
use vertebra_model::mvcc::{RestoreError, Write};
use vertebra_sim::random::Streams;

use crate::generate::Generator;
use crate::pair::{Pair, all, delete, put};
use crate::store::Store;

#[test]
fn a_restored_store_has_the_whole_history() {
    let mut pair = Pair::with_five_revisions();
    pair.put(PutRequest { lease: i64::MIN, ..put("a", "negative lease") }).unwrap();
    let (mut copy, unfinished) = pair.store.restored().unwrap();
    assert!(copy == pair.store && unfinished.is_none());
    for revision in 1..=pair.revision() {
        let request = RangeRequest { revision, ..all() };
        assert_eq!(copy.range(&request), pair.range(request));
    }
    for store in [&mut copy, &mut pair.store] {
        let request = InternalRaftRequest { put: Some(put("z", "1")), ..Default::default() };
        store.apply(&request).unwrap();
    }
    assert!(copy == pair.store);
    assert!(Store::new().restored().unwrap().0 == Store::new());
}

#[test]
fn the_leases_of_keys_that_exist_are_restored() {
    let mut pair = Pair::default();
    for (key, lease) in [("a", 7), ("b", -8), ("c", 9), ("d", 10)] {
        pair.put(PutRequest { lease, ..put(key, "1") }).unwrap();
    }
    pair.delete(delete("c", ""));
    pair.put(put("d", "detached")).unwrap();
    let restored = vertebra_model::mvcc::Store::restore(&pair.store.buckets, 0).unwrap();
    let leases: Vec<_> = restored.leases.iter().map(|(key, lease)| (&key[..], *lease)).collect();
    assert_eq!(leases, [(&b"a"[..], 7), (&b"b"[..], -8)]);
}

#[test]
fn without_a_compaction_the_hash_is_that_of_the_records_and_not_what_was_noted() {
    let pair = Pair::with_five_revisions();
    let restored = vertebra_model::mvcc::Store::restore(&pair.store.buckets, 1).unwrap();
    assert_eq!(restored.store.state_hash(), pair.store.state_hash());
}

#[test]
fn what_no_store_writes_is_refused() {
    let whole = Pair::with_five_revisions().store;
    let with = |key: &[u8], value: &[u8]| {
        let mut store = whole.clone();
        store.buckets.put(Bucket::Key, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        store.restored().map(|_| ())
    };
    assert_eq!(with(b"\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0", b""), Ok(()));
    assert_eq!(with(b"\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0", b"\xff"), Err(RestoreError::NoRecord));
    assert_eq!(with(b"\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0x", b""), Err(RestoreError::NoRecord));
    assert_eq!(with(b"\0\0\0\0\0\0\0\x09", b""), Err(RestoreError::NoRecord));
}

#[test]
fn stores_that_are_restored_at_any_moment_go_on_as_those_that_were_not() {
    for seed in 0..200 {
        let mut stream = Streams::new(seed).stream("restore", 0);
        let (mut one, mut other) = (Store::new(), Store::new());
        for _ in 0..40 {
            let request = Generator { stream: &mut stream, revision: one.revision() }.write();
            assert_eq!(one.apply(&request), other.apply(&request));
            if stream.chance(200_000) {
                other = other.restored().unwrap().0;
            }
            assert!(one == other);
        }
    }
}
