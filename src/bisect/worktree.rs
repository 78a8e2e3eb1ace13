//! A worktree of its own, in which commits are checked out and git bisects.
//!
//! What git keeps of a bisection belongs to one worktree, as do `HEAD` and the index. So neither the user's
//! checkout nor a bisection of the user's own is touched.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::exit::Refusal;
use crate::git::{Commit, Git};

/// The worktree. It is removed when it is dropped.
pub struct Worktree<'a> {
    repository: &'a Git,
    git: Git,
    pub path: PathBuf,
}

/// What git wants to know next.
pub enum Next {
    /// Whether this commit is good.
    Candidate(Commit),
    /// Nothing: this is the first bad commit.
    Culprit(Commit),
    /// Nothing: these are left, and all but the bad one among them were skipped.
    Skipped(Vec<Commit>),
}

/// How much is left to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Commits among which the culprit is.
    pub commits: u64,
    /// About how many of them will be judged.
    pub steps: u64,
}

impl<'a> Worktree<'a> {
    /// A new one at `path`, in the place of what a process that was killed left there.
    ///
    /// # Errors
    ///
    /// What git says, or why a file cannot be removed.
    pub fn add(repository: &'a Git, path: &Path, commit: &Commit) -> Result<Self, Refusal> {
        remove(repository, path);
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Refusal::new(format!("{}: {error}", path.display())));
            }
            _ => {}
        }
        let arguments = ["worktree", "add", "--quiet", "--no-checkout", "--force", "--force", "--detach"]
            .map(AsRef::as_ref);
        repository.read(arguments.into_iter().chain([path.as_os_str(), commit.hash.as_ref()]))?;
        Ok(Self { repository, git: Git::at(path), path: path.to_owned() })
    }

    /// Puts the files of `commit` there. Those that git ignores stay, for what a build left is worth keeping;
    /// others go.
    pub fn check_out(&self, commit: &Commit) -> Result<(), Refusal> {
        self.git.read(["checkout", "--quiet", "--force", "--detach", &commit.hash])?;
        self.git.read(["clean", "-ffdq"]).map(drop)
    }

    /// Begins to bisect. Git checks nothing out by itself: what is known already need not be looked at again.
    pub fn start(&self, good: &Commit, bad: &Commit) -> Result<(), Refusal> {
        self.git.read(["bisect", "start", "--no-checkout", &bad.hash, &good.hash]).map(drop)
    }

    /// Tells git that `commit` is `good`, `bad`, or to `skip`.
    pub fn answer(&self, word: &str, commit: &Commit) -> Result<(), Refusal> {
        match self.git.read(["bisect", word, &commit.hash]) {
            // Git fails when only skipped commits are left.
            Err(refusal) if !matches!(self.next(), Ok(Next::Skipped(_))) => Err(refusal),
            _ => Ok(()),
        }
    }

    /// What git wants to know next.
    pub fn next(&self) -> Result<Next, Refusal> {
        // The log is the same in each language and version, which what is printed is not.
        let log = self.git.read(["bisect", "log"])?;
        let named = |prefix: &str| {
            let rest = log.lines().filter_map(|line| line.strip_prefix(prefix)).collect::<Vec<_>>();
            let hashes = rest.into_iter().filter_map(|rest| rest.split(']').next());
            hashes.map(|hash| self.git.named(hash)).collect::<Result<Vec<_>, _>>()
        };
        if let Some(culprit) = named("# first bad commit: [")?.pop() {
            return Ok(Next::Culprit(culprit));
        }
        match named("# possible first bad commit: [")? {
            left if left.is_empty() => {
                Ok(Next::Candidate(self.git.named(&self.git.read(["rev-parse", "BISECT_HEAD"])?)?))
            }
            left => Ok(Next::Skipped(left)),
        }
    }

    /// How much is left, if nothing more is skipped.
    pub fn left(&self) -> Result<Left, Refusal> {
        let variables = self.git.read(["rev-list", "--bisect", "--bisect-vars"])?;
        let number = |name: &str| {
            let value = variables.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        // Git counts the steps after the one that it proposes.
        Ok(Left { commits: number("bisect_all"), steps: number("bisect_steps") + 1 })
    }
}

impl Drop for Worktree<'_> {
    fn drop(&mut self) {
        remove(self.repository, &self.path);
    }
}

/// Removes a worktree, if there is one at `path`. It does not matter whether that succeeds: the next bisection
/// removes what is left.
fn remove(repository: &Git, path: &Path) {
    let arguments = ["worktree", "remove", "--force", "--force"].map(AsRef::as_ref);
    let _ = repository.succeeds(arguments.into_iter().chain([path.as_os_str()]));
}
