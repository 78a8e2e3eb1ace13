//! What the ledger costs: `cargo bench -p vertebra-sim --features ledger --bench ledger`.
//!
//! It records failures, lists them, and joins shards of a constant size each, so that what grows faster than the shards
//! shows in the last column. Times are of this machine; instructions, which are comparable, come from
//! `valgrind --tool=callgrind` over the same program with `record`, `list` or `join` as its argument.

use std::path::{Path, PathBuf};
use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "a benchmark is what the machine's clock is for")]
use std::time::Instant as Clock;

use vertebra_sim::coverage::Reached;
use vertebra_sim::ledger::{Joining, Ledger, Run, Session, Version};
use vertebra_sim::seeds::Seeds;
use vertebra_sim::trace::Digest;
use vertebra_sim::{Instant, Report, Verdict, Violation};

const SYSTEM: &str = "benchmark";
const FAILURES: u64 = 10_000;
const SHARD_SEEDS: u64 = 1_000;
/// One seed in so many fails.
const SHARD_FAILS: u64 = 10;

#[expect(clippy::disallowed_methods, reason = "no run depends on the command line")]
fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ledger-benchmark");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    if is_wanted("record") {
        let seeds = Seeds { first: 0, last: 2 * FAILURES - 1 };
        timed("20,000 seeds that pass are recorded", || record(&folder.join("pass"), seeds, |_| None));
    }
    if is_wanted("list") {
        for (name, kinds) in [("one kind", 1), ("100 kinds", 100), ("10,000 kinds", FAILURES)] {
            list(&folder.join(name), name, kinds);
        }
    }
    if is_wanted("join") {
        let shards: Vec<PathBuf> = (0..100).map(|shard| folder.join(format!("shard {shard}"))).collect();
        for (first, shard) in (0..).step_by(SHARD_SEEDS as usize).zip(&shards) {
            let seeds = Seeds::starting_at(first, SHARD_SEEDS);
            record(shard, seeds, |seed| (seed % SHARD_FAILS == 0).then_some(seed % 7));
        }
        for count in [25, 50, 100] {
            join(&folder.join(format!("joined {count}")), &shards[..count]);
        }
    }
}

fn list(path: &Path, name: &str, kinds: u64) {
    let seeds = Seeds { first: 0, last: FAILURES - 1 };
    timed(&format!("10,000 failures of {name} are recorded"), || {
        record(path, seeds, |seed| Some(seed % kinds))
    });
    let open = || Ledger::read(path, SYSTEM).expect("a ledger");
    let id = open().findings().expect("findings")[0].id.clone();
    timed("  are listed", || drop(open().findings().expect("findings")));
    timed("  one is shown", || {
        let ledger = open();
        let finding = ledger.findings().expect("findings").swap_remove(0);
        ledger.example(&finding).expect("an example");
        ledger.seeds_of(&id, 10).expect("seeds");
    });
    timed("  one is closed", || {
        let ledger = Ledger::amend(path, SYSTEM).expect("a ledger");
        ledger.mark(&id, true, 2).expect("it is marked");
        ledger.findings().expect("findings");
    });
}

fn join(path: &Path, shards: &[PathBuf]) {
    let mut ledger = Ledger::write(path, SYSTEM, "the benchmark").expect("a ledger");
    for name in ["joined", "joined again"] {
        let took = timed(&format!("{} shards are {name}", shards.len()), || {
            ledger.merge(shards, Joining::OneSweep).expect("they fit");
        });
        println!("{:>56.3} ms a shard", took.as_secs_f64() * 1e3 / shards.len() as f64);
    }
}

#[expect(clippy::disallowed_types, reason = "a benchmark is what the machine's clock is for")]
fn timed(name: &str, work: impl FnOnce()) -> Duration {
    let begun = Clock::now();
    work();
    let took = begun.elapsed();
    println!("{name:<44}{:>12.3} ms", took.as_secs_f64() * 1e3);
    took
}

/// Records a sweep; `kind` says which seeds fail, and how.
fn record(path: &Path, seeds: Seeds, kind: impl Fn(u64) -> Option<u64>) {
    let session = Session {
        id: seeds.to_string(),
        version: Version { build: "a build".to_owned(), commit: None },
        profile: String::new(),
        seeds,
        is_nightly: false,
        jobs: 1,
        began_ms: 1,
        ending: None,
    };
    let ledger = Ledger::write(path, SYSTEM, "the benchmark").expect("a ledger");
    let mut recorder = ledger.begin(&session).expect("it begins");
    let schedule = "fault = [] # as long as the schedule of a run\n".repeat(80);
    for seed in seeds.first..=seeds.last {
        let verdict = kind(seed).map_or(Verdict::Pass, |kind| Verdict::Violation {
            // Letters, since a signature has no numbers.
            violation: Violation::new("oracle", "clause", letters(kind), "what was seen, in a line or two"),
            at: Instant::from_nanos(seed),
        });
        let report = Report {
            digest: Digest(u128::from(seed)),
            virtual_time: Duration::from_secs(12),
            events: 11_000,
            operations: 380,
            faults: 6,
            drawn: Vec::new(),
            spared: 0,
            excused: Vec::new(),
            let_pass: Vec::new(),
            unsettled: None,
            reached: Reached::default(),
            verdict,
        };
        let run = Run { seed, report: &report, members: 3, schedule: Some(&schedule) };
        recorder.record(&run).expect("it is recorded");
    }
    recorder.end("all-seeds", 2).expect("it ends");
}

fn letters(number: u64) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}
