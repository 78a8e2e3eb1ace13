//! Ordered connections, which deliver everything once and in order, or break.
//!
//! Packets lost on the way cost time, not content. While a link is cut or held, what is sent over it waits; an end
//! that has waited for [`PATIENCE`] gives up, and the other end finds out when it sends something itself. A process
//! that dies tells its peers, behind what it had sent before; a machine that loses its power leaves them to find out
//! by themselves.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use thiserror::Error;

use crate::network::inbox::{AnyInbox, Inbox};
use crate::network::{Address, Link, Message, Network, Payload, Port, Shown, find};
use crate::node::Node;
use crate::node_id::NodeId;
use crate::queue::{Occurrence, keep_waker};
use crate::record;
use crate::sometimes;
use crate::world::World;

/// How long an end waits for a sign of life while there is something to send.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The other end closed, died or could not be reached: nothing more will arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the connection is broken")]
pub struct Disconnected;

/// Why no connection came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ConnectError {
    /// The node answered that nobody listens there.
    #[error("connection refused")]
    Refused,
    /// Nothing was heard for [`PATIENCE`].
    #[error("connection timed out")]
    TimedOut,
}

/// One end of an ordered connection that sends `S` and receives `R`. It is closed when it is dropped.
pub struct Connection<S: Message, R: Message> {
    node: Node,
    id: u64,
    end: usize,
    peer: NodeId,
    inbox: Rc<Inbox<R>>,
    sends: PhantomData<fn(S)>,
}

impl<S: Message, R: Message> Connection<S, R> {
    /// The node at the other end.
    #[must_use]
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Sends `message`.
    ///
    /// # Errors
    ///
    /// [`Disconnected`] when the connection is known to be broken. When it is not, the message may still be lost
    /// with the connection: only an answer proves that it arrived.
    pub fn send(&self, message: S) -> Result<(), Disconnected> {
        let world = self.node.world();
        if !world.network().borrow().is_open(self.id, self.end) {
            return Err(Disconnected);
        }
        record!(self.node, "network", "=> {}: on connection {}: {}", self.peer, self.id, message);
        world.send_segment(self.id, self.end, Content::Message(Box::new(message)));
        Ok(())
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// [`Disconnected`] when the connection is broken and everything that arrived before was received.
    pub async fn receive(&self) -> Result<R, Disconnected> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// As [`receive`](Self::receive), for use in a `poll_fn` that waits for several things.
    pub fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Result<R, Disconnected>> {
        self.inbox.poll_take(context).map(|message| message.map(|(_, message)| message).ok_or(Disconnected))
    }
}

impl<S: Message, R: Message> Drop for Connection<S, R> {
    fn drop(&mut self) {
        self.node.world().close(self.id, self.end);
    }
}

/// Accepts connections at a port of a node. It stops listening when it is dropped.
pub struct Listener<S: Message, R: Message> {
    node: Node,
    port: Port,
    backlog: Rc<Backlog<R>>,
    sends: PhantomData<fn(S)>,
}

/// A connection that waits to be accepted.
type Pending<R> = (NodeId, u64, Rc<Inbox<R>>);

struct Backlog<R> {
    pending: RefCell<VecDeque<Pending<R>>>,
    waker: RefCell<Option<Waker>>,
}

pub(crate) trait AnyListener {
    /// Makes the listening end of connection `id`.
    fn open(&self, from: NodeId, id: u64) -> Rc<dyn AnyInbox>;
}

impl<R: Message> AnyListener for Backlog<R> {
    fn open(&self, from: NodeId, id: u64) -> Rc<dyn AnyInbox> {
        let inbox = Rc::new(Inbox::default());
        self.pending.borrow_mut().push_back((from, id, Rc::clone(&inbox)));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
        inbox
    }
}

/// What [`Listener::accept`] gives: the listening end of a connection.
pub type Accept<S, R> = Connection<S, R>;

impl<S: Message, R: Message> Listener<S, R> {
    pub(crate) fn bind(node: &Node, port: Port) -> Self {
        node.world().counters().uses_connections.set(true);
        let backlog = Rc::new(Backlog { pending: RefCell::default(), waker: RefCell::default() });
        let network = &mut *node.world().network().borrow_mut();
        let listeners = &mut network.listeners[node.index()];
        assert!(listeners.iter().all(|(bound, _)| *bound != port), "{}: port {port} is in use", node.id());
        listeners.push((port, Rc::clone(&backlog) as Rc<dyn AnyListener>));
        Self { node: node.clone(), port, backlog, sends: PhantomData }
    }

