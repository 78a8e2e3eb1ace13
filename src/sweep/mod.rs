//! `vertebra sweep`: many seeds, on all cores.
//!
//! Reports are taken in the order of their seeds, whatever the order in which threads finish them: what is told,
//! which schedules are kept, and where `--fail-fast` ends do not depend on `--jobs`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::{Args, ValueHint};
use serde::Serialize;
use vertebra_sim::ledger::{Recorder, Run};
use vertebra_sim::schedule::Schedule;
use vertebra_sim::seeds::Seeds;
use vertebra_sim::{Report, Verdict, run_many};

use self::digests::Digests;
use self::in_order::InOrder;
use self::junit::Junit;
use self::plan::Which;
use self::progress::Progress;
use self::summary::{End, Summary};
use crate::Subject;
use crate::changes::Changes;
use crate::coverage::judgement::Judgement;
use crate::coverage::{Requirement, table};
use crate::exit::{Outcome, Refusal};
use crate::failure::{Failure, Keeping};
use crate::interrupt::stop_on_interrupt;
use crate::jobs::Jobs;
use crate::ledger::Place;
use crate::output::{Output, complain};
use crate::written::keep_apart;

mod annotations;
mod digests;
mod excuses;
mod in_order;
mod junit;
mod plan;
mod progress;
mod record;
mod summary;

/// Flags of `vertebra sweep`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  vertebra sweep
  vertebra sweep --seeds 10000..20000 --members 5
  vertebra sweep --time 10m --fail-fast
  vertebra sweep --seeds 0..20000 --require-coverage       fail also where it does not come by
  vertebra sweep --resume                                  go on where the last one ended
  vertebra sweep --nightly --time 6h                       seeds that were never done before
  vertebra sweep --seeds \"$(git rev-parse HEAD)\" --junit sweep.xml
  vertebra sweep --json | jq -r 'select(.type == \"failure\") | .command'",
    after_long_help = "\
Examples:
  vertebra sweep
  vertebra sweep --seeds 10000..20000 --members 5
  vertebra sweep --time 10m --fail-fast
  vertebra sweep --seeds 0..20000 --require-coverage       fail also where it does not come by
  vertebra sweep --resume                                  go on where the last one ended
  vertebra sweep --nightly --time 6h                       seeds that were never done before
  vertebra sweep --seeds \"$(git rev-parse HEAD)\" --junit sweep.xml
  vertebra sweep --json | jq -r 'select(.type == \"failure\") | .command'

With --json, each line is an object. Its `type` is one of:
  failure   a run with a violation: seed, digest, signature, oracle, clause, shape, detail, at_ns,
            command, schedule (a path, or null when it is not kept)
  summary   the last line: end (all-seeds, time, first-failure, interrupt, closed-output, refusal,
            ledger), first_seed, last_seed, seeds, seeds_before (an earlier sweep did these),
            differing (seeds that ended otherwise than the ledger has), failures, virtual_time_ns,
            events, operations, faults, excused_ns (virtual time without a quorum, by reason),
            unsettled (runs that did not recover and were not asked to, by reason), let_pass (what no
            service can promise, and how often it did not come about), spared (targets whose data
            faults had to spare), members (seeds by size of the cluster), coverage (marks,
            failpoints and faults, each with its tally), jobs, wall_time_ms, seeds_per_second, and
            kinds: for each signature its count, first_seed, what is told of
            that seed's failure, also (the other seeds whose schedules are kept), and, from the
            ledger, id and state

Ctrl-C ends the sweep with the summary of what was run; a second one ends it at once."
)]
pub struct Flags {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    jobs: Jobs,
    /// End at the first failure
    #[arg(long)]
    fail_fast: bool,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    requirement: Requirement,
    /// Print the tables of `vertebra coverage` at the end
    #[arg(long, conflicts_with = "json", help_heading = "Coverage")]
    coverage: bool,
    /// Tell what is found as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    keeping: Keeping,
    /// Write each seed and the digest of its run to this file, in the order of the seeds
    // One that is gone on with has the digests of its rest alone.
    #[arg(long, value_name = "FILE", conflicts_with = "resume", value_hint = ValueHint::FilePath, help_heading = "Output")]
    digests: Option<PathBuf>,
    /// Write a report for a CI server to this file, in JUnit's format
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Record nothing
    #[arg(long, conflicts_with_all = ["ledger", "resume", "nightly"], help_heading = "Ledger")]
    no_ledger: bool,
}

