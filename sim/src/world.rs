//! The world of one run, and the driver that moves it.
//!
//! Nothing happens in the world but what stands in its queue. When all tasks wait, the driver takes the next
//! occurrence, sets the time to it, and lets it happen; that wakes some tasks, and once they wait again, it takes the
//! next.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::atlas::Atlas;
use crate::clock::Clock;
use crate::coverage::Counters;
use crate::executor::Executor;
use crate::failpoint::Armed;
use crate::network::{LinkProfile, Network};
use crate::node::Node;
use crate::node_id::NodeId;
use crate::panics;
use crate::process::{Main, Process};
use crate::queue::{Occurrence, Queue};
use crate::random::Streams;
use crate::schedule;
use crate::storage::Drive;
use crate::time::{Instant, nanos};
use crate::timer::Sleep;
use crate::trace::Trace;
use crate::verdict::Violation;

/// What a world is made of before anything happens in it.
pub(crate) struct Setup {
    pub(crate) streams: Streams,
    /// The seed of the order in which ready tasks run.
    pub(crate) interleaving: u64,
    pub(crate) members: u16,
    pub(crate) clients: u16,
    /// Machines without a process at the start.
    pub(crate) spares: u16,
    pub(crate) has_operator: bool,
    pub(crate) peer_links: LinkProfile,
    pub(crate) client_links: LinkProfile,
    pub(crate) disk: schedule::Disk,
    pub(crate) told: bool,
    pub(crate) failpoints: &'static [&'static str],
}

/// A handle to the world of a run; cheap to clone.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    streams: Streams,
    members: u16,
    clients: u16,
    spares: u16,
    now: Cell<Instant>,
    queue: RefCell<Queue>,
    network: RefCell<Network>,
    processes: Vec<Process>,
    failpoints: RefCell<Vec<Armed>>,
    atlas: Atlas,
    trace: Trace,
    counters: Counters,
    executor: Executor,
    main: RefCell<Option<Main>>,
    healed: Cell<bool>,
    settled: Cell<bool>,
    ended: Cell<bool>,
    violation: RefCell<Option<(Violation, Instant)>>,
}

impl World {
    /// A world in which nothing has happened.
    pub(crate) fn new(setup: &Setup) -> Self {
        let Setup {
            streams,
            interleaving,
            members,
            clients,
            spares,
            has_operator,
            peer_links,
            client_links,
            disk,
            told,
            failpoints,
        } = *setup;
        // Spares and the operator come last, so that what the others draw does not depend on them.
        let ids: Vec<_> = (1..=members)
            .map(NodeId::Member)
            .chain((1..=clients).map(NodeId::Client))
            .chain((members + 1..=members + spares).map(NodeId::Member))
            .chain(has_operator.then_some(NodeId::Operator))
            .collect();
        let is_member = |index: usize| matches!(ids[index], NodeId::Member(_));
        let network = Network::new(ids.len(), usize::from(members + clients), |from, to| {
            if is_member(from) && is_member(to) { peer_links } else { client_links }
        });
        let order = Streams::new(interleaving).stream("executor", 0);
        let executor = Executor::new(ids.len(), order);
        Self(Rc::new(Inner {
            streams,
            members,
            clients,
            spares,
            now: Cell::new(Instant::START),
            queue: RefCell::default(),
            network: RefCell::new(network),
            processes: ids
                .into_iter()
                .enumerate()
                .map(|(index, id)| Process::new(id, Drive::new(disk, &streams, index)))
                .collect(),
            failpoints: RefCell::default(),
            atlas: Atlas::default(),
            trace: Trace::new(told),
            counters: Counters::new(failpoints),
            executor,
            main: RefCell::default(),
            healed: Cell::new(false),
            settled: Cell::new(false),
            ended: Cell::new(false),
            violation: RefCell::default(),
        }))
    }

    /// When each client drew each of its operations.
    pub(crate) fn take_drawn_operations(&self) -> Vec<Vec<Instant>> {
        self.0.processes[usize::from(self.0.members)..].iter().map(Process::take_drawn).collect()
    }

    /// For [`record!`](crate::record).
    #[must_use]
    pub fn world(&self) -> &Self {
        self
    }

    /// For [`record!`](crate::record).
    #[must_use]
    pub fn trace_node(&self) -> Option<NodeId> {
        None
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Waits for `duration` of virtual time, whatever any clock shows.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::until(self.clone(), self.now() + duration)
    }

