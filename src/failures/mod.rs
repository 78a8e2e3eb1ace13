//! `vertebra failures`: what sweeps found, one entry for each kind of failure, and how it stands.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use vertebra_sim::ledger::{Finding, State};

use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::ledger::{Place, finding, now_ms};
use crate::output::{Line, Output};
use crate::words::shell_quoted;

mod list;
mod show;

/// Flags of `vertebra failures`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  vertebra failures                             list them: those of the latest build first
  vertebra failures --state new,ongoing --json
  vertebra failures show F3a9c2d1
  vertebra failures show F3a9c2d1 --schedule > F3a9c2d1.toml
  vertebra failures close F3a9c2d1              it is mended; if it is seen again, it is open again

States:
  new       the latest build has it, and none before had it
  ongoing   the latest build has it, as one before had
  rare      not seen in the latest build, over too few seeds for that to say anything
  resolved  closed by hand; or not seen in the latest build, over so many seeds that at the rate
            at which it was seen before, at least 3 failures were to be expected")]
pub struct Flags {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: list::Listing,
    #[command(flatten)]
    common: Common,
}

/// Flags of each of them.
#[derive(Args, Debug)]
pub struct Common {
    /// Tell it as JSON, one object on each line
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// What to do with them.
#[derive(Subcommand, Debug)]
enum Action {
    /// List them, as without a word
    List(list::Listing),
    /// Tell everything about one
    Show(show::Flags),
    /// Say that it is mended
    Close(Marking),
    /// Say that it is not
    Reopen(Marking),
}

/// Flags of `close` and `reopen`.
#[derive(Args, Debug)]
struct Marking {
    /// Which, by their ids or what these begin with
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

/// Reads the name of a state.
fn state_parser() -> impl TypedValueParser<Value = State> {
    let values = PossibleValuesParser::new(State::ALL.map(|state| PossibleValue::new(state.name())));
    values.try_map(|name| State::ALL.into_iter().find(|state| state.name() == name).ok_or("no state"))
}

/// Lists, shows, closes or reopens.
pub fn failures<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let Flags { action, list, common } = flags;
    match action {
        None => list::list::<S>(list, common),
        Some(Action::List(flags)) => list::list::<S>(flags, common),
        Some(Action::Show(flags)) => show::show::<S>(flags, common),
        Some(Action::Close(marking)) => mark::<S>(marking, common, true),
        Some(Action::Reopen(marking)) => mark::<S>(marking, common, false),
    }
}

fn mark<S: Subject>(marking: &Marking, common: &Common, is_closed: bool) -> Result<Outcome, Refusal> {
    let ledger = common.place.amend::<S>()?;
    // All are looked up before any is marked: a slip in the third id leaves the first two as they were.
    let findings: Result<Vec<Finding>, Refusal> = marking.ids.iter().map(|id| finding(&ledger, id)).collect();
    let ids: Vec<String> = findings?.into_iter().map(|finding| finding.id).collect();
    for id in &ids {
        ledger.mark(id, is_closed, now_ms())?;
    }
    let mut out = Output::stdout();
    let now = ledger.findings()?;
    for finding in ids.iter().filter_map(|id| now.iter().find(|finding| finding.id == *id)) {
        if common.json {
            out.json(&list::FindingLine::new::<S>(finding, &common.place));
        } else {
            let done = if is_closed { "closed" } else { "reopened" };
            out.line(format_args!("{done:<9}  {}  {}", finding.id, Line(&finding.signature)));
        }
    }
    out.finish()?;
    Ok(Outcome::Pass)
}

/// The command that runs a failure of `finding` again. A build that is not this one drew another schedule from the
/// seed, so there the schedule in the ledger is what to take.
fn command<S: Subject>(finding: &Finding, place: &Place) -> String {
    let build = S::version().build;
    let Finding { id, profile, first, last, .. } = finding;
    match [first, last].into_iter().find(|occurrence| occurrence.build == build) {
        Some(occurrence) => {
            let flags = if profile.is_empty() { String::new() } else { format!(" {profile}") };
            format!("vertebra replay {}{flags}", occurrence.seed)
        }
        None => format!("vertebra replay {}{}", shell_quoted(id), place.flag()),
    }
}

/// As much of a commit as people compare.
fn short(commit: &Option<String>) -> String {
    match commit.as_deref() {
        None => "an unknown commit".to_owned(),
        Some(commit) => {
            let (hash, dirty) = match commit.strip_suffix("-dirty") {
                Some(hash) => (hash, " with changes"),
                None => (commit, ""),
            };
            format!("commit {}{dirty}", hash.chars().take(12).collect::<String>())
        }
    }
}
