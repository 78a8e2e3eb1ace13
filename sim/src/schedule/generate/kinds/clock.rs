//! Faults of clocks.

use super::{lasts, members};
use crate::random::Stream;
use crate::schedule::generate::{Slot, client};
use crate::schedule::{Fault, Shape};

pub(super) fn clock_drift(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = match shape.clients > 0 && slot.focus.is_none() && stream.chance(150_000) {
        true => client(stream, shape),
        false => members(stream, shape, slot),
    };
    let ppm = stream.magnitude(100, 100_000) as i32;
    let drift_ppm = if stream.chance(500_000) { ppm } else { -ppm };
    Fault::ClockDrift { target, drift_ppm, lasts: lasts(stream, slot, 500, 10_000) }
}
