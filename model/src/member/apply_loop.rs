//! Applies what is committed, in order.

use std::rc::Rc;

use bytes::Bytes;
use prost::Message;
use raft::eraftpb::Entry;
use vertebra_sim::record;

use super::membership::Membership;
use super::raft_loop::{Input, changes_configuration};
use super::{Member, conf_change, queue, snapshots};
use crate::api::InternalRaftRequest;
use crate::failpoints;
use crate::mvcc::Store;

/// What the raft loop hands over.
pub(super) enum Batch {
    /// Committed entries, behind those that were handed over before.
    Entries(Vec<Entry>),
    /// A snapshot from the leader, in place of the store.
    Snapshot { index: u64, term: u64, store: Bytes },
    /// A member waits for a snapshot newer than any there is.
    SnapshotWanted,
}

pub(super) async fn run(member: Rc<Member>, mut batches: queue::Receiver<Batch>) {
    let mut snapshot_index = member.applied.get();
    let mut applied_term = 0;
    while let Some(batch) = batches.recv().await {
        let mut wanted = false;
        match batch {
            Batch::SnapshotWanted => wanted = member.applied.get() > snapshot_index,
            Batch::Entries(entries) => {
                for entry in &entries {
                    if changes_configuration(entry) {
                        conf_change::apply(&member, entry).await;
                        applied(&member, entry, None);
                    } else {
                        member.node.failpoint(failpoints::BEFORE_APPLY_ONE_ENTRY_NORMAL).await;
                        apply(&member, entry);
                    }
                    applied_term = entry.term;
                }
            }
            Batch::Snapshot { index, term, store } => {
                member.node.failpoint(failpoints::APPLY_BEFORE_OPEN_SNAPSHOT).await;
                match snapshots::unpack(&store) {
                    Ok((membership, store)) => install(&member, index, term, membership, store),
                    Err(error) => member.node.exit(&format!("a snapshot from the leader: {error}")).await,
                }
                (snapshot_index, applied_term) = (index, term);
            }
        }
        member.applied_moved.notify_waiters();
        if wanted || member.applied.get() >= snapshot_index + member.options.snapshot_count {
            snapshot_index = member.applied.get();
            take_snapshot(&member, applied_term);
        }
    }
}

fn apply(member: &Member, entry: &Entry) {
    let request = if entry.data.is_empty() {
        // A new leader's first entry.
        None
    } else {
        match InternalRaftRequest::decode(&entry.data[..]) {
            Ok(request) => Some(request),
            Err(error) => panic!("entry {} cannot be decoded: {error}", entry.index),
        }
    };
    let (id, result) = match &request {
        Some(request) if conf_change::apply_published(member, request) => (0, None),
        Some(request) => {
            let id = request.header.map_or(0, |header| header.id);
            (id, Some(member.store.borrow_mut().apply(request)))
        }
        None => (0, None),
    };
    // What a member publishes of itself does not concern the store.
    applied(member, entry, request.filter(|request| request.cluster_member_attr_set.is_none()));
    if let Some(result) = result
        && let Some(waiter) = member.waiting.borrow_mut().remove(&id)
    {
        // Who asked may have stopped waiting.
        let _ = waiter.send(result);
    }
}

/// An entry is applied, whatever it was.
fn applied(member: &Member, entry: &Entry, request: Option<InternalRaftRequest>) {
    member.applied.set(entry.index);
    let store = member.store.borrow();
    record!(member.node, "apply", "entry {}/{}: revision {}", entry.index, entry.term, store.revision());
    member.observer.applied(member.id, entry, request, &store);
}

fn install(member: &Member, index: u64, term: u64, membership: Membership, store: Store) {
    record!(member.node, "apply", "snapshot {}/{}: revision {}", index, term, store.revision());
    member.observer.installed_store(member.id, index, &store);
    *member.store.borrow_mut() = store;
    *member.membership.borrow_mut() = membership;
    member.applied.set(index);
}

/// Encodes the store as it is now, and writes it to a file while entries go on being applied.
fn take_snapshot(member: &Rc<Member>, term: u64) {
    let index = member.applied.get();
    let membership = member.membership.borrow();
    let conf_state = membership.conf_state().clone();
    let store = snapshots::pack(&membership, &member.store.borrow());
    drop(membership);
    let member = Rc::clone(member);
    let node = member.node.clone();
    node.spawn(async move {
        let node = &member.node;
        node.failpoint(failpoints::SNAPSHOT_BEFORE_SAVE).await;
        if let Err(error) = snapshots::write(node, "own", index, term, &store).await {
            node.exit(&error.to_string()).await;
        }
        // The raft loop owns the log, and is gone only together with this task.
        let _ = member.raft.send(Input::SnapshotSaved { index, term, conf_state });
    });
}
