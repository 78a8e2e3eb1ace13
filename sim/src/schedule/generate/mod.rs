//! From a seed to a schedule.
//!
//! A pure function of the seed's streams and of the cluster's shape, run before the world starts. Each part draws
//! from a stream of its own, all of them named `schedule/...`, so that a draw more in one place moves that part
//! alone:
//!
//! | purpose | what it decides |
//! | --- | --- |
//! | `schedule/duration` | how long faults happen |
//! | `schedule/network` | the links between faults; 0 for peers, 1 for clients |
//! | `schedule/disk` | the disks between faults |
//! | `schedule/clocks` | 0: how wrong clocks are; then one for each member and client |
//! | `schedule/swarm` | 0: how dense faults are; then for each kind whether it happens, and how often |
//! | `schedule/broken` | who stays broken when faults are over |
//! | `schedule/slots` | when each fault begins, of which kind it is, and which of them have one target |
//! | `schedule/fault/<kind>` | the parameters of that kind's faults, one index for each of them |
//! | `schedule/added` | when faults begin that were asked for besides what the seed has |
//!
//! Faults are drawn as a *swarm* (Groce and others, "Swarm testing", ISSTA 2012): a seed has some kinds of faults
//! and lacks the others, since one kind often hides what another would find. A cluster whose members die every
//! second never gets as far as a slow disk could delay it. Many bugs take two faults at once, so in many seeds
//! faults come in bursts that share a target.

mod ending;
mod environment;
mod kinds;

use std::time::Duration;

use self::kinds::{KINDS, Kind};
use super::{Broken, Clock, DamageMax, Disk, Network, Schedule, Shape, Target, TimedFault};
use crate::node_id::NodeId;
use crate::random::{Stream, Streams};

/// What the generator decides of a schedule. The rest is the system's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generated {
    /// How long faults happen: 5 s to 60 s, mostly less than 12 s.
    pub duration: Duration,
    /// The links between faults.
    pub network: Network,
    /// The disks between faults.
    pub disk: Disk,
    /// The clocks that are not true.
    pub clocks: Vec<Clock>,
    /// What goes wrong: at least 2 faults, in order of their beginnings, none lasting beyond `duration`.
    pub faults: Vec<TimedFault>,
    /// Who stays broken: nobody in most seeds, and never more than a minority of the members.
    pub broken: Vec<Broken>,
}

impl Generated {
    /// The schedule of `system` with this, its own `options` and `settle_max` to recover.
    #[must_use]
    pub fn into_schedule<O>(self, system: &str, seed: u64, settle_max: Duration, options: O) -> Schedule<O> {
        let Self { duration, network, disk, clocks, faults, broken } = self;
        let system = system.to_owned();
        Schedule {
            system,
            seed,
            interleaving: None,
            duration,
            settle_max,
            damage: DamageMax::Minority,
            options,
            network,
            disk,
            clocks,
            faults,
            broken,
        }
    }
}

/// Draws what a run over a cluster of this shape meets.
///
/// # Panics
///
/// If the shape has no member: there is nothing that a fault could meet.
#[must_use]
pub fn generate(streams: &Streams, shape: &Shape) -> Generated {
    assert!(shape.members > 0, "a cluster has at least one member");
    let duration = draw_duration(&mut streams.stream("schedule/duration", 0));
    Generated {
        duration,
        network: environment::network(streams),
        disk: environment::disk(&mut streams.stream("schedule/disk", 0)),
        clocks: environment::clocks(streams, shape),
        faults: faults(streams, shape, duration),
        broken: ending::broken(&mut streams.stream("schedule/broken", 0), shape),
    }
}

/// Mostly short, since a fresh start finds more than a long run; some long, for what takes time to build up.
fn draw_duration(stream: &mut Stream) -> Duration {
    let millis = match stream.chance(850_000) {
        true => stream.between(5_000, 12_000),
        false => stream.magnitude(12_000, 60_000),
    };
    Duration::from_millis(millis)
}

/// The weight of a kind of fault in this seed, and its place in [`KINDS`].
type Weighted = (u32, usize);

/// The place of one fault in the schedule, before its kind has drawn what it does.
struct Slot {
    at: Duration,
    /// Its place in [`KINDS`].
    kind: usize,
    /// The target that it shares with the rest of its burst.
    focus: Option<Target>,
    /// The time between `at` and the end of faults.
    room: Duration,
}

/// The kinds of faults that [`Generated::add`] knows: those that a file names, and what several faults are called that
/// belong together.
pub fn fault_kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(Kind::name)
}

impl Generated {
    /// Adds faults of the kind of that name to what the seed has, one to three, and moves nothing else. There are none
    /// where that kind cannot happen to a cluster of this shape.
    ///
    /// # Errors
    ///
    /// A sentence, when there is no such kind.
    pub fn add(&mut self, streams: &Streams, shape: &Shape, name: &str) -> Result<(), String> {
        let Some(place) = KINDS.iter().position(|kind| kind.name() == name) else {
            let names: Vec<_> = fault_kinds().collect();
            return Err(format!("there is no fault `{name}`; there are: {}", names.join(", ")));
        };
        let kind = &KINDS[place];
        if !(kind.possible)(shape) {
            return Ok(());
        }
        let stream = &mut streams.stream("schedule/added", place as u64);
        for number in 0..stream.between(1, 3) {
            let at = micros(stream.duration(self.duration / 10, self.duration * 9 / 10));
            let slot = Slot { at, kind: place, focus: None, room: self.duration - at };
            kind.draw(&mut streams.stream(kind.purpose, ADDED + number), shape, &slot, &mut self.faults);
        }
        self.faults.sort_by_key(|timed| timed.at);
        Ok(())
    }
}

