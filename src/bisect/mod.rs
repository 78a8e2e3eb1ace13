//! `vertebra bisect`: the commit that broke a schedule, over git's own bisect.
//!
//! A schedule needs no generator, so it asks each commit the same question. What is the user's is never touched:
//! commits are checked out in a worktree apart, with one build folder for all of them.
//!
//! | | where |
//! | --- | --- |
//! | the worktree in which git bisects | `worktree` |
//! | from the ends to the answer | `search` |
//! | how a commit is built and run | `candidate`, `runs`, `child` |
//! | what its runs say of it | `judgement` |
//! | what outlives an interrupt | `state` |
//! | what is told on the way and at the end | `steps`, `ending` |

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueHint};

use self::candidate::{Bench, Recipe};
use self::judgement::{Question, Signature};
use self::search::Search;
use self::state::{Folder, Memory};
use self::steps::Steps;
use self::worktree::Worktree;
use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::git::Git;
use crate::interrupt::stop_on_interrupt;
use crate::output::complain;
use crate::source::{self, Context, Source};

mod candidate;
mod child;
mod ending;
mod judgement;
mod runs;
mod search;
mod state;
mod steps;
mod worktree;

/// Flags of `vertebra bisect`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  vertebra bisect vertebra-failures/4711.toml --good v0.1.0
  vertebra bisect F3a9c2d1 --good HEAD~40 --around 20
  vertebra bisect case.toml --good v1 --build 'make' --run './server-test {schedule}'",
    after_long_help = "\
Examples:
  vertebra bisect vertebra-failures/4711.toml --good v0.1.0
  vertebra bisect F3a9c2d1 --good HEAD~40 --around 20
  vertebra bisect case.toml --good v1 --build 'make' --run './server-test {schedule}'

First the bad commit must fail and the good one pass. Then git bisect chooses commits between them.
Each is built in a worktree of its own, the checkout is not touched, and runs the schedule twice:
  good   it passes
  bad    it fails as the bad commit does, with the same signature
  skip   it does not build, does not have the command, cannot read the schedule, gives no verdict,
         fails with another signature, or its two runs differ

In a command of --run, {schedule} is the path of the schedule, quoted already. Its exit code says what
came of it: 0 pass, 1 failure, 2 cannot read the schedule, 3 not deterministic, 125 not applicable; with
any other the commit is skipped, but for those that say that somebody ended it (129, 130, 131, 137, 143):
they end the bisection. If its last line is that of `vertebra replay --json`, signature and digest are taken from there; else the whole
output is compared, and each failure is the same one. --build and --run find the build folder, which
all commits share, in CARGO_TARGET_DIR.

Ctrl-C ends it, and the same command goes on from there. What is known stays in a folder in the
user's cache, or in that of --work, until it is removed.

Exit codes:
    0  the culprit was found
    2  wrong usage, or the good or the bad commit is not what it should be
    3  the bad or the good commit is not deterministic
  125  only skipped commits are left
  130  interrupted

With --json, each line is an object; where it ends with 2 or 3, the last is no result. Its `type` is
one of:
  step         a commit: commit, subject, judgement (good, bad, skip), known (whether it was judged
               before), steps_left; of a bad one signature and interleaving, of one to skip cause
               and reason
  result       the last line: end (culprit, only-skipped, interrupt), judged; of a culprit commit,
               author, date, subject, parent, signature, interleaving, and comparison, as `diff`
               has it; else candidates"
)]
pub struct Flags {
    /// A seed, a schedule file, or the id of a failure
    #[arg(value_name = "SEED|FILE|ID", value_hint = ValueHint::FilePath, value_parser = source::parser())]
    source: Source,
    /// A commit that passes, from which the bad one comes
    #[arg(long, value_name = "REVISION")]
    good: String,
    /// A commit that fails [default: HEAD]
    #[arg(long, value_name = "REVISION")]
    bad: Option<String>,
    /// Where a run passes, try this many other interleavings of its tasks
    #[arg(long, value_name = "K", default_value_t = 0)]
    around: u64,
    /// Look for this signature, instead of that which the ledger has or the bad commit gives
    #[arg(long, value_name = "TEXT")]
    signature: Option<String>,
    #[command(flatten)]
    context: Context,
    #[command(flatten)]
    recipe: Recipe,
    /// Keep the worktree, the build folder and what is known in this folder [default: one for the
    /// repository, in the user's cache]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    work: Option<PathBuf>,
    /// Forget what is known from an earlier start
    #[arg(long)]
    anew: bool,
    /// Tell steps and result as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Why a bisection ends before it has an answer.
pub enum Stop {
    /// It cannot go on.
    Refused(Refusal),
    /// The bad or the good commit does not do the same each time.
    Nondeterminism(String),
    /// Ctrl-C.
    Interrupted,
    /// A program cannot be started.
    NotStarted { program: String, error: std::io::Error },
    /// Somebody else ended a program, with this signal.
    Killed(i32),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Refused(reason.into())
    }
}

