//! `vertebra replay`: one run, told as a timeline.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, ValueHint};
use serde::Serialize;
use tracing::Dispatch;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Report, run};

pub use self::ending::Ending;
use self::filter::Filter;
use self::timeline::Telling;
pub use self::timeline::{EventLine, listen, listen_to};
use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::failure::Keeping;
use crate::histories::Export;
use crate::output::{Output, complain};
use crate::serve::recorded::Session;
use crate::source::{self, Context, Source};
use crate::written::keep_apart;

mod ending;
mod filter;
mod kept;
mod timeline;
mod twice;

/// Flags of `vertebra replay`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  vertebra replay 4711
  vertebra replay vertebra-failures/4711.toml --quiet --topic raft,fault --until 3.2s
  vertebra replay 4711 --node 'member 1' --node 'member 2' --grep snapshot
  vertebra replay 4711 --twice
  vertebra replay 4711 --verdict --history 4711.edn --export jepsen",
    after_long_help = "\
Examples:
  vertebra replay 4711
  vertebra replay vertebra-failures/4711.toml --quiet --topic raft,fault --until 3.2s
  vertebra replay 4711 --node 'member 1' --node 'member 2' --grep snapshot
  vertebra replay 4711 --twice
  vertebra replay 4711 --verdict --history 4711.edn --export jepsen

With --json, each line is an object. Its `type` is one of:
  schedule     the first line: schedule, with what a schedule file has
  event        event (its number in the run, from 1), at_ns, node (or null), topic, text, and
               digest: that over this event and all before it. Of the topic `mark`: a place that
               sweeps must reach; it is no event of the run, and has the number and the digest of
               the event before it
  verdict      the last line: verdict (pass or violation), seed, digest, virtual_time_ns, events,
               operations, faults, excused_ns (time without a quorum, by reason), spared (targets
               whose data a fault had to spare); unsettled (why) when it did not recover and was not
               asked to; with a violation also signature, oracle, clause, shape, detail, at_ns,
               command, schedule
  comparison   with --twice, instead of events: equal, events, digest; or, where the runs differ,
               the lines before the difference, and those of each run from there on: before,
               first, second"
)]
pub struct Flags {
    /// A seed, a schedule file, a session that `serve` recorded, or the id of a failure
    #[arg(value_name = "SEED|FILE|ID", value_hint = ValueHint::FilePath, value_parser = source::parser())]
    source: Source,
    #[command(flatten)]
    context: Context,
    /// Run it in two processes and compare them event by event
    #[arg(long, conflicts_with_all = ["topics", "nodes", "grep", "from", "until", "quiet", "verdict"])]
    twice: bool,
    #[command(flatten)]
    filter: Filter,
    /// Write what the clients saw to this file, as `vertebra check` reads it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath, conflicts_with = "twice")]
    history: Option<PathBuf>,
    /// Write it in a form that others read [default: lines of our own]
    #[arg(long, value_enum, value_name = "FORM", requires = "history")]
    export: Option<Export>,
    /// Leave out the schedule at the head
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
    /// Tell the verdict only, which is faster
    #[arg(long, help_heading = "Output", conflicts_with_all = ["topics", "nodes", "grep", "from", "until", "quiet"])]
    verdict: bool,
    /// Tell everything as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    keeping: Keeping,
}

/// Replays.
pub fn replay<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    if let Some(path) = flags.source.session().filter(|_| S::serves()) {
        return replay_session(flags, path);
    }
    let source = flags.source.argument();
    let read = matches!(flags.source, Source::File(_)).then(|| Path::new(&source));
    keep_apart([("what is replayed", read), ("--history", flags.history.as_deref())])?;
    let schedule = flags.source.schedule::<S>(&flags.context)?;
    tell(flags, &schedule, |reader| match &flags.history {
        Some(path) => kept::run_and_write::<S>(&schedule, reader, path, flags.export),
        None => Ok(run::<S>(&schedule, reader)),
    })
}

