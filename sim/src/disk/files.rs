//! Operations on open files.

use std::fmt;
use std::sync::Arc;

use super::content::Content;
use super::error::{DiskError, Operation};
use super::faults::IoKind;
use super::inodes::InodeId;
use super::names::{NameChange, Unit};
use super::{Disk, Open};

/// An open file. Good until it is closed, or until the process or the power goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileHandle {
    slot: u32,
    number: u64,
}

/// `handle 7`: the seventh that the disk gave out.
impl fmt::Display for FileHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handle {}", self.number)
    }
}

/// What to do when a file that is opened does not exist, or does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OpenMode {
    /// Open a file that exists.
    Existing,
    /// Open a file, or create an empty one.
    Create,
    /// Create an empty file where nothing exists.
    CreateNew,
}

impl Disk {
    /// Opens the file at `path`, as `mode` says. Each call gives a handle of its own.
    ///
    /// # Errors
    ///
    /// [`NotFound`](DiskError::NotFound) if there is no file, or no parent to create it in;
    /// [`AlreadyExists`](DiskError::AlreadyExists) if it was to be new; [`Io`](DiskError::Io) if it was to be created;
    /// [`IsADirectory`](DiskError::IsADirectory), [`NotADirectory`](DiskError::NotADirectory),
    /// [`InvalidPath`](DiskError::InvalidPath).
    pub fn open(&mut self, path: &str, mode: OpenMode) -> Result<FileHandle, DiskError> {
        let operation = Operation::Open;
        let inode = match self.find(operation, path) {
            Ok(_) if mode == OpenMode::CreateNew => {
                return Err(DiskError::AlreadyExists { operation, path: path.to_owned() });
            }
            Ok(inode) if self.inodes.directory(inode).is_some() => {
                return Err(DiskError::IsADirectory { operation, path: path.to_owned() });
            }
            Ok(inode) => inode,
            Err(DiskError::NotFound { .. }) if mode != OpenMode::Existing => {
                let (directory, name) = self.find_place(operation, path)?;
                self.check_names(operation, path)?;
                let inode = self.inodes.create_file();
                self.inodes.link(inode);
                self.inodes.directory_mut(directory).cache.insert(name.into(), inode);
                let change = NameChange { directory, name: name.into(), target: Some(inode) };
                self.names.push(Unit::new(change), &mut self.inodes);
                inode
            }
            Err(error) => return Err(error),
        };
        self.inodes.hold(inode);
        self.opened += 1;
        let open = Open { number: self.opened, inode, path: Arc::from(path) };
        let slot = match self.opens_free.pop() {
            Some(slot) => {
                self.opens[slot as usize] = open;
                slot
            }
            None => {
                self.opens.push(open);
                self.opens.len() as u32 - 1
            }
        };
        Ok(FileHandle { slot, number: self.opened })
    }

    /// Closes `handle`. A file without a name is gone with its last handle. Closing syncs nothing.
    ///
    /// # Errors
    ///
    /// [`StaleHandle`](DiskError::StaleHandle).
    pub fn close(&mut self, handle: FileHandle) -> Result<(), DiskError> {
        let inode = self.open_file(Operation::Close, handle)?.inode;
        self.opens[handle.slot as usize].number = 0;
        self.opens_free.push(handle.slot);
        self.inodes.let_go(inode);
        Ok(())
    }

    /// Writes `bytes` to the end of the file and returns where they begin. A write of no bytes does nothing.
    ///
    /// # Errors
    ///
    /// [`StaleHandle`](DiskError::StaleHandle); [`Io`](DiskError::Io), and nothing is written;
    /// [`NoSpace`](DiskError::NoSpace), and either nothing is written or as much as fits.
    pub fn append(&mut self, handle: FileHandle, bytes: &[u8]) -> Result<u64, DiskError> {
        self.write(Operation::Append, handle, None, bytes)
    }

    /// Writes `bytes` at `offset`; what lies between the end of the file and `offset` becomes zeros.
    ///
    /// # Errors
    ///
    /// Those of [`Disk::append`]. Overwriting needs no space.
    pub fn write_at(&mut self, handle: FileHandle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.write(Operation::Write, handle, Some(offset), bytes).map(|_| ())
    }

