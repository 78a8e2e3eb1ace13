//! When progress could not be asked of clusters, and what else was let pass, over all seeds of a sweep.

use std::collections::BTreeMap;
use std::time::Duration;

use vertebra_sim::Report;
use vertebra_sim::atlas::Reason;

use crate::words::{Count, counted};

/// Sums over the seeds that were run.
#[derive(Clone, Debug, Default)]
pub struct Excuses {
    virtual_time: Duration,
    excused: BTreeMap<Reason, Duration>,
    unsettled: BTreeMap<Reason, u64>,
    /// What no service can promise, by name, and how often it did not come about.
    pub let_pass: BTreeMap<&'static str, u64>,
    /// How often a fault spared somebody, since too many voters would have had damaged data.
    pub spared: u64,
}

impl Excuses {
    /// Adds a run.
    pub fn add(&mut self, report: &Report) {
        self.virtual_time += report.virtual_time;
        self.spared += report.spared;
        for (reason, lasted) in &report.excused {
            *self.excused.entry(*reason).or_default() += *lasted;
        }
        for (name, count) in &report.let_pass {
            *self.let_pass.entry(name).or_default() += count;
        }
        if let Some(excuse) = &report.unsettled {
            *self.unsettled.entry(excuse.reason).or_default() += 1;
        }
    }

    /// The lines of a summary: name and value.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let share =
            |lasted: Duration| 100.0 * lasted.as_secs_f64() / self.virtual_time.as_secs_f64().max(1e-9);
        let each =
            self.excused.iter().map(|(reason, lasted)| format!("{} {:.1} %", reason.name(), share(*lasted)));
        let each: Vec<String> = each.collect();
        let mut lines = Vec::new();
        if !each.is_empty() {
            let all = share(self.excused.values().sum());
            lines.push(("no quorum", format!("{all:.1} % of virtual time: {}", each.join(", "))));
        }
        if !self.unsettled.is_empty() {
            let each =
                self.unsettled.iter().map(|(reason, runs)| format!("{} {}", reason.name(), Count(*runs)));
            let each: Vec<String> = each.collect();
            let runs = counted(self.unsettled.values().sum(), "run");
            lines.push(("unsettled", format!("{runs} with an excuse: {}", each.join(", "))));
        }
        if !self.let_pass.is_empty() {
            let each = self.let_pass.iter().map(|(name, count)| format!("{name} {}", Count(*count)));
            lines.push(("let pass", each.collect::<Vec<_>>().join(", ")));
        }
        if self.spared > 0 {
            lines.push(("spared", format!("{} by faults that damage data", Count(self.spared))));
        }
        lines
    }

    /// Nanoseconds of virtual time without a quorum, by reason.
    pub fn excused_ns(&self) -> BTreeMap<&'static str, u64> {
        let nanos = |lasted: &Duration| u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
        self.excused.iter().map(|(reason, lasted)| (reason.name(), nanos(lasted))).collect()
    }

    /// Runs that did not recover and were not asked to, by reason.
    pub fn unsettled(&self) -> BTreeMap<&'static str, u64> {
        self.unsettled.iter().map(|(reason, runs)| (reason.name(), *runs)).collect()
    }
}
