//! A cluster that begins with what was saved of another: what the operator hands to each machine, and the oracles know.

use bytes::Bytes;

use crate::cluster::MemberId;

/// The term of the entries with which the log of a restored cluster begins.
pub(crate) const TERM: u64 = 1;

/// How a cluster is restored.
pub(crate) struct Restoration {
    /// The database that a member of the old cluster sent.
    pub(crate) database: Bytes,
    /// The members of the new cluster, in order.
    pub(crate) members: Vec<MemberId>,
    /// How much later the revision is with which the new cluster begins. If it is, everything up to there is compacted.
    pub(crate) bump: i64,
}

impl Restoration {
    /// The last entry with which the log of the new cluster begins: one for each member.
    pub(crate) fn index(&self) -> u64 {
        self.members.len() as u64
    }
}
