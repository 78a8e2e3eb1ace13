//! Runs whose faults are written by hand.

use std::time::Duration;

use vertebra_model::{Etcd, LeaseWeights, Options, WatchOptions};
use vertebra_sim::schedule::{Action, Direction, Fault, Operation, Packets, Schedule, Target, TimedFault};
use vertebra_sim::{NodeId, Verdict, schedule_of};

use crate::told::tell;

/// A calm run of ten seconds, with what the test changes.
pub fn schedule(seed: u64, members: u16, faults: Vec<(u64, Fault)>) -> Schedule<Options> {
    let mut schedule = schedule_of::<Etcd>(seed, |options| {
        options.members = members;
        options.spares = 0;
        options.heartbeat_interval = Duration::from_millis(100);
        options.election_ticks = 10;
        options.snapshot_count = 20;
        options.snapshot_catchup_entries = 5;
        options.traffic.think_time_max = Duration::from_millis(100);
    })
    .unwrap();
    schedule.duration = Duration::from_secs(10);
    schedule.network.peers.loss_ppm = 0;
    schedule.network.peers.tail_ppm = 0;
    schedule.clocks.clear();
    schedule.broken.clear();
    schedule.faults =
        faults.into_iter().map(|(at, fault)| TimedFault { at: Duration::from_millis(at), fault }).collect();
    schedule
}

pub fn member(number: u16) -> Target {
    Target::Node(NodeId::Member(number))
}

pub fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_member_that_was_cut_off_for_long_gets_a_snapshot() {
    let cut = Fault::Partition {
        from: vec![member(3)],
        to: vec![Target::Others],
        direction: Direction::Both,
        packets: Packets::Drop,
        lasts: Duration::from_secs(5),
    };
    let (report, lines) = tell(&schedule(1, 3, vec![(2_000, cut)]));
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(count(&lines, "member member 3: received a snapshot") > 0);
    assert!(count(&lines, "apply member 3: snapshot") > 0, "and its store is replaced by it");
}

/// Raft looked for entries between what was applied and the snapshot that its log had taken, and found none.
#[test]
fn an_election_while_a_snapshot_waits_to_be_applied_is_survived() {
    let cut = |at, lasts| {
        let partition = Fault::Partition {
            from: vec![member(3)],
            to: vec![Target::Others],
            direction: Direction::Both,
            packets: Packets::Drop,
            lasts: Duration::from_millis(lasts),
        };
        (at, partition)
    };
    let slow = Fault::Failpoint {
        name: "applyBeforeOpenSnapshot".to_owned(),
        target: member(3),
        hit: 1,
        action: Action::Delay,
        lasts: Duration::from_secs(4),
    };
    for seed in 0..10 {
        let mut schedule =
            schedule(seed, 3, vec![cut(1_500, 3_000), (1_600, slow.clone()), cut(5_200, 3_000)]);
        schedule.options.snapshot_count = 10;
        schedule.options.snapshot_catchup_entries = 1;
        let (report, lines) = tell(&schedule);
        assert_eq!(report.verdict, Verdict::Pass, "seed {seed}");
        assert!(count(&lines, "failpoint applyBeforeOpenSnapshot strikes") > 0, "seed {seed}");
        assert!(count(&lines, "raft member 3: pre-candidate") > 0, "seed {seed}");
    }
}

#[test]
fn an_operator_looks_after_the_data_of_members() {
    let operations = [
        "compact",
        "hash-check",
        "compact-physical",
        "defragment",
        "snapshot-save",
        "compaction-storm",
        "defragment-all",
        "defragmentation-storm",
        "hash-check",
    ];
    let order = |(number, operation): (u64, &&str)| {
        (1_500 + 700 * number, Fault::Operate { operation: (*operation).to_owned(), target: member(2) })
    };
    for seed in 0..5 {
        let mut schedule = schedule(seed, 3, (0..).zip(&operations).map(order).collect());
        // Enough for storms in which each call waits for its time to be over.
        schedule.duration = Duration::from_secs(30);
        let (report, lines) = tell(&schedule);
        assert_eq!(report.verdict, Verdict::Pass, "seed {seed}");
        for operation in operations {
            let done = format!("operator operator: {operation}: is done");
            assert!(count(&lines, &done) > 0, "seed {seed}: {operation}");
        }
        assert!(count(&lines, "has removed") > 3 * 5, "compactions remove something on all members");
        assert!(count(&lines, ": defragmented: ") > 3 * 10);
    }
}

