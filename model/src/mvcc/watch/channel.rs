//! A bounded queue between two tasks, as Go's buffered channels are.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// A queue that holds so many items and no more.
pub struct Channel<T> {
    items: RefCell<VecDeque<T>>,
    capacity: usize,
    receiver: Cell<Option<Waker>>,
    /// One task at a time waits for room.
    sender: Cell<Option<Waker>>,
}

impl<T> Channel<T> {
    /// An empty channel for up to `capacity` items.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { items: RefCell::default(), capacity, receiver: Cell::new(None), sender: Cell::new(None) }
    }

    /// Whether the next [`try_send`](Self::try_send) would be in vain.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items.borrow().len() >= self.capacity
    }

    /// For oracles: how many wait to be taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.borrow().len()
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
        wake(&self.receiver);
    }

    /// Takes the next item, or lets the task be woken when there is one.
    pub fn poll_receive(&self, context: &mut Context<'_>) -> Poll<T> {
        match self.items.borrow_mut().pop_front() {
            Some(item) => {
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
