//! Disks that do not do what they say: what was struck, against a naive reference, and that nothing else was.

use std::collections::BTreeSet;

use vertebra_sim::disk::{Disk, FileHandle, IoKind, OpenMode, SECTOR_BYTES, Stray};
use vertebra_sim::random::{Stream, Streams};

use crate::{content, disk, kind};

fn stream(seed: u64) -> Stream {
    Streams::new(seed).stream("fault", 0)
}

/// A file with `bytes`, synced with its name.
fn synced(disk: &mut Disk, path: &str, bytes: &[u8]) -> FileHandle {
    let file = disk.open(path, OpenMode::Create).unwrap();
    disk.append(file, bytes).unwrap();
    disk.sync(file).unwrap();
    disk.sync_directory("").unwrap();
    file
}

/// What is in the file at `path` after a power failure. Nothing else is lost with it if all is synced.
fn after_power_failure(disk: &Disk, path: &str) -> Vec<u8> {
    let mut disk = disk.clone();
    disk.power_failure(&mut stream(7));
    let file = disk.open(path, OpenMode::Existing).unwrap();
    content(&mut disk, file)
}

fn bits_apart(one: &[u8], other: &[u8]) -> u32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| (one ^ other).count_ones()).sum()
}

#[test]
fn rot_flips_bits_of_the_files_that_it_names_and_of_no_other() {
    let pristine: Vec<u8> = (0..5_000).map(|index| index as u8).collect();
    for seed in 0..50 {
        let mut disk = disk();
        disk.create_directory("log").unwrap();
        disk.sync_directory("").unwrap();
        let file = synced(&mut disk, "log/1", &pristine);
        disk.sync_directory("log").unwrap();
        let other = synced(&mut disk, "logs", &pristine);
        assert_eq!(disk.rot("log/", 3, &mut stream(seed)), 3);
        let seen = content(&mut disk, file);
        assert_eq!(bits_apart(&seen, &pristine), 3);
        assert_eq!(content(&mut disk, other), pristine);
        assert_eq!(after_power_failure(&disk, "log/1"), seen);
        assert_eq!(after_power_failure(&disk, "logs"), pristine);
    }
    assert_eq!(disk().rot("log/", 3, &mut stream(1)), 0);
}

#[test]
fn the_same_data_rots_in_the_same_way() {
    let rotten = |before: usize| {
        let mut disk = disk();
        disk.create_directory("log").unwrap();
        let file = synced(&mut disk, "log/1", &[9; 400]);
        disk.create_directory("other").unwrap();
        for number in 0..before {
            synced(&mut disk, &format!("other/{number}"), &[1; 2_000]);
        }
        disk.rot("log/", 1, &mut stream(3));
        content(&mut disk, file)
    };
    assert_eq!(rotten(0), rotten(5));
}

#[test]
fn what_is_not_synced_does_not_rot() {
    let mut disk = disk();
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.append(file, &[5; 3_000]).unwrap();
    assert_eq!((disk.rot("", 10, &mut stream(1)), disk.spoil("", 10, &mut stream(1))), (0, 0));
    disk.sync(file).unwrap();
    disk.write_at(file, 100, &[6; 2_900]).unwrap();
    assert_eq!(disk.rot("", 10, &mut stream(1)), 0);
    disk.truncate(file, 700).unwrap();
    disk.sync(file).unwrap();
    disk.truncate(file, 600).unwrap();
    for seed in 0..20 {
        let mut disk = disk.clone();
        assert_eq!(disk.rot("", 1, &mut stream(seed)), 1);
        // The sector that the truncation cut is written again with it.
        assert_eq!(content(&mut disk, file)[512..], [6; 88]);
    }
}