    /// The streams of this run.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// The record of this run.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// What this run has reached.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The machines on which members can be: those of the members at the start, then the spares.
    pub fn machines(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.0.members + self.0.spares).map(NodeId::Member)
    }

    /// The members that the cluster begins with.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.0.members).map(NodeId::Member)
    }

    /// All nodes: first the members, then the clients, then the spares and the operator.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<'_> {
        self.0.processes.iter().map(|process| process.id)
    }

    /// Whether the faults are over and everything they broke is whole again, but for what
    /// [is not to be expected](Self::expected).
    #[must_use]
    pub fn is_healed(&self) -> bool {
        self.0.healed.get()
    }

    pub(crate) fn set_healed(&self) {
        self.0.healed.set(true);
    }

    /// Ends the run as failed. The first violation of a run is its verdict; later ones are its consequences.
    pub fn fail(&self, violation: Violation) {
        crate::record!(self, "verdict", "{}: {}", violation.signature(), violation.detail);
        self.0.violation.borrow_mut().get_or_insert((violation, self.now()));
        self.end();
    }

    /// Ends the run as failed if `result` is a violation.
    pub fn check(&self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.fail(violation);
        }
    }

    /// Whether the system has recovered when faults were over; see [`System::settle`](crate::System::settle).
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.0.settled.get()
    }

    pub(crate) fn settle(&self) {
        self.0.settled.set(true);
        self.end();
    }

    /// Ends the run: nothing more is taken from the queue.
    pub(crate) fn end(&self) {
        self.0.ended.set(true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.ended.get()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.violation.borrow().is_some()
    }

    pub(crate) fn take_violation(&self) -> Option<(Violation, Instant)> {
        self.0.violation.borrow_mut().take()
    }

    /// Where `id` stands among all nodes.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub(crate) fn index(&self, id: NodeId) -> usize {
        let index = match id {
            NodeId::Member(number) if number <= self.0.members => usize::from(number) - 1,
            NodeId::Member(number) => usize::from(self.0.clients) + usize::from(number) - 1,
            NodeId::Client(number) => usize::from(self.0.members) + usize::from(number) - 1,
            NodeId::Operator => self.0.processes.len() - 1,
        };
        assert!(self.0.processes.get(index).is_some_and(|process| process.id == id), "there is no {id}");
        index
    }

    /// A handle for the process that runs on a node now.
    pub(crate) fn node_by_index(&self, index: usize) -> Node {
        let process = &self.0.processes[index];
        Node::new(self.clone(), process.id, index, process.incarnation.get())
    }

    pub(crate) fn queue(&self) -> &RefCell<Queue> {
        &self.0.queue
    }

    pub(crate) fn network(&self) -> &RefCell<Network> {
        &self.0.network
    }

    pub(crate) fn failpoints(&self) -> &RefCell<Vec<Armed>> {
        &self.0.failpoints
    }

    pub(crate) fn atlas(&self) -> &Atlas {
        &self.0.atlas
    }

    pub(crate) fn process(&self, index: usize) -> &Process {
        &self.0.processes[index]
    }

    pub(crate) fn processes(&self) -> &[Process] {
        &self.0.processes
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.0.executor
    }

    pub(crate) fn set_main(&self, main: Main) {
        *self.0.main.borrow_mut() = Some(main);
    }

    pub(crate) fn main(&self) -> Ref<'_, Main> {
        Ref::map(self.0.main.borrow(), |main| main.as_ref().expect("the harness sets what processes run"))
    }

    pub(crate) fn incarnation(&self, index: usize) -> u32 {
        self.0.processes[index].incarnation.get()
    }

    /// The least and the most that the clock of any machine has gained at any time of the run so far, in parts per
    /// million: for oracles that judge what members do by their clocks.
    #[must_use]
    pub fn drift_range(&self) -> (i32, i32) {
        let machines = self.machines().map(|id| self.process(self.index(id)));
        let ranges = machines.map(Process::drift_range);
        ranges.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))).unwrap_or((0, 0))
    }

    pub(crate) fn clock(&self, index: usize) -> Clock {
        self.0.processes[index].clock.get()
    }

    /// Puts `occurrence` into the queue, `delay` nanoseconds from now.
    pub(crate) fn schedule_after(&self, delay: u64, occurrence: Occurrence) {
        self.queue().borrow_mut().push(self.now() + Duration::from_nanos(delay), occurrence);
    }

    /// Lets `action` happen after `delay`.
    pub(crate) fn call_after(&self, delay: Duration, action: impl FnOnce(&Self) + 'static) {
        self.schedule_after(nanos(delay), Occurrence::Action(Box::new(action)));
    }

    /// Takes what is in the queue, one after the other, until the run ends or nothing is left before `end`.
    pub(crate) fn drive(&self, end: Instant) {
        loop {
            self.executor().run(|payload| self.fail(panics::violation(&*payload)));
            if self.has_ended() {
                return;
            }
            let Some((at, occurrence)) = self.queue().borrow_mut().pop(end) else {
                self.0.now.set(end);
                return;
            };
            self.0.now.set(at);
            self.perform(occurrence);
        }
    }

    fn perform(&self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Timer(id) => {
                let waker = self.queue().borrow_mut().fire(id);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Occurrence::Packet(packet) => self.packet_arrives(packet),
            Occurrence::Segment(segment) => self.segment_arrives(segment),
            Occurrence::Action(action) => action(self),
        }
    }

    /// Takes the world apart. Its parts refer to each other, so that nothing would be freed otherwise.
    pub(crate) fn dismantle(&self) {
        self.end();
        self.executor().clear();
        self.0.main.borrow_mut().take();
        self.atlas().set_cluster(None);
        let occurrences = self.queue().borrow_mut().clear();
        drop(occurrences);
    }
}
