//! Named places in a process at which a fault can strike.

use std::future::Future;
use std::time::Duration;

use crate::node::Node;
use crate::node_id::NodeId;
use crate::process::Crash;
use crate::record;
use crate::sometimes;
use crate::timer::Sleep;
use crate::world::World;

/// What happens to the process at an armed failpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Strike {
    /// It crashes there, and stays down for so long.
    Crash(Crash, Duration),
    /// It is paused there for so long.
    Pause(Duration),
    /// The task that came by waits there for so long; the others go on.
    Delay(Duration),
    /// All its connections break.
    Disconnect,
}

/// A failpoint that waits for its hit.
pub(crate) struct Armed {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    /// Hits until it strikes; at least 1.
    pub(crate) hits: u32,
    pub(crate) strike: Strike,
}

impl Node {
    /// Marks a place by `name`, at which a schedule may let the process crash, pause or wait.
    ///
    /// Without a fault armed for it, it costs a count and a look at an empty list. Whether a fault struck, for places
    /// where the process then does something else.
    #[inline(always)]
    pub fn failpoint(&self, name: &'static str) -> impl Future<Output = bool> {
        // Not in the future, where the compiler would no longer see that the name is a constant.
        self.world().counters().passes(name);
        let strike = self.world().hit(self.id(), name);
        async move {
            match strike {
                // Apart, since every future in which a failpoint stands has room for it.
                Some(strike) => {
                    Box::pin(self.strike(name, strike)).await;
                    true
                }
                None => false,
            }
        }
    }

    async fn strike(&self, name: &'static str, strike: Strike) {
        record!(self, "fault", "failpoint {} strikes", name);
        self.world().counters().strikes(name, matches!(strike, Strike::Crash(..)));
        match strike {
            Strike::Crash(crash, down) => {
                sometimes!(
                    self,
                    "the power fails at a failpoint",
                    crash == Crash::Power,
                    when = |run| run.fault("failpoint")
                );
                sometimes!(
                    self,
                    "a process is killed at a failpoint",
                    crash == Crash::Process,
                    when = |run| run.fault("failpoint")
                );
                self.world().crash_for(self.id(), crash, down);
                std::future::pending().await
            }
            Strike::Pause(lasts) => {
                sometimes!(self, "a process is paused at a failpoint", when = |run| run.fault("failpoint"));
                self.world().pause_for(self.id(), lasts);
                // The pause takes hold at the next time the task would run.
                self.yield_now().await;
            }
            Strike::Disconnect => self.world().reset_connections_of(self.id()),
            Strike::Delay(lasts) => Sleep::until(self.world().clone(), self.world().now() + lasts).await,
        }
    }
}

impl World {
    /// Counts a hit for every fault that is armed there; what to do when one of them has waited for it.
    #[inline]
    fn hit(&self, node: NodeId, name: &str) -> Option<Strike> {
        if self.failpoints().borrow().is_empty() { None } else { self.hit_armed(node, name) }
    }

    fn hit_armed(&self, node: NodeId, name: &str) -> Option<Strike> {
        let armed = &mut *self.failpoints().borrow_mut();
        let mut due = None;
        for (place, armed) in armed.iter_mut().enumerate() {
            if armed.node == node && armed.name == name {
                armed.hits = armed.hits.saturating_sub(1);
                // Of two that are due at one passage, the second strikes at the next.
                due = due.or((armed.hits == 0).then_some(place));
            }
        }
        due.map(|place| armed.remove(place).strike)
    }
}
