use super::*;
use crate::api::authpb::{Permission, permission::Type};
use crate::api::{
    AuthDisableRequest, AuthEnableRequest, AuthRequest, AuthRoleAddRequest, AuthRoleDeleteRequest,
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGrantRoleRequest,
    AuthUserRevokeRoleRequest, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RequestHeader,
};
use crate::defect::Defects;
use crate::error::Error;
use crate::lessor::{Lessor, Terms};
use crate::mvcc::{Leases, Memory};
use std::time::Duration;
use vertebra_sim::time::Instant;

fn user_add(name: &str) -> AuthRequest {
    let hashed_password = password::hash(name, 7);
    AuthRequest::AuthUserAdd(Box::new(AuthUserAddRequest {
        name: name.to_owned(),
        hashed_password,
        ..Default::default()
    }))
}

fn user_delete(name: &str) -> AuthRequest {
    AuthRequest::AuthUserDelete(Box::new(AuthUserDeleteRequest { name: name.to_owned() }))
}

fn grant_role(user: &str, role: &str) -> AuthRequest {
    let (user, role) = (user.to_owned(), role.to_owned());
    AuthRequest::AuthUserGrantRole(Box::new(AuthUserGrantRoleRequest { user, role }))
}

fn revoke_role(name: &str, role: &str) -> AuthRequest {
    let (name, role) = (name.to_owned(), role.to_owned());
    AuthRequest::AuthUserRevokeRole(Box::new(AuthUserRevokeRoleRequest { name, role }))
}

fn role_add(name: &str) -> AuthRequest {
    AuthRequest::AuthRoleAdd(Box::new(AuthRoleAddRequest { name: name.to_owned() }))
}

fn role_delete(role: &str) -> AuthRequest {
    AuthRequest::AuthRoleDelete(Box::new(AuthRoleDeleteRequest { role: role.to_owned() }))
}

fn grant(role: &str, kind: Type, key: &'static str, end: &'static str) -> AuthRequest {
    let perm = Some(Permission { perm_type: kind.into(), key: key.into(), range_end: end.into() });
    AuthRequest::AuthRoleGrantPermission(Box::new(AuthRoleGrantPermissionRequest {
        name: role.to_owned(),
        perm,
    }))
}

fn revoke(role: &str, key: &'static str, end: &'static str) -> AuthRequest {
    AuthRequest::AuthRoleRevokePermission(Box::new(AuthRoleRevokePermissionRequest {
        role: role.to_owned(),
        key: key.into(),
        range_end: end.into(),
    }))
}

fn enable() -> AuthRequest {
    AuthRequest::AuthEnable(Box::new(AuthEnableRequest {}))
}

fn disable() -> AuthRequest {
    AuthRequest::AuthDisable(Box::new(AuthDisableRequest {}))
}

/// A store on buckets, with `ann` who may read all of `a` to `n` and write `a` to `c`, and authentication on.
fn enabled() -> (AuthStore, Memory) {
    let (mut store, mut buckets) = (AuthStore::default(), Memory::default());
    for request in [
        user_add("root"),
        grant_role("root", "root"),
        user_add("ann"),
        role_add("reader"),
        grant("reader", Type::Read, "a", "n"),
        role_add("writer"),
        grant("writer", Type::Write, "a", "c"),
        grant_role("ann", "reader"),
        grant_role("ann", "writer"),
        enable(),
    ] {
        store.apply(&mut buckets, &request).unwrap();
    }
    (store, buckets)
}

fn lessor() -> Lessor {
    let second = Duration::from_secs(1);
    Lessor::new(Terms {
        ttl_min: 1,
        checkpoint_interval: None,
        revoke_rate: 9,
        retry_interval: second,
        defects: Defects::NONE,
    })
}

fn put_of(user: &str, revision: u64, put: PutRequest) -> InternalRaftRequest {
    let header = Some(RequestHeader { id: 1, username: user.to_owned(), auth_revision: revision });
    InternalRaftRequest { header, put: Some(put), ..Default::default() }
}

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), ..Default::default() }
}

