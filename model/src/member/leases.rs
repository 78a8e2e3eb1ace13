//! Leases: what clients and other members ask about them, and what the leader does as time passes.
//!
//! A lease is granted and revoked through the log. That it is kept alive is known to the primary alone, which is the
//! leader; other members pass such requests on to it. A leader that was deposed and does not know it yet must neither
//! keep a lease alive nor revoke one, for its successor counts from its own beginning (etcd-io/etcd#15247). So a
//! leader makes sure of its leadership with a read index, and what it then proposes counts in its term alone.
//!
//! etcd leaves out the read index where Raft's clock has ticked of late, and passes a proposal on if the leader has
//! changed meanwhile. A member that wakes from a pause ticks before it hears of its successor, so here it does neither.

use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::Either;
use futures_util::stream::FuturesUnordered;
use vertebra_sim::network::Connection;
use vertebra_sim::{NodeId, before, record, sometimes};

use super::server::Origin;
use super::{Member, member_id};
use crate::api::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseGrantRequest, LeaseKeepAliveResponse,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    ResponseHeader,
};
use crate::defect::Defect;
use crate::error::Error;
use crate::failpoints;
use crate::lessor::{Lease, Renewal};
use crate::response::Response;
use crate::wire::{LEASE_PORT, LeaseAnswer, LeaseQuestion};

/// How often the primary looks for leases that have expired.
const LOOK: Duration = Duration::from_millis(500);

/// How long it waits at most, if nothing is due.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Revocations of expired leases that are proposed at a time.
const REVOCATIONS_MAX: usize = 16;

/// How long the leader waits until it has applied what is committed, before it tells about a lease.
const APPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// What a member waits before it asks the leader again.
const RETRY: Duration = Duration::from_millis(50);

impl Member {
    pub(super) async fn lease_grant(
        &self,
        origin: &Origin,
        mut grant: LeaseGrantRequest,
    ) -> Result<Response, Error> {
        self.require_caller(origin.token.as_ref()).await?;
        while grant.id == 0 {
            grant.id = (self.next_request_id() & i64::MAX.unsigned_abs()) as i64;
        }
        let lease_grant = Some(grant);
        self.propose(origin, InternalRaftRequest { lease_grant, ..Default::default() }).await
    }

    pub(super) async fn lease_keep_alive(&self, origin: &Origin, id: i64) -> Result<Response, Error> {
        let caller = self.require_caller(origin.token.as_ref()).await?;
        self.kv.auth().check_lease(&caller, &self.kv.lessor(), id)?;
        // From before the lease is renewed: what the header tells must not be from after its end.
        let header = Some(ResponseHeader { revision: self.kv.revision(), ..ResponseHeader::default() });
        let kept = |ttl| Ok(Response::LeaseKeepAlive(LeaseKeepAliveResponse { header, id, ttl }));
        if self.is_leader() {
            match self.renew(id, false).await {
                Ok(ttl) => return kept(ttl),
                Err(Error::LeaseNotFound) => return kept(0),
                Err(error) => return Err(error),
            }
        }
        match self.ask_leader(LeaseQuestion::KeepAlive { id }).await? {
            LeaseAnswer::Kept { ttl } => kept(ttl),
            _ => kept(0),
        }
    }

    pub(super) async fn lease_time_to_live(
        &self,
        origin: &Origin,
        question: LeaseTimeToLiveRequest,
    ) -> Result<Response, Error> {
        let LeaseTimeToLiveRequest { id, keys } = question;
        if let Some(operation) = origin.operation.filter(|_| keys) {
            self.observer.asks_for_keys(operation, self.visible_index());
        }
        let caller = self.require_caller(origin.token.as_ref()).await?;
        if keys {
            self.kv.auth().check_lease_read(&caller, &self.kv.lessor(), id)?;
        }
        let answer = match self.is_leader() {
            true => {
                self.catch_up().await?;
                self.node.failpoint(failpoints::BEFORE_LOOKUP_WHEN_LEASE_TIME_TO_LIVE).await;
                self.look_up(id, keys)
            }
            false => self.ask_leader(LeaseQuestion::TimeToLive { id, keys }).await?,
        };
        let header = Some(ResponseHeader { revision: self.kv.revision(), ..ResponseHeader::default() });
        // What keys it has was another member's to tell, or the log moved on.
        let auth = self.kv.auth();
        if keys && auth.is_enabled() && caller.revision != auth.revision() {
            return Err(Error::AuthOldRevision);
        }
        let response = match answer {
            LeaseAnswer::Lives { ttl, granted_ttl, keys } => {
                LeaseTimeToLiveResponse { header, id, ttl, granted_ttl, keys }
            }
            LeaseAnswer::NotFound => LeaseTimeToLiveResponse { header, id, ttl: -1, ..Default::default() },
            LeaseAnswer::Kept { .. } | LeaseAnswer::Refused => return Err(Error::LeaderChanged),
        };
        Ok(Response::LeaseTimeToLive(response))
    }

