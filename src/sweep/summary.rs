//! What a sweep did and found.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use vertebra_sim::Report;
use vertebra_sim::coverage::Coverage;
use vertebra_sim::ledger::Sums;
use vertebra_sim::seeds::Seeds;

use super::excuses::Excuses;
use super::record::Standing;
use crate::coverage::judgement::Judgement;
use crate::coverage::table::CoverageLine;
use crate::failure::Failure;
use crate::output::Output;
use crate::words::{Count, Span, counted};

/// Failures of one signature whose schedules are kept.
const KEPT_MAX: usize = 5;

/// Why no other seed was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// All seeds were run.
    AllSeeds,
    /// `--time` was over.
    Time,
    /// `--fail-fast`, and there was a failure.
    FirstFailure,
    /// Ctrl-C.
    Interrupt,
    /// Nobody reads standard output any more.
    ClosedOutput,
    /// A seed has no schedule with these flags.
    Refusal,
    /// The ledger could not be written.
    Ledger,
}

impl End {
    /// As JSON and the ledger have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllSeeds => "all-seeds",
            Self::Time => "time",
            Self::FirstFailure => "first-failure",
            Self::Interrupt => "interrupt",
            Self::ClosedOutput => "closed-output",
            Self::Refusal => "refusal",
            Self::Ledger => "ledger",
        }
    }

    fn remark(self) -> &'static str {
        match self {
            Self::AllSeeds | Self::Refusal => "",
            Self::Time => "; the time is over",
            Self::FirstFailure => "; ended at the first failure",
            Self::Interrupt => "; interrupted",
            Self::ClosedOutput => "; standard output was closed",
            Self::Ledger => "; the ledger could not be written",
        }
    }
}

/// Failures with one signature.
#[derive(Clone, Debug)]
pub struct Kind {
    pub first_seed: u64,
    /// That of the first seed.
    pub failure: Failure,
    pub count: u64,
    /// Seeds after the first one whose schedules are kept too.
    pub also: Vec<u64>,
    /// What the ledger says of it, where there is one.
    pub standing: Option<Standing>,
}

impl Kind {
    /// Whether the schedule of one more failure is to be kept.
    fn has_room(&self) -> bool {
        1 + self.also.len() < KEPT_MAX
    }
}

