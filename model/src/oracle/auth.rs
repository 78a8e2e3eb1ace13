//! Nobody does or sees what it may not, and nobody is refused who may.
//!
//! The committed log says who could do what at each index: users and roles are replayed from it on the specification.
//! Each client says who it is and which token it sends, and that is what counts here, not what members make of it.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `beyond permission` | a request was answered, or a watch begun, whose user may not do that in the state in which it took effect |
//! | `old revision` | a write took effect though users or roles had changed since its member looked at the token |
//! | `void token` | a request was let pass by a token that was never given to its user, or was void since its password was changed, it was deleted, or authentication was switched off |
//! | `another's name` | an entry bears the name of a user that did not ask for it |
//! | `revision` | an entry bears an auth revision that was still to come |
//! | `refused` | a request or a watch was refused for what its user may, for an old revision that was not old, or for lack of a token though there was one |
//! | `state` | a member's auth store is not where the log leads to |
//!
//! Stated in etcd's documentation of role-based access control, and in the comments of its auth store.
//!
//! Does NOT verify: how long tokens live while they are used or not, and so refusals for a token that is not known; what
//! administrators are answered (`linearizable_log` compares that); that members agree on users and roles in between
//! (`agreement` does, whose hash covers them).

use std::collections::BTreeMap;

use bytes::Bytes;
use vertebra_sim::verdict::Violation;

use super::linearizable_log::{LogEntry, Witness};
use crate::api::{AuthRequest, InternalRaftRequest};
use crate::auth::AuthResponse;
use crate::error::Error;
use crate::history::{History, Operation, OperationId, Outcome, Request};
use crate::response::Response;
use crate::specification::{Auth, Specification};
use crate::watch_history::{WatchHistory, WatchNumber};

const ORACLE: &str = "auth";

const PERMISSION_DENIED: &str = "etcdserver: permission denied";
const USER_EMPTY: &str = "etcdserver: user name is empty";

/// Why a watch is refused for who asks.
pub(super) const REFUSALS_OF_WATCHES: [&str; 4] = [
    PERMISSION_DENIED,
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
    USER_EMPTY,
];

/// Who asks, as the client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The user that the client is.
    pub user: String,
    /// What it sends to prove it.
    pub token: Option<String>,
}

/// Who asked for what.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    operations: BTreeMap<OperationId, Sender>,
    /// With the entry up to which the member that was asked had applied the log by then.
    watches: Vec<(WatchNumber, Sender, u64)>,
    /// Questions for the keys of a lease, or for all leases, with the same of the member that was asked, or of the first one.
    leases: BTreeMap<OperationId, u64>,
}

impl Senders {
    /// Nobody has asked for anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A client begins an operation.
    pub fn invoked(&mut self, operation: OperationId, sender: Sender) {
        self.operations.insert(operation, sender);
    }

    /// A client asks for a watch, of a member that has applied the log up to `index`.
    pub fn watches(&mut self, watch: WatchNumber, sender: Sender, index: u64) {
        self.watches.push((watch, sender, index));
    }

    /// A member that has applied the log up to `index` is asked for the keys of a lease, or which leases there are.
    pub fn asks_for_keys(&mut self, operation: OperationId, index: u64) {
        // Where nobody says who it is, there is nothing to judge.
        if !self.operations.contains_key(&operation) {
            return;
        }
        let first = self.leases.entry(operation).or_insert(index);
        *first = index.min(*first);
    }
}

/// Judges what clients were answered by the log.
///
/// `members` has of each member that has applied all of the log whether authentication is on, and the auth revision.
///
/// # Errors
///
/// The first broken clause.
pub fn check(
    history: &History,
    witness: &Witness,
    watches: &WatchHistory,
    senders: &Senders,
    members: &[(u64, (bool, u64))],
) -> Result<(), Violation> {
    if !witness.has_auth() {
        return match members.iter().find(|(_, state)| *state != (false, 1)) {
            Some((member, state)) => refuse("state", "", format!("member {member} is at {state:?}")),
            None => Ok(()),
        };
    }
    let (state, tokens) = (witness.empty_store(), BTreeMap::new());
    let mut replay = Replay { history, witness, senders, state, tokens };
    let mut watches = Watches::of(watches, senders);
    let mut questions = Questions::of(history, witness, senders);
    let mut reads = served_reads(history, witness).into_iter().peekable();
    for (entry, operation) in witness.entries().iter().zip(witness.operations(history)) {
        while let Some((_, read)) = reads.next_if(|(served_at, _)| *served_at < entry.index) {
            replay.check_read(read)?;
        }
        if let Some(id) = operation {
            replay.check_entry(entry, id)?;
        }
        watches.look(&replay, entry.index - 1);
        questions.look(&replay, entry.index - 1)?;
        replay.apply(entry);
    }
    for (_, read) in reads {
        replay.check_read(read)?;
    }
    watches.look(&replay, u64::MAX);
    questions.look(&replay, u64::MAX)?;
    watches.check()?;
    let state = replay.auth_state();
    match members.iter().find(|(_, found)| *found != state) {
        Some((member, found)) => {
            refuse("state", "", format!("member {member} is at {found:?}, and the log leads to {state:?}"))
        }
        None => Ok(()),
    }
}