#[test]
fn a_store_is_recovered_from_its_buckets() {
    let (mut store, mut buckets) = enabled();
    assert_eq!(AuthStore::recover(&buckets), store);
    store.apply(&mut buckets, &role_delete("reader")).unwrap();
    store.apply(&mut buckets, &user_delete("ann")).unwrap();
    store.apply(&mut buckets, &disable()).unwrap();
    let recovered = AuthStore::recover(&buckets);
    assert_eq!((&recovered, recovered.hash()), (&store, store.hash()));
    assert_eq!(AuthStore::recover(&Memory::default()), AuthStore::default());
}

#[test]
fn the_revision_moves_with_what_changes_and_when_authentication_is_switched_off() {
    let (mut store, mut buckets) = (AuthStore::default(), Memory::default());
    let mut after = |request: &AuthRequest| {
        let _ = store.apply(&mut buckets, request);
        store.revision()
    };
    assert_eq!(after(&disable()), 1, "which was off");
    assert_eq!(after(&user_add("root")), 2);
    assert_eq!(after(&user_add("root")), 2);
    assert_eq!(after(&enable()), 2, "which cannot be");
    assert_eq!(after(&grant_role("root", "root")), 3);
    assert_eq!(after(&grant_role("root", "root")), 3);
    assert_eq!(after(&enable()), 3);
    assert_eq!(after(&role_add("r")), 4);
    assert_eq!(after(&grant("r", Type::Read, "a", "")), 5);
    assert_eq!(after(&grant("r", Type::Read, "a", "")), 6, "etcd does not look whether it is the same");
    assert_eq!(after(&revoke("r", "a", "b")), 6);
    assert_eq!(after(&revoke("r", "a", "")), 7);
    assert_eq!(after(&disable()), 8);
}

#[test]
fn what_etcd_refuses_is_refused_with_its_error() {
    let (mut store, mut buckets) = (AuthStore::default(), Memory::default());
    let mut refused = |request: &AuthRequest| store.apply(&mut buckets, request).unwrap_err();
    assert_eq!(refused(&enable()), Error::RootUserNotExist);
    assert_eq!(refused(&user_add("")), Error::UserEmpty);
    assert_eq!(refused(&role_add("")), Error::RoleEmpty);
    assert_eq!(refused(&user_delete("ann")), Error::UserNotFound);
    assert_eq!(refused(&role_delete("r")), Error::RoleNotFound);
    store.apply(&mut buckets, &user_add("root")).unwrap();
    let mut refused = |request: &AuthRequest| store.apply(&mut buckets, request).unwrap_err();
    assert_eq!(refused(&enable()), Error::RootRoleNotExist);
    let (mut store, mut buckets) = enabled();
    let mut refused = |request: &AuthRequest| store.apply(&mut buckets, request).unwrap_err();
    assert_eq!(refused(&user_delete("root")), Error::InvalidAuthMgmt);
    assert_eq!(refused(&role_delete("root")), Error::InvalidAuthMgmt);
    assert_eq!(refused(&revoke_role("root", "root")), Error::InvalidAuthMgmt);
    assert_eq!(refused(&user_add("ann")), Error::UserAlreadyExist);
    assert_eq!(refused(&role_add("reader")), Error::RoleAlreadyExist);
    assert_eq!(refused(&grant_role("bob", "reader")), Error::UserNotFound);
    assert_eq!(refused(&grant_role("ann", "none")), Error::RoleNotFound);
    assert_eq!(refused(&revoke_role("ann", "root")), Error::RoleNotGranted);
    assert_eq!(refused(&revoke("reader", "a", "")), Error::PermissionNotGranted);
    assert_eq!(refused(&grant("none", Type::Read, "a", "")), Error::RoleNotFound);
    assert_eq!(refused(&grant("reader", Type::Read, "b", "a")), Error::InvalidAuthMgmt);
}

