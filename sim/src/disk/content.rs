//! The content of one file: what the process sees, what is on the medium, and the changes between the two.

use super::SECTOR_BYTES;
use super::damage::{Damage, Strayed};
use super::mood::{Fate, Mood, Tally};
use crate::random::Stream;

/// One unsynced change. The bytes of writes stand in [`Content::unsynced_bytes`], in the same order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Write { offset: usize, length: usize },
    Resize { size: usize },
}

/// The content of one file.
///
/// The medium is an image of its own, and not something computed from the page cache, so that faults of the medium
/// (a bit that rots, a write that goes astray) have a place to be that the page cache does not show.
#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    pub(super) cache: Vec<u8>,
    pub(super) medium: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
    pub(super) unsynced_bytes: Vec<u8>,
    /// How many changes have ever been synced, which makes a mark of [`Content::mark`] good for ever.
    pub(super) synced: u64,
    /// Where the medium is not what it should be; nothing for most files, and for most runs.
    pub(super) damage: Option<Box<Damage>>,
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Fills `buffer` from `offset` on and returns how many bytes there were.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let start = usize::try_from(offset).map_or(self.cache.len(), |offset| offset.min(self.cache.len()));
        let rest = &self.cache[start..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        length
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        overlay(&mut self.cache, offset, bytes);
        self.unsynced_bytes.extend_from_slice(bytes);
        self.unsynced.push(Change::Write { offset, length: bytes.len() });
    }

    pub(super) fn resize(&mut self, size: usize) {
        if size == self.cache.len() {
            return;
        }
        self.cache.resize(size, 0);
        self.unsynced.push(Change::Resize { size });
    }

    /// Stands for "every change until now".
    pub(super) fn mark(&self) -> u64 {
        self.synced + self.unsynced.len() as u64
    }

    /// How many of the unsynced changes came before `mark`.
    pub(super) fn covered(&self, mark: u64) -> usize {
        (mark.saturating_sub(self.synced) as usize).min(self.unsynced.len())
    }

    /// Brings every change before `mark` to the medium; what does not land there is added to `strayed`.
    pub(super) fn persist(&mut self, mark: u64, strayed: &mut Vec<Strayed>) {
        let covered = self.covered(mark);
        let mut bytes = 0;
        if let Some(mut damage) = self.damage.take() {
            self.persist_damaged(covered, &mut damage, strayed);
            self.damage = Some(damage);
            let written = |change: &Change| match *change {
                Change::Write { length, .. } => length,
                Change::Resize { .. } => 0,
            };
            bytes = self.unsynced[..covered].iter().map(written).sum();
        } else {
            for change in &self.unsynced[..covered] {
                match *change {
                    Change::Write { offset, length } => {
                        overlay(&mut self.medium, offset, &self.unsynced_bytes[bytes..bytes + length]);
                        bytes += length;
                    }
                    Change::Resize { size } => self.medium.resize(size, 0),
                }
            }
        }
        self.drop_covered(covered, bytes);
    }

    /// Takes the first `covered` changes, whose writes have so many `bytes`, for synced.
    pub(super) fn drop_covered(&mut self, covered: usize, bytes: usize) {
        self.synced += covered as u64;
        if covered == self.unsynced.len() {
            self.unsynced.clear();
            self.unsynced_bytes.clear();
        } else {
            self.unsynced.drain(..covered);
            self.unsynced_bytes.drain(..bytes);
        }
    }

    /// A sync failed, and the page cache has dropped what it should have written: of every change before `mark` only
    /// the size of the file is left, with zeros or what was there before.
    pub(super) fn lose(&mut self, mark: u64) {
        let covered = self.covered(mark);
        let mut image = self.damage.as_ref().map_or(&self.medium, |damage| &damage.believed).clone();
        let (mut size, mut bytes) = (image.len(), 0);
        for (sequence, change) in (self.synced..).zip(&self.unsynced[..covered]) {
            match *change {
                Change::Resize { size: after } => size = after,
                Change::Write { offset, length } => {
                    size = size.max(offset + length);
                    bytes += length;
                    if let Some(damage) = &mut self.damage {
                        damage.take_stray(sequence);
                    }
                }
            }
        }
        let is_resized = size != image.len();
        self.drop_covered(covered, bytes);
        if is_resized {
            // In the place of the last one that was covered: marks stay what they are.
            self.synced -= 1;
            self.unsynced.insert(0, Change::Resize { size });
        }
        let mut bytes = &self.unsynced_bytes[..];
        for change in &self.unsynced {
            match *change {
                Change::Resize { size } => image.resize(size, 0),
                Change::Write { offset, length } => {
                    let (written, rest) = bytes.split_at(length);
                    bytes = rest;
                    overlay(&mut image, offset, written);
                }
            }
        }
        self.cache = image;
    }

    /// Loses, keeps and tears the unsynced changes; what is left is on the medium and in the page cache. What was to
    /// survive and does not land where it should is added to `strayed`.
    pub(super) fn lose_power(
        &mut self,
        mood: Mood,
        stream: &mut Stream,
        tally: &mut Tally,
        strayed: &mut Vec<Strayed>,
    ) {
        if self.unsynced.is_empty() {
            if self.damage.is_some() {
                self.drop_cache();
            }
            return;
        }
        let remains = self.draw_remains(mood, stream, tally);
        // The inode is written as a whole: with one size, all changes of the size before it have happened.
        let sized = remains.iter().rposition(|remains| remains.size.is_some());
        let size = sized.and_then(|index| remains[index].size).unwrap_or(self.medium.len());

        let mut damage = self.damage.take();
        let mut image = self.medium.clone();
        let mut history = match &mut damage {
            Some(damage) => std::mem::take(&mut damage.believed),
            None => std::mem::take(&mut self.medium),
        };
        let mut bytes = &self.unsynced_bytes[..];
        for ((index, change), remains) in (0..).zip(&self.unsynced).zip(&remains) {
            match *change {
                Change::Resize { size } => {
                    history.resize(size, 0);
                    if sized.is_some_and(|sized| index <= sized) {
                        image.truncate(size);
                        damage.iter_mut().for_each(|damage| damage.cut(size));
                    }
                }
                Change::Write { offset, length } => {
                    let (written, rest) = bytes.split_at(length);
                    bytes = rest;
                    overlay(&mut history, offset, written);
                    let stray =
                        damage.as_mut().and_then(|damage| damage.take_stray(self.synced + index as u64));
                    if let Some(fault) = stray {
                        if !matches!(remains.sectors, Sectors::None) {
                            strayed.push(Strayed::new(&history, offset, length, fault));
                        }
                        continue;
                    }
                    for (position, sector) in sectors(offset, length).enumerate() {
                        if remains.sectors.contains(position, stream) {
                            copy_sector(&history, &mut image, sector);
                            damage.iter_mut().for_each(|damage| damage.written(sector..sector + 1));
                        }
                    }
                }
            }
        }
        image.resize(size, 0);
        damage.iter_mut().for_each(|damage| damage.cut(size));
        self.damage = damage;
        self.medium = image;
        self.synced += self.unsynced.len() as u64;
        self.unsynced.clear();
        self.unsynced_bytes.clear();
        self.drop_cache();
    }

    fn draw_remains(&self, mood: Mood, stream: &mut Stream, tally: &mut Tally) -> Vec<Remains> {
        let fates = mood.fates(self.unsynced.len(), stream);
        let mut size = self.damage.as_ref().map_or(self.medium.len(), |damage| damage.believed.len());
        let draw = |(change, fate): (&Change, Fate)| {
            let before = size;
            let (fate, remains) = match *change {
                Change::Resize { size: after } => {
                    size = after;
                    match fate.survives_whole(stream) {
                        true => (Fate::Kept, Remains { size: Some(after), sectors: Sectors::None }),
                        false => (Fate::Lost, Remains::NOTHING),
                    }
                }
                Change::Write { offset, length } => {
                    size = size.max(offset + length);
                    Remains::of_write(offset, length, before, fate, stream)
                }
            };
            match fate {
                Fate::Lost => tally.lost += 1,
                Fate::Kept => tally.kept += 1,
                Fate::Torn => tally.torn += 1,
            }
            remains
        };
        self.unsynced.iter().zip(fates).map(draw).collect()
    }
}

