//! Calls of gRPC.

use vertebra_model::api::{
    Event, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest, WatchResponse,
    mvccpb::event::EventType, watch_request,
};

use crate::client::{Client, block_on, framed};
use crate::server::Server;
use crate::support::folder;
use prost::Message;

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() }
}

fn range(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() }
}

#[test]
fn what_is_put_at_one_member_is_read_at_another_and_the_session_passes() {
    let server = Server::start(&folder("serve-put"), &[]);
    block_on(async {
        let (one, other) =
            (Client::connect(server.endpoints[0]).await, Client::connect(server.endpoints[2]).await);
        let put: PutResponse = one.call(PUT, &put("key", "value")).await.message();
        assert_eq!(put.header.expect("a header").revision, 2);
        let read: RangeResponse = other.call(RANGE, &range("key")).await.message();
        assert_eq!(read.kvs[0].value, "value");
    });
    let (code, verdict) = server.end();
    assert_eq!((code, verdict["verdict"].as_str()), (Some(0), Some("pass")), "{verdict}");
    assert_eq!(verdict["operations"], 2);
}

#[test]
fn a_watch_hears_of_changes_and_a_lease_takes_its_keys_with_it() {
    let server = Server::start(&folder("serve-watch"), &["--speed", "5"]);
    block_on(async {
        let client = Client::connect(server.endpoints[1]).await;
        let mut watch = client.stream("/etcdserverpb.Watch/Watch", &[("hasleader", "true")]).await;
        let create = WatchCreateRequest { key: "key".into(), ..WatchCreateRequest::default() };
        watch.send(&WatchRequest { request_union: Some(watch_request::RequestUnion::CreateRequest(create)) });
        let created = WatchResponse::decode(watch.next().await.expect("it is created")).expect("a response");
        assert!(created.created);

        let grant = LeaseGrantRequest { ttl: 2, id: 7 };
        let granted: LeaseGrantResponse =
            client.call("/etcdserverpb.Lease/LeaseGrant", &grant).await.message();
        assert_eq!(granted.id, 7);
        let mut keep = client.stream("/etcdserverpb.Lease/LeaseKeepAlive", &[]).await;
        keep.send(&LeaseKeepAliveRequest { id: 7 });
        let kept = LeaseKeepAliveResponse::decode(keep.next().await.expect("an answer")).expect("a response");
        assert_eq!(kept.ttl, 2);
        let put = PutRequest { lease: 7, ..put("key", "value") };
        let _: PutResponse = client.call(PUT, &put).await.message();

        let mut kinds = Vec::new();
        while kinds.len() < 2 {
            let told = WatchResponse::decode(watch.next().await.expect("a change")).expect("a response");
            kinds.extend(told.events.iter().map(Event::r#type));
        }
        assert_eq!(kinds, [EventType::Put, EventType::Delete]);
    });
    let (code, verdict) = server.end();
    assert_eq!(code, Some(0), "{verdict}");
}

#[test]
fn who_reads_slowly_holds_up_nobody_else_and_misses_nothing() {
    let server = Server::start(&folder("serve-slow"), &["--speed", "5"]);
    block_on(async {
        let client = Client::connect(server.endpoints[0]).await;
        let mut watch = client.stream("/etcdserverpb.Watch/Watch", &[]).await;
        let create = WatchCreateRequest { key: "key".into(), ..WatchCreateRequest::default() };
        watch.send(&WatchRequest { request_union: Some(watch_request::RequestUnion::CreateRequest(create)) });
        watch.next().await.expect("it is created");
        // Far more than all windows on the way hold.
        let other = Client::connect(server.endpoints[1]).await;
        let value = "x".repeat(50 << 10);
        for _ in 0..100 {
            let _: PutResponse = other.call(PUT, &put("key", &value)).await.message();
        }
        let mut revisions = Vec::new();
        while revisions.len() < 100 {
            let told = WatchResponse::decode(watch.next().await.expect("a change")).expect("a response");
            revisions.extend(told.events.iter().filter_map(|event| Some(event.kv.as_ref()?.mod_revision)));
        }
        assert!(revisions.into_iter().eq(2..102));
    });
    let (code, verdict) = server.end();
    assert_eq!(code, Some(0), "{verdict}");
}

#[test]
fn what_cannot_be_served_is_refused_in_the_words_of_grpc_go() {
    let server = Server::start(&folder("serve-refused"), &["--max-request-bytes", "8192"]);
    block_on(async {
        let client = Client::connect(server.endpoints[0]).await;
        let refused = client.call("/etcdserverpb.KV/Get", &range("key")).await;
        assert_eq!(
            (refused.status, &refused.text[..]),
            (12, "unknown method Get for service etcdserverpb.KV")
        );
        let refused = client.call("/no.Such/Get", &range("key")).await;
        assert_eq!((refused.status, &refused.text[..]), (12, "unknown service no.Such"));
        let refused = client.call(RANGE, &range("")).await;
        assert_eq!((refused.status, &refused.text[..]), (3, "etcdserver: key is not provided"));
        let refused = client.call(PUT, &put("key", &"x".repeat(600 << 10))).await;
        assert_eq!(refused.status, 8, "{}", refused.text);
        assert!(refused.text.starts_with("grpc: received message larger than max (614"), "{}", refused.text);
        let refused = client.call(PUT, &put("key", &"x".repeat(16 << 10))).await;
        assert_eq!((refused.status, &refused.text[..]), (3, "etcdserver: request is too large"));
        let torn = framed(&range("key").encode_to_vec());
        let refused = client.bytes(RANGE, &torn[..torn.len() - 1]).await;
        assert_eq!((refused.status, &refused.text[..]), (13, "unexpected EOF"));
        let mut late = client.stream("/etcdserverpb.Watch/Watch", &[("grpc-timeout", "50m")]).await;
        late.raw(b"", false);
        let late = late.rest().await;
        assert_eq!((late.status, &late.text[..]), (4, "context deadline exceeded"));
        let mut packed = client.stream(RANGE, &[("grpc-encoding", "gzip")]).await;
        packed.half_close();
        let packed = packed.rest().await;
        assert_eq!(packed.text, "grpc: Decompressor is not installed for grpc-encoding \"gzip\"");
    });
    assert_eq!(server.end().0, Some(0));
}
