//! The store of a backend.

use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

use super::buckets::Read;
use super::compaction;
use super::index::Index;
use super::key_index::{Found, KeyIndex};
use super::record::{Record, chain};
use super::revision::Revision;
use super::store::{FIRST_REVISION, NEVER_COMPACTED, Store};
use crate::backend::Bucket;
use crate::defect::{Defect, Defects};

/// Records that are read at a time. etcd: 10,000.
const CHUNK: usize = 1_000;

/// Why a backend has no store in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// Something under a key that is no revision, or that is no record.
    #[error("the bucket of keys holds what is no record")]
    NoRecord,
    /// etcd verifies the same.
    #[error("revision {found} follows revision {last}")]
    Order {
        /// The revision before.
        last: i64,
        /// The one that follows it.
        found: i64,
    },
}

/// A store, and what its restoration found out.
#[derive(Debug)]
pub struct Restored {
    /// The store.
    pub store: Store,
    /// A compaction that was scheduled and not finished; it must be carried out.
    pub unfinished: Option<i64>,
    /// The keys that have a lease.
    pub leases: BTreeMap<Bytes, i64>,
}

impl Store {
    /// Restores the store of a backend: the index from its records, the revisions from what compactions left.
    /// `hash` is that of all changes, as far as the backend knows it.
    ///
    /// A compaction that was not finished does not count yet: it must be scheduled again.
    ///
    /// # Errors
    ///
    /// Those of [`RestoreError`].
    pub fn restore(tx: &impl Read, hash: u64) -> Result<Restored, RestoreError> {
        Self::restore_with(tx, hash, Defects::NONE)
    }

    /// The same, with these bugs.
    ///
    /// # Errors
    ///
    /// Those of [`RestoreError`].
    pub fn restore_with(tx: &impl Read, hash: u64, defects: Defects) -> Result<Restored, RestoreError> {
        let finished = compaction::finished(tx).unwrap_or(NEVER_COMPACTED);
        let scheduled = compaction::scheduled(tx).unwrap_or(NEVER_COMPACTED);
        let mut restoring = Restoring { defects, ..Restoring::default() };
        let end = Revision { main: i64::MAX, sub: i64::MAX }.to_bytes();
        let mut from = Revision { main: FIRST_REVISION, sub: 0 }.to_bytes().to_vec();
        loop {
            let records = tx.range(Bucket::Key, &from, &end, CHUNK);
            let count = records.len();
            if let Some((last, _)) = records.last() {
                from = last.to_vec();
                from.push(0);
            }
            for (key, value) in records {
                restoring.take(&key, value)?;
            }
            if count < CHUNK {
                break;
            }
        }
        let Restoring { index, leases, last, recomputed, .. } = restoring;
        // Everything up to the compaction may be gone, and with it the newest revisions (etcd-io/etcd#17780).
        let known = if defects.has(Defect::RevisionOfRecords) { last } else { finished.max(scheduled) };
        let revision = last.max(known);
        // While nothing is compacted, the records themselves tell.
        let hash = if finished.max(scheduled) > NEVER_COMPACTED { hash } else { recomputed };
        let mut store = Self::restored(index, revision, finished, hash);
        store.defects = defects;
        let is_unfinished = scheduled > finished && !defects.has(Defect::UnfinishedCompactionForgotten);
        Ok(Restored { store, unfinished: is_unfinished.then_some(scheduled), leases })
    }
}

struct Restoring {
    index: Index,
    leases: BTreeMap<Bytes, i64>,
    /// The last revision so far.
    last: i64,
    recomputed: u64,
    defects: Defects,
}

impl Default for Restoring {
    fn default() -> Self {
        let (index, leases) = (Index::default(), BTreeMap::new());
        Self { index, leases, last: FIRST_REVISION, recomputed: 0, defects: Defects::NONE }
    }
}

impl Restoring {
    fn take(&mut self, key: &[u8], value: Bytes) -> Result<(), RestoreError> {
        self.recomputed = chain(self.recomputed, key, &value);
        let Record { revision, tombstone, kv } = Record::decode(key, value).ok_or(RestoreError::NoRecord)?;
        if revision.main < self.last {
            return Err(RestoreError::Order { last: self.last, found: revision.main });
        }
        self.last = revision.main;
        if kv.lease == 0 {
            self.leases.remove(&kv.key);
        } else {
            self.leases.insert(kv.key.clone(), kv.lease);
        }
        match self.index.get_mut(&kv.key) {
            // A tombstone of a key that is deleted already says nothing new; etcd passes over it with a warning.
            Some(life) if tombstone && life.newest().is_none() => {}
            Some(life) if tombstone => life.tombstone(revision),
            Some(life) => {
                life.put(revision);
            }
            None if tombstone && self.defects.has(Defect::OrphanTombstone) => {}
            None => {
                // The first that is known of a key may be a later version, or its tombstone (etcd-io/etcd#19179):
                // what came before it is compacted.
                let version = if tombstone { 1 } else { kv.version };
                let found = Found { modified: revision, created: kv.create_revision, version };
                self.index.insert(kv.key, KeyIndex::begin(found, tombstone));
            }
        }
        Ok(())
    }
}
