//! What watches may tell, and for each clause something that they may not.

use super::*;
use crate::api::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RequestOp, ResponseHeader, TxnRequest, request_op,
};
use crate::history::Request;
use crate::oracle::testing::{Script, delete, put};
use crate::watch_history::WatchNumber;

/// Revisions: 2 creates a; 3 and 4 change it; 5 creates b and c at once; 6 deletes a; 7 creates it again.
struct Told {
    script: Script,
    watches: WatchHistory,
    watch: WatchNumber,
    limits: Limits,
}

/// No response is split.
const LIMITS: Limits = Limits { bytes: 1 << 20, revisions: 6 };

/// So many bytes do not go into one response.
fn split_at(bytes: usize) -> Limits {
    Limits { bytes, ..LIMITS }
}

fn log() -> Script {
    let mut script = Script::new();
    for value in ["1", "2", "3"] {
        script.write(1, put("a", value));
    }
    let op = |key: &'static str| {
        let put = PutRequest { key: key.into(), value: "4".into(), ..PutRequest::default() };
        RequestOp { request: Some(request_op::Request::RequestPut(put)) }
    };
    script.write(1, Request::Txn(TxnRequest { success: vec![op("c"), op("b")], ..TxnRequest::default() }));
    script.write(1, delete("a", ""));
    script.write(1, put("a", "5"));
    script
}

/// All keys from revision `start` on, with what they were before.
fn all(start_revision: i64) -> WatchCreateRequest {
    let (key, range_end) = (Bytes::from_static(b"a"), Bytes::from_static(b"z"));
    WatchCreateRequest { key, range_end, start_revision, prev_kv: true, ..WatchCreateRequest::default() }
}

/// The same, and large responses in parts.
fn in_parts_from(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { fragment: true, ..all(start_revision) }
}

impl Told {
    fn new(request: WatchCreateRequest) -> Self {
        let mut watches = WatchHistory::default();
        let watch = watches.asked(request, false);
        let mut told = Self { script: log(), watches, watch, limits: LIMITS };
        told.hear(WatchResponse { created: true, ..response(7) });
        told
    }

    fn hear(&mut self, response: WatchResponse) {
        let clock = self.script.history.clock();
        self.watches.heard(self.watch, clock, response);
    }

    /// A response with these events, at the revision of the last one.
    fn events(mut self, events: &[Event]) -> Self {
        let last = events.last().map_or(0, revision_of);
        self.hear(WatchResponse { events: events.to_vec(), ..response(last) });
        self
    }

    fn progress(mut self, revision: i64) -> Self {
        self.hear(response(revision));
        self
    }

    fn compacted(mut self, revision: i64) -> Self {
        self.hear(WatchResponse { canceled: true, compact_revision: revision, ..response(0) });
        self
    }

    fn check(&self) -> Result<(), Violation> {
        check(&self.watches, &Replayed::of(&self.script.witness), self.limits)
    }

    fn clause(&self) -> &'static str {
        self.check().expect_err("it must be refused").clause
    }
}

fn response(revision: i64) -> WatchResponse {
    let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
    WatchResponse { header, ..WatchResponse::default() }
}

/// The events of these revisions, as they should be told.
fn of(revisions: &[i64]) -> Vec<Event> {
    let script = log();
    let replayed = Replayed::of(&script.witness);
    let log = Log::new(&replayed);
    let changes = log.changes.iter().filter(|change| revisions.contains(&change.revision));
    changes.map(|change| event(&log, change)).collect()
}

fn event(log: &Log<'_>, change: &Change<'_>) -> Event {
    let tombstone =
        || KeyValue { key: change.key.clone(), mod_revision: change.revision, ..KeyValue::default() };
    Event {
        r#type: i32::from(change.kv.is_none()),
        kv: Some(change.kv.cloned().unwrap_or_else(tombstone)),
        prev_kv: log.previous(change).cloned(),
    }
}

#[test]
fn a_watch_tells_of_everything_in_pieces_of_any_size() {
    Told::new(all(2)).events(&of(&[2, 3, 4, 5, 6, 7])).progress(7).check().unwrap();
    Told::new(all(2))
        .events(&of(&[2]))
        .progress(2)
        .events(&of(&[3, 4, 5]))
        .events(&of(&[6]))
        .check()
        .unwrap();
    Told::new(all(9)).check().unwrap();
    Told::new(all(0)).events(&of(&[6, 7])).check().unwrap();
}

