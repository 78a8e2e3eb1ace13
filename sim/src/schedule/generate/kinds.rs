//! Draws the parameters of each kind of fault.

use std::time::Duration;

use super::{Slot, client, magnitude, member};
use crate::random::Stream;
use crate::schedule::{Action, Direction, Fault, Operation, Packets, Shape, Target};

/// How one kind of fault is drawn.
pub(super) struct Kind {
    /// The name of its stream: `schedule/fault/` and the kind as a file names it.
    pub(super) purpose: &'static str,
    /// How many seeds of a million have faults of this kind.
    pub(super) enabled_ppm: u32,
    /// Whether it can happen to a cluster of this shape.
    pub(super) possible: fn(&Shape) -> bool,
    /// What one fault of this kind does.
    pub(super) draw: fn(&mut Stream, &Shape, &Slot) -> Fault,
}

impl Kind {
    const fn new(
        purpose: &'static str,
        enabled_ppm: u32,
        draw: fn(&mut Stream, &Shape, &Slot) -> Fault,
    ) -> Self {
        Self { purpose, enabled_ppm, possible: |_| true, draw }
    }

    const fn only_if(self, possible: fn(&Shape) -> bool) -> Self {
        Self { possible, ..self }
    }
}

/// Every kind. Disks that fail or fill stop a member for good until faults are over, so they are rarer.
pub(super) static KINDS: [Kind; 11] = [
    Kind::new("schedule/fault/kill", 500_000, kill),
    Kind::new("schedule/fault/power-failure", 500_000, power_failure),
    Kind::new("schedule/fault/pause", 700_000, pause),
    Kind::new("schedule/fault/partition", 600_000, partition).only_if(has_links),
    Kind::new("schedule/fault/degrade", 450_000, degrade).only_if(has_links),
    Kind::new("schedule/fault/reset", 350_000, reset).only_if(has_links),
    Kind::new("schedule/fault/failpoint", 550_000, failpoint).only_if(|shape| !shape.failpoints.is_empty()),
    Kind::new("schedule/fault/disk-stall", 400_000, disk_stall),
    Kind::new("schedule/fault/disk-error", 250_000, disk_error),
    Kind::new("schedule/fault/disk-full", 200_000, disk_full),
    Kind::new("schedule/fault/clock-drift", 300_000, clock_drift),
];

fn has_links(shape: &Shape) -> bool {
    shape.members > 1 || shape.clients > 0
}

fn kill(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::Kill { target: members(stream, shape, slot), down: lasts(stream, slot, 1, 5_000) }
}

fn power_failure(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::PowerFailure { target: members(stream, shape, slot), down: lasts(stream, slot, 1, 5_000) }
}

fn pause(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    // Mostly long enough to be deposed: the others go on, and the paused member does not know.
    let lasts = match stream.chance(700_000) {
        true => lasts(stream, slot, 1_000, 6_000),
        false => lasts(stream, slot, 10, 1_000),
    };
    Fault::Pause { target, lasts }
}

fn partition(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    let direction = direction(stream);
    let packets = if stream.chance(450_000) { Packets::Hold } else { Packets::Drop };
    Fault::Partition { from, to, direction, packets, lasts: lasts(stream, slot, 50, 8_000) }
}

fn degrade(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    let direction = direction(stream);
    let latency_min = magnitude(stream, Duration::from_millis(1), Duration::from_millis(300));
    let latency_max = magnitude(stream, latency_min, Duration::from_secs(2));
    let loss_ppm = if stream.chance(500_000) { stream.magnitude(1_000, 500_000) as u32 } else { 0 };
    let (duplicate_ppm, duplicate_delay_max) = match stream.chance(500_000) {
        true => (
            stream.magnitude(1_000, 500_000) as u32,
            magnitude(stream, Duration::from_millis(10), Duration::from_secs(3)),
        ),
        false => (0, Duration::ZERO),
    };
    let lasts = lasts(stream, slot, 50, 8_000);
    Fault::Degrade {
        from,
        to,
        direction,
        latency_min,
        latency_max,
        loss_ppm,
        duplicate_ppm,
        duplicate_delay_max,
        lasts,
    }
}

fn reset(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    Fault::Reset { from, to }
}

