//! What is begun comes to an end.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `answers after healing` | within `settle_max` after the end of all faults, some client was not answered |
//! | `converges after healing` | within that time, some member that can be counted on has not applied what others have, or the operator has not put right what it is to |
//! | `watches catch up after healing` | within that time, some stream of watches was not told of everything, though its client asks for progress again and again |
//! | `progress is told` | after the end of all faults, a stream some of whose watches want to hear of their progress sends nothing for more than five intervals, but answers to questions for that |
//! | `streams end` | a stream of watches whose client requires a leader sends something, and its member has had no leader for long |
//! | `responses are sent` | after the end of all faults, a response waits for a stream of watches that has nothing else to do |
//! | `compactions go on` | the commits of a member go on, and a compaction that was scheduled does not; within that time, one is not over that takes seconds |
//! | `compactions are told` | when all is quiet, a member has nothing left to compact, and has not told those who wait for that; or who waits for one goes on to wait though it is over |
//! | `snapshots are made` | a member goes on with the next entries, and has made no snapshot, though it has enough for one |
//! | `snapshots are due` | a member makes one though it has not enough |
//!
//! That elections end is a part of the first two: without a leader nobody is answered. That leases expire is asked for by
//! `leases` (`outlived`).
//!
//! **The bounds.** `settle_max` is 30 s of virtual time (120 s where watches go through small windows, or few leases may
//! expire in a second and all are waited for), in which elections may fail several times and a supervisor waits before
//! it starts a process anew. A compaction has moved when it has removed a batch: [`COMMITS_MAX`] commits of its backend
//! and [`STILL_MAX`] may pass until it has again. A snapshot is made at the end of the entries that were taken up at
//! once. What a member does by itself is measured by what else it does, so that a pause or a disk that stands still
//! excuses it.
//!
//! Stated in etcd's documentation (failures: a cluster with a quorum recovers by itself); bounds in time are our own.
//!
//! Does NOT verify: that elections end, and that requests, watches and progress advance, while faults go on; how soon.

use std::collections::BTreeMap;
use std::time::Duration;

use vertebra_sim::time::Instant;
use vertebra_sim::verdict::Violation;

use super::raft_safety::MemberId;

/// The name of the oracle.
pub const NAME: &str = "liveness";

/// How long something may stand still while its member goes on. A failpoint makes a task sleep for less.
pub const STILL_MAX: Duration = Duration::from_secs(10);

/// So many commits may come meanwhile.
pub const COMMITS_MAX: u32 = 40;

/// A stream of watches of `member` has had nothing to do since `idle_since`, and something waits `since` then for it to be sent.
///
/// # Errors
///
/// Time has passed, and nobody has told the stream.
pub fn sent(member: MemberId, since: Instant, idle_since: Instant, now: Instant) -> Result<(), Violation> {
    if since < idle_since || now == since {
        return Ok(());
    }
    let detail = format!("on member {member}, it could be sent at {since}, and nobody did until {now}");
    Err(Violation::new(NAME, "responses are sent", "", detail))
}

/// In so many intervals a silent watch is told of its progress more than once: it counts as silent from the second one on, each is
/// up to a tenth longer, and a member's clock may lose another tenth. Once, the word may find no room, or the watch not synced.
pub const PROGRESS_INTERVALS: u32 = 5;

/// What is due of a stream of watches may be late by this: the member has other things to do.
pub const PROGRESS_GRACE: Duration = Duration::from_secs(1);

/// Two answers further apart do not show that a stream could have sent something else between them: its client may not have made
/// room for that.
pub const ANSWERS_GAP: Duration = Duration::from_millis(500);

/// A stream of watches, some of which want to hear of their progress, sends nothing but answers to questions for that, which show
/// that all of them could be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence {
    /// When the first answer was sent, and the last one.
    answers: Option<(Instant, Instant)>,
}

impl Silence {
    /// Another answer is sent; watches are told of their progress at an `interval`.
    ///
    /// # Errors
    ///
    /// Something else was due.
    pub fn goes_on(self, interval: Duration, now: Instant) -> Result<Self, Violation> {
        let since = match self.answers {
            Some((since, last)) if now <= last + ANSWERS_GAP => since,
            _ => now,
        };
        if now <= since + PROGRESS_INTERVALS * interval + PROGRESS_GRACE {
            return Ok(Self { answers: Some((since, now)) });
        }
        let detail =
            format!("at {now}, a stream of watches has sent answers since {since}, and nothing else");
        Err(Violation::new(NAME, "progress is told", "", detail))
    }
}

