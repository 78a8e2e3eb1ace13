//! The Cluster service: what an operator asks of a member about its cluster.
//!
//! etcd's `MoveLeader` belongs to its Maintenance service; several changes at once are what Raft offers and etcd does
//! not. In etcd all services share a port; here a port has one type of message.

use std::fmt;

use vertebra_sim::network::{Connection, Message};
use vertebra_sim::{Node, NodeId};

use crate::error::Error;
use crate::options::Options;

/// Where members listen to operators.
pub const CLUSTER_PORT: u16 = 2381;

/// A member's identifier in Raft. Those that the cluster begins with have the numbers of their machines; a later one
/// has its machine in the low 16 bits, and in the 16 above them how many members there were on that machine before. The
/// high 32 bits tell how often the cluster had been restored: all members of a restored one are new.
pub type MemberId = u64;

/// Where a member can be reached, in place of its peer URLs: its machine in the low 16 bits, and above them which of
/// that machine's names is meant.
pub type Address = u32;

/// The machine on which a member with this identifier is.
#[must_use]
pub fn machine(member: MemberId) -> u16 {
    (member & 0xffff) as u16
}

/// The machine of those that can be reached nowhere: what their URLs name is no part of the simulation.
pub const NOWHERE: u16 = u16::MAX;

/// The peer URL that follows from an address.
#[must_use]
pub fn peer_url(address: Address) -> String {
    match (address & 0xffff, address >> 16) {
        (machine, 0) => format!("http://m{machine}:2380"),
        (machine, name) => format!("http://m{machine}-{name}:2380"),
    }
}

/// The address that a peer URL follows from, if any.
#[must_use]
pub fn address_of(url: &str) -> Option<Address> {
    let name = url.strip_prefix("http://m")?.strip_suffix(":2380")?;
    let (machine, name) = name.split_once('-').unwrap_or((name, "0"));
    let address =
        Address::from(name.parse::<u16>().ok()?) << 16 | Address::from(machine.parse::<u16>().ok()?);
    (address & 0xffff != 0 && peer_url(address) == url).then_some(address)
}

/// The identifier of a member on a machine that a cluster begins with which had been restored so often.
#[must_use]
pub fn initial_member(machine: u16, restored: u32) -> MemberId {
    u64::from(restored) << 32 | u64::from(machine)
}

/// A change of the membership.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Change {
    /// A member more.
    Add {
        /// Its identifier.
        id: MemberId,
        /// Where it can be reached.
        address: Address,
        /// Whether it gets the log without a vote.
        learner: bool,
    },
    /// A learner becomes a voter.
    Promote {
        /// The learner.
        id: MemberId,
    },
    /// A member less. Its identifier is never used again.
    Remove {
        /// The member.
        id: MemberId,
    },
    /// A member can be reached elsewhere.
    Update {
        /// The member.
        id: MemberId,
        /// Where it can be reached.
        address: Address,
    },
}

/// One change of several at once, by machine: the member that serves the request finds the identifiers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JointChange {
    /// A member on this machine more.
    Add {
        /// The machine.
        machine: u16,
        /// Whether it gets the log without a vote.
        learner: bool,
    },
    /// The member less.
    Remove(MemberId),
    /// The learner becomes a voter.
    Promote(MemberId),
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Add a member.
    MemberAdd {
        /// Where it will be reached.
        address: Address,
        /// Whether it gets the log without a vote.
        learner: bool,
    },
    /// Remove a member.
    MemberRemove(MemberId),
    /// Let a learner vote.
    MemberPromote(MemberId),
    /// A member can be reached elsewhere.
    MemberUpdate {
        /// The member.
        id: MemberId,
        /// Where it can be reached.
        address: Address,
    },
    /// Tell who the members are.
    MemberList {
        /// Whether the answer must hold all that was changed before the question.
        linearizable: bool,
    },
    /// Let another member lead.
    MoveLeader(MemberId),
    /// Several changes at once.
    Joint(Vec<JointChange>),
}

/// A request on a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Call {
    /// The asker's number for it.
    pub number: u64,
    /// What is asked.
    pub request: Request,
}

