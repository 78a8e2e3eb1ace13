//! What etcd's Auth service is: who may do what.
//!
//! Nothing is merged and nothing is remembered: each question is answered from the roles of a user and the permissions of
//! these roles. Tokens are not known here, nor when they end.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::api::authpb::{self, permission::Type};
use crate::api::request_op::Request as Op;
use crate::api::{self, AuthRequest, InternalRaftRequest, PutRequest, RequestHeader, TxnRequest};
use crate::auth::AuthResponse;
use crate::error::Error;

/// Users and roles.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    enabled: bool,
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Vec<authpb::Permission>>,
}

#[derive(Clone, Debug, PartialEq)]
struct User {
    has_password: bool,
    roles: BTreeSet<String>,
}

/// What is asked of somebody who does something: keys, and whether they are written.
struct Need {
    writes: bool,
    key: Bytes,
    range_end: Bytes,
    /// Needed for a key that is attached to a lease, which the role `root` need not prove again.
    for_lease: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl Auth {
    /// Whether anybody is asked who it is.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// How often users, roles or permissions have changed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the user has the role `root`.
    #[must_use]
    pub fn is_root(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.roles.contains("root"))
    }

    /// Whether the user may read these keys; an empty range end stands for one key, and a zero byte for no end.
    #[must_use]
    pub fn may_read(&self, user: &str, key: &Bytes, range_end: &Bytes) -> bool {
        self.may(user, false, key, range_end)
    }

    fn may(&self, user: &str, writes: bool, key: &Bytes, range_end: &Bytes) -> bool {
        if !self.enabled || self.is_root(user) {
            return true;
        }
        let Some(user) = self.users.get(user) else { return false };
        let wanted = if writes { Type::Write } else { Type::Read };
        let fits = |permission: &&authpb::Permission| {
            permission.perm_type() == Type::Readwrite || permission.perm_type() == wanted
        };
        let roles = user.roles.iter().filter_map(|role| self.roles.get(role));
        let permissions: Vec<_> = roles.flatten().filter(fits).collect();
        // From one key to the next that is not known to be allowed, until the end is reached.
        let goal = end_of(key, range_end);
        let mut at = key.clone();
        loop {
            let mut reached = None;
            for permission in &permissions {
                match end_of(&permission.key, &permission.range_end) {
                    _ if permission.key > at => {}
                    None => return true,
                    Some(end) if end > at => reached = Option::max(reached, Some(end)),
                    Some(_) => {}
                }
            }
            let Some(reached) = reached else { return false };
            if goal.as_ref().is_some_and(|goal| *goal <= reached) {
                return true;
            }
            at = reached;
        }
    }

    /// Whether an entry for keys or leases may be applied.
    ///
    /// # Errors
    ///
    /// `UserEmpty`, `AuthOldRevision`, `PermissionDenied`.
    pub(super) fn check(
        &self,
        request: &InternalRaftRequest,
        keys_of: &dyn Fn(i64) -> Vec<Bytes>,
    ) -> Result<(), Error> {
        if !self.enabled {
            return Ok(());
        }
        let header = request.header.clone().unwrap_or_default();
        for need in needs(request, keys_of) {
            self.check_one(&header, &need)?;
        }
        Ok(())
    }

    fn check_one(&self, header: &RequestHeader, need: &Need) -> Result<(), Error> {
        if need.for_lease && self.is_root(&header.username) {
            return Ok(());
        }
        if header.auth_revision == 0 {
            return Err(Error::UserEmpty);
        }
        if header.auth_revision < self.revision {
            return Err(Error::AuthOldRevision);
        }
        match self.may(&header.username, need.writes, &need.key, &need.range_end) {
            true => Ok(()),
            false => Err(Error::PermissionDenied),
        }
    }

    /// Whether the user may do what is asked, whatever the revision: an entry for keys or leases.
    #[must_use]
    pub(crate) fn allows(
        &self,
        user: &str,
        request: &InternalRaftRequest,
        keys_of: &dyn Fn(i64) -> Vec<Bytes>,
    ) -> bool {
        let allowed = |need: Need| self.may(user, need.writes, &need.key, &need.range_end);
        let management = request.auth.as_ref().map(|asked| self.allows_management(user, asked));
        !self.enabled || management.unwrap_or_else(|| needs(request, keys_of).into_iter().all(allowed))
    }

