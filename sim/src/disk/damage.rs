//! Where the medium is not what the process believes it to be, and how it gets there.
//!
//! A file without damage has none of this: its medium is what its page cache has, less what is unsynced. With
//! damage there is a third image between the two, of what the process believes to be durable:
//!
//! ```text
//!   page cache  =  believed + unsynced changes
//!   believed    =  medium, but where a write went nowhere or astray, where a failed sync took pages for clean,
//!                  and where the write of another sector struck
//! ```
//!
//! A sector is written whole, from the page cache. So a write that lands heals its sectors of whatever was wrong with
//! them, and brings along what earlier writes to the same sectors should have put there.

use std::collections::BTreeSet;
use std::ops::Range;

use super::content::{Change, Content, copy_sector, overlay, sectors};
use super::inodes::InodeId;
use super::{Disk, SECTOR_BYTES};
use crate::random::Stream;

/// What becomes of a write that a disk acknowledges and does not do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stray {
    /// It lands nowhere.
    Phantom,
    /// It lands on other sectors: of the same file, or of another one of those that the fault names.
    Misdirected,
}

/// What is wrong with the medium of one file.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) believed: Vec<u8>,
    /// Unsynced writes that will not land, by their places in the order of all changes; and which fault it was.
    pub(super) strays: Vec<(u64, usize)>,
    /// Sectors that cannot be read until they are written again.
    pub(super) unreadable: BTreeSet<usize>,
}

/// A write that left the page cache and did not land where it should.
#[derive(Debug)]
pub(super) struct Strayed {
    /// The fault, as a place in the list of those that are armed.
    pub(super) fault: usize,
    /// The first sector of where it should have landed.
    pub(super) home: usize,
    /// Whole sectors.
    pub(super) bytes: Vec<u8>,
}

impl Strayed {
    pub(super) fn new(believed: &[u8], offset: usize, length: usize, fault: usize) -> Self {
        let written = sectors(offset, length);
        let mut bytes = vec![0; written.len() * SECTOR_BYTES];
        let start = written.start * SECTOR_BYTES;
        let there = believed.len().min(written.end * SECTOR_BYTES) - start;
        bytes[..there].copy_from_slice(&believed[start..start + there]);
        Self { fault, home: written.start, bytes }
    }
}

impl Content {
    fn damaged(&mut self) -> &mut Damage {
        let believed = &self.medium;
        self.damage.get_or_insert_with(|| {
            Box::new(Damage {
                // Without damage, the two are the same.
                believed: believed.clone(),
                strays: Vec::new(),
                unreadable: BTreeSet::new(),
            })
        })
    }

    /// The newest change, a write, will be acknowledged and synced, and not land.
    pub(super) fn lead_astray(&mut self, fault: usize) {
        let newest = self.mark() - 1;
        self.damaged().strays.push((newest, fault));
    }

    /// As [`Content::persist`], where something is or goes wrong. What does not land is added to `strayed`.
    pub(super) fn persist_damaged(
        &mut self,
        covered: usize,
        damage: &mut Damage,
        strayed: &mut Vec<Strayed>,
    ) {
        let mut bytes = &self.unsynced_bytes[..];
        for (sequence, change) in (self.synced..).zip(&self.unsynced[..covered]) {
            match *change {
                Change::Resize { size } => {
                    damage.believed.resize(size, 0);
                    self.medium.truncate(size);
                    damage.cut(size);
                }
                Change::Write { offset, length } => {
                    let (written, rest) = bytes.split_at(length);
                    bytes = rest;
                    overlay(&mut damage.believed, offset, written);
                    match damage.take_stray(sequence) {
                        Some(fault) => {
                            strayed.push(Strayed::new(&damage.believed, offset, length, fault));
                        }
                        None => {
                            for sector in sectors(offset, length) {
                                copy_sector(&damage.believed, &mut self.medium, sector);
                            }
                        }
                    }
                    // Also after a write that went astray: the page cache has the sector.
                    damage.written(sectors(offset, length));
                }
            }
        }
        if covered > 0 {
            // The inode is written with its data, and no write of an inode is lost.
            self.medium.resize(damage.believed.len(), 0);
        }
    }

