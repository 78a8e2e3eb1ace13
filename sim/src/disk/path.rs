//! Paths: names separated by `/`, relative to the root of the disk, which is the empty path.

use super::error::{DiskError, Operation};

/// `path`, when it is one.
///
/// There is no `.` and no `..`: a path then names one place only, which keeps traces readable.
pub(super) fn checked(operation: Operation, path: &str) -> Result<&str, DiskError> {
    let reason = if path.is_empty() {
        return Ok(path);
    } else if path.starts_with('/') {
        "paths are relative to the root of the disk"
    } else if path.split('/').any(str::is_empty) {
        "it has an empty name"
    } else if path.split('/').any(|name| matches!(name, "." | "..")) {
        "`.` and `..` have no meaning here"
    } else if path.contains('\0') {
        "it has a zero byte"
    } else {
        return Ok(path);
    };
    Err(DiskError::InvalidPath { operation, path: path.to_owned(), reason })
}

/// The names on the way from the root to `path`: none for the root itself.
pub(super) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// The directory of `path` and the name in it, or nothing for the root, which has neither.
pub(super) fn parent_and_name(path: &str) -> Option<(&str, &str)> {
    match path.rsplit_once('/') {
        Some(split) => Some(split),
        None if path.is_empty() => None,
        None => Some(("", path)),
    }
}
