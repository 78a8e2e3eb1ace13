//! What was committed is found, and nothing but a commit is.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use vertebra_model::failpoints;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Action, Fault, Schedule, Target, TimedFault};
use vertebra_sim::{NodeId, run_many, schedule_of};

use crate::writer::{Options, Writer};

/// Four seconds in which the member crashes again and again, often at once after it has started.
pub fn storm(seed: u64, adjust: impl FnOnce(&mut Options)) -> Result<Schedule<Options>, String> {
    let mut schedule = schedule_of::<Writer>(seed, adjust)?;
    let stream = &mut Streams::new(seed).stream("storm", 0);
    schedule.duration = Duration::from_secs(4);
    let millis = |millis| Duration::from_millis(millis);
    let mut at = millis(stream.below(30));
    schedule.faults.clear();
    while at < millis(3_900) {
        let target = Target::Node(NodeId::Member(1));
        let down = millis(stream.between(1, 20));
        let fault = match stream.below(100) {
            0..30 => Fault::PowerFailure { target, down },
            30..40 => Fault::Kill { target, down },
            _ => Fault::Failpoint {
                name: failpoints::BACKEND[stream.below(failpoints::BACKEND.len() as u64) as usize].to_owned(),
                target,
                hit: stream.between(1, 3) as u32,
                action: if stream.chance(500_000) { Action::Kill } else { Action::PowerFailure },
                lasts: down,
            },
        };
        schedule.faults.push(TimedFault { at, fault });
        at += millis(stream.magnitude(1, 300));
    }
    Ok(schedule)
}

fn verify(seeds: u64, schedule: impl Fn(u64) -> Result<Schedule<Options>, String> + Sync) -> (u64, u64) {
    let (mut starts, mut defragmented) = (0, 0);
    run_many::<Writer>(0..seeds, 2, &AtomicBool::new(false), schedule, |seed, ran| {
        let (_, report) = ran.unwrap();
        assert_eq!(report.verdict.signature(), None, "seed {seed}: {:?}", report.verdict);
        starts += report.operations % 1_000;
        defragmented += report.operations / 1_000;
    });
    (starts, defragmented)
}

#[test]
fn after_any_crash_the_database_opens_at_the_last_commit_or_the_one_that_was_under_way() {
    let (starts, defragmented) = verify(200, |seed| storm(seed, |_| {}));
    assert!(starts > 2_000, "only {starts} starts");
    assert!(defragmented > 100, "only {defragmented} defragmentations");
}

#[test]
fn no_fault_of_any_kind_loses_or_mixes_anything() {
    let (starts, defragmented) = verify(100, |seed| schedule_of::<Writer>(seed, |_| {}));
    assert!(starts > 200, "only {starts} starts");
    assert!(defragmented > 400, "only {defragmented} defragmentations");
}
