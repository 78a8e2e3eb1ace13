use std::time::Duration;

use vertebra_sim::time::Instant;
use vertebra_sim::verdict::Violation;

use super::{Bounds, CLEARED_MAX, Leases, Remaining, check, check_attachments, check_primary};
use crate::api::{
    InternalRaftRequest, KeyValue, LeaseCheckpoint, LeaseCheckpointRequest, LeaseGrantRequest,
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use crate::history::{OperationId, Outcome, Request};
use crate::oracle::linearizable_log::LogEntry;
use crate::oracle::testing::{Script, grant, put_with, revoke};
use crate::response::Response;

/// The leases of [`grant`] are granted for so many seconds.
const TTL: i64 = 5;

/// A run with one leader, told second by second.
struct Run {
    script: Script,
    leases: Leases,
    now: Instant,
    term: u64,
    entries: u64,
}

impl Run {
    fn new() -> Self {
        let mut run =
            Self { script: Script::new(), leases: Leases::new(), now: Instant::START, term: 3, entries: 0 };
        run.leases.promoted(run.now);
        run
    }

    fn wait(&mut self, seconds: f64) {
        self.now = self.now + Duration::from_secs_f64(seconds);
    }

    fn invoke(&mut self, request: &Request) -> OperationId {
        let id = self.script.invoke(1, request.clone());
        self.leases.invoked(id, request, self.now);
        id
    }

    /// The entry that the script has just made is applied.
    fn applied(&mut self, term: u64) {
        let entries = self.script.witness.entries();
        if entries.len() as u64 > self.entries {
            self.entries = entries.len() as u64;
            if let Some(entry) = entries.last() {
                self.leases.applied(entry.index, term, &entry.request.clone(), self.now);
            }
        }
    }

    fn call(&mut self, request: &Request) {
        let id = self.invoke(request);
        let outcome = self.script.apply(id);
        self.applied(self.term);
        self.script.history.returned(id, outcome);
    }

    /// Asks to keep lease 7 alive, and says after a while that it was, for `ttl` seconds.
    fn keep_alive(&mut self, ttl: i64) {
        let id = self.invoke(&Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: 7 }));
        if ttl > 0 {
            self.leases.refreshed(7, self.now);
        }
        let kept = LeaseKeepAliveResponse { id: 7, ttl, ..Default::default() };
        self.script.history.returned(id, Outcome::Ok(Response::LeaseKeepAlive(kept)));
    }

    fn time_to_live(&mut self, ttl: i64, granted_ttl: i64) {
        let id = self.invoke(&Request::LeaseTimeToLive(LeaseTimeToLiveRequest { id: 7, keys: false }));
        let lives = LeaseTimeToLiveResponse { id: 7, ttl, granted_ttl, ..Default::default() };
        self.script.history.returned(id, Outcome::Ok(Response::LeaseTimeToLive(lives)));
    }

    /// A member that has applied all entries but the last `behind` tells which leases there are.
    fn list(&mut self, behind: u64, ids: &[i64]) {
        let id = self.invoke(&Request::LeaseLeases(LeaseLeasesRequest {}));
        let last = self.script.witness.entries().last().map_or(0, |entry| entry.index);
        self.leases.listed(id, last - behind);
        let leases = ids.iter().map(|id| LeaseStatus { id: *id }).collect();
        let list = LeaseLeasesResponse { leases, ..Default::default() };
        self.script.history.returned(id, Outcome::Ok(Response::LeaseLeases(list)));
    }

    /// The leader of `term` finds that lease 7 has expired, and what it proposes is committed in the present term.
    fn expire(&mut self, term: u64) {
        self.script.expire(7);
        let proposal =
            self.script.witness.entries().last().map_or(0, super::super::linearizable_log::LogEntry::id);
        self.leases.proposed(proposal, 1, term, self.now);
        self.applied(self.term);
    }

    /// A leader writes down that lease 7 has so many seconds left; 0 for all of its time.
    fn checkpoint(&mut self, remaining_ttl: i64) {
        let checkpoints = vec![LeaseCheckpoint { id: 7, remaining_ttl }];
        let lease_checkpoint = Some(LeaseCheckpointRequest { checkpoints });
        let request = InternalRaftRequest { lease_checkpoint, ..Default::default() };
        self.leases.applied(self.entries, self.term, &request, self.now);
    }

    fn judge(&self, drift_ppm: (i32, i32)) -> Result<(), Violation> {
        let bounds = Bounds {
            drift_ppm,
            election_timeout: Duration::from_secs(1),
            checkpoint_interval: Some(Duration::from_secs(1)),
            retry_interval: Duration::from_secs(7),
            healed: Some(Instant::START + Duration::from_secs(10)),
            ended: self.now,
        };
        check(&self.script.history, &self.script.witness, &self.leases, &bounds)
    }

    fn found(&self) -> Option<&'static str> {
        self.judge((0, 0)).err().map(|violation| violation.clause)
    }
}