    /// A sync failed, and the pages that it should have written are taken for clean: nothing before `mark` will be
    /// written any more. Whether there was anything.
    pub(super) fn forget(&mut self, mark: u64) -> bool {
        let covered = self.covered(mark);
        if covered == 0 {
            return false;
        }
        self.damaged();
        let Some(damage) = &mut self.damage else { return false };
        let mut bytes = 0;
        for (sequence, change) in (self.synced..).zip(&self.unsynced[..covered]) {
            match *change {
                Change::Resize { size } => {
                    damage.believed.resize(size, 0);
                    damage.cut(size);
                }
                Change::Write { offset, length } => {
                    overlay(&mut damage.believed, offset, &self.unsynced_bytes[bytes..bytes + length]);
                    bytes += length;
                    damage.take_stray(sequence);
                    // The page cache has them.
                    damage.written(sectors(offset, length));
                }
            }
        }
        self.drop_covered(covered, bytes);
        true
    }

    /// Where the file ends on the medium and in the page cache: beyond that, what is struck is not seen.
    fn end(&self) -> usize {
        self.medium.len().min(self.cache.len())
    }

    /// The sectors of the file on the medium that can be read there, and that no unsynced change touches.
    pub(super) fn clean_sectors(&self) -> Vec<usize> {
        let count = self.end().div_ceil(SECTOR_BYTES);
        let mut clean = vec![true; count];
        for change in &self.unsynced {
            let touched = match *change {
                Change::Write { offset, length } => sectors(offset, length),
                Change::Resize { size } => size / SECTOR_BYTES..count,
            };
            clean[touched.start.min(count)..touched.end.min(count)].fill(false);
        }
        for sector in self.damage.iter().flat_map(|damage| damage.unreadable.range(..count)) {
            clean[*sector] = false;
        }
        (0..count).filter(|sector| clean[*sector]).collect()
    }

    /// Flips one bit of `sector` on the medium, which `draw` and the bytes there choose, and drops the sector from the
    /// page cache.
    pub(super) fn rot(&mut self, sector: usize, draw: u64) {
        let start = sector * SECTOR_BYTES;
        let end = self.end().min(start + SECTOR_BYTES);
        let bytes = &mut self.medium[start..end];
        let bit = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, draw) as usize % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.reload(sector);
    }

    /// Makes `sector` of the medium unreadable, and drops it from the page cache.
    pub(super) fn spoil(&mut self, sector: usize) {
        self.reload(sector);
        self.damaged().unreadable.insert(sector);
    }

    /// Takes a clean sector from the medium into what the process sees.
    fn reload(&mut self, sector: usize) {
        let start = sector * SECTOR_BYTES;
        let end = self.medium.len().min(start + SECTOR_BYTES);
        let from_medium = |image: &mut Vec<u8>| {
            let there = image.len().min(end).max(start);
            if start < image.len() {
                image[start..there].copy_from_slice(&self.medium[start..there]);
            }
        };
        from_medium(&mut self.cache);
        if let Some(damage) = &mut self.damage {
            from_medium(&mut damage.believed);
        }
    }

    /// The write of something else lands at `sector` and after it, as far as the medium goes. The page cache notices
    /// nothing.
    pub(super) fn strike(&mut self, sector: usize, bytes: &[u8]) {
        let start = sector * SECTOR_BYTES;
        let end = self.medium.len().min(start + bytes.len());
        let damage = self.damaged();
        damage.written(sectors(start, end - start));
        self.medium[start..end].copy_from_slice(&bytes[..end - start]);
    }

    /// How many sectors the medium has.
    pub(super) fn sectors_on_medium(&self) -> usize {
        self.medium.len().div_ceil(SECTOR_BYTES)
    }

    /// Makes the medium all there is.
    pub(super) fn drop_cache(&mut self) {
        self.cache.clear();
        self.cache.extend_from_slice(&self.medium);
        self.damage = self.damage.take().filter(|damage| !damage.unreadable.is_empty());
        if let Some(damage) = &mut self.damage {
            damage.believed.clone_from(&self.medium);
            damage.strays.clear();
        }
    }

    /// Whether a read of `length` bytes from `offset` meets a sector that cannot be read.
    pub(super) fn fails_to_read(&self, offset: u64, length: usize) -> bool {
        let start = usize::try_from(offset).map_or(self.len(), |offset| offset.min(self.len()));
        self.unreadable_in(start..self.len().min(start.saturating_add(length))).next().is_some()
    }

    /// Whether a write of `length` bytes at `offset` changes a part of a sector that cannot be read: the rest of it
    /// would have to be read for that.
    pub(super) fn fails_to_write(&self, offset: u64, length: usize) -> bool {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        self.fails_to_change(offset..offset.saturating_add(length))
    }

    /// The same for a cut or an extension to `size` bytes.
    pub(super) fn fails_to_resize(&self, size: u64) -> bool {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.fails_to_change(size.min(self.len())..size.max(self.len()))
    }

    fn fails_to_change(&self, bytes: Range<usize>) -> bool {
        if bytes.is_empty() {
            return false;
        }
        // What lies between the end of the file and the first byte becomes zeros.
        let (start, size) = (bytes.start.min(self.len()), self.len());
        self.unreadable_in(start..bytes.end).any(|sector| {
            let (first, last) = (sector * SECTOR_BYTES, size.min((sector + 1) * SECTOR_BYTES));
            start > first || bytes.end < last
        })
    }

    /// Of the sectors that cannot be read, those with any of these bytes. What was written over one of them since is in
    /// the page cache.
    fn unreadable_in(&self, bytes: Range<usize>) -> impl Iterator<Item = usize> {
        let range = match bytes.is_empty() {
            true => 0..0,
            false => sectors(bytes.start, bytes.end - bytes.start),
        };
        let damage = self.damage.as_deref().filter(|damage| !damage.unreadable.is_empty());
        let unreadable = damage.into_iter().flat_map(move |damage| damage.unreadable.range(range.clone()));
        unreadable.copied().filter(|sector| {
            !self.unsynced.iter().any(|change| match *change {
                Change::Write { offset, length } => sectors(offset, length).contains(sector),
                Change::Resize { size } => sector * SECTOR_BYTES >= size,
            })
        })
    }
}

