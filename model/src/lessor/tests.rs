//! The lessor by itself, and together with a store against the specification.

use std::time::Duration;

use bytes::Bytes;
use vertebra_sim::random::{Stream, Streams};
use vertebra_sim::time::Instant;

use super::{Lessor, Renewal, TTL_MAX, Terms};
use crate::api::{
    DeleteRangeRequest, InternalRaftRequest, KeyValue, LeaseCheckpoint, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RangeRequest, TxnRequest, request_op,
};
use crate::api::{RequestOp, leasepb};
use crate::backend::Bucket;
use crate::defect::Defects;
use crate::error::Error;
use crate::mvcc::{Memory, Read, Store};
use crate::response::Response;
use crate::specification::Specification;

const SECOND: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    Terms {
        ttl_min: 2,
        checkpoint_interval: None,
        revoke_rate: 1_000,
        retry_interval: 7 * SECOND,
        defects: Defects::NONE,
    }
}

fn at(seconds: u64) -> Instant {
    Instant::START + SECOND * 1_000 + SECOND * u32::try_from(seconds).unwrap()
}

/// Store, leases and backend of one member.
struct Member {
    store: Store,
    lessor: Lessor,
    buckets: Memory,
}

impl Member {
    fn new(terms: Terms) -> Self {
        Self { store: Store::new(), lessor: Lessor::new(terms), buckets: Memory::default() }
    }

    fn grant(&mut self, id: i64, ttl: i64, now: Instant) -> Result<i64, Error> {
        let request = LeaseGrantRequest { id, ttl };
        self.lessor.check_grant(&request)?;
        Ok(self.lessor.grant(&mut self.buckets, &request, now))
    }

    fn put(&mut self, key: &'static str, lease: i64) -> Result<Response, Error> {
        let put = Some(PutRequest { key: key.into(), lease, ..PutRequest::default() });
        self.apply(&InternalRaftRequest { put, ..InternalRaftRequest::default() })
    }

    fn apply(&mut self, request: &InternalRaftRequest) -> Result<Response, Error> {
        let result = self.store.apply(&mut self.buckets, &mut self.lessor, request);
        self.store.publish();
        result
    }

    fn revoke(&mut self, id: i64) -> Result<usize, Error> {
        let result = self.lessor.revoke(&mut self.store, &mut self.buckets, id);
        self.store.publish();
        result
    }

    fn keys(&self) -> Vec<KeyValue> {
        let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() };
        self.store.range(&self.buckets, &all).unwrap().kvs
    }

    /// What a restart makes of it.
    fn restart(&self) -> Self {
        let restored = Store::restore(&self.buckets, 0).unwrap();
        let mut lessor = Lessor::new(self.lessor.terms);
        lessor.recover(&self.buckets, restored.leases);
        Self { store: restored.store, lessor, buckets: self.buckets.clone() }
    }
}

#[test]
fn a_grant_is_refused_for_the_reasons_that_etcd_has() {
    let mut member = Member::new(terms());
    assert_eq!(member.grant(0, 5, at(0)), Err(Error::LeaseNotFound));
    assert_eq!(member.grant(1, TTL_MAX + 1, at(0)), Err(Error::LeaseTtlTooLarge));
    assert_eq!(member.grant(1, TTL_MAX, at(0)), Ok(TTL_MAX));
    assert_eq!(member.grant(1, 5, at(0)), Err(Error::LeaseExists));
    // What is too short is raised.
    assert_eq!((member.grant(2, 1, at(0)), member.grant(-3, -1, at(0))), (Ok(2), Ok(2)));
}

#[test]
fn a_revocation_deletes_the_keys_of_the_lease_in_one_revision_and_no_others() {
    let mut member = Member::new(terms());
    assert_eq!(member.put("a", 7), Err(Error::LeaseNotFound));
    member.grant(7, 5, at(0)).unwrap();
    member.grant(8, 5, at(0)).unwrap();
    for (key, lease) in [("c", 7), ("a", 7), ("b", 8), ("d", 7), ("e", 0), ("f", 7)] {
        member.put(key, lease).unwrap();
    }
    // Another lease, none, or a deletion takes a key away from its lease.
    member.put("d", 8).unwrap();
    member.put("f", 0).unwrap();
    let before = member.store.revision();
    assert_eq!(member.revoke(7), Ok(2));
    assert_eq!(member.store.revision(), before + 1);
    let left: Vec<_> = member.keys().iter().map(|kv| (kv.key.clone(), kv.lease)).collect();
    let expected = [("b", 8), ("d", 8), ("e", 0), ("f", 0)];
    assert_eq!(left, expected.map(|(key, lease)| (Bytes::from(key), lease)));
    let deleted: Vec<_> =
        Store::records(&member.buckets, before + 1).into_iter().map(|record| record.kv.key).collect();
    assert_eq!(deleted, ["a", "c"].map(Bytes::from));
    assert_eq!(member.revoke(7), Err(Error::LeaseNotFound));
    // A lease without keys makes no revision.
    member.grant(9, 5, at(0)).unwrap();
    assert_eq!((member.revoke(9), member.store.revision()), (Ok(0), before + 1));
}