/// A member looks once in the time that an election takes whether it has a leader, and ends streams that require one when it has
/// had none three times. After so many times that time without a leader, it must have.
pub const ELECTIONS_WITHOUT_LEADER: u32 = 5;

/// What kept a cluster from coming to rest within `settle_max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsettled {
    /// A client was not answered.
    Clients,
    /// Members, or who looks after them, are not where they should be.
    Members,
    /// Watches were not told of everything.
    Watches,
    /// A compaction is not over.
    Compactions,
}

impl Unsettled {
    /// The violation that it is.
    #[must_use]
    pub fn violation(self, detail: String) -> Violation {
        let clause = match self {
            Self::Clients => "answers after healing",
            Self::Members => "converges after healing",
            Self::Watches => "watches catch up after healing",
            Self::Compactions => "compactions go on",
        };
        Violation::new(NAME, clause, "", detail)
    }
}

/// The part of the oracle that watches members do what they do by themselves.
#[derive(Debug, Default)]
pub struct Liveness {
    members: BTreeMap<MemberId, Member>,
}

#[derive(Debug, Default)]
struct Member {
    /// Compactions that were scheduled and are not over.
    compactions: u32,
    /// When one of them moved last, and the commits since then.
    moved: Instant,
    commits: u32,
    /// The entry at which there is to be a snapshot.
    due: u64,
    /// The ticks of its Raft since it last had a leader.
    ticks_alone: u32,
}

impl Liveness {
    /// An oracle that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `member` starts with so many compactions that are to be carried on with, and another snapshot is to be made when it
    /// has applied the entry `due`.
    pub fn started(&mut self, member: MemberId, compactions: u32, due: u64, now: Instant) {
        let state = Member { compactions, moved: now, due, ..Member::default() };
        self.members.insert(member, state);
    }

    /// The store of `member` is another one, with so many compactions that are to be carried on with.
    pub fn replaced(&mut self, member: MemberId, compactions: u32, now: Instant) {
        let state = self.members.entry(member).or_default();
        (state.compactions, state.moved, state.commits) = (compactions, now, 0);
    }

    /// A tick of `member`'s Raft passes, and it has no leader.
    pub fn ticked_alone(&mut self, member: MemberId) {
        self.members.entry(member).or_default().ticks_alone += 1;
    }

    /// `member` has a leader.
    pub fn is_led(&mut self, member: MemberId) {
        self.members.entry(member).or_default().ticks_alone = 0;
    }

    /// `member` sends something to a client that requires a leader; an election takes `election_ticks`.
    ///
    /// # Errors
    ///
    /// It has been without one for too long.
    pub fn sends_as_led(&self, member: MemberId, election_ticks: u16) -> Result<(), Violation> {
        let ticks = self.members.get(&member).map_or(0, |state| state.ticks_alone);
        if ticks <= ELECTIONS_WITHOUT_LEADER * u32::from(election_ticks) {
            return Ok(());
        }
        let detail = format!("member {member} serves who requires a leader, after {ticks} ticks without one");
        Err(Violation::new(NAME, "streams end", "", detail))
    }

    /// Whether `member` has no compaction under way.
    #[must_use]
    pub fn has_compacted(&self, member: MemberId) -> bool {
        self.members.get(&member).is_none_or(|state| state.compactions == 0)
    }

    /// A compaction was scheduled.
    pub fn compaction_scheduled(&mut self, member: MemberId, now: Instant) {
        let state = self.members.entry(member).or_default();
        if state.compactions == 0 {
            (state.moved, state.commits) = (now, 0);
        }
        state.compactions += 1;
    }

    /// A compaction has removed something, or is over.
    pub fn compaction_moved(&mut self, member: MemberId, over: bool, now: Instant) {
        let state = self.members.entry(member).or_default();
        state.compactions = state.compactions.saturating_sub(u32::from(over));
        (state.moved, state.commits) = (now, 0);
    }

