//! Who asks, and whether they may: what a member checks before it proposes or reads anything, and what it proposes for
//! the Auth service.

use std::time::Duration;

use vertebra_sim::{before, record, sometimes};

use super::Member;
use super::server::Origin;
use crate::api::{
    AuthRequest, AuthUserAddRequest, AuthUserChangePasswordRequest, InternalAuthenticateRequest,
    InternalRaftRequest,
};
use crate::auth::{AuthStore, Caller, ROOT, password, token_index};
use crate::error::Error;
use crate::lessor::Lessor;
use crate::response::Response;
use crate::wire::Token;

/// How long an answer takes between the look at the permissions and the end of the read. Users and roles can change
/// meanwhile.
const READING: Duration = Duration::from_micros(200);

impl Member {
    /// Who sends a token; nobody where no token is asked for, or none is sent.
    ///
    /// # Errors
    ///
    /// `InvalidAuthToken`; `TimedOut` if this member does not come to the entry that the token is of.
    pub(super) async fn caller(&self, token: Option<&Token>) -> Result<Caller, Error> {
        match token.filter(|_| self.kv.auth().is_enabled()) {
            Some(token) => Box::pin(self.caller_of(token)).await,
            None => Ok(Caller::default()),
        }
    }

    async fn caller_of(&self, token: &Token) -> Result<Caller, Error> {
        let index = token_index(token).ok_or(Error::InvalidAuthToken)?;
        if self.applied.get() < index {
            sometimes!(
                self.node,
                "a token is used at a member that has not come to it",
                when = |run| run.has("auth") && run.members > 1
            );
            let deadline = self.node.sleep(self.request_timeout());
            before(deadline, self.wait_applied(index)).await.ok_or(Error::TimedOut)?;
        }
        self.kv.caller(token).ok_or_else(|| {
            sometimes!(self.node, "a token is refused", when = |run| run.has("auth"));
            Error::InvalidAuthToken
        })
    }

    /// The same, where there must be somebody if anybody asks.
    pub(super) async fn require_caller(&self, token: Option<&Token>) -> Result<Caller, Error> {
        let caller = self.caller(token).await?;
        if self.kv.auth().is_enabled() && caller.user.is_empty() { Err(Error::UserEmpty) } else { Ok(caller) }
    }

    /// Lets only those pass who may do everything.
    pub(super) async fn require_root(&self, token: Option<&Token>) -> Result<(), Error> {
        let caller = self.caller(token).await?;
        self.kv.auth().is_admin(&caller)
    }

    /// Lets `read` answer whom `check` lets pass.
    pub(super) async fn read_as<T>(
        &self,
        token: Option<&Token>,
        check: impl FnOnce(&AuthStore, &Caller, &Lessor) -> Result<(), Error>,
        read: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        if !self.kv.auth().is_enabled() {
            return read();
        }
        let checked = async {
            let caller = self.caller(token).await?;
            check(&self.kv.auth(), &caller, &self.kv.lessor())?;
            self.node.sleep(READING).await;
            let result = read();
            // As in etcd, who was not asked for a token is not asked again.
            if caller.revision != 0 && caller.revision != self.kv.auth().revision() {
                sometimes!(
                    self.node,
                    "a read is refused, for permissions changed under it",
                    when = |run| run.has("auth")
                );
                return Err(Error::AuthOldRevision);
            }
            result
        };
        Box::pin(checked).await
    }

    /// Answers the Auth service.
    pub(super) async fn auth_service(
        &self,
        origin: &Origin,
        mut request: AuthRequest,
    ) -> Result<Response, Error> {
        match &mut request {
            AuthRequest::Authenticate(request) => {
                return self.authenticate(origin, &request.name, &request.password).await;
            }
            AuthRequest::AuthUserAdd(request) => {
                let AuthUserAddRequest { password, options, hashed_password, .. } = &mut **request;
                if !options.is_some_and(|options| options.no_password) {
                    *hashed_password = password::hash(password, self.draw());
                    password.clear();
                }
            }
            AuthRequest::AuthUserChangePassword(request) => {
                let AuthUserChangePasswordRequest { password, hashed_password, .. } = &mut **request;
                if !password.is_empty() {
                    *hashed_password = password::hash(password, self.draw());
                    password.clear();
                }
            }
            _ => {}
        }
        self.propose(origin, InternalRaftRequest { auth: Some(request), ..Default::default() }).await
    }

    /// Checks a password, and lets the log say that the user has a token. If users or roles changed meanwhile, the
    /// password may be another, and is checked again.
    async fn authenticate(&self, origin: &Origin, name: &str, password: &str) -> Result<Response, Error> {
        self.become_up_to_date().await?;
        loop {
            let checked = self.kv.auth().check_password(name, password)?;
            let request = InternalAuthenticateRequest {
                name: name.to_owned(),
                password: String::new(),
                simple_token: format!("{:016x}", self.draw()),
            };
            let auth = Some(AuthRequest::Authenticate(Box::new(request)));
            let response = self.propose(origin, InternalRaftRequest { auth, ..Default::default() }).await?;
            if checked == self.kv.auth().revision() {
                record!(self.node, "auth", "{} has authenticated", name);
                return Ok(response);
            }
            sometimes!(
                self.node,
                "a password is checked again, for users changed under it",
                when = |run| run.has("auth")
            );
        }
    }

    /// What nobody can guess: a salt, or a token.
    fn draw(&self) -> u64 {
        self.secrets.get_or_init(|| self.node.stream("auth").into()).borrow_mut().next_u64()
    }

    /// Who a proposal is from: its sender, or for the leader's own the root user, as in etcd.
    pub(super) fn own_caller(&self) -> Caller {
        let auth = self.kv.auth();
        match auth.is_enabled() {
            true => Caller { user: ROOT.to_owned(), revision: auth.revision() },
            false => Caller::default(),
        }
    }
}
