//! Leases: keys that live for as long as somebody says that they are still wanted.
//!
//! This is etcd's lessor as a state machine without time, tasks and disk of its own: what the log says changes it on
//! every member alike, and what the clock says is the business of the primary alone, which is the one that leads.
//!
//! - `lease`: one lease;
//! - `bucket`: what is kept of leases in the backend, and how it becomes leases again;
//! - `primary`: what the leader does: it lets leases expire, keeps them alive, and writes down how long they have left;
//! - `schedule`: moments at which something is due.
//!
//! What clients see of a lease is here as well: [`TTL_MAX`], and the TTL that every lease has at least
//! ([`Terms::ttl_min`]).

mod bucket;
mod lease;
mod primary;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vertebra_sim::time::Instant;

use crate::api::{LeaseCheckpoint, LeaseGrantRequest};
use crate::defect::{Defect, Defects};
use crate::error::Error;
use crate::mvcc::{Leases, Read, Store, Write};
use crate::oracle::agreement::LeaseHash;

pub use lease::Lease;
use primary::Primary;
pub use primary::Renewal;

/// The longest TTL, in seconds.
pub const TTL_MAX: i64 = 9_000_000_000;

/// What a lessor is told by its configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The shortest TTL, in seconds: one and a half election timeouts, so that a change of the leader does not cost a
    /// lease its life.
    pub ttl_min: i64,
    /// How often the primary writes down how long a lease has left; nothing: never.
    pub checkpoint_interval: Option<Duration>,
    /// How many leases may expire in a second.
    pub revoke_rate: usize,
    /// How long the primary waits for the revocation of an expired lease before it proposes another.
    pub retry_interval: Duration,
    /// The bugs that are switched on.
    pub defects: Defects,
}

/// The leases in a backend: each with its TTL, in seconds, which is at least `ttl_min`.
///
/// # Panics
///
/// If a record is none.
pub fn granted(tx: &impl Read, ttl_min: i64) -> BTreeMap<i64, i64> {
    bucket::all(tx, ttl_min).into_iter().map(|(id, lease)| (id, lease.ttl())).collect()
}

/// The leases of a member.
#[derive(Debug)]
pub struct Lessor {
    terms: Terms,
    leases: BTreeMap<i64, Lease>,
    /// The lease of each key that has one.
    items: BTreeMap<Bytes, i64>,
    /// Sums of the hashes of all leases and attachments: they do not depend on how these came about.
    hash: LeaseHash,
    primary: Option<Primary>,
}

