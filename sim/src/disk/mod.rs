//! The disk of one node: what a process sees of it, and what is left when the process or the power goes.
//!
//! The disk is a synchronous state machine without time, tasks or randomness of its own making: every draw comes
//! from a [`Stream`] that it is given. Latency belongs to whoever drives it, which is why a sync has two halves.
//!
//! ```text
//!            append, write, truncate,               begin_sync .. complete_sync
//!            create, rename, remove
//!   process ------------------------> page cache ------------------------------> medium
//!           <------------------------
//!                read, list
//! ```
//!
//! - A **process crash** ([`Disk::process_crash`]) keeps the page cache. Handles and unfinished syncs end.
//! - A **power failure** ([`Disk::power_failure`]) loses, keeps or tears, by the draw, whatever is not on the
//!   medium for sure. What is left is on the medium and in the page cache.
//!
//! # What is on the medium for sure
//!
//! The content and size of a file, as of the start of a sync of *that file* that completed; the names in a
//! directory, as of the start of a sync of *that directory* that completed. Nothing else: a synced file in an unsynced
//! directory can lose its name, and a directory its own name in its parent. A failed sync leaves everything as
//! unsynced as it was, and a later one that succeeds covers it; unless the fault says otherwise.
//!
//! # What a power failure can leave of a file
//!
//! Each unsynced write or truncation is lost, kept or (a write) torn, independently of the others and in every
//! file for itself. Two rules, which real disks obey, connect them:
//!
//! 1. *A sector is written whole, from the page cache.* A sector of 512 bytes (counted from the start of the file)
//!    is as it was on the medium, or as the page cache had it after one of the writes to it. So a write that survives in
//!    a sector brings along what earlier ones wrote there, while in other sectors those may be lost: sectors of
//!    an append may be missing while the next append is there, and read as zeros.
//! 2. *The size is one number.* The file has the size that it had after some unsynced change, or at a sector's border
//!    within a write that made it grow. A size brings along all earlier ones: when a truncation was followed by
//!    an append whose size survives, everything that the truncation cut off is gone, though the bytes of the
//!    append itself may be missing. The size can survive without the bytes (a tail of zeros) and the bytes
//!    without the size (they are cut off, or appear when a later size covers them).
//!
//! It follows that a write within one sector cannot be torn in its bytes, that a created file may be empty,
//! and that synced bytes are exactly there unless an unsynced write or truncation touched their sector.
//!
//! # What a power failure can leave of the names
//!
//! Each creation, rename and removal is lost or kept, independently of the others and of the contents: a rename can
//! survive without the bytes of the file that it put in place. Again there are rules, and each of them keeps
//! out what no file system in use would show. A surviving change of names brings along
//!
//! 1. every earlier change of *the same name* in the same directory: names go forward through their history, and a
//!    file that was renamed twice is not found under its first and its third name;
//! 2. its other half, for a rename *within one directory*, which is atomic, and for a move of a *directory* to another
//!    one, because a directory has one parent;
//! 3. if it ends the old name of something that was moved *to another directory*: the new name, and what makes that
//!    reachable (the unsynced names of the directories on the way there). What was moved is never lost from both places.
//!    The new name of a *file* can survive without the end of the old one, so a file can be found under both,
//!    as after a crash of a file system with soft updates; writes through one name are then seen through the
//!    other. A journal shows fewer states, since it moves atomically, and all of those are among ours;
//! 4. if it removes or replaces an empty *directory*: everything that emptied it.
//!
//! Syncing a directory makes durable what its changes bring along by the same rules. In particular, syncing the
//! directory that a file was moved out of makes the whole move durable; syncing the one it was moved into
//! makes only the new name durable.
//!
//! # What is not modelled
//!
//! Links made by the process, permissions, times, holes that take no space (each byte up to the size of a file counts)
//! and the space of directories and names.
//!
//! # Faults of the medium
//!
//! All of the above holds for a disk that does what it says. One that does not ([`Disk::rot`], [`Disk::spoil`],
//! [`Disk::lead_astray`], [`Disk::forget_syncs`]) breaks the promises to what a fault struck, and to nothing else:
//! `damage.rs` has the rules. Names are never struck.

mod content;
mod crash;
mod damage;
mod directories;
mod error;
mod faults;
mod files;
mod inodes;
mod mood;
mod names;
mod path;
mod sync;

use std::sync::Arc;

pub use damage::Stray;
pub use error::{DiskError, Operation};
pub use faults::{CAPACITY_BYTES_DEFAULT, IoKind};
pub use files::{FileHandle, OpenMode};
pub use mood::{PowerFailure, Tally};
pub use sync::SyncTicket;

use crate::random::Stream;
use faults::Faults;
use inodes::{InodeId, Inodes};
use names::NameLog;

/// What is read and written atomically, in bytes.
pub const SECTOR_BYTES: usize = 512;

/// The disk of one node. See the module for what it promises.
#[derive(Clone, Debug)]
pub struct Disk {
    inodes: Inodes,
    names: NameLog,
    opens: Vec<Open>,
    opens_free: Vec<u32>,
    /// How many handles were ever given out.
    opened: u64,
    /// How often the process or the power went.
    incarnation: u64,
    faults: Faults,
    stream: Stream,
}

/// An entry of the table of open files.
#[derive(Clone, Debug)]
struct Open {
    /// The number of the handle; 0 when the entry is free.
    number: u64,
    inode: InodeId,
    path: Arc<str>,
}

impl Disk {
    /// An empty disk. What its faults leave to chance while it runs (how much of a write fits on a full disk) is drawn
    /// from `stream`.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            inodes: Inodes::new(),
            names: NameLog::default(),
            opens: Vec::new(),
            opens_free: Vec::new(),
            opened: 0,
            incarnation: 0,
            faults: Faults::default(),
            stream,
        }
    }

    /// Sets how many bytes fit on the disk. Below [`Disk::bytes_used`], 0 included, the disk is full: what is there
    /// stays and can be overwritten, and nothing can grow.
    pub fn set_capacity(&mut self, bytes: u64) {
        self.faults.capacity_bytes = bytes;
    }

    /// Makes `count` more operations of `kind` fail with [`DiskError::Io`], the next ones; 0 calls them all off. It
    /// outlives crashes.
    pub fn fail_next(&mut self, kind: IoKind, count: u32) {
        self.faults.arm(kind, count);
    }

    /// The sum of the sizes of all files that the process can reach, in bytes.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.inodes.bytes_used()
    }

    /// How many changes a power failure could lose: writes and truncations, also of files that were removed since,
    /// and changes of names, as [`PowerFailure`] counts them.
    #[must_use]
    pub fn unsynced_operations(&self) -> usize {
        self.inodes.unsynced() + self.names.len()
    }
}