/// Sweeps.
pub fn sweep<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let jobs = flags.jobs.count();
    let version = S::version();
    if flags.which.goes_on() {
        // A sweep would begin a ledger, and there would be nothing in it to go on with.
        flags.place.read::<S>()?;
    }
    // What is wrong with the flags is said before anything is made.
    let check = |changes: &Changes, seed| {
        changes.schedule::<S>(seed).map(|_| ()).map_err(|reason| format!("seed {seed}: {reason}"))
    };
    check(&flags.changes, flags.which.first())?;
    let kept = (!flags.no_ledger).then(|| flags.place.path()).transpose()?;
    let (digests, junit) = (flags.digests.as_deref(), flags.junit.as_deref());
    keep_apart([("the ledger", kept.as_deref()), ("--digests", digests), ("--junit", junit)])?;
    let ledger = (!flags.no_ledger).then(|| flags.place.write::<S>()).transpose()?;
    let (plan, changes) = plan::plan(&flags.which, &flags.changes, &version, ledger.as_ref())?;
    check(&changes, plan.seeds.first)?;
    let digests = digests.map(Digests::create).transpose()?;
    let junit = junit.map(Junit::create).transpose()?;
    let stop = stop_on_interrupt()?;

    let mut summary = Summary::default();
    let recorder = ledger
        .map(|ledger| record::begin(ledger, &plan, &changes, &version, jobs, &flags.keeping, &mut summary));
    let mut sweep = Sweep {
        flags,
        changes: &changes,
        out: Output::stdout(),
        digests,
        junit,
        recorder: recorder.transpose()?,
        progress: Progress::new(plan.count()),
        summary,
        end: None,
        refusal: None,
        began: Instant::now(),
    };
    let mut in_order = InOrder::new(plan.to_run());
    let schedule = |seed| changes.schedule::<S>(seed);
    run_many::<S>(plan.to_run(), jobs, &stop, schedule, |seed, ran| {
        in_order.put(seed, ran.map(|(schedule, report)| Ran::new::<S>(schedule, report)));
        while let Some((seed, ran)) = in_order.take() {
            sweep.take(seed, ran);
        }
        if sweep.end.is_some() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let is_whole = plan.count().is_some_and(|count| sweep.summary.sums.seeds >= count);
    let end = sweep.end.unwrap_or(match stop.load(Ordering::Relaxed) && !is_whole {
        true => End::Interrupt,
        false => End::AllSeeds,
    });
    sweep.finish(plan.seeds, end, jobs)
}

/// What is needed of a run once it has ended. Many may wait for a slow one.
struct Ran<O> {
    report: Report,
    /// How many members its cluster had.
    members: u16,
    /// Of a run that failed.
    schedule: Option<Schedule<O>>,
}

impl<O> Ran<O> {
    fn new<S: Subject<Options = O>>(schedule: Schedule<O>, report: Report) -> Self {
        let members = S::shape(&schedule.options).map_or(0, |shape| shape.members);
        let schedule = (report.verdict != Verdict::Pass).then_some(schedule);
        Self { report, members, schedule }
    }
}

/// A sweep under way.
struct Sweep<'a> {
    flags: &'a Flags,
    changes: &'a Changes,
    out: Output,
    digests: Option<Digests>,
    junit: Option<Junit>,
    recorder: Option<Recorder>,
    progress: Progress,
    summary: Summary,
    /// Why no other seed is begun, once that is decided here.
    end: Option<End>,
    refusal: Option<Refusal>,
    began: Instant,
}