    /// Which leases there are, as far as this member has applied the log; those that expire first come first where it is
    /// the primary.
    pub(super) async fn lease_leases(&self, origin: &Origin) -> Result<Response, Error> {
        if let Some(operation) = origin.operation {
            self.observer.asks_for_keys(operation, self.visible_index());
        }
        let caller = self.require_caller(origin.token.as_ref()).await?;
        let lessor = self.kv.lessor();
        let (auth, all) = (self.kv.auth(), lessor.leases());
        if auth.is_enabled() {
            all.map(|(id, _)| id).try_for_each(|id| auth.check_lease_read(&caller, &lessor, id))?;
        }
        let mut leases: Vec<_> = lessor.leases().map(|(id, lease)| (lease.expiry(), id)).collect();
        leases.sort_unstable();
        let leases = leases.into_iter().map(|(_, id)| LeaseStatus { id }).collect();
        let header = Some(ResponseHeader { revision: self.kv.revision(), ..ResponseHeader::default() });
        Ok(Response::LeaseLeases(LeaseLeasesResponse { header, leases }))
    }

    /// Waits until everything is applied that is known to be committed.
    async fn catch_up(&self) -> Result<(), Error> {
        let applied = self.wait_applied(self.status.get().commit);
        before(self.node.sleep(APPLY_TIMEOUT), applied).await.ok_or(Error::TimedOutAppliedIndex)
    }

    fn look_up(&self, id: i64, keys: bool) -> LeaseAnswer {
        let lessor = self.kv.lessor();
        let Some(lease) = lessor.lookup(id) else { return LeaseAnswer::NotFound };
        match lease.seconds_left(self.node.monotonic()) {
            Some(ttl) => LeaseAnswer::Lives {
                ttl,
                granted_ttl: lease.ttl(),
                keys: if keys { lease.keys().cloned().collect() } else { Vec::new() },
            },
            // The leader has changed meanwhile, and nobody here knows what is left.
            None => LeaseAnswer::Refused,
        }
    }

    /// The term in which this member leads, now that everything is applied that was committed when it was asked.
    async fn ensure_leadership(&self) -> Option<u64> {
        let before = self.status.get();
        if before.leader != self.id {
            return None;
        }
        self.become_up_to_date().await.ok()?;
        let now = self.status.get();
        let leads = now.leader == self.id && (before.leader, before.term) == (now.leader, now.term);
        leads.then_some(now.term)
    }

    /// The same; or, for a planted bug, the term in which it led when it last heard.
    async fn leadership(&self) -> Option<u64> {
        if !self.options.has(Defect::DeposedKeepsAlive) {
            return self.ensure_leadership().await;
        }
        self.is_leader().then(|| self.status.get().term)
    }

    /// Keeps a lease alive, which only the primary can; its TTL.
    async fn renew(&self, id: i64, forwarded: bool) -> Result<i64, Error> {
        let Some(term) = self.leadership().await else {
            sometimes!(
                self.node,
                "a leader that was deposed keeps no lease alive",
                when = |run| { run.has("leases") && run.members > 1 }
            );
            return Err(Error::NotPrimary);
        };
        if forwarded {
            self.node.failpoint(failpoints::BEFORE_SERVE_HTTP_LEASE_RENEW).await;
        }
        let mut passed = false;
        loop {
            // From here on a change is seen.
            let changed = self.kv.leases_changed().notified();
            let renewal = self.kv.lessor().renewal(id, term, self.node.monotonic());
            match renewal {
                Renewal::NotPrimary => return Err(Error::NotPrimary),
                Renewal::NotFound => return Err(Error::LeaseNotFound),
                Renewal::Expired => {
                    changed.await;
                    let found = self.kv.lessor().lookup(id).is_some();
                    sometimes!(
                        self.node,
                        "a lease that was to be kept alive has expired",
                        !found,
                        when = |run| { run.has("leases") }
                    );
                }
                Renewal::Checkpointed | Renewal::Possible if !passed => {
                    passed = true;
                    self.node.failpoint(failpoints::BEFORE_CHECKPOINT_IN_LEASE_RENEW).await;
                }
                Renewal::Checkpointed => {
                    self.clear_checkpoint(id, term).await?;
                    sometimes!(
                        self.node,
                        "a lease is kept alive that a checkpoint had shortened",
                        when = |run| { run.has("lease checkpoints") }
                    );
                }
                Renewal::Possible => {
                    let (ttl, sooner) = self.kv.change_lessor(|lessor| {
                        let due = lessor.next_due();
                        lessor.refresh(id, Duration::ZERO, self.node.monotonic());
                        (lessor.lookup(id).map_or(0, Lease::ttl), lessor.next_due() < due)
                    });
                    if sooner {
                        // It had been given an election timeout on top.
                        self.kv.leases_changed().notify_waiters();
                    }
                    sometimes!(
                        self.node,
                        "a lease is kept alive through another member",
                        forwarded,
                        when = |run| { run.has("leases") && run.members > 1 }
                    );
                    record!(self.node, "lease", "{} is kept alive for {} s", id, ttl);
                    self.observer.lease_refreshed(id);
                    return Ok(ttl);
                }
            }
        }
    }

