//! Where messages wait for their receiver.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::network::{Message, Payload};
use crate::node_id::NodeId;
use crate::queue::keep_waker;

/// A queue of messages of one type.
pub(crate) struct Inbox<M> {
    messages: RefCell<VecDeque<(NodeId, M)>>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl<M> Default for Inbox<M> {
    fn default() -> Self {
        Self { messages: RefCell::default(), closed: Cell::new(false), waker: RefCell::default() }
    }
}

impl<M> Inbox<M> {
    /// Takes the next message; `None` when the inbox is closed and empty.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<(NodeId, M)>> {
        match self.take() {
            Some(message) => Poll::Ready(Some(message)),
            None if self.closed.get() => Poll::Ready(None),
            None => {
                keep_waker(&mut self.waker.borrow_mut(), context);
                Poll::Pending
            }
        }
    }

    /// Ready when there is a message to take, or none will come any more.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.closed.get() || !self.messages.borrow().is_empty() {
            return Poll::Ready(());
        }
        keep_waker(&mut self.waker.borrow_mut(), context);
        Poll::Pending
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.borrow().is_empty()
    }

    pub(crate) fn take(&self) -> Option<(NodeId, M)> {
        self.messages.borrow_mut().pop_front()
    }

    pub(crate) fn put(&self, from: NodeId, message: M) {
        self.messages.borrow_mut().push_back((from, message));
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// An inbox whose type of message only its owner knows.
pub(crate) trait AnyInbox {
    /// Puts the message in, and wakes the receiver. A message of another type is a mistake of the system under
    /// test, and is refused.
    fn deliver(&self, from: NodeId, payload: Box<dyn Payload>) -> Result<(), WrongType>;

    /// Nothing comes after what is already in.
    fn close(&self);

    /// Drops what is in, and closes.
    fn reset(&self);
}

/// The receiver takes messages of another type.
#[derive(Debug)]
pub(crate) struct WrongType;

impl<M: Message> AnyInbox for Inbox<M> {
    fn deliver(&self, from: NodeId, payload: Box<dyn Payload>) -> Result<(), WrongType> {
        let message = payload.into_any().downcast::<M>().map_err(|_| WrongType)?;
        self.put(from, *message);
        Ok(())
    }

    fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn reset(&self) {
        self.messages.borrow_mut().clear();
        self.close();
    }
}
