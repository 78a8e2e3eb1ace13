//! The data directory of a member whose cluster is restored from a snapshot: what `etcdutl snapshot restore` lays out
//! (etcdutl/snapshot/v3_snapshot.go).
//!
//! The database is the one that was saved, with the members of the new cluster in place of those of the old one, and with
//! a consistent index in the new log. That log begins behind as many entries as there are members, all of term 1, in
//! which each was added. They are not written: a snapshot stands for them, as for what a log was compacted to.
//!
//! Nobody takes part before all of it is durable. A crash in between leaves a directory that is laid out anew.

use raft::eraftpb::{ConfState, HardState, SnapshotMetadata};
use thiserror::Error;
use vertebra_sim::{DiskError, Node, NodeDisk, OpenMode, record, sometimes};

use super::membership::Membership;
use super::{consistent_index, kv, snapshots};
use crate::backend::{Backend, BackendError};
use crate::cluster::{MemberId, Shown};
use crate::defect::Defect;
use crate::mvcc::{self, RestoreError};
use crate::options::Options;
use crate::restoration::{Restoration, TERM};
use crate::wal::{self, Wal, WalError};

/// Why a directory cannot be laid out.
#[derive(Debug, Error)]
pub(super) enum LayOutError {
    #[error("{0}")]
    Disk(#[from] DiskError),
    #[error("{0}")]
    Backend(#[from] BackendError),
    #[error("the store in the snapshot: {0}")]
    Store(#[from] RestoreError),
    #[error("{0}")]
    Log(#[from] WalError),
}

/// Makes the data of `member` what `restoration` says, whatever is on the disk.
pub(super) async fn lay_out(
    node: &Node,
    options: &Options,
    member: MemberId,
    restoration: &Restoration,
) -> Result<(), LayOutError> {
    let disk = node.disk();
    let begun_before = disk.exists(snapshots::DIRECTORY);
    sometimes!(
        node,
        "a member begins anew to be restored",
        begun_before,
        when = |run| run.operation("snapshot-restore") || run.operation("snapshot-restore-bump")
    );
    for directory in [snapshots::DIRECTORY, wal::DIRECTORY] {
        clear(&disk, directory).await?;
    }
    snapshots::prepare(&disk).await?;
    write_database(node, options, restoration).await?;

    let skipped = options.skipped_syncs();
    let conf_state = ConfState::from((restoration.members.clone(), vec![]));
    let index = restoration.index();
    let mut metadata = SnapshotMetadata::new();
    (metadata.index, metadata.term) = (index, TERM);
    metadata.set_conf_state(conf_state.clone());
    snapshots::save(node, &metadata, skipped).await?;
    let (mut log, _) = Wal::open(node, member, options.wal_segment_bytes, skipped, options.defects).await?;
    log.save_snapshot(index, TERM, &conf_state, true).await?;
    // As etcdutl has it, all have voted for the first.
    let vote = restoration.members.first().copied().unwrap_or_default();
    let hard_state = HardState { term: TERM, vote, commit: index, ..HardState::default() };
    log.save(&[], Some(&hard_state), true).await?;
    record!(node, "member", "{} is restored, with {} bytes", Shown(member), restoration.database.len());
    Ok(())
}

/// Removes the files in a directory.
async fn clear(disk: &NodeDisk, directory: &str) -> Result<(), DiskError> {
    if disk.exists(directory) {
        for name in disk.list(directory).await? {
            disk.remove(&format!("{directory}/{name}")).await?;
        }
    }
    Ok(())
}

/// Puts the database in its place, and makes it one of the new cluster. Opening it makes durable what was written.
async fn write_database(
    node: &Node,
    options: &Options,
    restoration: &Restoration,
) -> Result<(), LayOutError> {
    let file = node.disk().open(kv::PATH, OpenMode::Create).await?;
    file.append(&restoration.database).await?;
    let backend = Backend::open(node, kv::PATH, kv::limits(options), options.skipped_syncs()).await?;
    let mut tx = backend.lock().await;
    Membership::of(restoration.members.clone()).replace(&mut tx);
    if !options.has(Defect::RestoreKeepsIndex) {
        consistent_index::force(&mut tx, restoration.index(), TERM);
    }
    if restoration.bump > 0 {
        mvcc::bump(&mut tx, restoration.bump)?;
    }
    tx.unlock().await?;
    Ok(backend.close().await?)
}
