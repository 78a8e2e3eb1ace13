//! Faults of disks.

use std::time::Duration;

use super::{lasts, members};
use crate::random::Stream;
use crate::schedule::generate::{Slot, magnitude};
use crate::schedule::{Fault, Operation, Shape};

pub(super) fn disk_stall(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    let extra_latency = magnitude(stream, Duration::from_millis(5), Duration::from_secs(1));
    Fault::DiskStall { target, extra_latency, lasts: lasts(stream, slot, 50, 6_000) }
}

pub(super) fn disk_error(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    let operation = *stream.weighted(&[
        (25, Operation::Sync),
        (20, Operation::SyncLost),
        (30, Operation::Write),
        (12, Operation::Read),
        (13, Operation::Name),
    ]);
    Fault::DiskError { target, operation, count: stream.magnitude(1, 7) as u32 }
}

pub(super) fn disk_full(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::DiskFull { target: members(stream, shape, slot), lasts: lasts(stream, slot, 100, 5_000) }
}

/// Whether there is data that faults may damage: a minority of the members must be left to damage, and a majority to
/// make it good.
pub(super) fn can_damage(shape: &Shape) -> bool {
    shape.members > 2 && !shape.files.is_empty()
}

/// Whether there are files whose members notice that a write is lost.
pub(super) fn can_lose_writes(shape: &Shape) -> bool {
    can_damage(shape) && shape.files.iter().any(|class| class.finds_lost_writes)
}

fn files(stream: &mut Stream, shape: &Shape) -> String {
    stream.pick(shape.files).name.to_owned()
}

fn files_that_miss_writes(stream: &mut Stream, shape: &Shape) -> String {
    let classes: Vec<_> = shape.files.iter().filter(|class| class.finds_lost_writes).collect();
    stream.pick(&classes).name.to_owned()
}

pub(super) fn bit_rot(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (target, files) = (members(stream, shape, slot), files(stream, shape));
    let bits = if stream.chance(500_000) { 1 } else { stream.magnitude(1, 100) as u32 };
    Fault::BitRot { target, files, bits }
}

pub(super) fn misdirected_write(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (target, files) = (members(stream, shape, slot), files_that_miss_writes(stream, shape));
    Fault::MisdirectedWrite { target, files, count: stream.magnitude(1, 7) as u32 }
}

pub(super) fn phantom_write(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (target, files) = (members(stream, shape, slot), files_that_miss_writes(stream, shape));
    Fault::PhantomWrite { target, files, count: stream.magnitude(1, 7) as u32 }
}

pub(super) fn sync_lie(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (target, files) = (members(stream, shape, slot), files_that_miss_writes(stream, shape));
    Fault::SyncLie { target, files, count: stream.magnitude(1, 3) as u32 }
}

pub(super) fn read_error(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (target, files) = (members(stream, shape, slot), files(stream, shape));
    let sectors = if stream.chance(500_000) { 1 } else { stream.magnitude(1, 50) as u32 };
    Fault::ReadError { target, files, sectors }
}

pub(super) fn wipe(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::Wipe { target: members(stream, shape, slot), down: lasts(stream, slot, 1, 5_000) }
}