/// Sums over the seeds that were run, and the failures among them.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Over what this sweep ran.
    pub sums: Sums,
    /// When progress could not be asked of the clusters.
    pub excuses: Excuses,
    /// Seeds that were left out, for an earlier sweep did them.
    pub seeds_before: u64,
    /// What those reached.
    pub coverage_before: Coverage,
    /// Seeds that ended otherwise than an earlier sweep of this build recorded.
    pub differing: u64,
    /// All of them: also those that earlier sweeps found among the seeds that were left out.
    pub failures: u64,
    /// In the order of their first seeds.
    pub kinds: Vec<Kind>,
    by_signature: BTreeMap<String, usize>,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, report: &Report, members: u16) {
        self.sums.add_run(report, members);
        self.excuses.add(report);
    }

    /// Adds a failure of a run that was added. `keep` keeps its schedule, and is called for the first few of a kind.
    pub fn add_failure(
        &mut self,
        seed: u64,
        mut failure: Failure,
        keep: impl FnOnce(&mut Failure),
    ) -> Failure {
        if self.kind(&failure.signature).is_none_or(|kind| kind.has_room()) {
            keep(&mut failure);
        }
        self.add_known(seed, failure.clone());
        failure
    }

    /// Adds a failure of which nothing is to be kept any more.
    pub fn add_known(&mut self, seed: u64, failure: Failure) {
        self.failures += 1;
        if let Some(kind) = self.kind(&failure.signature) {
            kind.count += 1;
            if kind.has_room() {
                kind.also.push(seed);
            }
            return;
        }
        self.by_signature.insert(failure.signature.clone(), self.kinds.len());
        self.kinds.push(Kind { first_seed: seed, failure, count: 1, also: Vec::new(), standing: None });
    }

    fn kind(&mut self, signature: &str) -> Option<&mut Kind> {
        self.by_signature.get(signature).and_then(|index| self.kinds.get_mut(*index))
    }

    /// Adds what the ledger says of each kind.
    pub fn add_standings(&mut self, mut standings: BTreeMap<String, Standing>) {
        for kind in &mut self.kinds {
            kind.standing = standings.remove(&kind.failure.signature);
        }
    }

    /// What was reached, also by seeds that were done before.
    pub fn coverage(&self) -> Coverage {
        let mut coverage = self.coverage_before.clone();
        coverage.merge(&self.sums.coverage);
        coverage
    }

    pub fn seeds_per_second(&self, wall_time: Duration) -> f64 {
        self.sums.seeds as f64 / wall_time.as_secs_f64().max(1e-9)
    }

    /// Tells it as text.
    pub fn tell(
        &self,
        out: &mut Output,
        seeds: Seeds,
        end: End,
        jobs: usize,
        wall_time: Duration,
        judgement: &Judgement,
    ) {
        let rate = self.seeds_per_second(wall_time);
        let rate = if rate < 10.0 { format!("{rate:.1}") } else { Count(rate as u64).to_string() };
        let Sums { seeds: run, virtual_time, events, operations, faults, members, failures: _, coverage: _ } =
            &self.sums;
        let before = match self.seeds_before {
            0 => String::new(),
            before => format!("; {} were done before", Count(before)),
        };
        out.line(format_args!(
            "{} of {seeds} in {} on {}: {rate} seeds/s{}{before}",
            counted(*run, "seed"),
            Span(wall_time),
            counted(jobs as u64, "thread"),
            end.remark(),
        ));
        let members: Vec<String> =
            members.iter().map(|(members, seeds)| format!("{} with {members}", Count(*seeds))).collect();
        let faster = virtual_time.as_secs_f64() / wall_time.as_secs_f64().max(1e-9);
        let lines = [
            ("virtual time", format!("{} ({} times real time)", Span(*virtual_time), Count(faster as u64))),
            ("operations", Count(*operations).to_string()),
            ("faults", Count(*faults).to_string()),
            ("events", Count(*events).to_string()),
            ("members", members.join(", ")),
        ];
        for (name, value) in lines.into_iter().chain(self.excuses.lines()) {
            out.line(format_args!("{name:<12}  {value}"));
        }
        judgement.tell(out);
        if self.differing > 0 {
            let title = out.paint(AnsiColor::Red.on_default().bold(), "non-determinism").to_string();
            out.line(format_args!("\n{title}: {}", self.difference()));
        } else if self.failures == 0 {
            let pass = out.paint(AnsiColor::Green.on_default().bold(), "pass");
            return out.line(format_args!("\n{pass}: no violation was found"));
        }
        for kind in &self.kinds {
            let count = counted(kind.count, "failure");
            out.line(format_args!(""));
            kind.failure.tell(out, &format!("  ({count}, the first is seed {})", kind.first_seed));
            if let Some(Standing { id, state }) = &kind.standing {
                out.line(format_args!("recorded   {id}, {state}"));
            }
            if !kind.also.is_empty() {
                let also: Vec<String> = kind.also.iter().map(u64::to_string).collect();
                let more = kind.count - 1 - also.len() as u64;
                let more = if more == 0 { String::new() } else { format!(" and {} more", Count(more)) };
                out.line(format_args!("also       seed {}{more}", also.join(", ")));
            }
        }
    }

    /// What is to say of seeds that ended otherwise than the ledger has.
    pub fn difference(&self) -> String {
        format!(
            "{} ended otherwise than an earlier sweep of this build recorded",
            counted(self.differing, "seed")
        )
    }

    /// The same as one JSON object.
    pub fn json(&self, out: &mut Output, seeds: Seeds, end: End, jobs: usize, wall_time: Duration) {
        let kinds = self.kinds.iter().map(|kind| KindLine {
            count: kind.count,
            first_seed: kind.first_seed,
            also: &kind.also,
            failure: &kind.failure,
            standing: kind.standing.as_ref(),
        });
        let coverage = self.coverage();
        out.json(&SummaryLine {
            r#type: "summary",
            end: end.name(),
            first_seed: seeds.first,
            last_seed: seeds.last,
            seeds: self.sums.seeds,
            seeds_before: self.seeds_before,
            differing: self.differing,
            failures: self.failures,
            virtual_time_ns: u64::try_from(self.sums.virtual_time.as_nanos()).unwrap_or(u64::MAX),
            events: self.sums.events,
            operations: self.sums.operations,
            faults: self.sums.faults,
            excused_ns: self.excuses.excused_ns(),
            unsettled: self.excuses.unsettled(),
            let_pass: &self.excuses.let_pass,
            spared: self.excuses.spared,
            members: &self.sums.members,
            coverage: CoverageLine::new(&coverage),
            jobs,
            wall_time_ms: u64::try_from(wall_time.as_millis()).unwrap_or(u64::MAX),
            seeds_per_second: (self.seeds_per_second(wall_time) * 10.0).round() / 10.0,
            kinds: kinds.collect(),
        });
    }
}

/// The last line of `sweep --json`.
#[derive(Serialize)]
struct SummaryLine<'a> {
    r#type: &'static str,
    end: &'static str,
    first_seed: u64,
    last_seed: u64,
    seeds: u64,
    seeds_before: u64,
    differing: u64,
    failures: u64,
    virtual_time_ns: u64,
    events: u64,
    operations: u64,
    faults: u64,
    excused_ns: BTreeMap<&'static str, u64>,
    unsettled: BTreeMap<&'static str, u64>,
    let_pass: &'a BTreeMap<&'static str, u64>,
    spared: u64,
    members: &'a BTreeMap<u16, u64>,
    coverage: CoverageLine<'a>,
    jobs: usize,
    wall_time_ms: u64,
    seeds_per_second: f64,
    kinds: Vec<KindLine<'a>>,
}

#[derive(Serialize)]
struct KindLine<'a> {
    count: u64,
    first_seed: u64,
    also: &'a [u64],
    #[serde(flatten)]
    failure: &'a Failure,
    #[serde(flatten)]
    standing: Option<&'a Standing>,
}
