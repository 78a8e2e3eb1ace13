//! Answers operators, with etcd's checks and errors.
//!
//! What etcd's members know of their connections to each other, ours find out when they are asked: they greet the
//! voters and see who answers. And where etcd's members pass a promotion on to the leader, ours say that they do not
//! lead.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use vertebra_sim::before;
use vertebra_sim::network::Connection;

use super::raft_loop::Input;
use super::{Member, member_id};
use crate::api::InternalRaftRequest;
use crate::api::membershippb::ClusterMemberAttrSetRequest;
use crate::cluster::{
    Address, CLUSTER_PORT, Call, Change, JointChange, MemberId, Reply, Request, Response, machine,
};
use crate::error::Error;
use crate::failpoints;

/// How long a voter has to answer a greeting. etcd wants peers to have been connected for 5 s.
const GREETING: Duration = Duration::from_millis(500);

/// How much of the leader's log a learner must have before it may vote, in percent.
const READY_PERCENT: u64 = 90;

pub(super) async fn listen(member: Rc<Member>) {
    let listener = member.node.listen(CLUSTER_PORT);
    loop {
        let connection = listener.accept().await;
        let member = Rc::clone(&member);
        let node = member.node.clone();
        node.spawn(async move { serve(&member, connection).await });
    }
}

async fn serve(member: &Member, connection: Connection<Reply, Call>) {
    while let Ok(Call { number, request }) = connection.receive().await {
        let result = member.answer_operator(request).await;
        if connection.send(Reply { number, result }).is_err() {
            return;
        }
    }
}

impl Member {
    async fn answer_operator(&self, request: Request) -> Result<Response, Error> {
        // etcd's learners serve no more than statuses and serializable reads.
        if self.is_learner() && request != (Request::MemberList { linearizable: false }) {
            return Err(Error::NotSupportedForLearner);
        }
        let mut added = Vec::new();
        match request {
            Request::MemberAdd { address, learner } => added.push(self.add(address, learner, &[]).await?),
            Request::MemberRemove(id) => self.remove(id).await?,
            Request::MemberPromote(id) => self.promote(id).await?,
            Request::MemberUpdate { id, address } => self.change(Change::Update { id, address }).await?,
            Request::MemberList { linearizable: true } => self.become_up_to_date().await?,
            Request::MemberList { .. } => {}
            Request::MoveLeader(id) => self.move_leader(id).await?,
            Request::Joint(changes) => added = self.change_several(&changes).await?,
        }
        let membership = self.membership.borrow();
        // Operators look after machines.
        let members = membership.list().into_iter().filter(|member| self.is_somewhere(member.id)).collect();
        let joint = membership.is_joint();
        Ok(Response { member: self.id, leader: self.status.get().leader, members, joint, added })
    }

    /// One change, which is judged here first: what is refused costs the log nothing.
    async fn change(&self, change: Change) -> Result<(), Error> {
        self.membership.borrow().validate(&[change])?;
        self.configure(&[change]).await
    }

    /// Adds a member; `urls` if these do not follow from its address.
    pub(super) async fn add(
        &self,
        address: Address,
        learner: bool,
        urls: &[String],
    ) -> Result<MemberId, Error> {
        if self.options.strict_reconfiguration {
            if !learner && !self.membership.borrow().is_ready_for_another_voter(false) {
                return Err(Error::MemberNotEnoughStarted);
            }
            let voters = self.membership.borrow().voters().count();
            // The new member is taken for one that cannot be reached.
            if voters > 1 && self.connected_voters().await.len() <= voters.div_ceil(2) {
                return Err(Error::Unhealthy);
            }
        }
        if self.membership.borrow().has_any_url(urls, None) {
            return Err(Error::PeerUrlExist);
        }
        let id = self.membership.borrow().next_id(machine(u64::from(address)));
        self.change(Change::Add { id, address, learner }).await?;
        if !urls.is_empty() {
            self.set_peer_urls(id, urls).await?;
        }
        Ok(id)
    }

    /// Changes where a member can be reached.
    pub(super) async fn update(&self, id: MemberId, address: Address, urls: &[String]) -> Result<(), Error> {
        // What is said of a member that there is not comes first, as in etcd's look at the change as a whole.
        let is_known = self.membership.borrow().contains(id);
        if is_known && self.membership.borrow().has_any_url(urls, Some(id)) {
            return Err(Error::PeerUrlExist);
        }
        self.change(Change::Update { id, address }).await?;
        if urls.is_empty() { Ok(()) } else { self.set_peer_urls(id, urls).await }
    }

    async fn set_peer_urls(&self, id: MemberId, urls: &[String]) -> Result<(), Error> {
        let request = ClusterMemberAttrSetRequest { member_id: id, peer_urls: urls.to_vec() };
        let cluster_member_attr_set = Some(request);
        self.tell_cluster(InternalRaftRequest { cluster_member_attr_set, ..Default::default() }).await
    }

