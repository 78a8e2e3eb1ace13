use super::*;
use crate::api::authpb::{Permission, permission::Type};
use crate::api::{
    AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserGrantRoleRequest, InternalAuthenticateRequest,
    LeaseGrantRequest, LeaseLeasesRequest, LeaseLeasesResponse, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestHeader,
    ResponseHeader, WatchCreateRequest, WatchResponse,
};

/// A run with the user `ann`, who may read and write all keys from `a` to `c`, and has the token of entry 8.
struct Run {
    history: History,
    witness: Witness,
    watches: WatchHistory,
    senders: Senders,
    /// What the log comes to.
    state: Specification,
    index: u64,
}

const TOKEN: &str = "first.8";
const ROOT_TOKEN: &str = "second.9";

fn auth(request: AuthRequest) -> Request {
    Request::Auth(request)
}

fn put(key: &'static str) -> Request {
    Request::Put(PutRequest { key: key.into(), ..Default::default() })
}

fn get(key: &'static str) -> Request {
    Request::Range(RangeRequest { key: key.into(), ..Default::default() })
}

impl Run {
    fn new() -> Self {
        let mut this = Self {
            history: History::new(),
            witness: Witness::new(),
            watches: WatchHistory::default(),
            senders: Senders::new(),
            state: Witness::new().empty_store(),
            index: 0,
        };
        let user_add = |name: &str| {
            let name = name.to_owned();
            auth(AuthRequest::AuthUserAdd(Box::new(AuthUserAddRequest { name, ..Default::default() })))
        };
        let grant_role = |user: &str, role: &str| {
            let (user, role) = (user.to_owned(), role.to_owned());
            auth(AuthRequest::AuthUserGrantRole(Box::new(AuthUserGrantRoleRequest { user, role })))
        };
        let perm = Permission { perm_type: Type::Readwrite.into(), key: "a".into(), range_end: "c".into() };
        let grant = AuthRoleGrantPermissionRequest { name: "r".into(), perm: Some(perm) };
        for request in [
            user_add("root"),
            grant_role("root", "root"),
            user_add("ann"),
            auth(AuthRequest::AuthRoleAdd(Box::new(AuthRoleAddRequest { name: "r".into() }))),
            auth(AuthRequest::AuthRoleGrantPermission(Box::new(grant))),
            grant_role("ann", "r"),
            auth(AuthRequest::AuthEnable(Box::new(AuthEnableRequest {}))),
        ] {
            assert!(matches!(this.write("root", None, request), Outcome::Ok(_)));
        }
        for (name, simple_token) in [("ann", "first"), ("root", "second")] {
            this.authenticate(name, simple_token);
        }
        this
    }

    fn authenticate(&mut self, name: &str, simple_token: &str) {
        let (password, simple_token) = (String::new(), simple_token.to_owned());
        let request = InternalAuthenticateRequest { name: name.to_owned(), password, simple_token };
        self.write(name, None, auth(AuthRequest::Authenticate(Box::new(request))));
    }

    fn revision(&self) -> u64 {
        self.state.auth().map_or(1, Auth::revision)
    }

    fn invoke(&mut self, user: &str, token: Option<&str>, request: Request) -> OperationId {
        let id = self.history.invoke(1, request);
        let (user, token) = (user.to_owned(), token.map(str::to_owned));
        self.senders.invoked(id, Sender { user, token });
        id
    }

    /// An entry with this header, and what its client is told; what it should be told, if that is nothing.
    fn write_as(
        &mut self,
        (user, token): (&str, Option<&str>),
        request: Request,
        (username, auth_revision): (&str, u64),
        told: Option<Outcome>,
    ) -> Outcome {
        let id = self.invoke(user, token, request.clone());
        self.index += 1;
        let proposal = 100 + self.index;
        let header = Some(RequestHeader { id: proposal, username: username.to_owned(), auth_revision });
        let request = InternalRaftRequest { header, ..request.to_proposal().unwrap() };
        self.witness.proposed(id, proposal);
        let right = self.state.apply(&request).map_or_else(Outcome::Failed, Outcome::Ok);
        let outcome = told.unwrap_or(right);
        let committed = self.history.clock();
        self.witness.committed(LogEntry { index: self.index, request, committed });
        self.history.returned(id, outcome.clone());
        outcome
    }

    fn write(&mut self, user: &str, token: Option<&str>, request: Request) -> Outcome {
        let named = if token.is_some() || user == "root" { (user, self.revision()) } else { ("", 0) };
        self.write_as((user, token), request, named, None)
    }

    fn read(&mut self, user: &str, token: Option<&str>, request: Request, told: Option<Error>) {
        let id = self.invoke(user, token, request);
        self.witness.served(id, self.index);
        let reply = Outcome::Ok(Response::Range(RangeResponse::default()));
        self.history.returned(id, told.map_or(reply, Outcome::Failed));
    }

