//! A cluster is restored from a snapshot: what was written before is there, what came after is gone.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use vertebra_model::{Defect, Etcd, LeaseWeights, Options};
use vertebra_sim::schedule::{Action, Fault, Schedule, Target, TimedFault};
use vertebra_sim::{Verdict, run_many, schedule_of};

use crate::scripted::{count, member, schedule};
use crate::told::tell;

fn operate(operation: &str) -> Fault {
    Fault::Operate { operation: operation.to_owned(), target: Target::AllMembers }
}

/// Runs it, and returns what was told when it passed.
fn passes(schedule: &Schedule<Options>) -> Vec<String> {
    let (report, lines) = tell(schedule);
    assert_eq!(report.verdict, Verdict::Pass, "seed {}", schedule.seed);
    lines
}

fn place(lines: &[String], text: &str) -> usize {
    lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("nothing tells `{text}`"))
}

/// The revisions that clients are told of in some of the lines.
fn revisions(lines: &[String]) -> Vec<i64> {
    let told = lines.iter().filter(|line| line.starts_with("client client "));
    let after = told.filter_map(|line| line.split_once(": revision ").map(|(_, told)| told));
    after.filter_map(|told| told.split([',', ' ']).next()?.parse().ok()).collect()
}

#[test]
fn a_cluster_goes_on_from_its_snapshot_and_what_came_later_is_gone() {
    for (seed, members) in [(1, 1), (2, 3), (3, 5)] {
        let faults = vec![(3_000, operate("snapshot-save")), (6_000, operate("snapshot-restore"))];
        let lines = passes(&schedule(seed, members, faults));
        assert_eq!(count(&lines, "operator: snapshot-restore: is done"), 1);
        assert_eq!(count(&lines, " is restored, with "), usize::from(members));
        let (saved, restored) =
            (place(&lines, "snapshot-save: is done"), place(&lines, "restores the cluster"));
        let at_snapshot = *revisions(&lines[..saved]).iter().max().unwrap();
        let last = *revisions(&lines[..restored]).iter().max().unwrap();
        let first = *revisions(&lines[restored..]).iter().min().unwrap();
        assert!(last > at_snapshot + 5, "something is lost");
        assert!(
            (at_snapshot - 5..last).contains(&first),
            "{first} follows the snapshot of about {at_snapshot}"
        );
        assert!(count(&lines[restored..], "raft member 1: leader in term 2") <= 1, "its log begins anew");
    }
}

#[test]
fn a_snapshot_is_made_where_there_is_none_and_serves_again() {
    let faults = (1..4).map(|number| (2_000 * number, operate("snapshot-restore"))).collect();
    let lines = passes(&schedule(4, 3, faults));
    assert_eq!(count(&lines, "operator: snapshot-restore: is done"), 3);
    assert_eq!(count(&lines, "operator: asks member 1: Snapshot"), 1);
    assert_eq!(count(&lines, "member member 1: 1''' is restored"), 1);
}

#[test]
fn a_restored_cluster_can_begin_at_a_later_revision_up_to_which_all_is_compacted() {
    let faults = vec![
        (3_000, operate("snapshot-restore-bump")),
        (5_000, operate("snapshot-restore")),
        (7_000, operate("snapshot-restore-bump")),
    ];
    for seed in 0..6 {
        let mut schedule = schedule(seed, 3, faults.clone());
        schedule.options.watch.streams = 3;
        schedule.options.traffic.weights.compact = 3;
        schedule.options.traffic.weights.stale_get = 20;
        let lines = passes(&schedule);
        assert_eq!(count(&lines, "operator: snapshot-restore-bump: is done"), 2);
        let restored = place(&lines, "restores the cluster");
        let again = restored + 1 + place(&lines[restored + 1..], "restores the cluster");
        let last = *revisions(&lines[..restored]).iter().max().unwrap();
        let first = *revisions(&lines[restored..again]).iter().min().unwrap();
        assert!(first > 1_000 && first > last, "{first} follows {last}");
        assert!(count(&lines[restored..], "is carried on with") >= 3, "the compaction is carried out");
    }
}

#[test]
fn leases_live_on_in_a_restored_cluster() {
    for seed in 0..4 {
        let faults = vec![(4_000, operate("snapshot-restore")), (7_000, operate("snapshot-restore-bump"))];
        let mut schedule = schedule(seed, 3, faults);
        schedule.options.traffic.weights.leases =
            LeaseWeights { grant: 10, put: 20, revoke: 1, keep_alive: 20, time_to_live: 20, list: 10 };
        schedule.options.leases.wait_for_expiry = true;
        let lines = passes(&schedule);
        assert!(count(&lines, "LeaseGrant") > 0);
    }
}

