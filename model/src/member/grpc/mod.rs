//! Serves callers from outside of the simulation: all of etcd's services, call by call as gRPC has them.
//!
//! ```text
//!  door ══calls, messages══> session ──one task for each call──> what the member has for its own clients
//!    ▲                                        │
//!    └──────────── answers, status ───────────┘
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `call` | one call: what has come for it, its window, whether anybody still waits |
//! | `methods` | which methods there are |
//! | `operations` | the calls that a history knows: KV, Lease and Auth |
//! | `cluster` | the Cluster service |
//! | `maintenance`, `downgrade`, `bolt` | the Maintenance service; a snapshot as a file of bbolt |
//! | `lock`, `election`, `inner` | the services of locks and elections, and the client inside of the member that they are |
//! | `range_stream` | reads whose answer comes in parts |
//! | `watch` | the Watch service, for which `watch_server` has everything |
//! | `health` | gRPC's own service of health |

mod bolt;
mod call;
mod cluster;
mod downgrade;
mod election;
mod health;
mod inner;
mod lock;
mod maintenance;
mod methods;
mod operations;
mod range_stream;
#[cfg(test)]
mod tests;
mod watch;

pub use self::downgrade::CLUSTER_VERSION;
pub use self::maintenance::VERSION;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::{Either, select};
use vertebra_sim::network::Connection;
use vertebra_sim::random::Stream as Draws;

use self::call::{Call, Over};
use self::methods::{Method, Shape};
use super::Member;
use super::server::CLUSTER_ID;
use crate::api::ResponseHeader;
use crate::error::Error;
use crate::grpc::{CallId, Metadata, Status, Up};
use crate::wire::{GRPC_PORT, GrpcDown, GrpcUp};

/// What all connections share.
struct Server {
    member: Rc<Member>,
    /// For the streams of watches.
    draws: OnceCell<RefCell<Draws>>,
}

/// Why a call does not end with `OK`.
enum Failure {
    /// It ends with this status.
    Status(Status),
    /// It was over before.
    Over,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Status(error.into())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Over> for Failure {
    fn from(Over: Over) -> Self {
        Self::Over
    }
}

/// Takes connections. This is no task of its own, for which of several tasks goes first is drawn: a member of which nobody
/// asks anything here does what it did without.
pub(super) async fn listen(member: Rc<Member>) {
    let listener = member.node.listen(GRPC_PORT);
    let server = Rc::new(Server { member, draws: OnceCell::new() });
    loop {
        let connection = listener.accept().await;
        let server = Rc::clone(&server);
        let node = server.member.node.clone();
        node.spawn(async move { server.serve(connection).await });
    }
}

impl Server {
    /// Hands what comes over a connection to its calls. When the connection breaks, all of them are over.
    async fn serve(self: Rc<Self>, connection: Connection<GrpcDown, GrpcUp>) {
        let connection = Rc::new(connection);
        let calls = Rc::<RefCell<BTreeMap<CallId, Rc<Call>>>>::default();
        while let Ok(GrpcUp { up, operation }) = connection.receive().await {
            let known = |call: CallId| calls.borrow().get(&call).cloned();
            match up {
                // A number that is in use names the call that has it.
                Up::Begin { call, .. } if known(call).is_some() => {}
                Up::Begin { call, path, metadata } => {
                    let member = Rc::clone(&self.member);
                    let begun = Rc::new(Call::new(member, Rc::clone(&connection), call, path, metadata));
                    calls.borrow_mut().insert(call, Rc::clone(&begun));
                    let (server, calls) = (Rc::clone(&self), Rc::clone(&calls));
                    self.member.node.spawn(async move {
                        let status = server.answer(&begun).await;
                        calls.borrow_mut().remove(&call);
                        begun.end(status);
                    });
                }
                Up::Message { call, bytes } => {
                    known(call).inspect(|call| call.push(bytes, operation));
                }
                Up::HalfClose { call } => {
                    known(call).inspect(|call| call.half_close());
                }
                Up::Consumed { call, bytes } => {
                    known(call).inspect(|call| call.window().free(bytes));
                }
                Up::Cancel { call } => {
                    known(call).inspect(|call| call.cancel());
                }
            }
        }
        let left = calls.take();
        left.values().for_each(|call| call.cancel());
    }

