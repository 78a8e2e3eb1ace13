//! Records of the write-ahead log, and their bytes.
//!
//! ```text
//! kind: u8 | length: u32 | check: u16 | payload: `length` bytes | checksum: u32 | end: u8        (little-endian)
//! ```
//!
//! The checksum is CRC-32C over kind, length and payload, and continues that of the record before it, so that a
//! record is valid only behind the very records that it was written behind. A segment begins with the checksum that
//! the one before it ended with.
//!
//! # A torn end and a damaged one
//!
//! Of a write that was never synced, a power failure can leave some sectors as they were: where it should have been, they have
//! nothing but zeros, or the file is too short. A record whose sectors all have something in them was written whole. If
//! it is not valid, it was damaged since, and may have been synced: to take it for a torn end would be to forget what was
//! promised. etcd tells them apart in the same way. So that no part of a whole record is all zeros, kind, check and end are
//! never zero, and neither can a single bit make them so; and `check`, of kind and length, says whether the length can be
//! believed that says where the record ends.

use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState};
use vertebra_sim::disk::SECTOR_BYTES;

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The checksum at the end of the segment before.
    Checksum(u32),
    /// Whose log this is.
    Metadata {
        /// The member.
        member: u64,
    },
    /// An entry; it replaces what the log had from its index on.
    Entry(Entry),
    /// Term, vote and commit.
    HardState(HardState),
    /// There is a snapshot file of the state at this index.
    Snapshot {
        /// Index of the last entry in it.
        index: u64,
        /// Term of that entry.
        term: u64,
        /// Whether it came from the leader. Then it replaces all entries before this record, also those with a
        /// greater index, which conflict with it.
        installed: bool,
        /// The configuration at that index.
        conf_state: ConfState,
    },
}

const HEAD_BYTES: usize = 7;

const TAIL_BYTES: usize = 5;

/// The last byte of each record.
const END: u8 = 0xa5;

/// Longest payload that is believed: more is damage, not a record.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

const CHECKSUM: u8 = 0xc1;
const METADATA: u8 = 0xc2;
const ENTRY: u8 = 0xc3;
const HARD_STATE: u8 = 0xc4;
const SNAPSHOT: u8 = 0xc5;

/// Turns records into bytes.
#[derive(Debug)]
pub struct Encoder {
    checksum: u32,
    bytes: Vec<u8>,
}

impl Encoder {
    /// An encoder that continues after a record with this checksum.
    #[must_use]
    pub fn new(checksum: u32) -> Self {
        Self { checksum, bytes: Vec::with_capacity(1024) }
    }

    /// The bytes since the last [`clear`](Self::clear).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the bytes, which were written, and keeps the checksum.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The checksum that the next segment begins with.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The checksum that a segment continues.
    pub fn put_checksum(&mut self) {
        let checksum = self.checksum;
        self.put(CHECKSUM, |bytes| bytes.extend_from_slice(&checksum.to_le_bytes()));
    }

    /// Whose log it is.
    pub fn put_metadata(&mut self, member: u64) {
        self.put(METADATA, |bytes| bytes.extend_from_slice(&member.to_le_bytes()));
    }

    /// An entry of the log.
    pub fn put_entry(&mut self, entry: &Entry) {
        self.put(ENTRY, |bytes| {
            bytes.extend_from_slice(&entry.index.to_le_bytes());
            bytes.extend_from_slice(&entry.term.to_le_bytes());
            bytes.push(entry.entry_type as u8);
            bytes.extend_from_slice(&entry.data);
        });
    }

    /// Term, vote and commit.
    pub fn put_hard_state(&mut self, state: &HardState) {
        self.put(HARD_STATE, |bytes| {
            for field in [state.term, state.vote, state.commit] {
                bytes.extend_from_slice(&field.to_le_bytes());
            }
        });
    }

    /// A snapshot file that exists.
    ///
    /// # Panics
    ///
    /// If the configuration cannot be encoded, which is so for none that Raft makes.
    pub fn put_snapshot(&mut self, index: u64, term: u64, installed: bool, conf_state: &ConfState) {
        let conf_state = conf_state.write_to_bytes().expect("a configuration can be encoded");
        self.put(SNAPSHOT, |bytes| {
            bytes.extend_from_slice(&index.to_le_bytes());
            bytes.extend_from_slice(&term.to_le_bytes());
            bytes.push(u8::from(installed));
            bytes.extend_from_slice(&conf_state);
        });
    }