    /// The next connection.
    pub async fn accept(&self) -> Accept<S, R> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// As [`accept`](Self::accept), for use in a `poll_fn` that waits for several things.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<Accept<S, R>> {
        match self.backlog.pending.borrow_mut().pop_front() {
            Some((peer, id, inbox)) => {
                let node = self.node.clone();
                Poll::Ready(Connection { node, id, end: LISTENER, peer, inbox, sends: PhantomData })
            }
            None => {
                keep_waker(&mut self.backlog.waker.borrow_mut(), context);
                Poll::Pending
            }
        }
    }
}

impl<S: Message, R: Message> Drop for Listener<S, R> {
    fn drop(&mut self) {
        let world = self.node.world();
        if self.node.is_current() {
            let port = self.port;
            world.network().borrow_mut().listeners[self.node.index()].retain(|(bound, _)| *bound != port);
        }
        for (_, id, _) in self.backlog.pending.borrow_mut().drain(..) {
            world.close(id, LISTENER);
        }
    }
}

/// The end that asked for the connection, and the one that was asked.
const CALLER: usize = 0;
const LISTENER: usize = 1;

/// The arrival of what is next on its way over a connection: the content itself waits at its end, in order.
pub(crate) struct Segment {
    connection: u64,
    /// The end that sent it.
    sender: u8,
    /// Which of the times that the link came back this was sent after; see [`End::flights`].
    flight: u32,
}

enum Content {
    Open(Port),
    Accepted,
    Message(Box<dyn Payload>),
    Close,
    Reset,
}

/// A connection as the network sees it.
pub(crate) struct ConnectionState {
    ends: [End; 2],
    established: Rc<Established>,
}

struct End {
    node: NodeId,
    inbox: Option<Rc<dyn AnyInbox>>,
    open: bool,
    /// No later segment of this end may arrive before this time.
    arrives_after: u64,
    /// What this end has sent and the other has not yet got, in order.
    sent: VecDeque<Content>,
    /// Whether `sent` waits for the link to come back.
    stalled: bool,
    /// Raised each time the link is found down: arrivals that were scheduled before do not take place.
    flights: u32,
}

impl End {
    fn new(node: NodeId, inbox: Option<Rc<dyn AnyInbox>>) -> Self {
        Self { node, inbox, open: true, arrives_after: 0, sent: VecDeque::new(), stalled: false, flights: 0 }
    }

    /// This end is gone, and with it what waited for the link; what is on the wire still arrives.
    fn abandon(&mut self) {
        self.open = false;
        if std::mem::replace(&mut self.stalled, false) {
            self.sent.clear();
        }
    }
}

#[derive(Default)]
struct Established {
    result: Cell<Option<Result<(), ConnectError>>>,
    waker: RefCell<Option<Waker>>,
}