/// What is left of one unsynced change.
struct Remains {
    /// The size of the file after it, if the change of the size is left.
    size: Option<usize>,
    /// Which sectors of those it wrote to.
    sectors: Sectors,
}

enum Sectors {
    None,
    All,
    First(usize),
    Scattered,
}

impl Sectors {
    fn contains(&self, position: usize, stream: &mut Stream) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::First(count) => position < *count,
            Self::Scattered => stream.below(2) == 1,
        }
    }
}

impl Remains {
    const NOTHING: Self = Self { size: None, sectors: Sectors::None };

    /// What is left of a write to a file of `before` bytes, and the fate that this amounts to: what is too small to
    /// be torn is lost or kept.
    fn of_write(
        offset: usize,
        length: usize,
        before: usize,
        fate: Fate,
        stream: &mut Stream,
    ) -> (Fate, Self) {
        let end = offset + length;
        let grown = (end > before).then_some(end);
        let count = sectors(offset, length).len();
        let fate = match fate {
            Fate::Torn if count == 1 && grown.is_none() => match fate.survives_whole(stream) {
                true => Fate::Kept,
                false => Fate::Lost,
            },
            fate => fate,
        };
        let remains = match fate {
            Fate::Lost => Self::NOTHING,
            Fate::Kept => Self { size: grown, sectors: Sectors::All },
            Fate::Torn if count == 1 => match stream.below(2) {
                0 => Self { size: grown, sectors: Sectors::None },
                _ => Self { size: None, sectors: Sectors::All },
            },
            Fate::Torn => {
                let first = stream.between(1, count as u64 - 1) as usize;
                let border = (offset / SECTOR_BYTES + first) * SECTOR_BYTES;
                let size = match stream.below(3) {
                    0 => None,
                    1 => (border > before).then_some(border),
                    _ => grown,
                };
                let sectors = match stream.below(2) {
                    0 => Sectors::First(first),
                    _ => Sectors::Scattered,
                };
                Self { size, sectors }
            }
        };
        (fate, remains)
    }
}

