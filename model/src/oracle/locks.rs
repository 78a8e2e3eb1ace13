//! Locks and elections that clients make of keys and leases: who has one, and what it may do with it.
//!
//! Stated by etcd's `client/v3/concurrency`: who wants a lock puts a key of its own, with a lease, and the key that was created
//! first has it.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `fencing` | a write that asks whether its holder's key is still there took effect after one of a later holder |
//! | `mutual exclusion` | one took itself for the holder while another did who had every right to |
//!
//! **Who has every right to.** A client can know no better than what it was promised: that its lease lives for its TTL,
//! from the moment at which it asked for it, or last asked to keep it alive and was told that it was done. By the fastest clock
//! that a member had at any time of the run, as in `leases`. While that lasts, no other may take itself for the holder,
//! whatever fails: pauses, partitions and clocks that drift are no excuse. Of two, the one whose key was created first must
//! have had its time, also if it is told of its turn after the other, by a late answer. There is one excuse: somebody deleted its key, or
//! revoked its lease, and it was not the leader who found that it had expired.
//!
//! **When that is over** a client may be mistaken, and no service can help it: it is paused, or nobody answers it, and meanwhile
//! the next one has its turn. These times are counted apart, by the reason ([`Overlaps`]), and the fence has to hold.
//!
//! Fencing is judged from what clients were told of their writes, and of those without an answer by what the log made of
//! them; mutual exclusion from what clients took themselves for, and when.
//!
//! Does NOT verify: that a lock becomes free, and that those who wait get it in their order (what they read decides that, and
//! `linearizable_log` checks it); that a lease lives as long as was promised where nobody holds a lock by it (`leases`).

use std::collections::BTreeMap;

use bytes::Bytes;
use vertebra_sim::NodeId;
use vertebra_sim::time::Instant;
use vertebra_sim::verdict::Violation;

use super::leases::counted;
use super::linearizable_log::{LogEntry, Witness};
use super::replayed::Replayed;
use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::request_op::Request as Op;
use crate::history::{History, Operation, Outcome, Request};
use crate::response::Response;

#[cfg(test)]
mod tests;

const ORACLE: &str = "locks";

/// One client takes itself for the holder of one lock.
#[derive(Clone, Debug)]
struct Tenure {
    client: NodeId,
    /// Its key, and the revision that created it.
    key: Bytes,
    created: i64,
    lease: i64,
    from: Instant,
    /// When it gave the lock up, or learnt that it had lost it.
    until: Option<Instant>,
}

/// What a client knows of the time that a lease has.
#[derive(Clone, Debug, Default)]
struct Promise {
    /// Requests that were granted: when they were sent, when the answer came, and the TTL.
    kept: Vec<(Instant, Instant, i64)>,
    /// When it last asked.
    asked: Option<Instant>,
}

/// What clients took themselves for.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    /// In the order in which they began.
    tenures: Vec<Tenure>,
    /// By lease.
    promises: BTreeMap<i64, Promise>,
    /// By client: the place of the tenure that is not over.
    open: BTreeMap<NodeId, usize>,
}

/// How often a client took itself for the holder while another one still did, and nobody is to blame.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Overlaps {
    /// The time of its lease was over, and it was not answered when it asked for more.
    pub unanswered: u64,
    /// The time of its lease was over, and it did not ask for more in time.
    pub unasked: u64,
    /// Somebody had deleted its key, or revoked its lease.
    pub deleted: u64,
}

impl Overlaps {
    /// These and others.
    pub fn add(&mut self, others: Self) {
        let Self { unanswered, unasked, deleted } = others;
        self.unanswered += unanswered;
        self.unasked += unasked;
        self.deleted += deleted;
    }
}

impl Locks {
    /// A client asks that a lease be kept alive.
    pub fn asked(&mut self, lease: i64, now: Instant) {
        self.promises.entry(lease).or_default().asked = Some(now);
    }

    /// A client is told that a lease lives for `ttl` seconds from now on. It had asked for that at `asked`.
    pub fn promised(&mut self, lease: i64, ttl: i64, asked: Instant, now: Instant) {
        self.promises.entry(lease).or_default().kept.push((asked, now, ttl));
    }

    /// A client has learnt that `key`, which was created at revision `created` and is attached to `lease`, comes first.
    pub fn holds(&mut self, client: NodeId, key: Bytes, created: i64, lease: i64, now: Instant) {
        self.gives_up(client, now);
        self.open.insert(client, self.tenures.len());
        self.tenures.push(Tenure { client, key, created, lease, from: now, until: None });
    }

    /// A client does not take itself for the holder of anything any more.
    pub fn gives_up(&mut self, client: NodeId, now: Instant) {
        if let Some(place) = self.open.remove(&client) {
            self.tenures[place].until = Some(now);
        }
    }
}

/// Judges the locks of a run in which no member's clock ever gained more than `drift_ppm_max`.
///
/// # Errors
///
/// The first broken clause.
pub fn check(
    history: &History,
    witness: &Witness,
    replayed: &Replayed,
    locks: &Locks,
    drift_ppm_max: i32,
) -> Result<Overlaps, Violation> {
    if locks.tenures.is_empty() {
        return Ok(Overlaps::default());
    }
    check_fences(history, replayed)?;
    let mut overlaps = Overlaps::default();
    // By lock: those who take themselves for the holder. A client is there once at most.
    let mut holders: BTreeMap<&[u8], Vec<&Tenure>> = BTreeMap::new();
    for tenure in &locks.tenures {
        let holders = holders.entry(lock_of(&tenure.key).unwrap_or_default()).or_default();
        holders.retain(|other| other.until.is_none_or(|until| until > tenure.from));
        for other in &*holders {
            // The one who was told of it last need not be the one whose turn it is: answers are late, too.
            let (earlier, later) =
                if other.created < tenure.created { (*other, tenure) } else { (tenure, *other) };
            let promise = locks.promises.get(&earlier.lease);
            match excuse(earlier, tenure.from, promise, drift_ppm_max) {
                Some(Late::Unanswered) => overlaps.unanswered += 1,
                Some(Late::Unasked) => overlaps.unasked += 1,
                None if is_deleted(earlier, witness, replayed) => overlaps.deleted += 1,
                None => return mutual_exclusion(earlier, later),
            }
        }
        holders.push(tenure);
    }
    Ok(overlaps)
}

