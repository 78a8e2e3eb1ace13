//! What the oracles are told while a run goes on.
//!
//! Members and clients share one observer and tell it what they do; they never ask it anything. So the oracles see
//! more than any process of the cluster, and no process knows more for it.

mod judgement;
mod restored;
mod upkeep;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Message, MessageType, SnapshotMetadata};
use vertebra_sim::atlas::Damage;
use vertebra_sim::{Instant, NodeId, Violation, World, record};

use crate::api::{AuthRequest, InternalRaftRequest, WatchCreateRequest, WatchResponse};
use crate::cache_history::{CacheHistory, ListNumber};
use crate::cluster::{MemberId, Shown, machine};
use crate::history::{History, OperationId, Outcome, Request};
use crate::member::{Kv, has_machine, machine_number, member_id};
use crate::options::{BACKEND_FILES, Options};
use crate::oracle::agreement::Agreement;
use crate::oracle::auth::{Sender, Senders};
use crate::oracle::clauses::are_without;
use crate::oracle::leases::Leases;
use crate::oracle::linearizable_log::{self, Freshness, LogEntry, Witness};
use crate::oracle::locks::{Locks, Overlaps};
use crate::oracle::raft_safety::{self, Configuration, Durable, RaftSafety, Recovered};
use crate::oracle::revisions::Revisions;
use crate::oracle::{soundness, watch};
use crate::quota::Logged;
use crate::response::Response;
use crate::watch_history::{WatchHistory, WatchNumber};
use crate::wire::Token;

pub(crate) use restored::Saved;
use upkeep::Upkeep;

/// Whether a member leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Leader,
    Other,
}

/// Sees everything, and holds it against the guarantees.
pub(crate) struct Observer {
    world: World,
    without_oracles: Vec<String>,
    history: RefCell<History>,
    next_session: Cell<u32>,
    witness: RefCell<Witness>,
    freshness: RefCell<Freshness>,
    /// What stands before the first entry of the cluster's own log, in the log as the witness has it: what the cluster was
    /// restored from. So many entries; and as many operations, which no client has performed.
    before_log: Cell<u64>,
    before_history: Cell<u64>,
    /// By index: when the first member learnt that the entry is committed. Index 0 is none.
    committed: RefCell<Vec<u64>>,
    /// Index of the last entry that any member has applied.
    applied: Cell<u64>,
    raft: RefCell<RaftSafety>,
    revisions: RefCell<Revisions>,
    agreement: RefCell<Agreement>,
    leases: RefCell<Leases>,
    locks: RefCell<Locks>,
    overlaps: Cell<Overlaps>,
    /// The alarms that are raised, as the log has them; and under which identifiers callers asked for some.
    alarms: RefCell<Logged>,
    asked_alarms: RefCell<BTreeSet<u64>>,
    senders: RefCell<Senders>,
    has_api_servers: bool,
    election_timeout: Duration,
    checkpoint_interval: Option<Duration>,
    request_timeout: Duration,
    response_limits: watch::Limits,
    txn_ops_max: usize,
    /// When the faults were over.
    healed: Cell<Option<Instant>>,
    /// By machine.
    members: RefCell<Vec<View>>,
    watches: RefCell<WatchHistory>,
    caches: RefCell<CacheHistory>,
    /// For each stream of watches: the revision up to which all of its watches were told everything.
    watched: RefCell<Vec<i64>>,
    /// The highest revision that any of them was told.
    told: Cell<i64>,
    upkeep: RefCell<Upkeep>,
    /// The newest configuration that holds for anybody, and the entry from which it does.
    configuration: RefCell<(u64, Configuration)>,
}

/// A member as the observer last saw it.
struct View {
    /// The member that was started last on this machine; 0 for none.
    id: MemberId,
    /// The configuration that holds for it, and the entry from which it does.
    configured: (u64, Configuration),
    term: u64,
    role: Role,
    applied: u64,
    kv: Option<Rc<Kv>>,
    /// Since when its backend is in the file in which it is.
    backend_since: Instant,
}

impl Observer {
    pub(crate) fn new(world: &World, options: &Options) -> Self {
        let voters: Vec<_> = (1..=options.members).map(MemberId::from).collect();
        Self::begin(world, options, &voters, 0, RaftSafety::new(&voters))
    }

