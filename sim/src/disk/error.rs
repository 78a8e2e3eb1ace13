//! What goes wrong on a disk, said with the operation and the path.

use std::fmt;

use thiserror::Error;

/// An operation of a disk, as it is named in errors and traces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// [`Disk::create_directory`](super::Disk::create_directory).
    CreateDirectory,
    /// [`Disk::open`](super::Disk::open).
    Open,
    /// [`Disk::close`](super::Disk::close).
    Close,
    /// [`Disk::append`](super::Disk::append).
    Append,
    /// [`Disk::write_at`](super::Disk::write_at).
    Write,
    /// [`Disk::read_at`](super::Disk::read_at).
    Read,
    /// [`Disk::length`](super::Disk::length).
    Length,
    /// [`Disk::truncate`](super::Disk::truncate).
    Truncate,
    /// [`Disk::begin_sync`](super::Disk::begin_sync) and what follows.
    Sync,
    /// [`Disk::begin_sync_directory`](super::Disk::begin_sync_directory) and what follows.
    SyncDirectory,
    /// [`Disk::rename`](super::Disk::rename).
    Rename,
    /// [`Disk::remove`](super::Disk::remove).
    Remove,
    /// [`Disk::list`](super::Disk::list).
    List,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateDirectory => "create directory",
            Self::Open => "open",
            Self::Close => "close",
            Self::Append => "append to",
            Self::Write => "write to",
            Self::Read => "read",
            Self::Length => "measure",
            Self::Truncate => "truncate",
            Self::Sync => "sync",
            Self::SyncDirectory => "sync directory",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::List => "list",
        })
    }
}

/// Why an operation failed. Unless a variant says otherwise, a failed operation changed nothing.
///
/// The path is the one that the caller gave; for an open file it is the path that it was opened by, even when
/// the file has been renamed since.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DiskError {
    /// The path, or one of the directories on the way to it, does not exist.
    #[error("cannot {operation} `{path}`: it does not exist")]
    NotFound {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: String,
    },
    /// Something of that name exists.
    #[error("cannot {operation} `{path}`: it exists")]
    AlreadyExists {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: String,
    },
    /// A file stands where a directory is needed.
    #[error("cannot {operation} `{path}`: it, or a parent of it, is not a directory")]
    NotADirectory {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: String,
    },
    /// A directory stands where a file is needed.
    #[error("cannot {operation} `{path}`: it is a directory")]
    IsADirectory {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: String,
    },
    /// A directory that must be empty is not.
    #[error("cannot {operation} `{path}`: the directory is not empty")]
    DirectoryNotEmpty {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: String,
    },
    /// The disk is full. `written` bytes, a prefix of those given, are in the file nevertheless.
    #[error("cannot {operation} `{path}`: no space left on the disk, {written} bytes were written")]
    NoSpace {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: String,
        /// How many bytes were written before the space ran out.
        written: u64,
    },
    /// The device failed. A read or write did nothing; a sync made nothing durable.
    #[error("cannot {operation} `{path}`: input/output error")]
    Io {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: String,
    },
    /// The handle was closed, or was opened before the process crashed.
    #[error("cannot {operation} {handle}: it was closed, or opened before a crash")]
    StaleHandle {
        /// What was tried.
        operation: Operation,
        /// The handle, or the path of an unfinished sync.
        handle: String,
    },
    /// The text is not a path of this disk, or the operation cannot be done to such a path.
    #[error("cannot {operation} `{path}`: {reason}")]
    InvalidPath {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}