    /// "ann" asks for the keys of lease 7 when a member has come to entry `from`.
    fn ask_for_keys(&mut self, from: u64, refused: Option<Error>) {
        let question = LeaseTimeToLiveRequest { id: 7, keys: true };
        let id = self.invoke("ann", Some(TOKEN), Request::LeaseTimeToLive(question));
        self.senders.asks_for_keys(id, from);
        self.witness.served(id, self.index);
        let reply = Outcome::Ok(Response::LeaseTimeToLive(LeaseTimeToLiveResponse::default()));
        self.history.returned(id, refused.map_or(reply, Outcome::Failed));
    }

    fn list_leases(&mut self, refused: bool) {
        let id = self.invoke("ann", Some(TOKEN), Request::LeaseLeases(LeaseLeasesRequest {}));
        self.senders.asks_for_keys(id, self.index);
        self.witness.served(id, self.index);
        let reply = Outcome::Ok(Response::LeaseLeases(LeaseLeasesResponse::default()));
        self.history.returned(id, if refused { Outcome::Failed(Error::PermissionDenied) } else { reply });
    }

    fn revoke(&mut self) {
        let (role, key, range_end) = ("r".to_owned(), "a".into(), "c".into());
        let request = AuthRoleRevokePermissionRequest { role, key, range_end };
        self.write("root", Some(ROOT_TOKEN), auth(AuthRequest::AuthRoleRevokePermission(Box::new(request))));
    }

    fn change_password(&mut self) {
        let request = AuthUserChangePasswordRequest { name: "ann".into(), ..Default::default() };
        self.write("root", Some(ROOT_TOKEN), auth(AuthRequest::AuthUserChangePassword(Box::new(request))));
    }

    fn watch(&mut self, token: &str, revision: i64) {
        self.watch_as(Some(token), revision, None);
    }

    /// "ann" asks for a watch, and may be refused it.
    fn watch_as(&mut self, token: Option<&str>, revision: i64, refused: Option<&str>) {
        let request = WatchCreateRequest { key: "a".into(), range_end: "c".into(), ..Default::default() };
        let watch = self.watches.asked(request, false);
        self.senders.watches(watch, Sender { user: "ann".into(), token: token.map(Into::into) }, self.index);
        let header = Some(ResponseHeader { revision, ..Default::default() });
        let (canceled, cancel_reason) = (refused.is_some(), refused.unwrap_or_default().to_owned());
        let response = WatchResponse { header, created: true, canceled, cancel_reason, ..Default::default() };
        self.watches.heard(watch, self.history.clock(), response);
    }

    fn judge(&self) -> Option<&'static str> {
        let state = (true, self.revision());
        let result = check(&self.history, &self.witness, &self.watches, &self.senders, &[(1, state)]);
        result.err().map(|violation| violation.clause)
    }
}

fn done() -> Option<Outcome> {
    Some(Outcome::Ok(Response::Put(PutResponse::default())))
}

#[test]
fn the_keys_of_a_lease_are_for_those_who_may_read_them_all() {
    let with_keys = |keys: &[&'static str]| {
        let mut run = Run::new();
        run.write("root", Some(ROOT_TOKEN), Request::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 60 }));
        for key in keys {
            let put = PutRequest { key: (*key).into(), lease: 7, ..Default::default() };
            run.write("root", Some(ROOT_TOKEN), Request::Put(put));
        }
        // Before the last entry counts as applied, it may show.
        run.write("root", Some(ROOT_TOKEN), put("z"));
        run.write("root", Some(ROOT_TOKEN), put("z"));
        run
    };
    let judge = |keys: &[&'static str], ago: u64, refused: bool| {
        let mut run = with_keys(keys);
        run.ask_for_keys(run.index - ago, refused.then_some(Error::PermissionDenied));
        run.judge()
    };
    assert_eq!(judge(&["b"], 0, false), None);
    assert_eq!(judge(&["b"], 0, true), Some("refused"));
    assert_eq!(judge(&["b", "x"], 0, true), None);
    assert_eq!(judge(&["b", "x"], 2, false), Some("beyond permission"));
    // The member may not have come to the second key.
    assert_eq!(judge(&["b", "x"], 3, false), None);
    // So are the leases themselves.
    let listed = |keys: &[&'static str], refused: bool| {
        let mut run = with_keys(keys);
        run.list_leases(refused);
        run.judge()
    };
    assert_eq!(listed(&["b"], false), None);
    assert_eq!(listed(&["b"], true), Some("refused"));
    assert_eq!(listed(&["b", "x"], true), None);
    assert_eq!(listed(&["b", "x"], false), Some("beyond permission"));
    // What they may has changed meanwhile, or it has not.
    let changed = |ago: u64| {
        let mut run = with_keys(&["b"]);
        run.revoke();
        run.write("root", Some(ROOT_TOKEN), put("z"));
        run.write("root", Some(ROOT_TOKEN), put("z"));
        run.ask_for_keys(run.index - ago, Some(Error::AuthOldRevision));
        run.judge()
    };
    assert_eq!(changed(3), None);
    assert_eq!(changed(2), Some("refused"));
}

