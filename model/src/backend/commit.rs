//! A commit, from the hook to the transaction that follows it.

use std::rc::Rc;

use super::{BackendError, BatchTx};
use crate::failpoints;

impl BatchTx {
    /// Makes everything that was written durable. Nothing is done when nothing was written, not even by the hook.
    pub(super) async fn commit(&mut self) -> Result<(), BackendError> {
        let shared = Rc::clone(&self.shared);
        let node = &shared.node;
        let hook = shared.hook.borrow().clone();
        if let Some(hook) = hook {
            node.failpoint(failpoints::COMMIT_BEFORE_PRE_COMMIT_HOOK).await;
            hook(self);
            node.failpoint(failpoints::COMMIT_AFTER_PRE_COMMIT_HOOK).await;
        }
        if self.writer().pending == 0 {
            return Ok(());
        }
        node.failpoint(failpoints::BEFORE_COMMIT).await;
        self.writer_mut().database.commit().await?;
        node.failpoint(failpoints::AFTER_COMMIT).await;
        let writer = self.writer_mut();
        (writer.pending, writer.deletions) = (0, 0);
        // Only the hook's writes are in there: they came after those of the transaction were shown to others.
        writer.buffer.clear();
        shared.show(&writer.database);
        // etcd begins a transaction for writing, and one for reading.
        for _ in 0..2 {
            node.failpoint(failpoints::BEFORE_START_DB_TXN).await;
            node.failpoint(failpoints::AFTER_START_DB_TXN).await;
        }
        Ok(())
    }
}
