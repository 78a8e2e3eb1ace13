//! Defragmentation: what is in use goes into a new file, which takes the place of the old one.
//!
//! As in etcd, nobody writes meanwhile, and a failure before the renaming leaves the old file in service. etcd opens
//! the new file for reading only what its meta pages say; here nothing is read of it at all, since everything that it
//! holds is in memory. bbolt syncs each transaction of the copying. Nobody opens the file before it has the other's name,
//! so that one sync before that does.

use thiserror::Error;
use vertebra_sim::sometimes;

use super::accounts::Accounts;
use super::database::{Database, temporary};
use super::{Backend, BackendError, BatchTx, Bucket};
use crate::defect::Defect;
use crate::failpoints;
use crate::syncs::Sync;

/// Keys that are copied in one transaction; etcd's 10,000 are more than a database of this size has.
const KEYS_PER_TRANSACTION: usize = 100;

/// Why a database was not defragmented.
#[derive(Debug, Error)]
pub enum DefragmentError {
    /// The new file could not be made. The old one is in service as before.
    #[error("defragment: {0}")]
    NotDone(BackendError),
    /// The commit before it, or the change of files, failed. The process must end.
    #[error("defragment: {0}")]
    Fatal(BackendError),
}

impl Backend {
    /// Copies what is in use into a new file, which then takes the place of the old one.
    ///
    /// # Errors
    ///
    /// Those of [`DefragmentError`]; only after one of them can the database go on being used.
    pub async fn defragment(&self) -> Result<(), DefragmentError> {
        let mut batch = self.lock().await;
        let before = self.size();
        let _busy = Accounts::busy(&self.0.accounts);
        let node = &self.0.node;
        node.failpoint(failpoints::DEFRAG_OPEN_FILE).await;
        let temporary = temporary(&self.0.path);
        let (disk, skipped) = (node.disk(), batch.writer().database.skipped());
        let new = Database::create(disk.clone(), &temporary, skipped).await;
        let copied = match new {
            Ok(new) => {
                // Through the hook (etcd-io/etcd#14685): what is copied must know how far it has come.
                let hooked = !self.0.limits.defects.has(Defect::DefragmentWithoutIndex);
                self.0.accounts.asked();
                batch.commit_through_hook(hooked).await.map_err(DefragmentError::Fatal)?;
                node.failpoint(failpoints::DEFRAG_BEFORE_COPY).await;
                node.failpoint(failpoints::DEFRAGDB).await;
                copy(&batch, new).await
            }
            Err(error) => Err(error),
        };
        let new = match copied {
            Ok(new) => new,
            Err(error) => {
                sometimes!(
                    node,
                    "a defragmentation fails and the old file stays",
                    when = |run| run.any_fault(&["disk-error", "disk-full"])
                );
                // What is left of it goes at the next start at the latest.
                let _ = disk.remove(&temporary).await;
                return Err(DefragmentError::NotDone(error));
            }
        };
        node.failpoint(failpoints::DEFRAG_BEFORE_RENAME).await;
        match new.rename(&self.0.path).await {
            Ok(new) => batch.writer_mut().database = new,
            Err(error) => {
                batch.writer_mut().failed = Some(error.clone());
                return Err(DefragmentError::Fatal(error));
            }
        }
        self.0.show(batch.writer_mut());
        sometimes!(node, "a defragmentation gives space back", self.size() < before);
        Ok(())
    }
}

/// Fills a new file with what the batch's database holds.
async fn copy(batch: &BatchTx, mut new: Database) -> Result<Database, BackendError> {
    let mut copied = 0;
    for bucket in Bucket::ALL {
        for (key, value) in batch.writer().database.tree(bucket).iter_from(b"") {
            copied += 1;
            if copied > KEYS_PER_TRANSACTION {
                new.commit_unsynced().await?;
                copied = 0;
            }
            new.put(bucket, key.clone(), value.clone());
        }
    }
    new.commit_unsynced().await?;
    new.sync(Sync::DefragmentFile).await?;
    Ok(new)
}
