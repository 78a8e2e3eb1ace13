//! What a member sends to be kept elsewhere is what the store was at some entry of the log.
//!
//! A saved database says by its consistent index how far it has come. Verifies that it holds what a replay of the
//! committed log up to there gives:
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `store` | there is no store in it |
//! | `revision` | it is at another revision |
//! | `compacted` | it is compacted at another one |
//! | `records` | a change is missing that is not compacted, or is another; or something is in it that never was |
//! | `auth` | it has another auth revision, or authentication is on that was off, or off that was on |
//! | `leases` | a lease is missing, too many, or has another TTL |
//!
//! Stated in etcd's documentation of disaster recovery (a snapshot is a point in time of the keyspace).
//!
//! Does NOT verify: how old it is (a member that lags may be asked); what a lease has left of its TTL; members, alarms
//! and whatever else a restoration replaces or leaves as it is; that it can be restored from, which shows when it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use vertebra_sim::verdict::Violation;

use super::linearizable_log::Witness;
use super::replayed::Replayed;
use crate::api::KeyValue;
use crate::auth::AuthStore;
use crate::backend::Bucket;
use crate::lessor;
use crate::mvcc::{Read, Record, Restored, Store};

const ORACLE: &str = "snapshot";

/// By revision and key: what the key was from then on, nothing if it was deleted.
type Changes = BTreeMap<(i64, Bytes), Option<KeyValue>>;

/// Holds a database that has come to entry `index` against the log of `witness`.
///
/// # Errors
///
/// The first broken clause.
pub fn check(database: &impl Read, witness: &Witness, index: u64) -> Result<(), Violation> {
    let replayed = Replayed::up_to(witness, index);
    let specification = &replayed.specification;
    let restored = Store::restore(database, 0);
    let Restored { store, unfinished, .. } =
        restored.or_else(|error| violation("store", format!("at entry {index}: {error}")))?;
    let compacted = unfinished.unwrap_or(store.compact_revision());
    let revision = store.revision().max(compacted);
    if revision != specification.revision() {
        let expected = specification.revision();
        return violation("revision", format!("at entry {index}: {revision} instead of {expected}"));
    }
    if compacted != specification.compacted() {
        let expected = specification.compacted();
        return violation("compacted", format!("at entry {index}: {compacted} instead of {expected}"));
    }

    // Nobody can have written the empty key, which stands for the revisions that a restoration has passed over.
    let all = replayed.changes.iter().filter(|(_, key)| !key.is_empty());
    let expected: Changes = all
        .map(|(revision, key)| ((*revision, key.clone()), specification.value(key, *revision).cloned()))
        .collect();
    let found =
        records(database).or_else(|()| violation("records", format!("at entry {index}: no record")))?;
    for (place, change) in &found {
        if expected.get(place) != Some(change) {
            let told = (place.0, place.1.escape_ascii(), change, expected.get(place));
            return violation(
                "records",
                format!(
                    "at entry {index}: revision {} of \"{}\" is {:?}, and was {:?}",
                    told.0, told.1, told.2, told.3
                ),
            );
        }
    }
    for (place, change) in &expected {
        let (revision, key) = place;
        // What a compaction leaves: what comes after its revision, and what each key was then.
        let stays = match change {
            _ if *revision > compacted => true,
            Some(kv) => {
                specification.value(key, compacted).is_some_and(|last| last.mod_revision == kv.mod_revision)
            }
            None => false,
        };
        if stays && !found.contains_key(place) {
            let key = key.escape_ascii();
            return violation(
                "records",
                format!("at entry {index}: revision {revision} of \"{key}\" is missing"),
            );
        }
    }

    let leases = lessor::granted(database, witness.lease_ttl_min());
    let expected: BTreeMap<_, _> =
        specification.leases().map(|id| (id, specification.lease(id).unwrap_or_default())).collect();
    if leases != expected {
        return violation("leases", format!("at entry {index}: {leases:?} instead of {expected:?}"));
    }
    let (found, expected) = (AuthStore::recover(database), specification.auth());
    let found = (found.is_enabled(), found.revision());
    let expected = expected.map_or((false, 1), |auth| (auth.is_enabled(), auth.revision()));
    if found != expected {
        return violation("auth", format!("at entry {index}: {found:?} instead of {expected:?}"));
    }
    Ok(())
}

/// The changes of keys that there are records of, or none if one of them is no record.
fn records(database: &impl Read) -> Result<Changes, ()> {
    let mut changes = Changes::new();
    for (key, value) in database.range(Bucket::Key, b"", &[0xff; 18], usize::MAX) {
        let Record { revision, tombstone, kv } = Record::decode(&key, value).ok_or(())?;
        if !kv.key.is_empty() {
            changes.insert((revision.main, kv.key.clone()), (!tombstone).then_some(kv));
        }
    }
    Ok(changes)
}

fn violation<T>(clause: &'static str, detail: String) -> Result<T, Violation> {
    Err(Violation::new(ORACLE, clause, "", detail))
}

#[cfg(test)]
mod tests;
