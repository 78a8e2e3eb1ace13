//! `vertebra conform`: whether the model and a real etcd answer alike.
//!
//! | | where |
//! | --- | --- |
//! | what is asked, as data; and how a seed makes it | `sequence`, `generate` |
//! | who is asked: a real server, or the model | `side`, `endpoint`, `simulated` |
//! | how, and when a step is over | `drive` |
//! | what must differ from server to server | `frame` |
//! | both sides, and where their answers part | `pair`, `compare` |
//! | what is known to differ, and why | `known` |
//! | the shortest sequence that shows a difference, and how it is told | `reduce`, `tell`, `by_hand` |

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use vertebra_sim::seeds::Seeds;

use self::drive::Session;
use self::endpoint::Endpoint;
use self::known::Known;
use self::pair::{AnySide, Judgement, Pair};
use self::progress::Progress;
use self::reduce::Limits;
use self::sequence::Sequence;
use self::tell::{Finding, Summary};
use crate::exit::{Outcome, Refusal};
use crate::failure::write_atomically;
use crate::interrupt::stop_on_interrupt;
use crate::output::Output;

mod by_hand;
mod compare;
mod drive;
mod endpoint;
mod frame;
mod generate;
mod known;
mod methods;
mod pair;
mod progress;
mod reduce;
mod sequence;
mod side;
mod simulated;
mod tell;
#[cfg(test)]
mod tests;

/// How long the search for the shortest sequence may take, for each kind of difference.
const REDUCTION: Duration = Duration::from_secs(60);
/// After so many kinds of differences, a run ends.
const KINDS_MAX: usize = 20;

const EXAMPLES: &str = "\
Examples:
  vertebra conform --endpoint http://127.0.0.1:2379
  vertebra conform --endpoint http://127.0.0.1:2379 --seeds 0..20000 --json
  vertebra conform --endpoint http://127.0.0.1:2379 --seed 4711 --save difference.json
  vertebra conform --endpoint http://127.0.0.1:2379 --replay difference.json";

/// Flags of `vertebra conform`.
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}

Each seed makes a sequence of requests, which goes to the real server and to a cluster of the model.
All fields of all responses are compared, with codes and texts of errors, but for what must differ:
identifiers, terms, sizes, hashes, tokens; revisions count from the start of the sequence.

The server has to be empty, and is left empty: each sequence begins with the deletion of all that is
there. A server with something on it is refused, unless --wipe allows to delete it.

With --json, each line is an object. Its `type` is one of:
  difference  seed, version, steps (the shortest sequence, as --save writes it), differences (each with
              step, method, field, at, model, real), text (what is told without --json), command
  summary     the last line: end (all-seeds, interrupt, kinds), version, seeds, steps, compared,
              differing (seeds), unsteady (seeds that differed once and not again), kinds, known (name,
              met, reason), wall_time_ms

Exit code 0: no difference that is not known; 1: there are some; 2: wrong usage, or the server cannot
be reached; 130: Ctrl-C.")
)]
pub struct Flags {
    /// The real etcd: http://HOST:PORT
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    endpoint: String,
    /// Compare it with this server in the place of the model
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    against: Option<String>,
    /// The seeds to run
    #[arg(long, value_name = "RANGE", default_value = "0..1000", conflicts_with_all = ["seed", "replay"])]
    seeds: Seeds,
    /// Run this one, and tell all that is asked and answered
    #[arg(long, value_name = "SEED", conflicts_with = "replay")]
    seed: Option<u64>,
    /// Run the sequence in this file, and tell all that is asked and answered
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    replay: Option<PathBuf>,
    /// Requests of each sequence
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    requests: u32,
    /// Delete what is on the server
    #[arg(long)]
    wipe: bool,
    /// End at the first difference
    #[arg(long)]
    fail_fast: bool,
    /// Tell what is found as JSON, one object on each line
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Write the first difference to this file, or the sequence of --seed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    save: Option<PathBuf>,
}

/// Compares.
pub fn conform(flags: &Flags) -> Result<Outcome, Refusal> {
    let stop = stop_on_interrupt()?;
    let real: AnySide = Box::new(Endpoint::connect(&flags.endpoint)?);
    let mut real = Session::new(real, flags.endpoint.clone());
    let version = real.version()?;
    empty(&mut real, flags.wipe)?;
    let model = match &flags.against {
        Some(url) => {
            let other: AnySide = Box::new(Endpoint::connect(url)?);
            let mut other = Session::new(other, url.clone());
            empty(&mut other, flags.wipe)?;
            other
        }
        None => Session::new(Box::new(simulated::Simulated::new()?) as AnySide, "the model".to_owned()),
    };
    // Two real servers have no excuse.
    let known = match flags.against {
        Some(_) => Known { difference: Vec::new(), ..Known::built_in(&version)? },
        None => Known::built_in(&version)?,
    };
    let mut run = Run {
        flags,
        pair: Pair { model, real, known },
        summary: Summary::new(version),
        stop: &stop,
        out: Output::stdout(),
        saved: false,
    };
    let outcome = match (flags.seed, &flags.replay) {
        (Some(seed), _) => {
            let sequence = run.generate(seed);
            run.one(sequence)
        }
        (None, Some(path)) => run.one(read(path)?),
        (None, None) => run.seeds(),
    };
    // Whatever happened, nothing of ours stays.
    let _ = run.pair.real.delete_keys();
    let outcome = outcome?;
    run.out.finish()?;
    Ok(outcome)
}

