//! What a backend has is of entries that are committed, and all of them up to the member's snapshot.
//!
//! A backend says by its consistent index up to which entry it has the changes.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `index went back` | a commit has an older index than the commit before it, in one process |
//! | `behind the snapshot` | a member starts with an older index than its snapshot, whose entries its log need not have, and no fault has damaged its data |
//! | `beyond the commit` | a member starts with, or makes durable, changes of an entry that nobody knows to be committed |
//! | `snapshot's index` | the store that a snapshot brings is of another entry than the snapshot |
//! | `compaction answered` | who waits for a physical compaction is told that it is over before it is, and durably so |
//! | `compaction again` | a member starts on a compaction that nobody asked for, or that it had finished, which was durable and followed by other entries |
//!
//! Stated in etcd's server/etcdserver/cindex (the index is written with exactly the changes that it stands for), and by its
//! corruption checks, which take a member of another index for a corrupt one (etcd-io/etcd#13766, etcd-io/etcd#14685).
//!
//! Does NOT verify: that the changes of an index are those of the log up to there (see `agreement`);
//! that a start brings back the last commit (before the first snapshot, and after a defragmentation, a power failure can
//! take away the name of the file, and the log has what is missing); the log (see `raft_safety`).

use std::collections::{BTreeMap, BTreeSet};

use vertebra_sim::verdict::Violation;

use super::raft_safety::MemberId;

const ORACLE: &str = "storage";

/// The oracle.
#[derive(Debug, Default)]
pub struct Storage {
    /// By member: the index of the last commit that is durable.
    durable: BTreeMap<MemberId, u64>,
    /// By member: the revision of a compaction that it has finished since its last commit.
    finished: BTreeMap<MemberId, i64>,
    /// By member: the revision of the last one that it has finished durably, and the index of the commit.
    compacted: BTreeMap<MemberId, (i64, u64)>,
    /// Members whose store came with a snapshot since they started: what has been compacted in there is another member's doing.
    installed: BTreeSet<MemberId>,
}

impl Storage {
    /// An oracle that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A commit of `member`'s backend is durable, with the changes of all entries up to `index`. Somebody knows entries up
    /// to `committed` to be committed.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn committed(&mut self, member: MemberId, index: u64, committed: u64) -> Result<(), Violation> {
        if let Some(revision) = self.finished.remove(&member) {
            self.compacted.insert(member, (revision, index));
        }
        let before = self.durable.insert(member, index).unwrap_or(0);
        if index < before {
            let detail =
                format!("member {member} has committed its backend at entry {before}, then at {index}");
            return violation("index went back", "", detail);
        }
        is_committed(member, index, committed, "a commit of the backend")
    }

    /// `member` has finished a compaction at `revision`. The next commit makes that durable.
    pub fn compacted(&mut self, member: MemberId, revision: i64) {
        self.finished.insert(member, revision);
    }

    /// `member` tells who has waited for it that a compaction at `revision` is over.
    ///
    /// # Errors
    ///
    /// It is not, or a power failure could undo it.
    pub fn answers(&self, member: MemberId, revision: i64) -> Result<(), Violation> {
        let over = self.compacted.get(&member).map(|(finished, _)| *finished);
        if over.is_some_and(|finished| revision <= finished) || self.installed.contains(&member) {
            return Ok(());
        }
        let detail = format!(
            "member {member} says that the compaction at {revision} is over, and has finished {over:?} durably"
        );
        violation("compaction answered", "", detail)
    }

    /// `member` starts, and a compaction at `revision` is still to be carried out for its backend, which has come to `index`.
    /// A file with the same index may be of a commit from before the compaction was finished.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn resumed(&self, member: MemberId, revision: i64, index: u64) -> Result<(), Violation> {
        if revision < 0 {
            let detail = format!("member {member} starts on a compaction at {revision}");
            return violation("compaction again", "nobody asked", detail);
        }
        match self.compacted.get(&member) {
            Some(&(finished, at)) if revision <= finished && index > at => {
                let detail = format!(
                    "member {member} starts with entry {index} on a compaction at {revision}; with entry {at} it had \
                     finished one at {finished}"
                );
                violation("compaction again", "finished", detail)
            }
            _ => Ok(()),
        }
    }

    /// `member` starts with a backend that has come to `index`, and a snapshot of entries up to `snapshot`. A fault has
    /// `damaged` its data, or not.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn opened(
        &mut self,
        member: MemberId,
        (index, snapshot): (u64, u64),
        committed: u64,
        damaged: bool,
    ) -> Result<(), Violation> {
        self.durable.insert(member, index);
        self.finished.remove(&member);
        self.installed.remove(&member);
        // An older file has come back, or an empty one: the log brings the compaction again. Or it may be the one that came
        // with the snapshot: what has been compacted in there is another member's doing.
        let may_be_installed = index <= snapshot;
        self.compacted.retain(|other, (_, at)| *other != member || !may_be_installed && *at <= index);
        if damaged {
            return Ok(());
        }
        if index < snapshot {
            let detail =
                format!("member {member} has a snapshot of entry {snapshot}, and starts with {index}");
            return violation("behind the snapshot", "", detail);
        }
        is_committed(member, index, committed, "a start")
    }

    /// `member` has taken the store that came with the snapshot of entry `snapshot`; that has come to `index`.
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn installed(&mut self, member: MemberId, index: u64, snapshot: u64) -> Result<(), Violation> {
        self.durable.insert(member, index);
        self.finished.remove(&member);
        self.compacted.remove(&member);
        self.installed.insert(member);
        if index == snapshot {
            return Ok(());
        }
        let shape = if index > snapshot { "later" } else { "earlier" };
        let detail =
            format!("member {member} took a snapshot of entry {snapshot}, whose store is of {index}");
        violation("snapshot's index", shape, detail)
    }
}