#[test]
fn only_the_primary_lets_leases_expire_and_each_primary_counts_anew() {
    let mut member = Member::new(terms());
    member.grant(1, 5, at(0)).unwrap();
    assert_eq!((member.lessor.expired(at(100)), member.lessor.lookup(1).unwrap().expiry()), (vec![], None));
    assert_eq!(member.lessor.renewal(1, 3, at(100)), Renewal::NotPrimary);
    member.lessor.promote(3, SECOND, at(100));
    member.grant(2, 3, at(100)).unwrap();
    assert!(member.lessor.expired(at(102)).is_empty());
    assert_eq!(member.lessor.expired(at(103)), [2]);
    assert_eq!(member.lessor.renewal(2, 3, at(103)), Renewal::Expired);
    assert_eq!(member.lessor.renewal(1, 3, at(103)), Renewal::Possible);
    assert_eq!(member.lessor.renewal(1, 2, at(103)), Renewal::NotPrimary);
    member.lessor.refresh(1, Duration::ZERO, at(103));
    assert_eq!(member.lessor.lookup(1).unwrap().seconds_left(at(104)), Some(4));
    // The revocation is not repeated at once.
    assert!(member.lessor.expired(at(107)).is_empty());
    assert_eq!(member.lessor.expired(at(110)), [1, 2]);
    member.lessor.demote();
    assert_eq!((member.lessor.expired(at(200)), member.lessor.primary()), (vec![], None));
    member.lessor.promote(4, SECOND, at(200));
    assert!(!member.lessor.is_expired(2, 4, at(203)) && member.lessor.is_expired(2, 4, at(204)));
}

#[test]
fn a_checkpoint_shortens_what_the_next_primary_gives_and_is_cleared_before_a_renewal() {
    let with_checkpoints = Terms { checkpoint_interval: Some(SECOND), ..terms() };
    let mut member = Member::new(with_checkpoints);
    member.lessor.promote(3, SECOND, at(0));
    member.grant(1, 10, at(0)).unwrap();
    member.grant(2, 10, at(0)).unwrap();
    assert!(!member.lessor.is_checkpoint_due(at(0)));
    let due = member.lessor.due_checkpoints(at(4));
    let checkpoint = |id, remaining_ttl| LeaseCheckpoint { id, remaining_ttl };
    assert_eq!(due, [checkpoint(1, 6), checkpoint(2, 6)]);
    // Proposed and not applied: it may come yet.
    assert_eq!(member.lessor.renewal(1, 3, at(4)), Renewal::Checkpointed);
    member.lessor.checkpoint(&mut member.buckets, &due, at(4));
    member.lessor.clearing(1, false);
    assert_eq!(member.lessor.renewal(1, 3, at(5)), Renewal::Checkpointed);
    member.lessor.checkpoint(&mut member.buckets, &[checkpoint(1, 0)], at(5));
    assert_eq!(member.lessor.renewal(1, 3, at(5)), Renewal::Possible);
    member.lessor.refresh(1, Duration::ZERO, at(5));
    // It is in the backend, for the next primary.
    let mut next = member.restart();
    assert_eq!(next.lessor.hash(), member.lessor.hash());
    next.lessor.promote(4, SECOND, at(20));
    let left = |id| next.lessor.lookup(id).unwrap().seconds_left(at(20));
    assert_eq!((left(1), left(2)), (Some(11), Some(7)));
}

#[test]
fn leases_that_would_expire_at_once_are_spread() {
    let mut member = Member::new(Terms { revoke_rate: 4, ..terms() });
    (1..=12).for_each(|id| assert_eq!(member.grant(id, 5, at(0)), Ok(5)));
    assert!(member.lessor.promote(3, SECOND, at(0)));
    let mut each_second = Vec::new();
    for second in 0..20 {
        let ids = member.lessor.leases().filter(|(_, lease)| lease.seconds_left(at(0)) == Some(second));
        each_second.push(ids.count());
    }
    assert_eq!(each_second.iter().sum::<usize>(), 12);
    assert!(each_second.iter().all(|count| *count <= 4), "{each_second:?}");
    // A few do not need it, and no more expire at a time than may be revoked.
    let mut few = Member::new(Terms { revoke_rate: 4, ..terms() });
    (1..=3).for_each(|id| assert_eq!(few.grant(id, 5, at(0)), Ok(5)));
    assert!(!few.lessor.promote(3, SECOND, at(0)));
    assert_eq!(few.lessor.expired(at(10)), [1, 2]);
    assert_eq!(few.lessor.expired(at(10)), [3]);
}

