//! The cluster as somebody outside of the simulation sees it: calls of gRPC go in, answers come out.
//!
//! ```text
//!  outside ──Up──> Doors ──> door of member 1 ══GrpcUp══> member 1
//!     ^                      door of member 2 ══════════> member 2      (simulated connections, which faults meet)
//!     └─────Down── sink <─── door of member 3 <═GrpcDown═ member 3
//! ```
//!
//! A door is a client machine of the simulation: what it sends travels over links that the schedule breaks. So an outside
//! caller of a member that is cut off waits, and one of a member that is down is told that it cannot be reached.
//!
//! The run is decided by its schedule and by what came in at which virtual times, and by nothing else. What comes in at one
//! moment comes in at once, and what comes in next does so at a later one: [`Doors::up`] takes care of that.
//!
//! | part | where |
//! | --- | --- |
//! | a door | `door.rs` |
//! | which calls are operations that the oracles judge, and what became of them | `operations.rs` |
//! | options and faults of a cluster that serves for hours | [`faults`] |
//! | a cluster that is driven as fast as possible | [`session`] |
//!
//! **What grows with time.** What the cluster stores, as in etcd: every revision until it is compacted, on each member, and twice
//! on its simulated disk. And what the oracles need at the end: the history of the calls that are judged, the log as the
//! witness has it, and some numbers for each entry. So a read costs a kilobyte and a write some five; of reads, only some
//! are judged after a while (`door::READS_MAX`). The search for an order by what clients saw alone is left out, since what a
//! service does on its own (locks, elections) is no operation of a client. Judging 100,000 operations takes a second.

mod door;
pub mod faults;
mod operations;
pub mod session;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use vertebra_sim::atlas::Damage;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::Shape;
use vertebra_sim::{Instant, Node, NodeId, System, Violation, World};

use crate::etcd::Etcd;
use crate::grpc::{Down, Up};
pub use crate::member::{CLUSTER_VERSION, VERSION};
use crate::options::{Options, WatchOptions};
use crate::oracle::{linearizable_history, resources};

/// How often it is looked at whether the cluster has recovered.
const LOOK: Duration = Duration::from_millis(20);

/// An etcd cluster whose clients are outside of the simulation.
pub struct Served {
    etcd: Rc<Etcd>,
    doors: Rc<Doors>,
}

impl Served {
    /// Where the outside comes in.
    #[must_use]
    pub fn doors(&self) -> Rc<Doors> {
        Rc::clone(&self.doors)
    }

    /// The options of a cluster of so many members that serves: etcd's own wherever it has any, and no traffic.
    #[must_use]
    pub fn usual(members: u16) -> Options {
        Options {
            members,
            clients: members,
            watch: WatchOptions::default(),
            // The simulated disks are in memory: what a snapshot makes superfluous of the log shall go with it, which it
            // does by segments. etcd's have 64 MB.
            wal_segment_bytes: 1 << 20,
            // Nobody knows how many watches callers from outside want, or what they are told.
            without_oracles: [linearizable_history::NAME, resources::NAME].map(str::to_owned).to_vec(),
            ..Options::usual()
        }
    }
}

impl System for Served {
    const NAME: &'static str = "served etcd";
    type Options = Options;

    /// A seed decides nothing of the options: they are those that an administrator would have chosen.
    fn options(_: &Streams) -> Options {
        Self::usual(3)
    }

    fn shape(options: &Options) -> Result<Shape, String> {
        let shape = options.shape()?;
        if options.clients != options.members {
            return Err("clients: a cluster that serves has a door for each member".to_owned());
        }
        if options.watch.streams > 0 || options.auth.any() {
            return Err("watch.streams, auth.administrator: a cluster that serves has no traffic".to_owned());
        }
        Ok(shape)
    }

    fn features(options: &Options) -> Vec<(&'static str, bool)> {
        Etcd::features(options)
    }

    fn settle_max(options: &Options) -> Duration {
        Etcd::settle_max(options)
    }

    fn new(world: &World, options: Options) -> Self {
        let doors = Rc::new(Doors::new(world, options.members));
        Self { etcd: Rc::new(Etcd::new(world, options)), doors }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        Rc::clone(&self.etcd).member(node).await
    }

