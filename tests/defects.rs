//! Planted bugs are found by sweeps, and little is left of the schedules that show them.
//!
//! It takes a program that was built to be fast, named by `VERTEBRA_PROGRAM`; `.ci/run` starts it with the release build.
//! Which seeds show a bug stands in `defects.toml`, and only where they no longer do, all are looked through.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::{command, ended, folder};
use vertebra_model::Defect;
use vertebra_model::syncs::Sync;

mod support;

/// Seeds in which each sync that is left out must be found.
const SEEDS: u64 = 20_000;

/// One for each part of a member.
const SHRUNK_DEFECTS: [Defect; 6] = [
    Defect::AcknowledgeBeforeSync,
    Defect::ReuseReadContext,
    Defect::UncheckedPages,
    Defect::RestoreKeepsIndex,
    Defect::StalePermissions,
    Defect::AuthWithoutIndex,
];

/// Seeds of each defect that are shrunk, where so many are among the first ones.
const SHRUNK: usize = 3;

/// So many are the first ones.
const SEEDS_SHRUNK: u64 = 6_300;

/// Seeds of each defect whose failures are told apart: together some 10,000 fail.
const SEEDS_TOLD_APART: u64 = 1_100;

/// What the command says.
fn run(folder: &Path, arguments: &[&str], codes: &[i32]) -> Vec<Value> {
    let program = std::env::var("VERTEBRA_PROGRAM").expect("VERTEBRA_PROGRAM names the program");
    let ended = ended(&mut command(Path::new(&program), folder, arguments));
    assert!(ended.code.is_some_and(|code| codes.contains(&code)), "{}{}", ended.stdout, ended.stderr);
    ended.json()
}

/// What a sweep of some seeds with `flags` finds.
fn sweep(folder: &Path, flags: &[&str], seeds: &str, counts: fn(&Value) -> bool) -> Vec<Value> {
    let sweep = ["sweep", "--seeds", seeds, "--json", "--no-keep", "--no-ledger"];
    let lines = run(folder, &[&sweep, flags].concat(), &[0, 1]);
    lines.into_iter().filter(|line| line["type"] == "failure" && counts(line)).collect()
}

/// The first failures with `flags` that `counts` among so many seeds, or as many of these as there are.
fn failures(
    folder: &Path,
    flags: &[&str],
    seeds: u64,
    wanted: usize,
    counts: fn(&Value) -> bool,
) -> Vec<Value> {
    let known: BTreeMap<String, Vec<u64>> =
        toml::from_str(include_str!("defects.toml")).expect("lists of seeds by defect");
    let defect = flags[flags.iter().position(|flag| *flag == "--defect").expect("a defect") + 1];
    let known = known.get(defect).map_or(&[][..], Vec::as_slice);
    let shown: Vec<_> =
        known.iter().flat_map(|seed| sweep(folder, flags, &seed.to_string(), counts)).collect();
    if !known.is_empty() && shown.len() == known.len() && known.iter().all(|seed| *seed < seeds) {
        return shown;
    }
    let found = searched(folder, flags, seeds, wanted, counts);
    let numbers: Vec<_> = found.iter().map(|failure| failure["seed"].to_string()).collect();
    println!("tests/defects.toml is out of date: {defect} = [{}]", numbers.join(", "));
    found
}

/// The same, by a look through the seeds in parts, few at first.
fn searched(
    folder: &Path,
    flags: &[&str],
    seeds: u64,
    wanted: usize,
    counts: fn(&Value) -> bool,
) -> Vec<Value> {
    let (mut found, mut begin, mut part) = (Vec::new(), 0, 100);
    while begin < seeds && found.len() < wanted {
        found.extend(sweep(folder, flags, &format!("{begin}..{}", seeds.min(begin + part)), counts));
        (begin, part) = (begin + part, part * 2);
    }
    found.sort_by_key(|failure| failure["seed"].as_u64());
    found.truncate(wanted);
    found
}

/// Each sync that a member makes is there for something. To see what finds them:
/// `VERTEBRA_PROGRAM=target/release/vertebra cargo test --test defects -- --ignored syncs --nocapture`.
#[test]
#[ignore = "needs the release build; .ci/run starts it"]
fn of_all_syncs_each_that_is_left_out_is_found() {
    let folder = folder("defects-syncs");
    // What syncs are for, in each run. The rest is drawn as in any sweep.
    let faults = ["failpoint-again", "failpoints-rare", "kill", "power-failure"];
    let faults = faults.into_iter().flat_map(|fault| ["--fault", fault]);
    // A run that takes too long to recover may do so for another reason: without the sync, all takes other times.
    let counts = |failure: &Value| failure["oracle"] != "liveness";
    let mut missing = Vec::new();
    for sync in Sync::ALL {
        let flags: Vec<_> = ["--defect", sync.defect()].into_iter().chain(faults.clone()).collect();
        match failures(&folder, &flags, SEEDS, 1, counts).first() {
            Some(failure) => {
                println!("{:28} {} (seed {})", sync.name(), failure["signature"], failure["seed"]);
            }
            None => {
                println!("{:28} is not found", sync.name());
                missing.push(sync.name());
            }
        }
    }
    assert!(missing.is_empty(), "nobody notices without {}", missing.join(", "));
}

