//! From a seed to a schedule: what is drawn, and what moves when one part draws differently.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vertebra_sim::NodeId;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{
    Aim, Broken, Direction, Fault, FileClass, Generated, How, Packets, Schedule, Shape, Target, TimedFault,
    generate, resolve_sides,
};

/// Something of everything, so that every kind of fault is possible.
const SHAPE: Shape = Shape {
    spares: 1,
    failpoints: &["beforeSave", "afterSave"],
    recovery_failpoints: &["afterSave"],
    rare_failpoints: &["afterSave"],
    operations: &["compact", "defragment"],
    loads: &["burst", "flood"],
    messages: &["heartbeat", "vote"],
    files: &[
        FileClass { name: "log", prefix: "wal/", finds_lost_writes: false },
        FileClass { name: "snapshot", prefix: "snap/", finds_lost_writes: true },
    ],
    ..Shape::new(3, 2)
};

/// The streams of faults: those of each kind have one, and so have faults that belong together.
const PURPOSES: [&str; 34] = [
    "schedule/fault/bit-rot",
    "schedule/fault/clock-drift",
    "schedule/fault/clock-jump",
    "schedule/fault/clock-strobe",
    "schedule/fault/crash-in-recovery",
    "schedule/fault/crash-loop",
    "schedule/fault/crash-several",
    "schedule/fault/degrade",
    "schedule/fault/degrade-link",
    "schedule/fault/disk-error",
    "schedule/fault/disk-full",
    "schedule/fault/disk-stall",
    "schedule/fault/failpoint",
    "schedule/fault/failpoint-again",
    "schedule/fault/filter",
    "schedule/fault/flap",
    "schedule/fault/kill",
    "schedule/fault/load",
    "schedule/fault/misdirected-write",
    "schedule/fault/operate",
    "schedule/fault/operate-again",
    "schedule/fault/partition",
    "schedule/fault/partition-bridge",
    "schedule/fault/partition-leaders",
    "schedule/fault/partition-ring",
    "schedule/fault/partition-split",
    "schedule/fault/pause",
    "schedule/fault/phantom-write",
    "schedule/fault/power-failure",
    "schedule/fault/read-error",
    "schedule/fault/reset",
    "schedule/fault/reset-storm",
    "schedule/fault/throttle",
    "schedule/fault/wipe",
];

fn drawn(seed: u64) -> Generated {
    generate(&Streams::new(seed), &SHAPE)
}

fn disturbed(seed: u64, purpose: &'static str) -> Generated {
    generate(&Streams::new(seed).disturbing(purpose), &SHAPE)
}

fn text(generated: Generated) -> String {
    #[derive(serde::Serialize)]
    struct Options {}
    generated.into_schedule("test", 0, Duration::ZERO, Options {}).write().unwrap()
}

#[test]
fn a_schedule_is_a_function_of_the_seed() {
    for seed in 0..100 {
        assert_eq!(drawn(seed), drawn(seed));
        assert_ne!(drawn(seed), drawn(seed + 1));
    }
}

#[test]
fn draws_for_another_purpose_change_no_byte_of_a_schedule() {
    let purposes =
        ["network/latency", "disk", "workload", "schedule", "schedule/", "fault/kill", "options", "member"];
    for seed in 0..1_000 {
        let calm = text(drawn(seed));
        for purpose in purposes {
            assert_eq!(calm, text(disturbed(seed, purpose)), "seed {seed} draws from {purpose}");
        }
    }
}

