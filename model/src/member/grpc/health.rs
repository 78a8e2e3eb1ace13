//! gRPC's own service of health. A member that serves at all says that it does.

use bytes::Bytes;
use prost::Message;

use super::call::{Call, Received, decode, decode_of_stream};
use super::{Failure, Server};
use crate::api::health::health_check_response::ServingStatus;
use crate::api::health::{HealthCheckRequest, HealthCheckResponse};
use crate::error::Code;
use crate::grpc::Status;

impl Server {
    pub(super) fn health_check(&self, call: &Call, message: Received) -> Result<Bytes, Failure> {
        let request: HealthCheckRequest = decode(message.bytes)?;
        self.intercept(&call.metadata, self.member.is_learner())?;
        match status_of(&request.service) {
            ServingStatus::ServiceUnknown => Err(Status::new(Code::NotFound, "unknown service").into()),
            status => Ok(encode(status)),
        }
    }

    /// Tells the status, which never changes: no call survives what would change it.
    pub(super) async fn health_watch(&self, call: &Call) -> Result<(), Failure> {
        let request: HealthCheckRequest = decode_of_stream(call.receive_only().await?.bytes)?;
        call.send(encode(status_of(&request.service))).await?;
        call.cancelled().await;
        Err(Failure::Over)
    }
}

/// As in etcd, where nothing is said of single services.
fn status_of(service: &str) -> ServingStatus {
    if service.is_empty() { ServingStatus::Serving } else { ServingStatus::ServiceUnknown }
}

fn encode(status: ServingStatus) -> Bytes {
    HealthCheckResponse { status: status.into() }.encode_to_vec().into()
}
