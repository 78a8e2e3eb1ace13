//! Reads that a leader confirms: by a quorum that has answered after the read came, and no earlier.
//!
//! A leader notes down each read under a context, and sends that with its heartbeats. Who answers one sends the context
//! back. A read is confirmed by the answers to its own context, or to that of a read that came later.

use std::collections::{BTreeMap, VecDeque};

use vertebra_sim::verdict::Violation;

use super::configuration::Listed;
use super::{MemberId, ORACLE, RaftSafety};

/// Reads of one leader that are remembered. Raft drops some without a word; so many are never under way at once.
const READS_MAX: usize = 2_000;

/// The reads that leaders have under way.
#[derive(Debug, Default)]
pub(super) struct Reads(BTreeMap<MemberId, OfLeader>);

#[derive(Debug, Default)]
struct OfLeader {
    under_way: VecDeque<Read>,
    /// The last context that was new. They grow.
    context: u64,
}

#[derive(Debug)]
struct Read {
    context: u64,
    /// In which the leader leads.
    term: u64,
    /// Whether an earlier read had that context.
    is_reused: bool,
    /// Who has answered a heartbeat that told of it.
    answers: Vec<MemberId>,
}

impl RaftSafety {
    /// `member`, which leads `term`, begins to look for an index for a read, under `context`. A context that is under way
    /// already is no other read.
    pub fn read_begun(&mut self, member: MemberId, term: u64, context: u64) {
        let of_leader = self.reads.0.entry(member).or_default();
        let is_reused = context <= of_leader.context;
        of_leader.context = of_leader.context.max(context);
        let reads = &mut of_leader.under_way;
        if reads.iter().any(|read| (read.context, read.term) == (context, term)) {
            return;
        }
        if reads.len() >= READS_MAX {
            reads.pop_front();
        }
        reads.push_back(Read { context, term, is_reused, answers: Vec::new() });
    }

    /// `member` sends `leader` an answer to a heartbeat of `term` that told of the read under `context`.
    pub fn read_answered(&mut self, member: MemberId, leader: MemberId, term: u64, context: u64) {
        let reads = self.reads.0.get_mut(&leader).into_iter().flat_map(|reads| &mut reads.under_way);
        for read in reads.filter(|read| (read.context, read.term) == (context, term)) {
            if !read.answers.contains(&member) {
                read.answers.push(member);
            }
        }
    }

    /// `member` gives the index that it has found for the read under `context` to who asked.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn read_confirmed(&mut self, member: MemberId, context: u64) -> Result<(), Violation> {
        let Some(OfLeader { under_way: reads, .. }) = self.reads.0.get_mut(&member) else { return Ok(()) };
        // Those that others ask for by themselves, and not this member.
        let Some(place) = reads.iter().rposition(|read| read.context == context) else { return Ok(()) };
        let configuration =
            self.configurations.in_force(self.members.get(&member).map_or(0, |it| it.configured));
        let term = reads[place].term;
        let is_confirmed_by =
            |read: &Read| configuration.has_quorum(|voter| voter == member || read.answers.contains(&voter));
        if reads.range(place..).any(|read| read.term == term && is_confirmed_by(read)) {
            reads.remove(place);
            return Ok(());
        }
        let Read { answers, is_reused, .. } = &reads[place];
        Err(Violation::new(
            ORACLE,
            "read without quorum",
            if *is_reused { "context used before" } else { "" },
            format!(
                "member {member} confirms a read in term {term}; since it came, {} answered of {configuration}",
                Listed(answers)
            ),
        ))
    }

    /// Forgets the reads of a member that leads no more.
    pub(super) fn forget_reads(&mut self, member: MemberId) {
        if let Some(reads) = self.reads.0.get_mut(&member) {
            reads.under_way.clear();
        }
    }
}
