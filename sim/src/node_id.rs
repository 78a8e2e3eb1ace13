//! Names of nodes.

use std::fmt;

/// A process of the cluster, or one of its clients; both are numbered from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NodeId {
    /// A member of the cluster.
    Member(u16),
    /// A client of the cluster.
    Client(u16),
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(number) => write!(f, "member {number}"),
            Self::Client(number) => write!(f, "client {number}"),
        }
    }
}
