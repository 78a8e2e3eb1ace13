//! `vertebra defects`: the bugs that can be switched on, and how each of them works.

use clap::{Args, Subcommand};

use crate::Subject;
use crate::exit::{Outcome, Refusal};

mod list;
mod show;

/// Flags of `vertebra defects`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  vertebra defects                         list them
  vertebra defects --class watch,lease
  vertebra defects --about compact --json  those that say `compact` somewhere
  vertebra defects show stale-cursor       explain one, and tell what happens in a short run with it
  vertebra sweep --defect stale-cursor     find it

With --json, each line is an object: name, title, class, references, versions, mechanism (how it
works), oracles (who sees it for what it is); of `show` also schedule (the path of its schedule, or
null) and timeline (the lines that are told of it).")]
pub struct Flags {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: list::Listing,
    /// Tell it as JSON, one object on each line
    #[arg(long, global = true)]
    json: bool,
}

/// What to tell of them.
#[derive(Subcommand, Debug)]
enum Action {
    /// List them, as without a word
    List(list::Listing),
    /// Explain one
    Show(show::Flags),
}

/// Lists or explains.
pub fn defects<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    match &flags.action {
        None => list::list::<S>(&flags.list, flags.json),
        Some(Action::List(listing)) => list::list::<S>(listing, flags.json),
        Some(Action::Show(show)) => show::show::<S>(show, flags.json),
    }
}
