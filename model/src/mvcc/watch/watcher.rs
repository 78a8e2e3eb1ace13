//! One watch.

use std::rc::Rc;

use bytes::Bytes;

use super::channel::Channel;
use crate::api::mvccpb::event::EventType;
use crate::api::{Event, KeyValue};
use crate::mvcc::index::Keys;
use crate::mvcc::record::Record;

/// What a watcher does not want to hear of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filter {
    /// No puts.
    NoPut,
    /// No deletions.
    NoDelete,
}

/// What a stream is told of one of its watches.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Which of the stream's watches; -1 for all.
    pub id: i64,
    /// What happened, in order; nothing when this tells of progress.
    pub events: Vec<Event>,
    /// Everything up to here was told.
    pub revision: i64,
    /// Not 0: the watch is cancelled, since it wants what is compacted.
    pub compact_revision: i64,
}

/// A watch that begins.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Its name on the stream.
    pub id: i64,
    /// As in a read.
    pub key: Bytes,
    /// As in a read.
    pub range_end: Bytes,
    /// The first revision that is wanted; 0 for the one after the present.
    pub start: i64,
    /// What is left out.
    pub filters: Vec<Filter>,
    /// Where to the responses go. Watches of a stream share it.
    pub channel: Rc<Channel<Response>>,
}

/// Where a watcher is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// It has been told everything, and each write tells it more.
    Synced,
    /// It wants what the backend has of the past.
    Unsynced,
    /// What it should be told did not fit into its channel.
    Victim,
}

#[derive(Clone, Debug)]
pub(super) struct Watcher {
    pub watch: Watch,
    pub place: Place,
    /// The first revision of which it was not told.
    pub min_revision: i64,
    /// It was synced when the store was replaced, so that what it waits for may be in the future.
    pub restored: bool,
}

impl Watcher {
    pub fn wants(&self, key: &[u8]) -> bool {
        Keys::new(&self.watch.key, &self.watch.range_end).contain(key)
    }

    /// Tells it of events, if there is room in its channel. False: there is none.
    pub fn send(&self, events: &[Event], revision: i64) -> bool {
        let filters = &self.watch.filters;
        let passes = |event: &&Event| filters.iter().all(|filter| filter.passes(event));
        let events: Vec<Event> = events.iter().filter(passes).cloned().collect();
        // Where nothing is left, there is nothing to tell.
        events.is_empty() || self.respond(events, revision, 0)
    }

    pub fn respond(&self, events: Vec<Event>, revision: i64, compact_revision: i64) -> bool {
        self.watch.channel.try_send(Response { id: self.watch.id, events, revision, compact_revision })
    }
}

impl Filter {
    fn passes(self, event: &Event) -> bool {
        match self {
            Self::NoPut => event.r#type != EventType::Put as i32,
            Self::NoDelete => event.r#type != EventType::Delete as i32,
        }
    }
}

impl From<Record> for Event {
    fn from(record: Record) -> Self {
        let Record { revision, tombstone, mut kv } = record;
        let kind = if tombstone { EventType::Delete } else { EventType::Put };
        // A tombstone has its key alone, and a watcher must not skip it.
        kv.mod_revision = revision.main;
        Self { r#type: kind.into(), kv: Some(kv), prev_kv: None }
    }
}

/// The revision of an event.
pub(super) fn revision(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

/// The key of an event.
pub(super) fn key(event: &Event) -> &[u8] {
    event.kv.as_ref().map_or(b"", |kv: &KeyValue| &kv.key)
}
