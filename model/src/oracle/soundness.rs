//! Data is found damaged only where a fault has damaged it.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `damage` | a member that starts finds a file of its own damaged or missing, and no fault did that |
//! | `corruption` | members find by the hashes that they compare (the CORRUPT alarm, and the check at the start) that their data differs, and no fault did that |
//! | `hashes` | two members have other hashes at one revision and compacted revision: of those that can be counted on at the end, whatever compaction has still to remove; and, as long as no data is damaged, of all that have finished a compaction or were asked; or one has a hash at a revision that it has compacted away |
//! | `kept` | a member does not have the hash of what its last compaction left, for which others will ask it |
//! | `hash refused` | a member refuses the hash of a revision that it has come to, and has not compacted away |
//! | `hash of the log` | at the end, the hash of a member is not that of the records to which the log leads |
//! | `records` | a compaction at one revision has left other records on two members, and no data is damaged |
//!
//! Stated in etcd's documentation of data corruption (the checks by HashKV), and in its comments on `HashByRev`.
//!
//! Does NOT verify that members notice damage: that is what the other oracles show.

use std::collections::BTreeMap;

use prost::Message;
use vertebra_sim::NodeId;
use vertebra_sim::verdict::Violation;

use super::raft_safety::MemberId;
use super::replayed::{Change, Replayed};
use crate::api::KeyValue;
use crate::error::Error;
use crate::mvcc::{KvHash, Revision};

const ORACLE: &str = "soundness";

/// A member that starts has found `what` damaged; `faults` says whether a fault damaged its data.
///
/// # Errors
///
/// There was no such fault.
pub fn damage(member: NodeId, what: &'static str, faults: bool) -> Result<(), Violation> {
    if faults {
        return Ok(());
    }
    let detail = format!("{member} found its {what} damaged or missing, and no fault did that");
    Err(Violation::new(ORACLE, "damage", what, detail))
}

/// A member has been found to have other data than others; 0 for an unknown one.
///
/// # Errors
///
/// There was no fault that damaged it.
pub fn corruption(member: MemberId, faults: bool) -> Result<(), Violation> {
    if faults {
        return Ok(());
    }
    let detail = format!("member {member} has other data than others, and no fault did that");
    Err(Violation::new(ORACLE, "corruption", "", detail))
}

/// What members have told of their data, and who was the first.
#[derive(Debug, Default)]
pub struct Hashes {
    /// By revision and compacted revision.
    told: BTreeMap<(i64, i64), (MemberId, u32)>,
    /// By compacted revision: checksums of what the compaction has left.
    left: BTreeMap<i64, (MemberId, u32)>,
}

impl Hashes {
    /// `member` has this hash.
    ///
    /// # Errors
    ///
    /// Another has told another hash at the same revision and compacted revision, or the revision is compacted away.
    pub fn told(&mut self, member: MemberId, hash: KvHash) -> Result<(), Violation> {
        let KvHash { hash, compact_revision, revision } = hash;
        if revision < compact_revision {
            let detail =
                format!("member {member} has one at revision {revision}, compacted at {compact_revision}");
            return Err(Violation::new(ORACLE, "hashes", "compacted", detail));
        }
        let (other, expected) = *self.told.entry((revision, compact_revision)).or_insert((member, hash));
        if hash == expected {
            return Ok(());
        }
        let detail = format!(
            "at revision {revision}, compacted at {compact_revision}: member {other} has {expected:08x}, member {member} \
             {hash:08x}"
        );
        Err(Violation::new(ORACLE, "hashes", "", detail))
    }

    /// A compaction at `revision` has left records of this checksum on `member`. What hangs on a tombstone alone is in no
    /// hash of etcd's.
    ///
    /// # Errors
    ///
    /// It has left others on another member.
    pub fn left(&mut self, member: MemberId, revision: i64, left: u32) -> Result<(), Violation> {
        let (other, expected) = *self.left.entry(revision).or_insert((member, left));
        if left == expected {
            return Ok(());
        }
        let detail =
            format!("compacted at {revision}: member {other} and member {member} have other records left");
        Err(Violation::new(ORACLE, "records", "", detail))
    }
}