#[test]
fn everybody_may_do_what_they_may() {
    let mut run = Run::new();
    assert!(matches!(run.write("ann", Some(TOKEN), put("b")), Outcome::Ok(_)));
    assert_eq!(run.write("ann", Some(TOKEN), put("c")), Outcome::Failed(Error::PermissionDenied));
    assert_eq!(run.write("ann", None, put("b")), Outcome::Failed(Error::UserEmpty));
    run.read("ann", Some(TOKEN), get("b"), None);
    run.read("ann", Some(TOKEN), get("c"), Some(Error::PermissionDenied));
    run.read("ann", None, get("b"), Some(Error::UserEmpty));
    run.watch(TOKEN, run.state.revision());
    let before = run.revision();
    run.revoke();
    let late = run.write_as(("ann", Some(TOKEN)), put("b"), ("ann", before), None);
    assert_eq!(late, Outcome::Failed(Error::AuthOldRevision));
    run.read("ann", Some(TOKEN), get("b"), Some(Error::PermissionDenied));
    assert_eq!(run.judge(), None);
}

#[test]
fn a_write_that_is_not_checked_when_it_is_applied_is_found() {
    let mut run = Run::new();
    let named = ("ann", run.revision());
    run.write_as(("ann", Some(TOKEN)), put("c"), named, done());
    assert_eq!(run.judge(), Some("beyond permission"));
    let mut run = Run::new();
    run.write_as(("ann", None), put("b"), ("", 0), done());
    assert_eq!(run.judge(), Some("beyond permission"), "of nobody");
}

#[test]
fn a_revision_that_is_not_compared_is_found() {
    let mut run = Run::new();
    let before = run.revision();
    run.change_password();
    run.write_as(("ann", Some(TOKEN)), put("b"), ("ann", before), done());
    assert_eq!(run.judge(), Some("old revision"));
    let mut run = Run::new();
    let named = ("ann", run.revision() + 1);
    run.write_as(("ann", Some(TOKEN)), put("b"), named, None);
    assert_eq!(run.judge(), Some("revision"));
}

#[test]
fn a_token_that_outlives_its_password_is_found() {
    let mut run = Run::new();
    run.change_password();
    run.read("ann", Some(TOKEN), get("b"), None);
    assert_eq!(run.judge(), Some("void token"));
    let mut run = Run::new();
    run.change_password();
    let named = ("ann", run.revision());
    run.write_as(("ann", Some(TOKEN)), put("b"), named, None);
    assert_eq!(run.judge(), Some("void token"));
}

#[test]
fn a_read_or_a_watch_that_is_not_checked_is_found() {
    let mut run = Run::new();
    run.read("ann", Some(TOKEN), get("c"), None);
    assert_eq!(run.judge(), Some("beyond permission"));
    let mut run = Run::new();
    run.read("ann", None, get("b"), None);
    assert_eq!(run.judge(), Some("beyond permission"), "of nobody");
    let mut run = Run::new();
    run.revoke();
    run.authenticate("ann", "third");
    run.watch("third.11", run.state.revision());
    assert_eq!(run.judge(), Some("beyond permission"), "though it had been allowed before");
}

#[test]
fn a_watch_is_refused_for_what_its_user_may_not() {
    let watched = |prepare: &dyn Fn(&mut Run), token: Option<&str>, reason| {
        let mut run = Run::new();
        prepare(&mut run);
        run.watch_as(token, run.state.revision(), Some(reason));
        run.judge()
    };
    assert_eq!(watched(&|_| (), Some(TOKEN), PERMISSION_DENIED), Some("refused"));
    assert_eq!(watched(&Run::revoke, Some(TOKEN), PERMISSION_DENIED), None);
    assert_eq!(watched(&|_| (), Some(TOKEN), USER_EMPTY), Some("refused"));
    assert_eq!(watched(&|_| (), None, USER_EMPTY), None);
    assert_eq!(watched(&|_| (), Some("later.99"), PERMISSION_DENIED), None);
    // Tokens may have expired.
    assert_eq!(watched(&|_| (), Some(TOKEN), REFUSALS_OF_WATCHES[1]), None);
}

#[test]
fn an_entry_in_the_name_of_another_is_found() {
    let mut run = Run::new();
    let named = ("root", run.revision());
    run.write_as(("ann", Some(TOKEN)), put("b"), named, None);
    assert_eq!(run.judge(), Some("another's name"));
}

#[test]
fn who_may_is_not_refused() {
    for error in [Error::PermissionDenied, Error::AuthOldRevision, Error::UserEmpty] {
        let mut run = Run::new();
        let named = ("ann", run.revision());
        run.write_as(("ann", Some(TOKEN)), put("b"), named, Some(Outcome::Failed(error)));
        assert_eq!(run.judge(), Some("refused"), "{error}");
    }
    for error in [Error::PermissionDenied, Error::UserEmpty] {
        let mut run = Run::new();
        run.read("ann", Some(TOKEN), get("b"), Some(error));
        assert_eq!(run.judge(), Some("refused"), "{error}");
    }
}

#[test]
fn a_store_that_was_not_recovered_is_found() {
    let run = Run::new();
    for state in [(false, run.revision()), (true, run.revision() - 1), (false, 1)] {
        let result = check(&run.history, &run.witness, &run.watches, &run.senders, &[(2, state)]);
        assert_eq!(result.unwrap_err().clause, "state");
    }
}
