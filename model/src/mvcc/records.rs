//! What each change wrote, by revision.
//!
//! This is the seam to storage: the rest of the store only appends a record that is later than all others, looks
//! one up by its revision, and walks through them in order. etcd keeps them in a bucket of its backend.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::revision::Revision;
use crate::api::KeyValue;

/// One change of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it happened.
    pub revision: Revision,
    /// The key was deleted.
    pub tombstone: bool,
    /// What a reader of the key finds; for a tombstone the key and the revision of its deletion only.
    pub kv: KeyValue,
}

/// All records, in the order of their revisions, and a hash of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Records {
    records: Vec<Record>,
    hash: u64,
}

impl Records {
    /// No records yet, and room for as many as `capacity`.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { records: Vec::with_capacity(capacity), hash: 0 }
    }

    /// Goes on from `hash`: that of these records, and of others before them that are no longer known.
    pub fn continue_from(&mut self, hash: u64) {
        self.hash = hash;
    }

    /// Adds the record of a change that is later than all others.
    pub fn append(&mut self, record: Record) {
        debug_assert!(
            self.records.last().is_none_or(|last| last.revision < record.revision),
            "time goes forward"
        );
        self.hash = chain(self.hash, &record);
        self.records.push(record);
    }

    /// The record at `revision`.
    ///
    /// # Panics
    ///
    /// If there is none: the index and the records contradict each other, and no answer can be trusted.
    pub fn get(&self, revision: Revision) -> &Record {
        match self.records.binary_search_by(|record| record.revision.cmp(&revision)) {
            Ok(position) => &self.records[position],
            Err(_) => panic!("the index names revision {revision:?}, and there is no record of it"),
        }
    }

    /// The records of revision `main`, in the order of the changes.
    pub fn of(&self, main: i64) -> &[Record] {
        let first = self.records.partition_point(|record| record.revision.main < main);
        let tail = &self.records[first..];
        &tail[..tail.iter().take_while(|record| record.revision.main == main).count()]
    }

    /// All records, in the order of the changes.
    pub fn all(&self) -> &[Record] {
        &self.records
    }

    /// A hash of every record ever appended, in order.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// The hash of everything before, which was `hash`, and of `record`.
fn chain(hash: u64, record: &Record) -> u64 {
    let kv = &record.kv;
    // Lengths and numbers go first, at a fixed width, so that no two different records give the same bytes.
    // A tombstone needs no mark: its version is 0, and that of a put never is.
    let numbers = [
        record.revision.main,
        record.revision.sub,
        kv.create_revision,
        kv.mod_revision,
        kv.version,
        kv.lease,
        kv.key.len() as i64,
    ];
    let mut fixed = [0; 56];
    for (bytes, number) in fixed.chunks_exact_mut(8).zip(numbers) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    let hash = xxh3_64_with_seed(&fixed, hash);
    xxh3_64_with_seed(&kv.value, xxh3_64_with_seed(&kv.key, hash))
}