/// Of its last compaction, which left what has the hash `left`, `member` has `kept` this.
///
/// # Errors
///
/// It is another hash, or none.
pub fn keeps(member: MemberId, left: KvHash, kept: Option<KvHash>) -> Result<(), Violation> {
    if kept == Some(left) {
        return Ok(());
    }
    Err(Violation::new(ORACLE, "kept", "", format!("member {member} has {kept:?} of {left:?}")))
}

/// `member`, which is at `revision` and compacted at `compacted`, refuses the hash at `asked` with `error`.
///
/// # Errors
///
/// It has no reason to.
pub fn refuses(
    member: MemberId,
    asked: i64,
    (compacted, revision): (i64, i64),
    error: Error,
) -> Result<(), Violation> {
    let is_founded = match error {
        Error::Compacted => asked < compacted,
        Error::FutureRevision => asked > revision,
        _ => false,
    };
    if is_founded {
        return Ok(());
    }
    let detail = format!(
        "member {member}, at revision {revision} and compacted at {compacted}, refuses the hash at {asked}: {error}"
    );
    Err(Violation::new(ORACLE, "hash refused", "", detail))
}

/// Compares hashes of members.
///
/// # Errors
///
/// Two members with other hashes at the same revision and compacted revision.
pub fn hashes(hashes: impl IntoIterator<Item = (MemberId, KvHash)>) -> Result<(), Violation> {
    let mut told = Hashes::default();
    hashes.into_iter().try_for_each(|(member, hash)| told.told(member, hash))
}

/// Holds the hash of a member that has come to the end of the log against what is `replayed` of it.
///
/// # Errors
///
/// It is not the one that its revision and compacted revision have in etcd.
pub fn hash_of_log(member: MemberId, found: KvHash, replayed: &Replayed) -> Result<(), Violation> {
    let compacted = replayed.compactions.last().map_or(-1, |compaction| compaction.revision);
    let revision = 1 + replayed.committed.len() as i64;
    if (found.compact_revision, found.revision) != (compacted, revision) {
        // How far a member has come is the business of other oracles.
        return Ok(());
    }
    let expected = expected_hash(replayed, compacted);
    if found.hash == expected {
        return Ok(());
    }
    let KvHash { hash, .. } = found;
    let detail = format!(
        "at revision {revision}, compacted at {compacted}: member {member} has {hash:08x}, and the log leads to \
         {expected:08x}"
    );
    Err(Violation::new(ORACLE, "hash of the log", "", detail))
}

