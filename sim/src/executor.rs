//! Runs tasks, until all of them wait.
//!
//! A task belongs to a node or to nobody, and goes with the process there: it is dropped when that is killed, and held
//! back while that is paused. Which of several ready tasks goes first is drawn. Nothing else happens here: no clock
//! moves, and a task that waits costs nothing.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::random::Stream;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A slot, and which of the tasks that had it is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TaskId {
    slot: u32,
    generation: u32,
}

impl TaskId {
    fn to_bits(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.generation)
    }

    fn from_bits(bits: u64) -> Self {
        Self { slot: (bits >> 32) as u32, generation: bits as u32 }
    }
}

/// All tasks of a world.
pub(crate) struct Executor {
    ready: Arc<Ready>,
    tasks: RefCell<Tasks>,
    /// Whence it is drawn which task goes first.
    order: RefCell<Stream>,
}

/// How many ready tasks there mostly are at most.
const FEW: usize = 16;

/// Tasks that were woken and have not run since. A waker may be sent to another thread, for all that its type knows; in
/// fact there is one thread, so that loads and stores do, which are cheaper than exchanges and locks.
#[derive(Default)]
struct Ready {
    count: AtomicUsize,
    few: [AtomicU64; FEW],
    /// Those beyond the first few.
    more: Mutex<Vec<u64>>,
}

impl Ready {
    fn more(&self) -> MutexGuard<'_, Vec<u64>> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn push(&self, id: TaskId) {
        let count = self.len();
        match self.few.get(count) {
            Some(place) => place.store(id.to_bits(), Ordering::Relaxed),
            None => self.more().push(id.to_bits()),
        }
        self.count.store(count + 1, Ordering::Relaxed);
    }

    /// Takes the one at `place`, where the last one then is.
    fn swap_remove(&self, place: usize) -> Option<TaskId> {
        let last = self.len().checked_sub(1)?;
        self.count.store(last, Ordering::Relaxed);
        let moved = match self.few.get(last) {
            Some(place) => place.load(Ordering::Relaxed),
            None => self.more().pop()?,
        };
        let taken = match self.few.get(place) {
            _ if place == last => moved,
            Some(place) => {
                let taken = place.load(Ordering::Relaxed);
                place.store(moved, Ordering::Relaxed);
                taken
            }
            None => std::mem::replace(&mut self.more()[place - FEW], moved),
        };
        Some(TaskId::from_bits(taken))
    }
}

/// What a task's wakers share.
struct Alarm {
    id: TaskId,
    ready: Arc<Ready>,
    /// Whether the task is among the ready ones, or held back as one of them.
    rung: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.load(Ordering::Relaxed) {
            self.rung.store(true, Ordering::Relaxed);
            self.ready.push(self.id);
        }
    }
}

#[derive(Default)]
struct Tasks {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    owners: Vec<Owner>,
    /// Those of killed processes, which are dropped before anything else runs: what drops them may stand in the middle
    /// of what their ends would change.
    dead: Vec<Task>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    owner: usize,
    /// Nothing while it runs, and when the slot is vacant.
    waiting: Option<Waiting>,
}

struct Waiting {
    task: Task,
    alarm: Arc<Alarm>,
    waker: Waker,
}

#[derive(Default)]
struct Owner {
    paused: bool,
    /// Tasks that were ready while it was paused.
    held: Vec<TaskId>,
}

impl Tasks {
    fn is_alive(&self, id: TaskId) -> bool {
        self.slots[id.slot as usize].generation == id.generation
    }

    fn vacate(&mut self, slot: u32) -> Option<Waiting> {
        let place = &mut self.slots[slot as usize];
        place.generation = place.generation.wrapping_add(1);
        place.owner = usize::MAX;
        self.vacant.push(slot);
        place.waiting.take()
    }

    /// Takes out what is to run, unless it is gone or held back.
    fn take(&mut self, id: TaskId) -> Option<Waiting> {
        if !self.is_alive(id) {
            return None;
        }
        let slot = &mut self.slots[id.slot as usize];
        let owner = &mut self.owners[slot.owner];
        if owner.paused {
            owner.held.push(id);
            return None;
        }
        slot.waiting.take()
    }

    /// Puts back what has run and waits; what it is if its process was killed meanwhile.
    fn put_back(&mut self, id: TaskId, waiting: Waiting) -> Option<Waiting> {
        if !self.is_alive(id) {
            return Some(waiting);
        }
        self.slots[id.slot as usize].waiting.replace(waiting)
    }
}

impl Executor {
    /// For tasks of `owners` nodes and nobody, who is the last owner.
    pub(crate) fn new(owners: usize, order: Stream) -> Self {
        let owners = (0..=owners).map(|_| Owner::default()).collect();
        let tasks = Tasks { owners, ..Tasks::default() };
        Self { ready: Arc::default(), tasks: RefCell::new(tasks), order: RefCell::new(order) }
    }

    /// Adds a task, which is ready.
    pub(crate) fn spawn(&self, owner: usize, task: Task) {
        let tasks = &mut *self.tasks.borrow_mut();
        let slot = tasks.vacant.pop().unwrap_or_else(|| {
            tasks.slots.push(Slot::default());
            u32::try_from(tasks.slots.len() - 1).expect("fewer than four billion tasks at once")
        });
        let place = &mut tasks.slots[slot as usize];
        let id = TaskId { slot, generation: place.generation };
        let alarm = Arc::new(Alarm { id, ready: Arc::clone(&self.ready), rung: AtomicBool::new(true) });
        let waker = Waker::from(Arc::clone(&alarm));
        place.owner = owner;
        place.waiting = Some(Waiting { task, alarm, waker });
        self.ready.push(id);
    }

