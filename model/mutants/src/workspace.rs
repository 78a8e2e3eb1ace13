//! A copy of the workspace, in which mutants are compiled: the one that is worked in stays as it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use xxhash_rust::xxh3::Xxh3;

/// What decides what a run does. `model/mutants` does not.
const CODE: [&str; 6] = ["Cargo.toml", "Cargo.lock", "build.rs", "src/", "sim/", "model/"];

/// Builds quickly and runs quickly enough: a mutant's verdict is that of any build.
const PROFILE: [&str; 5] = [
    "profile.release.lto=\"off\"",
    "profile.release.codegen-units=16",
    "profile.release.incremental=true",
    "profile.release.package.vertebra-model.debug=false",
    "profile.release.package.vertebra.debug=false",
];

/// The copy.
#[derive(Debug)]
pub struct Workspace {
    tree: PathBuf,
    target: PathBuf,
    /// A digest over all code that is compiled, before anything is spliced into it.
    pub code: String,
}

/// What the compiler says.
#[derive(Deserialize, Debug)]
pub struct Diagnostic {
    pub level: String,
    /// As a person reads it.
    pub rendered: Option<String>,
    pub spans: Vec<Span>,
    #[serde(default)]
    pub children: Vec<Diagnostic>,
}

#[derive(Deserialize, Debug)]
pub struct Span {
    /// From the workspace's folder.
    pub file_name: String,
    pub byte_start: usize,
    pub byte_end: usize,
    pub is_primary: bool,
}

#[derive(Deserialize)]
struct Message {
    message: Option<Diagnostic>,
}

impl Workspace {
    /// Copies what git knows in `root`, and what it would take in, to `scratch`. What is there and has not changed stays, so that
    /// it need not be compiled again. Files that are spliced are written later, with their mutants; paths are from `root`.
    pub fn copy(root: &Path, scratch: &Path, is_spliced: impl Fn(&str) -> bool) -> io::Result<Self> {
        let listed = Command::new("git")
            .arg("-C")
            .arg(root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()?;
        if !listed.status.success() {
            return Err(io::Error::other(format!("git: {}", String::from_utf8_lossy(&listed.stderr).trim())));
        }
        let mut files: Vec<_> =
            String::from_utf8_lossy(&listed.stdout).split_terminator('\0').map(str::to_owned).collect();
        files.sort();
        let tree = scratch.join("tree");
        let mut digest = Xxh3::new();
        // Cargo would join the settings of a copy with those of the folders above it.
        let has_settings = scratch.starts_with(fs::canonicalize(root)?);
        for file in &files {
            if has_settings && file.starts_with(".cargo/") {
                continue;
            }
            // One that is deleted and still in the index.
            let Ok(content) = fs::read(root.join(file)) else { continue };
            let is_code =
                CODE.iter().any(|code| file.starts_with(code)) && !file.starts_with("model/mutants/");
            if is_code {
                for part in [file.as_bytes(), &content] {
                    digest.update(&(part.len() as u64).to_le_bytes());
                    digest.update(part);
                }
            }
            if !is_spliced(file) {
                write(&tree.join(file), &content)?;
            }
        }
        Ok(Self { target: scratch.join("target"), tree, code: format!("{:032x}", digest.digest128()) })
    }

    /// Writes a file of the model, by its path from `model/src`.
    pub fn write(&self, file: &str, content: &str) -> io::Result<()> {
        write(&self.tree.join("model/src").join(file), content.as_bytes())
    }

    /// Builds the command. If the compiler finds faults, these are returned, and else where the command is.
    pub fn build(&self) -> io::Result<Result<PathBuf, Vec<Diagnostic>>> {
        let output = Command::new("cargo")
            .current_dir(&self.tree)
            .args(["build", "--quiet", "--release", "--package", "vertebra", "--message-format=json"])
            .args(PROFILE.iter().flat_map(|setting| ["--config", setting]))
            .env("CARGO_TARGET_DIR", &self.target)
            .output()?;
        if output.status.success() {
            return Ok(Ok(self.target.join("release/vertebra")));
        }
        let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| {
            let message = serde_json::from_slice::<Message>(line).ok()?.message?;
            (message.level == "error" && !message.spans.is_empty()).then_some(message)
        });
        let errors: Vec<_> = messages.collect();
        if errors.is_empty() {
            return Err(io::Error::other(format!(
                "cargo build: {}",
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        Ok(Err(errors))
    }
}

/// Writes a file unless it is so already.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}
