//! What a process sees of the world: its clock, its network, its disk.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::network::{Listener, Message, Port, Socket};
use crate::node_id::NodeId;
use crate::random::Stream;
use crate::time::Instant;
use crate::timer::{Sleep, Ticker};
use crate::world::World;

/// A process on a node of the cluster: what it can know and do.
///
/// A handle belongs to one incarnation of the process. After a crash its tasks are gone, and what is left of its
/// handles does nothing.
#[derive(Clone)]
pub struct Node {
    world: World,
    id: NodeId,
    index: usize,
    incarnation: u32,
}

impl Node {
    pub(crate) fn new(world: World, id: NodeId, index: usize, incarnation: u32) -> Self {
        Self { world, id, index, incarnation }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// How many times a process was started here, this one included.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The world it is in. A process under test has no business there; oracles and traces do.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// For [`record!`](crate::record).
    #[must_use]
    pub fn trace_node(&self) -> Option<NodeId> {
        Some(self.id)
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Whether this is still the process that runs here.
    pub(crate) fn is_current(&self) -> bool {
        self.world.incarnation(self.index) == self.incarnation
    }

    /// What its own clock shows: the time of day, as `CLOCK_REALTIME`. It is off by the clock's offset and drift, and
    /// it may jump, also back: a later reading may be an earlier time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.clock(self.index).read(self.world.now())
    }

    /// What its own clock has counted, as `CLOCK_MONOTONIC`. Only differences mean anything; they are off by the clock's
    /// drift. Waits and tickers count this, so a clock that jumps does not move them.
    #[must_use]
    pub fn monotonic(&self) -> Instant {
        self.world.clock(self.index).count(self.world.now())
    }

    /// Waits until its own clock has counted `duration`. A drift that changes meanwhile does not change the wait.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::until(self.world.clone(), self.world.now() + self.virtual_duration(duration))
    }

    /// A ticker on its own clock.
    #[must_use]
    pub fn ticker(&self, period: Duration) -> Ticker {
        Ticker::new(self.clone(), period)
    }

    pub(crate) fn virtual_duration(&self, duration: Duration) -> Duration {
        self.world.clock(self.index).virtual_duration(duration)
    }

    /// Runs `task` beside the others of this process. It ends with the process at the latest; a panic in it ends
    /// the run as a violation.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.world.spawn(self, task);
    }

    /// Opens `port` for datagrams of type `M`.
    ///
    /// # Panics
    ///
    /// If the port is in use.
    #[must_use]
    pub fn socket<M: Message>(&self, port: Port) -> Socket<M> {
        Socket::bind(self, port)
    }

    /// Listens for connections at `port`; messages of type `S` are sent, and such of type `R` received.
    ///
    /// # Panics
    ///
    /// If the port is in use.
    #[must_use]
    pub fn listen<S: Message, R: Message>(&self, port: Port) -> Listener<S, R> {
        Listener::bind(self, port)
    }

    /// A stream of random draws for this process. The same purpose gives the same stream in each incarnation, but
    /// each incarnation its own.
    #[must_use]
    pub fn stream(&self, purpose: &str) -> Stream {
        self.world.streams().stream(purpose, (self.index as u64) << 32 | u64::from(self.incarnation))
    }

    /// The number of the operation that this client draws now, counted from 0.
    ///
    /// For clients whose operations can be taken out of a schedule: see
    /// [`Operations`](crate::schedule::Operations).
    #[must_use]
    pub fn draw_operation(&self) -> u64 {
        self.world.process(self.index).draw_operation(self.world.now())
    }

    /// Lets other ready tasks run.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }

    /// Ends this process, as an `exit` without an error does: its supervisor leaves it ended. Never returns.
    pub async fn finish(&self, reason: &str) -> ! {
        self.world.process_finishes(self, reason);
        std::future::pending().await
    }

    /// Ends this process, as `exit` does; a supervisor starts it again after a while. Never returns.
    ///
    /// Where no fault has met a disk, nothing is a reason to, and it is a violation: `process/exit`.
    pub async fn exit(&self, reason: &str) -> ! {
        self.world.process_exits(self, reason);
        std::future::pending().await
    }

    /// The same, because others did not do what this process waits for: that is no violation.
    pub async fn give_up(&self, reason: &str) -> ! {
        self.world.process_gives_up(self, reason);
        std::future::pending().await
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (incarnation {})", self.id, self.incarnation)
    }
}
