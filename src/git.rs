//! The repository of the current folder. It is only read.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use xxhash_rust::xxh3::xxh3_64;

use crate::exit::Refusal;
use crate::output::Line;

/// What would lead git away from the folder in which it is started.
const VARIABLES: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];
/// No file is written that need not be, no hook of the user's runs, no daemon is started for a worktree that will
/// go away, and nothing else is printed than what was asked for.
const FLAGS: [&str; 9] = [
    "--no-optional-locks",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "log.showSignature=false",
    // A worktree that is added would have no more files than the user's.
    "-c",
    "core.sparseCheckout=false",
];

/// Takes away from `command` what would lead a git within it to another repository.
pub fn without_repository(command: &mut Command) -> &mut Command {
    VARIABLES.iter().fold(command, |command, variable| command.env_remove(variable))
}

/// A commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    pub hash: String,
    /// The first line of its message.
    pub subject: String,
}

impl Commit {
    /// As many digits of the hash as people read.
    pub fn short(&self) -> &str {
        self.hash.get(..10).unwrap_or(&self.hash)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.short(), Line(&self.subject))
    }
}

/// Git, started in a folder.
pub struct Git {
    folder: PathBuf,
}

impl Git {
    /// In `folder`, which is in a repository.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// In the current folder.
    ///
    /// # Errors
    ///
    /// If there is no git, or the folder is in no repository.
    pub fn here() -> Result<Self, Refusal> {
        let git = Self::at(Path::new("."));
        let output = git.run(["rev-parse", "--git-dir"])?;
        if output.status.success() {
            return Ok(git);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or_default().trim_start_matches("fatal: ");
        Err(Refusal::new(match said.starts_with("not a git repository") {
            true => "the current folder is in no git repository; change to a clone of what is to be bisected"
                .to_owned(),
            false => format!("the repository of the current folder cannot be used: {}", Line(said)),
        }))
    }

    fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<Output, Refusal> {
        let mut command = Command::new("git");
        // In a group of its own: an interrupt that ends it halfway would leave its locks behind.
        command.args(FLAGS).args(arguments).current_dir(&self.folder).process_group(0);
        without_repository(&mut command).env("LC_ALL", "C").stdin(Stdio::null());
        command
            .output()
            .map_err(|error| Refusal::new(format!("git cannot be started: {error}; it is needed in PATH")))
    }

    /// Whether git agrees.
    pub fn succeeds<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<bool, Refusal> {
        Ok(self.run(arguments)?.status.success())
    }

    /// What git prints.
    ///
    /// # Errors
    ///
    /// What git says of it, if it fails.
    pub fn read<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<String, Refusal> {
        Ok(String::from_utf8_lossy(self.read_bytes(arguments)?.trim_ascii_end()).into_owned())
    }

    fn read_bytes<I: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> Result<Vec<u8>, Refusal> {
        let arguments: Vec<OsString> = arguments.into_iter().map(|part| part.as_ref().to_owned()).collect();
        let output = self.run(&arguments)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
        let verb = arguments.first().map(|verb| verb.display().to_string()).unwrap_or_default();
        Err(Refusal::new(format!("git {verb}: {}", Line(said))))
    }

    /// The commit that `revision` names, which `flag` had.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn commit(&self, flag: &str, revision: &str) -> Result<Commit, Refusal> {
        // In two steps: what is behind a revision would become part of a text that it looks for.
        let verified = |revision: &str| {
            let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", revision];
            self.succeeds(arguments)?.then(|| self.read(arguments)).transpose()
        };
        let object = verified(revision)?.filter(|object| !object.starts_with('^'));
        let hash = object.map_or(Ok(None), |object| verified(&format!("{object}^{{commit}}")))?;
        let Some(hash) = hash else {
            let shallow = match self.is_shallow()? {
                true => "; this clone is shallow, and `git fetch --unshallow` brings the rest",
                false => "; `git log --oneline` and `git tag` list what there is",
            };
            return Err(Refusal::new(format!("{flag} {revision}: there is no such commit here{shallow}")));
        };
        self.named(&hash)
    }

    /// The parents of a commit that are there: all, but where a clone is shallow.
    pub fn parents(&self, commit: &Commit) -> Result<Vec<Commit>, Refusal> {
        let line = self.read(["rev-list", "--parents", "--max-count=1", &commit.hash])?;
        line.split_whitespace().skip(1).map(|hash| self.named(hash)).collect()
    }

    /// Whether the history ends somewhere for no other reason than that the rest was not fetched.
    pub fn is_shallow(&self) -> Result<bool, Refusal> {
        Ok(self.read(["rev-parse", "--is-shallow-repository"])? == "true")
    }

    /// The commit with this hash.
    pub fn named(&self, hash: &str) -> Result<Commit, Refusal> {
        let subject = self.read(["show", "--no-patch", "--format=%s", hash])?;
        Ok(Commit { hash: hash.to_owned(), subject })
    }

    /// Refuses a pair between which nothing can be found.
    pub fn check_range(&self, good: &Commit, bad: &Commit) -> Result<(), Refusal> {
        if good.hash == bad.hash {
            return Err(Refusal::new(format!("--good and --bad are one commit, {good}; name two")));
        }
        if self.succeeds(["merge-base", "--is-ancestor", &good.hash, &bad.hash])? {
            return Ok(());
        }
        if self.succeeds(["merge-base", "--is-ancestor", &bad.hash, &good.hash])? {
            let advice = "name one from before it with --good, or a later one with --bad";
            return Err(Refusal::new(format!(
                "the good commit {good} comes from the bad one, {bad}: {advice}"
            )));
        }
        let common = self.read(["merge-base", &good.hash, &bad.hash]).ok();
        let advice = match common.and_then(|hash| self.named(&hash).ok()) {
            Some(common) => format!("name one that does, such as {common}, where the two parted"),
            None => "the two have no commit in common".to_owned(),
        };
        Err(Refusal::new(format!("the bad commit {bad} does not come from the good one, {good}: {advice}")))
    }

    /// Whether tracked files differ from the commit that is checked out.
    pub fn has_changes(&self) -> Result<bool, Refusal> {
        let inside = self.read(["rev-parse", "--is-inside-work-tree"])? == "true";
        Ok(inside && !self.read(["status", "--porcelain", "--untracked-files=no"])?.is_empty())
    }

    /// The folder of the repository, whichever of its worktrees this is.
    pub fn folder_of_all(&self) -> Result<PathBuf, Refusal> {
        let mut path = self.read_bytes(["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
        path.truncate(path.trim_ascii_end().len());
        let path = PathBuf::from(OsString::from_vec(path));
        Ok(match path.parent() {
            Some(folder) if path.ends_with(".git") => folder.to_owned(),
            _ => path,
        })
    }
}

/// `name-01234567` for what is kept of a folder: no other folder of its name has the same.
pub fn name_of(folder: &Path) -> String {
    let name = folder.file_name().map_or("root".into(), OsStr::to_string_lossy);
    format!("{name}-{:08x}", xxh3_64(folder.as_os_str().as_encoded_bytes()) >> 32)
}