#[test]
fn a_write_is_let_pass_for_who_may_write_at_the_revision_of_now() {
    let (store, _) = enabled();
    let (now, leases) = (store.revision(), lessor());
    let check = |user: &str, revision, put| store.check(&put_of(user, revision, put), &leases);
    assert_eq!(check("ann", now, put("b")), Ok(()));
    assert_eq!(check("ann", now, put("c")), Err(Error::PermissionDenied));
    assert_eq!(check("ann", now - 1, put("b")), Err(Error::AuthOldRevision));
    assert_eq!(check("root", now - 1, put("b")), Err(Error::AuthOldRevision), "also of the root user");
    assert_eq!(check("root", now, put("z")), Ok(()));
    assert_eq!(check("bob", now, put("b")), Err(Error::PermissionDenied));
    assert_eq!(check("", 0, put("b")), Err(Error::UserEmpty));
    assert_eq!(AuthStore::default().check(&put_of("", 0, put("b")), &leases), Ok(()));
}

#[test]
fn who_wants_to_see_what_was_there_must_be_allowed_to_read() {
    let (mut store, mut buckets) = enabled();
    store.apply(&mut buckets, &revoke_role("ann", "reader")).unwrap();
    let check = |request: &InternalRaftRequest| store.check(request, &lessor());
    let now = store.revision();
    assert_eq!(check(&put_of("ann", now, put("b"))), Ok(()));
    let prev_kv = PutRequest { prev_kv: true, ..put("b") };
    assert_eq!(check(&put_of("ann", now, prev_kv)), Err(Error::PermissionDenied));
    let delete = |prev_kv| {
        let delete_range = Some(DeleteRangeRequest { key: "a".into(), range_end: "c".into(), prev_kv });
        InternalRaftRequest { put: None, delete_range, ..put_of("ann", now, put("")) }
    };
    assert_eq!(check(&delete(false)), Ok(()));
    assert_eq!(check(&delete(true)), Err(Error::PermissionDenied));
}

#[test]
fn a_lease_is_as_much_as_its_keys() {
    let (store, mut buckets) = enabled();
    let (mut leases, now) = (lessor(), store.revision());
    leases.grant(&mut buckets, &LeaseGrantRequest { ttl: 9, id: 5 }, Instant::START);
    let revoke = |user: &str, revision| {
        let lease_revoke = Some(LeaseRevokeRequest { id: 5 });
        InternalRaftRequest { put: None, lease_revoke, ..put_of(user, revision, put("")) }
    };
    assert_eq!(store.check(&revoke("", 0), &leases), Ok(()), "it has no keys");
    leases.attach(&"z".into(), 5);
    assert_eq!(store.check(&revoke("", 0), &leases), Err(Error::UserEmpty));
    assert_eq!(store.check(&revoke("ann", now), &leases), Err(Error::PermissionDenied));
    assert_eq!(
        store.check(&revoke("root", now - 1), &leases),
        Ok(()),
        "whose revision etcd does not compare"
    );
    let attach = PutRequest { lease: 5, ..put("b") };
    assert_eq!(store.check(&put_of("ann", now, attach), &leases), Err(Error::PermissionDenied));
}

#[test]
fn users_and_roles_are_the_business_of_root_and_everybody_may_look_at_their_own() {
    let (store, _) = enabled();
    let caller = |user: &str| Caller { user: user.to_owned(), revision: 1 };
    let check = |request: &AuthRequest, user: &str| store.check_management(request, &caller(user));
    assert_eq!(check(&user_add("bob"), "root"), Ok(()), "at whatever revision");
    assert_eq!(check(&user_add("bob"), "ann"), Err(Error::PermissionDenied));
    assert_eq!(check(&user_add("bob"), "bob"), Err(Error::UserNotFound));
    assert_eq!(check(&user_add("bob"), ""), Err(Error::UserEmpty));
    let get = |name: &str| {
        AuthRequest::AuthUserGet(Box::new(crate::api::AuthUserGetRequest { name: name.to_owned() }))
    };
    assert_eq!(
        (check(&get("ann"), "ann"), check(&get("root"), "ann")),
        (Ok(()), Err(Error::PermissionDenied))
    );
}

