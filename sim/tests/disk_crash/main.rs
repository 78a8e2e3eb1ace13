//! The virtual disk: each operation and error, and what crashes leave, against a naive reference.

mod crashes;
mod damage;
mod driver;
mod exhaustive;
mod faults;
mod operations;
mod reference;

use vertebra_sim::disk::{Disk, DiskError, FileHandle};
use vertebra_sim::random::Streams;

/// An empty disk.
fn disk() -> Disk {
    Disk::new(Streams::new(1).stream("disk", 0))
}

/// The whole content of an open file.
fn content(disk: &mut Disk, handle: FileHandle) -> Vec<u8> {
    let length = disk.length(handle).expect("the handle is good");
    let mut bytes = vec![0; usize::try_from(length).expect("files are small") + 1];
    let read = disk.read_at(handle, 0, &mut bytes).expect("reads do not fail here");
    bytes.truncate(read);
    bytes
}

/// The name of the variant of `error`.
fn kind(error: &DiskError) -> &'static str {
    match error {
        DiskError::NotFound { .. } => "NotFound",
        DiskError::AlreadyExists { .. } => "AlreadyExists",
        DiskError::NotADirectory { .. } => "NotADirectory",
        DiskError::IsADirectory { .. } => "IsADirectory",
        DiskError::DirectoryNotEmpty { .. } => "DirectoryNotEmpty",
        DiskError::NoSpace { .. } => "NoSpace",
        DiskError::Io { .. } => "Io",
        DiskError::StaleHandle { .. } => "StaleHandle",
        DiskError::InvalidPath { .. } => "InvalidPath",
    }
}
