//! The life of one key.
//!
//! A generation begins when the key is created and ends with the tombstone of its deletion. The index holds
//! revisions only; what was written at them is in the records.

use super::revision::Revision;

/// Every revision of one key, generation by generation.
///
/// After a deletion the last generation is empty: the key does not exist until a put begins to fill it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyIndex {
    generations: Vec<Generation>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Generation {
    /// The revision of the put that began it.
    created: i64,
    /// Of the last of `revisions`: how many changes the generation has seen, compacted ones and tombstone too.
    version: i64,
    revisions: Vec<Revision>,
}

impl Generation {
    /// The place of the newest revision up to `main`.
    fn newest_up_to(&self, main: i64) -> Option<usize> {
        self.revisions.partition_point(|revision| revision.main <= main).checked_sub(1)
    }
}

/// The version of a key that a reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where its record is.
    pub modified: Revision,
    /// The revision of the put that began its generation.
    pub created: i64,
    /// 1 for the put that created it, one more for each put since.
    pub version: i64,
}

impl KeyIndex {
    /// A key whose first known version is `found`, with an end to its generation if that is a tombstone.
    ///
    /// The version can be above 1: what came before it has been compacted away.
    pub fn begin(found: Found, tombstone: bool) -> Self {
        let Found { modified, created, version } = found;
        let mut generations = vec![Generation { created, version, revisions: vec![modified] }];
        if tombstone {
            generations.push(Generation::default());
        }
        Self { generations }
    }

    /// A key that is created at `revision`.
    pub fn create(revision: Revision) -> Self {
        Self::begin(Found { modified: revision, created: revision.main, version: 1 }, false)
    }

    /// Adds a put at `revision`, which is later than all before it, and returns the version that it makes.
    pub fn put(&mut self, revision: Revision) -> Found {
        let generation = self.last();
        if generation.revisions.is_empty() {
            generation.created = revision.main;
        }
        debug_assert!(generation.revisions.last().is_none_or(|last| *last < revision), "time goes forward");
        generation.revisions.push(revision);
        generation.version += 1;
        Found { modified: revision, created: generation.created, version: generation.version }
    }

    /// Ends the key's generation with a tombstone at `revision`.
    ///
    /// The key must exist. A tombstone is a revision of its generation like any other.
    pub fn tombstone(&mut self, revision: Revision) {
        debug_assert!(self.newest().is_some(), "a key that does not exist cannot be deleted");
        self.put(revision);
        self.generations.push(Generation::default());
    }

    /// The newest version, if the key exists now.
    pub fn newest(&self) -> Option<Found> {
        let generation = self.generations.last()?;
        let modified = *generation.revisions.last()?;
        Some(Found { modified, created: generation.created, version: generation.version })
    }

    /// The version as of the end of revision `main`, if the key existed then and it is not compacted away.
    pub fn get(&self, main: i64) -> Option<Found> {
        let last = self.generations.len() - 1;
        for (position, generation) in self.generations.iter().enumerate().rev() {
            let (Some(first), Some(newest)) = (generation.revisions.first(), generation.revisions.last())
            else {
                continue;
            };
            if position != last && newest.main <= main {
                return None;
            }
            if first.main > main {
                continue;
            }
            // Most reads are of the present, and need no search.
            let after = match newest.main <= main {
                true => generation.revisions.len(),
                false => generation.revisions.partition_point(|revision| revision.main <= main),
            };
            let newer = i64::try_from(generation.revisions.len() - after).unwrap_or(i64::MAX);
            return Some(Found {
                modified: generation.revisions[after - 1],
                created: generation.created,
                version: generation.version - newer,
            });
        }
        None
    }

    /// Forgets what a compaction at `main` takes away, and adds to `kept` the revisions up to there that it leaves.
    /// False if nothing is left of the key.
    ///
    /// The newest version up to `main` is left if the key existed then. If its generation ended at `main` itself,
    /// the tombstone is left: a watch from `main` on must see the deletion (etcd-io/etcd#18089).
    pub fn compact(&mut self, main: i64, takes_tombstone: bool, kept: &mut Vec<Revision>) -> bool {
        let first = self.first_not_ended_before(main + i64::from(takes_tombstone));
        self.generations.drain(..first);
        for generation in &mut self.generations {
            let Some(place) = generation.newest_up_to(main) else { break };
            kept.push(generation.revisions[place]);
            generation.revisions.drain(..place);
        }
        !matches!(&self.generations[..], [only] if only.revisions.is_empty())
    }

    /// Adds to `kept` the revisions up to `main` that a hash of a store compacted there covers.
    ///
    /// They are those that [`compact`](Self::compact) leaves, but for tombstones: releases of etcd that removed these
    /// must give the same hash.
    pub fn hashed(&self, main: i64, kept: &mut Vec<Revision>) {
        let last = self.generations.len() - 1;
        for (number, generation) in
            self.generations.iter().enumerate().skip(self.first_not_ended_before(main))
        {
            let Some(place) = generation.newest_up_to(main) else { break };
            let ends = number < last && place + 1 == generation.revisions.len();
            if !ends {
                kept.push(generation.revisions[place]);
            }
        }
    }

