//! Faults of the network.

use std::time::Duration;

use super::{after, lasts};
use crate::random::Stream;
use crate::schedule::generate::{Slot, client, magnitude, member};
use crate::schedule::{Direction, Fault, Packets, Shape, Target, TimedFault};

pub(super) fn has_links(shape: &Shape) -> bool {
    shape.members > 1 || shape.clients > 0
}

pub(super) fn partition(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    let direction = direction(stream);
    Fault::Partition { from, to, direction, packets: packets(stream), lasts: lasts(stream, slot, 50, 8_000) }
}

pub(super) fn flap(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    let direction = direction(stream);
    let packets = packets(stream);
    // From less than a heartbeat to longer than an election takes.
    let down = magnitude(stream, Duration::from_millis(20), Duration::from_millis(2_000));
    let up = magnitude(stream, Duration::from_millis(20), Duration::from_millis(2_000));
    Fault::Flap { from, to, direction, packets, down, up, lasts: lasts(stream, slot, 500, 8_000) }
}

/// The members in a random order in two parts, which do not see each other at all, or in one way only.
pub(super) fn partition_split(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let mut members: Vec<Target> = shape.member_ids().map(Target::Node).collect();
    stream.shuffle(&mut members);
    members.truncate(stream.between(1, u64::from(shape.members) / 2) as usize);
    members.sort_unstable();
    let (mut one, mut other) = (members, vec![Target::Others]);
    if shape.clients > 0 && stream.chance(250_000) {
        one.push(client(stream, shape));
    }
    if shape.clients > 0 && stream.chance(250_000) {
        other.push(Target::AllClients);
    }
    let (from, to) = if stream.chance(500_000) { (one, other) } else { (other, one) };
    let direction = direction(stream);
    Fault::Partition { from, to, direction, packets: packets(stream), lasts: lasts(stream, slot, 50, 8_000) }
}

/// Every member sees a majority, and no two of them the same: each sees its neighbours in a ring.
pub(super) fn partition_ring(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let mut ring: Vec<Target> = shape.member_ids().map(Target::Node).collect();
    stream.shuffle(&mut ring);
    let (count, members) = (ring.len(), ring.clone());
    let (lasts, packets) = (lasts(stream, slot, 200, 8_000), packets(stream));
    // With both neighbours of three, all would see each other.
    let one_way = count < 4 || stream.chance(300_000);
    (0..count)
        .filter_map(|place| {
            // How far around the ring a member reaches: with itself a majority, to one side or to both.
            let unseen: Vec<usize> = match one_way {
                true => (count / 2 + 1..count).collect(),
                false => (1..count)
                    .filter(|apart| *apart.min(&(count - *apart)) > (count / 2).div_ceil(2))
                    .collect(),
            };
            let mut to: Vec<Target> = unseen.iter().map(|apart| members[(place + apart) % count]).collect();
            if !one_way {
                // Each pair once.
                to.retain(|other| *other > members[place]);
            }
            to.sort_unstable();
            let direction = if one_way { Direction::OneWay } else { Direction::Both };
            let fault = Fault::Partition { from: vec![members[place]], to, direction, packets, lasts };
            match &fault {
                Fault::Partition { to, .. } if to.is_empty() => None,
                _ => Some(TimedFault { at: slot.at, fault }),
            }
        })
        .collect()
}

/// Two parts that see each other only through one member, which sees all.
pub(super) fn partition_bridge(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let mut members: Vec<Target> = shape.member_ids().map(Target::Node).collect();
    stream.shuffle(&mut members);
    members.pop();
    let mut other = members.split_off(members.len() / 2);
    members.sort_unstable();
    other.sort_unstable();
    let direction = direction(stream);
    let (packets, lasts) = (packets(stream), lasts(stream, slot, 200, 8_000));
    Fault::Partition { from: members, to: other, direction, packets, lasts }
}

