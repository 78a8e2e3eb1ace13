//! Locks and elections, as clients of etcd make them out of leases, transactions and reads.
//!
//! Both are one queue: who wants to be first puts a key of its own, attached to a lease, below a common prefix, and the key
//! that was created first has the turn. A holder that only thinks that it still has the turn does no harm as long as each
//! write asks whether its key is still there: that fences it.
//!
//! etcd's own clients wait by a watch for the key before theirs to go. These ask again instead, between other requests.

use bytes::Bytes;
use vertebra_sim::random::Stream;

use super::text::Text;
use super::{put_op, range_op};
use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::response_op;
use crate::api::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest,
    RangeRequest, TxnRequest,
};
use crate::error::Error;
use crate::history::{Outcome, Request};
use crate::response::Response;

/// What clients queue for: a few locks, and one office. They lie between `key` and `key00`, so lists show them.
const PREFIXES: [&[u8]; 3] = [b"key/lock1/", b"key/lock2/", b"key/office/"];

/// What one client does in one queue at a time.
#[derive(Default)]
pub(super) struct Recipe {
    queue: usize,
    /// 0 where it has none.
    lease: i64,
    stage: Stage,
    /// The request that is under way, if it belongs to the recipe.
    asked: Option<Step>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Stage {
    /// It has put no key, or does not know of one.
    #[default]
    Outside,
    /// Its key was created at a revision, and others came before.
    Waiting(i64),
    /// Those who came before are gone. Its own key may be, too.
    Next(i64),
    /// No key was created before its own.
    Holding(i64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Grant,
    KeepAlive,
    Enter,
    LookAhead,
    Confirm,
    Write,
    Look,
    Leave,
    Revoke,
}

/// What a client has learnt of its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// It has it, without having waited, or after that.
    Got { waited: bool },
    /// Others come first.
    Behind,
    /// A write was fenced off, for its key was gone.
    Fenced,
    /// It has written while its key was there.
    Wrote,
    /// Its lease is gone.
    Expired,
    /// It has let the next one have its turn.
    Left,
}

impl Recipe {
    /// The next request. `value` is one that no other put has, and `data` the key that the turn allows to write.
    pub(super) fn draw(&mut self, stream: &mut Stream, value: Bytes, data: Bytes) -> Request {
        let (step, request) = self.next(stream, value, data);
        self.asked = Some(step);
        request
    }

    /// What was drawn last is not sent.
    pub(super) fn forget(&mut self) {
        self.asked = None;
    }

    fn next(&mut self, stream: &mut Stream, value: Bytes, data: Bytes) -> (Step, Request) {
        if self.lease == 0 {
            let ttl = stream.between(1, 6) as i64;
            self.queue = stream.below(PREFIXES.len() as u64) as usize;
            return (Step::Grant, Request::LeaseGrant(LeaseGrantRequest { ttl, id: 0 }));
        }
        let keep_alive = (Step::KeepAlive, Request::LeaseKeepAlive(LeaseKeepAliveRequest { id: self.lease }));
        match self.stage {
            Stage::Outside => (Step::Enter, self.enter(value)),
            Stage::Waiting(created) => match stream.below(10) {
                0..3 => keep_alive,
                3 => (Step::Leave, self.leave(created)),
                _ => (Step::LookAhead, self.look_ahead(created)),
            },
            Stage::Next(_) => (Step::Confirm, Request::Range(self.own())),
            Stage::Holding(created) => match stream.below(20) {
                0..5 => keep_alive,
                5..13 => {
                    let key = if self.elects() && stream.chance(300_000) { self.key() } else { data };
                    // What an office holder proclaims stays attached to its lease.
                    let lease = if key == self.key() { self.lease } else { 0 };
                    let put = PutRequest { key, value, lease, ..PutRequest::default() };
                    (Step::Write, self.fenced(created, vec![put_op(put)]))
                }
                13 | 14 => (Step::Look, Request::Range(self.first(SortOrder::Ascend))),
                15 => (Step::Revoke, Request::LeaseRevoke(LeaseRevokeRequest { id: self.lease })),
                _ => (Step::Leave, self.leave(created)),
            },
        }
    }

    fn prefix(&self) -> &'static [u8] {
        PREFIXES[self.queue]
    }

    fn elects(&self) -> bool {
        self.queue == PREFIXES.len() - 1
    }

    /// The prefix and the lease, as hexadecimal digits.
    fn key(&self) -> Bytes {
        let mut text = Text::default();
        text.push(self.prefix());
        text.push_hexadecimal(self.lease as u64);
        Bytes::copy_from_slice(text.bytes())
    }

    fn own(&self) -> RangeRequest {
        RangeRequest { key: self.key(), ..RangeRequest::default() }
    }

    /// The key that was created first, or last, of all below the prefix.
    fn first(&self, order: SortOrder) -> RangeRequest {
        let mut range_end = self.prefix().to_vec();
        *range_end.last_mut().expect("no prefix is empty") += 1;
        RangeRequest {
            key: Bytes::from_static(self.prefix()),
            range_end: range_end.into(),
            sort_order: order.into(),
            sort_target: SortTarget::Create.into(),
            limit: 1,
            ..RangeRequest::default()
        }
    }