    /// Lets the log say that a lease has all of its TTL left. Without that, a new leader would give it what was left at
    /// some checkpoint, though the client was told otherwise. (etcd answers even if this fails.)
    async fn clear_checkpoint(&self, id: i64, term: u64) -> Result<(), Error> {
        // What was proposed before stands before it in the log.
        self.kv.change_lessor(|lessor| lessor.clearing(id, false));
        let checkpoints = vec![LeaseCheckpoint { id, remaining_ttl: 0 }];
        let cleared = self.propose_in_term(term, checkpoint(checkpoints)).await;
        if cleared.is_err() {
            self.kv.change_lessor(|lessor| lessor.clearing(id, true));
        }
        cleared.map(|_| ())
    }

    /// Asks whoever leads, until somebody knows the answer.
    async fn ask_leader(&self, question: LeaseQuestion) -> Result<LeaseAnswer, Error> {
        let asked = async {
            loop {
                self.wait_for_leader().await;
                let leader = self.status.get().leader;
                let answer = match leader {
                    0 => continue,
                    leader if leader == self.id => self.answer_about_lease(question).await,
                    leader => self.ask(member_id(leader), question).await.unwrap_or(LeaseAnswer::Refused),
                };
                if answer != LeaseAnswer::Refused {
                    return answer;
                }
                sometimes!(
                    self.node,
                    "a question about a lease is refused by who should lead",
                    when = |run| { run.has("leases") && run.members > 1 }
                );
                self.node.sleep(RETRY).await;
            }
        };
        before(self.node.sleep(self.request_timeout()), asked).await.ok_or(Error::TimedOut)
    }

    /// Asks another member.
    async fn ask(&self, leader: NodeId, question: LeaseQuestion) -> Option<LeaseAnswer> {
        let connection: Connection<LeaseQuestion, LeaseAnswer> =
            self.node.connect(leader, LEASE_PORT).await.ok()?;
        connection.send(question).ok()?;
        connection.receive().await.ok()
    }

    /// Answers what another member asks of the leader.
    async fn answer_about_lease(&self, question: LeaseQuestion) -> LeaseAnswer {
        match question {
            LeaseQuestion::KeepAlive { id } => match self.renew(id, true).await {
                Ok(ttl) => LeaseAnswer::Kept { ttl },
                Err(Error::LeaseNotFound) => LeaseAnswer::NotFound,
                Err(_) => LeaseAnswer::Refused,
            },
            LeaseQuestion::TimeToLive { id, keys } => {
                if self.catch_up().await.is_err() {
                    return LeaseAnswer::Refused;
                }
                self.node.failpoint(failpoints::BEFORE_LOOKUP_WHEN_FORWARD_LEASE_TIME_TO_LIVE).await;
                self.look_up(id, keys)
            }
        }
    }

    /// Makes this member the primary, when it has applied the first entry of a term in which it leads. (Raft puts another
    /// empty entry in the place of a change of the configuration that it refuses.)
    pub(super) fn promote_lessor(&self, term: u64) {
        let leads = self.is_leader() && self.status.get().term == term;
        if leads && self.kv.lessor().primary() != Some(term) {
            self.kv.promote(term, self.options.election_timeout());
            self.observer.lessor_promoted();
        }
    }

