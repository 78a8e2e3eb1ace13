//! Snapshots on disk.
//!
//! | file | content |
//! | --- | --- |
//! | `snap/<term>-<index>.snap` | which entry a snapshot stands for, and who were members then |
//! | `snap/<index>.snap.db` | a backend that came from the leader, until it takes the place of the member's own |
//! | `snap/db` | the member's own backend |
//! | `snap/*.tmp` | what is being written |
//! | `snap/*.broken` | what was damaged |
//!
//! The state itself is in the backend, whose consistent index is never behind the newest snapshot. A file is written and
//! synced under a temporary name, renamed, and its directory synced: it is there whole or not at all. A snapshot counts
//! only when the write-ahead log has a record of it; a crash between the two leaves a file that nobody uses
//! (etcd-io/etcd#11888).

use protobuf::Message as _;
use raft::eraftpb::SnapshotMetadata;
use thiserror::Error;
use vertebra_sim::{DiskError, File, Node, NodeDisk, OpenMode, record, sometimes};

use crate::defect::{Defect, Defects};
use crate::failpoints;
use crate::syncs::{SkippedSyncs, Sync};
use crate::wal::RecordedSnapshot;

pub(super) const DIRECTORY: &str = "snap";

/// Snapshots that are kept: the newest, and one more.
const KEPT: usize = 2;

/// Why a backend from the leader could not be received.
#[derive(Debug, Error)]
pub(super) enum ReceiveError {
    #[error("{0}")]
    Disk(#[from] DiskError),
    #[error("it is not as it was sent")]
    Content,
}

fn path(index: u64, term: u64) -> String {
    format!("{DIRECTORY}/{term:016x}-{index:016x}.snap")
}

fn parse(name: &str) -> Option<(u64, u64)> {
    let (term, index) = name.strip_suffix(".snap")?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(index)?, number(term)?))
}

/// Where the backend of a snapshot from the leader waits to be opened.
pub(super) fn database_path(index: u64) -> String {
    format!("{DIRECTORY}/{index:016x}.snap.db")
}

fn parse_database(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".snap.db")?, 16).ok()
}

/// Makes the directory, and removes what a crash left half-written. The name of the directory becomes durable with that of
/// the log's.
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
    Ok(())
}

/// The snapshots that there are files of, oldest first: index and term.
async fn list(disk: &NodeDisk) -> Result<Vec<(u64, u64)>, DiskError> {
    let mut snapshots: Vec<_> = disk.list(DIRECTORY).await?.iter().filter_map(|name| parse(name)).collect();
    snapshots.sort_unstable();
    Ok(snapshots)
}

/// The newest snapshot that the log has a record of, and whether newer ones were damaged: such a file is set aside, and
/// the one before it taken.
pub(super) async fn newest(
    node: &Node,
    recorded: &[RecordedSnapshot],
    defects: Defects,
) -> Result<(Option<SnapshotMetadata>, bool), DiskError> {
    let disk = node.disk();
    let mut damaged = false;
    let files = list(&disk).await?;
    let is_unused = files
        .last()
        .is_some_and(|file| !recorded.iter().any(|recorded| (recorded.index, recorded.term) == *file));
    sometimes!(
        node,
        "a crash left a snapshot of which the log has no record",
        is_unused,
        when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
    );
    for (index, term) in files.into_iter().rev() {
        let is_it = |recorded: &&RecordedSnapshot| (recorded.index, recorded.term) == (index, term);
        let recorded = recorded.iter().find(is_it);
        if recorded.is_none() && !defects.has(Defect::SnapshotWithoutRecord) {
            continue;
        }
        let path = path(index, term);
        let metadata = decode(&disk.read(&path).await?);
        match metadata.filter(|metadata| {
            (metadata.index, metadata.term) == (index, term)
                && recorded.is_none_or(|recorded| *metadata.get_conf_state() == recorded.conf_state)
        }) {
            Some(metadata) => return Ok((Some(metadata), damaged)),
            None => {
                record!(node, "member", "sets the damaged snapshot {}/{} aside", index, term);
                disk.rename(&path, &format!("{path}.broken")).await?;
                damaged = true;
            }
        }
    }
    Ok((None, damaged))
}

fn decode(bytes: &[u8]) -> Option<SnapshotMetadata> {
    let (checksum, content) = bytes.split_first_chunk()?;
    let whole = u32::from_le_bytes(*checksum) == crc32c::crc32c(content);
    whole.then(|| SnapshotMetadata::parse_from_bytes(content).ok())?
}