/// Replays what `serve` recorded.
fn replay_session(flags: &Flags, path: &Path) -> Result<Outcome, Refusal> {
    if !flags.context.changes.is_empty() {
        let (changes, name) = (flags.context.changes.flags(), path.display());
        let reason = format!("{} contradicts {name}, which has all options of its run", changes.trim_start());
        return Err(Refusal::new(reason));
    }
    if flags.history.is_some() {
        return Err(Refusal::new(
            "--history is for schedules: those who call a session keep no history in it",
        ));
    }
    let session = Session::read(path)?;
    if session.is_torn {
        complain(format_args!("note: the last line of {} is torn, and left out", path.display()));
    }
    if !session.has_end() {
        complain(format_args!("note: the session was killed; it is run up to the last thing that came in"));
    }
    let digest = Cell::new(None);
    let outcome = tell(flags, &session.schedule, |reader| {
        let report = session.run(reader);
        digest.set(Some(report.digest));
        Ok(report)
    })?;
    let differs = |recorded: &&str| digest.get().is_some_and(|digest| digest.to_string() != **recorded);
    match session.digest().filter(differs) {
        Some(recorded) => {
            complain(format_args!(
                "error: this is another run than the recorded one, whose digest is {recorded}"
            ));
            Ok(Outcome::Nondeterminism)
        }
        None => Ok(outcome),
    }
}

/// Tells the run of a schedule.
fn tell<O: Serialize>(
    flags: &Flags,
    schedule: &Schedule<O>,
    run: impl Fn(Option<&Dispatch>) -> Result<Report, Refusal>,
) -> Result<Outcome, Refusal> {
    let mut out = Output::stdout();
    if flags.twice {
        let program = std::env::current_exe().map_err(|error| format!("cannot be started twice: {error}"))?;
        return match twice::twice(&program, flags, &mut out)? {
            Some(ending) => end(&mut out, flags, schedule, ending),
            None => {
                out.finish()?;
                Ok(Outcome::Nondeterminism)
            }
        };
    }
    if !flags.quiet && !flags.verdict {
        head(&mut out, flags, schedule)?;
    }
    let command = flags.source.command("vertebra", &flags.context);
    if flags.verdict {
        let report = run(None)?;
        return end(&mut out, flags, schedule, Ending::new(schedule.seed, &report, &command));
    }
    let telling = Arc::new(Mutex::new(Telling::new(out, flags.filter.clone(), flags.json)));
    let dispatch = {
        let telling = Arc::clone(&telling);
        listen(move |line| telling.lock().unwrap_or_else(PoisonError::into_inner).hear(line))
    };
    let report = run(Some(&dispatch))?;
    let mut telling = telling.lock().unwrap_or_else(PoisonError::into_inner);
    let Telling { out, told, topics, .. } = &mut *telling;
    if *told == 0 && !flags.filter.is_empty() {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        complain(format_args!("note: no event is like that; the run has the topics {}", topics.join(", ")));
    }
    if !flags.json {
        out.line(format_args!(""));
    }
    end(out, flags, schedule, Ending::new(schedule.seed, &report, &command))
}

/// Tells everything that was decided before the run.
fn head<O: Serialize>(out: &mut Output, flags: &Flags, schedule: &Schedule<O>) -> Result<(), Refusal> {
    let text = schedule.write()?;
    if flags.json {
        // Not by way of TOML's own values, which have no room for the upper half of all seeds.
        let schedule = toml::from_str(&text).map_err(|error| format!("the schedule as JSON: {error}"))?;
        out.json(&ScheduleLine { r#type: "schedule", schedule });
    } else {
        out.line(format_args!("{text}"));
    }
    Ok(())
}

/// Tells the verdict, and keeps the schedule of a failure that has no file.
fn end<O: Serialize>(
    out: &mut Output,
    flags: &Flags,
    schedule: &Schedule<O>,
    mut ending: Ending,
) -> Result<Outcome, Refusal> {
    if let Some(failure) = &mut ending.failure {
        match &flags.source {
            Source::File(path) => failure.schedule = Some(path.display().to_string()),
            source @ (Source::Seed(_) | Source::Failure(_)) => {
                let name = match source {
                    // Which changes it was found with stands in the ledger.
                    Source::Failure(id) => format!("{}-{id}.toml", schedule.seed),
                    _ => flags.context.changes.file_name(schedule.seed),
                };
                failure.keep(schedule, &flags.keeping, &name);
                if let Some(reason) = &failure.not_kept {
                    complain(format_args!("error: the schedule is not kept: {reason}"));
                }
            }
        }
    }
    match flags.json {
        true => out.json(&ending),
        false => ending.tell(out),
    }
    match (out.finish(), ending.outcome()) {
        (Err(refusal), Outcome::Pass) => Err(refusal),
        (Err(refusal), outcome) => {
            complain(format_args!("error: {refusal}"));
            Ok(outcome)
        }
        (Ok(()), outcome) => Ok(outcome),
    }
}

/// The first line of `replay --json`.
#[derive(Serialize)]
struct ScheduleLine {
    r#type: &'static str,
    schedule: serde_json::Value,
}