    /// Of a cluster whose log begins behind entry `index`.
    fn begin(world: &World, options: &Options, voters: &[MemberId], index: u64, raft: RaftSafety) -> Self {
        let view = |_| View {
            id: 0,
            configured: (index, Configuration::of(voters)),
            term: 0,
            role: Role::Other,
            applied: 0,
            kv: None,
            backend_since: Instant::START,
        };
        Self {
            world: world.clone(),
            without_oracles: options.without_oracles.clone(),
            history: RefCell::default(),
            next_session: Cell::new(0),
            witness: RefCell::new(Witness::with_lease_ttl_min(options.lease_ttl_min())),
            freshness: RefCell::default(),
            before_log: Cell::new(0),
            before_history: Cell::new(0),
            committed: RefCell::new(vec![0; index as usize + 1]),
            applied: Cell::new(index),
            raft: RefCell::new(raft),
            revisions: RefCell::default(),
            agreement: RefCell::default(),
            watches: RefCell::default(),
            caches: RefCell::default(),
            watched: RefCell::new(vec![0; usize::from(options.watch.streams)]),
            told: Cell::new(0),
            leases: RefCell::default(),
            locks: RefCell::default(),
            overlaps: Cell::default(),
            alarms: RefCell::default(),
            asked_alarms: RefCell::default(),
            senders: RefCell::default(),
            has_api_servers: options.traffic.kubernetes.any(),
            election_timeout: options.election_timeout(),
            checkpoint_interval: options.leases.checkpoint_interval,
            request_timeout: options.request_timeout(),
            response_limits: watch::Limits {
                bytes: options.watch.response_bytes_max,
                revisions: options.watch.batch_revisions_max,
            },
            txn_ops_max: options.txn_ops_max,
            healed: Cell::new(None),
            members: RefCell::new(world.machines().map(view).collect()),
            upkeep: RefCell::new(Upkeep::new(options)),
            configuration: RefCell::new((index, Configuration::of(voters))),
        }
    }

    /// The seed of the run, for what a member must choose in a way that depends on nothing else.
    pub(crate) fn seed(&self) -> u64 {
        self.world.streams().seed()
    }

    /// Whether an oracle takes part in this run.
    fn asks(&self, oracle: &str) -> bool {
        self.without_oracles.iter().all(|left_out| left_out != oracle)
    }

    /// Ends the run if an oracle that takes part refuses it.
    fn check(&self, result: Result<(), Violation>) {
        self.world.check(self.overrule(result));
    }

    /// What oracles or clauses that do not take part refuse is as good as granted.
    fn overrule<T: Default>(&self, result: Result<T, Violation>) -> Result<T, Violation> {
        result.or_else(|violation| {
            let is_left_out = are_without(&self.without_oracles, violation.oracle, violation.clause);
            if is_left_out { Ok(T::default()) } else { Err(violation) }
        })
    }

    /// Asks an oracle, if it takes part.
    fn ask<T: Default>(
        &self,
        oracle: &str,
        judge: impl FnOnce() -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        if self.asks(oracle) { self.overrule(judge()) } else { Ok(T::default()) }
    }

    fn raft(&self, observe: impl FnOnce(&mut RaftSafety) -> Result<(), Violation>) {
        if self.asks("raft") {
            self.check(observe(&mut self.raft.borrow_mut()));
        }
    }

    // What clients tell.

    pub(crate) fn new_session(&self) -> u32 {
        self.next_session.replace(self.next_session.get() + 1)
    }

    pub(crate) fn invoked(&self, session: u32, request: &Request) -> OperationId {
        let operation = self.history.borrow_mut().invoke(session, request.clone());
        self.freshness.borrow_mut().invoked(operation);
        self.leases.borrow_mut().invoked(operation, request, self.world.now());
        operation
    }

    /// The client that has begun an operation is this user.
    pub(crate) fn invoked_by(&self, operation: OperationId, user: String, token: Option<Token>) {
        let token = token.map(|token| token.to_string());
        self.senders.borrow_mut().invoked(operation, Sender { user, token });
    }

    /// The client that asks a member for a watch is this user.
    pub(crate) fn watch_asked_by(
        &self,
        watch: WatchNumber,
        user: String,
        token: Option<Token>,
        machine: NodeId,
    ) {
        let token = token.map(|token| token.to_string());
        let view = usize::from(machine_number(machine)) - 1;
        let index = self.before_log.get() + self.members.borrow()[view].applied;
        self.senders.borrow_mut().watches(watch, Sender { user, token }, index);
    }

