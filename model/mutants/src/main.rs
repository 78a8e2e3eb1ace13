//! Mutates the members of the model, and sees whether a sweep notices.
//!
//! ```text
//! find: places and mutants of each file ──> splice: one text with all of them ──> viable: those that compile
//!                                                                                      │
//! report <── results: a line of JSON each <── trial: a sweep over the seeds <── trace: which seeds reach which mutant
//!                                             that reach it
//! ```
//!
//! All mutants are in one program, and an environment variable says which one is on: building them one by one would take days.
//! It runs on Unix.

mod areas;
mod find;
mod mutants;
mod reached;
mod report;
mod results;
mod splice;
mod trial;
mod viable;
mod workspace;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use clap::Parser;

use crate::mutants::Mutant;
use crate::reached::Reached;
use crate::results::{Results, Verdict};
use crate::trial::{Outcome, Program};
use crate::viable::Built;
use crate::workspace::Workspace;

/// Mutate the members of the model, and see whether a sweep notices
#[derive(Parser, Debug)]
#[command(after_help = "\
Examples, from the workspace's folder:
  cargo run -p vertebra-model-mutants -- --sample 150
  cargo run -p vertebra-model-mutants -- --only mvcc/txn.rs
  cargo run -p vertebra-model-mutants -- --only mvcc/txn.rs:120 --list

