//! What the Auth service is asked and answers.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::api::{
    AuthDisableResponse, AuthEnableResponse, AuthRequest, AuthRoleAddResponse, AuthRoleDeleteResponse,
    AuthRoleGetResponse, AuthRoleGrantPermissionResponse, AuthRoleListResponse,
    AuthRoleRevokePermissionResponse, AuthStatusResponse, AuthUserAddResponse,
    AuthUserChangePasswordResponse, AuthUserDeleteResponse, AuthUserGetResponse, AuthUserGrantRoleResponse,
    AuthUserListResponse, AuthUserRevokeRoleResponse, AuthenticateResponse, ResponseHeader,
};

/// A response of the Auth service.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is named like its request")]
pub enum AuthResponse {
    Enable(AuthEnableResponse),
    Disable(AuthDisableResponse),
    Status(AuthStatusResponse),
    Authenticate(AuthenticateResponse),
    UserAdd(AuthUserAddResponse),
    UserDelete(AuthUserDeleteResponse),
    UserGet(AuthUserGetResponse),
    UserChangePassword(AuthUserChangePasswordResponse),
    UserGrantRole(AuthUserGrantRoleResponse),
    UserRevokeRole(AuthUserRevokeRoleResponse),
    UserList(AuthUserListResponse),
    RoleAdd(AuthRoleAddResponse),
    RoleDelete(AuthRoleDeleteResponse),
    RoleGet(AuthRoleGetResponse),
    RoleList(AuthRoleListResponse),
    RoleGrantPermission(AuthRoleGrantPermissionResponse),
    RoleRevokePermission(AuthRoleRevokePermissionResponse),
}

/// The same for the message in whichever variant.
macro_rules! with_message {
    ($matched:expr, $message:ident => $result:expr) => {
        with_message!(@ $matched, $message, $result,
            Enable, Disable, Status, Authenticate, UserAdd, UserDelete, UserGet, UserChangePassword, UserGrantRole,
            UserRevokeRole, UserList, RoleAdd, RoleDelete, RoleGet, RoleList, RoleGrantPermission, RoleRevokePermission)
    };
    (@ $matched:expr, $message:ident, $result:expr, $($variant:ident),+) => {
        match $matched {
            $(AuthResponse::$variant($message) => $result),+
        }
    };
}

impl AuthResponse {
    /// The header.
    #[must_use]
    pub fn header(&self) -> Option<ResponseHeader> {
        with_message!(self, message => message.header)
    }

    /// The header, to be changed.
    pub fn header_mut(&mut self) -> &mut Option<ResponseHeader> {
        with_message!(self, message => &mut message.header)
    }

    /// The message as it goes over the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        with_message!(self, message => prost::Message::encode_to_vec(message))
    }

    /// The response as it comes out of encoding and decoding.
    pub(crate) fn pass_through_bytes(&mut self) {
        with_message!(self, message => crate::wire::pass_through_bytes(message));
    }
}

/// The kind of request, as it stands in signatures.
#[must_use]
pub fn kind(request: &AuthRequest) -> &'static str {
    match request {
        AuthRequest::AuthEnable(_) => "AuthEnable",
        AuthRequest::AuthDisable(_) => "AuthDisable",
        AuthRequest::AuthStatus(_) => "AuthStatus",
        AuthRequest::Authenticate(_) => "Authenticate",
        AuthRequest::AuthUserAdd(_) => "UserAdd",
        AuthRequest::AuthUserDelete(_) => "UserDelete",
        AuthRequest::AuthUserGet(_) => "UserGet",
        AuthRequest::AuthUserChangePassword(_) => "UserChangePassword",
        AuthRequest::AuthUserGrantRole(_) => "UserGrantRole",
        AuthRequest::AuthUserRevokeRole(_) => "UserRevokeRole",
        AuthRequest::AuthUserList(_) => "UserList",
        AuthRequest::AuthRoleList(_) => "RoleList",
        AuthRequest::AuthRoleAdd(_) => "RoleAdd",
        AuthRequest::AuthRoleDelete(_) => "RoleDelete",
        AuthRequest::AuthRoleGet(_) => "RoleGet",
        AuthRequest::AuthRoleGrantPermission(_) => "RoleGrantPermission",
        AuthRequest::AuthRoleRevokePermission(_) => "RoleRevokePermission",
    }
}

