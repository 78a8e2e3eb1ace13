//! A whole store as bytes, history included.
//!
//! ```text
//! magic  8 bytes, with the number of the format in the last
//! revision, compact revision      varints (the latter plus one)
//! state hash                      8 bytes, little endian
//! number of records               varint
//! records, in order               below
//! xxh3-64 of all before it        8 bytes, little endian
//! ```
//!
//! A record is varints, with keys and values behind their length: revision (main as the distance from the record
//! before, sub doubled, plus 1 for a tombstone), key, and for a put how long before it the generation was created,
//! version, lease and value. The index is not in it: as in etcd, the records say all that it knows.

use bytes::{Buf, Bytes};
use prost::encoding::decode_varint;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::api::KeyValue;

use super::index::Index;
use super::key_index::{Found, KeyIndex};
use super::records::{Record, Records};
use super::revision::Revision;
use super::store::Store;
use super::txn::tombstone;

const MAGIC: &[u8; 8] = b"vtbmvcc\x01";
const CHECKSUM_BYTES: usize = 8;
const VARINT_BYTES_MAX: usize = 10;
/// No record is shorter: two varints of its revision, a key without bytes.
const RECORD_BYTES_MIN: usize = 3;

/// Why bytes are not a snapshot of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// They do not begin as a snapshot does.
    #[error("the bytes are no snapshot of a store, or of another format")]
    Format,
    /// They are not those that were written.
    #[error(
        "the snapshot is damaged: its checksum is {found:016x}, and that of its bytes is {computed:016x}"
    )]
    Checksum {
        /// What stands at the end of the bytes.
        found: u64,
        /// What should stand there.
        computed: u64,
    },
    /// The checksum is right, and yet no store can have written them.
    #[error("the snapshot contradicts itself: {0}")]
    Inconsistent(&'static str),
}

use SnapshotError::Inconsistent;

impl Store {
    /// The whole store as bytes.
    #[must_use]
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let records = self.records.all();
        let mut bytes = Vec::with_capacity(64 + 48 * records.len());
        bytes.extend_from_slice(MAGIC);
        encode_numbers([self.revision as u64, (self.compact_revision + 1) as u64], &mut bytes);
        bytes.extend_from_slice(&self.records.hash().to_le_bytes());
        encode_numbers([records.len() as u64], &mut bytes);
        let mut last = 0;
        for Record { revision, tombstone, kv } in records {
            let (main, sub) = (revision.main - last, (revision.sub as u64) << 1 | u64::from(*tombstone));
            encode_numbers([main as u64, sub, kv.key.len() as u64], &mut bytes);
            bytes.extend_from_slice(&kv.key);
            if !tombstone {
                let (age, value_bytes) = (revision.main - kv.create_revision, kv.value.len());
                encode_numbers(
                    [age as u64, kv.version as u64, kv.lease as u64, value_bytes as u64],
                    &mut bytes,
                );
                bytes.extend_from_slice(&kv.value);
            }
            last = revision.main;
        }
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The store that `encode_snapshot` wrote: equal to it in every read, present and past, and in its hash.
    ///
    /// Its keys and values share one copy of `snapshot`.
    ///
    /// # Errors
    ///
    /// If the bytes are damaged, whichever way.
    pub fn from_snapshot(snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let Some((body, checksum)) = snapshot.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(SnapshotError::Format);
        };
        if !body.starts_with(MAGIC) {
            return Err(SnapshotError::Format);
        }
        let (found, computed) = (u64::from_le_bytes(*checksum), xxh3_64(body));
        if found != computed {
            return Err(SnapshotError::Checksum { found, computed });
        }
        let mut bytes = Bytes::copy_from_slice(&body[MAGIC.len()..]);
        let revision = decode_number(&mut bytes)?;
        let compact_revision = decode_number(&mut bytes)? - 1;
        if revision < 1 || compact_revision > revision {
            return Err(Inconsistent("the revisions in its head"));
        }
        let hash = bytes.try_get_u64_le().map_err(|_| Inconsistent("it ends early"))?;
        let count = usize::try_from(decode_number(&mut bytes)?).unwrap_or(usize::MAX);
        if count > bytes.len() / RECORD_BYTES_MIN {
            return Err(Inconsistent("it has fewer records than it says"));
        }

        let mut records = Records::with_capacity(count);
        let mut index = Index::default();
        let mut last = Revision { main: 1, sub: i64::MAX };
        let mut main = 0;
        for _ in 0..count {
            let record = decode_record(&mut bytes, main)?;
            if record.revision <= last || record.revision.main > revision {
                return Err(Inconsistent("the order of its revisions"));
            }
            last = record.revision;
            main = last.main;
            restore(&mut index, &record, compact_revision)?;
            records.append(record);
        }
        if bytes.has_remaining() {
            return Err(Inconsistent("it has more bytes than records"));
        }
        // Of a compacted store the hash covers records that are gone, so it cannot be computed again.
        if compact_revision < 0 && (records.hash(), last.main) != (hash, revision) {
            return Err(Inconsistent("its head and its records"));
        }
        records.continue_from(hash);
        Ok(Self { index, records, revision, compact_revision })
    }
}

