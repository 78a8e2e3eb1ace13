use prost::Message;
use sha2::{Digest, Sha256};

use super::harness::{Caller, script};
use super::kv::put;
use crate::api::alarm_request::AlarmAction;
use crate::api::downgrade_request::DowngradeAction;
use crate::api::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse,
    MoveLeaderRequest, MoveLeaderResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};
use crate::error::Error;
use crate::grpc::Status;

pub(super) async fn alarm(
    caller: &Caller,
    action: AlarmAction,
    member_id: u64,
    alarm: AlarmType,
) -> Vec<AlarmMember> {
    let request = AlarmRequest { action: action.into(), member_id, alarm: alarm.into() };
    let response: AlarmResponse = caller.call(1, "Maintenance/Alarm", &request).await.unwrap();
    assert_ne!(response.header.unwrap().cluster_id, 0);
    response.alarms
}

pub(super) async fn status(caller: &Caller, member: u16) -> StatusResponse {
    caller.call(member, "Maintenance/Status", &StatusRequest {}).await.unwrap()
}

#[test]
fn members_tell_their_status_and_the_same_hashes() {
    script(3, async |caller| {
        put(&caller, "a", "1").await;
        let (mut hashes, mut kv_hashes) = (Vec::new(), Vec::new());
        for member in 1..=3 {
            let read = RangeRequest { key: "a".into(), ..RangeRequest::default() };
            let _: RangeResponse = caller.call(member, "KV/Range", &read).await.unwrap();
            let status = status(&caller, member).await;
            assert_eq!(status.version, crate::served::VERSION);
            assert!(status.leader > 0 && status.raft_index >= status.raft_applied_index);
            assert!(status.db_size >= status.db_size_in_use && status.db_size_in_use > 0);
            assert_eq!(status.header.unwrap().revision, 2);
            let hash: HashKvResponse =
                caller.call(member, "Maintenance/HashKV", &HashKvRequest::default()).await.unwrap();
            kv_hashes.push((hash.hash, hash.compact_revision));
            let hash: HashResponse = caller.call(member, "Maintenance/Hash", &HashRequest {}).await.unwrap();
            hashes.push(hash.hash);
            let _: DefragmentResponse =
                caller.call(member, "Maintenance/Defragment", &DefragmentRequest {}).await.unwrap();
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        assert!(kv_hashes.iter().all(|hash| *hash == kv_hashes[0]), "{kv_hashes:?}");
    });
}

#[test]
fn a_snapshot_comes_in_parts_with_its_checksum_behind_it() {
    script(1, async |caller| {
        let value = vec![7; 100_000];
        let request = PutRequest { key: "a".into(), value: value.into(), ..PutRequest::default() };
        let _: PutResponse = caller.call(1, "KV/Put", &request).await.unwrap();
        let mut stream = caller.open(1, "Maintenance/Snapshot").await;
        stream.send(&SnapshotRequest {});
        let (mut blobs, mut remaining) = (Vec::new(), Vec::new());
        while let Ok(bytes) = stream.receive().await {
            stream.consume(bytes.len() as u64);
            let part = SnapshotResponse::decode(bytes).unwrap();
            remaining.push(part.remaining_bytes);
            blobs.push(part.blob);
        }
        let checksum = blobs.pop().unwrap();
        let database = blobs.concat();
        assert_eq!(checksum[..], Sha256::digest(&database)[..]);
        assert_eq!(remaining[0] + (32 << 10), database.len() as u64);
        // bbolt's magic number, in both of its meta pages.
        assert!([0, 4_096].iter().all(|page| database[page + 16..page + 20] == [0xed, 0xda, 0x0c, 0xed]));
        assert!(database.windows(100_000).any(|part| part == [7; 100_000]));
    });
}

#[test]
fn the_leader_is_moved_by_itself_alone() {
    script(3, async |caller| {
        let leader = status(&caller, 1).await.leader;
        let other = leader % 3 + 1;
        let request = MoveLeaderRequest { target_id: other };
        let refused: Result<MoveLeaderResponse, _> =
            caller.call(other as u16, "Maintenance/MoveLeader", &request).await;
        assert_eq!(refused, Err(Error::NotLeader.into()));
        let nobody = MoveLeaderRequest { target_id: 9 };
        let refused: Result<MoveLeaderResponse, _> =
            caller.call(leader as u16, "Maintenance/MoveLeader", &nobody).await;
        assert_eq!(refused, Err(Error::BadLeaderTransferee.into()));
        let _: MoveLeaderResponse =
            caller.call(leader as u16, "Maintenance/MoveLeader", &request).await.unwrap();
        assert_eq!(status(&caller, other as u16).await.leader, other);
    });
}

#[test]
fn alarms_are_raised_and_taken_back_and_forbid_what_they_are_about_meanwhile() {
    script(3, async |caller| {
        let raised = |kind: AlarmType| AlarmMember { member_id: 2, alarm: kind.into() };
        for (kind, error) in [(AlarmType::Nospace, Error::NoSpace), (AlarmType::Corrupt, Error::Corrupt)] {
            assert_eq!(alarm(&caller, AlarmAction::Activate, 2, kind).await, [raised(kind)]);
            assert_eq!(alarm(&caller, AlarmAction::Activate, 2, kind).await, []);
            assert_eq!(alarm(&caller, AlarmAction::Get, 0, AlarmType::None).await, [raised(kind)]);
            let words = format!("memberID:2 alarm:{} ", kind.as_str_name());
            assert_eq!(status(&caller, 1).await.errors, [words]);
            let request = PutRequest { key: "a".into(), ..PutRequest::default() };
            let refused: Result<PutResponse, _> = caller.call(3, "KV/Put", &request).await;
            assert_eq!(refused, Err(Status::from(error)));
            assert_eq!(alarm(&caller, AlarmAction::Deactivate, 2, kind).await, [raised(kind)]);
            assert_eq!(alarm(&caller, AlarmAction::Get, 0, kind).await, []);
            put(&caller, "a", "1").await;
        }
    });
}

#[test]
fn an_alarm_is_told_without_what_is_zero() {
    script(1, async |caller| {
        alarm(&caller, AlarmAction::Activate, 0, AlarmType::Nospace).await;
        assert_eq!(status(&caller, 1).await.errors, ["alarm:NOSPACE "]);
    });
}

#[test]
fn a_cluster_goes_down_by_one_version_or_says_why_not() {
    async fn downgrade(caller: &Caller, action: DowngradeAction, version: &str) -> Result<String, Status> {
        let request = DowngradeRequest { action: action.into(), version: version.to_owned() };
        let answer: Result<DowngradeResponse, _> = caller.call(2, "Maintenance/Downgrade", &request).await;
        answer.map(|response| response.version)
    }
    script(3, async |caller| {
        let (validate, enable, cancel) =
            (DowngradeAction::Validate, DowngradeAction::Enable, DowngradeAction::Cancel);
        let refused = |error: Error| Err(Status::from(error));
        let format = refused(Error::WrongDowngradeVersionFormat);
        assert_eq!(downgrade(&caller, validate, "three").await, format);
        let target = refused(Error::InvalidDowngradeTargetVersion);
        assert_eq!(downgrade(&caller, validate, "3.3").await, target);
        assert_eq!(downgrade(&caller, cancel, "").await, refused(Error::NoInflightDowngrade));
        assert_eq!(downgrade(&caller, validate, "3.4").await, Ok("3.5.0".to_owned()));
        assert_eq!(downgrade(&caller, enable, "3.4.0").await, Ok("3.5.0".to_owned()));
        assert_eq!(downgrade(&caller, enable, "3.4").await, refused(Error::DowngradeInProcess));
        assert_eq!(downgrade(&caller, cancel, "").await, Ok("3.5.0".to_owned()));
    });
}