impl Damage {
    /// The fault that leads the change with this number astray.
    pub(super) fn take_stray(&mut self, sequence: u64) -> Option<usize> {
        let place = self.strays.iter().position(|(stray, _)| *stray == sequence)?;
        Some(self.strays.swap_remove(place).1)
    }

    /// These sectors can be read again.
    pub(super) fn written(&mut self, sectors: Range<usize>) {
        for sector in sectors {
            self.unreadable.remove(&sector);
        }
    }

    /// Forgets the unreadable sectors behind `size`.
    pub(super) fn cut(&mut self, size: usize) {
        self.unreadable.retain(|sector| sector * SECTOR_BYTES < size);
    }
}

impl Disk {
    /// Flips `bits` bits in synced data of files whose paths begin with `prefix`, and drops what the page cache has of
    /// their sectors: the next read sees them. Returns how many, which is none where nothing is synced.
    ///
    /// `stream` draws the sectors. Within a sector the bit is a function of a draw and of what is there, so the
    /// same data is damaged in the same way wherever it is.
    pub fn rot(&mut self, prefix: &str, bits: u32, stream: &mut Stream) -> u32 {
        self.at_clean_sectors(prefix, bits, stream, |content, sector, stream| {
            content.rot(sector, stream.next_u64());
            true
        })
    }

    /// Makes `sectors` synced sectors of files whose paths begin with `prefix` unreadable: to read them is an
    /// [`Io`](super::DiskError::Io) error until they are written again, and so is to change a part of one. Returns
    /// how many, which are fewer when the same sector is drawn twice, and none where nothing is synced.
    pub fn spoil(&mut self, prefix: &str, sectors: u32, stream: &mut Stream) -> u32 {
        self.at_clean_sectors(prefix, sectors, stream, |content, sector, _| {
            let spoilt = content.fails_to_read((sector * SECTOR_BYTES) as u64, 1);
            content.spoil(sector);
            !spoilt
        })
    }

    fn at_clean_sectors(
        &mut self,
        prefix: &str,
        count: u32,
        stream: &mut Stream,
        mut happens: impl FnMut(&mut Content, usize, &mut Stream) -> bool,
    ) -> u32 {
        let mut places: Vec<(InodeId, usize)> = Vec::new();
        for file in self.files(prefix) {
            places.extend(self.inodes.content(file).clean_sectors().into_iter().map(|sector| (file, sector)));
        }
        let mut happened = 0;
        for _ in 0..if places.is_empty() { 0 } else { count } {
            let (file, sector) = *stream.pick(&places);
            happened += u32::from(happens(self.inodes.content_mut(file), sector, stream));
        }
        happened
    }

