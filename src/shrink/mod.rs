//! `vertebra shrink`: the smallest schedule that still fails in the same way.
//!
//! | | where |
//! | --- | --- |
//! | which of many things it takes | `ddmin` |
//! | what is taken out, in which order | `reduce` |
//! | candidates, on all threads | `trials`, `progress` |
//! | options that are not as usual | `options` |
//! | what happens in the short run | `story` |
//! | what is told and saved of it | `tell` |

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Report, run};

use self::progress::Progress;
use self::reduce::{Shrinker, faults, operations};
use self::tell::{Shrunk, Size};
use self::trials::{Stop, Trials};
use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::interrupt::stop_on_interrupt;
use crate::jobs::Jobs;
use crate::output::{Output, complain};
use crate::source::{self, Context, Source};
use crate::words::{parse_span, shell_quoted};
use crate::written::write_atomically;

mod ddmin;
mod options;
mod progress;
mod reduce;
mod story;
mod tell;
mod trials;

pub use self::ddmin::ddmin;
pub use self::story::Story;

/// Flags of `vertebra shrink`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  vertebra shrink 10 --defect acknowledge-before-sync
  vertebra shrink vertebra-failures/4711.toml --time 60s
  vertebra shrink F3a9c2d1 --save seeds/stale-read.toml",
    after_long_help = "\
Examples:
  vertebra shrink 10 --defect acknowledge-before-sync
  vertebra shrink vertebra-failures/4711.toml --time 60s
  vertebra shrink F3a9c2d1 --save seeds/stale-read.toml

It takes out faults, operations, clients and members, puts options, links, disks and clocks back
to plain ones, and puts weaker faults in the place of strong ones, until nothing helps. What is
left fails with the signature of the source, the same in two runs. The result depends neither on
--jobs nor on how fast the machine is, unless --time ends it.

With --json, there is one object: type (shrunk), end (smallest, time, candidates, interrupt,
nondeterminism), before and after (each with faults, operations, clients, members, duration_ns,
events, options: the fields that are not as usual), candidates, wall_time_ms, story, and what a
failure has: signature, oracle, clause, shape, detail, at_ns, command, schedule.

Exit code 0: there is a result, also where a budget ended the search; 2: the source passes; 3: two
runs of a schedule differ; 130: Ctrl-C. The smallest schedule so far is saved all the same."
)]
pub struct Flags {
    /// A seed, a schedule file, or the id of a failure
    #[arg(value_name = "SEED|FILE|ID", value_hint = ValueHint::FilePath, value_parser = source::parser())]
    source: Source,
    #[command(flatten)]
    context: Context,
    /// End after this time, such as `60s` or `10m`
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    time: Option<Duration>,
    /// End when this many candidates were tried
    #[arg(long, value_name = "N")]
    candidates: Option<u64>,
    #[command(flatten)]
    jobs: Jobs,
    /// Save the result to this file [default: named for the source, in the current folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    save: Option<PathBuf>,
    /// Save it also where there is a file already
    #[arg(long, help_heading = "Output")]
    force: bool,
    /// Tell the result as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Shrinks.
pub fn shrink<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let source = flags.source.schedule::<S>(&flags.context)?;
    let path = flags.save.clone().unwrap_or_else(|| PathBuf::from(file_name(flags, source.seed)));
    if path.exists() && !flags.force {
        let reason = "is there already; name another file with --save, or replace it with --force";
        return Err(Refusal::new(format!("{} {reason}", path.display())));
    }
    let stop = stop_on_interrupt()?;
    let report = run::<S>(&source, None);
    if run::<S>(&source, None) != report {
        complain(format_args!("error: non-determinism: two runs of the schedule differ"));
        complain(format_args!("reproduce  {} --twice", flags.source.command("vertebra", &flags.context)));
        return Ok(Outcome::Nondeterminism);
    }
    let wanted = wanted::<S>(flags, &report)?;

