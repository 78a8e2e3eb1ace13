//! The command line as a whole.

use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::Outcome;
use crate::{
    Planted, Subject, bisect, check, completions, conform, corpus, coverage, defects, diff, failures, hunt,
    merge, replay, serve, shrink, sweep, version,
};

/// Deterministic simulation of an etcd cluster.
///
/// One seed is one execution, to the byte: it decides the size of the cluster, its traffic, and the faults that
/// meet it. `sweep` looks for seeds at which a guarantee breaks; `replay` tells one of them event by event; `shrink`
/// takes out of it what it does not need to fail; `diff` says where two runs part; `bisect` finds the commit that
/// broke one.
#[derive(Parser, Debug)]
#[command(
    name = "vertebra",
    bin_name = "vertebra",
    version = version::shown(),
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  vertebra sweep                   run the default seeds on all cores
  vertebra replay 4711             tell the run of seed 4711 as a timeline
  vertebra shrink 4711             find the smallest schedule that fails as it does
  vertebra diff 4711 4712          tell where two runs part
  vertebra bisect 4711 --good v1   find the commit since v1 that broke seed 4711
  vertebra serve                   let etcd's clients talk to a simulated cluster
  vertebra check etcd_000.log      judge a history that Jepsen has recorded
  vertebra failures                list what sweeps found, and how it stands

Exit codes:
    0  pass
    1  a violation was found, or what a sweep must reach was not
    2  wrong usage, or a file that cannot be read or written
    3  non-determinism was detected
  125  not applicable, as `git bisect run` takes it
  130  interrupted"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run many seeds, and report each kind of failure once
    Sweep(sweep::Flags),
    /// Run one seed or schedule file, and tell what happens
    Replay(replay::Flags),
    /// Let etcd's clients talk to a simulated cluster, while it is being broken
    Serve(serve::Flags),
    /// Take out of a failing schedule what it does not need to fail
    Shrink(shrink::Flags),
    /// Check that kept schedules give the verdicts that they must
    Corpus(corpus::Flags),
    /// List the bugs that can be switched on, and explain them
    Defects(defects::Flags),
    /// Measure how long a plain sweep takes to find each of these bugs
    Hunt(hunt::Flags),
    /// Tell where two runs part: of two schedules, or of two builds
    Diff(diff::Flags),
    /// Find the commit that broke a seed or schedule
    Bisect(bisect::Flags),
    /// List what sweeps found, and how it stands
    Failures(failures::Flags),
    /// Tell which marks, failpoints and kinds of faults sweeps came by
    Coverage(coverage::Flags),
    /// Join the ledgers of several sweeps
    Merge(merge::Flags),
    /// Compare the model with a real etcd, answer by answer
    Conform(conform::Flags),
    /// Judge histories that others have recorded
    Check(check::Flags),
    /// Print the completions for a shell
    Completions(completions::Flags),
}

/// The command line, with the names that `S` has.
pub fn command<S: Subject>() -> Command {
    let defects = || {
        let named = |planted: Planted| PossibleValue::new(planted.name).help(planted.title);
        PossibleValuesParser::new(S::defects().into_iter().map(named))
    };
    let faults = || PossibleValuesParser::new(vertebra_sim::schedule::fault_kinds());
    let command = ["sweep", "replay", "shrink", "diff", "bisect"].into_iter().fold(
        Arguments::command(),
        |command, verb| {
            command.mut_subcommand(verb, |verb| {
                let verb =
                    verb.mut_arg("defects", |arg| arg.value_parser(defects()).hide_possible_values(true));
                verb.mut_arg("faults", |arg| arg.value_parser(faults()).hide_possible_values(true))
            })
        },
    );
    command.mut_subcommand("serve", |verb| {
        verb.mut_arg("defects", |arg| arg.value_parser(defects()).hide_possible_values(true))
    })
}

/// What the command line says, or how to end: it is wrong, or asked for help.
pub fn parse<S: Subject>() -> Result<Verb, ExitCode> {
    let parsed = command::<S>().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map(|arguments| arguments.verb).map_err(|error| {
        // Nothing to do when nobody reads it.
        let _ = error.print();
        if error.use_stderr() { Outcome::Refused.into() } else { Outcome::Pass.into() }
    })
}
