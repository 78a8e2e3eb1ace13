//! Leases live as long as they were promised to, and not much longer.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `early` | a leader revoked a lease before its TTL had passed since a client asked for it, or to keep it alive, and was told that it was done |
//! | `kept alive when gone` | a lease was kept alive that had been revoked before the client asked, or that was not granted |
//! | `denied` | a client was told that there is no such lease, which there was all the time |
//! | `list` | an answer which leases there are, with one that was not there at what the member had applied, or without one that was |
//! | `TTL` | an answer with another TTL than was granted, or with more time left than can be |
//! | `deposed` | a lease was revoked as expired in a term in which the member that found so did not lead |
//! | `outlived` | long after the end of all faults, a lease is there that should have expired |
//! | `checkpoint` | long after the end of all faults, the log does not say how long a lease has left, though a leader was to write it down since |
//! | `cleared again` | a leader writes down again and again that a lease has all of its time left, and does not keep it alive |
//! | `remaining` | when all is quiet, a member does not know what the log says how long a lease has left |
//! | `primary` | when all is quiet, a member lets leases expire that does not lead |
//! | `attachment` | a member's lessor and its store differ about the lease of a key |
//!
//! **What time is.** A member counts by a clock of its own, which drifts. The bounds are those of the fastest and the
//! slowest that any member's clock has been at any time of the run: a TTL lasts at least as long as the fastest clock
//! takes to count it. The lessor counts monotonic time; that the time of day jumps excuses nothing.
//!
//! **How long a lease may outlive its TTL.** Once the faults are over and a leader is in place, it gives each lease its
//! TTL anew and an election timeout on top (and, where many would expire at once, some seconds to spread them). Then
//! it looks twice a second, makes sure of its leadership, and proposes to revoke. A proposal from before the end of the
//! faults may be lost; it tries again after 5 s and two election timeouts. [`GRACE`] is left for the rest.
//!
//! Stated in etcd's API guarantees (Lease API guarantees: "a lease that is not kept alive within its TTL expires"), and in the
//! comments of its lessor.
//!
//! Does NOT verify: that keys go with their lease, and no others (`linearizable_log` does, which replays each
//! revocation); that a lease which no client was told of lives for any time; how soon a lease expires while faults go
//! on; that an answer to the question how long a lease has left is not too low, or that there was no such lease, and
//! which keys it names (`auth` asks who may be told of them).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use vertebra_sim::time::Instant;
use vertebra_sim::verdict::Violation;

use super::linearizable_log::Witness;
use super::raft_safety::MemberId;
use crate::api::{InternalRaftRequest, KeyValue, LeaseCheckpoint};
use crate::history::{History, Operation, OperationId, Request};
use crate::lessor::TTL_MAX;
use crate::response::Response;

const ORACLE: &str = "leases";

/// For an election, a few round trips and a write to disk when all faults are over, and for what has been drawn to be
/// slow.
pub const GRACE: Duration = Duration::from_secs(5);

/// So often a checkpoint may be cleared before the lease is kept alive: many callers may ask at once, and ask again.
const CLEARED_MAX: u32 = 100;

const MILLION: u64 = 1_000_000;

/// What a run is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The least and the most that a member's clock ever gained, in parts per million.
    pub drift_ppm: (i32, i32),
    /// What a new leader gives each lease on top of its TTL.
    pub election_timeout: Duration,
    /// After what time a leader writes down how long a lease has left, if it does.
    pub checkpoint_interval: Option<Duration>,
    /// After what time a leader tries again to revoke a lease that has expired.
    pub retry_interval: Duration,
    /// When the faults were over; nothing if the run did not recover from them.
    pub healed: Option<Instant>,
    /// When the run ended.
    pub ended: Instant,
}

/// A leader's proposal to revoke a lease as expired, or to checkpoint some.
#[derive(Clone, Copy, Debug)]
struct Proposal {
    member: MemberId,
    /// The term in which the member leads, as far as it knows.
    term: u64,
    at: Instant,
}

