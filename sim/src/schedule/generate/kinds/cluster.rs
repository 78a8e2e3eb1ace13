//! What is asked of the operator and of clients while faults happen.

use std::time::Duration;

use super::{after, lasts, members};
use crate::random::Stream;
use crate::schedule::generate::{Slot, client, magnitude};
use crate::schedule::{Fault, Shape, Target, TimedFault};

/// How often of a million times a rare operation is drawn that could be.
const RARE_PPM: u32 = 250_000;

/// The operations that a seed can have.
pub(super) fn operations(shape: &Shape) -> impl Iterator<Item = &'static str> + use<'_> {
    let possible = |operation: &&str| shape.spares > 0 || !shape.spare_operations.contains(operation);
    shape.operations.iter().copied().filter(possible)
}

fn operation(stream: &mut Stream, shape: &Shape) -> String {
    let mut possible: Vec<_> = operations(shape).collect();
    let is_rare = |operation: &&str| shape.rare_operations.contains(operation);
    let mut operation = *stream.pick(&possible);
    if is_rare(&operation) && !stream.chance(RARE_PPM) {
        possible.retain(|operation| !is_rare(operation));
        if !possible.is_empty() {
            operation = *stream.pick(&possible);
        }
    }
    operation.to_owned()
}

pub(super) fn operate(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let operation = operation(stream, shape);
    Fault::Operate { operation, target: members(stream, shape, slot) }
}

/// One operation again and again, as from a loop of a script, on members that may differ.
pub(super) fn operate_again(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let operation = operation(stream, shape);
    let times = stream.between(3, 6) as u32;
    let apart = magnitude(stream, Duration::from_millis(10), Duration::from_millis(1_000));
    (0..times)
        .map_while(|time| after(slot, apart * time))
        .map(|slot| {
            let (operation, target) = (operation.clone(), members(stream, shape, &slot));
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
