//! The virtual network.
//!
//! Every ordered pair of nodes has a link of its own, with its own latency, loss and duplication, which faults cut,
//! hold, degrade or filter in one direction or in both. Over the links run
//!
//! - datagrams ([`Socket`]): each is lost, duplicated, delayed and overtaken on its own;
//! - ordered connections ([`Connection`]): what is sent arrives once and in order, late when packets are lost, or
//!   the connection breaks.
//!
//! Both carry values, not bytes: a message moves from sender to receiver, and only its content's hash enters the
//! digest. A message is therefore never corrupted on the way, as with TCP's and Raft's checksums in place.
//!
//! ```text
//! sender ── latency, loss, duplication ──> in flight ── is the link still up? ──> inbox ──> receiver
//!                                             │ cut since it was sent: lost
//!                                             └ held: kept, and sent on when the hold ends, in any order
//! ```

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;

use crate::node_id::NodeId;

mod connection;
mod datagram;
mod inbox;
mod link;

pub use connection::{Accept, ConnectError, Connection, Disconnected, Listener, PATIENCE};
pub use datagram::Socket;
pub use link::LinkProfile;

pub(crate) use connection::Segment;
pub(crate) use datagram::Packet;
pub(crate) use link::{Filter, Link};

use connection::{AnyListener, ConnectionState};
use datagram::AnySocket;

/// What travels over the network: a value with a content that can be hashed for the digest, shown in a replay, and
/// copied when the network duplicates it.
pub trait Message: Any + Clone + Hash + fmt::Display {
    /// The kind by which a fault can pick it out: one of [`Shape::messages`](crate::schedule::Shape::messages), or
    /// nothing.
    fn kind(&self) -> &'static str {
        ""
    }
}

/// For systems whose messages are no more than a number or a text.
impl Message for u64 {}
impl Message for String {}

/// A message on a connection, whose type only its sender and its receiver know.
pub(crate) trait Payload: Any {
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    fn text(&self) -> &dyn fmt::Display;
    fn message_kind(&self) -> &'static str;
}

impl<M: Message> Payload for M {
    fn message_kind(&self) -> &'static str {
        Message::kind(self)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn text(&self) -> &dyn fmt::Display {
        self
    }
}

/// A number at which a node listens; the same for datagrams and connections without conflict.
pub type Port = u16;

/// The state of all links, and of what is open on each node.
pub(crate) struct Network {
    nodes: usize,
    links: Vec<Link>,
    sockets: Vec<Vec<(Port, Rc<dyn AnySocket>)>>,
    listeners: Vec<Vec<(Port, Rc<dyn AnyListener>)>>,
    connections: BTreeMap<u64, ConnectionState>,
    /// Numbers datagrams and connections, so that a reader can follow one through the trace.
    sequence: u64,
    /// The newest datagram that has arrived over each link, for marks alone.
    newest: Vec<Cell<u64>>,
}

impl Network {
    /// `profile` tells the undisturbed behaviour of the link between two nodes, given by index. The links among the
    /// first `core` nodes draw the same whatever nodes there are besides.
    pub(crate) fn new(nodes: usize, core: usize, profile: impl Fn(usize, usize) -> LinkProfile) -> Self {
        let number = |from, to| match from < core && to < core {
            true => from * core + to,
            false => core * core + (from << 16) + to,
        };
        let ends = (0..nodes * nodes).map(|link| (link / nodes, link % nodes));
        let links = ends.map(|(from, to)| Link::new(profile(from, to), number(from, to) as u64)).collect();
        Self {
            nodes,
            links,
            sockets: (0..nodes).map(|_| Vec::new()).collect(),
            listeners: (0..nodes).map(|_| Vec::new()).collect(),
            connections: BTreeMap::new(),
            sequence: 0,
            newest: vec![Cell::new(0); nodes * nodes],
        }
    }

    pub(crate) fn link_index(&self, from: usize, to: usize) -> usize {
        from * self.nodes + to
    }

    /// Whether packets from one node reach the other, given by index.
    pub(crate) fn is_up(&self, from: usize, to: usize) -> bool {
        self.links[self.link_index(from, to)].is_up()
    }

    pub(crate) fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Changes some of the links, given by index.
    pub(crate) fn change(&mut self, links: impl IntoIterator<Item = usize>, change: impl Fn(&mut Link)) {
        for link in links {
            change(&mut self.links[link]);
        }
    }

    fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn socket(&self, node: usize, port: Port) -> Option<&Rc<dyn AnySocket>> {
        find(&self.sockets[node], port)
    }
}

/// A node has few ports, so a walk over them beats a tree.
fn find<T>(ports: &[(Port, T)], port: Port) -> Option<&T> {
    ports.iter().find(|(bound, _)| *bound == port).map(|(_, value)| value)
}

/// What an address looks like in a trace.
#[derive(Hash)]
pub(crate) struct Address(pub NodeId, pub Port);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

/// Text for the reader of a trace alone: its content entered the digest when it was sent.
pub(crate) struct Shown<'a>(pub &'a dyn fmt::Display);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Hash for Shown<'_> {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}