/// What members and clients told of leases, and when.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    /// When operations on leases were invoked, in order.
    invoked: Vec<(OperationId, Instant)>,
    proposals: BTreeMap<u64, Proposal>,
    /// Entries that are about leases, in order: term, and when the first member applied them.
    entries: BTreeMap<u64, (u64, Instant)>,
    /// By lease: when it was last kept alive.
    refreshed: BTreeMap<i64, Instant>,
    /// By lease: how many seconds it has left by the last checkpoint, and when the first member applied that.
    checkpoints: BTreeMap<i64, (i64, Instant)>,
    /// By lease: how often a checkpoint said that it has all of its time left, in one term and since it was kept alive last.
    cleared: BTreeMap<i64, (u64, u32)>,
    /// The lease for which that was too often.
    cleared_again: Option<i64>,
    /// When a member last became the primary.
    promoted: Option<Instant>,
    /// When proposals of leaders came to nothing, in order.
    dropped: Vec<Instant>,
    /// Answers which leases there are, and what the member that gave it had applied.
    listed: Vec<(OperationId, u64)>,
    /// A member was found to be corrupt. From then on, members refuse what stands in the log.
    corrupt: bool,
}

/// One life of a lease: from a grant to what ended it. A number can be granted again.
#[derive(Clone, Copy, Debug)]
struct Life {
    ttl: i64,
    /// The entry that granted it.
    index: u64,
    /// When the grant was known to be committed, by the clock of the history.
    granted: u64,
    applied: Instant,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
struct End {
    /// The entry that revoked it.
    index: u64,
    /// When the revocation was known to be committed, by the clock of the history.
    revoked: u64,
    /// If a leader found that it had expired.
    expired: Option<(Proposal, u64)>,
}

impl Life {
    /// Whether the lease was there at some moment of an operation.
    fn meets(&self, operation: &Operation) -> bool {
        self.granted <= operation.ended() && self.end.is_none_or(|end| end.revoked > operation.invoked)
    }

    /// Whether it was there at every moment of it.
    fn spans(&self, operation: &Operation) -> bool {
        self.granted <= operation.invoked && self.end.is_none_or(|end| end.revoked > operation.ended())
    }
}

impl Leases {
    /// What is known before a run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A client has begun an operation.
    pub fn invoked(&mut self, operation: OperationId, request: &Request, now: Instant) {
        if matches!(
            request,
            Request::LeaseGrant(_) | Request::LeaseKeepAlive(_) | Request::LeaseTimeToLive(_)
        ) {
            self.invoked.push((operation, now));
        }
    }

    /// The primary of `term` proposed something of its own under the identifier `proposal`.
    pub fn proposed(&mut self, proposal: u64, member: MemberId, term: u64, now: Instant) {
        self.proposals.insert(proposal, Proposal { member, term, at: now });
    }

    /// An entry was applied for the first time.
    pub fn applied(&mut self, index: u64, term: u64, request: &InternalRaftRequest, now: Instant) {
        if request.lease_grant.is_some() || request.lease_revoke.is_some() {
            self.entries.insert(index, (term, now));
        }
        let checkpoints = request.lease_checkpoint.iter().flat_map(|request| &request.checkpoints);
        for &LeaseCheckpoint { id, remaining_ttl } in checkpoints {
            self.checkpoints.insert(id, (remaining_ttl, now));
            let (of, count) = self.cleared.entry(id).or_insert((term, 0));
            *count = if *of == term { *count } else { 0 } + u32::from(remaining_ttl == 0);
            *of = term;
            if *count > CLEARED_MAX {
                self.cleared_again = Some(id);
            }
        }
    }

    /// The primary has kept a lease alive.
    pub fn refreshed(&mut self, id: i64, now: Instant) {
        self.refreshed.insert(id, now);
        self.cleared.remove(&id);
    }

    /// A member has become the primary.
    pub fn promoted(&mut self, now: Instant) {
        self.promoted = Some(now);
    }

