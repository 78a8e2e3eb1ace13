//! Applies what is committed, in order.

use std::rc::Rc;

use bytes::Bytes;
use prost::Message as _;
use raft::eraftpb::{Entry, Message, SnapshotMetadata};
use vertebra_sim::{record, sometimes};

use super::membership::Membership;
use super::raft_loop::{Input, changes_configuration};
use super::{Member, conf_change, kv, peers, queue, snapshots};
use crate::api::alarm_request::AlarmAction;
use crate::api::request_op::Request as Op;
use crate::api::{
    AlarmMember, AlarmResponse, AlarmType, InternalRaftRequest, RequestOp, ResponseHeader, TxnRequest,
};
use crate::backend::{Backend, BackendError};
use crate::defect::Defect;
use crate::error::Error;
use crate::failpoints;
use crate::quota;
use crate::response::Response;

/// What the raft loop hands over.
pub(super) enum Batch {
    /// Committed entries, behind those that were handed over before.
    Entries(Vec<Entry>),
    /// A snapshot from the leader, whose backend takes the place of the member's own.
    Snapshot(SnapshotMetadata),
    /// Raft wants a follower to have a snapshot.
    SendSnapshot(Box<Message>),
}

/// The apply loop of a member.
struct ApplyLoop {
    member: Rc<Member>,
    /// Term of the last entry that was applied, or of the snapshot.
    term: u64,
    /// Index of the newest snapshot.
    snapshot_index: u64,
}

/// Applies batches as they come. What fails here ends the process: the disk did not do what it must.
pub(super) async fn run(member: Rc<Member>, mut batches: queue::Receiver<Batch>, snapshot: (u64, u64)) {
    let (snapshot_index, term) = snapshot;
    let mut this = ApplyLoop { member: Rc::clone(&member), term, snapshot_index };
    while let Some(batch) = batches.recv().await {
        if let Err(reason) = this.take(batch).await {
            member.node.exit(&reason).await;
        }
    }
}

