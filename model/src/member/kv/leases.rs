//! The leases of a member: what the log says of them, and what only the primary knows.

use std::cell::Ref;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use vertebra_sim::{Violation, record, sometimes};

use super::Kv;
use crate::api::{
    InternalRaftRequest, LeaseCheckpointRequest, LeaseCheckpointResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, RangeRequest, ResponseHeader,
};
use crate::backend::BackendError;
use crate::error::Error;
use crate::failpoints;
use crate::lessor::{Lessor, Terms};
use crate::options::Options;
use crate::oracle::leases;
use crate::response::Response;

impl Kv {
    /// Applies a request that is about leases alone; nothing if it is another.
    pub(super) async fn apply_to_leases(
        &self,
        request: &InternalRaftRequest,
    ) -> Result<Option<Result<Response, Error>>, BackendError> {
        let InternalRaftRequest { lease_grant, lease_revoke, lease_checkpoint, .. } = request;
        if lease_grant.is_none() && lease_revoke.is_none() && lease_checkpoint.is_none() {
            return Ok(None);
        }
        self.node.failpoint(failpoints::LEASE_BEFORE_APPLY).await;
        let result = match (lease_grant, lease_revoke, lease_checkpoint) {
            (Some(grant), _, _) => Box::pin(self.grant(grant)).await?,
            (_, Some(revoke), _) => Box::pin(self.revoke(*revoke)).await?,
            (_, _, Some(checkpoints)) => Ok(Box::pin(self.checkpoint(checkpoints)).await?),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(result))
    }

    /// Recovers the leases from the backend, and from the store which keys are attached to them.
    pub(super) fn recover_leases(&self, attachments: BTreeMap<Bytes, i64>) {
        let mut lessor = self.lessor.borrow_mut();
        lessor.recover(&self.backend.borrow().read(), attachments);
        if lessor.leases().next().is_some() {
            let (count, attached) = (lessor.leases().count() as u64, lessor.attached() as u64);
            record!(self.node, "lease", "{} leases are recovered, with {} keys", count, attached);
            sometimes!(
                self.node,
                "leases are recovered with their keys",
                attached > 0,
                when = |run| { run.has("leases") }
            );
            let negative = lessor.leases().any(|(id, _)| id < 0);
            sometimes!(
                self.node,
                "a lease with a negative number is recovered",
                negative,
                when = |run| { run.has("leases") }
            );
            let shortened = lessor.leases().any(|(_, lease)| lease.remaining_ttl() > 0);
            sometimes!(
                self.node,
                "a checkpoint of a lease is recovered",
                shortened,
                when = |run| { run.has("lease checkpoints") }
            );
        }
        drop(lessor);
        self.leases_changed.notify_waiters();
    }

    async fn grant(&self, request: &LeaseGrantRequest) -> Result<Result<Response, Error>, BackendError> {
        if let Err(error) = self.lessor.borrow().check_grant(request) {
            return Ok(Err(error));
        }
        let ttl =
            self.write(|_, tx| self.lessor.borrow_mut().grant(tx, request, self.node.monotonic())).await?;
        self.wake_primary();
        let (header, id, error) = (self.header(), request.id, String::new());
        Ok(Ok(Response::LeaseGrant(LeaseGrantResponse { header, id, ttl, error })))
    }

    async fn revoke(&self, request: LeaseRevokeRequest) -> Result<Result<Response, Error>, BackendError> {
        if self.lessor.borrow().lookup(request.id).is_none() {
            return Ok(Err(Error::LeaseNotFound));
        }
        let revoked = self.write(|store, tx| self.lessor.borrow_mut().revoke(store, tx, request.id)).await?;
        self.wake_primary();
        sometimes!(
            self.node,
            "a lease takes several keys with it",
            revoked.is_ok_and(|keys| keys > 1),
            when = |run| { run.has("leases") }
        );
        Ok(revoked.map(|_| Response::LeaseRevoke(LeaseRevokeResponse { header: self.header() })))
    }

