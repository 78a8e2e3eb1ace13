//! What is asked of the operator and of clients while faults happen.

use super::{lasts, members};
use crate::random::Stream;
use crate::schedule::generate::{Slot, client};
use crate::schedule::{Fault, Shape, Target};

pub(super) fn operate(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let operation = (*stream.pick(shape.operations)).to_owned();
    Fault::Operate { operation, target: members(stream, shape, slot) }
}

pub(super) fn load(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let load = (*stream.pick(shape.loads)).to_owned();
    let target = if stream.chance(600_000) { client(stream, shape) } else { Target::AllClients };
    let amount = stream.magnitude(4, 100) as u32;
    Fault::Load { load, target, amount, lasts: lasts(stream, slot, 200, 5_000) }
}
