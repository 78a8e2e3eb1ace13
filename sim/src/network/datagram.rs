//! Datagrams: each on its own, and none promised.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::network::inbox::{AnyInbox, Inbox};
use crate::network::link::Passage;
use crate::network::{Address, Message, Payload, Port, Shown};
use crate::node::Node;
use crate::node_id::NodeId;
use crate::queue::Occurrence;
use crate::record;
use crate::world::World;

/// A datagram in flight.
pub(crate) struct Packet {
    number: u64,
    from: NodeId,
    to: NodeId,
    port: Port,
    /// The epoch of its link when it was sent.
    epoch: u32,
    payload: Box<dyn Payload>,
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
        sockets.push((port, Rc::clone(&inbox) as Rc<dyn AnyInbox>));
        Self { node: node.clone(), port, inbox }
    }

    /// Sends `message` to the same port of `to`. Nobody learns whether it arrives.
    pub fn send(&self, to: NodeId, message: M) {
        let world = self.node.world();
        let number = world.network().borrow_mut().next_number();
        record!(self.node, "network", "-> {}: #{} {}", to, number, message);
        let (from, port) = (self.node.id(), self.port);
        world.send_packet(Box::new(Packet { number, from, to, port, epoch: 0, payload: Box::new(message) }));
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
    fn send_packet(&self, mut packet: Box<Packet>) {
        let network = &mut *self.network().borrow_mut();
        let index = network.link_index(self.index(packet.from), self.index(packet.to));
        let link = &mut network.links[index];
        packet.epoch = link.epoch;
        if link.is_cut() {
            return self.lose(&packet, "the link is cut");
        }
        if link.is_held() {
            return link.held.push(packet);
        }
        match link.pass(self.streams(), index) {
            Passage::Lost => self.lose(&packet, "loss"),
            Passage::Arrives { latency, copies } => {
                for latency in copies {
                    let copy = Packet { payload: packet.payload.duplicate(), ..*packet };
                    self.schedule_after(latency, Occurrence::Packet(Box::new(copy)));
                }
                self.schedule_after(latency, Occurrence::Packet(packet));
            }
        }
    }

    /// A datagram is where its receiver should be.
    pub(crate) fn packet_arrives(&self, packet: Box<Packet>) {
        let to = self.index(packet.to);
        let network = &mut *self.network().borrow_mut();
        let index = network.link_index(self.index(packet.from), to);
        let link = &mut network.links[index];
        if link.is_cut() || link.epoch != packet.epoch {
            return self.lose(&packet, "in flight when the link was cut");
        }
        if link.is_held() {
            return link.held.push(packet);
        }
        let Some(inbox) = network.socket(to, packet.port) else {
            return self.lose(&packet, "nobody listens");
        };
        let node = self.node_by_index(to);
        record!(node, "network", "<- {}: #{} {}", packet.from, packet.number, Shown(packet.payload.text()));
        if inbox.deliver(packet.from, packet.payload).is_err() {
            panic!("{}: a message of another type than its socket's", Address(packet.to, packet.port));
        }
        self.something_woke();
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
        for packet in held {
            self.send_packet(packet);
        }
    }

    fn lose(&self, packet: &Packet, why: &str) {
        record!(self, "network", "{}: #{} to {} is lost: {}", packet.from, packet.number, packet.to, why);
    }
}