/// What was answered past the log and says where, in the order of the log.
fn served_reads(history: &History, witness: &Witness) -> Vec<(u64, OperationId)> {
    let is_read = |operation: &Operation| {
        matches!(operation.request, Request::Range(_) | Request::Txn(_)) && operation.request.is_read_only()
    };
    let reads = history.iter().filter(|(_, operation)| is_read(operation));
    let mut reads: Vec<_> = reads.filter_map(|(id, _)| Some((witness.trace(id).served_at?, id))).collect();
    reads.sort_unstable();
    reads
}

/// The log, up to some entry.
struct Replay<'a> {
    history: &'a History,
    witness: &'a Witness,
    senders: &'a Senders,
    state: Specification,
    /// The tokens that count, and whose they are.
    tokens: BTreeMap<String, String>,
}

impl Replay<'_> {
    /// Users and roles, if anybody is asked who it is.
    fn enabled(&self) -> Option<&Auth> {
        self.auth().filter(|auth| auth.is_enabled())
    }

    fn auth(&self) -> Option<&Auth> {
        self.state.auth()
    }

    /// Whether anybody is asked who it is, and the revision of users and roles.
    fn auth_state(&self) -> (bool, u64) {
        self.auth().map_or((false, 1), |auth| (auth.is_enabled(), auth.revision()))
    }

    fn owns(&self, sender: &Sender, token: &str) -> bool {
        self.tokens.get(token) == Some(&sender.user)
    }

    fn allows(&self, auth: &Auth, user: &str, request: &InternalRaftRequest) -> bool {
        auth.allows(user, request, &|lease| self.state.keys_of(lease))
    }

    fn check_read(&self, id: OperationId) -> Result<(), Violation> {
        let (Some(auth), Some(sender)) = (self.enabled(), self.senders.operations.get(&id)) else {
            return Ok(());
        };
        let operation = &self.history[id];
        let kind = operation.request.kind();
        let user = if sender.token.is_some() { &sender.user[..] } else { "" };
        let allowed = match &operation.request {
            Request::Range(read) => auth.may_read(user, &read.key, &read.range_end),
            Request::Txn(txn) => {
                let request = InternalRaftRequest { txn: Some(txn.clone()), ..Default::default() };
                self.allows(auth, user, &request)
            }
            _ => true,
        };
        match &operation.outcome {
            Outcome::Ok(_) => {
                if let Some(token) = sender.token.as_ref().filter(|token| !self.owns(sender, token)) {
                    return refuse("void token", kind, format!("{operation}: {sender:?}, {token}"));
                }
                match allowed {
                    true => Ok(()),
                    false => refuse("beyond permission", kind, format!("{operation}: {sender:?}")),
                }
            }
            Outcome::Failed(Error::PermissionDenied) if allowed => {
                refuse("refused", kind, format!("{operation}: {sender:?} may do that"))
            }
            Outcome::Failed(Error::UserEmpty) if sender.token.is_some() => {
                refuse("refused", kind, format!("{operation}: {sender:?} has a token"))
            }
            _ => Ok(()),
        }
    }

    fn check_entry(&self, entry: &LogEntry, id: OperationId) -> Result<(), Violation> {
        let (Some(header), Some(sender)) = (&entry.request.header, self.senders.operations.get(&id)) else {
            return Ok(());
        };
        let operation = &self.history[id];
        let kind = operation.request.kind();
        let detail = || format!("{operation}: entry {} of {header:?}, sent by {sender:?}", entry.index);
        if !header.username.is_empty() && header.username != sender.user {
            return refuse("another's name", kind, detail());
        }
        let revision = self.auth().map_or(1, Auth::revision);
        if header.auth_revision > revision {
            return refuse("revision", kind, detail());
        }
        let Some(auth) = self.enabled() else { return Ok(()) };
        let is_new = header.auth_revision == revision;
        if let Some(token) = &sender.token
            && is_new
            && !header.username.is_empty()
            && !self.owns(sender, token)
        {
            return refuse("void token", kind, detail());
        }
        let user = if sender.token.is_some() { &sender.user[..] } else { "" };
        let allowed = self.allows(auth, user, &entry.request);
        // Nobody needs to be of a new revision who needs nothing, and those who may do everything.
        let needs_revision = entry.request.auth.is_none() && !self.allows(auth, "", &entry.request);
        let is_root = auth.is_root(user);
        match &operation.outcome {
            Outcome::Ok(_) if !allowed => refuse("beyond permission", kind, detail()),
            Outcome::Ok(_)
                if needs_revision && !is_new && !(is_root && entry.request.lease_revoke.is_some()) =>
            {
                refuse("old revision", kind, detail())
            }
            Outcome::Failed(Error::PermissionDenied) if allowed => refuse("refused", kind, detail()),
            Outcome::Failed(Error::AuthOldRevision) if is_new => refuse("refused", kind, detail()),
            Outcome::Failed(Error::UserEmpty)
                if !header.username.is_empty() && entry.request.auth.is_none() =>
            {
                refuse("refused", kind, detail())
            }
            _ => Ok(()),
        }
    }

    fn apply(&mut self, entry: &LogEntry) {
        let was_enabled = self.enabled().is_some();
        // That the answers are right is verified elsewhere.
        let result = self.state.apply(&entry.request);
        let Ok(response) = result else { return };
        match (&entry.request.auth, response) {
            (
                Some(AuthRequest::Authenticate(asked)),
                Response::Auth(AuthResponse::Authenticate(response)),
            ) => {
                // Those of a cluster that is no more count for nothing.
                if let Some(index) = self.witness.own_index(entry.index) {
                    self.tokens.insert(format!("{}.{}", response.token, index), asked.name.clone());
                }
            }
            (Some(AuthRequest::AuthDisable(_)), _) if was_enabled => self.tokens.clear(),
            (Some(AuthRequest::AuthUserDelete(asked)), _) => self.void(&asked.name),
            (Some(AuthRequest::AuthUserChangePassword(asked)), _) => self.void(&asked.name),
            _ => {}
        }
    }

    fn void(&mut self, user: &str) {
        self.tokens.retain(|_, owner| owner != user);
    }
}