    fn allows_management(&self, user: &str, asked: &AuthRequest) -> bool {
        let is_own = match asked {
            AuthRequest::Authenticate(_) | AuthRequest::AuthStatus(_) => true,
            AuthRequest::AuthUserGet(asked) => asked.name == user,
            AuthRequest::AuthRoleGet(asked) => {
                self.users.get(user).is_some_and(|user| user.roles.contains(&asked.role))
            }
            _ => false,
        };
        !self.enabled || is_own || self.is_root(user)
    }

    /// Answers a request for users or roles that somebody proposed. The header of the response is not its business.
    ///
    /// # Errors
    ///
    /// Those of etcd. Nothing changes then.
    pub(super) fn apply(
        &mut self,
        asked: &AuthRequest,
        header: Option<&RequestHeader>,
    ) -> Result<AuthResponse, Error> {
        let user = header.map_or("", |header| &header.username);
        if !self.allows_management(user, asked) {
            return Err(match user {
                "" => Error::UserEmpty,
                user if !self.users.contains_key(user) => Error::UserNotFound,
                _ => Error::PermissionDenied,
            });
        }
        if self.enabled && takes_from_root(asked) {
            return Err(Error::InvalidAuthMgmt);
        }
        let before = (self.users.clone(), self.roles.clone());
        let response = self.execute(asked)?;
        let changes_password = matches!(asked, AuthRequest::AuthUserChangePassword(_));
        let switches_off = matches!(asked, AuthRequest::AuthDisable(_)) && self.enabled;
        let grants_again = matches!(asked, AuthRequest::AuthRoleGrantPermission(_));
        if switches_off {
            self.enabled = false;
        }
        if switches_off
            || changes_password
            || grants_again
            || before != (self.users.clone(), self.roles.clone())
        {
            self.revision += 1;
        }
        Ok(response)
    }