// A future has room for all that it may come to wait for, and is moved with it. What is seldom waited for is in boxes here and
// elsewhere, so that what is done for each entry stays small.
impl ApplyLoop {
    async fn take(&mut self, batch: Batch) -> Result<(), String> {
        match batch {
            Batch::Entries(entries) => {
                let terms = entries.first().map(|entry| entry.term) != entries.last().map(|entry| entry.term);
                sometimes!(self.member.node, "entries of several terms are applied at once", terms);
                sometimes!(self.member.node, "many entries are applied at once", entries.len() >= 16);
                self.member.observer.takes_up(self.member.id, self.member.applied.get());
                for entry in &entries {
                    self.apply(entry).await.map_err(|error| error.to_string())?;
                }
            }
            Batch::Snapshot(metadata) => Box::pin(self.open_snapshot(&metadata)).await?,
            Batch::SendSnapshot(message) if !self.member.is_whole() => {
                let _ = self.member.raft.send(Input::SnapshotSent { to: message.to, arrived: false });
                return Ok(());
            }
            Batch::SendSnapshot(message) => {
                return Box::pin(self.send_snapshot(*message)).await.map_err(|error| error.to_string());
            }
        }
        self.member.applied_moved.notify_waiters();
        if self.member.applied.get() >= self.snapshot_index + self.member.options.snapshot_count {
            Box::pin(self.snapshot()).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, entry: &Entry) -> Result<(), BackendError> {
        let member = Rc::clone(&self.member);
        // After a restart the log is applied again from the snapshot on. What the backend has is passed over.
        let (has, defects) = (member.kv.consistent_index().get(), member.options.defects);
        let is_new = entry.index > has || defects.has(Defect::IndexOffByOne) && entry.index == has;
        if is_new {
            member.kv.consistent_index().set_applying(entry.index, entry.term);
            if defects.has(Defect::IndexBeforeApply) {
                member.kv.consistent_index().set(entry.index, entry.term);
            }
        }
        if changes_configuration(entry) {
            Box::pin(conf_change::apply(&member, entry, is_new)).await?;
        } else {
            member.node.failpoint(failpoints::BEFORE_APPLY_ONE_ENTRY_NORMAL).await;
        }
        if is_new {
            self.apply_new(entry).await?;
        } else {
            sometimes!(
                member.node,
                "an entry is passed over, for the backend has it",
                when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
            );
            record!(member.node, "apply", "entry {}/{}: passed over", entry.index, entry.term);
            // What a member published of itself does not concern the store.
            let request = || request_of(entry).filter(|request| request.cluster_member_attr_set.is_none());
            member.observer.passed_over(member.id, entry, request);
        }
        member.applied.set(entry.index);
        self.term = entry.term;
        Ok(())
    }

    async fn apply_new(&self, entry: &Entry) -> Result<(), BackendError> {
        let member = &self.member;
        let mut request = request_of(entry);
        if let Some(published) = &request
            && conf_change::apply_published(member, published).await?
        {
            // It does not concern the store.
            request = None;
        }
        // Watches may tell of it while the backend's commit is under way, which is before it is applied.
        member.observer.applies(entry, || request.clone());
        let answer = match &request {
            Some(request) => {
                let id = request.header.as_ref().map_or(0, |header| header.id);
                let fits = member.fits(quota::cost(request));
                let result = self.execute(entry.index, request).await?;
                // It is applied, and still refused.
                let result = result.map(|result| if fits { result } else { result.and(Err(Error::NoSpace)) });
                result.map(|result| (id, result))
            }
            None => {
                if entry.data.is_empty() && !changes_configuration(entry) {
                    member.promote_lessor(entry.term);
                }
                None
            }
        };
        if member.kv.consistent_index().get() < entry.index {
            member.kv.pass(entry.index, entry.term);
        }
        let revision = member.kv.revision();
        record!(member.node, "apply", "entry {}/{}: revision {}", entry.index, entry.term, revision);
        member.observer.applied(member.id, entry, &member.kv);
        if let Some((id, result)) = answer {
            let waiter = member.waiting.borrow_mut().remove(&id);
            let is_own = id >> 48 == member.id;
            sometimes!(
                member.node,
                "a write takes effect for which nobody waits any more",
                is_own && waiter.is_none()
            );
            if result == Err(Error::NoSpace) && !member.kv.alarms().any(AlarmType::Nospace) {
                member.refuse_for_space(waiter);
            } else if let Some(waiter) = waiter {
                // Who asked may have stopped waiting.
                let _ = waiter.send(result);
            }
        }
        Ok(())
    }

    /// Lets the part of the member that a request is for execute it. There is no answer where nobody waits for one.
    async fn execute(
        &self,
        index: u64,
        request: &InternalRaftRequest,
    ) -> Result<Option<Result<Response, Error>>, BackendError> {
        let kv = &self.member.kv;
        if let Some(alarm) = &request.alarm {
            let changed = Box::pin(kv.write(|_, tx| kv.alarms().apply(tx, alarm))).await?;
            let id = request.header.as_ref().map_or(0, |header| header.id);
            let corrupt = alarm.alarm == AlarmType::Corrupt as i32 && alarm.action() == AlarmAction::Activate;
            if changed && corrupt && !self.member.observer.is_asked_for(id) {
                self.member.observer.found_corrupt(self.member.id, alarm.member_id);
            }
            // The member's own do not wait for an answer.
            let is_waited_for = self.member.waiting.borrow().contains_key(&id);
            return Ok(is_waited_for.then(|| {
                let alarms = match alarm.action() {
                    AlarmAction::Get => kv.alarms().of_kind(alarm.alarm),
                    _ if changed => vec![AlarmMember { member_id: alarm.member_id, alarm: alarm.alarm }],
                    _ => Vec::new(),
                };
                let header = Some(ResponseHeader { revision: kv.revision(), ..ResponseHeader::default() });
                Ok(Response::Alarm(AlarmResponse { header, alarms }))
            }));
        }
        if let Some(auth) = &request.auth {
            return Box::pin(kv.apply_auth(index, request, auth)).await.map(Some);
        }
        // As in etcd: reads, which do not come here, are answered still.
        if let Err(error) = quota::check(request, |kind| kv.alarms().any(kind)) {
            return Ok(Some(Err(error)));
        }
        if let Err(error) = kv.check_auth(request) {
            return Ok(Some(Err(error)));
        }
        if let Some(compaction) = request.compaction {
            return Box::pin(kv.compact(&self.member, compaction)).await.map(Some);
        }
        if self.member.options.has(Defect::StrippedRanges)
            && let Some(stripped) = self.without_reads(request)
        {
            return Box::pin(kv.apply(&stripped)).await.map(Some);
        }
        kv.apply(request).await.map(Some)
    }

    /// For planted bugs: the request without the reads of its transaction, if nobody here waits for what they find.
    fn without_reads(&self, request: &InternalRaftRequest) -> Option<InternalRaftRequest> {
        let id = request.header.as_ref().map_or(0, |header| header.id);
        let txn = request.txn.as_ref().filter(|_| !self.member.waiting.borrow().contains_key(&id))?;
        let is_write = |op: &RequestOp| !matches!(op.request, Some(Op::RequestRange(_)));
        let writes = |ops: &[RequestOp]| ops.iter().filter(|op| is_write(op)).cloned().collect();
        let (success, failure) = (writes(&txn.success), writes(&txn.failure));
        let txn = Some(TxnRequest { success, failure, compare: txn.compare.clone() });
        Some(InternalRaftRequest { txn, ..request.clone() })
    }

    /// Puts the backend that came from the leader in the place of the member's own, and recovers everything from it.
    async fn open_snapshot(&mut self, metadata: &SnapshotMetadata) -> Result<(), String> {
        let member = Rc::clone(&self.member);
        let (index, term) = (metadata.index, metadata.term);
        let waits = !member.waiting.borrow().is_empty();
        sometimes!(member.node, "a snapshot is installed", when = |run| run.members > 1);
        sometimes!(
            member.node,
            "a snapshot is installed while requests wait",
            waits,
            when = |run| run.members > 1
        );
        sometimes!(
            member.node,
            "a snapshot is installed in a new member",
            member.applied.get() == 0,
            when = |run| run.members > 1
        );
        sometimes!(
            member.node,
            "a snapshot is installed over entries",
            member.applied.get() > 0,
            when = |run| run.members > 1
        );
        member.node.failpoint(failpoints::APPLY_BEFORE_OPEN_SNAPSHOT).await;
        sometimes!(
            member.node,
            "a snapshot is installed while the backend is defragmented",
            member.backend_file.try_lock().is_err(),
            when = |run| run.members > 1
        );
        let (mut file, mut locked, old) = (None, None, member.kv.backend());
        if !member.options.has(Defect::SwapWhileDefragmenting) {
            file = Some(member.backend_file.lock().await);
            // Nothing may be on its way to the old backend when another file gets its name.
            locked = Some(old.lock().await);
        }
        let began = member.node.world().now();
        let skipped = member.options.skipped_syncs();
        let taken = snapshots::take_database(&member.node.disk(), index, kv::PATH).await;
        taken.map_err(|error| format!("a snapshot from the leader: {error}"))?;
        let backend = Backend::open(&member.node, kv::PATH, kv::limits(&member.options), skipped).await;
        let backend = backend.map_err(|error| format!("a snapshot from the leader: {error}"))?;
        member.node.failpoint(failpoints::APPLY_AFTER_OPEN_SNAPSHOT).await;
        member.kv.replace(backend).await.map_err(|error| format!("a snapshot from the leader: {error}"))?;
        drop((locked, file));
        let membership =
            member.kv.read(|_, tx| Membership::load(tx, || Membership::initial(member.options.members)));
        *member.membership.borrow_mut() = membership?;
        let revision = member.kv.revision();
        record!(member.node, "apply", "snapshot {}/{}: revision {}", index, term, revision);
        member.observer.installed_store(member.id, index, began, &member.kv);
        member.applied.set(index);
        (self.snapshot_index, self.term) = (index, term);
        member.become_whole();
        Ok(())
    }

    /// Commits the backend, so that it is not behind the snapshot, and then says that there is one.
    async fn snapshot(&mut self) -> Result<(), String> {
        let member = &self.member;
        let (index, term) = (member.applied.get(), self.term);
        if !member.options.has(Defect::SnapshotBeforeCommit) {
            member.kv.commit().await.map_err(|error| error.to_string())?;
        }
        let consistent = member.kv.consistent_index().get();
        assert!(consistent >= index, "the consistent index {consistent} is behind the snapshot {index}");
        let node = &member.node;
        node.failpoint(failpoints::SNAPSHOT_BEFORE_SAVE).await;
        let metadata = self.metadata(index, term);
        let conf_state = metadata.get_conf_state().clone();
        let saved = snapshots::save(node, &metadata, member.options.skipped_syncs()).await;
        saved.map_err(|error| error.to_string())?;
        self.snapshot_index = index;
        member.observer.makes_snapshot(member.id, index);
        // The raft loop owns the log, and is gone only together with this task.
        let _ = member.raft.send(Input::SnapshotSaved { index, term, conf_state });
        Ok(())
    }

    /// Sends the backend as it is now, as the snapshot of the entry that was applied last.
    async fn send_snapshot(&self, mut message: Message) -> Result<(), BackendError> {
        let database: Bytes = self.member.kv.backend().snapshot().await?;
        *message.mut_snapshot().mut_metadata() = self.metadata(self.member.applied.get(), self.term);
        peers::send_snapshot(&self.member, message, database);
        Ok(())
    }

    fn metadata(&self, index: u64, term: u64) -> SnapshotMetadata {
        let mut metadata = SnapshotMetadata::new();
        (metadata.index, metadata.term) = (index, term);
        let conf_state = match self.member.options.has(Defect::ForgottenConfiguration) {
            true => Membership::initial(self.member.options.members).conf_state().clone(),
            false => self.member.membership.borrow().conf_state().clone(),
        };
        metadata.set_conf_state(conf_state);
        metadata
    }
}

/// The request in an entry. A new leader's first entry has none, nor has one that changes the configuration.
fn request_of(entry: &Entry) -> Option<InternalRaftRequest> {
    let has_request = !entry.data.is_empty() && !changes_configuration(entry);
    has_request.then(|| decode(entry))
}

fn decode(entry: &Entry) -> InternalRaftRequest {
    match InternalRaftRequest::decode(entry.data.clone()) {
        Ok(request) => request,
        Err(error) => panic!("entry {} cannot be decoded: {error}", entry.index),
    }
}