    /// The first generation that did not end before `main`.
    ///
    /// More than one can have begun by then: a transaction may delete a key and put it again. etcd looks at the first
    /// of them alone; a compaction at the revision of such a transaction takes the key away for good.
    fn first_not_ended_before(&self, main: i64) -> usize {
        let last = self.generations.len() - 1;
        let ends_later =
            |generation: &Generation| generation.revisions.last().is_some_and(|end| end.main >= main);
        self.generations[..last].iter().position(ends_later).unwrap_or(last)
    }

    fn last(&mut self) -> &mut Generation {
        self.generations.last_mut().expect("a key has a generation, if an empty one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(main: i64, sub: i64) -> Revision {
        Revision { main, sub }
    }

    /// Created at 2, changed at 4, deleted at 6, created again at 8.
    fn lived_twice() -> KeyIndex {
        let mut key = KeyIndex::create(at(2, 0));
        key.put(at(4, 0));
        key.tombstone(at(6, 0));
        key.put(at(8, 0));
        key
    }

    #[test]
    fn a_key_exists_from_its_creation_to_its_tombstone() {
        let key = lived_twice();
        let versions: Vec<_> = (1..=9).map(|main| key.get(main).map(|found| found.version)).collect();
        assert_eq!(versions, [None, Some(1), Some(1), Some(2), Some(2), None, None, Some(1), Some(1)]);
        assert_eq!(key.get(5).map(|found| (found.created, found.modified)), Some((2, at(4, 0))));
        assert_eq!(key.get(9), key.newest());
    }

    #[test]
    fn a_key_that_is_deleted_and_put_in_one_transaction_begins_a_generation() {
        let mut key = KeyIndex::create(at(2, 0));
        key.tombstone(at(3, 0));
        assert_eq!((key.newest(), key.get(3)), (None, None));
        let found = key.put(at(3, 1));
        assert_eq!(found, Found { modified: at(3, 1), created: 3, version: 1 });
        assert_eq!((key.get(2).map(|found| found.created), key.get(3)), (Some(2), Some(found)));
    }

    #[test]
    fn a_key_that_is_put_and_deleted_in_one_transaction_is_gone() {
        let mut key = KeyIndex::create(at(2, 0));
        key.put(at(3, 0));
        key.tombstone(at(3, 1));
        assert!(key.get(2).is_some() && key.get(3).is_none() && key.get(4).is_none());
    }

    /// The key after a compaction, if anything is left, and the revisions up to there that it left.
    fn compacted(key: &KeyIndex, main: i64) -> (Option<KeyIndex>, Vec<Revision>) {
        let (mut key, mut kept) = (key.clone(), Vec::new());
        let left = key.compact(main, false, &mut kept);
        (left.then_some(key), kept)
    }

    #[test]
    fn a_compaction_leaves_the_newest_version_and_the_tombstone_of_its_own_revision() {
        let key = lived_twice();
        let kept: Vec<_> = (1..=9).map(|main| compacted(&key, main).1).collect();
        let (first, second, end, third) = (vec![at(2, 0)], vec![at(4, 0)], vec![at(6, 0)], vec![at(8, 0)]);
        let none = Vec::new;
        let expected =
            [none(), first.clone(), first, second.clone(), second, end, none(), third.clone(), third];
        assert_eq!(kept[..], expected);
        let hashed: Vec<_> = (1..=9)
            .map(|main| {
                let mut kept = Vec::new();
                key.hashed(main, &mut kept);
                kept
            })
            .collect();
        let expected: Vec<_> =
            kept.into_iter().map(|kept| if kept == [at(6, 0)] { none() } else { kept }).collect();
        assert_eq!(hashed, expected);
    }

    #[test]
    fn what_a_compaction_leaves_is_read_as_before() {
        let key = lived_twice();
        for main in 1..=9 {
            let (left, _) = compacted(&key, main);
            for read in main..=9 {
                let found = left.as_ref().and_then(|left| left.get(read));
                assert_eq!(found, key.get(read), "compacted at {main}, read at {read}");
            }
        }
    }

    #[test]
    fn a_key_that_is_deleted_and_put_in_one_transaction_survives_a_compaction_there() {
        let mut key = KeyIndex::create(at(2, 0));
        key.tombstone(at(3, 0));
        let found = key.put(at(3, 1));
        let (left, kept) = compacted(&key, 3);
        assert_eq!((left.and_then(|left| left.get(3)), kept), (Some(found), vec![at(3, 0), at(3, 1)]));
        let mut kept = Vec::new();
        key.hashed(3, &mut kept);
        assert_eq!(kept, [at(3, 1)]);
    }

    #[test]
    fn a_key_that_was_deleted_before_the_compaction_is_gone() {
        let mut key = KeyIndex::create(at(2, 0));
        key.tombstone(at(4, 0));
        assert_eq!(compacted(&key, 5), (None, vec![]));
        let (left, kept) = compacted(&key, 4);
        assert_eq!((left.map(|left| left.get(4)), kept), (Some(None), vec![at(4, 0)]));
    }

    #[test]
    fn a_key_whose_past_is_compacted_keeps_its_version_and_its_creation() {
        let found = Found { modified: at(9, 0), created: 4, version: 3 };
        let mut key = KeyIndex::begin(found, false);
        assert_eq!((key.get(8), key.get(9)), (None, Some(found)));
        assert_eq!(key.put(at(10, 0)), Found { modified: at(10, 0), created: 4, version: 4 });
        assert_eq!(KeyIndex::begin(found, true).newest(), None);
    }
}