    /// Proposes to revoke leases that have expired.
    async fn revoke(&self, expired: Vec<i64>) {
        let unsure = self.options.has(Defect::DeposedRevokes);
        let found_in = self.kv.lessor().primary().filter(|_| unsure);
        self.node.failpoint(failpoints::LEASE_BEFORE_REVOKE_EXPIRED).await;
        let leads_in = if unsure { found_in } else { self.ensure_leadership().await };
        let Some(term) = leads_in else {
            sometimes!(
                self.node,
                "a leader that was deposed revokes no lease",
                when = |run| { run.has("leases") && run.members > 1 }
            );
            return;
        };
        let mut expired = expired.into_iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < REVOCATIONS_MAX
                && let Some(id) = expired.next()
            {
                // It may have been revoked meanwhile, or have got more time from this member's next promotion.
                if unsure || self.kv.lessor().is_expired(id, term, self.node.monotonic()) {
                    record!(self.node, "lease", "{} has expired", id);
                    let lease_revoke = Some(LeaseRevokeRequest { id });
                    let request = InternalRaftRequest { lease_revoke, ..Default::default() };
                    under_way.push(match unsure {
                        true => Either::Left(self.propose_of_term(term, request)),
                        false => Either::Right(self.propose_in_term(term, request)),
                    });
                } else {
                    sometimes!(
                        self.node,
                        "a lease that had expired is not revoked after all",
                        when = |run| { run.has("leases") }
                    );
                }
            }
            let Some(revoked) = under_way.next().await else { return };
            sometimes!(
                self.node,
                "an expired lease is gone before its leader can revoke it",
                revoked == Err(Error::LeaseNotFound),
                when = |run| { run.has("leases") }
            );
        }
    }

    /// Proposes the checkpoints that are due.
    async fn checkpoint_leases(&self) {
        if !self.kv.lessor().is_checkpoint_due(self.node.monotonic()) {
            return;
        }
        let Some(term) = self.ensure_leadership().await else { return };
        // Nothing may come between what is left and the proposal that says so.
        let checkpoints = self.kv.change_lessor(|lessor| match lessor.primary() == Some(term) {
            true => lessor.due_checkpoints(self.node.monotonic()),
            false => Vec::new(),
        });
        if !checkpoints.is_empty() {
            record!(self.node, "lease", "{} checkpoints", checkpoints.len() as u64);
            if self.propose_in_term(term, checkpoint(checkpoints)).await.is_err() {
                self.observer.drops_proposal();
            }
        }
    }
}

fn checkpoint(checkpoints: Vec<LeaseCheckpoint>) -> InternalRaftRequest {
    let lease_checkpoint = Some(LeaseCheckpointRequest { checkpoints });
    InternalRaftRequest { lease_checkpoint, ..Default::default() }
}

/// Answers other members.
pub(super) async fn listen(member: Rc<Member>) {
    let listener = member.node.listen::<LeaseAnswer, LeaseQuestion>(LEASE_PORT);
    loop {
        let connection = listener.accept().await;
        let member = Rc::clone(&member);
        let node = member.node.clone();
        node.spawn(async move {
            if let Ok(question) = connection.receive().await {
                let _ = connection.send(member.answer_about_lease(question).await);
                // The answer must not be lost with its connection.
                let _ = connection.receive().await;
            }
        });
    }
}

/// Lets leases expire while this member is the primary, and writes down how long they have left.
///
/// As in etcd it looks twice a second, counted from its start, but it leaves out looks at which nothing can be due.
pub(super) async fn run(member: Rc<Member>) {
    let node = &member.node;
    let mut earliest = node.monotonic();
    loop {
        let changed = member.kv.leases_changed().notified();
        let due = member.kv.lessor().next_due();
        let Some(due) = due else {
            changed.await;
            continue;
        };
        let now = node.monotonic();
        let look = earliest + whole_looks(due.since(earliest));
        if look > now {
            // A clock whose drift changes meanwhile does not move the end of a wait. What is added makes up for rounding:
            // the clock must have come to the look.
            let wait = (look - now).min(WAIT_MAX) + Duration::from_micros(1);
            let _ = before(node.sleep(wait), changed).await;
            continue;
        }
        let expired = member.kv.change_lessor(|lessor| {
            let expired = lessor.expired(now);
            let ends = expired.iter().filter_map(|id| lessor.lookup(*id)?.expiry());
            let overdue = ends.min().is_some_and(|first| now - first > 2 * LOOK);
            sometimes!(
                node,
                "a leader is late to find that a lease has expired",
                overdue,
                when = |run| { run.has("leases") }
            );
            expired
        });
        member.observer.revokes(member.id, expired.len());
        if !expired.is_empty() {
            let member = Rc::clone(&member);
            node.spawn(async move { member.revoke(expired).await });
        }
        earliest = earliest + whole_looks(now.since(earliest) + Duration::from_nanos(1));
        member.checkpoint_leases().await;
    }
}

/// The least whole number of looks that take as long as `duration`.
fn whole_looks(duration: Duration) -> Duration {
    let looks = duration.as_nanos().div_ceil(LOOK.as_nanos());
    LOOK.saturating_mul(u32::try_from(looks).unwrap_or(u32::MAX))
}