    fn put(&mut self, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD_BYTES]);
        payload(&mut self.bytes);
        let length = (self.bytes.len() - start - HEAD_BYTES) as u32;
        let head = head(kind, length);
        self.bytes[start..start + HEAD_BYTES].copy_from_slice(&head);
        self.checksum = checksum(self.checksum, &head, &self.bytes[start + HEAD_BYTES..]);
        self.bytes.extend_from_slice(&self.checksum.to_le_bytes());
        self.bytes.push(END);
    }
}

/// How a record begins.
fn head(kind: u8, length: u32) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[0] = kind;
    head[1..5].copy_from_slice(&length.to_le_bytes());
    let check = crc32c::crc32c(&head[..5]) as u16 | 0xc000;
    head[5..].copy_from_slice(&check.to_le_bytes());
    head
}

/// The kind of a record and the length of its payload, from how it begins.
fn read_head(bytes: &[u8]) -> Option<(u8, usize)> {
    let found: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
    let length: u32 = number(found, 1)?;
    let is_valid = *found == head(found[0], length);
    let size = usize::try_from(length).ok().filter(|size| is_valid && *size <= PAYLOAD_BYTES_MAX)?;
    Some((found[0], size))
}

fn checksum(before: u32, head: &[u8; HEAD_BYTES], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(before, &head[..5]), payload)
}

/// Reads records from the bytes of a segment, up to the first that is not valid.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
    checksum: u32,
}

impl<'a> Decoder<'a> {
    /// Reads `bytes`, which continue after a record with this checksum.
    #[must_use]
    pub fn new(bytes: &'a [u8], checksum: u32) -> Self {
        Self { bytes, offset: 0, checksum }
    }

    /// Where the next record begins: everything before it is valid.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The checksum of the last record.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Starts over from the checksum that a segment says it continues, as the first segment that is left does.
    #[must_use]
    pub fn first_checksum(bytes: &[u8]) -> Option<u32> {
        let (kind, _) = read_head(bytes)?;
        (kind == CHECKSUM).then(|| number(&bytes[HEAD_BYTES..], 0).map(|number: u32| number))?
    }

    /// The next record; `None` at the end and at the first record that is not valid.
    pub fn next_record(&mut self) -> Option<Record> {
        let rest = &self.bytes[self.offset..];
        let (kind, size) = read_head(rest)?;
        let payload = rest.get(HEAD_BYTES..HEAD_BYTES + size)?;
        let tail = rest.get(HEAD_BYTES + size..HEAD_BYTES + size + TAIL_BYTES)?;
        let expected: u32 = number(tail, 0)?;
        let found = checksum(self.checksum, rest.first_chunk()?, payload);
        if found != expected || tail[4] != END {
            return None;
        }
        let record = decode(kind, payload)?;
        self.offset += HEAD_BYTES + size + TAIL_BYTES;
        self.checksum = found;
        Some(record)
    }

    /// Whether a record that was written whole is where the next one should begin, and is not valid. Otherwise nothing is
    /// there, or what was left of a write that was never synced.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let rest = &self.bytes[self.offset..];
        // The size of a file is never damaged: what is too short was never there.
        let Some(head) = rest.get(..HEAD_BYTES).filter(|head| !self.was_lost(head)) else { return false };
        let Some((_, size)) = read_head(head) else { return true };
        rest.get(..HEAD_BYTES + size + TAIL_BYTES).is_some_and(|record| !self.was_lost(record))
    }

    /// Whether one of the sectors of a record, which begins here, has nothing of it.
    fn was_lost(&self, mut record: &[u8]) -> bool {
        let mut room = SECTOR_BYTES - self.offset % SECTOR_BYTES;
        while !record.is_empty() {
            let (part, rest) = record.split_at(room.min(record.len()));
            if part.iter().all(|byte| *byte == 0) {
                return true;
            }
            (record, room) = (rest, SECTOR_BYTES);
        }
        false
    }
}

fn decode(kind: u8, payload: &[u8]) -> Option<Record> {
    Some(match kind {
        CHECKSUM => Record::Checksum(number(payload, 0)?),
        METADATA => Record::Metadata { member: number(payload, 0)? },
        ENTRY => {
            let mut entry = Entry::new();
            entry.index = number(payload, 0)?;
            entry.term = number(payload, 8)?;
            entry.entry_type = protobuf::ProtobufEnum::from_i32(i32::from(*payload.get(16)?))?;
            entry.data = bytes::Bytes::copy_from_slice(&payload[17..]);
            debug_assert!(entry.is_initialized());
            Record::Entry(entry)
        }
        HARD_STATE => {
            let mut state = HardState::new();
            state.term = number(payload, 0)?;
            state.vote = number(payload, 8)?;
            state.commit = number(payload, 16)?;
            Record::HardState(state)
        }
        SNAPSHOT => Record::Snapshot {
            index: number(payload, 0)?,
            term: number(payload, 8)?,
            installed: *payload.get(16)? != 0,
            conf_state: protobuf::Message::parse_from_bytes(payload.get(17..)?).ok()?,
        },
        _ => return None,
    })
}