#[test]
fn leases_with_negative_numbers_are_recovered_with_their_keys() {
    let mut member = Member::new(terms());
    for id in [-1, i64::MIN, 1, i64::MAX] {
        member.grant(id, 5, at(0)).unwrap();
    }
    member.put("a", -1).unwrap();
    member.put("b", i64::MIN).unwrap();
    member.put("b", 1).unwrap();
    let mut restarted = member.restart();
    let ids: Vec<_> = restarted.lessor.leases().map(|(id, _)| id).collect();
    assert_eq!(ids, [i64::MIN, -1, 1, i64::MAX]);
    assert_eq!((restarted.lessor.lease_of(b"a"), restarted.lessor.lease_of(b"b")), (-1, 1));
    assert_eq!(restarted.lessor.hash(), member.lessor.hash());
    assert_eq!((restarted.revoke(-1), restarted.revoke(i64::MIN)), (Ok(1), Ok(0)));
    assert_ne!(restarted.lessor.hash(), member.lessor.hash());
}

#[test]
fn the_record_of_a_lease_is_that_of_etcd() {
    let mut member = Member::new(terms());
    member.grant(0x0102, 5, at(0)).unwrap();
    let value = member.buckets.get(Bucket::Lease, &[0, 0, 0, 0, 0, 0, 1, 2]).unwrap();
    assert_eq!(value[..], [0x08, 0x82, 0x02, 0x10, 0x05]);
    let record: leasepb::Lease = prost::Message::decode(value).unwrap();
    assert_eq!((record.id, record.ttl, record.remaining_ttl), (0x0102, 5, 0));
}

/// A request about few keys and few leases.
fn request(stream: &mut Stream) -> InternalRaftRequest {
    let key = |stream: &mut Stream| Bytes::from_static(*stream.pick(&[b"a", b"b", b"c", b"d"]));
    let lease = |stream: &mut Stream| *stream.pick(&[0, 0, 1, 2, -3]);
    let put = |stream: &mut Stream| {
        let ignore_lease = stream.chance(200_000);
        let lease = if ignore_lease { 0 } else { lease(stream) };
        PutRequest { key: key(stream), lease, ignore_lease, ..PutRequest::default() }
    };
    let op = |request| RequestOp { request: Some(request) };
    let none = InternalRaftRequest::default();
    match stream.below(10) {
        0..4 => InternalRaftRequest { put: Some(put(stream)), ..none },
        4 => {
            let (key, range_end) = (key(stream), Bytes::from_static(stream.pick(&["", "c"]).as_bytes()));
            let delete_range = Some(DeleteRangeRequest { key, range_end, prev_kv: true });
            InternalRaftRequest { delete_range, ..none }
        }
        5 => {
            let deletion = DeleteRangeRequest { key: "d".into(), ..DeleteRangeRequest::default() };
            let mut put = put(stream);
            put.key = Bytes::from_static(*stream.pick(&[b"a", b"b"]));
            let success = vec![
                op(request_op::Request::RequestDeleteRange(deletion)),
                op(request_op::Request::RequestPut(put)),
            ];
            InternalRaftRequest { txn: Some(TxnRequest { success, ..TxnRequest::default() }), ..none }
        }
        6..8 => {
            let ttl = *stream.pick(&[1, 5, TTL_MAX + 1]);
            InternalRaftRequest { lease_grant: Some(LeaseGrantRequest { ttl, id: lease(stream) }), ..none }
        }
        _ => InternalRaftRequest { lease_revoke: Some(LeaseRevokeRequest { id: lease(stream) }), ..none },
    }
}

#[test]
fn store_and_lessor_do_together_what_the_specification_says() {
    let mut deleted_by_lease = 0;
    for seed in 0..300 {
        let mut stream = Streams::new(seed).stream("lessor/differential", 0);
        let mut member = Member::new(terms());
        let mut specification = Specification::with_leases(terms().ttl_min);
        for _ in 0..60 {
            let request = request(&mut stream);
            let expected = specification.apply(&request);
            let found = match (&request.lease_grant, &request.lease_revoke) {
                (Some(grant), _) => member.grant(grant.id, grant.ttl, at(0)).map(Some),
                (_, Some(revoke)) => {
                    let revoked = member.revoke(revoke.id);
                    deleted_by_lease += *revoked.as_ref().unwrap_or(&0);
                    revoked.map(|_| None)
                }
                _ => {
                    assert_eq!(member.apply(&request), expected, "seed {seed}: {request:?}");
                    continue;
                }
            };
            match (found, &expected) {
                (Ok(ttl), Ok(Response::LeaseGrant(granted))) => assert_eq!(ttl, Some(granted.ttl)),
                (Ok(ttl), Ok(Response::LeaseRevoke(_))) => assert_eq!(ttl, None),
                (Err(found), Err(expected)) => assert_eq!(found, *expected),
                other => panic!("seed {seed}: {request:?} gives {other:?}"),
            }
            assert_eq!(member.store.revision(), specification.revision(), "seed {seed}: {request:?}");
            if stream.chance(50_000) {
                let restarted = member.restart();
                assert_eq!(restarted.lessor.hash(), member.lessor.hash(), "seed {seed}");
                member = restarted;
            }
        }
        let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() };
        assert_eq!(member.keys(), specification.read(&all).unwrap().kvs, "seed {seed}");
        assert!(member.lessor.leases().map(|(id, _)| id).eq(specification.leases()), "seed {seed}");
    }
    assert!(deleted_by_lease > 200, "{deleted_by_lease} keys went with their leases");
}
