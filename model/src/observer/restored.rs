//! What is saved of a cluster, and the cluster that is restored from it.
//!
//! They are two clusters, and each has its observer. The log of the new one, as its witness has it, begins with what of
//! the old one's is in the snapshot, and its history with an operation for each of these entries, one after the other. So
//! every oracle holds the new cluster to what was saved without knowing that it was restored: a write that was saved is
//! to be found and stays acknowledged, a lease that was granted lives on, and what came later never was.

use std::rc::Rc;

use bytes::Bytes;
use vertebra_sim::{NodeId, World, record, sometimes};

use super::Observer;
use crate::api::{CompactionRequest, InternalRaftRequest, PutRequest, RequestHeader};
use crate::auth::ROOT;
use crate::backend;
use crate::history::{Outcome, Request};
use crate::member::index_of;
use crate::options::Options;
use crate::oracle::linearizable_log::LogEntry;
use crate::oracle::raft_safety::RaftSafety;
use crate::oracle::{snapshot, soundness};
use crate::restoration::{Restoration, TERM};
use crate::specification::Specification;

/// A database that a member sent, to be kept elsewhere.
pub(crate) struct Saved {
    pub(crate) database: Bytes,
    /// Of the cluster that it is of.
    observer: Rc<Observer>,
    /// The last entry that is in it, of the log as the witness has it.
    index: u64,
}

impl Saved {
    /// Whether its cluster has made changes by now that are not in it.
    pub(crate) fn misses_writes(&self) -> bool {
        self.observer.witness.borrow().entries().last().is_some_and(|last| last.index > self.index)
    }
}

impl Observer {
    /// The member on a machine has sent its database. It must be one that can be restored from, and what it holds must be
    /// what the log made of the store up to the entry that it says it has come to.
    pub(crate) fn saved(self: &Rc<Self>, from: NodeId, database: Bytes) -> Option<Saved> {
        let contents = match backend::contents(&database) {
            Ok(contents) => contents,
            Err(error) => {
                record!(self.world, "corruption", "{} sends a damaged snapshot: {}", from, error.to_string());
                self.check(soundness::damage(from, "snapshot for others", false));
                return None;
            }
        };
        let index = self.before_log.get() + index_of(&contents);
        self.check(snapshot::check(&contents, &self.witness.borrow(), index));
        Some(Saved { database, observer: Rc::clone(self), index })
    }

    /// The cluster that is restored from what was saved.
    pub(crate) fn restored(
        world: &World,
        options: &Options,
        saved: &Saved,
        restoration: &Restoration,
    ) -> Self {
        let (voters, index) = (&restoration.members, restoration.index());
        let new = Self::begin(world, options, voters, index, RaftSafety::beginning_at(voters, index, TERM));
        let mut prelude =
            Prelude { of: &new, store: new.witness.borrow().empty_store(), session: new.new_session() };
        let mut last = 0;
        for entry in saved.observer.witness.borrow().entries() {
            if entry.index > saved.index {
                break;
            }
            prelude.tell(entry.index, &entry.request);
            last = entry.index;
        }
        if restoration.bump > 0 {
            last = prelude.bump(last.max(saved.index), restoration.bump);
        }
        let leases = prelude.store.leases().count();
        sometimes!(
            world,
            "leases live on in a restored cluster",
            leases > 0,
            when = |run| run.has("leases")
                && (run.operation("snapshot-restore") || run.operation("snapshot-restore-bump"))
        );
        new.before_log.set(last.max(saved.index));
        new.witness.borrow_mut().begins_behind(new.before_log.get());
        new.before_history.set(new.history.borrow().operations().len() as u64);
        new.committed.borrow_mut().fill(new.history.borrow().clock());
        if world.is_healed() {
            new.healed();
        }
        new
    }

    /// The cluster is no more: what of it had no answer will have none, and nothing is asked of its members.
    pub(crate) fn retire(&self) {
        self.healed.set(None);
        self.members.borrow_mut().iter_mut().for_each(|view| view.kv = None);
    }
}

/// What a restored cluster begins with, told as if a client had done it.
struct Prelude<'a> {
    of: &'a Observer,
    /// What came of it so far.
    store: Specification,
    session: u32,
}

impl Prelude<'_> {
    /// Tells of an entry. One that is refused changes nothing, and one that is no request for the store neither: nobody
    /// needs to know of them.
    fn tell(&mut self, index: u64, proposal: &InternalRaftRequest) {
        let Some(request) = Request::of_proposal(proposal) else { return };
        let Ok(response) = self.store.apply(proposal) else { return };
        let Observer { history, freshness, witness, leases, world, .. } = self.of;
        let operation = history.borrow_mut().invoke(self.session, request);
        freshness.borrow_mut().invoked(operation);
        witness.borrow_mut().proposed(operation, proposal.header.as_ref().map_or(0, |header| header.id));
        leases.borrow_mut().applied(index, 0, proposal, world.now());
        let committed = history.borrow().clock();
        witness.borrow_mut().committed(LogEntry { index, request: proposal.clone(), committed });
        history.borrow_mut().returned(operation, Outcome::Ok(response));
        self.of.check(freshness.borrow_mut().returned(&history.borrow(), operation));
    }

    /// Tells of so many revisions more, each a write of the empty key, of which no client can ask; and of a compaction of
    /// all of them. Returns the index of that.
    fn bump(&mut self, mut index: u64, by: i64) -> u64 {
        // Nobody else proposes under such a number, and there is one for each entry. `root` may do everything.
        let auth = self.store.auth().filter(|auth| auth.is_enabled());
        let (username, auth_revision) =
            auth.map_or((String::new(), 0), |auth| (ROOT.to_owned(), auth.revision()));
        let header =
            |index| Some(RequestHeader { id: u64::MAX - index, username: username.clone(), auth_revision });
        for _ in 0..by {
            index += 1;
            let put = Some(PutRequest::default());
            self.tell(index, &InternalRaftRequest { header: header(index), put, ..Default::default() });
        }
        index += 1;
        let compaction = Some(CompactionRequest { revision: self.store.revision(), physical: false });
        self.tell(index, &InternalRaftRequest { header: header(index), compaction, ..Default::default() });
        index
    }
}
