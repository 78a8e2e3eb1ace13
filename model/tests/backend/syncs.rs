//! Every sync is needed: without it, the tests notice.

use std::sync::atomic::{AtomicBool, Ordering};

use vertebra_model::syncs::Sync;
use vertebra_sim::run_many;

use crate::crashes::storm;
use crate::writer::Writer;

/// What notices that `sync` is left out.
fn noticed(sync: Sync) -> Option<String> {
    let schedule = |seed| storm(seed, |options| options.without_sync.push(sync.name().to_owned()));
    let (stop, mut first) = (AtomicBool::new(false), None);
    run_many::<Writer>(0..1_000, 2, &stop, schedule, |_, ran| {
        if let Some(signature) = ran.unwrap().1.verdict.signature() {
            stop.store(true, Ordering::Relaxed);
            first.get_or_insert(signature.to_string());
        }
    });
    first
}

#[test]
fn each_sync_that_is_left_out_loses_something() {
    for sync in Sync::ALL.into_iter().filter(|sync| sync.name().starts_with(['b', 'd'])) {
        let noticed = noticed(sync);
        assert!(noticed.is_some(), "nothing notices that {} is left out", sync.name());
    }
}
