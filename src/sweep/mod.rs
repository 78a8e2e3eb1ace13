//! `vertebra sweep`: many seeds, on all cores.
//!
//! Reports are taken in the order of their seeds, whatever the order in which threads finish them: what is told,
//! which schedules are kept, and where `--fail-fast` ends do not depend on `--jobs`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use serde::Serialize;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Report, Verdict, run_many};

use self::progress::Progress;
use self::seeds::{InOrder, Seeds};
use self::summary::{End, Summary};
use crate::Subject;
use crate::changes::Changes;
use crate::exit::{Outcome, Refusal};
use crate::failure::{Failure, Keeping};
use crate::interrupt::stop_on_interrupt;
use crate::output::{Output, complain};
use crate::words::parse_span;

mod progress;
mod seeds;
mod summary;

/// Seeds without a flag: about a minute on two cores.
const SEEDS: u64 = 4_000;
/// More threads than this are a slip of the finger, and starting them might fail.
const JOBS_MAX: i64 = 512;

/// Flags of `vertebra sweep`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  vertebra sweep
  vertebra sweep --seeds 10000..20000 --members 5
  vertebra sweep --time 10m --fail-fast
  vertebra sweep --json | jq -r 'select(.type == \"failure\") | .command'",
    after_long_help = "\
Examples:
  vertebra sweep
  vertebra sweep --seeds 10000..20000 --members 5
  vertebra sweep --time 10m --fail-fast
  vertebra sweep --json | jq -r 'select(.type == \"failure\") | .command'

With --json, each line is an object. Its `type` is one of:
  failure   a run with a violation: seed, digest, signature, oracle, clause, shape, detail, at_ns,
            command, schedule (a path, or null when it is not kept)
  summary   the last line: end (all-seeds, time, first-failure, interrupt, closed-output, refusal),
            first_seed, last_seed, seeds, failures, virtual_time_ns, events, operations, faults,
            members (seeds by size of the cluster), jobs, wall_time_ms, seeds_per_second, and
            kinds: for each signature its count, first_seed, what is told of that seed's failure,
            and also, the other seeds whose schedules are kept

Ctrl-C ends the sweep with the summary of what was run; a second one ends it at once."
)]
pub struct Flags {
    #[arg(long, value_name = "RANGE", help = seeds_help())]
    seeds: Option<Seeds>,
    /// How many threads [default: one for each core]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=JOBS_MAX))]
    jobs: Option<u16>,
    /// Begin no other seed when this much time is over, such as `90s`, `10m` or `1h30m`
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    time: Option<Duration>,
    /// End at the first failure
    #[arg(long)]
    fail_fast: bool,
    #[command(flatten)]
    changes: Changes,
    /// Tell what is found as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    keeping: Keeping,
    /// Write each seed and the digest of its run to this file, in the order of the seeds
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    digests: Option<PathBuf>,
}

fn seeds_help() -> String {
    format!("Which seeds: `0..5000`, `0..=4999`, `100..` or `7` [default: 0..{SEEDS}; with --time, 0..]")
}

/// Sweeps.
pub fn sweep<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let everything = Seeds { first: 0, last: u64::MAX };
    let default = if flags.time.is_some() { everything } else { Seeds { first: 0, last: SEEDS - 1 } };
    let seeds = flags.seeds.unwrap_or(default);
    // What is wrong with the flags is said before anything runs.
    flags.changes.schedule::<S>(seeds.first).map_err(|reason| format!("seed {}: {reason}", seeds.first))?;
    let jobs = flags.jobs.map_or_else(cores, usize::from);
    let stop = stop_on_interrupt()?;

    let mut sweep = Sweep {
        flags,
        out: Output::stdout(),
        digests: flags.digests.as_deref().map(Digests::create).transpose()?,
        progress: Progress::new((seeds.last != u64::MAX).then(|| seeds.count())),
        summary: Summary::default(),
        end: None,
        refusal: None,
        began: Instant::now(),
    };
    let mut in_order = InOrder::new(seeds.first);
    let schedule = |seed| flags.changes.schedule::<S>(seed);
    run_many::<S>(seeds.first..=seeds.last, jobs, &stop, schedule, |seed, ran| {
        in_order.put(seed, ran);
        while let Some((seed, ran)) = in_order.take() {
            sweep.take::<S>(seed, ran);
        }
        if sweep.end.is_some() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let end =
        sweep.end.unwrap_or(match stop.load(Ordering::Relaxed) && sweep.summary.seeds < seeds.count() {
            true => End::Interrupt,
            false => End::AllSeeds,
        });
    sweep.finish(seeds, end, jobs)
}

/// A sweep under way.
struct Sweep<'a> {
    flags: &'a Flags,
    out: Output,
    digests: Option<Digests>,
    progress: Progress,
    summary: Summary,
    /// Why no other seed is begun, once that is decided here.
    end: Option<End>,
    refusal: Option<Refusal>,
    began: Instant,
}

