//! The names of a run's nodes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A node of a run: a member of the cluster, a client of it, or who operates it. Members and clients are counted
/// from 1.
///
/// As text, in a schedule as in a trace, it is `member 1`, `client 2` or `operator`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum NodeId {
    /// One of the processes that the run is about. Behind those that the cluster begins with, the machines that have
    /// no process yet are numbered on.
    Member(u16),
    /// One of the processes that use them.
    Client(u16),
    /// Who changes the cluster while it runs, where the system has such a one.
    Operator,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(number) => write!(f, "member {number}"),
            Self::Client(number) => write!(f, "client {number}"),
            Self::Operator => f.write_str("operator"),
        }
    }
}

impl FromStr for NodeId {
    type Err = String;

    /// Reads `member 1` or `client 2`; the error is a sentence that says what is wrong.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "operator" {
            return Ok(Self::Operator);
        }
        let (node, number): (fn(u16) -> Self, _) = match text.split_once(' ') {
            Some(("member", number)) => (Self::Member, number),
            Some(("client", number)) => (Self::Client, number),
            _ => return Err(format!("`{text}` is no node; write `member 1` or `client 1`")),
        };
        // `parse` alone would take `+1` for a number.
        let parsed = if number.starts_with('+') { None } else { number.parse().ok() };
        match parsed {
            Some(0) => Err(format!("`{text}` is no node; members and clients are counted from 1")),
            Some(number) => Ok(node(number)),
            None => Err(format!("`{text}` is no node; `{number}` is not a whole number up to 65535")),
        }
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.to_string()
    }
}

impl TryFrom<String> for NodeId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_back_as_it_was_written() {
        for node in [NodeId::Member(1), NodeId::Member(u16::MAX), NodeId::Client(2), NodeId::Operator] {
            assert_eq!(node.to_string().parse(), Ok(node));
        }
        assert_eq!(NodeId::Client(2).to_string(), "client 2");
    }

    #[test]
    fn what_is_no_node_is_refused_with_a_reason() {
        for bad in
            ["", "member", "member 0", "member -1", "member +1", "member 65536", "member  1", "Member 1"]
        {
            assert!(bad.parse::<NodeId>().is_err(), "`{bad}` was read as a node");
        }
    }

    #[test]
    fn members_come_before_clients_and_in_order_of_their_numbers() {
        let mut nodes = [NodeId::Client(1), NodeId::Member(10), NodeId::Member(2)];
        nodes.sort();
        assert_eq!(nodes, [NodeId::Member(2), NodeId::Member(10), NodeId::Client(1)]);
    }
}
