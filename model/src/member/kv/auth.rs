//! The users and roles of a member, and the tokens that it knows.

use std::cell::Ref;

use vertebra_sim::{record, sometimes};

use super::Kv;
use crate::api::{AuthRequest, InternalRaftRequest};
use crate::auth::{AuthResponse, AuthStore, Caller, Shown};
use crate::backend::BackendError;
use crate::defect::Defect;
use crate::error::Error;
use crate::response::Response;

impl Kv {
    pub(in crate::member) fn auth(&self) -> Ref<'_, AuthStore> {
        self.auth.borrow()
    }

    /// Whether a request for keys or leases may be applied.
    pub(in crate::member) fn check_auth(&self, request: &InternalRaftRequest) -> Result<(), Error> {
        if !self.auth.borrow().is_enabled() || self.defects.has(Defect::UncheckedAtApply) {
            return Ok(());
        }
        let result = self.auth.borrow().check(request, &self.lessor.borrow());
        sometimes!(
            self.node,
            "a write is refused when it is applied, for permissions changed since it was proposed",
            result == Err(Error::AuthOldRevision),
            when = |run| run.has("auth")
        );
        sometimes!(
            self.node,
            "a write is refused, for its user may not",
            result == Err(Error::PermissionDenied),
            when = |run| run.has("auth")
        );
        sometimes!(
            self.node,
            "authentication is switched on while a request of nobody is under way",
            result == Err(Error::UserEmpty),
            when = |run| run.has("auth")
        );
        result
    }

    /// Applies a request for users and roles, which stands at `index` of the log.
    pub(in crate::member) async fn apply_auth(
        &self,
        index: u64,
        request: &InternalRaftRequest,
        auth: &AuthRequest,
    ) -> Result<Result<Response, Error>, BackendError> {
        let allowed = self.auth.borrow().check_management(auth, &Caller::of(request));
        let answer = match allowed {
            Ok(()) => self.auth.borrow().answer(auth),
            Err(error) => Some(Err(error)),
        };
        let mut result = match answer {
            Some(answer) => answer,
            None => self.change_auth(auth).await?,
        };
        if let (Ok(AuthResponse::Authenticate(response)), AuthRequest::Authenticate(request)) =
            (&mut result, auth)
        {
            response.token = format!("{}.{index}", request.simple_token);
            self.tokens.borrow_mut().assign(&response.token, &request.name, self.node.monotonic());
        }
        Ok(result.map(|mut response| {
            *response.header_mut() = self.header();
            Response::Auth(response)
        }))
    }

    /// Changes users and roles. Readers see it at once and as a whole.
    async fn change_auth(&self, request: &AuthRequest) -> Result<Result<AuthResponse, Error>, BackendError> {
        let mut changed = self.auth.borrow().clone();
        let result = match self.defects.has(Defect::AuthWithoutIndex) {
            true => self.write_without_index(|tx| changed.apply(tx, request)).await?,
            false => self.write_unseen(|_, tx| changed.apply(tx, request)).await?,
        };
        if result.is_ok() {
            *self.auth.borrow_mut() = changed;
            self.update_tokens(request);
            record!(self.node, "auth", "{}: revision {}", Shown(request), self.auth.borrow().revision());
        }
        self.publish();
        // As in etcd, it does not wait for others.
        self.commit().await?;
        Ok(result)
    }

    fn update_tokens(&self, request: &AuthRequest) {
        let mut tokens = self.tokens.borrow_mut();
        match request {
            AuthRequest::AuthEnable(_) => tokens.enable(self.node.monotonic()),
            AuthRequest::AuthDisable(_) => tokens.disable(),
            _ if self.defects.has(Defect::TokensOutlivePasswords) => {}
            AuthRequest::AuthUserDelete(request) => tokens.invalidate(&request.name),
            AuthRequest::AuthUserChangePassword(request) => tokens.invalidate(&request.name),
            _ => {}
        }
    }

    /// Who has this token.
    pub(in crate::member) fn caller(&self, token: &str) -> Option<Caller> {
        let mut tokens = self.tokens.borrow_mut();
        let user = tokens.user(token, self.node.monotonic())?.to_owned();
        Some(Caller { user, revision: self.auth.borrow().revision() })
    }

    /// For oracles: whether authentication is on, and the auth revision.
    pub(crate) fn auth_state(&self) -> (bool, u64) {
        let auth = self.auth.borrow();
        (auth.is_enabled(), auth.revision())
    }

    /// Recovers users and roles from the backend, which has taken the place of another or is the first.
    ///
    /// No token is known any more. etcd keeps those that it knows when a snapshot is installed, and with them those of
    /// users whose password was changed, or who were deleted, by an entry that the snapshot stands for.
    pub(super) fn recover_auth(&self, is_replaced: bool) {
        let mut store = AuthStore::recover(&self.backend.borrow().read()).with(self.defects);
        if self.defects.has(Defect::StalePermissions) && is_replaced {
            store.believe_permissions_of(&self.auth.borrow());
        }
        let mut tokens = self.tokens.borrow_mut();
        tokens.disable();
        if store.is_enabled() {
            tokens.enable(self.node.monotonic());
        }
        if store.size() > 0 {
            let (size, revision) = (store.size() as u64, store.revision());
            record!(self.node, "auth", "{} users and roles are recovered, revision {}", size, revision);
            sometimes!(self.node, "users and roles are recovered", when = |run| run.has("auth"));
        }
        *self.auth.borrow_mut() = store;
    }
}
