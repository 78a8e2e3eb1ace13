//! The `vertebra` command, for whatever system: one file per verb.
//!
//! It is a library so that its tests can run it over systems that they make for the purpose, with bugs that etcd
//! must not have. There is nothing in it that someone who builds a system needs: that is in `vertebra-sim`.
//!
//! | | where |
//! | --- | --- |
//! | the verbs | `sweep`, `replay`, `serve`, `shrink`, `corpus`, `defects`, `hunt`, `failures`, `coverage`, `merge`, `diff`, `bisect`, `conform`, `check`, `completions` |
//! | what they share of the command line | `arguments`, `changes`, `source`, `jobs` |
//! | how the command ends | [`exit`] |
//! | where two runs part | `divergence` |
//! | histories as files | `histories` |
//! | a violation, as text, JSON and a file | `failure` |
//! | standard output and standard error | `output`, `drawn` |
//! | where the ledger is, and which code this is | `ledger`, `version` |
//! | the repository that it is started in | `git` |
//! | what the command asks of a system | [`Subject`] |

use std::process::ExitCode;

mod arguments;
mod bisect;
mod changes;
mod check;
mod completions;
mod conform;
pub mod corpus;
mod coverage;
mod defects;
mod diff;
mod divergence;
mod drawn;
mod etcd;
pub mod exit;
mod failure;
mod failures;
mod git;
mod histories;
mod hunt;
mod interrupt;
mod jobs;
mod ledger;
mod merge;
mod output;
mod replay;
mod serve;
mod shrink;
mod source;
mod subject;
mod sweep;
mod version;
mod words;
mod written;

pub use subject::{Planted, Subject};

/// Does what the command line says, over `S`.
#[must_use]
pub fn main<S: Subject>() -> ExitCode {
    let verb = match arguments::parse::<S>() {
        Ok(verb) => verb,
        Err(code) => return code,
    };
    let ended = match verb {
        arguments::Verb::Sweep(flags) => sweep::sweep::<S>(&flags),
        arguments::Verb::Replay(flags) => replay::replay::<S>(&flags),
        arguments::Verb::Serve(flags) if S::serves() => serve::serve(&flags),
        arguments::Verb::Serve(_) => {
            Err(exit::Refusal::new("this system serves nobody outside of its simulation"))
        }
        arguments::Verb::Shrink(flags) => shrink::shrink::<S>(&flags),
        arguments::Verb::Corpus(flags) => corpus::corpus::<S>(&flags),
        arguments::Verb::Defects(flags) => defects::defects::<S>(&flags),
        arguments::Verb::Hunt(flags) => hunt::hunt::<S>(&flags),
        arguments::Verb::Diff(flags) => diff::diff::<S>(&flags),
        arguments::Verb::Bisect(flags) => bisect::bisect::<S>(&flags),
        arguments::Verb::Failures(flags) => failures::failures::<S>(&flags),
        arguments::Verb::Coverage(flags) => coverage::coverage::<S>(&flags),
        arguments::Verb::Merge(flags) => merge::merge::<S>(&flags),
        arguments::Verb::Conform(flags) => conform::conform(&flags),
        arguments::Verb::Check(flags) => check::check(&flags),
        arguments::Verb::Completions(flags) => completions::completions::<S>(&flags),
    };
    match ended {
        Ok(outcome) => outcome.into(),
        Err(refusal) => {
            output::complain(format_args!("error: {refusal}"));
            exit::Outcome::Refused.into()
        }
    }
}