/// The watches that members began or refused, and which of them some member could answer so.
struct Watches<'a> {
    history: &'a WatchHistory,
    answered: Vec<Answered<'a>>,
}

struct Answered<'a> {
    watch: WatchNumber,
    sender: &'a Sender,
    /// The revision of the store when the client was told. It was let pass, or not, by then.
    revision: i64,
    /// The entry to which the member had come when it was asked.
    from: u64,
    /// Why it was refused, if it was.
    refused: Option<&'a str>,
    explained: bool,
}

impl<'a> Watches<'a> {
    fn of(history: &'a WatchHistory, senders: &'a Senders) -> Self {
        let answered = senders.watches.iter().filter_map(|(watch, sender, from)| {
            let created = &history[*watch].heard.iter().find(|heard| heard.response.created)?.response;
            let revision = created.header.map_or(0, |header| header.revision);
            let refused = created.canceled.then_some(&created.cancel_reason[..]);
            // Of others it is not known whether they are so, or are not for who asks.
            let is_judged = refused.is_none_or(|reason| [PERMISSION_DENIED, USER_EMPTY].contains(&reason));
            let (watch, from, explained) = (*watch, *from, false);
            is_judged.then_some(Answered { watch, sender, revision, from, refused, explained })
        });
        Self { history, answered: answered.collect() }
    }

