//! Each operation and each error, one by one.

use vertebra_sim::disk::{Disk, OpenMode};
use vertebra_sim::random::Streams;

use crate::{content, disk, kind};

/// The variant and the text of the error of `result`.
fn refused<T: std::fmt::Debug>(result: Result<T, vertebra_sim::disk::DiskError>) -> (&'static str, String) {
    let error = result.expect_err("this must fail");
    (kind(&error), error.to_string())
}

fn create(disk: &mut Disk, path: &str, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::CreateNew).unwrap();
    disk.append(file, bytes).unwrap();
    disk.close(file).unwrap();
}

fn read(disk: &mut Disk, path: &str) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Existing).unwrap();
    let bytes = content(disk, file);
    disk.close(file).unwrap();
    bytes
}

#[test]
fn an_append_says_where_it_begins() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    assert_eq!(disk.append(file, b"one"), Ok(0));
    assert_eq!(disk.append(file, b"two"), Ok(3));
    assert_eq!(disk.append(file, b""), Ok(6));
    assert_eq!((content(&mut disk, file), disk.length(file)), (b"onetwo".to_vec(), Ok(6)));
}

#[test]
fn a_write_past_the_end_leaves_zeros_before_it() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"abcd").unwrap();
    disk.write_at(file, 1, b"XY").unwrap();
    disk.write_at(file, 6, b"z").unwrap();
    assert_eq!(content(&mut disk, file), b"aXYd\0\0z");
    disk.write_at(file, 100, b"").unwrap();
    assert_eq!(disk.length(file), Ok(7));
}

#[test]
fn a_read_at_the_end_of_the_file_is_short() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"abcd").unwrap();
    let mut buffer = [0; 3];
    assert_eq!((disk.read_at(file, 2, &mut buffer), buffer), (Ok(2), *b"cd\0"));
    assert_eq!(disk.read_at(file, 4, &mut buffer), Ok(0));
    assert_eq!(disk.read_at(file, u64::MAX, &mut buffer), Ok(0));
    assert_eq!(disk.read_at(file, 0, &mut []), Ok(0));
}

#[test]
fn a_truncation_cuts_and_fills_with_zeros() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"abcd").unwrap();
    disk.truncate(file, 2).unwrap();
    disk.truncate(file, 4).unwrap();
    assert_eq!(content(&mut disk, file), b"ab\0\0");
}

#[test]
fn a_file_is_opened_or_created_as_the_mode_says() {
    let mut disk = disk();
    assert_eq!(
        refused(disk.open("f", OpenMode::Existing)),
        ("NotFound", "cannot open `f`: it does not exist".to_owned())
    );
    disk.open("f", OpenMode::Create).unwrap();
    disk.open("f", OpenMode::Create).unwrap();
    disk.open("f", OpenMode::Existing).unwrap();
    assert_eq!(
        refused(disk.open("f", OpenMode::CreateNew)),
        ("AlreadyExists", "cannot open `f`: it exists".to_owned())
    );
    assert_eq!(refused(disk.open("d/f", OpenMode::Create)).0, "NotFound");
    assert_eq!(refused(disk.open("f/g", OpenMode::Create)).0, "NotADirectory");
    assert_eq!(refused(disk.open("", OpenMode::Create)).0, "IsADirectory");
}

#[test]
fn two_handles_of_a_file_see_the_same_bytes() {
    let mut disk = disk();
    let one = disk.open("f", OpenMode::Create).unwrap();
    let two = disk.open("f", OpenMode::Create).unwrap();
    disk.append(one, b"a").unwrap();
    disk.append(two, b"b").unwrap();
    assert_eq!(content(&mut disk, one), b"ab");
    disk.close(one).unwrap();
    assert_eq!(content(&mut disk, two), b"ab");
}

#[test]
fn directories_hold_files_and_directories() {
    let mut disk = disk();
    disk.create_directory("b").unwrap();
    disk.create_directory("a").unwrap();
    disk.create_directory("a/c").unwrap();
    create(&mut disk, "a/b", b"");
    assert_eq!(disk.list("").unwrap(), ["a", "b"]);
    assert_eq!(disk.list("a").unwrap(), ["b", "c"]);
    assert!(disk.list("b").unwrap().is_empty());
    assert!(disk.exists("") && disk.exists("a/b") && disk.exists("a/c") && !disk.exists("a/d"));
    assert!(disk.is_directory("") && disk.is_directory("a/c") && !disk.is_directory("a/b"));
    assert_eq!(refused(disk.list("a/b")).0, "NotADirectory");
    assert_eq!(refused(disk.list("c")).0, "NotFound");
    assert_eq!(refused(disk.create_directory("a")).0, "AlreadyExists");
    assert_eq!(refused(disk.create_directory("")).0, "AlreadyExists");
    assert_eq!(refused(disk.create_directory("c/d")).0, "NotFound");
    assert_eq!(refused(disk.create_directory("a/b/c")).0, "NotADirectory");
    assert_eq!(refused(disk.open("a", OpenMode::Create)).0, "IsADirectory");
}

