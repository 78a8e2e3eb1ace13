//! Draws what a run is like between its faults.

use std::time::Duration;

use super::magnitude;
use crate::node_id::NodeId;
use crate::random::{Stream, Streams};
use crate::schedule::{Clock, ClockOffset, Disk, Link, Network, Shape};

const fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(super) fn network(streams: &Streams) -> Network {
    Network {
        peers: link(&mut streams.stream("schedule/network", 0)),
        clients: link(&mut streams.stream("schedule/network", 1)),
    }
}

/// Often a link that loses and repeats nothing: what a seed finds then needs no excuse. Sometimes one that does so
/// rarely, and sometimes one that does so all the time, since a bug may need several such packets within a second.
fn link(stream: &mut Stream) -> Link {
    let latency_min = magnitude(stream, micros(200), millis(10));
    let mut link = Link {
        latency_min,
        latency_max: magnitude(stream, latency_min, millis(10)),
        tail_ppm: 0,
        tail_max: Duration::ZERO,
        loss_ppm: 0,
        duplicate_ppm: 0,
        duplicate_delay_max: Duration::ZERO,
    };
    let (each_ppm, least_ppm, most_ppm) =
        *stream.weighted(&[(45, (0, 1, 1)), (25, (400_000, 100, 20_000)), (30, (700_000, 20_000, 200_000))]);
    if stream.chance(each_ppm) {
        link.tail_ppm = stream.magnitude(least_ppm, most_ppm) as u32;
        link.tail_max = magnitude(stream, millis(20), millis(1_000));
    }
    if stream.chance(each_ppm) {
        link.loss_ppm = stream.magnitude(least_ppm, most_ppm / 2) as u32;
    }
    if stream.chance(each_ppm) {
        link.duplicate_ppm = stream.magnitude(least_ppm, most_ppm) as u32;
        link.duplicate_delay_max = magnitude(stream, millis(50), millis(3_000));
    }
    link
}

pub(super) fn disk(stream: &mut Stream) -> Disk {
    let sync_latency_min = magnitude(stream, micros(50), millis(5));
    let sync_latency_max = magnitude(stream, sync_latency_min, millis(20));
    let (tail_ppm, tail_max) = match stream.chance(300_000) {
        true => (stream.magnitude(100, 50_000) as u32, magnitude(stream, millis(20), millis(1_000))),
        false => (0, Duration::ZERO),
    };
    Disk { sync_latency_min, sync_latency_max, tail_ppm, tail_max }
}

/// How wrong a clock is at most.
#[derive(Clone, Copy)]
struct Wrong {
    offset_max: Duration,
    drift_ppm_max: u64,
}

/// As wrong as clocks are that something keeps in step.
const MILD: Wrong = Wrong { offset_max: millis(200), drift_ppm_max: 500 };
/// As wrong as a clock that nothing keeps in step, on a machine that is overloaded.
const WILD: Wrong = Wrong { offset_max: millis(5_000), drift_ppm_max: 100_000 };

pub(super) fn clocks(streams: &Streams, shape: &Shape) -> Vec<Clock> {
    let mut stream = streams.stream("schedule/clocks", 0);
    let (wrong_ppm, wild_ppm) =
        *stream.weighted(&[(25, (0, 0)), (55, (800_000, 0)), (15, (800_000, 350_000)), (5, (0, 1_000_000))]);
    // Spares come last, so that one more moves no other clock.
    let spares = shape.machine_ids().skip(shape.members.into());
    let nodes = shape.member_ids().chain(shape.client_ids()).chain(spares);
    nodes
        .zip(1..)
        .filter_map(|(node, index)| {
            let mut stream = streams.stream("schedule/clocks", index);
            if stream.chance(wild_ppm) {
                Some(clock(&mut stream, node, WILD, 20_000))
            } else if stream.chance(wrong_ppm) {
                Some(clock(&mut stream, node, MILD, 1))
            } else {
                None
            }
        })
        .collect()
}

fn clock(stream: &mut Stream, node: NodeId, wrong: Wrong, drift_ppm_min: u64) -> Clock {
    let offset = magnitude(stream, micros(10), wrong.offset_max).as_nanos() as i64;
    let drift_ppm = stream.magnitude(drift_ppm_min, wrong.drift_ppm_max) as i32;
    let offset = ClockOffset { nanos: if stream.chance(500_000) { offset } else { -offset } };
    Clock { node, offset, drift_ppm: if stream.chance(500_000) { drift_ppm } else { -drift_ppm } }
}
