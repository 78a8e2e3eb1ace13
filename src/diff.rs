//! `vertebra diff`: where two runs part, of two schedules or of two builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueHint};

use crate::Subject;
use crate::divergence::{Parting, Run, Told};
use crate::exit::{Outcome, Refusal};
use crate::output::{Output, complain};
use crate::source::{self, Context, Source};

/// Flags of `vertebra diff`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  vertebra diff 4711 4712
  vertebra diff 4711.toml edited.toml
  vertebra diff 4711.toml --program-a ../before/target/release/vertebra",
    after_long_help = "\
Examples:
  vertebra diff 4711 4712
  vertebra diff 4711.toml edited.toml
  vertebra diff 4711.toml --program-a ../before/target/release/vertebra

Events are compared by what they say: time, node, topic and text. A digest that differs where the
text does not is told besides.

Exit codes:
    0  both runs are the same, to the digest
    1  they differ
    2  wrong usage, or a run that ended without a verdict

With --json, one object of the type `comparison`: equal, events (how many are equal); sides, for
each run name, command and verdict, the last line of `replay --json`; and, where the runs differ,
the lines before the difference and those of each run from there on: before, first, second, and
digests_differ_from, the first event that says the same with another digest"
)]
pub struct Flags {
    /// A seed, a schedule file, or the id of a failure
    #[arg(value_name = "SEED|FILE|ID", value_hint = ValueHint::FilePath, value_parser = source::parser())]
    a: Source,
    /// Another one [default: the same, for two builds]
    #[arg(value_name = "SEED|FILE|ID", value_hint = ValueHint::FilePath, value_parser = source::parser())]
    b: Option<Source>,
    /// The vertebra that runs the first one [default: this one]
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::ExecutablePath)]
    program_a: Option<PathBuf>,
    /// The vertebra that runs the second one [default: this one]
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::ExecutablePath)]
    program_b: Option<PathBuf>,
    #[command(flatten)]
    context: Context,
    /// Tell it as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Compares.
pub fn diff<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    let b = flags.b.as_ref().unwrap_or(&flags.a);
    let runs = [
        run::<S>("A", &flags.a, flags.program_a.as_deref(), flags)?,
        run::<S>("B", b, flags.program_b.as_deref(), flags)?,
    ];
    let [first, second] = runs;
    let parting = Parting::of(first, second)?;
    if let Some((name, status)) = parting.without_verdict() {
        return Err(Refusal::new(format!("{name} ended without a verdict ({status})")));
    }
    let comparison = &parting.comparison;
    if let (Source::Seed(seed), true) = (&flags.a, flags.a == *b && comparison.other_schedules) {
        complain(format_args!(
            "note: the two builds draw different schedules from seed {seed}; to compare them over one, name its file"
        ));
    }
    let mut out = Output::stdout();
    if flags.json {
        out.json(&parting.line());
    } else {
        parting.tell(&mut out);
    }
    out.finish()?;
    Ok(if parting.is_equal() { Outcome::Pass } else { Outcome::Different })
}

/// A run of `source` that has begun.
fn run<S: Subject>(
    name: &'static str,
    source: &Source,
    program: Option<&Path>,
    flags: &Flags,
) -> Result<Run, Refusal> {
    let context = &flags.context;
    let (program, shown) = match program {
        Some(program) => (program.to_owned(), program.to_string_lossy().into_owned()),
        None => {
            // What is wrong with it is said once, and not by each run.
            source.schedule::<S>(context)?;
            let program =
                std::env::current_exe().map_err(|error| format!("cannot be started again: {error}"))?;
            (program, "vertebra".to_owned())
        }
    };
    let told = Told::by(Command::new(program).args(source.told_as_json(context)))?;
    Ok(Run { name, title: name, told, command: source.command(&shown, context) })
}
