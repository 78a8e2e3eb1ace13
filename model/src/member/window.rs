//! How much a member may send that its client has not consumed: the flow control of HTTP/2.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Room for what the client has not consumed.
pub(super) struct Window {
    /// Less than nothing when the last message was larger than what was left.
    free: Cell<i64>,
    waker: Cell<Option<Waker>>,
}

impl Window {
    pub(super) fn new(bytes: u64) -> Self {
        Self { free: Cell::new(bytes as i64), waker: Cell::new(None) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.get() <= 0
    }

    pub(super) fn free(&self, bytes: u64) {
        self.free.set(self.free.get().saturating_add_unsigned(bytes));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits for room, and takes it.
    pub(super) async fn take(&self, bytes: u64) {
        poll_fn(|context| {
            if self.free.get() > 0 {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        self.free.set(self.free.get().saturating_sub_unsigned(bytes));
    }
}
