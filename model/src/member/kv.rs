//! The store and the leases of a member on its backend.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use thiserror::Error;
use tokio::sync::{Notify, oneshot};
use vertebra_sim::{Node, Violation, record, sometimes};

use super::compaction::{Compactions, Job};
use super::consistent_index::{self, ConsistentIndex};
use crate::api::{
    InternalRaftRequest, KeyValue, LeaseCheckpointRequest, LeaseCheckpointResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, RangeRequest, ResponseHeader,
};
use crate::backend::{Backend, BackendError, BatchTx, Limits, ReadTx};
use crate::error::Error;
use crate::failpoints;
use crate::lessor::{Lessor, Terms};
use crate::mvcc::{RestoreError, Restored, Store};
use crate::options::Options;
use crate::oracle::{durability, leases};
use crate::response::Response;

/// The file of the backend. It is where etcd has it, next to the snapshots that can take its place.
pub(super) const PATH: &str = "snap/db";

/// Why a backend cannot be used.
#[derive(Debug, Error)]
pub(crate) enum KvError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the store in the backend: {0}")]
    Restore(#[from] RestoreError),
}

/// The store of a member: what is in memory, what is in the backend, and how far both have come.
pub(crate) struct Kv {
    node: Node,
    backend: RefCell<Backend>,
    state: Rc<State>,
    lessor: RefCell<Lessor>,
    /// Wakes those who wait for a lease to be granted or revoked, or for this member to become the primary or to be it
    /// no more.
    leases_changed: Notify,
    /// Index of the last entry whose changes readers see.
    visible: Cell<u64>,
    compactions: Compactions,
    /// Ends the commits of the backend at intervals.
    closing: RefCell<Option<oneshot::Sender<()>>>,
    /// How often the backend was replaced by that of a snapshot. What goes on over awaits must see that.
    generation: Cell<u32>,
}

/// What commits need to know.
struct State {
    store: RefCell<Store>,
    index: ConsistentIndex,
}

impl Kv {
    /// The store of an open backend, and its leases.
    pub(super) fn restore(node: &Node, options: &Options, backend: Backend) -> Result<Self, KvError> {
        let Restored { store, unfinished, leases } = restore(&backend)?;
        let state = Rc::new(State { store: RefCell::new(store), index: ConsistentIndex::default() });
        state.index.load(&backend.read());
        let kv = Self {
            node: node.clone(),
            backend: RefCell::new(backend),
            visible: Cell::new(state.index.get()),
            state,
            lessor: RefCell::new(Lessor::new(terms(options))),
            leases_changed: Notify::new(),
            compactions: Compactions::default(),
            closing: RefCell::default(),
            generation: Cell::new(0),
        };
        kv.recover_leases(leases);
        kv.attach();
        kv.resume(unfinished);
        Ok(kv)
    }

    /// Puts the backend of a snapshot in the place of the old one.
    ///
    /// What is derived from the backend is recovered here, each part from the new one: the consistent index first,
    /// since a commit would write the old one into the new backend.
    pub(super) fn replace(&self, backend: Backend) -> Result<(), KvError> {
        self.state.index.load(&backend.read());
        let Restored { store, unfinished, leases } = restore(&backend)?;
        *self.state.store.borrow_mut() = store;
        self.visible.set(self.state.index.get());
        *self.backend.borrow_mut() = backend;
        self.recover_leases(leases);
        let attached = self.lessor.borrow().attached();
        sometimes!(
            self.node,
            "leases come with a snapshot, and keys with them",
            attached > 0,
            when = |run| { run.has("leases") }
        );
        self.generation.set(self.generation.get() + 1);
        self.attach();
        self.resume(unfinished);
        Ok(())
    }

    /// Carries on with a compaction that the backend says was scheduled and not finished.
    fn resume(&self, unfinished: Option<i64>) {
        self.compactions.note_finished(Store::finished_compaction(&self.backend().read()));
        if let Some(main) = unfinished {
            record!(self.node, "compaction", "at {} is carried on with", main);
            let before = self.change(|store| store.resume_compaction(main));
            self.compactions.push(Job { main, before, generation: self.generation.get(), hashes: false });
        }
    }

    /// Recovers the leases from the backend, and from the store which keys are attached to them.
    fn recover_leases(&self, attachments: BTreeMap<Bytes, i64>) {
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

    /// Lets the commits of the backend know how far the store has come, and starts to commit at intervals.
    fn attach(&self) {
        let (backend, state) = (self.backend(), Rc::clone(&self.state));
        backend.set_pre_commit_hook(move |tx| {
            let hash = state.store.borrow().state_hash();
            state.index.save(tx, hash);
        });
        let node = self.node.clone();
        let (closing, closed) = oneshot::channel();
        // What is under way on the old backend ends: nobody will read it.
        *self.closing.borrow_mut() = Some(closing);
        self.node.spawn(async move {
            let committing = std::pin::pin!(backend.commit_on_interval());
            if let Either::Left((Err(error), _)) = select(committing, closed).await {
                node.exit(&error.to_string()).await;
            }
        });
    }

    pub(super) fn backend(&self) -> Backend {
        self.backend.borrow().clone()
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.get()
    }

    pub(super) fn compactions(&self) -> &Compactions {
        &self.compactions
    }

    pub(super) fn consistent_index(&self) -> &ConsistentIndex {
        &self.state.index
    }

    /// Answers from the store and a view of the backend that fits it.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Store, &ReadTx) -> T) -> T {
        read(&self.state.store.borrow(), &self.backend.borrow().read())
    }

