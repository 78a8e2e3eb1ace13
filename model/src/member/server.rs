//! Answers clients.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, ready};
use futures_util::stream::FuturesUnordered;
use prost::Message;
use tokio::sync::oneshot;
use vertebra_sim::network::Connection;
use vertebra_sim::{before, sometimes};

use super::raft_loop::Input;
use super::{Member, Proposal};
use crate::api::{
    AuthRequest, CompactionRequest, InternalRaftRequest, RangeRequest, RequestHeader, ResponseHeader,
    TxnRequest,
};
use crate::auth::{AuthStore, Caller};
use crate::error::Error;
use crate::history::{OperationId, Request};
use crate::lessor::Lessor;
use crate::mvcc::{self, validate};
use crate::quota;
use crate::response::Response;
use crate::wire::{CLIENT_PORT, ClientReply, ClientRequest, Token};

/// The identifier of every simulated cluster.
pub(super) const CLUSTER_ID: u64 = 0x7665_7274_6562_7261;

pub(super) async fn listen(member: Rc<Member>) {
    let listener = member.node.listen(CLIENT_PORT);
    loop {
        let connection = listener.accept().await;
        let member = Rc::clone(&member);
        let node = member.node.clone();
        node.spawn(async move { serve(&member, connection).await });
    }
}

/// Answers the requests on one connection, several at a time, as they are ready.
async fn serve(member: &Member, connection: Connection<ClientReply, ClientRequest>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let reply = poll_fn(|context| {
            loop {
                match connection.poll_receive(context) {
                    Poll::Ready(Ok(request)) => under_way.push(answer(member, request)),
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    Poll::Pending => break,
                }
            }
            match under_way.poll_next_unpin(context) {
                Poll::Ready(Some(reply)) => Poll::Ready(Some(reply)),
                // With nothing under way, only the connection can wake this task.
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            }
        })
        .await;
        // Without a connection there is nobody to answer: what is under way is cancelled, as etcd does when a
        // stream ends.
        let Some(reply) = reply else {
            sometimes!(member.node, "a client goes while its request is under way", !under_way.is_empty());
            return;
        };
        if connection.send(reply).is_err() {
            return;
        }
    }
}

/// Where a request comes from.
pub(super) struct Origin {
    /// The operation in the history, for the white-box oracles. No history has it where something is asked that is made up of
    /// several.
    pub(super) operation: Option<OperationId>,
    pub(super) token: Option<Token>,
}

async fn answer(member: &Member, request: ClientRequest) -> ClientReply {
    let ClientRequest { number, operation, request, token } = request;
    let origin = Origin { operation: Some(operation), token };
    let result = execute(member, &origin, request).await;
    let reply = ClientReply { number, result, applied_index: member.visible_index() };
    if member.options.encode_messages { reply.through_bytes() } else { reply }
}

/// Does what is asked.
pub(super) async fn execute(member: &Member, origin: &Origin, request: Request) -> Result<Response, Error> {
    let fits = member.fits(quota::cost_of_request(&request));
    let mut result = match request {
        Request::Range(read) if member.is_learner() && read.serializable => member.range(origin, &read).await,
        _ if member.is_learner() => Err(Error::NotSupportedForLearner),
        _ if !fits => {
            Box::pin(member.raise_no_space()).await;
            Err(Error::NoSpace)
        }
        Request::Range(read) => member.range(origin, &read).await,
        Request::Put(put) => match validate::put(&put) {
            Ok(()) => {
                member.propose(origin, InternalRaftRequest { put: Some(put), ..Default::default() }).await
            }
            Err(error) => Err(error),
        },
        Request::DeleteRange(delete) => match validate::delete_range(&delete) {
            Ok(()) => {
                let delete_range = Some(delete);
                member.propose(origin, InternalRaftRequest { delete_range, ..Default::default() }).await
            }
            Err(error) => Err(error),
        },
        Request::Txn(txn) => member.txn(origin, txn).await,
        Request::Compact(compaction) => Box::pin(member.compact(origin, compaction)).await,
        Request::LeaseGrant(grant) => Box::pin(member.lease_grant(origin, grant)).await,
        Request::LeaseRevoke(revoke) => {
            let lease_revoke = Some(revoke);
            let request = InternalRaftRequest { lease_revoke, ..Default::default() };
            match Box::pin(member.require_caller(origin.token.as_ref())).await {
                Ok(_) => member.propose(origin, request).await,
                Err(error) => Err(error),
            }
        }
        Request::LeaseKeepAlive(keep_alive) => member.lease_keep_alive(origin, keep_alive.id).await,
        Request::LeaseTimeToLive(question) => Box::pin(member.lease_time_to_live(origin, question)).await,
        Request::LeaseLeases(_) => Box::pin(member.lease_leases(origin)).await,
        Request::Auth(request) => Box::pin(member.auth_service(origin, request)).await,
    };
    if let Ok(response) = &mut result {
        member.complete_header(response);
    }
    result
}

