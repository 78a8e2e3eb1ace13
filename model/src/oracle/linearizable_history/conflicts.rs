//! On which choices a failure depends.

/// Some keys by a bit each. Several may share one, and then more is looked at than must be.
pub(super) type KeySet = u64;

/// Whatever a gap's write does, and which it is.
pub(super) const ANYTHING: KeySet = KeySet::MAX;

/// The set of one key.
pub(super) fn key_set(key: u32) -> KeySet {
    1 << (key % KeySet::BITS)
}

/// A set of gaps by number, in order of their revisions, each with the keys that matter: another write that leaves these as the
/// present one does makes no difference. Most sets have a few gaps, of late, and some have all.
#[derive(Clone, Default)]
pub(super) struct GapSet {
    /// All below this one are in it, and anything of them matters.
    below: usize,
    /// And these, rising.
    more: Vec<(usize, KeySet)>,
}

impl GapSet {
    /// All gaps below `count`.
    pub(super) fn below(count: usize) -> Self {
        Self { below: count, more: Vec::new() }
    }

    pub(super) fn insert(&mut self, gap: usize, keys: KeySet) {
        if gap < self.below {
            return;
        }
        match self.more.binary_search_by_key(&gap, |(gap, _)| *gap) {
            Ok(place) => self.more[place].1 |= keys,
            Err(place) => self.more.insert(place, (gap, keys)),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.below > self.below {
            self.below = other.below;
            self.more.retain(|(gap, _)| *gap >= other.below);
        }
        other.more.iter().for_each(|(gap, keys)| self.insert(*gap, *keys));
    }

    pub(super) fn clear(&mut self) {
        self.below = 0;
        self.more.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.below == 0 && self.more.is_empty()
    }

    /// Takes the last one out.
    pub(super) fn pop(&mut self) -> Option<(usize, KeySet)> {
        self.more.pop().or_else(|| {
            self.below = self.below.checked_sub(1)?;
            Some((self.below, ANYTHING))
        })
    }
}
