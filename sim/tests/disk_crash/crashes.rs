//! Random operations, power failures, and the reference as the judge of what is left.

use std::collections::BTreeMap;

use vertebra_sim::disk::{Disk, PowerFailure};
use vertebra_sim::random::{Stream, Streams};

use crate::driver::{Driver, Sabotage, observe};
use crate::reference::{Observed, Reference, StepKind, Trees};

const CASES: u64 = 3_000;
const ROUNDS: u64 = 3;
const FAILURES_PER_ROUND: u64 = 6;

/// Runs a case and shows `check` each power failure of it: the reference, the trees it allows, and what was found.
/// Stops at the first error, which then tells everything that led to it.
fn run_case(
    seed: u64,
    sabotage: Sabotage,
    mut check: impl FnMut(&Reference, &Trees, &Observed, &PowerFailure, &mut Stream) -> Result<(), String>,
) -> Result<(), String> {
    let streams = Streams::new(seed);
    let mut stream = streams.stream("operations", 0);
    let mut driver = Driver::new(Disk::new(streams.stream("disk", 0)), sabotage);
    if stream.below(4) > 0 {
        driver.populate();
    }
    for round in 0..ROUNDS {
        let operations = stream.magnitude(2, 63);
        driver.run(operations, &mut stream);
        let trees = driver.reference.trees();
        let mut failed = driver.disk.clone();
        for failure in 0..FAILURES_PER_ROUND {
            let mut powers = streams.stream("power", round * FAILURES_PER_ROUND + failure);
            failed = driver.disk.clone();
            let losses = failed.power_failure(&mut powers);
            let observed = observe(&failed);
            let again = observe_after_crash(&failed);
            if observed != again {
                return Err(format!("seed {seed}: a process crash changed what is seen"));
            }
            if failed.unsynced_operations() != 0 {
                return Err(format!("seed {seed}: something is unsynced after a power failure"));
            }
            check(&driver.reference, &trees, &observed, &losses, &mut powers).map_err(|reason| {
                format!("seed {seed}, round {round}: {reason}\n{}", driver.log.join("\n"))
            })?;
        }
        driver.disk = failed;
        driver.restart();
    }
    Ok(())
}

fn observe_after_crash(disk: &Disk) -> Observed {
    let mut disk = disk.clone();
    disk.process_crash();
    observe(&disk)
}

/// What was seen over all cases. Only what is certain is counted, where a single explanation exists.
#[derive(Default, Debug)]
struct Seen {
    write_lost: u64,
    write_kept: u64,
    write_torn: u64,
    names: BTreeMap<(StepKind, bool), u64>,
    both_names: u64,
    rename_without_bytes: u64,
    later_without_earlier: u64,
    all_lost: u64,
    all_kept: u64,
    tally: [u64; 5],
}

impl Seen {
    fn count(
        &mut self,
        reference: &Reference,
        trees: &Trees,
        observed: &Observed,
        losses: &PowerFailure,
    ) -> Result<(), String> {
        let accepted = reference.judge(trees, observed)?;
        let (contents, names) = (losses.contents, losses.names);
        let counts = [contents.lost, contents.kept, contents.torn, names.lost, names.kept];
        self.tally.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        if counts.iter().sum::<u64>() >= 4 {
            self.all_lost += u64::from(contents.kept + contents.torn + names.kept == 0);
            self.all_kept += u64::from(contents.lost + contents.torn + names.lost == 0);
        }
        let [(tree, kept)] = accepted[..] else { return Ok(()) };
        for (path, node) in tree {
            let (Some(node), Some(Some((_, bytes)))) = (node, observed.get(path)) else { continue };
            let (before, after) = reference.ends(*node);
            if reference.unsynced_writes(*node) == 1 && before != after {
                match bytes {
                    bytes if bytes == before => self.write_lost += 1,
                    bytes if bytes == after => self.write_kept += 1,
                    _ => self.write_torn += 1,
                }
            }
        }
        let [kept] = &kept[..] else { return Ok(()) };
        for (index, step) in reference.steps.iter().enumerate() {
            if !step.synced {
                *self.names.entry((step.kind, kept[index])).or_default() += 1;
                let later_kept = kept[index + 1..].iter().any(|kept| *kept);
                self.later_without_earlier += u64::from(!kept[index] && later_kept);
                let starts = step.kind == StepKind::MoveStart;
                self.both_names += u64::from(starts && kept[index] && !kept[index + 1]);
                self.rename_without_bytes += u64::from(
                    step.kind == StepKind::Rename && kept[index] && contents.kept == 0 && contents.lost > 0,
                );
            }
        }
        Ok(())
    }
}

#[test]
fn what_survives_a_power_failure_is_always_among_what_may() {
    let mut seen = Seen::default();
    for seed in 0..CASES {
        let count = |reference: &Reference,
                     trees: &Trees,
                     observed: &Observed,
                     losses: &PowerFailure,
                     _: &mut Stream| { seen.count(reference, trees, observed, losses) };
        if let Err(reason) = run_case(seed, Sabotage::None, count) {
            panic!("{reason}");
        }
    }
    println!("{seen:#?}");
    assert!(seen.write_lost > 300 && seen.write_kept > 300 && seen.write_torn > 300, "{seen:?}");
    for kind in [
        StepKind::Create,
        StepKind::Remove,
        StepKind::Rename,
        StepKind::MoveStart,
        StepKind::MoveEnd,
        StepKind::MoveDirectory,
    ] {
        for kept in [false, true] {
            assert!(
                seen.names.get(&(kind, kept)).is_some_and(|count| *count > 30),
                "{kind:?} {kept}: {seen:?}"
            );
        }
    }
    assert!(
        seen.both_names > 30 && seen.rename_without_bytes > 30 && seen.later_without_earlier > 300,
        "{seen:?}"
    );
    assert!(seen.all_lost > 300 && seen.all_kept > 300, "{seen:?}");
    assert!(seen.tally.iter().all(|count| *count > 3_000), "{seen:?}");
}