/// CRC-32C of the name of the bucket and of each record after it: all that came after the compaction, and before it the last
/// of each key, unless a later change or a deletion has taken its place.
fn expected_hash(replayed: &Replayed, compacted: i64) -> u32 {
    let (mut hash, mut revision) = (crc32c::crc32c(b"key"), Revision::default());
    for Change { revision: main, key, kv } in replayed.changes() {
        revision = Revision { main, sub: if main == revision.main { revision.sub + 1 } else { 0 } };
        if main <= compacted && (kv.is_none() || replayed.specification.value(key, i64::MAX) != kv) {
            continue;
        }
        let (name, record) = match kv {
            Some(kv) => (revision.to_bytes().to_vec(), kv.encode_to_vec()),
            None => {
                let kv = KeyValue { key: key.clone(), ..KeyValue::default() };
                (revision.to_tombstone_bytes().to_vec(), kv.encode_to_vec())
            }
        };
        hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, &name), &record);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CompactionRequest;
    use crate::history::Request;
    use crate::oracle::testing::{Script, delete, put};

    #[test]
    fn a_hash_is_refused_for_a_revision_that_a_member_does_not_have() {
        let clause = |asked, error| refuses(1, asked, (3, 7), error).err().map(|violation| violation.clause);
        assert_eq!(clause(2, Error::Compacted), None);
        assert_eq!(clause(3, Error::Compacted), Some("hash refused"));
        assert_eq!(clause(8, Error::FutureRevision), None);
        assert_eq!(clause(7, Error::FutureRevision), Some("hash refused"));
        assert_eq!(clause(7, Error::TimedOut), Some("hash refused"));
    }

    #[test]
    fn damage_and_corruption_need_a_fault() {
        let member = NodeId::Member(1);
        assert!(damage(member, "backend", true).is_ok() && corruption(0, true).is_ok());
        assert_eq!(damage(member, "backend", false).unwrap_err().signature(), "soundness/damage: backend");
        assert_eq!(corruption(0, false).unwrap_err().clause, "corruption");
    }

    #[test]
    fn the_hash_of_a_compaction_is_kept_for_others() {
        let hash = KvHash { hash: 7, compact_revision: 3, revision: 5 };
        assert_eq!(keeps(1, hash, Some(hash)), Ok(()));
        assert_eq!(keeps(1, hash, None).unwrap_err().clause, "kept");
        assert_eq!(keeps(1, hash, Some(KvHash { hash: 8, ..hash })).unwrap_err().clause, "kept");
    }

    #[test]
    fn a_compaction_leaves_the_same_everywhere() {
        let mut hashes = Hashes::default();
        assert!(hashes.left(1, 5, 7).is_ok() && hashes.left(2, 5, 7).is_ok() && hashes.left(2, 6, 8).is_ok());
        assert_eq!(hashes.left(3, 5, 8).unwrap_err().clause, "records");
    }

    #[test]
    fn members_at_one_place_have_one_hash() {
        let hash = |hash, revision| KvHash { hash, compact_revision: 3, revision };
        assert!(hashes([(1, hash(7, 9)), (2, hash(7, 9)), (3, hash(8, 10))]).is_ok());
        assert_eq!(hashes([(1, hash(7, 9)), (2, hash(8, 9))]).unwrap_err().clause, "hashes");
        assert!(hashes([(1, hash(7, 3))]).is_ok());
        assert_eq!(hashes([(1, hash(7, 2))]).unwrap_err().signature(), "soundness/hashes: compacted");
    }

    #[test]
    fn the_hash_at_the_end_is_that_of_the_records_of_the_log() {
        let mut script = Script::new();
        let writes =
            [put("a", "1"), put("b", "2"), delete("a", ""), put("a", "3"), put("b", "4"), delete("b", "")];
        let compaction = Request::Compact(CompactionRequest { revision: 5, physical: false });
        writes.into_iter().chain([compaction]).for_each(|request| script.write(1, request));
        let replayed = Replayed::of(&script.witness);
        // Of what is compacted, "b" of revision 3 has become another since, and "a" of revision 5 has not.
        let a = KeyValue {
            key: "a".into(),
            value: "3".into(),
            create_revision: 5,
            mod_revision: 5,
            version: 1,
            lease: 0,
        };
        let b = KeyValue {
            key: "b".into(),
            value: "4".into(),
            create_revision: 3,
            mod_revision: 6,
            version: 2,
            lease: 0,
        };
        let gone = KeyValue { key: "b".into(), ..KeyValue::default() };
        let name = |main| Revision { main, sub: 0 }.to_bytes().to_vec();
        let tombstone = Revision { main: 7, sub: 0 }.to_tombstone_bytes().to_vec();
        let records =
            [name(5), a.encode_to_vec(), name(6), b.encode_to_vec(), tombstone, gone.encode_to_vec()];
        let hash_of = |records: &[Vec<u8>]| crc32c::crc32c(&[&b"key"[..], &records.concat()].concat());
        let found = |hash| {
            hash_of_log(1, KvHash { hash, compact_revision: 5, revision: 7 }, &replayed)
                .map_err(|error| error.clause)
        };
        assert_eq!(found(hash_of(&records)), Ok(()));
        assert_eq!(found(hash_of(&records[..4])), Err("hash of the log"));
        let behind = KvHash { hash: 0, compact_revision: 5, revision: 6 };
        assert_eq!(hash_of_log(1, behind, &replayed), Ok(()));
    }
}