#[test]
fn a_password_is_checked_at_a_revision_and_changed() {
    let (mut store, mut buckets) = enabled();
    assert_eq!(store.check_password("ann", "ann"), Ok(store.revision()));
    assert_eq!(store.check_password("ann", "bob"), Err(Error::AuthFailed));
    assert_eq!(store.check_password("bob", "bob"), Err(Error::AuthFailed));
    let hashed_password = password::hash("new", 9);
    let change = AuthUserChangePasswordRequest { name: "ann".into(), hashed_password, ..Default::default() };
    store.apply(&mut buckets, &AuthRequest::AuthUserChangePassword(Box::new(change))).unwrap();
    assert_eq!(store.check_password("ann", "ann"), Err(Error::AuthFailed));
    assert_eq!(store.check_password("ann", "new"), Ok(store.revision()));
    store.apply(&mut buckets, &disable()).unwrap();
    assert_eq!(store.check_password("ann", "new"), Err(Error::AuthNotEnabled));
}

/// Requests for a handful of names and keys, so that most of them mean something.
fn random(stream: &mut vertebra_sim::random::Stream) -> AuthRequest {
    let (user, role) = (*stream.pick(&["root", "ann", "bob"]), *stream.pick(&["root", "r", "s"]));
    let kind = *stream.pick(&[Type::Read, Type::Write, Type::Readwrite]);
    let (key, end) = (*stream.pick(&["a", "b", "c"]), *stream.pick(&["", "\0", "b", "c", "d"]));
    match stream.below(10) {
        0 => user_add(user),
        1 => user_delete(user),
        2 | 3 => grant_role(user, role),
        4 => revoke_role(user, role),
        5 => role_add(role),
        6 if stream.chance(300_000) => role_delete(role),
        7 if stream.chance(300_000) => revoke(role, key, end),
        8 if stream.chance(500_000) => {
            if stream.chance(300_000) {
                disable()
            } else {
                enable()
            }
        }
        _ => grant(role, kind, key, end),
    }
}

#[test]
fn the_store_and_the_specification_agree_on_everything() {
    let streams = vertebra_sim::random::Streams::new(4);
    let mut refused = 0;
    for seed in 0..40 {
        let mut stream = streams.stream("test", seed);
        let (mut store, mut buckets) = (AuthStore::default(), Memory::default());
        let mut specification = crate::specification::Specification::new();
        for _ in 0..150 {
            let request = random(&mut stream);
            let header = RequestHeader { id: 1, username: "root".into(), auth_revision: store.revision() };
            let entry = InternalRaftRequest {
                header: Some(header),
                auth: Some(request.clone()),
                ..Default::default()
            };
            let allowed = store.check_management(&request, &Caller::of(&entry));
            let result = allowed.and_then(|()| store.apply(&mut buckets, &request));
            let expected = specification.apply(&entry);
            assert_eq!(result.map(|_| ()), expected.map(|_| ()), "{request:?}");
            let auth = specification.auth().unwrap();
            assert_eq!((store.is_enabled(), store.revision()), (auth.is_enabled(), auth.revision()));
            for user in ["root", "ann", "bob"] {
                let header = RequestHeader { id: 1, username: user.into(), auth_revision: store.revision() };
                for (key, range_end) in [("a", ""), ("b", "d"), ("a", "c"), ("c", "\0"), ("b", "")] {
                    let delete_range = Some(DeleteRangeRequest {
                        key: key.into(),
                        range_end: range_end.into(),
                        prev_kv: true,
                    });
                    let header = Some(header.clone());
                    let entry = InternalRaftRequest { header, delete_range, ..Default::default() };
                    let result = store.check(&entry, &lessor());
                    refused += u32::from(result.is_err());
                    assert_eq!(result, specification.apply(&entry).map(|_| ()), "{user} {key}..{range_end}");
                }
            }
            assert_eq!(AuthStore::recover(&buckets), store);
        }
    }
    assert!(refused > 100, "{refused} refusals");
}
