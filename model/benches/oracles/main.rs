//! What the oracles cost: instructions of the same seeds with all of them, without each, and with none.
//!
//! ```text
//! cargo bench -p vertebra-model --bench oracles [-- --seeds 16]
//! ```
//!
//! The seeds are those of a plain sweep, faults and all. Instructions are counted by valgrind's callgrind, and each arm runs
//! in a process of its own. No oracle steers a run, so that an arm does the same as another but for what it leaves out:
//! their digests are compared. What no oracle can be charged with alone is what they share (the history, the replay of the
//! log on the specification): it is what is left when the parts are taken from the whole.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures, and is part of no run")]

#[path = "../overhead/callgrind.rs"]
mod callgrind;

use std::path::Path;
use std::process::{Command, ExitCode};

use vertebra_model::oracle::NAMES;
use vertebra_model::{Etcd, Options};
use vertebra_sim::trace::Digest;
use vertebra_sim::{Verdict, schedule_of};

use callgrind::Profile;

/// The allocator of the command, whose sweeps are what has to be fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEEDS: u64 = 16;

/// All oracles together may cost this much of a seed.
const SHARE_MAX: f64 = 0.25;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let seeds =
        args.iter().position(|arg| *arg == "--seeds").and_then(|place| args.get(place + 1)?.parse().ok());
    let seeds = seeds.unwrap_or(SEEDS);
    match args[..] {
        // The child under valgrind.
        ["--without", without, ..] => {
            (0..seeds).for_each(|seed| _ = run(seed, without));
            ExitCode::SUCCESS
        }
        _ if !args.contains(&"--bench") => {
            println!("oracles: nothing to test; `cargo bench -p vertebra-model --bench oracles` measures");
            ExitCode::SUCCESS
        }
        _ if !callgrind::is_installed() => {
            eprintln!(
                "oracles: valgrind counts the instructions and is not installed (Debian: apt install valgrind)"
            );
            ExitCode::FAILURE
        }
        _ => match compare(seeds) {
            Ok(share) if share < SHARE_MAX => ExitCode::SUCCESS,
            Ok(_) => {
                eprintln!("oracles: together they cost {:.0} % of a seed or more", 100.0 * SHARE_MAX);
                ExitCode::FAILURE
            }
            Err(problem) => {
                eprintln!("oracles: {problem}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Runs a seed without an oracle: `all` of them, the one of that name, or `none`.
fn run(seed: u64, without: &str) -> Digest {
    let leave_out = |options: &mut Options| {
        options.without_oracles = match without {
            "none" => Vec::new(),
            "all" => NAMES.map(str::to_owned).to_vec(),
            name => vec![name.to_owned()],
        };
    };
    let schedule = schedule_of::<Etcd>(seed, leave_out).expect("options that are drawn");
    let report = vertebra_sim::run::<Etcd>(&schedule, None);
    assert_eq!(report.verdict, Verdict::Pass, "seed {seed}");
    report.digest
}

/// Prints what each oracle costs; the share of all of them.
fn compare(seeds: u64) -> Result<f64, String> {
    let digests = |without| (0..seeds).map(|seed| run(seed, without)).collect::<Vec<_>>();
    let expected = digests("none");
    if let Some(name) = NAMES.iter().chain(&["all"]).find(|name| digests(name) != expected) {
        return Err(format!("without `{name}`, a seed does something else"));
    }
    let all = count("none", seeds)?;
    let share = |instructions: u64| 100.0 * instructions as f64 / all.total as f64;
    let line = |name: &str, instructions: u64| {
        println!("{name:<24}{:>14}{:>9.2} %", instructions / seeds, share(instructions));
    };
    println!("{:<24}{:>14}{:>11}", format!("{seeds} seeds"), "instructions", "of a seed");
    line("a seed", all.total);
    let mut parts = 0;
    for name in NAMES {
        let cost = all.total.saturating_sub(count(name, seeds)?.total);
        parts += cost;
        line(name, cost);
    }
    let none = count("all", seeds)?;
    let together = all.oracles;
    line("what they share", together.saturating_sub(parts));
    line("all together", together);
    line("a seed without any", none.total);
    Ok(together as f64 / all.total as f64)
}

/// Counts the instructions of an arm in a process of its own.
fn count(without: &str, seeds: u64) -> Result<Profile, String> {
    let name = without.replace(' ', "-");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.without-{name}"));
    let itself = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(itself);
    command.args(["--without", without, "--seeds", &seeds.to_string()]);
    callgrind::run(&command, &out)
}
