//! What the lessor does where it is the primary: on the member that leads.
//!
//! It counts on the clock of its member. All that it finds out goes through the log before it has any effect: that a
//! lease has expired, and how long one has left. Only that a lease is kept alive stays with it. The next primary does
//! not know it, and therefore gives each lease its time anew, with the time added that an election takes.

use std::time::Duration;

use vertebra_sim::time::Instant;

use super::schedule::Schedule;
use super::{Lease, Lessor};
use crate::api::LeaseCheckpoint;
use crate::defect::Defect;

/// Checkpoints in one entry of the log at most.
const CHECKPOINTS_MAX: usize = 1_000;

/// What only the primary has.
#[derive(Debug)]
pub(super) struct Primary {
    term: u64,
    expiries: Schedule,
    checkpoints: Schedule,
}

/// What stands between a lease and its renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// This member is not the primary, or not any more in that term.
    NotPrimary,
    /// There is no such lease.
    NotFound,
    /// It has expired: it is being revoked, or its time will begin anew with the next primary.
    Expired,
    /// The log says, or will say, that it has less than all of its TTL left, and has to say otherwise first.
    Checkpointed,
    /// Nothing: it can be [refreshed](Lessor::refresh).
    Possible,
}

impl Lessor {
    /// The term in which this member is the primary.
    #[must_use]
    pub fn primary(&self) -> Option<u64> {
        self.primary.as_ref().map(|primary| primary.term)
    }

    /// Makes this member the primary. Each lease gets its time anew, or what was left of it at the last checkpoint, and
    /// `extend` on top. Whether so many would have expired at about one time that they were spread.
    pub fn promote(&mut self, term: u64, extend: Duration, now: Instant) -> bool {
        self.primary =
            Some(Primary { term, expiries: Schedule::default(), checkpoints: Schedule::default() });
        let ids: Vec<i64> = self.leases.keys().copied().collect();
        for id in ids {
            self.refresh(id, extend, now);
            self.schedule_checkpoint(id, now);
        }
        // With so few leases, they cannot pile up.
        self.leases.len() >= self.terms.revoke_rate && self.spread(extend, now)
    }

    /// Gives leases more time where more would expire in a second than may be revoked in one.
    fn spread(&mut self, extend: Duration, now: Instant) -> bool {
        let left = |lease: &Lease| lease.expiry().map_or(Duration::ZERO, |expiry| expiry - now);
        let mut leases: Vec<(Duration, i64)> =
            self.leases.iter().map(|(id, lease)| (left(lease), *id)).collect();
        leases.sort_unstable();
        let Some(&(first, _)) = leases.first() else { return false };
        let (mut base, mut next, mut expires) = (first, first + Duration::from_secs(1), 0);
        // Fewer than may be revoked, so that those that piled up do not use up all of that.
        let target = (3 * self.terms.revoke_rate / 4).max(1);
        let mut spread = false;
        for (left, id) in leases {
            if left > next {
                (base, next, expires) = (left, left + Duration::from_secs(1), 1);
                continue;
            }
            expires += 1;
            if expires <= target {
                continue;
            }
            // If leases are extended by some seconds, those that are as far ahead of the others need one alone.
            let delay =
                Duration::from_secs(1).mul_f64(expires as f64 / target as f64).saturating_sub(left - base);
            next = base + delay;
            self.refresh(id, delay + extend, now);
            self.schedule_checkpoint(id, now);
            spread = true;
        }
        spread
    }

    /// This member is the primary no more: no lease expires here.
    pub fn demote(&mut self) {
        if self.primary.take().is_some() {
            for lease in self.leases.values_mut() {
                lease.set_expiry(None);
                lease.set_checkpointing(false);
            }
        }
    }

    /// What stands between a lease and its renewal by the primary of `term`.
    #[must_use]
    pub fn renewal(&self, id: i64, term: u64, now: Instant) -> Renewal {
        if self.primary() != Some(term) {
            return Renewal::NotPrimary;
        }
        match self.leases.get(&id) {
            None => Renewal::NotFound,
            Some(lease) if lease.is_expired(now) && !self.terms.defects.has(Defect::ExpiredRenewed) => {
                Renewal::Expired
            }
            Some(lease) if lease.may_be_checkpointed() => Renewal::Checkpointed,
            Some(_) => Renewal::Possible,
        }
    }

    /// Gives a lease its time anew, and `extend` on top.
    pub fn refresh(&mut self, id: i64, extend: Duration, now: Instant) {
        let (Some(lease), Some(primary)) = (self.leases.get_mut(&id), &mut self.primary) else { return };
        let expiry = now + (extend + lease.due());
        lease.set_expiry(Some(expiry));
        primary.expiries.set(id, expiry);
    }

    /// A checkpoint that clears all before it is about to be proposed, or could not be.
    pub fn clearing(&mut self, id: i64, failed: bool) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.set_checkpointing(failed);
        }
    }

    /// Whether a lease has expired for the primary of `term`.
    #[must_use]
    pub fn is_expired(&self, id: i64, term: u64, now: Instant) -> bool {
        self.renewal(id, term, now) == Renewal::Expired
    }

    /// Leases that have expired, and whose revocation is not under way, for all that is known. At most half of those
    /// that may be revoked in a second: it is asked twice in one.
    pub fn expired(&mut self, now: Instant) -> Vec<i64> {
        let Some(primary) = &mut self.primary else { return Vec::new() };
        let limit = (self.terms.revoke_rate / 2).max(1);
        let mut expired = Vec::new();
        while expired.len() < limit
            && let Some(id) = primary.expiries.due(now)
        {
            if self.leases.contains_key(&id) {
                primary.expiries.set(id, now + self.terms.retry_interval);
                expired.push(id);
            } else {
                primary.expiries.remove(id);
            }
        }
        expired
    }

    /// When the next lease expires, or the next checkpoint is due; nothing where this member is not the primary.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let primary = self.primary.as_ref()?;
        [primary.expiries.next(), primary.checkpoints.next()].into_iter().flatten().min()
    }

    /// Lets the time that a lease has left be written down in a while, if that makes a difference.
    pub(super) fn schedule_checkpoint(&mut self, id: i64, now: Instant) {
        let (Some(lease), Some(primary)) = (self.leases.get(&id), &mut self.primary) else { return };
        if let Some(interval) = self.terms.checkpoint_interval
            && lease.due() > Duration::from_secs(interval.as_secs())
        {
            primary.checkpoints.set(id, now + interval);
        }
    }

    /// Whether a checkpoint may be due.
    #[must_use]
    pub fn is_checkpoint_due(&self, now: Instant) -> bool {
        self.primary.as_ref().is_some_and(|primary| primary.checkpoints.due(now).is_some())
    }

    /// The checkpoints that are due. They must be proposed before anything else is.
    pub fn due_checkpoints(&mut self, now: Instant) -> Vec<LeaseCheckpoint> {
        let Some(primary) = &mut self.primary else { return Vec::new() };
        let mut checkpoints = Vec::new();
        while checkpoints.len() < CHECKPOINTS_MAX
            && let Some(id) = primary.checkpoints.due(now)
        {
            primary.checkpoints.remove(id);
            let Some(lease) = self.leases.get_mut(&id) else { continue };
            let Some(expiry) = lease.expiry().filter(|expiry| now < *expiry) else { continue };
            let left = expiry - now;
            let remaining_ttl = left.as_secs() as i64 + i64::from(left.subsec_nanos() > 0);
            if remaining_ttl < lease.ttl() {
                lease.set_checkpointing(true);
                checkpoints.push(LeaseCheckpoint { id, remaining_ttl });
            }
        }
        checkpoints
    }
}