    async fn client(self: Rc<Self>, node: Node) {
        door::run(node, self.etcd.observer(), &self.doors).await;
    }

    async fn operator(self: Rc<Self>, node: Node) {
        Rc::clone(&self.etcd).operator(node).await;
    }

    fn leader(&self) -> Option<NodeId> {
        self.etcd.leader()
    }

    fn operate(&self, world: &World, operation: &str, targets: &[NodeId]) -> bool {
        self.etcd.operate(world, operation, targets)
    }

    fn voters(&self, world: &World) -> Vec<NodeId> {
        self.etcd.voters(world)
    }

    fn is_sound(&self, damage: &Damage) -> bool {
        self.etcd.is_sound(damage)
    }

    async fn settle(self: Rc<Self>, world: World) {
        self.etcd.heal();
        while !self.etcd.is_whole() {
            world.sleep(LOOK).await;
        }
    }

    fn unsettled(&self) -> Violation {
        self.etcd.not_whole()
    }

    fn finish(&self, world: &World) -> Result<(), Violation> {
        self.etcd.finish(world)
    }

    fn operations(&self) -> u64 {
        self.etcd.operations()
    }
}

/// Whoever hears what comes down, with the number of the member that it comes from.
type Sink = Box<dyn Fn(u16, Down)>;

/// The way in: one door for each member.
pub struct Doors {
    world: World,
    doors: Vec<Door>,
    sink: RefCell<Option<Sink>>,
    /// When something came in last.
    last: Cell<Option<Instant>>,
    /// To whom a token was given. All doors know it, since it counts with all members.
    users: RefCell<BTreeMap<Bytes, String>>,
}

/// What waits at a door until its machine takes it.
#[derive(Default)]
struct Door {
    waiting: RefCell<VecDeque<Up>>,
    waker: RefCell<Option<Waker>>,
}

impl Doors {
    fn new(world: &World, members: u16) -> Self {
        Self {
            world: world.clone(),
            doors: (0..members).map(|_| Door::default()).collect(),
            sink: RefCell::default(),
            last: Cell::new(None),
            users: RefCell::default(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        u16::try_from(self.doors.len()).expect("as many as there are members")
    }

    /// From now on, `sink` hears what comes down. It must not come back here.
    pub fn hear(&self, sink: impl Fn(u16, Down) + 'static) {
        *self.sink.borrow_mut() = Some(Box::new(sink));
    }

    /// When something can come in at the earliest: what came in before has been taken by then. In this way it makes no
    /// difference whether two things that come in at one moment are handed in one after the other, or in two turns.
    #[must_use]
    pub fn opens(&self) -> Instant {
        let now = self.world.now();
        match self.last.get() {
            Some(last) if last == now => now + Duration::from_nanos(1),
            _ => now,
        }
    }

    /// Hands in what comes in at this moment, each with the number of a member, from 1.
    ///
    /// # Panics
    ///
    /// If it is too early for it; see [`opens`](Self::opens). If there is no such member.
    pub fn up(&self, comes_in: impl IntoIterator<Item = (u16, Up)>) {
        let now = self.world.now();
        let mut any = false;
        for (member, up) in comes_in {
            any = true;
            let door = &self.doors[usize::from(member) - 1];
            door.waiting.borrow_mut().push_back(up);
            if let Some(waker) = door.waker.borrow_mut().take() {
                waker.wake();
            }
        }
        if any {
            assert_ne!(self.last.replace(Some(now)), Some(now), "something came in at this moment already");
        }
    }

    /// The next thing that came in at the door of a member.
    fn poll_next(&self, member: u16, context: &mut Context<'_>) -> Poll<Up> {
        let door = &self.doors[usize::from(member) - 1];
        match door.waiting.borrow_mut().pop_front() {
            Some(up) => Poll::Ready(up),
            None => {
                *door.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Everything that has come in there and was not taken.
    fn take_waiting(&self, member: u16) -> VecDeque<Up> {
        self.doors[usize::from(member) - 1].waiting.take()
    }

    fn tell(&self, member: u16, down: Down) {
        if let Some(sink) = &*self.sink.borrow() {
            sink(member, down);
        }
    }
}
