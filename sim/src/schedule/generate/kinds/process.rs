//! Faults of processes, and failpoints in them.

use std::time::Duration;

use super::{after, lasts, members};
use crate::random::Stream;
use crate::schedule::generate::{Slot, magnitude, member, micros};
use crate::schedule::{Action, Crash, Direction, Fault, Packets, Shape, Target, TimedFault};

pub(super) fn kill(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::Kill { target: members(stream, shape, slot), down: lasts(stream, slot, 1, 5_000) }
}

pub(super) fn power_failure(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    Fault::PowerFailure { target: members(stream, shape, slot), down: lasts(stream, slot, 1, 5_000) }
}

pub(super) fn pause(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    // Mostly long enough to be deposed: the others go on, and the paused member does not know.
    let lasts = match stream.chance(700_000) {
        true => lasts(stream, slot, 1_000, 6_000),
        false => lasts(stream, slot, 10, 1_000),
    };
    Fault::Pause { target, lasts }
}

pub(super) fn throttle(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    // A period of cgroups, or one that is as long as an election takes: then the member is there for a moment, time
    // and again.
    let period = match stream.chance(600_000) {
        true => Duration::from_millis(100),
        false => magnitude(stream, Duration::from_millis(50), Duration::from_millis(1_500)),
    };
    let quota = (period * stream.between(2, 60) as u32 / 100).max(Duration::from_millis(1));
    Fault::Throttle { target, period, quota, lasts: lasts(stream, slot, 1_000, 8_000) }
}

pub(super) fn crash_loop(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let target = members(stream, shape, slot);
    let crash = crash(stream);
    let down = magnitude(stream, Duration::from_millis(1), Duration::from_millis(300));
    // Often so short that it has not finished its recovery, sometimes long enough to win an election.
    let up = magnitude(stream, Duration::from_millis(1), Duration::from_millis(1_500));
    let fit = (slot.room.as_micros() / (down + up).as_micros()).min(8) as u64;
    Fault::CrashLoop {
        target,
        crash,
        times: stream.between(1, fit.max(1)) as u32,
        down: down.min(slot.room),
        up,
    }
}

fn crash(stream: &mut Stream) -> Crash {
    if stream.chance(500_000) { Crash::Kill } else { Crash::PowerFailure }
}

fn crash_of(stream: &mut Stream, target: Target, down: Duration) -> Fault {
    match crash(stream) {
        Crash::Kill => Fault::Kill { target, down },
        Crash::PowerFailure => Fault::PowerFailure { target, down },
    }
}

/// Several members at the same instant, which may be all of them: what all of them lose is lost.
pub(super) fn crash_several(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let together = lasts(stream, slot, 1, 5_000);
    if stream.chance(300_000) {
        let target = *stream.pick(&[Target::Majority, Target::Minority, Target::AllMembers]);
        return vec![TimedFault { at: slot.at, fault: crash_of(stream, target, together) }];
    }
    let mut targets: Vec<Target> = shape.member_ids().map(Target::Node).collect();
    stream.shuffle(&mut targets);
    targets.truncate(stream.between(2, u64::from(shape.members)) as usize);
    targets.sort_unstable();
    // They come back at once, or each when it likes.
    let at_once = stream.chance(400_000);
    (targets.into_iter())
        .map(|target| {
            let down = if at_once { together } else { lasts(stream, slot, 1, 5_000) };
            TimedFault { at: slot.at, fault: crash_of(stream, target, down) }
        })
        .collect()
}

/// A member that dies, and once more while it recovers from that.
pub(super) fn crash_in_recovery(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let target = match slot.focus {
        Some(focus) => focus,
        None if stream.chance(400_000) => Target::Leader,
        None => member(stream, shape),
    };
    let name = (*stream.pick(shape.recovery_failpoints)).to_owned();
    let action = if stream.chance(500_000) { Action::Kill } else { Action::PowerFailure };
    let hit = *stream.weighted(&[(75, 1), (15, 2), (10, 3)]);
    let again = Fault::Failpoint { name, target, hit, action, lasts: lasts(stream, slot, 1, 2_000) };
    let down = lasts(stream, slot, 1, 1_000);
    // Armed first: a leader that is dead leads no more.
    [again, crash_of(stream, target, down)].map(|fault| TimedFault { at: slot.at, fault }).into()
}