    /// Leads the next `count` writes to files whose paths begin with `prefix` astray: they are acknowledged, and so are
    /// their syncs, and the page cache shows them; the medium does not have them where it should. `stream` draws
    /// where else. Returns a number by which to ask whether they were [struck](Disk::struck).
    pub fn lead_astray(&mut self, prefix: &str, stray: Stray, count: u32, stream: Stream) -> usize {
        self.faults.lead_astray(prefix, stray, count, stream)
    }

    /// Makes the next `count` syncs of files whose paths begin with `prefix` fail, after which what they should have
    /// made durable is taken for clean, as by a kernel that reports such an error once: reads show it, no later sync
    /// writes it, and it is gone when the power fails. Returns a number by which to ask whether any was
    /// [struck](Disk::struck).
    pub fn forget_syncs(&mut self, prefix: &str, count: u32) -> usize {
        self.faults.forget_syncs(prefix, count)
    }

    /// Lets no other write go astray, and no sync be forgotten.
    pub fn call_off(&mut self) {
        self.faults.call_off();
    }

    /// How many writes went astray for the fault with this number, or how many syncs failed that had something to
    /// forget.
    #[must_use]
    pub fn struck(&self, number: usize) -> u32 {
        self.faults.struck(number)
    }

    /// Whether what the fault with this number leads astray lands anywhere.
    #[must_use]
    pub fn lands(&self, number: usize) -> bool {
        self.faults.lands(number)
    }

    /// The process ends, and the disk is as [`Disk::new`] made it. What is armed stays armed.
    pub fn wipe(&mut self) {
        self.process_crash();
        self.inodes = super::inodes::Inodes::new();
        self.names = super::names::NameLog::default();
    }

    /// The files whose paths begin with `prefix`, each once, in the order of the paths.
    fn files(&self, prefix: &str) -> Vec<InodeId> {
        let mut files = Vec::new();
        self.collect_files(super::inodes::ROOT, &mut String::new(), prefix, &mut files);
        files
    }

    fn collect_files(&self, directory: InodeId, path: &mut String, prefix: &str, files: &mut Vec<InodeId>) {
        let Some(directory) = self.inodes.directory(directory) else { return };
        for (name, inode) in &directory.cache {
            let length = path.len();
            path.push_str(name);
            if self.inodes.directory(*inode).is_some() {
                path.push('/');
                // Else no path in it can begin with the prefix.
                if path.starts_with(prefix) || prefix.starts_with(path.as_str()) {
                    self.collect_files(*inode, path, prefix, files);
                }
            } else if path.starts_with(prefix) && !files.contains(inode) {
                files.push(*inode);
            }
            path.truncate(length);
        }
    }

    /// Lets writes that did not land at `from` land where their faults draw.
    pub(super) fn land(&mut self, from: InodeId, strayed: Vec<Strayed>) -> Vec<InodeId> {
        let mut struck = Vec::new();
        for Strayed { fault, home, bytes } in strayed {
            if !self.faults.lands(fault) {
                continue;
            }
            let homes = home..home + bytes.len() / SECTOR_BYTES;
            let mut places: Vec<(InodeId, usize)> = Vec::new();
            for file in self.files(self.faults.prefix(fault)) {
                let there = 0..self.inodes.content(file).sectors_on_medium();
                let others = there.filter(|sector| file != from || !homes.contains(sector));
                places.extend(others.map(|sector| (file, sector)));
            }
            // A disk with nothing else on it has no place to be wrong about.
            if let Some((file, sector)) = self.faults.draw_place(fault, &places) {
                let content = self.inodes.content_mut(file);
                // It does not reach its own place from there.
                let length = match file == from && sector < homes.start {
                    true => bytes.len().min((homes.start - sector) * SECTOR_BYTES),
                    false => bytes.len(),
                };
                content.strike(sector, &bytes[..length]);
                struck.push(file);
            }
        }
        struck
    }
}