    /// A commit of `member`'s backend has ended.
    ///
    /// # Errors
    ///
    /// A compaction does not go on.
    pub fn committed(&mut self, member: MemberId, now: Instant) -> Result<(), Violation> {
        let state = self.members.entry(member).or_default();
        if state.compactions == 0 {
            return Ok(());
        }
        state.commits += 1;
        if state.commits <= COMMITS_MAX || now <= state.moved + STILL_MAX {
            return Ok(());
        }
        let detail = format!(
            "member {member} has {} compactions under way, of which none has moved since {}, and has committed {} times",
            state.compactions, state.moved, state.commits
        );
        Err(Violation::new(NAME, "compactions go on", "", detail))
    }

    /// On `member`, somebody still waits for a compaction at `revision`, where all up to `finished` are over.
    ///
    /// # Errors
    ///
    /// It waits in vain.
    pub fn waits(member: MemberId, revision: i64, finished: i64) -> Result<(), Violation> {
        if finished < revision {
            return Ok(());
        }
        let detail = format!(
            "on member {member}, the compaction at {finished} is over, and who waits for {revision} goes on to wait"
        );
        Err(Violation::new(NAME, "compactions are told", "", detail))
    }

    /// `member` has come to rest, and is compacted at the revision `compacted`; who waits for a compaction knows of `told`.
    ///
    /// # Errors
    ///
    /// There is nothing left to compact, and they will wait for ever.
    pub fn rests(&self, member: MemberId, (compacted, told): (i64, i64)) -> Result<(), Violation> {
        if told >= compacted || !self.has_compacted(member) {
            return Ok(());
        }
        let detail =
            format!("member {member} is compacted at {compacted}, and tells those who wait of {told}");
        Err(Violation::new(NAME, "compactions are told", "", detail))
    }

    /// There is a snapshot of `member`, its own or another's; the next is to be made at the entry `due`.
    pub fn snapshot_made(&mut self, member: MemberId, due: u64) {
        self.members.entry(member).or_default().due = due;
    }

    /// `member` makes a snapshot of its own, of all up to the entry at `index`.
    ///
    /// # Errors
    ///
    /// None is due.
    pub fn makes_snapshot(&self, member: MemberId, index: u64) -> Result<(), Violation> {
        match self.members.get(&member) {
            Some(state) if index < state.due => {
                let detail = format!(
                    "member {member} makes a snapshot at {index}, and the next is due at {}",
                    state.due
                );
                Err(Violation::new(NAME, "snapshots are due", "", detail))
            }
            _ => Ok(()),
        }
    }