/// Bisects.
pub fn bisect<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let stop = stop_on_interrupt()?;
    match begin::<S>(flags, &stop) {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Refused(refusal)) => Err(refusal),
        Err(Stop::NotStarted { program, error }) => {
            Err(Refusal::new(format!("{program} cannot be started: {error}")))
        }
        Err(Stop::Killed(signal)) => Err(Refusal::new(format!("a child was killed by signal {signal}"))),
        Err(Stop::Nondeterminism(reason)) => {
            complain(format_args!("error: {reason}"));
            Ok(Outcome::Nondeterminism)
        }
        Err(Stop::Interrupted) => {
            complain(format_args!("interrupted; the same command goes on from here"));
            Ok(Outcome::Interrupted)
        }
    }
}

fn begin<S: Subject>(flags: &Flags, stop: &AtomicBool) -> Result<Outcome, Stop> {
    flags.recipe.check()?;
    let text = schedule::<S>(flags)?;
    let git = Git::here()?;
    let good = git.commit("--good", &flags.good)?;
    let bad = git.commit("--bad", flags.bad.as_deref().unwrap_or("HEAD"))?;
    git.check_range(&good, &bad)?;
    if flags.bad.is_none() && git.has_changes()? {
        return Err(Refusal::new(
            "the checkout has changes that no commit has: commit or stash them, or name the commit that fails with --bad",
        )
        .into());
    }

    let folder = Folder::open(flags.work.as_deref(), &git)?;
    let Flags { around, recipe, .. } = flags;
    // The ledger knows what a failure of its looks like.
    let signature = match &flags.signature {
        Some(signature) => Some(signature.clone()),
        None => flags.source.signature::<S>(&flags.context)?,
    };
    let question = serde_json::to_string(&(&text, &good.hash, &bad.hash, around, &signature, recipe));
    let question = question.map_err(|error| error.to_string())?;
    let memory = Memory::open(&folder, &question, flags.anew)?;
    let schedule = memory.place.write("schedule.toml", &text)?;
    let wanted = signature.map(|text| Signature(Some(text)));
    let question = Question { text, schedule, around: *around, wanted };
    let worktree = Worktree::add(&git, &folder.worktree(), &bad)?;
    let bench = Bench {
        recipe,
        worktree: &worktree,
        folder: &folder,
        place: memory.place.clone(),
        stop,
        steps: Steps::new(flags.json),
        built: None,
    };
    let mut search = Search { git: &git, bench, memory, question };
    let ended = search.run(&good, &bad);
    if matches!(ended, Err(Stop::Interrupted)) {
        search.bench.tell_interrupt()?;
    }
    ended
}

/// The schedule's text. With `--run` it may be one that no version of this command can read.
fn schedule<S: Subject>(flags: &Flags) -> Result<String, Refusal> {
    match (&flags.source, &flags.recipe.run) {
        (Source::File(_) | Source::Failure(_), Some(_)) if !flags.context.changes.is_empty() => {
            Err(Refusal::new(format!(
                "{} change what a seed draws; leave them out, or edit the schedule",
                flags.context.changes.profile()
            )))
        }
        (Source::File(_) | Source::Failure(_), None) => {
            flags.source.schedule::<S>(&flags.context)?;
            flags.source.text::<S>(&flags.context)
        }
        _ => flags.source.text::<S>(&flags.context),
    }
}
