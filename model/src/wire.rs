//! What members and clients say to each other.
//!
//! Raft's messages are datagrams: Raft promises to bear loss, duplication and reordering, and is held to it.
//! Proposals and snapshots go over ordered connections, as in etcd, where a duplicated proposal would be applied
//! twice. So do the requests of clients.

mod grpc;
mod watch;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

use vertebra_sim::network;

use crate::api::InternalRaftRequest;
use crate::cluster::Shown;
use crate::error::Error;
use crate::history::{OperationId, Request};
use crate::response::Response;

pub use grpc::{GrpcDown, GrpcUp};
pub use watch::{WatchDown, WatchUp};

/// Where members listen to each other.
pub const PEER_PORT: u16 = 2380;
/// Where members listen to clients.
pub const CLIENT_PORT: u16 = 2379;
/// Where members listen to clients that watch. etcd has these streams on the same port.
pub const WATCH_PORT: u16 = 2378;
/// Where members listen to callers from outside of the simulation, who speak gRPC.
pub const GRPC_PORT: u16 = 2377;
/// Where members listen to each other's questions about leases. etcd: HTTP requests to the port of peers.
pub const LEASE_PORT: u16 = 2383;

/// The kinds of messages that a fault can pick out.
pub const MESSAGES: &[&str] = &[
    "append",
    "append-answer",
    "heartbeat",
    "heartbeat-answer",
    "vote",
    "vote-answer",
    "pre-vote",
    "pre-vote-answer",
    "timeout-now",
    "read-index",
    "read-index-answer",
    "greeting",
    "greeting-answer",
    "removed",
    "proposal",
    "snapshot",
    "snapshot-answer",
    "lease-question",
    "lease-answer",
    "client-request",
    "client-reply",
    "watch-request",
    "watch-consumed",
    "watch-response",
    "cluster-request",
    "cluster-reply",
];

/// A datagram between members.
#[derive(Clone, Debug)]
pub enum PeerMessage {
    /// One of Raft's own. In a box, since it is handed on many times and is large.
    Raft(Box<Message>),
    /// A follower asks the leader for an index from which a read is up to date.
    ReadIndex {
        /// Who asks.
        member: u64,
        /// Unique among all attempts of the asking member.
        attempt: u64,
    },
    /// Another member asks whether this one can be reached.
    Greeting {
        /// The greeter's number for it.
        number: u64,
    },
    /// It can.
    GreetingAnswer {
        /// The number of the greeting.
        number: u64,
        /// Who answers.
        member: u64,
    },
    /// Whoever is this member has been removed, and is not listened to (etcd: HTTP status 410).
    Removed {
        /// The member.
        member: u64,
    },
    /// The leader's answer.
    ReadIndexAnswer {
        /// The attempt that is answered.
        attempt: u64,
        /// A read is up to date when this index is applied.
        index: u64,
    },
}

impl PeerMessage {
    /// The message as it comes out of encoding and decoding.
    #[must_use]
    pub fn through_bytes(self) -> Self {
        match self {
            Self::Raft(message) => {
                let bytes = message.write_to_bytes().expect("a message of Raft can be encoded");
                let message = Message::parse_from_bytes(&bytes).expect("an encoded message can be decoded");
                Self::Raft(Box::new(message))
            }
            other => other,
        }
    }
}

impl network::Message for PeerMessage {
    fn kind(&self) -> &'static str {
        match self {
            Self::Raft(message) => match message.msg_type {
                MessageType::MsgAppend => "append",
                MessageType::MsgAppendResponse => "append-answer",
                MessageType::MsgHeartbeat => "heartbeat",
                MessageType::MsgHeartbeatResponse => "heartbeat-answer",
                MessageType::MsgRequestVote => "vote",
                MessageType::MsgRequestVoteResponse => "vote-answer",
                MessageType::MsgRequestPreVote => "pre-vote",
                MessageType::MsgRequestPreVoteResponse => "pre-vote-answer",
                MessageType::MsgTimeoutNow => "timeout-now",
                // The rest is of a member with itself.
                _ => "",
            },
            Self::ReadIndex { .. } => "read-index",
            Self::ReadIndexAnswer { .. } => "read-index-answer",
            Self::Greeting { .. } => "greeting",
            Self::GreetingAnswer { .. } => "greeting-answer",
            Self::Removed { .. } => "removed",
        }
    }
}

impl Hash for PeerMessage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Raft(message) => hash_raft(message, state),
            Self::ReadIndex { member, attempt } => (member, attempt).hash(state),
            Self::Greeting { number } => number.hash(state),
            Self::GreetingAnswer { number, member } => (number, member).hash(state),
            Self::Removed { member } => member.hash(state),
            Self::ReadIndexAnswer { attempt, index } => (attempt, index).hash(state),
        }
    }
}

