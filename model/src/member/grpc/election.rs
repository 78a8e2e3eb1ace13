//! The Election service: who holds the lock leads, and its key has what it proclaims.

use bytes::Bytes;

use super::call::{Call, decode, decode_of_stream};
use super::inner::{
    Inner, Session, deleting, end_of, failed, found, is_created_at, is_deletion, oldest, one, prefix,
    putting, reading,
};
use super::maintenance::encode;
use super::methods::Method;
use super::{Failure, Server};
use crate::api::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use crate::api::{Event, KeyValue, ResponseHeader, TxnRequest};

impl Server {
    /// Answers when the caller leads.
    pub(super) async fn campaign(&self, call: &Call) -> Result<Bytes, Failure> {
        let CampaignRequest { name, lease, value } = decode(call.receive_only().await?.bytes)?;
        self.intercept(&call.metadata, self.member.is_learner())?;
        let Session { inner, lease, prefix, key } = Session::begin(self, call, &name, lease).await?;
        let txn = TxnRequest {
            compare: vec![is_created_at(&key, 0)],
            success: vec![putting(&key, value.clone(), lease)],
            failure: vec![reading(one(&key))],
        };
        let done = inner.txn(txn).await?;
        let mut leader = LeaderKey { name, key, lease, rev: done.header.map_or(0, |header| header.revision) };
        if !done.succeeded
            && let Some(own) = found(&done, 0)
        {
            leader.rev = own.create_revision;
            if own.value != value
                && let Err(failure) = proclaim(&inner, &leader, value).await
            {
                let _ = resign(&inner, &leader).await;
                return Err(failure);
            }
        }
        if let Err(failure) = inner.wait_for_deletions(&prefix, leader.rev - 1).await {
            if matches!(failure, Failure::Over) {
                let _ = resign(&inner, &leader).await;
            }
            return Err(failure);
        }
        Ok(encode(&CampaignResponse { header: done.header, leader: Some(leader) }))
    }

    /// Answers the other unary calls.
    pub(super) async fn election(&self, method: Method, call: &Call, bytes: Bytes) -> Result<Bytes, Failure> {
        let intercept = || self.intercept(&call.metadata, self.member.is_learner());
        let inner = Inner::new(self, call);
        let missing = || failed("\"leader\" field must be provided");
        Ok(match method {
            Method::Proclaim => {
                let ProclaimRequest { leader, value } = decode(bytes)?;
                intercept()?;
                let leader = leader.ok_or_else(missing)?;
                // A session needs a lease, and gets one if the leader's key names none.
                let leader = LeaderKey { lease: inner.lease(leader.lease).await?, ..leader };
                encode(&ProclaimResponse { header: proclaim(&inner, &leader, value).await? })
            }
            Method::Resign => {
                let ResignRequest { leader } = decode(bytes)?;
                intercept()?;
                let leader = leader.ok_or_else(missing)?;
                inner.lease(leader.lease).await?;
                encode(&ResignResponse { header: resign(&inner, &leader).await? })
            }
            _ => {
                let LeaderRequest { name } = decode(bytes)?;
                intercept()?;
                let found = inner.get(oldest(&prefix(&name))).await?;
                let kv = found.kvs.into_iter().next().ok_or_else(|| failed("election: no leader"))?;
                encode(&LeaderResponse { header: found.header, kv: Some(kv) })
            }
        })
    }

    /// Tells who leads and what they proclaim, one leader after the other.
    pub(super) async fn observe(&self, call: &Call) -> Result<(), Failure> {
        let LeaderRequest { name } = decode_of_stream(call.receive_only().await?.bytes)?;
        let (inner, prefix) = (Inner::new(self, call), prefix(&name));
        loop {
            let leader = self.next_leader(&inner, &prefix).await;
            // As in etcd, what goes wrong here ends the stream as if nothing had.
            let Some((header, kv)) = unless_failed(leader)? else { return Ok(()) };
            let (key, revision) = (kv.key.clone(), header.map_or(0, |header| header.revision));
            call.send(encode(&LeaderResponse { header, kv: Some(kv) })).await?;
            let watching = inner.watch(key, Bytes::new(), revision + 1).await;
            let mut leads = Ok(Some(true));
            while let Ok(Some(true)) = leads {
                leads = match inner.events(&watching).await {
                    Ok(events) => self.tell_proclaimed(call, events).await.map(Some),
                    Err(failure) => unless_failed(Err(failure)),
                };
            }
            inner.end(watching).await;
            if leads?.is_none() {
                return Ok(());
            }
        }
    }

    /// Tells what a leader proclaims; whether it still leads then.
    async fn tell_proclaimed(&self, call: &Call, events: Vec<Event>) -> Result<bool, Failure> {
        for event in events {
            if is_deletion(&event) {
                return Ok(false);
            }
            call.send(encode(&LeaderResponse { header: self.header(), kv: event.kv })).await?;
        }
        Ok(true)
    }

    /// Who leads, or else who will.
    async fn next_leader(
        &self,
        inner: &Inner<'_>,
        prefix: &Bytes,
    ) -> Result<(Option<ResponseHeader>, KeyValue), Failure> {
        let found = inner.get(oldest(prefix)).await?;
        if let Some(kv) = found.kvs.into_iter().next() {
            return Ok((found.header, kv));
        }
        let revision = found.header.map_or(0, |header| header.revision);
        let watching = inner.watch(prefix.clone(), end_of(prefix), revision).await;
        let first = loop {
            match inner.events(&watching).await {
                Ok(events) => {
                    let put = events.into_iter().find(|event| !is_deletion(event));
                    if let Some(kv) = put.and_then(|event| event.kv) {
                        let revision = kv.mod_revision;
                        break Ok((self.header().map(|header| ResponseHeader { revision, ..header }), kv));
                    }
                }
                Err(failure) => break Err(failure),
            }
        };
        inner.end(watching).await;
        first
    }
}

/// Nothing if something went wrong, but for the end of the call.
fn unless_failed<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Failure::Status(_)) => Ok(None),
        Err(Failure::Over) => Err(Failure::Over),
    }
}

async fn proclaim(
    inner: &Inner<'_>,
    leader: &LeaderKey,
    value: Bytes,
) -> Result<Option<ResponseHeader>, Failure> {
    let txn = TxnRequest {
        compare: vec![is_created_at(&leader.key, leader.rev)],
        success: vec![putting(&leader.key, value, leader.lease)],
        failure: Vec::new(),
    };
    let done = inner.txn(txn).await?;
    if done.succeeded { Ok(done.header) } else { Err(failed("election: not leader")) }
}

async fn resign(inner: &Inner<'_>, leader: &LeaderKey) -> Result<Option<ResponseHeader>, Failure> {
    let txn = TxnRequest {
        compare: vec![is_created_at(&leader.key, leader.rev)],
        success: vec![deleting(&leader.key)],
        failure: Vec::new(),
    };
    Ok(inner.txn(txn).await?.header)
}
