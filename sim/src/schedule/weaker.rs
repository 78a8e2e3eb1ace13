//! Which faults are weaker than another, and which settings plainer: what shrinking tries in their place.
//!
//! Each step makes something less: a sort of fault, a target, a number, or the digits of one. So taking steps again
//! and again comes to an end, whatever is taken. A kind of fault without an arm here is shrunk by taking it out alone.

use std::time::Duration;

use super::rounder::{lower, rounder, shorter};
use super::{
    Action, Clock, ClockOffset, Direction, Disk, Fault, Link, Network, Packets, Shape, Target, TimedFault,
};
use crate::time::nanos;

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
        let mut weaker = Vec::new();
        // Each arm puts one field, or one sort, in the place of another.
        let mut put = |fault: Self| weaker.push(fault);
        match self.clone() {
            Self::PowerFailure { target, down } => {
                put(Self::Pause { target, lasts: down });
                put(Self::Kill { target, down });
                targets(target, shape).for_each(|target| put(Self::PowerFailure { target, down }));
                shorter(down).for_each(|down| put(Self::PowerFailure { target, down }));
            }
            Self::Kill { target, down } => {
                put(Self::Pause { target, lasts: down });
                targets(target, shape).for_each(|target| put(Self::Kill { target, down }));
                shorter(down).for_each(|down| put(Self::Kill { target, down }));
            }
            Self::Pause { target, lasts } => {
                targets(target, shape).for_each(|target| put(Self::Pause { target, lasts }));
                shorter(lasts).for_each(|lasts| put(Self::Pause { target, lasts }));
            }
            Self::Partition { from, to, direction, packets, lasts } => {
                let with = |from, to, direction, packets, lasts| Self::Partition {
                    from,
                    to,
                    direction,
                    packets,
                    lasts,
                };
                for (from, to) in directed(&from, &to, direction) {
                    put(with(from, to, Direction::OneWay, packets, lasts));
                }
                if packets == Packets::Drop {
                    put(with(from.clone(), to.clone(), direction, Packets::Hold, lasts));
                }
                for (from, to) in sides(&from, &to, shape) {
                    put(with(from, to, direction, packets, lasts));
                }
                shorter(lasts)
                    .for_each(|lasts| put(with(from.clone(), to.clone(), direction, packets, lasts)));
            }
            Self::Degrade { .. } => self.weaker_degradations(shape).into_iter().for_each(put),
            Self::Reset { from, to } => {
                sides(&from, &to, shape).for_each(|(from, to)| put(Self::Reset { from, to }));
            }
            Self::Failpoint { name, target, hit, action, lasts } => {
                let with = |target, hit, action, lasts| Self::Failpoint {
                    name: name.clone(),
                    target,
                    hit,
                    action,
                    lasts,
                };
                actions(action).iter().for_each(|action| put(with(target, hit, *action, lasts)));
                targets(target, shape).for_each(|target| put(with(target, hit, action, lasts)));
                fewer(hit).for_each(|hit| put(with(target, hit, action, lasts)));
                shorter(lasts).for_each(|lasts| put(with(target, hit, action, lasts)));
            }
            Self::DiskStall { target, extra_latency, lasts } => {
                let with = |target, extra_latency, lasts| Self::DiskStall { target, extra_latency, lasts };
                targets(target, shape).for_each(|target| put(with(target, extra_latency, lasts)));
                shorter(extra_latency).for_each(|extra| put(with(target, extra, lasts)));
                shorter(lasts).for_each(|lasts| put(with(target, extra_latency, lasts)));
            }
            Self::DiskError { target, operation, count } => {
                targets(target, shape).for_each(|target| put(Self::DiskError { target, operation, count }));
                fewer(count).for_each(|count| put(Self::DiskError { target, operation, count }));
            }
            Self::DiskFull { target, lasts } => {
                targets(target, shape).for_each(|target| put(Self::DiskFull { target, lasts }));
                shorter(lasts).for_each(|lasts| put(Self::DiskFull { target, lasts }));
            }
            Self::ClockDrift { target, drift_ppm, lasts } => {
                targets(target, shape).for_each(|target| put(Self::ClockDrift { target, drift_ppm, lasts }));
                less_drift(drift_ppm).for_each(|drift| {
                    put(Self::ClockDrift { target, drift_ppm: drift, lasts });
                });
                shorter(lasts).for_each(|lasts| put(Self::ClockDrift { target, drift_ppm, lasts }));
            }
            Self::Operate { operation, target } => {
                let with = |target| Self::Operate { operation: operation.clone(), target };
                targets(target, shape).for_each(|target| put(with(target)));
            }
            Self::Load { load, target, amount, lasts } => {
                let with = |target, amount, lasts| Self::Load { load: load.clone(), target, amount, lasts };
                targets(target, shape).for_each(|target| put(with(target, amount, lasts)));
                fewer(amount).for_each(|amount| put(with(target, amount, lasts)));
                shorter(lasts).for_each(|lasts| put(with(target, amount, lasts)));
            }
            // Kinds that nothing is known of.
            #[allow(unreachable_patterns, reason = "a new kind of fault compiles before it has an arm")]
            _ => {}
        }
        weaker
    }

    fn weaker_degradations(&self, shape: &Shape) -> Vec<Self> {
        let Self::Degrade {
            from,
            to,
            direction,
            latency_min,
            latency_max,
            loss_ppm,
            duplicate_ppm,
            duplicate_delay_max,
            lasts,
        } = self
        else {
            return Vec::new();
        };
        let mut weaker = Vec::new();
        let mut put = |change: &dyn Fn(&mut Degradation<'_>)| {
            let mut fault = self.clone();
            if let Self::Degrade {
                from,
                to,
                direction,
                latency_min,
                latency_max,
                loss_ppm,
                duplicate_ppm,
                duplicate_delay_max,
                lasts,
            } = &mut fault
            {
                let latency = (latency_min, latency_max);
                let duplicates = (duplicate_ppm, duplicate_delay_max);
                change(&mut Degradation { from, to, direction, latency, loss_ppm, duplicates, lasts });
            }
            if fault != *self {
                weaker.push(fault);
            }
        };
        put(&|it| *it.loss_ppm = 0);
        put(&|it| (*it.duplicates.0, *it.duplicates.1) = (0, Duration::ZERO));
        put(&|it| (*it.latency.0, *it.latency.1) = (Duration::ZERO, Duration::ZERO));
        for (from, to) in directed(from, to, *direction) {
            put(&|it| {
                (*it.from, *it.to) = (from.clone(), to.clone());
                *it.direction = Direction::OneWay;
            });
        }
        for (from, to) in sides(from, to, shape) {
            put(&|it| (*it.from, *it.to) = (from.clone(), to.clone()));
        }
        shorter(*lasts).for_each(|lasts| put(&|it| *it.lasts = lasts));
        lower(u64::from(*loss_ppm)).for_each(|ppm| put(&|it| *it.loss_ppm = ppm as u32));
        lower(u64::from(*duplicate_ppm)).for_each(|ppm| put(&|it| *it.duplicates.0 = ppm as u32));
        shorter(*duplicate_delay_max).for_each(|delay| put(&|it| *it.duplicates.1 = delay));
        for (min, max) in latencies(*latency_min, *latency_max, |latency| shorter(latency).collect()) {
            put(&|it| (*it.latency.0, *it.latency.1) = (min, max));
        }
        weaker
    }
}