    /// A leader's Raft drops a proposal, as it does while it hands its leadership over; or checkpoints are not proposed at all.
    pub fn dropped(&mut self, now: Instant) {
        self.dropped.push(now);
    }

    /// A member answered which leases there are, when it had applied entries up to `index`, or was about to apply the next.
    pub fn listed(&mut self, operation: OperationId, index: u64) {
        self.listed.push((operation, index));
    }

    /// A member was found to be corrupt: what is applied from now on is refused.
    pub fn corrupt(&mut self) {
        self.corrupt = true;
    }

    /// The lives of all leases, by number, in order.
    fn lives(&self, witness: &Witness) -> BTreeMap<i64, Vec<Life>> {
        let mut specification = witness.empty_store();
        let mut lives: BTreeMap<i64, Vec<Life>> = BTreeMap::new();
        for entry in witness.entries() {
            let Some(&(term, applied)) = self.entries.get(&entry.index) else {
                // Whether somebody may revoke a lease depends on its keys, and on who may do what.
                if witness.has_auth() {
                    let _ = specification.apply(&entry.request);
                }
                continue;
            };
            // That the answers are right is verified elsewhere.
            match (&entry.request.lease_grant, &entry.request.lease_revoke) {
                (Some(grant), _) => {
                    if let Ok(Response::LeaseGrant(granted)) = specification.apply(&entry.request) {
                        let (ttl, index) = (granted.ttl, entry.index);
                        let life = Life { ttl, index, granted: entry.committed, applied, end: None };
                        lives.entry(grant.id).or_default().push(life);
                    }
                }
                (None, Some(revoke)) => {
                    if specification.apply(&entry.request).is_ok()
                        && let Some(life) = lives.get_mut(&revoke.id).and_then(|lives| lives.last_mut())
                    {
                        let expired = self.proposals.get(&entry.id()).map(|proposal| (*proposal, term));
                        life.end = Some(End { index: entry.index, revoked: entry.committed, expired });
                    }
                }
                (None, None) => {}
            }
        }
        lives
    }
}

/// Judges the leases of a run.
///
/// # Errors
///
/// The first broken clause.
pub fn check(
    history: &History,
    witness: &Witness,
    leases: &Leases,
    bounds: &Bounds,
) -> Result<(), Violation> {
    if leases.corrupt || leases.entries.is_empty() && leases.invoked.is_empty() && leases.listed.is_empty() {
        return Ok(());
    }
    let lives = leases.lives(witness);
    let count = lives.values().map(Vec::len).sum::<usize>();
    for &(id, invoked) in &leases.invoked {
        check_answer(&history[id], invoked, &lives, count, bounds)?;
    }
    for &(id, index) in &leases.listed {
        check_list(&history[id], index, &lives)?;
    }
    for (id, life) in lives.iter().flat_map(|(id, lives)| lives.iter().map(move |life| (id, life))) {
        match life.end {
            Some(End { expired: Some((proposal, term)), .. }) if proposal.term != term => {
                let detail = format!(
                    "member {} led in term {}, and revoked lease {id} in term {term}",
                    proposal.member, proposal.term
                );
                return violation("deposed", "", detail);
            }
            Some(_) => {}
            None => {
                check_death(*id, life, leases, count, bounds)?;
                check_checkpoint(*id, life, leases, count, bounds)?;
            }
        }
    }
    match leases.cleared_again {
        Some(id) => violation("cleared again", "", format!("lease {id}, in one term")),
        None => Ok(()),
    }
}

/// Holds what a client was told against what became of the lease.
fn check_answer(
    operation: &Operation,
    invoked: Instant,
    lives: &BTreeMap<i64, Vec<Life>>,
    count: usize,
    bounds: &Bounds,
) -> Result<(), Violation> {
    let of = |id: i64| lives.get(&id).map_or(&[][..], |lives| lives);
    let kind = operation.request.kind();
    match (&operation.request, operation.reply()) {
        (Request::LeaseGrant(_), Some(Response::LeaseGrant(granted))) => {
            let own = |life: &&Life| operation.invoked < life.granted && life.granted <= operation.ended();
            of(granted.id).iter().find(own).map_or(Ok(()), |life| check_end(operation, invoked, life, bounds))
        }
        (Request::LeaseKeepAlive(request), Some(Response::LeaseKeepAlive(kept))) if kept.ttl == 0 => {
            match of(request.id).iter().find(|life| life.spans(operation)) {
                Some(life) => {
                    let detail = format!("{operation}: it is granted from {} on", life.granted);
                    violation("denied", kind, detail)
                }
                None => Ok(()),
            }
        }
        (Request::LeaseKeepAlive(request), Some(Response::LeaseKeepAlive(kept))) => {
            let mut met = of(request.id).iter().filter(|life| life.meets(operation));
            let Some(life) = met.next() else {
                let detail = format!("{operation}: {}", told(of(request.id)));
                return violation("kept alive when gone", kind, detail);
            };
            // Which of several lives it was that was kept alive nobody knows.
            if met.next().is_some() {
                return Ok(());
            }
            if kept.ttl != life.ttl {
                let detail = format!("{operation}: granted {} s, answered {} s", life.ttl, kept.ttl);
                return violation("TTL", kind, detail);
            }
            check_end(operation, invoked, life, bounds)
        }
        (Request::LeaseTimeToLive(request), Some(Response::LeaseTimeToLive(lives)))
            if lives.granted_ttl != 0 =>
        {
            // Where many would expire at once, each gets a second at most for each of them.
            let extra = bounds.election_timeout.as_secs() as i64 + 1 + count as i64;
            let fits = |life: &Life| {
                life.granted <= operation.ended()
                    && life.ttl == lives.granted_ttl
                    && lives.ttl <= life.ttl.saturating_add(extra)
            };
            if of(request.id).iter().any(fits) {
                return Ok(());
            }
            let (ttl, granted) = (lives.ttl, lives.granted_ttl);
            let detail = format!("{operation}: {ttl} s of {granted} s are left; {}", told(of(request.id)));
            violation("TTL", kind, detail)
        }
        _ => Ok(()),
    }
}

/// Holds the leases that a member listed against what the log says up to entry `index`. It may have been about to apply
/// the next entry.
fn check_list(operation: &Operation, index: u64, lives: &BTreeMap<i64, Vec<Life>>) -> Result<(), Violation> {
    let Some(Response::LeaseLeases(told)) = operation.reply() else { return Ok(()) };
    let kind = operation.request.kind();
    for status in &told.leases {
        let there = |life: &Life| life.index <= index + 1 && life.end.is_none_or(|end| end.index > index);
        if !lives.get(&status.id).is_some_and(|lives| lives.iter().any(there)) {
            let detail = format!("{operation}: lease {} is not there at entry {index}", status.id);
            return violation("list", kind, detail);
        }
    }
    let there = |life: &Life| life.index <= index && life.end.is_none_or(|end| end.index > index + 1);
    let missing = |id: i64| told.leases.iter().all(|status| status.id != id);
    match lives.iter().find(|(id, lives)| lives.iter().any(there) && missing(**id)) {
        Some((id, _)) => {
            let detail = format!("{operation}: lease {id} is there at entry {index}, and is not told");
            violation("list", kind, detail)
        }
        None => Ok(()),
    }
}

/// No leader may find that a lease has expired before its TTL has passed since `operation` began, which asked for it.
fn check_end(operation: &Operation, invoked: Instant, life: &Life, bounds: &Bounds) -> Result<(), Violation> {
    let Some(End { expired: Some((proposal, _)), .. }) = life.end else { return Ok(()) };
    let earliest = invoked + counted(life.ttl, bounds.drift_ppm.1);
    if proposal.at < earliest {
        let detail = format!(
            "{operation}: it began at {invoked} and was promised {} s, and member {} found at {} that they were over",
            life.ttl, proposal.member, proposal.at
        );
        return violation("early", operation.request.kind(), detail);
    }
    Ok(())
}

/// A lease that is there at the end must not have had its time long ago.
fn check_death(
    id: i64,
    life: &Life,
    leases: &Leases,
    count: usize,
    bounds: &Bounds,
) -> Result<(), Violation> {
    let Some(healed) = bounds.healed else { return Ok(()) };
    let since = [leases.refreshed.get(&id).copied(), leases.promoted, Some(life.applied)];
    let since = since.into_iter().flatten().max().unwrap_or(healed);
    let slowest = bounds.drift_ppm.0;
    let time = counted(life.ttl.saturating_add(count as i64).min(TTL_MAX), slowest)
        + slow(bounds.election_timeout, slowest);
    let latest = (since + time).max(healed) + slow(bounds.retry_interval, slowest) * 2 + GRACE;
    if bounds.ended > latest {
        let detail = format!(
            "lease {id} of {} s is there at {}; it was last given time at {since}, and the faults were over at {healed}",
            life.ttl, bounds.ended
        );
        return violation("outlived", "", detail);
    }
    Ok(())
}

/// Of a lease that is there at the end, the log must say how long it has left where the leader had to write that down.
///
/// When it is due, a lease that was kept alive, or that a new leader gave more, may have all of its TTL left. Then nothing is
/// written, and nothing is due any more.
fn check_checkpoint(
    id: i64,
    life: &Life,
    leases: &Leases,
    count: usize,
    bounds: &Bounds,
) -> Result<(), Violation> {
    let (Some(interval), Some(healed)) = (bounds.checkpoint_interval, bounds.healed) else { return Ok(()) };
    let promoted = leases.promoted.filter(|promoted| *promoted >= life.applied);
    let begun = promoted.unwrap_or(life.applied);
    if leases.refreshed.get(&id).is_some_and(|refreshed| *refreshed >= life.applied) {
        return Ok(());
    }
    let last = leases.checkpoints.get(&id).copied().filter(|(_, at)| *at >= life.applied);
    let left = last.map(|(left, _)| left).filter(|left| *left > 0).unwrap_or(life.ttl);
    let since = last.map_or(begun, |(_, at)| at.max(begun));
    // A new leader gives an election timeout on top, and a second for each of many.
    let extra = bounds.election_timeout.as_secs() as i64 + 1 + count as i64;
    let is_extended = promoted == Some(since) && left + extra >= life.ttl;
    let due = since + slow(interval, bounds.drift_ppm.0);
    // etcd does not write a checkpoint again whose proposal was dropped, and proposes nothing else for as long as it waits.
    let next = leases.dropped.partition_point(|at| *at + bounds.retry_interval < since);
    let is_dropped = leases.dropped.get(next).is_some_and(|at| *at <= due + GRACE);
    let outlives_that = left > (interval + 2 * GRACE).as_secs() as i64;
    if is_extended || is_dropped || !outlives_that || due < healed || bounds.ended <= due + GRACE {
        return Ok(());
    }
    let detail = format!(
        "lease {id} of {} s had {left} s left at {since}, and at {} the log does not say how many are left since",
        life.ttl, bounds.ended
    );
    violation("checkpoint", "", detail)
}

/// How long leases have left by the log, in seconds, since this was last written down; 0 for all of their time.
#[derive(Debug, Default)]
pub struct Remaining(BTreeMap<i64, i64>);

impl Remaining {
    /// At the end of the log of `witness`, unless a member was found to be corrupt on the way.
    #[must_use]
    pub fn of(witness: &Witness, leases: &Leases) -> Self {
        let mut left: BTreeMap<i64, i64> = BTreeMap::new();
        if leases.corrupt {
            return Self(left);
        }
        for entry in witness.entries() {
            let InternalRaftRequest { lease_grant, lease_revoke, lease_checkpoint, .. } = &entry.request;
            if let Some(granted) = lease_grant {
                left.entry(granted.id).or_default();
            }
            if let Some(revoked) = lease_revoke {
                left.remove(&revoked.id);
            }
            for LeaseCheckpoint { id, remaining_ttl } in
                lease_checkpoint.iter().flat_map(|all| &all.checkpoints)
            {
                left.entry(*id).and_modify(|left| *left = *remaining_ttl);
            }
        }
        Self(left)
    }