    /// A member that has come to entry `index` is asked for the keys of a lease.
    pub(crate) fn asks_for_keys(&self, operation: OperationId, index: u64) {
        let index = self.before_log.get() + index;
        self.senders.borrow_mut().asks_for_keys(operation, index);
    }

    pub(crate) fn returned(&self, operation: OperationId, outcome: &Outcome, applied_index: Option<u64>) {
        self.history.borrow_mut().returned(operation, outcome.clone());
        if self.asks(linearizable_log::NAME) {
            self.check(self.freshness.borrow_mut().returned(&self.history.borrow(), operation));
        }
        if let Some(index) = applied_index {
            // One that has applied nothing is empty, also in a cluster that was restored: it came later.
            let index = if index == 0 { 0 } else { self.before_log.get() + index };
            if let Outcome::Ok(Response::LeaseLeases(_)) = outcome {
                self.leases.borrow_mut().listed(operation, index);
            }
            self.witness.borrow_mut().served(operation, index);
        }
    }

    pub(crate) fn operations(&self) -> u64 {
        self.history.borrow().operations().len() as u64 - self.before_history.get()
    }

    /// A client asks to keep the lease of a lock alive.
    pub(crate) fn asks_for_lease(&self, lease: i64) {
        self.locks.borrow_mut().asked(lease, self.world.now());
    }

    /// A client is told that the lease of its lock lives for `ttl` seconds from when it `asked`.
    pub(crate) fn lease_promised(&self, lease: i64, ttl: i64, asked: Instant) {
        self.locks.borrow_mut().promised(lease, ttl, asked, self.world.now());
    }

    /// A client takes itself for the holder of a lock, by a key that a revision created, with a lease.
    pub(crate) fn holds(&self, client: NodeId, (key, created, lease): (Bytes, i64, i64)) {
        self.locks.borrow_mut().holds(client, key, created, lease, self.world.now());
    }

    /// It does not any more.
    pub(crate) fn gives_up(&self, client: NodeId) {
        self.locks.borrow_mut().gives_up(client, self.world.now());
    }

    /// How often two took themselves for the holder of a lock, and nobody is to blame. The run was judged.
    pub(crate) fn overlaps(&self) -> Overlaps {
        self.overlaps.get()
    }

    /// A client asks for a watch.
    pub(crate) fn watch_asked(&self, request: WatchCreateRequest, is_duplicate: bool) -> WatchNumber {
        self.watches.borrow_mut().asked(request, is_duplicate)
    }

    /// With a watch that it has just asked for, it carries on with an earlier one.
    pub(crate) fn watch_resumes(&self, watch: WatchNumber, earlier: WatchNumber) {
        self.watches.borrow_mut().resumes(watch, earlier);
    }

    /// A client asks for the end of one.
    pub(crate) fn watch_cancel_asked(&self, watch: WatchNumber) {
        self.watches.borrow_mut().cancel_asked(watch);
    }

    /// A client consumed what it was told by one.
    pub(crate) fn watch_heard(&self, watch: WatchNumber, response: WatchResponse) {
        let clock = self.history.borrow().clock();
        self.told.set(self.told.get().max(response.header.map_or(0, |header| header.revision)));
        self.watches.borrow_mut().heard(watch, clock, response);
    }

    /// An API server has listed a resource, by these operations.
    pub(crate) fn listed(&self, pages: Vec<OperationId>) -> ListNumber {
        self.caches.borrow_mut().listed(pages)
    }

    /// It goes on from there with a watch.
    pub(crate) fn cache_watches(&self, list: ListNumber, watch: WatchNumber) {
        self.caches.borrow_mut().watches(list, watch);
    }

    /// All watches of a stream were told everything up to `revision`.
    pub(crate) fn watched_to(&self, stream: u16, revision: i64) {
        self.watched.borrow_mut()[usize::from(stream)] = revision;
    }

    // What members tell.

