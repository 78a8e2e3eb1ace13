//! `vertebra hunt`: how long a plain sweep takes to find each planted bug.
//!
//! | | where |
//! | --- | --- |
//! | seeds one after the other, until one fails | `trial` |
//! | what came of trials, kept in a file | `record` |
//! | medians, their intervals, and how many are left after how many seeds | `statistics` |
//! | all trials of a bug | `tally` |
//! | what is told of them, and a table for the book | `tell`, `markdown` |
//! | a picture of it | `chart` |
//!
//! A trial knows the bug only as the schedule's option that switches it on: seeds draw what they draw without it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use serde::Serialize;

use self::record::{Head, Record};
use self::tally::Tally;
use self::trial::Trial;
use crate::drawn::Drawn;
use crate::exit::{Outcome, Refusal};
use crate::interrupt::stop_on_interrupt;
use crate::jobs::Jobs;
use crate::output::{Output, complain};
use crate::words::{Count, counted, parse_span};
use crate::written::{keep_apart, try_to_write, write_atomically};
use crate::{Planted, Subject};

mod chart;
mod markdown;
mod record;
mod statistics;
mod tally;
mod tell;
mod trial;

/// Flags of `vertebra hunt`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  vertebra hunt stale-cursor
  vertebra hunt --all --trials 5 --record hunt.jsonl
  vertebra hunt --all --record hunt.jsonl --chart hunt.svg   go on, and draw it
  vertebra hunt reuse-read-context+stale-term                two bugs at once",
    after_long_help = "\
Examples:
  vertebra hunt stale-cursor
  vertebra hunt --all --trials 5 --record hunt.jsonl
  vertebra hunt --all --record hunt.jsonl --chart hunt.svg   go on, and draw it
  vertebra hunt reuse-read-context+stale-term                two bugs at once

In a trial, seeds run one after the other with the bug switched on, as a sweep runs them, until one
fails. No two trials of a bug share a seed: trial K begins with seed K times --seeds. So a trial
costs what a sweep of one core would have cost. The failing run is then repeated without the oracle
that ended it, and so on, to see who else would have noticed; and with the bug switched off, where
it must pass.

Medians are over trials, with the interval that holds the true median in 95 of 100 cases (by ranks,
so from 6 trials on, and without any assumption). A trial that did not find it counts as longer than
all that did.

With --json, each line is an object. Its `type` is one of:
  trial    one trial, as --record keeps it: defect, trial, seeds, cpu_ns, profiles (how many
           different sets of kinds of faults they drew), found (null, or: seed, signature,
           also (signatures of the other oracles), faults (the kinds of its schedule),
           without (the verdict with the bug switched off))
  defect   name, class, trials, found, seeds and cpu_ns (each with median, low, high; null where it
           is longer than the trials were), survival (pairs: after so many seeds, so great a share
           was not yet found), first (which oracle, how often), also, expected (in how many finds an
           oracle of the catalogue fired), profiles_share, not_clean (seeds that fail without it)
  summary  the last line: end (all, time, interrupt), defects, found, trials, wall_time_ms

Exit code 0: each was found; 1: one was not, or a seed fails without its bug; 2: wrong usage;
130: Ctrl-C."
)]
pub struct Flags {
    /// The bugs to hunt; NAME+NAME is two at once
    #[arg(value_name = "DEFECT", required_unless_present = "all")]
    defects: Vec<String>,
    /// All that `vertebra defects` lists, but for syncs that are left out: the faults that these are for are not in each sweep
    #[arg(long, conflicts_with = "defects")]
    all: bool,
    /// How many trials of each
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    trials: u64,
    /// A trial ends after so many seeds
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    seeds: u64,
    /// Begin no other trial after this time, such as `90s` or `10m`
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    time: Option<Duration>,
    #[command(flatten)]
    jobs: Jobs,
    /// Keep each trial in this file, and go on with those that are there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    record: Option<PathBuf>,
    /// Draw it to this file, as SVG
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    chart: Option<PathBuf>,
    /// Write the table to this file, as Markdown
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    markdown: Option<PathBuf>,
    /// Tell it as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Why a hunt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum End {
    All,
    Time,
    Interrupt,
}