/// The sectors of the file that hold the `length` bytes from `offset` on.
pub(super) fn sectors(offset: usize, length: usize) -> std::ops::Range<usize> {
    offset / SECTOR_BYTES..(offset + length).div_ceil(SECTOR_BYTES)
}

/// Bytes of room that a file is given at least when it has none left.
const GROWTH_MIN: usize = 2 << 10;

/// Puts `bytes` into `image` at `offset`; what lies between its end and `offset` becomes zeros.
pub(super) fn overlay(image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if offset == image.len() {
        if image.capacity() - offset < bytes.len() {
            // Files grow by many small writes, and each time there is no room left, all of it is moved.
            image.reserve(bytes.len().max(GROWTH_MIN));
        }
        image.extend_from_slice(bytes);
        return;
    }
    let end = offset + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(bytes);
}

/// Writes `sector` of `image` as `history` has it: whole, so zeros follow where `history` ends.
pub(super) fn copy_sector(history: &[u8], image: &mut Vec<u8>, sector: usize) {
    let start = sector * SECTOR_BYTES;
    let end = start + SECTOR_BYTES;
    if image.len() < end {
        image.resize(end, 0);
    }
    let there = history.len().min(end);
    image[start..there].copy_from_slice(&history[start..there]);
    image[there..end].fill(0);
}