    fn execute(&mut self, asked: &AuthRequest) -> Result<AuthResponse, Error> {
        Ok(match asked {
            AuthRequest::AuthEnable(_) => {
                if !self.enabled {
                    let root = self.users.get("root").ok_or(Error::RootUserNotExist)?;
                    if !root.roles.contains("root") {
                        return Err(Error::RootRoleNotExist);
                    }
                    self.enabled = true;
                }
                AuthResponse::Enable(api::AuthEnableResponse::default())
            }
            AuthRequest::AuthDisable(_) => AuthResponse::Disable(api::AuthDisableResponse::default()),
            AuthRequest::AuthStatus(_) => AuthResponse::Status(api::AuthStatusResponse {
                header: None,
                enabled: self.enabled,
                auth_revision: self.revision,
            }),
            AuthRequest::Authenticate(asked) => {
                if !self.enabled {
                    return Err(Error::AuthNotEnabled);
                }
                if !self.users.get(&asked.name).is_some_and(|user| user.has_password) {
                    return Err(Error::AuthFailed);
                }
                let token = asked.simple_token.clone();
                AuthResponse::Authenticate(api::AuthenticateResponse { header: None, token })
            }
            AuthRequest::AuthUserAdd(asked) => {
                if asked.name.is_empty() {
                    return Err(Error::UserEmpty);
                }
                if self.users.contains_key(&asked.name) {
                    return Err(Error::UserAlreadyExist);
                }
                let has_password = !asked.options.is_some_and(|options| options.no_password);
                if has_password && !is_base64(&asked.hashed_password) {
                    return Err(Error::NoPasswordUser);
                }
                self.users.insert(asked.name.clone(), User { has_password, roles: BTreeSet::new() });
                AuthResponse::UserAdd(api::AuthUserAddResponse::default())
            }
            AuthRequest::AuthUserDelete(asked) => {
                self.users.remove(&asked.name).ok_or(Error::UserNotFound)?;
                AuthResponse::UserDelete(api::AuthUserDeleteResponse::default())
            }
            AuthRequest::AuthUserGet(asked) => {
                let user = self.users.get(&asked.name).ok_or(Error::UserNotFound)?;
                let roles = user.roles.iter().cloned().collect();
                AuthResponse::UserGet(api::AuthUserGetResponse { header: None, roles })
            }
            AuthRequest::AuthUserChangePassword(asked) => {
                let user = self.users.get(&asked.name).ok_or(Error::UserNotFound)?;
                if user.has_password && !is_base64(&asked.hashed_password) {
                    return Err(Error::NoPasswordUser);
                }
                AuthResponse::UserChangePassword(api::AuthUserChangePasswordResponse::default())
            }
            AuthRequest::AuthUserGrantRole(asked) => {
                let user = self.users.get_mut(&asked.user).ok_or(Error::UserNotFound)?;
                if asked.role != "root" && !self.roles.contains_key(&asked.role) {
                    return Err(Error::RoleNotFound);
                }
                user.roles.insert(asked.role.clone());
                AuthResponse::UserGrantRole(api::AuthUserGrantRoleResponse::default())
            }
            AuthRequest::AuthUserRevokeRole(asked) => {
                let user = self.users.get_mut(&asked.name).ok_or(Error::UserNotFound)?;
                if !user.roles.remove(&asked.role) {
                    return Err(Error::RoleNotGranted);
                }
                AuthResponse::UserRevokeRole(api::AuthUserRevokeRoleResponse::default())
            }
            AuthRequest::AuthUserList(_) => {
                let users = self.users.keys().cloned().collect();
                AuthResponse::UserList(api::AuthUserListResponse { header: None, users })
            }
            AuthRequest::AuthRoleList(_) => {
                let roles = self.roles.keys().cloned().collect();
                AuthResponse::RoleList(api::AuthRoleListResponse { header: None, roles })
            }
            AuthRequest::AuthRoleAdd(asked) => {
                if asked.name.is_empty() {
                    return Err(Error::RoleEmpty);
                }
                if self.roles.contains_key(&asked.name) {
                    return Err(Error::RoleAlreadyExist);
                }
                self.roles.insert(asked.name.clone(), Vec::new());
                AuthResponse::RoleAdd(api::AuthRoleAddResponse::default())
            }
            AuthRequest::AuthRoleDelete(asked) => {
                self.roles.remove(&asked.role).ok_or(Error::RoleNotFound)?;
                for user in self.users.values_mut() {
                    user.roles.remove(&asked.role);
                }
                AuthResponse::RoleDelete(api::AuthRoleDeleteResponse::default())
            }
            AuthRequest::AuthRoleGet(asked) => {
                let mut perm = self.roles.get(&asked.role).ok_or(Error::RoleNotFound)?.clone();
                if asked.role == "root" {
                    let (key, range_end) = (Bytes::new(), Bytes::from_static(b"\0"));
                    perm = vec![authpb::Permission { perm_type: Type::Readwrite.into(), key, range_end }];
                }
                AuthResponse::RoleGet(api::AuthRoleGetResponse { header: None, perm })
            }
            AuthRequest::AuthRoleGrantPermission(asked) => {
                let granted = asked.perm.clone().ok_or(Error::PermissionNotGiven)?;
                let begins_before_its_end = match &granted.range_end[..] {
                    [] | [0] => true,
                    end => granted.key[..] < *end,
                };
                if granted.key.is_empty() || !begins_before_its_end {
                    return Err(Error::InvalidAuthMgmt);
                }
                let role = self.roles.get_mut(&asked.name).ok_or(Error::RoleNotFound)?;
                // etcd looks only at the first of those that begin with the same key.
                match role.iter_mut().find(|known| known.key == granted.key) {
                    Some(known) if known.range_end == granted.range_end => {
                        known.perm_type = granted.perm_type
                    }
                    _ => {
                        role.push(granted);
                        role.sort_by(|one, other| one.key.cmp(&other.key));
                    }
                }
                AuthResponse::RoleGrantPermission(api::AuthRoleGrantPermissionResponse::default())
            }
            AuthRequest::AuthRoleRevokePermission(asked) => {
                let role = self.roles.get_mut(&asked.role).ok_or(Error::RoleNotFound)?;
                let is_meant = |known: &authpb::Permission| {
                    (&known.key, &known.range_end) == (&asked.key, &asked.range_end)
                };
                if !role.iter().any(is_meant) {
                    return Err(Error::PermissionNotGranted);
                }
                role.retain(|known| !is_meant(known));
                AuthResponse::RoleRevokePermission(api::AuthRoleRevokePermissionResponse::default())
            }
        })
    }
}