#[test]
fn a_response_tells_of_so_many_revisions_and_no_more() {
    let told = |revisions| {
        let limits = Limits { revisions, ..LIMITS };
        Told { limits, ..Told::new(all(2)) }.events(&of(&[2, 3, 4, 5]))
    };
    told(4).check().unwrap();
    assert_eq!(told(3).clause(), "batch");
}

#[test]
fn parts_of_a_response_count_as_one() {
    let events = of(&[5]);
    let in_parts = |max| {
        let mut told = Told { limits: split_at(max), ..Told::new(in_parts_from(5)) };
        told.hear(WatchResponse { fragment: true, events: events[..1].to_vec(), ..response(5) });
        told.hear(WatchResponse { events: events[1..].to_vec(), ..response(5) });
        told
    };
    let whole = WatchResponse { fragment: true, events: events.clone(), ..response(5) }.encoded_len();
    in_parts(1).check().unwrap();
    in_parts(whole).check().unwrap();
    assert_eq!(in_parts(whole + 1).clause(), "fragments");
    let two_in_a_part = |max| {
        let mut told = Told { limits: split_at(max), ..Told::new(in_parts_from(5)) };
        told.hear(WatchResponse { fragment: true, events: events.clone(), ..response(5) });
        told.hear(WatchResponse { events: of(&[6]), ..response(6) });
        told
    };
    two_in_a_part(whole + 1).check().unwrap();
    assert_eq!(two_in_a_part(whole).clause(), "fragments");
    let mut told = Told { limits: split_at(1), ..Told::new(in_parts_from(5)) };
    told.hear(WatchResponse { fragment: true, events: events[..1].to_vec(), ..response(5) });
    assert_eq!(told.progress(5).clause(), "bookmarkable");
    let mut told = Told { limits: split_at(1), ..Told::new(all(5)) };
    told.hear(WatchResponse { fragment: true, events: events[..1].to_vec(), ..response(5) });
    assert_eq!(told.clause(), "fragments");
}

#[test]
fn what_is_too_long_is_split_if_it_is_written_after_the_word_that_the_watch_is_created() {
    let later = |request: WatchCreateRequest, events: usize, bytes_over: usize| {
        let mut told = Told::new(request);
        ["6", "7"].into_iter().for_each(|value| told.script.write(1, put("a", value)));
        let replayed = Replayed::of(&told.script.witness);
        let log = Log::new(&replayed);
        let of = |change| event(&log, change);
        let all: Vec<_> = log.changes[log.place(8)..][..events].iter().map(of).collect();
        let whole = WatchResponse { events: all.clone(), ..response(7 + events as i64) }.encoded_len();
        drop(replayed);
        Told { limits: split_at(whole + bytes_over), ..told }.events(&all)
    };
    assert_eq!(later(in_parts_from(8), 2, 0).clause(), "fragments");
    // It is short enough, of one event, or nobody asked for parts.
    later(in_parts_from(8), 2, 1).check().unwrap();
    later(in_parts_from(8), 1, 0).check().unwrap();
    later(all(8), 2, 0).check().unwrap();
    // It may have waited for that word.
    Told { limits: split_at(1), ..Told::new(in_parts_from(5)) }.events(&of(&[5])).check().unwrap();
}

#[test]
fn the_first_event_is_the_first_that_was_asked_for() {
    assert_eq!(Told::new(all(3)).events(&of(&[4])).clause(), "resumable");
    assert_eq!(Told::new(all(3)).events(&of(&[2, 3])).clause(), "resumable");
    assert_eq!(Told::new(all(9)).events(&of(&[7])).clause(), "resumable");
}

#[test]
fn nothing_is_left_out() {
    assert_eq!(Told::new(all(2)).events(&of(&[2])).events(&of(&[4])).clause(), "reliable");
    assert_eq!(Told::new(all(2)).events(&of(&[2, 4])).clause(), "resumable");
    assert_eq!(Told::new(all(2)).events(&of(&[2])).progress(3).clause(), "reliable");
    assert_eq!(Told::new(all(2)).progress(7).clause(), "reliable");
}

