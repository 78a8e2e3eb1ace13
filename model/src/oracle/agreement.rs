//! Members that have applied the same entries have the same state.
//!
//! | clause | what must hold |
//! | --- | --- |
//! | `revision` | all members report one revision for the same applied index |
//! | `state` | all report one hash of their state for it: keys, leases, users and roles |
//! | `index` | nobody reports an index that is far beyond all that were reported before |
//!
//! The first report of an index stands; each later one, of any member and after any restart, must equal it. So a member
//! that recovers has the state before or after an entry, and nothing in between. Stated in the dissertation on Raft as
//! state machine safety, and by etcd's corruption checks.
//!
//! Does NOT verify: that the state is right (all members may be wrong alike: see `linearizable_log`), nor anything
//! at an index that one member alone reports, nor what the hash leaves out.

use vertebra_sim::verdict::Violation;

use super::raft_safety::MemberId;

/// No run applies so many entries between two reports. A store whose index has rotted may say so.
const AHEAD_MAX: usize = 1_000_000;

#[derive(Clone, Copy, Debug)]
struct Report {
    member: MemberId,
    revision: i64,
    hash: u64,
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

    /// `member` has applied everything up to `index`: its store is at `revision`, and `hash` is that of its state.
    ///
    /// # Errors
    ///
    /// A member that reported another revision or hash for the same index, or an index that cannot be.
    pub fn observe(
        &mut self,
        member: MemberId,
        index: u64,
        revision: i64,
        hash: u64,
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
        let clause = if first.revision != revision {
            "revision"
        } else if first.hash != hash {
            "state"
        } else {
            return Ok(());
        };
        let detail = format!(
            "after entry {index}: member {} is at revision {} with hash {:x}, member {member} at {revision} with {hash:x}",
            first.member, first.revision, first.hash
        );
        Err(Violation::new("agreement", clause, "", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_has_rotted_is_no_reason_to_run_out_of_memory() {
        let mut oracle = Agreement::new();
        oracle.observe(1, 7, 5, 0xabc).unwrap();
        for index in [1 << 40, u64::MAX] {
            assert_eq!(oracle.observe(1, index, 5, 0xabc).unwrap_err().signature(), "agreement/index");
        }
    }

    #[test]
    fn members_with_one_state_agree() {
        let mut oracle = Agreement::new();
        for member in 1..=3 {
            oracle.observe(member, 7, 5, 0xabc).unwrap();
            oracle.observe(member, 9, 6, 0xdef).unwrap();
        }
    }

    #[test]
    fn a_member_with_another_state_is_found_however_late_it_reports() {
        let mut oracle = Agreement::new();
        oracle.observe(1, 7, 5, 0xabc).unwrap();
        oracle.observe(1, 8, 6, 0xdef).unwrap();
        assert_eq!(oracle.observe(2, 7, 5, 0xabd).unwrap_err().clause, "state");
        assert_eq!(oracle.observe(3, 8, 7, 0xdef).unwrap_err().clause, "revision");
    }
}
