//! What readers saw, as evidence on which unknown write made which revision.
//!
//! Every rule here only refuses what the replay would refuse later: the evidence makes the search short, not right.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::conflicts::{KeySet, key_set};
use super::keys::Key;
use super::leases::Leases;
use super::names::{Map, Names};
use super::replies::{each_key, each_key_within, each_possible_put, each_put, each_touch, puts_and_deletes};
use super::values::Values;
use super::{FIRST_REVISION, NONE, Places};
use crate::api::PutRequest;
use crate::history::Request;
use crate::oracle::replay::{Mark, Replay, Version};

/// Unknown writes that nobody could tell apart: whichever is possible will do.
#[derive(Default)]
pub(super) struct Class {
    /// By invocation. The first is possible wherever any other is.
    pub(super) members: Vec<u32>,
    /// When the first was invoked.
    pub(super) invoked: u64,
    /// The lease that they end, if they do.
    pub(super) lease: Option<i64>,
    /// Gaps that no other class can fill, in order.
    reserved: Vec<i64>,
    /// Keys that the writes look at or change, and among them those that they may change.
    pub(super) touches: Vec<u32>,
    pub(super) writes: Vec<u32>,
    pub(super) write_set: KeySet,
    /// Somebody has seen a value that they put.
    is_seen: bool,
    /// They may put a key that they delete.
    pub(super) may_recreate: bool,
}

#[derive(Default)]
struct Gap {
    revision: i64,
    /// Keys that somebody saw as this revision left them: number, and place in its records.
    seen: Vec<(u32, usize)>,
    writers: Vec<u32>,
    /// Keys that some gap can have written at this revision.
    loud: KeySet,
}

/// Who can have made a revision: some classes of which all are looked at, and others by their invocations.
#[derive(Clone, Copy)]
pub(super) struct Writers<'e> {
    pub(super) always: &'e [u32],
    pub(super) by_time: &'e [u32],
}

/// All evidence of a history.
pub(super) struct Evidence<'a> {
    pub(super) classes: Vec<Class>,
    names: &'a Names<'a>,
    /// By number.
    keys: Vec<Key<'a>>,
    gaps: Vec<Gap>,
    /// Classes of several writes and the ends of leases; and all others, by their invocations.
    always: Vec<u32>,
    by_time: Vec<u32>,
    leases: &'a Leases,
    /// By lease: its number, which comes after those of all keys, and the keys that can ever have been attached to it.
    attached: BTreeMap<i64, (u32, Vec<u32>)>,
    values: Values<'a>,
    /// Unknown writes with different values are never taken for one.
    all_values: bool,
    /// Writes are taken for one that somebody may have told apart.
    pub(super) is_coarse: bool,
}

impl<'a> Evidence<'a> {
    /// With `all_values`, unknown writes with different values are never taken for one.
    pub(super) fn gather(places: &Places<'a>, all_values: bool) -> Self {
        let versions = places.versions_of_each();
        let mut evidence = Self {
            classes: Vec::new(),
            names: places.names,
            keys: (0..places.names.count()).map(|_| Key::with_capacity(versions)).collect(),
            gaps: places.gaps.iter().map(|&revision| Gap { revision, ..Gap::default() }).collect(),
            always: Vec::new(),
            by_time: Vec::new(),
            leases: places.leases,
            attached: BTreeMap::new(),
            values: Values::default(),
            all_values,
            is_coarse: false,
        };
        evidence.look(places);
        for key in &mut evidence.keys {
            key.conclude();
        }
        evidence.classify(places);
        evidence.divide(places);
        evidence.attach(places);
        evidence.assign();
        for class in 0..evidence.classes.len() {
            let request = &places.operation(evidence.classes[class].members[0]).request;
            let (touches, writes) = evidence.touched(request);
            let class = &mut evidence.classes[class];
            class.write_set = writes.iter().fold(0, |set, &key| set | key_set(key));
            (class.touches, class.writes) = (touches, writes);
        }
        evidence
    }

