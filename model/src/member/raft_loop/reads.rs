//! Reads that ask for the index from which they are up to date.

use raft::{Ready, StateRole};
use tokio::sync::oneshot;
use vertebra_sim::{NodeId, sometimes};

use super::RaftLoop;
use crate::defect::Defect;
use crate::wire::PeerMessage;

/// Reads under way at once, above which the oldest are forgotten: Raft drops some without a word.
const READS_MAX: usize = 1_000;

/// For whom a read index is sought.
pub(super) enum Reader {
    Here(oneshot::Sender<u64>),
    Peer { member: NodeId, attempt: u64 },
}

impl RaftLoop {
    /// Asks Raft, or the leader, for an index from which a read is up to date.
    pub(super) fn seek_read_index(&mut self, context: Option<u64>, reader: Reader) {
        let is_leader = self.raft.raft.state == StateRole::Leader;
        let reused = self.member.options.has(Defect::ReuseReadContext);
        // A fresh context for each attempt: an acknowledgement of an earlier one must not confirm this one.
        let context = match context.filter(|_| reused) {
            Some(context) => self.reused(context),
            None => {
                self.next_read += 1;
                self.next_read
            }
        };
        if is_leader || reused {
            if is_leader {
                self.member.observer.read_begun(self.member.id, self.raft.raft.term, context);
            }
            let context = context.to_be_bytes();
            if !self.read_early(&context) {
                self.raft.read_index(context.to_vec());
            }
        } else if let (Reader::Here(_), leader @ 1..) = (&reader, self.raft.raft.leader_id) {
            self.send(leader, PeerMessage::ReadIndex { member: self.member.id, attempt: context });
        } else {
            let is_asked = matches!(reader, Reader::Peer { .. });
            sometimes!(
                self.member.node,
                "a read index is asked of a member that does not lead",
                is_asked,
                when = |run| run.members > 1
            );
            sometimes!(
                self.member.node,
                "a read index is sought while there is no leader",
                !is_asked,
                when = |run| run.members > 1
            );
            return;
        }
        if self.readers.len() >= READS_MAX {
            self.readers.pop_first();
        }
        self.readers.insert(context, reader);
    }

    pub(super) fn confirm_reads(&mut self, ready: &mut Ready) {
        for read in ready.take_read_states() {
            let Some(context) = read.request_ctx.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)) else {
                continue;
            };
            self.member.observer.read_confirmed(self.member.id, context);
            if let Some(reader) = self.readers.remove(&context) {
                self.answer_reader(reader, read.index);
            }
        }
    }

    fn answer_reader(&self, reader: Reader, index: u64) {
        match reader {
            Reader::Here(answer) => {
                let _ = answer.send(index);
            }
            Reader::Peer { member, attempt } => {
                self.socket.send(member, PeerMessage::ReadIndexAnswer { attempt, index });
            }
        }
    }
}
