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
    let operation = *stream.weighted(&[(50, Operation::Sync), (35, Operation::Write), (15, Operation::Read)]);
    Fault::DiskError { target, operation, count: stream.magnitude(1, 7) as u32 }
}

pub(super) fn disk_full(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::DiskFull { target: members(stream, shape, slot), lasts: lasts(stream, slot, 100, 5_000) }
}