/// Makes a durable file of what a snapshot stands for.
pub(super) async fn save(
    node: &Node,
    metadata: &SnapshotMetadata,
    skipped: SkippedSyncs,
) -> Result<(), DiskError> {
    let disk = node.disk();
    let path = path(metadata.index, metadata.term);
    let temporary = format!("{path}.tmp");
    let content = metadata.write_to_bytes().expect("metadata of Raft can be encoded");
    let mut bytes = crc32c::crc32c(&content).to_le_bytes().to_vec();
    bytes.extend_from_slice(&content);
    let file = disk.open(&temporary, OpenMode::Create).await?;
    file.truncate(0).await?;
    file.append(&bytes).await?;
    if !skipped.contains(Sync::SnapshotFile) {
        file.sync().await?;
    }
    node.failpoint(failpoints::SNAPSHOT_BEFORE_RENAME).await;
    disk.rename(&temporary, &path).await?;
    if !skipped.contains(Sync::SnapshotDirectory) {
        disk.sync_directory(DIRECTORY).await?;
    }
    Ok(())
}

/// Removes all but the newest files. What comes in the log before the oldest that is left is of no more use. Files newer than `newest`, the last that the log has a record of, are not counted.
pub(super) async fn purge(disk: &NodeDisk, newest: u64) -> Result<Purged, DiskError> {
    let mut files = list(disk).await?;
    files.retain(|(index, _)| *index <= newest);
    let listed = files.iter().map(|(index, _)| *index).collect();
    let surplus = files.len().saturating_sub(KEPT);
    for (index, term) in files.drain(..surplus) {
        disk.remove(&path(index, term)).await?;
    }
    Ok(Purged { oldest: files.first().map_or(0, |(index, _)| *index), listed })
}

/// What came of it.
pub(super) struct Purged {
    /// The oldest snapshot that is left, or 0.
    pub oldest: u64,
    /// Those that there were.
    pub listed: Vec<u64>,
}

/// Removes the backends of snapshots up to `index` that nobody will open.
///
/// One that Raft has accepted and that the apply loop has still to open must stay, also when a newer snapshot has
/// come meanwhile (etcd-io/etcd#18055).
pub(super) async fn release_databases(disk: &NodeDisk, index: u64) -> Result<(), DiskError> {
    for name in disk.list(DIRECTORY).await? {
        if parse_database(&name).is_some_and(|found| found <= index) {
            disk.remove(&format!("{DIRECTORY}/{name}")).await?;
        }
    }
    Ok(())
}

/// Puts the backend that came with the snapshot of `index` in the place of the member's own. If a power failure undoes
/// that, it is there to be taken again.
pub(super) async fn take_database(disk: &NodeDisk, index: u64, own: &str) -> Result<(), DiskError> {
    disk.rename(&database_path(index), own).await
}

/// A backend that is coming from the leader.
pub(super) struct Receiving {
    file: File,
    temporary: String,
    index: u64,
    length: u64,
    checksum: u32,
    received: (u64, u32),
}

impl Receiving {
    /// Begins a file. `number` tells apart those that are received at the same time.
    pub(super) async fn begin(
        disk: &NodeDisk,
        number: u64,
        index: u64,
        length: u64,
        checksum: u32,
    ) -> Result<Self, DiskError> {
        let temporary = format!("{DIRECTORY}/{number:016x}.tmp");
        let file = disk.open(&temporary, OpenMode::Create).await?;
        file.truncate(0).await?;
        Ok(Self { file, temporary, index, length, checksum, received: (0, 0) })
    }

    /// Writes the next part. Whether it was the last.
    pub(super) async fn chunk(&mut self, bytes: &[u8]) -> Result<bool, DiskError> {
        self.file.append(bytes).await?;
        let (length, checksum) = self.received;
        self.received = (length + bytes.len() as u64, crc32c::crc32c_append(checksum, bytes));
        Ok(self.received.0 >= self.length)
    }

    /// Makes what was received durable, and gives it the name by which the apply loop will find it. That is synced with the
    /// name of the snapshot itself, which nobody uses before the log has a record of it.
    pub(super) async fn finish(&self, disk: &NodeDisk, skipped: SkippedSyncs) -> Result<(), ReceiveError> {
        if self.received != (self.length, self.checksum) {
            return Err(ReceiveError::Content);
        }
        if !skipped.contains(Sync::SnapshotDatabaseFile) {
            self.file.sync().await?;
        }
        disk.rename(&self.temporary, &database_path(self.index)).await?;
        Ok(())
    }

    /// Removes what was received, if it was not finished.
    pub(super) async fn abandon(self, disk: &NodeDisk) -> Result<(), DiskError> {
        disk.remove(&self.temporary).await
    }
}

/// For oracles: how many files there are that were received in part.
pub(crate) fn unfinished(disk: &NodeDisk) -> usize {
    let is_number = |name: &str| name.len() == 16 && u64::from_str_radix(name, 16).is_ok();
    disk.names(DIRECTORY)
        .iter()
        .filter_map(|name| name.strip_suffix(".tmp"))
        .filter(|name| is_number(name))
        .count()
}
