//! What applying a request gives.
//!
//! The members' store and the specification that checks it share this type, the errors and the API messages, and
//! nothing else.

use crate::api;

/// The response to a request of the KV service.
///
/// Of its header only the revision is set; a server adds the identifiers and the term before it answers a client.
#[derive(Clone, Debug, PartialEq)]
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
}

impl Response {
    /// The revision in the header, or 0 if there is no header.
    #[must_use]
    pub fn revision(&self) -> i64 {
        let header = match self {
            Self::Range(response) => response.header,
            Self::Put(response) => response.header,
            Self::DeleteRange(response) => response.header,
            Self::Txn(response) => response.header,
            Self::Compact(response) => response.header,
        };
        header.map_or(0, |header| header.revision)
    }
}