pub(super) fn failpoint(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Fault {
    let name = (*stream.pick(shape.failpoints)).to_owned();
    let target = members(stream, shape, slot);
    armed(stream, slot, name, target)
}

/// One place, at which whoever comes there is struck again and again.
pub(super) fn failpoint_again(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let name = *stream.pick(shape.failpoints);
    let target = all_or_some(stream, shape, slot);
    let times = stream.between(2, 4);
    let apart = magnitude(stream, Duration::from_millis(20), Duration::from_millis(1_500));
    (0..times as u32)
        .map_while(|time| after(slot, apart * time))
        .map(|slot| TimedFault { at: slot.at, fault: armed(stream, &slot, name.to_owned(), target) })
        .collect()
}

/// Places that few runs pass: whoever comes to one of them at all is struck.
pub(super) fn failpoints_rare(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let mut names = shape.rare_failpoints.to_vec();
    stream.shuffle(&mut names);
    names.truncate(stream.between(1, 5) as usize);
    let one = |name: &str| {
        let action = *stream.weighted(&[(50, Action::Kill), (35, Action::PowerFailure), (15, Action::Delay)]);
        let (name, target, lasts) = (name.to_owned(), Target::AllMembers, lasts(stream, slot, 1, 5_000));
        TimedFault { at: slot.at, fault: Fault::Failpoint { name, target, hit: 1, action, lasts } }
    };
    names.into_iter().map(one).collect()
}

/// One task at each of its steps, or at most of them.
pub(super) fn failpoints_of_task(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let mut names = stream.pick(shape.failpoint_tasks).to_vec();
    stream.shuffle(&mut names);
    names.truncate(stream.between(2, 8) as usize);
    let target = all_or_some(stream, shape, slot);
    let apart = magnitude(stream, Duration::from_millis(20), Duration::from_millis(1_500));
    let slots = (0..).map_while(|time| after(slot, apart * time));
    let one = |(slot, name): (Slot, &str)| {
        let action = *stream.weighted(&[(45, Action::Kill), (30, Action::PowerFailure), (25, Action::Delay)]);
        let hit = if stream.chance(600_000) { 1 } else { stream.between(2, 6) as u32 };
        let (name, lasts) = (name.to_owned(), lasts(stream, &slot, 1, 5_000));
        TimedFault { at: slot.at, fault: Fault::Failpoint { name, target, hit, action, lasts } }
    };
    slots.zip(names).map(one).collect()
}

/// A task that lags behind: it sleeps at each of some passages in a row.
pub(super) fn failpoint_slow(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    let name = *stream.pick(shape.slow_failpoints);
    let target = all_or_some(stream, shape, slot);
    let lasts = lasts(stream, slot, 10, 1_500);
    let slow = |hit| {
        let name = name.to_owned();
        TimedFault {
            at: slot.at,
            fault: Fault::Failpoint { name, target, hit, action: Action::Delay, lasts },
        }
    };
    (1..=stream.between(2, 10) as u32).map(slow).collect()
}

/// A member that falls behind: it stays for long where it is, while its links come and go. In the end it may die at a step by
/// which it catches up.
pub(super) fn lag(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Vec<TimedFault> {
    // By its name, mostly: a leader waits for nobody.
    let target = match stream.chance(250_000) {
        true => slot.focus.unwrap_or(Target::Leader),
        false => member(stream, shape),
    };
    let mut names = shape.lag_failpoints.to_vec();
    stream.shuffle(&mut names);
    names.truncate(stream.between(1, 3) as usize);
    let longest = micros(stream.duration(Duration::from_millis(500), Duration::from_secs(6))).min(slot.room);
    let stay = |name: &&str| {
        let (name, action) = ((*name).to_owned(), Action::Delay);
        Fault::Failpoint { name, target, hit: 1, action, lasts: longest }
    };
    let mut faults: Vec<Fault> = names.iter().map(stay).collect();
    if stream.chance(700_000) {
        let mut time = || micros(stream.duration(Duration::from_millis(50), Duration::from_millis(1_500)));
        let (down, up) = (time(), time());
        let (from, to, direction, packets) =
            (vec![target], vec![Target::Others], Direction::Both, Packets::Drop);
        let lasts = (longest + longest / 2).min(slot.room);
        faults.push(Fault::Flap { from, to, direction, packets, down, up, lasts });
    }
    if !shape.catch_up_failpoints.is_empty() && stream.chance(500_000) {
        let name = (*stream.pick(shape.catch_up_failpoints)).to_owned();
        let action = if stream.chance(600_000) { Action::Kill } else { Action::PowerFailure };
        let hit = *stream.weighted(&[(6, 1), (3, 2), (1, 3)]);
        faults.push(Fault::Failpoint { name, target, hit, action, lasts: lasts(stream, slot, 1, 2_000) });
    }
    faults.into_iter().map(|fault| TimedFault { at: slot.at, fault }).collect()
}

/// Whoever it meets, in half of the cases.
fn all_or_some(stream: &mut Stream, shape: &Shape, slot: &Slot) -> Target {
    if stream.chance(500_000) { Target::AllMembers } else { members(stream, shape, slot) }
}

fn armed(stream: &mut Stream, slot: &Slot, name: String, target: Target) -> Fault {
    // Most places are passed rarely, some hundreds of times in a second.
    let hit = match stream.below(10) {
        0..6 => 1,
        6..8 => stream.between(2, 5) as u32,
        _ => stream.magnitude(2, 200) as u32,
    };
    let action = *stream.weighted(&[
        (38, Action::Kill),
        (28, Action::PowerFailure),
        (16, Action::Pause),
        (12, Action::Delay),
        (6, Action::Disconnect),
    ]);
    Fault::Failpoint { name, target, hit, action, lasts: lasts(stream, slot, 1, 5_000) }
}
