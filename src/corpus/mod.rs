//! `vertebra corpus`: schedules that are worth keeping, each with the verdict that it must give.
//!
//! The verdict stands in the first line of the file, `# verdict: pass` or `# verdict: ` and the signature of a
//! violation. `vertebra shrink` writes that line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anstyle::AnsiColor;
use clap::{Args, ValueHint};
use serde::Serialize;
use vertebra_sim::run;
use vertebra_sim::schedule::Schedule;

use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::interrupt::stop_on_interrupt;
use crate::jobs::Jobs;
use crate::output::{Line, Output};
use crate::words::counted;

mod renew;

/// How the line of the verdict begins.
const HEAD: &str = "# verdict: ";
/// The verdict of a run without a violation.
const PASS: &str = "pass";

/// Flags of `vertebra corpus`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  vertebra corpus
  vertebra corpus seeds/stale-read.toml
  vertebra corpus --renew && git diff seeds",
    after_long_help = "\
Examples:
  vertebra corpus
  vertebra corpus seeds/stale-read.toml
  vertebra corpus --renew && git diff seeds

The first line of each schedule says which verdict it must give: `# verdict: pass`, or
`# verdict: ` and the signature of a violation. `vertebra shrink --save seeds/NAME.toml` writes it.

--renew writes schedules as this version writes them: with the fields that it has and they lack,
which get their usual values, and with the signature that it gives to their failures. A schedule
that must fail and passes, or must pass and fails, is never renewed.

With --json, each line is an object: type (schedule), path, standing (as-expected, differs,
unreadable), expected, found, reason, renewed (the lines that changed); the last one is type
(summary), with schedules, as_expected, differing, unreadable, renewed.

Exit code 0: all are as expected; 1: one is not, or cannot be read."
)]
pub struct Flags {
    /// Schedule files, and folders with such
    #[arg(value_name = "FOLDER|FILE", value_hint = ValueHint::AnyPath, default_value = "seeds")]
    paths: Vec<PathBuf>,
    /// Write what is out of date anew
    #[arg(long)]
    renew: bool,
    #[command(flatten)]
    jobs: Jobs,
    /// Tell it as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// The first line of a schedule that must give this verdict: the signature of a violation, or that it passes.
pub(crate) fn head_line(signature: Option<&str>) -> String {
    format!("{HEAD}{}\n", Line(signature.unwrap_or(PASS)))
}

/// How a schedule stands to the verdict in its first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "standing", rename_all = "kebab-case")]
pub enum Standing {
    /// It gives that verdict.
    AsExpected {
        /// The verdict.
        expected: String,
    },
    /// It gives another.
    Differs {
        /// What it must give.
        expected: String,
        /// What it gives.
        found: String,
    },
    /// It cannot be run: it is no schedule, or none of this version, or says nothing of its verdict.
    Unreadable {
        /// Why, with the place in the file.
        reason: String,
    },
}

/// A schedule of the corpus.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

/// The schedule files that `paths` name, in order: files as they are, of a folder those that end in `.toml`, in folders inside of
/// it too.
///
/// # Errors
///
/// If there is nothing at a path, or no schedule in a folder.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Refusal> {
    let mut files = Vec::new();
    for path in paths {
        let refuse = |reason: String| Refusal::new(format!("{}: {reason}", path.display()));
        let is_folder = fs::metadata(path).map_err(|error| refuse(error.to_string()))?.is_dir();
        if !is_folder {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        gather(path, &mut inside).map_err(|error| refuse(error.to_string()))?;
        if inside.is_empty() {
            return Err(refuse("there is no schedule in this folder".to_owned()));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// Adds the schedules in a folder to `inside`.
fn gather(folder: &Path, inside: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // Links are not followed: they may lead in a circle.
        if entry.file_type()?.is_dir() {
            gather(&path, inside)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            inside.push(path);
        }
    }
    Ok(())
}

/// Runs each schedule, on `jobs` threads, and says how it stands; in the order of `files`. Once `stop` is set, no
/// other is begun, and the rest is left out.
#[must_use]
pub fn check<S: Subject>(files: &[PathBuf], jobs: usize, stop: &AtomicBool) -> Vec<Entry> {
    let (next, entries) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(files.len())));
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(files.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = files.get(index) else { break };
                    let entry = Entry { path: path.clone(), standing: standing::<S>(path) };
                    entries.lock().unwrap_or_else(PoisonError::into_inner).push((index, entry));
                }
            });
        }
    });
    let mut entries = entries.into_inner().unwrap_or_else(PoisonError::into_inner);
    entries.sort_by_key(|(index, _)| *index);
    entries.into_iter().map(|(_, entry)| entry).collect()
}

