//! What the store needs of the backend: buckets of sorted keys, read and written.
//!
//! The members' store is in the backend; [`Memory`] stands in for it where a store is asked without a simulation.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::backend::{BatchTx, Bucket, ReadTx};

/// A view of the buckets.
pub trait Read {
    /// The value of `key`, if there is one.
    fn get(&self, bucket: Bucket, key: &[u8]) -> Option<Bytes>;

    /// Up to `limit` keys from `from` to before `to`, in their order, with their values.
    fn range(&self, bucket: Bucket, from: &[u8], to: &[u8], limit: usize) -> Vec<(Bytes, Bytes)>;
}

/// A view through which the buckets are changed. It sees its own changes.
pub trait Write: Read {
    /// Sets the value of `key`.
    fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes);

    /// Removes `key`, if it is there.
    fn delete(&mut self, bucket: Bucket, key: Bytes);
}

impl Read for ReadTx {
    fn get(&self, bucket: Bucket, key: &[u8]) -> Option<Bytes> {
        ReadTx::get(self, bucket, key).cloned()
    }

    fn range(&self, bucket: Bucket, from: &[u8], to: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        ReadTx::range(self, bucket, from, to, limit)
    }
}

impl Read for BatchTx {
    fn get(&self, bucket: Bucket, key: &[u8]) -> Option<Bytes> {
        BatchTx::get(self, bucket, key).cloned()
    }

    fn range(&self, bucket: Bucket, from: &[u8], to: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        BatchTx::range(self, bucket, from, to, limit)
    }
}

impl Write for BatchTx {
    fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes) {
        BatchTx::put(self, bucket, key, value);
    }

    fn delete(&mut self, bucket: Bucket, key: Bytes) {
        BatchTx::delete(self, bucket, key);
    }
}

/// Buckets in memory, without a backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    buckets: BTreeMap<Bucket, BTreeMap<Bytes, Bytes>>,
}

/// For tests and benchmarks.
impl Read for Memory {
    fn get(&self, bucket: Bucket, key: &[u8]) -> Option<Bytes> {
        self.buckets.get(&bucket)?.get(key).cloned()
    }

    fn range(&self, bucket: Bucket, from: &[u8], to: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        if from >= to {
            return Vec::new();
        }
        let Some(keys) = self.buckets.get(&bucket) else { return Vec::new() };
        let range = keys.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        range.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// For tests and benchmarks.
impl Write for Memory {
    fn put(&mut self, bucket: Bucket, key: Bytes, value: Bytes) {
        self.buckets.entry(bucket).or_default().insert(key, value);
    }

    fn delete(&mut self, bucket: Bucket, key: Bytes) {
        if let Some(keys) = self.buckets.get_mut(&bucket) {
            keys.remove(&key);
        }
    }
}
