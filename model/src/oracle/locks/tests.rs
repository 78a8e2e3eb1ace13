//! Who may take itself for the holder of a lock, and what it may write; for each clause somebody who may not.

use std::time::Duration;

use super::*;
use crate::api::{Compare, PutRequest, RequestOp, ResponseHeader, TxnRequest, TxnResponse};
use crate::oracle::testing::{Script, delete, grant, put, put_with};

/// The leases of [`grant`] live for so many seconds.
const TTL: i64 = 5;

const KEYS: [&str; 3] = ["", "lock/1", "lock/2"];

struct Run {
    script: Script,
    locks: Locks,
    now: Instant,
    created: [i64; 3],
}

impl Run {
    fn new() -> Self {
        Self { script: Script::new(), locks: Locks::default(), now: Instant::START, created: [0; 3] }
    }

    fn at(mut self, seconds: f64) -> Self {
        self.now = Instant::START + Duration::from_secs_f64(seconds);
        self
    }

    /// A client puts its key, with a lease that it asks for now.
    fn enters(mut self, client: usize) -> Self {
        self.script.write(client as u32, grant(client as i64));
        self.script.write(client as u32, put_with(KEYS[client], "", client as i64));
        self.created[client] = self.script.specification.revision();
        self.locks.promised(client as i64, TTL, self.now, self.now);
        self
    }

    fn holds(mut self, client: u16) -> Self {
        let number = usize::from(client);
        let (key, created) = (Bytes::from_static(KEYS[number].as_bytes()), self.created[number]);
        self.locks.holds(NodeId::Client(client), key, created, i64::from(client), self.now);
        self
    }

    fn gives_up(mut self, client: u16) -> Self {
        self.locks.gives_up(NodeId::Client(client), self.now);
        self.write(9, delete(KEYS[usize::from(client)], ""))
    }

    fn write(mut self, session: u32, request: Request) -> Self {
        self.script.write(session, request);
        self
    }

    fn expires(mut self, lease: i64) -> Self {
        self.script.expire(lease);
        self
    }

    /// A client asks to keep its lease alive, and is answered after `after` seconds, if at all.
    fn keeps_alive(mut self, lease: i64, after: Option<f64>) -> Self {
        self.locks.asked(lease, self.now);
        if let Some(after) = after {
            self.locks.promised(lease, TTL, self.now, self.now + Duration::from_secs_f64(after));
        }
        self
    }

    /// A write under the lock of `client`, as if it had taken effect, or without an answer.
    fn fenced(mut self, client: usize, value: &'static str, is_told: bool) -> Self {
        let created = Some(TargetUnion::CreateRevision(self.created[client]));
        let compare = Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: KEYS[client].into(),
            target_union: created,
            ..Compare::default()
        };
        let Request::Put(data) = put("data", value) else { unreachable!("it is a put") };
        let success = vec![RequestOp { request: Some(Op::RequestPut(data)) }];
        let txn = TxnRequest { compare: vec![compare], success, failure: Vec::new() };
        let id = self.script.invoke(client as u32, Request::Txn(txn));
        let wrote = put("data", value);
        self.script.write(9, wrote);
        let revision = self.script.specification.revision();
        let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        let answer = TxnResponse { header, succeeded: true, responses: Vec::new() };
        let outcome = if is_told { Outcome::Ok(Response::Txn(answer)) } else { Outcome::Unknown };
        self.script.history.returned(id, outcome);
        self
    }

    fn judge(&self, drift_ppm_max: i32) -> Result<Overlaps, Violation> {
        let Script { history, witness, .. } = &self.script;
        check(history, witness, &Replayed::of(witness), &self.locks, drift_ppm_max)
    }

    fn found(&self) -> &'static str {
        self.judge(0).expect_err("it must be refused").clause
    }

    fn overlaps(&self) -> Overlaps {
        self.judge(0).expect("it is legal")
    }
}

/// Client 1 holds the lock from the beginning.
fn first() -> Run {
    Run::new().enters(1).holds(1)
}

/// The lease of client 1 expires now, and client 2 takes over.
fn taken_over(run: Run) -> Run {
    run.expires(1).enters(2).holds(2)
}

#[test]
fn a_lock_that_was_given_up_is_free() {
    let run = first().at(1.0).gives_up(1).enters(2).holds(2);
    assert_eq!(run.overlaps(), Overlaps::default());
}