#[test]
#[ignore = "needs the release build; .ci/run starts it"]
fn most_of_a_schedule_goes_away_within_a_minute() {
    let folder = folder("defects-shrunk");
    for defect in SHRUNK_DEFECTS {
        // A leader that stands still, in each run: of all that seeds draw, that is what shows a stale read.
        let planted = ["--defect", defect.name(), "--fault", "pause"];
        let mut gone: Vec<u64> = Vec::new();
        for failure in failures(&folder, &planted, SEEDS_SHRUNK, SHRUNK, |_| true) {
            let seed = failure["seed"].to_string();
            let shrink = ["shrink", &seed, "--time", "60s", "--json", "--force"];
            let shrunk = run(&folder, &[&shrink, &planted[..]].concat(), &[0]).swap_remove(0);
            assert_eq!(shrunk["signature"], failure["signature"], "of seed {seed} with {defect}");
            let size = |side: &str| {
                let number = |field: &str| shrunk[side][field].as_u64().expect("a number");
                number("faults") + number("operations")
            };
            let (before, after) = (size("before"), size("after"));
            println!(
                "{defect}, seed {seed}: {} faults and {} operations become {} and {}; {} candidates in {} ms ({})",
                shrunk["before"]["faults"],
                shrunk["before"]["operations"],
                shrunk["after"]["faults"],
                shrunk["after"]["operations"],
                shrunk["candidates"],
                shrunk["wall_time_ms"],
                shrunk["end"],
            );
            gone.push(100 - 100 * after / before.max(1));
        }
        assert!(!gone.is_empty(), "no seed fails with {defect}");
        gone.sort_unstable();
        let median = gone[gone.len() / 2];
        assert!(median >= 80, "with {defect}, {median} % go away in the median of {gone:?}");
    }
}

/// Who looks at a night's failures sees one heap for each bug. To see the matrix:
/// `VERTEBRA_PROGRAM=target/release/vertebra cargo test --release --test defects -- --ignored signatures --nocapture`.
#[test]
#[ignore = "needs the release build, and looks through 67,000 seeds"]
fn signatures_tell_bugs_apart() {
    let folder = folder("defects-signatures");
    let mut heaps: BTreeMap<String, BTreeMap<Defect, usize>> = BTreeMap::new();
    for (place, &defect) in Defect::ALL.iter().enumerate() {
        let begin = place as u64 * SEEDS_TOLD_APART;
        let seeds = format!("{begin}..{}", begin + SEEDS_TOLD_APART);
        for failure in sweep(&folder, &["--defect", defect.name()], &seeds, |_| true) {
            let signature = failure["signature"].as_str().expect("a signature").to_owned();
            *heaps.entry(signature).or_default().entry(defect).or_default() += 1;
        }
    }
    let most = |heap: &BTreeMap<Defect, usize>| heap.values().copied().max().unwrap_or(0);
    let mut splits = Vec::new();
    for defect in Defect::ALL {
        let row: Vec<_> = heaps
            .iter()
            .filter_map(|(signature, heap)| Some((signature, heap, *heap.get(defect)?)))
            .collect();
        println!("{defect}: {}", row.iter().map(|(.., failures)| failures).sum::<usize>());
        for (signature, heap, failures) in &row {
            let of_others = if *failures == most(heap) { "" } else { ", more of another" };
            println!("    {failures:5} of {:5}  {signature}{of_others}", heap.values().sum::<usize>());
        }
        if !row.is_empty() {
            splits.push(row.len());
        }
    }
    splits.sort_unstable();
    let failures: usize = heaps.values().flat_map(BTreeMap::values).sum();
    let purity = heaps.values().map(most).sum::<usize>() as f64 / failures as f64;
    let split = splits[splits.len() / 2];
    println!(
        "{failures} failures in {} heaps: purity {purity:.3}, {split} signatures in the median",
        heaps.len()
    );
    assert!(purity >= 0.95, "in {purity:.3} of the failures, the signature is that of their bug");
    assert!(split <= 3, "a bug has {split} signatures in the median");
}