#[test]
fn a_lease_may_expire_when_its_time_is_over_and_no_sooner() {
    for (seconds, found) in [(4.9, Some("early")), (5.0, None), (60.0, None)] {
        let mut run = Run::new();
        run.call(&grant(7));
        run.wait(seconds);
        run.expire(3);
        assert_eq!(run.found(), found, "after {seconds} s");
    }
}

#[test]
fn the_time_begins_anew_with_each_sign_that_was_acknowledged() {
    for (acknowledged, found) in [(true, Some("early")), (false, None)] {
        let mut run = Run::new();
        run.call(&grant(7));
        run.wait(4.0);
        match acknowledged {
            true => run.keep_alive(TTL),
            false => drop(run.invoke(&Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: 7 }))),
        }
        run.wait(4.0);
        run.expire(3);
        assert_eq!(run.found(), found);
    }
    let mut run = Run::new();
    run.call(&grant(7));
    run.wait(4.0);
    run.keep_alive(TTL);
    run.wait(5.0);
    run.expire(3);
    assert_eq!(run.found(), None);
}

#[test]
fn a_fast_clock_counts_the_time_sooner() {
    let mut run = Run::new();
    run.call(&grant(7));
    run.wait(4.6);
    run.expire(3);
    assert_eq!(run.judge((0, 100_000)), Ok(()));
    assert_eq!(run.judge((0, 80_000)).unwrap_err().clause, "early");
}

#[test]
fn a_client_that_revokes_a_lease_is_free_to() {
    let mut run = Run::new();
    run.call(&grant(7));
    run.call(&put_with("a", "1", 7));
    run.call(&revoke(7));
    run.keep_alive(0);
    assert_eq!(run.found(), None);
    // And to grant it again.
    run.call(&grant(7));
    run.wait(5.0);
    run.expire(3);
    assert_eq!(run.found(), None);
}

#[test]
fn a_lease_that_is_gone_is_not_kept_alive() {
    let mut run = Run::new();
    run.keep_alive(TTL);
    assert_eq!(run.found(), Some("kept alive when gone"));
    let mut run = Run::new();
    run.call(&grant(7));
    run.wait(5.0);
    run.expire(3);
    run.keep_alive(TTL);
    assert_eq!(run.found(), Some("kept alive when gone"));
}

#[test]
fn an_answer_that_crosses_the_end_of_the_lease_may_be_either() {
    for ttl in [0, TTL] {
        let mut run = Run::new();
        run.call(&grant(7));
        run.wait(1.0);
        let id = run.invoke(&Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: 7 }));
        run.wait(5.0);
        run.expire(3);
        let kept = LeaseKeepAliveResponse { id: 7, ttl, ..Default::default() };
        run.script.history.returned(id, Outcome::Ok(Response::LeaseKeepAlive(kept)));
        assert_eq!(run.found(), None);
    }
}

#[test]
fn a_lease_that_is_there_is_not_denied() {
    let mut run = Run::new();
    run.keep_alive(0);
    run.call(&grant(7));
    assert_eq!(run.found(), None);
    run.keep_alive(0);
    assert_eq!(run.found(), Some("denied"));
}

