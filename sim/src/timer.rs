//! Waiting for time to pass.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::node::Node;
use crate::queue::TimerId;
use crate::time::{Instant, nanos};
use crate::world::World;

/// Completes at a moment of virtual time, to the nanosecond. Dropping it cancels it.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep {
    world: World,
    id: TimerId,
}

impl Sleep {
    pub(crate) fn until(world: World, at: Instant) -> Self {
        let id = world.queue().borrow_mut().start_timer(at.max(world.now()));
        Self { world, id }
    }

    /// As awaiting it, for use in a `poll_fn` that waits for several things.
    pub fn poll_done(&self, context: &mut Context<'_>) -> Poll<()> {
        self.world.queue().borrow_mut().poll_timer(self.id, context)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.poll_done(context)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.world.queue().borrow_mut().end_timer(self.id);
    }
}

/// Ticks at a fixed period of its node's clock. Ticks that nobody waited for are skipped, all but one, as with a
/// ticker of Go: a process that was paused for long sees one tick late, not a burst of them.
pub struct Ticker {
    node: Node,
    period: Duration,
    due: Instant,
    sleep: Sleep,
}

impl Ticker {
    pub(crate) fn new(node: Node, period: Duration) -> Self {
        assert!(!period.is_zero(), "a ticker needs time between its ticks");
        let due = node.world().now() + node.virtual_duration(period);
        let sleep = Sleep::until(node.world().clone(), due);
        Self { node, period, due, sleep }
    }

    /// The next tick.
    pub async fn tick(&mut self) {
        poll_fn(|context| self.poll_tick(context)).await;
    }

    /// As [`tick`](Self::tick), for use in a `poll_fn` that waits for several things.
    pub fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.sleep.poll_done(context).is_pending() {
            return Poll::Pending;
        }
        let period = nanos(self.node.virtual_duration(self.period)).max(1);
        let missed = nanos(self.node.world().now() - self.due) / period;
        self.due = self.due + Duration::from_nanos((missed + 1) * period);
        self.sleep = Sleep::until(self.node.world().clone(), self.due);
        Poll::Ready(())
    }
}

/// What `future` gives, or `None` when `deadline` comes first. A future that is ready at the deadline wins.
///
/// A large future is better pinned by the caller: one that is handed over takes up its room twice.
pub async fn before<F: Future>(deadline: Sleep, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => deadline.poll_done(context).map(|()| None),
    })
    .await
}