/// The lock that a key is for: what it begins with, up to its last `/`.
fn lock_of(key: &[u8]) -> Option<&[u8]> {
    Some(&key[..=key.iter().rposition(|byte| *byte == b'/')?])
}

enum Late {
    Unanswered,
    Unasked,
}

/// Why a holder was mistaken at `now`; nothing if it had been promised that time.
fn excuse(holder: &Tenure, now: Instant, promise: Option<&Promise>, drift_ppm_max: i32) -> Option<Late> {
    let Some(promise) = promise else { return Some(Late::Unasked) };
    let known = promise.kept.iter().filter(|(_, told, _)| *told <= now);
    let ends = known.map(|(asked, _, ttl)| (*asked + counted(*ttl, drift_ppm_max), *asked));
    let Some((end, asked)) = ends.max() else { return Some(Late::Unasked) };
    debug_assert!(holder.from <= now);
    match promise.asked {
        _ if now < end => None,
        Some(last) if last > asked && last < end => Some(Late::Unanswered),
        _ => Some(Late::Unasked),
    }
}

/// Whether somebody took a holder's key away, and it was no leader who found that its lease had expired.
fn is_deleted(holder: &Tenure, witness: &Witness, replayed: &Replayed) -> bool {
    let later = replayed.changes.partition_point(|(revision, _)| *revision <= holder.created);
    let is_end = |(revision, key): &&(i64, Bytes)| {
        *key == holder.key && replayed.specification.value(key, *revision).is_none()
    };
    let Some((deleted, _)) = replayed.changes[later..].iter().find(is_end) else { return false };
    // So seldom that the log may well be executed once more, to find the entry.
    let mut again = Replayed::nothing_of(witness);
    let ends_it = |entry: &&LogEntry| {
        let _ = again.execute(entry);
        again.specification.revision() >= *deleted
    };
    witness.entries().iter().find(ends_it).is_some_and(|entry| !witness.is_of_leader(entry))
}

fn mutual_exclusion<T>(holder: &Tenure, other: &Tenure) -> Result<T, Violation> {
    let detail = format!(
        "{} holds \"{}\" since {} by its key of revision {}, and lease {} was promised to live; {} takes itself for the \
         holder since {} by its key of revision {}",
        holder.client,
        holder.key.escape_ascii(),
        holder.from,
        holder.created,
        holder.lease,
        other.client,
        other.from,
        other.created,
    );
    Err(Violation::new(ORACLE, "mutual exclusion", "", detail))
}

/// A write that takes effect only while its holder's key is there.
struct Fenced<'a> {
    operation: &'a Operation,
    lock: &'a [u8],
    created: i64,
    key: &'a Bytes,
    value: &'a Bytes,
}

impl<'a> Fenced<'a> {
    fn of(operation: &'a Operation) -> Option<Self> {
        let Request::Txn(txn) = &operation.request else { return None };
        let [compare] = &txn.compare[..] else { return None };
        let is_equal = compare.result == CompareResult::Equal as i32;
        let is_fence = is_equal && compare.target == CompareTarget::Create as i32;
        let Some(TargetUnion::CreateRevision(created)) = compare.target_union else { return None };
        let Some(Op::RequestPut(put)) = &txn.success.first()?.request else { return None };
        let lock =
            lock_of(&compare.key).filter(|_| is_fence && created > 0 && compare.range_end.is_empty())?;
        Some(Self { operation, lock, created, key: &put.key, value: &put.value })
    }
}

/// By lock, the writes that took effect must be of holders in the order in which they had their turn.
fn check_fences(history: &History, replayed: &Replayed) -> Result<(), Violation> {
    let mut written = Vec::new();
    // Values are told from each other, so these say whether a write took effect whose client was not told.
    let mut open: BTreeMap<(&Bytes, &Bytes), Fenced<'_>> = BTreeMap::new();
    for fenced in history.operations().iter().filter_map(Fenced::of) {
        match &fenced.operation.outcome {
            Outcome::Ok(Response::Txn(txn)) if txn.succeeded => {
                written.push((txn.header.map_or(0, |header| header.revision), fenced));
            }
            Outcome::Unknown => drop(open.insert((fenced.key, fenced.value), fenced)),
            Outcome::Ok(_) | Outcome::Failed(_) => {}
        }
    }
    if !open.is_empty() {
        for (revision, key) in &replayed.changes {
            let value = replayed.specification.value(key, *revision).map(|kv| &kv.value);
            if let Some(fenced) = value.and_then(|value| open.remove(&(key, value))) {
                written.push((*revision, fenced));
            }
        }
    }
    written.sort_by_key(|(revision, _)| *revision);
    let mut last: BTreeMap<&[u8], &Fenced<'_>> = BTreeMap::new();
    for (revision, fenced) in &written {
        if let Some(later) = last.insert(fenced.lock, fenced)
            && later.created > fenced.created
        {
            let detail = format!(
                "{} took effect at revision {revision}, after that of the holder whose key was created later: {}",
                fenced.operation, later.operation
            );
            return Err(Violation::new(ORACLE, "fencing", "", detail));
        }
    }
    Ok(())
}
