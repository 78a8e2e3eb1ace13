//! How a replay ends: with the verdict.

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
        Self {
            r#type: "verdict".to_owned(),
            seed,
            verdict: if failure.is_none() { "pass" } else { "violation" }.to_owned(),
            digest: report.digest.to_string(),
            virtual_time_ns: u64::try_from(report.virtual_time.as_nanos()).unwrap_or(u64::MAX),
            events: report.events,
            operations: report.operations,
            faults: report.faults,
            failure,
        }
    }

    /// What the exit code says of it.
    pub fn outcome(&self) -> Outcome {
        if self.failure.is_some() { Outcome::Violation } else { Outcome::Pass }
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
                out.line(format_args!("digest     {}", self.digest));
            }
            Some(failure) => {
                out.line(format_args!("ran        {ran}"));
                out.line(format_args!("digest     {}", self.digest));
                failure.tell(out, "");
            }
        }
    }
}
