//! What members do when a file of theirs is damaged.

use std::time::Duration;

use vertebra_model::{Etcd, Options};
use vertebra_sim::schedule::{Fault, Schedule, Target, TimedFault};
use vertebra_sim::{NodeId, Verdict, schedule_of};

use crate::told::tell;

const VICTIM: Target = Target::Node(NodeId::Member(3));

/// A calm run of ten seconds in which bits flip in files of member 3, which is then killed.
fn schedule(seed: u64, files: &str, bits: u32, change: impl FnOnce(&mut Options)) -> Schedule<Options> {
    let mut schedule = schedule_of::<Etcd>(seed, |options| {
        options.members = 3;
        options.heartbeat_interval = Duration::from_millis(100);
        options.election_ticks = 10;
        options.snapshot_count = 20;
        options.snapshot_catchup_entries = 5;
        options.wal_segment_bytes = 64 << 10;
        options.traffic.think_time_max = Duration::from_millis(100);
        change(options);
    })
    .unwrap();
    schedule.duration = Duration::from_secs(10);
    schedule.network.peers.loss_ppm = 0;
    schedule.network.peers.tail_ppm = 0;
    schedule.clocks.clear();
    let rot = Fault::BitRot { target: VICTIM, files: files.to_owned(), bits };
    let kill = Fault::Kill { target: VICTIM, down: Duration::from_millis(100) };
    schedule.faults = [(4_000, rot), (4_001, kill)]
        .map(|(at, fault)| TimedFault { at: Duration::from_millis(at), fault })
        .to_vec();
    schedule
}

fn place(lines: &[String], text: &str) -> Option<usize> {
    lines.iter().position(|line| line.contains(text))
}

#[test]
fn a_member_whose_backend_is_damaged_gets_another_before_it_serves() {
    for seed in 0..5 {
        let (report, lines) = tell(&schedule(seed, "backend", 4_000, |_| ()));
        assert_eq!(report.verdict, Verdict::Pass, "seed {seed}");
        let found = place(&lines, "member 3 finds its backend damaged").expect("the damage is found");
        let whole = place(&lines, "member 3: has its store again").expect("another one comes");
        assert!(found < whole);
        let replies = |line: &&String| line.starts_with("network member 3: => client");
        assert_eq!(lines[found..whole].iter().filter(replies).count(), 0, "and nobody is answered meanwhile");
        assert!(lines[whole..].iter().any(|line| line.starts_with("network member 3: => client")));
        assert!(lines[whole..].iter().any(|line| line.starts_with("apply member 3: entry")));
    }
}

#[test]
fn while_there_is_no_snapshot_the_log_has_everything_that_a_backend_had() {
    let (report, lines) = tell(&schedule(7, "backend", 4_000, |options| options.snapshot_count = 10_000));
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(place(&lines, "member 3 finds its backend damaged").is_some());
    assert!(place(&lines, "member 3: received a snapshot").is_none());
}

#[test]
fn a_member_whose_snapshot_is_damaged_goes_on_from_what_its_log_reaches() {
    let (report, lines) = tell(&schedule(8, "snapshot", 200, |_| ()));
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(place(&lines, "member 3 finds its snapshot damaged").is_some());
    assert!(place(&lines, "member 3 finds its backend damaged").is_none());
}

#[test]
fn a_member_whose_log_is_damaged_refuses_to_start() {
    let (report, lines) = tell(&schedule(9, "log", 4_000, |options| options.wal_segment_bytes = 1 << 10));
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(place(&lines, "process member 3: exits: write-ahead log: ").is_some());
    assert!(place(&lines, "member 3 finds its log damaged").is_some());
}

/// Members that find nothing wrong, whatever they are asked to compare.
#[test]
fn members_that_compare_their_data_find_nothing_where_there_is_nothing() {
    for seed in 0..5 {
        let mut schedule = schedule(seed, "backend", 1, |options| {
            options.corruption_check_interval = Duration::from_millis(300);
            options.compact_hash_check_interval = Duration::from_millis(400);
            options.initial_corruption_check = true;
            options.defragment_interval = Duration::from_millis(250);
            options.compaction_batch_limit = 5;
            options.traffic.weights.compact = 10;
        });
        schedule.faults.remove(0);
        let (report, lines) = tell(&schedule);
        assert_eq!(report.verdict, Verdict::Pass, "seed {seed}");
        assert!(place(&lines, "hash ").is_some() && place(&lines, "defragmented: ").is_some());
        assert!(place(&lines, "corruption").is_none());
    }
}