fn failpoint(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let name = (*stream.pick(shape.failpoints)).to_owned();
    let target = members(stream, shape, slot);
    let hit = if stream.chance(500_000) { 1 } else { stream.magnitude(1, 200) as u32 };
    let action = *stream.weighted(&[
        (40, Action::Kill),
        (30, Action::PowerFailure),
        (18, Action::Pause),
        (12, Action::Delay),
    ]);
    Fault::Failpoint { name, target, hit, action, lasts: lasts(stream, slot, 1, 5_000) }
}

fn disk_stall(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    let extra_latency = magnitude(stream, Duration::from_millis(5), Duration::from_secs(1));
    Fault::DiskStall { target, extra_latency, lasts: lasts(stream, slot, 50, 6_000) }
}

fn disk_error(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    let operation = *stream.weighted(&[(50, Operation::Sync), (35, Operation::Write), (15, Operation::Read)]);
    Fault::DiskError { target, operation, count: stream.magnitude(1, 7) as u32 }
}

fn disk_full(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::DiskFull { target: members(stream, shape, slot), lasts: lasts(stream, slot, 100, 5_000) }
}

fn clock_drift(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = match shape.clients > 0 && slot.focus.is_none() && stream.chance(150_000) {
        true => client(stream, shape),
        false => members(stream, shape, slot),
    };
    let ppm = stream.magnitude(100, 100_000) as i32;
    let drift_ppm = if stream.chance(500_000) { ppm } else { -ppm };
    Fault::ClockDrift { target, drift_ppm, lasts: lasts(stream, slot, 500, 10_000) }
}

/// How long a fault lasts, from `low` to `high` milliseconds, but not longer than faults happen.
fn lasts(stream: &mut Stream, slot: &Slot, low: u64, high: u64) -> Duration {
    magnitude(stream, Duration::from_millis(low), Duration::from_millis(high)).min(slot.room)
}

fn direction(stream: &mut Stream) -> Direction {
    if stream.chance(600_000) { Direction::Both } else { Direction::OneWay }
}

/// A member by its name, or members by their role.
fn members(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Target {
    if let Some(focus) = slot.focus {
        return focus;
    }
    match stream.below(100) {
        0..45 => Target::Leader,
        45..60 => Target::Follower,
        60..95 => member(stream, shape),
        _ => Target::AllMembers,
    }
}

/// Two sides between which links fail. Either may be the `from` of a one-way fault.
fn sides(stream: &mut Stream, shape: &Shape, slot: &Slot) -> (Vec<Target>, Vec<Target>) {
    let among_members = shape.members > 1 && (shape.clients == 0 || stream.chance(750_000));
    let (one, other) =
        if among_members { member_sides(stream, shape, slot) } else { client_sides(stream, shape, slot) };
    if stream.chance(500_000) { (one, other) } else { (other, one) }
}

fn member_sides(stream: &mut Stream, shape: &Shape, slot: &Slot) -> (Vec<Target>, Vec<Target>) {
    let one = match slot.focus {
        Some(focus) => focus,
        None if stream.chance(500_000) => Target::Leader,
        None => member(stream, shape),
    };
    let mut members: Vec<Target> = shape.member_ids().map(Target::Node).collect();
    match stream.below(100) {
        // One member alone, with or without the clients of the others.
        0..45 => (vec![one], vec![Target::Others]),
        45..60 if shape.clients > 0 => (vec![one], vec![Target::Others, Target::AllClients]),
        // A minority that takes a client with it, who may then hear a leader that is none.
        60..70 if shape.clients > 0 => (vec![one, client(stream, shape)], vec![Target::Others]),
        // Two parts, with the focus in one of them.
        70..85 => {
            stream.shuffle(&mut members);
            members.truncate(shape.members as usize / 2);
            if let (Some(first), true) = (members.first_mut(), slot.focus.is_some()) {
                *first = one;
            }
            members.sort_unstable();
            members.dedup();
            (members, vec![Target::Others])
        }
        // Two members that lose sight of each other, while the rest sees both: a bridge.
        _ => {
            members.retain(|member| *member != one);
            (vec![one], vec![*stream.pick(&members)])
        }
    }
}

fn client_sides(stream: &mut Stream, shape: &Shape, slot: &Slot) -> (Vec<Target>, Vec<Target>) {
    let clients = if stream.chance(600_000) { client(stream, shape) } else { Target::AllClients };
    let members = match slot.focus {
        Some(focus) => focus,
        None => match stream.below(100) {
            0..35 => Target::AllMembers,
            35..75 => Target::Leader,
            _ => member(stream, shape),
        },
    };
    (vec![clients], vec![members])
}