    /// Runs ready tasks until there is none. What a task panics with goes to `failed`, and the task goes.
    pub(crate) fn run(&self, failed: impl Fn(Box<dyn Any + Send>)) {
        self.bury();
        while let Some(id) = self.next() {
            let Some(mut waiting) = self.tasks.borrow_mut().take(id) else { continue };
            waiting.alarm.rung.store(false, Ordering::Relaxed);
            let context = &mut Context::from_waker(&waiting.waker);
            let polled = catch_unwind(AssertUnwindSafe(|| waiting.task.as_mut().poll(context)));
            if let Ok(Poll::Pending) = polled {
                let killed = self.tasks.borrow_mut().put_back(id, waiting);
                drop(killed);
            } else {
                let tasks = &mut *self.tasks.borrow_mut();
                if tasks.is_alive(id) {
                    tasks.vacate(id.slot);
                }
            }
            if let Err(payload) = polled {
                failed(payload);
            }
            self.bury();
        }
    }

    fn next(&self) -> Option<TaskId> {
        let chosen = match self.ready.len() {
            0 | 1 => 0,
            several => self.order.borrow_mut().below(several as u64) as usize,
        };
        self.ready.swap_remove(chosen)
    }

    /// Drops the tasks of killed processes.
    fn bury(&self) {
        while let Some(task) = {
            let tasks = &mut *self.tasks.borrow_mut();
            tasks.dead.pop()
        } {
            drop(task);
        }
    }

    /// Ends all tasks of `owner`. Nothing of them runs again, and before anything else does, they are dropped.
    pub(crate) fn kill(&self, owner: usize) {
        let tasks = &mut *self.tasks.borrow_mut();
        tasks.owners[owner] = Owner::default();
        for slot in 0..tasks.slots.len() {
            if tasks.slots[slot].owner == owner {
                let waiting = tasks.vacate(slot as u32);
                tasks.dead.extend(waiting.map(|waiting| waiting.task));
            }
        }
    }

    /// Holds the tasks of `owner` back; one that runs goes on until it waits.
    pub(crate) fn pause(&self, owner: usize) {
        self.tasks.borrow_mut().owners[owner].paused = true;
    }

    /// Lets the tasks of `owner` go on.
    pub(crate) fn resume(&self, owner: usize) {
        let owner = std::mem::take(&mut self.tasks.borrow_mut().owners[owner]);
        owner.held.into_iter().for_each(|id| self.ready.push(id));
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        let owners = self.tasks.borrow().owners.len();
        (0..owners).for_each(|owner| self.kill(owner));
        self.bury();
        while self.ready.swap_remove(0).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::random::Streams;

    fn executor() -> Executor {
        Executor::new(2, Streams::new(1).stream("executor", 0))
    }

    /// Counts how often it runs, and wakes itself each time.
    fn counting(runs: &Rc<Cell<u32>>, times: u32) -> Task {
        let runs = Rc::clone(runs);
        Box::pin(std::future::poll_fn(move |context| {
            runs.set(runs.get() + 1);
            if runs.get() == times {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    #[test]
    fn each_of_many_ready_tasks_runs_once_and_in_a_drawn_order() {
        let executor = executor();
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 0..3 * FEW {
            let order = Rc::clone(&order);
            executor.spawn(2, Box::pin(async move { order.borrow_mut().push(number) }));
        }
        executor.run(|_| panic!("no task panics"));
        let mut ran = order.take();
        assert!(!ran.is_sorted());
        ran.sort_unstable();
        assert_eq!(ran, (0..3 * FEW).collect::<Vec<_>>());
    }

    #[test]
    fn a_paused_task_goes_on_when_it_is_resumed_and_a_killed_one_is_dropped() {
        let executor = executor();
        let (paused, killed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        executor.spawn(0, counting(&paused, 3));
        executor.spawn(1, counting(&killed, 3));
        executor.pause(0);
        executor.kill(1);
        executor.run(|_| panic!("no task panics"));
        assert_eq!((paused.get(), killed.get(), Rc::strong_count(&killed)), (0, 0, 1));
        executor.resume(0);
        executor.run(|_| panic!("no task panics"));
        assert_eq!((paused.get(), Rc::strong_count(&paused)), (3, 1));
    }

    #[test]
    fn a_task_that_panics_is_told_of_and_goes() {
        let executor = executor();
        let held = Rc::new(());
        let kept = Rc::clone(&held);
        executor.spawn(
            2,
            Box::pin(async move {
                let _kept = kept;
                std::panic::resume_unwind(Box::new("here"));
            }),
        );
        let told = Cell::new(false);
        executor.run(|payload| told.set(payload.downcast_ref() == Some(&"here")));
        assert!(told.get());
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[test]
    fn a_waker_of_a_task_that_has_ended_wakes_nobody() {
        let executor = executor();
        let waker = Rc::new(RefCell::new(None));
        let given = Rc::clone(&waker);
        executor.spawn(
            0,
            Box::pin(std::future::poll_fn(move |context| {
                *given.borrow_mut() = Some(context.waker().clone());
                Poll::Ready(())
            })),
        );
        executor.run(|_| panic!("no task panics"));
        let runs = Rc::new(Cell::new(0));
        executor.spawn(0, counting(&runs, 9));
        executor.pause(0);
        executor.run(|_| panic!("no task panics"));
        waker.take().expect("the first task ran").wake();
        executor.run(|_| panic!("no task panics"));
        assert_eq!(runs.get(), 0);
    }
}