    /// Puts its key, if it is not there, and asks who is first.
    fn enter(&self, value: Bytes) -> Request {
        let (key, lease) = (self.key(), self.lease);
        let own = range_op(self.own());
        let first = range_op(self.first(SortOrder::Ascend));
        let put = put_op(PutRequest { key, value, lease, ..PutRequest::default() });
        Request::Txn(TxnRequest {
            compare: vec![self.created_at(0)],
            success: vec![put, first.clone()],
            failure: vec![own, first],
        })
    }

    fn look_ahead(&self, created: i64) -> Request {
        let before = self.first(SortOrder::Descend);
        Request::Range(RangeRequest { max_create_revision: created - 1, ..before })
    }

    /// Office holders make sure that the key is still theirs; who has a lock does not.
    fn leave(&self, created: i64) -> Request {
        let delete = DeleteRangeRequest { key: self.key(), ..DeleteRangeRequest::default() };
        if self.elects() {
            self.fenced(created, vec![super::delete_op(delete)])
        } else {
            Request::DeleteRange(delete)
        }
    }

    fn fenced(&self, created: i64, success: Vec<crate::api::RequestOp>) -> Request {
        let own = range_op(self.own());
        Request::Txn(TxnRequest { compare: vec![self.created_at(created)], success, failure: vec![own] })
    }

    fn created_at(&self, revision: i64) -> Compare {
        Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: self.key(),
            target_union: Some(TargetUnion::CreateRevision(revision)),
            ..Compare::default()
        }
    }

    /// Whether the request that was drawn last belongs to it.
    pub(super) fn is_under_way(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether the request that was drawn last gives up its turn.
    pub(super) fn gives_up(&self) -> bool {
        matches!(self.asked, Some(Step::Leave | Step::Revoke))
    }

    /// The lease that it asks to keep alive by the request that was drawn last.
    pub(super) fn keeps_alive(&self) -> Option<i64> {
        (self.asked == Some(Step::KeepAlive)).then_some(self.lease)
    }

    /// The key by which it has the turn, as far as it knows: its name, the revision that created it, and its lease.
    pub(super) fn held(&self) -> Option<(Bytes, i64, i64)> {
        match self.stage {
            Stage::Holding(created) => Some((self.key(), created, self.lease)),
            _ => None,
        }
    }

    /// Takes in how the last request ended, if it was one of the recipe's.
    pub(super) fn told(&mut self, outcome: &Outcome) -> Option<Turn> {
        let step = self.asked.take()?;
        match outcome {
            Outcome::Ok(response) => self.learn(step, response),
            Outcome::Failed(Error::LeaseNotFound) => self.expired(),
            Outcome::Failed(_) => None,
            Outcome::Unknown => {
                // Whether its key is there it asks by trying to enter again.
                if matches!(step, Step::Leave | Step::Revoke) {
                    self.stage = Stage::Outside;
                }
                None
            }
        }
    }

    fn expired(&mut self) -> Option<Turn> {
        *self = Self::default();
        Some(Turn::Expired)
    }

    fn learn(&mut self, step: Step, response: &Response) -> Option<Turn> {
        match (step, response) {
            (Step::Grant, Response::LeaseGrant(granted)) => {
                self.lease = granted.id;
                None
            }
            (Step::KeepAlive, Response::LeaseKeepAlive(kept)) if kept.ttl <= 0 => self.expired(),
            (Step::Enter, Response::Txn(txn)) => {
                self.entered(txn.succeeded, response.revision(), &txn.responses)
            }
            (Step::LookAhead, Response::Range(before)) if before.kvs.is_empty() => {
                if let Stage::Waiting(created) = self.stage {
                    self.stage = Stage::Next(created);
                }
                None
            }
            (Step::Confirm, Response::Range(own)) => match (self.stage, own.kvs.first()) {
                (Stage::Next(created), Some(kv)) if kv.create_revision == created => {
                    self.stage = Stage::Holding(created);
                    Some(Turn::Got { waited: true })
                }
                _ => self.expired(),
            },
            (Step::Write, Response::Txn(txn)) if txn.succeeded => Some(Turn::Wrote),
            (Step::Write, Response::Txn(_)) => {
                self.stage = Stage::Outside;
                Some(Turn::Fenced)
            }
            (Step::Leave, _) => {
                self.stage = Stage::Outside;
                Some(Turn::Left)
            }
            (Step::Revoke, _) => {
                *self = Self::default();
                Some(Turn::Left)
            }
            _ => None,
        }
    }

    /// The key is there: put just now, at `revision`, or by an earlier request whose answer was lost.
    fn entered(&mut self, put: bool, revision: i64, responses: &[crate::api::ResponseOp]) -> Option<Turn> {
        let range = |place: usize| match responses.get(place).and_then(|op| op.response.as_ref()) {
            Some(response_op::Response::ResponseRange(range)) => range.kvs.first(),
            _ => None,
        };
        let created = if put { revision } else { range(0)?.create_revision };
        let first = range(1)?;
        if first.create_revision == created {
            self.stage = Stage::Holding(created);
            Some(Turn::Got { waited: false })
        } else {
            self.stage = Stage::Waiting(created);
            Some(Turn::Behind)
        }
    }
}

#[cfg(test)]
mod tests;