    pub(super) async fn remove(&self, id: MemberId) -> Result<(), Error> {
        let exists = self.membership.borrow().contains(id);
        self.node.failpoint(failpoints::AFTER_IS_MEMBER_EXIST).await;
        if self.options.strict_reconfiguration && exists && !self.membership.borrow().is_learner(id) {
            if !self.membership.borrow().is_ready_to_remove_voter(id) {
                return Err(Error::MemberNotEnoughStarted);
            }
            let voters = self.membership.borrow().voters().count();
            let connected = self.connected_voters().await;
            // One that is down is no part of the quorum that works.
            if (id == self.id || connected.contains(&id)) && connected.len() - 1 < 1 + (voters - 1) / 2 {
                return Err(Error::Unhealthy);
            }
        }
        self.change(Change::Remove { id }).await
    }

    /// Promotes a learner, or has whoever leads do that.
    pub(super) async fn promote_through_leader(&self, id: MemberId) -> Result<(), Error> {
        let promoted = async {
            loop {
                match self.promote(id).await {
                    Err(Error::NotLeader) => {}
                    done => return done,
                }
                self.wait_for_leader().await;
                let leader = self.status.get().leader;
                if leader != self.id && leader != 0 {
                    match self.ask_to_promote(leader, id).await {
                        None | Some(Err(Error::NotLeader)) => {}
                        Some(done) => return done,
                    }
                }
                self.node.sleep(self.options.heartbeat_interval).await;
            }
        };
        before(self.node.sleep(self.request_timeout()), promoted).await.unwrap_or(Err(Error::TimedOut))
    }

    async fn ask_to_promote(&self, leader: MemberId, id: MemberId) -> Option<Result<(), Error>> {
        let connection: Connection<Call, Reply> =
            self.node.connect(member_id(leader), CLUSTER_PORT).await.ok()?;
        connection.send(Call { number: 0, request: Request::MemberPromote(id) }).ok()?;
        let reply = connection.receive().await.ok()?;
        // What is applied there may not be applied here.
        let applied = async {
            while reply.result.is_ok() && self.is_listed_as_learner(id) {
                self.node.sleep(self.options.heartbeat_interval).await;
            }
        };
        applied.await;
        Some(reply.result.map(|_| ()))
    }

    fn is_listed_as_learner(&self, id: MemberId) -> bool {
        self.membership.borrow().is_learner(id)
    }

    async fn promote(&self, id: MemberId) -> Result<(), Error> {
        self.become_up_to_date().await?;
        let (answer, progress) = oneshot::channel();
        let _ = self.raft.send(Input::Progress { of: id, answer });
        let Some((matched, leader_matched)) = progress.await.unwrap_or(Err(Error::Stopped))? else {
            return Err(Error::MemberNotFound);
        };
        if matched * 100 < leader_matched * READY_PERCENT {
            return Err(Error::LearnerNotReady);
        }
        if self.options.strict_reconfiguration && !self.membership.borrow().is_ready_for_another_voter(true) {
            return Err(Error::MemberNotEnoughStarted);
        }
        self.change(Change::Promote { id }).await
    }

    async fn change_several(&self, changes: &[JointChange]) -> Result<Vec<MemberId>, Error> {
        let mut added = Vec::new();
        let changes: Vec<_> = {
            let membership = self.membership.borrow();
            let mut change = |change: &JointChange| match *change {
                JointChange::Add { machine, learner } => {
                    let id = membership.next_id(machine);
                    added.push(id);
                    Change::Add { id, address: machine.into(), learner }
                }
                JointChange::Remove(id) => Change::Remove { id },
                JointChange::Promote(id) => Change::Promote { id },
            };
            changes.iter().map(&mut change).collect()
        };
        self.membership.borrow().validate(&changes)?;
        self.configure(&changes).await?;
        Ok(added)
    }

    pub(super) async fn move_leader(&self, to: MemberId) -> Result<(), Error> {
        if !self.is_leader() {
            return Err(Error::NotLeader);
        }
        let is_voter = self.membership.borrow().voters().any(|voter| voter == to);
        if !is_voter {
            return Err(Error::BadLeaderTransferee);
        }
        self.node.failpoint(failpoints::MOVE_LEADER_BEFORE_TRANSFER).await;
        let _ = self.raft.send(Input::TransferLeader { to });
        let moved = async {
            while self.status.get().leader != to {
                self.node.sleep(self.options.heartbeat_interval).await;
            }
        };
        let deadline = self.node.sleep(self.request_timeout());
        before(deadline, moved).await.ok_or(Error::TimedOutLeaderTransfer)
    }

    /// The voters that answer a greeting, this member among them if it is one.
    async fn connected_voters(&self) -> BTreeSet<MemberId> {
        let number = self.next_request_id();
        let voters: BTreeSet<_> = self.membership.borrow().voters().collect();
        let others = voters.iter().copied().filter(|voter| *voter != self.id).collect();
        self.greeted.borrow_mut().insert(number, BTreeSet::new());
        let _ = self.raft.send(Input::Greet { number, others });
        self.node.sleep(GREETING).await;
        let mut connected = self.greeted.borrow_mut().remove(&number).unwrap_or_default();
        connected.insert(self.id);
        connected.retain(|member| voters.contains(member));
        connected
    }
}
