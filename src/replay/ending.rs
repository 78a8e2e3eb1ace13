//! How a replay ends: with the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::AnsiColor;
use serde::{Deserialize, Serialize};
use vertebra_sim::{Instant, Report, Verdict};

use crate::exit::Outcome;
use crate::failure::Failure;
use crate::output::Output;
use crate::words::counted;

/// The last line of `replay --json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// Always `verdict`.
    pub r#type: String,
    pub seed: u64,
    /// `pass` or `violation`.
    pub verdict: String,
    pub digest: String,
    pub virtual_time_ns: u64,
    pub events: u64,
    pub operations: u64,
    pub faults: u64,
    /// Nanoseconds of virtual time without a quorum, by reason.
    #[serde(default)]
    pub excused_ns: BTreeMap<String, u64>,
    /// How often a fault spared somebody, since too many voters would have had damaged data.
    #[serde(default)]
    pub spared: u64,
    /// There when the system did not recover, and was not asked to: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<String>,
    /// There when the verdict is `violation`.
    #[serde(flatten)]
    pub failure: Option<Failure>,
}

impl Ending {
    /// The end of the run of `seed`; `command` is the one that runs it again.
    pub fn new(seed: u64, report: &Report, command: &str) -> Self {
        let failure = match &report.verdict {
            Verdict::Pass => None,
            Verdict::Violation { violation, at } => Some(Failure::new(violation, *at, command.to_owned())),
        };
        let nanos = |lasted: Duration| u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
        let excused =
            report.excused.iter().map(|(reason, lasted)| (reason.name().to_owned(), nanos(*lasted)));
        Self {
            r#type: "verdict".to_owned(),
            seed,
            verdict: if failure.is_none() { "pass" } else { "violation" }.to_owned(),
            digest: report.digest.to_string(),
            virtual_time_ns: u64::try_from(report.virtual_time.as_nanos()).unwrap_or(u64::MAX),
            events: report.events,
            operations: report.operations,
            faults: report.faults,
            excused_ns: excused.collect(),
            spared: report.spared,
            unsettled: report.unsettled.as_ref().map(ToString::to_string),
            failure,
        }
    }

    /// What the exit code says of it.
    pub fn outcome(&self) -> Outcome {
        if self.failure.is_some() { Outcome::Violation } else { Outcome::Pass }
    }

    /// What there is to say of the time without a quorum, and of who was spared.
    fn tell_excuses(&self, out: &mut Output) {
        let each = self.excused_ns.iter();
        let each = each.map(|(reason, ns)| format!("{reason} {} s", Instant::from_nanos(*ns)));
        let each: Vec<String> = each.collect();
        if !each.is_empty() {
            out.line(format_args!("no quorum  {}", each.join(", ")));
        }
        if let Some(excuse) = &self.unsettled {
            out.line(format_args!("unsettled  {excuse}"));
        }
        if self.spared > 0 {
            out.line(format_args!("spared     {}", counted(self.spared, "target")));
        }
    }

    /// Tells it as text.
    pub fn tell(&self, out: &mut Output) {
        let ran = format!(
            "seed {}, {} s of virtual time, {}, {}, {}",
            self.seed,
            Instant::from_nanos(self.virtual_time_ns),
            counted(self.events, "event"),
            counted(self.operations, "operation"),
            counted(self.faults, "fault"),
        );
        match &self.failure {
            None => {
                let pass = out.paint(AnsiColor::Green.on_default().bold(), "pass").to_string();
                out.line(format_args!("{pass}       {ran}"));
                self.tell_excuses(out);
                out.line(format_args!("digest     {}", self.digest));
            }
            Some(failure) => {
                out.line(format_args!("ran        {ran}"));
                self.tell_excuses(out);
                out.line(format_args!("digest     {}", self.digest));
                failure.tell(out, "");
            }
        }
    }
}
