//! Calls of gRPC on their way between the machine that stands for a caller and a member.

use std::fmt;

use vertebra_sim::network;

use crate::grpc::{Down, Up};
use crate::history::OperationId;

/// What a caller sends. Many calls share a connection.
#[derive(Clone, Hash, Debug)]
pub struct GrpcUp {
    /// As the caller sent it.
    pub up: Up,
    /// The operation in the history, with a message that is one; for the white-box oracles.
    pub operation: Option<OperationId>,
}

/// What the member sends back.
#[derive(Clone, Hash, Debug)]
pub struct GrpcDown {
    /// As the caller gets it.
    pub down: Down,
    /// The index up to which the member had applied its log; for the white-box oracles.
    pub applied_index: u64,
}

impl network::Message for GrpcUp {
    fn kind(&self) -> &'static str {
        "grpc-up"
    }
}

impl network::Message for GrpcDown {
    fn kind(&self) -> &'static str {
        "grpc-down"
    }
}

impl fmt::Display for GrpcUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.up {
            Up::Begin { call, path, .. } => write!(f, "call {call}: {path}"),
            Up::Message { call, bytes } => write!(f, "call {call}: a message of {} bytes", bytes.len()),
            Up::HalfClose { call } => write!(f, "call {call}: no more messages"),
            Up::Consumed { call, bytes } => write!(f, "call {call}: consumed {bytes} bytes"),
            Up::Cancel { call } => write!(f, "call {call}: cancelled"),
        }
    }
}

impl fmt::Display for GrpcDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.down {
            Down::Message { call, bytes } => write!(f, "call {call}: a message of {} bytes", bytes.len()),
            Down::End { call, status } => write!(f, "call {call}: ended, {status}"),
        }
    }
}
