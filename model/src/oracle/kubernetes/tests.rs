//! What API servers may be told, and for each clause something that they may not.

use super::*;
use crate::api::{
    CompactionRequest, Compare, DeleteRangeRequest, Event, PutRequest, RequestOp, ResponseHeader,
    WatchCreateRequest, WatchResponse,
};
use crate::oracle::testing::{Script, put};
use crate::workload::kubernetes::{first_page, next_page};

const PODS: &[u8] = b"/registry/pods/";

/// A run of API servers, as they are told of it.
struct Run {
    script: Script,
    watches: WatchHistory,
    caches: CacheHistory,
}

/// An optimistic write, or a deletion if there is no value.
fn write(key: &'static str, expected: i64, value: Option<&'static str>) -> Request {
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.into(),
        target_union: Some(TargetUnion::ModRevision(expected)),
        ..Compare::default()
    };
    let op = match value {
        Some(value) => {
            Op::RequestPut(PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() })
        }
        None => Op::RequestDeleteRange(DeleteRangeRequest { key: key.into(), ..Default::default() }),
    };
    let read = Op::RequestRange(RangeRequest { key: key.into(), ..RangeRequest::default() });
    let ops = |op| vec![RequestOp { request: Some(op) }];
    Request::Txn(TxnRequest { compare: vec![compare], success: ops(op), failure: ops(read) })
}

/// Asks for the turn to compact.
fn compete(version: i64) -> Request {
    let mut request = write("compact_rev_key", 0, Some("7"));
    if let Request::Txn(txn) = &mut request {
        txn.compare[0].target = CompareTarget::Version.into();
        txn.compare[0].target_union = Some(TargetUnion::Version(version));
    }
    request
}

fn read_at(revision: i64) -> Request {
    Request::Range(RangeRequest { key: PODS.into(), revision, ..RangeRequest::default() })
}

fn compact(revision: i64) -> Request {
    Request::Compact(CompactionRequest { revision, physical: false })
}

impl Run {
    /// Revisions: 2 to 5 create the pods a, b, c and d.
    fn new() -> Self {
        let (watches, caches) = (WatchHistory::default(), CacheHistory::default());
        let mut run = Self { script: Script::new(), watches, caches };
        for key in ["/registry/pods/a", "/registry/pods/b", "/registry/pods/c", "/registry/pods/d"] {
            run.script.write(1, write(key, 0, Some("1")));
        }
        run
    }

    fn write(mut self, request: Request) -> Self {
        self.script.write(1, request);
        self
    }

    /// An operation whose answer is another one.
    fn told(mut self, request: Request, change: impl FnOnce(&mut Outcome)) -> Self {
        let id = self.script.invoke(1, request);
        let mut outcome = self.script.apply(id);
        change(&mut outcome);
        self.script.history.returned(id, outcome);
        self
    }

    /// A transaction that is said to have failed at a revision, and never took effect.
    fn refused(mut self, request: Request, revision: i64) -> Self {
        let id = self.script.invoke(1, request);
        let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        let failed = TxnResponse { header, ..TxnResponse::default() };
        self.script.history.returned(id, Outcome::Ok(Response::Txn(failed)));
        self
    }

    /// A list of two pods to a page; `change` may change the answers. Between the pages somebody writes pod c.
    fn list(mut self, change: impl Fn(usize, &mut RangeResponse)) -> Self {
        let mut pages = Vec::new();
        let mut next = Some(first_page(PODS, 2));
        while let Some(page) = next {
            let id = self.script.invoke(1, Request::Range(page.clone()));
            let mut outcome = self.script.apply(id);
            let Outcome::Ok(Response::Range(range)) = &mut outcome else { panic!("a page is read") };
            let revision = range.header.map_or(0, |header| header.revision);
            next = next_page(&page, &range.kvs, range.more, revision);
            change(pages.len(), range);
            self.script.history.returned(id, outcome);
            if pages.is_empty() {
                self.script.write(2, put("/registry/pods/c", "2"));
            }
            pages.push(id);
        }
        self.caches.listed(pages);
        self
    }

