//! From the runs of a commit to a judgement of it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Stop;
use super::candidate::Bench;
use super::runs::Ran;
use crate::exit::Refusal;
use crate::git::Commit;

/// What makes two failures the same: a verdict's signature, or nothing where a system has none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(pub Option<String>);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("exit code 1"))
    }
}

/// What is found of a commit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "judgement", rename_all = "kebab-case")]
pub enum Judgement {
    /// It passes.
    Good,
    /// It fails, in the way that is looked for.
    Bad {
        signature: Signature,
        /// That in which it does, where it is not that of the schedule.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interleaving: Option<u64>,
    },
    /// Neither can be said.
    Skip(Skip),
}

/// Why a commit is neither good nor bad.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    pub cause: Cause,
    pub reason: String,
}

/// The kinds of reasons.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    NoBuild,
    NoCommand,
    Unreadable,
    Nondeterminism,
    OtherFailure,
    NoVerdict,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBuild => "does not build",
            Self::NoCommand => "does not have the command",
            Self::Unreadable => "cannot read the schedule",
            Self::Nondeterminism => "is not deterministic",
            Self::OtherFailure => "fails otherwise",
            Self::NoVerdict => "gives no verdict",
        })
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause, self.reason)
    }
}

/// Why there is no run to judge by.
pub enum Failed {
    /// The commit is the reason.
    Skip(Skip),
    /// It is not.
    Stop(Stop),
}

impl Failed {
    pub fn skip(cause: Cause, reason: impl Into<String>) -> Self {
        Self::Skip(Skip { cause, reason: reason.into() })
    }
}

impl From<Stop> for Failed {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Stop(refusal.into())
    }
}

/// What is run, and what is looked for.
pub struct Question {
    /// The schedule as the text of a file.
    pub text: String,
    /// The file.
    pub schedule: PathBuf,
    /// How many other interleavings are tried.
    pub around: u64,
    /// What is looked for; any failure, as long as that is not known.
    pub wanted: Option<Signature>,
}

impl Question {
    fn is_wanted(&self, failure: &Signature) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted == failure)
    }
}

impl Bench<'_> {
    /// Judges a commit.
    ///
    /// # Errors
    ///
    /// If something other than the commit stands in the way.
    pub fn judge(&mut self, commit: &Commit, question: &Question) -> Result<Judgement, Stop> {
        match self.try_to_judge(commit, question) {
            Ok(judgement) => Ok(judgement),
            Err(Failed::Skip(skip)) => Ok(Judgement::Skip(skip)),
            Err(Failed::Stop(stop)) => Err(stop),
        }
    }

    fn try_to_judge(&mut self, commit: &Commit, question: &Question) -> Result<Judgement, Failed> {
        self.build(commit)?;
        let as_it_is = self.run(commit, &question.schedule)?;
        self.confirm(commit, &question.schedule, &as_it_is)?;
        match as_it_is.failure {
            Some(signature) if question.is_wanted(&signature) => {
                return Ok(Judgement::Bad { signature, interleaving: None });
            }
            _ => {}
        }
        for interleaving in 1..=question.around {
            let schedule = self.interleaved(question, interleaving)?;
            let ran = self.run(commit, &schedule)?;
            if let Some(signature) = ran.failure.clone().filter(|failure| question.is_wanted(failure)) {
                self.confirm(commit, &schedule, &ran)?;
                return Ok(Judgement::Bad { signature, interleaving: Some(interleaving) });
            }
        }
        match as_it_is.failure {
            None => Ok(Judgement::Good),
            Some(other) => Err(Failed::skip(Cause::OtherFailure, other.to_string())),
        }
    }

    /// Runs it once more: a verdict that is another one each time says nothing of the commit.
    fn confirm(&mut self, commit: &Commit, schedule: &Path, first: &Ran) -> Result<(), Failed> {
        match self.run(commit, schedule)? == *first {
            true => Ok(()),
            false => Err(Failed::skip(Cause::Nondeterminism, "two runs of the schedule differ")),
        }
    }

    /// The file of the schedule in another interleaving.
    pub fn interleaved(&self, question: &Question, interleaving: u64) -> Result<PathBuf, Refusal> {
        let text = interleaved(&question.text, interleaving);
        self.place.write(&format!("schedule-interleaving-{interleaving}.toml"), &text)
    }
}

/// `schedule` with another interleaving. As text, since the schedule may be one that only its own system can read.
fn interleaved(schedule: &str, interleaving: u64) -> String {
    let mut text = format!("interleaving = {interleaving}\n");
    let mut at_top = true;
    for line in schedule.split_inclusive('\n') {
        at_top &= !line.trim_start().starts_with('[');
        let field = line.split('=').next().unwrap_or_default().trim();
        if !(at_top && field == "interleaving") {
            text.push_str(line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::interleaved;

    #[test]
    fn an_interleaving_is_put_in_the_place_of_another_and_nothing_else_is_changed() {
        let plain = "# A comment.\nseed = 7\n\n[options]\ninterleaving = 2";
        assert_eq!(interleaved(plain, 5), format!("interleaving = 5\n{plain}"));
        let other = "seed = 7\ninterleaving = 18446744073709551615\n[options]\n";
        assert_eq!(interleaved(other, 1), "interleaving = 1\nseed = 7\n[options]\n");
    }
}
