//! The index over all keys, in their order.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::key_index::{Found, KeyIndex};
use super::revision::Revision;

/// The keys that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys<'a> {
    /// This key alone.
    One(&'a [u8]),
    /// Every key from this one on.
    From(&'a [u8]),
    /// From the first to before the second; empty if they do not stand in this order.
    Between(&'a [u8], &'a [u8]),
}

impl<'a> Keys<'a> {
    /// What `key` and `range_end` of a request mean: no end is the one key, an end of "\0" is no upper bound.
    pub fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::One(key),
            [0] => Self::From(key),
            end => Self::Between(key, end),
        }
    }

    /// Whether `key` is one of them.
    pub fn contain(self, key: &[u8]) -> bool {
        match self {
            Self::One(only) => key == only,
            Self::From(first) => key >= first,
            Self::Between(first, end) => key >= first && key < end,
        }
    }

    /// The bounds, never in the wrong order: `BTreeMap` panics at those.
    fn bounds(self) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
        match self {
            Self::One(key) => (Bound::Included(key), Bound::Included(key)),
            Self::From(first) => (Bound::Included(first), Bound::Unbounded),
            Self::Between(first, end) => (Bound::Included(first), Bound::Excluded(end.max(first))),
        }
    }
}

/// The life of every key that the store has history of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    keys: BTreeMap<Bytes, KeyIndex>,
}

impl Index {
    pub fn get(&self, key: &[u8]) -> Option<&KeyIndex> {
        self.keys.get(key)
    }

    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut KeyIndex> {
        self.keys.get_mut(key)
    }

    pub fn insert(&mut self, key: Bytes, life: KeyIndex) {
        self.keys.insert(key, life);
    }

    /// Calls `visit` with each of `keys` that existed at the end of revision `main`, in their order, until it
    /// returns false.
    pub fn visit(&self, keys: Keys<'_>, main: i64, mut visit: impl FnMut(Found) -> bool) {
        if let Keys::One(key) = keys {
            if let Some(found) = self.keys.get(key).and_then(|life| life.get(main)) {
                visit(found);
            }
            return;
        }
        for found in self.keys.range::<[u8], _>(keys.bounds()).filter_map(|(_, life)| life.get(main)) {
            if !visit(found) {
                return;
            }
        }
    }

    /// Forgets what a compaction at `main` takes away, and tells which of the revisions up to there it leaves.
    ///
    /// With `takes_tombstone`, a planted bug, it also takes those that are at `main` itself.
    pub fn compact(&mut self, main: i64, takes_tombstone: bool) -> Kept {
        let mut kept = Vec::new();
        self.keys.retain(|_, life| life.compact(main, takes_tombstone, &mut kept));
        Kept::new(kept)
    }

    /// The revisions up to `main` that a hash of a store compacted there covers.
    pub fn hashed(&self, main: i64) -> Kept {
        let mut kept = Vec::new();
        self.keys.values().for_each(|life| life.hashed(main, &mut kept));
        Kept::new(kept)
    }

    /// Each of `keys` that exists now, in their order, to be changed.
    pub fn living_mut(&mut self, keys: Keys<'_>) -> impl Iterator<Item = (&Bytes, &mut KeyIndex, Found)> {
        let lives = self.keys.range_mut::<[u8], _>(keys.bounds());
        lives.filter_map(|(key, life)| life.newest().map(|found| (key, life, found)))
    }
}

/// The revisions that a compaction leaves of those up to its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept(Vec<Revision>);

impl Kept {
    fn new(mut revisions: Vec<Revision>) -> Self {
        revisions.sort_unstable();
        Self(revisions)
    }

    pub fn contains(&self, revision: Revision) -> bool {
        self.0.binary_search(&revision).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_one_zero_byte_means_no_upper_bound() {
        let from = Keys::new(b"b", b"\0");
        assert!(from.contain(b"b") && from.contain(b"\xff\xff") && !from.contain(b"a"));
        assert!(Keys::new(b"\0", b"\0").contain(b"\0"));
    }

    #[test]
    fn a_range_excludes_its_end_and_can_be_empty() {
        let range = Keys::new(b"a", b"c");
        assert!(range.contain(b"a") && range.contain(b"b\xff") && !range.contain(b"c"));
        assert!(!Keys::new(b"c", b"a").contain(b"b") && !Keys::new(b"c", b"c").contain(b"c"));
        let mut index = Index::default();
        index.insert("b".into(), KeyIndex::create(Revision { main: 2, sub: 0 }));
        let count = |key: &[u8], end: &[u8]| {
            let mut count = 0;
            index.visit(Keys::new(key, end), 2, |_| {
                count += 1;
                true
            });
            count
        };
        assert_eq!((count(b"a", b"c"), count(b"b", b"b\0")), (1, 1));
        assert_eq!((count(b"c", b"a"), count(b"b", b"b"), count(b"a", b"b")), (0, 0, 0));
    }
}
