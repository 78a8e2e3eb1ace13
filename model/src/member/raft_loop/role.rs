//! What the raft loop makes of its role: when it stands for election, and whom it tells of a change.

use raft::{INVALID_ID, StateRole};
use vertebra_sim::random::split_mix;
use vertebra_sim::{record, sometimes};

use super::RaftLoop;
use crate::member::Status;
use crate::observer::Role;

impl RaftLoop {
    /// Raft draws its election timeouts from a generator that no seed governs. Whenever it may have done so, the
    /// timeout is set to a value that is a function of seed, member, term and role.
    pub(super) fn settle_election_timeout(&mut self) {
        let of = (self.raft.raft.term, self.raft.raft.state, self.member.is_whole());
        if self.election_timeout.0 != of {
            self.election_timeout = (of, self.election_timeout_of(of));
        }
        let (_, timeout) = self.election_timeout;
        if self.raft.raft.randomized_election_timeout() != timeout {
            self.raft.raft.set_randomized_election_timeout(timeout);
        }
    }

    /// Tells the observer by which timeout this member goes.
    pub(super) fn tell_election_timeout(&self) {
        let raft = &self.raft.raft;
        // Whether the member has its store can have changed since.
        let wanted = match self.election_timeout {
            ((term, state, _), settled) if (term, state) == (raft.term, raft.state) => settled,
            _ => self.election_timeout_of((raft.term, raft.state, self.member.is_whole())),
        };
        let ticks = raft.randomized_election_timeout();
        self.member.observer.waits_for_election(self.member.id, ticks, wanted);
    }

    fn election_timeout_of(&self, (term, role, is_whole): (u64, StateRole, bool)) -> usize {
        let ticks = usize::from(self.member.options.election_ticks);
        let term_and_role = split_mix(term ^ split_mix(role as u64));
        let hash = split_mix(self.member.observer.seed() ^ split_mix(self.member.id ^ term_and_role));
        match is_whole {
            true => ticks + (hash % ticks as u64) as usize,
            // It will never come.
            false => 2 * ticks - 1,
        }
    }

    /// Tells the observer of each change of term or role, also of one that the next message undoes.
    pub(super) fn role_may_have_changed(&mut self) {
        let role = (self.raft.raft.term, self.raft.raft.state);
        if role == self.role {
            return;
        }
        let (_, before) = std::mem::replace(&mut self.role, role);
        let (term, state) = role;
        self.mark_role(before, state);
        record!(self.member.node, "raft", "{} in term {}", RoleName(state), term);
        let role = if state == StateRole::Leader { Role::Leader } else { Role::Other };
        self.member.observer.role_changed(self.member.id, term, role);
    }

    /// Marks what a change of role means.
    fn mark_role(&self, before: StateRole, now: StateRole) {
        use StateRole::{Candidate, Follower, Leader, PreCandidate};
        let node = &self.member.node;
        let log = &self.raft.raft.raft_log;
        let waits = !self.member.waiting.borrow().is_empty();
        let (was_deposed, is_elected) =
            (before == Leader && now != Leader, before != Leader && now == Leader);
        sometimes!(node, "a leader is deposed", was_deposed, when = |run| run.members > 1);
        sometimes!(
            node,
            "a leader is deposed while proposals wait for it",
            was_deposed && waits,
            when = |run| run.members > 1
        );
        sometimes!(
            node,
            "a candidate finds a leader",
            before == Candidate && now == Follower,
            when = |run| run.members > 1
        );
        sometimes!(
            node,
            "a pre-candidate gives way",
            before == PreCandidate && now == Follower,
            when = |run| run.members > 1
        );
        sometimes!(
            node,
            "an election ends without a leader",
            before == Candidate && now == PreCandidate,
            when = |run| run.members > 1
        );
        // The entry that begins its term is appended already.
        let inherits = log.last_index() > log.committed + 1;
        sometimes!(
            node,
            "a leader inherits entries that are not committed",
            is_elected && inherits,
            when = |run| run.members > 1
        );
        let lags = self.member.applied.get() < log.committed;
        sometimes!(
            node,
            "a leader is elected before it has applied what is committed",
            is_elected && lags,
            when = |run| run.members > 1
        );
    }

    pub(super) fn publish_status(&self) {
        let raft = &self.raft.raft;
        let status = Status { term: raft.term, leader: raft.leader_id, commit: raft.raft_log.committed };
        let before = self.member.status.replace(status);
        if (before.leader, before.term) != (status.leader, status.term) {
            if status.leader != INVALID_ID {
                self.member.observer.is_led(self.member.id);
            }
            self.member.kv.demote();
            self.member.leader_changed.notify_waiters();
        }
    }
}

/// A role as people call it.
struct RoleName(StateRole);

impl std::fmt::Display for RoleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            StateRole::Follower => "follower",
            StateRole::Candidate => "candidate",
            StateRole::Leader => "leader",
            StateRole::PreCandidate => "pre-candidate",
        })
    }
}

impl std::hash::Hash for RoleName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.0 as u8).hash(state);
    }
}
