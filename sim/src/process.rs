//! The life of processes: started, paused, killed, left without power, started again.
//!
//! A process is down, or paused, for as long as at least one fault keeps it so: two faults may overlap, and the
//! first to end does not undo the second.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::clock::Clock;
use crate::node::Node;
use crate::node_id::NodeId;
use crate::record;
use crate::schedule::How;
use crate::sometimes;
use crate::storage::Drive;
use crate::time::Instant;
use crate::verdict::Violation;
use crate::world::World;

/// What a process runs from its start. It ends with a reason when it gives up.
pub(crate) type Main = Rc<dyn Fn(Node) -> LocalBoxFuture<'static, Result<(), String>>>;

/// How long a supervisor (systemd, kubelet) waits before it starts a process that exited by itself.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// What a crash takes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crash {
    /// The process alone; what it wrote is in the page cache, and its peers are told.
    Process,
    /// The whole machine; nobody is told.
    Power,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Running,
    Down,
    Unpowered,
}

/// Whether a process is to run. One that is, and does not, is down because of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Runs,
    Stopped,
    /// Stopped for good, as far as anybody knows.
    Ended,
}

/// The state of the process on one node.
pub(crate) struct Process {
    pub(crate) id: NodeId,
    pub(crate) drive: Drive,
    pub(crate) incarnation: Cell<u32>,
    pub(crate) clock: Cell<Clock>,
    /// How its clock drifts when no fault drives it.
    own_drift_ppm: Cell<i32>,
    /// The least and the most that its clock has gained so far, whoever drove it.
    drift_range: Cell<(i32, i32)>,
    /// The faults that drive its clock, by number; the last one holds.
    drifts: RefCell<Vec<(usize, i32)>>,
    /// The faults that set its clock, by number; they add up.
    jumps: RefCell<Vec<(usize, i64)>>,
    pub(crate) status: Cell<Status>,
    wanted: Cell<Wanted>,
    /// Whether a fault has met its disk: it may end itself over what comes of that.
    disk_fails: Cell<bool>,
    /// Faults that keep it down, and how often these were all lifted at once.
    down: Holds,
    paused: Holds,
    /// Of a client: when it drew each of its operations.
    drawn: RefCell<Vec<Instant>>,
}

/// How many faults hold something, so that it is free when the last one lets go.
#[derive(Default)]
struct Holds {
    count: Cell<u32>,
    /// Raised when all holds are lifted: one that was taken before has nothing left to let go of.
    epoch: Cell<u32>,
}

impl Holds {
    fn take(&self) -> u32 {
        self.count.set(self.count.get() + 1);
        self.epoch.get()
    }

    /// Whether this was the last hold.
    fn let_go(&self, epoch: u32) -> bool {
        if epoch != self.epoch.get() {
            return false;
        }
        self.count.set(self.count.get() - 1);
        self.count.get() == 0
    }

    fn is_held(&self) -> bool {
        self.count.get() > 0
    }

    /// Whether there was one.
    fn lift_all(&self) -> bool {
        self.epoch.set(self.epoch.get() + 1);
        self.count.replace(0) > 0
    }
}

impl Process {
    pub(crate) fn new(id: NodeId, drive: Drive) -> Self {
        Self {
            id,
            drive,
            incarnation: Cell::new(0),
            clock: Cell::new(Clock::new(0, 0)),
            own_drift_ppm: Cell::new(0),
            drift_range: Cell::new((0, 0)),
            drifts: RefCell::default(),
            jumps: RefCell::default(),
            status: Cell::new(Status::Down),
            wanted: Cell::new(Wanted::Runs),
            disk_fails: Cell::new(false),
            down: Holds::default(),
            paused: Holds::default(),
            drawn: RefCell::default(),
        }
    }

    /// The number of the operation that is drawn now.
    pub(crate) fn draw_operation(&self, now: Instant) -> u64 {
        let drawn = &mut *self.drawn.borrow_mut();
        drawn.push(now);
        drawn.len() as u64 - 1
    }

    /// When each operation was drawn.
    pub(crate) fn take_drawn(&self) -> Vec<Instant> {
        self.drawn.take()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.is_held()
    }

