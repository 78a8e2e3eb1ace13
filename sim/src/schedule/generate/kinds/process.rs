//! Faults of processes.

use super::{lasts, members};
use crate::random::Stream;
use crate::schedule::generate::Slot;
use crate::schedule::{Action, Fault, Shape};

pub(super) fn kill(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::Kill { target: members(stream, shape, slot), down: lasts(stream, slot, 1, 5_000) }
}

pub(super) fn power_failure(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::PowerFailure { target: members(stream, shape, slot), down: lasts(stream, slot, 1, 5_000) }
}

pub(super) fn pause(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    // Mostly long enough to be deposed: the others go on, and the paused member does not know.
    let lasts = match stream.chance(700_000) {
        true => lasts(stream, slot, 1_000, 6_000),
        false => lasts(stream, slot, 10, 1_000),
    };
    Fault::Pause { target, lasts }
}

pub(super) fn failpoint(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
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
