//! Which faults are weaker than another, and which settings plainer: what shrinking tries in their place.
//!
//! Each step makes something less: a sort of fault, a target, a number, or the digits of one. So taking steps again
//! and again comes to an end, whatever is taken. Steps go by the fields that a file has, so that a new kind of fault
//! needs nothing here; where it has a weaker kind beside it, that is said in [`weaker_kinds`].

use std::time::Duration;

use toml::{Table, Value};

use super::rounder::{lower, rounder, shorter};
use super::{Clock, ClockOffset, Crash, Disk, Fault, Link, Network, Shape, Target, TimedFault};
use crate::time::{nanos, text};

/// What can happen at a failpoint, the weakest first.
const ACTIONS: [&str; 5] = ["delay", "disconnect", "pause", "kill", "power-failure"];

impl TimedFault {
    /// What is tried in its place, the greatest step first: [weaker](Fault::weaker) faults, then rounder times.
    #[must_use]
    pub fn weaker(&self, shape: &Shape) -> Vec<Self> {
        let weaker = self.fault.weaker(shape).into_iter().map(|fault| Self { at: self.at, fault });
        weaker.chain(rounder(self.at).map(|at| Self { at, fault: self.fault.clone() })).collect()
    }
}

impl Fault {
    /// Faults that do less than this one, in a cluster of this shape; the greatest step first.
    #[must_use]
    pub fn weaker(&self, shape: &Shape) -> Vec<Self> {
        let mut weaker = weaker_kinds(self);
        if let Ok(Value::Table(tagged)) = Value::try_from(self)
            && let Some((kind, Value::Table(fields))) = tagged.iter().next()
        {
            let lesser = lesser(fields, shape).into_iter();
            let tagged = lesser.map(|fields| Table::from_iter([(kind.clone(), Value::Table(fields))]));
            weaker.extend(tagged.filter_map(|tagged| Value::Table(tagged).try_into::<Self>().ok()));
        }
        weaker.retain(|fault| fault != self && fault.check(shape).is_ok());
        weaker
    }
}

/// Faults of weaker kinds that meet the same nodes.
fn weaker_kinds(fault: &Fault) -> Vec<Fault> {
    match fault.clone() {
        Fault::PowerFailure { target, down } => {
            vec![Fault::Pause { target, lasts: down }, Fault::Kill { target, down }]
        }
        Fault::Kill { target, down } => vec![Fault::Pause { target, lasts: down }],
        Fault::CrashLoop { target, crash: Crash::Kill, down, .. } => vec![Fault::Kill { target, down }],
        Fault::CrashLoop { target, crash: Crash::PowerFailure, down, .. } => {
            vec![Fault::Kill { target, down }, Fault::PowerFailure { target, down }]
        }
        Fault::Flap { from, to, direction, packets, down, lasts, .. } => [down, lasts]
            .map(|lasts| {
                let (from, to) = (from.clone(), to.clone());
                Fault::Partition { from, to, direction, packets, lasts }
            })
            .to_vec(),
        Fault::ResetStorm { from, to, .. } => vec![Fault::Reset { from, to }],
        Fault::ClockStrobe { target, by, lasts, .. } => vec![Fault::ClockJump { target, by, lasts }],
        _ => Vec::new(),
    }
}

