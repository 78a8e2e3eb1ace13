//! Forgetting: what is older than a revision and not its newest version is taken away, batch by batch.
//!
//! A compaction is three things, each of which a crash can come between. It is scheduled: from then on no revision
//! before it can be read, and the backend knows. It is carried out: the index forgets at once, the backend in
//! batches, while entries go on being applied. It is finished: the backend knows that too.

use bytes::Bytes;

use super::buckets::{Read, Write};
use super::hash::{Hasher, KvHash};
use super::index::Kept;
use super::restore::{RestoreError, Restored};
use super::revision::Revision;
use super::store::{NEVER_COMPACTED, Store};
use crate::backend::Bucket;
use crate::defect::Defect;
use crate::error::Error;

const SCHEDULED: &[u8] = b"scheduledCompactRev";
const FINISHED: &[u8] = b"finishedCompactRev";

/// The revision of the last compaction that was scheduled.
pub(super) fn scheduled(tx: &impl Read) -> Option<i64> {
    main_revision(&tx.get(Bucket::Meta, SCHEDULED)?)
}

/// The revision of the last compaction that was finished.
pub(super) fn finished(tx: &impl Read) -> Option<i64> {
    main_revision(&tx.get(Bucket::Meta, FINISHED)?)
}

/// As in etcd, a whole revision is stored for a main one.
fn main_revision(bytes: &[u8]) -> Option<i64> {
    Revision::from_bytes(bytes).map(|(revision, _)| revision.main)
}

fn set(tx: &mut impl Write, name: &'static [u8], main: i64) {
    let value = Bytes::copy_from_slice(&Revision { main, sub: 0 }.to_bytes());
    tx.put(Bucket::Meta, Bytes::from_static(name), value);
}

/// A compaction that is being carried out.
#[derive(Debug)]
pub struct Compaction {
    main: i64,
    kept: Kept,
    /// Where the next batch begins.
    from: Vec<u8>,
    hasher: Hasher,
    accounts: Accounts,
}

/// What comes of a compaction.
#[derive(Debug, Default)]
struct Accounts {
    removed: u64,
    /// A checksum of the records that are left, by their revisions.
    left: u32,
}

/// For oracles and records.
impl Accounts {
    fn removed(&mut self) {
        self.removed += 1;
    }

    fn left(&mut self, key: &[u8]) {
        self.left = crc32c::crc32c_append(self.left, key);
    }
}

impl Compaction {
    /// For oracles and records: how many it has taken away.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.accounts.removed
    }

    /// Takes away what is not kept among the next `limit` records. False if that were the last.
    pub fn batch(&mut self, tx: &mut impl Write, limit: usize) -> bool {
        let end = self.main.saturating_add(1).to_be_bytes();
        let records = tx.range(Bucket::Key, &self.from, &end, limit);
        for (key, value) in &records {
            let Some((revision, tombstone)) = Revision::from_bytes(key) else { continue };
            if !self.kept.contains(revision) {
                tx.delete(Bucket::Key, key.clone());
                self.accounts.removed();
            } else {
                self.accounts.left(key);
            }
            self.hasher.take(revision, tombstone, &self.kept, key, value);
        }
        if let Some((last, _)) = records.last() {
            self.from = last.to_vec();
            self.from.push(0);
        }
        records.len() == limit
    }

    /// For oracles: a checksum of what it has left, by revisions. Unlike [`hash`](Self::hash) it covers the tombstone of the compacted
    /// revision, and what a compaction left that was interrupted.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.accounts.left
    }

    /// Records that nothing is left to be taken away.
    pub fn set_finished(&self, tx: &mut impl Write) {
        set(tx, FINISHED, self.main);
    }

    /// The hash of what the compaction before left, up to this one.
    #[must_use]
    pub fn hash(&self) -> KvHash {
        self.hasher.finish()
    }
}

/// Lets the store in a database that nobody has open go on from `by` revisions later, and counts everything up to there
/// as compacted: what `etcdutl snapshot restore --bump-revision --mark-compacted` does. It writes nothing but a record
/// of no key at the new revision. etcdutl adds to the revision of the newest record, ours to the current revision, which
/// is later where the newest records were of deletions and are compacted away.
///
/// # Errors
///
/// There is no store in it.
pub fn bump(tx: &mut impl Write, by: i64) -> Result<(), RestoreError> {
    let Restored { store, unfinished, .. } = Store::restore(tx, 0)?;
    let main = store.revision().max(unfinished.unwrap_or_default()) + by;
    let revision = Revision { main, sub: 0 };
    tx.put(Bucket::Key, Bytes::copy_from_slice(&revision.to_bytes()), Bytes::new());
    set(tx, SCHEDULED, main);
    Ok(())
}

impl Store {
    /// Takes a request to compact at `main`: it will count from the next [`publish`](Self::publish) on. Returns the
    /// compacted revision before.
    ///
    /// # Errors
    ///
    /// `Compacted` and `FutureRevision`.
    pub fn schedule_compaction(&mut self, tx: &mut impl Write, main: i64) -> Result<i64, Error> {
        let before = self.compact_revision();
        if main <= before {
            return Err(Error::Compacted);
        }
        if main > self.revision() {
            return Err(Error::FutureRevision);
        }
        self.note_compaction(main);
        set(tx, SCHEDULED, main);
        Ok(before)
    }

    /// Takes up a compaction again that a restart interrupted. Returns the compacted revision before.
    pub fn resume_compaction(&mut self, main: i64) -> i64 {
        let before = self.compact_revision();
        // Its hash has been noted, and readers had been told.
        self.written.compact_revision = main;
        self.publish();
        before
    }

    /// The revision of the last compaction that was finished, or -1.
    #[must_use]
    pub fn finished_compaction(tx: &impl Read) -> i64 {
        finished(tx).unwrap_or(NEVER_COMPACTED)
    }

    /// Whether the last compaction that was scheduled is finished, so that the next one's hash covers everything
    /// since.
    #[must_use]
    pub fn is_compaction_finished(tx: &impl Read) -> bool {
        scheduled(tx) == finished(tx)
    }

    /// Begins to carry out a compaction at `main`, after one at `before`: the index forgets.
    pub fn begin_compaction(&mut self, main: i64, before: i64) -> Compaction {
        let takes_tombstone = [Defect::CompactedTombstone, Defect::RevisionOfRecords]
            .into_iter()
            .any(|defect| self.defects.has(defect));
        let kept = self.index.compact(main, takes_tombstone);
        let hasher = Hasher::new(before, main);
        Compaction { main, kept, from: vec![0], hasher, accounts: Accounts::default() }
    }
}
