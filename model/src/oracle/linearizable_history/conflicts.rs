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

    /// How much there is to copy.
    pub(super) fn weight(&self) -> usize {
        self.more.len()
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
        if self.more.is_empty() {
            self.more.extend(other.more.iter().filter(|(gap, _)| *gap >= self.below));
            return;
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

    fn last(&self) -> Option<usize> {
        self.more.last().map(|(gap, _)| *gap).or_else(|| self.below.checked_sub(1))
    }

    /// Takes the last one out.
    fn pop(&mut self) -> Option<(usize, KeySet)> {
        self.more.pop().or_else(|| {
            self.below = self.below.checked_sub(1)?;
            Some((self.below, ANYTHING))
        })
    }
}

/// Why a branch of the search ended, or why a gap has no other candidate.
#[derive(Default)]
pub(super) struct Conflict {
    gaps: GapSet,
    /// Classes of which no write was left: all gaps that these fill are in it. They are thousands in a long history, and looked
    /// up where that is needed. Some are there twice.
    spent: Vec<u32>,
    /// So many were there when each was there once.
    distinct: usize,
}

impl From<GapSet> for Conflict {
    fn from(gaps: GapSet) -> Self {
        Self { gaps, ..Self::default() }
    }
}

impl Conflict {
    pub(super) fn add(&mut self, gaps: &GapSet) {
        self.gaps.merge(gaps);
    }

    /// The gaps that the class fills are all in it, and so are those of the present one.
    pub(super) fn spend(&mut self, class: u32) {
        self.spent.push(class);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.gaps.merge(&other.gaps);
        self.spent.extend_from_slice(&other.spent);
        if self.spent.len() > 2 * self.distinct + 16 {
            self.spent.sort_unstable();
            self.spent.dedup();
            self.distinct = self.spent.len();
        }
    }

    /// Takes the last gap out, where `used` says which gaps each class fills: of those from that one on, none must be in there
    /// any more when the next is asked for.
    pub(super) fn pop(&mut self, used: &[Vec<usize>]) -> Option<(usize, KeySet)> {
        let spent = self.spent.iter().filter_map(|&class| used[class as usize].last()).max().copied();
        match (self.gaps.last(), spent) {
            (last, Some(spent)) if last.is_none_or(|last| last <= spent) => {
                if last == Some(spent) {
                    self.gaps.pop();
                }
                Some((spent, ANYTHING))
            }
            _ => self.gaps.pop(),
        }
    }
}
