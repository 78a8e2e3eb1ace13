//! One member of the cluster.
//!
//! A member has the tasks that etcd has, since etcd's worst bugs were races between them:
//!
//! ```text
//!  clients ──> server ──proposal──> raft loop ──committed entries──> apply loop ──results──> server
//!                 │                   │    ▲                             │
//!                 └──> read loop ─────┘    └──── other members           └──> snapshots
//! ```
//!
//! | task | what it does |
//! | --- | --- |
//! | `raft_loop` | owns Raft and the write-ahead log: persists, then sends |
//! | `apply_loop` | applies committed entries to the store, takes snapshots, opens those from the leader |
//! | the backend's own | commits what was applied, again and again |
//! | `compaction` | removes what a compaction left no use for |
//! | `server` | answers clients |
//! | `watch_server` | serves streams of watches |
//! | `grpc` | serves callers from outside of the simulation |
//! | `watches` | tells watchers what they missed |
//! | `read_loop` | finds the index at which linearizable reads are up to date |
//! | `leases` | answers clients and other members about leases; as the leader, lets leases expire |
//! | `peers` | passes proposals on to the leader, sends and receives snapshots |
//! | `cluster_service` | answers operators: who the members are, and changes of that |
//! | `auth` | no task: who asks, and whether they may |
//! | `conf_change` | such a change from its proposal to its application; publishes the member once it has started |

mod alarms;
mod apply_loop;
mod auth;
mod bootstrap;
mod cluster_service;
mod compaction;
mod conf_change;
mod consistent_index;
mod corruption;
mod grpc;
mod kv;
mod leases;
mod log;
mod maintenance;
mod membership;
mod peers;
mod queue;
mod quota;
mod raft_loop;
mod read_loop;
mod recovery;
mod restore;
mod server;
pub(crate) mod snapshots;
mod watch_server;
mod watches;
mod window;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures_util::future::join;
use tokio::sync::{Mutex, Notify, oneshot};
use vertebra_sim::random::Stream;
use vertebra_sim::{Node, NodeId, World, record, sometimes};

pub(crate) use self::consistent_index::index_of;
pub use self::grpc::{CLUSTER_VERSION, VERSION};
pub(crate) use self::kv::Kv;
use self::membership::Membership;
use crate::cluster::{MemberId, machine};
use crate::error::Error;
use crate::inventory::Inventory;
use crate::observer::Observer;
use crate::options::Options;
use crate::response::Response;

/// What the tasks of a member share.
pub(crate) struct Member {
    node: Node,
    /// Its number in Raft.
    id: u64,
    options: Rc<Options>,
    observer: Rc<Observer>,
    kv: Rc<Kv>,
    /// Index of the last entry that was applied since the start, or of the snapshot that it began at. The store can be
    /// ahead of it then.
    applied: Cell<u64>,
    /// Wakes those who wait for `applied` to move.
    applied_moved: Notify,
    status: Cell<Status>,
    /// Wakes those who wait for the leader to change.
    leader_changed: Notify,
    raft: queue::Sender<raft_loop::Input>,
    reads: queue::Sender<read_loop::Waiting>,
    forward: queue::Sender<Proposal>,
    membership: RefCell<Membership>,
    conf_changes: queue::Sender<conf_change::Applying>,
    /// Who waits for a change of the membership to be applied, by its identifier.
    configuring: RefCell<BTreeMap<u64, conf_change::Waiter>>,
    /// Who has answered a greeting, by its number.
    greeted: RefCell<BTreeMap<u64, BTreeSet<MemberId>>>,
    /// Who waits for the result of a proposal, by its identifier.
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<Result<Response, Error>>>>,
    next_request: Cell<u64>,
    /// From which salts and tokens are drawn.
    secrets: OnceCell<RefCell<Stream>>,
    /// Snapshots that are being sent to followers, and a little longer: the log must keep what they need next.
    inflight_snapshots: Cell<u32>,
    received_snapshots: Cell<u64>,
    /// Whether the store is here; otherwise it is on its way from the leader.
    whole: Cell<bool>,
    became_whole: Notify,
    /// Held by whoever puts another file in the place of the backend's.
    backend_file: Mutex<()>,
}

/// Something to be proposed, encoded.
enum Proposal {
    Request(Vec<u8>),
    ConfChange(Vec<u8>),
}

/// What the raft loop last said of Raft.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Status {
    term: u64,
    /// Number of the leader; 0 while there is none.
    leader: u64,
    commit: u64,
}