/// Each leader in turn is cut off, as soon as there is the next one, and may come back when there is.
pub(super) fn partition_leaders(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let times = stream.between(2, 4) as u32;
    let apart = magnitude(stream, Duration::from_millis(500), Duration::from_millis(3_000));
    let (direction, packets) = (direction(stream), packets(stream));
    let inwards = stream.chance(500_000);
    let mut rest = vec![Target::Others];
    if shape.clients > 0 && stream.chance(300_000) {
        rest.push(Target::AllClients);
    }
    (0..times)
        .map_while(|time| after(slot, apart * time))
        .map(|slot| {
            let (from, to) = match inwards {
                true => (rest.clone(), vec![Target::Leader]),
                false => (vec![Target::Leader], rest.clone()),
            };
            let lasts = lasts(stream, &slot, 300, 6_000);
            TimedFault { at: slot.at, fault: Fault::Partition { from, to, direction, packets, lasts } }
        })
        .collect()
}

pub(super) fn degrade(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    degraded(stream, slot, from, to)
}

/// One link alone is slow and loses packets, which no majority notices.
pub(super) fn degrade_link(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let mut nodes: Vec<Target> = shape.member_ids().map(Target::Node).collect();
    stream.shuffle(&mut nodes);
    let one = slot.focus.unwrap_or(nodes[0]);
    let other = match nodes.len() {
        1 => client(stream, shape),
        _ if shape.clients > 0 && stream.chance(250_000) => client(stream, shape),
        _ => nodes[1],
    };
    let (from, to) = if stream.chance(500_000) { (one, other) } else { (other, one) };
    degraded(stream, slot, vec![from], vec![to])
}

fn degraded(stream: &mut Stream, slot: &Slot, from: Vec<Target>, to: Vec<Target>) -> Fault {
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
    let (reorder_ppm, reorder_delay_max) = match stream.chance(500_000) {
        true => (
            stream.magnitude(10_000, 500_000) as u32,
            magnitude(stream, Duration::from_millis(5), Duration::from_secs(2)),
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
        reorder_ppm,
        reorder_delay_max,
        lasts,
    }
}

pub(super) fn filter(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    // Between everybody, or as a partition would.
    let (from, to) = match stream.chance(400_000) {
        true => {
            let everybody = match shape.clients {
                0 => vec![Target::AllMembers],
                _ => vec![Target::AllMembers, Target::AllClients],
            };
            (everybody.clone(), everybody)
        }
        false => sides(stream, shape, slot),
    };
    let direction = direction(stream);
    let mut messages: Vec<&str> = shape.messages.to_vec();
    stream.shuffle(&mut messages);
    messages.truncate(*stream.weighted(&[(60, 1), (25, 2), (15, 3)]));
    messages.sort_unstable();
    let (loss_ppm, delay) = match stream.below(100) {
        0..45 => (1_000_000, Duration::ZERO),
        45..65 => (stream.magnitude(50_000, 900_000) as u32, Duration::ZERO),
        65..90 => (0, magnitude(stream, Duration::from_millis(10), Duration::from_secs(3))),
        _ => (
            stream.magnitude(50_000, 900_000) as u32,
            magnitude(stream, Duration::from_millis(10), Duration::from_secs(3)),
        ),
    };
    let messages = messages.into_iter().map(str::to_owned).collect();
    Fault::Filter { from, to, direction, messages, loss_ppm, delay, lasts: lasts(stream, slot, 200, 8_000) }
}

pub(super) fn reset(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    Fault::Reset { from, to }
}

pub(super) fn reset_storm(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let (from, to) = sides(stream, shape, slot);
    // A snapshot takes some milliseconds, a request some more.
    let every = magnitude(stream, Duration::from_millis(2), Duration::from_millis(500));
    let lasts = lasts(stream, slot, 200, 4_000).min(every * 100);
    Fault::ResetStorm { from, to, every, lasts }
}

fn packets(stream: &mut Stream) -> Packets {
    if stream.chance(450_000) { Packets::Hold } else { Packets::Drop }
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
