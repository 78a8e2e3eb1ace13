//! What is asked of the operator and of clients while faults happen.

use std::time::Duration;

use super::{after, lasts, members};
use crate::random::Stream;
use crate::schedule::generate::{Slot, client, magnitude};
use crate::schedule::{Fault, Shape, Target, TimedFault};

pub(super) fn operate(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let operation = (*stream.pick(shape.operations)).to_owned();
    Fault::Operate { operation, target: members(stream, shape, slot) }
}

/// One operation again and again, as from a loop of a script, on members that may differ.
pub(super) fn operate_again(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let operation = *stream.pick(shape.operations);
    let times = stream.between(3, 6) as u32;
    let apart = magnitude(stream, Duration::from_millis(10), Duration::from_millis(1_000));
    (0..times)
        .map_while(|time| after(slot, apart * time))
        .map(|slot| {
            let (operation, target) = (operation.to_owned(), members(stream, shape, &slot));
            TimedFault { at: slot.at, fault: Fault::Operate { operation, target } }
        })
        .collect()
}

pub(super) fn load(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let load = (*stream.pick(shape.loads)).to_owned();
    let target = if stream.chance(600_000) { client(stream, shape) } else { Target::AllClients };
    let amount = stream.magnitude(4, 64) as u32;
    Fault::Load { load, target, amount, lasts: lasts(stream, slot, 200, 5_000) }
}
