//! `vertebra conform`: whether the model and a real etcd answer alike.
//!
//! | | where |
//! | --- | --- |
//! | what is asked, as data; and how a seed makes it | `sequence`, `generate` |
//! | who is asked: a real server, or the model | `side`, `endpoint`, `simulated` |
//! | how, and when a step is over | `drive` |
//! | what must differ from server to server | `frame`, `equals` |
//! | both sides, and where their answers part; many of both, side by side | `pair`, `compare`, `pool` |
//! | what is known to differ, and why | `known` |
//! | the shortest sequence that shows a difference, and how it is told | `reduce`, `tell`, `by_hand` |

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use vertebra_sim::seeds::Seeds;

use self::drive::{Patience, Session};
use self::endpoint::Endpoint;
use self::known::Known;
use self::pair::{AnySide, Judgement, Pair};
use self::pool::Done;
use self::progress::Progress;
use self::reduce::Limits;
use self::sequence::Sequence;
use self::tell::{Finding, Summary};
use crate::exit::{Outcome, Refusal};
use crate::interrupt::stop_on_interrupt;
use crate::output::Output;
use crate::written::write_atomically;

mod by_hand;
mod compare;
mod drive;
mod endpoint;
mod equals;
mod frame;
mod generate;
mod known;
mod methods;
mod pair;
mod pool;
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
  vertebra conform --endpoint http://127.0.0.1:2379 --endpoint http://127.0.0.1:12379
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

With several --endpoint, of one version and each a cluster of its own, sequences go to all of them
side by side, one at a time to each. What is told is the same, in the order of the seeds.

With --json, each line is an object. Its `type` is one of:
  difference  seed, version, steps (the shortest sequence, as --save writes it), differences (each with
              step, method, field, at, model, real), text (what is told without --json), command
  summary     the last line: end (all-seeds, interrupt, kinds), version, seeds, steps, compared,
              spared, differing (seeds), unsteady (seeds that differed once and not again), kinds,
              known (name, met, reason), wall_time_ms

Exit code 0: no difference that is not known; 1: there are some; 2: wrong usage, or the server cannot
be reached; 130: Ctrl-C.")
)]
pub struct Flags {
    /// The real etcd: http://HOST:PORT; with several, they share the work
    #[arg(long = "endpoint", value_name = "URL", value_hint = ValueHint::Url, required = true)]
    endpoints: Vec<String>,
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
    let (version, pairs) = connect(flags)?;
    let mut run = Run {
        flags,
        pairs,
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
    for pair in &mut run.pairs {
        let _ = pair.real.delete_keys();
    }
    let outcome = outcome?;
    run.out.finish()?;
    Ok(outcome)
}

/// Each server with a side of its own to compare it with, and the version that all have.
fn connect(flags: &Flags) -> Result<(String, Vec<Pair>), Refusal> {
    if flags.against.is_some() && flags.endpoints.len() > 1 {
        return Err(Refusal::new(
            "--against compares two servers: with it, there can be only one --endpoint",
        ));
    }
    let mut reals = Vec::new();
    let mut version = None;
    for url in flags.endpoints.iter().chain(&flags.against) {
        let side: AnySide = Box::new(Endpoint::connect(url)?);
        let mut real = Session::new(side, url.clone());
        let its = real.version()?;
        let first = version.get_or_insert_with(|| its.clone());
        if *first != its && flags.against.is_none() {
            return Err(Refusal::new(format!("{url}: etcd {its}, but {} is {first}", flags.endpoints[0])));
        }
        empty(&mut real, flags.wipe)?;
        reals.push(real);
    }
    are_apart(&mut reals)?;
    let version = version.unwrap_or_default();
    let mut known = Known::built_in(&version)?;
    let mut pairs = Vec::new();
    if flags.against.is_some() {
        // Two real servers have no excuse.
        known.difference.clear();
        if let (Some(model), Some(real)) = (reals.pop(), reals.pop()) {
            pairs.push(Pair { model, real, known });
        }
    } else {
        for real in reals {
            let model: AnySide = Box::new(simulated::Simulated::new()?);
            let model = Session::new(model, "the model".to_owned());
            pairs.push(Pair { model, real, known: known.clone() });
        }
    }
    Ok((version, pairs))
}

/// Makes sure that no two of these are one: what is put to one must not be on another.
fn are_apart(sessions: &mut [Session<AnySide>]) -> Result<(), Refusal> {
    for first in 0..sessions.len() {
        sessions[first].put_a_key()?;
        for second in first + 1..sessions.len() {
            if !sessions[second].contents()?.is_empty() {
                let (first, second) = (&sessions[first].name, &sessions[second].name);
                return Err(Refusal::new(format!("{first} and {second} are of one cluster")));
            }
        }
    }
    Ok(())
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
    pairs: Vec<Pair>,
    summary: Summary,
    stop: &'a AtomicBool,
    out: Output,
    saved: bool,
}

impl Run<'_> {
    /// The sequence of a seed, but for what this server would not survive.
    fn generate(&mut self, seed: u64) -> Sequence {
        let mut sequence = generate::generate(seed, self.flags.requests as usize);
        self.summary.spared += self.pairs[0].known.spare(&mut sequence);
        sequence
    }

