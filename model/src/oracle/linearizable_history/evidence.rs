//! What readers saw, as evidence on which unknown write made which revision.
//!
//! Every rule here only refuses what the replay would refuse later: the evidence makes the search short, not right.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use prost::Message;

use super::keys::Key;
use super::leases::Leases;
use super::replies::{each_key, each_key_within, each_possible_put, each_put, each_touch, reads_values};
use super::{FIRST_REVISION, Places};
use crate::api::PutRequest;
use crate::history::{Operation, Request};
use crate::oracle::replay::{Mark, Replay};

/// Unknown writes that nobody could tell apart: whichever is possible will do.
#[derive(Default)]
pub(super) struct Class {
    /// By invocation. The first is possible wherever any other is.
    pub(super) members: Vec<u32>,
    /// Gaps that no other class can fill, in order.
    reserved: Vec<i64>,
    /// Keys that the writes look at or change, and among them those that they may change.
    pub(super) touches: Vec<u32>,
    pub(super) writes: Vec<u32>,
}

#[derive(Default)]
struct Gap<'a> {
    revision: i64,
    /// Keys that somebody saw as this revision left them: number, and place in its records.
    seen: Vec<(&'a [u8], usize, usize)>,
    writers: Vec<u32>,
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
    names: BTreeMap<&'a [u8], usize>,
    keys: Vec<Key<'a>>,
    gaps: Vec<Gap<'a>>,
    /// Classes of several writes and the ends of leases; and all others, by their invocations.
    always: Vec<u32>,
    by_time: Vec<u32>,
    leases: &'a Leases,
    /// By lease: its number, which comes after those of all keys, and the keys that can ever have been attached to it.
    attached: BTreeMap<i64, (u32, Vec<u32>)>,
}

