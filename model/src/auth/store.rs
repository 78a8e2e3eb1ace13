//! Users and roles, in memory and in the backend.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use super::check::is_root;
use super::permission::{self, Access, Permitted, hash_message};
use super::{AuthResponse, ROOT, password};
use crate::api::authpb::{Permission, Role, User, permission::Type};
use crate::api::{
    AuthDisableResponse, AuthEnableResponse, AuthRequest, AuthRoleAddRequest, AuthRoleAddResponse,
    AuthRoleDeleteRequest, AuthRoleDeleteResponse, AuthRoleGetResponse, AuthRoleGrantPermissionRequest,
    AuthRoleGrantPermissionResponse, AuthRoleListResponse, AuthRoleRevokePermissionRequest,
    AuthRoleRevokePermissionResponse, AuthStatusResponse, AuthUserAddRequest, AuthUserAddResponse,
    AuthUserChangePasswordRequest, AuthUserChangePasswordResponse, AuthUserDeleteRequest,
    AuthUserDeleteResponse, AuthUserGetResponse, AuthUserGrantRoleRequest, AuthUserGrantRoleResponse,
    AuthUserListResponse, AuthUserRevokeRoleRequest, AuthUserRevokeRoleResponse, AuthenticateResponse,
    InternalAuthenticateRequest,
};
use crate::backend::Bucket;
use crate::defect::{Defect, Defects};
use crate::error::Error;
use crate::mvcc::{Read, Write};

/// The revision of a store that nothing was written to. etcd writes it down when it first starts; here it is what holds
/// while nothing is written down.
const FIRST_REVISION: u64 = 1;

const ENABLED: &[u8] = b"authEnabled";
const REVISION: &[u8] = b"authRevision";

/// Behind every name.
const END: &[u8] = &[0xff];

/// Users, roles, and whether anybody asks.
///
/// What is in memory follows from what is in the backend's buckets, of which every method that changes something gets a
/// view. Two stores that applied the same are equal.
#[derive(Clone, PartialEq, Debug)]
pub struct AuthStore {
    enabled: bool,
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    /// By user.
    permitted: BTreeMap<String, Permitted>,
    hash: u64,
    defects: Defects,
}

impl Default for AuthStore {
    fn default() -> Self {
        Self {
            enabled: false,
            revision: FIRST_REVISION,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            permitted: BTreeMap::new(),
            hash: 0,
            defects: Defects::NONE,
        }
    }
}

impl AuthStore {
    /// The same, with these bugs.
    #[must_use]
    pub fn with(self, defects: Defects) -> Self {
        Self { defects, ..self }
    }

    pub(super) fn has(&self, defect: Defect) -> bool {
        self.defects.has(defect)
    }

    /// The store of a backend.
    ///
    /// # Panics
    ///
    /// If a user or a role cannot be decoded, as etcd does.
    #[must_use]
    pub fn recover(tx: &impl Read) -> Self {
        let Some(revision) = tx.get(Bucket::Auth, REVISION) else { return Self::default() };
        let revision = revision[..].try_into().map_or(0, u64::from_be_bytes);
        let enabled = tx.get(Bucket::Auth, ENABLED).is_some_and(|enabled| enabled[..] == [1]);
        let mut store = Self { enabled, revision, ..Self::default() };
        for (name, user) in tx.range(Bucket::AuthUsers, b"", END, usize::MAX) {
            let user = User::decode(user).unwrap_or_else(|error| panic!("a user cannot be decoded: {error}"));
            store.users.insert(text(&name), user);
        }
        for (name, role) in tx.range(Bucket::AuthRoles, b"", END, usize::MAX) {
            let role = Role::decode(role).unwrap_or_else(|error| panic!("a role cannot be decoded: {error}"));
            store.roles.insert(text(&name), role);
        }
        store.refresh();
        store
    }

