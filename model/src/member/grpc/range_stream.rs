//! Reads whose answer comes in parts (etcd 3.7): all of one revision, each of about as many bytes as a request may have.

use prost::Message;

use super::call::{Call, decode_of_stream};
use super::maintenance::encode;
use super::{Failure, Server};
use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::{RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader};
use crate::error::Code;
use crate::grpc::Status;
use crate::mvcc::validate;

/// Keys in the first part, at most.
const FIRST_LIMIT: i64 = 10;

impl Server {
    pub(super) async fn range_stream(&self, call: &Call) -> Result<(), Failure> {
        let mut read: RangeRequest = decode_of_stream(call.receive_only().await?.bytes)?;
        validate::range(&read)?;
        check(&read)?;
        let token = call.token.as_ref();
        if !read.serializable {
            self.member.become_up_to_date().await?;
        }
        let caller = self.member.caller(token).await?;
        self.member.kv.auth().may_read(&caller, &read.key, &read.range_end)?;
        let limit = if read.limit == 0 { i64::MAX } else { read.limit };
        read.limit = FIRST_LIMIT.min(limit);
        let (mut told, mut pinned) = (0, None);
        loop {
            let mut part = self.member.kv.read(|store, tx| store.range(tx, &read))?;
            let header = *pinned.get_or_insert_with(|| {
                let revision = part.header.map_or(0, |header| header.revision);
                self.header().map(|header| ResponseHeader { revision, ..header })
            });
            if read.count_only {
                let count = RangeResponse { header, count: part.count, ..RangeResponse::default() };
                call.send(encode(&RangeStreamResponse { range_response: Some(count) })).await?;
                return Ok(());
            }
            if read.revision == 0 {
                read.revision = header.map_or(0, |header| header.revision);
            }
            let (more, count, bytes) = (part.more, part.count, part.encoded_len());
            let kvs = std::mem::take(&mut part.kvs);
            let before = told;
            told += kvs.len() as i64;
            let next = kvs.last().map(|last| [&last.key[..], b"\0"].concat());
            let is_last = !more || told == limit;
            let part = match is_last {
                // The count of this part has what is left from its first key on.
                true => RangeResponse { header, kvs, more, count: before + count },
                false => RangeResponse { kvs, ..RangeResponse::default() },
            };
            call.send(encode(&RangeStreamResponse { range_response: Some(part) })).await?;
            if is_last {
                break;
            }
            read.key = next.unwrap_or_default().into();
            read.limit = self.next_limit(read.limit, bytes).min(limit - told);
        }
        // As in etcd, who was not asked for a token is not asked again.
        if caller.revision != 0 && caller.revision != self.member.kv.auth().revision() {
            return Err(crate::error::Error::AuthOldRevision.into());
        }
        Ok(())
    }

    /// How many keys shall be in the next part.
    fn next_limit(&self, limit: i64, bytes: usize) -> i64 {
        let wanted = self.member.options.request_bytes_max;
        let limit = if bytes < wanted / 2 {
            limit.saturating_mul(2)
        } else if bytes > wanted * 2 {
            limit / 2
        } else {
            limit
        };
        limit.max(1)
    }
}

/// What a read in parts does not offer.
fn check(read: &RangeRequest) -> Result<(), Status> {
    let refused =
        |what: &str| Err(Status::new(Code::Unimplemented, format!("RangeStream does not support {what}")));
    let (target, order) = (read.sort_target(), read.sort_order());
    let is_usual = order == SortOrder::None || target == SortTarget::Key && order == SortOrder::Ascend;
    if !is_usual {
        return refused("custom sort orders");
    }
    let filters =
        [read.min_mod_revision, read.max_mod_revision, read.min_create_revision, read.max_create_revision];
    if filters.iter().any(|filter| *filter != 0) {
        return refused("revision filters");
    }
    Ok(())
}