    /// A member starts on what its disk holds, all of it durable: `state` is of its log.
    pub(crate) fn restarted(
        &self,
        member: u64,
        state: &HardState,
        (snapshot_index, snapshot_term): (u64, u64),
        (configured, conf_state): (u64, &ConfState),
        entries: &[Entry],
        kv: &Rc<Kv>,
    ) {
        // The log is synced before it is read, whoever wrote what is in it.
        let last = entries.last().map_or((snapshot_index, snapshot_term), |entry| (entry.index, entry.term));
        let recovered = Recovered {
            term: state.term,
            vote: state.vote,
            commit_logged: state.commit,
            commit: state.commit.max(snapshot_index).max(kv.visible_index().min(last.0)),
            applied: snapshot_index,
            snapshot_index,
            snapshot_term,
        };
        self.raft(|raft| raft.restarted(member, recovered, entries.iter().map(observed)));
        self.persisted(member, state, last.0, last.1);
        self.view(member, |view| {
            *view = View {
                id: member,
                configured: (0, Configuration::of(&[])),
                term: state.term,
                role: Role::Other,
                applied: snapshot_index,
                kv: Some(Rc::clone(kv)),
                backend_since: view.backend_since,
            };
        });
        self.configured(member, configured, conf_state);
        self.upkeep_started(member, snapshot_index, kv);
        self.witness.borrow_mut().restarted(member, self.history.borrow().clock());
        self.opened(member, kv);
    }

    pub(crate) fn role_changed(&self, member: u64, term: u64, role: Role) {
        self.view(member, |view| (view.term, view.role) = (term, role));
        match role {
            Role::Leader => self.raft(|raft| raft.became_leader(member, term)),
            Role::Other => self.raft.borrow_mut().stepped_down(member),
        }
    }

    /// From entry `index` on, this configuration holds for a member.
    pub(crate) fn configured(&self, member: MemberId, index: u64, conf_state: &ConfState) {
        let in_order = |members: &[MemberId]| {
            let mut members = members.to_vec();
            members.sort_unstable();
            members
        };
        let configuration = Configuration {
            voters: in_order(&conf_state.voters),
            outgoing: in_order(&conf_state.voters_outgoing),
            learners: in_order(&conf_state.learners),
            learners_next: in_order(&conf_state.learners_next),
        };
        let newest = &mut *self.configuration.borrow_mut();
        if index > newest.0 {
            *newest = (index, configuration.clone());
        }
        self.view(member, |view| view.configured = (index, configuration.clone()));
        self.raft(|raft| raft.configured(member, index, configuration));
    }

    pub(crate) fn proposed(&self, operation: OperationId, proposal: u64) {
        self.witness.borrow_mut().proposed(operation, proposal);
    }

    /// A member proposes what no client has in its history: a part of something that it does for a caller. From here on the
    /// history has it, and nobody hears how it ended.
    pub(crate) fn proposed_beside(&self, data: &[u8], proposal: u64) {
        let request = <InternalRaftRequest as prost::Message>::decode(data).ok();
        if request.as_ref().is_some_and(|request| request.alarm.is_some()) {
            self.asked_alarms.borrow_mut().insert(proposal);
        }
        let asked = request.as_ref().and_then(|request| match &request.auth {
            Some(authentication @ AuthRequest::Authenticate(_)) => {
                Some(Request::Auth(authentication.clone()))
            }
            _ => Request::of_proposal(request),
        });
        if let Some(request) = asked {
            let operation = self.invoked(self.new_session(), &request);
            self.proposed(operation, proposal);
        }
    }

    /// Whether a caller asked for the alarm that was proposed under this identifier.
    pub(crate) fn is_asked_for(&self, proposal: u64) -> bool {
        self.asked_alarms.borrow().contains(&proposal)
    }

    /// The primary of `term` proposes something of its own.
    pub(crate) fn proposed_by_leader(&self, member: u64, term: u64, proposal: u64) {
        self.witness.borrow_mut().proposed_by_leader(proposal);
        self.leases.borrow_mut().proposed(proposal, member, term, self.world.now());
    }

    pub(crate) fn lease_refreshed(&self, id: i64) {
        self.leases.borrow_mut().refreshed(id, self.world.now());
    }

    pub(crate) fn lessor_promoted(&self) {
        self.leases.borrow_mut().promoted(self.world.now());
    }

    pub(crate) fn appended(&self, member: u64, entries: &[Entry]) {
        if !entries.is_empty() {
            self.raft(|raft| raft.appended(member, entries.iter().map(observed)));
            self.upkeep_appended(member, entries);
        }
    }

