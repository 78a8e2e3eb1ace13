//! What applying a request gives.
//!
//! The members' store and the specification that checks it share this type, the errors and the API messages, and
//! nothing else.

use crate::api;
use crate::auth::AuthResponse;

/// The response to a request.
///
/// Of its header only the revision is set; a server adds the identifiers and the term before it answers a client.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Response {
    /// To a read.
    Range(api::RangeResponse),
    /// To a put.
    Put(api::PutResponse),
    /// To a deletion.
    DeleteRange(api::DeleteRangeResponse),
    /// To a transaction.
    Txn(api::TxnResponse),
    /// To a compaction.
    Compact(api::CompactionResponse),
    /// To the grant of a lease.
    LeaseGrant(api::LeaseGrantResponse),
    /// To the revocation of a lease.
    LeaseRevoke(api::LeaseRevokeResponse),
    /// To what the leader writes down of leases. No client asks for it.
    LeaseCheckpoint(api::LeaseCheckpointResponse),
    /// To a sign that a lease is still wanted.
    LeaseKeepAlive(api::LeaseKeepAliveResponse),
    /// To a question about a lease.
    LeaseTimeToLive(api::LeaseTimeToLiveResponse),
    /// To the question which leases there are.
    LeaseLeases(api::LeaseLeasesResponse),
    /// To what is about users and roles.
    Auth(AuthResponse),
    /// To what is about alarms. No history has it.
    Alarm(api::AlarmResponse),
}

impl Response {
    /// The revision in the header, or 0 if there is no header.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.header().map_or(0, |header| header.revision)
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> Option<api::ResponseHeader> {
        match self {
            Self::Range(response) => response.header,
            Self::Put(response) => response.header,
            Self::DeleteRange(response) => response.header,
            Self::Txn(response) => response.header,
            Self::Compact(response) => response.header,
            Self::LeaseGrant(response) => response.header,
            Self::LeaseRevoke(response) => response.header,
            Self::LeaseCheckpoint(response) => response.header,
            Self::LeaseKeepAlive(response) => response.header,
            Self::LeaseTimeToLive(response) => response.header,
            Self::LeaseLeases(response) => response.header,
            Self::Auth(response) => response.header(),
            Self::Alarm(response) => response.header,
        }
    }

    /// The header, to be changed.
    pub fn header_mut(&mut self) -> &mut Option<api::ResponseHeader> {
        match self {
            Self::Range(response) => &mut response.header,
            Self::Put(response) => &mut response.header,
            Self::DeleteRange(response) => &mut response.header,
            Self::Txn(response) => &mut response.header,
            Self::Compact(response) => &mut response.header,
            Self::LeaseGrant(response) => &mut response.header,
            Self::LeaseRevoke(response) => &mut response.header,
            Self::LeaseCheckpoint(response) => &mut response.header,
            Self::LeaseKeepAlive(response) => &mut response.header,
            Self::LeaseTimeToLive(response) => &mut response.header,
            Self::LeaseLeases(response) => &mut response.header,
            Self::Auth(response) => response.header_mut(),
            Self::Alarm(response) => &mut response.header,
        }
    }
}
