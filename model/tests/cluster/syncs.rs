//! Each sync that a member makes is there for something: a sweep without it finds a violation.

use std::sync::atomic::{AtomicBool, Ordering};

use vertebra_model::Etcd;
use vertebra_model::syncs::Sync;
use vertebra_sim::{Verdict, run_many, schedule_with};

/// Seeds in which a sync that is left out must be found.
const SEEDS: u64 = 20_000;

/// The first seed of a sweep without `sync` that fails, and how.
fn find(sync: Sync) -> Option<(u64, String)> {
    let stop = AtomicBool::new(false);
    let mut found: Option<(u64, String)> = None;
    // What syncs are for, in each run. The rest is drawn as in any sweep.
    let faults = ["failpoint-again", "failpoints-rare", "kill", "power-failure"];
    let schedule = |seed| schedule_with::<Etcd>(seed, &faults, |options| options.without_sync = vec![sync]);
    run_many::<Etcd>(0..SEEDS, 2, &stop, schedule, |seed, ran| {
        let (_, report) = ran.expect("options that make sense");
        // A run that takes too long to recover may do so for another reason: without the sync, all takes other times.
        if let Verdict::Violation { violation, .. } = &report.verdict
            && violation.oracle != "liveness"
        {
            stop.store(true, Ordering::Relaxed);
            if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                found = Some((seed, violation.signature()));
            }
        }
    });
    found
}

/// To see what finds them: `cargo test -p vertebra-model --test cluster -- --ignored syncs --nocapture`.
#[test]
#[ignore = "it takes minutes"]
fn each_sync_that_is_left_out_is_found() {
    let mut missing = Vec::new();
    for sync in Sync::ALL {
        match find(sync) {
            Some((seed, signature)) => {
                println!("{:28} {signature} (seed {seed})", sync.name());
            }
            None => {
                println!("{:28} is not found", sync.name());
                missing.push(sync.name());
            }
        }
    }
    assert!(missing.is_empty(), "nobody notices without {}", missing.join(", "));
}
