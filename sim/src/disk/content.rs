//! The content of one file: what the process sees, what is on the medium, and the changes between the two.

use super::SECTOR_BYTES;
use super::mood::{Fate, Mood, Tally};
use crate::random::Stream;

/// One unsynced change. The bytes of writes stand in [`Content::unsynced_bytes`], in the same order.
#[derive(Clone, Copy, Debug)]
enum Change {
    Write { offset: usize, length: usize },
    Resize { size: usize },
}

/// The content of one file.
///
/// The medium is an image of its own, and not something computed from the page cache, so that faults of the medium
/// (a bit that rots, a write that goes astray) have a place to be that the page cache does not show.
#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    cache: Vec<u8>,
    medium: Vec<u8>,
    unsynced: Vec<Change>,
    unsynced_bytes: Vec<u8>,
    /// How many changes have ever been synced, which makes a mark of [`Content::mark`] good for ever.
    synced: u64,
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

    /// Brings every change before `mark` to the medium.
    pub(super) fn persist(&mut self, mark: u64) {
        let covered = (mark.saturating_sub(self.synced) as usize).min(self.unsynced.len());
        let mut bytes = 0;
        for change in &self.unsynced[..covered] {
            match *change {
                Change::Write { offset, length } => {
                    overlay(&mut self.medium, offset, &self.unsynced_bytes[bytes..bytes + length]);
                    bytes += length;
                }
                Change::Resize { size } => self.medium.resize(size, 0),
            }
        }
        self.synced += covered as u64;
        if covered == self.unsynced.len() {
            self.unsynced.clear();
            self.unsynced_bytes.clear();
        } else {
            self.unsynced.drain(..covered);
            self.unsynced_bytes.drain(..bytes);
        }
    }

    /// Loses, keeps and tears the unsynced changes; what is left is on the medium and in the page cache.
    pub(super) fn lose_power(&mut self, mood: Mood, stream: &mut Stream, tally: &mut Tally) {
        if self.unsynced.is_empty() {
            return;
        }
        let remains = self.draw_remains(mood, stream, tally);
        // The inode is written as a whole: with one size, all changes of the size before it have happened.
        let sized = remains.iter().rposition(|remains| remains.size.is_some());
        let size = sized.and_then(|index| remains[index].size).unwrap_or(self.medium.len());

        let mut image = self.medium.clone();
        let history = &mut self.medium;
        let mut bytes = &self.unsynced_bytes[..];
        for (index, (change, remains)) in self.unsynced.iter().zip(&remains).enumerate() {
            match *change {
                Change::Resize { size } => {
                    history.resize(size, 0);
                    if sized.is_some_and(|sized| index <= sized) {
                        image.truncate(size);
                    }
                }
                Change::Write { offset, length } => {
                    let (written, rest) = bytes.split_at(length);
                    bytes = rest;
                    overlay(history, offset, written);
                    for (position, sector) in sectors(offset, length).enumerate() {
                        if remains.sectors.contains(position, stream) {
                            copy_sector(history, &mut image, sector);
                        }
                    }
                }
            }
        }
        image.resize(size, 0);
        self.cache.clear();
        self.cache.extend_from_slice(&image);
        self.medium = image;
        self.synced += self.unsynced.len() as u64;
        self.unsynced.clear();
        self.unsynced_bytes.clear();
    }

    fn draw_remains(&self, mood: Mood, stream: &mut Stream, tally: &mut Tally) -> Vec<Remains> {
        let fates = mood.fates(self.unsynced.len(), stream);
        let mut size = self.medium.len();
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
fn sectors(offset: usize, length: usize) -> std::ops::Range<usize> {
    offset / SECTOR_BYTES..(offset + length).div_ceil(SECTOR_BYTES)
}

/// Puts `bytes` into `image` at `offset`; what lies between its end and `offset` becomes zeros.
fn overlay(image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if offset == image.len() {
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
fn copy_sector(history: &[u8], image: &mut Vec<u8>, sector: usize) {
    let start = sector * SECTOR_BYTES;
    let end = start + SECTOR_BYTES;
    if image.len() < end {
        image.resize(end, 0);
    }
    let there = history.len().min(end);
    image[start..there].copy_from_slice(&history[start..there]);
    image[there..end].fill(0);
}
