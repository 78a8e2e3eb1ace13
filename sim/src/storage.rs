//! A process's way to the disk of its node.
//!
//! The disk itself is a state machine without time ([`disk`](crate::disk)). Here its syncs take the time that the
//! schedule gives them; everything else is served by the page cache at once, unless a fault stalls the disk. A process
//! that is killed while it waits has done what it did up to there; a sync that it waited for makes nothing durable.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::disk::{Disk, DiskError, FileHandle, OpenMode, SyncTicket};
use crate::node::Node;
use crate::process::Crash;
use crate::random::{Moments, Stream, Streams};
use crate::record;
use crate::schedule;
use crate::sometimes;
use crate::time::Instant;
use crate::timer::Sleep;
use crate::world::World;

/// The disk of one node, and how fast it is.
pub(crate) struct Drive {
    pub(crate) disk: RefCell<Disk>,
    latencies: RefCell<Moments>,
    fates: RefCell<Stream>,
    profile: schedule::Disk,
    /// They add up to the time that each operation takes longer.
    pub(crate) stalls: RefCell<Vec<Duration>>,
    /// Faults that keep it full.
    pub(crate) full: Cell<u32>,
}

impl Drive {
    pub(crate) fn new(profile: schedule::Disk, streams: &Streams, index: usize) -> Self {
        let index = index as u64;
        Self {
            disk: RefCell::new(Disk::new(streams.stream("disk/short-write", index))),
            latencies: RefCell::new(Moments::new(streams.stream("disk/latency", index))),
            fates: RefCell::new(streams.stream("disk/power-failure", index)),
            profile,
            stalls: RefCell::default(),
            full: Cell::new(0),
        }
    }

    pub(crate) fn stalled_for(&self) -> Duration {
        self.stalls.borrow().iter().sum()
    }

    fn sync_latency(&self, now: Instant) -> Duration {
        let schedule::Disk { sync_latency_min, sync_latency_max, tail_ppm, tail_max } = self.profile;
        let mut latencies = self.latencies.borrow_mut();
        let latencies = latencies.at(now);
        let max = match tail_ppm > 0 && latencies.chance(tail_ppm) {
            true => tail_max.max(sync_latency_max),
            false => sync_latency_max,
        };
        latencies.duration(sync_latency_min, max) + self.stalled_for()
    }

    /// Everything on it is gone. What faults do to it goes on.
    pub(crate) fn wipe(&self) {
        self.disk.borrow_mut().wipe();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.get() > 0
    }

    pub(crate) fn set_full(&self, full: bool) {
        let disk = &mut *self.disk.borrow_mut();
        let capacity = if full { disk.bytes_used() } else { crate::disk::CAPACITY_BYTES_DEFAULT };
        disk.set_capacity(capacity);
    }
}

/// The disk of a node, as its process uses it. Paths are relative and separated by `/`; `""` is the root.
///
/// The errors of every operation are those of [`Disk`]'s operation of the same name. After a crash of the process
/// its handles are stale.
#[derive(Clone)]
pub struct NodeDisk {
    node: Node,
}

/// An open file. It is closed when it is dropped.
pub struct File {
    disk: NodeDisk,
    handle: FileHandle,
    path: Box<str>,
}

impl Node {
    /// The disk of this node.
    #[must_use]
    pub fn disk(&self) -> NodeDisk {
        NodeDisk { node: self.clone() }
    }
}

impl NodeDisk {
    /// For [`record!`](crate::record) and [`sometimes!`](crate::sometimes).
    #[must_use]
    pub fn world(&self) -> &World {
        self.node.world()
    }

    /// For [`record!`](crate::record) and [`sometimes!`](crate::sometimes).
    #[must_use]
    pub fn trace_node(&self) -> Option<crate::NodeId> {
        self.node.trace_node()
    }

    fn drive(&self) -> &Drive {
        self.node.world().drive_of(self.node.index())
    }

    async fn with<T>(
        &self,
        operation: impl FnOnce(&mut Disk) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let stalled = self.drive().stalled_for();
        if !stalled.is_zero() {
            self.wait(stalled).await;
        }
        let result = operation(&mut self.drive().disk.borrow_mut());
        if let Err(error) = &result {
            record!(self.node, "disk", "{}", error.to_string());
            let is_full = matches!(error, DiskError::NoSpace { .. });
            sometimes!(
                self.node,
                "a disk is full",
                is_full,
                when = |run| run.disks && run.fault("disk-full")
            );
            let has_failed = matches!(error, DiskError::Io { .. });
            sometimes!(
                self.node,
                "a disk fails",
                has_failed,
                when = |run| run.disks && run.fault("disk-error")
            );
        }
        result
    }

