//! How often clients use what the API has beyond the plain requests.

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;

/// How often each kind of operation is chosen with any of the options that etcd has for it, relative to the others of
/// [`Weights`](crate::Weights).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VariedWeights {
    /// Reads: any range, order, limit and bounds of revisions; keys or their number alone.
    pub range: u32,
    /// Writes that return what was there, or keep its value or lease.
    pub put: u32,
    /// Deletions of any range, and those that return what was there.
    pub delete: u32,
    /// Transactions: any comparisons, also of ranges, and transactions inside.
    pub txn: u32,
}

impl VariedWeights {
    /// Where there are users, mostly: what an option makes of a request has to be allowed as well.
    pub(super) fn draw(streams: &Streams, with_users: bool) -> Self {
        let mut stream = streams.stream("options/varied", 0);
        if stream.chance(if with_users { 400_000 } else { 800_000 }) {
            return Self::default();
        }
        let mut weight = |usual: u32| if stream.chance(150_000) { 0 } else { usual };
        Self { range: weight(5), put: weight(3), delete: weight(1), txn: weight(4) }
    }

    /// Whether it is never done.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.total() == 0
    }

    pub(super) fn total(&self) -> u64 {
        [self.range, self.put, self.delete, self.txn].into_iter().map(u64::from).sum()
    }
}