    /// Of a member that has applied all of the log: `found` is what it knows of its leases.
    ///
    /// # Errors
    ///
    /// The first lease of which the log says something else.
    pub fn check(
        &self,
        member: MemberId,
        found: impl IntoIterator<Item = (i64, i64)>,
    ) -> Result<(), Violation> {
        let Self(left) = self;
        match found.into_iter().find(|(id, remaining)| left.get(id).is_some_and(|left| left != remaining)) {
            Some((id, remaining)) => {
                let detail = format!(
                    "member {member}: lease {id} has {remaining} s left, and the log says {}",
                    left[&id]
                );
                violation("remaining", "", detail)
            }
            None => Ok(()),
        }
    }
}

/// Of a member that has come to rest, and leads in some term, or does not: it lets leases expire as the primary of `primary`.
///
/// # Errors
///
/// It is not the leader of that term.
pub fn check_primary(member: MemberId, leads: Option<u64>, primary: Option<u64>) -> Result<(), Violation> {
    if primary.is_none() || primary == leads {
        return Ok(());
    }
    let detail = format!("member {member} lets leases expire as in term {primary:?}, and leads in {leads:?}");
    violation("primary", "", detail)
}

/// Holds a member's lessor against its store: `keys` are all keys that exist, `lease_of` says which lease the lessor
/// takes a key to be attached to (0: none), and `attached` how many keys it knows to be attached.
///
/// # Errors
///
/// The first key about which they differ.
pub fn check_attachments(
    member: MemberId,
    keys: &[KeyValue],
    lease_of: impl Fn(&[u8]) -> i64,
    attached: usize,
) -> Result<(), Violation> {
    for kv in keys {
        let known = lease_of(&kv.key);
        if known != kv.lease {
            let key = kv.key.escape_ascii();
            let detail = format!(
                "member {member}: \"{key}\" has lease {}, and the lessor takes it for {known}",
                kv.lease
            );
            return violation("attachment", "", detail);
        }
    }
    let expected = keys.iter().filter(|kv| kv.lease != 0).count();
    if expected != attached {
        let detail =
            format!("member {member}: {expected} keys have a lease, and the lessor knows {attached}");
        return violation("attachment", "", detail);
    }
    Ok(())
}

/// How long a clock that gains `drift` takes to count some seconds, to the millisecond below.
pub(super) fn counted(seconds: i64, drift_ppm: i32) -> Duration {
    let rate = MILLION.saturating_add_signed(i64::from(drift_ppm)).max(1);
    let millis = u128::from(seconds.max(0).unsigned_abs()) * 1_000 * u128::from(MILLION) / u128::from(rate);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX).saturating_sub(1))
}

/// How long a clock that gains `drift` takes to count a duration.
fn slow(duration: Duration, drift_ppm: i32) -> Duration {
    duration.mul_f64(1e6 / (1e6 + f64::from(drift_ppm)).max(1.0))
}

fn told(lives: &[Life]) -> String {
    let each = lives.iter().map(|life| match life.end {
        Some(end) => format!("granted at {}, revoked at {}", life.granted, end.revoked),
        None => format!("granted at {}", life.granted),
    });
    let told = each.collect::<Vec<_>>().join("; ");
    if told.is_empty() { "never granted".to_owned() } else { told }
}

fn violation(clause: &'static str, shape: impl Into<String>, detail: String) -> Result<(), Violation> {
    Err(Violation::new(ORACLE, clause, shape, detail))
}