    /// Whether callers must say who they are.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// How often users, roles and permissions have changed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many users and roles there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.users.len() + self.roles.len()
    }

    /// A hash of everything. Members that have applied the same must have the same.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn roles_of(&self, user: &str) -> Option<&[String]> {
        self.users.get(user).map(|user| &user.roles[..])
    }

    pub(super) fn permits(&self, user: &str, access: Access, key: &[u8], range_end: &Bytes) -> bool {
        self.permitted.get(user).is_some_and(|permitted| permitted.allows(access, key, range_end))
    }

    /// Whether the password is that of the user; the revision at which it is.
    ///
    /// # Errors
    ///
    /// `AuthNotEnabled`, `AuthFailed`, `NoPasswordUser`.
    pub fn check_password(&self, user: &str, password: &str) -> Result<u64, Error> {
        if !self.enabled {
            return Err(Error::AuthNotEnabled);
        }
        let user = self.users.get(user).ok_or(Error::AuthFailed)?;
        if has_no_password(user) {
            return Err(Error::NoPasswordUser);
        }
        if password::fits(password, &user.password) { Ok(self.revision) } else { Err(Error::AuthFailed) }
    }

    /// Answers what changes nothing; nothing for what may. Tokens are none of the store's business.
    ///
    /// # Errors
    ///
    /// `AuthNotEnabled`, `AuthFailed`, `UserNotFound`, `RoleNotFound`.
    #[must_use]
    pub fn answer(&self, request: &AuthRequest) -> Option<Result<AuthResponse, Error>> {
        Some(match request {
            AuthRequest::AuthStatus(_) => Ok(AuthResponse::Status(AuthStatusResponse {
                header: None,
                enabled: self.enabled,
                auth_revision: self.revision,
            })),
            AuthRequest::Authenticate(request) => self.authenticate(request),
            AuthRequest::AuthUserGet(request) => {
                let user = self.users.get(&request.name).ok_or(Error::UserNotFound);
                user.map(|user| {
                    AuthResponse::UserGet(AuthUserGetResponse { header: None, roles: user.roles.clone() })
                })
            }
            AuthRequest::AuthUserList(_) => {
                let users = self.users.keys().cloned().collect();
                Ok(AuthResponse::UserList(AuthUserListResponse { header: None, users }))
            }
            AuthRequest::AuthRoleGet(request) => {
                let found = self.roles.get(&request.role).ok_or(Error::RoleNotFound);
                found.map(|found| {
                    let perm =
                        if request.role == ROOT { vec![all_keys()] } else { found.key_permission.clone() };
                    AuthResponse::RoleGet(AuthRoleGetResponse { header: None, perm })
                })
            }
            AuthRequest::AuthRoleList(_) => {
                let roles = self.roles.keys().cloned().collect();
                Ok(AuthResponse::RoleList(AuthRoleListResponse { header: None, roles }))
            }
            _ => return None,
        })
    }

    /// What was proposed passed the check of the password; the member gives the token.
    fn authenticate(&self, request: &InternalAuthenticateRequest) -> Result<AuthResponse, Error> {
        if !self.enabled {
            return Err(Error::AuthNotEnabled);
        }
        match self.users.get(&request.name) {
            Some(user) if !has_no_password(user) => {
                Ok(AuthResponse::Authenticate(AuthenticateResponse::default()))
            }
            _ => Err(Error::AuthFailed),
        }
    }

    /// Applies what may change something.
    ///
    /// # Errors
    ///
    /// Those of etcd's auth store; `UnknownMethod` for what [only asks](Self::answer). Nothing changes then.
    pub fn apply(&mut self, tx: &mut impl Write, request: &AuthRequest) -> Result<AuthResponse, Error> {
        let before = (self.enabled, self.revision);
        let response = match request {
            AuthRequest::AuthEnable(_) => self.enable(tx).map(AuthResponse::Enable),
            AuthRequest::AuthDisable(_) => {
                self.disable(tx);
                Ok(AuthResponse::Disable(AuthDisableResponse::default()))
            }
            AuthRequest::AuthUserAdd(request) => self.user_add(tx, request).map(AuthResponse::UserAdd),
            AuthRequest::AuthUserDelete(request) => {
                self.user_delete(tx, request).map(AuthResponse::UserDelete)
            }
            AuthRequest::AuthUserChangePassword(request) => {
                self.user_change_password(tx, request).map(AuthResponse::UserChangePassword)
            }
            AuthRequest::AuthUserGrantRole(request) => {
                self.user_grant_role(tx, request).map(AuthResponse::UserGrantRole)
            }
            AuthRequest::AuthUserRevokeRole(request) => {
                self.user_revoke_role(tx, request).map(AuthResponse::UserRevokeRole)
            }
            AuthRequest::AuthRoleAdd(request) => self.role_add(tx, request).map(AuthResponse::RoleAdd),
            AuthRequest::AuthRoleDelete(request) => {
                self.role_delete(tx, request).map(AuthResponse::RoleDelete)
            }
            AuthRequest::AuthRoleGrantPermission(request) => {
                self.role_grant_permission(tx, request).map(AuthResponse::RoleGrantPermission)
            }
            AuthRequest::AuthRoleRevokePermission(request) => {
                self.role_revoke_permission(tx, request).map(AuthResponse::RoleRevokePermission)
            }
            AuthRequest::AuthStatus(_)
            | AuthRequest::Authenticate(_)
            | AuthRequest::AuthUserGet(_)
            | AuthRequest::AuthUserList(_)
            | AuthRequest::AuthRoleGet(_)
            | AuthRequest::AuthRoleList(_) => Err(Error::UnknownMethod),
        };
        if (self.enabled, self.revision) != before {
            self.refresh();
        }
        response
    }

    /// Works out what follows from users and roles.
    fn refresh(&mut self) {
        let permitted =
            |user: &User| Permitted::by(user.roles.iter().filter_map(|role| self.roles.get(role)));
        self.permitted = self.users.iter().map(|(name, user)| (name.clone(), permitted(user))).collect();
        self.rehash();
    }

    /// Believes what the roles of users came to before.
    pub(crate) fn believe_permissions_of(&mut self, before: &Self) {
        self.permitted = before.permitted.clone();
        self.rehash();
    }

    fn rehash(&mut self) {
        let mut hash = self.revision << 1 | u64::from(self.enabled);
        hash = self.users.values().fold(hash, |hash, user| hash_message(user, hash));
        hash = self.roles.values().fold(hash, |hash, role| hash_message(role, hash));
        self.hash = self.permitted.values().fold(hash, |hash, permitted| permitted.hash(hash));
    }

    fn commit_revision(&mut self, tx: &mut impl Write) {
        self.revision += 1;
        let revision = Bytes::copy_from_slice(&self.revision.to_be_bytes());
        tx.put(Bucket::Auth, Bytes::from_static(REVISION), revision);
    }

    fn save_enabled(&mut self, tx: &mut impl Write, enabled: bool) {
        self.enabled = enabled;
        let enabled = if enabled { &[1] } else { &[0] };
        tx.put(Bucket::Auth, Bytes::from_static(ENABLED), Bytes::from_static(enabled));
    }

    fn put_user(&mut self, tx: &mut impl Write, user: User) {
        tx.put(Bucket::AuthUsers, user.name.clone(), user.encode_to_vec().into());
        self.users.insert(text(&user.name), user);
    }

    fn put_role(&mut self, tx: &mut impl Write, role: Role) {
        tx.put(Bucket::AuthRoles, role.name.clone(), role.encode_to_vec().into());
        self.roles.insert(text(&role.name), role);
    }

    fn enable(&mut self, tx: &mut impl Write) -> Result<AuthEnableResponse, Error> {
        if !self.enabled {
            let root = self.users.get(ROOT).ok_or(Error::RootUserNotExist)?;
            if !is_root(&root.roles) {
                return Err(Error::RootRoleNotExist);
            }
            self.save_enabled(tx, true);
        }
        Ok(AuthEnableResponse::default())
    }

    fn disable(&mut self, tx: &mut impl Write) {
        if self.enabled {
            self.save_enabled(tx, false);
            self.commit_revision(tx);
        }
    }

    fn user_add(
        &mut self,
        tx: &mut impl Write,
        request: &AuthUserAddRequest,
    ) -> Result<AuthUserAddResponse, Error> {
        if request.name.is_empty() {
            return Err(Error::UserEmpty);
        }
        if self.users.contains_key(&request.name) {
            return Err(Error::UserAlreadyExist);
        }
        let options = request.options.unwrap_or_default();
        let password = password_of(options.no_password, &request.hashed_password)?;
        let (name, options) = (bytes(&request.name), Some(options));
        self.put_user(tx, User { name, password, roles: Vec::new(), options });
        self.commit_revision(tx);
        Ok(AuthUserAddResponse::default())
    }

    fn user_delete(
        &mut self,
        tx: &mut impl Write,
        request: &AuthUserDeleteRequest,
    ) -> Result<AuthUserDeleteResponse, Error> {
        if self.enabled && request.name == ROOT {
            return Err(Error::InvalidAuthMgmt);
        }
        let user = self.users.remove(&request.name).ok_or(Error::UserNotFound)?;
        tx.delete(Bucket::AuthUsers, user.name);
        self.commit_revision(tx);
        Ok(AuthUserDeleteResponse::default())
    }

    fn user_change_password(
        &mut self,
        tx: &mut impl Write,
        request: &AuthUserChangePasswordRequest,
    ) -> Result<AuthUserChangePasswordResponse, Error> {
        let user = self.users.get(&request.name).ok_or(Error::UserNotFound)?;
        let password = password_of(has_no_password(user), &request.hashed_password)?;
        let user = User { password, ..user.clone() };
        self.put_user(tx, user);
        self.commit_revision(tx);
        Ok(AuthUserChangePasswordResponse::default())
    }

    fn user_grant_role(
        &mut self,
        tx: &mut impl Write,
        request: &AuthUserGrantRoleRequest,
    ) -> Result<AuthUserGrantRoleResponse, Error> {
        let user = self.users.get(&request.user).ok_or(Error::UserNotFound)?;
        if request.role != ROOT && !self.roles.contains_key(&request.role) {
            return Err(Error::RoleNotFound);
        }
        if let Err(place) = user.roles.binary_search(&request.role) {
            let mut user = user.clone();
            user.roles.insert(place, request.role.clone());
            self.put_user(tx, user);
            self.commit_revision(tx);
        }
        Ok(AuthUserGrantRoleResponse::default())
    }

    fn user_revoke_role(
        &mut self,
        tx: &mut impl Write,
        request: &AuthUserRevokeRoleRequest,
    ) -> Result<AuthUserRevokeRoleResponse, Error> {
        if self.enabled && request.name == ROOT && request.role == ROOT {
            return Err(Error::InvalidAuthMgmt);
        }
        let user = self.users.get(&request.name).ok_or(Error::UserNotFound)?;
        let user = without_role(user, &request.role).ok_or(Error::RoleNotGranted)?;
        self.put_user(tx, user);
        self.commit_revision(tx);
        Ok(AuthUserRevokeRoleResponse::default())
    }

    fn role_add(
        &mut self,
        tx: &mut impl Write,
        request: &AuthRoleAddRequest,
    ) -> Result<AuthRoleAddResponse, Error> {
        if request.name.is_empty() {
            return Err(Error::RoleEmpty);
        }
        if self.roles.contains_key(&request.name) {
            return Err(Error::RoleAlreadyExist);
        }
        self.put_role(tx, Role { name: bytes(&request.name), key_permission: Vec::new() });
        self.commit_revision(tx);
        Ok(AuthRoleAddResponse::default())
    }

    fn role_delete(
        &mut self,
        tx: &mut impl Write,
        request: &AuthRoleDeleteRequest,
    ) -> Result<AuthRoleDeleteResponse, Error> {
        if self.enabled && request.role == ROOT {
            return Err(Error::InvalidAuthMgmt);
        }
        let role = self.roles.remove(&request.role).ok_or(Error::RoleNotFound)?;
        tx.delete(Bucket::AuthRoles, role.name);
        let changed = self.users.values().filter_map(|user| without_role(user, &request.role));
        for user in changed.collect::<Vec<_>>() {
            self.put_user(tx, user);
        }
        self.commit_revision(tx);
        Ok(AuthRoleDeleteResponse::default())
    }

    fn role_grant_permission(
        &mut self,
        tx: &mut impl Write,
        request: &AuthRoleGrantPermissionRequest,
    ) -> Result<AuthRoleGrantPermissionResponse, Error> {
        let granted = request.perm.as_ref().ok_or(Error::PermissionNotGiven)?;
        if !permission::is_valid(granted) {
            return Err(Error::InvalidAuthMgmt);
        }
        let mut role = self.roles.get(&request.name).ok_or(Error::RoleNotFound)?.clone();
        // As in etcd, of several permissions that begin with one key only the first is compared.
        let place = role.key_permission.partition_point(|permission| permission.key < granted.key);
        match role.key_permission.get_mut(place) {
            Some(known) if known.key == granted.key && known.range_end == granted.range_end => {
                known.perm_type = granted.perm_type;
            }
            _ => {
                // etcd's sort, for so few, leaves those with equal keys in their order.
                let behind = role.key_permission.partition_point(|permission| permission.key <= granted.key);
                role.key_permission.insert(behind, granted.clone());
            }
        }
        self.put_role(tx, role);
        self.commit_revision(tx);
        Ok(AuthRoleGrantPermissionResponse::default())
    }

    fn role_revoke_permission(
        &mut self,
        tx: &mut impl Write,
        request: &AuthRoleRevokePermissionRequest,
    ) -> Result<AuthRoleRevokePermissionResponse, Error> {
        let mut role = self.roles.get(&request.role).ok_or(Error::RoleNotFound)?.clone();
        let before = role.key_permission.len();
        role.key_permission.retain(|known| known.key != request.key || known.range_end != request.range_end);
        if role.key_permission.len() == before {
            return Err(Error::PermissionNotGranted);
        }
        self.put_role(tx, role);
        self.commit_revision(tx);
        Ok(AuthRoleRevokePermissionResponse::default())
    }
}

/// The user without a role; nothing if it does not have it.
fn without_role(user: &User, role: &str) -> Option<User> {
    let place = user.roles.iter().position(|has| has == role)?;
    let mut user = user.clone();
    user.roles.remove(place);
    Some(user)
}

/// What is kept of a password. That it is no hash, etcd tells in the words that it has for a user without one.
fn password_of(is_without: bool, hashed: &str) -> Result<Bytes, Error> {
    match (is_without, password::is_hash(hashed)) {
        (true, _) => Ok(Bytes::new()),
        (false, true) => Ok(bytes(hashed)),
        (false, false) => Err(Error::NoPasswordUser),
    }
}

fn has_no_password(user: &User) -> bool {
    user.options.is_some_and(|options| options.no_password)
}

/// What the role `root` is told to have.
fn all_keys() -> Permission {
    let range_end = Bytes::from_static(b"\0");
    Permission { perm_type: Type::Readwrite.into(), key: Bytes::new(), range_end }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn text(name: &Bytes) -> String {
    String::from_utf8_lossy(name).into_owned()
}
