//! From the two ends to the answer: each commit that git proposes is judged, and git told.

use super::Stop;
use super::candidate::Bench;
use super::judgement::{Cause, Judgement, Question, Skip};
use super::state::Memory;
use super::worktree::{Left, Next};
use crate::exit::Outcome;
use crate::git::{Commit, Git};

/// A bisection under way.
pub struct Search<'a> {
    pub git: &'a Git,
    pub bench: Bench<'a>,
    pub memory: Memory,
    pub question: Question,
}

impl Search<'_> {
    /// Finds the commit between `good` and `bad`, and tells it.
    ///
    /// # Errors
    ///
    /// If the two are not what they should be, or something other than a commit stands in the way.
    pub fn run(&mut self, good: &Commit, bad: &Commit) -> Result<Outcome, Stop> {
        self.prove_bad(bad)?;
        self.prove_good(good)?;
        let worktree = self.bench.worktree;
        worktree.start(good, bad)?;
        loop {
            match worktree.next()? {
                Next::Candidate(commit) => {
                    let left = Some(worktree.left()?);
                    let (judgement, known) = self.judge(&commit, left)?;
                    let word = match &judgement {
                        Judgement::Good => "good",
                        Judgement::Bad { .. } => "bad",
                        Judgement::Skip(_) => "skip",
                    };
                    if !known {
                        self.memory.keep(&commit.hash, judgement.clone())?;
                    }
                    worktree.answer(word, &commit)?;
                    let left = match worktree.next()? {
                        Next::Candidate(_) => Some(worktree.left()?),
                        _ => None,
                    };
                    self.bench.steps.judged(&commit, &judgement, known, left);
                }
                Next::Culprit(culprit) => {
                    let Some(Judgement::Bad { signature, interleaving }) = self.memory.get(&culprit.hash)
                    else {
                        return Err(format!("git names {culprit}, which was not judged").into());
                    };
                    let (signature, interleaving) = (signature.clone(), *interleaving);
                    let parents = self.git.parents(&culprit)?;
                    self.prove_parents(good, &culprit, &parents)?;
                    let parent = parents.first();
                    let bench = &mut self.bench;
                    return bench.tell_culprit(
                        self.git,
                        (&culprit, parent),
                        &signature,
                        interleaving,
                        &self.question,
                    );
                }
                Next::Skipped(left) => return self.bench.tell_skipped(&left),
            }
        }
    }

    /// What is known of a commit, or what its runs say. Also whether it was known.
    fn judge(&mut self, commit: &Commit, left: Option<Left>) -> Result<(Judgement, bool), Stop> {
        if let Some(known) = self.memory.get(&commit.hash) {
            return Ok((known.clone(), true));
        }
        self.bench.steps.begin(commit, left);
        Ok((self.bench.judge(commit, &self.question)?, false))
    }

    /// The bad commit must fail. How it does is what is looked for.
    fn prove_bad(&mut self, bad: &Commit) -> Result<(), Stop> {
        match self.judge(bad, None)? {
            (judgement @ Judgement::Bad { .. }, known) => {
                self.bench.steps.judged(bad, &judgement, known, None);
                if let Judgement::Bad { signature, .. } = &judgement {
                    self.question.wanted = Some(signature.clone());
                }
                Ok(self.memory.keep(&bad.hash, judgement)?)
            }
            (Judgement::Good, _) => {
                let (advice, around) = ("tries other interleavings of its tasks", self.question.around);
                Err(match around {
                    0 => format!("the bad commit {bad} passes: name one that fails with --bad; --around 20 {advice}"),
                    _ => format!(
                        "the bad commit {bad} passes, also in interleavings 1 to {around}: name one that fails with \
                         --bad; a larger --around {advice}"
                    ),
                }
                .into())
            }
            (Judgement::Skip(skip), _) => Err(self.refuse_end("bad", bad, &skip)),
        }
    }

    /// The good commit must pass.
    fn prove_good(&mut self, good: &Commit) -> Result<(), Stop> {
        match self.judge(good, None)? {
            (Judgement::Good, known) => {
                self.bench.steps.judged(good, &Judgement::Good, known, None);
                Ok(self.memory.keep(&good.hash, Judgement::Good)?)
            }
            (Judgement::Bad { signature, .. }, _) => {
                let reason = format!("the good commit {good} fails as the bad one does: {signature}");
                Err(format!("{reason}; name an earlier one with --good").into())
            }
            (Judgement::Skip(skip), _) => Err(self.refuse_end("good", good, &skip)),
        }
    }

    /// No parent of the culprit may fail as it does. Git takes all that the good commit comes from for good, which a
    /// branch that left before the failure was mended there, and came back later, belies.
    fn prove_parents(&mut self, good: &Commit, culprit: &Commit, parents: &[Commit]) -> Result<(), Stop> {
        for parent in parents {
            let (judgement, known) = self.judge(parent, None)?;
            if !known {
                self.bench.steps.judged(parent, &judgement, known, None);
                self.memory.keep(&parent.hash, judgement.clone())?;
            }
            if let Judgement::Bad { .. } = judgement {
                return Err(format!(
                    "{culprit} is the first bad commit after {good}, but its parent {parent} fails as well: the failure was there \
                     before, on a branch that was merged later. Name an earlier commit with --good, or look for the \
                     beginning on that branch with --bad {}",
                    parent.short()
                )
                .into());
            }
        }
        Ok(())
    }

    /// An end that is neither good nor bad. It is not kept: what the user changes may be the machine.
    fn refuse_end(&mut self, end: &str, commit: &Commit, skip: &Skip) -> Stop {
        let other = format!("name another one with --{end}");
        let advice = match skip.cause {
            Cause::NoBuild => {
                let log = self.bench.place.shown.join("build.log");
                format!(
                    "{other}, or say with --build how it is built; all that it printed is in {}",
                    log.display()
                )
            }
            Cause::NoCommand => format!("{other}, or say with --build and --run how it is built and run"),
            Cause::Unreadable => format!("{other}, or write the schedule as that commit reads it"),
            Cause::OtherFailure => format!("{other}, or the failure that is meant with --signature"),
            Cause::NoVerdict => format!("{other}, or see that it ends with exit code 0 or 1 there"),
            Cause::Nondeterminism => {
                return Stop::Nondeterminism(format!("the {end} commit {commit} {skip}; {other}"));
            }
        };
        self.bench.steps.clear();
        let skip = skip.to_string();
        let separator = if skip.contains('\n') { "\n" } else { "; " };
        format!("the {end} commit {commit} {}{separator}{advice}", skip.replace('\n', "\n  ")).into()
    }
}
