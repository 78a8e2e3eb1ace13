//! The committed log, executed once for all oracles that hold something against it.

use bytes::Bytes;

use super::linearizable_history::{Write, each_possible_put};
use super::linearizable_log::{LogEntry, Witness};
use crate::api::{InternalRaftRequest, KeyValue, LeaseGrantRequest};
use crate::error::Error;
use crate::response::Response;
use crate::specification::Specification;

/// What came of the committed log.
pub struct Replayed {
    /// The store, with all that it ever was.
    pub(super) specification: Specification,
    /// Each change of a key, with its revision, in order.
    pub(super) changes: Vec<(i64, Bytes)>,
    /// When each revision was committed, from the second on.
    pub(super) committed: Vec<u64>,
    /// The entry that made each revision, from the second on.
    pub(super) indexes: Vec<u64>,
    /// Compactions, in order.
    pub(super) compactions: Vec<Compaction>,
    changed: Vec<Bytes>,
}

/// One change of one key.
pub(super) struct Change<'a> {
    pub revision: i64,
    pub key: &'a Bytes,
    /// What it is from then on; nothing if it was deleted.
    pub kv: Option<&'a KeyValue>,
}

/// One compaction of the log.
pub(super) struct Compaction {
    /// The entry that it is.
    pub index: u64,
    /// The oldest revision that it leaves.
    pub revision: i64,
    /// When it was committed.
    pub committed: u64,
}

impl Replayed {
    /// Nothing is executed yet of the log of `witness`.
    pub(super) fn nothing_of(witness: &Witness) -> Self {
        Self {
            specification: witness.empty_store(),
            changes: Vec::with_capacity(witness.entries().len()),
            committed: Vec::with_capacity(witness.entries().len()),
            indexes: Vec::with_capacity(witness.entries().len()),
            compactions: Vec::new(),
            changed: Vec::new(),
        }
    }

    /// All of the log of `witness`, whatever it answers.
    #[must_use]
    pub fn of(witness: &Witness) -> Self {
        Self::up_to(witness, u64::MAX)
    }

    /// The log of `witness` up to entry `index`, whatever it answers.
    pub(super) fn up_to(witness: &Witness, index: u64) -> Self {
        let mut replayed = Self::nothing_of(witness);
        for entry in witness.entries().iter().take_while(|entry| entry.index <= index) {
            // An error changes nothing, and is the business of another oracle.
            let _ = replayed.execute(entry);
        }
        replayed
    }

    /// The writes that made the revisions one after the other, from the second on, and compactions by revision. Leases
    /// are what puts say they are, and a write happens as soon as it is asked for.
    pub(super) fn of_order(writes: &[Write], compactions: Vec<Compaction>) -> Self {
        let mut replayed = Self {
            specification: Specification::with_leases(0),
            changes: Vec::with_capacity(writes.len()),
            committed: Vec::with_capacity(writes.len()),
            indexes: Vec::with_capacity(writes.len()),
            compactions,
            changed: Vec::new(),
        };
        for (index, write) in (1..).zip(writes) {
            each_possible_put(&write.request, &mut |put| replayed.grant(put.lease));
            if let Some(request) = write.request.to_proposal() {
                // An error would leave a gap in the revisions, and an order has none.
                let committed = write.invoked + 1;
                let _ = replayed.execute(&LogEntry { index, request, committed });
            }
        }
        replayed
    }

    /// Makes sure that there is a lease.
    fn grant(&mut self, id: i64) {
        if id != 0 {
            let request = LeaseGrantRequest { id, ttl: 1 };
            // It may be there already.
            let _ = self
                .specification
                .apply(&InternalRaftRequest { lease_grant: Some(request), ..InternalRaftRequest::default() });
        }
    }

    /// The revision of a store that has applied everything up to entry `index`.
    pub(super) fn revision_at(&self, index: u64) -> i64 {
        1 + self.indexes.partition_point(|made| *made <= index) as i64
    }

    /// All changes, in their order.
    pub(super) fn changes(&self) -> Vec<Change<'_>> {
        let mut changes: Vec<Change<'_>> = Vec::with_capacity(self.changes.len());
        for (revision, key) in &self.changes {
            let revision = *revision;
            let mut steps = self.specification.steps(key, revision);
            let step = match steps.len() {
                1 => 0,
                // A transaction that puts the key and deletes it.
                _ => {
                    let before = changes.iter().rev().take_while(|change| change.revision == revision);
                    before.filter(|change| change.key == key).count()
                }
            };
            changes.push(Change { revision, key, kv: steps.nth(step).flatten() });
        }
        changes
    }

    /// Executes the next entry.
    pub(super) fn execute(&mut self, entry: &LogEntry) -> Result<Response, Error> {
        let store = &mut self.specification;
        let (revision, compacted) = (store.revision(), store.compacted());
        self.changed.clear();
        let result = store.apply_and_tell(&entry.request, &mut self.changed);
        let (index, committed) = (entry.index, entry.committed);
        if store.compacted() > compacted {
            self.compactions.push(Compaction { index, revision: store.compacted(), committed });
        }
        if store.revision() > revision {
            self.committed.push(committed);
            self.indexes.push(index);
            self.changes.extend(self.changed.drain(..).map(|key| (revision + 1, key)));
        }
        result
    }
}
