//! Full disks and failing devices.

use std::collections::BTreeSet;

use vertebra_sim::disk::{Disk, DiskError, IoKind, OpenMode, Operation};
use vertebra_sim::random::Streams;

use crate::{content, disk, kind};

#[test]
fn a_full_disk_writes_nothing_or_what_fits() {
    let mut seen = BTreeSet::new();
    let mut disk = disk();
    disk.set_capacity(10);
    let file = disk.open("f", OpenMode::Create).unwrap();
    for _ in 0..50 {
        disk.truncate(file, 0).unwrap();
        disk.append(file, b"12345").unwrap();
        let error = disk.append(file, b"abcdefghi").unwrap_err();
        let DiskError::NoSpace { written, operation, path } = error else { panic!("{error}") };
        assert_eq!((operation, path.as_str()), (Operation::Append, "f"));
        assert_eq!(content(&mut disk, file), b"12345abcdefghi"[..5 + written as usize]);
        assert_eq!(disk.bytes_used(), 5 + written);
        seen.insert(written);
    }
    assert_eq!(seen, BTreeSet::from([0, 5]));
}

#[test]
fn a_full_disk_can_be_overwritten_and_cleared() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"12345").unwrap();
    disk.set_capacity(0);
    disk.write_at(file, 0, b"abcde").unwrap();
    let error = disk.truncate(file, 6).unwrap_err();
    assert_eq!(error.to_string(), "cannot truncate `f`: no space left on the disk, 0 bytes were written");
    assert_eq!(kind(&disk.write_at(file, 5, b"f").unwrap_err()), "NoSpace");
    assert_eq!(kind(&disk.write_at(file, 100, b"f").unwrap_err()), "NoSpace");
    disk.append(file, b"").unwrap();
    assert_eq!(content(&mut disk, file), b"abcde");
    disk.truncate(file, 3).unwrap();
    assert_eq!(kind(&disk.append(file, b"d").unwrap_err()), "NoSpace");
    disk.open("g", OpenMode::CreateNew).unwrap();
    disk.set_capacity(4);
    disk.append(file, b"d").unwrap();
    assert_eq!((content(&mut disk, file), disk.bytes_used()), (b"abcd".to_vec(), 4));
}

#[test]
fn a_wild_offset_is_a_full_disk() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    for offset in [1 << 40, u64::MAX - 1, u64::MAX] {
        assert_eq!(kind(&disk.write_at(file, offset, b"ab").unwrap_err()), "NoSpace");
        assert_eq!(kind(&disk.truncate(file, offset).unwrap_err()), "NoSpace");
    }
    assert_eq!(disk.length(file), Ok(0));
}

#[test]
fn armed_errors_strike_as_often_as_was_said() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"abc").unwrap();

    disk.fail_next(IoKind::Write, 3);
    let error = disk.append(file, b"d").unwrap_err();
    assert_eq!(error.to_string(), "cannot append to `f`: input/output error");
    assert_eq!(kind(&disk.write_at(file, 0, b"d").unwrap_err()), "Io");
    assert_eq!(kind(&disk.truncate(file, 0).unwrap_err()), "Io");
    assert_eq!(content(&mut disk, file), b"abc");
    disk.append(file, b"d").unwrap();

    disk.fail_next(IoKind::Read, 1);
    assert_eq!(kind(&disk.read_at(file, 0, &mut [0; 4]).unwrap_err()), "Io");
    assert_eq!(disk.read_at(file, 0, &mut [0; 4]), Ok(4));

    disk.fail_next(IoKind::Write, 1);
    disk.fail_next(IoKind::Write, 0);
    disk.append(file, b"e").unwrap();
}

#[test]
fn a_failed_sync_leaves_everything_unsynced_until_one_succeeds() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"abc").unwrap();
    disk.fail_next(IoKind::Sync, 2);
    assert_eq!(disk.sync(file).unwrap_err().to_string(), "cannot sync `f`: input/output error");
    let error = disk.sync_directory("").unwrap_err();
    assert_eq!(error.to_string(), "cannot sync directory ``: input/output error");
    assert_eq!(disk.unsynced_operations(), 2);
    let lost = |seed: u64| {
        let mut disk = disk.clone();
        disk.power_failure(&mut Streams::new(seed).stream("power", 0));
        !disk.exists("f")
    };
    assert!((0..50).any(lost));
    disk.sync(file).unwrap();
    disk.sync_directory("").unwrap();
    assert_eq!(disk.unsynced_operations(), 0);
}

#[test]
fn a_sync_that_fails_may_lose_what_it_should_have_written() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, b"abc").unwrap();
    disk.sync(file).unwrap();
    disk.write_at(file, 1, b"xyz").unwrap();
    let lost = disk.begin_sync(file).unwrap();
    disk.append(file, b"de").unwrap();
    let later = disk.begin_sync(file).unwrap();
    disk.append(file, b"f").unwrap();
    disk.fail_next(IoKind::SyncLost, 1);
    // Names have no data.
    disk.sync_directory("").unwrap();
    assert_eq!(kind(&disk.complete_sync(lost).unwrap_err()), "Io");
    let seen = |disk: &mut Disk, file| {
        let mut bytes = [0; 8];
        let read = disk.read_at(file, 0, &mut bytes).unwrap();
        bytes[..read].to_vec()
    };
    // What was written since then is there, behind a hole.
    assert_eq!(seen(&mut disk, file), b"abc\0def");
    // And a sync that had begun already covers what it did.
    disk.complete_sync(later).unwrap();
    assert_eq!(disk.unsynced_operations(), 1);
    let survives = |seed: u64| {
        let mut disk = disk.clone();
        disk.power_failure(&mut Streams::new(seed).stream("power", 0));
        let file = disk.open("f", OpenMode::Existing).unwrap();
        seen(&mut disk, file)
    };
    let found: Vec<Vec<u8>> = (0..50).map(survives).collect();
    assert!(found.iter().all(|bytes| bytes.starts_with(b"abc\0de") && bytes.len() <= 7), "{found:?}");
    assert!(found.iter().any(|bytes| bytes == b"abc\0de"));
    disk.sync(file).unwrap();
    assert_eq!((seen(&mut disk, file), disk.unsynced_operations()), (b"abc\0def".to_vec(), 0));
}

#[test]
fn space_is_counted_anew_after_a_power_failure() {
    for seed in 0..100 {
        let mut disk = disk();
        disk.set_capacity(2_000);
        let file = disk.open("f", OpenMode::Create).unwrap();
        disk.append(file, &[1; 1_500]).unwrap();
        disk.power_failure(&mut Streams::new(seed).stream("power", 0));
        let length = match disk.open("f", OpenMode::Existing) {
            Ok(file) => disk.length(file).unwrap(),
            Err(_) => 0,
        };
        assert_eq!(disk.bytes_used(), length);
    }
}