#[test]
fn members_that_came_and_went_are_forgotten() {
    let all =
        |operation: &str| Fault::Operate { operation: operation.to_owned(), target: Target::AllMembers };
    for seed in 0..4 {
        let faults = vec![
            (1_500, all("member-add")),
            (2_500, Fault::Operate { operation: "member-remove".to_owned(), target: member(1) }),
            (4_500, operate("snapshot-restore")),
            (8_000, Fault::Operate { operation: "member-return".to_owned(), target: member(4) }),
            (10_000, all("member-add")),
            (13_000, operate("member-replace")),
        ];
        let mut schedule = schedule(seed, 3, faults);
        schedule.duration = Duration::from_secs(16);
        schedule.options.spares = 1;
        let lines = passes(&schedule);
        assert_eq!(count(&lines, "operator: snapshot-restore: is done"), 1);
        assert_eq!(count(&lines, "operator: member-return: gives up: nobody was removed"), 1);
        assert!(count(&lines, "add 4.1' is applied") > 0, "its number is none that the old cluster gave");
    }
}

#[test]
fn a_restored_member_survives_whatever_crashes_it() {
    for seed in 0..40 {
        let down = Duration::from_millis(50);
        // Before, while and after its directory is laid out.
        let at = 4_001 + 2 * (seed % 20);
        let crash = match seed % 2 {
            0 => Fault::PowerFailure { target: Target::AllMembers, down },
            _ => Fault::Kill { target: Target::AllMembers, down },
        };
        let again = Fault::Failpoint {
            name: "beforeSyncMetaPage".to_owned(),
            target: member(1),
            hit: 2,
            action: Action::PowerFailure,
            lasts: down,
        };
        let faults = vec![
            (3_000, operate("snapshot-save")),
            (4_000, operate("snapshot-restore")),
            (at, crash),
            (6_000, again),
            (6_001, operate("snapshot-restore-bump")),
        ];
        let lines = passes(&schedule(seed, [1, 3, 5][seed as usize % 3], faults));
        assert_eq!(count(&lines, "operator: snapshot-restore: is done"), 1);
    }
}

#[test]
fn a_disk_that_was_damaged_is_whole_when_its_member_is_restored() {
    let rot = Fault::BitRot { target: member(3), files: "backend".to_owned(), bits: 8 };
    let wipe = Fault::Wipe { target: member(1), down: Duration::from_millis(100) };
    let faults = vec![(3_000, rot), (3_500, operate("snapshot-restore")), (6_000, wipe)];
    for seed in 0..5 {
        let lines = passes(&schedule(seed, 3, faults.clone()));
        assert_eq!(count(&lines, "operator: snapshot-restore: is done"), 1);
    }
}

#[test]
fn a_consistent_index_of_the_old_log_is_found() {
    let mut schedule = schedule(1, 3, vec![(4_000, operate("snapshot-restore"))]);
    schedule.options.defects = [Defect::RestoreKeepsIndex].into_iter().collect();
    let (report, _) = tell(&schedule);
    assert!(matches!(report.verdict, Verdict::Violation { .. }), "{:?}", report.verdict);
}

/// What a sweep finds in which whatever else happens, the cluster is restored, now and then twice.
fn sweep(seeds: std::ops::Range<u64>, defects: &[Defect]) -> BTreeSet<String> {
    let mut signatures = BTreeSet::new();
    let schedule = |seed| {
        let mut schedule =
            schedule_of::<Etcd>(seed, |options| options.defects = defects.iter().copied().collect())?;
        let duration = schedule.duration;
        let mut order = |parts: u32, operation| {
            let at = duration * parts / 16;
            schedule.faults.push(TimedFault { at, fault: operate(operation) });
        };
        order(seed as u32 % 5, "snapshot-save");
        order(4 + seed as u32 % 7, ["snapshot-restore", "snapshot-restore-bump"][seed as usize / 7 % 2]);
        if seed % 3 == 0 {
            order(11 + seed as u32 % 4, "snapshot-restore");
        }
        Ok(schedule)
    };
    run_many::<Etcd>(seeds, 2, &AtomicBool::new(false), schedule, |seed, ran| {
        if let Some(signature) = ran.unwrap().1.verdict.signature() {
            signatures.insert(format!("{seed}: {signature}"));
        }
    });
    signatures
}

#[test]
fn whatever_happens_before_and_after_a_cluster_is_restored_well() {
    assert_eq!(sweep(0..150, &[]), BTreeSet::new());
}
