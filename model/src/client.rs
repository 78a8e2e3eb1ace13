//! A client, as etcd's own behave: it has endpoints and deadlines, tells errors that leave the outcome unknown from
//! those that do not, and never sends a write twice on its own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use vertebra_sim::network::Connection;
use vertebra_sim::{Instant, Node, NodeId, before, record, sometimes};

use crate::cluster;
use crate::credentials::Credentials;
use crate::defect::Defect;
use crate::error::Error;
use crate::history::{OperationId, Outcome, Request};
use crate::observer::Observer;
use crate::options::Options;
use crate::response::Response;
use crate::wire::{CLIENT_PORT, ClientReply, ClientRequest, Token};

/// What a client waits before it tries another endpoint.
const BACKOFF: Duration = Duration::from_millis(25);

/// How long nobody answers before a client asks who the members are, and how often it does so at most.
const SYNC_AFTER: Duration = Duration::from_secs(2);

/// How long it waits for that.
const SYNC_TIMEOUT: Duration = Duration::from_millis(300);

/// A client of the cluster, with one operation under way at a time.
pub(crate) struct Client {
    node: Node,
    observer: Rc<Observer>,
    /// The members it talks to, and which of them is next.
    endpoints: Vec<NodeId>,
    endpoint: usize,
    connection: Option<Connection<ClientRequest, ClientReply>>,
    options: Rc<Options>,
    session: u32,
    requests: u64,
    /// The highest revision that it was told of.
    known_revision: Rc<Cell<i64>>,
    /// Whether it keeps to one member, rather than to all of them.
    bound: bool,
    /// Since when, on its own clock, nobody has answered; and when it last asked who the members are.
    unanswered: Option<Instant>,
    synced: Instant,
    /// Who it is, if there are users.
    credentials: Option<Rc<Credentials>>,
}

/// How one attempt ended.
enum Attempt {
    Replied(ClientReply),
    /// The request did not leave.
    NotSent,
    /// The connection broke under it.
    Lost,
}

impl Client {
    pub(crate) fn new(
        node: Node,
        observer: Rc<Observer>,
        endpoints: Vec<NodeId>,
        options: Rc<Options>,
    ) -> Self {
        let session = observer.new_session();
        let (bound, synced) = (endpoints.len() == 1, node.now());
        Self {
            node,
            observer,
            endpoints,
            endpoint: 0,
            connection: None,
            options,
            session,
            requests: 0,
            bound,
            unanswered: None,
            synced,
            known_revision: Rc::new(Cell::new(1)),
            credentials: None,
        }
    }

