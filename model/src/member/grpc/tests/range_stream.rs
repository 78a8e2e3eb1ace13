use prost::Message;

use super::harness::{Caller, script};
use super::kv::put;
use crate::api::range_request::SortOrder;
use crate::api::{PutRequest, PutResponse, RangeRequest, RangeResponse, RangeStreamResponse};
use crate::error::{Code, Error};
use crate::grpc::Status;

async fn read(caller: &Caller, read: RangeRequest) -> Result<Vec<RangeResponse>, Status> {
    let mut stream = caller.open(1, "KV/RangeStream").await;
    stream.send(&read);
    stream.half_close();
    let mut parts = Vec::new();
    loop {
        match stream.receive().await {
            Ok(bytes) => {
                stream.consume(bytes.len() as u64);
                parts.push(RangeStreamResponse::decode(bytes).unwrap().range_response.unwrap());
            }
            Err(None) => return Ok(parts),
            Err(Some(status)) => return Err(status),
        }
    }
}

#[test]
fn an_answer_comes_in_parts_that_are_of_one_revision_and_the_last_of_which_tells_of_all() {
    script(1, async |caller| {
        for number in 0..75 {
            let key = format!("key {number:02}").into_bytes();
            let request = PutRequest { key: key.into(), ..PutRequest::default() };
            let _: PutResponse = caller.call(1, "KV/Put", &request).await.unwrap();
        }
        let all = RangeRequest { key: "k".into(), range_end: "l".into(), ..RangeRequest::default() };
        let parts = read(&caller, all.clone()).await.unwrap();
        let sizes: Vec<_> = parts.iter().map(|part| part.kvs.len()).collect();
        assert_eq!(sizes, [10, 20, 40, 5]);
        assert!(parts[..3].iter().all(|part| part.header.is_none() && part.count == 0));
        let last = &parts[3];
        assert_eq!((last.count, last.more, last.header.unwrap().revision), (75, false, 76));
        let some = read(&caller, RangeRequest { limit: 12, ..all.clone() }).await.unwrap();
        assert_eq!(some.iter().map(|part| part.kvs.len()).collect::<Vec<_>>(), [10, 2]);
        assert_eq!((some[1].count, some[1].more), (75, true));
        let count = read(&caller, RangeRequest { count_only: true, ..all }).await.unwrap();
        assert_eq!((count.len(), count[0].count), (1, 75));
    });
}

#[test]
fn what_does_not_go_in_parts_is_refused() {
    script(1, async |caller| {
        put(&caller, "a", "1").await;
        let one = RangeRequest { key: "a".into(), ..RangeRequest::default() };
        let sorted = RangeRequest { sort_order: SortOrder::Descend.into(), ..one.clone() };
        let text = "RangeStream does not support custom sort orders";
        assert_eq!(read(&caller, sorted).await, Err(Status::new(Code::Unimplemented, text)));
        let filtered = RangeRequest { min_mod_revision: 1, ..one.clone() };
        let text = "RangeStream does not support revision filters";
        assert_eq!(read(&caller, filtered).await, Err(Status::new(Code::Unimplemented, text)));
        assert_eq!(read(&caller, RangeRequest::default()).await, Err(Error::EmptyKey.into()));
        let future = RangeRequest { revision: 9, ..one };
        assert_eq!(read(&caller, future).await, Err(Error::FutureRevision.into()));
    });
}
