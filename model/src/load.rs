//! What clients can be asked to do for a while, besides what they do by themselves.
//!
//! A load is bounded by operations, so that a run costs about the same with it as without; and by time, so that it
//! ends where a cluster answers nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use vertebra_sim::{Instant, NodeId};

/// A sort of load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Load {
    /// What they always do, without a rest in between.
    Burst,
    /// The same on one key or two.
    HotKeys,
    /// Writes of values of some kilobytes, and some around the limit on requests.
    HugeValues,
    /// Transactions with as many operations as the limit allows, or one more.
    LargeTxns,
    /// Compactions, as fast as they are answered.
    Compactions,
    /// Reads and writes, all at once on one connection.
    Flood,
}

/// The names of all loads, as a schedule has them.
pub(crate) const LOADS: &[&str] =
    &["burst", "hot-keys", "huge-values", "large-txns", "compactions", "flood", SLOW_WATCH];

/// The names of those that need nobody who watches.
pub(crate) const LOADS_WITHOUT_WATCHES: &[&str] = LOADS.split_at(LOADS.len() - 1).0;

/// Streams of watches are not read, so that what members keep for them fills up. It is of the streams, and goes on beside
/// any other load of the client.
pub(crate) const SLOW_WATCH: &str = "slow-watch";

impl Load {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "burst" => Self::Burst,
            "hot-keys" => Self::HotKeys,
            "huge-values" => Self::HugeValues,
            "large-txns" => Self::LargeTxns,
            "compactions" => Self::Compactions,
            "flood" => Self::Flood,
            _ => return None,
        })
    }

    /// How many operations one client does at most: those that cost more are fewer.
    fn operations_max(self) -> u32 {
        match self {
            Self::Burst | Self::HotKeys => 48,
            Self::Flood => 32,
            Self::HugeValues => 6,
            Self::LargeTxns => 8,
            Self::Compactions => 12,
        }
    }
}

/// The loads under way, one for each client at most, besides streams that are not read. A new one takes the place of the
/// last.
#[derive(Default)]
pub(crate) struct Loads {
    under_way: RefCell<BTreeMap<NodeId, UnderWay>>,
    /// Until when clients do not read their streams of watches.
    unread: RefCell<BTreeMap<NodeId, Instant>>,
}

struct UnderWay {
    load: Load,
    /// Operations still to do.
    left: u32,
    ends: Instant,
}

impl Loads {
    /// Shares `amount` operations out among `clients`; whether there is such a load.
    pub(crate) fn begin(
        &self,
        load: &str,
        clients: &[NodeId],
        amount: u32,
        now: Instant,
        lasts: Duration,
    ) -> bool {
        if load == SLOW_WATCH {
            self.unread.borrow_mut().extend(clients.iter().map(|client| (*client, now + lasts)));
            return !clients.is_empty();
        }
        let Some(load) = Load::named(load) else { return false };
        let each = amount.div_ceil(clients.len().max(1) as u32).min(load.operations_max());
        for client in clients {
            self.under_way.borrow_mut().insert(*client, UnderWay { load, left: each, ends: now + lasts });
        }
        !clients.is_empty()
    }

    /// What `client` is to do now, and how many operations are left of it, this one included.
    pub(crate) fn of(&self, client: NodeId, now: Instant) -> Option<(Load, u32)> {
        let loads = &mut *self.under_way.borrow_mut();
        let UnderWay { load, left, ends } = loads.get(&client)?;
        if *left == 0 || *ends <= now {
            loads.remove(&client);
            return None;
        }
        Some((*load, *left))
    }

    /// Until when `client` does not read its streams of watches.
    pub(crate) fn unread_until(&self, client: NodeId, now: Instant) -> Option<Instant> {
        self.unread.borrow().get(&client).copied().filter(|until| *until > now)
    }

    /// `client` has done so many operations of its load.
    pub(crate) fn done(&self, client: NodeId, operations: u32) {
        if let Some(load) = self.under_way.borrow_mut().get_mut(&client) {
            load.left = load.left.saturating_sub(operations);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_of_a_load_and_no_other_is() {
        assert!(LOADS.iter().all(|name| *name == SLOW_WATCH || Load::named(name).is_some()));
        assert!(!LOADS_WITHOUT_WATCHES.contains(&SLOW_WATCH));
        assert_eq!(Load::named("nothing"), None);
    }

    #[test]
    fn a_load_ends_when_its_operations_are_done_or_its_time_is_over() {
        let (loads, start) = (Loads::default(), Instant::START);
        let clients = [NodeId::Client(1), NodeId::Client(2)];
        assert!(loads.begin("flood", &clients, 7, start, Duration::from_secs(1)));
        assert_eq!(loads.of(clients[0], start), Some((Load::Flood, 4)));
        loads.done(clients[0], 4);
        assert_eq!(loads.of(clients[0], start), None);
        assert_eq!(loads.of(clients[1], start), Some((Load::Flood, 4)));
        assert_eq!(loads.of(clients[1], start + Duration::from_secs(1)), None);
        assert!(!loads.begin("flood", &[], 7, start, Duration::from_secs(1)));
    }

    #[test]
    fn streams_that_are_not_read_are_read_again_in_time_and_leave_other_loads_alone() {
        let (loads, start, client) = (Loads::default(), Instant::START, NodeId::Client(1));
        assert!(loads.begin("flood", &[client], 7, start, Duration::from_secs(1)));
        assert!(loads.begin(SLOW_WATCH, &[client], 7, start, Duration::from_secs(2)));
        assert_eq!(loads.of(client, start), Some((Load::Flood, 7)));
        let until = start + Duration::from_secs(2);
        assert_eq!(loads.unread_until(client, start), Some(until));
        assert_eq!(loads.unread_until(client, until), None);
        assert_eq!(loads.unread_until(NodeId::Client(2), start), None);
        assert!(!loads.begin(SLOW_WATCH, &[], 7, start, Duration::from_secs(1)));
    }
}