    /// What a call ends with; nothing if nobody waits for that.
    async fn answer(&self, call: &Call) -> Option<Status> {
        let method = match Method::of(&call.path) {
            Ok(method) => method,
            Err(status) => return Some(status),
        };
        let done = match method.shape() {
            Shape::Unary => self.unary(method, call).await,
            Shape::Stream => self.stream(method, call).await,
        };
        match done {
            Ok(()) => Some(Status::OK),
            Err(Failure::Status(status)) => Some(status),
            Err(Failure::Over) => None,
        }
    }

    async fn unary(&self, method: Method, call: &Call) -> Result<(), Failure> {
        // These have something to do at their end, and see for themselves whether anybody still waits.
        let answer = match method {
            Method::Lock => Some(Box::pin(self.lock(call)).await),
            Method::Campaign => Some(Box::pin(self.campaign(call)).await),
            _ => None,
        };
        if let Some(answer) = answer {
            call.send_at_once(answer?);
            return Ok(());
        }
        let answer = std::pin::pin!(async {
            // As in etcd: what cannot be read is found before anything is asked about the caller.
            let message = call.receive_only().await?;
            match method {
                Method::Operation => self.operation(call, message).await,
                Method::MemberAdd
                | Method::MemberRemove
                | Method::MemberUpdate
                | Method::MemberList
                | Method::MemberPromote => self.cluster(method, call, message).await,
                Method::Alarm
                | Method::Status
                | Method::Defragment
                | Method::Hash
                | Method::HashKv
                | Method::MoveLeader
                | Method::Downgrade => self.maintenance(method, call, message).await,
                Method::Unlock => self.unlock(call, message.bytes).await,
                Method::Proclaim | Method::Leader | Method::Resign => {
                    self.election(method, call, message.bytes).await
                }
                Method::HealthCheck => self.health_check(call, message),
                Method::Lock
                | Method::Campaign
                | Method::LeaseKeepAlive
                | Method::Watch
                | Method::Snapshot
                | Method::RangeStream
                | Method::Observe
                | Method::HealthWatch => unreachable!("{method:?} is answered elsewhere"),
            }
        });
        match select(answer, std::pin::pin!(call.cancelled())).await {
            Either::Left((answer, _)) => {
                call.send_at_once(answer?);
                Ok(())
            }
            Either::Right(_) => Err(Failure::Over),
        }
    }

    async fn stream(&self, method: Method, call: &Call) -> Result<(), Failure> {
        // As in etcd, a learner lets its data be saved, and serves no other stream.
        self.intercept(&call.metadata, self.member.is_learner() && method != Method::Snapshot)?;
        let served = std::pin::pin!(async {
            // These have something to do at their end.
            match method {
                Method::Watch => return self.watch(call).await,
                Method::Observe => return self.observe(call).await,
                _ => {}
            }
            let served = std::pin::pin!(async {
                match method {
                    Method::LeaseKeepAlive => self.keep_alive(call).await,
                    Method::Snapshot => self.snapshot(call).await,
                    Method::RangeStream => self.range_stream(call).await,
                    Method::HealthWatch => self.health_watch(call).await,
                    _ => unreachable!("{method:?} is no stream"),
                }
            });
            match select(served, std::pin::pin!(call.cancelled())).await {
                Either::Left((served, _)) => served,
                Either::Right(_) => Err(Failure::Over),
            }
        });
        if !call.metadata.require_leader {
            return served.await;
        }
        match select(served, std::pin::pin!(self.member.lost_leader())).await {
            Either::Left((served, _)) => served,
            Either::Right(((), served)) => {
                call.abort();
                let _ = served.await;
                Err(Error::NoLeader.into())
            }
        }
    }

    /// The header of an answer that is no operation's.
    fn header(&self) -> Option<ResponseHeader> {
        let (member_id, raft_term) = (self.member.id, self.member.status.get().term);
        let revision = self.member.kv.revision();
        Some(ResponseHeader { cluster_id: CLUSTER_ID, member_id, revision, raft_term })
    }

    /// What etcd asks about each call and its caller before it is served.
    fn intercept(&self, metadata: &Metadata, refuses_as_learner: bool) -> Result<(), Error> {
        if refuses_as_learner {
            return Err(Error::NotSupportedForLearner);
        }
        let version = metadata.client_api_version.as_ref();
        if version.is_some_and(|version| std::str::from_utf8(version).is_err()) {
            return Err(Error::InvalidClientApiVersion);
        }
        if metadata.require_leader && self.member.status.get().leader == 0 {
            return Err(Error::NoLeader);
        }
        Ok(())
    }
}
