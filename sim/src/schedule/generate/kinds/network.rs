//! Faults of the network.

use std::time::Duration;

use super::lasts;
use crate::random::Stream;
use crate::schedule::generate::{Slot, client, magnitude, member};
use crate::schedule::{Direction, Fault, Packets, Shape, Target};

pub(super) fn has_links(shape: &Shape) -> bool {
    shape.members > 1 || shape.clients > 0
}

pub(super) fn partition(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    let direction = direction(stream);
    let packets = if stream.chance(450_000) { Packets::Hold } else { Packets::Drop };
    Fault::Partition { from, to, direction, packets, lasts: lasts(stream, slot, 50, 8_000) }
}

pub(super) fn degrade(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
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

pub(super) fn reset(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    Fault::Reset { from, to }
}

fn direction(stream: &mut Stream) -> Direction {
    if stream.chance(600_000) { Direction::Both } else { Direction::OneWay }
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