/// The fields of a fault with less in one of them.
fn lesser(fields: &Table, shape: &Shape) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut put = |changes: &[(&str, Value)]| {
        let mut changed = fields.clone();
        changed.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        tables.push(changed);
    };
    for (name, value) in fields {
        let name = name.as_str();
        match (name, value) {
            ("direction", Value::String(direction)) if direction == "both" => {
                let (one_way, sides) = (Value::from("one-way"), ["from", "to"].map(|side| fields.get(side)));
                put(&[("direction", one_way.clone())]);
                if let [Some(from), Some(to)] = sides {
                    put(&[("direction", one_way), ("from", to.clone()), ("to", from.clone())]);
                }
            }
            ("packets", Value::String(packets)) if packets == "drop" => put(&[(name, "hold".into())]),
            ("crash", Value::String(crash)) if crash == "power-failure" => put(&[(name, "kill".into())]),
            ("action", Value::String(action)) => {
                ACTIONS
                    .iter()
                    .take_while(|weaker| *weaker != action)
                    .for_each(|weaker| put(&[(name, (*weaker).into())]));
            }
            ("target", Value::String(target)) => {
                named(target, shape).into_iter().for_each(|target| put(&[(name, target)]));
            }
            (_, Value::Array(list)) => {
                smaller(list, shape).into_iter().for_each(|list| put(&[(name, list.into())]))
            }
            (_, Value::Integer(number)) => {
                lower_numbers(name, *number).into_iter().for_each(|number| put(&[(name, number.into())]));
            }
            (_, Value::String(time)) => {
                // The two ends of a range become one, and are then made shorter together.
                let highest = name.strip_suffix("_min").map(|stem| format!("{stem}_max"));
                let lowest = name.strip_suffix("_max").map(|stem| format!("{stem}_min"));
                let is_highest = lowest.as_ref().is_some_and(|lowest| fields.get(lowest) == Some(value));
                if let Some((highest, other)) = highest.as_ref().and_then(|name| fields.get_key_value(name)) {
                    for both in [value, other].into_iter().filter(|_| value != other) {
                        put(&[(name, both.clone()), (highest, both.clone())]);
                    }
                    if value == other {
                        shorter_times(name, time).into_iter().for_each(|time| {
                            put(&[(name, time.clone()), (highest, time)]);
                        });
                        continue;
                    }
                }
                if !is_highest {
                    shorter_times(name, time).into_iter().for_each(|time| put(&[(name, time)]));
                }
            }
            _ => {}
        }
    }
    tables
}

/// Every lower count where there are few, since each is another passage, and some where there are many. Shares may
/// become nothing.
fn lower_numbers(name: &str, number: i64) -> Vec<i64> {
    let magnitude = number.unsigned_abs();
    let nothing = name.ends_with("_ppm").then_some(0);
    let lower: Vec<u64> = match magnitude {
        0..=16 if nothing.is_none() => (1..magnitude).collect(),
        _ => lower(magnitude).collect(),
    };
    let signed = lower.into_iter().filter_map(|lower| Some(i64::try_from(lower).ok()? * number.signum()));
    nothing.into_iter().chain(signed).collect()
}

/// Shorter times, of the same sign. Those that only make something late may become nothing.
fn shorter_times(name: &str, time: &str) -> Vec<Value> {
    let (sign, magnitude) = match time.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", time),
    };
    let Ok(duration) = text::parse(magnitude) else { return Vec::new() };
    let is_delay = ["_min", "_max", "_latency", "delay"].iter().any(|end| name.ends_with(end));
    let nothing = Some(Duration::ZERO).filter(|nothing| is_delay && duration != *nothing);
    let times = nothing.into_iter().chain(shorter(duration));
    times.map(|time| Value::from(format!("{sign}{}", text::format(time)))).collect()
}

/// The list without one of its entries, or with a named node in the place of a role.
fn smaller(list: &[Value], shape: &Shape) -> Vec<Vec<Value>> {
    let mut smaller = Vec::new();
    for place in 0..list.len() {
        if list.len() > 1 {
            let mut rest = list.to_vec();
            rest.remove(place);
            smaller.push(rest);
        }
        for node in list[place].as_str().map_or(Vec::new(), |target| named(target, shape)) {
            let mut other = list.to_vec();
            other[place] = node;
            smaller.push(other);
        }
    }
    smaller
}

/// Whom a fault meets instead: of several, each alone; in the place of a role, each member that may have it. A node
/// that is named stays, and so does what is no target.
fn named(target: &str, shape: &Shape) -> Vec<Value> {
    let text = |node: crate::NodeId| Value::from(node.to_string());
    match target.parse::<Target>() {
        Err(_) | Ok(Target::Node(_)) => Vec::new(),
        Ok(Target::AllClients) => shape.client_ids().map(text).collect(),
        Ok(_) => shape.member_ids().map(text).collect(),
    }
}

/// Plainer ranges of latencies of links and disks between faults: one value alone, and rounder ends. Shorter ones are
/// no plainer, and the plain ones must not lead to others again.
fn latencies(min: Duration, max: Duration) -> Vec<(Duration, Duration)> {
    if min == max {
        return rounder(max).map(|latency| (latency, latency)).collect();
    }
    let mut ranges = vec![(min, min), (max, max)];
    ranges.extend(rounder(min).map(|min| (min, max)));
    ranges.extend(rounder(max).map(|max| (min, max)));
    ranges.retain(|(low, high)| low <= high);
    ranges
}

