//! Events on their way to watchers.

use std::collections::BTreeMap;

use super::store::Number;
use super::watcher::{Watcher, key, revision};
use crate::api::Event;
use crate::backend::Bucket;
use crate::mvcc::buckets::Read;
use crate::mvcc::record::Record;
use crate::mvcc::revision::Revision;

/// What one watcher is to be told at once: whole revisions, of which there are not too many.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub events: Vec<Event>,
    revisions: usize,
    /// Not 0: the first revision that did not go into this batch.
    pub more: i64,
}

/// How much goes into one batch: so many revisions, or events if these are counted.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub max: usize,
    pub counts_events: bool,
}

impl Batch {
    fn add(&mut self, event: &Event, size: Size) {
        if self.more != 0 {
            return;
        }
        if size.counts_events || self.events.last().is_none_or(|last| revision(last) < revision(event)) {
            if self.revisions == size.max {
                self.more = revision(event);
                return;
            }
            self.revisions += 1;
        }
        self.events.push(event.clone());
    }
}

/// For each watcher that wants any of `events`, those that it wants and was not told.
pub(super) fn batches<'w>(
    watchers: impl Iterator<Item = (Number, &'w Watcher)>,
    events: &[Event],
    size: Size,
) -> BTreeMap<Number, Batch> {
    let mut batches = BTreeMap::new();
    for (number, watcher) in watchers {
        let mut batch = Batch::default();
        for event in events {
            if revision(event) >= watcher.min_revision && watcher.wants(key(event)) {
                batch.add(event, size);
            }
        }
        if !batch.events.is_empty() {
            batches.insert(number, batch);
        }
    }
    batches
}

/// What the backend has of the revisions from `from` to before `to`, in order.
#[must_use]
pub fn events_between(tx: &impl Read, from: i64, to: i64) -> Vec<Event> {
    let [from, to] = [from.max(0), to].map(|main| Revision { main, sub: 0 }.to_bytes());
    let records = tx.range(Bucket::Key, &from, &to, usize::MAX);
    records.into_iter().filter_map(|(key, value)| Record::decode(&key, value)).map(Event::from).collect()
}
