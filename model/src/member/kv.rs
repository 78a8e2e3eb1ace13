//! The store of a member on its backend. Its leases are in `leases`, its users and roles in `auth`.

mod auth;
mod leases;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::future::{Either, select};
use thiserror::Error;
use tokio::sync::{Notify, oneshot};
use vertebra_sim::{Node, NodeDisk, record, sometimes};

use super::alarms::Alarms;
use super::compaction::{Compactions, Job};
use super::consistent_index::{self, ConsistentIndex};
use super::watches::{Held, Watches};
use crate::api::{Event, InternalRaftRequest, KeyValue};
use crate::auth::{AuthStore, Tokens};
use crate::backend::{Backend, BackendError, BatchTx, Commits, Layout, Limits, ReadTx};
use crate::defect::{Defect, Defects};
use crate::error::Error;
use crate::failpoints;
use crate::lessor::Lessor;
use crate::mvcc::{KvHash, RestoreError, Restored, Store};
use crate::options::Options;
use crate::oracle::agreement::StateHash;
use crate::oracle::durability;
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
    auth: RefCell<AuthStore>,
    tokens: RefCell<Tokens>,
    defects: Defects,
    /// Index of the last entry whose changes readers see.
    visible: Cell<u64>,
    compactions: Compactions,
    watches: Watches,
    alarms: Alarms,
    /// Ends the commits of the backend at intervals.
    closing: RefCell<Option<oneshot::Sender<()>>>,
}

/// Takes the entry up to which all is durable.
type Listener = Rc<dyn Fn(u64)>;

/// What commits need to know.
struct State {
    store: RefCell<Store>,
    index: ConsistentIndex,
    /// Who is told how far the backend has come, when that is durable.
    listener: RefCell<Option<Listener>>,
    /// How often the backend was replaced by that of a snapshot. What goes on over awaits must see that.
    generation: Cell<u32>,
}

impl Kv {
    /// The store of an open backend, and its leases.
    pub(super) fn restore(node: &Node, options: &Options, backend: Backend) -> Result<Self, KvError> {
        let Restored { store, unfinished, leases } = restore(&backend, options.defects)?;
        let index = ConsistentIndex::default();
        let state = Rc::new(State {
            store: RefCell::new(store),
            index,
            listener: RefCell::default(),
            generation: Cell::new(0),
        });
        state.index.load(&backend.read());
        let kv = Self {
            node: node.clone(),
            backend: RefCell::new(backend),
            visible: Cell::new(state.index.get()),
            state,
            lessor: RefCell::new(Lessor::new(leases::terms(options))),
            leases_changed: Notify::new(),
            auth: RefCell::default(),
            tokens: RefCell::new(Tokens::new(options.auth.token_ttl)),
            defects: options.defects,
            compactions: Compactions::default(),
            watches: Watches::new(options),
            alarms: Alarms::default(),
            closing: RefCell::default(),
        };
        kv.recover_leases(leases);
        kv.recover_auth(false);
        kv.attach();
        kv.alarms.restore(&kv.backend().read());
        kv.resume(unfinished);
        Ok(kv)
    }

    /// Puts the backend of a snapshot in the place of the old one.
    ///
    /// What is derived from the backend is recovered here, each part from the new one: the consistent index first,
    /// since a commit would write the old one into the new backend.
    /// The watchers stay: what they were not told of, the new backend knows.
    pub(super) async fn replace(&self, backend: Backend) -> Result<(), KvError> {
        self.node.failpoint(failpoints::BEFORE_RESTORE_WATCHERS).await;
        let _held = self.watches.lock().await;
        let told = self.revision();
        if self.defects.has(Defect::IndexOfOldBackend) {
            // Leases were recovered first, and what they were given was committed, by the hook that writes the index.
            let (index, term) = self.state.index.place();
            let mut tx = backend.lock().await;
            consistent_index::force(&mut tx, index, term);
            tx.unlock().await?;
            backend.force_commit().await?;
        }
        self.state.index.load(&backend.read());
        let Restored { store, unfinished, leases } = restore(&backend, self.defects)?;
        *self.state.store.borrow_mut() = store;
        self.visible.set(self.state.index.get());
        *self.backend.borrow_mut() = backend;
        self.recover_leases(leases);
        self.recover_auth(true);
        sometimes!(
            self.node,
            "users and roles come with a snapshot",
            self.auth().size() > 0,
            when = |run| run.has("auth") && run.members > 1
        );
        let attached = self.lessor.borrow().attached();
        sometimes!(
            self.node,
            "leases come with a snapshot, and keys with them",
            attached > 0,
            when = |run| { run.has("leases") }
        );
        self.state.generation.set(self.generation() + 1);
        self.attach();
        self.alarms.restore(&self.backend().read());
        self.resume(unfinished);
        let restored = self.watches.watchers().borrow_mut().restore(told);
        sometimes!(self.node, "a snapshot from the leader comes while watches are synced", restored > 0);
        self.watches.unsynced_came();
        Ok(())
    }

    /// Carries on with a compaction that the backend says was scheduled and not finished.
    fn resume(&self, unfinished: Option<i64>) {
        self.compactions.note_finished(Store::finished_compaction(&self.backend().read()));
        if let Some(main) = unfinished {
            record!(self.node, "compaction", "at {} is carried on with", main);
            let before = self.change(|store| store.resume_compaction(main));
            self.compactions.push(Job { main, before, generation: self.generation(), hashes: false });
        }
    }