fn less_drift(drift_ppm: i32) -> impl Iterator<Item = i32> {
    lower(u64::from(drift_ppm.unsigned_abs()))
        .filter_map(move |ppm| Some(i32::try_from(ppm).ok()? * drift_ppm.signum()))
}

impl Network {
    /// Networks that are plainer than this, the greatest step first.
    #[must_use]
    pub fn plainer(&self) -> Vec<Self> {
        const PLAIN: Duration = Duration::from_millis(1);
        let plain = Link::plain(PLAIN);
        let mut plainer = vec![Self { peers: plain, clients: plain }];
        plainer.extend(self.peers.plainer().into_iter().map(|peers| Self { peers, ..self.clone() }));
        plainer.extend(self.clients.plainer().into_iter().map(|clients| Self { clients, ..self.clone() }));
        plainer.retain(|network| network != self);
        plainer
    }
}

impl Link {
    /// A link that loses and repeats nothing, and on which all packets take as long.
    fn plain(latency: Duration) -> Self {
        Self {
            latency_min: latency,
            latency_max: latency,
            tail_ppm: 0,
            tail_max: Duration::ZERO,
            loss_ppm: 0,
            duplicate_ppm: 0,
            duplicate_delay_max: Duration::ZERO,
        }
    }

    fn plainer(self) -> Vec<Self> {
        let mut plainer = vec![
            Self::plain(Duration::from_millis(1)),
            Self {
                latency_min: self.latency_min,
                latency_max: self.latency_max,
                ..Self::plain(Duration::ZERO)
            },
            Self { tail_ppm: 0, tail_max: Duration::ZERO, ..self },
            Self { loss_ppm: 0, ..self },
            Self { duplicate_ppm: 0, duplicate_delay_max: Duration::ZERO, ..self },
        ];
        let latencies = latencies(self.latency_min, self.latency_max);
        plainer.extend(latencies.into_iter().map(|(latency_min, latency_max)| Self {
            latency_min,
            latency_max,
            ..self
        }));
        plainer.extend(lower(self.tail_ppm.into()).map(|ppm| Self { tail_ppm: ppm as u32, ..self }));
        plainer.extend(shorter(self.tail_max).map(|tail_max| Self { tail_max, ..self }));
        plainer.extend(lower(self.loss_ppm.into()).map(|ppm| Self { loss_ppm: ppm as u32, ..self }));
        plainer
            .extend(lower(self.duplicate_ppm.into()).map(|ppm| Self { duplicate_ppm: ppm as u32, ..self }));
        let delays = shorter(self.duplicate_delay_max);
        plainer.extend(delays.map(|duplicate_delay_max| Self { duplicate_delay_max, ..self }));
        plainer.retain(|link| *link != self);
        plainer
    }
}

impl Disk {
    /// Disks that are plainer than this, the greatest step first.
    #[must_use]
    pub fn plainer(&self) -> Vec<Self> {
        const PLAIN: Duration = Duration::from_millis(1);
        let (tail_ppm, tail_max) = (0, Duration::ZERO);
        let mut plainer = vec![
            Self { sync_latency_min: PLAIN, sync_latency_max: PLAIN, tail_ppm, tail_max },
            Self { tail_ppm, tail_max, ..*self },
        ];
        let latencies = latencies(self.sync_latency_min, self.sync_latency_max);
        plainer.extend(latencies.into_iter().map(|(sync_latency_min, sync_latency_max)| Self {
            sync_latency_min,
            sync_latency_max,
            ..*self
        }));
        plainer.extend(lower(self.tail_ppm.into()).map(|ppm| Self { tail_ppm: ppm as u32, ..*self }));
        plainer.extend(shorter(self.tail_max).map(|tail_max| Self { tail_max, ..*self }));
        plainer.retain(|disk| disk != self);
        plainer
    }
}