impl<'a> Evidence<'a> {
    pub(super) fn gather(places: &Places<'a>) -> Self {
        let mut evidence = Self {
            classes: Vec::new(),
            names: BTreeMap::new(),
            keys: Vec::new(),
            gaps: places.gaps.iter().map(|&revision| Gap { revision, ..Gap::default() }).collect(),
            always: Vec::new(),
            by_time: Vec::new(),
            leases: places.leases,
            attached: BTreeMap::new(),
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
            (evidence.classes[class].touches, evidence.classes[class].writes) = (touches, writes);
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
                    && let Some(&key) = self.names.get(&put.key[..])
                {
                    self.attached.entry(put.lease).or_default().1.push(key as u32);
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
            for number in self.keys_in(key, range_end) {
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

    /// The keys of a range that ever existed.
    pub(super) fn keys_in(&self, key: &[u8], range_end: &[u8]) -> impl Iterator<Item = u32> {
        let end = match range_end {
            b"" => Bound::Included(key),
            b"\0" => Bound::Unbounded,
            end if end <= key => Bound::Excluded(key),
            end => Bound::Excluded(end),
        };
        // A range that excludes its own begin must not include it, or the map panics.
        let begin = if end == Bound::Excluded(key) { Bound::Unbounded } else { Bound::Included(key) };
        let none = begin == Bound::Unbounded;
        self.names.range::<[u8], _>((begin, end)).filter(move |_| !none).map(|(_, &number)| number as u32)
    }

    /// Whether no gap at `revision` can have written the key.
    pub(super) fn is_quiet(&self, key: u32, revision: i64) -> bool {
        self.keys.get(key as usize).is_some_and(|key| key.is_quiet(revision))
    }

    fn key(&mut self, name: &'a [u8]) -> &mut Key<'a> {
        let number = *self.names.entry(name).or_insert_with(|| {
            self.keys.push(Key::default());
            self.keys.len() - 1
        });
        &mut self.keys[number]
    }

    /// Collects sights and puts in order of the revisions.
    fn look(&mut self, places: &Places<'a>) {
        for revision in FIRST_REVISION..=places.last() {
            let (write, reads) = (places.write(revision), places.reads(revision).iter().copied());
            for number in write.into_iter().chain(reads) {
                let operation = places.operation(number);
                let Some(reply) = operation.reply() else { continue };
                each_key(&operation.request, reply, &mut |sight| self.key(&sight.kv.key).see(sight));
                if write == Some(number) {
                    each_key_within(&operation.request, reply, &mut |kv| {
                        self.key(&kv.key).within.push(&kv.value)
                    });
                }
                each_put(&operation.request, reply, &mut |put| self.key(&put.key).puts.push(revision));
            }
        }
    }

    /// Sorts the unknown writes into classes.
    fn classify(&mut self, places: &Places<'a>) {
        let operations = places.history.operations();
        let values_matter = operations.iter().any(|operation| reads_values(&operation.request));
        let mut numbers = BTreeMap::new();
        for &write in &places.unknown {
            let operation = places.operation(write);
            let alike = self.alike(&operation.request, values_matter);
            let number = *numbers.entry(alike).or_insert_with(|| {
                self.classes.push(Class::default());
                self.classes.len() - 1
            });
            self.classes[number].members.push(write);
            if self.classes[number].members.len() == 1 {
                each_possible_put(&operation.request, &mut |put: &'a PutRequest| {
                    let value = (!put.ignore_value).then_some(&put.value);
                    self.key(&put.key).writers.push((value, number as u32));
                });
            }
        }
    }

    /// Which classes are looked at for each gap, and which only until there is a candidate.
    fn divide(&mut self, places: &Places<'a>) {
        for (class, number) in self.classes.iter().zip(0..) {
            let is_end = class.members[0] as usize >= places.history.operations().len();
            if is_end || class.members.len() > 1 { &mut self.always } else { &mut self.by_time }.push(number);
        }
        self.by_time.sort_by_key(|&class| self.classes[class as usize].members[0]);
    }

    /// Equal for requests that have the same effect as far as anybody can see.
    fn alike(&self, request: &Request, values_matter: bool) -> (u8, Vec<u8>) {
        match request {
            Request::Range(read) => (0, read.encode_to_vec()),
            Request::Put(put) => {
                let seen = self.names.get(&put.key[..]).is_some_and(|&key| self.keys[key].had(&put.value));
                let mut effect = PutRequest { prev_kv: false, ..put.clone() };
                if !(values_matter || seen || put.ignore_value || put.ignore_lease) {
                    effect.value = Bytes::new();
                    return (1, effect.encode_to_vec());
                }
                (2, effect.encode_to_vec())
            }
            Request::DeleteRange(delete) => (3, delete.encode_to_vec()),
            Request::Txn(txn) => (4, txn.encode_to_vec()),
            Request::Compact(compaction) => (5, compaction.encode_to_vec()),
            Request::LeaseGrant(grant) => (16, grant.encode_to_vec()),
            Request::LeaseRevoke(revoke) => (17, revoke.encode_to_vec()),
            Request::LeaseKeepAlive(keep_alive) => (18, keep_alive.encode_to_vec()),
            Request::LeaseTimeToLive(question) => (19, question.encode_to_vec()),
            Request::LeaseLeases(question) => (21, question.encode_to_vec()),
            // It has none.
            Request::Auth(_) => (22, Vec::new()),
        }
    }

    /// Finds for each gap what was seen there, and so who can have written it.
    fn assign(&mut self) {
        for (&name, &number) in &self.names {
            for (place, record) in self.keys[number].records.iter().enumerate() {
                if let Ok(gap) = self.gaps.binary_search_by_key(&record.modified, |gap| gap.revision) {
                    self.gaps[gap].seen.push((name, number, place));
                }
            }
        }
        for gap in &mut self.gaps {
            let Some(&(_, number, place)) = gap.seen.first() else { continue };
            let key = &self.keys[number];
            let value = key.records[place].value;
            let fits = |writes: Option<&Bytes>| writes.is_none() || value.is_none() || writes == value;
            gap.writers = key.writers.iter().filter(|writer| fits(writer.0)).map(|writer| writer.1).collect();
            gap.writers.sort_unstable();
            gap.writers.dedup();
            if let [only] = gap.writers[..] {
                self.classes[only as usize].reserved.push(gap.revision);
            }
        }
    }

    fn gap(&self, revision: i64) -> Option<&Gap<'a>> {
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

    /// Whether a write of a class cannot have made `revision`, by a glance at its keys or its lease.
    pub(super) fn refutes(&self, class: &Class, write: &Operation, revision: i64) -> bool {
        match &write.request {
            Request::LeaseRevoke(revoke) => self.leases.refute(revoke.id, revision),
            _ => class.writes.iter().all(|&key| self.is_quiet(key, revision)),
        }
    }

    /// Whether what was written since `mark` can have made `revision`.
    pub(super) fn allows(&self, replay: &Replay, mark: Mark, revision: i64) -> bool {
        let possible = replay.written_since(mark).all(|(name, written)| {
            let Some(&key) = self.names.get(&name[..]) else { return true };
            self.keys[key].allows(revision, written.version, written.created)
        });
        let Some(gap) = self.gap(revision) else { return possible };
        possible
            && gap.seen.iter().all(|&(name, number, place)| {
                let seen = &self.keys[number].records[place];
                replay.latest(name).is_some_and(|written| {
                    written.modified == seen.modified
                        && (seen.created == 0 || written.created == seen.created)
                        && (seen.version == 0 || written.version == seen.version)
                        && seen.lease.is_none_or(|lease| lease == written.lease)
                        && seen.value.is_none_or(|value| *value == written.value)
                })
            })
    }

    /// Until when somebody must have made a change like that since `mark`, to explain what was seen later; `MAX` if
    /// nobody needs to. Of several writes that can fill a gap, the one that is needed first is the likely one.
    pub(super) fn needed_until(&self, replay: &Replay, mark: Mark, revision: i64) -> i64 {
        let needed = replay.written_since(mark).filter_map(|(name, written)| {
            self.keys[*self.names.get(&name[..])?].needed_until(revision, written.version, written.created)
        });
        needed.min().unwrap_or(i64::MAX)
    }
}
