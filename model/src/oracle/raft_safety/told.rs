//! What the oracle is told of members.

/// A member's number in Raft; 0 is nobody.
pub type MemberId = u64;

/// An entry as a member's log holds it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Place in the log, from 1.
    pub index: u64,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// Its payload.
    pub data: &'a [u8],
    /// Whether it changes the configuration.
    pub reconfigures: bool,
}

/// What a member has on its disk for certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Durable {
    /// Last entry of the log, or the snapshot's index where there is none after it.
    pub last_index: u64,
    /// Its term.
    pub last_term: u64,
    /// Current term.
    pub term: u64,
    /// Whom the member voted for in that term; 0 for nobody.
    pub vote: MemberId,
    /// Index up to which it knows entries to be committed.
    pub commit: u64,
}

/// What a member read from its disk when it started again, without the entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// Current term.
    pub term: u64,
    /// Whom the member voted for in that term; 0 for nobody.
    pub vote: MemberId,
    /// Index up to which entries are committed, as its log has it.
    pub commit_logged: u64,
    /// The same by all that it has: the log tells late, and what was applied tells too.
    pub commit: u64,
    /// Index up to which its state machine has applied them.
    pub applied: u64,
    /// Index of the snapshot that its log begins after; 0 for none.
    pub snapshot_index: u64,
    /// Term of the entry at that index.
    pub snapshot_term: u64,
}
