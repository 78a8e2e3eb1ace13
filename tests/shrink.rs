//! How much of a failing schedule goes away, and how fast.
//!
//! It takes a program that was built to be fast, named by `VERTEBRA_PROGRAM`; `.ci/run` starts it with the release build.

use std::path::Path;

use serde_json::Value;
use support::{command, ended, folder};
use vertebra_model::Defect;

mod support;

/// Seeds of each defect that are shrunk.
const SEEDS: usize = 5;

#[test]
#[ignore = "needs the release build; .ci/run starts it"]
fn most_of_a_schedule_goes_away_within_a_minute() {
    let program = std::env::var("VERTEBRA_PROGRAM").expect("VERTEBRA_PROGRAM names the program");
    let folder = folder("shrink-measured");
    let run = |arguments: &[&str], code| {
        ended(&mut command(Path::new(&program), &folder, arguments)).expect(code).json()
    };
    for defect in Defect::ALL {
        let planted = ["--defect", defect.name()];
        let sweep = ["sweep", "--seeds", "0..8000", "--time", "60s", "--json", "--no-keep", "--no-ledger"];
        let failures = run(&[&sweep, &planted[..]].concat(), 1);
        let failures: Vec<&Value> =
            failures.iter().filter(|line| line["type"] == "failure").take(SEEDS).collect();
        let mut gone: Vec<u64> = Vec::new();
        for failure in failures {
            let seed = failure["seed"].to_string();
            let shrink = ["shrink", &seed, "--time", "60s", "--json", "--force"];
            let shrunk = run(&[&shrink, &planted[..]].concat(), 0).swap_remove(0);
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
