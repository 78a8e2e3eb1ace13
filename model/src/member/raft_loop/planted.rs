//! What planted bugs make of the raft loop. With all of them off, each function here is what the loop should do.

use raft::eraftpb::{Entry, HardState, Message, MessageType};
use raft::{INVALID_INDEX, ProgressState, ReadOnlyOption, Ready, StateRole};

use super::RaftLoop;
use crate::defect::{Defect, Defects};

/// So often a follower may refuse at once what it is known to have: more late refusals are never under way.
const REFUSALS_MAX: u32 = 1_000;

/// How reads are made sure of.
pub(super) fn read_only_option(defects: Defects) -> ReadOnlyOption {
    if defects.has(Defect::LeaseBasedReads) { ReadOnlyOption::LeaseBased } else { ReadOnlyOption::Safe }
}

impl RaftLoop {
    /// For planted bugs: the context of a read that is tried again, which is that of the first attempt, as etcd had it. It is
    /// unique among members.
    pub(super) fn reused(&self, context: u64) -> u64 {
        context | (self.member.id & 0xffff) << 56
    }

    /// For planted bugs: takes something in a message for granted that Raft would look at.
    pub(super) fn misread(&mut self, message: &mut Message) {
        let defects = self.member.options.defects;
        let raft = &mut self.raft.raft;
        let asks_for_vote =
            matches!(message.msg_type, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
        let brings_entries = message.msg_type == MessageType::MsgAppend;
        if defects.has(Defect::StaleTerm)
            && (brings_entries || message.msg_type == MessageType::MsgHeartbeat)
            && raft.state == StateRole::Follower
        {
            message.term = message.term.max(raft.term);
        }
        if defects.has(Defect::AppendWithoutCheck) && brings_entries {
            message.log_term = raft.raft_log.term(message.index).unwrap_or(message.log_term);
        }
        if defects.has(Defect::VoteForShorterLog) && asks_for_vote {
            message.log_term = message.log_term.max(raft.raft_log.last_term());
            message.index = message.index.max(raft.raft_log.last_index());
        }
        if defects.has(Defect::VoteTwice)
            && asks_for_vote
            && message.term == raft.term
            && raft.state == StateRole::Follower
        {
            raft.vote = 0;
        }
    }

    /// Keeps a refusal of entries from taking the leader back behind what the follower is known to have: it is a late one. Raft
    /// 0.7 does not look for that (tikv/raft-rs#557, of a later version, does). Whether Raft is to be given the refusal.
    pub(super) fn weigh_refusal(&mut self, message: &mut Message) -> bool {
        let raft = &mut self.raft.raft;
        let is_taken = raft.state == StateRole::Leader && message.term == raft.term;
        if self.member.options.has(Defect::NextBehindMatch)
            || !is_taken
            || message.request_snapshot != INVALID_INDEX
        {
            return true;
        }
        let hint = match message.log_term {
            0 => message.reject_hint,
            term => raft.raft_log.find_conflict_by_term(message.reject_hint, term).0,
        };
        let Some(progress) = raft.mut_prs().get_mut(message.from) else { return true };
        let (matched, refused) = (progress.matched, message.index);
        // Others answer nothing that Raft has asked last, or leave it where it is.
        if progress.state != ProgressState::Replicate
            && progress.next_idx == refused + 1
            && refused.min(hint + 1) <= matched
        {
            // Who refuses again and again what it is known to have has lost that. Sent at once each time, the two messages
            // would go round for ever; heartbeats bring it up often enough.
            let known = self.refusals.entry(message.from).or_default();
            known.1 = if known.0 == matched { known.1 + 1 } else { 0 };
            known.0 = matched;
            if known.1 > REFUSALS_MAX {
                return false;
            }
            // As if the follower had all that matches, and had been asked for one entry more.
            progress.next_idx = matched + 2;
            message.index = matched + 1;
            message.reject_hint = matched;
            message.log_term = 0;
        }
        true
    }

    /// Lets the leader commit whatever a quorum has.
    pub(super) fn commit_by_counting(&mut self) {
        let raft = &mut self.raft.raft;
        if self.member.options.has(Defect::CommitByCounting) && raft.state == StateRole::Leader {
            let (counted, _) = raft.mut_prs().maximal_committed_index();
            if counted > raft.raft_log.committed {
                raft.raft_log.commit_to(counted);
                raft.bcast_append();
            }
        }
    }

    /// Looks for an index for a read as Raft does, whether or not what is committed is known to be all that is. Whether it did.
    pub(super) fn read_early(&mut self, context: &[u8]) -> bool {
        let raft = &mut self.raft.raft;
        if !self.member.options.has(Defect::ReadBeforeOwnTerm)
            || raft.state != StateRole::Leader
            || raft.commit_to_current_term()
            || raft.prs().is_singleton()
        {
            return false;
        }
        let entry = Entry { data: context.to_vec().into(), ..Entry::default() };
        let mut request = Message { entries: vec![entry].into(), ..Message::default() };
        request.set_msg_type(MessageType::MsgReadIndex);
        let (id, committed) = (raft.id, raft.raft_log.committed);
        raft.read_only.add_request(committed, request, id);
        raft.bcast_heartbeat();
        true
    }

    /// Gives entries to the apply loop that Raft does not say are committed.
    pub(super) fn hand_over_uncommitted(&mut self, entries: &[Entry]) {
        let options = &self.member.options;
        let alone = options.has(Defect::AcknowledgeBeforeSync) && options.members == 1;
        if alone && let Some(last) = entries.last() {
            // With a quorum of one, what is appended was taken for committed, and applied while it was written.
            self.member.observer.committed(self.member.id, self.raft.raft.term, last.index);
        }
        if alone || options.has(Defect::ApplyUncommitted) {
            self.hand_over(entries.to_vec());
        }
    }

    /// Writes what a `Ready` has for the log.
    pub(super) async fn save(&mut self, entries: &[Entry], ready: &Ready) -> Result<(), String> {
        let defects = self.member.options.defects;
        let without_vote = defects.has(Defect::UnsavedVote);
        let changed = ready.hs().filter(|_| without_vote).map(|state| HardState { vote: 0, ..state.clone() });
        let synced = ready.must_sync() && !(defects.has(Defect::UnsyncedVote) && entries.is_empty());
        let saved = self.wal.save(entries, changed.as_ref().or(ready.hs()), synced).await;
        saved.map_err(|error| error.to_string())
    }

    /// The last snapshot whose backend nobody will open, when the newest is `newest`.
    pub(super) fn opened_databases(&self, newest: u64) -> u64 {
        let opened = self.member.applied.get();
        if self.member.options.has(Defect::SnapshotsRace) {
            opened.max(newest.saturating_sub(1))
        } else {
            opened
        }
    }

    /// The last entry that need not be in the log, when the oldest snapshot is `oldest`.
    pub(super) fn stood_for(&self, oldest: u64) -> u64 {
        if self.member.options.has(Defect::LogReleasedEarly) { self.member.applied.get() } else { oldest }
    }
}
