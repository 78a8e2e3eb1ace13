use super::*;
use crate::api::{CompactionRequest, InternalRaftRequest};
use crate::defect::Defects;
use crate::history::Request;
use crate::lessor::{Lessor, Terms};
use crate::mvcc::{Memory, Revision, Write, bump};
use crate::oracle::testing::{Script, delete, grant, put, put_with, revoke};
use std::time::Duration;
use vertebra_sim::time::Instant;

/// A member that applies what the log has.
struct Member {
    store: Store,
    lessor: Lessor,
    database: Memory,
}

impl Member {
    fn new() -> Self {
        let terms = Terms {
            ttl_min: 0,
            checkpoint_interval: None,
            revoke_rate: 1,
            retry_interval: Duration::from_secs(1),
            defects: Defects::NONE,
        };
        Self { store: Store::new(), lessor: Lessor::new(terms), database: Memory::default() }
    }

    fn apply(&mut self, request: &Request) {
        let Self { store, lessor, database } = self;
        let InternalRaftRequest { compaction, lease_grant, lease_revoke, .. } =
            request.to_proposal().expect("a write");
        if let Some(compaction) = compaction {
            store.schedule_compaction(database, compaction.revision).unwrap();
        } else if let Some(grant) = lease_grant {
            lessor.grant(database, &grant, Instant::START);
        } else if let Some(revoke) = lease_revoke {
            lessor.revoke(store, database, revoke.id).unwrap();
        } else {
            store.apply(database, lessor, &request.to_proposal().unwrap()).unwrap();
        }
        store.publish();
    }

    /// Carries out the compaction that was scheduled.
    fn compact(&mut self, revision: i64) {
        let mut compaction = self.store.begin_compaction(revision, -1);
        while compaction.batch(&mut self.database, 2) {}
        compaction.set_finished(&mut self.database);
    }
}

fn writes() -> Vec<Request> {
    vec![
        put("a", "1"),
        put("b", "1"),
        grant(7),
        grant(8),
        put_with("c", "1", 7),
        delete("b", ""),
        put("a", "2"),
        revoke(8),
        put("d", "1"),
    ]
}

fn compact(revision: i64) -> Request {
    Request::Compact(CompactionRequest { revision, physical: false })
}

/// What is found of a database in which `change` was made after a member had applied `requests`, as the log has them.
fn found(requests: &[Request], change: impl FnOnce(&mut Member)) -> Option<&'static str> {
    let (mut script, mut member) = (Script::new(), Member::new());
    for request in requests {
        script.write(1, request.clone());
        member.apply(request);
    }
    change(&mut member);
    let checked = check(&member.database, &script.witness, requests.len() as u64);
    checked.err().map(|violation| violation.clause)
}

fn record(main: i64) -> Bytes {
    Bytes::copy_from_slice(&Revision { main, sub: 0 }.to_bytes())
}

#[test]
fn what_a_member_has_applied_passes_compacted_or_not() {
    for requests in 0..=writes().len() {
        assert_eq!(found(&writes()[..requests], |_| ()), None);
    }
    for revision in 2..=7 {
        let requests = [writes(), vec![compact(revision)]].concat();
        assert_eq!(found(&requests, |_| ()), None, "scheduled at {revision}");
        assert_eq!(found(&requests, |member| member.compact(revision)), None, "finished at {revision}");
    }
}

#[test]
fn a_database_that_misses_a_write_is_found() {
    // The last write, and one that others followed.
    assert_eq!(found(&writes(), |member| member.database.delete(Bucket::Key, record(7))), Some("revision"));
    assert_eq!(found(&writes(), |member| member.database.delete(Bucket::Key, record(2))), Some("records"));
    let compacted = [writes(), vec![compact(5)]].concat();
    // The newest version of a key, which a compaction leaves; and one that it takes away.
    assert_eq!(found(&compacted, |member| member.database.delete(Bucket::Key, record(4))), Some("records"));
    assert_eq!(found(&compacted, |member| member.database.delete(Bucket::Key, record(3))), None);
}

#[test]
fn a_write_that_never_was_is_found() {
    let again = |member: &mut Member| member.apply(&put("a", "3"));
    assert_eq!(found(&writes(), again), Some("revision"));
    let other = |member: &mut Member| {
        let value = member.database.get(Bucket::Key, &record(2)).unwrap();
        member.database.put(Bucket::Key, record(3), value);
    };
    assert_eq!(found(&writes(), other), Some("records"));
    assert_eq!(found(&[writes(), vec![compact(5)]].concat(), other), Some("records"));
}

#[test]
fn leases_that_are_missing_or_too_many_are_found() {
    let revoked = |member: &mut Member| {
        assert!(member.lessor.revoke(&mut member.store, &mut member.database, 9).is_err())
    };
    assert_eq!(found(&writes(), revoked), None);
    assert_eq!(found(&writes(), |member| member.apply(&grant(9))), Some("leases"));
    let lost = |member: &mut Member| {
        let key = Bytes::copy_from_slice(&7_i64.to_be_bytes());
        member.database.delete(Bucket::Lease, key);
    };
    assert_eq!(found(&writes(), lost), Some("leases"));
}

#[test]
fn another_compaction_than_the_logs_is_found() {
    assert_eq!(found(&writes(), |member| member.apply(&compact(4))), Some("compacted"));
}

#[test]
fn what_is_no_store_is_found() {
    let broken =
        |member: &mut Member| member.database.put(Bucket::Key, record(3), Bytes::from_static(b"\xff"));
    assert_eq!(found(&writes(), broken), Some("store"));
}

#[test]
fn a_store_that_goes_on_from_a_later_revision_is_compacted_up_to_there_and_keeps_its_keys() {
    for compacted in [None, Some(5), Some(7)] {
        let mut member = Member::new();
        writes().iter().for_each(|request| member.apply(request));
        if let Some(revision) = compacted {
            member.apply(&compact(revision));
            member.compact(revision);
        }
        bump(&mut member.database, 100).unwrap();
        let Restored { mut store, unfinished, .. } = Store::restore(&member.database, 0).unwrap();
        assert_eq!((store.revision(), unfinished), (107, Some(107)));
        store.resume_compaction(107);
        let now = |store: &Store, member: &Member, key: &[u8]| {
            store.get(&member.database, key, 0).unwrap().map(|kv| (kv.mod_revision, kv.version))
        };
        assert_eq!(now(&store, &member, b"a"), Some((6, 2)));
        (member.store, member.lessor) = (store, Member::new().lessor);
        member.compact(107);
        assert_eq!(now(&member.store, &member, b"a"), Some((6, 2)));
        assert_eq!(now(&member.store, &member, b"b"), None);
        member.apply(&put("a", "3"));
        assert_eq!(now(&member.store, &member, b"a"), Some((108, 3)));
    }
}

#[test]
fn another_state_of_users_and_roles_is_found() {
    let changed = |name: &'static [u8], value: &'static [u8]| {
        move |member: &mut Member| {
            let database = &mut member.database;
            database.put(
                Bucket::Auth,
                Bytes::from_static(b"authRevision"),
                Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 1]),
            );
            database.put(Bucket::Auth, Bytes::from_static(name), Bytes::from_static(value));
        }
    };
    assert_eq!(found(&writes(), changed(b"authEnabled", &[0])), None);
    assert_eq!(found(&writes(), changed(b"authEnabled", &[1])), Some("auth"));
    assert_eq!(found(&writes(), changed(b"authRevision", &[0, 0, 0, 0, 0, 0, 0, 2])), Some("auth"));
}