impl Lessor {
    /// A lessor without leases, which is not the primary.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            leases: BTreeMap::new(),
            items: BTreeMap::new(),
            hash: LeaseHash::default(),
            primary: None,
        }
    }

    /// Whether `request` can be granted.
    ///
    /// # Errors
    ///
    /// `LeaseNotFound` for the lease 0, which stands for none; `LeaseTtlTooLarge`, `LeaseExists`.
    pub fn check_grant(&self, request: &LeaseGrantRequest) -> Result<(), Error> {
        if request.id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if request.ttl > TTL_MAX {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&request.id) {
            return Err(Error::LeaseExists);
        }
        Ok(())
    }

    /// Grants a lease that [can be granted](Self::check_grant); the TTL that it gets, in seconds.
    pub fn grant(&mut self, tx: &mut impl Write, request: &LeaseGrantRequest, now: Instant) -> i64 {
        let id = request.id;
        let lease = Lease::new(request.ttl.max(self.terms.ttl_min));
        let ttl = lease.ttl();
        bucket::put(tx, id, &lease);
        self.insert(id, lease);
        if self.primary.is_some() {
            self.refresh(id, Duration::ZERO, now);
            self.schedule_checkpoint(id, now);
        }
        ttl
    }

    fn insert(&mut self, id: i64, lease: Lease) {
        self.hash.granted = self.hash.granted.wrapping_add(lease.granted_hash(id));
        self.hash.left = self.hash.left.wrapping_add(lease.left_hash(id));
        self.leases.insert(id, lease);
    }

    /// Revokes a lease: deletes the keys that are attached to it, in their order and as one change of the store, and
    /// the lease itself together with them. How many keys there were.
    ///
    /// # Errors
    ///
    /// `LeaseNotFound`; nothing changes then.
    pub fn revoke(&mut self, store: &mut Store, tx: &mut impl Write, id: i64) -> Result<usize, Error> {
        let keys: Vec<Bytes> = self.leases.get(&id).ok_or(Error::LeaseNotFound)?.keys().cloned().collect();
        store.delete_keys(tx, self, &keys);
        if let Some(lease) = self.leases.remove(&id) {
            self.hash.granted = self.hash.granted.wrapping_sub(lease.granted_hash(id));
            self.hash.left = self.hash.left.wrapping_sub(lease.left_hash(id));
        }
        bucket::delete(tx, id);
        Ok(keys.len())
    }

    /// Takes down how long leases have left. Those that are gone are passed over.
    pub fn checkpoint(&mut self, tx: &mut impl Write, checkpoints: &[LeaseCheckpoint], now: Instant) {
        for &LeaseCheckpoint { id, remaining_ttl } in checkpoints {
            let Some(lease) = self.leases.get_mut(&id) else { continue };
            self.hash.left = self.hash.left.wrapping_sub(lease.left_hash(id));
            lease.set_remaining_ttl(remaining_ttl);
            self.hash.left = self.hash.left.wrapping_add(lease.left_hash(id));
            if !self.terms.defects.has(Defect::CheckpointNotWritten) {
                bucket::put(tx, id, lease);
            }
            if self.primary.is_some() {
                self.schedule_checkpoint(id, now);
            }
        }
    }

    /// A lease.
    #[must_use]
    pub fn lookup(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// All leases, by number.
    pub fn leases(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }

    /// The lease of a key; 0 for none.
    #[must_use]
    pub fn lease_of(&self, key: &[u8]) -> i64 {
        self.items.get(key).copied().unwrap_or(0)
    }

    /// How many keys are attached to leases.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.items.len()
    }

    /// Hashes of all leases, of what is kept of them in the backend, and of all attachments. Members that have applied
    /// the same must have the same.
    #[must_use]
    pub fn hash(&self) -> LeaseHash {
        self.hash
    }

    /// Takes over the leases of a backend, and which keys are attached to them by what the store has found. This member
    /// is not the primary.
    pub fn recover(&mut self, tx: &impl Read, attachments: BTreeMap<Bytes, i64>) {
        *self = Self::new(self.terms);
        for (id, lease) in bucket::all(tx, self.terms.ttl_min) {
            if id < 0 && self.terms.defects.has(Defect::NegativeLeasesForgotten) {
                continue;
            }
            self.insert(id, lease);
        }
        let forgotten = self.terms.defects.has(Defect::AttachmentsForgotten);
        for (key, id) in attachments.into_iter().filter(|_| !forgotten) {
            // A key of a lease that is unknown has none, as in etcd. The members' hashes tell.
            if self.leases.contains_key(&id) {
                self.attach(&key, id);
            }
        }
    }
}

impl Leases for Lessor {
    fn exists(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    fn attach(&mut self, key: &Bytes, id: i64) {
        let before = if self.items.is_empty() { 0 } else { self.lease_of(key) };
        if before == id {
            return;
        }
        if before != 0 && !self.terms.defects.has(Defect::AttachmentKept) {
            self.items.remove(key);
            self.hash.attached = self.hash.attached.wrapping_sub(lease::attachment_hash(key, before));
            if let Some(lease) = self.leases.get_mut(&before) {
                lease.detach(key);
            }
        }
        if id != 0 {
            let Some(lease) = self.leases.get_mut(&id) else {
                panic!("a key is attached to lease {id}, which does not exist");
            };
            lease.attach(key.clone());
            self.items.insert(key.clone(), id);
            self.hash.attached = self.hash.attached.wrapping_add(lease::attachment_hash(key, id));
        }
    }
}