    fn seeds(&mut self) -> Result<Outcome, Refusal> {
        let began = Instant::now();
        let seeds = self.flags.seeds;
        let mut progress = Progress::new((!seeds.is_endless()).then(|| seeds.count()));
        let mut rest = seeds.first..=seeds.last;
        while !rest.is_empty() && self.summary.end != "kinds" {
            // A difference needs all the pairs: they come back for it.
            let mut found = None;
            let mut refused = None;
            let Self { flags, pairs, summary, stop, .. } = self;
            let known = pairs[0].known.clone();
            rest = pool::judge(pairs, rest, flags.requests as usize, stop, |seed, done| {
                let Done { sequence, spared, first, again } = match done {
                    Ok(done) => done,
                    Err(refusal) => {
                        refused = Some(Refusal::new(format!("seed {seed}: {refusal}")));
                        return ControlFlow::Break(());
                    }
                };
                summary.spared += spared;
                summary.add(&known, &sequence, &first);
                progress.tell(summary, began.elapsed());
                found = again.map(|again| (first, again));
                if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if let Some(refusal) = refused {
                return Err(refusal);
            }
            if let Some((first, again)) = found {
                progress.clear();
                self.difference(first, again)?;
                let is_enough = self.summary.kinds.len() >= KINDS_MAX;
                if self.flags.fail_fast && self.summary.differing > 0 || is_enough {
                    self.summary.end = "kinds";
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                self.summary.end = "interrupt";
                break;
            }
        }
        progress.clear();
        self.summary.tell(&mut self.out, &self.pairs[0].known, began.elapsed(), self.flags.json);
        Ok(match (self.summary.end, self.summary.differing) {
            ("interrupt", _) => Outcome::Interrupted,
            (_, 0) => Outcome::Pass,
            _ => Outcome::Different,
        })
    }

    /// A sequence whose answers differ: if they did once more, as short as can be.
    fn difference(&mut self, first: Judgement, again: Judgement) -> Result<(), Refusal> {
        let seed = first.sequence.seed;
        if again.differences.is_empty() {
            self.summary.unsteady.push((seed, first.differences[0].clone()));
            return Ok(());
        }
        self.summary.differing += 1;
        let (method, field) = again.differences[0].kind();
        if !self.summary.note_kind(method, field) {
            return Ok(());
        }
        let limits = Limits { deadline: Instant::now() + REDUCTION, stop: self.stop };
        let (shortest, judgement) = reduce::reduce(&mut self.pairs[0], again, &limits)?;
        if let Some(path) = self.flags.save.as_ref().filter(|_| !self.saved) {
            self.saved = true;
            save(path, &shortest)?;
        }
        let finding = Finding { sequence: &shortest, judgement: &judgement, seed, flags: self.flags };
        finding.tell(&mut self.out, &self.summary.version, self.flags.json);
        let _ = std::io::Write::flush(&mut self.out);
        Ok(())
    }

    /// One sequence, with all that is asked and answered.
    fn one(&mut self, sequence: Sequence) -> Result<Outcome, Refusal> {
        let judgement = self.pairs[0].judge(&sequence, Patience::Time)?;
        if let Some(path) = self.flags.save.as_ref() {
            save(path, &sequence)?;
        }
        self.summary.add(&self.pairs[0].known, &sequence, &judgement);
        for (step, entry) in &judgement.left_out {
            let name = &self.pairs[0].known.difference[*entry].name;
            if !self.flags.json {
                self.out.line(format_args!("left out    step {step}, after which the states differ: {name}"));
            }
        }
        let finding = Finding {
            sequence: &judgement.sequence,
            judgement: &judgement,
            seed: sequence.seed,
            flags: self.flags,
        };
        finding.tell_all(&mut self.out, &self.summary.version, self.flags.json);
        Ok(if judgement.differences.is_empty() { Outcome::Pass } else { Outcome::Different })
    }
}

fn save(path: &std::path::Path, sequence: &Sequence) -> Result<(), Refusal> {
    let text = serde_json::to_string_pretty(&sequence.to_json()).map_err(|error| error.to_string())? + "\n";
    write_atomically(path, &text).map_err(|error| Refusal::new(format!("{}: {error}", path.display())))
}
