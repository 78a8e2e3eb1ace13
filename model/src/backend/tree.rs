//! The keys and values of one bucket.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;

/// A sorted map. A copy costs nothing, and is unaffected by what happens to the original.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Tree(Rc<BTreeMap<Bytes, Bytes>>);

impl Tree {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.0.get(key)
    }

    pub(super) fn insert(&mut self, key: Bytes, value: Bytes) {
        Rc::make_mut(&mut self.0).insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        Rc::make_mut(&mut self.0).remove(key);
    }

    /// Keys and values from `key` on.
    pub(super) fn iter_from(&self, key: &[u8]) -> impl Iterator<Item = (&Bytes, &Bytes)> + use<'_> {
        self.0.range::<[u8], _>((Bound::Included(key), Bound::Unbounded))
    }
}