#[test]
fn a_watch_that_begins_now_leaves_nothing_out_after_the_word_that_it_is_created() {
    let later = |revisions: &[i64]| {
        let mut told = Told::new(all(0));
        ["6", "7"].into_iter().for_each(|value| told.script.write(1, put("a", value)));
        let replayed = Replayed::of(&told.script.witness);
        let log = Log::new(&replayed);
        let events: Vec<_> = log
            .changes
            .iter()
            .filter(|change| revisions.contains(&change.revision))
            .map(|change| event(&log, change))
            .collect();
        told.events(&events)
    };
    later(&[8, 9]).check().unwrap();
    later(&[7, 8, 9]).check().unwrap();
    assert_eq!(later(&[9]).clause(), "resumable");
    assert_eq!(later(&[7, 9]).clause(), "resumable");
}

#[test]
fn events_are_in_order_and_come_once() {
    assert_eq!(Told::new(all(2)).events(&of(&[2, 3])).events(&of(&[3, 4])).clause(), "unique");
    let mut events = of(&[2, 3]);
    events.reverse();
    assert_eq!(Told::new(all(2)).events(&events).clause(), "ordered");
    let mut events = of(&[5]);
    events.reverse();
    assert_eq!(Told::new(all(5)).events(&events).clause(), "ordered");
}

#[test]
fn a_revision_is_not_torn() {
    let events = of(&[5]);
    assert_eq!(Told::new(all(5)).events(&events[..1]).clause(), "atomic");
    assert_eq!(Told::new(all(5)).events(&events[1..]).clause(), "reliable");
    let single = WatchCreateRequest { key: "c".into(), range_end: Bytes::new(), ..all(5) };
    Told::new(single).events(&events[..1]).check().unwrap();
}

#[test]
fn progress_is_a_promise() {
    assert_eq!(Told::new(all(2)).events(&of(&[2, 3])).progress(2).clause(), "bookmarkable");
    let told = Told::new(all(6)).events(&of(&[6])).progress(6).events(&of(&[6]));
    assert_eq!(told.clause(), "bookmarkable");
    // etcd-io/etcd#20221: progress below what was asked for.
    assert_eq!(Told::new(all(9)).progress(7).clause(), "bookmarkable");
    assert_eq!(Told::new(all(2)).progress(8).clause(), "unknown");
}

#[test]
fn only_what_was_asked_for_is_told() {
    let single = WatchCreateRequest { key: "b".into(), range_end: Bytes::new(), ..all(2) };
    assert_eq!(Told::new(single.clone()).events(&of(&[2])).clause(), "filter");
    let kind = |filter: FilterType| WatchCreateRequest { filters: vec![filter.into()], ..all(6) };
    assert_eq!(Told::new(kind(FilterType::Nodelete)).events(&of(&[6])).clause(), "filter");
    assert_eq!(Told::new(kind(FilterType::Noput)).events(&of(&[6, 7])).clause(), "filter");
    Told::new(kind(FilterType::Noput)).events(&of(&[6])).progress(7).check().unwrap();
    Told::new(kind(FilterType::Nodelete)).events(&of(&[7])).check().unwrap();
}