/// The fields of a degradation that may change.
struct Degradation<'a> {
    from: &'a mut Vec<Target>,
    to: &'a mut Vec<Target>,
    direction: &'a mut Direction,
    latency: (&'a mut Duration, &'a mut Duration),
    loss_ppm: &'a mut u32,
    duplicates: (&'a mut u32, &'a mut Duration),
    lasts: &'a mut Duration,
}

/// Whom a fault meets instead: of several, each alone; in the place of a role, each member that may have it. A node
/// that is named stays.
fn targets(target: Target, shape: &Shape) -> impl Iterator<Item = Target> + use<> {
    let (members, clients) = match target {
        Target::Node(_) => (false, false),
        Target::AllClients => (false, true),
        Target::Leader | Target::Follower | Target::AllMembers | Target::Others => (true, false),
    };
    let members = shape.member_ids().filter(move |_| members);
    members.chain(shape.client_ids().filter(move |_| clients)).map(Target::Node)
}

/// Both sides with one of them smaller or plainer: without one of its targets, or with another in the place of one.
fn sides(
    from: &[Target],
    to: &[Target],
    shape: &Shape,
) -> impl Iterator<Item = (Vec<Target>, Vec<Target>)> + use<> {
    let smaller = |side: &[Target]| {
        let mut smaller: Vec<Vec<Target>> = Vec::new();
        for place in 0..side.len() {
            if side.len() > 1 {
                let mut rest = side.to_vec();
                rest.remove(place);
                smaller.push(rest);
            }
            for target in targets(side[place], shape) {
                let mut other = side.to_vec();
                other[place] = target;
                smaller.push(other);
            }
        }
        smaller
    };
    let (from_kept, to_kept) = (from.to_vec(), to.to_vec());
    let from_smaller = smaller(from).into_iter().map(move |from| (from, to_kept.clone()));
    from_smaller.chain(smaller(to).into_iter().map(move |to| (from_kept.clone(), to)))
}

