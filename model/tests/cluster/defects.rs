//! The planted bugs are found, and nothing is found without them.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use vertebra_model::{Defect, Etcd};
use vertebra_sim::{run, run_many, schedule_of};

/// The signatures that a sweep over the first seeds finds.
fn sweep(seeds: u64, defects: &[Defect]) -> BTreeSet<String> {
    let mut signatures = BTreeSet::new();
    let schedule = |seed| schedule_of::<Etcd>(seed, |options| options.defects = defects.to_vec());
    run_many::<Etcd>(0..seeds, 2, &AtomicBool::new(false), schedule, |_, ran| {
        signatures.extend(ran.unwrap().1.verdict.signature());
    });
    signatures
}

#[test]
fn a_correct_cluster_passes() {
    assert_eq!(sweep(200, &[]), BTreeSet::new());
}

#[test]
fn issue_14370_a_single_member_that_acknowledges_before_its_log_is_synced_is_found() {
    let found = sweep(40, &[Defect::AcknowledgeBeforeSync]);
    assert_eq!(found, BTreeSet::from(["raft/commit without quorum".to_owned()]));
}

/// A plain sweep finds it about once in a thousand seeds, which is too long for a test: this is one of them.
#[test]
fn issue_20418_a_read_that_an_old_acknowledgement_confirmed_is_found() {
    let with =
        schedule_of::<Etcd>(1_942, |options| options.defects = vec![Defect::ReuseReadContext]).unwrap();
    let signature = run::<Etcd>(&with, None).verdict.signature().unwrap_or_default();
    assert!(signature.contains("real-time order: Range after"), "{signature}");
    let without = schedule_of::<Etcd>(1_942, |_| {}).unwrap();
    assert_eq!(run::<Etcd>(&without, None).verdict.signature(), None);
}
