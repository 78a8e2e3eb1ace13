//! In small cases, everything that may survive is seen to survive: the disk is no narrower than it says.

use std::collections::BTreeSet;

use vertebra_sim::disk::{Disk, OpenMode};
use vertebra_sim::random::Streams;

use crate::driver::observe;
use crate::reference::{Observed, Reference, Tree};
use crate::{content, disk};

/// What `look` sees on copies of `disk` after many power failures.
fn outcomes<T: Ord>(disk: &Disk, failures: u64, look: impl Fn(&mut Disk) -> T) -> BTreeSet<T> {
    let outcome = |index| {
        let mut disk = disk.clone();
        disk.power_failure(&mut Streams::new(index).stream("power", 0));
        look(&mut disk)
    };
    (0..failures).map(outcome).collect()
}

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// The contents that may survive `changes` to a synced file of `base`, and those that were seen to.
fn contents(base: &[u8], changes: &[Change]) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::CreateNew).unwrap();
    disk.append(file, base).unwrap();
    disk.sync(file).unwrap();
    disk.sync_directory("").unwrap();
    let mut reference = Reference::of(&observe(&disk));
    let node = reference.find("f").unwrap();
    for change in changes {
        match change {
            Change::Write(offset, bytes) => {
                disk.write_at(file, *offset as u64, bytes).unwrap();
                reference.write(node, *offset, bytes);
            }
            Change::Truncate(size) => {
                disk.truncate(file, *size as u64).unwrap();
                reference.truncate(node, *size);
            }
        }
    }
    let found = outcomes(&disk, 30_000, |disk| {
        let file = disk.open("f", OpenMode::Existing).unwrap();
        content(disk, file)
    });
    (reference.contents(node), found)
}

#[test]
fn appends_leave_each_combination_of_sectors_and_sizes() {
    let appends = [Change::Write(300, vec![2; 400]), Change::Write(700, vec![3; 1000])];
    let (allowed, found) = contents(&[1; 300], &appends);
    assert!(allowed == found, "{} allowed, {} found", allowed.len(), found.len());
    assert!(allowed.len() > 20);
}

#[test]
fn overwrites_leave_each_combination_of_sectors() {
    let writes =
        [Change::Write(100, vec![2; 1000]), Change::Write(0, vec![3; 50]), Change::Write(900, vec![4; 9])];
    let (allowed, found) = contents(&[1; 1500], &writes);
    assert!(allowed == found, "{} allowed, {} found", allowed.len(), found.len());
    // Sector 0: nothing, one or both. Sector 1: the same. Sector 2: nothing or one.
    assert_eq!(allowed.len(), 3 * 3 * 2);
}

#[test]
fn truncations_leave_each_combination_with_the_writes_around_them() {
    let changes = [
        Change::Write(0, vec![2; 700]),
        Change::Truncate(100),
        Change::Write(100, vec![3; 20]),
        Change::Truncate(900),
    ];
    let (allowed, found) = contents(&[1; 1200], &changes);
    assert!(allowed == found, "{} allowed, {} found", allowed.len(), found.len());
    assert!(allowed.len() > 10);
}

/// The trees that may survive `change` on a synced disk with `a/f`, `a/g` and the directory `b`; those that did; and all
/// that was found.
fn trees(change: impl Fn(&mut Disk, &mut Reference)) -> (BTreeSet<Tree>, BTreeSet<Tree>, BTreeSet<Observed>) {
    let mut disk = disk();
    disk.create_directory("a").unwrap();
    disk.create_directory("b").unwrap();
    for (path, bytes) in [("a/f", b"f"), ("a/g", b"g")] {
        let file = disk.open(path, OpenMode::CreateNew).unwrap();
        disk.append(file, bytes).unwrap();
        disk.sync(file).unwrap();
    }
    ["", "a", "b"].into_iter().for_each(|path| disk.sync_directory(path).unwrap());
    let mut reference = Reference::of(&observe(&disk));
    change(&mut disk, &mut reference);
    let allowed = reference.trees();
    let observed = outcomes(&disk, 3_000, |disk| observe(disk));
    let mut found = BTreeSet::new();
    for observed in &observed {
        found.extend(reference.judge(&allowed, observed).unwrap().into_iter().map(|(tree, _)| tree.clone()));
    }
    (allowed.into_keys().collect(), found, observed)
}

#[test]
fn creations_renames_and_removals_leave_each_combination() {
    let (allowed, found, _) = trees(|disk, reference| {
        disk.rename("a/f", "a/h").unwrap();
        reference.rename("a/f", "a/h").unwrap();
        disk.remove("a/g").unwrap();
        reference.remove("a/g").unwrap();
        disk.create_directory("c").unwrap();
        reference.create_directory("c").unwrap();
        disk.rename("c", "b").unwrap();
        reference.rename("c", "b").unwrap();
    });
    assert_eq!(allowed, found);
    // The rename or not, the removal or not; of the directory, nothing, `c`, or `c` in the place of `b`, of which
    // the first and the last look the same.
    assert_eq!(found.len(), 2 * 2 * 2);
}

#[test]
fn a_file_moved_to_another_directory_is_in_one_or_both_and_never_in_none() {
    let (allowed, found, observed) = trees(|disk, reference| {
        disk.rename("a/f", "b/f").unwrap();
        reference.rename("a/f", "b/f").unwrap();
    });
    assert_eq!(allowed, found);
    let places = |observed: &Observed| ["a/f", "b/f"].map(|path| observed.contains_key(path));
    let places: BTreeSet<_> = observed.iter().map(places).collect();
    assert_eq!(places, BTreeSet::from([[true, false], [false, true], [true, true]]));
}

#[test]
fn a_directory_moved_to_another_one_is_in_one_of_them() {
    let (allowed, found, observed) = trees(|disk, reference| {
        disk.rename("a", "b/a").unwrap();
        reference.rename("a", "b/a").unwrap();
    });
    assert_eq!(allowed, found);
    let places = |observed: &Observed| ["a/f", "b/a/f"].map(|path| observed.contains_key(path));
    let places: BTreeSet<_> = observed.iter().map(places).collect();
    assert_eq!(places, BTreeSet::from([[true, false], [false, true]]));
}

#[test]
fn a_sync_of_the_directory_a_file_was_moved_out_of_makes_the_move_durable() {
    let (_, _, observed) = trees(|disk, reference| {
        disk.rename("a/f", "b/f").unwrap();
        reference.rename("a/f", "b/f").unwrap();
        disk.sync_directory("a").unwrap();
        let (node, mark) = (reference.find("a").unwrap(), reference.steps.len());
        reference.synced(node, mark);
    });
    assert!(observed.iter().all(|observed| observed.contains_key("b/f") && !observed.contains_key("a/f")));
}

#[test]
fn a_sync_of_the_directory_a_file_was_moved_into_makes_the_new_name_durable() {
    let (_, _, observed) = trees(|disk, reference| {
        disk.rename("a/f", "b/f").unwrap();
        reference.rename("a/f", "b/f").unwrap();
        disk.sync_directory("b").unwrap();
        let (node, mark) = (reference.find("b").unwrap(), reference.steps.len());
        reference.synced(node, mark);
    });
    assert!(observed.iter().all(|observed| observed.contains_key("b/f")));
    assert_eq!(observed.iter().filter(|observed| observed.contains_key("a/f")).count(), 1);
}