    /// Gives it the clock that it has when no fault drives it.
    pub(crate) fn set_clock(&self, clock: Clock) {
        self.clock.set(clock);
        self.own_drift_ppm.set(clock.drift_ppm());
        self.drift_range.set((clock.drift_ppm(), clock.drift_ppm()));
    }

    pub(crate) fn drift(&self, now: Instant, fault: usize, drift_ppm: i32) {
        self.drifts.borrow_mut().push((fault, drift_ppm));
        self.set_drift(now);
    }

    pub(crate) fn end_drift(&self, now: Instant, fault: usize) {
        self.drifts.borrow_mut().retain(|(other, _)| *other != fault);
        self.set_drift(now);
    }

    pub(crate) fn jump(&self, fault: usize, nanos: i64) {
        self.jumps.borrow_mut().push((fault, nanos));
        self.set_jump();
    }

    pub(crate) fn end_jump(&self, fault: usize) {
        self.jumps.borrow_mut().retain(|(other, _)| *other != fault);
        self.set_jump();
    }

    fn set_jump(&self) {
        let ahead = self.jumps.borrow().iter().fold(0, |sum: i64, (_, nanos)| sum.saturating_add(*nanos));
        let mut clock = self.clock.get();
        clock.set_ahead(ahead);
        self.clock.set(clock);
    }

    /// The least and the most that its clock has gained so far, in parts per million.
    pub(crate) fn drift_range(&self) -> (i32, i32) {
        self.drift_range.get()
    }

    /// Ends what faults do to its clock.
    pub(crate) fn heal_clock(&self, now: Instant) {
        self.drifts.borrow_mut().clear();
        self.set_drift(now);
        self.jumps.borrow_mut().clear();
        self.set_jump();
    }

    fn set_drift(&self, now: Instant) {
        let drift_ppm = self.drifts.borrow().last().map_or(self.own_drift_ppm.get(), |(_, drift)| *drift);
        let mut clock = self.clock.get();
        clock.set_drift(now, drift_ppm);
        self.clock.set(clock);
        let (least, most) = self.drift_range.get();
        self.drift_range.set((least.min(drift_ppm), most.max(drift_ppm)));
    }
}

impl World {
    /// Whether the machine of a node can answer packets.
    pub(crate) fn is_powered(&self, index: usize) -> bool {
        self.process(index).status.get() != Status::Unpowered
    }

    /// Whether the process of a node runs, though it may be paused.
    #[must_use]
    pub fn is_running(&self, id: NodeId) -> bool {
        self.process(self.index(id)).status.get() == Status::Running
    }

    /// A machine has no process until [`start_process`](Self::start_process).
    pub(crate) fn leave_stopped(&self, id: NodeId) {
        self.process(self.index(id)).wanted.set(Wanted::Stopped);
    }

    /// Gives a node its power back if it had none, and starts its process unless that shall not run.
    pub(crate) fn start_unless_stopped(&self, id: NodeId) {
        let process = self.process(self.index(id));
        if process.wanted.get() != Wanted::Runs {
            process.status.set(Status::Down);
        } else {
            self.start(id);
        }
    }

    /// Whether the process of a machine shall run, though a fault may keep it down.
    #[must_use]
    pub fn is_enabled(&self, id: NodeId) -> bool {
        self.process(self.index(id)).wanted.get() == Wanted::Runs
    }

    /// Whether the process of a machine has ended for good, by itself or by [`end_process`](Self::end_process).
    #[must_use]
    pub fn is_gone(&self, id: NodeId) -> bool {
        self.process(self.index(id)).wanted.get() == Wanted::Ended
    }

    /// Whether a process ever ran on a node.
    #[must_use]
    pub fn is_used(&self, id: NodeId) -> bool {
        self.process(self.index(id)).incarnation.get() > 0
    }

    /// Starts the process of a machine whose process was stopped, or that never had one. While a fault keeps the
    /// machine down, it starts when that ends.
    pub fn start_process(&self, id: NodeId) {
        let index = self.index(id);
        let process = self.process(index);
        if process.wanted.replace(Wanted::Runs) != Wanted::Runs && !process.down.is_held() {
            self.start(id);
        }
    }

