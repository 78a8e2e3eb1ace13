//! Queues between the tasks of a member.
//!
//! They behave as tokio's unbounded channels do, without what those pay for threads that do not exist here: the raft
//! loop looks at its queue each time it wakes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The end that puts in. The queue is closed when it is dropped.
pub(super) struct Sender<T>(Rc<Queue<T>>);

/// The end that takes out. What nobody will take is dropped with it.
pub(super) struct Receiver<T>(Rc<Queue<T>>);

struct Queue<T> {
    items: RefCell<VecDeque<T>>,
    closed: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// A queue without bounds: what goes through it is bounded by who waits for an answer.
pub(super) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let queue =
        Rc::new(Queue { items: RefCell::default(), closed: Cell::new(false), waker: Cell::new(None) });
    (Sender(Rc::clone(&queue)), Receiver(queue))
}

impl<T> Queue<T> {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Sender<T> {
    /// Puts `item` in, or gives it back when nobody will take it.
    pub(super) fn send(&self, item: T) -> Result<(), T> {
        if self.0.closed.get() {
            return Err(item);
        }
        self.0.items.borrow_mut().push_back(item);
        self.0.wake();
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.wake();
    }
}

impl<T> Receiver<T> {
    /// The next item; `None` when the queue is closed and empty.
    pub(super) async fn recv(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`recv`](Self::recv), for use in a `poll_fn` that waits for several things.
    pub(super) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(item) = self.try_recv() {
            return Poll::Ready(Some(item));
        }
        if self.0.closed.get() {
            return Poll::Ready(None);
        }
        let kept = self.0.waker.take().filter(|waker| waker.will_wake(context.waker()));
        self.0.waker.set(Some(kept.unwrap_or_else(|| context.waker().clone())));
        Poll::Pending
    }

    /// The next item, when one is here.
    pub(super) fn try_recv(&mut self) -> Option<T> {
        self.0.items.borrow_mut().pop_front()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.closed.set(true);
        // Outside of the queue: dropping an item may wake someone.
        drop(self.0.items.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<T>(receiver: &mut Receiver<T>) -> Poll<Option<T>> {
        receiver.poll_recv(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn items_come_in_order_and_then_the_end() {
        let (sender, mut receiver) = queue();
        assert_eq!(poll(&mut receiver), Poll::Pending);
        assert_eq!((sender.send(1), sender.send(2)), (Ok(()), Ok(())));
        drop(sender);
        let polled = [poll(&mut receiver), poll(&mut receiver), poll(&mut receiver)];
        assert_eq!(polled, [Poll::Ready(Some(1)), Poll::Ready(Some(2)), Poll::Ready(None)]);
    }

    #[test]
    fn what_nobody_will_take_is_given_back_or_dropped() {
        let (sender, receiver) = queue();
        let left = Rc::new(());
        assert_eq!(sender.send(Rc::clone(&left)), Ok(()));
        drop(receiver);
        assert_eq!(Rc::strong_count(&left), 1);
        assert_eq!(sender.send(Rc::clone(&left)), Err(left));
    }
}