impl Established {
    fn settle(&self, result: Result<(), ConnectError>) {
        if self.result.get().is_none() {
            self.result.set(Some(result));
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

impl Network {
    fn is_open(&self, id: u64, end: usize) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.ends[end].open)
    }
}

impl Node {
    /// Connects to `port` of `to`.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Refused`] when nobody listens there, [`ConnectError::TimedOut`] when nothing is heard for
    /// [`PATIENCE`].
    pub async fn connect<S: Message, R: Message>(
        &self,
        to: NodeId,
        port: Port,
    ) -> Result<Connection<S, R>, ConnectError> {
        let inbox = Rc::new(Inbox::<R>::default());
        let established = Rc::new(Established::default());
        let id = {
            let network = &mut *self.world().network().borrow_mut();
            let id = network.next_number();
            let caller = End::new(self.id(), Some(Rc::clone(&inbox) as Rc<dyn AnyInbox>));
            let ends = [caller, End::new(to, None)];
            network.connections.insert(id, ConnectionState { ends, established: Rc::clone(&established) });
            id
        };
        record!(self, "network", "=> {}: opens connection {}", Address(to, port), id);
        // Made before the first await: whoever stops waiting closes what was begun.
        let connection =
            Connection { node: self.clone(), id, end: CALLER, peer: to, inbox, sends: PhantomData };
        self.world().send_segment(id, CALLER, Content::Open(port));
        poll_fn(|context| match established.result.get() {
            Some(result) => Poll::Ready(result),
            None => {
                keep_waker(&mut established.waker.borrow_mut(), context);
                Poll::Pending
            }
        })
        .await?;
        Ok(connection)
    }
}

impl World {
    /// Puts something on the way from `sender` to the other end, behind what is already on it.
    fn send_segment(&self, id: u64, sender: usize, content: Content) {
        let mut guard = self.network().borrow_mut();
        let network = &mut *guard;
        let Some(connection) = network.connections.get_mut(&id) else { return };
        let link = self.link_of(network.nodes, connection, sender);
        if let (true, Content::Message(payload)) = (network.links[link].has_filters(), &content) {
            match network.links[link].pass_filters(self.streams(), self.now(), payload.message_kind()) {
                Some(late) => {
                    let end = &mut connection.ends[sender];
                    end.arrives_after = end.arrives_after.max(self.now().as_nanos() + late);
                }
                None => {
                    record!(self, "network", "connection {} breaks: what it carried is filtered", id);
                    drop(guard);
                    return self.break_connection(id, ConnectError::Refused);
                }
            }
        }
        connection.ends[sender].sent.push_back(content);
        self.dispatch(id, sender, &mut connection.ends[sender], &mut network.links[link]);
    }

    fn link_of(&self, nodes: usize, connection: &ConnectionState, sender: usize) -> usize {
        self.index(connection.ends[sender].node) * nodes + self.index(connection.ends[1 - sender].node)
    }

    /// Schedules the arrival of the last thing that was sent, or lets it wait for the link.
    fn dispatch(&self, id: u64, sender: usize, end: &mut End, link: &mut Link) {
        if !link.is_up() || end.stalled {
            return self.stall(id, sender, end);
        }
        let latency = link.pass_reliably(self.streams(), self.now());
        let arrives = (self.now().as_nanos() + latency).max(end.arrives_after);
        end.arrives_after = arrives;
        let segment = Segment { connection: id, sender: sender as u8, flight: end.flights };
        self.schedule_after(arrives - self.now().as_nanos(), Occurrence::Segment(segment));
    }

    /// Everything that is on the way waits until the link comes back, or until patience ends.
    fn stall(&self, id: u64, sender: usize, end: &mut End) {
        if std::mem::replace(&mut end.stalled, true) {
            return;
        }
        sometimes!(
            self,
            "messages on a connection wait for their link",
            !end.sent.is_empty(),
            when = |run| run.connections && run.any_fault(&["partition", "power-failure", "failpoint"])
        );
        end.flights += 1;
        let flight = end.flights;
        self.call_after(PATIENCE, move |world| world.lose_patience(id, sender, flight));
    }

    /// A link has been down for [`PATIENCE`], unless it came back meanwhile. The end that waited gives up; the other
    /// finds out when it sends something itself.
    fn lose_patience(&self, id: u64, sender: usize, flight: u32) {
        let network = &mut *self.network().borrow_mut();
        let Some(connection) = network.connections.get_mut(&id) else { return };
        let end = &mut connection.ends[sender];
        if !end.stalled || end.flights != flight {
            return;
        }
        sometimes!(
            self,
            "a connection gives up on its link",
            when = |run| run.connections && run.any_fault(&["partition", "power-failure", "failpoint"])
        );
        record!(self, "network", "connection {}: {} gives up after {} s", id, end.node, PATIENCE.as_secs());
        end.abandon();
        if let Some(inbox) = &end.inbox {
            inbox.reset();
        }
        connection.established.settle(Err(ConnectError::TimedOut));
        let [caller, listener] = &connection.ends;
        if listener.inbox.is_none() || !(caller.open || listener.open) {
            network.connections.remove(&id);
        }
    }

