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
use std::sync::atomic::{AtomicBool, Ordering};
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

/// All tasks of a world.
pub(crate) struct Executor {
    ready: Arc<Ready>,
    tasks: RefCell<Tasks>,
    /// Whence it is drawn which task goes first.
    order: RefCell<Stream>,
}

/// Tasks that were woken and have not run since. A waker may be sent to another thread, for all that its type knows.
#[derive(Default)]
struct Ready(Mutex<Vec<TaskId>>);

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Vec<TaskId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        // There is one thread, so that two steps do, which are cheaper than an exchange.
        if !self.rung.load(Ordering::Relaxed) {
            self.rung.store(true, Ordering::Relaxed);
            self.ready.lock().push(self.id);
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
        self.ready.lock().push(id);
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
        let mut ready = self.ready.lock();
        let chosen = match ready.len() {
            0 => return None,
            1 => 0,
            several => self.order.borrow_mut().below(several as u64) as usize,
        };
        Some(ready.swap_remove(chosen))
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
        self.ready.lock().extend(owner.held);
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        let owners = self.tasks.borrow().owners.len();
        (0..owners).for_each(|owner| self.kill(owner));
        self.bury();
        self.ready.lock().clear();
    }
}
