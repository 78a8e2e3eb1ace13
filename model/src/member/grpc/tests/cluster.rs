use std::time::Duration;

use super::harness::{Caller, script, script_with};
use super::kv::put;
use super::maintenance::status;
use crate::api::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest,
    MemberUpdateResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, SnapshotRequest,
    SnapshotResponse,
};
use crate::error::Error;
use crate::grpc::Status;

async fn list(caller: &Caller, member: u16) -> Vec<Member> {
    let request = MemberListRequest { linearizable: true };
    let list: MemberListResponse = caller.call(member, "Cluster/MemberList", &request).await.unwrap();
    assert_eq!(list.header.unwrap().revision, 0);
    list.members
}

async fn add(caller: &Caller, url: &str, is_learner: bool) -> Result<MemberAddResponse, Status> {
    let request = MemberAddRequest { peer_ur_ls: vec![url.to_owned()], is_learner };
    caller.call(1, "Cluster/MemberAdd", &request).await
}

#[test]
fn members_have_names_and_urls() {
    script(3, async |caller| {
        let members = list(&caller, 2).await;
        let expected = |number: u64| Member {
            id: number,
            name: format!("m{number}"),
            peer_ur_ls: vec![format!("http://m{number}:2380")],
            client_ur_ls: vec![format!("http://m{number}:2379")],
            is_learner: false,
        };
        assert_eq!(members, [expected(1), expected(2), expected(3)]);
    });
}

#[test]
fn a_member_whose_urls_nobody_knows_is_added_updated_and_removed_and_never_starts() {
    script(3, async |caller| {
        assert_eq!(add(&caller, "10.0.0.9:2380", true).await, Err(Error::MemberBadUrls.into()));
        assert_eq!(add(&caller, "http://m2:2380", true).await, Err(Error::PeerUrlExist.into()));
        let url = "http://10.0.0.9:2380";
        let added = add(&caller, url, true).await.unwrap();
        let id = added.member.unwrap().id;
        assert_eq!(added.members.len(), 4);
        let new = list(&caller, 3).await.into_iter().find(|member| member.id == id).unwrap();
        assert_eq!((&new.name[..], &new.peer_ur_ls[..], new.is_learner), ("", &[url.to_owned()][..], true));
        assert_eq!(add(&caller, url, true).await, Err(Error::PeerUrlExist.into()));
        assert_eq!(
            add(&caller, "http://10.0.0.8:2380", true).await.map(|_| ()),
            Err(Error::TooManyLearners.into())
        );
        put(&caller, "a", "1").await;
        for member in 1..=3 {
            let request = MemberPromoteRequest { id };
            let refused: Result<MemberPromoteResponse, _> =
                caller.call(member, "Cluster/MemberPromote", &request).await;
            assert_eq!(refused, Err(Error::LearnerNotReady.into()));
        }
        let urls = vec!["http://10.0.0.9:2381".to_owned()];
        let update = MemberUpdateRequest { id, peer_ur_ls: urls.clone() };
        let updated: MemberUpdateResponse = caller.call(2, "Cluster/MemberUpdate", &update).await.unwrap();
        assert_eq!(updated.members.iter().find(|member| member.id == id).unwrap().peer_ur_ls, urls);
        let remove = MemberRemoveRequest { id };
        let removed: MemberRemoveResponse = caller.call(3, "Cluster/MemberRemove", &remove).await.unwrap();
        assert_eq!(removed.members.len(), 3);
        let again: Result<MemberRemoveResponse, _> = caller.call(3, "Cluster/MemberRemove", &remove).await;
        assert_eq!(again, Err(Error::MemberNotFound.into()));
        caller.sleep(Duration::from_secs(1)).await;
        put(&caller, "a", "2").await;
    });
}

#[test]
fn a_member_whose_url_names_a_machine_is_started_there_learns_and_is_promoted_by_whoever_is_asked() {
    script_with(
        3,
        |options| options.spares = 1,
        async |caller| {
            put(&caller, "a", "1").await;
            let id = add(&caller, "http://m4:2380", true).await.unwrap().member.unwrap().id;
            let is_started = |members: &[Member]| members.iter().any(|member| member.name == "m4");
            while !is_started(&list(&caller, 1).await) {
                caller.sleep(Duration::from_secs(1)).await;
            }
            assert!(status(&caller, 4).await.is_learner);
            let read = |serializable| RangeRequest { key: "a".into(), serializable, ..Default::default() };
            let found: RangeResponse = caller.call(4, "KV/Range", &read(true)).await.unwrap();
            assert_eq!(found.count, 1);
            let refused = Err(Status::from(Error::NotSupportedForLearner));
            let answer: Result<RangeResponse, _> = caller.call(4, "KV/Range", &read(false)).await;
            assert_eq!(answer.map(|_| ()), refused);
            let request = PutRequest { key: "a".into(), ..PutRequest::default() };
            let answer: Result<PutResponse, _> = caller.call(4, "KV/Put", &request).await;
            assert_eq!(answer.map(|_| ()), refused);
            let request = MemberListRequest::default();
            let answer: Result<MemberListResponse, _> = caller.call(4, "Cluster/MemberList", &request).await;
            assert_eq!(answer.map(|_| ()), refused);
            assert_eq!(Err(caller.open(4, "Watch/Watch").await.error().await), refused);
            let mut snapshot = caller.open(4, "Maintenance/Snapshot").await;
            snapshot.send(&SnapshotRequest {});
            assert!(!snapshot.next::<SnapshotResponse>().await.unwrap().blob.is_empty());
            let leader = status(&caller, 1).await.leader;
            let other = (leader % 3 + 1) as u16;
            let request = MemberPromoteRequest { id };
            let promoted: MemberPromoteResponse =
                caller.call(other, "Cluster/MemberPromote", &request).await.unwrap();
            assert!(promoted.members.iter().all(|member| !member.is_learner));
            let again: Result<MemberPromoteResponse, _> =
                caller.call(other, "Cluster/MemberPromote", &request).await;
            assert_eq!(again, Err(Error::MemberNotLearner.into()));
            let _: RangeResponse = caller.call(4, "KV/Range", &read(false)).await.unwrap();
        },
    );
}