    /// Changes the store in memory alone.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        change(&mut self.state.store.borrow_mut())
    }

    /// Changes store and backend for the entry that is being applied, as one.
    pub(super) async fn write<T>(
        &self,
        write: impl FnOnce(&mut Store, &mut BatchTx) -> T,
    ) -> Result<T, BackendError> {
        let result = self.write_unseen(write).await?;
        self.publish();
        Ok(result)
    }

    /// The same, but readers see nothing of it yet.
    pub(super) async fn write_unseen<T>(
        &self,
        write: impl FnOnce(&mut Store, &mut BatchTx) -> T,
    ) -> Result<T, BackendError> {
        let mut tx = self.backend().lock().await;
        self.state.index.locked_inside_apply();
        let result = write(&mut self.state.store.borrow_mut(), &mut tx);
        tx.unlock().await?;
        Ok(result)
    }

    /// Lets readers see what was written.
    pub(super) fn publish(&self) {
        self.state.store.borrow_mut().publish();
        self.visible.set(self.state.index.get());
    }

    /// Goes on to an entry that changes nothing.
    pub(super) fn pass(&self, index: u64, term: u64) {
        self.state.index.set(index, term);
        self.visible.set(index);
    }

    /// Index of the last entry whose changes readers see.
    pub(crate) fn visible_index(&self) -> u64 {
        self.visible.get()
    }

    /// Applies a request that changes keys or leases.
    pub(super) async fn apply(
        &self,
        request: &InternalRaftRequest,
    ) -> Result<Result<Response, Error>, BackendError> {
        let of_leases = request.lease_grant.is_some()
            || request.lease_revoke.is_some()
            || request.lease_checkpoint.is_some();
        if of_leases {
            self.node.failpoint(failpoints::LEASE_BEFORE_APPLY).await;
        }
        if let Some(grant) = &request.lease_grant {
            return self.grant(grant).await;
        }
        if let Some(revoke) = &request.lease_revoke {
            return self.revoke(*revoke).await;
        }
        if let Some(checkpoints) = &request.lease_checkpoint {
            return self.checkpoint(checkpoints).await.map(Ok);
        }
        self.write(|store, tx| store.apply(tx, &mut *self.lessor.borrow_mut(), request)).await
    }

    async fn grant(&self, request: &LeaseGrantRequest) -> Result<Result<Response, Error>, BackendError> {
        if let Err(error) = self.lessor.borrow().check_grant(request) {
            return Ok(Err(error));
        }
        let ttl =
            self.write(|_, tx| self.lessor.borrow_mut().grant(tx, request, self.node.monotonic())).await?;
        self.leases_changed.notify_waiters();
        let (header, id, error) = (self.header(), request.id, String::new());
        Ok(Ok(Response::LeaseGrant(LeaseGrantResponse { header, id, ttl, error })))
    }

    async fn revoke(&self, request: LeaseRevokeRequest) -> Result<Result<Response, Error>, BackendError> {
        if self.lessor.borrow().lookup(request.id).is_none() {
            return Ok(Err(Error::LeaseNotFound));
        }
        let revoked = self.write(|store, tx| self.lessor.borrow_mut().revoke(store, tx, request.id)).await?;
        self.leases_changed.notify_waiters();
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

    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.revision(), ..ResponseHeader::default() })
    }

    pub(super) fn lessor(&self) -> Ref<'_, Lessor> {
        self.lessor.borrow()
    }

    /// Changes what is not in the log: what the primary knows.
    pub(super) fn change_lessor<T>(&self, change: impl FnOnce(&mut Lessor) -> T) -> T {
        change(&mut self.lessor.borrow_mut())
    }

    /// Whom a grant or a revocation wakes, and that this member becomes the primary or is it no more.
    pub(super) fn leases_changed(&self) -> &Notify {
        &self.leases_changed
    }

    /// This member leads in `term`, and has applied everything from before.
    pub(super) fn promote(&self, term: u64, extend: Duration) {
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
    pub(super) fn demote(&self) {
        self.lessor.borrow_mut().demote();
        self.leases_changed.notify_waiters();
    }

    /// Makes everything durable that was applied.
    pub(super) async fn commit(&self) -> Result<(), BackendError> {
        self.backend().force_commit().await
    }

    pub(crate) fn revision(&self) -> i64 {
        self.state.store.borrow().revision()
    }

    /// A hash of everything that was applied, and of the leases that came of it.
    pub(crate) fn state_hash(&self) -> u64 {
        self.state.store.borrow().state_hash() ^ self.lessor.borrow().hash().rotate_left(32)
    }
}

fn restore(backend: &Backend) -> Result<Restored, RestoreError> {
    let tx = backend.read();
    Store::restore(&tx, consistent_index::state_hash(&tx))
}

/// How the options want commits to be gathered.
pub(super) fn limits(options: &Options) -> Limits {
    Limits { batch_interval: options.backend_batch_interval, batch_limit: options.backend_batch_limit }
}

// For oracles.
impl Kv {
    /// Whether no lease of less than `ttl` seconds is left.
    pub(crate) fn leases_have_expired(&self, ttl: i64) -> bool {
        self.lessor.borrow().leases().all(|(_, lease)| lease.ttl() >= ttl)
    }

    pub(crate) fn check_attachments(&self, member: u64) -> Result<(), Violation> {
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
fn terms(options: &Options) -> Terms {
    Terms {
        ttl_min: options.lease_ttl_min(),
        checkpoint_interval: options.leases.checkpoint_interval,
        revoke_rate: options.leases.revoke_rate,
        retry_interval: options.request_timeout(),
    }
}

impl durability::Records for Kv {
    fn revision(&self) -> i64 {
        self.revision()
    }

    fn compacted(&self) -> i64 {
        self.state.store.borrow().compact_revision()
    }

    fn get(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
        self.read(|store, tx| store.get(tx, key, revision)).ok()?
    }
}
