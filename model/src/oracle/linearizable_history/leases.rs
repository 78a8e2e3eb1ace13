//! Leases, by what clients saw.
//!
//! A lease can expire at any time, for all that its clients know, and then every key that is attached to it is gone, as
//! one revision that no operation of the history has made. So each grant that succeeded, or may have, brings a *ghost*
//! into the history: an unknown request to revoke the lease, invoked with the grant. (That a lease expires no sooner
//! than was promised is the business of another oracle.) Ghosts fill gaps as other unknown writes do; an unknown
//! revocation by a client needs no candidate of its own, since its ghost can do all that it can.
//!
//! What keeps the search short: a lease that was granted just once (nearly all are) lives from there to its only end.
//! Whatever shows it alive at a revision rules its ghost out up to there, and so does its acknowledged revocation
//! everywhere but at the revision that it saw. Once the replay has come to its end, no put with it succeeds.
//!
//! A lease without keys ends without a trace: module `beside` finds out when it can have.

use std::collections::{BTreeMap, BTreeSet};

use vertebra_sim::verdict::Violation;

use super::replies::{each_key, each_possible_put, each_put};
use super::{shape, violation};
use crate::api::LeaseRevokeRequest;
use crate::history::{History, Operation, Outcome, Request};
use crate::response::Response;

/// A lease that was granted just once.
#[derive(Clone, Copy)]
struct Once {
    /// The revision that its grant saw, and the operation.
    granted: i64,
    grant: u32,
    /// The last revision at which it is known to have existed.
    alive: i64,
    /// The revision that its acknowledged revocation saw.
    revoked: Option<i64>,
}

/// What the history tells of leases.
pub(super) struct Leases {
    once: BTreeMap<i64, Once>,
    /// An unknown revocation for each grant of a lease that keys were attached to, by invocation.
    ghosts: Vec<Operation>,
    /// When each grant that may have succeeded was invoked, by lease.
    grants: BTreeMap<i64, Vec<u64>>,
}

impl Leases {
    pub(super) fn of(history: &History) -> Result<Self, Violation> {
        let mut leases = Self { once: BTreeMap::new(), ghosts: Vec::new(), grants: BTreeMap::new() };
        // As in many a history: then nothing is attached to any, whatever a put asks for.
        if !history.operations().iter().any(|operation| matches!(operation.request, Request::LeaseGrant(_))) {
            return Ok(leases);
        }
        let mut attached = BTreeSet::new();
        for (number, operation) in (0..).zip(history.operations()) {
            let grant = match (&operation.request, &operation.outcome) {
                (_, Outcome::Failed(_)) => continue,
                (Request::LeaseGrant(_), Outcome::Ok(Response::LeaseGrant(granted))) => granted.id,
                (Request::LeaseGrant(request), Outcome::Unknown) if request.id != 0 => request.id,
                (request, _) => {
                    each_possible_put(request, &mut |put| {
                        if put.lease != 0 {
                            attached.insert(put.lease);
                        }
                    });
                    continue;
                }
            };
            let grants = leases.grants.entry(grant).or_default();
            grants.push(operation.invoked);
            match operation.reply().filter(|_| grants.len() == 1) {
                Some(reply) => {
                    let granted = reply.revision();
                    let once = Once { granted, grant: number, alive: granted, revoked: None };
                    leases.once.insert(grant, once);
                }
                None => {
                    leases.once.remove(&grant);
                }
            }
        }
        if leases.grants.is_empty() {
            return Ok(leases);
        }
        for (&id, grants) in leases.grants.iter().filter(|(id, _)| attached.contains(id)) {
            leases.ghosts.extend(grants.iter().map(|&invoked| Operation {
                session: u32::MAX,
                request: Request::LeaseRevoke(LeaseRevokeRequest { id }),
                invoked,
                returned: None,
                outcome: Outcome::Unknown,
            }));
        }
        leases.ghosts.sort_by_key(|ghost| ghost.invoked);
        leases.look(history)?;
        Ok(leases)
    }

    /// Finds until when leases are known to have existed.
    fn look(&mut self, history: &History) -> Result<(), Violation> {
        let mut result = Ok(());
        for operation in history.operations().iter().filter(|operation| !operation.request.is_serializable())
        {
            let Some(reply) = operation.reply() else { continue };
            let revision = reply.revision();
            let mut alive = |id: i64, from: i64, until: i64| {
                let Some(once) = self.once.get_mut(&id) else { return };
                if from <= once.granted && result.is_ok() {
                    let grant = &history.operations()[once.grant as usize];
                    let detail = format!("{grant}\n{operation}: revision {from} has a key with this lease");
                    result = Err(violation("lease order", shape(grant, operation), detail));
                }
                once.alive = once.alive.max(until);
            };
            each_put(&operation.request, reply, &mut |put| alive(put.lease, revision, revision));
            each_key(&operation.request, reply, &mut |sight| {
                alive(sight.kv.lease, sight.kv.mod_revision, sight.until);
            });
            if let Request::LeaseRevoke(LeaseRevokeRequest { id }) = &operation.request
                && let Some(once) = self.once.get_mut(id)
            {
                once.revoked = Some(revision);
            }
        }
        result?;
        for (id, once) in &self.once {
            if let Some(revoked) = once.revoked
                && (revoked < once.granted || revoked < once.alive)
            {
                let grant = &history.operations()[once.grant as usize];
                let detail = format!(
                    "{grant}\nlease {id} was revoked at revision {revoked}, and lived at {}",
                    once.alive
                );
                return Err(violation("lease order", grant.request.kind(), detail));
            }
        }
        Ok(())
    }

    /// The numbers of all that may have been granted.
    pub(super) fn granted(&self) -> impl Iterator<Item = i64> {
        self.grants.keys().copied()
    }

    pub(super) fn ghosts(&self) -> &[Operation] {
        &self.ghosts
    }

    /// The leases that end once and for ever.
    pub(super) fn granted_once(&self) -> BTreeSet<i64> {
        self.once.keys().copied().collect()
    }

    /// Whether the lease cannot have been revoked at `revision`, together with keys.
    pub(super) fn refute(&self, id: i64, revision: i64) -> bool {
        let Some(once) = self.once.get(&id) else { return false };
        revision <= once.alive || once.revoked.is_some_and(|revoked| revoked != revision)
    }
}