    let progress = Progress::new(faults(&source), operations::<S>(&source, &report));
    let mut trials = Trials::new(flags.jobs.count(), &stop, wanted, progress);
    trials.deadline = flags.time.and_then(|time| Instant::now().checked_add(time));
    trials.left = flags.candidates;
    let before = Size::new::<S>(&source, &report);
    let mut shrinker = Shrinker::<S> { best: source, report, trials };
    let end = shrinker.run().err();
    let Shrinker { best, report, mut trials } = shrinker;
    trials.progress.clear();
    let (story, told) = Story::of::<S>(&best);
    let differs = match end {
        Some(Stop::Nondeterminism(ref text)) => Some(text.clone()),
        // What is told must be what was found.
        _ if told != report => Some(best.write()?),
        _ => None,
    };
    let shown = shell_quoted(&path.to_string_lossy());
    let result = Shrunk::new(
        [before, Size::new::<S>(&best, &report)],
        &report,
        end.as_ref(),
        &trials,
        story,
        format!("vertebra replay {shown}"),
    )?;
    let origin = flags.source.argument().to_string_lossy().into_owned() + &flags.origin_flags();
    save(&path, &best, &result, &origin, flags.json)?;
    tell(flags, result, &path)?;
    if let Some(text) = differs {
        let path = path.with_extension("differs.toml");
        complain(format_args!("error: non-determinism: two runs of a candidate differ"));
        write_atomically(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        let shown = shell_quoted(&path.to_string_lossy());
        complain(format_args!("reproduce  vertebra replay {shown} --twice"));
        return Ok(Outcome::Nondeterminism);
    }
    Ok(match end {
        Some(Stop::Interrupt) => Outcome::Interrupted,
        _ => Outcome::Pass,
    })
}

/// The signature that candidates must have: that of the source.
fn wanted<S: Subject>(flags: &Flags, report: &Report) -> Result<String, Refusal> {
    let name = match &flags.source {
        Source::Seed(seed) => format!("seed {seed}"),
        source => source.argument().display().to_string(),
    };
    let Some(found) = report.verdict.signature() else {
        return Err(Refusal::new(format!("{name} passes, so there is no failure to shrink")));
    };
    match flags.source.signature::<S>(&flags.context)? {
        Some(known) if known != found => Err(Refusal::new(format!(
            "{name} fails otherwise in this version, with `{found}` in the place of `{known}`; save its schedule with \
             `vertebra failures show {name} --schedule` and shrink that, if it is what is meant"
        ))),
        _ => Ok(found),
    }
}

impl Flags {
    /// The flags that say which schedule the source is, each after a space.
    fn origin_flags(&self) -> String {
        match self.source {
            Source::Seed(_) => self.context.changes.flags(),
            Source::File(_) | Source::Failure(_) => String::new(),
        }
    }
}

/// The name of the file where none is given.
fn file_name(flags: &Flags, seed: u64) -> String {
    let stem = match &flags.source {
        Source::Seed(_) => flags.context.changes.file_name(seed).trim_end_matches(".toml").to_owned(),
        Source::Failure(id) => id.clone(),
        Source::File(path) => {
            path.file_stem().map_or_else(|| "schedule".to_owned(), |stem| stem.to_string_lossy().into_owned())
        }
    };
    format!("{stem}-shrunk.toml")
}

/// Writes the schedule, with its story at the head. If that fails, it is printed, so that it is not lost.
fn save<O: serde::Serialize>(
    path: &Path,
    schedule: &Schedule<O>,
    result: &Shrunk,
    origin: &str,
    is_json: bool,
) -> Result<(), Refusal> {
    let text = result.head(origin) + "\n" + &schedule.write()?;
    write_atomically(path, &text).map_err(|error| {
        match is_json {
            // What reads that would not understand it.
            true => complain(format_args!("{text}")),
            false => {
                let mut out = Output::stdout();
                out.line(format_args!("{text}"));
                let _ = out.finish();
            }
        }
        Refusal::new(format!("{}: {error}; the schedule was printed instead", path.display()))
    })
}

fn tell(flags: &Flags, mut result: Shrunk, path: &Path) -> Result<(), Refusal> {
    result.failure.schedule = Some(path.display().to_string());
    let mut out = Output::stdout();
    match flags.json {
        true => out.json(&result),
        false => result.tell(&mut out),
    }
    out.finish()
}