#[test]
fn a_sector_that_cannot_be_read_can_be_written_whole() {
    let mut disk = disk();
    let file = synced(&mut disk, "f", &[1; 1_300]);
    // Sectors 0, 1 and a part of 2.
    assert!((1..=40).contains(&disk.spoil("f", 40, &mut stream(1))));
    for offset in [0, 512, 1_024, 1_299] {
        assert_eq!(kind(&disk.read_at(file, offset, &mut [0; 1]).unwrap_err()), "Io");
    }
    assert_eq!(disk.read_at(file, 1_300, &mut [0; 9]), Ok(0));
    assert_eq!(disk.length(file), Ok(1_300));
    for (offset, length) in [(0, 511), (1, 512), (1_025, 275), (1_024, 275)] {
        let error = disk.write_at(file, offset, &vec![2; length]).unwrap_err();
        assert_eq!(kind(&error), "Io", "{length} bytes at {offset}");
    }
    assert_eq!(kind(&disk.append(file, &[2]).unwrap_err()), "Io");
    assert_eq!(kind(&disk.truncate(file, 1_100).unwrap_err()), "Io");
    disk.write_at(file, 1_024, &[2; 276]).unwrap();
    disk.append(file, &[3; 10]).unwrap();
    disk.write_at(file, 0, &[4; 512]).unwrap();
    let mut bytes = [0; 286];
    assert_eq!(disk.read_at(file, 1_024, &mut bytes), Ok(286));
    assert_eq!((bytes[0], bytes[285]), (2, 3));
    assert_eq!(disk.read_at(file, 0, &mut [0; 512]), Ok(512));
    assert_eq!(kind(&disk.read_at(file, 0, &mut [0; 513]).unwrap_err()), "Io");

    // A write that the power failure takes with it has healed nothing.
    let healed: BTreeSet<bool> = (0..50)
        .map(|seed| {
            let mut disk = disk.clone();
            disk.power_failure(&mut stream(seed));
            let file = disk.open("f", OpenMode::Existing).unwrap();
            let read = disk.read_at(file, 0, &mut [0; 512]);
            assert!(disk.read_at(file, 512, &mut [0; 1]).is_err());
            read.is_ok()
        })
        .collect();
    assert_eq!(healed, BTreeSet::from([false, true]));
    disk.sync(file).unwrap();
    disk.power_failure(&mut stream(1));
    let file = disk.open("f", OpenMode::Existing).unwrap();
    let mut bytes = [0; 512];
    assert_eq!((disk.read_at(file, 0, &mut bytes), bytes), (Ok(512), [4; 512]));
    disk.truncate(file, 512).unwrap();
    disk.truncate(file, 1_024).unwrap();
    assert_eq!(content(&mut disk, file)[512..], [0; 512]);
}

#[test]
fn a_phantom_write_is_seen_until_the_power_fails() {
    let mut disk = disk();
    let file = synced(&mut disk, "f", &[1; 2_048]);
    let phantom = disk.lead_astray("f", Stray::Phantom, 1, stream(1));
    disk.write_at(file, 512, &[2; 512]).unwrap();
    disk.write_at(file, 1_024, &[3; 512]).unwrap();
    disk.sync(file).unwrap();
    assert_eq!(disk.struck(phantom), 1);
    let seen = [[1; 512], [2; 512], [3; 512], [1; 512]].concat();
    assert_eq!(content(&mut disk, file), seen);
    let left = [[1; 512], [1; 512], [3; 512], [1; 512]].concat();
    assert_eq!(after_power_failure(&disk, "f"), left);
    disk.process_crash();
    let file = disk.open("f", OpenMode::Existing).unwrap();
    assert_eq!(content(&mut disk, file), seen);
    // The sector is written whole with the next write to it.
    disk.write_at(file, 600, &[4]).unwrap();
    disk.sync(file).unwrap();
    let seen = content(&mut disk, file);
    assert_eq!(after_power_failure(&disk, "f"), seen);
}

#[test]
fn a_phantom_append_leaves_zeros_of_its_length() {
    let mut disk = disk();
    let file = synced(&mut disk, "f", &[1; 512]);
    disk.lead_astray("", Stray::Phantom, 1, stream(1));
    disk.append(file, &[2; 700]).unwrap();
    disk.sync(file).unwrap();
    assert_eq!(after_power_failure(&disk, "f"), [&[1; 512][..], &[0; 700]].concat());
}

#[test]
fn strays_that_are_called_off_meet_nothing() {
    let mut disk = disk();
    let phantom = disk.lead_astray("", Stray::Phantom, 3, stream(1));
    disk.call_off();
    synced(&mut disk, "f", &[1; 100]);
    assert_eq!((disk.struck(phantom), after_power_failure(&disk, "f")), (0, vec![1; 100]));
}

