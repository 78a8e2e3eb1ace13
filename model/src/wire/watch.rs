//! What goes over a stream of watches, and back.
//!
//! A stream is a connection of its own. As over HTTP/2, the member sends no more than a window of bytes that the client
//! has not consumed: a client that reads slowly slows the member down, and nothing heaps up in between.

use std::fmt;

use prost::Message;
use vertebra_sim::network;

use super::{Token, pass_through_bytes};
use crate::api::watch_request::RequestUnion;
use crate::api::{WatchRequest, WatchResponse};

/// What a watching client sends.
#[derive(Clone, Hash, Debug)]
pub enum WatchUp {
    /// Who watches; the first thing on the stream (gRPC's metadata).
    Token(Token),
    /// The stream shall end when the member has lost its leader (metadata, too).
    RequireLeader,
    /// A request.
    Request(WatchRequest),
    /// So many bytes were consumed. With none, it only proves that somebody is there.
    Consumed(u64),
}

impl WatchUp {
    /// The message as it comes out of encoding and decoding.
    #[must_use]
    pub fn through_bytes(mut self) -> Self {
        if let Self::Request(request) = &mut self {
            pass_through_bytes(request);
        }
        self
    }
}

impl network::Message for WatchUp {
    fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) | Self::RequireLeader => "",
            Self::Request(_) => "watch-request",
            Self::Consumed(_) => "watch-consumed",
        }
    }
}

impl fmt::Display for WatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = match self {
            Self::Request(request) => &request.request_union,
            Self::Token(_) => return f.write_str("token"),
            Self::RequireLeader => return f.write_str("requires a leader"),
            Self::Consumed(bytes) => return write!(f, "consumed {bytes} bytes"),
        };
        match request {
            Some(RequestUnion::CreateRequest(create)) => {
                write!(f, "watch {} \"{}\"", create.watch_id, create.key.escape_ascii())?;
                if !create.range_end.is_empty() {
                    write!(f, "..\"{}\"", create.range_end.escape_ascii())?;
                }
                write!(f, " from {}", create.start_revision)
            }
            Some(RequestUnion::CancelRequest(cancel)) => write!(f, "cancel watch {}", cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => f.write_str("asks for progress"),
            None => f.write_str("asks for nothing"),
        }
    }
}

/// What the member tells.
#[derive(Clone, Hash, Debug)]
pub struct WatchDown(pub WatchResponse);

impl WatchDown {
    /// The message as it comes out of encoding and decoding.
    #[must_use]
    pub fn through_bytes(mut self) -> Self {
        pass_through_bytes(&mut self.0);
        self
    }

    /// What it takes of the window.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.encoded_len() as u64
    }
}

impl network::Message for WatchDown {
    fn kind(&self) -> &'static str {
        "watch-response"
    }
}

impl fmt::Display for WatchDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WatchResponse { header, watch_id, created, canceled, compact_revision, cancel_reason, .. } =
            &self.0;
        write!(f, "watch {watch_id}")?;
        if *created {
            write!(f, " created")?;
        }
        if *canceled {
            write!(f, " cancelled")?;
        }
        if *compact_revision != 0 {
            write!(f, ", compacted at {compact_revision}")?;
        }
        if !cancel_reason.is_empty() {
            write!(f, ", {cancel_reason}")?;
        }
        let revisions = self.0.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision);
        if let (Some(first), Some(last)) = (revisions.clone().min(), revisions.max()) {
            write!(f, ", {} events of {first} to {last}", self.0.events.len())?;
        } else if !created && !canceled {
            write!(f, " progress")?;
        }
        if self.0.fragment {
            write!(f, ", more follows")?;
        }
        write!(f, " at revision {}", header.map_or(0, |header| header.revision))
    }
}
