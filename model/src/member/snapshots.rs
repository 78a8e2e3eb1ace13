//! Snapshot files: the whole store as of one index.
//!
//! `snap/<term>-<index>.snap` holds the checksum (CRC-32C) of what follows, and the store. A file is written and
//! synced under a temporary name, renamed, and its directory synced: it is there whole or not at all. It counts
//! only when the write-ahead log has a record of it; a crash between the two leaves a file that nobody uses
//! (etcd-io/etcd#11888).

use thiserror::Error;
use vertebra_sim::{DiskError, Node, NodeDisk, OpenMode, sometimes};

use crate::failpoints;
use crate::mvcc::{SnapshotError, Store};

const DIRECTORY: &str = "snap";

/// Snapshots that are kept: the newest, and one more.
const KEPT: usize = 2;

#[derive(Debug, Error)]
pub(super) enum SnapshotFileError {
    #[error("snapshot: {0}")]
    Disk(#[from] DiskError),
    #[error("snapshot {0}: its checksum does not match")]
    Checksum(String),
    #[error("snapshot {0}: {1}")]
    Content(String, SnapshotError),
}

fn path(index: u64, term: u64) -> String {
    format!("{DIRECTORY}/{term:016x}-{index:016x}.snap")
}

fn parse(name: &str) -> Option<(u64, u64)> {
    let (term, index) = name.strip_suffix(".snap")?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(index)?, number(term)?))
}

/// Makes the directory, and removes what a crash left half-written.
pub(super) async fn prepare(disk: &NodeDisk) -> Result<(), DiskError> {
    if !disk.exists(DIRECTORY) {
        disk.create_directory(DIRECTORY).await?;
    }
    for name in disk.list(DIRECTORY).await? {
        if name.ends_with(".tmp") {
            sometimes!(
                disk,
                "a crash left a snapshot half written",
                when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
            );
            disk.remove(&format!("{DIRECTORY}/{name}")).await?;
        }
    }
    // What was renamed before a crash must be as durable as the log's records of it.
    disk.sync_directory(DIRECTORY).await?;
    disk.sync_directory("").await
}

/// The snapshots that there are files of, oldest first: index and term.
async fn list(disk: &NodeDisk) -> Result<Vec<(u64, u64)>, DiskError> {
    let mut snapshots: Vec<_> = disk.list(DIRECTORY).await?.iter().filter_map(|name| parse(name)).collect();
    snapshots.sort_unstable();
    Ok(snapshots)
}

/// The newest snapshot that the log has a record of: index, term and store.
pub(super) async fn newest(
    disk: &NodeDisk,
    recorded: &[(u64, u64)],
) -> Result<Option<(u64, u64, Store)>, SnapshotFileError> {
    let files = list(disk).await?;
    let is_unused = files.last().is_some_and(|file| !recorded.contains(file));
    sometimes!(
        disk,
        "a crash left a snapshot of which the log has no record",
        is_unused,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    let Some(&(index, term)) = files.iter().rev().find(|file| recorded.contains(file)) else {
        return Ok(None);
    };
    let bytes = read(disk, index, term).await?;
    let store =
        Store::from_snapshot(&bytes).map_err(|error| SnapshotFileError::Content(path(index, term), error))?;
    Ok(Some((index, term, store)))
}

/// The store in a file, as bytes.
pub(super) async fn read(disk: &NodeDisk, index: u64, term: u64) -> Result<Vec<u8>, SnapshotFileError> {
    let path = path(index, term);
    let mut bytes = disk.read(&path).await?;
    match bytes.split_first_chunk() {
        Some((checksum, store)) if u32::from_le_bytes(*checksum) == crc32c::crc32c(store) => {
            bytes.drain(..4);
            Ok(bytes)
        }
        _ => Err(SnapshotFileError::Checksum(path)),
    }
}

/// Makes a durable file. `writer` tells apart those who may write the same snapshot at the same time.
pub(super) async fn write(
    node: &Node,
    writer: &str,
    index: u64,
    term: u64,
    store: &[u8],
) -> Result<(), DiskError> {
    let disk = node.disk();
    let (temporary, path) = (format!("{DIRECTORY}/{writer}-{index:016x}.tmp"), path(index, term));
    let file = disk.open(&temporary, OpenMode::Create).await?;
    file.truncate(0).await?;
    file.append(&crc32c::crc32c(store).to_le_bytes()).await?;
    file.append(store).await?;
    file.sync().await?;
    node.failpoint(failpoints::SNAPSHOT_BEFORE_RENAME).await;
    disk.rename(&temporary, &path).await?;
    disk.sync_directory(DIRECTORY).await
}

/// Removes all but the newest files, and returns the index of the oldest that is left: what comes before it in the
/// log is of no more use. Files newer than `newest`, the last that the log has a record of, are not counted.
pub(super) async fn purge(disk: &NodeDisk, newest: u64) -> Result<u64, DiskError> {
    let mut files = list(disk).await?;
    files.retain(|(index, _)| *index <= newest);
    let surplus = files.len().saturating_sub(KEPT);
    for (index, term) in files.drain(..surplus) {
        disk.remove(&path(index, term)).await?;
    }
    Ok(files.first().map_or(0, |(index, _)| *index))
}