/// In how many of `cases` the reference rejects what it sees.
fn rejected(cases: u64, sabotage: Sabotage) -> u64 {
    let judge =
        |reference: &Reference, trees: &Trees, observed: &Observed, _: &PowerFailure, _: &mut Stream| {
            reference.judge(trees, observed).map(|_| ())
        };
    (0..cases).map(|seed| u64::from(run_case(seed, sabotage, judge).is_err())).sum()
}

#[test]
fn a_disk_whose_file_sync_does_nothing_is_rejected() {
    let rejected = rejected(400, Sabotage::FileSyncDoesNothing);
    assert!(rejected > 80, "{rejected} of 400");
}

#[test]
fn a_disk_whose_directory_sync_does_nothing_is_rejected() {
    let rejected = rejected(400, Sabotage::DirectorySyncDoesNothing);
    assert!(rejected > 80, "{rejected} of 400");
}

#[test]
fn a_failed_sync_that_is_taken_for_a_good_one_is_rejected() {
    let rejected = rejected(1_000, Sabotage::FailedSyncIsReportedAsDone);
    assert!(rejected > 20, "{rejected} of 1,000");
}

#[test]
fn a_disk_whose_sync_covers_more_than_it_must_is_accepted() {
    assert_eq!(rejected(200, Sabotage::SyncCoversMore), 0);
}

/// Spoils what was found in every failure where `spoil` can, and counts how often the reference noticed.
fn spoilt(mut spoil: impl FnMut(&Reference, &mut Observed, &mut Stream) -> bool) -> (u64, u64) {
    let (mut spoilt, mut noticed) = (0, 0);
    for seed in 0..300 {
        let judge = |reference: &Reference,
                     trees: &Trees,
                     observed: &Observed,
                     _: &PowerFailure,
                     stream: &mut Stream| {
            let mut observed = observed.clone();
            if spoil(reference, &mut observed, stream) {
                spoilt += 1;
                noticed += u64::from(reference.judge(trees, &observed).is_err());
            }
            Ok(())
        };
        run_case(seed, Sabotage::None, judge).expect("nothing is judged but what was spoilt");
    }
    (spoilt, noticed)
}

/// A file that is found, whose content is synced in full, and that is not empty.
fn synced_file<'a>(reference: &Reference, observed: &'a mut Observed) -> Option<&'a mut Vec<u8>> {
    let synced = |path: &String| reference.find(path).is_ok_and(|node| reference.is_synced(node));
    let files = observed.iter_mut().filter(|(path, _)| synced(path));
    files.filter_map(|(_, entry)| entry.as_mut().map(|(_, bytes)| bytes)).find(|bytes| !bytes.is_empty())
}

#[test]
fn invented_bytes_are_rejected() {
    let (spoilt, noticed) = spoilt(|_, observed, stream| {
        let files = observed.values_mut().flatten().map(|(_, bytes)| bytes);
        let mut files: Vec<_> = files.filter(|bytes| !bytes.is_empty()).collect();
        if files.is_empty() {
            return false;
        }
        let file = stream.below(files.len() as u64) as usize;
        let place = stream.below(files[file].len() as u64) as usize;
        files[file][place] ^= 1 << stream.below(8);
        true
    });
    assert!(spoilt > 1_000 && noticed == spoilt, "{noticed} of {spoilt}");
}

#[test]
fn an_invented_name_is_rejected() {
    let (spoilt, noticed) = spoilt(|_, observed, _| {
        observed.insert("invented".to_owned(), Some((usize::MAX, Vec::new())));
        true
    });
    assert!(spoilt > 1_000 && noticed == spoilt, "{noticed} of {spoilt}");
}

#[test]
fn synced_bytes_that_are_zeros_afterwards_are_rejected() {
    let (spoilt, noticed) = spoilt(|reference, observed, _| match synced_file(reference, observed) {
        Some(bytes) if bytes.iter().any(|byte| *byte != 0) => {
            bytes.fill(0);
            true
        }
        _ => false,
    });
    assert!(spoilt > 300 && noticed * 100 > spoilt * 95, "{noticed} of {spoilt}");
}

#[test]
fn a_synced_file_that_is_shorter_afterwards_is_rejected() {
    let (spoilt, noticed) =
        spoilt(|reference, observed, _| synced_file(reference, observed).map(Vec::pop).is_some());
    assert!(spoilt > 300 && noticed * 100 > spoilt * 95, "{noticed} of {spoilt}");
}

#[test]
fn a_synced_name_that_is_gone_afterwards_is_rejected() {
    let (spoilt, noticed) = spoilt(|reference, observed, _| {
        // With nothing unsynced, every name that the process saw is synced.
        let last = observed.keys().next_back().cloned();
        reference.steps.iter().all(|step| step.synced)
            && last.is_some_and(|last| observed.remove(&last).is_some())
    });
    assert!(spoilt > 300 && noticed == spoilt, "{noticed} of {spoilt}");
}
