//! `vertebra merge`: joins ledgers.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::Serialize;
use vertebra_sim::ledger::{Joining, Ledger, Merged, Rate};

use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::output::{Line, Output};
use crate::words::{Count, counted};

/// Flags of `vertebra merge`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  vertebra sweep --shard 1/2 --ledger 1.ledger        on one machine
  vertebra sweep --shard 2/2 --ledger 2.ledger        on another
  vertebra merge all.ledger 1.ledger 2.ledger         then
  vertebra failures --ledger all.ledger
  vertebra merge --history years.ledger all.ledger    join what other builds did too

Joining is a union: to join a ledger again, or in another order, changes nothing. When one of them
does not fit, none is joined.")]
pub struct Flags {
    /// The ledger that takes the others in; made when it is not there
    #[arg(value_name = "INTO", value_hint = ValueHint::FilePath)]
    into: PathBuf,
    /// The others, which stay as they are
    #[arg(value_name = "LEDGER", required = true, value_hint = ValueHint::FilePath)]
    ledgers: Vec<PathBuf>,
    /// Join what other builds did, or this one with other flags, each for itself
    #[arg(long)]
    history: bool,
    /// Tell what was joined as one JSON object
    #[arg(long)]
    json: bool,
}

/// What `merge --json` prints.
#[derive(Serialize)]
struct MergedLine<'a> {
    r#type: &'static str,
    ledger: &'a str,
    sweeps_joined: u64,
    failures_joined: u64,
    seeds: u64,
    failures: u64,
}

/// Joins.
pub fn merge<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let joining = if flags.history { Joining::History } else { Joining::OneSweep };
    // Before a file is made that nothing comes into.
    Ledger::check_joining(&flags.ledgers, S::NAME, joining)?;
    let writer = format!("another merge (process {})", std::process::id());
    let mut ledger = Ledger::write(&flags.into, S::NAME, &writer)?;
    let Merged { sessions, failures: joined } = ledger.merge(&flags.ledgers, joining)?;
    let Rate { failures, seeds } = ledger.totals()?;
    let name = flags.into.display().to_string();
    let mut out = Output::stdout();
    if flags.json {
        out.json(&MergedLine {
            r#type: "merged",
            ledger: &name,
            sweeps_joined: sessions,
            failures_joined: joined,
            seeds,
            failures,
        });
    } else {
        let what = format!("{} and {}", counted(sessions, "sweep"), counted(joined, "failure"));
        out.line(format_args!("joined     {what} of {}", counted(flags.ledgers.len() as u64, "ledger")));
        let failed = Count(failures);
        out.line(format_args!("{} has {}, {failed} of which failed", Line(&name), counted(seeds, "seed")));
    }
    out.finish()?;
    Ok(Outcome::Pass)
}
