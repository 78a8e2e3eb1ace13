//! Data is found damaged only where a fault has damaged it.
//!
//! Verifies that no member finds, without a fault that damaged its data before:
//!
//! - `damage`: a file of its own that is damaged or missing when it starts;
//! - `corruption`: other data than other members have, by the hashes that they compare (the CORRUPT alarm, and the check
//!   at the start);
//!
//! and `hashes`: that members which can be counted on at the end have the same hash at one revision and compacted
//! revision, whatever compaction has still to remove.
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

/// Compares hashes of members.
///
/// # Errors
///
/// Two members with other hashes at the same revision and compacted revision.
pub fn hashes(hashes: impl IntoIterator<Item = (MemberId, KvHash)>) -> Result<(), Violation> {
    let mut first: BTreeMap<(i64, i64), (MemberId, u32)> = BTreeMap::new();
    for (member, KvHash { hash, compact_revision, revision }) in hashes {
        let (other, expected) = *first.entry((revision, compact_revision)).or_insert((member, hash));
        if hash != expected {
            let detail = format!(
                "at revision {revision}, compacted at {compact_revision}: member {other} has {expected:08x}, member \
                 {member} {hash:08x}"
            );
            return Err(Violation::new(ORACLE, "hashes", "", detail));
        }
    }
    Ok(())
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
    fn members_at_one_place_have_one_hash() {
        let hash = |hash, revision| KvHash { hash, compact_revision: 3, revision };
        assert!(hashes([(1, hash(7, 9)), (2, hash(7, 9)), (3, hash(8, 10))]).is_ok());
        assert_eq!(hashes([(1, hash(7, 9)), (2, hash(8, 9))]).unwrap_err().clause, "hashes");
    }
}
