//! Datagrams: each on its own, and none promised.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::network::inbox::{Inbox, WrongType};
use crate::network::link::Passage;
use crate::network::{Address, Message, Port, Shown};
use crate::node::Node;
use crate::node_id::NodeId;
use crate::queue::Occurrence;
use crate::record;
use crate::sometimes;
use crate::world::World;

/// A datagram in flight, whose type of message only its sender and its receiver know.
pub(crate) trait Packet: Any {
    fn header(&self) -> &Header;
    fn header_mut(&mut self) -> &mut Header;
    fn duplicate(&self) -> Box<dyn Packet>;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    fn text(&self) -> &dyn fmt::Display;
    fn kind(&self) -> &'static str;
}

#[derive(Clone, Copy)]
pub(crate) struct Header {
    number: u64,
    from: NodeId,
    to: NodeId,
    port: Port,
    /// The epoch of its link when it was sent.
    epoch: u32,
}

/// One allocation holds all of it: there are more datagrams than anything else.
#[derive(Clone)]
struct Datagram<M> {
    header: Header,
    message: M,
}

impl<M: Message> Packet for Datagram<M> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }

    fn duplicate(&self) -> Box<dyn Packet> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn text(&self) -> &dyn fmt::Display {
        &self.message
    }

    fn kind(&self) -> &'static str {
        self.message.kind()
    }
}

/// An open port, whose type of message only its owner knows.
pub(crate) trait AnySocket {
    /// Puts the message in, and wakes the receiver. A message of another type is a mistake of the system under
    /// test, and is refused.
    fn deliver(&self, packet: Box<dyn Packet>) -> Result<(), WrongType>;
}

impl<M: Message> AnySocket for Inbox<M> {
    fn deliver(&self, packet: Box<dyn Packet>) -> Result<(), WrongType> {
        let packet = packet.into_any().downcast::<Datagram<M>>().map_err(|_| WrongType)?;
        self.put(packet.header.from, packet.message);
        Ok(())
    }
}

/// Sends and receives datagrams of type `M` at a port of a node. It is closed when it is dropped.
pub struct Socket<M: Message> {
    node: Node,
    port: Port,
    inbox: Rc<Inbox<M>>,
}

impl<M: Message> Socket<M> {
    pub(crate) fn bind(node: &Node, port: Port) -> Self {
        let inbox = Rc::new(Inbox::default());
        let network = &mut *node.world().network().borrow_mut();
        let sockets = &mut network.sockets[node.index()];
        assert!(sockets.iter().all(|(bound, _)| *bound != port), "{}: port {port} is in use", node.id());
        sockets.push((port, Rc::clone(&inbox) as Rc<dyn AnySocket>));
        Self { node: node.clone(), port, inbox }
    }

    /// Sends `message` to the same port of `to`. Nobody learns whether it arrives.
    pub fn send(&self, to: NodeId, message: M) {
        let world = self.node.world();
        let number = world.network().borrow_mut().next_number();
        record!(self.node, "network", "-> {}: #{} {}", to, number, message);
        let (from, port) = (self.node.id(), self.port);
        let header = Header { number, from, to, port, epoch: 0 };
        world.send_packet(Box::new(Datagram { header, message }));
    }

    /// The next message and its sender.
    pub async fn receive(&self) -> (NodeId, M) {
        match poll_fn(|context| self.inbox.poll_take(context)).await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// The next message and its sender, when one is here.
    pub fn try_receive(&self) -> Option<(NodeId, M)> {
        self.inbox.take()
    }

    /// Whether there is nothing to receive now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Ready when [`try_receive`](Self::try_receive) has something to give.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.inbox.poll_ready(context)
    }
}

impl<M: Message> Drop for Socket<M> {
    fn drop(&mut self) {
        if self.node.is_current() {
            let port = self.port;
            self.node.world().network().borrow_mut().sockets[self.node.index()]
                .retain(|(bound, _)| *bound != port);
        }
    }
}

impl World {
    /// Puts a datagram on its link.
    fn send_packet(&self, mut packet: Box<dyn Packet>) {
        let network = &mut *self.network().borrow_mut();
        let kind = packet.kind();
        let header = packet.header_mut();
        let index = network.link_index(self.index(header.from), self.index(header.to));
        let link = &mut network.links[index];
        header.epoch = link.epoch;
        if link.is_cut() {
            return self.lose(header, "the link is cut");
        }
        if link.is_held() {
            return link.held.push(packet);
        }
        let late = match link.has_filters() {
            true => match link.pass_filters(self.streams(), self.now(), kind) {
                Some(late) => late,
                None => return self.lose(header, "filtered"),
            },
            false => 0,
        };
        match link.pass(self.streams(), self.now()) {
            Passage::Lost => self.lose(header, "loss"),
            Passage::Arrives { latency, copies } => {
                sometimes!(self, "a datagram is duplicated", !copies.is_empty());
                for latency in copies {
                    self.schedule_after(late + latency, Occurrence::Packet(packet.duplicate()));
                }
                self.schedule_after(late + latency, Occurrence::Packet(packet));
            }
        }
    }

    /// A datagram is where its receiver should be.
    pub(crate) fn packet_arrives(&self, packet: Box<dyn Packet>) {
        let header = *packet.header();
        let to = self.index(header.to);
        let network = &mut *self.network().borrow_mut();
        let index = network.link_index(self.index(header.from), to);
        let link = &mut network.links[index];
        if link.is_cut() || link.epoch != header.epoch {
            sometimes!(
                self,
                "a datagram is in flight when its link is cut",
                when = |run| run.fault("partition")
            );
            return self.lose(&header, "in flight when the link was cut");
        }
        if link.is_held() {
            return link.held.push(packet);
        }
        let Some(socket) = network.socket(to, header.port) else {
            sometimes!(self, "a datagram arrives where nobody listens");
            return self.lose(&header, "nobody listens");
        };
        let node = self.node_by_index(to);
        let newest = network.newest[index].get();
        network.newest[index].set(newest.max(header.number));
        sometimes!(node, "a datagram arrives after one that was sent later", newest > header.number);
        sometimes!(node, "a datagram arrives for the second time", newest == header.number);
        record!(node, "network", "<- {}: #{} {}", header.from, header.number, Shown(packet.text()));
        if socket.deliver(packet).is_err() {
            panic!("{}: a message of another type than its socket's", Address(header.to, header.port));
        }
    }

    /// Sends on what a link held back, in any order.
    pub(crate) fn send_held(&self, index: usize) {
        let held = {
            let link = &mut self.network().borrow_mut().links[index];
            if !link.is_up() {
                return;
            }
            std::mem::take(&mut link.held)
        };
        sometimes!(
            self,
            "datagrams that were held arrive together",
            held.len() > 1,
            when = |run| run.fault("partition")
        );
        for packet in held {
            self.send_packet(packet);
        }
    }

    fn lose(&self, header: &Header, why: &str) {
        record!(self, "network", "{}: #{} to {} is lost: {}", header.from, header.number, header.to, why);
    }
}
