//! Seeds one after the other with a bug switched on, until one fails.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{run as run_schedule, run_timed};

use crate::Subject;
use crate::changes::Changes;

/// More oracles than would ever notice one thing.
const OTHERS_MAX: usize = 32;

/// What came of a trial.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The bug; some at once are joined by `+`.
    pub defect: String,
    /// Which of its trials it is, from 0.
    pub trial: u64,
    /// How many seeds ran, the one that failed too.
    pub seeds: u64,
    /// How much time of one core that took.
    pub cpu_ns: u64,
    /// How many different sets of kinds of faults these seeds drew.
    pub profiles: u64,
    /// The failure, unless it was not found.
    pub found: Option<Found>,
}

/// A run that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub seed: u64,
    /// Of the violation that ended it.
    pub signature: String,
    /// Of those that would have, one after the other, without the oracles before them.
    pub also: Vec<String>,
    /// The kinds of faults in its schedule.
    pub faults: Vec<String>,
    /// What the same seed gives with the bug switched off.
    pub without: Option<String>,
}

/// Time of the processor that this thread has used.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// How much of it was used since it was so much.
fn cpu_since(began: Duration) -> u64 {
    u64::try_from(cpu().saturating_sub(began).as_nanos()).unwrap_or(u64::MAX)
}

/// Does a trial over `seeds`; or nothing, if `stop` is set before its end.
pub fn run<S: Subject>(defect: &str, trial: u64, seeds: Range<u64>, stop: &AtomicBool) -> Option<Trial> {
    let changes = Changes { defects: defect.split('+').map(str::to_owned).collect(), ..Changes::default() };
    let mut profiles = BTreeSet::new();
    let mut done = Trial { defect: defect.to_owned(), trial, seeds: 0, cpu_ns: 0, profiles: 0, found: None };
    for seed in seeds {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let began = cpu();
        // Names were checked before; a seed that no schedule can be made of would fail in any sweep.
        let schedule = changes.schedule::<S>(seed).ok()?;
        // A run has a thread of its own.
        let (report, took) = run_timed::<S>(&schedule, cpu);
        done.seeds += 1;
        profiles.insert(profile(&schedule));
        done.cpu_ns += cpu_since(began) + u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(violation) = report.verdict.violation() {
            let faults = profile(&schedule).into_iter().map(str::to_owned).collect();
            let signature = violation.signature();
            let also = others::<S>(schedule, violation.oracle);
            let without = Changes::default().schedule::<S>(seed).ok()?;
            let without = run_schedule::<S>(&without, None).verdict.signature();
            done.found = Some(Found { seed, signature, also, faults, without });
            break;
        }
    }
    done.profiles = profiles.len() as u64;
    Some(done)
}

/// The kinds of faults that a seed drew.
fn profile<O>(schedule: &Schedule<O>) -> BTreeSet<&'static str> {
    schedule.faults.iter().map(|fault| fault.fault.kind()).collect()
}

/// Who else would have noticed, had `oracle` not been there.
fn others<S: Subject>(mut schedule: Schedule<S::Options>, oracle: &'static str) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = oracle;
    let mut asked = BTreeSet::new();
    while found.len() < OTHERS_MAX && asked.insert(last) && S::leave_out(&mut schedule.options, last) {
        let report = run_schedule::<S>(&schedule, None);
        let Some(violation) = report.verdict.violation() else { break };
        last = violation.oracle;
        if !asked.contains(last) {
            found.push(violation.signature());
        }
    }
    found
}