    async fn checkpoint(&self, request: &LeaseCheckpointRequest) -> Result<Response, BackendError> {
        let now = self.node.monotonic();
        self.write(|_, tx| self.lessor.borrow_mut().checkpoint(tx, &request.checkpoints, now)).await?;
        Ok(Response::LeaseCheckpoint(LeaseCheckpointResponse { header: self.header() }))
    }

    /// Nobody else has anything to do when a lease comes or goes.
    fn wake_primary(&self) {
        if self.lessor.borrow().primary().is_some() {
            self.leases_changed.notify_waiters();
        }
    }

    pub(super) fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.revision(), ..ResponseHeader::default() })
    }

    pub(in crate::member) fn lessor(&self) -> Ref<'_, Lessor> {
        self.lessor.borrow()
    }

    /// Changes what is not in the log: what the primary knows.
    pub(in crate::member) fn change_lessor<T>(&self, change: impl FnOnce(&mut Lessor) -> T) -> T {
        change(&mut self.lessor.borrow_mut())
    }

    /// Whom a grant or a revocation wakes, and that this member becomes the primary or is it no more.
    pub(in crate::member) fn leases_changed(&self) -> &Notify {
        &self.leases_changed
    }

    /// This member leads in `term`, and has applied everything from before.
    pub(in crate::member) fn promote(&self, term: u64, extend: Duration) {
        let mut lessor = self.lessor.borrow_mut();
        let spread = lessor.promote(term, extend, self.node.monotonic());
        if lessor.leases().next().is_some() {
            let count = lessor.leases().count() as u64;
            record!(self.node, "lease", "primary of {} leases in term {}", count, term);
            sometimes!(
                self.node,
                "a member begins to lead with leases that have keys",
                lessor.attached() > 0,
                when = |run| { run.has("leases") }
            );
            sometimes!(
                self.node,
                "leases that would expire at once are spread",
                spread,
                when = |run| { run.has("leases") }
            );
            let shortened = lessor.leases().any(|(_, lease)| lease.remaining_ttl() > 0);
            sometimes!(
                self.node,
                "a new leader gives a lease what its checkpoint left",
                shortened,
                when = |run| { run.has("lease checkpoints") }
            );
        }
        drop(lessor);
        self.leases_changed.notify_waiters();
    }

    /// This member does not lead any more, or not in the same term.
    pub(in crate::member) fn demote(&self) {
        self.lessor.borrow_mut().demote();
        self.leases_changed.notify_waiters();
    }
}

/// For oracles.
impl Kv {
    /// Whether no lease of less than `ttl` seconds is left.
    pub(crate) fn leases_have_expired(&self, ttl: i64) -> bool {
        self.lessor.borrow().leases().all(|(_, lease)| lease.ttl() >= ttl)
    }

    /// The leases, and what is left of them since that was last written down, in seconds.
    pub(crate) fn remaining_ttls(&self) -> Vec<(i64, i64)> {
        self.lessor.borrow().leases().map(|(id, lease)| (id, lease.remaining_ttl())).collect()
    }

    pub(crate) fn check_primary(&self, member: u64, leads: Option<u64>) -> Result<(), Violation> {
        leases::check_primary(member, leads, self.lessor.borrow().primary())
    }

    pub(crate) fn check_attachments(&self, member: u64) -> Result<(), Violation> {
        if !self.state.store.borrow().is_published() {
            // The lessor is ahead by what is being applied.
            return Ok(());
        }
        let lessor = self.lessor.borrow();
        let all = Bytes::from_static(b"\0");
        let read = RangeRequest { key: all.clone(), range_end: all, ..RangeRequest::default() };
        match self.read(|store, tx| store.range(tx, &read)) {
            Ok(found) => {
                let lease_of = |key: &[u8]| lessor.lease_of(key);
                leases::check_attachments(member, &found.kvs, lease_of, lessor.attached())
            }
            Err(error) => unreachable!("a read of the present: {error}"),
        }
    }
}

/// What the options say of leases.
pub(super) fn terms(options: &Options) -> Terms {
    Terms {
        ttl_min: options.lease_ttl_min(),
        checkpoint_interval: options.leases.checkpoint_interval,
        revoke_rate: options.leases.revoke_rate,
        retry_interval: options.request_timeout(),
        defects: options.defects,
    }
}
