//! A violation, as it is told and as it is kept.

use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueHint};
use serde::{Deserialize, Serialize};
use vertebra_sim::ledger::KnownFailure;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Instant, Violation};

use crate::changes::Changes;
use crate::output::{Line, Output};
use crate::written::write_atomically;

/// In which folder failing schedules are kept, unless a flag says otherwise.
const FOLDER: &str = "vertebra-failures";

/// Flags for what is kept of failures.
#[derive(Args, Clone, Debug)]
pub struct Keeping {
    /// Keep the schedules of failing seeds in this folder; of a sweep, the first 5 of each signature
    #[arg(long, value_name = "FOLDER", default_value = FOLDER, value_hint = ValueHint::DirPath, help_heading = "Output")]
    failures: PathBuf,
    /// Keep no schedules
    #[arg(long, help_heading = "Output", conflicts_with = "failures")]
    no_keep: bool,
}

/// What every failure ends with, in text and in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Oracle, clause and shape: what makes two failures the same.
    pub signature: String,
    pub oracle: String,
    pub clause: String,
    pub shape: String,
    pub detail: String,
    /// When it was seen, in nanoseconds of virtual time.
    pub at_ns: u64,
    /// The command line that runs it again.
    pub command: String,
    /// The file that holds its schedule, if one does.
    pub schedule: Option<String>,
    /// Why no file holds it, if it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}

impl Failure {
    /// The failure that `violation` is; not saved yet.
    pub fn new(violation: &Violation, at: Instant, command: String) -> Self {
        Self {
            signature: violation.signature(),
            oracle: violation.oracle.to_owned(),
            clause: violation.clause.to_owned(),
            shape: violation.shape.clone(),
            detail: violation.detail.clone(),
            at_ns: at.as_nanos(),
            command,
            schedule: None,
            not_kept: None,
        }
    }

    /// The failure that an earlier sweep recorded.
    pub fn known(known: &KnownFailure, changes: &Changes, keeping: &Keeping) -> Self {
        let KnownFailure { seed, signature, oracle, clause, shape, detail, at_ns } = known.clone();
        let path = keeping.failures.join(changes.file_name(seed));
        Self {
            signature,
            oracle,
            clause,
            shape,
            detail,
            at_ns,
            command: format!("vertebra replay {seed}{}", changes.flags()),
            schedule: path.is_file().then(|| path.display().to_string()),
            not_kept: None,
        }
    }

    /// Writes its schedule to a file named `name`, in a folder that is made when it is not there.
    ///
    /// That it could not be written does not make the failure less of one: it is part of what is told.
    pub fn keep<O: Serialize>(&mut self, schedule: &Schedule<O>, keeping: &Keeping, name: &str) {
        if keeping.no_keep {
            return;
        }
        let path = keeping.failures.join(name);
        let kept = schedule.write().and_then(|text| {
            write_atomically(&path, &text).map_err(|error| format!("{}: {error}", path.display()))
        });
        match kept {
            Ok(()) => self.schedule = Some(path.display().to_string()),
            Err(reason) => self.not_kept = Some(reason),
        }
    }

    /// Tells it as text; `remark` stands after the signature.
    pub fn tell(&self, out: &mut Output, remark: &str) {
        let bold = Style::new().bold();
        let signature = out.paint(AnsiColor::Red.on_default().bold(), Line(&self.signature));
        out.line(format_args!("violation  {signature}{remark}"));
        out.line(format_args!("oracle     {}", Line(&self.oracle)));
        out.line(format_args!("clause     {}", Line(&self.clause)));
        for (number, line) in self.detail.lines().enumerate() {
            out.line(format_args!("{:<9}  {}", if number == 0 { "detail" } else { "" }, Line(line)));
        }
        out.line(format_args!("time       {} s", Instant::from_nanos(self.at_ns)));
        out.line(format_args!("reproduce  {}", out.paint(bold, Line(&self.command))));
        let kept = match (&self.schedule, &self.not_kept) {
            (Some(path), _) => path.clone(),
            (None, Some(reason)) => format!("not kept: {reason}"),
            (None, None) => "not kept".to_owned(),
        };
        out.line(format_args!("schedule   {}", Line(&kept)));
    }
}
