//! Snapshots, whole and damaged.

use vertebra_model::api::{PutRequest, RangeRequest};
use vertebra_model::mvcc::{SnapshotError, Store};
use vertebra_sim::random::Streams;

use crate::generate::Generator;
use crate::pair::{Pair, all, put};

fn store(seed: u64, writes: u64) -> Store {
    let mut stream = Streams::new(seed).stream("snapshot", 0);
    let mut store = Store::new();
    for _ in 0..writes {
        let request = Generator { stream: &mut stream, revision: store.revision() }.write();
        let _ = store.apply(&request);
    }
    store
}

/// The same bytes with a checksum that fits them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - 8;
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..body]);
    bytes[body..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_snapshot_holds_the_whole_history() {
    let mut pair = Pair::with_five_revisions();
    pair.put(PutRequest { lease: i64::MIN, ..put("a", "negative lease") }).unwrap();
    let mut copy = Store::from_snapshot(&pair.store.encode_snapshot()).unwrap();
    assert!(copy == pair.store);
    for revision in 1..=pair.revision() {
        let request = RangeRequest { revision, ..all() };
        assert_eq!(copy.range(&request), pair.range(request));
    }
    let next = Pair::with_five_revisions();
    assert_ne!(copy.state_hash(), next.store.state_hash());
    for store in [&mut copy, &mut pair.store] {
        let request =
            vertebra_model::api::InternalRaftRequest { put: Some(put("z", "1")), ..Default::default() };
        store.apply(&request).unwrap();
    }
    assert_eq!(copy.state_hash(), pair.store.state_hash());
    let empty = Store::new();
    assert!(Store::from_snapshot(&empty.encode_snapshot()) == Ok(empty));
}

#[test]
fn a_snapshot_with_one_bit_flipped_or_cut_short_is_refused() {
    let bytes = store(1, 20).encode_snapshot();
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << bit;
            assert!(Store::from_snapshot(&damaged).is_err(), "byte {position}, bit {bit}");
        }
        assert!(Store::from_snapshot(&bytes[..position]).is_err(), "{position} bytes");
    }
    assert_eq!(Store::from_snapshot(b""), Err(SnapshotError::Format));
    assert_eq!(Store::from_snapshot(&[0; 64]), Err(SnapshotError::Format));
    let mut damaged = bytes;
    damaged[20] ^= 1;
    assert!(matches!(Store::from_snapshot(&damaged), Err(SnapshotError::Checksum { .. })));
}

#[test]
fn a_snapshot_with_a_right_checksum_over_wrong_bytes_is_refused_without_a_panic() {
    let mut stream = Streams::new(1).stream("damage", 0);
    let mut refused = 0;
    for seed in 0..200 {
        let whole = store(seed, 15);
        let bytes = whole.encode_snapshot();
        for _ in 0..50 {
            let mut damaged = bytes.clone();
            let body = damaged.len() as u64 - 8;
            for _ in 0..stream.between(1, 4) {
                let position = stream.between(8, body - 1) as usize;
                damaged[position] = stream.next_u64() as u8;
            }
            if stream.chance(200_000) {
                damaged.truncate(stream.between(16, body) as usize);
            }
            match Store::from_snapshot(&sealed(damaged)) {
                // The damage that may pass is none, or a head that says that the records are what a compaction left.
                Ok(copy) => assert!(copy == whole || copy.compact_revision() > 0),
                Err(error) => {
                    assert!(matches!(error, SnapshotError::Inconsistent(_)), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 8_000, "{refused} of 10,000");
}
