//! Operations that depend on what a store has beside its keys, or do something to it.

use super::replies::{each_possible_put, each_revision, has_empty_operation, reads_past, tells_of_state};
use super::{FIRST_REVISION, changes};
use crate::error::Error;
use crate::history::{Operation, Outcome, Request};
use crate::response::Response;

/// What an operation found or did beside the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// It was refused, and this says something of the state.
    Refused(Error),
    /// It granted a lease, or revoked one that had no keys.
    Granted(i64),
    Revoked(i64),
    /// It compacted.
    Compacted(i64),
    /// It was shown this revision.
    Shown(i64),
}

/// An operation that has to find its place beside the keys.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) operation: u32,
    pub(super) act: Act,
    pub(super) invoked: u64,
    /// `MAX`: its outcome is unknown.
    pub(super) ended: u64,
    /// The highest place of an operation that was over before it began.
    pub(super) floor: i64,
    /// The revisions between which it stands.
    pub(super) low: i64,
    pub(super) high: i64,
    /// What it depends on.
    pub(super) leases: Vec<i64>,
    pub(super) compaction: bool,
    /// It depends on keys as well, which are others at the next revision.
    pub(super) keys: bool,
}

impl Item {
    /// What `operation` has to do with leases, compactions or refusals, if anything.
    #[inline]
    pub(super) fn of(number: usize, operation: &Operation) -> Option<Self> {
        // Most operations are of these, and have nothing to do with it unless they were refused.
        let is_plain = match &operation.request {
            Request::Range(read) => read.revision <= 0,
            Request::Put(_) | Request::DeleteRange(_) => true,
            _ => false,
        };
        if is_plain && !matches!(operation.outcome, Outcome::Failed(_)) {
            return None;
        }
        Self::of_special(number, operation)
    }

    fn of_special(number: usize, operation: &Operation) -> Option<Self> {
        let (request, mut leases) = (&operation.request, Vec::new());
        let act = match (request, &operation.outcome) {
            // A server refuses these without a look at the state.
            (_, Outcome::Failed(Error::KeyNotFound)) if has_empty_operation(request) => return None,
            (_, Outcome::Failed(error)) if tells_of_state(*error) => Act::Refused(*error),
            (Request::LeaseGrant(_), Outcome::Ok(Response::LeaseGrant(granted))) => Act::Granted(granted.id),
            (Request::LeaseGrant(grant), Outcome::Unknown) if grant.id != 0 => Act::Granted(grant.id),
            (Request::LeaseRevoke(revoke), Outcome::Ok(_)) => Act::Revoked(revoke.id),
            (Request::Compact(compaction), Outcome::Ok(_) | Outcome::Unknown) => {
                Act::Compacted(compaction.revision)
            }
            (Request::Range(_) | Request::Txn(_), Outcome::Ok(reply)) => {
                let mut oldest = i64::MAX;
                each_revision(request, Some(reply), &mut |revision| oldest = oldest.min(revision));
                // A write of the past is looked at when it is replayed.
                if oldest == i64::MAX || changes(request, reply) != Some(false) {
                    return None;
                }
                Act::Shown(oldest)
            }
            _ => return None,
        };
        match (&act, request) {
            (Act::Granted(id) | Act::Revoked(id), _) => leases.push(*id),
            (_, Request::LeaseGrant(grant)) => leases.push(grant.id),
            (_, Request::LeaseRevoke(revoke)) => leases.push(revoke.id),
            (_, request) => each_possible_put(request, &mut |put| {
                if put.lease != 0 && !leases.contains(&put.lease) {
                    leases.push(put.lease);
                }
            }),
        }
        let compaction = match &act {
            Act::Compacted(_) | Act::Shown(_) => true,
            Act::Refused(error) => {
                *error == Error::Compacted || matches!(request, Request::Txn(_)) && reads_past(request)
            }
            _ => false,
        };
        let keys = match request {
            Request::Txn(_) => !leases.is_empty() || compaction,
            Request::Put(put) => put.lease != 0 && act == Act::Refused(Error::KeyNotFound),
            _ => false,
        };
        Some(Self {
            operation: number as u32,
            act,
            invoked: operation.invoked,
            ended: operation.ended(),
            floor: 0,
            low: FIRST_REVISION,
            high: i64::MAX,
            leases,
            compaction,
            keys,
        })
    }

    /// Whether it was shown a revision, and did nothing else.
    pub(super) fn is_shown(&self) -> bool {
        matches!(self.act, Act::Shown(_))
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.act, Act::Refused(_))
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.ended == u64::MAX
    }

    /// Whether both have to do with the same.
    pub(super) fn shares(&self, other: &Self) -> bool {
        self.compaction && other.compaction || self.leases.iter().any(|id| other.leases.contains(id))
    }
}
