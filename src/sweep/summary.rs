//! What a sweep did and found.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use vertebra_sim::Report;

use super::seeds::Seeds;
use crate::failure::Failure;
use crate::output::Output;
use crate::words::{Count, Span, counted};

/// Failures of one signature whose schedules are kept.
const KEPT_MAX: usize = 5;

/// Why no other seed was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
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
}

impl End {
    fn remark(self) -> &'static str {
        match self {
            Self::AllSeeds | Self::Refusal => "",
            Self::Time => "; the time is over",
            Self::FirstFailure => "; ended at the first failure",
            Self::Interrupt => "; interrupted",
            Self::ClosedOutput => "; standard output was closed",
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
    pub seeds: u64,
    pub failures: u64,
    pub virtual_time: Duration,
    pub events: u64,
    pub operations: u64,
    pub faults: u64,
    /// How many seeds had a cluster of how many members.
    pub members: BTreeMap<u16, u64>,
    /// In the order of their first seeds.
    pub kinds: Vec<Kind>,
    by_signature: BTreeMap<String, usize>,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, report: &Report, members: u16) {
        self.seeds += 1;
        self.virtual_time = self.virtual_time.saturating_add(report.virtual_time);
        self.events += report.events;
        self.operations += report.operations;
        self.faults += report.faults;
        *self.members.entry(members).or_default() += 1;
    }

    /// Adds a failure of a run that was added. `keep` keeps its schedule, and is called for the first few of a kind.
    pub fn add_failure(
        &mut self,
        seed: u64,
        mut failure: Failure,
        keep: impl FnOnce(&mut Failure),
    ) -> Failure {
        self.failures += 1;
        match self.by_signature.get(&failure.signature).and_then(|index| self.kinds.get_mut(*index)) {
            Some(kind) => {
                kind.count += 1;
                if kind.has_room() {
                    keep(&mut failure);
                    kind.also.push(seed);
                }
            }
            None => {
                keep(&mut failure);
                self.by_signature.insert(failure.signature.clone(), self.kinds.len());
                let failure = failure.clone();
                self.kinds.push(Kind { first_seed: seed, failure, count: 1, also: Vec::new() });
            }
        }
        failure
    }

    pub fn seeds_per_second(&self, wall_time: Duration) -> f64 {
        self.seeds as f64 / wall_time.as_secs_f64().max(1e-9)
    }

    /// Tells it as text.
    pub fn tell(&self, out: &mut Output, seeds: Seeds, end: End, jobs: usize, wall_time: Duration) {
        let rate = self.seeds_per_second(wall_time);
        let rate = if rate < 10.0 { format!("{rate:.1}") } else { Count(rate as u64).to_string() };
        out.line(format_args!(
            "{} of {seeds} in {} on {}: {rate} seeds/s{}",
            counted(self.seeds, "seed"),
            Span(wall_time),
            counted(jobs as u64, "thread"),
            end.remark(),
        ));
        let members: Vec<String> =
            self.members.iter().map(|(members, seeds)| format!("{} with {members}", Count(*seeds))).collect();
        let faster = self.virtual_time.as_secs_f64() / wall_time.as_secs_f64().max(1e-9);
        let lines = [
            (
                "virtual time",
                format!("{} ({} times real time)", Span(self.virtual_time), Count(faster as u64)),
            ),
            ("operations", Count(self.operations).to_string()),
            ("faults", Count(self.faults).to_string()),
            ("events", Count(self.events).to_string()),
            ("members", members.join(", ")),
        ];
        for (name, value) in lines {
            out.line(format_args!("{name:<12}  {value}"));
        }
        if self.failures == 0 {
            let pass = out.paint(AnsiColor::Green.on_default().bold(), "pass");
            return out.line(format_args!("\n{pass}: no violation was found"));
        }
        for kind in &self.kinds {
            let count = counted(kind.count, "failure");
            out.line(format_args!(""));
            kind.failure.tell(out, &format!("  ({count}, the first is seed {})", kind.first_seed));
            if !kind.also.is_empty() {
                let also: Vec<String> = kind.also.iter().map(u64::to_string).collect();
                let more = kind.count - 1 - also.len() as u64;
                let more = if more == 0 { String::new() } else { format!(" and {} more", Count(more)) };
                out.line(format_args!("also       seed {}{more}", also.join(", ")));
            }
        }
    }

    /// The same as one JSON object.
    pub fn json(&self, out: &mut Output, seeds: Seeds, end: End, jobs: usize, wall_time: Duration) {
        let kinds = self.kinds.iter().map(|kind| KindLine {
            count: kind.count,
            first_seed: kind.first_seed,
            also: &kind.also,
            failure: &kind.failure,
        });
        out.json(&SummaryLine {
            r#type: "summary",
            end,
            first_seed: seeds.first,
            last_seed: seeds.last,
            seeds: self.seeds,
            failures: self.failures,
            virtual_time_ns: u64::try_from(self.virtual_time.as_nanos()).unwrap_or(u64::MAX),
            events: self.events,
            operations: self.operations,
            faults: self.faults,
            members: &self.members,
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
    end: End,
    first_seed: u64,
    last_seed: u64,
    seeds: u64,
    failures: u64,
    virtual_time_ns: u64,
    events: u64,
    operations: u64,
    faults: u64,
    members: &'a BTreeMap<u16, u64>,
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
}
