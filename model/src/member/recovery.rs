//! From what is on the disk to a member that can start.

use std::cell::RefCell;
use std::rc::Rc;

use raft::eraftpb::Entry;
use vertebra_sim::{Node, record, sometimes};

use super::log::Log;
use super::{number, snapshots};
use crate::failpoints;
use crate::mvcc::Store;
use crate::observer::Observer;
use crate::options::Options;
use crate::wal::{Recovered as Logged, Wal};

/// What a member starts with.
pub(super) struct Recovered {
    pub(super) store: Rc<RefCell<Store>>,
    /// Index of the last entry in the store.
    pub(super) applied: u64,
    pub(super) log: Log,
    pub(super) wal: Wal,
}

/// Reads the disk. The store is that of the newest snapshot; what the log has beyond it is applied again when Raft
/// says that it is committed.
pub(super) async fn recover(
    node: &Node,
    options: &Options,
    observer: &Observer,
) -> Result<Recovered, String> {
    let member = number(node.id());
    let disk = node.disk();
    snapshots::prepare(&disk).await.map_err(|error| error.to_string())?;
    let (wal, logged) = Wal::open(disk.clone(), member, options.wal_segment_bytes)
        .await
        .map_err(|error| error.to_string())?;
    let Logged { mut hard_state, snapshots: recorded, mut entries } = logged;
    let newest = snapshots::newest(&disk, &recorded).await.map_err(|error| error.to_string())?;
    let (index, term, store) = newest.unwrap_or_else(|| (0, 0, Store::new()));
    // The commit in the hard state is written lazily; what a snapshot holds was committed.
    hard_state.commit = hard_state.commit.max(index);
    if term > hard_state.term {
        // The crash came between the snapshot's record and the hard state: nobody has this member's vote yet.
        (hard_state.term, hard_state.vote) = (term, 0);
    }
    behind(&mut entries, index)?;
    let last = entries.last().map_or(index, |entry| entry.index);
    // A commit beyond the log would have been of entries that were durable when it was learnt, and are gone.
    if hard_state.commit > last {
        return Err(format!("the log ends at {last}, and {} entries were committed", hard_state.commit));
    }
    record!(
        node,
        "member",
        "recovers term {} vote {} commit {}, snapshot {}, log to {}",
        hard_state.term,
        hard_state.vote,
        hard_state.commit,
        index,
        last
    );
    sometimes!(
        node,
        "a member recovers from a snapshot",
        index > 0,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    sometimes!(
        node,
        "a member recovers from its log alone",
        index == 0 && last > 0,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    sometimes!(
        node,
        "a member recovers entries that are not committed",
        last > hard_state.commit,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    let voted = hard_state.vote != 0 && hard_state.vote != member;
    sometimes!(node, "a member recovers a vote for another", voted, when = |run| run.members > 1);
    let store = Rc::new(RefCell::new(store));
    observer.restarted(member, &hard_state, (index, term), &entries, &store);
    node.failpoint(failpoints::RECOVERY_BEFORE_START).await;
    let voters = (1..=u64::from(options.members)).collect();
    let log = Log::new(voters, hard_state, (index, term), entries);
    Ok(Recovered { store, applied: index, log, wal })
}

/// Leaves the entries behind `index`, which must join on to it.
fn behind(entries: &mut Vec<Entry>, index: u64) -> Result<(), String> {
    let first = entries.partition_point(|entry| entry.index <= index);
    entries.drain(..first);
    match entries.first() {
        Some(entry) if entry.index != index + 1 => {
            Err(format!("the log goes on at {}, and the newest snapshot ends at {index}", entry.index))
        }
        _ => Ok(()),
    }
}