#[test]
fn events_say_what_was_written() {
    let change = |change: &dyn Fn(&mut Event)| {
        let mut events = of(&[3]);
        change(&mut events[0]);
        Told::new(all(3)).events(&events)
    };
    fn kv(event: &mut Event) -> &mut KeyValue {
        event.kv.as_mut().unwrap()
    }
    change(&|_| ()).check().unwrap();
    assert_eq!(change(&|event| kv(event).value = "9".into()).clause(), "content");
    assert_eq!(change(&|event| event.r#type = 1).clause(), "content");
    assert_eq!(change(&|event| kv(event).create_revision = 3).clause(), "is-create");
    assert_eq!(change(&|event| event.prev_kv = None).clause(), "prev_kv");
    assert_eq!(change(&|event| event.prev_kv.as_mut().unwrap().version = 7).clause(), "prev_kv");
    let unasked = WatchCreateRequest { prev_kv: false, ..all(3) };
    assert_eq!(Told::new(unasked).events(&of(&[3])).clause(), "prev_kv");
    assert_eq!(Told::new(all(3)).events(&[event_of(8)]).clause(), "unknown");
    let mut told = Told::new(all(7));
    told.hear(WatchResponse { events: of(&[7]), ..response(6) });
    assert_eq!(told.clause(), "header");
}

fn event_of(revision: i64) -> Event {
    let kv = KeyValue { key: "a".into(), mod_revision: revision, ..KeyValue::default() };
    Event { kv: Some(kv), ..Event::default() }
}

#[test]
fn a_transaction_may_put_a_key_and_delete_it() {
    let put = |key: &'static str| {
        let put = PutRequest { key: key.into(), value: "6".into(), ..PutRequest::default() };
        RequestOp { request: Some(request_op::Request::RequestPut(put)) }
    };
    let delete = |key: &'static str| {
        let delete = DeleteRangeRequest { key: key.into(), ..DeleteRangeRequest::default() };
        RequestOp { request: Some(request_op::Request::RequestDeleteRange(delete)) }
    };
    let written = |told: &mut Told| {
        // In one order, of a key that was not there, and in the other, of one that was.
        let success = vec![put("d"), delete("d"), delete("a"), put("a")];
        told.script.write(1, Request::Txn(TxnRequest { success, ..TxnRequest::default() }));
    };
    let mut log_told = Told::new(all(8));
    written(&mut log_told);
    let replayed = Replayed::of(&log_told.script.witness);
    let log = Log::new(&replayed);
    let changes = log.changes.iter().filter(|change| change.revision == 8);
    let events: Vec<_> = changes.map(|change| event(&log, change)).collect();
    let told: Vec<_> = (events.iter())
        .map(|event| (key_of(event).clone(), is_deletion(event), event.prev_kv.is_some()))
        .collect();
    let expected = [("d", false, false), ("d", true, false), ("a", true, true), ("a", false, false)];
    assert_eq!(told, expected.map(|(key, deletion, previous)| (key.into(), deletion, previous)));

    let watch = |events: &[Event]| {
        let mut told = Told::new(all(8));
        written(&mut told);
        told.events(events)
    };
    watch(&events).check().unwrap();
    let in_order = |order: [usize; 4]| order.map(|place| events[place].clone());
    assert_eq!(watch(&in_order([1, 0, 2, 3])).clause(), "content");
    assert_eq!(watch(&events[..3]).clause(), "atomic");
}

#[test]
fn nobody_is_told_before_it_is_committed() {
    let mut told = Told::new(all(2));
    told.watches.heard(told.watch, 0, WatchResponse { events: of(&[2, 3]), ..response(3) });
    assert_eq!(told.clause(), "future");
    let mut told = Told::new(all(3));
    told.watches.heard(told.watch, 0, response(3));
    assert_eq!(told.clause(), "future");
}

#[test]
fn a_compaction_ends_a_watch_of_what_it_took_and_no_other() {
    let compacted = |request, at| {
        let mut told = Told::new(request);
        told.script.write(1, Request::Compact(CompactionRequest { revision: 4, physical: false }));
        told.compacted(at)
    };
    compacted(all(3), 4).check().unwrap();
    compacted(all(0), 4).check().unwrap();
    assert_eq!(compacted(all(4), 4).clause(), "compacted");
    assert_eq!(compacted(all(3), 5).clause(), "compacted");
    assert_eq!(Told::new(all(3)).compacted(4).clause(), "compacted");
}

#[test]
fn what_a_key_was_may_be_compacted_when_it_is_told() {
    let mut events = of(&[3]);
    events[0].prev_kv = None;
    let compact = |told: &mut Told| {
        told.script.write(1, Request::Compact(CompactionRequest { revision: 3, physical: false }));
    };
    let mut before = Told::new(all(3));
    compact(&mut before);
    before.events(&events).check().unwrap();
    let mut after = Told::new(all(3)).events(&events);
    compact(&mut after);
    assert_eq!(after.clause(), "prev_kv");
}

#[test]
fn a_response_is_of_a_revision_to_which_the_store_has_come() {
    let created = |revision, clock| {
        let mut watches = WatchHistory::default();
        let watch = watches.asked(all(0), false);
        watches.heard(watch, clock, WatchResponse { created: true, ..response(revision) });
        Told { script: log(), watches, watch, limits: LIMITS }
    };
    created(7, u64::MAX).check().unwrap();
    assert_eq!(created(7, 0).clause(), "future");
    assert_eq!(created(8, u64::MAX).clause(), "unknown");
}

