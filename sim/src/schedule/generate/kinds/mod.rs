//! Draws the parameters of each kind of fault.
//!
//! | class | where |
//! | --- | --- |
//! | processes, and failpoints in them | `process.rs` |
//! | the network | `network.rs` |
//! | disks | `disk.rs` |
//! | clocks | `clock.rs` |
//! | the operator and the load of clients | `cluster.rs` |

use std::time::Duration;

use super::{Slot, magnitude, member};
use crate::random::Stream;
use crate::schedule::{Fault, Shape, Target, TimedFault};

mod clock;
mod cluster;
mod disk;
mod network;
mod process;

/// How one kind of fault is drawn.
pub(super) struct Kind {
    /// The name of its stream: `schedule/fault/` and the kind as a file names it, or what several faults are
    /// called that belong together.
    pub(super) purpose: &'static str,
    /// How many seeds of a million have faults of this kind.
    pub(super) enabled_ppm: u32,
    /// Whether it can happen to a cluster of this shape.
    pub(super) possible: fn(&Shape) -> bool,
    /// What it does.
    draw: Draw,
}

enum Draw {
    /// One fault, at the time of its slot.
    One(fn(&mut Stream, &Shape, &Slot) -> Fault),
    /// Faults that belong together, at the time of their slot and later.
    Several(fn(&mut Stream, &Shape, &Slot) -> Vec<TimedFault>),
}

impl Kind {
    const fn new(
        purpose: &'static str,
        enabled_ppm: u32,
        draw: fn(&mut Stream, &Shape, &Slot) -> Fault,
    ) -> Self {
        Self { purpose, enabled_ppm, possible: |_| true, draw: Draw::One(draw) }
    }

    const fn several(
        purpose: &'static str,
        enabled_ppm: u32,
        draw: fn(&mut Stream, &Shape, &Slot) -> Vec<TimedFault>,
    ) -> Self {
        Self { purpose, enabled_ppm, possible: |_| true, draw: Draw::Several(draw) }
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        self.purpose.rsplit('/').next().unwrap_or(self.purpose)
    }

    const fn only_if(self, possible: fn(&Shape) -> bool) -> Self {
        Self { possible, ..self }
    }

    /// Adds what happens at `slot` to `faults`.
    pub(super) fn draw(&self, stream: &mut Stream, shape: &Shape, slot: &Slot, faults: &mut Vec<TimedFault>) {
        match self.draw {
            Draw::One(draw) => faults.push(TimedFault { at: slot.at, fault: draw(stream, shape, slot) }),
            Draw::Several(draw) => faults.extend(draw(stream, shape, slot)),
        }
    }
}

/// How many seeds of a million have damage of one kind.
const DAMAGE_PPM: u32 = 80_000;

