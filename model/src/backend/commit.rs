//! A commit, from the hook to the transactions that follow it.

use std::rc::Rc;

use vertebra_sim::sometimes;

use super::accounts::Accounts;
use super::{BackendError, BatchTx};
use crate::failpoints;

impl BatchTx {
    /// Makes everything that was written durable. Nothing is done when nothing was written, not even by the hook.
    ///
    /// Readers go on seeing the last commit with the read buffer on top until this one is durable, which is the same.
    pub(super) async fn commit(&mut self) -> Result<(), BackendError> {
        self.commit_through_hook(true).await
    }

    /// The same, past the hook if it is not `hooked`.
    pub(super) async fn commit_through_hook(&mut self, hooked: bool) -> Result<(), BackendError> {
        if let Some(error) = &self.writer().failed {
            return Err(error.clone());
        }
        let shared = Rc::clone(&self.shared);
        let node = &shared.node;
        shared.view.borrow().assert_equal_to(&self.writer().database);
        let hook = shared.hook.borrow().clone().filter(|_| hooked);
        if let Some(hook) = hook {
            node.failpoint(failpoints::COMMIT_BEFORE_PRE_COMMIT_HOOK).await;
            hook(self);
            node.failpoint(failpoints::COMMIT_AFTER_PRE_COMMIT_HOOK).await;
        }
        if self.writer().pending == 0 {
            return Ok(());
        }
        let _busy = Accounts::busy(&shared.accounts);
        node.failpoint(failpoints::BEFORE_COMMIT).await;
        if let Err(error) = self.writer_mut().database.commit(node).await {
            sometimes!(node, "a commit fails", when = |run| run.any_fault(&["disk-error", "disk-full"]));
            self.writer_mut().failed = Some(error.clone());
            return Err(error);
        }
        let committed = shared.committed.borrow().clone();
        if let Some(committed) = committed {
            committed();
        }
        node.failpoint(failpoints::AFTER_COMMIT).await;
        shared.accounts.committed(self.writer().pending, &shared.limits);
        let writer = self.writer_mut();
        (writer.pending, writer.deletions) = (0, 0);
        shared.show(writer);
        // etcd begins a transaction for writing, and one for reading.
        for _ in 0..2 {
            node.failpoint(failpoints::BEFORE_START_DB_TXN).await;
            node.failpoint(failpoints::AFTER_START_DB_TXN).await;
        }
        Ok(())
    }
}
