//! From what is on the disk to a member that can start.

use std::rc::Rc;

use raft::eraftpb::Entry;
use vertebra_sim::{Node, record, sometimes};

use super::kv::{self, Kv, KvError};
use super::log::Log;
use super::membership::Membership;
use super::{bootstrap, machine_number, restore, snapshots};
use crate::backend::{self, Backend, BackendError};
use crate::cluster::{MemberId, Shown};
use crate::defect::Defect;
use crate::failpoints;
use crate::inventory::{Inventory, Start};
use crate::observer::Observer;
use crate::options::Options;
use crate::restoration::Restoration;
use crate::wal::{RecordedSnapshot, Recovered as Logged, Wal, WalError};

/// What a member starts with.
pub(super) struct Recovered {
    /// Which member it is.
    pub(super) member: MemberId,
    /// That of the backend, as far as that has come.
    pub(super) membership: Membership,
    pub(super) kv: Rc<Kv>,
    /// Whether the store is that of some entry. Otherwise it is empty, and the leader must send another.
    pub(super) whole: bool,
    /// The snapshot from which on the log is applied: index and term. The store can be ahead of it.
    pub(super) snapshot: (u64, u64),
    pub(super) log: Log,
    pub(super) wal: Wal,
}

/// Reads the disk. The store is that of the backend. What the log has beyond the newest snapshot goes through the apply
/// loop when Raft says that it is committed; what of it the backend has already is passed over there.
pub(super) async fn recover(
    node: &Node,
    options: &Options,
    observer: &Observer,
    inventory: &Inventory,
) -> Result<Recovered, String> {
    let disk = node.disk();
    let start = inventory.start(node.id());
    if let Start::Restored(id) = start
        && let Some(restoration) = inventory.restoration()
    {
        let began = node.world().now();
        let laid_out = restore::lay_out(node, options, id, &restoration).await;
        laid_out.map_err(|error| error.to_string())?;
        inventory.is_laid_out(node.id(), id, began);
    }
    let member = match Wal::exists(&disk).await.map_err(|error| error.to_string())? {
        true => u64::from(machine_number(node.id())),
        false => bootstrap::identify(node, options, inventory).await?,
    };
    snapshots::prepare(&disk).await.map_err(|error| error.to_string())?;
    let (skipped, defects) = (options.skipped_syncs(), options.defects);
    let opened = Wal::open(node, member, options.wal_segment_bytes, skipped, defects).await;
    if let Err(WalError::Damaged { .. } | WalError::Gap { .. }) = &opened {
        observer.found_damage(node.id(), "log");
        sometimes!(node, "a member refuses to start over a damaged log", when = |run| run.fault("bit-rot"));
    }
    let is_unreadable = matches!(opened, Err(WalError::Disk(_)));
    sometimes!(
        node,
        "a member cannot read its log",
        is_unreadable,
        when = |run| run.any_fault(&["read-error", "disk-error"])
    );
    let (wal, logged) = opened.map_err(|error| error.to_string())?;
    let Logged { member, mut hard_state, snapshots: recorded, mut entries } = logged;
    inventory.has_log(node.id(), member);
    let newest = snapshots::newest(node, &recorded, defects).await;
    let (newest, damaged) = newest.map_err(|error| error.to_string())?;
    if damaged {
        observer.found_damage(node.id(), "snapshot");
        sometimes!(
            node,
            "a damaged snapshot is set aside",
            when = |run| run.any_fault(&["bit-rot", "misdirected-write", "phantom-write", "sync-lie"])
        );
        sometimes!(
            node,
            "a member goes back to an older snapshot",
            newest.is_some(),
            when = |run| run.any_fault(&["bit-rot", "misdirected-write", "phantom-write", "sync-lie"])
        );
    }
    let newest = newest.map(|newest| (newest.index, newest.term));
    // Which only a planted bug takes.
    let is_newest = |recorded: &RecordedSnapshot| Some((recorded.index, recorded.term)) == newest;
    let unrecorded = newest.is_some() && !recorded.iter().any(is_newest);
    let base = base(newest.unwrap_or_default(), &recorded, &entries);
    let logged_commit = hard_state.commit;
    let (index, term) = base;
    // The commit in the hard state is written lazily; what a snapshot holds was committed.
    hard_state.commit = hard_state.commit.max(index);
    if term > hard_state.term {
        // The crash came between the snapshot's record and the hard state: nobody has this member's vote yet.
        (hard_state.term, hard_state.vote) = (term, 0);
    }
    let lacking = |reason: String| {
        observer.found_damage(node.id(), "log");
        reason
    };
    if unrecorded {
        return Err(lacking(format!("the log has no record of the snapshot {index}/{term}")));
    }
    behind(&mut entries, index).map_err(lacking)?;
    let last = entries.last().map_or(index, |entry| entry.index);
    // A commit beyond the log would have been of entries that were durable when it was learnt, and are gone.
    if hard_state.commit > last {
        return Err(lacking(format!(
            "the log ends at {last}, and {} entries were committed",
            hard_state.commit
        )));
    }
    let (kv, whole) = open(node, options, observer, index).await?;
    let kv = Rc::new(kv);
    // What the backend has was committed, though the hard state may not tell.
    hard_state.commit = hard_state.commit.max(kv.visible_index().min(last));
    // Raft begins with the configuration that the backend has. Changes that come before are passed over, as etcd does
    // it: whether they were allowed cannot be told any more.
    let initial = match inventory.restoration() {
        Some(restoration) => Membership::of(restoration.members.clone()),
        None => Membership::initial(options.members),
    };
    let mut membership = kv.read(|_, tx| Membership::load(tx, || initial))?;
    if let (false, Some(recorded)) = (whole, recorded.iter().find(|at| (at.index, at.term) == base)) {
        membership.set_conf_state(recorded.conf_state.clone());
    }
    let configured = (kv.visible_index().max(index), membership.conf_state());
    record!(
        node,
        "member",
        "{} recovers term {} vote {} commit {}, snapshot {}, log to {}, store to {}",
        Shown(member),
        hard_state.term,
        hard_state.vote,
        hard_state.commit,
        index,
        last,
        kv.visible_index()
    );
    sometimes!(
        node,
        "a member recovers from a snapshot",
        index > 0,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    sometimes!(
        node,
        "a member recovers without a snapshot",
        index == 0 && last > 0,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    sometimes!(
        node,
        "a member recovers entries that are not committed",
        last > hard_state.commit,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    sometimes!(
        node,
        "a member recovers a store ahead of its snapshot",
        kv.visible_index() > index,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    sometimes!(
        node,
        "a member recovers a store behind its log",
        kv.visible_index() < last,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    let is_at_its_beginning = |restoration: Rc<Restoration>| restoration.index() == last;
    sometimes!(
        node,
        "a restored member crashes before its log has an entry",
        start == Start::Bootstrapped(member) && inventory.restoration().is_some_and(is_at_its_beginning),
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
            && (run.operation("snapshot-restore") || run.operation("snapshot-restore-bump"))
    );
    let voted = hard_state.vote != 0 && hard_state.vote != member;
    sometimes!(node, "a member recovers a vote for another", voted, when = |run| run.members > 1);
    let mut logged = hard_state.clone();
    logged.commit = logged_commit;
    observer.restarted(member, &logged, (index, term), configured, &entries, &kv);
    if kv.visible_index() > last {
        return Err(lacking(format!("the log ends at {last}, and entry {} was applied", kv.visible_index())));
    }
    node.failpoint(failpoints::RECOVERY_BEFORE_START).await;
    let mut conf_state = membership.conf_state().clone();
    if defects.has(Defect::LearnersCount) {
        let learners = std::mem::take(&mut conf_state.learners);
        conf_state.voters.extend(learners);
    }
    let log = Log::new(conf_state, hard_state, (index, term), entries);
    Ok(Recovered { member, membership, kv, whole, snapshot: (index, term), log, wal })
}

/// Opens the backend: the member's own, or the one that came with the newest snapshot if the crash came before it took
/// the place of the member's own. Whether it is one from which the log goes on.
///
/// A damaged backend is set aside. The log and the votes are whole, and the member takes part with them; the store must
/// come from the leader. While there is no snapshot, the log itself has everything.
async fn open(node: &Node, options: &Options, observer: &Observer, index: u64) -> Result<(Kv, bool), String> {
    let (disk, began) = (node.disk(), node.world().now());
    let (mut kv, mut is_other) = open_own(node, options, observer).await?;
    let waits = disk.exists(&snapshots::database_path(index));
    if kv.visible_index() < index && waits {
        sometimes!(
            node,
            "a crash came before the backend of a snapshot was opened",
            when = |run| run.members > 1
        );
        record!(node, "member", "opens the backend of snapshot {}", index);
        kv.close();
        let taken = snapshots::take_database(&disk, index, kv::PATH).await;
        taken.map_err(|error| error.to_string())?;
        (kv, _) = open_own(node, options, observer).await?;
        is_other = true;
    }
    snapshots::release_databases(&disk, u64::MAX).await.map_err(|error| error.to_string())?;
    let whole = kv.visible_index() >= index;
    match whole {
        true if is_other => observer.replaced_backend(node.id(), began),
        true => {}
        false => {
            sometimes!(
                node,
                "a member starts without a store from which its log goes on",
                when = |run| run.members > 1
                    && run.any_fault(&["bit-rot", "misdirected-write", "phantom-write", "sync-lie"])
            );
            observer.found_damage(node.id(), "backend");
        }
    }
    Ok((kv, whole))
}

/// Opens the file that has the backend's name, or a new one; whether it is in the place of a damaged one.
async fn open_own(node: &Node, options: &Options, observer: &Observer) -> Result<(Kv, bool), String> {
    let (limits, skipped) = (kv::limits(options), options.skipped_syncs());
    let own = || Backend::open(node, kv::PATH, limits, skipped);
    let opened = match own().await {
        Ok(backend) => Kv::restore(node, options, backend),
        Err(error) => Err(error.into()),
    };
    match opened {
        Ok(kv) => Ok((kv, false)),
        Err(KvError::Backend(BackendError::Damaged { .. }) | KvError::Restore(_)) => {
            observer.found_damage(node.id(), "backend");
            sometimes!(
                node,
                "a damaged backend is set aside",
                when = |run| run.any_fault(&["bit-rot", "misdirected-write", "phantom-write", "sync-lie"])
            );
            backend::set_aside(node, kv::PATH).await.map_err(|error| error.to_string())?;
            let backend = own().await.map_err(|error| error.to_string())?;
            Ok((Kv::restore(node, options, backend).map_err(|error| error.to_string())?, true))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The snapshot from which on the log is applied: the newest that there is a file of. If the log does not reach back to
/// it, since files were damaged, the last that the log has a record of, which says as much.
fn base(newest: (u64, u64), recorded: &[RecordedSnapshot], entries: &[Entry]) -> (u64, u64) {
    let last = recorded.last().map_or((0, 0), |last| (last.index, last.term));
    let reaches = match entries.first() {
        Some(first) => first.index <= newest.0 + 1,
        None => last.0 <= newest.0,
    };
    if reaches { newest } else { last }
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