/// A little-endian number at `offset`, when there are bytes for it.
fn number<T: Number>(bytes: &[u8], offset: usize) -> Option<T> {
    T::read(bytes.get(offset..)?)
}

trait Number: Sized {
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl Number for u32 {
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self::from_le_bytes(*bytes))
    }
}

impl Number for u64 {
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let mut entry = Entry::new();
        (entry.index, entry.term, entry.data) = (7, 3, bytes::Bytes::from_static(b"value"));
        let mut state = HardState::new();
        (state.term, state.vote, state.commit) = (3, 2, 6);
        vec![
            Record::Checksum(9),
            Record::Metadata { member: 1 },
            Record::Entry(entry),
            Record::HardState(state),
            Record::Snapshot {
                index: 5,
                term: 2,
                installed: true,
                conf_state: ConfState::from((vec![1, 2], vec![3])),
            },
        ]
    }

    fn encoded() -> Encoder {
        let mut encoder = Encoder::new(9);
        for record in records() {
            match record {
                Record::Checksum(_) => encoder.put_checksum(),
                Record::Metadata { member } => encoder.put_metadata(member),
                Record::Entry(entry) => encoder.put_entry(&entry),
                Record::HardState(state) => encoder.put_hard_state(&state),
                Record::Snapshot { index, term, installed, conf_state } => {
                    encoder.put_snapshot(index, term, installed, &conf_state);
                }
            }
        }
        encoder
    }

    #[test]
    fn records_are_read_back_as_they_were_written() {
        let encoder = encoded();
        let mut decoder = Decoder::new(encoder.bytes(), 9);
        let read: Vec<_> = std::iter::from_fn(|| decoder.next_record()).collect();
        assert_eq!(read, records());
        assert_eq!(decoder.offset(), encoder.bytes().len());
        assert_eq!(decoder.checksum(), encoder.checksum());
        assert_eq!(Decoder::first_checksum(encoder.bytes()), Some(9));
    }

    #[test]
    fn a_flipped_bit_anywhere_ends_the_log_before_its_record() {
        let encoder = encoded();
        let mut starts = vec![0];
        let mut decoder = Decoder::new(encoder.bytes(), 9);
        while decoder.next_record().is_some() {
            starts.push(decoder.offset());
        }
        for bit in 0..encoder.bytes().len() * 8 {
            let mut damaged = encoder.bytes().to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::new(&damaged, 9);
            while decoder.next_record().is_some() {}
            let record = starts.iter().rposition(|start| *start <= bit / 8).unwrap_or(0);
            assert_eq!(decoder.offset(), starts[record], "bit {bit}");
            assert!(decoder.is_damaged(), "bit {bit}");
        }
    }

    #[test]
    fn a_log_cut_anywhere_is_read_up_to_the_last_whole_record() {
        let encoder = encoded();
        for length in 0..encoder.bytes().len() {
            let mut decoder = Decoder::new(&encoder.bytes()[..length], 9);
            while decoder.next_record().is_some() {}
            assert!(decoder.offset() <= length && !decoder.is_damaged());
        }
    }

    /// Wherever the sectors of the file begin.
    #[test]
    fn a_record_whose_sector_was_never_written_is_no_damage() {
        let mut encoder = Encoder::new(9);
        let mut entry = Entry::new();
        (entry.index, entry.term, entry.data) = (7, 3, bytes::Bytes::from(vec![7; 1_500]));
        let mut first = Vec::new();
        while first.len() < SECTOR_BYTES {
            encoder.put_checksum();
            first.extend_from_slice(encoder.bytes());
            encoder.clear();
            let mut whole = first.clone();
            let mut last = Encoder::new(encoder.checksum());
            last.put_entry(&entry);
            whole.extend_from_slice(last.bytes());
            for sector in first.len() / SECTOR_BYTES..whole.len().div_ceil(SECTOR_BYTES) {
                let mut torn = whole.clone();
                let start = first.len().max(sector * SECTOR_BYTES);
                let end = torn.len().min((sector + 1) * SECTOR_BYTES);
                torn[start..end].fill(0);
                let mut decoder = Decoder::new(&torn, 9);
                while decoder.next_record().is_some() {}
                assert!(decoder.offset() == first.len() && !decoder.is_damaged(), "sector {sector}");
            }
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(Decoder::new(&[0; 64], 0).next_record(), None);
    }
}
