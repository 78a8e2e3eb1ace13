//! Whether a sweep came by everywhere. FoundationDB's rule: a place that 20,000 runs miss is a failure of the tests.

use clap::Args;
use vertebra_sim::coverage::{Coverage, Standing};

use crate::output::{Line, Output};
use crate::words::{Count, counted};

/// After so many seeds, what was never reached is called missing.
const ENOUGH: u64 = 20_000;
/// The same, as the command line has it.
const ENOUGH_TEXT: &str = "20000";
/// So many names are told; the table has all.
const NAMES_MAX: usize = 20;

/// The flag that makes what is missing count.
#[derive(Args, Clone, Debug, Default)]
pub struct Requirement {
    /// Fail when a mark or failpoint is missing; judged from SEEDS seeds on, or from 20000
    #[arg(
        long = "require-coverage",
        value_name = "SEEDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ENOUGH_TEXT,
        help_heading = "Coverage"
    )]
    required_after: Option<u64>,
}

/// How what could be reached stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Over so many seeds.
    seeds: u64,
    /// From so many on, what was not reached is missing.
    enough: u64,
    is_required: bool,
    marks: Counts,
    failpoints: Counts,
    /// What to say of each that was not reached.
    unreached: Vec<String>,
}

/// How many stand how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counts {
    reached: u64,
    missing: u64,
    dormant: u64,
}

impl Counts {
    fn add(&mut self, standing: Standing) {
        match standing {
            Standing::Reached => self.reached += 1,
            Standing::Missing => self.missing += 1,
            Standing::Dormant => self.dormant += 1,
        }
    }
}

impl Judgement {
    /// Judges.
    pub fn new(coverage: &Coverage, requirement: &Requirement) -> Self {
        let (mut marks, mut failpoints, mut unreached) = (Counts::default(), Counts::default(), Vec::new());
        for (name, tally) in &coverage.marks {
            marks.add(tally.standing());
            if tally.standing() == Standing::Missing {
                unreached.push(name.to_string());
            }
        }
        for (name, tally) in &coverage.failpoints {
            failpoints.add(tally.standing());
            if tally.standing() == Standing::Missing {
                let how = match (tally.passed, tally.struck) {
                    (0, _) => "nobody came by",
                    (_, 0) => "passed, but no fault struck there",
                    (_, _) => "passed, but nobody crashed there",
                };
                unreached.push(format!("failpoint {name}: {how}"));
            }
        }
        Self {
            seeds: coverage.seeds,
            enough: requirement.required_after.unwrap_or(ENOUGH),
            is_required: requirement.required_after.is_some(),
            marks,
            failpoints,
            unreached,
        }
    }

    /// Whether there were seeds enough to call what was not reached missing.
    fn is_judged(&self) -> bool {
        self.seeds >= self.enough
    }

    /// In a line for marks and one for failpoints, each with its title.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let unreached = if self.is_judged() { "missing" } else { "not yet" };
        let line = |counts: &Counts| {
            let Counts { reached, missing, dormant } = *counts;
            let parts = [(reached, "reached"), (missing, unreached), (dormant, "dormant")];
            let parts = parts.iter().filter(|(count, word)| *count > 0 || *word != "dormant");
            parts.map(|(count, word)| format!("{} {word}", Count(*count))).collect::<Vec<_>>().join(", ")
        };
        let all = [("marks", self.marks), ("failpoints", self.failpoints)];
        let there = all.iter().filter(|(_, counts)| *counts != Counts::default());
        there.map(|(title, counts)| (*title, line(counts))).collect()
    }

    /// Tells the lines, and the names of what is missing.
    pub fn tell(&self, out: &mut Output) {
        for (title, line) in self.lines() {
            out.line(format_args!("{title:<12}  {line}"));
        }
        if !self.is_judged() {
            return;
        }
        for name in self.unreached.iter().take(NAMES_MAX) {
            out.line(format_args!("{:<12}  {}", "missing", Line(name)));
        }
        if let Some(more @ 1..) = self.unreached.len().checked_sub(NAMES_MAX) {
            out.line(format_args!("{:<12}  and {} more", "", Count(more as u64)));
        }
    }

    /// Why what is missing fails the command, if it does.
    pub fn refused(&self) -> Option<String> {
        if !self.is_required || !self.is_judged() || self.unreached.is_empty() {
            return None;
        }
        let (missing, seeds) = (counted(self.unreached.len() as u64, "place"), counted(self.seeds, "seed"));
        Some(format!(
            "{missing} that a sweep must reach were not reached in {seeds}, the first of them: {}. What is behind them is not \
             tested. Let schedules lead there again; or, where that takes what no run has, say so at the mark with `when = ...`; or \
             take the mark or failpoint out. `vertebra coverage` has the table",
            self.unreached.first().map_or("", String::as_str),
        ))
    }

    /// What to say when it was to be judged, and was not.
    pub fn unjudged(&self) -> Option<String> {
        (self.is_required && !self.is_judged()).then(|| {
            let (seeds, enough) = (counted(self.seeds, "seed"), Count(self.enough));
            format!("whether marks are missing is not judged: {seeds} were run, and it takes {enough}")
        })
    }
}