/// What a request is about, in a word or two. Its content is in the digest with the message that it came in.
pub(crate) struct Shown<'a>(pub(crate) &'a AuthRequest);

impl Hash for Shown<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        kind(self.0).hash(state);
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(kind(self.0))?;
        match self.0 {
            AuthRequest::Authenticate(request) => write!(f, " {}", request.name),
            AuthRequest::AuthUserAdd(request) => write!(f, " {}", request.name),
            AuthRequest::AuthUserDelete(request) => write!(f, " {}", request.name),
            AuthRequest::AuthUserGet(request) => write!(f, " {}", request.name),
            AuthRequest::AuthUserChangePassword(request) => write!(f, " {}", request.name),
            AuthRequest::AuthUserGrantRole(request) => write!(f, " {} to {}", request.role, request.user),
            AuthRequest::AuthUserRevokeRole(request) => write!(f, " {} from {}", request.role, request.name),
            AuthRequest::AuthRoleAdd(request) => write!(f, " {}", request.name),
            AuthRequest::AuthRoleDelete(request) => write!(f, " {}", request.role),
            AuthRequest::AuthRoleGet(request) => write!(f, " {}", request.role),
            AuthRequest::AuthRoleGrantPermission(request) => {
                write!(f, " to {}", request.name)?;
                let Some(permission) = &request.perm else { return Ok(()) };
                let (key, end) = (permission.key.escape_ascii(), permission.range_end.escape_ascii());
                write!(f, ": {} \"{key}\"..\"{end}\"", permission.perm_type().as_str_name())
            }
            AuthRequest::AuthRoleRevokePermission(request) => {
                let (key, end) = (request.key.escape_ascii(), request.range_end.escape_ascii());
                write!(f, " from {}: \"{key}\"..\"{end}\"", request.role)
            }
            AuthRequest::AuthEnable(_)
            | AuthRequest::AuthDisable(_)
            | AuthRequest::AuthStatus(_)
            | AuthRequest::AuthUserList(_)
            | AuthRequest::AuthRoleList(_) => Ok(()),
        }
    }
}

/// A request of which this is the proposal, with some password in place of the one that is only known by its hash; none
/// for an authentication, which changes nothing.
pub(crate) fn asked_by(proposed: &AuthRequest) -> Option<AuthRequest> {
    let mut asked = proposed.clone();
    match &mut asked {
        AuthRequest::Authenticate(_) => return None,
        AuthRequest::AuthUserChangePassword(asked) if !asked.hashed_password.is_empty() => {
            "?".clone_into(&mut asked.password);
        }
        _ => {}
    }
    Some(asked)
}

/// Whether `proposed` is what a member proposes for `asked`: it has hashed a password, or chosen a token.
#[must_use]
pub fn is_proposal_for(proposed: &AuthRequest, asked: &AuthRequest) -> bool {
    match (proposed, asked) {
        (AuthRequest::Authenticate(proposed), AuthRequest::Authenticate(asked)) => {
            proposed.name == asked.name && proposed.password.is_empty()
        }
        (AuthRequest::AuthUserAdd(proposed), AuthRequest::AuthUserAdd(asked)) => {
            let hashes = !asked.options.is_some_and(|options| options.no_password);
            // Where there is nothing to hash, what the caller sent, also for a password, is taken as it is.
            let is_as_told = if hashes {
                proposed.password.is_empty() && !proposed.hashed_password.is_empty()
            } else {
                (&proposed.password, &proposed.hashed_password) == (&asked.password, &asked.hashed_password)
            };
            proposed.name == asked.name && proposed.options == asked.options && is_as_told
        }
        (AuthRequest::AuthUserChangePassword(proposed), AuthRequest::AuthUserChangePassword(asked)) => {
            let hashes = !asked.password.is_empty();
            let is_hash = if hashes {
                !proposed.hashed_password.is_empty()
            } else {
                proposed.hashed_password == asked.hashed_password
            };
            proposed.name == asked.name && proposed.password.is_empty() && is_hash
        }
        (proposed, asked) => proposed == asked,
    }
}