    pub(crate) fn persisted(&self, member: u64, state: &HardState, last_index: u64, last_term: u64) {
        let HardState { term, vote, commit, .. } = *state;
        let durable = Durable { last_index, last_term, term, vote, commit };
        self.raft(|raft| raft.persisted(member, durable));
    }

    pub(crate) fn sends(&self, member: u64, message: &Message) {
        let Message { to, term, index, reject, .. } = *message;
        self.read_answered(member, message);
        self.raft(|raft| match message.msg_type {
            MessageType::MsgAppendResponse => raft.sent_append_response(member, to, term, index, reject),
            // It tells its term, and a leader counts it for its reads.
            MessageType::MsgHeartbeatResponse => raft.sent_append_response(member, to, term, 0, false),
            MessageType::MsgRequestPreVote => {
                raft.sent_pre_vote_request(member, term);
                Ok(())
            }
            MessageType::MsgRequestVote => {
                raft.sent_vote_request(member, term)?;
                raft.stands(member, term, !message.context.is_empty())
            }
            MessageType::MsgRequestVoteResponse => raft.sent_vote_response(member, to, term, !reject, false),
            _ => Ok(()),
        });
    }

    /// A member takes a message of Raft's in.
    pub(crate) fn hears(&self, member: u64, from: u64) {
        if self.asks("raft") {
            self.raft.borrow_mut().heard(member, from);
        }
    }

    /// One of a leader's ticks passes.
    pub(crate) fn ticks(&self, member: u64, term: u64, transfers: bool, election_ticks: u16) {
        self.raft(|raft| raft.ticked(member, term, transfers, election_ticks.into()));
    }

    /// A member has learnt that entries up to `index` are committed.
    pub(crate) fn committed(&self, member: u64, term: u64, index: u64) {
        let now = self.history.borrow().clock();
        let committed = &mut *self.committed.borrow_mut();
        if committed.len() as u64 <= index {
            committed.resize(index as usize + 1, now);
        }
        self.raft(|raft| raft.committed(member, term, index));
    }

    pub(crate) fn applied(&self, member: u64, entry: &Entry, kv: &Kv) {
        self.raft(|raft| raft.applied(member, observed(entry)));
        self.view(member, |view| view.applied = entry.index);
        if self.asks("revisions") {
            self.check(self.revisions.borrow_mut().applied(member, entry.index, kv.revision()));
        }
        self.upkeep_applied(member, entry.index);
        self.agrees(member, kv);
    }

    /// A member begins to apply an entry.
    pub(crate) fn applies(&self, entry: &Entry, request: impl FnOnce() -> Option<InternalRaftRequest>) {
        self.witness(entry, request);
    }

    /// Tells the witness of an entry that no member has applied before.
    fn witness(&self, entry: &Entry, request: impl FnOnce() -> Option<InternalRaftRequest>) {
        if entry.index <= self.applied.replace(entry.index.max(self.applied.get())) {
            return;
        }
        let committed = self.committed.borrow().get(entry.index as usize).copied();
        // Members' own requests are no operations of clients.
        let own = |request: &InternalRaftRequest| {
            request.alarm.is_some()
                || request.cluster_member_attr_set.is_some()
                || request.downgrade_info_set.is_some()
        };
        let request = request();
        // What alarms forbid changes nothing, as if it were not there.
        let refused = request.as_ref().is_some_and(|request| self.alarms.borrow_mut().refuses(request));
        let request = request.filter(|request| !own(request) && !refused);
        if let (Some(committed), Some(request)) = (committed, request) {
            let index = self.before_log.get() + entry.index;
            self.leases.borrow_mut().applied(index, entry.term, &request, self.world.now());
            self.witness.borrow_mut().committed(LogEntry { index, request, committed });
        }
    }

    /// An entry that the member's store has had since before its start went through its apply loop again. Nobody may have
    /// been told of the first time: a crash can come between the commit of the backend and that.
    pub(crate) fn passed_over(
        &self,
        member: u64,
        entry: &Entry,
        request: impl FnOnce() -> Option<InternalRaftRequest>,
    ) {
        self.raft(|raft| raft.applied(member, observed(entry)));
        self.witness(entry, request);
        self.upkeep_applied(member, entry.index);
        self.view(member, |view| view.applied = entry.index);
    }

