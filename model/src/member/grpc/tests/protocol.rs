//! What holds of all calls.

use bytes::Bytes;

use super::harness::{script, script_with};
use crate::api::health::{HealthCheckRequest, HealthCheckResponse};
use crate::api::{RangeRequest, RangeResponse, WatchCreateRequest};
use crate::error::{Code, Error};
use crate::grpc::Status;

#[test]
fn what_there_is_not_and_what_cannot_be_read_end_as_in_grpc() {
    script(1, async |caller| {
        let mut call = caller.open(1, "/etcdserverpb.KV/Get").await;
        let text = "unknown method Get for service etcdserverpb.KV";
        assert_eq!(call.error().await, Status::new(Code::Unimplemented, text));

        let mut call = caller.open(1, "KV/Range").await;
        call.send_bytes(Bytes::from_static(&[0xff]));
        let status = call.error().await;
        assert_eq!(status.code, Some(Code::Internal));
        assert!(status.message.starts_with("grpc: error unmarshalling request: "), "{status}");

        let mut call = caller.open(1, "Lease/LeaseKeepAlive").await;
        call.send_bytes(Bytes::from_static(&[0xff]));
        let status = call.error().await;
        assert!(status.message.starts_with("grpc: failed to unmarshal the received message: "), "{status}");

        let mut call = caller.open(1, "KV/Range").await;
        call.half_close();
        assert_eq!(call.error().await, Status::new(Code::Unknown, "EOF"));
    });
}

#[test]
fn a_message_that_is_too_large_is_not_looked_at() {
    script_with(
        1,
        |options| options.request_bytes_max = 8 << 10,
        async |caller| {
            let mut call = caller.open(1, "KV/Put").await;
            call.send_bytes(vec![0xff; 600 << 10].into());
            let text = "grpc: received message larger than max (614400 vs. 532480)";
            assert_eq!(call.error().await, Status::new(Code::ResourceExhausted, text));
        },
    );
}

#[test]
fn the_metadata_is_looked_at_before_the_request_is() {
    script(1, async |mut caller| {
        caller.metadata.client_api_version = Some(Bytes::from_static(&[0xff]));
        let refused: Result<RangeResponse, _> = caller.call(1, "KV/Range", &RangeRequest::default()).await;
        assert_eq!(refused, Err(Error::InvalidClientApiVersion.into()));
        caller.metadata.client_api_version = Some("3.5".into());
        caller.metadata.require_leader = true;
        let read = RangeRequest { key: "a".into(), ..RangeRequest::default() };
        let found: RangeResponse = caller.call(1, "KV/Range", &read).await.unwrap();
        assert_eq!(found.count, 0);
    });
}

#[test]
fn who_wants_a_leader_is_told_that_there_is_none() {
    script(3, async |mut caller| {
        caller.metadata.require_leader = true;
        let mut stream = caller.open(1, "Watch/Watch").await;
        super::watch::create(&stream, WatchCreateRequest { key: "a".into(), ..Default::default() });
        assert!(super::watch::next(&mut stream).await.created);
        for other in [2, 3] {
            caller.world().stop_process(vertebra_sim::NodeId::Member(other));
        }
        assert_eq!(stream.error().await, Error::NoLeader.into());
        let refused: Result<RangeResponse, _> = caller.call(1, "KV/Range", &RangeRequest::default()).await;
        assert_eq!(refused, Err(Error::NoLeader.into()));
        for other in [2, 3] {
            caller.world().start_process(vertebra_sim::NodeId::Member(other));
        }
    });
}

#[test]
fn health_is_told_of_the_server_and_of_nothing_in_it() {
    script(1, async |caller| {
        let path = "/grpc.health.v1.Health/Check";
        let request = HealthCheckRequest::default();
        let health: HealthCheckResponse = caller.call(1, path, &request).await.unwrap();
        assert_eq!(health.status, 1);
        let request = HealthCheckRequest { service: "etcdserverpb.KV".to_owned() };
        let refused: Result<HealthCheckResponse, _> = caller.call(1, path, &request).await;
        assert_eq!(refused, Err(Status::new(Code::NotFound, "unknown service")));
    });
}