/// Hunts.
pub fn hunt<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let known = S::defects();
    let mut wanted: Vec<Quarry> = match flags.all {
        true => {
            let all = known.iter().filter(|planted| !planted.by_name);
            all.map(|planted| Quarry::of(planted.name, &known)).collect::<Result<_, _>>()?
        }
        false => flags.defects.iter().map(|name| Quarry::of(name, &known)).collect::<Result<_, _>>()?,
    };
    // Whoever names one twice means it once.
    let mut names = BTreeSet::new();
    wanted.retain(|quarry| names.insert(quarry.name.clone()));
    let outputs = [
        ("--record", flags.record.as_deref()),
        ("--chart", flags.chart.as_deref()),
        ("--markdown", flags.markdown.as_deref()),
    ];
    keep_apart(outputs)?;
    // A hunt may take hours.
    outputs[1..].iter().filter_map(|(_, path)| *path).try_for_each(try_to_write)?;
    let head = Head { system: S::NAME.to_owned(), build: S::version().build, seeds: flags.seeds };
    let mut record = Record::open(flags.record.as_deref(), head)?;
    let stop = stop_on_interrupt()?;
    let began = Instant::now();
    let mut out = Output::stdout();
    // Trial by trial, so that of whatever time there is, each bug gets its share.
    let all = (0..flags.trials).flat_map(|trial| wanted.iter().map(move |quarry| (trial, quarry)));
    let rest: Vec<_> = all.filter(|(trial, quarry)| !record.has(&quarry.name, *trial)).collect();
    let expected = rest.len();
    let mut progress = Drawn::new();
    let (mut done, mut finds) = (0, 0);
    let deadline = flags.time.and_then(|time| began.checked_add(time));
    let mut failed = None;
    run_all::<S>(flags, &rest, &stop, deadline, |trial| {
        done += 1;
        finds += u64::from(trial.found.is_some());
        if flags.json {
            out.json(&TrialLine { r#type: "trial", trial: &trial });
        }
        if let Err(refusal) = record.add(trial) {
            failed = Some(refusal);
            return ControlFlow::Break(());
        }
        progress.tell(|| {
            let rate = f64::from(done) / began.elapsed().as_secs_f64();
            format!("{done}/{} trials  {rate:.1}/s  {} found", Count(expected as u64), Count(finds))
        });
        ControlFlow::Continue(())
    });
    progress.clear();
    if let Some(refusal) = failed {
        return Err(refusal);
    }
    let end = match (stop.load(Ordering::Relaxed), deadline.is_some_and(|deadline| Instant::now() > deadline))
    {
        _ if expected == done as usize => End::All,
        (true, _) => End::Interrupt,
        (_, true) => End::Time,
        (false, false) => End::All,
    };
    let tallies: Vec<Tally> =
        wanted.iter().map(|quarry| Tally::new(quarry, record.of(&quarry.name), flags.trials)).collect();
    let summary = tell::Summary::new(&tallies, end, began.elapsed());
    match flags.json {
        true => tell::json(&mut out, &tallies, &summary),
        false => tell::text(&mut out, &tallies, &summary, flags.seeds),
    }
    for (path, text) in [
        (&flags.chart, chart::draw(&tallies, flags.seeds)),
        (&flags.markdown, markdown::table(&tallies, flags.seeds)),
    ] {
        if let Some(path) = path {
            write_atomically(path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    out.finish()?;
    if end == End::Interrupt {
        match flags.record {
            Some(_) => complain(format_args!("note: the same command goes on from here")),
            None => complain(format_args!("note: with --record FILE, trials are kept, and a hunt can go on")),
        }
        return Ok(Outcome::Interrupted);
    }
    let is_clean = tallies.iter().all(|tally| tally.found > 0 && tally.not_clean.is_empty());
    Ok(if is_clean { Outcome::Pass } else { Outcome::Unreached })
}

/// What is hunted: a bug, or some at once.
struct Quarry {
    name: String,
    class: &'static str,
    /// The oracles that see one of them for what it is.
    oracles: Vec<&'static str>,
}

impl Quarry {
    fn of(name: &str, known: &[Planted]) -> Result<Self, Refusal> {
        let mut quarry = Self { name: name.to_owned(), class: "", oracles: Vec::new() };
        for one in name.split('+') {
            let Some(planted) = known.iter().find(|planted| planted.name == one) else {
                let reason = format!("there is no defect `{one}`; `vertebra defects` lists those there are");
                return Err(Refusal::new(reason));
            };
            quarry.class = planted.class;
            quarry.oracles.extend(planted.oracles);
        }
        Ok(quarry)
    }
}

/// Does the trials on as many threads as are wanted, and hands each to `done` as it comes.
fn run_all<S: Subject>(
    flags: &Flags,
    rest: &[(u64, &Quarry)],
    stop: &AtomicBool,
    deadline: Option<Instant>,
    mut done: impl FnMut(Trial) -> ControlFlow<()>,
) {
    let next = Mutex::new(rest.iter());
    let (sender, receiver) = mpsc::channel();
    let is_over =
        || stop.load(Ordering::Relaxed) || deadline.is_some_and(|deadline| Instant::now() > deadline);
    std::thread::scope(|scope| {
        for _ in 0..flags.jobs.count() {
            let (next, sender, is_over) = (&next, sender.clone(), &is_over);
            scope.spawn(move || {
                while !is_over() {
                    let one = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((trial, quarry)) = one else { break };
                    let seeds = trial * flags.seeds..(trial + 1) * flags.seeds;
                    // An interrupt ends a trial, and nothing is known of it then.
                    let Some(trial) = trial::run::<S>(&quarry.name, *trial, seeds, stop) else { break };
                    if sender.send(trial).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for trial in receiver {
            if done(trial).is_break() {
                break;
            }
        }
    });
}

/// A line of `hunt --json`.
#[derive(Serialize)]
struct TrialLine<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    trial: &'a Trial,
}

/// `12 of 20 trials`.
fn of_trials(found: u64, trials: u64) -> String {
    format!("{} of {}", Count(found), counted(trials, "trial"))
}
