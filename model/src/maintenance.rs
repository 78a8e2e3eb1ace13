//! The Maintenance service: what operators ask of a member about its data, and members of each other.
//!
//! etcd's members ask for hashes over HTTP on their peer port, and operators over gRPC; here both use one port, since a
//! port has one type of message.

use std::fmt;

use bytes::Bytes;
use vertebra_sim::network::{Message, Port};

use crate::error::Error;
use crate::mvcc::KvHash;

/// Where members listen.
pub const MAINTENANCE_PORT: Port = 2382;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// The hash of the member's records.
    HashKv {
        /// Up to this revision; 0 for the current one.
        revision: i64,
    },
    /// Copy what is in use of the backend into a new file.
    Defragment,
    /// Send the backend as it is.
    Snapshot,
}

/// A request on a connection, which has one under way at a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Call(pub Request);

/// What is answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Response {
    /// A hash, and the revision that the member's store was at.
    HashKv {
        /// The hash.
        hash: KvHash,
        /// The current revision.
        revision: i64,
    },
    /// It is done.
    Defragmented,
    /// A database file.
    Snapshot(Bytes),
}

/// The answer on a connection.
#[derive(Clone, Hash, Debug)]
pub struct Reply(pub Result<Response, Error>);

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::HashKv { revision } => write!(f, "HashKV at {revision}"),
            Request::Defragment => f.write_str("Defragment"),
            Request::Snapshot => f.write_str("Snapshot"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(Response::HashKv { hash, revision }) => write!(
                f,
                "hash {:08x} at {}, compacted at {}, of {revision}",
                hash.hash, hash.revision, hash.compact_revision
            ),
            Ok(Response::Defragmented) => f.write_str("defragmented"),
            Ok(Response::Snapshot(database)) => write!(f, "a database of {} bytes", database.len()),
            Err(error) => write!(f, "{error}"),
        }
    }
}

impl Message for Call {}
impl Message for Reply {}