#[test]
fn what_is_no_path_is_refused_with_a_reason() {
    let mut disk = disk();
    for path in ["/f", "f/", "a//b", ".", "..", "a/../b", "a\0b"] {
        assert!(!disk.exists(path));
        for refusal in [
            refused(disk.open(path, OpenMode::Create)),
            refused(disk.create_directory(path)),
            refused(disk.remove(path)),
            refused(disk.list(path)),
            refused(disk.sync_directory(path)),
            refused(disk.rename(path, "g")),
        ] {
            assert_eq!(refusal.0, "InvalidPath", "{path}");
            assert!(refusal.1.contains(path));
        }
    }
    assert_eq!(refused(disk.remove("")).1, "cannot remove ``: the root is always there");
    assert_eq!(refused(disk.rename("", "a")).0, "InvalidPath");
    create(&mut disk, "f", b"");
    assert_eq!(refused(disk.rename("f", "")).0, "InvalidPath");
    assert_eq!(refused(disk.rename("f", "a//b")).0, "InvalidPath");
}

#[test]
fn a_file_and_an_empty_directory_can_be_removed() {
    let mut disk = disk();
    disk.create_directory("d").unwrap();
    create(&mut disk, "d/f", b"f");
    assert_eq!(
        refused(disk.remove("d")),
        ("DirectoryNotEmpty", "cannot remove `d`: the directory is not empty".to_owned())
    );
    disk.remove("d/f").unwrap();
    disk.remove("d").unwrap();
    assert_eq!(refused(disk.remove("d")).0, "NotFound");
    assert_eq!((disk.list("").unwrap().len(), disk.bytes_used()), (0, 0));
}

#[test]
fn a_removed_file_lives_until_it_is_closed() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"old").unwrap();
    disk.remove("f").unwrap();
    create(&mut disk, "f", b"new");
    disk.append(file, b"er").unwrap();
    assert_eq!((content(&mut disk, file), read(&mut disk, "f")), (b"older".to_vec(), b"new".to_vec()));
    assert_eq!(disk.bytes_used(), 8);
    disk.close(file).unwrap();
    assert_eq!(disk.bytes_used(), 3);
}

#[test]
fn a_rename_replaces_its_target() {
    let mut disk = disk();
    disk.create_directory("d").unwrap();
    create(&mut disk, "f", b"f");
    create(&mut disk, "d/g", b"g");
    let old = disk.open("d/g", OpenMode::Existing).unwrap();
    disk.rename("f", "d/g").unwrap();
    assert_eq!(
        (disk.exists("f"), read(&mut disk, "d/g"), content(&mut disk, old)),
        (false, b"f".to_vec(), b"g".to_vec())
    );
    disk.rename("d/g", "d/g").unwrap();
    assert_eq!(read(&mut disk, "d/g"), b"f");
    assert_eq!(refused(disk.rename("f", "x")).0, "NotFound");
    assert_eq!(
        refused(disk.rename("d/g", "e/g")),
        ("NotFound", "cannot rename `e/g`: it does not exist".to_owned())
    );
    assert_eq!(refused(disk.rename("d/g", "d/g/h")).0, "NotADirectory");
    assert_eq!(refused(disk.rename("d/g", "d")).0, "IsADirectory");
}

#[test]
fn a_directory_is_renamed_with_what_it_holds() {
    let mut disk = disk();
    for path in ["a", "a/c", "b", "e"] {
        disk.create_directory(path).unwrap();
    }
    create(&mut disk, "a/f", b"f");
    assert_eq!(
        refused(disk.rename("a", "a/c/a")),
        ("InvalidPath", "cannot rename `a/c/a`: it would be moved into itself".to_owned())
    );
    assert_eq!(refused(disk.rename("a", "a/f")).0, "InvalidPath");
    assert_eq!(refused(disk.rename("b", "a/f")).0, "NotADirectory");
    assert_eq!(refused(disk.rename("b", "a")).0, "DirectoryNotEmpty");
    disk.rename("a", "b/a").unwrap();
    disk.rename("b", "e").unwrap();
    assert_eq!((disk.list("").unwrap(), read(&mut disk, "e/a/f")), (vec!["e".to_owned()], b"f".to_vec()));
}