/// After so many election timeouts without a leader, streams end whose callers want one.
const WITHOUT_LEADER_MAX: u32 = 3;

impl Member {
    /// Waits until the member has been without a leader at several looks in a row.
    pub(super) async fn lost_leader(&self) {
        let mut without = 0;
        while without < WITHOUT_LEADER_MAX {
            self.node.sleep(self.options.election_timeout()).await;
            without = if self.status.get().leader == 0 { without + 1 } else { 0 };
        }
    }

    /// How long a request may take before the member gives up on it.
    pub(super) fn request_timeout(&self) -> Duration {
        self.options.request_timeout()
    }

    async fn range(&self, origin: &Origin, read: &RangeRequest) -> Result<Response, Error> {
        validate::range(read)?;
        if !read.serializable {
            self.become_up_to_date().await?;
        }
        let answer = || self.kv.read(|store, tx| store.range(tx, read)).map(Response::Range);
        let check =
            |auth: &AuthStore, caller: &Caller, _: &Lessor| auth.may_read(caller, &read.key, &read.range_end);
        self.read_as(origin.token.as_ref(), check, answer).await
    }

    async fn txn(&self, origin: &Origin, txn: TxnRequest) -> Result<Response, Error> {
        let valid = validate::txn(&txn, self.options.txn_ops_max);
        sometimes!(
            self.node,
            "a transaction is refused, for it has too many operations",
            valid == Err(Error::TooManyOps)
        );
        valid?;
        if mvcc::is_read_only(&txn) {
            if !mvcc::is_serializable(&txn) {
                self.become_up_to_date().await?;
            }
            let answer = || self.kv.read(|store, tx| store.read_txn(tx, &txn)).map(Response::Txn);
            let check =
                |auth: &AuthStore, caller: &Caller, lessor: &Lessor| auth.check_txn(caller, lessor, &txn);
            return self.read_as(origin.token.as_ref(), check, answer).await;
        }
        self.propose(origin, InternalRaftRequest { txn: Some(txn), ..Default::default() }).await
    }

    /// Compacts. A physical compaction is over when everything is removed, and that is durable.
    async fn compact(&self, origin: &Origin, compaction: CompactionRequest) -> Result<Response, Error> {
        self.require_root(origin.token.as_ref()).await?;
        let deadline = self.node.sleep(self.request_timeout());
        let proposal = InternalRaftRequest { compaction: Some(compaction), ..Default::default() };
        let response = self.propose(origin, proposal).await?;
        if compaction.physical {
            let removed = async {
                self.kv.wait_compacted(self, compaction.revision).await;
                if let Err(error) = self.kv.commit().await {
                    self.node.exit(&error.to_string()).await;
                }
            };
            before(deadline, removed).await.ok_or(Error::TimedOut)?;
            self.observer.answers_compaction(self.id, compaction.revision);
        }
        Ok(response)
    }

    /// Waits until everything is applied that was committed when this was called.
    pub(super) async fn become_up_to_date(&self) -> Result<(), Error> {
        let (waiting, result) = oneshot::channel();
        let _ = self.reads.send(waiting);
        // The read loop answers everyone, and ends only with the process.
        result.await.unwrap_or(Err(Error::Stopped))
    }

    /// Proposes a client's request, and waits for its result.
    pub(super) fn propose(
        &self,
        origin: &Origin,
        request: InternalRaftRequest,
    ) -> impl Future<Output = Result<Response, Error>> {
        // Who asks for a token needs none.
        let asks = self.kv.auth().is_enabled()
            && origin.token.is_some()
            && !matches!(request.auth, Some(AuthRequest::Authenticate(_)));
        // A future that held the request would be large, and many are under way.
        let encoded = match asks {
            false => Either::Left(ready(self.encode_proposal(Caller::default(), request))),
            true => Either::Right(Box::pin(async {
                let caller = self.caller(origin.token.as_ref()).await?;
                self.encode_proposal(caller, request)
            })),
        };
        async move {
            let (id, data) = encoded.await?;
            self.propose_data(Proposer::Client(origin), id, data).await
        }
    }

