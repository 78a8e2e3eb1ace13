//! The groups of watchers against a history of puts.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::api::{Event, KeyValue};

/// Watchers over a store in which each revision from 2 on puts one key, "a" at even revisions and "b" at odd ones.
struct Member {
    watchers: Watchers,
    now: i64,
    compacted: i64,
}

fn event(revision: i64) -> Event {
    let key = if revision % 2 == 0 { "a" } else { "b" };
    let kv = KeyValue { key: key.into(), mod_revision: revision, ..KeyValue::default() };
    Event { kv: Some(kv), ..Event::default() }
}

impl Member {
    fn at(now: i64) -> Self {
        Self { watchers: Watchers::new(1_000), now, compacted: -1 }
    }

    fn watch(&mut self, start: i64, channel: &Rc<Channel<Response>>) -> Number {
        let (key, range_end) = (Bytes::from_static(b"a"), Bytes::from_static(b"c"));
        let channel = Rc::clone(channel);
        self.watchers
            .watch(Watch { id: start, key, range_end, start, filters: Vec::new(), channel }, self.now)
    }

    fn write(&mut self) -> usize {
        self.now += 1;
        self.watchers.notify(self.now, &[event(self.now)])
    }

    fn sync(&mut self) -> SyncReport {
        let read = |from: i64, to: i64| (from.max(2)..to).map(event).collect();
        self.watchers.sync((self.now, self.compacted), 512, read)
    }

    fn move_victims(&mut self) -> usize {
        let mut moved = 0;
        for victims in self.watchers.take_victims() {
            let left = self.watchers.send_to_victims(&victims);
            moved += self.watchers.place(&victims, &left, self.now);
            self.watchers.return_victims(left);
        }
        moved
    }
}

fn channel(capacity: usize) -> Rc<Channel<Response>> {
    Rc::new(Channel::new(capacity, None))
}

/// What is in the channel: of each response its identifier, the revisions of its events, its own, and a compacted one.
fn drain(channel: &Channel<Response>) -> Vec<(i64, Vec<i64>, i64, i64)> {
    let mut context = Context::from_waker(Waker::noop());
    let mut told = Vec::new();
    while let Poll::Ready(response) = channel.poll_receive(&mut context) {
        let revisions = response.events.iter().map(watcher::revision).collect();
        told.push((response.id, revisions, response.revision, response.compact_revision));
    }
    told
}

#[test]
fn a_watch_of_the_past_is_synced_and_then_told_of_each_write() {
    let (mut member, channel) = (Member::at(4), channel(9));
    member.watch(3, &channel);
    member.write();
    assert_eq!(drain(&channel), []);
    assert_eq!(member.sync(), SyncReport::default());
    member.write();
    assert_eq!(drain(&channel), [(3, vec![3, 4, 5], 5, 0), (3, vec![6], 6, 0)]);
}

#[test]
fn a_watch_of_the_future_is_told_of_nothing_before_it_and_of_no_progress_until_then() {
    let (mut member, channel) = (Member::at(4), channel(9));
    let number = member.watch(7, &channel);
    member.write();
    assert!(!member.watchers.progress([number].into_iter(), 7, member.now));
    assert_eq!(member.watchers.restore(member.now), 1);
    assert_eq!(member.sync().future, 1);
    member.write();
    member.write();
    assert!(member.watchers.progress([number].into_iter(), 7, member.now));
    assert_eq!(drain(&channel), [(7, vec![7], 7, 0), (7, vec![], 7, 0)]);
}

#[test]
fn a_replaced_store_tells_nobody_twice() {
    let (mut member, channel) = (Member::at(2), channel(9));
    member.watch(0, &channel);
    member.write();
    member.watchers.restore(member.now);
    // The snapshot is ahead.
    member.now += 2;
    member.sync();
    assert_eq!(drain(&channel), [(0, vec![3], 3, 0), (0, vec![4, 5], 5, 0)]);
}

#[test]
fn what_has_no_room_waits_as_a_victim_and_loses_nothing() {
    let (mut member, channel) = (Member::at(2), channel(1));
    let number = member.watch(0, &channel);
    assert_eq!((member.write(), member.write(), member.write()), (0, 1, 0));
    assert_eq!(member.move_victims(), 0);
    assert!(!member.watchers.progress([number].into_iter(), 0, member.now));
    let mut told = Vec::new();
    for _ in 0..3 {
        told.extend(drain(&channel));
        member.move_victims();
        member.sync();
    }
    assert_eq!(told, [(0, vec![3], 3, 0), (0, vec![4], 4, 0), (0, vec![5], 5, 0)]);
}

#[test]
fn one_that_wants_what_is_compacted_is_cancelled_as_soon_as_there_is_room_and_never_passed_on() {
    let (mut member, channel) = (Member::at(6), channel(1));
    member.watch(0, &channel);
    member.watch(2, &channel);
    member.write();
    member.compacted = 5;
    let report = member.sync();
    assert_eq!((report.not_cancelled, report.cancelled, report.unsynced), (1, 0, 1));
    assert_eq!(drain(&channel), [(0, vec![7], 7, 0)]);
    assert_eq!(member.sync().cancelled, 1);
    assert_eq!(drain(&channel), [(2, vec![], 0, 5)]);
}

#[test]
fn a_batch_ends_between_two_revisions_and_the_rest_follows() {
    let mut member = Member { watchers: Watchers::new(2), ..Member::at(6) };
    let channel = channel(9);
    member.watch(2, &channel);
    assert_eq!((member.sync().unfinished, member.sync().unfinished, member.sync().unsynced), (1, 1, 0));
    assert_eq!(drain(&channel), [(2, vec![2, 3], 6, 0), (2, vec![4, 5], 6, 0), (2, vec![6], 6, 0)]);
}

#[test]
fn victims_that_are_being_sent_to_cannot_be_cancelled_until_they_are_put_back() {
    let (mut member, channel) = (Member::at(2), channel(1));
    let number = member.watch(0, &channel);
    member.write();
    member.write();
    let mut taken = member.watchers.take_victims();
    assert!(!member.watchers.cancel(number));
    member.watchers.return_victims(taken.remove(0));
    assert!(member.watchers.cancel(number) && !member.watchers.has_victims());
    assert_eq!(member.write(), 0);
}

#[test]
fn those_that_could_not_be_looked_at_are_the_next_time() {
    let (mut member, full, free) = (Member::at(6), channel(1), channel(9));
    member.watch(0, &full);
    member.write();
    member.watch(2, &full);
    member.watch(3, &free);
    member.compacted = 3;
    let read = |from: i64, to: i64| (from..to).map(event).collect();
    assert_eq!(member.watchers.sync((7, 3), 1, read).not_cancelled, 1);
    member.watchers.sync((7, 3), 1, read);
    assert_eq!(drain(&free), [(3, vec![3, 4, 5, 6, 7], 7, 0)]);
}

#[test]
fn a_replaced_store_cancels_nobody_for_a_compaction_of_what_was_told() {
    let (mut member, channel) = (Member::at(2), channel(9));
    let watch = Watch {
        id: 1,
        key: Bytes::from_static(b"z"),
        range_end: Bytes::new(),
        start: 0,
        filters: Vec::new(),
        channel: Rc::clone(&channel),
    };
    member.watchers.watch(watch, member.now);
    for _ in 0..3 {
        member.write();
    }
    assert_eq!(member.watchers.restore(member.now), 1);
    member.compacted = member.now;
    member.now += 1;
    assert_eq!(member.sync(), SyncReport::default());
    assert_eq!(drain(&channel), []);
}
