//! Whom a fault meets: nodes by name, or by the role that they have at that moment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Shape;
use crate::node_id::NodeId;

/// Whom a fault meets. Roles are those at the moment when the fault begins; it keeps the nodes that it met then.
///
/// As text it is `member 2`, `client 1`, `leader`, `follower`, `minority`, `majority`, `all members`, `all clients` or
/// `others`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Target {
    /// One node by its name.
    Node(NodeId),
    /// The leader then; nobody while there is none.
    Leader,
    /// The lowest-numbered member that is not the leader then.
    Follower,
    /// As many members as a cluster can do without: the lowest-numbered ones that do not lead then.
    Minority,
    /// As few members as it cannot do without: the leader then, and the lowest-numbered others.
    Majority,
    /// Every member, spares included: those that have joined are members, and the others have nothing to lose.
    AllMembers,
    /// Every client.
    AllClients,
    /// Every member that is not on the other side of the link. Only where a fault names two sides.
    Others,
}

impl Target {
    /// Adds the nodes that this means to `nodes`, while `leader` leads. [`Target::Others`] means nobody here: it
    /// takes the other side to know them, see [`resolve_sides`].
    fn resolve_into(self, shape: &Shape, leader: Option<NodeId>, nodes: &mut Vec<NodeId>) {
        match self {
            Self::Node(node) => nodes.push(node),
            Self::Leader => nodes.extend(leader),
            Self::Follower => nodes.extend(shape.member_ids().find(|member| Some(*member) != leader)),
            Self::Minority => {
                let others = shape.member_ids().filter(|member| Some(*member) != leader);
                nodes.extend(others.take(usize::from(shape.members - 1) / 2));
            }
            Self::Majority => {
                let others = shape.member_ids().filter(|member| Some(*member) != leader);
                nodes.extend(leader.into_iter().chain(others).take(usize::from(shape.members) / 2 + 1));
                nodes.sort_unstable();
            }
            Self::AllMembers => nodes.extend(shape.machine_ids()),
            Self::AllClients => nodes.extend(shape.client_ids()),
            Self::Others => {}
        }
    }

    /// The nodes that this means while `leader` leads, in order.
    #[must_use]
    pub fn resolve(self, shape: &Shape, leader: Option<NodeId>) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        self.resolve_into(shape, leader, &mut nodes);
        nodes
    }
}

/// The nodes on both sides of a link fault while `leader` leads, each in order and without repetition.
///
/// A node may stand on both sides, when `leader` and `member 1` are the same: it has no link to itself, and the
/// fault meets its other links.
#[must_use]
pub fn resolve_sides(
    from: &[Target],
    to: &[Target],
    shape: &Shape,
    leader: Option<NodeId>,
) -> (Vec<NodeId>, Vec<NodeId>) {
    let named = |side: &[Target]| {
        let mut nodes = Vec::new();
        for target in side {
            target.resolve_into(shape, leader, &mut nodes);
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    };
    let (mut from_nodes, mut to_nodes) = (named(from), named(to));
    let complete = |side: &[Target], nodes: &mut Vec<NodeId>, other: &[NodeId]| {
        if side.contains(&Target::Others) {
            nodes.extend(shape.machine_ids().filter(|member| !other.contains(member)));
            nodes.sort_unstable();
            nodes.dedup();
        }
    };
    complete(from, &mut from_nodes, &to_nodes);
    complete(to, &mut to_nodes, &from_nodes);
    (from_nodes, to_nodes)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Leader => f.write_str("leader"),
            Self::Follower => f.write_str("follower"),
            Self::Minority => f.write_str("minority"),
            Self::Majority => f.write_str("majority"),
            Self::AllMembers => f.write_str("all members"),
            Self::AllClients => f.write_str("all clients"),
            Self::Others => f.write_str("others"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    /// Reads the text that [`Target`] describes; the error is a sentence that says what is wrong.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "leader" => Ok(Self::Leader),
            "follower" => Ok(Self::Follower),
            "minority" => Ok(Self::Minority),
            "majority" => Ok(Self::Majority),
            "all members" => Ok(Self::AllMembers),
            "all clients" => Ok(Self::AllClients),
            "others" => Ok(Self::Others),
            name if name.starts_with("member ") || name.starts_with("client ") => {
                name.parse().map(Self::Node)
            }
            _ => Err(format!(
                "`{text}` is no target; write `member 1`, `client 1`, `leader`, `follower`, `minority`, \
                 `majority`, `all members`, `all clients` or `others`"
            )),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use NodeId::{Client, Member};

    const SHAPE: Shape = Shape::new(3, 2);

    #[test]
    fn a_role_is_who_has_it_then() {
        assert_eq!(Target::Leader.resolve(&SHAPE, Some(Member(2))), [Member(2)]);
        assert_eq!(Target::Leader.resolve(&SHAPE, None), []);
        assert_eq!(Target::Follower.resolve(&SHAPE, Some(Member(1))), [Member(2)]);
        assert_eq!(Target::Follower.resolve(&SHAPE, None), [Member(1)]);
        assert_eq!(Target::Minority.resolve(&SHAPE, Some(Member(1))), [Member(2)]);
        assert_eq!(Target::Majority.resolve(&SHAPE, Some(Member(3))), [Member(1), Member(3)]);
        assert_eq!(Target::Majority.resolve(&SHAPE, None), [Member(1), Member(2)]);
        assert_eq!(Target::Minority.resolve(&Shape::new(1, 0), None), []);
        assert_eq!(Target::AllMembers.resolve(&SHAPE, None), [Member(1), Member(2), Member(3)]);
        assert_eq!(Target::AllClients.resolve(&SHAPE, None), [Client(1), Client(2)]);
    }

    #[test]
    fn others_are_the_members_that_are_not_on_the_other_side() {
        let sides =
            resolve_sides(&[Target::Leader, Target::AllClients], &[Target::Others], &SHAPE, Some(Member(3)));
        assert_eq!(sides, (vec![Member(3), Client(1), Client(2)], vec![Member(1), Member(2)]));
        let sides = resolve_sides(&[Target::Others], &[Target::Node(Member(2))], &SHAPE, None);
        assert_eq!(sides, (vec![Member(1), Member(3)], vec![Member(2)]));
    }

    #[test]
    fn spares_are_among_all_members_and_among_others() {
        let shape = Shape { spares: 1, ..SHAPE };
        let all = Target::AllMembers.resolve(&shape, None);
        assert_eq!(all, [Member(1), Member(2), Member(3), Member(4)]);
        let (_, others) = resolve_sides(&[Target::Node(Member(2))], &[Target::Others], &shape, None);
        assert_eq!(others, [Member(1), Member(3), Member(4)]);
    }

    #[test]
    fn a_node_named_twice_on_one_side_is_there_once() {
        let twice = [Target::Leader, Target::Node(Member(1)), Target::AllMembers];
        let (from, _) = resolve_sides(&twice, &[Target::AllClients], &SHAPE, Some(Member(1)));
        assert_eq!(from, [Member(1), Member(2), Member(3)]);
    }

    #[test]
    fn a_target_is_read_back_as_it_was_written() {
        for text in [
            "member 2",
            "client 1",
            "leader",
            "follower",
            "minority",
            "majority",
            "all members",
            "all clients",
            "others",
        ] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "boss", "member", "member 0", "Leader", "all"] {
            assert!(bad.parse::<Target>().is_err(), "`{bad}` was read as a target");
        }
    }
}
