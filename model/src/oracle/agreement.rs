//! Members that have applied the same entries have the same state.
//!
//! | clause | what must hold |
//! | --- | --- |
//! | `revision` | all members report one revision for the same applied index |
//! | `state` | all report one state for it, by hashes of keys, leases, what is left of these, attachments, and users with roles |
//! | `index` | nobody reports an index that is far beyond all that were reported before |
//!
//! The first report of an index stands; each later one, of any member and after any restart, must equal it. So a member
//! that recovers has the state before or after an entry, and nothing in between; of keys that is computed from the records as
//! long as nothing was compacted, and is afterwards what the backend says beside its index. Stated in the dissertation on Raft as
//! state machine safety, and by etcd's corruption checks.
//!
//! Does NOT verify: that the state is right (all members may be wrong alike: see `linearizable_log`), nor anything
//! at an index that one member alone reports, nor what the hash leaves out.

use std::cmp::Ordering;

use vertebra_sim::verdict::Violation;

use super::raft_safety::MemberId;

/// No run applies so many entries between two reports. A store whose index has rotted may say so.
const AHEAD_MAX: usize = 1_000_000;

/// Hashes of what a member knows of leases: what differs tells bugs apart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LeaseHash {
    /// Of the leases that were granted.
    pub granted: u64,
    /// Of what is left of them, where that is written down.
    pub left: u64,
    /// Of the keys that are attached to them; 0 if there are none.
    pub attached: u64,
}

/// Hashes of the parts of a member's state.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StateHash {
    /// Of everything that was ever written to the store.
    pub keys: u64,
    /// Of the leases.
    pub leases: LeaseHash,
    /// Of users and roles.
    pub users: u64,
}

impl StateHash {
    /// The parts in which another one differs.
    fn differs_in(self, other: Self) -> String {
        let attached = match (self.leases.attached, other.leases.attached) {
            (0, _) | (_, 0) => "all attachments",
            _ => "attachments",
        };
        let parts = [
            ("keys", self.keys != other.keys),
            ("leases", self.leases.granted != other.leases.granted),
            ("what is left of leases", self.leases.left != other.leases.left),
            (attached, self.leases.attached != other.leases.attached),
            ("users", self.users != other.users),
        ];
        let names: Vec<_> = parts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
        names.join(" and ")
    }
}

#[derive(Clone, Copy, Debug)]
struct Report {
    member: MemberId,
    revision: i64,
    hash: StateHash,
}

/// The oracle.
#[derive(Debug, Default)]
pub struct Agreement {
    /// By applied index.
    reports: Vec<Option<Report>>,
}

impl Agreement {
    /// An oracle that has seen no state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `member` has applied everything up to `index`: its store is at `revision`, and its state has these hashes.
    ///
    /// # Errors
    ///
    /// A member that reported another revision or hash for the same index, or an index that cannot be.
    pub fn observe(
        &mut self,
        member: MemberId,
        index: u64,
        revision: i64,
        hash: StateHash,
    ) -> Result<(), Violation> {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        if place > self.reports.len() + AHEAD_MAX {
            let detail = format!("member {member} has applied everything up to entry {index}, it says");
            return Err(Violation::new("agreement", "index", "", detail));
        }
        if place >= self.reports.len() {
            self.reports.resize(place + 1, None);
        }
        let report = Report { member, revision, hash };
        let first = *self.reports[place].get_or_insert(report);
        if (first.revision, first.hash) == (revision, hash) {
            return Ok(());
        }
        let parts = first.hash.differs_in(hash);
        let (clause, shape) = match revision.cmp(&first.revision) {
            Ordering::Less => ("revision", "behind"),
            Ordering::Greater => ("revision", "ahead"),
            Ordering::Equal => ("state", &*parts),
        };
        let between = if parts.is_empty() { String::new() } else { format!("; they differ in {parts}") };
        let detail = format!(
            "after entry {index}: member {} is at revision {}, member {member} at {revision}{between}",
            first.member, first.revision
        );
        Err(Violation::new("agreement", clause, shape, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(keys: u64) -> StateHash {
        StateHash { keys, ..StateHash::default() }
    }

    #[test]
    fn an_index_that_has_rotted_is_no_reason_to_run_out_of_memory() {
        let mut oracle = Agreement::new();
        oracle.observe(1, 7, 5, hash(0xabc)).unwrap();
        for index in [1 << 40, u64::MAX] {
            assert_eq!(oracle.observe(1, index, 5, hash(0xabc)).unwrap_err().signature(), "agreement/index");
        }
    }

    #[test]
    fn members_with_one_state_agree() {
        let mut oracle = Agreement::new();
        for member in 1..=3 {
            oracle.observe(member, 7, 5, hash(0xabc)).unwrap();
            oracle.observe(member, 9, 6, hash(0xdef)).unwrap();
        }
    }

    #[test]
    fn a_member_with_another_state_is_found_however_late_it_reports() {
        let mut oracle = Agreement::new();
        oracle.observe(1, 7, 5, hash(0xabc)).unwrap();
        oracle.observe(1, 8, 6, hash(0xdef)).unwrap();
        assert_eq!(oracle.observe(2, 7, 5, hash(0xabd)).unwrap_err().signature(), "agreement/state: keys");
        assert_eq!(
            oracle.observe(3, 8, 7, hash(0xdef)).unwrap_err().signature(),
            "agreement/revision: ahead"
        );
        assert_eq!(
            oracle.observe(3, 8, 5, hash(0xdef)).unwrap_err().signature(),
            "agreement/revision: behind"
        );
        let leases = LeaseHash { granted: 1, ..LeaseHash::default() };
        let users = StateHash { leases, users: 2, ..hash(0xdef) };
        assert_eq!(
            oracle.observe(3, 8, 6, users).unwrap_err().signature(),
            "agreement/state: leases and users"
        );
        for (attached, signature) in
            [(1, "agreement/state: all attachments"), (2, "agreement/state: attachments")]
        {
            let leases = LeaseHash { attached, ..LeaseHash::default() };
            oracle.observe(1, 9 + attached, 6, StateHash { leases, ..hash(0xdef) }).unwrap();
            let leases = LeaseHash { attached: attached - 1, ..leases };
            let other = oracle.observe(2, 9 + attached, 6, StateHash { leases, ..hash(0xdef) });
            assert_eq!(other.unwrap_err().signature(), signature);
        }
    }
}