    /// From now on, it is somebody.
    pub(crate) fn with_credentials(mut self, credentials: Rc<Credentials>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    pub(crate) fn credentials(&self) -> Option<Rc<Credentials>> {
        self.credentials.clone()
    }

    /// Asks for a token, if it was refused for lack of one.
    pub(crate) async fn authenticate(&mut self) {
        let wanting = |credentials: &Rc<Credentials>| credentials.wants_token();
        if let Some(credentials) = self.credentials().filter(wanting) {
            self.call(Request::Auth(credentials.request())).await;
        }
    }

    fn token(&self) -> Option<Token> {
        self.credentials.as_ref()?.token()
    }

    /// An operation begins.
    fn invoked(&self, session: u32, request: &Request) -> OperationId {
        let operation = self.observer.invoked(session, request);
        record!(self.node, "client", "{}: {}", operation.index(), Shown(request));
        if let Some(credentials) = &self.credentials {
            self.observer.invoked_by(operation, credentials.user(), credentials.token());
        }
        operation
    }

    /// The highest revision that it was told of, now and later.
    pub(crate) fn known_revision(&self) -> Rc<Cell<i64>> {
        Rc::clone(&self.known_revision)
    }

    /// Whom it tells what it does.
    pub(crate) fn observer(&self) -> &Rc<Observer> {
        &self.observer
    }

    /// Sends a request and waits for its outcome, for as long as its timeout.
    pub(crate) async fn call(&mut self, request: Request) -> Outcome {
        self.call_and_name(request).await.1
    }

    /// The same; says also which operation of the history it is.
    pub(crate) async fn call_and_name(&mut self, request: Request) -> (OperationId, Outcome) {
        let operation = self.invoked(self.session, &request);
        self.unanswered.get_or_insert(self.node.now());
        let deadline = self.node.sleep(self.options.traffic.request_timeout);
        let tried = before(deadline, pin!(self.try_to(operation, &request))).await;
        let (outcome, applied_index) = tried.unwrap_or((Outcome::Unknown, None));
        self.end(operation, &outcome, applied_index);
        if outcome == Outcome::Unknown {
            sometimes!(
                self.node,
                "a client does not learn what became of its write",
                !request.is_read_only()
            );
            sometimes!(self.node, "a client does not get its read", request.is_read_only());
            // The operation may still take effect, so its session has no order any more.
            self.session = self.observer.new_session();
            self.next_endpoint();
        }
        (operation, outcome)
    }

    /// Sends all of `requests` at once over one connection, and waits for what becomes of them, for as long as the
    /// timeout of one. Each is a session of its own, for they are concurrent. Without a connection it sends none.
    pub(crate) async fn flood(&mut self, requests: Vec<Request>) {
        let deadline = self.node.sleep(self.options.traffic.request_timeout);
        let mut under_way = BTreeMap::new();
        let _ = before(deadline, self.send_and_receive(requests, &mut under_way)).await;
        let unanswered = !under_way.is_empty();
        sometimes!(self.node, "requests that were sent at once are all answered", !unanswered);
        sometimes!(self.node, "requests that were sent at once are left without an answer", unanswered);
        for operation in under_way.into_values() {
            self.end(operation, &Outcome::Unknown, None);
        }
        if unanswered {
            self.next_endpoint();
        }
    }

    async fn send_and_receive(&mut self, requests: Vec<Request>, under_way: &mut BTreeMap<u64, OperationId>) {
        if !self.connect().await {
            return;
        }
        let Some(connection) = &self.connection else { return };
        for request in requests {
            let operation = self.invoked(self.observer.new_session(), &request);
            self.requests += 1;
            let number = self.requests;
            under_way.insert(number, operation);
            let sent = ClientRequest { number, operation, request, token: self.token() };
            let sent = if self.options.encode_messages { sent.through_bytes() } else { sent };
            if connection.send(sent).is_err() {
                self.connection = None;
                return;
            }
        }
        while !under_way.is_empty() {
            let Ok(ClientReply { number, result, applied_index }) = connection.receive().await else {
                self.connection = None;
                return;
            };
            let Some(operation) = under_way.remove(&number) else { continue };
            match result {
                Ok(response) => self.end(operation, &Outcome::Ok(response), Some(applied_index)),
                Err(error) if error.outcome_unknown() => self.end(operation, &Outcome::Unknown, None),
                Err(error) => self.end(operation, &Outcome::Failed(error), Some(applied_index)),
            }
        }
    }

    fn end(&self, operation: OperationId, outcome: &Outcome, applied_index: Option<u64>) {
        record!(self.node, "client", "{}: {}", operation.index(), Told(outcome));
        self.observer.returned(operation, outcome, applied_index);
        if let Some(credentials) = &self.credentials {
            credentials.learn(outcome);
        }
        if let Outcome::Ok(response) = outcome {
            self.known_revision.set(self.known_revision.get().max(response.revision()));
        }
    }

    /// Whether there is a connection to the endpoint at hand.
    async fn connect(&mut self) -> bool {
        if self.connection.is_none() {
            self.connection = self.node.connect(self.endpoints[self.endpoint], CLIENT_PORT).await.ok();
        }
        self.connection.is_some()
    }

    async fn try_to(&mut self, operation: OperationId, request: &Request) -> (Outcome, Option<u64>) {
        let retries = request.is_read_only() || self.options.has(Defect::ClientRetries);
        loop {
            if self.unanswered.is_some_and(|since| since + SYNC_AFTER <= self.node.now()) {
                self.sync_endpoints().await;
            }
            match self.attempt(operation, request).await {
                Attempt::Replied(ClientReply { result: Ok(response), applied_index, .. }) => {
                    self.unanswered = None;
                    return (Outcome::Ok(response), Some(applied_index));
                }
                Attempt::Replied(ClientReply { result: Err(error), applied_index, .. }) => {
                    if error == Error::NotSupportedForLearner {
                        self.next_endpoint();
                        self.sync_endpoints().await;
                    } else if !error.leaves_open(request) {
                        self.unanswered = None;
                    }
                    if error == Error::TooManyRequests {
                        // Another member may have come further. etcd's client asks them by turns anyway.
                        self.next_endpoint();
                    }
                    if !error.leaves_open(request) {
                        return (Outcome::Failed(error), Some(applied_index));
                    }
                    if !retries {
                        return (Outcome::Unknown, None);
                    }
                }
                Attempt::Lost if !retries => {
                    sometimes!(self.node, "a connection breaks under a write");
                    return (Outcome::Unknown, None);
                }
                Attempt::Lost | Attempt::NotSent => {}
            }
            sometimes!(self.node, "a read is sent again", request.is_read_only());
            sometimes!(self.node, "a write is tried again, for it did not leave", !request.is_read_only());
            self.next_endpoint();
            self.node.sleep(BACKOFF).await;
        }
    }

    async fn attempt(&mut self, operation: OperationId, request: &Request) -> Attempt {
        self.connect().await;
        let Some(connection) = &self.connection else { return Attempt::NotSent };
        self.requests += 1;
        let number = self.requests;
        let sent = ClientRequest { number, operation, request: request.clone(), token: self.token() };
        let sent = if self.options.encode_messages { sent.through_bytes() } else { sent };
        if connection.send(sent).is_err() {
            self.connection = None;
            return Attempt::NotSent;
        }
        loop {
            match connection.receive().await {
                Ok(reply) if reply.number == number => return Attempt::Replied(reply),
                // An answer to a request that was given up.
                Ok(_) => sometimes!(self.node, "an answer comes to a request that was given up"),
                Err(_) => {
                    self.connection = None;
                    return Attempt::Lost;
                }
            }
        }
    }

    /// Asks who votes, and talks to these from now on: etcd's client does so every now and then, if it is told to.
    /// One that is bound to a member leaves it only for good.
    async fn sync_endpoints(&mut self) {
        if self.node.now() < self.synced + SYNC_AFTER {
            return;
        }
        self.synced = self.node.now();
        let asked = cluster::ask_who_votes(&self.node, &self.options, self.requests);
        let Some(voters) = before(self.node.sleep(SYNC_TIMEOUT), asked).await.flatten() else { return };
        if !self.bound {
            if voters.len() == self.endpoints.len()
                && voters.iter().all(|voter| self.endpoints.contains(voter))
            {
                return;
            }
            self.endpoints = voters;
        } else if !voters.contains(&self.endpoints[0]) {
            let NodeId::Client(number) = self.node.id() else { return };
            self.endpoints = vec![voters[usize::from(number) % voters.len()]];
            record!(self.node, "client", "turns to {}", self.endpoints[0]);
        } else {
            return;
        }
        (self.endpoint, self.connection) = (0, None);
    }

    /// Moves to the members that can be counted on, if none of its own can: what an operator does for clients of a
    /// member that is gone for good.
    pub(crate) fn leave_broken_endpoints(&mut self) {
        let world = self.node.world();
        let serves = |member: &NodeId| world.expected(*member) && world.is_enabled(*member);
        if self.endpoints.iter().any(serves) {
            return;
        }
        let left: Vec<NodeId> = world.machines().filter(serves).collect();
        if !left.is_empty() {
            record!(self.node, "client", "moves to other members");
            (self.endpoints, self.endpoint, self.connection) = (left, 0, None);
            // Some of them may take part no more: it asks, and tries all that do.
            self.bound = false;
        }
    }

    fn next_endpoint(&mut self) {
        if self.endpoints.len() > 1 {
            self.endpoint = (self.endpoint + 1) % self.endpoints.len();
            self.connection = None;
        }
    }
}

/// A request as text: its content enters the digest where it is sent.
pub(crate) struct Shown<'a>(pub(crate) &'a Request);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::hash::Hash for Shown<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.kind().hash(state);
    }
}