#[test]
fn who_was_promised_the_time_holds_the_lock_alone() {
    assert_eq!(taken_over(first().at(4.9)).found(), "mutual exclusion");
    let excused = Overlaps { unasked: 1, ..Overlaps::default() };
    assert_eq!(taken_over(first().at(5.0)).overlaps(), excused);
}

#[test]
fn who_hears_late_of_a_turn_that_is_over_is_the_one_who_is_mistaken() {
    // Client 1 has put its key, but the answer is under way for longer than its lease lives.
    let late = |told| Run::new().enters(1).expires(1).enters(2).at(4.0).holds(2).at(told).holds(1);
    assert_eq!(late(5.0).overlaps(), Overlaps { unasked: 1, ..Overlaps::default() });
    // While it has the time that it was promised, the other one is who must not hold the lock.
    let found = late(4.9).judge(0).expect_err("it must be refused");
    assert!(found.detail.starts_with("client 1 holds \"lock/1\" since 4.9"), "{}", found.detail);
}

#[test]
fn a_lease_that_was_kept_alive_counts_from_when_that_was_asked_for() {
    let kept = || first().at(3.0).keeps_alive(1, Some(0.5));
    assert_eq!(taken_over(kept().at(7.9)).found(), "mutual exclusion");
    assert_eq!(taken_over(kept().at(8.0)).overlaps().unasked, 1);
    // Before the answer it has the time of the grant, and no more.
    let late = || first().at(3.0).keeps_alive(1, Some(4.0));
    assert_eq!(taken_over(late().at(6.0)).overlaps().unanswered, 1);
    assert_eq!(taken_over(late().at(7.5)).found(), "mutual exclusion");
}

#[test]
fn who_is_not_answered_in_time_is_told_from_who_did_not_ask() {
    let run = taken_over(first().at(3.0).keeps_alive(1, None).at(6.0));
    assert_eq!(run.overlaps(), Overlaps { unanswered: 1, ..Overlaps::default() });
    let run = taken_over(first().at(5.5).keeps_alive(1, None).at(6.0));
    assert_eq!(run.overlaps(), Overlaps { unasked: 1, ..Overlaps::default() });
}

#[test]
fn the_fastest_clock_counts() {
    let run = || taken_over(first().at(4.6));
    assert_eq!(run().found(), "mutual exclusion");
    assert_eq!(run().judge(100_000).expect("five seconds pass in 4.55").unasked, 1);
}

#[test]
fn nobody_holds_a_lock_whose_key_somebody_deleted() {
    let run = first().at(1.0).write(9, delete("lock/1", "")).enters(2).holds(2);
    assert_eq!(run.overlaps(), Overlaps { deleted: 1, ..Overlaps::default() });
}

#[test]
fn nobody_holds_a_lock_behind_a_key_that_is_there() {
    assert_eq!(first().at(1.0).enters(2).holds(2).found(), "mutual exclusion");
}

#[test]
fn two_locks_have_two_holders() {
    let mut run = first().enters(2);
    run.locks.holds(NodeId::Client(2), Bytes::from_static(b"other/2"), 9, 2, run.now);
    assert_eq!(run.overlaps(), Overlaps::default());
}

#[test]
fn no_write_of_a_holder_takes_effect_after_one_of_a_later_holder() {
    let legal = taken_over(first().fenced(1, "a", true).at(6.0)).fenced(2, "b", true);
    assert_eq!(legal.overlaps().unasked, 1);
    assert_eq!(legal.fenced(1, "c", true).found(), "fencing");
}

#[test]
fn a_write_without_an_answer_is_fenced_too() {
    let legal = taken_over(first().fenced(1, "a", false).at(6.0)).fenced(2, "b", false);
    assert_eq!(legal.overlaps().unasked, 1);
    assert_eq!(legal.fenced(1, "c", false).found(), "fencing");
    // What never took effect does not count.
    let mut lost = taken_over(first().at(6.0)).fenced(2, "b", true);
    let fence = PutRequest { key: "data".into(), value: "never".into(), ..PutRequest::default() };
    let success = vec![RequestOp { request: Some(Op::RequestPut(fence)) }];
    let compare = Compare {
        target: CompareTarget::Create.into(),
        key: KEYS[1].into(),
        target_union: Some(TargetUnion::CreateRevision(lost.created[1])),
        ..Compare::default()
    };
    lost.script.invoke(1, Request::Txn(TxnRequest { compare: vec![compare], success, failure: Vec::new() }));
    assert_eq!(lost.overlaps().unasked, 1);
}