/// The number of the first fault of a kind that was asked for; those that a seed has are numbered from 0.
const ADDED: u64 = 1 << 32;

fn faults(streams: &Streams, shape: &Shape, duration: Duration) -> Vec<TimedFault> {
    let (kinds, count) = swarm(streams, shape, duration);
    let slots = slots(&mut streams.stream("schedule/slots", 0), shape, duration, &kinds, count);
    let mut drawn = [0; KINDS.len()];
    let mut faults = Vec::with_capacity(slots.len());
    for slot in &slots {
        let kind = &KINDS[slot.kind];
        let mut stream = streams.stream(kind.purpose, drawn[slot.kind]);
        drawn[slot.kind] += 1;
        kind.draw(&mut stream, shape, slot, &mut faults);
    }
    // Of several faults that belong together, some may begin after the next slot.
    faults.sort_by_key(|timed| timed.at);
    faults
}

/// The kinds of faults that this seed has, and how many faults.
fn swarm(streams: &Streams, shape: &Shape, duration: Duration) -> (Vec<Weighted>, u64) {
    let stream = &mut streams.stream("schedule/swarm", 0);
    let mut kinds: Vec<Weighted> = Vec::with_capacity(KINDS.len());
    for (index, kind) in KINDS.iter().enumerate() {
        // A kind that is new does not change which of the others a seed has.
        let own = xxhash_rust::xxh3::xxh3_64(kind.purpose.as_bytes());
        let stream = &mut streams.stream("schedule/swarm", own);
        let (enabled, weight) = (stream.chance(kind.enabled_ppm), stream.magnitude(1, 7) as u32);
        if enabled && (kind.possible)(shape) {
            kinds.push((weight, index));
        }
    }
    if kinds.is_empty() {
        let possible: Vec<usize> = (0..KINDS.len())
            .filter(|index| KINDS[*index].enabled_ppm > 0 && (KINDS[*index].possible)(shape))
            .collect();
        kinds.push((1, *stream.pick(&possible)));
    }
    let millis_between_faults = stream.magnitude(1_024, 8_191);
    (kinds, 2 + duration.as_millis() as u64 / millis_between_faults)
}

/// `count` places for faults, in order of time.
fn slots(
    stream: &mut Stream,
    shape: &Shape,
    duration: Duration,
    kinds: &[Weighted],
    count: u64,
) -> Vec<Slot> {
    const BURST: Duration = Duration::from_secs(1);
    // Clusters mostly get the time to elect their first leader, and faults the time to show what they do.
    let earliest = match stream.chance(800_000) {
        true => stream.duration(Duration::from_millis(500), Duration::from_secs(1)),
        false => Duration::ZERO,
    };
    let latest = duration * 9 / 10;
    let bursts_ppm = if stream.chance(650_000) { 500_000 } else { 0 };

    let mut slots: Vec<Slot> = Vec::with_capacity(count as usize);
    while (slots.len() as u64) < count {
        let left = count - slots.len() as u64;
        let begin = micros(stream.duration(earliest, latest));
        if left == 1 || !stream.chance(bursts_ppm) {
            let kind = *stream.weighted(kinds);
            slots.push(Slot { at: begin, kind, focus: None, room: duration - begin });
            continue;
        }
        let focus = Some(burst_target(stream, shape));
        let mut others: Vec<Weighted> = kinds.to_vec();
        for _ in 0..stream.between(2, 4).min(left) {
            // Different kinds as long as there are any: a member that is killed twice is only dead.
            if others.is_empty() {
                others.extend(kinds);
            }
            let kind = *stream.weighted(&others);
            others.retain(|(_, other)| *other != kind);
            let at = micros(stream.duration(begin, latest.min(begin + BURST)));
            slots.push(Slot { at, kind, focus, room: duration - at });
        }
    }
    slots.sort_by_key(|slot| slot.at);
    slots
}

/// Whom a burst meets: most often the leader, since most promises are kept or broken there.
fn burst_target(stream: &mut Stream, shape: &Shape) -> Target {
    match stream.below(10) {
        0..=5 => Target::Leader,
        6 => Target::Follower,
        _ => member(stream, shape),
    }
}

/// A member by its machine; at times one that stands by, and may be a member by then.
fn member(stream: &mut Stream, shape: &Shape) -> Target {
    let by = |number| Target::Node(NodeId::Member(1 + number as u16));
    let (members, spares) = (u64::from(shape.members), u64::from(shape.spares));
    match spares > 0 && stream.chance(150_000) {
        true => by(members + stream.below(spares)),
        false => by(stream.below(members)),
    }
}

fn client(stream: &mut Stream, shape: &Shape) -> Target {
    Target::Node(NodeId::Client(1 + stream.below(shape.clients.into()) as u16))
}

/// A duration in `low..=high` with a uniform order of magnitude, on a number of digits that people can read.
fn magnitude(stream: &mut Stream, low: Duration, high: Duration) -> Duration {
    let drawn = stream.magnitude(low.as_micros() as u64, high.as_micros() as u64);
    let readable = if drawn >= 10_000 { drawn - drawn % 1_000 } else { drawn };
    Duration::from_micros(readable).clamp(low, high)
}

/// `duration` in whole microseconds: enough to fall between any two steps of a member, and readable.
fn micros(duration: Duration) -> Duration {
    Duration::from_micros(duration.as_micros() as u64)
}
