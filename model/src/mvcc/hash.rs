//! The hash by which members find one whose data is corrupt: etcd's HashKV.
//!
//! It covers every record up to a revision that a compaction at the compacted revision leaves, whether or not the
//! compaction has come so far. So members at different progress have the same hash at the same revision and the same
//! compacted revision.

use super::buckets::Read;
use super::index::Kept;
use super::revision::Revision;
use super::store::Store;
use crate::backend::Bucket;
use crate::error::Error;

/// Records that are read at a time.
const CHUNK: usize = 1_000;

/// A hash of a store's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KvHash {
    /// CRC-32C of the records.
    pub hash: u32,
    /// The compacted revision that it takes into account.
    pub compact_revision: i64,
    /// The last revision that it covers.
    pub revision: i64,
}

/// Hashes records as they pass, in their order.
#[derive(Clone, Debug)]
pub(super) struct Hasher {
    hash: u32,
    compact_revision: i64,
    revision: i64,
}

impl Hasher {
    /// A hash up to `revision` of a store that is compacted at `compact_revision`.
    pub fn new(compact_revision: i64, revision: i64) -> Self {
        Self { hash: crc32c::crc32c(Bucket::Key.name().as_bytes()), compact_revision, revision }
    }

    /// Takes a record in, unless the compaction takes it away: `kept` are those that it leaves.
    pub fn take(&mut self, revision: Revision, tombstone: bool, kept: &Kept, key: &[u8], value: &[u8]) {
        if revision.main > self.revision {
            return;
        }
        // etcd takes them all in when nothing at all is kept, so that while every key is deleted, its hash depends on
        // how far the compaction has come.
        if revision.main <= self.compact_revision && !kept.contains(revision) {
            return;
        }
        // Releases of etcd that removed the tombstone of the compacted revision must give the same hash.
        if revision.main == self.compact_revision && tombstone {
            return;
        }
        self.hash = crc32c::crc32c_append(crc32c::crc32c_append(self.hash, key), value);
    }

    pub fn finish(&self) -> KvHash {
        KvHash { hash: self.hash, compact_revision: self.compact_revision, revision: self.revision }
    }
}

impl Store {
    /// The hash at `revision`, or now if that is 0, and the current revision.
    ///
    /// # Errors
    ///
    /// `Compacted` and `FutureRevision`.
    pub fn hash_by_revision(&self, tx: &impl Read, revision: i64) -> Result<(KvHash, i64), Error> {
        let (compact_revision, current) = (self.compact_revision(), self.revision());
        if revision > 0 && revision < compact_revision {
            return Err(Error::Compacted);
        }
        if revision > current {
            return Err(Error::FutureRevision);
        }
        let revision = if revision <= 0 { current } else { revision };
        let kept = self.index.hashed(revision);
        let mut hasher = Hasher::new(compact_revision, revision);
        let end = Revision { main: revision.saturating_add(1), sub: 0 }.to_bytes();
        let mut from = Revision::default().to_bytes().to_vec();
        loop {
            let records = tx.range(Bucket::Key, &from, &end, CHUNK);
            for (key, value) in &records {
                if let Some((revision, tombstone)) = Revision::from_bytes(key) {
                    hasher.take(revision, tombstone, &kept, key, value);
                }
            }
            match records.last() {
                Some((last, _)) if records.len() == CHUNK => {
                    from = last.to_vec();
                    from.push(0);
                }
                _ => return Ok((hasher.finish(), current)),
            }
        }
    }
}