One that was ended goes on where it was, as long as the code is the same.")]
struct Flags {
    /// Only the mutants of these files or folders below model/src, lines of them (FILE:LINE), or numbers. A file that belongs to
    /// no area is mutated as well
    #[arg(long, value_name = "WHICH")]
    only: Vec<String>,
    /// Only so many, drawn among those that compile
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Draws another sample
    #[arg(long, value_name = "N", default_value_t = 0)]
    sample_seed: u64,
    /// The sweep that must notice
    #[arg(long, value_name = "FIRST..END", default_value = "0..2000", value_parser = seeds)]
    seeds: (u64, u64),
    /// How many processes run at once [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// List mutants, and run none. They are listed before it is known whether they compile
    #[arg(long)]
    list: bool,
    /// Write the tables to this file, in Markdown
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The workspace
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    root: PathBuf,
    /// What is built and found is kept here [default: target/mutants in the workspace]
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once("..").and_then(|(first, end)| Some((first.parse().ok()?, end.parse().ok()?)));
    match parts {
        Some((first, end)) if first < end => Ok((first, end)),
        _ => Err("two numbers as in 0..2000, the first the smaller one".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(flags: &Flags) -> io::Result<()> {
    let source = flags.root.join("model/src");
    let library = fs::read_to_string(source.join("lib.rs")).map_err(|error| {
        io::Error::other(format!(
            "{}: {error}; run this in the workspace, or name it with --root",
            source.display()
        ))
    })?;
    let paths = flags.only.iter().map(|only| only.split(':').next().unwrap_or(only));
    let paths: Vec<String> = paths
        .filter(|path| path.parse::<u32>().is_err())
        .map(|path| path.trim_end_matches('/').to_owned())
        .collect();
    let (files, found) = mutants::find(&source, &paths)?;
    let wanted: Vec<Mutant> = found.iter().filter(|mutant| is_wanted(mutant, &flags.only)).cloned().collect();
    if flags.list {
        wanted.iter().for_each(|mutant| println!("{}", tell(mutant)));
        return Ok(());
    }

    let scratch = flags.scratch.clone().unwrap_or_else(|| flags.root.join("target/mutants"));
    fs::create_dir_all(&scratch)?;
    let scratch = fs::canonicalize(scratch)?;
    let is_spliced = |path: &str| {
        let path = path.strip_prefix("model/src/");
        path.is_some_and(|path| path == "lib.rs" || files.iter().any(|file| file.path == path))
    };
    let workspace = Workspace::copy(&flags.root, &scratch, is_spliced)?;
    // The numbers depend on which files are mutated.
    let code = format!("{}-{}", workspace.code, found.len());
    let Built { program, left_out } =
        viable::build(&workspace, &library, &files, &scratch.join(format!("not-viable-{code}")))?;
    let program = Program { path: program, scratch: scratch.clone() };
    let is_viable = |mutant: &&Mutant| !left_out.contains(&mutant.number);
    let viable: Vec<Mutant> = wanted.iter().filter(is_viable).cloned().collect();
    eprintln!("{} mutants, of which {} compile", wanted.len(), viable.len());

    let jobs =
        flags.jobs.or_else(|| thread::available_parallelism().ok().map(usize::from)).unwrap_or(1).max(1);
    let reached = reached::trace(&program, flags.seeds, jobs, &scratch.join(format!("reached-{code}")))?;
    let tried = match flags.sample {
        Some(count) => mutants::sample(&viable, count, flags.sample_seed),
        None => viable.clone(),
    };
    let mut results = Results::open(&scratch.join("results.jsonl"), &code, flags.seeds)?;
    try_all(&program, &reached, &tried, jobs, &code, flags.seeds, &mut results)?;

    let mut verdicts: Vec<&Verdict> =
        tried.iter().filter_map(|mutant| results.verdicts.get(&mutant.number)).collect();
    verdicts.sort_by_key(|verdict| verdict.mutant.number);
    let reasons = results::reasons(&flags.root.join("model/mutants/reasons.toml"))?;
    let by_area = report::by_area(&count_by_area(&viable), &verdicts);
    let by_signature = report::by_signature(&verdicts);
    let survivors = report::survivors(&verdicts, &reasons);
    println!("{by_area}\n{by_signature}\n{survivors}");
    if let Some(path) = &flags.report {
        fs::write(path, format!("{by_area}\n{by_signature}\n## Survivors\n\n{survivors}"))?;
    }
    Ok(())
}

/// Tries those that have no verdict yet, several at once, and writes each verdict as it comes.
fn try_all(
    program: &Program,
    reached: &Reached,
    tried: &[Mutant],
    jobs: usize,
    code: &str,
    seeds: (u64, u64),
    results: &mut Results,
) -> io::Result<()> {
    let left: VecDeque<&Mutant> =
        tried.iter().filter(|mutant| !results.verdicts.contains_key(&mutant.number)).collect();
    let count = left.len();
    let queue = Mutex::new(left);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let queue = &queue;
            scope.spawn(move || {
                loop {
                    let Some(mutant) = queue.lock().expect("nobody panics with it").pop_front() else {
                        return;
                    };
                    let began = Instant::now();
                    let outcome =
                        program.trial(mutant.number, reached.seeds(mutant.number), &reached.digests);
                    let outcome = outcome.map(|outcome| Verdict {
                        code: code.to_owned(),
                        seeds,
                        mutant: mutant.clone(),
                        outcome,
                        seconds: began.elapsed().as_secs_f64(),
                    });
                    // Nobody listens once one has failed.
                    if sender.send(outcome).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut noticed = 0;
        for (index, verdict) in receiver.into_iter().enumerate() {
            let verdict = verdict?;
            noticed += u64::from(verdict.outcome.is_noticed());
            let end = match &verdict.outcome {
                Outcome::Killed { seed, signature } => format!("killed by seed {seed}: {signature}"),
                Outcome::OutOfTime { seeds } => format!("out of time in seeds {seeds:?}"),
                Outcome::Crashed { seeds, status } => format!("crashed in seeds {seeds:?}: {status}"),
                Outcome::Survived { reached, altered } => {
                    format!("SURVIVED {reached} seeds, {altered} altered")
                }
            };
            eprintln!("{}/{count}, {noticed} noticed; {}: {end}", index + 1, tell(&verdict.mutant));
            results.add(verdict)?;
        }
        Ok(())
    })
}

fn is_wanted(mutant: &Mutant, only: &[String]) -> bool {
    let fits = |only: &String| match (only.parse::<u32>(), only.split_once(':')) {
        (Ok(number), _) => mutant.number == number,
        (_, Some((file, line))) => mutant.file == file && mutant.line.to_string() == line,
        (_, None) => Path::new(&mutant.file).starts_with(only),
    };
    only.is_empty() || only.iter().any(fits)
}

fn tell(mutant: &Mutant) -> String {
    let Mutant { number, file, line, column, function, what, .. } = mutant;
    format!("{number} {file}:{line}:{column} {function}: {what}")
}

fn count_by_area(mutants: &[Mutant]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for mutant in mutants {
        *counts.entry(mutant.area.clone()).or_default() += 1;
    }
    counts
}
