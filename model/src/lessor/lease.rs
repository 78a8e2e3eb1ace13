//! One lease.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use vertebra_sim::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A lease.
#[derive(Clone, Debug)]
pub struct Lease {
    ttl: i64,
    /// What was left at the last checkpoint, in seconds; 0 if there was none since the lease was kept alive.
    remaining_ttl: i64,
    /// When it expires, by the primary's clock; nothing on other members.
    expiry: Option<Instant>,
    keys: BTreeSet<Bytes>,
    /// A checkpoint has been proposed, and none since that clears it: whether it will be applied is not known.
    checkpointing: bool,
}

impl Lease {
    pub(super) fn new(ttl: i64) -> Self {
        Self { ttl, remaining_ttl: 0, expiry: None, keys: BTreeSet::new(), checkpointing: false }
    }

    /// For how long it was granted, in seconds.
    #[must_use]
    pub fn ttl(&self) -> i64 {
        self.ttl
    }

    /// What was left at the last checkpoint, in seconds; 0 if there was none since the lease was kept alive.
    #[must_use]
    pub fn remaining_ttl(&self) -> i64 {
        self.remaining_ttl
    }

    /// The keys that are attached to it, sorted.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.keys.iter()
    }

    /// When it expires by the clock of the primary, which counts what [`Node::monotonic`](vertebra_sim::Node::monotonic)
    /// does; nothing where this member is not the primary.
    #[must_use]
    pub fn expiry(&self) -> Option<Instant> {
        self.expiry
    }

    /// Whole seconds that are left at `now`; nothing where this member is not the primary. Negative once it has been
    /// expired for a second.
    #[must_use]
    pub fn seconds_left(&self, now: Instant) -> Option<i64> {
        let expiry = self.expiry?;
        Some(if expiry >= now { seconds(expiry - now) } else { -seconds(now - expiry) })
    }

    /// Whether it has expired. It never has where this member is not the primary.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= now)
    }

    /// What a primary that begins now gives it.
    pub(super) fn due(&self) -> Duration {
        let seconds = if self.remaining_ttl > 0 { self.remaining_ttl } else { self.ttl };
        Duration::from_secs(seconds.unsigned_abs())
    }

    pub(super) fn set_remaining_ttl(&mut self, seconds: i64) {
        self.remaining_ttl = seconds;
    }

    pub(super) fn set_expiry(&mut self, expiry: Option<Instant>) {
        self.expiry = expiry;
    }

    /// Whether a new primary might give it less than all of its TTL.
    pub(super) fn may_be_checkpointed(&self) -> bool {
        self.remaining_ttl > 0 || self.checkpointing
    }

    pub(super) fn set_checkpointing(&mut self, checkpointing: bool) {
        self.checkpointing = checkpointing;
    }

    pub(super) fn attach(&mut self, key: Bytes) {
        self.keys.insert(key);
    }

    pub(super) fn detach(&mut self, key: &[u8]) {
        self.keys.remove(key);
    }

    /// Of what it was granted for.
    pub(super) fn granted_hash(&self, id: i64) -> u64 {
        xxh3_64_with_seed(&self.ttl.to_le_bytes(), id as u64)
    }

    /// Of what is written down that is left of it; 0 if nothing is.
    pub(super) fn left_hash(&self, id: i64) -> u64 {
        match self.remaining_ttl {
            0 => 0,
            left => xxh3_64_with_seed(&left.to_le_bytes(), id as u64),
        }
    }
}

/// Of a key that is attached to a lease.
pub(super) fn attachment_hash(key: &[u8], id: i64) -> u64 {
    xxh3_64_with_seed(key, id as u64)
}

fn seconds(duration: Duration) -> i64 {
    duration.as_secs().try_into().unwrap_or(i64::MAX)
}