impl Clock {
    /// Clocks that are less wrong than this, the greatest step first. The truest is no entry at all.
    #[must_use]
    pub fn truer(&self) -> Vec<Self> {
        let mut truer =
            vec![Self { offset: ClockOffset::default(), ..*self }, Self { drift_ppm: 0, ..*self }];
        let offset = Duration::from_nanos(self.offset.nanos.unsigned_abs());
        truer.extend(shorter(offset).filter_map(|offset| {
            let nanos = i64::try_from(nanos(offset)).ok()? * self.offset.nanos.signum();
            Some(Self { offset: ClockOffset { nanos }, ..*self })
        }));
        truer.extend(less_drift(self.drift_ppm).map(|drift_ppm| Self { drift_ppm, ..*self }));
        truer.retain(|clock| clock != self);
        truer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use crate::schedule::{Action, Direction, Packets, generate};

    const SHAPE: Shape = Shape { failpoints: &["beforeSave"], ..Shape::new(3, 2) };

    #[test]
    fn a_power_failure_becomes_a_pause_or_a_kill() {
        let down = Duration::from_millis(700);
        let weaker = Fault::PowerFailure { target: Target::Leader, down }.weaker(&SHAPE);
        assert_eq!(weaker[0], Fault::Pause { target: Target::Leader, lasts: down });
        assert_eq!(weaker[1], Fault::Kill { target: Target::Leader, down });
        let named = Target::Node(crate::NodeId::Member(2));
        assert!(weaker.contains(&Fault::PowerFailure { target: named, down }));
    }

    #[test]
    fn each_field_of_a_fault_becomes_less() {
        let member = |number| Target::Node(crate::NodeId::Member(number));
        let millis = Duration::from_millis;
        let partition = |from, to, direction, packets, lasts| Fault::Partition {
            from: vec![from],
            to: vec![to],
            direction,
            packets,
            lasts,
        };
        let whole = partition(member(1), Target::Leader, Direction::Both, Packets::Drop, millis(15));
        let weaker = whole.weaker(&SHAPE);
        for expected in [
            partition(member(1), Target::Leader, Direction::OneWay, Packets::Drop, millis(15)),
            partition(Target::Leader, member(1), Direction::OneWay, Packets::Drop, millis(15)),
            partition(member(1), Target::Leader, Direction::Both, Packets::Hold, millis(15)),
            partition(member(1), member(3), Direction::Both, Packets::Drop, millis(15)),
            partition(member(1), Target::Leader, Direction::Both, Packets::Drop, millis(10)),
        ] {
            assert!(weaker.contains(&expected), "{expected:?} is not among {weaker:?}");
        }
        let failpoint = |hit, action| Fault::Failpoint {
            name: "beforeSave".to_owned(),
            target: member(1),
            hit,
            action,
            lasts: millis(1),
        };
        let weaker = failpoint(3, Action::Kill).weaker(&SHAPE);
        for (hit, action) in [(1, Action::Kill), (2, Action::Kill), (3, Action::Delay), (3, Action::Pause)] {
            assert!(
                weaker.contains(&failpoint(hit, action)),
                "{hit} and {action:?} are not among {weaker:?}"
            );
        }
    }

    /// What the steps must make less, so that they come to an end: followed in the worst way that there is.
    #[test]
    fn taking_weaker_faults_again_and_again_comes_to_an_end() {
        for seed in 0..30 {
            for fault in generate(&Streams::new(seed), &SHAPE).faults {
                for choice in [0, 1, 2, usize::MAX] {
                    let steps = std::iter::successors(Some(fault.clone()), |fault| {
                        let weaker = fault.weaker(&SHAPE);
                        weaker.get(choice.min(weaker.len().saturating_sub(1))).cloned()
                    });
                    assert!(steps.take(3_000).count() < 3_000, "{fault:?} does not come to an end");
                }
            }
        }
    }

    #[test]
    fn each_weaker_fault_can_happen_to_the_same_cluster() {
        for seed in 0..50 {
            for fault in generate(&Streams::new(seed), &SHAPE).faults {
                for weaker in fault.weaker(&SHAPE) {
                    assert_ne!(weaker, fault);
                    assert_eq!(weaker.fault.check(&SHAPE), Ok(()), "{weaker:?}");
                }
            }
        }
    }

    #[test]
    fn plainer_settings_are_others_and_come_to_an_end() {
        for seed in 0..200 {
            let drawn = generate(&Streams::new(seed), &SHAPE);
            let networks = std::iter::successors(Some(drawn.network), |network| network.plainer().pop());
            assert!(networks.take(3_000).count() < 3_000, "the network of {seed} does not come to an end");
            let disks = std::iter::successors(Some(drawn.disk), |disk| disk.plainer().pop());
            assert!(disks.take(3_000).count() < 3_000, "the disk of {seed} does not come to an end");
            for clock in drawn.clocks {
                let clocks = std::iter::successors(Some(clock), |clock| clock.truer().pop());
                assert!(clocks.take(3_000).count() < 3_000, "the clock of {seed} does not come to an end");
            }
        }
    }
}
