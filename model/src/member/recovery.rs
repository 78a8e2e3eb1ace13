//! From what is on the disk to a member that can start.

use std::cell::RefCell;
use std::rc::Rc;

use raft::eraftpb::Entry;
use vertebra_sim::{Node, record};

use super::log::Log;
use super::membership::Membership;
use super::{bootstrap, machine_number, snapshots};
use crate::cluster::{MemberId, Shown};
use crate::failpoints;
use crate::inventory::Inventory;
use crate::mvcc::Store;
use crate::observer::Observer;
use crate::options::Options;
use crate::wal::{Recovered as Logged, Wal};

/// What a member starts with.
pub(super) struct Recovered {
    /// Which member it is.
    pub(super) member: MemberId,
    pub(super) membership: Membership,
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
    inventory: &Inventory,
) -> Result<Recovered, String> {
    let disk = node.disk();
    let member = match Wal::exists(&disk).await.map_err(|error| error.to_string())? {
        true => u64::from(machine_number(node.id())),
        false => bootstrap::identify(node, options, inventory).await?,
    };
    snapshots::prepare(&disk).await.map_err(|error| error.to_string())?;
    let (wal, logged) = Wal::open(disk.clone(), member, options.wal_segment_bytes)
        .await
        .map_err(|error| error.to_string())?;
    let Logged { member, mut hard_state, snapshots: recorded, mut entries } = logged;
    inventory.has_log(node.id());
    let newest = snapshots::newest(&disk, &recorded).await.map_err(|error| error.to_string())?;
    let (index, term, conf_state, membership, store) = match newest {
        Some((recorded, membership, store)) => {
            (recorded.index, recorded.term, recorded.conf_state, membership, store)
        }
        // Each member begins with those that the cluster began with, and takes the changes from the log.
        None => {
            let initial = Membership::initial(options.members);
            (0, 0, initial.conf_state().clone(), initial, Store::new())
        }
    };
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
        "{} recovers term {} vote {} commit {}, snapshot {}, log to {}",
        Shown(member),
        hard_state.term,
        hard_state.vote,
        hard_state.commit,
        index,
        last
    );
    let store = Rc::new(RefCell::new(store));
    observer.restarted(member, &hard_state, (index, term), &conf_state, &entries, &store);
    node.failpoint(failpoints::RECOVERY_BEFORE_START).await;
    let log = Log::new(conf_state, hard_state, (index, term), entries);
    Ok(Recovered { member, membership, store, applied: index, log, wal })
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
