//! Syncs, in two halves: what is written between them is not covered.

use std::sync::Arc;

use super::error::{DiskError, Operation};
use super::faults::IoKind;
use super::files::FileHandle;
use super::inodes::InodeId;
use super::{Disk, path};

/// A sync that has begun. Dropped without [`Disk::complete_sync`], it makes nothing durable.
#[derive(Debug)]
#[must_use = "a sync that is not completed makes nothing durable"]
pub struct SyncTicket {
    operation: Operation,
    path: Arc<str>,
    incarnation: u64,
    inode: InodeId,
    generation: u64,
    mark: u64,
}

impl Disk {
    /// Begins a sync of the content and size of a file, as they are now.
    ///
    /// Several may be under way at once, and may complete in any order. A file may be closed meanwhile.
    ///
    /// # Errors
    ///
    /// [`StaleHandle`](DiskError::StaleHandle).
    pub fn begin_sync(&mut self, handle: FileHandle) -> Result<SyncTicket, DiskError> {
        let open = self.open_file(Operation::Sync, handle)?;
        Ok(SyncTicket {
            operation: Operation::Sync,
            path: Arc::clone(&open.path),
            incarnation: self.incarnation,
            inode: open.inode,
            generation: self.inodes.generation(open.inode),
            mark: self.inodes.content(open.inode).mark(),
        })
    }

    /// Begins a sync of the names in the directory at `path`, as they are now.
    ///
    /// # Errors
    ///
    /// [`NotFound`](DiskError::NotFound), [`NotADirectory`](DiskError::NotADirectory),
    /// [`InvalidPath`](DiskError::InvalidPath).
    pub fn begin_sync_directory(&mut self, path: &str) -> Result<SyncTicket, DiskError> {
        let operation = Operation::SyncDirectory;
        let inode = self.find_directory(operation, path::checked(operation, path)?)?;
        Ok(SyncTicket {
            operation,
            path: Arc::from(path),
            incarnation: self.incarnation,
            inode,
            generation: self.inodes.generation(inode),
            mark: self.names.mark(),
        })
    }

    /// Completes a sync: what it covers is on the medium for sure.
    ///
    /// # Errors
    ///
    /// [`StaleHandle`](DiskError::StaleHandle) if the process or the power went since it began;
    /// [`Io`](DiskError::Io) if it failed. Either way it made nothing durable, and its data is as unsynced as before,
    /// unless it is [lost](IoKind::SyncLost) or [forgotten](Disk::forget_syncs).
    pub fn complete_sync(&mut self, ticket: SyncTicket) -> Result<(), DiskError> {
        let SyncTicket { operation, path, incarnation, inode, generation, mark } = ticket;
        if incarnation != self.incarnation {
            return Err(DiskError::StaleHandle { operation, handle: format!("`{path}`") });
        }
        if self.faults.strikes(IoKind::Sync) {
            return Err(DiskError::Io { operation, path: path.as_ref().to_owned() });
        }
        // Without its inode, what was to be synced is gone, and there is nothing left to lose.
        let exists = self.inodes.generation(inode) == generation;
        if operation == Operation::Sync && self.faults.strikes(IoKind::SyncLost) {
            if exists {
                self.inodes.content_mut(inode).lose(mark);
            }
            return Err(DiskError::Io { operation, path: path.as_ref().to_owned() });
        }
        if operation == Operation::Sync
            && let Some(fault) = self.faults.meets_sync(&path)
        {
            if exists && self.inodes.content_mut(inode).forget(mark) {
                self.faults.count(fault);
            }
            return Err(DiskError::Io { operation, path: path.as_ref().to_owned() });
        }
        if exists {
            match operation {
                Operation::SyncDirectory => self.names.persist(inode, mark, &mut self.inodes),
                _ => {
                    let mut strayed = Vec::new();
                    self.inodes.content_mut(inode).persist(mark, &mut strayed);
                    if !strayed.is_empty() {
                        self.land(inode, strayed);
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins and completes a sync of a file in one step.
    ///
    /// # Errors
    ///
    /// Those of [`Disk::begin_sync`] and [`Disk::complete_sync`].
    pub fn sync(&mut self, handle: FileHandle) -> Result<(), DiskError> {
        let ticket = self.begin_sync(handle)?;
        self.complete_sync(ticket)
    }

    /// Begins and completes a sync of a directory in one step.
    ///
    /// # Errors
    ///
    /// Those of [`Disk::begin_sync_directory`] and [`Disk::complete_sync`].
    pub fn sync_directory(&mut self, path: &str) -> Result<(), DiskError> {
        let ticket = self.begin_sync_directory(path)?;
        self.complete_sync(ticket)
    }
}