    /// `member` has found that `other` has other data; 0 if it cannot tell who.
    pub(crate) fn found_corrupt(&self, member: u64, other: u64) {
        record!(self.world, "corruption", "member {} finds member {} corrupt", member, other);
        // By the check at its start, a member finds that one of two is corrupt.
        let faults = match other {
            0 => !self.world.damages().is_empty(),
            _ => self.is_damaged(member_id(member)) || self.is_damaged(member_id(other)),
        };
        self.leases.borrow_mut().corrupt();
        self.check(soundness::corruption(other, faults));
    }

    /// A member that starts finds a part of its data damaged or missing.
    pub(crate) fn found_damage(&self, member: NodeId, what: &'static str) {
        record!(self.world, "member", "{} finds its {} damaged", member, what);
        self.check(soundness::damage(member, what, self.is_damaged(member)));
    }

    fn is_damaged(&self, machine: NodeId) -> bool {
        self.world.damages().iter().any(|damage| damage.member == machine)
    }

    /// The backend of a member is another file, made since that time, with nothing of the old one in it.
    pub(crate) fn replaced_backend(&self, machine: NodeId, since: Instant) {
        if let NodeId::Member(number) = machine {
            self.members.borrow_mut()[usize::from(number) - 1].backend_since = since;
        }
    }

    /// Whether what was damaged of a member's data has been made good since.
    pub(crate) fn is_sound(&self, damage: &Damage) -> bool {
        let members = self.members.borrow();
        let view = match damage.member {
            NodeId::Member(number) => members.get(usize::from(number) - 1),
            _ => None,
        };
        damage.files == Some(BACKEND_FILES) && view.is_some_and(|view| view.backend_since > damage.since)
    }

    /// A member took a snapshot from the leader in place of its log.
    pub(crate) fn installed_snapshot(&self, member: u64, metadata: &SnapshotMetadata) {
        let SnapshotMetadata { index, term, .. } = *metadata;
        self.raft(|raft| raft.installed_snapshot(member, index, term));
        self.configured(member, index, metadata.get_conf_state());
    }

    /// And then in place of its store.
    pub(crate) fn installed_store(&self, member: u64, index: u64, since: Instant, kv: &Kv) {
        self.raft(|raft| raft.restored(member, index));
        self.view(member, |view| view.applied = index);
        self.replaced_backend(member_id(member), since);
        self.upkeep_installed(member, index, kv);
        self.opened(member, kv);
    }

    pub(crate) fn compacted(&self, member: u64, index: u64) {
        self.raft(|raft| raft.compacted(member, index));
    }

    fn opened(&self, member: u64, kv: &Kv) {
        self.revisions.borrow_mut().opened(member, kv.revision());
        self.agrees(member, kv);
    }

    fn agrees(&self, member: u64, kv: &Kv) {
        if self.asks("agreement") {
            let (index, revision, hash) = (kv.visible_index(), kv.revision(), kv.state_hash());
            let result = self.agreement.borrow_mut().observe(member, index, revision, hash);
            self.check(result);
        }
    }

    /// Whether a voter of the newest configuration that holds for anybody is on this machine.
    pub(crate) fn is_voter(&self, machine: NodeId) -> bool {
        let (_, configuration) = &*self.configuration.borrow();
        configuration.voters.iter().any(|id| member_id(*id) == machine)
    }

    /// Whether a member can be counted on.
    fn expects(&self, id: MemberId) -> bool {
        has_machine(&self.world, id) && self.world.expected(member_id(id))
    }

    fn view(&self, member: u64, change: impl FnOnce(&mut View)) {
        let view = &mut self.members.borrow_mut()[usize::from(machine(member)) - 1];
        // A member that comes back on a machine is told of by its restart.
        change(view);
    }

    // What the harness asks.

    /// What the clients saw.
    pub(crate) fn tell_history(&self, tell: &mut impl FnMut(&History, &WatchHistory)) {
        tell(&self.history.borrow(), &self.watches.borrow());
    }

