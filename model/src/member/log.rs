//! The part of Raft's log that Raft reads: entries in memory, as in etcd's `MemoryStorage`.

use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

/// A log in memory. Clones share it.
#[derive(Clone)]
pub(super) struct Log(Rc<RefCell<State>>);

struct State {
    hard_state: HardState,
    /// The entries that are here follow this one, which a snapshot stands for.
    base_index: u64,
    base_term: u64,
    entries: VecDeque<Entry>,
    /// The newest snapshot that is durable: index and term.
    snapshot: (u64, u64),
    /// What is applied, for a follower that asks for a newer snapshot: index and term.
    applied: (u64, u64),
    /// The configuration with which Raft starts, and later that of the newest snapshot.
    conf_state: ConfState,
}

impl Log {
    pub(super) fn new(
        conf_state: ConfState,
        hard_state: HardState,
        snapshot: (u64, u64),
        entries: Vec<Entry>,
    ) -> Self {
        let (base_index, base_term) = snapshot;
        let entries = entries.into();
        Self(Rc::new(RefCell::new(State {
            hard_state,
            base_index,
            base_term,
            entries,
            snapshot,
            applied: snapshot,
            conf_state,
        })))
    }

    pub(super) fn set_hard_state(&self, hard_state: &HardState) {
        self.0.borrow_mut().hard_state = hard_state.clone();
    }

    pub(super) fn hard_state(&self) -> Ref<'_, HardState> {
        Ref::map(self.0.borrow(), |state| &state.hard_state)
    }

    /// Entries up to `index` are applied.
    pub(super) fn set_applied(&self, index: u64) {
        let state = &mut *self.0.borrow_mut();
        if let Some(term) = state.term(index) {
            state.applied = (index, term);
        }
    }

    pub(super) fn set_commit(&self, commit: u64) {
        self.0.borrow_mut().hard_state.commit = commit;
    }

    /// Puts entries in, in place of what was there from the first of them on.
    pub(super) fn append(&self, entries: Vec<Entry>) {
        let state = &mut *self.0.borrow_mut();
        let Some(first) = entries.first() else { return };
        let keep = first.index - state.base_index - 1;
        state.entries.truncate(keep as usize);
        state.entries.extend(entries);
    }

    /// Takes a snapshot from the leader in place of everything.
    pub(super) fn install(&self, index: u64, term: u64, conf_state: ConfState) {
        let state = &mut *self.0.borrow_mut();
        state.conf_state = conf_state;
        state.entries.clear();
        (state.base_index, state.base_term) = (index, term);
        state.snapshot = (index, term);
        state.hard_state.commit = state.hard_state.commit.max(index);
        state.hard_state.term = state.hard_state.term.max(term);
    }

    /// There is a durable snapshot at `index`; entries up to `compact` need not be kept. Whether that dropped any.
    pub(super) fn snapshot_saved(&self, index: u64, term: u64, conf_state: ConfState, compact: u64) -> bool {
        let state = &mut *self.0.borrow_mut();
        state.snapshot = (index, term);
        state.conf_state = conf_state;
        if compact <= state.base_index {
            return false;
        }
        let dropped = (compact - state.base_index) as usize;
        state.base_term = state.entries[dropped - 1].term;
        state.base_index = compact;
        state.entries.drain(..dropped);
        true
    }

    /// What stands for the entries that are no more here: index and term.
    pub(super) fn snapshot_base(&self) -> (u64, u64) {
        let state = self.0.borrow();
        (state.base_index, state.base_term)
    }

    pub(super) fn snapshot(&self) -> (u64, u64) {
        self.0.borrow().snapshot
    }

    pub(super) fn term_at(&self, index: u64) -> Option<u64> {
        self.0.borrow().term(index)
    }
}

impl State {
    fn last_index(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    fn term(&self, index: u64) -> Option<u64> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        let place = index.checked_sub(self.base_index + 1)?;
        self.entries.get(usize::try_from(place).ok()?).map(|entry| entry.term)
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let state = self.0.borrow();
        Ok(RaftState::new(state.hard_state.clone(), state.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let state = self.0.borrow();
        if low <= state.base_index {
            return Err(StorageError::Compacted.into());
        }
        let (from, to) = (low - state.base_index - 1, high - state.base_index - 1);
        let mut entries: Vec<_> = state.entries.range(from as usize..to as usize).cloned().collect();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let state = self.0.borrow();
        if index < state.base_index {
            return Err(StorageError::Compacted.into());
        }
        state.term(index).ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.0.borrow().base_index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.0.borrow().last_index())
    }

    fn snapshot(&self, request_index: u64, _: u64) -> raft::Result<Snapshot> {
        let state = self.0.borrow();
        // What is sent is made when it is sent, of what is applied then.
        let (index, term) = if state.snapshot.0 < request_index { state.applied } else { state.snapshot };
        if index == 0 || index < request_index {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        let mut snapshot = Snapshot::new();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (index, term);
        metadata.set_conf_state(state.conf_state.clone());
        Ok(snapshot)
    }
}
