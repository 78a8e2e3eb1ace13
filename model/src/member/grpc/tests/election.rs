use super::harness::{Caller, Open, script};
use super::lock::{grant, revoke};
use crate::api::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use crate::error::Code;
use crate::grpc::Status;

const CAMPAIGN: &str = "/v3electionpb.Election/Campaign";

fn campaign(lease: i64, value: &'static str) -> CampaignRequest {
    CampaignRequest { name: "e".into(), lease, value: value.into() }
}

async fn proclaim(caller: &Caller, leader: Option<LeaderKey>, value: &'static str) -> Result<(), Status> {
    let request = ProclaimRequest { leader, value: value.into() };
    let answer: Result<ProclaimResponse, _> =
        caller.call(2, "/v3electionpb.Election/Proclaim", &request).await;
    answer.map(|_| ())
}

async fn observed(stream: &mut Open) -> (Vec<u8>, Vec<u8>) {
    let told: LeaderResponse = stream.next().await.unwrap();
    let kv = told.kv.unwrap();
    (kv.key.into(), kv.value.into())
}

#[test]
fn leaders_follow_each_other_and_whoever_observes_is_told_what_they_proclaim() {
    script(3, async |caller| {
        grant(&caller, 1).await;
        grant(&caller, 2).await;
        let name = LeaderRequest { name: "e".into() };
        let path = "/v3electionpb.Election/Leader";
        let nobody: Result<LeaderResponse, _> = caller.call(1, path, &name).await;
        assert_eq!(nobody, Err(Status::new(Code::Unknown, "election: no leader")));
        let mut observer = caller.open(3, "/v3electionpb.Election/Observe").await;
        observer.send(&name);
        let leads: CampaignResponse = caller.call(1, CAMPAIGN, &campaign(1, "one")).await.unwrap();
        let first = leads.leader.unwrap();
        assert_eq!((&first.name[..], &first.key[..], first.lease), (&b"e"[..], &b"e/1"[..], 1));
        assert_eq!(observed(&mut observer).await, (b"e/1".to_vec(), b"one".to_vec()));
        let mut second = caller.open(2, CAMPAIGN).await;
        second.send(&campaign(2, "two"));
        proclaim(&caller, Some(first.clone()), "uno").await.unwrap();
        assert_eq!(observed(&mut observer).await, (b"e/1".to_vec(), b"uno".to_vec()));
        let leader: LeaderResponse = caller.call(3, path, &name).await.unwrap();
        assert_eq!(&leader.kv.unwrap().value[..], b"uno");
        let resign = ResignRequest { leader: Some(first.clone()) };
        let _: ResignResponse = caller.call(3, "/v3electionpb.Election/Resign", &resign).await.unwrap();
        let leads: CampaignResponse = second.next().await.unwrap();
        assert_eq!(leads.leader.unwrap().lease, 2);
        assert_eq!(observed(&mut observer).await, (b"e/2".to_vec(), b"two".to_vec()));
        let not = Status::new(Code::Unknown, "election: not leader");
        assert_eq!(proclaim(&caller, Some(first), "again").await, Err(not));
        let missing = Status::new(Code::Unknown, "\"leader\" field must be provided");
        assert_eq!(proclaim(&caller, None, "again").await, Err(missing));
        revoke(&caller, 2).await;
        observer.cancel();
    });
}