#[test]
fn a_draw_more_for_one_kind_of_fault_moves_that_kind_alone() {
    for purpose in PURPOSES {
        let (mut moved, mut total) = (0, 0);
        for seed in 0..500 {
            let (calm, other) = (drawn(seed), disturbed(seed, purpose));
            // All that stands in both is of other kinds, or was drawn to be the same.
            let kept = calm.faults.iter().filter(|fault| other.faults.contains(fault)).count();
            let kinds = |of: &Generated, without: &Generated| -> BTreeSet<&str> {
                let gone = of.faults.iter().filter(|fault| !without.faults.contains(fault));
                gone.map(|timed| timed.fault.kind()).collect()
            };
            let (gone, come) = (kinds(&calm, &other), kinds(&other, &calm));
            assert!(gone.len() <= 3 && come.len() <= 3, "seed {seed}: {purpose} moved {gone:?} to {come:?}");
            moved += calm.faults.len() - kept;
            total += calm.faults.len();
            assert_eq!(
                Generated { faults: Vec::new(), ..calm },
                Generated { faults: Vec::new(), ..other },
                "seed {seed}: {purpose} moved what is no fault"
            );
        }
        assert!(moved > 0 && moved < total / 4, "{purpose} moved {moved} of {total} faults");
    }
}

#[test]
fn a_draw_more_for_one_part_moves_that_part_alone() {
    for seed in 0..200 {
        let calm = drawn(seed);
        let other = disturbed(seed, "schedule/network");
        assert_ne!(calm.network, other.network);
        assert_eq!(calm, Generated { network: calm.network.clone(), ..other });
        let other = disturbed(seed, "schedule/clocks");
        assert_eq!(calm, Generated { clocks: calm.clocks.clone(), ..other });
        let other = disturbed(seed, "schedule/disk");
        assert_ne!(calm.disk, other.disk);
        assert_eq!(calm, Generated { disk: calm.disk, ..other });
        let other = disturbed(seed, "schedule/slots");
        assert_eq!(calm, Generated { faults: calm.faults.clone(), ..other });
        let other = disturbed(seed, "schedule/swarm");
        assert_eq!(calm, Generated { faults: calm.faults.clone(), ..other });
    }
}

