//! Changes of the membership on their way: proposed, committed, applied; and what a member says of itself when it
//! has started.
//!
//! ```text
//!  cluster_service ──proposal──> raft loop ──committed entry──> apply loop: is it still allowed?
//!        ^                           ^                              │
//!        │                           └───────────change─────────────┤   Raft takes it, or that nothing changes
//!        └────────────────────────────────result────────────────────┘
//! ```

use std::rc::Rc;
use std::time::Duration;

use prost::Message as _;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, ConfState, Entry};
use tokio::sync::oneshot;
use vertebra_sim::{before, record};

use super::membership::{conf_change, no_conf_change, read_context};
use super::raft_loop::Input;
use super::{Member, Proposal};
use crate::api::membershippb::{ClusterMemberAttrSetRequest, DowngradeInfoSetRequest};
use crate::api::{InternalRaftRequest, RequestHeader};
use crate::backend::BackendError;
use crate::cluster::{Change, MemberId, Shown};
use crate::error::Error;
use crate::failpoints;

/// How long a member goes on at least when it was removed, so that the others learn of it. etcd: 1 s, in which a leader
/// still leads. Ours gives another the time to be elected, who may need its vote.
const STOP_DELAY: Duration = Duration::from_secs(1);

/// Why a member ends when it learns that it was removed.
const REMOVED: &str = "the member has been permanently removed from the cluster";

/// What a member waits before it publishes itself again. etcd tries again at once, with a timeout for each attempt.
const PUBLISH_PAUSE: Duration = Duration::from_millis(100);

/// A change that Raft has to take before the apply loop goes on.
pub(super) struct Applying {
    /// The index of its entry.
    pub(super) index: u64,
    /// Nothing if the configuration with which Raft began has it already.
    pub(super) change: Option<ConfChangeV2>,
    /// What becomes of the configuration.
    pub(super) answer: oneshot::Sender<ConfState>,
}

/// Who waits for a change, or for what it published, to be applied.
pub(super) type Waiter = oneshot::Sender<Result<(), Error>>;

/// Applies an entry that changes the configuration, or passes it over if it is in the backend.
pub(super) async fn apply(member: &Rc<Member>, entry: &Entry, is_new: bool) -> Result<(), BackendError> {
    let node = &member.node;
    node.failpoint(failpoints::BEFORE_APPLY_ONE_CONF_CHANGE).await;
    if !is_new {
        take(member, entry.index, None).await;
        return Ok(());
    }
    let read = ConfChangeV2::parse_from_bytes(&entry.data).ok();
    let Some((change, (request, changes))) = read.and_then(|change| {
        let context = read_context(&change)?;
        Some((change, context))
    }) else {
        panic!("the change of the configuration in entry {} cannot be decoded", entry.index);
    };
    let result = member.membership.borrow().validate(&changes);
    let change = if result.is_ok() { change } else { no_conf_change() };
    let conf_state = take(member, entry.index, Some(change)).await;
    {
        let membership = &mut *member.membership.borrow_mut();
        membership.set_conf_state(conf_state);
        if result.is_ok() {
            membership.apply(&changes);
        }
    }
    save(member).await?;
    for change in &changes {
        let outcome = if result.is_ok() { "applied" } else { "refused" };
        record!(node, "cluster", "entry {}: {} is {}", entry.index, *change, outcome);
    }
    member.answer(request, result);
    if member.is_removed(member.id) {
        node.failpoint(failpoints::CONF_CHANGE_BEFORE_STOP).await;
        let (member, delay) = (Rc::clone(member), STOP_DELAY.max(4 * member.options.election_timeout()));
        node.spawn(async move {
            member.node.sleep(delay).await;
            member.end_as_removed().await
        });
    }
    Ok(())
}

/// Lets Raft take a change, and returns the configuration that comes of it.
async fn take(member: &Member, index: u64, change: Option<ConfChangeV2>) -> ConfState {
    let (answer, answered) = oneshot::channel();
    let _ = member.conf_changes.send(Applying { index, change, answer });
    match answered.await {
        Ok(conf_state) => conf_state,
        // The raft loop ends only with the process.
        Err(_) => std::future::pending().await,
    }
}

/// Puts the membership into the backend, as a part of the entry that is being applied.
async fn save(member: &Member) -> Result<(), BackendError> {
    member.kv.write(|_, tx| member.membership.borrow().save(tx)).await
}