    /// A cache that lists, and then watches and is told this, where no watch is told of its end.
    fn cache(mut self, told: &[Vec<WatchResponse>]) -> Self {
        let page = first_page(PODS, 0);
        let id = self.script.invoke(1, Request::Range(page.clone()));
        let outcome = self.script.apply(id);
        self.script.history.returned(id, outcome);
        let list = self.caches.listed(vec![id]);
        for key in ["a", "b"] {
            let key = if key == "a" { "/registry/pods/a" } else { "/registry/pods/b" };
            let seen = self.script.specification.value(key.as_bytes(), i64::MAX).map(|kv| kv.mod_revision);
            self.script
                .write(2, write(key, seen.unwrap_or_default(), (key == "/registry/pods/a").then_some("2")));
        }
        for told in told {
            let (key, range_end) = (page.key.clone(), page.range_end.clone());
            let watch = self
                .watches
                .asked(WatchCreateRequest { key, range_end, ..WatchCreateRequest::default() }, false);
            self.caches.watches(list, watch);
            let clock = self.script.history.clock();
            told.iter().for_each(|response| self.watches.heard(watch, clock, response.clone()));
        }
        self
    }

    fn check(&self) -> Result<(), Violation> {
        let replayed = Replayed::of(&self.script.witness);
        check(&self.script.history, &self.watches, &self.caches, &replayed)
    }

    fn found(&self) -> &'static str {
        self.check().expect_err("it must be refused").clause
    }
}

/// A response at `revision` that ends with these events.
fn response(revision: i64, events: Vec<Event>) -> WatchResponse {
    let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
    WatchResponse { header, events, ..WatchResponse::default() }
}

/// Revision 6: pod a is written anew.
fn updated(value: &'static str) -> Event {
    let kv = KeyValue {
        key: "/registry/pods/a".into(),
        value: value.into(),
        create_revision: 2,
        mod_revision: 6,
        version: 2,
        lease: 0,
    };
    Event { r#type: EventType::Put.into(), kv: Some(kv), prev_kv: None }
}

/// Revision 7: pod b is deleted.
fn deleted() -> Event {
    let kv = KeyValue { key: "/registry/pods/b".into(), mod_revision: 7, ..KeyValue::default() };
    Event { r#type: EventType::Delete.into(), kv: Some(kv), prev_kv: None }
}

#[test]
fn two_objects_are_not_of_one_revision() {
    let both = |second: &'static str| {
        let put = |key: &'static str| {
            let put = PutRequest { key: key.into(), ..PutRequest::default() };
            RequestOp { request: Some(Op::RequestPut(put)) }
        };
        let success = vec![put("/registry/pods/e"), put(second)];
        Request::Txn(TxnRequest { success, ..TxnRequest::default() })
    };
    assert_eq!(Run::new().write(both("/registry/pods/f")).list(|_, _| {}).found(), "one object");
    Run::new().write(both("elsewhere")).list(|_, _| {}).check().expect("only one of them is an object");
}

fn succeeded(outcome: &mut Outcome) -> &mut TxnResponse {
    match outcome {
        Outcome::Ok(Response::Txn(txn)) => txn,
        other => panic!("it must be a transaction: {other:?}"),
    }
}

#[test]
fn an_object_is_written_only_if_it_is_as_expected() {
    let (fresh, stale) = (2, 1);
    for value in [Some("2"), None] {
        Run::new().write(write("/registry/pods/a", fresh, value)).check().expect("it is as expected");
        Run::new()
            .write(write("/registry/pods/a", stale, value))
            .check()
            .expect("it is not, and is not written");
        let request = write("/registry/pods/a", stale, value);
        assert_eq!(
            Run::new().told(request, |outcome| succeeded(outcome).succeeded = true).found(),
            "optimistic"
        );
        let request = write("/registry/pods/a", fresh, value);
        assert_eq!(Run::new().refused(request, 5).found(), "optimistic");
    }
    // What is created must not be there, and what is there is told.
    Run::new().write(write("/registry/pods/e", 0, Some("1"))).check().expect("there is no e");
    let exists = write("/registry/pods/a", 0, Some("2"));
    let mistold = Run::new().told(exists, |outcome| {
        let told = succeeded(outcome).responses[0].response.as_mut();
        let Some(response_op::Response::ResponseRange(range)) = told else { panic!("it says what there is") };
        range.kvs[0].value = "3".into();
    });
    assert_eq!(mistold.found(), "optimistic");
}

