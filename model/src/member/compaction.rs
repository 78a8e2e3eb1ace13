//! Compactions: scheduled by entries of the log, carried out by a task of their own, one after another.
//!
//! From the moment at which a compaction is scheduled, no revision before it can be read. The records are removed in
//! batches, between which others write. A crash in between leaves the backend with a compaction that was scheduled and
//! not finished, and the member carries on with it when it starts.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;
use vertebra_sim::record;

use super::Member;
use super::kv::Kv;
use crate::api::{CompactionRequest, CompactionResponse, ResponseHeader};
use crate::backend::BackendError;
use crate::error::Error;
use crate::failpoints;
use crate::mvcc::{KvHash, Store};
use crate::response::Response;

/// Hashes that are kept for other members to ask for. As in etcd.
const HASHES_MAX: usize = 10;

/// A compaction that was scheduled.
pub(super) struct Job {
    pub(super) main: i64,
    /// The compacted revision before it.
    pub(super) before: i64,
    /// Of the backend for which it was scheduled.
    pub(super) generation: u32,
    /// Whether its hash counts: everything since the compaction before passes it by.
    pub(super) hashes: bool,
}

/// The compactions of a member.
#[derive(Default)]
pub(super) struct Compactions {
    jobs: RefCell<VecDeque<Job>>,
    /// How many are not over: those that wait, and the one that is under way.
    left: Cell<u32>,
    scheduled: Notify,
    finished: Cell<i64>,
    moved: Notify,
    /// Of the last ones, by revision.
    hashes: RefCell<Vec<KvHash>>,
}

impl Compactions {
    pub(super) fn push(&self, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        self.left.set(self.left.get() + 1);
        self.scheduled.notify_one();
    }

    pub(super) fn note_finished(&self, main: i64) {
        self.finished.set(main);
        self.moved.notify_waiters();
    }

    /// The hash that a compaction at `revision` left.
    pub(super) fn hash(&self, revision: i64) -> Option<KvHash> {
        self.hashes.borrow().iter().find(|hash| hash.revision == revision).copied()
    }

    /// The hashes of the last compactions, the newest first.
    pub(super) fn hashes(&self) -> Vec<KvHash> {
        self.hashes.borrow().iter().rev().copied().collect()
    }

    /// For oracles: how many are still to be carried out.
    pub(super) fn left(&self) -> u32 {
        self.left.get()
    }

    /// For oracles: the revision of the last one that waits.
    pub(super) fn waiting(&self) -> Option<i64> {
        self.jobs.borrow().back().map(|job| job.main)
    }

    /// The revision of the last one that is finished.
    pub(super) fn finished(&self) -> i64 {
        self.finished.get()
    }

    fn keep(&self, hash: KvHash) {
        let hashes = &mut *self.hashes.borrow_mut();
        hashes.push(hash);
        hashes.sort_by_key(|hash| hash.revision);
        let surplus = hashes.len().saturating_sub(HASHES_MAX);
        hashes.drain(..surplus);
    }
}

impl Kv {
    /// Schedules the compaction that an entry of the log asks for.
    pub(super) async fn compact(
        &self,
        member: &Member,
        request: CompactionRequest,
    ) -> Result<Result<Response, Error>, BackendError> {
        let hashes = Store::is_compaction_finished(&self.backend().read());
        let main = request.revision;
        let scheduled = self.write_unseen(|store, tx| store.schedule_compaction(tx, main)).await?;
        if let Ok(before) = scheduled {
            member.node.failpoint(failpoints::COMPACT_BEFORE_COMMIT_SCHEDULED).await;
            self.commit().await?;
            member.node.failpoint(failpoints::COMPACT_AFTER_COMMIT_SCHEDULED).await;
            self.compactions().push(Job { main, before, generation: self.generation(), hashes });
            member.observer.compaction_scheduled(member.id);
        }
        self.publish();
        let header = Some(ResponseHeader { revision: self.revision(), ..ResponseHeader::default() });
        Ok(scheduled.map(|_| Response::Compact(CompactionResponse { header })))
    }

    /// Waits until a compaction at `main` or later is finished.
    pub(super) async fn wait_compacted(&self, member: &Member, main: i64) {
        loop {
            let moved = self.compactions().moved.notified();
            if self.compactions().finished() >= main {
                return;
            }
            member.observer.waits_for_compaction(member.id, main, self.compactions().finished());
            moved.await;
        }
    }
}

/// Carries compactions out, one after another.
pub(super) async fn run(member: Rc<Member>) {
    loop {
        let compactions = member.kv.compactions();
        let next = compactions.jobs.borrow_mut().pop_front();
        let Some(job) = next else {
            compactions.scheduled.notified().await;
            continue;
        };
        if let Err(error) = carry_out(&member, &job).await {
            member.node.exit(&error.to_string()).await;
        }
        compactions.left.set(compactions.left.get() - 1);
        member.observer.compaction_moved(member.id, true);
    }
}

/// Removes what a compaction leaves no use for. It ends early when the backend is replaced: the new one knows how far
/// its own compactions have come.
async fn carry_out(member: &Member, job: &Job) -> Result<(), BackendError> {
    let (kv, node) = (&member.kv, &member.node);
    let is_replaced = || kv.generation() != job.generation;
    if is_replaced() {
        return Ok(());
    }
    let backend = kv.backend();
    let mut compaction = kv.change(|store| store.begin_compaction(job.main, job.before));
    loop {
        let mut tx = backend.lock().await;
        if is_replaced() {
            return Ok(());
        }
        node.failpoint(failpoints::COMPACT_AFTER_ACQUIRED_BATCH_TX_LOCK).await;
        if !compaction.batch(&mut tx, member.options.compaction_batch_limit) {
            node.failpoint(failpoints::COMPACT_BEFORE_SET_FINISHED).await;
            compaction.set_finished(&mut tx);
            member.observer.compaction_finished(member.id, job.main);
            tx.unlock().await?;
            node.failpoint(failpoints::COMPACT_AFTER_SET_FINISHED).await;
            break;
        }
        tx.unlock().await?;
        node.failpoint(failpoints::COMPACT_BEFORE_COMMIT_BATCH).await;
        backend.force_commit().await?;
        node.failpoint(failpoints::COMPACT_AFTER_COMMIT_BATCH).await;
        member.observer.compaction_moved(member.id, false);
        node.sleep(member.options.compaction_sleep_interval).await;
    }
    if !is_replaced() {
        record!(node, "compaction", "at {} has removed {} records", job.main, compaction.removed());
        kv.compactions().note_finished(job.main);
        member.observer.compaction_left(member.id, job.main, compaction.left());
        if job.hashes {
            let hash = compaction.hash();
            kv.compactions().keep(hash);
            member.observer.hashed(member.id, hash);
            member.observer.keeps(member.id, hash, kv.compactions().hash(hash.revision));
        }
    }
    Ok(())
}
