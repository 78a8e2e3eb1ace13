//! Why a branch of the search ended.

use vertebra_sim::verdict::Violation;

use super::super::items::{Act, Item};
use super::super::replies::each_possible_put;
use super::super::{Places, unexplained, violation, wrong_reply};
use crate::oracle::replay::Refusal;

/// Why one branch of the search ended. The violation, which costs a look at the whole history, is made of the last.
pub(super) enum Failure {
    /// Nothing can have made this revision.
    Gap(i64),
    /// The write changes nothing at its revision.
    Idle(u32),
    /// A reply differs.
    Write(u32, Refusal),
    Read(u32, Refusal),
    /// Nothing beside the keys is as this operation found it, or can become what it made of it.
    Beside(u32, Act),
    /// Leases and compactions do not allow this write at its revision.
    Denied(u32),
}

impl Failure {
    pub(super) fn into_violation(self, places: &Places<'_>) -> Violation {
        match self {
            Self::Gap(revision) => unexplained(places.history, revision),
            Self::Idle(number) => {
                let operation = places.operation(number);
                let detail = format!("{operation}: it changes nothing at that revision");
                violation("write reply", operation.request.kind(), detail)
            }
            Self::Write(number, refusal) => wrong_reply("write reply", places.operation(number), &refusal),
            Self::Read(number, refusal) => wrong_reply("read reply", places.operation(number), &refusal),
            Self::Beside(number, act) => {
                let operation = places.operation(number);
                let (clause, reason) = match act {
                    Act::Refused(_) => ("unfounded error", "there was no reason for it at any moment"),
                    Act::Granted(_) | Act::Revoked(_) => {
                        ("lease order", "the lease was not so at any moment")
                    }
                    Act::Compacted(_) | Act::Shown(_) => {
                        ("compaction", "what was compacted does not allow it at any moment")
                    }
                };
                violation(clause, operation.request.kind(), format!("{operation}: {reason}"))
            }
            Self::Denied(number) => {
                let operation = places.operation(number);
                let mut has_lease = false;
                each_possible_put(&operation.request, &mut |put| has_lease |= put.lease != 0);
                let (clause, reason) = match has_lease {
                    true => ("lease order", "its lease did not exist, or what it reads was compacted"),
                    false => ("compaction", "what it reads was compacted"),
                };
                violation(clause, operation.request.kind(), format!("{operation}: {reason}"))
            }
        }
    }
}

impl Item {
    pub(super) fn failure(&self) -> Failure {
        Failure::Beside(self.operation, self.act)
    }
}
