//! Applies what is committed, in order.

use std::rc::Rc;

use bytes::Bytes;
use prost::Message;
use raft::eraftpb::Entry;
use vertebra_sim::{record, sometimes};

use super::raft_loop::Input;
use super::{Member, queue, snapshots};
use crate::api::InternalRaftRequest;
use crate::failpoints;
use crate::mvcc::Store;

/// What the raft loop hands over.
pub(super) enum Batch {
    /// Committed entries, behind those that were handed over before.
    Entries(Vec<Entry>),
    /// A snapshot from the leader, in place of the store.
    Snapshot { index: u64, term: u64, store: Bytes },
}

pub(super) async fn run(member: Rc<Member>, mut batches: queue::Receiver<Batch>) {
    let mut snapshot_index = member.applied.get();
    let mut applied_term = 0;
    while let Some(batch) = batches.recv().await {
        match batch {
            Batch::Entries(entries) => {
                let terms = entries.first().map(|entry| entry.term) != entries.last().map(|entry| entry.term);
                sometimes!(member.node, "entries of several terms are applied at once", terms);
                sometimes!(member.node, "many entries are applied at once", entries.len() >= 16);
                for entry in &entries {
                    member.node.failpoint(failpoints::BEFORE_APPLY_ONE_ENTRY_NORMAL).await;
                    apply(&member, entry);
                    applied_term = entry.term;
                }
            }
            Batch::Snapshot { index, term, store } => {
                member.node.failpoint(failpoints::APPLY_BEFORE_OPEN_SNAPSHOT).await;
                match Store::from_snapshot(&store) {
                    Ok(store) => install(&member, index, term, store),
                    Err(error) => member.node.exit(&format!("a snapshot from the leader: {error}")).await,
                }
                (snapshot_index, applied_term) = (index, term);
            }
        }
        member.applied_moved.notify_waiters();
        if member.applied.get() >= snapshot_index + member.options.snapshot_count {
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
        Some(request) => {
            let id = request.header.map_or(0, |header| header.id);
            (id, Some(member.store.borrow_mut().apply(request)))
        }
        None => (0, None),
    };
    member.applied.set(entry.index);
    let store = member.store.borrow();
    record!(member.node, "apply", "entry {}/{}: revision {}", entry.index, entry.term, store.revision());
    member.observer.applied(member.id, entry, request, &store);
    let waiter = member.waiting.borrow_mut().remove(&id);
    let is_own = result.is_some() && id >> 48 == member.id;
    sometimes!(
        member.node,
        "a write takes effect for which nobody waits any more",
        is_own && waiter.is_none()
    );
    if let (Some(result), Some(waiter)) = (result, waiter) {
        // Who asked may have stopped waiting.
        let _ = waiter.send(result);
    }
}

fn install(member: &Member, index: u64, term: u64, store: Store) {
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
    record!(member.node, "apply", "snapshot {}/{}: revision {}", index, term, store.revision());
    member.observer.installed_store(member.id, index, &store);
    *member.store.borrow_mut() = store;
    member.applied.set(index);
}

/// Encodes the store as it is now, and writes it to a file while entries go on being applied.
fn take_snapshot(member: &Rc<Member>, term: u64) {
    let index = member.applied.get();
    let store = member.store.borrow().encode_snapshot();
    let member = Rc::clone(member);
    let node = member.node.clone();
    node.spawn(async move {
        let node = &member.node;
        node.failpoint(failpoints::SNAPSHOT_BEFORE_SAVE).await;
        if let Err(error) = snapshots::write(node, "own", index, term, &store).await {
            node.exit(&error.to_string()).await;
        }
        // The raft loop owns the log, and is gone only together with this task.
        let _ = member.raft.send(Input::SnapshotSaved { index, term });
    });
}
