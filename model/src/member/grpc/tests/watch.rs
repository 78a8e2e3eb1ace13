use std::time::Duration;

use prost::Message;
use vertebra_sim::before;

use super::harness::{Open, script, script_with};
use super::kv::put;
use crate::api::watch_request::RequestUnion;
use crate::api::{WatchCancelRequest, WatchCreateRequest, WatchRequest, WatchResponse};

pub(super) fn create(stream: &Open, request: WatchCreateRequest) {
    stream.send(&WatchRequest { request_union: Some(RequestUnion::CreateRequest(request)) });
}

pub(super) async fn next(stream: &mut Open) -> WatchResponse {
    stream.next().await.unwrap()
}

#[test]
fn a_watch_is_created_told_of_changes_and_cancelled_also_when_its_caller_has_no_more_to_ask() {
    script(3, async |caller| {
        let mut stream = caller.open(2, "Watch/Watch").await;
        create(&stream, WatchCreateRequest { key: "a".into(), watch_id: 5, ..Default::default() });
        let created = next(&mut stream).await;
        assert_eq!((created.watch_id, created.created, created.canceled), (5, true, false));
        create(&stream, WatchCreateRequest { key: "b".into(), range_end: "a".into(), ..Default::default() });
        assert_eq!(next(&mut stream).await.cancel_reason, "mvcc: watcher range is empty");
        put(&caller, "a", "1").await;
        let told = next(&mut stream).await;
        assert_eq!((told.watch_id, told.events.len()), (5, 1));
        let cancel = WatchCancelRequest { watch_id: 5 };
        stream.send(&WatchRequest { request_union: Some(RequestUnion::CancelRequest(cancel)) });
        assert!(next(&mut stream).await.canceled);
        create(&stream, WatchCreateRequest { key: "b".into(), ..Default::default() });
        assert!(next(&mut stream).await.created);
        stream.half_close();
        put(&caller, "b", "1").await;
        assert_eq!(next(&mut stream).await.events.len(), 1);
    });
}

#[test]
fn a_stream_whose_caller_takes_nothing_waits_and_one_that_is_cancelled_says_nothing_more() {
    script_with(
        1,
        |options| options.watch.window_bytes = 256,
        async |caller| {
            let mut stream = caller.open(1, "Watch/Watch").await;
            create(&stream, WatchCreateRequest { key: "a".into(), ..Default::default() });
            let mut bytes = next(&mut stream).await.encoded_len() as u64;
            let mut told = 0;
            for _ in 0..40 {
                put(&caller, "a", "1").await;
            }
            let second = Duration::from_secs(1);
            while let Some(response) = before(caller.sleeping(second), next(&mut stream)).await {
                told += response.events.len();
                bytes += response.encoded_len() as u64;
            }
            assert!(told < 40, "{told} events in {bytes} bytes");
            stream.consume(bytes + 10_000);
            while told < 40 {
                told += next(&mut stream).await.events.len();
            }
            stream.cancel();
            put(&caller, "a", "1").await;
            assert!(before(caller.sleeping(second), stream.receive()).await.is_none());
        },
    );
}