/// A member as a reply shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Listed {
    /// Its identifier.
    pub id: MemberId,
    /// Where it can be reached.
    pub address: Address,
    /// Whether it has no vote.
    pub learner: bool,
    /// Whether it has ever been started, as far as it could tell the cluster.
    pub started: bool,
}

/// A reply without an error.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Response {
    /// The member that answers.
    pub member: MemberId,
    /// The leader, as far as it knows; 0 while it knows none.
    pub leader: MemberId,
    /// The members, as it knows them, by identifier.
    pub members: Vec<Listed>,
    /// Whether a change of several is under way, and those that it removes still vote.
    pub joint: bool,
    /// Those that the request added.
    pub added: Vec<MemberId>,
}

/// What the member answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reply {
    /// The number of the call.
    pub number: u64,
    /// Response or error.
    pub result: Result<Response, Error>,
}

impl Message for Call {
    fn kind(&self) -> &'static str {
        "cluster-request"
    }
}

impl Message for Reply {
    fn kind(&self) -> &'static str {
        "cluster-reply"
    }
}

/// A member's identifier as people read it: its machine, and behind a dot which member on it, from the second on; then a
/// stroke for each time that the cluster was restored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shown(pub MemberId);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", machine(self.0))?;
        match self.0 >> 16 & 0xffff {
            0 => {}
            generation => write!(f, ".{generation}")?,
        }
        (0..self.0 >> 32).try_for_each(|_| f.write_str("'"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Add { id, learner: true, .. } => write!(f, "add learner {}", Shown(id)),
            Self::Add { id, .. } => write!(f, "add {}", Shown(id)),
            Self::Promote { id } => write!(f, "promote {}", Shown(id)),
            Self::Remove { id } => write!(f, "remove {}", Shown(id)),
            Self::Update { id, address } => write!(f, "update {} to {address}", Shown(id)),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}: ", self.number)?;
        match &self.request {
            Request::MemberAdd { address, learner: true } => write!(f, "MemberAdd learner at {address}"),
            Request::MemberAdd { address, .. } => write!(f, "MemberAdd at {address}"),
            Request::MemberRemove(id) => write!(f, "MemberRemove {}", Shown(*id)),
            Request::MemberPromote(id) => write!(f, "MemberPromote {}", Shown(*id)),
            Request::MemberUpdate { id, address } => write!(f, "MemberUpdate {} to {address}", Shown(*id)),
            Request::MemberList { linearizable: true } => f.write_str("MemberList"),
            Request::MemberList { .. } => f.write_str("MemberList serializable"),
            Request::MoveLeader(id) => write!(f, "MoveLeader to {}", Shown(*id)),
            Request::Joint(changes) => {
                f.write_str("several changes")?;
                changes.iter().try_for_each(|change| match *change {
                    JointChange::Add { machine, learner: true } => write!(f, ", add learner {machine}"),
                    JointChange::Add { machine, .. } => write!(f, ", add {machine}"),
                    JointChange::Remove(id) => write!(f, ", remove {}", Shown(id)),
                    JointChange::Promote(id) => write!(f, ", promote {}", Shown(id)),
                })
            }
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(response) => write!(f, "reply {}: {} members", self.number, response.members.len()),
            Err(error) => write!(f, "reply {}: {error}", self.number),
        }
    }
}

/// Who the members are, as the one on `machine` has it, which may lag behind.
pub(crate) async fn ask_for_members(node: &Node, machine: NodeId) -> Option<Vec<Listed>> {
    let connection: Connection<Call, Reply> = node.connect(machine, CLUSTER_PORT).await.ok()?;
    connection.send(Call { number: 1, request: Request::MemberList { linearizable: false } }).ok()?;
    Some(connection.receive().await.ok()?.result.ok()?.members)
}

/// The machines of those who vote, as the first machine has it that answers, from some machine on.
pub(crate) async fn ask_who_votes(node: &Node, options: &Options, first: u64) -> Option<Vec<NodeId>> {
    let machines = u64::from(options.members + options.spares);
    for number in (0..machines).map(|place| ((first + place) % machines + 1) as u16) {
        if let Some(members) = ask_for_members(node, NodeId::Member(number)).await {
            let voters = members.iter().filter(|member| !member.learner);
            return Some(voters.map(|member| NodeId::Member(machine(member.id))).collect());
        }
    }
    None
}