    fn wait(&self, latency: Duration) -> Sleep {
        self.node.world().sleep(latency)
    }

    async fn complete(&self, ticket: Result<SyncTicket, DiskError>) -> Result<(), DiskError> {
        let ticket = ticket?;
        self.wait(self.drive().sync_latency(self.node.world().now())).await;
        let result = self.drive().disk.borrow_mut().complete_sync(ticket);
        if let Err(error) = &result {
            sometimes!(self.node, "a sync fails", when = |run| run.disks && run.fault("disk-error"));
            record!(self.node, "disk", "{}", error.to_string());
        }
        result
    }

    /// Opens a file, as `mode` says.
    ///
    /// # Errors
    ///
    /// See [`Disk::open`].
    pub async fn open(&self, path: &str, mode: OpenMode) -> Result<File, DiskError> {
        self.node.world().counters().uses_disks.set(true);
        let handle = self.with(|disk| disk.open(path, mode)).await?;
        Ok(File { disk: self.clone(), handle, path: path.into() })
    }

    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// See [`Disk::open`] and [`Disk::read_at`].
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, DiskError> {
        let file = self.open(path, OpenMode::Existing).await?;
        let length = file.length().await?;
        file.read_at(0, usize::try_from(length).unwrap_or(usize::MAX)).await
    }

    /// Creates an empty directory.
    ///
    /// # Errors
    ///
    /// See [`Disk::create_directory`].
    pub async fn create_directory(&self, path: &str) -> Result<(), DiskError> {
        self.with(|disk| disk.create_directory(path)).await
    }

    /// Whether there is a file or a directory.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.drive().disk.borrow().exists(path)
    }

    /// What is on the disk, in bytes. It takes no time: for who looks on from outside, and no process.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.drive().disk.borrow().bytes_used()
    }

    /// The length of a file, in bytes; nothing if there is none. It takes no time, as [`bytes_used`](Self::bytes_used).
    #[must_use]
    pub fn length_of(&self, path: &str) -> Option<u64> {
        self.drive().disk.borrow().length_of(path)
    }

    /// The names in a directory, sorted; none if there is no such directory. It takes no time, as
    /// [`bytes_used`](Self::bytes_used).
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<String> {
        self.drive().disk.borrow().list(path).unwrap_or_default()
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    ///
    /// See [`Disk::list`].
    pub async fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        self.with(|disk| disk.list(path)).await
    }

    /// Gives a file or directory another name; what had that name is replaced.
    ///
    /// # Errors
    ///
    /// See [`Disk::rename`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        record!(self.node, "disk", "renames {} to {}", from, to);
        self.with(|disk| disk.rename(from, to)).await
    }

    /// Removes a file or an empty directory.
    ///
    /// # Errors
    ///
    /// See [`Disk::remove`].
    pub async fn remove(&self, path: &str) -> Result<(), DiskError> {
        record!(self.node, "disk", "removes {}", path);
        self.with(|disk| disk.remove(path)).await
    }

    /// Makes the names in a directory durable, as they are now.
    ///
    /// # Errors
    ///
    /// See [`Disk::complete_sync`].
    pub async fn sync_directory(&self, path: &str) -> Result<(), DiskError> {
        let ticket = self.drive().disk.borrow_mut().begin_sync_directory(path);
        self.complete(ticket).await?;
        record!(self.node, "disk", "synced directory {}", path);
        Ok(())
    }
}

impl File {
    /// Writes `bytes` at the end; returns where they begin.
    ///
    /// # Errors
    ///
    /// See [`Disk::append`].
    pub async fn append(&self, bytes: &[u8]) -> Result<u64, DiskError> {
        let offset = self.disk.with(|disk| disk.append(self.handle, bytes)).await?;
        record!(self.disk.node, "disk", "{}: appends {} bytes at {}", self.path, Bytes(bytes), offset);
        Ok(offset)
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// See [`Disk::write_at`].
    pub async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        record!(self.disk.node, "disk", "{}: writes {} bytes at {}", self.path, Bytes(bytes), offset);
        self.disk.with(|disk| disk.write_at(self.handle, offset, bytes)).await
    }