    /// Lets the commits of the backend know how far the store has come, and starts to commit at intervals.
    fn attach(&self) {
        let (backend, state, generation) = (self.backend(), Rc::clone(&self.state), self.generation());
        backend.set_pre_commit_hook(move |tx| {
            // A commit of an old backend must not pass for one of that which took its place.
            if state.generation.get() != generation {
                return;
            }
            let hash = state.store.borrow().state_hash();
            state.index.save(tx, hash);
        });
        let state = Rc::clone(&self.state);
        backend.set_post_commit_hook(move || {
            let listener = state.listener.borrow();
            if let Some(listener) = listener.as_ref().filter(|_| state.generation.get() == generation) {
                listener(state.index.saved());
            }
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

    /// Tells `listener` the index of the last entry whose changes are durable, whenever a commit ends.
    pub(super) fn tell_commits(&self, listener: impl Fn(u64) + 'static) {
        *self.state.listener.borrow_mut() = Some(Rc::new(listener));
    }

    /// Ends the commits at intervals.
    pub(super) fn close(&self) {
        self.closing.borrow_mut().take();
    }

    pub(super) fn backend(&self) -> Backend {
        self.backend.borrow().clone()
    }

    pub(super) fn generation(&self) -> u32 {
        self.state.generation.get()
    }

    pub(super) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    pub(super) fn watches(&self) -> &Watches {
        &self.watches
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
        let mut tx = self.backend().lock().await;
        self.state.index.locked_inside_apply();
        let result = write(&mut self.state.store.borrow_mut(), &mut tx);
        // As in etcd, watchers are told first: one can know of a write that readers do not see yet.
        let _held = self.notify_watchers(&tx).await;
        tx.unlock().await?;
        self.publish();
        Ok(result)
    }

    /// Tells the synced watchers of the revision that is being written, if there is one. No watch begins and none is
    /// synced until what is returned is dropped.
    async fn notify_watchers(&self, tx: &BatchTx) -> Option<Held<'_>> {
        let (seen, written) = {
            let store = self.state.store.borrow();
            (store.revision(), store.written_revision())
        };
        if written == seen {
            return None;
        }
        self.node.failpoint(failpoints::BEFORE_NOTIFY_WATCHERS).await;
        let held = self.watches.lock().await;
        if self.watches.any_synced() {
            let events: Vec<_> = Store::records(tx, written).into_iter().map(Event::from).collect();
            let victims = self.watches.watchers().borrow_mut().notify(written, &events);
            if victims > 0 {
                record!(self.node, "watch", "{} watchers have no room for revision {}", victims, written);
                sometimes!(self.node, "a synced watcher becomes a victim");
                self.watches.victims_came();
            }
        }
        Some(held)
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

    /// The same, as if it were of no entry.
    async fn write_without_index<T>(&self, write: impl FnOnce(&mut BatchTx) -> T) -> Result<T, BackendError> {
        let mut tx = self.backend().lock().await;
        let result = write(&mut tx);
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
        if let Some(result) = self.apply_to_leases(request).await? {
            return Ok(result);
        }
        let result = self.write(|store, tx| store.apply(tx, &mut *self.lessor.borrow_mut(), request)).await?;
        sometimes!(
            self.node,
            "a write is refused, for its lease is gone",
            result == Err(Error::LeaseNotFound),
            when = |run| { run.has("leases") }
        );
        Ok(result)
    }

    /// Makes everything durable that was applied.
    pub(super) async fn commit(&self) -> Result<(), BackendError> {
        self.backend().force_commit().await
    }

    /// The hash of all records, and where it was taken.
    pub(crate) fn hash(&self) -> Option<KvHash> {
        self.read(|store, tx| store.hash_by_revision(tx, 0)).ok().map(|(hash, _)| hash)
    }

    pub(crate) fn revision(&self) -> i64 {
        self.state.store.borrow().revision()
    }

    pub(crate) fn disk(&self) -> NodeDisk {
        self.node.disk()
    }

    /// What is in use of the backend's file, and the whole of it, in bytes.
    pub(crate) fn backend_bytes(&self) -> (u64, u64) {
        let backend = self.backend();
        (backend.size_in_use(), backend.size())
    }

    /// How the backend lies in its file, and how it has committed.
    pub(crate) fn backend_accounts(&self) -> (Layout, Commits) {
        (self.backend().layout(), self.backend().commits())
    }

    /// How many compactions are still to be carried out.
    pub(crate) fn compactions_left(&self) -> u32 {
        self.compactions.left()
    }

    /// The revision of the last compaction that is still to be carried out, if no task has begun with it.
    pub(crate) fn waiting_compaction(&self) -> Option<i64> {
        self.compactions.waiting()
    }

    /// The revision at which the store is compacted, and that of which those who wait for a compaction are told.
    pub(crate) fn compacted_and_told(&self) -> (i64, i64) {
        (self.state.store.borrow().compact_revision(), self.compactions.finished())
    }

    /// How many watchers there are.
    pub(crate) fn watchers(&self) -> usize {
        self.watches.watchers().borrow().count()
    }

    /// What everything that was applied has come to.
    pub(crate) fn state_hash(&self) -> StateHash {
        StateHash {
            keys: self.state.store.borrow().state_hash(),
            leases: self.lessor.borrow().hash(),
            users: self.auth.borrow().hash(),
        }
    }
}

fn restore(backend: &Backend, defects: Defects) -> Result<Restored, RestoreError> {
    let tx = backend.read();
    Store::restore_with(&tx, consistent_index::state_hash(&tx), defects)
}

/// How the options want commits to be gathered.
pub(super) fn limits(options: &Options) -> Limits {
    Limits {
        batch_interval: options.backend_batch_interval,
        batch_limit: options.backend_batch_limit,
        defects: options.defects,
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
