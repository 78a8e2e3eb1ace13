//! The groups of watchers, and how watchers move between them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::batch::{Batch, Size, batches};
use super::watcher::{Place, Watch, Watcher};
use crate::api::Event;
use crate::defect::{Defect, Defects};

/// Which watcher: they are numbered as they come, over all streams of a member.
pub type Number = u64;

/// What did not fit into the channels of watchers, and who they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Victims(BTreeMap<Number, Batch>);

/// What came of a look at unsynced watchers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// How many are unsynced now.
    pub unsynced: usize,
    /// How many were cancelled, since they want what is compacted.
    pub cancelled: usize,
    /// How many must be cancelled, and their channels are full.
    pub not_cancelled: usize,
    /// How many did not have room in their channels for what they should be told.
    pub victims: usize,
    /// How many have more to be told than goes into one response.
    pub unfinished: usize,
    /// How many wait for a revision that is not written yet.
    pub future: usize,
}

/// All watchers of a member.
#[derive(Clone, Debug)]
pub struct Watchers {
    all: BTreeMap<Number, Watcher>,
    next: Number,
    victims: Vec<Victims>,
    /// Where the last look at some of the unsynced watchers ended.
    looked_at: Number,
    /// Revisions that go into one response to an unsynced watcher.
    revisions_max: usize,
    defects: Defects,
}

impl Watchers {
    /// No watchers. Up to `revisions_max` revisions go into one response to an unsynced one.
    #[must_use]
    pub fn new(revisions_max: usize) -> Self {
        Self {
            all: BTreeMap::new(),
            next: 0,
            victims: Vec::new(),
            looked_at: 0,
            revisions_max,
            defects: Defects::NONE,
        }
    }

    /// The same, with these bugs.
    #[must_use]
    pub fn with(self, defects: Defects) -> Self {
        Self { defects, ..self }
    }

    fn at(&self, place: Place) -> impl Iterator<Item = (Number, &Watcher)> {
        self.all.iter().filter(move |(_, watcher)| watcher.place == place).map(|(number, it)| (*number, it))
    }

