//! What writes do to the keys that a failure depends on: of all that do the same, one is enough to try.
//!
//! Unknown writes that differ as requests often do the same in a given state, as transactions do whose comparisons differ, and
//! which put values that nobody has seen. A failure that depends on a gap for some keys alone comes with each of them.

use super::super::conflicts::{ANYTHING, KeySet, key_set};
use super::super::evidence::{Class, Evidence};
use super::Search;
use crate::oracle::replay::{Mark, Version};

/// What some write does to some keys.
pub(super) struct Effect<'a> {
    keys: KeySet,
    /// Those of them that it changes, rising, and what they are then.
    changes: Vec<(u32, Version<'a>)>,
}

impl<'a> Search<'a> {
    /// The write of a class at the last gap, before which the replay stands, has led to a failure that depends on the gap for
    /// the sake of `keys`.
    pub(super) fn doom(&mut self, class: u32, keys: KeySet) {
        let Some(evidence) = self.evidence.filter(|_| keys != ANYTHING) else { return };
        let failed = &evidence.classes[class as usize];
        let changes = if failed.write_set & keys == 0 {
            Vec::new()
        } else if failed.lease.is_none() {
            self.trial(class, |search, mark| search.changes(mark, keys)).unwrap_or_default()
        } else {
            // It does more than to change keys.
            return;
        };
        if let Some(gap) = self.filled.last_mut() {
            gap.doomed.push(Effect { keys, changes });
        }
    }

    /// Whether a class cannot change a key on which a failure depends that came without such a change.
    pub(super) fn spares_doomed_keys(&self, class: &Class) -> bool {
        let mut doomed = self.filled.last().into_iter().flat_map(|gap| &gap.doomed);
        doomed.any(|effect| effect.changes.is_empty() && class.write_set & effect.keys == 0)
    }

    /// Whether what was written since `mark` leads to a failure that has been seen at the last gap.
    pub(super) fn is_doomed(&self, evidence: &Evidence<'_>, mark: Mark) -> bool {
        let is_same = |one: &(u32, Version<'_>), other: &(u32, Version<'_>)| {
            one.0 == other.0 && evidence.is_same(one.0, &one.1, &other.1)
        };
        let Some(gap) = self.filled.last().filter(|gap| !gap.doomed.is_empty()) else { return false };
        let changes = self.changes(mark, ANYTHING);
        gap.doomed.iter().any(|effect| {
            let mut here = changes.iter().filter(|(key, _)| key_set(*key) & effect.keys != 0);
            effect.changes.iter().all(|failed| here.next().is_some_and(|change| is_same(change, failed)))
                && here.next().is_none()
        })
    }

    /// Whether a class may do anything at the last gap, before which the replay stands, that has not failed there.
    pub(super) fn leads_elsewhere(&mut self, class: u32) -> bool {
        let Some(evidence) = self.evidence else { return true };
        let members = &evidence.classes[class as usize];
        if self.spares_doomed_keys(members) {
            return false;
        }
        let ends_lease = members.lease.is_some();
        if ends_lease || self.filled.last().is_none_or(|gap| gap.doomed.is_empty()) {
            return true;
        }
        let is_doomed = self.trial(class, |search, mark| search.is_doomed(evidence, mark)).unwrap_or(false);
        if is_doomed && let Some(gap) = self.filled.last_mut() {
            // In another state it may do something else.
            members.touches.iter().for_each(|&key| gap.because.add(&self.causes[key as usize]));
        }
        !is_doomed
    }

    /// What `look` sees after the next write of a class, which is taken back then.
    fn trial<T>(&mut self, class: u32, look: impl FnOnce(&Self, Mark) -> T) -> Option<T> {
        let write = self.next_of(class)?;
        let mark = self.replay.mark();
        self.replays += 1;
        let _ = self.replay.step(&write.request, None);
        let seen = look(self, mark);
        self.replay.rewind(mark);
        Some(seen)
    }

    /// What was done to `keys` since `mark`.
    fn changes(&self, mark: Mark, keys: KeySet) -> Vec<(u32, Version<'a>)> {
        let written = self.replay.written_since(mark).filter(|(key, _)| key_set(*key) & keys != 0);
        let mut changes: Vec<_> = written.map(|(key, version)| (key, *version)).collect();
        changes.sort_unstable_by_key(|(key, _)| *key);
        changes.dedup_by_key(|(key, _)| *key);
        changes
    }
}
