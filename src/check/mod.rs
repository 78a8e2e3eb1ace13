//! `vertebra check`: judges histories that others have recorded.
//!
//! | | where |
//! | --- | --- |
//! | a line of a file, as an event | `text` |
//! | events, as operations | `recorded`, `history` |
//! | what is told of the verdict | `tell` |
//!
//! The search itself is `vertebra_sim::linearizability`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use vertebra_sim::linearizability::specs::key_value::KeyValue;
use vertebra_sim::linearizability::specs::register::Register;
use vertebra_sim::linearizability::{Budget, Conclusion, Spec, check as judge};

use self::history::{History, Model};
use self::recorded::Recorded;
use self::tell::{Shown, Verdict};
use crate::exit::{Outcome, Refusal};
use crate::output::Output;

mod history;
mod recorded;
mod tell;
mod text;

const EXAMPLES: &str = "\
Examples:
  vertebra check etcd_000.log
  vertebra check --json history/*.log | jq -r 'select(.verdict == \"illegal\") | .path'
  vertebra check --model kv --budget 100000000 c50-bad.txt";

/// Flags of `vertebra check`.
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}

A history is linearizable if some order of its operations explains all that they were answered, and
nothing comes in it after what began only when it was over. An operation of which nobody knows what
became of it may have happened at any time, or never.

Formats, which are told apart by their lines:
  logs of Jepsen     INFO  jepsen.util - 3 :invoke :cas [1 4]
  maps, one a line   {{:process 0, :type :invoke, :f :append, :key \"k\", :value \"x\"}}
A `:cas` that fails has found something else there. Whatever else fails did not happen. What ends with
`:info`, or not at all, may have.

Verdicts:
  ok       there is such an order
  illegal  there is none: what is told is as few operations as contradict each other
  unknown  the budget was used up before that was clear

With --json, each line is an object: type (history), path, model, verdict, operations, parts, and of
an illegal one part, refused (its lines), contradiction (the lines of each of them), ordered (how many
operations before it have an order).

Exit code 0: all are ok; 1: one is illegal, or unknown; 2: wrong usage, or a damaged file.")
)]
pub struct Flags {
    /// Histories
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    paths: Vec<PathBuf>,
    /// What they are histories of [default: what the first event asks for]
    #[arg(long, value_enum)]
    model: Option<Model>,
    /// Give up a key, or a register, after so many steps of the search [default: never]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    budget: Option<u64>,
    /// Tell it as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Judges each file.
pub fn check(flags: &Flags) -> Result<Outcome, Refusal> {
    let budget = flags.budget.map_or(Budget::UNLIMITED, |steps| Budget { steps });
    let mut out = Output::stdout();
    let mut outcome = Outcome::Pass;
    for path in &flags.paths {
        let verdict = match read(path, flags.model)? {
            History::Register(recorded) => {
                verdict(path, Model::Register, &Register::default(), &recorded, budget)
            }
            History::Kv(recorded) => {
                verdict(path, Model::Kv, &KeyValue::of(&recorded.operations), &recorded, budget)
            }
        };
        if !verdict.is_ok() {
            outcome = Outcome::Violation;
        }
        verdict.tell(&mut out, flags.json);
    }
    out.finish()?;
    Ok(outcome)
}

fn read(path: &Path, model: Option<Model>) -> Result<History, Refusal> {
    let file = File::open(path).map_err(|error| Refusal::new(format!("{}: {error}", path.display())))?;
    history::read(BufReader::new(file), model)
        .map_err(|damage| Refusal::new(format!("{}:{}: {}", path.display(), damage.line, damage.reason)))
}

/// Judges one history. Of its parts, the first illegal one is told, or the first that is undecided.
fn verdict<S: Spec>(
    path: &Path,
    model: Model,
    spec: &S,
    recorded: &Recorded<S::Request, S::Reply>,
    budget: Budget,
) -> Verdict
where
    S::Part: Shown,
    S::Request: Shown,
    S::Reply: Shown,
{
    let conclusions = judge(spec, &recorded.operations, budget);
    let mut verdict = Verdict::ok(path, model, recorded.operations.len(), conclusions.len());
    for (part, conclusion) in conclusions {
        match conclusion {
            Conclusion::Linearizable(_) => {}
            Conclusion::Undecided => verdict.is_undecided(),
            Conclusion::Illegal(why) => verdict.is_illegal(&part, &why, recorded),
        }
    }
    verdict
}

#[cfg(test)]
mod tests;
