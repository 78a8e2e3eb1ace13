//! How a database commits: what oracles hold its commits against, and marks.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use vertebra_sim::{Instant, Node};

use super::{Backend, Limits};

/// What is kept of the commits of an open database.
pub(super) struct Accounts {
    opened: Instant,
    made: Cell<u64>,
    asked: Cell<u64>,
    waits_since: Cell<Option<Instant>>,
    /// What others see is to be committed before the next transaction, and how often it was not.
    due: Cell<bool>,
    neglected: Cell<u64>,
    /// Commits and defragmentations that are under way; a defragmentation commits.
    busy: Cell<u32>,
}

/// A commit or a defragmentation is under way until this is dropped.
pub(super) struct Busy(Rc<Accounts>);

/// For oracles and marks.
impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

/// The commits of a database since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Commits {
    /// How many there were.
    pub made: u64,
    /// As many had a reason of their own: somebody asked, something was deleted, or the batch was full.
    pub asked: u64,
    /// How often the interval is over that may pass between the others.
    pub intervals: u64,
    /// For how long something waits that others see and that is not committed, beyond the interval.
    pub overdue: Duration,
    /// How often the next transaction ended before what had a reason of its own was committed.
    pub neglected: u64,
}

/// For oracles and marks.
impl Accounts {
    pub(super) fn new(node: &Node) -> Self {
        Self {
            opened: node.monotonic(),
            made: Cell::new(0),
            asked: Cell::new(0),
            waits_since: Cell::new(None),
            due: Cell::new(false),
            neglected: Cell::new(0),
            busy: Cell::new(0),
        }
    }

    pub(super) fn busy(accounts: &Rc<Self>) -> Busy {
        accounts.busy.set(accounts.busy.get() + 1);
        Busy(Rc::clone(accounts))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.get() > 0
    }

    /// Somebody asks for a commit, or a transaction has deleted something.
    pub(super) fn asked(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    /// Others see now what a transaction has written, with which so many writes wait.
    pub(super) fn shown(&self, node: &Node, deleted: bool, writes: usize, limits: &Limits) {
        self.waits_since.set(self.waits_since.get().or(Some(node.monotonic())));
        if self.due.replace(deleted || writes >= limits.batch_limit) {
            self.neglected.set(self.neglected.get() + 1);
        }
        if deleted {
            self.asked();
        }
    }

    /// So many writes were committed.
    pub(super) fn committed(&self, writes: usize, limits: &Limits) {
        self.made.set(self.made.get() + 1);
        self.waits_since.set(None);
        self.due.set(false);
        if writes >= limits.batch_limit {
            self.asked();
        }
    }
}

impl Backend {
    /// For oracles: how it has committed since it was opened.
    #[must_use]
    pub fn commits(&self) -> Commits {
        let (accounts, now) = (&self.0.accounts, self.0.node.monotonic());
        let interval = self.0.limits.batch_interval;
        let waits = accounts.waits_since.get().map_or(Duration::ZERO, |since| now.since(since));
        Commits {
            made: accounts.made.get(),
            asked: accounts.asked.get(),
            intervals: (now.since(accounts.opened).as_nanos() / interval.as_nanos()) as u64,
            overdue: waits.saturating_sub(interval),
            neglected: accounts.neglected.get(),
        }
    }
}