fn standing<S: Subject>(path: &Path) -> Standing {
    let name = path.display().to_string();
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => return Standing::Unreadable { reason: format!("{name}: {error}") },
    };
    let Some(expected) = expected(&text) else {
        let reason = format!("{name}:1: the first line must be `{HEAD}{PASS}`, or `{HEAD}` and a signature");
        return Standing::Unreadable { reason };
    };
    match Schedule::<S::Options>::read(&name, &text, S::NAME, S::shape) {
        Err(error) => Standing::Unreadable { reason: error.to_string() },
        Ok(schedule) => {
            let found = run::<S>(&schedule, None).verdict.signature().unwrap_or_else(|| PASS.to_owned());
            match found == expected {
                true => Standing::AsExpected { expected },
                false => Standing::Differs { expected, found },
            }
        }
    }
}

/// The verdict in the first line.
fn expected(text: &[u8]) -> Option<String> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let verdict = std::str::from_utf8(line).ok()?.strip_prefix(HEAD)?.trim();
    (!verdict.is_empty()).then(|| verdict.to_owned())
}

/// Checks or renews the corpus.
pub(crate) fn corpus<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let files = files(&flags.paths)?;
    let stop = stop_on_interrupt()?;
    let mut entries = check::<S>(&files, flags.jobs.count(), &stop);
    let mut out = Output::stdout();
    let mut sums = Sums { r#type: "summary", schedules: entries.len(), ..Sums::default() };
    for entry in &mut entries {
        let renewed = match flags.renew {
            true => renew::renew::<S>(entry)?,
            false => Vec::new(),
        };
        sums.add(entry, &renewed);
        match flags.json {
            true => out.json(&EntryLine { r#type: "schedule", entry, renewed }),
            false => tell(&mut out, entry, &renewed),
        }
    }
    match flags.json {
        true => out.json(&sums),
        false => sums.tell(&mut out),
    }
    out.finish()?;
    if entries.len() < files.len() {
        return Ok(Outcome::Interrupted);
    }
    Ok(if sums.as_expected == sums.schedules { Outcome::Pass } else { Outcome::Violation })
}

fn tell(out: &mut Output, entry: &Entry, renewed: &[String]) {
    let path = entry.path.display().to_string();
    let red = AnsiColor::Red.on_default().bold();
    match &entry.standing {
        Standing::AsExpected { expected } => {
            let word = if renewed.is_empty() { "ok" } else { "renewed" };
            let word =
                out.paint(AnsiColor::Green.on_default().bold(), format_args!("{word:<11}")).to_string();
            out.line(format_args!("{word}{}  {}", Line(&path), Line(expected)));
        }
        Standing::Differs { expected, found } => {
            let word = out.paint(red, format_args!("{:<11}", "differs")).to_string();
            out.line(format_args!("{word}{}", Line(&path)));
            out.line(format_args!("{:<11}expected  {}", "", Line(expected)));
            out.line(format_args!("{:<11}found     {}", "", Line(found)));
        }
        Standing::Unreadable { reason } => {
            let word = out.paint(red, format_args!("{:<11}", "unreadable")).to_string();
            out.line(format_args!("{word}{}", Line(reason)));
        }
    }
    for line in renewed {
        out.line(format_args!("{:<11}{}", "", Line(line)));
    }
}

/// A line of `corpus --json`.
#[derive(Serialize)]
struct EntryLine<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    entry: &'a Entry,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    renewed: Vec<String>,
}

/// How the corpus as a whole stands.
#[derive(Default, Serialize)]
struct Sums {
    r#type: &'static str,
    schedules: usize,
    as_expected: usize,
    differing: usize,
    unreadable: usize,
    renewed: usize,
}

impl Sums {
    fn add(&mut self, entry: &Entry, renewed: &[String]) {
        match entry.standing {
            Standing::AsExpected { .. } => self.as_expected += 1,
            Standing::Differs { .. } => self.differing += 1,
            Standing::Unreadable { .. } => self.unreadable += 1,
        }
        self.renewed += usize::from(!renewed.is_empty());
    }

    fn tell(&self, out: &mut Output) {
        let counts = [
            (self.as_expected, "as expected"),
            (self.differing, "differ"),
            (self.unreadable, "unreadable"),
            (self.renewed, "renewed"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        out.line(format_args!("{}: {}", counted(self.schedules as u64, "schedule"), counts.join(", ")));
    }
}