#[test]
fn when_the_leader_dies_another_is_elected() {
    let kill = Fault::Kill { target: Target::Leader, down: Duration::from_secs(4) };
    let (report, lines) = tell(&schedule(2, 3, vec![(3_000, kill)]));
    assert_eq!(report.verdict, Verdict::Pass);
    let leaders: Vec<_> = lines.iter().filter(|line| line.contains(": leader in term")).collect();
    assert!(leaders.len() >= 2, "{leaders:?}");
}

#[test]
fn what_was_acknowledged_outlives_a_power_failure_of_all_members() {
    let failure = || Fault::PowerFailure { target: Target::AllMembers, down: Duration::from_millis(300) };
    for seed in 0..30 {
        let members = [1, 3, 5][seed as usize % 3];
        let faults = vec![(2_500, failure()), (5_000, failure()), (7_500, failure())];
        let (report, lines) = tell(&schedule(seed, members, faults));
        assert_eq!(report.verdict, Verdict::Pass, "seed {seed}");
        assert_eq!(count(&lines, "crashes: power failure"), 3 * usize::from(members), "seed {seed}");
    }
}

#[test]
fn a_member_whose_disk_is_full_gives_up_and_comes_back() {
    let full = Fault::DiskFull { target: member(2), lasts: Duration::from_secs(3) };
    let (report, lines) = tell(&schedule(4, 3, vec![(3_000, full)]));
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(count(&lines, "process member 2: exits: write-ahead log: ") > 0);
    assert!(count(&lines, "process member 2: starts, incarnation 2") == 1);
}

#[test]
fn a_member_never_goes_on_after_a_sync_that_failed() {
    let error = Fault::DiskError { target: Target::Leader, operation: Operation::Sync, count: 1 };
    let (report, lines) = tell(&schedule(5, 3, vec![(3_000, error)]));
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!(count(&lines, ": exits: "), 1);
}

#[test]
fn a_crash_at_each_failpoint_is_survived() {
    let kinds = [Action::Kill, Action::PowerFailure];
    let shape = schedule(0, 3, Vec::new()).options.shape().unwrap();
    for name in shape.failpoints {
        for action in kinds {
            // Something must bring the failpoints of snapshots, recovery, compaction, defragmentation and leases about.
            let cut = Fault::Partition {
                from: vec![member(3)],
                to: vec![Target::Others],
                direction: Direction::Both,
                packets: Packets::Drop,
                lasts: Duration::from_secs(3),
            };
            let strike = Fault::Failpoint {
                name: (*name).to_owned(),
                target: Target::AllMembers,
                hit: 1,
                action,
                lasts: Duration::from_millis(500),
            };
            let kill = Fault::Kill { target: member(3), down: Duration::from_millis(10) };
            let operate =
                |operation: &str, target| Fault::Operate { operation: operation.to_owned(), target };
            let faults = vec![
                (1_500, cut),
                (4_400, strike),
                (5_000, operate("leader-transfer", member(2))),
                (5_500, operate("member-add", Target::AllMembers)),
                (6_500, operate("member-remove", member(1))),
                (8_000, kill),
            ];
            let mut schedule = schedule(0, 3, faults);
            schedule.options.spares = 1;
            schedule.options.traffic.weights.compact = 10;
            schedule.options.compaction_batch_limit = 5;
            schedule.options.traffic.weights.leases =
                LeaseWeights { grant: 5, put: 5, revoke: 2, keep_alive: 10, time_to_live: 10, list: 1 };
            schedule.options.defragment_interval = Duration::from_millis(300);
            // Clients that watch, and do not keep up.
            schedule.options.watch = WatchOptions {
                streams: 3,
                channel_responses_max: 1,
                window_bytes: 256,
                progress_interval: Duration::from_millis(100),
                slow_percent: 100,
                ..WatchOptions::default()
            };
            // Not each cluster comes by each place.
            let strikes = |seed| {
                schedule.seed = seed;
                let (report, lines) = tell(&schedule);
                assert_eq!(report.verdict, Verdict::Pass, "{name}, {action:?}, seed {seed}");
                count(&lines, &format!("failpoint {name} strikes")) > 0
            };
            assert!((0..10).any(strikes), "{name} is never passed");
        }
    }
}