/// Makes sure that nothing is lost on a server that somebody needs.
fn empty(session: &mut Session<AnySide>, wipe: bool) -> Result<(), Refusal> {
    let contents =
        session.contents().map_err(|refusal| Refusal::new(format!("{refusal}; is authentication on?")))?;
    if contents.is_empty() {
        return Ok(());
    }
    match wipe {
        true => session.wipe(),
        false => Err(Refusal::new(format!(
            "{}: there are {contents} on this server, and all would be deleted; with --wipe they are",
            session.name
        ))),
    }
}

fn read(path: &std::path::Path) -> Result<Sequence, Refusal> {
    let refuse = |reason: String| Refusal::new(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let json = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    let sequence = Sequence::from_json(json).map_err(refuse)?;
    match sequence.steps.iter().position(reduce::is_harmful) {
        Some(step) => Err(refuse(format!("step {step} would leave a server that cannot be used"))),
        None => Ok(sequence),
    }
}

struct Run<'a> {
    flags: &'a Flags,
    pair: Pair,
    summary: Summary,
    stop: &'a AtomicBool,
    out: Output,
    saved: bool,
}

impl Run<'_> {
    /// The sequence of a seed, but for what this server would not survive.
    fn generate(&mut self, seed: u64) -> Sequence {
        let mut sequence = generate::generate(seed, self.flags.requests as usize);
        self.summary.spared += self.pair.known.spare(&mut sequence);
        sequence
    }

    fn seeds(&mut self) -> Result<Outcome, Refusal> {
        let began = Instant::now();
        let seeds = self.flags.seeds;
        let mut progress = Progress::new((!seeds.is_endless()).then(|| seeds.count()));
        for seed in seeds.first..=seeds.last {
            if self.stop.load(Ordering::Relaxed) {
                self.summary.end = "interrupt";
                break;
            }
            let sequence = self.generate(seed);
            let judgement = self
                .pair
                .judge(&sequence)
                .map_err(|refusal| Refusal::new(format!("seed {seed}: {refusal}")))?;
            self.summary.add(&self.pair.known, &sequence, &judgement);
            if !judgement.differences.is_empty() {
                progress.clear();
                self.difference(&sequence, judgement)?;
                if self.flags.fail_fast && self.summary.differing > 0 || self.summary.kinds.len() >= KINDS_MAX
                {
                    self.summary.end = "kinds";
                    break;
                }
            }
            progress.tell(&self.summary, began.elapsed());
        }
        progress.clear();
        self.summary.tell(&mut self.out, &self.pair.known, began.elapsed(), self.flags.json);
        Ok(match (self.summary.end, self.summary.differing) {
            ("interrupt", _) => Outcome::Interrupted,
            (_, 0) => Outcome::Pass,
            _ => Outcome::Different,
        })
    }

    /// A sequence whose answers differ: once more, and if they do again, as short as can be.
    fn difference(&mut self, sequence: &Sequence, first: Judgement) -> Result<(), Refusal> {
        let again = self.pair.judge(sequence)?;
        if again.differences.is_empty() {
            self.summary.unsteady.push((sequence.seed, first.differences[0].clone()));
            return Ok(());
        }
        self.summary.differing += 1;
        let (method, field) = again.differences[0].kind();
        if !self.summary.note_kind(method, field) {
            return Ok(());
        }
        let limits = Limits { deadline: Instant::now() + REDUCTION, stop: self.stop };
        let (shortest, judgement) = reduce::reduce(&mut self.pair, sequence, again, &limits)?;
        if let Some(path) = self.flags.save.as_ref().filter(|_| !self.saved) {
            self.saved = true;
            save(path, &shortest)?;
        }
        let finding =
            Finding { sequence: &shortest, judgement: &judgement, seed: sequence.seed, flags: self.flags };
        finding.tell(&mut self.out, &self.summary.version, self.flags.json);
        let _ = std::io::Write::flush(&mut self.out);
        Ok(())
    }

    /// One sequence, with all that is asked and answered.
    fn one(&mut self, sequence: Sequence) -> Result<Outcome, Refusal> {
        let judgement = self.pair.judge(&sequence)?;
        if let Some(path) = self.flags.save.as_ref() {
            save(path, &sequence)?;
        }
        self.summary.add(&self.pair.known, &sequence, &judgement);
        let finding =
            Finding { sequence: &sequence, judgement: &judgement, seed: sequence.seed, flags: self.flags };
        finding.tell_all(&mut self.out, &self.summary.version, self.flags.json);
        Ok(if judgement.differences.is_empty() { Outcome::Pass } else { Outcome::Different })
    }
}

fn save(path: &std::path::Path, sequence: &Sequence) -> Result<(), Refusal> {
    let text = serde_json::to_string_pretty(&sequence.to_json()).map_err(|error| error.to_string())? + "\n";
    write_atomically(path, &text).map_err(|error| Refusal::new(format!("{}: {error}", path.display())))
}
