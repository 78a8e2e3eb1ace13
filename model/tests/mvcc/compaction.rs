//! Compactions: what is left, what is read, what is hashed, and what a crash in between leaves.

use vertebra_model::api::{InternalRaftRequest, RangeRequest};
use vertebra_model::error::Error;
use vertebra_sim::random::Streams;

use crate::generate::Generator;
use crate::pair::{all, delete, put};
use crate::store::Store;

fn store(seed: u64, writes: u64) -> Store {
    let mut stream = Streams::new(seed).stream("compaction", 0);
    let mut store = Store::new();
    for _ in 0..writes {
        let request = Generator { stream: &mut stream, revision: store.revision() }.write();
        let _ = store.apply(&request);
    }
    store
}

fn write(store: &mut Store, request: InternalRaftRequest) {
    store.apply(&request).unwrap();
}

fn put_request(key: &'static str) -> InternalRaftRequest {
    InternalRaftRequest { put: Some(put(key, "1")), ..InternalRaftRequest::default() }
}

fn delete_request(key: &'static str) -> InternalRaftRequest {
    InternalRaftRequest { delete_range: Some(delete(key, "")), ..InternalRaftRequest::default() }
}

#[test]
fn what_can_be_read_after_a_compaction_is_what_could_be_read_before() {
    for seed in 0..300 {
        let whole = store(seed, 30);
        let last = whole.revision();
        for main in 1..=last {
            let mut compacted = whole.clone();
            compacted.compact(main, 1 + seed as usize % 5, usize::MAX).unwrap();
            for revision in 1..=last {
                let request = RangeRequest { revision, ..all() };
                let expected = if revision < main { Err(Error::Compacted) } else { whole.range(&request) };
                assert_eq!(compacted.range(&request), expected, "seed {seed}: {revision} of {main}");
            }
        }
    }
}

#[test]
fn a_compaction_of_the_past_or_the_future_is_refused_and_changes_nothing() {
    let mut store = store(1, 30);
    store.compact(5, 10, usize::MAX).unwrap();
    let before = store.clone();
    for past in [i64::MIN, -1, 0, 4, 5] {
        assert_eq!(store.compact(past, 10, usize::MAX), Err(Error::Compacted));
    }
    let future = store.revision() + 1;
    assert_eq!(store.compact(future, 10, usize::MAX), Err(Error::FutureRevision));
    assert!(store == before);
    store.compact(store.revision(), 10, usize::MAX).unwrap();
}

/// Where a crash comes between two batches, the store goes on after a restart as if it had not: from scheduling the
/// compaction again on, it is equal in every read and in its hash.
#[test]
fn a_compaction_that_a_crash_interrupted_is_carried_on_with() {
    for seed in 0..300 {
        let whole = store(seed, 30);
        let main = whole.revision().min(2 + seed as i64 % 30);
        if main < 2 {
            continue;
        }
        let mut done = whole.clone();
        done.compact(main, 3, usize::MAX).unwrap();
        for batches in 0..12 {
            let mut interrupted = whole.clone();
            interrupted.compact(main, 3, batches).unwrap();
            let (mut restored, unfinished) = interrupted.restored().unwrap();
            assert_eq!(restored.revision(), whole.revision(), "seed {seed}: {batches} batches of {main}");
            if let Some(unfinished) = unfinished {
                assert_eq!(unfinished, main);
                restored.compact(unfinished, 3, usize::MAX).unwrap();
            }
            assert_eq!(restored.hash(0), done.hash(0), "seed {seed}: {batches} batches of {main}");
            assert!(restored.buckets == done.buckets);
            for revision in main..=whole.revision() {
                let request = RangeRequest { revision, ..all() };
                assert_eq!(restored.range(&request), whole.range(&request));
            }
        }
    }
}

/// etcd-io/etcd#17780: the newest revision was that of a tombstone which the compaction took away.
#[test]
fn a_revision_is_not_used_again_when_everything_of_it_is_compacted() {
    let mut store = Store::new();
    write(&mut store, put_request("k"));
    write(&mut store, delete_request("k"));
    write(&mut store, put_request("l"));
    write(&mut store, delete_request("l"));
    store.compact(5, 1, 3).unwrap();
    let (restored, unfinished) = store.restored().unwrap();
    assert_eq!((restored.revision(), unfinished), (5, Some(5)));
}

/// etcd-io/etcd#18089 and etcd-io/etcd#19179: who watches from the compacted revision on must see the deletion.
#[test]
fn the_tombstone_of_the_compacted_revision_is_kept_also_over_a_crash() {
    let mut store = Store::new();
    write(&mut store, put_request("k"));
    write(&mut store, delete_request("k"));
    let mut done = store.clone();
    done.compact(3, 1, usize::MAX).unwrap();
    assert!(matches!(&done.records(3)[..], [record] if record.tombstone));
    assert!(done.records(2).is_empty());
    // The first batch took the creation away, and then the crash came.
    store.compact(3, 1, 1).unwrap();
    let (mut restored, unfinished) = store.restored().unwrap();
    assert!(restored.records(2).is_empty());
    restored.compact(unfinished.unwrap(), 1, usize::MAX).unwrap();
    assert!(matches!(&restored.records(3)[..], [record] if record.tombstone));
    let (again, unfinished) = restored.restored().unwrap();
    assert!(matches!(&again.records(3)[..], [record] if record.tombstone) && unfinished.is_none());
}

#[test]
fn the_hash_at_a_revision_does_not_depend_on_how_far_a_compaction_has_come() {
    let mut compared = 0;
    for seed in 0..300 {
        let whole = store(seed, 30);
        let main = 2 + seed as i64 % 20;
        if main > whole.revision() {
            continue;
        }
        let mut hashes = Vec::new();
        for batches in [0, 1, 2, 3, 5, usize::MAX] {
            let mut store = whole.clone();
            store.compact(main, 4, batches).unwrap();
            for revision in main..=whole.revision() {
                hashes.push((revision, store.hash(revision).unwrap()));
            }
            assert_eq!(store.hash(main - 1), Err(Error::Compacted));
            assert_eq!(store.hash(store.revision() + 1), Err(Error::FutureRevision));
        }
        hashes.sort_unstable_by_key(|(revision, _)| *revision);
        for pair in hashes.windows(2) {
            if pair[0].0 == pair[1].0 {
                assert_eq!(pair[0].1, pair[1].1, "seed {seed}");
                compared += 1;
            }
        }
    }
    assert!(compared > 10_000, "{compared}");
}

/// What a compaction hashes while it removes is what a member tells that hashes the revision before it compacts.
#[test]
fn the_hash_of_a_compaction_is_that_of_its_revision_before_it() {
    let mut compared = 0;
    for seed in 0..300 {
        let mut store = store(seed, 40);
        for main in [5, 11, 12, 20] {
            if main > store.revision() {
                continue;
            }
            let before = store.hash(main).unwrap();
            assert_eq!(store.compact(main, 3, usize::MAX), Ok(before), "seed {seed} at {main}");
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn a_changed_record_changes_the_hash() {
    let (mut one, mut other) = (Store::new(), Store::new());
    write(&mut one, put_request("k"));
    write(&mut other, put_request("l"));
    assert_ne!(one.hash(0), other.hash(0));
}