    /// Looks whether a member would answer so that has come so far, and not beyond the entry `last`.
    fn look(&mut self, replay: &Replay<'_>, last: u64) {
        let reached = replay.state.revision();
        let may_be_there = |asked: &&mut Answered<'_>| asked.from <= last && reached <= asked.revision;
        for asked in self.answered.iter_mut().filter(|asked| !asked.explained).filter(may_be_there) {
            let request = &self.history[asked.watch].request;
            let first = Bytes::from_static(b"\0");
            let key = if request.key.is_empty() { &first } else { &request.key };
            let (auth, token) = (replay.enabled(), asked.sender.token.as_ref());
            let may_read = |auth: &Auth| auth.may_read(&asked.sender.user, key, &request.range_end);
            asked.explained = match asked.refused {
                Some(reason) if reason == USER_EMPTY => auth.is_some() && token.is_none(),
                // So etcd also tells who has a token that its member has not come to, and does not within a request's time.
                Some(_) => auth.is_some_and(|auth| {
                    !may_read(auth) || token.is_some_and(|token| !replay.owns(asked.sender, token))
                }),
                None => auth.is_none_or(|auth| {
                    token.is_some_and(|token| replay.owns(asked.sender, token)) && may_read(auth)
                }),
            };
        }
    }

    fn check(&self) -> Result<(), Violation> {
        match self.answered.iter().find(|asked| !asked.explained) {
            Some(asked) => {
                let request = &self.history[asked.watch].request;
                let detail = format!("{request:?}, asked for by {:?}", asked.sender);
                let clause = if asked.refused.is_some() { "refused" } else { "beyond permission" };
                refuse(clause, "watch", detail)
            }
            None => Ok(()),
        }
    }
}

/// Questions for the keys of leases, or for all leases, that were answered or refused. Each member asks its own store, which need not be the one that
/// knows the answer.
struct Questions<'a> {
    /// The one that comes first is the last.
    later: Vec<Question<'a>>,
    open: Vec<Question<'a>>,
}

struct Question<'a> {
    operation: &'a Operation,
    sender: &'a Sender,
    /// Nothing: which leases there are, which is for those who may read the keys of all.
    lease: Option<i64>,
    /// The entries to which the member had come when it was asked, and when it answered.
    from: u64,
    to: u64,
    says: Says,
}

/// What an answer or a refusal says of who has asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    May,
    MayNot,
    /// Users or roles have changed while it was asked, or whether they count. With these when it was, once that is known.
    Changed(Option<(bool, u64)>),
}

impl<'a> Questions<'a> {
    fn of(history: &'a History, witness: &Witness, senders: &'a Senders) -> Self {
        let answered = senders.leases.iter().filter_map(|(id, from)| {
            let (operation, sender) = (&history[*id], senders.operations.get(id)?);
            let lease = match &operation.request {
                Request::LeaseTimeToLive(asked) => Some(asked.id),
                Request::LeaseLeases(_) => None,
                _ => return None,
            };
            let says = match &operation.outcome {
                Outcome::Ok(_) => Says::May,
                Outcome::Failed(Error::PermissionDenied) => Says::MayNot,
                Outcome::Failed(Error::AuthOldRevision) => Says::Changed(None),
                _ => return None,
            };
            // What an entry makes of leases is there a little before the entry counts as applied.
            let to = witness.trace(*id).served_at? + 1;
            Some(Question { operation, sender, lease, from: *from, to, says })
        });
        let mut later: Vec<_> = answered.collect();
        later.sort_by_key(|question| std::cmp::Reverse(question.from));
        Self { later, open: Vec::new() }
    }

    /// Looks whether a member would say so that has come as far as `replay`, and not beyond the entry `last`.
    fn look(&mut self, replay: &Replay<'_>, last: u64) -> Result<(), Violation> {
        while let Some(question) = self.later.pop_if(|question| question.from <= last) {
            self.open.push(question);
        }
        self.open.retain_mut(|question| {
            if let Says::Changed(since) = &mut question.says {
                let now = replay.auth_state();
                return *since.get_or_insert(now) == now;
            }
            let user = if question.sender.token.is_some() { &question.sender.user[..] } else { "" };
            let may = replay.enabled().is_none_or(|auth| {
                let keys = match question.lease {
                    Some(lease) => replay.state.keys_of(lease),
                    None => replay.state.keys_with_leases(),
                };
                keys.iter().all(|key| auth.may_read(user, key, &Bytes::new()))
            });
            may != (question.says == Says::May)
        });
        match self.open.iter().find(|question| question.to <= last) {
            Some(Question { operation, sender, says, .. }) => {
                let clause = if *says == Says::May { "beyond permission" } else { "refused" };
                refuse(clause, operation.request.kind(), format!("{operation}: {sender:?}"))
            }
            None => Ok(()),
        }
    }
}

fn refuse(clause: &'static str, shape: &str, detail: String) -> Result<(), Violation> {
    Err(Violation::new(ORACLE, clause, shape, detail))
}

#[cfg(test)]
mod tests;