impl Member {
    /// Runs a member from the start of its process to its end.
    ///
    /// # Errors
    ///
    /// Why it gave up: its disk failed, or what is on it cannot be used.
    pub(crate) async fn run(
        node: Node,
        options: Rc<Options>,
        observer: Rc<Observer>,
        inventory: Rc<Inventory>,
    ) -> Result<(), String> {
        let recovered = match recovery::recover(&node, &options, &observer, &inventory).await {
            Ok(recovered) => recovered,
            Err(reason) => {
                inventory.refuses(node.id(), node.world().now());
                return Err(reason);
            }
        };
        inventory.runs(node.id());
        let (raft, raft_inputs) = queue::queue();
        let (reads, waiting_reads) = queue::queue();
        let (forward, forwarded) = queue::queue();
        let (apply, batches) = queue::queue();
        let (conf_changes, applying) = queue::queue();
        let member = Rc::new(Self {
            id: recovered.member,
            options,
            observer,
            kv: recovered.kv,
            applied: Cell::new(recovered.snapshot.0),
            applied_moved: Notify::new(),
            status: Cell::default(),
            leader_changed: Notify::new(),
            raft,
            reads,
            forward,
            membership: RefCell::new(recovered.membership),
            conf_changes,
            configuring: RefCell::default(),
            greeted: RefCell::default(),
            waiting: RefCell::default(),
            next_request: Cell::new(0),
            secrets: OnceCell::new(),
            inflight_snapshots: Cell::new(0),
            received_snapshots: Cell::new(0),
            whole: Cell::new(recovered.whole),
            became_whole: Notify::new(),
            backend_file: Mutex::new(()),
            node,
        });
        let node = &member.node;
        // The observer has the store, which would have the observer: neither would ever go.
        let (observer, id) = (Rc::downgrade(&member.observer), member.id);
        member.kv.tell_commits(move |index| {
            if let Some(observer) = observer.upgrade() {
                observer.backend_committed(id, index);
            }
        });
        node.spawn(apply_loop::run(Rc::clone(&member), batches, recovered.snapshot));
        if member.options.initial_corruption_check && member.is_whole() {
            member.initial_check().await?;
        }
        node.spawn(Self::serve(Rc::clone(&member)));
        node.spawn(maintenance::defragment_on_interval(Rc::clone(&member)));
        node.spawn(corruption::check_on_interval(Rc::clone(&member)));
        node.spawn(corruption::check_compactions_on_interval(Rc::clone(&member)));
        node.spawn(compaction::run(Rc::clone(&member)));
        node.spawn(read_loop::run(Rc::clone(&member), waiting_reads));
        node.spawn(peers::forward(Rc::clone(&member), forwarded));
        node.spawn(peers::listen(Rc::clone(&member)));
        node.spawn(watches::sync_loop(Rc::clone(&member)));
        node.spawn(watches::victims_loop(Rc::clone(&member)));
        node.spawn(leases::listen(Rc::clone(&member)));
        node.spawn(leases::run(Rc::clone(&member)));
        node.spawn(conf_change::publish(Rc::clone(&member)));
        raft_loop::run(Rc::clone(&member), recovered.log, recovered.wal, raft_inputs, apply, applying).await
    }

    /// The other members.
    fn peers(&self) -> Vec<u64> {
        self.membership.borrow().list().iter().map(|listed| listed.id).filter(|id| *id != self.id).collect()
    }

    /// Serves when there is a store to serve from.
    async fn serve(self: Rc<Self>) {
        loop {
            let became_whole = self.became_whole.notified();
            if self.is_whole() {
                break;
            }
            became_whole.await;
        }
        self.node.spawn(maintenance::listen(Rc::clone(&self)));
        self.node.spawn(cluster_service::listen(Rc::clone(&self)));
        self.node.spawn(watch_server::listen(Rc::clone(&self)));
        join(server::listen(Rc::clone(&self)), grpc::listen(Rc::clone(&self))).await;
    }

    /// Whether the store is here. Without it a member votes and keeps its log, and neither serves nor leads.
    fn is_whole(&self) -> bool {
        self.whole.get()
    }

    fn become_whole(&self) {
        if !self.whole.replace(true) {
            record!(self.node, "member", "has its store again");
            sometimes!(
                self.node,
                "a member that lost its store gets another",
                when = |run| run.members > 1
                    && run.any_fault(&["bit-rot", "misdirected-write", "phantom-write", "sync-lie"])
            );
            self.became_whole.notify_waiters();
        }
    }

    /// Whether there is a machine on which that member would be.
    fn is_somewhere(&self, id: MemberId) -> bool {
        has_machine(self.node.world(), id)
    }

    fn is_leader(&self) -> bool {
        self.status.get().leader == self.id
    }

    /// An identifier that no other proposal of this cluster has: machine, incarnation and a counter; etcd has the
    /// member in place of the machine.
    fn next_request_id(&self) -> u64 {
        self.next_request.set(self.next_request.get() + 1);
        (self.id & 0xffff) << 48 | u64::from(self.node.incarnation()) << 32 | self.next_request.get()
    }

    /// Index of the entry whose state a reader sees now. After a restart the store is ahead of what was applied again.
    fn visible_index(&self) -> u64 {
        self.applied.get().max(self.kv.visible_index())
    }

    /// Waits until `index` is applied.
    async fn wait_applied(&self, index: u64) {
        loop {
            let moved = self.applied_moved.notified();
            if self.applied.get() >= index {
                return;
            }
            moved.await;
        }
    }
}

/// The number of a machine.
pub(crate) fn machine_number(id: NodeId) -> u16 {
    match id {
        NodeId::Member(number) => number,
        NodeId::Client(_) | NodeId::Operator => unreachable!("{id} is no machine for members"),
    }
}

/// Whether a member with this identifier is on a machine of the simulation.
pub(crate) fn has_machine(world: &World, member: MemberId) -> bool {
    usize::from(machine(member)) <= world.machines().count()
}

/// The machine of the member with this identifier.
pub(crate) fn member_id(member: MemberId) -> NodeId {
    NodeId::Member(machine(member))
}