impl Sweep<'_> {
    /// Takes what came of the next seed.
    fn take<O: Serialize>(&mut self, seed: u64, ran: Result<Ran<O>, String>) {
        // Seeds that were under way when it was decided to end count only where time decided it: where a result
        // did, which of them there are depends on the threads.
        if !matches!(self.end, None | Some(End::Time)) {
            return;
        }
        let ran = match ran {
            Ok(ran) => ran,
            Err(reason) => return self.refuse(Refusal::new(format!("seed {seed}: {reason}")), End::Refusal),
        };
        if let Err(refusal) = self.record(seed, &ran) {
            // What the ledger has not is not part of what is told: then telling and ledger agree.
            return self.refuse(refusal, End::Ledger);
        }
        let Ran { report, members, schedule } = &ran;
        self.summary.add(report, *members);
        if let Some(digests) = &mut self.digests {
            digests.add(seed, report);
        }
        if let (Verdict::Violation { violation, at }, Some(schedule)) = (&report.verdict, schedule) {
            let changes = self.changes;
            let failure = Failure::new(violation, *at, format!("vertebra replay {seed}{}", changes.flags()));
            let failure = self.summary.add_failure(seed, failure, |failure| {
                failure.keep(schedule, &self.flags.keeping, &changes.file_name(seed));
            });
            self.tell_failure(seed, report, &failure);
            if self.flags.fail_fast {
                self.end = Some(End::FirstFailure);
            }
        }
        let wall_time = self.began.elapsed();
        if self.end.is_none() && self.flags.which.time.is_some_and(|time| wall_time >= time) {
            self.end = Some(End::Time);
        }
        self.progress.tell(&self.summary, wall_time);
    }

    fn refuse(&mut self, refusal: Refusal, end: End) {
        self.refusal = Some(refusal);
        self.end = Some(end);
    }

    fn record<O: Serialize>(&mut self, seed: u64, ran: &Ran<O>) -> Result<(), Refusal> {
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let schedule = ran.schedule.as_ref().map(Schedule::write).transpose()?;
        let run = Run { seed, report: &ran.report, members: ran.members, schedule: schedule.as_deref() };
        if let Some(difference) = record::record(recorder, &run)? {
            self.summary.differing += 1;
            self.progress.clear();
            complain(format_args!("error: non-determinism: {difference}"));
            complain(format_args!("reproduce  vertebra replay {seed}{} --twice", self.changes.flags()));
        }
        Ok(())
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
        let mut results = vec![self.refusal.take().map_or(Ok(()), Err)];
        // Where the ledger could not be written, that is said already.
        if let Some(recorder) = self.recorder.take().filter(|_| end != End::Ledger) {
            let standings = record::end(recorder, end, &self.changes.profile());
            results.push(standings.map(|standings| self.summary.add_standings(standings)));
        }
        let coverage = self.summary.coverage();
        let judgement = Judgement::new(&coverage, &self.flags.requirement);
        match self.flags.json {
            true => self.summary.json(&mut self.out, seeds, end, jobs, wall_time),
            false => self.summary.tell(&mut self.out, seeds, end, jobs, wall_time, &judgement),
        }
        if self.flags.coverage {
            self.out.line(format_args!(""));
            table::text(&mut self.out, &coverage);
        }
        results.push(self.digests.map_or(Ok(()), Digests::finish));
        results.push(self.out.finish());
        annotations::tell(&self.summary);
        if let Some(junit) = self.junit {
            let trouble = results.iter().find_map(|result| result.as_ref().err()).map(ToString::to_string);
            results.push(junit.finish(&self.summary, seeds, wall_time, trouble));
        }
        if end == End::Interrupt && !self.flags.no_ledger {
            let flags = format!("{}{}", self.changes.flags(), self.flags.place.flag());
            complain(format_args!("note: `vertebra sweep --resume{flags}` goes on from here"));
        }
        let unreached = judgement.refused();
        if let Some(reason) = &unreached {
            complain(format_args!("error: {reason}"));
        } else if let Some(reason) = judgement.unjudged() {
            complain(format_args!("note: {reason}"));
        }
        let refused: Vec<Refusal> = results.into_iter().filter_map(Result::err).collect();
        let found = match (self.summary.differing, self.summary.failures) {
            (0, 0) if refused.is_empty() && unreached.is_some() => Outcome::Unreached,
            (0, 0) => return refused.into_iter().next().map_or(Ok(Outcome::Pass), Err),
            (0, _) => Outcome::Violation,
            (_, _) => Outcome::Nondeterminism,
        };
        // A violation is a violation, even where not all could be said of it.
        refused.iter().for_each(|refusal| complain(format_args!("error: {refusal}")));
        Ok(found)
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