    /// Stops the process of a machine: nothing starts it again but [`start_process`](Self::start_process). What it
    /// wrote is in the page cache, as after a kill.
    pub fn stop_process(&self, id: NodeId) {
        if self.is_enabled(id) {
            let index = self.index(id);
            self.process(index).wanted.set(Wanted::Stopped);
            record!(self.node_by_index(index), "process", "is stopped");
            self.crash(index, Crash::Process);
        }
    }

    /// The same, and nobody means to start it again: progress is not to wait for it.
    pub fn end_process(&self, id: NodeId) {
        self.stop_process(id);
        self.process(self.index(id)).wanted.set(Wanted::Ended);
    }

    /// Puts an empty disk in place of that of a machine.
    ///
    /// # Panics
    ///
    /// If a process runs there.
    pub fn wipe_disk(&self, id: NodeId) {
        let index = self.index(id);
        assert!(!self.is_running(id), "the disk of {id} is in use");
        record!(self.node_by_index(index), "process", "its disk is wiped");
        self.process(index).drive.wipe();
    }

    /// Starts the process of a node that is down.
    fn start(&self, id: NodeId) {
        let index = self.index(id);
        let process = self.process(index);
        assert!(process.status.get() != Status::Running, "{id} runs already");
        process.status.set(Status::Running);
        process.incarnation.set(process.incarnation.get() + 1);
        let node = self.node_by_index(index);
        record!(node, "process", "starts, incarnation {}", node.incarnation());
        let main = (self.main())(node.clone());
        let supervised = {
            let node = node.clone();
            async move {
                if let Err(reason) = main.await {
                    node.exit(&reason).await;
                }
            }
        };
        self.spawn(&node, supervised);
        for other in 0..self.processes().len() {
            let link = self.network().borrow().link_index(other, index);
            self.send_stalled(link);
        }
        self.assess();
    }

    /// A fault other than a delay has met the disk of a process.
    pub(crate) fn disk_fails(&self, id: NodeId) {
        self.process(self.index(id)).disk_fails.set(true);
    }

    /// Runs a task of a process; a panic in it is a violation. One that is dead by now has no tasks any more.
    pub(crate) fn spawn(&self, node: &Node, task: impl Future<Output = ()> + 'static) {
        if node.is_current() && self.process(node.index()).status.get() == Status::Running {
            self.executor().spawn(node.index(), Box::pin(task));
        }
    }

    /// A process ends by itself, and its supervisor will start it again.
    ///
    /// It has to have a reason: where no fault has met its disk, it is a violation. Its shape is the reason without names and
    /// numbers.
    pub(crate) fn process_exits(&self, node: &Node, reason: &str) {
        if node.is_current() && !self.process(node.index()).disk_fails.get() {
            let shape = reason.split(|sign: char| sign == '`' || sign.is_ascii_digit()).next();
            let detail = format!("{} ended itself: {reason}", node.id());
            self.fail(Violation::new("process", "exit", shape.unwrap_or_default().trim_end(), detail));
        }
        self.process_gives_up(node, reason);
    }

    /// The same, over what others did not do.
    pub(crate) fn process_gives_up(&self, node: &Node, reason: &str) {
        record!(node, "process", "exits: {}", reason);
        if node.is_current() {
            self.crash_for(node.id(), Crash::Process, RESTART_DELAY);
        }
    }

    /// A process ends by itself and for good: its supervisor leaves it alone.
    pub(crate) fn process_finishes(&self, node: &Node, reason: &str) {
        record!(node, "process", "exits for good: {}", reason);
        if node.is_current() {
            self.process(node.index()).wanted.set(Wanted::Ended);
            self.crash(node.index(), Crash::Process);
        }
    }

