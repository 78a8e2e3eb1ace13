//! A bounded queue between two tasks, as Go's buffered channels are.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use vertebra_sim::{Instant, World};

/// A queue that holds so many items and no more.
pub struct Channel<T> {
    items: RefCell<VecDeque<T>>,
    capacity: usize,
    receiver: Cell<Option<Waker>>,
    /// One task at a time waits for room.
    sender: Cell<Option<Waker>>,
    accounts: Accounts,
}

/// Since when something waits to be taken, or was last.
struct Accounts {
    world: Option<World>,
    since: Cell<Option<Instant>>,
}

/// For oracles.
impl Accounts {
    /// There is something to take now, or something else than before.
    fn waits(&self, waits: bool) {
        self.since.set(self.world.as_ref().filter(|_| waits).map(World::now));
    }

    fn put(&self) {
        if self.since.get().is_none() {
            self.waits(true);
        }
    }
}

/// What waits in a channel, for oracles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// So many items.
    pub count: usize,
    /// Since when something could be taken, and nobody has taken anything.
    pub since: Option<Instant>,
}

impl<T> Channel<T> {
    /// An empty channel for up to `capacity` items, in a `world` whose oracles hear of it.
    #[must_use]
    pub fn new(capacity: usize, world: Option<World>) -> Self {
        let accounts = Accounts { world, since: Cell::new(None) };
        Self {
            items: RefCell::default(),
            capacity,
            receiver: Cell::new(None),
            sender: Cell::new(None),
            accounts,
        }
    }

    /// Whether the next [`try_send`](Self::try_send) would be in vain.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items.borrow().len() >= self.capacity
    }

    /// For oracles: what waits to be taken.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        Waiting { count: self.items.borrow().len(), since: self.accounts.since.get() }
    }

    /// Whether there is anything to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.borrow().is_empty()
    }

    /// Puts `item` in if there is room; whether there was.
    pub fn try_send(&self, item: T) -> bool {
        if self.is_full() {
            return false;
        }
        self.items.borrow_mut().push_back(item);
        self.accounts.put();
        wake(&self.receiver);
        true
    }

    /// Puts `item` in as soon as there is room.
    pub async fn send(&self, item: T) {
        poll_fn(|context| {
            if self.is_full() {
                self.sender.set(Some(context.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        self.items.borrow_mut().push_back(item);
        self.accounts.put();
        wake(&self.receiver);
    }

    /// Takes the next item, or lets the task be woken when there is one.
    pub fn poll_receive(&self, context: &mut Context<'_>) -> Poll<T> {
        let items = &mut *self.items.borrow_mut();
        match items.pop_front() {
            Some(item) => {
                self.accounts.waits(!items.is_empty());
                wake(&self.sender);
                Poll::Ready(item)
            }
            None => {
                self.receiver.set(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("items", &self.items).field("capacity", &self.capacity).finish()
    }
}

fn wake(waker: &Cell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