#[test]
fn a_misdirected_write_strikes_other_sectors_of_the_files_that_it_names() {
    let mut struck_files = BTreeSet::new();
    for seed in 0..100 {
        let mut disk = disk();
        disk.create_directory("log").unwrap();
        disk.sync_directory("").unwrap();
        let file = synced(&mut disk, "log/1", &[1; 3_000]);
        let other = synced(&mut disk, "log/2", &[1; 3_000]);
        synced(&mut disk, "db", &[1; 3_000]);
        disk.sync_directory("log").unwrap();
        disk.lead_astray("log/", Stray::Misdirected, 1, stream(seed));
        disk.write_at(file, 1_030, &[2; 10]).unwrap();
        disk.sync(file).unwrap();
        let believed = [&[1; 1_030][..], &[2; 10], &[1; 1_960]].concat();
        assert_eq!((content(&mut disk, file), content(&mut disk, other)), (believed, vec![1; 3_000]));
        assert_eq!(after_power_failure(&disk, "db"), [1; 3_000]);
        let strikes = ["log/1", "log/2"].map(|path| {
            let struck = after_power_failure(&disk, path);
            let at: Vec<usize> = (0..struck.len()).filter(|at| struck[*at] != 1).collect();
            if let [first, .., last] = at[..] {
                assert_eq!((first % SECTOR_BYTES, last - first, struck[first]), (6, 9, 2));
                assert!(path != "log/1" || first / SECTOR_BYTES != 2, "it is where it should be");
            }
            !at.is_empty()
        });
        assert_eq!(strikes.iter().filter(|struck| **struck).count(), 1, "seed {seed}");
        struck_files.insert(strikes);
    }
    assert_eq!(struck_files.len(), 2);
}

#[test]
fn a_failed_sync_that_forgets_is_not_made_good_by_a_later_one() {
    let mut disk = disk();
    let file = synced(&mut disk, "f", &[1; 600]);
    disk.append(file, &[2; 600]).unwrap();
    let other = synced(&mut disk, "g", &[1; 600]);
    let number = disk.forget_syncs("f", 1);
    // A file that it does not name, and one with nothing to forget.
    disk.append(other, &[2; 600]).unwrap();
    disk.sync(other).unwrap();
    disk.sync_directory("").unwrap();
    assert_eq!(disk.sync(file).unwrap_err().to_string(), "cannot sync `f`: input/output error");
    assert_eq!((disk.struck(number), disk.unsynced_operations()), (1, 0));
    disk.sync(file).unwrap();
    let seen = [[1; 600], [2; 600]].concat();
    assert_eq!(content(&mut disk, file), seen);
    assert_eq!(after_power_failure(&disk, "f"), [1; 600]);
    // What comes later lands, in whole sectors, and the size with it.
    disk.append(file, &[3; 600]).unwrap();
    disk.sync(file).unwrap();
    let left = after_power_failure(&disk, "f");
    assert_eq!(left.len(), 1_800);
    assert_eq!(left[600..1_024], [0; 424]);
    assert_eq!(left[1_024..1_200], [2; 176]);
    assert_eq!(left[1_200..], [3; 600]);
}

#[test]
fn names_that_cannot_be_changed_stay() {
    let mut disk = disk();
    synced(&mut disk, "f", &[1]);
    disk.create_directory("d").unwrap();
    disk.fail_next(IoKind::Names, 5);
    let errors = [
        disk.open("g", OpenMode::Create).map(drop),
        disk.create_directory("e"),
        disk.rename("f", "g"),
        disk.remove("f"),
        disk.remove("d"),
    ];
    assert!(
        errors.iter().all(|result| result.as_ref().is_err_and(|error| kind(error) == "Io")),
        "{errors:?}"
    );
    assert_eq!(disk.list("").unwrap(), ["d", "f"]);
    disk.fail_next(IoKind::Names, 1);
    disk.open("f", OpenMode::Create).unwrap();
    assert_eq!(kind(&disk.open("missing/f", OpenMode::Create).unwrap_err()), "NotFound");
    assert_eq!(disk.rename("f", "g").unwrap_err().to_string(), "cannot rename `f`: input/output error");
    disk.rename("f", "g").unwrap();
}

#[test]
fn a_wiped_disk_is_empty_and_its_handles_are_stale() {
    let mut disk = disk();
    let file = synced(&mut disk, "f", &[1; 100]);
    disk.wipe();
    assert_eq!((disk.list("").unwrap().len(), disk.bytes_used(), disk.unsynced_operations()), (0, 0, 0));
    let other = disk.open("g", OpenMode::Create).unwrap();
    assert_eq!(kind(&disk.append(file, b"a").unwrap_err()), "StaleHandle");
    assert_eq!(kind(&disk.close(file).unwrap_err()), "StaleHandle");
    disk.append(other, b"a").unwrap();
}