#[test]
fn answers_bear_the_granted_time_and_no_more_than_can_be_left() {
    let answer = |tell: &dyn Fn(&mut Run)| {
        let mut run = Run::new();
        run.call(&grant(7));
        tell(&mut run);
        run.found()
    };
    assert_eq!(answer(&|run| run.keep_alive(TTL - 1)), Some("TTL"));
    assert_eq!(answer(&|run| run.time_to_live(TTL + 1, TTL)), None);
    assert_eq!(answer(&|run| run.time_to_live(-1, 0)), None);
    assert_eq!(answer(&|run| run.time_to_live(TTL, TTL + 1)), Some("TTL"));
    assert_eq!(answer(&|run| run.time_to_live(20, TTL)), Some("TTL"));
}

#[test]
fn a_leader_revokes_in_its_own_term_alone() {
    let mut run = Run::new();
    run.call(&grant(7));
    run.wait(5.0);
    run.expire(2);
    assert_eq!(run.found(), Some("deposed"));
}

#[test]
fn a_lease_does_not_stay_for_ever() {
    for (seconds, found) in [(20.0, None), (60.0, Some("outlived"))] {
        let mut run = Run::new();
        run.call(&grant(7));
        run.wait(seconds);
        assert_eq!(run.found(), found, "after {seconds} s");
        // Unless somebody keeps it alive, or a new leader counts anew.
        run.keep_alive(TTL);
        assert_eq!(run.found(), None);
        run.wait(60.0);
        assert_eq!(run.found(), Some("outlived"));
        run.leases.promoted(run.now);
        assert_eq!(run.found(), None);
    }
}

#[test]
fn a_member_knows_what_the_log_says_is_left() {
    let mut script = Script::new();
    script.write(1, grant(7));
    let entry = |index, remaining_ttl| {
        let checkpoints = vec![LeaseCheckpoint { id: 7, remaining_ttl }];
        let lease_checkpoint = Some(LeaseCheckpointRequest { checkpoints });
        let request = InternalRaftRequest { lease_checkpoint, ..Default::default() };
        LogEntry { index, request, committed: 0 }
    };
    let mut leases = Leases::default();
    let found = |script: &Script, leases: &Leases, left| {
        let result = Remaining::of(&script.witness, leases).check(1, [(7, left)]);
        result.err().map(|violation| violation.clause)
    };
    assert_eq!(found(&script, &leases, 0), None);
    script.witness.committed(entry(2, 3));
    assert_eq!(found(&script, &leases, 3), None);
    assert_eq!(found(&script, &leases, 0), Some("remaining"));
    script.witness.committed(entry(3, 0));
    assert_eq!(found(&script, &leases, 3), Some("remaining"));
    assert_eq!(found(&script, &leases, 0), None);
    leases.corrupt();
    assert_eq!(found(&script, &leases, 3), None);
}

#[test]
fn leases_expire_where_the_leader_is() {
    let clause = |leads, primary| check_primary(1, leads, primary).err().map(|violation| violation.clause);
    assert_eq!(clause(Some(3), Some(3)), None);
    assert_eq!(clause(Some(3), None), None);
    assert_eq!(clause(None, None), None);
    assert_eq!(clause(None, Some(3)), Some("primary"));
    assert_eq!(clause(Some(4), Some(3)), Some("primary"));
}

#[test]
fn lessor_and_store_know_the_same_attachments() {
    let key = |key: &'static str, lease| KeyValue { key: key.into(), lease, ..KeyValue::default() };
    let keys = [key("a", 7), key("b", 0)];
    let found = |a: i64, b: i64, attached| {
        let lease_of = |key: &[u8]| if key == b"a" { a } else { b };
        check_attachments(1, &keys, lease_of, attached).err().map(|violation| violation.clause)
    };
    assert_eq!(found(7, 0, 1), None);
    for (a, b, attached) in [(8, 0, 1), (0, 0, 0), (7, 7, 2), (7, 0, 2)] {
        assert_eq!(found(a, b, attached), Some("attachment"));
    }
}