/// An outcome as text.
pub(crate) struct Told<'a>(pub(crate) &'a Outcome);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Outcome::Ok(response) => {
                write!(f, "revision {}", response.revision())?;
                match response {
                    Response::Range(range) if range.kvs.len() == 1 => {
                        write!(f, ", \"{}\"", range.kvs[0].value.escape_ascii())
                    }
                    Response::Range(range) => write!(f, ", {} keys", range.count),
                    Response::DeleteRange(deleted) => write!(f, ", {} deleted", deleted.deleted),
                    Response::Txn(txn) => {
                        write!(f, ", {}", if txn.succeeded { "succeeded" } else { "failed" })
                    }
                    Response::LeaseGrant(grant) => write!(f, ", lease {} for {} s", grant.id, grant.ttl),
                    Response::LeaseKeepAlive(kept) => write!(f, ", TTL {}", kept.ttl),
                    Response::LeaseTimeToLive(lives) => write!(f, ", TTL {}", lives.ttl),
                    Response::LeaseLeases(list) => write!(f, ", {} leases", list.leases.len()),
                    Response::Put(_)
                    | Response::Auth(_)
                    | Response::Alarm(_)
                    | Response::Compact(_)
                    | Response::LeaseRevoke(_)
                    | Response::LeaseCheckpoint(_) => Ok(()),
                }
            }
            Outcome::Failed(error) => write!(f, "{error}"),
            Outcome::Unknown => f.write_str("unknown outcome"),
        }
    }
}

impl std::hash::Hash for Told<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self.0 {
            Outcome::Ok(response) => response.revision().hash(state),
            Outcome::Failed(error) => error.hash(state),
            Outcome::Unknown => 0.hash(state),
        }
    }
}