/// Every kind, and what is made of several faults. A seed has some eight of them. Disks that fail or fill stop a member
/// for good until faults are over, so they are rarer.
pub(super) static KINDS: [Kind; 39] = [
    Kind::new("schedule/fault/kill", 350_000, process::kill),
    Kind::new("schedule/fault/power-failure", 350_000, process::power_failure),
    Kind::new("schedule/fault/pause", 500_000, process::pause),
    Kind::new("schedule/fault/throttle", 200_000, process::throttle),
    Kind::new("schedule/fault/crash-loop", 150_000, process::crash_loop),
    Kind::several("schedule/fault/crash-several", 150_000, process::crash_several)
        .only_if(|shape| shape.members > 1),
    Kind::several("schedule/fault/crash-in-recovery", 200_000, process::crash_in_recovery)
        .only_if(|shape| !shape.recovery_failpoints.is_empty()),
    Kind::new("schedule/fault/failpoint", 550_000, process::failpoint).only_if(has_failpoints),
    Kind::several("schedule/fault/failpoint-again", 150_000, process::failpoint_again)
        .only_if(has_failpoints),
    Kind::several("schedule/fault/failpoints-rare", 350_000, process::failpoints_rare)
        .only_if(|shape| !shape.rare_failpoints.is_empty()),
    Kind::several("schedule/fault/failpoints-of-task", 250_000, process::failpoints_of_task)
        .only_if(|shape| !shape.failpoint_tasks.is_empty()),
    Kind::several("schedule/fault/failpoint-slow", 250_000, process::failpoint_slow)
        .only_if(|shape| !shape.slow_failpoints.is_empty()),
    Kind::several("schedule/fault/lag", 300_000, process::lag)
        .only_if(|shape| shape.members > 1 && !shape.lag_failpoints.is_empty()),
    Kind::new("schedule/fault/partition", 500_000, network::partition).only_if(network::has_links),
    Kind::new("schedule/fault/partition-split", 150_000, network::partition_split)
        .only_if(|shape| shape.members > 1),
    Kind::several("schedule/fault/partition-ring", 120_000, network::partition_ring)
        .only_if(|shape| shape.members > 2),
    Kind::new("schedule/fault/partition-bridge", 120_000, network::partition_bridge)
        .only_if(|shape| shape.members > 2),
    Kind::several("schedule/fault/partition-leaders", 150_000, network::partition_leaders)
        .only_if(|shape| shape.members > 1),
    Kind::new("schedule/fault/flap", 200_000, network::flap).only_if(network::has_links),
    Kind::new("schedule/fault/degrade", 300_000, network::degrade).only_if(network::has_links),
    Kind::new("schedule/fault/degrade-link", 200_000, network::degrade_link).only_if(network::has_links),
    Kind::new("schedule/fault/filter", 300_000, network::filter)
        .only_if(|shape| network::has_links(shape) && !shape.messages.is_empty()),
    Kind::new("schedule/fault/reset", 200_000, network::reset).only_if(network::has_links),
    Kind::new("schedule/fault/reset-storm", 150_000, network::reset_storm).only_if(network::has_links),
    Kind::new("schedule/fault/disk-stall", 300_000, disk::disk_stall),
    Kind::new("schedule/fault/disk-error", 200_000, disk::disk_error),
    Kind::new("schedule/fault/disk-full", 150_000, disk::disk_full),
    Kind::new("schedule/fault/bit-rot", DAMAGE_PPM, disk::bit_rot).only_if(disk::can_damage),
    Kind::new("schedule/fault/misdirected-write", DAMAGE_PPM, disk::misdirected_write)
        .only_if(disk::can_lose_writes),
    Kind::new("schedule/fault/phantom-write", DAMAGE_PPM, disk::phantom_write).only_if(disk::can_lose_writes),
    Kind::new("schedule/fault/sync-lie", DAMAGE_PPM, disk::sync_lie).only_if(disk::can_lose_writes),
    Kind::new("schedule/fault/read-error", DAMAGE_PPM, disk::read_error).only_if(disk::can_damage),
    Kind::new("schedule/fault/wipe", DAMAGE_PPM, disk::wipe).only_if(disk::can_damage),
    Kind::new("schedule/fault/clock-drift", 200_000, clock::clock_drift),
    Kind::new("schedule/fault/clock-jump", 200_000, clock::clock_jump),
    Kind::new("schedule/fault/clock-strobe", 120_000, clock::clock_strobe),
    Kind::new("schedule/fault/operate", 400_000, cluster::operate).only_if(has_operations),
    Kind::several("schedule/fault/operate-again", 120_000, cluster::operate_again).only_if(has_operations),
    Kind::new("schedule/fault/load", 350_000, cluster::load)
        .only_if(|shape| !shape.loads.is_empty() && shape.clients > 0),
];

fn has_failpoints(shape: &Shape) -> bool {
    !shape.failpoints.is_empty()
}

fn has_operations(shape: &Shape) -> bool {
    cluster::operations(shape).next().is_some()
}

/// A place for a fault that begins `later` than another with which it belongs together; none when faults are over.
fn after(slot: &Slot, later: Duration) -> Option<Slot> {
    let room = slot.room.checked_sub(later).filter(|room| !room.is_zero())?;
    Some(Slot { at: slot.at + later, room, ..*slot })
}

/// How long a fault lasts, from `low` to `high` milliseconds, but not longer than faults happen.
fn lasts(stream: &mut Stream, slot: &Slot, low: u64, high: u64) -> Duration {
    magnitude(stream, Duration::from_millis(low), Duration::from_millis(high)).min(slot.room)
}

/// A member by its name, or members by their role.
fn members(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Target {
    if let Some(focus) = slot.focus {
        return focus;
    }
    match stream.below(100) {
        0..45 => Target::Leader,
        45..60 => Target::Follower,
        60..92 => member(stream, shape),
        92..94 => Target::Minority,
        94..96 => Target::Majority,
        _ => Target::AllMembers,
    }
}
