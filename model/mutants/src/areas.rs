//! What of the model is mutated: the parts that keep a cluster's promises, by file.
//!
//! The oracles and the specification are what mutants are tried against, and clients and workloads are no part of a member.

use std::io;
use std::path::{Path, PathBuf};

/// Names of areas with what belongs to them: files and folders below `model/src`. The longest one that fits counts.
const AREAS: [(&str, &[&str]); 5] = [
    ("mvcc", &["mvcc", "member/compaction.rs"]),
    ("watch", &["mvcc/watch", "member/watch_server.rs", "member/watches.rs"]),
    ("lease", &["lessor", "mvcc/leases.rs", "member/leases.rs", "member/kv/leases.rs"]),
    (
        "storage",
        &[
            "backend",
            "wal",
            "member/consistent_index.rs",
            "member/log.rs",
            "member/recovery.rs",
            "member/restore.rs",
            "member/snapshots.rs",
        ],
    ),
    (
        "raft loop",
        &["member/apply_loop.rs", "member/raft_loop.rs", "member/raft_loop", "member/read_loop.rs"],
    ),
];

/// The areas in the order in which they are told.
pub fn names() -> impl Iterator<Item = &'static str> {
    AREAS.iter().map(|(name, _)| *name).chain([OTHER])
}

/// What is mutated because it was asked for, and belongs to no area.
pub const OTHER: &str = "other";

/// The area of a file, by its path below `model/src`.
pub fn of(file: &str) -> &'static str {
    let fitting = AREAS.iter().flat_map(|(name, paths)| paths.iter().map(move |path| (*name, *path)));
    fitting
        .filter(|(_, path)| Path::new(file).starts_with(path))
        .max_by_key(|(_, path)| path.len())
        .map_or(OTHER, |(name, _)| name)
}

/// The files to mutate below `source`, in order, by their paths from there: those of all areas, and those that `wanted` names
/// beyond.
pub fn files(source: &Path, wanted: &[String]) -> io::Result<Vec<String>> {
    let mut paths: Vec<&str> = AREAS.iter().flat_map(|(_, paths)| paths.iter().copied()).collect();
    paths.extend(wanted.iter().map(String::as_str));
    let mut files = Vec::new();
    for path in paths {
        gather(source, Path::new(path), &mut files)?;
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn gather(source: &Path, path: &Path, files: &mut Vec<String>) -> io::Result<()> {
    let full = source.join(path);
    if full.is_dir() {
        for entry in full.read_dir()? {
            gather(source, &path.join(entry?.file_name()), files)?;
        }
    } else if is_source(path) {
        full.metadata().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot mutate {}: {error}", PathBuf::from(&full).display()))
        })?;
        files.push(path.to_string_lossy().replace('\\', "/"));
    }
    Ok(())
}

/// Whether it is code, and not of tests.
fn is_source(path: &Path) -> bool {
    let of_tests = path.iter().any(|part| part == "tests" || part == "tests.rs");
    path.extension().is_some_and(|extension| extension == "rs") && !of_tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_that_fits_decides_about_the_area() {
        assert_eq!(of("mvcc/txn.rs"), "mvcc");
        assert_eq!(of("mvcc/watch/store.rs"), "watch");
        assert_eq!(of("member/raft_loop/role.rs"), "raft loop");
        assert_eq!(of("member/auth.rs"), OTHER);
    }

    #[test]
    fn every_path_of_an_area_exists_and_no_test_is_mutated() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
        let files = files(&source, &["member/auth.rs".to_owned()]).unwrap();
        for path in AREAS.iter().flat_map(|(_, paths)| *paths) {
            assert!(files.iter().any(|file| Path::new(file).starts_with(path)), "{path}");
        }
        assert!(files.contains(&"member/auth.rs".to_owned()));
        assert!(!files.iter().any(|file| file.ends_with("tests.rs")));
        files_of_nothing(&source);
    }

    fn files_of_nothing(source: &Path) {
        let error = files(source, &["nothing.rs".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("cannot mutate "), "{error}");
    }
}
