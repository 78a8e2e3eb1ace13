//! The Lock service: a lock is held by whose key below its name was created first.

use bytes::Bytes;

use super::call::{Call, decode};
use super::inner::{Inner, Session, failed, found, is_created_at, oldest, one, putting, reading};
use super::maintenance::encode;
use super::{Failure, Server};
use crate::api::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use crate::api::{DeleteRangeRequest, TxnRequest};
use crate::history::Request;
use crate::response::Response;

impl Server {
    /// Answers when the caller has the lock. Whoever goes before does not stay in the way of others.
    pub(super) async fn lock(&self, call: &Call) -> Result<Bytes, Failure> {
        let LockRequest { name, lease } = decode(call.receive_only().await?.bytes)?;
        self.intercept(&call.metadata, self.member.is_learner())?;
        let Session { inner, lease, prefix, key } = Session::begin(self, call, &name, lease).await?;
        let txn = TxnRequest {
            compare: vec![is_created_at(&key, 0)],
            success: vec![putting(&key, Bytes::new(), lease), reading(oldest(&prefix))],
            failure: vec![reading(one(&key)), reading(oldest(&prefix))],
        };
        let done = inner.txn(txn).await?;
        let created = match done.succeeded {
            true => done.header.map_or(0, |header| header.revision),
            false => found(&done, 0).map_or(0, |own| own.create_revision),
        };
        if found(&done, 1).is_none_or(|owner| owner.create_revision == created) {
            return Ok(encode(&LockResponse { header: done.header, key }));
        }
        if let Err(failure) = inner.wait_for_deletions(&prefix, created - 1).await {
            let _ = inner.perform(Request::DeleteRange(delete(&key))).await;
            return Err(failure);
        }
        let own = inner.get(one(&key)).await?;
        match own.kvs.is_empty() {
            true => Err(failed("mutex: session is expired")),
            false => Ok(encode(&LockResponse { header: own.header, key })),
        }
    }

    pub(super) async fn unlock(&self, call: &Call, bytes: Bytes) -> Result<Bytes, Failure> {
        let UnlockRequest { key } = decode(bytes)?;
        self.intercept(&call.metadata, self.member.is_learner())?;
        match Inner::new(self, call).perform(Request::DeleteRange(delete(&key))).await? {
            Response::DeleteRange(deleted) => Ok(encode(&UnlockResponse { header: deleted.header })),
            other => unreachable!("the response to a deletion: {other:?}"),
        }
    }
}

fn delete(key: &Bytes) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() }
}
