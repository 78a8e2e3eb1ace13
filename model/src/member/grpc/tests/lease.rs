use super::harness::script;
use crate::api::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

#[test]
fn leases_are_kept_alive_over_a_stream_until_its_caller_has_no_more() {
    script(3, async |caller| {
        let grant = LeaseGrantRequest { ttl: 30, id: 7 };
        let granted: LeaseGrantResponse = caller.call(1, "Lease/LeaseGrant", &grant).await.unwrap();
        assert_eq!((granted.id, granted.ttl), (7, 30));
        for member in 1..=3 {
            let mut stream = caller.open(member, "Lease/LeaseKeepAlive").await;
            for (id, ttl) in [(7, 30), (8, 0)] {
                stream.send(&LeaseKeepAliveRequest { id });
                let kept: LeaseKeepAliveResponse = stream.next().await.unwrap();
                assert_eq!((kept.id, kept.ttl), (id, ttl));
            }
            stream.half_close();
            assert_eq!(stream.receive().await, Err(None));
        }
        let question = LeaseTimeToLiveRequest { id: 8, keys: true };
        let unknown: LeaseTimeToLiveResponse =
            caller.call(2, "Lease/LeaseTimeToLive", &question).await.unwrap();
        assert_eq!(unknown.ttl, -1);
        let all: LeaseLeasesResponse =
            caller.call(1, "Lease/LeaseLeases", &LeaseLeasesRequest {}).await.unwrap();
        assert_eq!(all.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [7]);
    });
}