    /// The member that leads the highest term, among those that run.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let members = self.members.borrow();
        let leaders = (1..)
            .zip(members.iter())
            .filter(|(number, view)| view.role == Role::Leader && self.world.is_running(member_id(*number)));
        leaders.max_by_key(|(_, view)| view.term).map(|(number, _)| member_id(number))
    }

    /// Whether all who take part and can be counted on run and have applied the same, and no change is half done.
    pub(crate) fn members_agree(&self) -> bool {
        let (_, configuration) = &*self.configuration.borrow();
        let members = self.members.borrow();
        let view = |id: MemberId| &members[usize::from(machine(id)) - 1];
        let mut expected = configuration.members().filter(|id| self.expects(*id));
        // Also what is applied only by those that cannot be counted on: they may have answered clients.
        configuration.outgoing.is_empty()
            && expected.all(|id| {
                self.world.is_running(member_id(id))
                    && view(id).id == id
                    && view(id).applied == self.applied.get()
            })
    }

    /// The machines of those without a quorum of whom nothing is decided: of the sets that must each have a quorum, one
    /// that has none left, if there is such a one.
    ///
    /// A joint configuration has two sets. And where those who have come to the newest configuration are not enough to
    /// go on with it, the others count by their own, so that those who vote in that are needed first.
    pub(crate) fn voters(&self) -> Vec<NodeId> {
        let (index, newest) = &*self.configuration.borrow();
        let members = self.members.borrow();
        let view = |id: MemberId| &members[usize::from(machine(id)) - 1];
        let is_left = |id: MemberId| self.expects(id);
        let runs_last = |id: MemberId| has_machine(&self.world, id) && view(id).id == id;
        let is_there = |id: MemberId| runs_last(id) && view(id).configured.0 >= *index && is_left(id);
        let mut sets = vec![&newest.voters, &newest.outgoing];
        if !newest.has_quorum(is_there) {
            for id in newest.all_voters().filter(|id| runs_last(*id) && is_left(*id)) {
                let own = &view(id).configured.1;
                sets.extend([&own.voters, &own.outgoing]);
            }
        }
        // Who was removed has ended for good, also where those that it has left behind do not know that.
        let stays = |id: MemberId| is_left(id) && !self.world.is_gone(member_id(id));
        let lost = |set: &&&Vec<MemberId>| set.iter().filter(|id| stays(**id)).count() * 2 <= set.len();
        let set = sets.iter().find(|set| !set.is_empty() && lost(set)).unwrap_or(&sets[0]);
        let somewhere = set.iter().filter(|id| has_machine(&self.world, **id));
        let mut machines: Vec<_> = somewhere.map(|id| member_id(*id)).collect();
        machines.sort_unstable();
        machines
    }

    /// Whether all watches were told of everything that was written, and nobody was told of what is still being written.
    pub(crate) fn watches_caught_up(&self) -> bool {
        let members = self.members.borrow();
        let revisions = members.iter().filter_map(|view| Some(view.kv.as_ref()?.revision()));
        let last = revisions.max().unwrap_or_default();
        self.told.get() <= last && self.watched.borrow().iter().all(|watched| *watched >= last)
    }

    /// Up to which revisions the streams of watches were told everything, for a report.
    pub(crate) fn watched(&self) -> String {
        format!("streams of watches have come to {:?}", self.watched.borrow())
    }

    /// The faults are over.
    pub(crate) fn healed(&self) {
        self.healed.set(Some(self.world.now()));
    }

    /// Whether no lease of less than `ttl` seconds is left on those members that can be counted on.
    pub(crate) fn leases_have_expired(&self, ttl: i64) -> bool {
        let (_, configuration) = &*self.configuration.borrow();
        let members = self.members.borrow();
        let mut expected = configuration.members().filter(|id| self.expects(*id));
        expected.all(|id| {
            let kv = &members[usize::from(machine(id)) - 1].kv;
            kv.as_ref().is_none_or(|kv| kv.leases_have_expired(ttl))
        })
    }

    /// Where each member stands, for a report.
    pub(crate) fn standing(&self) -> String {
        let members = self.members.borrow();
        let (_, configuration) = &*self.configuration.borrow();
        let each = (1..).zip(members.iter()).filter(|(_, view)| view.id != 0).map(|(number, view)| {
            let id = member_id(number);
            let state = if self.world.is_running(id) { "runs" } else { "is down" };
            let part = if configuration.members().any(|member| member == view.id) { "" } else { " no more" };
            let name = Shown(view.id);
            format!("{id} {state} as {name}{part} in term {} and has applied {}", view.term, view.applied)
        });
        each.collect::<Vec<_>>().join("; ")
    }
}

fn observed(entry: &Entry) -> raft_safety::Entry<'_> {
    let reconfigures = entry.entry_type != EntryType::EntryNormal;
    raft_safety::Entry { index: entry.index, term: entry.term, data: &entry.data, reconfigures }
}