    /// Crashes a node, and starts it again after `down`, unless another fault keeps it down by then.
    pub(crate) fn crash_for(&self, id: NodeId, crash: Crash, down: Duration) {
        let index = self.index(id);
        let is_down = self.process(index).status.get() != Status::Running;
        sometimes!(
            self,
            "a fault meets a process that is down",
            is_down,
            when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
        );
        self.crash(index, crash);
        let epoch = self.process(index).down.take();
        self.call_after(down, move |world| {
            if world.process(index).down.let_go(epoch) {
                world.start_unless_stopped(id);
            }
        });
    }

    fn crash(&self, index: usize, crash: Crash) {
        let process = self.process(index);
        let before = process.status.get();
        let after = if crash == Crash::Power { Status::Unpowered } else { Status::Down };
        if before == after || before == Status::Unpowered {
            return;
        }
        let node = self.node_by_index(index);
        sometimes!(
            node,
            "the power fails while the process is down",
            before == Status::Down,
            when = |run| { run.any_fault(&["power-failure", "failpoint"]) }
        );
        sometimes!(
            node,
            "a process crashes while it is paused",
            process.paused.count.get() > 0,
            when =
                |run| { run.any_fault(&["kill", "power-failure"]) && run.any_fault(&["pause", "failpoint"]) }
        );
        record!(
            node,
            "process",
            "crashes: {}",
            if crash == Crash::Power { "power failure" } else { "killed" }
        );
        process.status.set(after);
        process.paused.lift_all();
        let (all, running) =
            (self.members().count(), self.members().filter(|id| self.is_running(*id)).count());
        sometimes!(
            self,
            "all of several members are down at once",
            all > 1 && running == 0,
            when = |run| { run.members > 1 && run.any_fault(&["kill", "power-failure", "failpoint"]) }
        );
        self.process_is_gone(index, crash);
        // What its tasks still hold of the world is dead by now.
        self.executor().kill(index);
        self.assess();
    }

    /// A dead process loses its sockets and its ends of connections, and its disk what the crash takes.
    pub(crate) fn process_is_gone(&self, index: usize, crash: Crash) {
        self.close_all(self.process(index).id, crash == Crash::Process);
        self.crash_disk(index, crash);
    }

    /// Pauses the process of a node for `lasts`, unless another fault keeps it paused by then.
    pub(crate) fn pause_for(&self, id: NodeId, lasts: Duration) {
        let index = self.index(id);
        let process = self.process(index);
        if process.status.get() != Status::Running {
            return;
        }
        let epoch = process.paused.take();
        sometimes!(
            self,
            "a process is paused by two faults at once",
            process.paused.count.get() > 1,
            when = |run| { run.any_fault(&["pause", "failpoint"]) }
        );
        record!(self.node_by_index(index), "process", "is paused");
        self.executor().pause(index);
        self.assess();
        self.call_after(lasts, move |world| {
            if world.process(index).paused.let_go(epoch) {
                sometimes!(
                    world,
                    "a process resumes after seconds",
                    lasts.as_secs() >= 2,
                    when = |run| { run.any_fault(&["pause", "failpoint"]) }
                );
                world.resume(index);
            }
        });
    }

    fn resume(&self, index: usize) {
        record!(self.node_by_index(index), "process", "resumes");
        self.executor().resume(index);
        self.assess();
    }

    /// Keeps the process of a node down for good.
    pub(crate) fn keep_down(&self, index: usize) {
        self.process(index).down.take();
        self.crash(index, Crash::Process);
    }

    /// Keeps the process of a node paused for good.
    pub(crate) fn keep_paused(&self, index: usize) {
        let process = self.process(index);
        process.paused.take();
        record!(self.node_by_index(index), "process", "is paused");
        self.executor().pause(index);
    }

    /// Ends what any fault does to processes: all run again, but for those that shall stay down.
    pub(crate) fn heal_processes(&self) {
        for index in 0..self.processes().len() {
            let process = self.process(index);
            if process.paused.lift_all() {
                self.resume(index);
            }
            if process.down.lift_all() && self.atlas().how_broken(process.id) != Some(How::Down) {
                sometimes!(
                    self,
                    "a process is down until all faults are healed",
                    when = |run| run.any_fault(&["kill", "power-failure", "failpoint"])
                );
                self.start_unless_stopped(process.id);
            }
        }
    }
}