/// Appends varints. They are gathered first: a vector asks for room at each byte that it is given alone, and a
/// snapshot is taken of every record there ever was.
fn encode_numbers<const COUNT: usize>(numbers: [u64; COUNT], bytes: &mut Vec<u8>) {
    let mut gathered = [[0; VARINT_BYTES_MAX]; COUNT];
    let gathered = gathered.as_flattened_mut();
    let mut length = 0;
    for mut number in numbers {
        while number > 0x7f {
            gathered[length] = number as u8 | 0x80;
            number >>= 7;
            length += 1;
        }
        gathered[length] = number as u8;
        length += 1;
    }
    bytes.extend_from_slice(&gathered[..length]);
}

fn decode_number(bytes: &mut Bytes) -> Result<i64, SnapshotError> {
    let number = decode_varint(bytes).map_err(|_| Inconsistent("a number in it"))?;
    i64::try_from(number).map_err(|_| Inconsistent("a number in it is too large"))
}

fn decode_bytes(bytes: &mut Bytes) -> Result<Bytes, SnapshotError> {
    match usize::try_from(decode_number(bytes)?) {
        Ok(length) if length <= bytes.len() => Ok(bytes.split_to(length)),
        _ => Err(Inconsistent("the length of a key or a value")),
    }
}

/// The next record; `last` is the revision of the one before.
fn decode_record(bytes: &mut Bytes, last: i64) -> Result<Record, SnapshotError> {
    let main = last.checked_add(decode_number(bytes)?).ok_or(Inconsistent("a number in it is too large"))?;
    let sub = decode_number(bytes)?;
    let revision = Revision { main, sub: sub >> 1 };
    let key = decode_bytes(bytes)?;
    if sub & 1 == 1 {
        return Ok(tombstone(key, revision));
    }
    let create_revision = main - decode_number(bytes)?;
    let version = decode_number(bytes)?;
    // A lease is any 64 bits.
    let lease = decode_varint(bytes).map_err(|_| Inconsistent("a number in it"))? as i64;
    let value = decode_bytes(bytes)?;
    let kv = KeyValue { key, create_revision, mod_revision: main, version, value, lease };
    Ok(Record { revision, tombstone: false, kv })
}

/// Adds what `record` says to the index.
///
/// The first that is known of a key may be a later version, or its tombstone, if what came before is compacted.
fn restore(index: &mut Index, record: &Record, compact_revision: i64) -> Result<(), SnapshotError> {
    let Record { revision, tombstone, kv } = record;
    let Some(life) = index.get_mut(&kv.key) else {
        let fresh = !tombstone && kv.version == 1 && kv.create_revision == revision.main;
        let later = *tombstone || (kv.version > 1 && kv.create_revision > 0);
        if !(fresh || later && revision.main <= compact_revision) {
            return Err(Inconsistent("a key begins with a later version"));
        }
        let version = if *tombstone { 1 } else { kv.version };
        let life =
            KeyIndex::begin(Found { modified: *revision, created: kv.create_revision, version }, *tombstone);
        index.insert(kv.key.clone(), life);
        return Ok(());
    };
    if *tombstone {
        if life.newest().is_none() {
            return Err(Inconsistent("a key is deleted that does not exist"));
        }
        life.tombstone(*revision);
        return Ok(());
    }
    let found = life.put(*revision);
    if (found.created, found.version) == (kv.create_revision, kv.version) {
        Ok(())
    } else {
        Err(Inconsistent("the versions of a key"))
    }
}

#[cfg(test)]
mod tests {
    use prost::encoding::encode_varint;

    use super::*;

    fn put(main: i64, create_revision: i64, version: i64) -> Record {
        let kv = KeyValue { create_revision, mod_revision: main, version, ..KeyValue::default() };
        Record { revision: Revision { main, sub: 0 }, tombstone: false, kv }
    }

    #[test]
    fn only_what_a_compaction_left_may_begin_with_a_later_version_or_a_tombstone() {
        let first_known = |record: Record, compact_revision| {
            let mut index = Index::default();
            restore(&mut index, &record, compact_revision).map(|()| index.get(b"").and_then(KeyIndex::newest))
        };
        let deleted = tombstone(Bytes::new(), Revision { main: 9, sub: 0 });
        let error = Err(Inconsistent("a key begins with a later version"));
        assert_eq!((first_known(put(9, 4, 3), 8), first_known(deleted.clone(), 8)), (error, error));
        assert_eq!((first_known(put(9, 4, 1), 9), first_known(put(9, 0, 2), 9)), (error, error));
        let later = Found { modified: Revision { main: 9, sub: 0 }, created: 4, version: 3 };
        assert_eq!((first_known(put(9, 4, 3), 9), first_known(deleted, 9)), (Ok(Some(later)), Ok(None)));
        assert!(first_known(put(9, 9, 1), -1).is_ok());
    }

    #[test]
    fn numbers_are_written_as_varints() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            encode_numbers([number, 5, u64::MAX], &mut bytes);
            for each in [number, 5, u64::MAX] {
                encode_varint(each, &mut expected);
            }
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn a_number_of_records_that_no_memory_could_hold_is_refused() {
        let mut bytes = MAGIC.to_vec();
        encode_varint(9, &mut bytes);
        encode_varint(0, &mut bytes);
        bytes.extend_from_slice(&[0; 8]);
        encode_varint(i64::MAX as u64, &mut bytes);
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        assert_eq!(Store::from_snapshot(&bytes), Err(Inconsistent("it has fewer records than it says")));
    }
}