#[test]
fn every_schedule_is_one_that_its_cluster_can_run() {
    let shapes = [
        SHAPE,
        Shape::new(1, 0),
        Shape { failpoints: &["only"], ..Shape::new(1, 1) },
        Shape::new(2, 0),
        Shape { failpoints: &["only"], ..Shape::new(5, 8) },
        Shape::new(7, 1),
    ];
    for (seed, shape) in (0..3_000).zip(shapes.iter().cycle()) {
        let Generated { duration, faults, .. } = generate(&Streams::new(seed), shape);
        assert!((Duration::from_secs(5)..=Duration::from_secs(60)).contains(&duration));
        assert!(faults.len() >= 2 && faults.is_sorted_by_key(|timed| timed.at));
        assert!(
            faults.iter().all(|timed| timed.at < duration && timed.end().is_none_or(|end| end <= duration))
        );
        let schedule: Schedule<()> =
            generate(&Streams::new(seed), shape).into_schedule("test", seed, Duration::ZERO, ());
        assert_eq!(schedule.validate(shape), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_run_takes_some_ten_seconds_and_meets_some_seven_faults() {
    let schedules: Vec<Generated> = (0..4_000).map(drawn).collect();
    let count = schedules.len() as u128;
    let mean_millis = schedules.iter().map(|schedule| schedule.duration.as_millis()).sum::<u128>() / count;
    assert!((10_000..12_500).contains(&mean_millis), "{mean_millis} ms on average");
    let faults = |long: bool| {
        let of: Vec<u64> = (schedules.iter())
            .filter(|schedule| (schedule.duration > Duration::from_secs(30)) == long)
            .map(|schedule| schedule.faults.len() as u64)
            .collect();
        of.iter().sum::<u64>() / of.len() as u64
    };
    let mean = schedules.iter().map(|schedule| schedule.faults.len() as u128 * 10).sum::<u128>() / count;
    assert!((60..80).contains(&mean), "{mean} tenths of a fault on average");
    assert!(faults(true) > 2 * faults(false), "{} in long runs, {} in others", faults(true), faults(false));
}

#[test]
fn every_kind_occurs_and_most_seeds_lack_some() {
    let mut seeds_with: BTreeMap<&str, u32> = BTreeMap::new();
    let mut kinds_of_seeds = Vec::new();
    for seed in 0..2_000 {
        let schedule = drawn(seed);
        let kinds: BTreeSet<&str> = schedule.faults.iter().map(|timed| timed.fault.kind()).collect();
        kinds.iter().for_each(|kind| *seeds_with.entry(*kind).or_default() += 1);
        kinds_of_seeds.push(kinds.len());
    }
    let missing: Vec<&str> = Fault::KINDS.into_iter().filter(|kind| !seeds_with.contains_key(kind)).collect();
    assert_eq!(missing, [""; 0], "{seeds_with:?}");
    assert!(seeds_with.values().all(|seeds| (50..1_200).contains(seeds)), "{seeds_with:?}");
    let narrow = kinds_of_seeds.iter().filter(|kinds| **kinds <= 2).count();
    let broad = kinds_of_seeds.iter().filter(|kinds| **kinds >= 5).count();
    assert!(narrow > 200 && broad > 200, "{narrow} seeds with few kinds, {broad} with many");
}

/// Whether `fault` meets the leader by its role, on either side of a link.
fn meets_leader(fault: &Fault) -> bool {
    match fault.aim() {
        Aim::Nodes(target) => target == Target::Leader,
        Aim::Links(from, to) => from.contains(&Target::Leader) || to.contains(&Target::Leader),
    }
}

fn overlap(one: &TimedFault, other: &TimedFault) -> bool {
    one.end().is_none_or(|end| end > other.at) && other.end().is_none_or(|end| end > one.at)
}

/// How many of `seeds` seeds have two faults of different kinds on the leader at once, such that `wanted` holds
/// of one and the other.
fn seeds_with_two(seeds: u64, wanted: impl Fn(&Fault, &Fault) -> bool) -> usize {
    let has_two = |seed: &u64| {
        let faults = drawn(*seed).faults;
        let pairs = faults.iter().flat_map(|one| faults.iter().map(move |other| (one, other)));
        pairs.into_iter().any(|(one, other)| {
            one.fault.kind() != other.fault.kind()
                && meets_leader(&one.fault)
                && meets_leader(&other.fault)
                && overlap(one, other)
                && wanted(&one.fault, &other.fault)
        })
    };
    (0..seeds).filter(has_two).count()
}

#[test]
fn faults_of_different_kinds_often_meet_the_leader_at_once() {
    let seeds = seeds_with_two(2_000, |_, _| true);
    assert!(seeds > 700, "in {seeds} of 2,000 seeds");
}

/// The recipe of a stale read: acknowledgements that reach the leader late, while it stands still.
#[test]
fn a_leader_stands_still_while_its_links_hold_packets_etcd_20418() {
    let seeds = seeds_with_two(20_000, |one, other| {
        matches!(one, Fault::Pause { .. }) && matches!(other, Fault::Partition { packets: Packets::Hold, .. })
    });
    assert!(seeds > 200, "in {seeds} of 20,000 seeds");
}

#[test]
fn partitions_take_every_shape() {
    let mut shapes: BTreeMap<&str, u32> = BTreeMap::new();
    let five = Shape::new(5, 3);
    for seed in 0..2_000 {
        for TimedFault { fault, .. } in generate(&Streams::new(seed), &five).faults {
            let Fault::Partition { from, to, direction, packets, .. } = fault else { continue };
            let members = |side: &[Target]| {
                side.iter().filter(|target| matches!(target, Target::Node(NodeId::Member(_)))).count()
            };
            let is_client = |target: &Target| matches!(target, Target::Node(NodeId::Client(_)));
            let mut saw = |shape, seen| *shapes.entry(shape).or_default() += u32::from(seen);
            saw("isolated leader", from == [Target::Leader] && to == [Target::Others]);
            saw("isolated member", from.len() == 1 && members(&from) == 1 && to == [Target::Others]);
            saw("one way out", direction == Direction::OneWay && to.contains(&Target::Others));
            saw("one way in", direction == Direction::OneWay && from.contains(&Target::Others));
            saw("halves", members(&from) == 2 && to == [Target::Others]);
            saw("bridge", members(&from) == 1 && members(&to) == 1);
            saw("client with a minority", from.len() == 2 && from.iter().any(is_client));
            saw("client cut off", from.iter().all(is_client) && to == [Target::AllMembers]);
            saw("all clients cut off", to == [Target::AllClients]);
            saw("held", packets == Packets::Hold);
            saw("dropped", packets == Packets::Drop);
        }
    }
    assert!(shapes.values().all(|seen| *seen >= 10), "{shapes:?}");
}

#[test]
fn links_disks_and_clocks_are_mostly_good_and_sometimes_bad() {
    let (mut lossy, mut repeating, mut late, mut wild, mut true_clocks) = (0, 0, 0, 0, 0);
    for seed in 0..2_000 {
        let Generated { network, disk, clocks, .. } = drawn(seed);
        for link in [network.peers, network.clients] {
            assert!(link.loss_ppm <= 100_000 && link.duplicate_ppm <= 200_000);
            assert!(
                link.latency_min >= Duration::from_micros(200)
                    && link.latency_max <= Duration::from_millis(10)
            );
            lossy += u32::from(link.loss_ppm > 0);
            repeating += u32::from(link.duplicate_ppm > 0);
            late += u32::from(link.duplicate_delay_max > Duration::from_secs(1));
        }
        assert!(disk.sync_latency_max <= Duration::from_millis(20));
        true_clocks += u32::from(clocks.is_empty());
        wild += u32::from(clocks.iter().any(|clock| clock.drift_ppm.unsigned_abs() >= 20_000));
        assert!(clocks.iter().all(|clock| clock.drift_ppm.unsigned_abs() <= 100_000));
    }
    for (what, seen, range) in [
        ("lossy links", lossy, 1_050..1_450),
        ("links that repeat", repeating, 1_050..1_450),
        ("links that repeat late", late, 200..800),
        ("wild clocks", wild, 200..600),
        ("true clocks", true_clocks, 400..700),
    ] {
        assert!(range.contains(&seen), "{seen} {what}");
    }
}

#[test]
fn a_third_of_the_seeds_end_with_a_minority_that_stays_broken() {
    let seven = Shape { members: 7, ..SHAPE };
    let (mut broken, mut ways, mut members) = (0, BTreeSet::new(), BTreeSet::new());
    for seed in 0..2_000 {
        let drawn = generate(&Streams::new(seed), &seven).broken;
        assert!(drawn.len() <= 3 && drawn.is_sorted_by(|one, other| one.member < other.member));
        broken += u32::from(!drawn.is_empty());
        ways.extend(drawn.iter().map(|Broken { how, .. }| *how));
        members.extend(drawn.iter().map(|Broken { member, .. }| *member));
    }
    assert!((560..780).contains(&broken), "{broken} of 2,000");
    assert_eq!(ways, BTreeSet::from([How::Down, How::CutOff, How::Paused, How::Stalled]));
    assert!(members.into_iter().eq((1..=7).map(NodeId::Member)));
    let small = |members| {
        (0..300).all(|seed| generate(&Streams::new(seed), &Shape { members, ..SHAPE }).broken.is_empty())
    };
    assert!(small(1) && small(2));
}

#[test]
fn who_stays_broken_moves_nothing_else() {
    let moved = (0..100).filter(|seed| {
        let (calm, other) = (drawn(*seed), disturbed(*seed, "schedule/broken"));
        let moved = calm.broken != other.broken;
        assert_eq!(calm, Generated { broken: calm.broken.clone(), ..other });
        moved
    });
    assert!(moved.count() > 20);
}

/// The members that hear each other, as pairs from and to, while all partitions of `faults` last.
fn seen(shape: &Shape, faults: &[Fault]) -> BTreeSet<(NodeId, NodeId)> {
    let members: Vec<NodeId> = shape.member_ids().collect();
    let mut seen: BTreeSet<_> =
        members.iter().flat_map(|from| members.iter().map(move |to| (*from, *to))).collect();
    for fault in faults {
        let Fault::Partition { from, to, direction, .. } = fault else { panic!("{fault} is no partition") };
        let (from, to) = resolve_sides(from, to, shape, None);
        for (a, b) in from.iter().flat_map(|a| to.iter().map(move |b| (*a, *b))) {
            seen.remove(&(a, b));
            if *direction == Direction::Both {
                seen.remove(&(b, a));
            }
        }
    }
    seen
}

#[test]
fn in_a_ring_each_member_hears_a_majority_and_none_hears_all() {
    let mut rings = 0;
    for members in [3, 4, 5, 7] {
        let shape = Shape::new(members, 0);
        for seed in 0..3_000 {
            // Partitions that begin together and share their end are the parts of one ring.
            let faults = generate(&Streams::new(seed), &shape).faults;
            for group in faults.chunk_by(|one, other| one.at == other.at) {
                let ring: Vec<Fault> = group.iter().map(|timed| timed.fault.clone()).collect();
                if ring.len() < 2 || ring.iter().any(|fault| fault.kind() != "partition") {
                    continue;
                }
                rings += 1;
                let seen = seen(&shape, &ring);
                for member in shape.member_ids() {
                    let sends = seen.iter().filter(|(from, _)| *from == member).count();
                    let hears = seen.iter().filter(|(_, to)| *to == member).count();
                    assert!(sends > usize::from(members) / 2 && hears > usize::from(members) / 2, "{ring:?}");
                    assert!(sends < usize::from(members) && hears < usize::from(members), "{ring:?}");
                }
            }
        }
    }
    assert!(rings > 200, "{rings} rings");
}

#[test]
fn members_crash_together_in_any_number_and_again_in_their_recovery() {
    let (mut together, mut again) = (BTreeSet::new(), 0);
    let five = Shape { members: 5, ..SHAPE };
    for seed in 0..4_000 {
        let faults = generate(&Streams::new(seed), &five).faults;
        for group in faults.chunk_by(|one, other| one.at == other.at) {
            let crash = |timed: &&TimedFault| matches!(timed.fault.kind(), "kill" | "power-failure");
            let armed = |timed: &TimedFault| matches!(&timed.fault, Fault::Failpoint { name, .. } if name == "afterSave");
            let crashes = group.iter().filter(crash).count();
            together.insert(crashes);
            again += u32::from(crashes == 1 && group.len() == 2 && armed(&group[0]));
        }
    }
    assert!((2..=5).all(|crashes| together.contains(&crashes)), "{together:?}");
    assert!(again > 50, "{again}");
}

#[test]
fn every_failpoint_operation_load_and_kind_of_message_is_drawn_about_as_often_as_the_others() {
    const NAMES: [&str; 20] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];
    let shape = Shape {
        spares: 1,
        failpoints: &NAMES,
        recovery_failpoints: &["a", "b"],
        operations: &NAMES,
        loads: &NAMES,
        messages: &NAMES,
        ..Shape::new(3, 3)
    };
    let mut drawn: BTreeMap<(&str, String), u32> = BTreeMap::new();
    for seed in 0..8_000 {
        for TimedFault { fault, .. } in generate(&Streams::new(seed), &shape).faults {
            let names = match &fault {
                Fault::Failpoint { name, .. } => vec![name.clone()],
                Fault::Operate { operation, .. } => vec![operation.clone()],
                Fault::Load { load, .. } => vec![load.clone()],
                Fault::Filter { messages, .. } => messages.clone(),
                _ => continue,
            };
            names.into_iter().for_each(|name| *drawn.entry((fault.kind(), name)).or_default() += 1);
        }
    }
    for kind in ["failpoint", "operate", "load", "filter"] {
        let of_kind = |name: &str| drawn.get(&(kind, name.to_owned())).copied().unwrap_or(0);
        let least = NAMES.iter().map(|name| of_kind(name)).min().unwrap();
        // Those of recovery have more occasions.
        let most = NAMES[2..].iter().map(|name| of_kind(name)).max().unwrap();
        assert!(least >= 30 && most < 3 * least, "{kind}: {least} to {most}");
    }
}