impl Sweep<'_> {
    /// Takes what came of the next seed.
    fn take<S: Subject>(&mut self, seed: u64, ran: Result<(Schedule<S::Options>, Report), String>) {
        // Seeds that were under way when it was decided to end count only where time decided it: where a result
        // did, which of them there are depends on the threads.
        if !matches!(self.end, None | Some(End::Time)) {
            return;
        }
        let (schedule, report) = match ran {
            Ok(ran) => ran,
            Err(reason) => {
                self.refusal = Some(Refusal::new(format!("seed {seed}: {reason}")));
                self.end = Some(End::Refusal);
                return;
            }
        };
        self.summary.add(&report, S::shape(&schedule.options).map_or(0, |shape| shape.members));
        if let Some(digests) = &mut self.digests {
            digests.add(seed, &report);
        }
        if let Verdict::Violation { violation, at } = &report.verdict {
            let changes = &self.flags.changes;
            let failure = Failure::new(violation, *at, format!("vertebra replay {seed}{}", changes.flags()));
            let failure = self.summary.add_failure(seed, failure, |failure| {
                failure.keep(&schedule, &self.flags.keeping, &changes.file_name(seed));
            });
            self.tell_failure(seed, &report, &failure);
            if self.flags.fail_fast {
                self.end = Some(End::FirstFailure);
            }
        }
        let wall_time = self.began.elapsed();
        if self.end.is_none() && self.flags.time.is_some_and(|time| wall_time >= time) {
            self.end = Some(End::Time);
        }
        self.progress.tell(&self.summary, wall_time);
    }

    fn tell_failure(&mut self, seed: u64, report: &Report, failure: &Failure) {
        if let Some(reason) = &failure.not_kept {
            self.progress.clear();
            complain(format_args!("error: the schedule of seed {seed} is not kept: {reason}"));
        }
        if self.flags.json {
            let digest = report.digest.to_string();
            self.out.json(&FailureLine { r#type: "failure", seed, digest, failure });
            // At once: whoever reads along may wait for it.
            let _ = self.out.flush();
            if !self.out.is_open() {
                self.end = Some(End::ClosedOutput);
            }
        }
    }

    fn finish(mut self, seeds: Seeds, end: End, jobs: usize) -> Result<Outcome, Refusal> {
        let wall_time = self.began.elapsed();
        self.progress.clear();
        match self.flags.json {
            true => self.summary.json(&mut self.out, seeds, end, jobs, wall_time),
            false => self.summary.tell(&mut self.out, seeds, end, jobs, wall_time),
        }
        let written = self.digests.map_or(Ok(()), Digests::finish);
        let told = self.out.finish();
        let refused = self.refusal.map_or(Ok(()), Err);
        match (refused.and(written).and(told), self.summary.failures) {
            (Ok(()), 0) => Ok(Outcome::Pass),
            (Err(refusal), 0) => Err(refusal),
            // A violation is a violation, even where not all could be said of it.
            (result, _) => {
                if let Err(refusal) = result {
                    complain(format_args!("error: {refusal}"));
                }
                Ok(Outcome::Violation)
            }
        }
    }
}

/// A line of `sweep --json`.
#[derive(Serialize)]
struct FailureLine<'a> {
    r#type: &'static str,
    seed: u64,
    digest: String,
    #[serde(flatten)]
    failure: &'a Failure,
}

/// The file of `--digests`: a seed and its digest on each line.
struct Digests {
    path: PathBuf,
    file: BufWriter<File>,
    failed: Option<std::io::Error>,
}

impl Digests {
    fn create(path: &Path) -> Result<Self, Refusal> {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), failed: None })
    }

    fn add(&mut self, seed: u64, report: &Report) {
        if self.failed.is_none() {
            self.failed = writeln!(self.file, "{seed} {}", report.digest).err();
        }
    }

    fn finish(mut self) -> Result<(), Refusal> {
        let flushed = self.file.flush().err();
        match self.failed.or(flushed) {
            Some(error) => Err(Refusal::new(format!("{}: {error}", self.path.display()))),
            None => Ok(()),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
