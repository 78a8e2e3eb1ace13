//! What meets a cluster that serves.
//!
//! A service runs for hours, and what a seed draws is for seconds. So many draws are laid one after the other, each of a seed
//! of its own that follows from the first, with a rest after each. All of it is data before the run begins.

use std::time::Duration;

use vertebra_sim::System;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{
    Aim, DamageMax, Disk, Fault, Generated, Link, Network, Schedule, Shape, Target, TimedFault, generate,
};

use super::Served;
use crate::operator::RARE_OPERATIONS;
use crate::options::Options;

/// How long there are faults, if nobody says otherwise. A service may go on beyond that.
pub const HOURS: Duration = Duration::from_secs(12 * 3_600);

/// How much goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Nothing, on a network and disks that are fast.
    None,
    /// One member at a time is down, paused, slow or cut off, for some seconds of each half minute.
    Light,
    /// What a sweep does to its clusters, but for damage to data, with some seconds of rest in between.
    Default,
}

/// The time from one fault that is light to the next.
const LIGHT_WINDOW: Duration = Duration::from_secs(30);

/// How long nothing new happens after each draw.
const REST: Duration = Duration::from_secs(5);

/// Long after the start of a cluster.
const BEGIN: Duration = Duration::from_secs(5);

/// The schedule of a cluster that serves, with faults for `lasts`.
///
/// # Errors
///
/// What is wrong with the options.
pub fn schedule(
    seed: u64,
    options: Options,
    severity: Severity,
    lasts: Duration,
) -> Result<Schedule<Options>, String> {
    let shape = Served::shape(&options)?;
    let settle_max = Served::settle_max(&options);
    let drawn = generate(&Streams::new(seed), &shape);
    let faults = match severity {
        Severity::None => Vec::new(),
        Severity::Light => light(seed, &shape, lasts),
        Severity::Default => all(seed, &shape, lasts),
    };
    let (network, disk, clocks) = match severity {
        Severity::Default => (drawn.network, drawn.disk, drawn.clocks),
        Severity::None | Severity::Light => (calm_network(), calm_disk(), Vec::new()),
    };
    Ok(Schedule {
        system: Served::NAME.to_owned(),
        seed,
        interleaving: None,
        duration: lasts,
        settle_max,
        damage: DamageMax::Minority,
        options,
        network,
        disk,
        clocks,
        faults,
        broken: Vec::new(),
    })
}

/// As [`schedule`], with the faults, links, disks and clocks of another schedule, as far as a cluster that serves has what
/// they are about. Nobody stays broken.
///
/// # Errors
///
/// What is wrong with the options.
pub fn taken_from<O>(
    other: &Schedule<O>,
    seed: u64,
    options: Options,
    lasts: Duration,
) -> Result<Schedule<Options>, String> {
    let mut schedule = schedule(seed, options, Severity::None, lasts.max(other.duration))?;
    schedule.network = other.network.clone();
    schedule.disk = other.disk;
    schedule.clocks.clone_from(&other.clocks);
    schedule.faults.clone_from(&other.faults);
    schedule.damage = other.damage;
    schedule.fit(&Served::shape(&schedule.options)?);
    schedule.faults.retain(has_sense);
    schedule.faults.sort_by_key(|timed| timed.at);
    Ok(schedule)
}

/// The seed of a draw.
fn derived(seed: u64, window: u64) -> u64 {
    Streams::new(seed).stream("served/window", window).next_u64()
}

/// The faults of a draw, moved to its place.
fn moved(faults: Vec<TimedFault>, to: Duration, until: Duration) -> impl Iterator<Item = TimedFault> {
    let moved = faults.into_iter().map(move |TimedFault { at, fault }| TimedFault { at: at + to, fault });
    moved.filter(move |timed| timed.at < until)
}

