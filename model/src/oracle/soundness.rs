//! Data is found damaged only where a fault has damaged it.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `damage` | a member that starts finds a file of its own damaged or missing, and no fault did that |
//! | `corruption` | members find by the hashes that they compare (the CORRUPT alarm, and the check at the start) that their data differs, and no fault did that |
//! | `hashes` | two members have other hashes at one revision and compacted revision: of those that can be counted on at the end, whatever compaction has still to remove; and, as long as no data is damaged, of all that have finished a compaction or were asked; or one has a hash at a revision that it has compacted away |
//! | `records` | a compaction at one revision has left other records on two members, and no data is damaged |
//!
//! Stated in etcd's documentation of data corruption (the checks by HashKV), and in its comments on `HashByRev`.
//!
//! Does NOT verify that members notice damage: that is what the other oracles show.

use std::collections::BTreeMap;

use vertebra_sim::NodeId;
use vertebra_sim::verdict::Violation;

use super::raft_safety::MemberId;
use crate::mvcc::KvHash;

const ORACLE: &str = "soundness";

/// A member that starts has found `what` damaged; `faults` says whether a fault damaged its data.
///
/// # Errors
///
/// There was no such fault.
pub fn damage(member: NodeId, what: &'static str, faults: bool) -> Result<(), Violation> {
    if faults {
        return Ok(());
    }
    let detail = format!("{member} found its {what} damaged or missing, and no fault did that");
    Err(Violation::new(ORACLE, "damage", what, detail))
}

/// A member has been found to have other data than others; 0 for an unknown one.
///
/// # Errors
///
/// There was no fault that damaged it.
pub fn corruption(member: MemberId, faults: bool) -> Result<(), Violation> {
    if faults {
        return Ok(());
    }
    let detail = format!("member {member} has other data than others, and no fault did that");
    Err(Violation::new(ORACLE, "corruption", "", detail))
}

/// What members have told of their data, and who was the first.
#[derive(Debug, Default)]
pub struct Hashes {
    /// By revision and compacted revision.
    told: BTreeMap<(i64, i64), (MemberId, u32)>,
    /// By compacted revision: checksums of what the compaction has left.
    left: BTreeMap<i64, (MemberId, u32)>,
}

impl Hashes {
    /// `member` has this hash.
    ///
    /// # Errors
    ///
    /// Another has told another hash at the same revision and compacted revision, or the revision is compacted away.
    pub fn told(&mut self, member: MemberId, hash: KvHash) -> Result<(), Violation> {
        let KvHash { hash, compact_revision, revision } = hash;
        if revision < compact_revision {
            let detail =
                format!("member {member} has one at revision {revision}, compacted at {compact_revision}");
            return Err(Violation::new(ORACLE, "hashes", "compacted", detail));
        }
        let (other, expected) = *self.told.entry((revision, compact_revision)).or_insert((member, hash));
        if hash == expected {
            return Ok(());
        }
        let detail = format!(
            "at revision {revision}, compacted at {compact_revision}: member {other} has {expected:08x}, member {member} \
             {hash:08x}"
        );
        Err(Violation::new(ORACLE, "hashes", "", detail))
    }

    /// A compaction at `revision` has left records of this checksum on `member`. What hangs on a tombstone alone is in no
    /// hash of etcd's.
    ///
    /// # Errors
    ///
    /// It has left others on another member.
    pub fn left(&mut self, member: MemberId, revision: i64, left: u32) -> Result<(), Violation> {
        let (other, expected) = *self.left.entry(revision).or_insert((member, left));
        if left == expected {
            return Ok(());
        }
        let detail =
            format!("compacted at {revision}: member {other} and member {member} have other records left");
        Err(Violation::new(ORACLE, "records", "", detail))
    }
}

/// Compares hashes of members.
///
/// # Errors
///
/// Two members with other hashes at the same revision and compacted revision.
pub fn hashes(hashes: impl IntoIterator<Item = (MemberId, KvHash)>) -> Result<(), Violation> {
    let mut told = Hashes::default();
    hashes.into_iter().try_for_each(|(member, hash)| told.told(member, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_corruption_need_a_fault() {
        let member = NodeId::Member(1);
        assert!(damage(member, "backend", true).is_ok() && corruption(0, true).is_ok());
        assert_eq!(damage(member, "backend", false).unwrap_err().signature(), "soundness/damage: backend");
        assert_eq!(corruption(0, false).unwrap_err().clause, "corruption");
    }

    #[test]
    fn a_compaction_leaves_the_same_everywhere() {
        let mut hashes = Hashes::default();
        assert!(hashes.left(1, 5, 7).is_ok() && hashes.left(2, 5, 7).is_ok() && hashes.left(2, 6, 8).is_ok());
        assert_eq!(hashes.left(3, 5, 8).unwrap_err().clause, "records");
    }

    #[test]
    fn members_at_one_place_have_one_hash() {
        let hash = |hash, revision| KvHash { hash, compact_revision: 3, revision };
        assert!(hashes([(1, hash(7, 9)), (2, hash(7, 9)), (3, hash(8, 10))]).is_ok());
        assert_eq!(hashes([(1, hash(7, 9)), (2, hash(8, 9))]).unwrap_err().clause, "hashes");
        assert!(hashes([(1, hash(7, 3))]).is_ok());
        assert_eq!(hashes([(1, hash(7, 2))]).unwrap_err().signature(), "soundness/hashes: compacted");
    }
}