    /// Proposes a request of the member's own, which counts only if it leads in `term`, and waits for its result.
    pub(super) fn propose_in_term(
        &self,
        term: u64,
        request: InternalRaftRequest,
    ) -> impl Future<Output = Result<Response, Error>> {
        let encoded = self.encode_proposal(self.own_caller(), request);
        async move {
            let (id, data) = encoded?;
            self.propose_data(Proposer::Leader { term, alone: true }, id, data).await
        }
    }

    /// For planted bugs: the same, but it counts whoever leads by then.
    pub(super) async fn propose_of_term(
        &self,
        term: u64,
        request: InternalRaftRequest,
    ) -> Result<Response, Error> {
        let (id, data) = self.encode_proposal(self.own_caller(), request)?;
        self.propose_data(Proposer::Leader { term, alone: false }, id, data).await
    }

    /// Proposes a request of the member's own, whoever leads, and waits for its result.
    pub(super) async fn propose_unasked(&self, request: InternalRaftRequest) -> Result<Response, Error> {
        let (id, data) = self.encode_proposal(self.own_caller(), request)?;
        let origin = Origin { operation: None, token: None };
        self.propose_data(Proposer::Client(&origin), id, data).await
    }

    fn encode_proposal(
        &self,
        caller: Caller,
        mut request: InternalRaftRequest,
    ) -> Result<(u64, Vec<u8>), Error> {
        if self.status.get().commit > self.applied.get() + self.options.backlog_max {
            sometimes!(self.node, "a request is refused, for too many entries wait to be applied");
            return Err(Error::TooManyRequests);
        }
        let id = self.next_request_id();
        request.header = Some(RequestHeader { id, username: caller.user, auth_revision: caller.revision });
        let data = request.encode_to_vec();
        if data.len() > self.options.request_bytes_max {
            sometimes!(self.node, "a request is refused, for it is too large");
            return Err(Error::RequestTooLarge);
        }
        Ok((id, data))
    }

    async fn propose_data(&self, proposer: Proposer<'_>, id: u64, data: Vec<u8>) -> Result<Response, Error> {
        let (result, waiting) = oneshot::channel();
        let deadline = self.node.sleep(self.request_timeout());
        let proposed = pin!(async {
            match proposer {
                Proposer::Client(origin) => {
                    self.wait_for_leader().await;
                    match origin.operation {
                        Some(operation) => self.observer.proposed(operation, id),
                        None => self.observer.proposed_beside(&data, id),
                    }
                }
                Proposer::Leader { term, .. } => self.observer.proposed_by_leader(self.id, term, id),
            }
            self.waiting.borrow_mut().insert(id, result);
            let _guard = StopWaiting(self, id);
            let proposal = Proposal::Request(data);
            let _ = match proposer {
                Proposer::Leader { term, alone: true } => {
                    self.raft.send(Input::ProposeInTerm { term, proposal }).is_ok()
                }
                _ if self.is_leader() => self.raft.send(Input::Propose(proposal)).is_ok(),
                _ => self.forward.send(proposal).is_ok(),
            };
            waiting.await.unwrap_or(Err(Error::Stopped))
        });
        before(deadline, proposed).await.unwrap_or_else(|| {
            sometimes!(self.node, "a proposal is given up by its member");
            Err(Error::TimedOut)
        })
    }

    pub(super) async fn wait_for_leader(&self) {
        loop {
            let changed = self.leader_changed.notified();
            if self.status.get().leader != 0 {
                return;
            }
            sometimes!(self.node, "a request waits for a leader");
            changed.await;
        }
    }

    /// The store knows only the revision.
    pub(super) fn complete_header(&self, response: &mut Response) {
        let header = response.header_mut();
        let revision = header.map_or(0, |header| header.revision);
        let (member_id, raft_term) = (self.id, self.status.get().term);
        *header = Some(ResponseHeader { cluster_id: CLUSTER_ID, member_id, revision, raft_term });
    }
}

/// Who proposes.
#[derive(Clone, Copy)]
enum Proposer<'a> {
    Client(&'a Origin),
    /// This member, as the leader of a term; what it proposes counts in that term alone.
    Leader {
        term: u64,
        alone: bool,
    },
}

/// Takes a proposal off the list of those that are waited for, also when the one who waited is cancelled.
struct StopWaiting<'a>(&'a Member, u64);

impl Drop for StopWaiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.borrow_mut().remove(&self.1);
    }
}
