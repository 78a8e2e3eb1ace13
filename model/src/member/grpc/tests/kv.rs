use super::harness::{Caller, script};
use crate::api::{
    CompactionRequest, CompactionResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
};
use crate::error::Error;
use crate::grpc::Status;

pub(super) async fn put(caller: &Caller, key: &'static str, value: &'static str) -> PutResponse {
    let request = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
    caller.call(1, "KV/Put", &request).await.unwrap()
}

#[test]
fn what_one_member_was_told_another_answers() {
    script(3, async |caller| {
        let first = put(&caller, "a", "1").await.header.unwrap();
        assert_eq!((first.revision, first.member_id), (2, 1));
        for member in 1..=3 {
            let read = RangeRequest { key: "a".into(), ..RangeRequest::default() };
            let found: RangeResponse = caller.call(member, "KV/Range", &read).await.unwrap();
            assert_eq!((found.count, &found.kvs[0].value[..]), (1, &b"1"[..]));
            let header = found.header.unwrap();
            assert_eq!((header.member_id, header.cluster_id), (member.into(), first.cluster_id));
        }
    });
}

#[test]
fn what_is_refused_has_the_status_of_its_error() {
    script(1, async |caller| {
        let refused: Result<RangeResponse, _> = caller.call(1, "KV/Range", &RangeRequest::default()).await;
        assert_eq!(refused, Err(Status::from(Error::EmptyKey)));
        let compaction = CompactionRequest { revision: 9, physical: false };
        let refused: Result<CompactionResponse, _> = caller.call(1, "KV/Compact", &compaction).await;
        assert_eq!(refused, Err(Status::from(Error::FutureRevision)));
    });
}