#[test]
fn the_deletion_of_nothing_is_no_change() {
    Run::new().write(write("/registry/pods/e", 0, None)).check().expect("there is nothing to delete");
}

#[test]
fn pages_are_of_one_revision_and_leave_nothing_out() {
    Run::new().list(|_, _| {}).check().expect("all pages are of revision 5");
    type Change = fn(usize, &mut RangeResponse);
    let wrong: [Change; 5] = [
        // As it is now.
        |page, range| {
            if page == 1 {
                (range.kvs[0].value, range.kvs[0].mod_revision) = ("2".into(), 6);
            }
        },
        |page, range| {
            if page == 1 {
                range.kvs.remove(0);
            }
        },
        |_, range| range.kvs.reverse(),
        |page, range| range.more |= page == 1,
        |page, range| {
            if page == 1 {
                let again = range.kvs[0].clone();
                range.kvs.push(again);
            }
        },
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        assert_eq!(Run::new().list(change).found(), "list", "{number}");
    }
}

#[test]
fn a_count_knows_no_limit() {
    assert_eq!(Run::new().list(|_, range| range.count = range.kvs.len() as i64).found(), "count");
    Run::new().list(|page, range| assert_eq!(range.count, 4 - 2 * page as i64)).check().expect("it is right");
}

#[test]
fn a_turn_to_compact_has_one_winner() {
    let legal = || Run::new().write(compete(0)).write(compete(1)).write(compete(1));
    legal().check().expect("the second one of turn 1 failed");
    let both = legal().told(compete(1), |outcome| {
        let txn = succeeded(outcome);
        txn.succeeded = true;
    });
    assert_eq!(both.found(), "turns");
}

#[test]
fn what_nobody_compacted_can_be_read() {
    let refused = |outcome: &mut Outcome| *outcome = Outcome::Failed(Error::Compacted);
    assert_eq!(Run::new().told(read_at(3), refused).found(), "expired");
    // It leaves its own revision.
    assert_eq!(Run::new().write(compact(3)).told(read_at(3), refused).found(), "expired");
    Run::new().write(compact(4)).told(read_at(3), refused).check().expect("it is compacted");
    // Somebody asks for it only later.
    let run = Run::new().told(read_at(3), refused).write(compact(4));
    assert_eq!(run.found(), "expired");
}

#[test]
fn a_cache_is_at_each_bookmark_what_the_store_is() {
    let all = vec![response(6, vec![updated("2")]), response(7, vec![deleted()]), response(7, vec![])];
    Run::new().cache(std::slice::from_ref(&all)).check().expect("it is told of all");
    // Over two watches.
    let (first, second) = all.split_at(1);
    Run::new().cache(&[first.to_vec(), second.to_vec()]).check().expect("the second begins behind the first");
    let wrong: [Vec<WatchResponse>; 5] = [
        vec![response(7, vec![])],
        vec![response(7, vec![deleted()])],
        vec![response(6, vec![updated("2")]), response(7, vec![])],
        vec![response(6, vec![updated("3")])],
        vec![response(6, vec![])],
    ];
    for (number, told) in wrong.into_iter().enumerate() {
        assert_eq!(Run::new().cache(&[told]).found(), "cache", "{number}");
    }
    // Nothing is said of what is still to come.
    Run::new().cache(&[vec![response(5, vec![])]]).check().expect("nothing has changed until there");
}

#[test]
fn a_revision_in_parts_is_judged_as_a_whole() {
    let part = |more, events| WatchResponse { fragment: more, ..response(7, events) };
    let whole = vec![part(true, vec![updated("2")]), part(false, vec![deleted()])];
    Run::new().cache(&[whole]).check().expect("the parts are all there is");
}

#[test]
fn without_space_objects_are_read_and_deleted() {
    let refused = |outcome: &mut Outcome| *outcome = Outcome::Failed(Error::NoSpace);
    let deletion = write("/registry/pods/a", 9, None);
    assert_eq!(Run::new().told(read_at(0), refused).found(), "no space");
    assert_eq!(Run::new().told(deletion, refused).found(), "no space");
    let write = write("/registry/pods/a", 9, Some("2"));
    Run::new().told(write, refused).check().expect("a write needs space");
}