    /// The next thing that an end sent is where the other end should be.
    pub(crate) fn segment_arrives(&self, segment: Segment) {
        if let Some((sender, reply)) = self.receive_segment(&segment) {
            self.send_segment(segment.connection, sender, reply);
        }
    }

    /// Hands a segment to its receiver, and returns what the receiver's machine answers by itself.
    fn receive_segment(&self, segment: &Segment) -> Option<(usize, Content)> {
        let Segment { connection: id, sender, flight } = *segment;
        let sender = usize::from(sender);
        let receiver = 1 - sender;
        let network = &mut *self.network().borrow_mut();
        let connection = network.connections.get_mut(&id)?;
        if connection.ends[sender].flights != flight {
            return None;
        }
        let link = self.link_of(network.nodes, connection, sender);
        let (from, to) = (connection.ends[sender].node, connection.ends[receiver].node);
        let to_index = self.index(to);
        if !network.links[link].is_up() || !self.is_powered(to_index) {
            self.stall(id, sender, &mut connection.ends[sender]);
            return None;
        }
        let content = connection.ends[sender].sent.pop_front()?;
        let node = self.node_by_index(to_index);
        match content {
            Content::Open(port) => match find(&network.listeners[to_index], port) {
                Some(listener) => {
                    record!(node, "network", "<= {}: accepts connection {}", from, id);
                    connection.ends[LISTENER].inbox = Some(listener.open(from, id));
                    Some((LISTENER, Content::Accepted))
                }
                None => {
                    sometimes!(node, "a connection is refused", when = |run| run.connections);
                    record!(node, "network", "<= {}: refuses connection {}", from, id);
                    connection.ends[LISTENER].open = false;
                    Some((LISTENER, Content::Reset))
                }
            },
            Content::Accepted => {
                connection.established.settle(Ok(()));
                None
            }
            Content::Message(payload) => match &connection.ends[receiver] {
                End { open: true, inbox: Some(inbox), .. } => {
                    record!(node, "network", "<= {}: on connection {}: {}", from, id, Shown(payload.text()));
                    if inbox.deliver(from, payload).is_err() {
                        panic!("connection {id}: {to} received a message of another type than it takes");
                    }
                    None
                }
                _ => {
                    sometimes!(
                        node,
                        "a message arrives on a connection that is no more",
                        when = |run| run.connections
                    );
                    record!(node, "network", "<= {}: connection {} is no more", from, id);
                    Some((receiver, Content::Reset))
                }
            },
            Content::Close | Content::Reset => {
                record!(node, "network", "<= {}: connection {} ends", from, id);
                connection.established.settle(Err(ConnectError::Refused));
                if let Some(inbox) = &connection.ends[receiver].inbox {
                    inbox.close();
                }
                network.connections.remove(&id);
                None
            }
        }
    }

    /// An end is dropped by its owner.
    fn close(&self, id: u64, end: usize) {
        {
            let network = &mut *self.network().borrow_mut();
            let Some(connection) = network.connections.get_mut(&id) else { return };
            if !std::mem::replace(&mut connection.ends[end].open, false) {
                return;
            }
        }
        self.send_segment(id, end, Content::Close);
    }

    /// Breaks a connection at both ends at once.
    fn break_connection(&self, id: u64, why: ConnectError) {
        if let Some(connection) = self.network().borrow_mut().connections.remove(&id) {
            connection.established.settle(Err(why));
            for inbox in connection.ends.into_iter().filter_map(|end| end.inbox) {
                inbox.reset();
            }
        }
    }

