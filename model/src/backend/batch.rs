//! Writing: transactions that are gathered into one commit (etcd's `batch_tx.go`).

use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;
use vertebra_sim::sometimes;

use super::buffer::WriteBuffer;
use super::database::Database;
use super::read::collect;
use super::{BackendError, Bucket, Shared};
use crate::failpoints;

/// What the holder of the lock works on.
pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) buffer: WriteBuffer,
    /// Writes since the last commit.
    pub(super) pending: usize,
    /// How many of them were deletions.
    pub(super) deletions: usize,
    /// Why a commit failed. What is in the file is unknown then, and there is no other commit.
    pub(super) failed: Option<BackendError>,
}

/// The right to write. Who has it sees its own writes at once; others see them when it is unlocked.
///
/// It is given up by [`unlock`](Self::unlock). Dropping it without that leaves its writes to whoever unlocks next.
#[must_use = "writes are seen by others when it is unlocked"]
pub struct BatchTx {
    pub(super) shared: Rc<Shared>,
    /// Taken out of `shared`, and put back when this is dropped. None when the database is closed.
    pub(super) writer: Option<Box<Writer>>,
    pub(super) _lock: OwnedMutexGuard<()>,
}

impl BatchTx {
    pub(super) fn writer(&self) -> &Writer {
        self.writer.as_ref().expect("the database is not closed")
    }

    pub(super) fn writer_mut(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("the database is not closed")
    }

    /// Sets the value of a key.
    ///
    /// # Panics
    ///
    /// If keys of a [sequential](Bucket::is_sequential) bucket are put out of order within one transaction.
    pub fn put(&mut self, bucket: Bucket, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        let writer = self.writer_mut();
        writer.database.put(bucket, key.clone(), value.clone());
        writer.buffer.add(bucket, key, Some(value));
        writer.pending += 1;
    }

    /// Removes a key, if it is there. The transaction is then committed as soon as it is unlocked.
    pub fn delete(&mut self, bucket: Bucket, key: impl Into<Bytes>) {
        let key = key.into();
        let writer = self.writer_mut();
        writer.database.delete(bucket, &key);
        writer.buffer.add(bucket, key, None);
        writer.pending += 1;
        writer.deletions += 1;
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, bucket: Bucket, key: &[u8]) -> Option<&Bytes> {
        self.writer().database.tree(bucket).get(key)
    }

    /// Keys and values from `key` on, sorted.
    pub fn iter_from(&self, bucket: Bucket, key: &[u8]) -> impl Iterator<Item = (&Bytes, &Bytes)> + use<'_> {
        self.writer().database.tree(bucket).iter_from(key)
    }

    /// Keys and values with `from <= key < to`, sorted; at most `limit` of them, where 0 means all.
    #[must_use]
    pub fn range(&self, bucket: Bucket, from: &[u8], to: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
        collect(self.iter_from(bucket, from), to, limit)
    }

    /// Writes that are not committed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.writer().pending
    }

    /// Shows others what was written, and commits when enough has gathered or something was deleted.
    ///
    /// # Errors
    ///
    /// Those of the disk in a commit. The process must end then.
    pub async fn unlock(mut self) -> Result<(), BackendError> {
        if self.writer().pending == 0 {
            return Ok(());
        }
        let shared = Rc::clone(&self.shared);
        shared.node.failpoint(failpoints::BEFORE_WRITEBACK_BUF).await;
        shared.view.borrow_mut().write_back(&mut self.writer_mut().buffer);
        shared.node.failpoint(failpoints::AFTER_WRITEBACK_BUF).await;
        let writer = self.writer();
        shared.accounts.shown(&shared.node, writer.deletions > 0, writer.pending, &shared.limits);
        let is_full = writer.pending >= shared.limits.batch_limit;
        sometimes!(shared.node, "a batch is committed because it is full", is_full);
        sometimes!(shared.node, "a batch is committed because something was deleted", writer.deletions > 0);
        if is_full || writer.deletions > 0 {
            Box::pin(self.commit()).await?;
        }
        Ok(())
    }
}

impl Drop for BatchTx {
    fn drop(&mut self) {
        self.shared.writer.set(self.writer.take());
    }
}