fn hash_raft<H: Hasher>(message: &Message, state: &mut H) {
    let fields = [
        (message.msg_type as u64) << 1 | u64::from(message.reject),
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
        message.request_snapshot,
        message.entries.len() as u64,
    ];
    fields.iter().for_each(|&field| state.write_u64(field));
    message.context.hash(state);
    for entry in &message.entries {
        (entry.index, entry.term, entry.entry_type as u64).hash(state);
        entry.data.hash(state);
    }
    if let Some(snapshot) = message.snapshot.as_ref() {
        let metadata = snapshot.get_metadata();
        (metadata.index, metadata.term).hash(state);
        let conf_state = metadata.get_conf_state();
        for members in [&conf_state.voters, &conf_state.learners, &conf_state.voters_outgoing] {
            members.hash(state);
        }
    }
}

impl fmt::Display for PeerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raft(message) => write_raft(f, message),
            Self::ReadIndex { attempt, .. } => write!(f, "ReadIndex attempt {attempt}"),
            Self::Greeting { number } => write!(f, "Greeting {number}"),
            Self::GreetingAnswer { number, .. } => write!(f, "GreetingAnswer {number}"),
            Self::Removed { member } => write!(f, "member {} is removed", Shown(*member)),
            Self::ReadIndexAnswer { attempt, index } => {
                write!(f, "ReadIndex attempt {attempt}: index {index}")
            }
        }
    }
}

fn write_raft(f: &mut fmt::Formatter<'_>, message: &Message) -> fmt::Result {
    write!(f, "{:?} term {}", message.msg_type, message.term)?;
    match message.msg_type {
        MessageType::MsgAppend => {
            write!(f, " after {}/{} commit {}", message.index, message.log_term, message.commit)?;
            if let (Some(first), Some(last)) = (message.entries.first(), message.entries.last()) {
                write!(f, " entries {}..={}", first.index, last.index)?;
            }
        }
        MessageType::MsgHeartbeat => write!(f, " commit {}", message.commit)?,
        MessageType::MsgSnapshot => {
            let metadata = message.get_snapshot().get_metadata();
            write!(f, " snapshot {}/{}", metadata.index, metadata.term)?;
        }
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
            write!(f, " last {}/{}", message.index, message.log_term)?;
        }
        _ => write!(f, " index {}", message.index)?,
    }
    if message.reject {
        write!(f, " rejected, hint {}", message.reject_hint)?;
    }
    if !message.context.is_empty() {
        write!(f, " context {}", message.context.escape_ascii())?;
    }
    Ok(())
}

/// What goes over a connection from one member to another.
#[derive(Clone, Hash, Debug)]
pub enum PeerStream {
    /// Who sends; the first thing on a connection. A member that was removed is not listened to.
    Hello {
        /// The sender.
        member: u64,
    },
    /// A proposal that a follower passes on to the leader.
    Proposal(Bytes),
    /// The same, of a change of the configuration.
    ConfChange(Bytes),
    /// A snapshot follows, of so many bytes.
    Snapshot {
        /// Raft's message, encoded.
        message: Bytes,
        /// Bytes to come.
        length: u64,
        /// CRC-32C of these bytes: what is not as it was sent must not become durable.
        checksum: u32,
    },
    /// The next part of it.
    Chunk(Bytes),
}

impl network::Message for PeerStream {
    fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "",
            Self::Proposal(_) | Self::ConfChange(_) => "proposal",
            Self::Snapshot { .. } | Self::Chunk(_) => "snapshot",
        }
    }
}

impl fmt::Display for PeerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello { member } => write!(f, "from member {}", Shown(*member)),
            Self::Proposal(data) => write!(f, "proposal of {} bytes", data.len()),
            Self::ConfChange(data) => write!(f, "change of the configuration of {} bytes", data.len()),
            Self::Snapshot { length, .. } => write!(f, "snapshot of {length} bytes"),
            Self::Chunk(bytes) => write!(f, "chunk of {} bytes", bytes.len()),
        }
    }
}

/// What comes back over it: the snapshot has arrived.
#[derive(Clone, Hash, Debug)]
pub struct SnapshotReceived;

impl network::Message for SnapshotReceived {
    fn kind(&self) -> &'static str {
        "snapshot-answer"
    }
}

impl fmt::Display for SnapshotReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("snapshot received")
    }
}

/// What a member asks the leader about a lease, for a client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaseQuestion {
    /// Keep it alive.
    KeepAlive {
        /// The lease.
        id: i64,
    },
    /// For how long will it live, and which keys are attached to it?
    TimeToLive {
        /// The lease.
        id: i64,
        /// Whether the keys are wanted.
        keys: bool,
    },
}

impl network::Message for LeaseQuestion {
    fn kind(&self) -> &'static str {
        "lease-question"
    }
}

impl fmt::Display for LeaseQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepAlive { id } => write!(f, "keep lease {id} alive"),
            Self::TimeToLive { id, .. } => write!(f, "time to live of lease {id}"),
        }
    }
}