    /// How many keys there are that ever existed, and leases that keys were attached to.
    pub(super) fn keys_count(&self) -> usize {
        self.keys.len() + self.attached.len()
    }

    /// Finds which keys can have been attached to which lease.
    fn attach(&mut self, places: &Places<'a>) {
        if places.leases.ghosts().is_empty() {
            return;
        }
        for operation in places.history.operations() {
            each_possible_put(&operation.request, &mut |put| {
                if put.lease != 0
                    && let Some(key) = self.names.number(&put.key)
                {
                    self.attached.entry(put.lease).or_default().1.push(key);
                }
            });
        }
        for ((lease, keys), number) in self.attached.values_mut().zip(self.keys.len() as u32..) {
            *lease = number;
            keys.sort_unstable();
            keys.dedup();
        }
    }

    /// The keys that `request` may look at or change, and those that it may change. A lease is one more key: who puts
    /// with it looks at it, who revokes it changes it.
    pub(super) fn touched(&self, request: &Request) -> (Vec<u32>, Vec<u32>) {
        let (mut touches, mut writes) = (Vec::new(), Vec::new());
        each_touch(request, &mut |(key, range_end), changes| {
            for number in self.names.within(key, range_end) {
                touches.push(number);
                if changes {
                    writes.push(number);
                }
            }
        });
        if !self.attached.is_empty() {
            each_possible_put(request, &mut |put| {
                touches.extend(self.attached.get(&put.lease).map(|(lease, _)| *lease));
            });
            if let Request::LeaseRevoke(revoke) = request
                && let Some((lease, keys)) = self.attached.get(&revoke.id)
            {
                for all in [&mut touches, &mut writes] {
                    all.push(*lease);
                    all.extend_from_slice(keys);
                }
            }
        }
        for keys in [&mut touches, &mut writes] {
            keys.sort_unstable();
            keys.dedup();
        }
        (touches, writes)
    }

    /// Whether no gap at `revision` can have written the key.
    pub(super) fn is_quiet(&self, key: u32, revision: i64) -> bool {
        self.keys.get(key as usize).is_some_and(|key| key.is_quiet(revision))
    }

