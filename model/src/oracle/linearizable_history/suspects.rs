//! Two operations that contradict each other whatever else happened, or one that contradicts itself, found in one look.
//!
//! Most histories without an order have such a pair, and to find it by forgetting all others in turn is much more work: it would
//! have to be tried what they may all have done instead. Each rule here follows from the guarantees alone:
//!
//! | one | contradicts |
//! | --- | --- |
//! | an operation | one that was over before it began, and showed more |
//! | a write | another with its revision |
//! | a key that is seen as some revision left it | the write of that revision, if it did not put that key and value |
//! | the same | whoever saw the same version of the key in another way |
//! | the same | a write of the key between that revision and the one at which it was seen so |
//! | a value | itself, if nobody had asked for it |
//!
//! What needs three to contradict each other is none of its business.

use hashbrown::HashSet;

use super::names::Map;
use super::place_of;
use super::replies::{Sight, each_delete, each_key, each_possible_put, each_put};
use crate::api::KeyValue;
use crate::history::{Event, History, Operation, OperationId, Request};

/// So many writes of a key, the latest, are held against what is seen of it.
const LOOKED_BACK: usize = 64;

/// An event by which operations contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Suspect {
    /// Its place among the events: the end of an operation.
    pub(super) event: usize,
    /// With what the operation does not agree; nothing if it contradicts itself.
    pub(super) with: Option<OperationId>,
}

/// A key as it was seen last.
#[derive(Clone, Copy)]
struct Seen {
    by: OperationId,
    modified: i64,
    until: i64,
}

#[derive(Default)]
struct Key {
    /// Known writes of it, by their returns.
    writes: Vec<(i64, OperationId)>,
    last: Option<Seen>,
}

struct Looking<'a> {
    history: &'a History,
    /// By operation: the furthest place of those that were over before it began, and which one that is.
    floors: Vec<Option<(i64, OperationId)>>,
    /// By revision.
    writes: Map<i64, OperationId>,
    /// By revision: a key that is as it left it, and who saw that.
    sights: Map<i64, (OperationId, &'a KeyValue, bool)>,
    keys: Map<&'a [u8], Key>,
    /// What somebody has asked to put.
    asked: HashSet<(&'a [u8], &'a [u8]), foldhash::fast::FixedState>,
}

/// The first event by which two operations contradict each other, or one itself, as far as one look tells.
pub(super) fn first(history: &History) -> Option<Suspect> {
    let mut looking = Looking {
        history,
        floors: vec![None; history.operations().len()],
        writes: Map::default(),
        sights: Map::default(),
        keys: Map::default(),
        asked: HashSet::default(),
    };
    let mut floor: Option<(i64, OperationId)> = None;
    for (event, happened) in history.events().iter().enumerate() {
        match *happened {
            Event::Invoked(id) => {
                looking.floors[id.index()] = floor;
                each_possible_put(&history[id].request, &mut |put| {
                    looking.asked.insert((&put.key, &put.value));
                });
            }
            Event::Returned(id) => {
                let Some(place) = place(history, &history[id]) else { continue };
                if let Err(with) = looking.take(id, place) {
                    return Some(Suspect { event, with });
                }
                if place.is_some_and(|place| floor.is_none_or(|(floor, _)| place >= floor)) {
                    floor = place.map(|place| (place, id));
                }
            }
        }
    }
    None
}

/// The place of an operation that has one; within, nothing if its reply allows none.
#[expect(clippy::option_option, reason = "to have no place is one thing, and to have to have one another")]
fn place(history: &History, operation: &Operation) -> Option<Option<i64>> {
    let has_none = operation.request.is_serializable()
        || history.is_partial() && matches!(operation.request, Request::Compact(_));
    let reply = operation.reply().filter(|_| !has_none)?;
    Some(place_of(operation, reply))
}

impl<'a> Looking<'a> {
    /// Holds an operation against those before it.
    fn take(&mut self, id: OperationId, place: Option<i64>) -> Result<(), Option<OperationId>> {
        let operation = &self.history[id];
        let (Some(place), Some(reply)) = (place, operation.reply()) else { return Err(None) };
        if let Some((_, with)) = self.floors[id.index()].filter(|(floor, _)| place < *floor) {
            return Err(Some(with));
        }
        let mut found = Ok(());
        each_key(&operation.request, reply, &mut |sight| {
            if found.is_ok() {
                found = self.see(id, sight);
            }
        });
        found?;
        if place % 2 == 1 {
            return Ok(());
        }
        let revision = place / 2;
        if let Some(with) = self.writes.insert(revision, id) {
            return Err(Some(with));
        }
        if let Some((with, kv, keys_only)) = self.sights.get(&revision)
            && !puts(operation, kv, *keys_only)
        {
            return Err(Some(*with));
        }
        let mut changed: Vec<&'a [u8]> = Vec::new();
        each_put(&operation.request, reply, &mut |put| changed.push(&put.key));
        each_delete(&operation.request, reply, &mut |key| changed.push(key));
        for key in changed {
            let key = self.keys.entry(key).or_default();
            key.writes.push((revision, id));
            if let Some(seen) = key.last.filter(|seen| seen.modified < revision && revision <= seen.until) {
                return Err(Some(seen.by));
            }
        }
        Ok(())
    }

    /// Holds a key that `id` has seen against what is known of it.
    fn see(&mut self, id: OperationId, sight: Sight<'a>) -> Result<(), Option<OperationId>> {
        let Sight { kv, keys_only, until } = sight;
        let modified = kv.mod_revision;
        if modified > until || !keys_only && !self.asked.contains(&(&kv.key[..], &kv.value[..])) {
            return Err(None);
        }
        if let Some(with) = self.writes.get(&modified)
            && !puts(&self.history[*with], kv, keys_only)
        {
            return Err(Some(*with));
        }
        match self.sights.get(&modified) {
            Some((with, other, other_keys_only)) => {
                let value_is_known = !keys_only && !other_keys_only;
                if kv.key == other.key && !self.is_same(kv, other, value_is_known) {
                    return Err(Some(*with));
                }
            }
            None => _ = self.sights.insert(modified, (id, kv, keys_only)),
        }
        let key = self.keys.entry(&kv.key).or_default();
        let is_between = |write: &&(i64, OperationId)| modified < write.0 && write.0 <= until;
        if let Some((_, with)) = key.writes.iter().rev().take(LOOKED_BACK).find(is_between) {
            return Err(Some(*with));
        }
        if key.last.is_none_or(|last| last.until <= until) {
            key.last = Some(Seen { by: id, modified, until });
        }
        Ok(())
    }

    /// Whether two have seen the same version of a key.
    fn is_same(&self, one: &KeyValue, other: &KeyValue, value_is_known: bool) -> bool {
        let is_partial = self.history.is_partial();
        (one.version == other.version || is_partial && (one.version == 0 || other.version == 0))
            && (is_partial || one.create_revision == other.create_revision && one.lease == other.lease)
            && (!value_is_known || one.value == other.value)
    }
}

/// Whether a write has left a key as it was seen.
fn puts(write: &Operation, kv: &KeyValue, keys_only: bool) -> bool {
    let Some(reply) = write.reply() else { return true };
    let mut puts = false;
    each_put(&write.request, reply, &mut |put| {
        puts |= put.key == kv.key && (keys_only || put.ignore_value || put.value == kv.value);
    });
    puts
}
