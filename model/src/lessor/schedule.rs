//! Moments at which something is due for a lease.

use std::collections::{BTreeMap, BTreeSet};

use vertebra_sim::time::Instant;

/// One moment for each lease that is in it.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    by_lease: BTreeMap<i64, Instant>,
    in_order: BTreeSet<(Instant, i64)>,
}

impl Schedule {
    /// Puts a lease in, or moves it.
    pub(super) fn set(&mut self, id: i64, at: Instant) {
        if let Some(before) = self.by_lease.insert(id, at) {
            self.in_order.remove(&(before, id));
        }
        self.in_order.insert((at, id));
    }

    /// The lease whose moment came first, if it is not after `now`.
    pub(super) fn due(&self, now: Instant) -> Option<i64> {
        self.in_order.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// When the first lease of all is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(at, _)| *at)
    }

    pub(super) fn remove(&mut self, id: i64) {
        if let Some(at) = self.by_lease.remove(&id) {
            self.in_order.remove(&(at, id));
        }
    }
}