    /// What a key that nobody can have put is like is for the replay to refuse.
    fn key(&mut self, name: &[u8]) -> Option<&mut Key<'a>> {
        Some(&mut self.keys[self.names.number(name)? as usize])
    }

    /// Collects sights and puts in order of the revisions.
    fn look(&mut self, places: &Places<'a>) {
        for revision in FIRST_REVISION..=places.last() {
            let (write, reads) = (places.write(revision), places.reads(revision).iter().copied());
            for number in write.into_iter().chain(reads) {
                let operation = places.operation(number);
                let Some(reply) = operation.reply() else { continue };
                // A reply shows keys in their order as a rule.
                let mut last = NONE;
                each_key(&operation.request, reply, &mut |sight| {
                    if let Some(key) = self.names.number_after(last, &sight.kv.key) {
                        last = key;
                        self.keys[key as usize].see(sight);
                    }
                });
                if write == Some(number) {
                    each_key_within(&operation.request, reply, &mut |kv| {
                        if let Some(key) = self.key(&kv.key) {
                            key.within.push(&kv.value);
                            if kv.mod_revision == revision && (1..revision).contains(&kv.create_revision) {
                                key.lived.push((kv.create_revision, revision - 1));
                            }
                        }
                    });
                }
                each_put(&operation.request, reply, &mut |put| {
                    if let Some(key) = self.key(&put.key) {
                        key.puts.push(revision);
                    }
                });
            }
        }
    }

    /// Sorts the unknown writes into classes.
    fn classify(&mut self, places: &Places<'a>) {
        let values = Values::of(places, &self.keys);
        self.is_coarse = values.has_hidden_order && !self.all_values;
        let (mut numbers, mut effect): (Map<Vec<u8>, usize>, _) = (Map::default(), Vec::new());
        for &write in &places.unknown {
            let operation = places.operation(write);
            effect.clear();
            values.tell_effect(places, &operation.request, self.all_values, &mut effect);
            let number = numbers.get(&effect[..]).copied().unwrap_or_else(|| {
                let next = self.classes.len();
                self.classes.push(Class::default());
                numbers.insert(effect.clone(), next);
                next
            });
            self.classes[number].members.push(write);
            if self.classes[number].members.len() == 1 {
                let class = &mut self.classes[number];
                class.invoked = operation.invoked;
                if let Request::LeaseRevoke(revoke) = &operation.request {
                    class.lease = Some(revoke.id);
                }
                class.may_recreate = puts_and_deletes(&operation.request);
                each_possible_put(&operation.request, &mut |put| {
                    class.is_seen |= values.is_seen(places, put)
                });
                each_possible_put(&operation.request, &mut |put: &'a PutRequest| {
                    let value = (!put.ignore_value).then_some(&put.value);
                    if let Some(key) = self.key(&put.key) {
                        key.writers.push((value, number as u32));
                    }
                });
            }
        }
        self.keys.iter_mut().for_each(|key| key.writers.sort_unstable());
        self.values = values;
    }

    /// Whether nobody can tell a key that was left as `one` from one that was left as `other`.
    pub(super) fn is_same(&self, key: u32, one: &Version<'_>, other: &Version<'_>) -> bool {
        let but_value = |last: &Version<'_>| (last.modified, last.created, last.version, last.lease);
        but_value(one) == but_value(other)
            && (one.value == other.value
                || !self.all_values && self.values.is_same(key, one.value, other.value))
    }

    /// Which classes are looked at for each gap, and which only until there is a candidate.
    fn divide(&mut self, places: &Places<'a>) {
        for (class, number) in self.classes.iter().zip(0..) {
            let is_end = class.members[0] as usize >= places.history.operations().len();
            if is_end || class.members.len() > 1 { &mut self.always } else { &mut self.by_time }.push(number);
        }
        self.by_time.sort_by_key(|&class| self.classes[class as usize].invoked);
    }

    /// Finds for each gap what was seen there, and so who can have written it.
    fn assign(&mut self) {
        for (key, number) in self.keys.iter().zip(0..) {
            for (place, record) in key.records.iter().enumerate() {
                if let Ok(gap) = self.gaps.binary_search_by_key(&record.modified, |gap| gap.revision) {
                    self.gaps[gap].seen.push((number, place));
                }
            }
            let mut quiet = key.quiet().iter().peekable();
            for gap in &mut self.gaps {
                while quiet.next_if(|(_, until)| *until < gap.revision).is_some() {}
                if quiet.peek().is_none_or(|(after, _)| gap.revision <= *after) {
                    gap.loud |= key_set(number);
                }
            }
        }
        for gap in &mut self.gaps {
            let Some(&(number, place)) = gap.seen.first() else { continue };
            let key = &self.keys[number as usize];
            let value = key.records[place].value;
            // Those come first who keep the value that they find.
            let with = |bound: Option<&Bytes>| key.writers.partition_point(|writer| writer.0 < bound);
            let upto = |bound: Option<&Bytes>| key.writers.partition_point(|writer| writer.0 <= bound);
            let fitting = match value {
                None => [&key.writers[..], &[]],
                Some(_) => [&key.writers[..upto(None)], &key.writers[with(value)..upto(value)]],
            };
            gap.writers = fitting.concat().into_iter().map(|writer| writer.1).collect();
            gap.writers.sort_unstable();
            gap.writers.dedup();
            if let [only] = gap.writers[..] {
                self.classes[only as usize].reserved.push(gap.revision);
            }
        }
    }

    fn gap(&self, revision: i64) -> Option<&Gap> {
        let place = self.gaps.binary_search_by_key(&revision, |gap| gap.revision).ok()?;
        Some(&self.gaps[place])
    }

    /// The classes that can have made `revision`, as far as its content was seen.
    pub(super) fn writers_at(&self, revision: i64) -> Writers<'_> {
        match self.gap(revision) {
            Some(gap) if !gap.seen.is_empty() => Writers { always: &gap.writers, by_time: &[] },
            _ => Writers { always: &self.always, by_time: &self.by_time },
        }
    }

    /// Whether this is the number of a key, and not of a lease.
    pub(super) fn is_key(&self, number: u32) -> bool {
        (number as usize) < self.keys.len()
    }

    /// The next write of `class` after `used` of them, unless it is needed for a gap after `revision`.
    pub(super) fn available(&self, class: u32, used: u32, revision: i64) -> Option<u32> {
        let Class { members, reserved, .. } = &self.classes[class as usize];
        let kept = reserved.len() - reserved.partition_point(|&gap| gap <= revision);
        let unused = members.get(used as usize..).unwrap_or(&[]);
        unused.first().filter(|_| unused.len() > kept).copied()
    }

    /// Whether each key has a bit of its own.
    pub(super) fn is_exact(&self) -> bool {
        self.keys_count() <= KeySet::BITS as usize
    }

    /// The keys that some gap can have written at `revision`.
    pub(super) fn loud(&self, revision: i64) -> KeySet {
        let loud = || (0..self.keys.len() as u32).filter(|&key| !self.is_quiet(key, revision));
        self.gap(revision).map_or_else(|| loud().fold(0, |set, key| set | key_set(key)), |gap| gap.loud)
    }

    /// Whether no write of a class can have made `revision`, by a glance at its keys, of which these are `loud` there, or its
    /// lease.
    pub(super) fn refutes(&self, class: &Class, revision: i64, loud: KeySet) -> bool {
        match class.lease {
            Some(lease) => self.leases.refute(lease, revision),
            None if class.write_set & loud == 0 => true,
            None => !self.is_exact() && class.writes.iter().all(|&key| self.is_quiet(key, revision)),
        }
    }

    /// Whether what was written since `mark` can have made `revision`.
    pub(super) fn allows(&self, replay: &Replay<'_>, mark: Mark, revision: i64) -> bool {
        let possible = replay
            .written_since(mark)
            .all(|(key, written)| self.keys[key as usize].allows(revision, written.version, written.created));
        let Some(gap) = self.gap(revision) else { return possible };
        possible
            && gap.seen.iter().all(|&(number, place)| {
                let seen = &self.keys[number as usize].records[place];
                replay.latest(number).is_some_and(|written| {
                    written.modified == seen.modified
                        && (seen.created == 0 || written.created == seen.created)
                        && (seen.version == 0 || written.version == seen.version)
                        && seen.lease.is_none_or(|lease| lease == written.lease)
                        && seen.value.is_none_or(|value| value == written.value)
                })
            })
    }

    /// A key because of which no write can have made `revision` that leaves no key deleted and put again: it is not, before that,
    /// as what was seen there needs it.
    pub(super) fn unmet(&self, replay: &Replay<'_>, revision: i64) -> Option<u32> {
        let is_met = |&(number, place): &(u32, usize)| {
            let seen = &self.keys[number as usize].records[place];
            if seen.created == 0 || seen.version == 0 {
                return true;
            }
            match replay.latest(number).filter(|last| last.version > 0) {
                None => seen.version == 1,
                Some(last) => last.created == seen.created && last.version + 1 == seen.version,
            }
        };
        self.gap(revision)?.seen.iter().find(|seen| !is_met(seen)).map(|(number, _)| *number)
    }

    /// Whether a class is better left for another gap than `revision`.
    pub(super) fn is_spoken_for(&self, class: u32, revision: i64) -> bool {
        let is_seen = self.gap(revision).is_some_and(|gap| !gap.seen.is_empty());
        self.classes[class as usize].is_seen != is_seen
    }

    /// Until when somebody must have made a change like that since `mark`, to explain what was seen later; `MAX` if
    /// nobody needs to. Of several writes that can fill a gap, the one that is needed first is the likely one.
    pub(super) fn needed_until(&self, replay: &Replay<'_>, mark: Mark, revision: i64) -> i64 {
        let needed = replay.written_since(mark).filter_map(|(key, written)| {
            self.keys[key as usize].needed_until(revision, written.version, written.created)
        });
        needed.min().unwrap_or(i64::MAX)
    }
}
