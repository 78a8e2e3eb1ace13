//! Records of the write-ahead log, and their bytes.
//!
//! ```text
//! length: u32 | checksum: u32 | kind: u8 | payload: `length` bytes        (little-endian)
//! ```
//!
//! The checksum is CRC-32C over length, kind and payload, and continues that of the record before it, so that a
//! record is valid only behind the very records that it was written behind. A segment begins with the checksum that
//! the one before it ended with.

use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState};

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

const HEADER_BYTES: usize = 9;

/// Longest payload that is believed: more is damage, not a record.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

const CHECKSUM: u8 = 1;
const METADATA: u8 = 2;
const ENTRY: u8 = 3;
const HARD_STATE: u8 = 4;
const SNAPSHOT: u8 = 5;

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
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        self.bytes[start + 8] = kind;
        payload(&mut self.bytes);
        let length = (self.bytes.len() - start - HEADER_BYTES) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.checksum = checksum(self.checksum, length, &self.bytes[start + 8..]);
        self.bytes[start + 4..start + 8].copy_from_slice(&self.checksum.to_le_bytes());
    }
}

fn checksum(before: u32, length: u32, kind_and_payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(before, &length.to_le_bytes()), kind_and_payload)
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
        let header = bytes.get(..HEADER_BYTES)?;
        (header[8] == CHECKSUM).then(|| number(&bytes[HEADER_BYTES..], 0).map(|number: u32| number))?
    }

    /// The next record; `None` at the end and at the first record that is not valid.
    pub fn next_record(&mut self) -> Option<Record> {
        let rest = &self.bytes[self.offset..];
        let length: u32 = number(rest, 0)?;
        let expected: u32 = number(rest, 4)?;
        let size = usize::try_from(length).ok().filter(|size| *size <= PAYLOAD_BYTES_MAX)?;
        let kind_and_payload = rest.get(8..HEADER_BYTES + size)?;
        let found = checksum(self.checksum, length, kind_and_payload);
        if found != expected {
            return None;
        }
        let record = decode(kind_and_payload[0], &kind_and_payload[1..])?;
        self.offset += HEADER_BYTES + size;
        self.checksum = found;
        Some(record)
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
        }
    }

    #[test]
    fn a_log_cut_anywhere_is_read_up_to_the_last_whole_record() {
        let encoder = encoded();
        for length in 0..encoder.bytes().len() {
            let mut decoder = Decoder::new(&encoder.bytes()[..length], 9);
            while decoder.next_record().is_some() {}
            assert!(decoder.offset() <= length);
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(Decoder::new(&[0; 64], 0).next_record(), None);
    }
}
