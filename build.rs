//! Tells the command what it is built from: `VERTEBRA_BUILD`, a digest over all code that decides what a run does, and
//! `VERTEBRA_COMMIT`, the commit, empty where it is not known.
//!
//! The digest is over the code and not over the program, so that two machines that build one commit have the same:
//! their ledgers can be joined. The compiler counts as code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xxhash_rust::xxh3::Xxh3;

const CODE: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "src",
    "sim/Cargo.toml",
    "sim/src",
    "model/Cargo.toml",
    "model/build.rs",
    "model/proto",
    "model/src",
];

fn main() {
    let root =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"));
    let mut files = BTreeMap::new();
    for path in CODE {
        println!("cargo::rerun-if-changed={path}");
        gather(&root, Path::new(path), &mut files);
    }
    let mut digest = Xxh3::new();
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    digest.update(output(Command::new(compiler).arg("-Vv")).unwrap_or_default().as_bytes());
    for (path, content) in &files {
        // Names and contents with their lengths, so that nothing can move from one into the other.
        for part in [path.as_bytes(), content] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    println!("cargo::rustc-env=VERTEBRA_BUILD={:032x}", digest.digest128());
    println!("cargo::rustc-env=VERTEBRA_COMMIT={}", commit(&root).unwrap_or_default());
}

/// Reads `path`, a file or everything in a folder. What is not there is left out: a package may come without it.
fn gather(root: &Path, path: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let full = root.join(path);
    if let Ok(entries) = fs::read_dir(&full) {
        for entry in entries.flatten() {
            gather(root, &path.join(entry.file_name()), files);
        }
    } else if let Ok(content) = fs::read(&full) {
        files.insert(path.to_string_lossy().replace('\\', "/"), content);
    }
}

/// The commit, with `-dirty` where tracked code differs from it.
fn commit(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| output(Command::new("git").arg("-C").arg(root).args(arguments));
    // Not the commit of a repository that this package merely lies in.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top.trim()).ok()? != fs::canonicalize(root).ok()? {
        return None;
    }
    // These change whenever HEAD comes to stand for another commit.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "logs/HEAD", "packed-refs", branch.trim()] {
        let path = git(&["rev-parse", "--git-path", name]).unwrap_or_default();
        let path = root.join(path.trim());
        if !name.is_empty() && path.is_file() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let commit = git(&["rev-parse", "--verify", "HEAD"])?;
    let changed = git(&[&["status", "--porcelain", "--untracked-files=no", "--"], CODE.as_slice()].concat())?;
    Some(format!("{}{}", commit.trim(), if changed.is_empty() { "" } else { "-dirty" }))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
