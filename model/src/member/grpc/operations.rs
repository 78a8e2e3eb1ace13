//! The calls that a history knows: KV, Lease and Auth.

use bytes::Bytes;

use super::call::{Call, Received, decode_of_stream, undecodable};
use super::{Failure, Server};
use crate::api::LeaseKeepAliveRequest;
use crate::grpc::{decode_request, encode_response};
use crate::history::Request;
use crate::member::server;

impl Server {
    /// Performs the operation that a unary call is, as for a client of the member's own.
    pub(super) async fn operation(&self, call: &Call, message: Received) -> Result<Bytes, Failure> {
        let Some(Ok(request)) = decode_request(&call.path, message.bytes) else {
            return Err(undecodable().into());
        };
        let serializable = matches!(&request, Request::Range(read) if read.serializable);
        self.intercept(&call.metadata, self.member.is_learner() && !serializable)?;
        let origin = call.origin(message.operation);
        let response = server::execute(&self.member, &origin, request).await?;
        Ok(encode_response(&response))
    }

    /// Keeps leases alive, one after the other as the caller names them.
    pub(super) async fn keep_alive(&self, call: &Call) -> Result<(), Failure> {
        while let Some(Received { bytes, operation }) = call.receive().await? {
            let request: LeaseKeepAliveRequest = decode_of_stream(bytes)?;
            let origin = call.origin(operation);
            let response = server::execute(&self.member, &origin, Request::LeaseKeepAlive(request)).await?;
            call.send(encode_response(&response)).await?;
        }
        Ok(())
    }
}