    /// Reads up to `length` bytes from `offset`: fewer at the end of the file.
    ///
    /// # Errors
    ///
    /// See [`Disk::read_at`].
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, DiskError> {
        // Never more than there is: a wild length must not become memory.
        let available = self.length().await?.saturating_sub(offset);
        let length = length.min(usize::try_from(available).unwrap_or(usize::MAX));
        let mut buffer = vec![0; length];
        let read = self.disk.with(|disk| disk.read_at(self.handle, offset, &mut buffer)).await?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Its size in bytes.
    ///
    /// # Errors
    ///
    /// See [`Disk::length`].
    pub async fn length(&self) -> Result<u64, DiskError> {
        self.disk.with(|disk| disk.length(self.handle)).await
    }

    /// Cuts it to `size` bytes, or fills it with zeros up to there.
    ///
    /// # Errors
    ///
    /// See [`Disk::truncate`].
    pub async fn truncate(&self, size: u64) -> Result<(), DiskError> {
        record!(self.disk.node, "disk", "{}: truncates to {} bytes", self.path, size);
        self.disk.with(|disk| disk.truncate(self.handle, size)).await
    }

    /// Makes its content and size durable, as they are now.
    ///
    /// # Errors
    ///
    /// See [`Disk::complete_sync`].
    pub async fn sync(&self) -> Result<(), DiskError> {
        let ticket = self.disk.drive().disk.borrow_mut().begin_sync(self.handle);
        self.disk.complete(ticket).await?;
        record!(self.disk.node, "disk", "{}: synced", self.path);
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // After a crash the handle is stale, and there is nothing to close.
        let _ = self.disk.drive().disk.borrow_mut().close(self.handle);
    }
}

/// Bytes that are hashed by content and shown by number.
#[derive(Clone, Copy, Hash)]
struct Bytes<'a>(&'a [u8]);

impl std::fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.len().fmt(f)
    }
}

impl World {
    /// What a crash does to the disk of a node.
    pub(crate) fn crash_disk(&self, index: usize, crash: Crash) {
        let drive = self.drive_of(index);
        let disk = &mut *drive.disk.borrow_mut();
        match crash {
            Crash::Process => disk.process_crash(),
            Crash::Power => {
                let failure = disk.power_failure(&mut drive.fates.borrow_mut());
                let (contents, names) = (failure.contents, failure.names);
                sometimes!(
                    self,
                    "a power failure loses writes",
                    contents.lost > 0,
                    when = |run| run.disks && run.any_fault(&["power-failure", "failpoint"])
                );
                sometimes!(
                    self,
                    "a power failure loses some writes and keeps others",
                    contents.lost.min(contents.kept) > 0,
                    when = |run| run.disks && run.any_fault(&["power-failure", "failpoint"])
                );
                sometimes!(
                    self,
                    "a power failure tears a write",
                    contents.torn > 0,
                    when = |run| run.disks && run.any_fault(&["power-failure", "failpoint"])
                );
                sometimes!(
                    self,
                    "a power failure undoes names",
                    names.lost > 0,
                    when = |run| run.disks && run.any_fault(&["power-failure", "failpoint"])
                );
                sometimes!(
                    self,
                    "a power failure keeps writes and undoes names",
                    contents.lost == 0 && contents.kept > 0 && names.lost > 0,
                    when = |run| run.disks && run.any_fault(&["power-failure", "failpoint"])
                );
                sometimes!(
                    self,
                    "a power failure loses writes and keeps names",
                    names.lost == 0 && names.kept > 0 && contents.lost > 0,
                    when = |run| run.disks && run.any_fault(&["power-failure", "failpoint"])
                );
                record!(
                    self.node_by_index(index),
                    "disk",
                    "unsynced writes: {} lost, {} kept, {} torn; unsynced names: {} lost, {} kept",
                    contents.lost,
                    contents.kept,
                    contents.torn,
                    names.lost,
                    names.kept
                );
            }
        }
    }

    pub(crate) fn drive_of(&self, index: usize) -> &Drive {
        &self.process(index).drive
    }
}