    /// `member` takes up the entries that come after the one at `index`, which it has applied.
    ///
    /// # Errors
    ///
    /// It has not made a snapshot that was due before.
    pub fn takes_up(&self, member: MemberId, index: u64) -> Result<(), Violation> {
        match self.members.get(&member) {
            Some(state) if index >= state.due => {
                let detail = format!(
                    "member {member} goes on behind entry {index}, and a snapshot was due at {}",
                    state.due
                );
                Err(Violation::new(NAME, "snapshots are made", "", detail))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    #[test]
    fn what_does_not_come_to_rest_has_a_clause_of_its_own() {
        let clause = |what: Unsettled| what.violation(String::new()).clause;
        assert_eq!(clause(Unsettled::Clients), "answers after healing");
        assert_eq!(clause(Unsettled::Members), "converges after healing");
        assert_eq!(clause(Unsettled::Watches), "watches catch up after healing");
        assert_eq!(clause(Unsettled::Compactions), "compactions go on");
    }

    /// A compaction is scheduled at 1 s, and there are `commits`, the last one at `end`.
    fn compaction(move_on: impl Fn(&mut Liveness), commits: u32, end: u64) -> Option<&'static str> {
        let mut oracle = Liveness::new();
        oracle.started(1, 0, u64::MAX, at(0));
        oracle.compaction_scheduled(1, at(1));
        move_on(&mut oracle);
        let found = (1..commits).try_for_each(|_| oracle.committed(1, at(1)));
        found.and_then(|()| oracle.committed(1, at(end))).err().map(|violation| violation.clause)
    }

    #[test]
    fn a_compaction_goes_on_while_its_member_does() {
        let found = Some("compactions go on");
        assert_eq!(compaction(|_| (), COMMITS_MAX + 1, 12), found);
        // Another one does not count, nor one that was left by an earlier process.
        assert_eq!(compaction(|oracle| oracle.compaction_scheduled(1, at(9)), COMMITS_MAX + 1, 12), found);
        assert_eq!(compaction(|oracle| oracle.started(1, 1, u64::MAX, at(1)), COMMITS_MAX + 1, 12), found);
        // The member stands still itself, or has had little time.
        assert_eq!(compaction(|_| (), COMMITS_MAX, 12), None);
        assert_eq!(compaction(|_| (), COMMITS_MAX + 1, 11), None);
        // It goes on, or is over.
        assert_eq!(compaction(|oracle| oracle.compaction_moved(1, false, at(2)), COMMITS_MAX + 1, 12), None);
        assert_eq!(compaction(|oracle| oracle.compaction_moved(1, true, at(1)), COMMITS_MAX + 1, 99), None);
    }

    #[test]
    fn a_stream_that_has_nothing_to_do_sends_at_once() {
        let found = |since, idle_since, now| {
            sent(1, at(since), at(idle_since), at(now)).err().map(|violation| violation.clause)
        };
        assert_eq!(found(5, 3, 5), None);
        // It was sending something else.
        assert_eq!(found(5, 6, 6), None);
        assert_eq!(found(5, 3, 6), Some("responses are sent"));
    }

    #[test]
    fn who_requires_a_leader_is_not_served_without_one_for_long() {
        let mut oracle = Liveness::new();
        (0..50).for_each(|_| oracle.ticked_alone(1));
        oracle.sends_as_led(1, 10).unwrap();
        oracle.ticked_alone(1);
        oracle.sends_as_led(2, 10).unwrap();
        assert_eq!(oracle.sends_as_led(1, 10).unwrap_err().clause, "streams end");
        oracle.is_led(1);
        oracle.sends_as_led(1, 10).unwrap();
    }

    #[test]
    fn a_silent_watch_is_told_of_its_progress_at_each_interval() {
        // An answer each 400 ms or 600 ms, from 1 s on.
        let found = |apart: u64, count: u64| {
            let mut answers = (0..count).map(|number| at(1) + Duration::from_millis(apart) * number as u32);
            let silence = |silence: Silence, now| silence.goes_on(Duration::from_secs(5), now);
            answers.try_fold(Silence::default(), silence).err().map(|violation| violation.clause)
        };
        assert_eq!(found(400, 66), None);
        assert_eq!(found(400, 67), Some("progress is told"));
        assert_eq!(found(600, 67), None);
    }

    #[test]
    fn who_waits_for_a_compaction_is_told_when_nothing_is_left_of_it() {
        let mut oracle = Liveness::new();
        oracle.started(1, 0, u64::MAX, at(0));
        assert_eq!(oracle.rests(1, (-1, -1)), Ok(()));
        oracle.compaction_scheduled(1, at(1));
        assert_eq!(oracle.rests(1, (7, -1)), Ok(()));
        oracle.compaction_moved(1, true, at(2));
        assert_eq!(oracle.rests(1, (7, 7)), Ok(()));
        assert_eq!(oracle.rests(1, (7, -1)).unwrap_err().clause, "compactions are told");
        assert_eq!(Liveness::waits(1, 7, 6), Ok(()));
        assert_eq!(Liveness::waits(1, 7, 7).unwrap_err().clause, "compactions are told");
    }

    #[test]
    fn no_snapshot_is_made_before_it_is_due() {
        let mut oracle = Liveness::new();
        oracle.started(1, 0, 10, at(0));
        assert_eq!(oracle.makes_snapshot(1, 10), Ok(()));
        assert_eq!(oracle.makes_snapshot(1, 9).unwrap_err().clause, "snapshots are due");
        oracle.snapshot_made(1, 20);
        assert_eq!(oracle.makes_snapshot(1, 19).unwrap_err().clause, "snapshots are due");
    }

    #[test]
    fn a_snapshot_is_made_when_it_is_due() {
        let mut oracle = Liveness::new();
        oracle.started(1, 0, 10, at(0));
        assert_eq!(oracle.takes_up(1, 9), Ok(()));
        assert_eq!(oracle.takes_up(1, 10).unwrap_err().clause, "snapshots are made");
        oracle.snapshot_made(1, 20);
        assert_eq!(oracle.takes_up(1, 19), Ok(()));
    }
}