/// Applies what a member published of itself. Whether the request was that.
pub(super) async fn apply_published(
    member: &Member,
    request: &InternalRaftRequest,
) -> Result<bool, BackendError> {
    if let Some(DowngradeInfoSetRequest { enabled, ver }) = &request.downgrade_info_set {
        let version = enabled.then(|| ver.clone());
        Box::pin(member.kv.write(|_, tx| member.membership.borrow_mut().set_downgrade(tx, version))).await?;
        record!(member.node, "cluster", "downgrade: {}", enabled);
    } else if let Some(ClusterMemberAttrSetRequest { member_id, peer_urls }) =
        &request.cluster_member_attr_set
    {
        if peer_urls.is_empty() {
            member.membership.borrow_mut().publish(*member_id);
        } else {
            member.membership.borrow_mut().set_peer_urls(*member_id, peer_urls);
        }
        Box::pin(save(member)).await?;
        record!(member.node, "cluster", "member {} is published", Shown(*member_id));
    } else {
        return Ok(false);
    }
    member.answer(request.header.as_ref().map_or(0, |header| header.id), Ok(()));
    Ok(true)
}

/// Tells the cluster that this member has started, until that has succeeded.
pub(super) async fn publish(member: Rc<Member>) {
    member.node.failpoint(failpoints::BEFORE_PUBLISHING).await;
    loop {
        let id = member.next_request_id();
        let request = InternalRaftRequest {
            header: Some(RequestHeader { id, ..RequestHeader::default() }),
            cluster_member_attr_set: Some(ClusterMemberAttrSetRequest {
                member_id: member.id,
                peer_urls: Vec::new(),
            }),
            ..InternalRaftRequest::default()
        };
        if member.propose_and_wait(id, Proposal::Request(request.encode_to_vec())).await.is_ok() {
            return;
        }
        member.node.sleep(PUBLISH_PAUSE).await;
    }
}

impl Member {
    /// Proposes changes, and waits until they are applied here.
    pub(super) async fn configure(&self, changes: &[Change]) -> Result<(), Error> {
        self.node.failpoint(failpoints::CONF_CHANGE_BEFORE_PROPOSE).await;
        let id = self.next_request_id();
        let change = conf_change(id, changes);
        let bytes = change.write_to_bytes().expect("a change of the configuration can be encoded");
        let result = self.propose_and_wait(id, Proposal::ConfChange(bytes)).await;
        self.node.failpoint(failpoints::CONF_CHANGE_BEFORE_ANSWER).await;
        result
    }

    /// Proposes something about the cluster, and waits until it is applied here.
    pub(super) async fn tell_cluster(&self, request: InternalRaftRequest) -> Result<(), Error> {
        let id = self.next_request_id();
        let header = Some(RequestHeader { id, ..RequestHeader::default() });
        let request = InternalRaftRequest { header, ..request };
        self.propose_and_wait(id, Proposal::Request(request.encode_to_vec())).await
    }

    async fn propose_and_wait(&self, id: u64, proposal: Proposal) -> Result<(), Error> {
        let deadline = self.node.sleep(self.request_timeout());
        let (waiter, result) = oneshot::channel();
        let proposed = async {
            self.wait_for_leader().await;
            self.configuring.borrow_mut().insert(id, waiter);
            let _guard = StopWaiting(self, id);
            let _ = match self.is_leader() {
                true => self.raft.send(Input::Propose(proposal)).is_ok(),
                false => self.forward.send(proposal).is_ok(),
            };
            result.await.unwrap_or(Err(Error::Stopped))
        };
        before(deadline, proposed).await.unwrap_or(Err(Error::TimedOut))
    }

    fn answer(&self, request: u64, result: Result<(), Error>) {
        if let Some(waiter) = self.configuring.borrow_mut().remove(&request) {
            // Who asked may have stopped waiting.
            let _ = waiter.send(result);
        }
    }

    /// Whether this member is there to follow only.
    pub(super) fn is_learner(&self) -> bool {
        self.membership.borrow().is_learner(self.id)
    }

    pub(super) fn is_removed(&self, id: MemberId) -> bool {
        self.membership.borrow().is_removed(id)
    }

    /// Ends the process of a member that has learnt of its removal.
    pub(super) async fn end_as_removed(&self) -> ! {
        self.observer.ends_as_removed(self.id);
        self.node.finish(REMOVED).await
    }
}

struct StopWaiting<'a>(&'a Member, u64);

impl Drop for StopWaiting<'_> {
    fn drop(&mut self) {
        self.0.configuring.borrow_mut().remove(&self.1);
    }
}
