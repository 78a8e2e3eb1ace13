//! `vertebra coverage`: which marks, failpoints and kinds of faults sweeps came by, as the ledger has it.
//!
//! | | where |
//! | --- | --- |
//! | what is missing, and when that counts | [`judgement`] |
//! | the tables, as text, Markdown and JSON | [`table`] |

use clap::Args;
use vertebra_sim::ledger::Ledger;

use self::judgement::Judgement;
pub use self::judgement::Requirement;
use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::ledger::Place;
use crate::output::{Output, complain};

pub mod judgement;
pub mod table;

/// Flags of `vertebra coverage`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  vertebra sweep --seeds 0..20000 && vertebra coverage
  vertebra sweep --resume && vertebra coverage --require-coverage
  vertebra merge all.ledger 1.ledger 2.ledger && vertebra coverage --ledger all.ledger
  vertebra coverage --json | jq -r '.marks[] | select(.state == \"missing\") | .name'

It is what the build of the last sweep reached with the flags of that sweep, in all seeds that the
ledger has of them.

States:
  reached   a mark: some run came by; a failpoint: and some process crashed there
  missing   no run did, although it was possible in some of them
  dormant   it was possible in no run, for all of them lack what it takes")]
pub struct Flags {
    #[command(flatten)]
    requirement: Requirement,
    /// Tell it as one JSON object
    #[arg(long)]
    json: bool,
    /// Tell it as tables in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    #[command(flatten)]
    place: Place,
}

/// Tells what was reached.
pub fn coverage<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let ledger: Ledger = flags.place.read::<S>()?;
    let Some(session) = ledger.last_session(None)? else {
        return Err(Refusal::new(format!("{}: there is no sweep in it", ledger.path().display())));
    };
    let coverage = ledger.coverage(&session.profile, &session.version.build)?;
    let judgement = Judgement::new(&coverage, &flags.requirement);
    let mut out = Output::stdout();
    match (flags.json, flags.markdown) {
        (true, _) => table::json(&mut out, &coverage),
        (_, true) => table::markdown(&mut out, &coverage),
        _ => {
            table::text(&mut out, &coverage);
            judgement.tell(&mut out);
        }
    }
    out.finish()?;
    match judgement.refused() {
        None => Ok(Outcome::Pass),
        Some(reason) => {
            complain(format_args!("error: {reason}"));
            Ok(Outcome::Unreached)
        }
    }
}