    fn has_messages(&self, id: u64) -> bool {
        let network = self.network().borrow();
        network
            .connections
            .get(&id)
            .is_some_and(|connection| connection.ends.iter().any(|end| !end.sent.is_empty()))
    }

    /// Breaks every connection between two nodes, as a middlebox that forgot them would.
    pub(crate) fn reset_connections(&self, a: NodeId, b: NodeId) {
        self.reset_connections_if(|caller, listener| {
            (caller, listener) == (a, b) || (caller, listener) == (b, a)
        });
    }

    /// Breaks every connection of a node.
    pub(crate) fn reset_connections_of(&self, node: NodeId) {
        self.reset_connections_if(|caller, listener| caller == node || listener == node);
    }

    fn reset_connections_if(&self, meant: impl Fn(NodeId, NodeId) -> bool) {
        let network = self.network().borrow();
        let meant: Vec<u64> = (network.connections.iter())
            .filter(|(_, connection)| meant(connection.ends[CALLER].node, connection.ends[LISTENER].node))
            .map(|(id, _)| *id)
            .collect();
        drop(network);
        for id in meant {
            sometimes!(
                self,
                "a connection breaks with messages on their way",
                self.has_messages(id),
                when = |run| { run.connections && run.fault("reset") }
            );
            record!(self, "network", "connection {} is reset", id);
            self.break_connection(id, ConnectError::Refused);
        }
    }

    /// Sends on what waited for a link to come back.
    pub(crate) fn send_stalled(&self, index: usize) {
        let network = &mut *self.network().borrow_mut();
        if !network.links[index].is_up() {
            return;
        }
        for (id, connection) in &mut network.connections {
            for sender in [CALLER, LISTENER] {
                // Few are.
                let is_stalled = connection.ends[sender].stalled;
                if !is_stalled || self.link_of(network.nodes, connection, sender) != index {
                    continue;
                }
                let end = &mut connection.ends[sender];
                end.stalled = false;
                sometimes!(
                    self,
                    "messages that waited for their link go on",
                    !end.sent.is_empty(),
                    when =
                        |run| run.connections && run.any_fault(&["partition", "power-failure", "failpoint"])
                );
                for _ in 0..end.sent.len() {
                    self.dispatch(*id, sender, end, &mut network.links[index]);
                }
            }
        }
    }

    /// A process is gone, with its sockets and its ends of connections. `told`: whether its machine is still there
    /// to tell the other ends.
    pub(crate) fn close_all(&self, node: NodeId, told: bool) {
        let mut ended = Vec::new();
        let mut unanswered = Vec::new();
        {
            let network = &mut *self.network().borrow_mut();
            let index = self.index(node);
            network.sockets[index].clear();
            network.listeners[index].clear();
            for (id, connection) in &mut network.connections {
                for (number, end) in connection.ends.iter_mut().enumerate() {
                    if end.node == node && end.open {
                        end.abandon();
                        ended.push((*id, number));
                    }
                }
                let [caller, listener] = &connection.ends;
                if caller.open && !listener.open && connection.established.result.get().is_none() {
                    unanswered.push(*id);
                }
            }
            // Nobody is left at either end.
            network.connections.retain(|_, connection| connection.ends.iter().any(|end| end.open));
        }
        if told {
            for (id, end) in ended {
                self.send_segment(id, end, Content::Reset);
            }
            return;
        }
        // What the machine had said of them may be lost with it, and the callers have nothing else to send.
        for id in unanswered {
            self.call_after(PATIENCE, move |world| world.give_up_calling(id));
        }
    }

    /// Ends a connection that has not come about.
    fn give_up_calling(&self, id: u64) {
        let waits = |connection: &ConnectionState| connection.established.result.get().is_none();
        if self.network().borrow().connections.get(&id).is_some_and(waits) {
            record!(self, "network", "connection {}: nobody answers for {} s", id, PATIENCE.as_secs());
            self.break_connection(id, ConnectError::TimedOut);
        }
    }
}
