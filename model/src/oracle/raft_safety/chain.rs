//! A log as the oracle keeps it: a chain of hashes, each over an entry and all before it.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// An entry in a chain of hashes: equal hashes at one index mean equal logs up to there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Link {
    pub(super) term: u64,
    pub(super) hash: u64,
}

impl Link {
    pub(super) fn next(self, term: u64, data: &[u8]) -> Self {
        let seed = self.hash.rotate_left(23) ^ term.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { term, hash: xxh3_64_with_seed(data, seed) }
    }
}

/// A log as hashes: the link before its first entry, and one for each entry.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) base_index: u64,
    pub(super) base: Link,
    pub(super) links: VecDeque<Link>,
}

impl Chain {
    /// An empty one behind `base`, which stands at `base_index`.
    pub(super) fn after(base_index: u64, base: Link) -> Self {
        Self { base_index, base, links: VecDeque::new() }
    }

    pub(super) fn last_index(&self) -> u64 {
        self.base_index + self.links.len() as u64
    }

    /// The link at `index`; `None` past the end and where the log has been compacted.
    pub(super) fn at(&self, index: u64) -> Option<Link> {
        match index.checked_sub(self.base_index)? {
            0 => Some(self.base),
            place => self.links.get(place as usize - 1).copied(),
        }
    }

    pub(super) fn truncate_after(&mut self, index: u64) {
        self.links.truncate(index.saturating_sub(self.base_index) as usize);
    }

    pub(super) fn compact_to(&mut self, index: u64) {
        if let Some(link) = self.at(index) {
            self.links.drain(..(index - self.base_index) as usize);
            (self.base_index, self.base) = (index, link);
        }
    }

    /// Whether the log holds `link` at `index`, or held it before a compaction.
    pub(super) fn holds(&self, index: u64, link: Link) -> bool {
        index < self.base_index || self.at(index) == Some(link)
    }
}
