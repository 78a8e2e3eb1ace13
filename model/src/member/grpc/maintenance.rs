//! The Maintenance service. Who may ask for what is as in etcd.

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use super::bolt;
use super::call::{Call, Received, decode, decode_of_stream};
use super::methods::Method;
use super::{Failure, Server};
use crate::api::alarm_request::AlarmAction;
use crate::api::{
    AlarmMember, AlarmRequest, AlarmType, DefragmentRequest, DefragmentResponse, HashKvRequest,
    HashKvResponse, HashRequest, HashResponse, InternalRaftRequest, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};
use crate::backend::Bucket;
use crate::error::Error;
use crate::grpc::encode_response;
use crate::member::consistent_index;

/// The release of etcd whose API and behaviour the members have.
pub const VERSION: &str = "3.5.33";

/// Bytes of a snapshot that go into one message. As in etcd.
const BLOB_BYTES: usize = 32 << 10;

impl Server {
    /// Answers a unary call.
    pub(super) async fn maintenance(
        &self,
        method: Method,
        call: &Call,
        message: Received,
    ) -> Result<Bytes, Failure> {
        let serves_learners = method == Method::Status;
        let intercept = || self.intercept(&call.metadata, self.member.is_learner() && !serves_learners);
        let (bytes, token) = (message.bytes, call.token.as_ref());
        Ok(match method {
            Method::Alarm => {
                let request: AlarmRequest = decode(bytes)?;
                intercept()?;
                match request.action() {
                    AlarmAction::Get => _ = self.member.require_caller(token).await?,
                    _ => self.member.require_root(token).await?,
                }
                let request = InternalRaftRequest { alarm: Some(request), ..Default::default() };
                let mut response = self.member.propose(&call.origin(None), request).await?;
                self.member.complete_header(&mut response);
                encode_response(&response)
            }
            Method::Status => {
                let StatusRequest {} = decode(bytes)?;
                intercept()?;
                self.member.require_caller(token).await?;
                encode(&self.status())
            }
            Method::Defragment => {
                let DefragmentRequest {} = decode(bytes)?;
                intercept()?;
                self.member.require_root(token).await?;
                self.member.defragment().await?;
                encode(&DefragmentResponse::default())
            }
            Method::Hash => {
                let HashRequest {} = decode(bytes)?;
                intercept()?;
                self.member.require_root(token).await?;
                let hash = self.hash().await;
                encode(&HashResponse { header: self.header(), hash })
            }
            Method::HashKv => {
                let HashKvRequest { revision } = decode(bytes)?;
                intercept()?;
                self.member.require_root(token).await?;
                let (hash, _) = self.member.hash_kv(revision)?;
                encode(&HashKvResponse {
                    header: self.header(),
                    hash: hash.hash,
                    compact_revision: hash.compact_revision,
                    // Since 3.6.
                    hash_revision: hash.revision,
                })
            }
            Method::MoveLeader => {
                let MoveLeaderRequest { target_id } = decode(bytes)?;
                intercept()?;
                self.member.require_root(token).await?;
                self.member.move_leader(target_id).await?;
                encode(&MoveLeaderResponse::default())
            }
            _ => self.downgrade(call, bytes).await?,
        })
    }

    fn status(&self) -> StatusResponse {
        let member = &self.member;
        let (status, backend) = (member.status.get(), member.kv.backend());
        let mut errors = Vec::new();
        if status.leader == 0 {
            errors.push(Error::NoLeader.to_string());
        }
        errors.extend(member.kv.alarms().of_kind(AlarmType::None.into()).iter().map(in_words));
        StatusResponse {
            header: self.header(),
            version: VERSION.to_owned(),
            db_size: backend.size() as i64,
            leader: status.leader,
            raft_index: status.commit,
            raft_term: status.term,
            raft_applied_index: member.applied.get(),
            errors,
            db_size_in_use: backend.size_in_use() as i64,
            is_learner: member.is_learner(),
            ..StatusResponse::default()
        }
    }

    /// A checksum of the whole backend, but for what differs between members that have applied the same.
    async fn hash(&self) -> u32 {
        if let Err(error) = self.member.kv.commit().await {
            self.member.node.exit(&error.to_string()).await;
        }
        self.member.kv.backend().hash(|bucket, key| bucket == Bucket::Meta && consistent_index::is_of_it(key))
    }

    /// Sends the database part by part, and behind it its checksum.
    pub(super) async fn snapshot(&self, call: &Call) -> Result<(), Failure> {
        let SnapshotRequest {} = decode_of_stream(call.receive_only().await?.bytes)?;
        self.member.require_root(call.token.as_ref()).await?;
        // That commits, and holds back whom it must. What is sent is what bbolt's file would be.
        self.member.save_snapshot().await;
        let database = bolt::file(&self.member.kv.backend().read());
        let mut left = database.clone();
        while !left.is_empty() {
            let blob = left.split_to(left.len().min(BLOB_BYTES));
            let remaining_bytes = left.len() as u64;
            call.send(encode(&SnapshotResponse { remaining_bytes, blob, ..Default::default() })).await?;
        }
        let blob = Bytes::copy_from_slice(&Sha256::digest(&database));
        call.send(encode(&SnapshotResponse { blob, ..Default::default() })).await
    }
}

/// As protobuf prints it, which is how etcd tells of alarms in a status: without fields that are zero.
fn in_words(alarm: &AlarmMember) -> String {
    let mut words = String::new();
    if alarm.member_id != 0 {
        words += &format!("memberID:{} ", alarm.member_id);
    }
    match AlarmType::try_from(alarm.alarm) {
        Ok(AlarmType::None) => {}
        Ok(kind) => words += &format!("alarm:{} ", kind.as_str_name()),
        Err(_) => words += &format!("alarm:{} ", alarm.alarm),
    }
    words
}

/// A message as bytes.
pub(super) fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
