//! Calls as gRPC has them: a path, what the caller says about itself, messages as bytes either way, and a status.
//!
//! This is how anybody outside of the simulation speaks to a member: programs with a real connection, and sessions that
//! were recorded. What the bytes mean is the member's business, as in etcd. Unary calls are streams of one message, as
//! they are on the wire.

mod operation;

use std::fmt;

use bytes::Bytes;

use crate::error::{Code, Error};

pub use self::operation::{decode_request, decode_response, encode_response};

/// The caller's number for one of its calls.
pub type CallId = u64;

/// What a caller says about itself, of gRPC's metadata and what else goes with a call.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Metadata {
    /// `token` or `authorization`: whom the caller takes itself for.
    pub token: Option<Bytes>,
    /// `hasleader: true`: a stream shall end when the member has lost its leader (clientv3's `WithRequireLeader`).
    pub require_leader: bool,
    /// `client-api-version`.
    pub client_api_version: Option<Bytes>,
}

/// What a caller sends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Up {
    /// A call begins.
    Begin {
        /// Its number.
        call: CallId,
        /// As in `/etcdserverpb.KV/Range`. There may be no such method.
        path: String,
        /// About the caller.
        metadata: Metadata,
    },
    /// A message of it, which may be anything.
    Message {
        /// Of this call.
        call: CallId,
        /// A message of protobuf, if the caller means well.
        bytes: Bytes,
    },
    /// There are no more messages.
    HalfClose {
        /// Of this call.
        call: CallId,
    },
    /// So many bytes of what came down were taken: the flow control of HTTP/2.
    Consumed {
        /// Of this call.
        call: CallId,
        /// Bytes of messages.
        bytes: u64,
    },
    /// Nobody waits any more: the caller's deadline passed, or it went.
    Cancel {
        /// The call.
        call: CallId,
    },
}

/// What comes back.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Down {
    /// A message.
    Message {
        /// Of this call.
        call: CallId,
        /// A message of protobuf.
        bytes: Bytes,
    },
    /// The call is over.
    End {
        /// The call.
        call: CallId,
        /// How it ended.
        status: Status,
    },
}

/// How a call ended. `Ok` has no text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// gRPC's code; nothing for `OK`.
    pub code: Option<Code>,
    /// The text, which is empty for `OK`.
    pub message: String,
}

impl Status {
    /// It ended well.
    pub const OK: Self = Self { code: None, message: String::new() };

    /// It ended with an error that is not one of etcd's services: of gRPC itself, for example.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: Some(code), message: message.into() }
    }
}

impl From<Error> for Status {
    /// As the server sends it. Two errors it puts into the map where their statuses belong; its Go client restores the codes.
    fn from(error: Error) -> Self {
        let code = match error {
            Error::TooManyRequests | Error::MemberNotEnoughStarted => Code::Unknown,
            _ => error.code(),
        };
        Self::new(code, error.to_string())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => f.write_str("OK"),
            Some(code) => write!(f, "{code:?}: {}", self.message),
        }
    }
}
