//! Clients that are API servers of Kubernetes.

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;

/// Seeds in a million that have such clients.
const CHANCE_PPM: u32 = 125_000;

/// What each API server does: how often each kind of step is chosen, relative to the others of
/// [`Weights`](crate::Weights). With any of them, each stream of watches is a cache of one resource: a list, and then a watch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KubernetesTraffic {
    /// Objects of a page of a list. Kubernetes: 500; 0: all of them.
    pub page_objects: u16,
    /// Writes of an object, if it is as it was last seen.
    pub update: u32,
    /// Writes of an object, if there is none.
    pub create: u32,
    /// Deletions of an object, if it is as it was last seen.
    pub delete: u32,
    /// Objects that go with a lease.
    pub event: u32,
    /// Reads of an object.
    pub get: u32,
    /// Reads of an object at an older revision.
    pub get_at: u32,
    /// Lists of a resource, page by page at the revision of the first one.
    pub list: u32,
    /// The same, at an older revision from the first page on.
    pub list_at: u32,
    /// Questions how many objects there are.
    pub count: u32,
    /// Looks whether etcd answers.
    pub health: u32,
    /// Attempts to be the one who compacts.
    pub compact: u32,
}

impl KubernetesTraffic {
    pub(super) fn draw(streams: &Streams) -> Self {
        let mut stream = streams.stream("options/kubernetes", 0);
        if !stream.chance(CHANCE_PPM) {
            return Self::default();
        }
        let mut weight = |usual: u32| if stream.chance(150_000) { 0 } else { usual };
        // In the manner of etcd's robustness tests, whose write loop has 90 updates to 5 creations and 5 deletions.
        Self {
            update: 40,
            create: 12,
            delete: weight(8),
            event: weight(5),
            get: weight(6),
            get_at: weight(4),
            list: weight(14),
            list_at: weight(3),
            count: weight(3),
            health: weight(1),
            compact: weight(5),
            page_objects: *stream.weighted(&[(4, 2), (3, 10), (2, 1), (1, 500)]),
        }
    }

    /// Whether clients are API servers.
    #[must_use]
    pub fn any(&self) -> bool {
        self.total() > 0
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn total(&self) -> u64 {
        let Self {
            page_objects: _,
            update,
            create,
            delete,
            event,
            get,
            get_at,
            list,
            list_at,
            count,
            health,
            compact,
        } = *self;
        [update, create, delete, event, get, get_at, list, list_at, count, health, compact]
            .into_iter()
            .map(u64::from)
            .sum()
    }
}