/// What the process saw after a change, what that wrote, and whether it lands.
type Change = (Vec<u8>, Option<(usize, usize)>, bool);

/// One file, sector by sector and version by version.
#[derive(Clone, Default)]
struct Naive {
    seen: Vec<u8>,
    /// The unsynced ones.
    changes: Vec<Change>,
    medium: Vec<u8>,
    unreadable: BTreeSet<usize>,
}

impl Naive {
    fn write(&mut self, offset: usize, bytes: &[u8], lands: bool) {
        self.seen.resize(self.seen.len().max(offset + bytes.len()), 0);
        self.seen[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.changes.push((self.seen.clone(), Some((offset, bytes.len())), lands));
    }

    fn truncate(&mut self, size: usize) {
        if size != self.seen.len() {
            self.seen.resize(size, 0);
            self.changes.push((self.seen.clone(), None, true));
        }
    }

    fn sync(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        for (version, wrote, lands) in &changes {
            let sector_of = |bytes: &[u8], sector: usize| -> Vec<u8> {
                let mut whole = bytes.get(sector * SECTOR_BYTES..).unwrap_or_default().to_vec();
                whole.resize(SECTOR_BYTES, 0);
                whole
            };
            let Some((offset, length)) = *wrote else {
                self.medium.truncate(version.len());
                self.unreadable.retain(|sector| sector * SECTOR_BYTES < version.len());
                continue;
            };
            for sector in offset / SECTOR_BYTES..=(offset + length - 1) / SECTOR_BYTES {
                self.unreadable.remove(&sector);
                if *lands {
                    let end = (sector + 1) * SECTOR_BYTES;
                    self.medium.resize(self.medium.len().max(end), 0);
                    self.medium[sector * SECTOR_BYTES..end].copy_from_slice(&sector_of(version, sector));
                }
            }
        }
        if !changes.is_empty() {
            self.medium.resize(self.seen.len(), 0);
        }
    }

    fn touched(&self, sector: usize) -> bool {
        let (start, end) = (sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
        self.changes.iter().any(|(version, wrote, _)| match wrote {
            Some((offset, length)) => *offset < end && start < offset + length,
            None => version.len() < end,
        })
    }

    fn can_read(&self, sector: usize) -> bool {
        !self.unreadable.contains(&sector) || self.touched(sector)
    }

    /// Compares what can be read.
    fn compare(&self, disk: &mut Disk, file: FileHandle) -> Result<(), String> {
        if disk.length(file) != Ok(self.seen.len() as u64) {
            return Err(format!("{:?} bytes instead of {}", disk.length(file), self.seen.len()));
        }
        for (sector, expected) in self.seen.chunks(SECTOR_BYTES).enumerate() {
            let mut bytes = vec![0; expected.len()];
            match disk.read_at(file, (sector * SECTOR_BYTES) as u64, &mut bytes) {
                Ok(_) if !self.can_read(sector) => return Err(format!("sector {sector} can be read")),
                Ok(_) if bytes != expected => return Err(format!("sector {sector} is another")),
                Err(error) if self.can_read(sector) => return Err(format!("sector {sector}: {error}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes in which synced sectors were struck, and checks that no other was.
    fn learn_rot(&mut self, disk: &mut Disk, file: FileHandle, bits: u32) -> Result<(), String> {
        let mut flipped = 0;
        for sector in 0..self.medium.len().div_ceil(SECTOR_BYTES) {
            let start = sector * SECTOR_BYTES;
            let end = self.medium.len().min(start + SECTOR_BYTES).min(self.seen.len());
            if start >= end || self.touched(sector) {
                continue;
            }
            let mut bytes = vec![0; end - start];
            if disk.read_at(file, start as u64, &mut bytes).is_err() {
                continue;
            }
            // A sector that the page cache has dropped shows what is there, lies included.
            let rotten = bits_apart(&bytes, &self.medium[start..end]);
            if rotten > 0 && bytes != self.seen[start..end] {
                flipped += rotten;
                self.medium[start..end].copy_from_slice(&bytes);
                self.seen[start..end].copy_from_slice(&bytes);
            } else if rotten == 0 {
                self.seen[start..end].copy_from_slice(&bytes);
            }
        }
        if flipped > bits { Err(format!("{flipped} flips instead of {bits}")) } else { Ok(()) }
    }
}

/// Writes, truncations, syncs and damage at random; each power failure comes when all is synced, so that what is
/// left is certain. The reference is `off` in one way, or in none.
fn random_damage(seed: u64, off: Option<&str>) -> Result<[u32; 4], String> {
    let mut stream = Streams::new(seed).stream("operations", 0);
    let mut disk = disk();
    let mut file = synced(&mut disk, "f", &[7; 2_500]);
    let mut other = synced(&mut disk, "g", &[7; 2_500]);
    let mut naive = Naive { seen: vec![7; 2_500], medium: vec![7; 2_500], ..Naive::default() };
    let mut done = [0; 4];
    for _ in 0..80 {
        let length = 1 + stream.below(900) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| stream.next_u64() as u8).collect();
        let what = stream.below(12);
        match what {
            0..6 => {
                let offset = match stream.below(3) {
                    0 => naive.seen.len(),
                    _ => stream.below(naive.seen.len() as u64 + 300) as usize,
                };
                let phantom = what == 0;
                if phantom {
                    disk.lead_astray("f", Stray::Phantom, 1, stream.clone());
                }
                if disk.write_at(file, offset as u64, &bytes).is_ok() {
                    naive.write(offset, &bytes, !phantom || off == Some("phantom"));
                    done[0] += u32::from(phantom);
                }
                disk.call_off();
            }
            6 => {
                let size = stream.below(naive.seen.len() as u64 + 300);
                if disk.truncate(file, size).is_ok() {
                    naive.truncate(size as usize);
                }
            }
            7 | 8 => {
                disk.sync(file).unwrap();
                naive.sync();
                if stream.below(3) == 0 {
                    disk.power_failure(&mut stream);
                    file = disk.open("f", OpenMode::Existing).unwrap();
                    other = disk.open("g", OpenMode::Existing).unwrap();
                    naive.seen.clone_from(&naive.medium);
                }
            }
            9 => {
                disk.forget_syncs("f", 1);
                disk.sync(file).unwrap_err();
                done[1] += u32::from(!naive.changes.is_empty());
                if off == Some("forget") {
                    naive.sync();
                }
                naive.unreadable.retain(|sector| {
                    let cut = |(version, ..): &Change| sector * SECTOR_BYTES >= version.len();
                    let touched =
                        Naive { changes: naive.changes.clone(), ..Naive::default() }.touched(*sector);
                    !touched && !naive.changes.iter().any(cut)
                });
                naive.changes.clear();
            }
            10 => {
                let bits = 1 + stream.below(3) as u32;
                let flips = disk.rot("f", bits, &mut stream);
                done[2] += flips;
                if off != Some("rot") {
                    naive.learn_rot(&mut disk, file, flips)?;
                }
            }
            _ => {
                let before = disk.clone();
                let spoilt = disk.spoil("f", 1, &mut stream);
                done[3] += spoilt;
                for sector in 0..naive.medium.len().div_ceil(SECTOR_BYTES) {
                    let reads =
                        |disk: &Disk| disk.clone().read_at(file, (sector * 512) as u64, &mut [0]).is_ok();
                    if reads(&before) && !reads(&disk) && off != Some("spoil") {
                        naive.unreadable.insert(sector);
                    }
                }
            }
        }
        naive.compare(&mut disk, file)?;
        if content(&mut disk, other) != [7; 2_500] {
            return Err("a file that no fault names was struck".to_owned());
        }
    }
    Ok(done)
}

#[test]
fn what_damage_leaves_is_what_the_reference_says() {
    let mut done = [0; 4];
    for seed in 0..1_500 {
        let counts = random_damage(seed, None).unwrap_or_else(|reason| panic!("seed {seed}: {reason}"));
        done.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    assert!(done.iter().all(|count| *count > 1_000), "{done:?}");
}

#[test]
fn a_disk_that_keeps_what_it_should_not_is_rejected() {
    for off in ["phantom", "forget", "rot", "spoil"] {
        let rejected = (0..100).filter(|seed| random_damage(*seed, Some(off)).is_err()).count();
        assert!(rejected > 30, "{rejected} of 100 with `{off}`");
    }
}