fn all(seed: u64, shape: &Shape, lasts: Duration) -> Vec<TimedFault> {
    let (mut faults, mut begin, mut window) = (Vec::new(), BEGIN, 0);
    while begin < lasts {
        let Generated { duration, faults: drawn, .. } = generate(&Streams::new(derived(seed, window)), shape);
        faults.extend(moved(drawn, begin, lasts).filter(has_sense).filter(passes));
        begin += duration + REST;
        window += 1;
    }
    faults
}

fn light(seed: u64, shape: &Shape, lasts: Duration) -> Vec<TimedFault> {
    let (mut faults, mut begin, mut draws) = (Vec::new(), BEGIN, 0);
    while begin < lasts {
        let drawn = generate(&Streams::new(derived(seed, draws)), shape);
        draws += 1;
        let Some(mut fault) = drawn.faults.into_iter().find(is_light) else { continue };
        fault.at = fault.at.min(LIGHT_WINDOW / 2);
        faults.extend(moved(vec![fault], begin, lasts));
        begin += LIGHT_WINDOW;
    }
    faults
}

/// Whether somebody outside could make something of it: not of a cluster that begins anew. And there is no load here but theirs.
fn has_sense(timed: &TimedFault) -> bool {
    match &timed.fault {
        Fault::Operate { operation, .. } => !RARE_OPERATIONS.contains(&operation.as_str()),
        Fault::Load { .. } => false,
        _ => true,
    }
}

/// Whether a member gets over it by itself. Nobody replaces members while a cluster serves, so that one whose data is damaged
/// would be missing for the rest of the day.
fn passes(timed: &TimedFault) -> bool {
    !timed.fault.damages_data()
}

/// Whether a cluster of three goes on with hardly a pause.
fn is_light(timed: &TimedFault) -> bool {
    let is_one =
        |targets: &[Target]| matches!(targets, [Target::Node(_) | Target::Leader | Target::Follower]);
    let kind = match &timed.fault {
        Fault::Kill { down: lasts, .. }
        | Fault::PowerFailure { down: lasts, .. }
        | Fault::Pause { lasts, .. }
        | Fault::Partition { lasts, .. }
        | Fault::Degrade { lasts, .. }
        | Fault::DiskStall { lasts, .. } => *lasts <= LIGHT_WINDOW / 2,
        Fault::Reset { .. } => true,
        _ => false,
    };
    kind && match timed.fault.aim() {
        Aim::Nodes(target) => is_one(&[target]),
        Aim::Links(from, to) => is_one(from) || is_one(to),
    }
}

/// As between machines of one rack.
fn calm_network() -> Network {
    let link = Link {
        latency_min: Duration::from_micros(100),
        latency_max: Duration::from_micros(400),
        tail_ppm: 0,
        tail_max: Duration::ZERO,
        loss_ppm: 0,
        duplicate_ppm: 0,
        duplicate_delay_max: Duration::ZERO,
    };
    Network { peers: link, clients: link }
}

/// As of a disk that is made for databases.
fn calm_disk() -> Disk {
    Disk {
        sync_latency_min: Duration::from_micros(200),
        sync_latency_max: Duration::from_micros(800),
        tail_ppm: 0,
        tail_max: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_many_draws_follow_each_other_and_fit_the_cluster() {
        for severity in [Severity::Light, Severity::Default] {
            let lasts = Duration::from_secs(3_600);
            let schedule = schedule(7, Served::usual(3), severity, lasts).expect("options that make sense");
            let shape = Served::shape(&schedule.options).expect("as above");
            assert!(schedule.validate(&shape).is_ok());
            assert!(schedule.faults.is_sorted_by_key(|timed| timed.at));
            assert!(schedule.faults.len() > 100, "{} faults in an hour", schedule.faults.len());
            let last = schedule.faults.last().map(|timed| timed.at);
            assert!(last > Some(lasts - Duration::from_secs(120)), "faults end at {last:?}");
        }
    }

    #[test]
    fn without_faults_nothing_goes_wrong() {
        let schedule = schedule(7, Served::usual(3), Severity::None, HOURS).expect("options that make sense");
        assert_eq!((schedule.faults.len(), schedule.clocks.len()), (0, 0));
    }
}