/// The two sides as they stand in a fault of one direction, where it has both.
fn directed(
    from: &[Target],
    to: &[Target],
    direction: Direction,
) -> impl Iterator<Item = (Vec<Target>, Vec<Target>)> + use<> {
    let ways = [(from.to_vec(), to.to_vec()), (to.to_vec(), from.to_vec())];
    ways.into_iter().filter(move |_| direction == Direction::Both)
}

fn actions(action: Action) -> &'static [Action] {
    match action {
        Action::PowerFailure => &[Action::Delay, Action::Pause, Action::Kill],
        Action::Kill => &[Action::Delay, Action::Pause],
        Action::Pause => &[Action::Delay],
        Action::Delay => &[],
    }
}

/// Every lower count where there are few, since each is another passage, and some where there are many.
fn fewer(count: u32) -> impl Iterator<Item = u32> {
    let few = (1..count).filter(move |_| count <= 16);
    few.chain(lower(u64::from(count)).filter(move |_| count > 16).map(|lower| lower as u32))
}

fn less_drift(drift_ppm: i32) -> impl Iterator<Item = i32> {
    lower(u64::from(drift_ppm.unsigned_abs()))
        .filter_map(move |ppm| i32::try_from(ppm).ok().map(|ppm| if drift_ppm < 0 { -ppm } else { ppm }))
}

/// Plainer ranges of latencies: one value alone, and ends that `plainer` gives for one.
fn latencies(
    min: Duration,
    max: Duration,
    plainer: impl Fn(Duration) -> Vec<Duration>,
) -> Vec<(Duration, Duration)> {
    if min == max {
        return plainer(max).into_iter().map(|latency| (latency, latency)).collect();
    }
    let mut ranges = vec![(min, min), (max, max)];
    ranges.extend(plainer(min).into_iter().map(|min| (min, max)));
    ranges.extend(plainer(max).into_iter().map(|max| (min, max)));
    ranges.retain(|(low, high)| low <= high);
    ranges
}

/// Of links and disks between faults: shorter is no plainer, and the plain ones must not lead to others again.
fn rounder_ones(latency: Duration) -> Vec<Duration> {
    rounder(latency).collect()
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
        let latencies = latencies(self.latency_min, self.latency_max, rounder_ones);
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
        let latencies = latencies(self.sync_latency_min, self.sync_latency_max, rounder_ones);
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
    use crate::schedule::generate;

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

    /// What the steps must make less, so that they come to an end: followed in the worst way that there is.
    #[test]
    fn taking_weaker_faults_again_and_again_comes_to_an_end() {
        for seed in 0..200 {
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
        for seed in 0..200 {
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