/// What the leader answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum LeaseAnswer {
    /// It is kept alive for this long, in seconds.
    Kept {
        /// The TTL that it was granted for.
        ttl: i64,
    },
    /// Its state.
    Lives {
        /// Whole seconds that are left.
        ttl: i64,
        /// The TTL that it was granted for.
        granted_ttl: i64,
        /// The keys that are attached to it, if they were asked for.
        keys: Vec<Bytes>,
    },
    /// There is no such lease.
    NotFound,
    /// Whoever was asked does not lead any more, or cannot be sure that it does.
    Refused,
}

impl network::Message for LeaseAnswer {
    fn kind(&self) -> &'static str {
        "lease-answer"
    }
}

impl fmt::Display for LeaseAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { ttl } => write!(f, "kept alive for {ttl} s"),
            Self::Lives { ttl, .. } => write!(f, "lives for {ttl} s"),
            Self::NotFound => f.write_str("no such lease"),
            Self::Refused => f.write_str("refused"),
        }
    }
}

/// What a member gives to who has authenticated.
pub type Token = Rc<str>;

/// What a client asks a member.
#[derive(Clone, Hash, Debug)]
pub struct ClientRequest {
    /// The client's number for it, unique on its connection.
    pub number: u64,
    /// The operation in the history, for the white-box oracles.
    pub operation: OperationId,
    /// The request.
    pub request: Request,
    /// By which the member knows who asks (gRPC's metadata).
    pub token: Option<Token>,
}

impl ClientRequest {
    /// The request as it comes out of encoding and decoding.
    #[must_use]
    pub fn through_bytes(mut self) -> Self {
        match &mut self.request {
            Request::Range(request) => pass_through_bytes(request),
            Request::Put(request) => pass_through_bytes(request),
            Request::DeleteRange(request) => pass_through_bytes(request),
            Request::Txn(request) => pass_through_bytes(request),
            Request::Compact(request) => pass_through_bytes(request),
            Request::LeaseGrant(request) => pass_through_bytes(request),
            Request::LeaseRevoke(request) => pass_through_bytes(request),
            Request::LeaseKeepAlive(request) => pass_through_bytes(request),
            Request::LeaseTimeToLive(request) => pass_through_bytes(request),
            Request::LeaseLeases(request) => pass_through_bytes(request),
            Request::Auth(request) => {
                let mut proposal =
                    InternalRaftRequest { auth: Some(request.clone()), ..InternalRaftRequest::default() };
                pass_through_bytes(&mut proposal);
                *request = proposal.auth.expect("a request that was encoded");
            }
        }
        self
    }
}

pub(crate) fn pass_through_bytes<M: prost::Message + Default>(message: &mut M) {
    *message = M::decode(&message.encode_to_vec()[..]).expect("an encoded message can be decoded");
}

impl network::Message for ClientRequest {
    fn kind(&self) -> &'static str {
        "client-request"
    }
}

impl fmt::Display for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}: {}", self.number, self.request)
    }
}

/// What the member answers.
#[derive(Clone, Hash, Debug)]
pub struct ClientReply {
    /// The number of the request.
    pub number: u64,
    /// Response or error.
    pub result: Result<Response, Error>,
    /// The index up to which the member had applied its log when it answered; for the white-box oracles.
    pub applied_index: u64,
}

impl ClientReply {
    /// The reply as it comes out of encoding and decoding.
    #[must_use]
    pub fn through_bytes(mut self) -> Self {
        match &mut self.result {
            Ok(Response::Range(response)) => pass_through_bytes(response),
            Ok(Response::Put(response)) => pass_through_bytes(response),
            Ok(Response::DeleteRange(response)) => pass_through_bytes(response),
            Ok(Response::Txn(response)) => pass_through_bytes(response),
            Ok(Response::Compact(response)) => pass_through_bytes(response),
            Ok(Response::LeaseGrant(response)) => pass_through_bytes(response),
            Ok(Response::LeaseRevoke(response)) => pass_through_bytes(response),
            Ok(Response::LeaseCheckpoint(response)) => pass_through_bytes(response),
            Ok(Response::LeaseKeepAlive(response)) => pass_through_bytes(response),
            Ok(Response::LeaseTimeToLive(response)) => pass_through_bytes(response),
            Ok(Response::LeaseLeases(response)) => pass_through_bytes(response),
            Ok(Response::Auth(response)) => response.pass_through_bytes(),
            Ok(Response::Alarm(response)) => pass_through_bytes(response),
            Err(_) => {}
        }
        self
    }
}

impl network::Message for ClientReply {
    fn kind(&self) -> &'static str {
        "client-reply"
    }
}

impl fmt::Display for ClientReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(response) => write!(f, "reply {}: revision {}", self.number, response.revision()),
            Err(error) => write!(f, "reply {}: {error}", self.number),
        }
    }
}
