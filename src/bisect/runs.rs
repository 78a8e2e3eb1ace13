//! A commit's runs of a schedule, and what each comes to.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitStatus};

use serde::Deserialize;
use xxhash_rust::xxh3::Xxh3;

use super::Stop;
use super::candidate::{Bench, SCHEDULE, of_the_machine};
use super::child::Ended;
use super::judgement::{Cause, Failed, Signature, Skip};
use crate::divergence::Told;
use crate::exit::Refusal;
use crate::git::Commit;
use crate::words::{Span, shell_quoted};

/// The files for what a run prints on its two streams.
const OUTPUT: &str = "output";
const ERRORS: &str = "errors";
/// No line of a verdict comes near this.
const VERDICT_BYTES_MAX: u64 = 1 << 20;
/// What a version says that has another command line.
const OF_THE_COMMAND_LINE: [&str; 2] = ["unrecognized subcommand", "unexpected argument"];

/// One run of a schedule. Two that are equal told the same.
#[derive(PartialEq, Eq)]
pub struct Ran {
    /// The digest of the run, where it tells one, and else one over all that was printed.
    told: String,
    /// How it failed, if it did.
    pub failure: Option<Signature>,
}

/// The last line of what `vertebra replay --json` prints, as far as any version has it.
#[derive(Deserialize)]
struct VerdictLine {
    r#type: String,
    digest: Option<String>,
    signature: Option<String>,
}

impl Bench<'_> {
    /// Runs a schedule, for the verdict alone.
    pub fn run(&mut self, commit: &Commit, schedule: &Path) -> Result<Ran, Failed> {
        let is_foreign = self.recipe.run.is_some();
        let mut command = match &self.recipe.run {
            Some(run) => self.shell(&with_schedule(run, schedule)),
            None => self.replay(commit, schedule, &["--json", "--verdict", "--no-keep"]),
        };
        let status = self.finished(commit, &mut command, OUTPUT)?;
        let output = printed(&self.place.path.join(OUTPUT));
        let (printed, end) = output.map_err(|error| self.place.refuse(OUTPUT, error))?;
        let last = end.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let verdict: Option<VerdictLine> = serde_json::from_slice(last).ok();
        let verdict = verdict.filter(|verdict| verdict.r#type == "verdict");
        if verdict.is_none() && !is_foreign {
            return Err(Failed::skip(Cause::NoVerdict, "it prints none"));
        }
        let (digest, signature) = verdict.map_or((None, None), |verdict| (verdict.digest, verdict.signature));
        let failure = (status.code() == Some(1)).then_some(Signature(signature));
        Ok(Ran { told: digest.unwrap_or(printed), failure })
    }

    /// Runs a schedule, and has it told event by event in the file `name`.
    pub fn trace(&mut self, commit: &Commit, schedule: &Path, name: &str) -> Result<Told, Failed> {
        let mut command = match self.recipe.trace.as_ref().or(self.recipe.run.as_ref()) {
            Some(trace) => self.shell(&with_schedule(trace, schedule)),
            None => self.replay(commit, schedule, &["--json", "--no-keep"]),
        };
        let status = self.finished(commit, &mut command, name)?;
        Ok(Told::file(&self.place.path.join(name), status.to_string())?)
    }

    fn replay(&self, commit: &Commit, schedule: &Path, flags: &[&str]) -> Command {
        let mut command = self.command(self.program(commit));
        command.arg("replay").arg(schedule).args(flags);
        command
    }

    /// The status of a run that came to a verdict. What it prints goes to the file `name`.
    fn finished(&mut self, commit: &Commit, command: &mut Command, name: &str) -> Result<ExitStatus, Failed> {
        command.stdout(self.file(name)?).stderr(self.file(ERRORS)?);
        let limit = self.recipe.timeout;
        match self.child(commit, "runs", command, Some(limit), name) {
            Ok(Ended::Exited(status)) if status.success() => Ok(status),
            Ok(Ended::Exited(status)) => {
                let errors = fs::read(self.place.path.join(ERRORS)).unwrap_or_default();
                let errors = String::from_utf8_lossy(&errors);
                match (of_the_machine(&errors), status.code()) {
                    (Some(line), _) => {
                        Err(Refusal::new(format!("{commit} cannot be run on this machine now: {line}"))
                            .into())
                    }
                    (None, Some(1)) => Ok(status),
                    (None, _) => Err(Failed::Skip(without_verdict(status, &errors))),
                }
            }
            Ok(Ended::Stopped) => Err(Failed::skip(Cause::NoVerdict, "a run prints without end")),
            Ok(Ended::TimedOut) => {
                let reason = format!("a run takes longer than {}, its --timeout", Span(limit));
                Err(Failed::skip(Cause::NoVerdict, reason))
            }
            Err(Stop::NotStarted { error, .. }) => {
                Err(Failed::skip(Cause::NoCommand, format!("its vertebra cannot be started: {error}")))
            }
            Err(stop) => Err(stop.into()),
        }
    }
}

/// A digest over all that a program printed, and the end of it, in which its last line is.
fn printed(path: &Path) -> std::io::Result<(String, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut digest = Xxh3::new();
    let length = std::io::copy(&mut file, &mut digest)?;
    file.seek(SeekFrom::Start(length.saturating_sub(VERDICT_BYTES_MAX)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok((format!("{:032x}", digest.digest128()), end))
}

/// A command with the schedule's path in its place.
pub fn with_schedule(command: &str, schedule: &Path) -> String {
    command.replace(SCHEDULE, &shell_quoted(&schedule.to_string_lossy()))
}

/// Why a run that ended with `status` has no verdict, by what it wrote on standard error.
fn without_verdict(status: ExitStatus, errors: &str) -> Skip {
    let named = errors.lines().find(|line| line.starts_with("error"));
    let said = named.or_else(|| errors.lines().rfind(|line| !line.trim().is_empty()));
    let said = said.unwrap_or("it does not say why").trim_start_matches("error: ");
    let is_of_the_command_line = OF_THE_COMMAND_LINE.iter().any(|sign| said.starts_with(sign));
    let (cause, ended) = match status.code() {
        Some(2) if is_of_the_command_line => (Cause::NoCommand, None),
        Some(126 | 127) => (Cause::NoCommand, None),
        Some(2) => (Cause::Unreadable, None),
        Some(3) => (Cause::Nondeterminism, None),
        Some(125) => (Cause::NoVerdict, Some("a run does not apply (125)".to_owned())),
        Some(code) => (Cause::NoVerdict, Some(format!("a run ends with exit code {code}"))),
        None => (Cause::NoVerdict, Some(format!("a run ends with {status}"))),
    };
    let ended = ended.map_or(String::new(), |ended| ended + ": ");
    Skip { cause, reason: format!("{ended}{said}") }
}
