use super::harness::script_with;
use super::maintenance::{alarm, status};
use crate::api::alarm_request::AlarmAction;
use crate::api::{
    AlarmType, CompactionRequest, CompactionResponse, DefragmentRequest, DefragmentResponse,
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
};
use crate::error::Error;

#[test]
fn a_member_without_space_refuses_writes_until_it_has_some_and_the_alarm_is_taken_back() {
    script_with(
        3,
        |options| options.quota_backend_bytes = 400_000,
        async |caller| {
            let key = |number: u32| format!("key {number}").into_bytes();
            let put = |number| PutRequest {
                key: key(number).into(),
                value: vec![1; 10_000].into(),
                ..PutRequest::default()
            };
            let mut number = 0;
            loop {
                number += 1;
                let answer: Result<PutResponse, _> = caller.call(1, "KV/Put", &put(number)).await;
                match answer {
                    Ok(_) => assert!(number < 100),
                    Err(status) => break assert_eq!(status, Error::NoSpace.into()),
                }
            }
            let alarms = alarm(&caller, AlarmAction::Get, 0, AlarmType::Nospace).await;
            assert!(!alarms.is_empty());
            let read = RangeRequest { key: key(1).into(), ..RangeRequest::default() };
            let found: RangeResponse = caller.call(2, "KV/Range", &read).await.unwrap();
            assert_eq!(found.count, 1);
            let all = DeleteRangeRequest { key: "k".into(), range_end: "l".into(), prev_kv: false };
            let deleted: DeleteRangeResponse = caller.call(2, "KV/DeleteRange", &all).await.unwrap();
            let revision = deleted.header.unwrap().revision;
            let compaction = CompactionRequest { revision, physical: true };
            let _: CompactionResponse = caller.call(2, "KV/Compact", &compaction).await.unwrap();
            caller.sleep(std::time::Duration::from_secs(2)).await;
            for member in 1..=3 {
                let _: DefragmentResponse =
                    caller.call(member, "Maintenance/Defragment", &DefragmentRequest {}).await.unwrap();
                assert!(status(&caller, member).await.db_size < 300_000);
            }
            for raised in alarms {
                let action = AlarmAction::Deactivate;
                assert_eq!(alarm(&caller, action, raised.member_id, AlarmType::Nospace).await, [raised]);
            }
            let _: PutResponse = caller.call(3, "KV/Put", &put(1)).await.unwrap();
        },
    );
}