    /// For oracles: how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many are unsynced.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.at(Place::Unsynced).count()
    }

    /// How many are told of each write.
    #[must_use]
    pub fn synced(&self) -> usize {
        self.at(Place::Synced).count()
    }

    /// Whether any waits for room in its channel.
    #[must_use]
    pub fn has_victims(&self) -> bool {
        !self.victims.is_empty()
    }

    /// Begins to watch, in a store at revision `now`.
    pub fn watch(&mut self, watch: Watch, now: i64) -> Number {
        let synced = watch.start == 0 || watch.start > now;
        let (place, min_revision) = match synced {
            true => (Place::Synced, watch.start.max(now + 1)),
            false => (Place::Unsynced, watch.start),
        };
        self.next += 1;
        self.all.insert(self.next, Watcher { watch, place, min_revision, restored: false });
        self.next
    }

    /// Forgets a watcher. False: it is one of those that are being sent to now, and can be forgotten in a while.
    pub fn cancel(&mut self, number: Number) -> bool {
        let is_victim = self.all.get(&number).is_some_and(|watcher| watcher.place == Place::Victim);
        // One that was cancelled with a compaction is gone already.
        if is_victim && !self.victims.iter_mut().any(|victims| victims.0.remove(&number).is_some()) {
            return false;
        }
        self.victims.retain(|victims| !victims.0.is_empty());
        self.all.remove(&number);
        true
    }

    /// Tells the synced watchers what a write has made at `revision`. Returns how many of them had no room for it.
    pub fn notify(&mut self, revision: i64, events: &[Event]) -> usize {
        let mut victims = Victims::default();
        let size = self.size();
        for (number, batch) in batches(self.at(Place::Synced), events, size) {
            let Some(watcher) = self.all.get_mut(&number) else { continue };
            let sent = watcher.send(&batch.events, revision);
            // Whether it was sent or will be: what comes next is what follows, also when the store is replaced
            // (etcd-io/etcd#15271).
            if !sent || !self.defects.has(Defect::StaleCursor) {
                watcher.min_revision = revision + 1;
            }
            if !sent {
                watcher.place = Place::Victim;
                victims.0.insert(number, batch);
            }
        }
        self.add_victims(victims)
    }

    /// How much goes into one response.
    fn size(&self) -> Size {
        Size { max: self.revisions_max, counts_events: self.defects.has(Defect::SplitRevision) }
    }

    fn add_victims(&mut self, victims: Victims) -> usize {
        let count = victims.0.len();
        if count > 0 {
            self.victims.push(victims);
        }
        count
    }

    /// The store, which was at revision `told`, was replaced by one that may have what the synced watchers were not told
    /// of. Returns how many of them there are.
    pub fn restore(&mut self, told: i64) -> usize {
        let mut count = 0;
        if self.defects.has(Defect::WatchersForgotten) {
            self.all.retain(|_, watcher| watcher.place != Place::Synced);
        }
        for watcher in self.all.values_mut().filter(|watcher| watcher.place == Place::Synced) {
            // In etcd one that heard of nothing for long begins where it last did, and is cancelled if that was compacted.
            if !self.defects.has(Defect::StaleCursor) {
                watcher.min_revision = watcher.min_revision.max(told + 1);
            }
            watcher.place = Place::Unsynced;
            watcher.restored = !self.defects.has(Defect::FutureRestorePanic);
            count += 1;
        }
        count
    }

    /// Tells up to `watchers_max` unsynced watchers what they were not told, in a store at revision `now` that is
    /// compacted at `compacted`. `read` reads the events of the revisions from one to before another.
    pub fn sync(
        &mut self,
        (now, compacted): (i64, i64),
        watchers_max: usize,
        read: impl FnOnce(i64, i64) -> Vec<Event>,
    ) -> SyncReport {
        let mut sync = SyncReport::default();
        let mut chosen = self.choose(watchers_max);
        let mut from = i64::MAX;
        chosen.retain(|number| {
            let Some(watcher) = self.all.get_mut(number) else { return false };
            if watcher.min_revision > now {
                assert!(
                    watcher.restored,
                    "an unsynced watcher waits for revision {}, and the store is at {now}",
                    watcher.min_revision
                );
                watcher.restored = false;
                sync.future += 1;
            }
            if watcher.min_revision >= compacted {
                from = from.min(watcher.min_revision);
                return true;
            }
            // Where there is no room for the message, the watcher stays as it is until there is
            // (etcd-io/etcd#17529).
            if watcher.respond(Vec::new(), 0, compacted) {
                self.all.remove(number);
                sync.cancelled += 1;
            } else {
                sync.not_cancelled += 1;
                return self.defects.has(Defect::StarvedWatcher);
            }
            false
        });
        let events = if from <= now { read(from, now + 1) } else { Vec::new() };
        let watchers = chosen.iter().filter_map(|number| Some((*number, self.all.get(number)?)));
        let mut batches = batches(watchers, &events, self.size());
        let mut victims = Victims::default();
        for number in chosen {
            let Some(watcher) = self.all.get_mut(&number) else { continue };
            // Never back: it may wait for what is in the future (etcd-io/etcd#20221).
            watcher.min_revision = match self.defects.has(Defect::FutureLowered) {
                true => now + 1,
                false => watcher.min_revision.max(now + 1),
            };
            let Some(batch) = batches.remove(&number) else {
                watcher.place = Place::Synced;
                continue;
            };
            if batch.more != 0 {
                watcher.min_revision = batch.more;
            }
            let sent = match self.defects.has(Defect::UnfilteredCatchUp) {
                true => watcher.respond(batch.events.clone(), now, 0),
                false => watcher.send(&batch.events, now),
            };
            if !sent {
                watcher.place = Place::Victim;
                victims.0.insert(number, batch);
            } else if batch.more != 0 {
                sync.unfinished += 1;
            } else {
                watcher.place = Place::Synced;
            }
        }
        sync.victims = self.add_victims(victims);
        sync.unsynced = self.unsynced();
        sync
    }

    /// Up to `count` unsynced watchers; others the next time, if there are more.
    fn choose(&mut self, count: usize) -> Vec<Number> {
        let unsynced = |(_, watcher): &(&Number, &Watcher)| watcher.place == Place::Unsynced;
        let behind = self.all.range((Bound::Excluded(self.looked_at), Bound::Unbounded));
        let up_to = self.all.range(..=self.looked_at);
        let chosen: Vec<_> =
            behind.chain(up_to).filter(unsynced).map(|(number, _)| *number).take(count).collect();
        self.looked_at = chosen.last().copied().unwrap_or_default();
        chosen
    }

    /// Takes the victims out, to be sent to again. None of them can be cancelled until they are [put
    /// back](Self::return_victims).
    pub fn take_victims(&mut self) -> Vec<Victims> {
        std::mem::take(&mut self.victims)
    }

    /// Sends to victims again. Returns those for which there is no room still; the others are
    /// [placed](Self::place) next.
    #[must_use]
    pub fn send_to_victims(&self, victims: &Victims) -> Victims {
        let mut left = Victims::default();
        for (number, batch) in &victims.0 {
            let Some(watcher) = self.all.get(number) else { continue };
            // It has been told everything before the first revision of which it was not.
            if !watcher.send(&batch.events, watcher.min_revision - 1) {
                left.0.insert(*number, batch.clone());
            }
        }
        left
    }

    /// Puts those of `victims` that are not `left` where they belong, in a store at revision `now`. Returns how many
    /// there are.
    pub fn place(&mut self, victims: &Victims, left: &Victims, now: i64) -> usize {
        let mut placed = 0;
        for (number, batch) in victims.0.iter().filter(|(number, _)| !left.0.contains_key(number)) {
            let Some(watcher) = self.all.get_mut(number) else { continue };
            if batch.more != 0 {
                watcher.min_revision = batch.more;
            }
            let is_behind = watcher.min_revision <= now && !self.defects.has(Defect::VictimsSynced);
            watcher.place = if is_behind { Place::Unsynced } else { Place::Synced };
            placed += 1;
        }
        placed
    }

    /// Puts back those for which there was no room.
    pub fn return_victims(&mut self, victims: Victims) {
        self.add_victims(victims);
    }

    /// Tells the stream of `numbers` that all of these were told everything up to `now`, if so. The response bears
    /// `id`. False: one of them is not that far, or waits for what is later still (etcd-io/etcd#20221).
    pub fn progress(&self, numbers: impl Iterator<Item = Number> + Clone, id: i64, now: i64) -> bool {
        let there = |number| {
            let watcher = self.all.get(&number)?;
            let has_begun = now >= watcher.watch.start || self.defects.has(Defect::FutureProgress);
            (watcher.place == Place::Synced && has_begun).then_some(watcher)
        };
        if !numbers.clone().all(|number| there(number).is_some()) {
            return false;
        }
        if let Some(watcher) = numbers.into_iter().find_map(there) {
            let _ = watcher.watch.channel.try_send(super::Response {
                id,
                events: Vec::new(),
                revision: now,
                compact_revision: 0,
            });
        }
        true
    }
}

impl Victims {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds others.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}
