//! What a change writes to the backend's bucket of keys, under its revision.

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::buckets::{Read, Write};
use super::revision::Revision;
use crate::api::KeyValue;
use crate::backend::Bucket;

/// One change of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it happened.
    pub revision: Revision,
    /// The key was deleted.
    pub tombstone: bool,
    /// What a reader of the key finds; for a tombstone the key alone.
    pub kv: KeyValue,
}

impl Record {
    /// The record that the backend has under `key`; `None` for bytes that no store writes.
    #[must_use]
    pub fn decode(key: &[u8], value: Bytes) -> Option<Self> {
        let (revision, tombstone) = Revision::from_bytes(key)?;
        Some(Self { revision, tombstone, kv: KeyValue::decode(value).ok()? })
    }
}

/// Writes what a put at `revision` made, and returns the hash that goes on from `hash`.
pub(super) fn put(tx: &mut impl Write, revision: Revision, kv: &KeyValue, hash: u64) -> u64 {
    write(tx, Bytes::copy_from_slice(&revision.to_bytes()), kv, hash)
}

/// Writes the deletion of `key`, and returns the hash that goes on from `hash`.
pub(super) fn tombstone(tx: &mut impl Write, revision: Revision, key: Bytes, hash: u64) -> u64 {
    let kv = KeyValue { key, ..KeyValue::default() };
    write(tx, Bytes::copy_from_slice(&revision.to_tombstone_bytes()), &kv, hash)
}

fn write(tx: &mut impl Write, revision: Bytes, kv: &KeyValue, hash: u64) -> u64 {
    let value = Bytes::from(kv.encode_to_vec());
    let hash = chain(hash, &revision, &value);
    tx.put(Bucket::Key, revision, value);
    hash
}

/// The hash of all records before, which was `hash`, and of one more.
pub(super) fn chain(hash: u64, revision: &[u8], value: &[u8]) -> u64 {
    // Revisions have one of two lengths, and a different mark at each: no two records give the same bytes.
    xxh3_64_with_seed(value, xxh3_64_with_seed(revision, hash))
}

/// What the put at `revision` made.
///
/// # Panics
///
/// If there is no such record: the index and the backend contradict each other, and no answer can be trusted.
pub(super) fn get(tx: &impl Read, revision: Revision) -> KeyValue {
    let Some(value) = tx.get(Bucket::Key, &revision.to_bytes()) else {
        panic!("the index names revision {revision:?}, and there is no record of it");
    };
    match KeyValue::decode(value) {
        Ok(kv) => kv,
        Err(error) => panic!("the record of revision {revision:?} cannot be decoded: {error}"),
    }
}