    fn write(
        &mut self,
        operation: Operation,
        handle: FileHandle,
        offset: Option<u64>,
        bytes: &[u8],
    ) -> Result<u64, DiskError> {
        let inode = self.open_file(operation, handle)?.inode;
        if self.faults.strikes(IoKind::Write) {
            return Err(self.io_error(operation, handle));
        }
        let size = self.inodes.content(inode).len() as u64;
        let offset = offset.unwrap_or(size);
        if self.inodes.content(inode).fails_to_write(offset, bytes.len()) {
            return Err(self.io_error(operation, handle));
        }
        let size_max = size.saturating_add(self.faults.capacity_bytes.saturating_sub(self.bytes_used()));
        // As a write of the machine's would: an offset that no file can have is like one that does not fit.
        let end = offset.saturating_add(bytes.len() as u64);
        if end <= size_max || bytes.is_empty() {
            self.change(inode, |content| content.write(offset as usize, bytes));
            let path = &self.opens[handle.slot as usize].path;
            if !bytes.is_empty()
                && let Some(fault) = self.faults.meets_write(path)
            {
                self.inodes.content_mut(inode).lead_astray(fault);
            }
            return Ok(offset);
        }
        // A full disk can leave a short write: the kernel copies page after page until one has no place.
        let fits = size_max.saturating_sub(offset);
        let written = if self.stream.below(2) == 0 { 0 } else { fits };
        self.change(inode, |content| content.write(offset as usize, &bytes[..written as usize]));
        Err(DiskError::NoSpace { operation, path: self.path_of(handle), written })
    }

    /// Reads from `offset` into `buffer` and returns how many bytes there were: fewer than it holds at the end of the
    /// file, and none past it.
    ///
    /// # Errors
    ///
    /// [`StaleHandle`](DiskError::StaleHandle), [`Io`](DiskError::Io).
    pub fn read_at(
        &mut self,
        handle: FileHandle,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, DiskError> {
        let inode = self.open_file(Operation::Read, handle)?.inode;
        if self.faults.strikes(IoKind::Read) {
            return Err(self.io_error(Operation::Read, handle));
        }
        let content = self.inodes.content(inode);
        if content.fails_to_read(offset, buffer.len()) {
            return Err(self.io_error(Operation::Read, handle));
        }
        Ok(content.read(offset, buffer))
    }

    /// The size of the file in bytes.
    ///
    /// # Errors
    ///
    /// [`StaleHandle`](DiskError::StaleHandle).
    pub fn length(&self, handle: FileHandle) -> Result<u64, DiskError> {
        let inode = self.open_file(Operation::Length, handle)?.inode;
        Ok(self.inodes.content(inode).len() as u64)
    }

    /// Cuts the file to `size` bytes, or fills it with zeros up to there.
    ///
    /// # Errors
    ///
    /// [`StaleHandle`](DiskError::StaleHandle), [`Io`](DiskError::Io); [`NoSpace`](DiskError::NoSpace) if the file
    /// would grow and cannot, and then it keeps its size.
    pub fn truncate(&mut self, handle: FileHandle, size: u64) -> Result<(), DiskError> {
        let operation = Operation::Truncate;
        let inode = self.open_file(operation, handle)?.inode;
        if self.faults.strikes(IoKind::Write) {
            return Err(self.io_error(operation, handle));
        }
        if self.inodes.content(inode).fails_to_resize(size) {
            return Err(self.io_error(operation, handle));
        }
        let growth = size.saturating_sub(self.inodes.content(inode).len() as u64);
        if growth > 0 && self.bytes_used().saturating_add(growth) > self.faults.capacity_bytes {
            return Err(DiskError::NoSpace { operation, path: self.path_of(handle), written: 0 });
        }
        self.change(inode, |content| content.resize(size as usize));
        Ok(())
    }

    fn change(&mut self, inode: InodeId, change: impl FnOnce(&mut Content)) {
        let content = self.inodes.content_mut(inode);
        let before = content.len();
        change(content);
        let after = content.len();
        self.inodes.resized(before, after);
    }

    pub(super) fn open_file(&self, operation: Operation, handle: FileHandle) -> Result<&Open, DiskError> {
        match self.opens.get(handle.slot as usize) {
            Some(open) if open.number == handle.number => Ok(open),
            _ => Err(DiskError::StaleHandle { operation, handle: handle.to_string() }),
        }
    }

    fn io_error(&self, operation: Operation, handle: FileHandle) -> DiskError {
        DiskError::Io { operation, path: self.path_of(handle) }
    }

    fn path_of(&self, handle: FileHandle) -> String {
        self.opens[handle.slot as usize].path.as_ref().to_owned()
    }
}
