//! Faults of clocks.

use std::time::Duration;

use super::{lasts, members};
use crate::random::Stream;
use crate::schedule::generate::{Slot, client, magnitude};
use crate::schedule::{ClockOffset, Fault, Shape, Target};

pub(super) fn clock_drift(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = whose(stream, shape, slot);
    let ppm = stream.magnitude(100, 100_000) as i32;
    let drift_ppm = if stream.chance(500_000) { ppm } else { -ppm };
    Fault::ClockDrift { target, drift_ppm, lasts: lasts(stream, slot, 500, 10_000) }
}

pub(super) fn clock_jump(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = whose(stream, shape, slot);
    let by = offset(stream, Duration::from_millis(100), Duration::from_secs(600));
    Fault::ClockJump { target, by, lasts: lasts(stream, slot, 200, 10_000) }
}

pub(super) fn clock_strobe(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = whose(stream, shape, slot);
    let by = offset(stream, Duration::from_millis(10), Duration::from_secs(120));
    let period = magnitude(stream, Duration::from_millis(20), Duration::from_secs(1));
    Fault::ClockStrobe { target, by, period, lasts: lasts(stream, slot, 500, 6_000) }
}

fn offset(stream: &mut Stream, low: Duration, high: Duration) -> ClockOffset {
    let nanos = magnitude(stream, low, high).as_nanos() as i64;
    ClockOffset { nanos: if stream.chance(500_000) { nanos } else { -nanos } }
}

fn whose(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Target {
    match shape.clients > 0 && slot.focus.is_none() && stream.chance(150_000) {
        true => client(stream, shape),
        false => members(stream, shape, slot),
    }
}