fn is_committed(member: MemberId, index: u64, committed: u64, when: &str) -> Result<(), Violation> {
    if index <= committed {
        return Ok(());
    }
    let detail = format!("member {member} has entry {index} in its backend, and {committed} is committed");
    violation("beyond the commit", when, detail)
}

fn violation(clause: &'static str, shape: &str, detail: String) -> Result<(), Violation> {
    Err(Violation::new(ORACLE, clause, shape, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().clause
    }

    #[test]
    fn the_index_of_a_backend_goes_on_from_commit_to_commit() {
        let mut oracle = Storage::new();
        oracle.committed(1, 7, 9).unwrap();
        oracle.committed(1, 7, 9).unwrap();
        oracle.committed(1, 8, 9).unwrap();
        // Another member has come less far.
        oracle.committed(2, 7, 9).unwrap();
        assert_eq!(clause(oracle.committed(1, 7, 9)), "index went back");
    }

    #[test]
    fn a_start_brings_back_what_the_snapshot_stands_for_unless_a_fault_took_it() {
        let mut oracle = Storage::new();
        oracle.committed(1, 8, 9).unwrap();
        oracle.opened(1, (7, 7), 9, false).unwrap();
        oracle.committed(1, 7, 9).unwrap();
        assert_eq!(clause(oracle.opened(1, (6, 7), 9, false)), "behind the snapshot");
        oracle.opened(1, (0, 7), 9, true).unwrap();
        oracle.opened(1, (0, 0), 9, false).unwrap();
    }

    #[test]
    fn a_compaction_that_is_finished_durably_is_not_begun_again() {
        let mut oracle = Storage::new();
        oracle.committed(1, 4, 9).unwrap();
        oracle.compacted(1, 3);
        // A crash came before the commit.
        oracle.opened(1, (5, 0), 9, false).unwrap();
        oracle.resumed(1, 3, 5).unwrap();
        oracle.compacted(1, 3);
        oracle.committed(1, 6, 9).unwrap();
        oracle.resumed(1, 3, 6).unwrap();
        assert_eq!(clause(oracle.resumed(1, 3, 7)), "compaction again");
        oracle.resumed(1, 4, 7).unwrap();
        oracle.resumed(2, 3, 7).unwrap();
        // A power failure took the file away, and the log has all from the first entry on.
        oracle.opened(2, (6, 0), 9, false).unwrap();
        oracle.compacted(2, 3);
        oracle.committed(2, 7, 9).unwrap();
        oracle.opened(2, (0, 0), 9, false).unwrap();
        oracle.opened(2, (8, 0), 9, false).unwrap();
        oracle.resumed(2, 0, 8).unwrap();
        oracle.compacted(2, 3);
        oracle.committed(2, 9, 9).unwrap();
        oracle.opened(2, (10, 9), 10, false).unwrap();
        assert_eq!(clause(oracle.resumed(2, 3, 10)), "compaction again");
        // The store is of another member's snapshot.
        oracle.opened(2, (11, 11), 11, false).unwrap();
        oracle.resumed(2, 3, 12).unwrap();
        // A store that came with a snapshot is as far as its member was.
        oracle.installed(1, 7, 7).unwrap();
        oracle.resumed(1, 3, 8).unwrap();
        assert_eq!(clause(oracle.resumed(2, -1, 7)), "compaction again");
    }

    #[test]
    fn a_compaction_is_answered_when_it_is_over_durably() {
        let mut oracle = Storage::new();
        assert_eq!(clause(oracle.answers(1, 3)), "compaction answered");
        oracle.compacted(1, 3);
        assert_eq!(clause(oracle.answers(1, 3)), "compaction answered");
        oracle.committed(1, 6, 9).unwrap();
        oracle.answers(1, 3).unwrap();
        assert_eq!(clause(oracle.answers(1, 4)), "compaction answered");
        // Another member has done it.
        oracle.installed(1, 7, 7).unwrap();
        oracle.answers(1, 4).unwrap();
        oracle.opened(1, (8, 7), 9, false).unwrap();
        assert_eq!(clause(oracle.answers(1, 4)), "compaction answered");
    }

    #[test]
    fn a_backend_has_only_what_is_committed() {
        let mut oracle = Storage::new();
        oracle.committed(1, 9, 9).unwrap();
        assert_eq!(clause(oracle.committed(1, 10, 9)), "beyond the commit");
        assert_eq!(clause(oracle.opened(1, (10, 0), 9, false)), "beyond the commit");
        oracle.opened(2, (9, 0), 9, false).unwrap();
    }

    #[test]
    fn a_snapshot_brings_the_store_of_its_entry() {
        let mut oracle = Storage::new();
        oracle.committed(1, 9, 9).unwrap();
        oracle.installed(1, 7, 7).unwrap();
        oracle.committed(1, 8, 9).unwrap();
        let found = |oracle: &mut Storage, index| oracle.installed(1, index, 7).unwrap_err().signature();
        assert_eq!(found(&mut oracle, 8), "storage/snapshot's index: later");
        assert_eq!(found(&mut oracle, 6), "storage/snapshot's index: earlier");
    }
}