#[test]
fn a_closed_handle_is_stale() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.close(file).unwrap();
    let other = disk.open("g", OpenMode::Create).unwrap();
    for refusal in [
        refused(disk.close(file)),
        refused(disk.append(file, b"a")),
        refused(disk.write_at(file, 0, b"a")),
        refused(disk.read_at(file, 0, &mut [0])),
        refused(disk.truncate(file, 0)),
        refused(disk.length(file)),
        refused(disk.sync(file)),
        refused(disk.begin_sync(file)),
    ] {
        assert_eq!(refusal.0, "StaleHandle");
        assert!(refusal.1.contains("handle 1"), "{}", refusal.1);
    }
    assert_eq!(disk.length(other), Ok(0));
}

#[test]
fn a_process_crash_keeps_what_is_unsynced_and_ends_handles_and_syncs() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    let removed = disk.open("removed", OpenMode::Create).unwrap();
    disk.append(file, b"abc").unwrap();
    disk.append(removed, b"abc").unwrap();
    disk.remove("removed").unwrap();
    let (of_file, of_directory) = (disk.begin_sync(file).unwrap(), disk.begin_sync_directory("").unwrap());
    let unsynced = disk.unsynced_operations();
    disk.process_crash();
    assert_eq!((read(&mut disk, "f"), disk.bytes_used()), (b"abc".to_vec(), 3));
    assert_eq!(refused(disk.append(file, b"d")).0, "StaleHandle");
    let (name, text) = refused(disk.complete_sync(of_file));
    assert_eq!(
        (name, text.as_str()),
        ("StaleHandle", "cannot sync `f`: it was closed, or opened before a crash")
    );
    assert_eq!(refused(disk.complete_sync(of_directory)).0, "StaleHandle");
    assert_eq!(disk.unsynced_operations(), unsynced);
}

#[test]
fn a_sync_covers_what_was_done_before_it_began() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.sync_directory("").unwrap();
    disk.append(file, b"abc").unwrap();
    let first = disk.begin_sync(file).unwrap();
    disk.append(file, b"def").unwrap();
    let second = disk.begin_sync(file).unwrap();
    disk.append(file, b"ghi").unwrap();
    assert_eq!(disk.unsynced_operations(), 3);
    disk.complete_sync(second).unwrap();
    assert_eq!(disk.unsynced_operations(), 1);
    disk.complete_sync(first).unwrap();
    assert_eq!(disk.unsynced_operations(), 1);
    let names = disk.begin_sync_directory("").unwrap();
    create(&mut disk, "g", b"");
    disk.complete_sync(names).unwrap();
    assert_eq!(disk.unsynced_operations(), 2);
}

#[test]
fn a_sync_may_outlive_the_handle_and_the_file() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"abc").unwrap();
    let ticket = disk.begin_sync(file).unwrap();
    disk.close(file).unwrap();
    disk.complete_sync(ticket).unwrap();
    assert_eq!(disk.unsynced_operations(), 1, "the name");

    let file = disk.open("f", OpenMode::Existing).unwrap();
    disk.append(file, b"abc").unwrap();
    let ticket = disk.begin_sync(file).unwrap();
    disk.close(file).unwrap();
    disk.remove("f").unwrap();
    disk.sync_directory("").unwrap();
    create(&mut disk, "g", b"takes the place of the file that is gone");
    disk.complete_sync(ticket).unwrap();
    assert_eq!(disk.unsynced_operations(), 2, "the name and the bytes of the new file");
}

#[test]
fn a_synced_file_in_an_unsynced_directory_can_lose_its_name() {
    let mut disk = disk();
    disk.create_directory("d").unwrap();
    create(&mut disk, "d/f", b"f");
    let file = disk.open("d/f", OpenMode::Existing).unwrap();
    disk.sync(file).unwrap();
    disk.sync_directory("d").unwrap();
    let mut survived = [0, 0];
    for seed in 0..200 {
        let mut disk = disk.clone();
        disk.power_failure(&mut Streams::new(seed).stream("power", 0));
        let exists = disk.exists("d");
        assert_eq!(disk.exists("d/f"), exists);
        survived[usize::from(exists)] += 1;
        assert_eq!(refused(disk.length(file)).0, "StaleHandle");
        assert_eq!(disk.bytes_used(), u64::from(exists));
    }
    assert!(survived[0] > 40 && survived[1] > 40, "{survived:?}");
}

#[test]
fn a_power_failure_is_a_function_of_its_stream() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.sync_directory("").unwrap();
    disk.append(file, &[7; 5000]).unwrap();
    let outcome = |seed| {
        let mut disk = disk.clone();
        let failure = disk.power_failure(&mut Streams::new(seed).stream("power", 0));
        (failure, read(&mut disk, "f"))
    };
    assert!((0..50).all(|seed| outcome(seed) == outcome(seed)));
    assert!((1..50).any(|seed| outcome(seed) != outcome(0)));
}
