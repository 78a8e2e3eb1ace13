use std::time::Duration;

use vertebra_sim::before;

use super::harness::{Caller, script};
use crate::api::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use crate::api::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, RangeRequest,
    RangeResponse,
};
use crate::error::Code;
use crate::grpc::Status;

const LOCK: &str = "/v3lockpb.Lock/Lock";

pub(super) async fn grant(caller: &Caller, id: i64) {
    let grant = LeaseGrantRequest { ttl: 60, id };
    let _: LeaseGrantResponse = caller.call(1, "Lease/LeaseGrant", &grant).await.unwrap();
}

pub(super) async fn revoke(caller: &Caller, id: i64) {
    let revoke = LeaseRevokeRequest { id };
    let _: LeaseRevokeResponse = caller.call(1, "Lease/LeaseRevoke", &revoke).await.unwrap();
}

async fn unlock(caller: &Caller, key: &'static str) {
    let request = UnlockRequest { key: key.into() };
    let _: UnlockResponse = caller.call(2, "/v3lockpb.Lock/Unlock", &request).await.unwrap();
}

async fn keys(caller: &Caller) -> i64 {
    let read = RangeRequest { key: "l/".into(), range_end: "l0".into(), ..RangeRequest::default() };
    let found: RangeResponse = caller.call(1, "KV/Range", &read).await.unwrap();
    found.count
}

#[test]
fn a_lock_goes_from_one_to_the_next_in_the_order_in_which_they_asked() {
    script(3, async |caller| {
        for id in [0x1a, 0x1b, 0x1c] {
            grant(&caller, id).await;
        }
        let request = |lease| LockRequest { name: "l".into(), lease };
        let first: LockResponse = caller.call(1, LOCK, &request(0x1a)).await.unwrap();
        assert_eq!(&first.key[..], b"l/1a");
        let again: LockResponse = caller.call(2, LOCK, &request(0x1a)).await.unwrap();
        assert_eq!(again.key, first.key);
        let mut second = caller.open(2, LOCK).await;
        second.send(&request(0x1b));
        let second_has = before(caller.sleeping(Duration::from_secs(1)), second.next::<LockResponse>()).await;
        assert!(second_has.is_none());
        let mut third = caller.open(3, LOCK).await;
        third.send(&request(0x1c));
        caller.sleep(Duration::from_secs(1)).await;
        unlock(&caller, "l/1a").await;
        let has: LockResponse = second.next().await.unwrap();
        assert_eq!(&has.key[..], b"l/1b");
        // Who holds it loses it with the lease.
        revoke(&caller, 0x1b).await;
        let has: LockResponse = third.next().await.unwrap();
        assert_eq!(&has.key[..], b"l/1c");
    });
}

#[test]
fn who_waits_no_more_is_in_nobodys_way_and_who_has_no_session_is_told() {
    script(1, async |caller| {
        for id in [1, 2, 3] {
            grant(&caller, id).await;
        }
        let request = |lease| LockRequest { name: "l".into(), lease };
        let _: LockResponse = caller.call(1, LOCK, &request(1)).await.unwrap();
        let waiting = caller.open(1, LOCK).await;
        waiting.send(&request(2));
        caller.sleep(Duration::from_secs(1)).await;
        assert_eq!(keys(&caller).await, 2);
        waiting.cancel();
        caller.sleep(Duration::from_secs(1)).await;
        assert_eq!(keys(&caller).await, 1);
        let mut expires = caller.open(1, LOCK).await;
        expires.send(&request(3));
        caller.sleep(Duration::from_secs(1)).await;
        revoke(&caller, 3).await;
        unlock_at_one(&caller).await;
        assert_eq!(expires.error().await, Status::new(Code::Unknown, "mutex: session is expired"));
        let refused: Result<LockResponse, _> = caller.call(1, LOCK, &request(9)).await;
        assert_eq!(refused, Err(Status::new(Code::Unknown, "etcdserver: requested lease not found")));
        let own: LockResponse = caller.call(1, LOCK, &request(0)).await.unwrap();
        assert!(own.key.starts_with(b"l/"));
    });
}

async fn unlock_at_one(caller: &Caller) {
    let request = UnlockRequest { key: "l/1".into() };
    let _: UnlockResponse = caller.call(1, "/v3lockpb.Lock/Unlock", &request).await.unwrap();
}
