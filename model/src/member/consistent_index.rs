//! How far the store has come, as the backend itself knows it.
//!
//! Entries are applied to the backend in memory, and a commit makes many of them durable at once. After a crash the
//! log is applied again from a point that lies before that; an entry up to the consistent index is in the backend
//! already, and must not be applied to it twice. So the index must become durable with exactly the changes that it
//! stands for. It moves while the backend is locked for these changes, never before (etcd-io/etcd#13766), and every
//! commit writes it (etcd-io/etcd#14685).

use std::cell::Cell;

use bytes::Bytes;

use crate::backend::Bucket;
use crate::mvcc::{Read, Write};

const INDEX: &[u8] = b"consistent_index";
const TERM: &[u8] = b"term";
/// The model's own: the hash of all that was ever applied, which `agreement` compares.
const STATE_HASH: &[u8] = b"vertebra_state_hash";

/// Index and term of an entry.
type Place = (u64, u64);

/// The consistent index of a member.
#[derive(Default)]
pub(super) struct ConsistentIndex {
    /// The last entry whose changes the backend has, committed or not.
    applied: Cell<Place>,
    /// The entry that is being applied.
    applying: Cell<Place>,
    /// What was last written to the backend.
    saved: Cell<Place>,
}

impl ConsistentIndex {
    pub(super) fn get(&self) -> u64 {
        self.applied.get().0
    }

    /// Index and term of the last entry whose changes the backend has.
    pub(super) fn place(&self) -> (u64, u64) {
        self.applied.get()
    }

    /// What the backend was last given to write down.
    pub(super) fn saved(&self) -> u64 {
        self.saved.get().0
    }

    /// An entry is about to be applied. It counts when its changes are made.
    pub(super) fn set_applying(&self, index: u64, term: u64) {
        self.applying.set((index, term));
    }

    /// The backend is locked for the changes of the entry that is being applied.
    pub(super) fn locked_inside_apply(&self) {
        self.advance(self.applying.get());
    }

    /// The entry changed nothing in the backend.
    pub(super) fn set(&self, index: u64, term: u64) {
        self.advance((index, term));
    }

    fn advance(&self, place: Place) {
        let before = self.applied.replace(place);
        assert!(before.0 <= place.0, "the consistent index goes back from {} to {}", before.0, place.0);
    }

    /// Takes over what a backend says: at the start, and when a snapshot's backend takes the place of the old one.
    /// Until then, commits of the new one would write the old index into it (etcd-io/etcd#13908).
    pub(super) fn load(&self, tx: &impl Read) {
        let place = (number(tx, INDEX), number(tx, TERM));
        self.applied.set(place);
        self.applying.set(place);
        self.saved.set(place);
    }

    /// Writes index and term, and the hash of the state at this index. To be a part of every commit.
    pub(super) fn save(&self, tx: &mut impl Write, state_hash: u64) {
        let place = self.applied.get();
        if place == self.saved.replace(place) {
            return;
        }
        assert!(number(tx, INDEX) <= place.0, "the consistent index in the backend goes back to {}", place.0);
        for (key, value) in [(INDEX, place.0), (TERM, place.1), (STATE_HASH, state_hash)] {
            tx.put(Bucket::Meta, Bytes::from_static(key), Bytes::copy_from_slice(&value.to_be_bytes()));
        }
    }
}

/// Whether the key of the bucket Meta tells how far a member has come.
pub(super) fn is_of_it(key: &[u8]) -> bool {
    [INDEX, TERM, STATE_HASH].contains(&key)
}

/// The consistent index of a database that no member has open.
pub(crate) fn index_of(tx: &impl Read) -> u64 {
    number(tx, INDEX)
}

/// Gives a database that no member has open another consistent index, also a lower one: it becomes that of another log.
pub(super) fn force(tx: &mut impl Write, index: u64, term: u64) {
    for (key, value) in [(INDEX, index), (TERM, term)] {
        tx.put(Bucket::Meta, Bytes::from_static(key), Bytes::copy_from_slice(&value.to_be_bytes()));
    }
}

/// The hash of the state at the consistent index.
pub(super) fn state_hash(tx: &impl Read) -> u64 {
    number(tx, STATE_HASH)
}

fn number(tx: &impl Read, key: &[u8]) -> u64 {
    let value = tx.get(Bucket::Meta, key);
    value.and_then(|value| Some(u64::from_be_bytes(*value.first_chunk()?))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvcc::Memory;

    #[test]
    fn an_index_counts_when_the_backend_is_locked_for_its_entry_and_not_before() {
        let (index, mut buckets) = (ConsistentIndex::default(), Memory::default());
        index.set_applying(7, 2);
        index.save(&mut buckets, 1);
        assert_eq!((index.get(), number(&buckets, INDEX)), (0, 0));
        index.locked_inside_apply();
        index.save(&mut buckets, 1);
        assert_eq!((index.get(), number(&buckets, INDEX), state_hash(&buckets)), (7, 7, 1));
    }

    #[test]
    fn the_index_of_another_backend_takes_the_place_of_the_old_one() {
        let (index, mut newer) = (ConsistentIndex::default(), Memory::default());
        index.set(9, 3);
        index.save(&mut newer, 5);
        let other = ConsistentIndex::default();
        other.set(4, 1);
        other.load(&newer);
        assert_eq!(other.get(), 9);
        other.set(10, 3);
        other.save(&mut newer, 6);
        assert_eq!((number(&newer, INDEX), state_hash(&newer)), (10, 6));
    }

    #[test]
    #[should_panic(expected = "goes back from 9 to 8")]
    fn an_index_never_goes_back() {
        let index = ConsistentIndex::default();
        index.set(9, 3);
        index.set(8, 3);
    }
}