#[test]
fn a_list_of_leases_is_that_of_what_the_member_had_applied() {
    let told = |behind, ids: &[i64]| {
        let mut run = Run::new();
        run.call(&grant(7));
        run.call(&grant(8));
        run.call(&revoke(7));
        run.call(&grant(9));
        run.call(&grant(10));
        run.list(behind, ids);
        run.found()
    };
    assert_eq!(told(0, &[8, 9, 10]), None);
    assert_eq!(told(0, &[8, 10]), Some("list"));
    assert_eq!(told(0, &[7, 8, 9, 10]), Some("list"));
    // It may have been applying the entry after those that it had applied.
    assert_eq!((told(1, &[8, 9]), told(1, &[8, 9, 10])), (None, None));
    assert_eq!((told(2, &[8]), told(2, &[8, 9]), told(2, &[8, 9, 10])), (None, None, Some("list")));
    assert_eq!((told(3, &[7, 8]), told(3, &[8]), told(3, &[7])), (None, None, Some("list")));
}

#[test]
fn what_is_left_of_a_lease_is_written_down_while_it_is_not_kept_alive() {
    let found = |granted: i64, seconds: f64, prepare: &dyn Fn(&mut Run)| {
        let mut run = Run::new();
        run.wait(12.0);
        run.call(&Request::LeaseGrant(LeaseGrantRequest { id: 7, ttl: granted }));
        prepare(&mut run);
        run.wait(seconds);
        run.found()
    };
    assert_eq!(found(30, 7.0, &|_| ()), Some("checkpoint"));
    assert_eq!(found(30, 7.0, &|run| run.checkpoint(29)), Some("checkpoint"));
    // It is not due for long, or what is left is little.
    assert_eq!(found(30, 5.0, &|_| ()), None);
    assert_eq!(found(10, 7.0, &|_| ()), None);
    assert_eq!(found(30, 7.0, &|run| run.checkpoint(10)), None);
    let twice = |run: &mut Run| {
        run.checkpoint(29);
        run.wait(4.0);
        run.checkpoint(25);
    };
    assert_eq!(found(30, 5.0, &twice), None);
    assert_eq!(found(30, 7.0, &twice), Some("checkpoint"));
    // It had all of its time left when it was due.
    assert_eq!(found(30, 7.0, &|run| run.leases.refreshed(7, run.now)), None);
    assert_eq!(found(30, 7.0, &|run| run.leases.promoted(run.now)), None);
    // Proposals were dropped, and no more.
    assert_eq!(found(30, 7.0, &|run| run.leases.dropped(run.now)), None);
    assert_eq!(found(30, 7.0, &|run| run.leases.dropped(Instant::START)), Some("checkpoint"));
    let dropped_late = |run: &mut Run| run.leases.dropped(run.now + Duration::from_secs(9));
    assert_eq!(found(30, 12.0, &dropped_late), Some("checkpoint"));
    let promoted_at = |left: i64| {
        move |run: &mut Run| {
            run.checkpoint(left);
            run.wait(0.1);
            run.leases.promoted(run.now);
        }
    };
    assert_eq!(found(30, 7.0, &promoted_at(29)), None);
    assert_eq!(found(30, 7.0, &promoted_at(20)), Some("checkpoint"));
}

#[test]
fn a_checkpoint_is_not_cleared_again_and_again_in_vain() {
    let found = |kept_alive: bool, terms: u64| {
        let mut run = Run::new();
        run.call(&grant(7));
        for number in 0..u64::from(CLEARED_MAX) + 1 {
            run.term = 3 + number % terms;
            run.checkpoint(0);
            if kept_alive {
                run.leases.refreshed(7, run.now);
            }
        }
        run.found()
    };
    assert_eq!(found(false, 1), Some("cleared again"));
    assert_eq!((found(true, 1), found(false, 2)), (None, None));
}
