//! How the command ends. Scripts and `git bisect run` go by the exit code alone, so it is a contract.

use std::fmt;
use std::process::ExitCode;

/// What the exit code says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything that ran passed: 0.
    Pass,
    /// A violation was found: 1.
    Violation,
    /// A sweep did not reach what it must: 1.
    Unreached,
    /// Two runs differ: 1, as `diff` has it.
    Different,
    /// The command line is wrong, or a file cannot be read or written: 2. clap's own choice for wrong usage too.
    Refused,
    /// Two runs of one schedule differ: 3.
    Nondeterminism,
    /// The question does not apply to this version: 125, which `git bisect run` skips.
    NotApplicable,
    /// Ctrl-C, before there was an answer: 130, as shells have it.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Pass => 0,
            Outcome::Violation | Outcome::Unreached | Outcome::Different => 1,
            Outcome::Refused => 2,
            Outcome::Nondeterminism => 3,
            Outcome::NotApplicable => 125,
            Outcome::Interrupted => 130,
        })
    }
}

/// Why the command cannot do what it was asked to: one line, which names the place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal for this reason.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