/// Whether it would leave nobody to look after users and roles.
fn takes_from_root(asked: &AuthRequest) -> bool {
    match asked {
        AuthRequest::AuthUserDelete(asked) => asked.name == "root",
        AuthRequest::AuthRoleDelete(asked) => asked.role == "root",
        AuthRequest::AuthUserRevokeRole(asked) => (&asked.name[..], &asked.role[..]) == ("root", "root"),
        _ => false,
    }
}

/// The first key behind the range; nothing if there is none.
fn end_of(key: &Bytes, range_end: &Bytes) -> Option<Bytes> {
    match &range_end[..] {
        [] => Some([key, &b"\0"[..]].concat().into()),
        [0] => None,
        _ => Some(range_end.clone()),
    }
}

/// Everything that somebody must be allowed who asks for this, in the order in which etcd asks.
fn needs(request: &InternalRaftRequest, keys_of: &dyn Fn(i64) -> Vec<Bytes>) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(put) = &request.put {
        needs_of_put(put, keys_of, &mut needs);
    }
    if let Some(delete) = &request.delete_range {
        let need = |writes| need(writes, &delete.key, &delete.range_end);
        needs.push(need(true));
        needs.extend(delete.prev_kv.then(|| need(false)));
    }
    if let Some(txn) = &request.txn {
        needs_of_txn(txn, keys_of, &mut needs);
    }
    if let Some(revoke) = &request.lease_revoke {
        needs_of_lease(revoke.id, keys_of, &mut needs);
    }
    needs
}

fn need(writes: bool, key: &Bytes, range_end: &Bytes) -> Need {
    Need { writes, key: key.clone(), range_end: range_end.clone(), for_lease: false }
}

fn needs_of_lease(id: i64, keys_of: &dyn Fn(i64) -> Vec<Bytes>, needs: &mut Vec<Need>) {
    let keys = if id == 0 { Vec::new() } else { keys_of(id) };
    needs.extend(keys.iter().map(|key| Need { for_lease: true, ..need(true, key, &Bytes::new()) }));
}

fn needs_of_put(put: &PutRequest, keys_of: &dyn Fn(i64) -> Vec<Bytes>, needs: &mut Vec<Need>) {
    needs.push(need(true, &put.key, &Bytes::new()));
    needs_of_lease(put.lease, keys_of, needs);
    if put.prev_kv {
        needs.push(need(false, &put.key, &Bytes::new()));
    }
}

fn needs_of_txn(txn: &TxnRequest, keys_of: &dyn Fn(i64) -> Vec<Bytes>, needs: &mut Vec<Need>) {
    for compare in &txn.compare {
        needs.push(need(false, &compare.key, &compare.range_end));
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Op::RequestRange(read)) => needs.push(need(false, &read.key, &read.range_end)),
            Some(Op::RequestPut(put)) => needs_of_put(put, keys_of, needs),
            Some(Op::RequestDeleteRange(delete)) => {
                if delete.prev_kv {
                    needs.push(need(false, &delete.key, &delete.range_end));
                }
                needs.push(need(true, &delete.key, &delete.range_end));
            }
            Some(Op::RequestTxn(txn)) => needs_of_txn(txn, keys_of, needs),
            None => {}
        }
    }
}

/// Four characters of the alphabet at a time, of which the last ones may be `=`; line breaks do not count.
fn is_base64(text: &str) -> bool {
    let text: Vec<u8> = text.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    text.len().is_multiple_of(4) && padding <= 2 && text[..text.len() - padding].iter().all(is_digit)
}