#[test]
fn a_watch_that_is_lost_is_carried_on_with_where_it_ended() {
    let resumed = |told: Told, start: i64| {
        let Told { script, mut watches, watch, .. } = told;
        let next = watches.asked(all(start), false);
        watches.resumes(next, watch);
        check(&watches, &Replayed::of(&script.witness), LIMITS).map_err(|violation| violation.clause)
    };
    let refused = Err("resumed");
    // It told of revisions 2 to 4: one that begins at 4 tells something twice, and one at 6 leaves something out.
    let told = || Told::new(all(2)).events(&of(&[2, 3, 4]));
    assert_eq!(resumed(told(), 5), Ok(()));
    assert_eq!((resumed(told(), 4), resumed(told(), 6)), (refused, refused));
    // Progress is as good as events.
    assert_eq!(resumed(Told::new(all(2)).events(&of(&[2, 3, 4, 5])).progress(5), 6), Ok(()));
    // Nothing was told; what began with the present leaves open what came before the word that it had begun.
    assert_eq!(resumed(Told::new(all(2)), 2), Ok(()));
    assert_eq!(resumed(Told::new(all(2)), 3), refused);
    assert_eq!(resumed(Told::new(all(0)), 7), Ok(()));
    assert_eq!(resumed(Told::new(all(0)), 8), refused);
    // From the oldest that a compaction has left, or once more from where it was.
    let compacted = || {
        let mut told = Told::new(all(3));
        told.script.write(1, Request::Compact(CompactionRequest { revision: 4, physical: false }));
        told.compacted(4)
    };
    assert_eq!(resumed(compacted(), 4), Ok(()));
    assert_eq!(resumed(compacted(), 3), Ok(()));
    assert_eq!((resumed(compacted(), 2), resumed(compacted(), 5)), (refused, refused));
}

#[test]
fn a_watch_that_has_begun_is_cancelled_without_a_reason() {
    let mut told = Told::new(all(2));
    told.watches.cancel_asked(told.watch);
    told.hear(WatchResponse { canceled: true, cancel_reason: "no more".into(), ..response(7) });
    assert_eq!(told.clause(), "refused");
    let mut told = Told::new(all(2));
    told.watches.cancel_asked(told.watch);
    told.hear(WatchResponse { canceled: true, ..response(7) });
    told.check().unwrap();
}

#[test]
fn a_watch_is_created_first_and_is_over_when_it_is_cancelled() {
    let mut watches = WatchHistory::default();
    let watch = watches.asked(all(2), false);
    watches.heard(watch, 99, response(1));
    let witness = log().witness;
    assert_eq!(check(&watches, &Replayed::of(&witness), LIMITS).unwrap_err().clause, "created first");
    let mut told = Told::new(all(2));
    told.hear(WatchResponse { created: true, ..response(7) });
    assert_eq!(told.clause(), "created first");
    let mut told = Told::new(all(2));
    told.hear(WatchResponse { canceled: true, ..response(7) });
    assert_eq!(told.clause(), "refused");
    told.watches.cancel_asked(told.watch);
    told.check().unwrap();
    assert_eq!(told.events(&of(&[2])).clause(), "after the end");
}

#[test]
fn what_cannot_be_watched_is_refused_with_the_reason() {
    let asked = |request: WatchCreateRequest, is_duplicate, reason: &str| {
        let mut watches = WatchHistory::default();
        let watch = watches.asked(request, is_duplicate);
        let canceled = !reason.is_empty();
        let refusal = WatchResponse { created: true, canceled, cancel_reason: reason.into(), ..response(7) };
        watches.heard(watch, 99, refusal);
        check(&watches, &Replayed::of(&log().witness), LIMITS)
    };
    let duplicate = "mvcc: duplicate watch ID provided on the WatchStream";
    asked(all(2), false, "").unwrap();
    asked(all(2), true, duplicate).unwrap();
    asked(all(-1), false, &Error::Compacted.to_string()).unwrap();
    let empty = WatchCreateRequest { range_end: "a".into(), ..all(2) };
    asked(empty.clone(), false, "mvcc: watcher range is empty").unwrap();
    for (request, is_duplicate, reason) in
        [(all(2), true, ""), (all(2), false, duplicate), (empty, false, duplicate), (all(-1), false, "")]
    {
        assert_eq!(asked(request, is_duplicate, reason).unwrap_err().clause, "refused");
    }
}
