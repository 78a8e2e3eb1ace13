//! etcd as a specification for the general search of `vertebra_sim::linearizability`, which knows nothing of revisions: a third
//! opinion on small histories.

use std::hash::{Hash, Hasher};

use vertebra_sim::linearizability::{self, Budget, Operation, Spec};

use super::tells_of_state;
use crate::api::{LeaseRevokeRequest, RangeRequest};
use crate::history::{self, History, Outcome, Request};
use crate::honest::execute;
use crate::oracle::linearizable_log;
use crate::specification::Specification;

struct Etcd;

#[derive(Clone, PartialEq, Debug)]
struct State(Specification);

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.0.revision(), self.0.compacted()).hash(hasher);
        self.0.leases().for_each(|id| id.hash(hasher));
        // Many orders of unknown writes have all of that in common, and differ in the keys.
        let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() };
        let kvs = self.0.read(&all).map(|reply| reply.kvs).unwrap_or_default();
        kvs.hash(hasher);
    }
}

impl Spec for Etcd {
    type Request = Request;
    type Reply = Outcome;
    type State = State;
    type Part = ();

    fn initial(&self) -> State {
        State(Specification::with_leases(0))
    }

    fn part(&self, _request: &Request) {}

    fn step(&self, state: &State, request: &Request, reply: Option<&Outcome>) -> Option<State> {
        let mut after = state.clone();
        let result = execute(&mut after.0, request);
        let is_right = match (reply, &result) {
            (Some(Outcome::Ok(found)), Ok(expected)) => {
                linearizable_log::difference(expected, found).is_none()
            }
            (Some(Outcome::Failed(found)), Err(expected)) => found == expected,
            (None, _) => true,
            _ => false,
        };
        is_right.then_some(after)
    }

    fn is_read_only(&self, request: &Request, reply: Option<&Outcome>) -> bool {
        request.is_read_only() || matches!(reply, Some(Outcome::Failed(_)))
    }
}

/// Whether an operation tells of the state, or may have changed it.
pub(super) fn tells(operation: &history::Operation) -> bool {
    !operation.request.is_serializable()
        && match &operation.outcome {
            Outcome::Ok(_) => true,
            Outcome::Failed(error) => tells_of_state(*error),
            Outcome::Unknown => !operation.request.is_read_only(),
        }
}

/// What the general search says of a history. That a lease expires is an operation of unknown outcome, invoked with its
/// grant.
pub(super) fn is_linearizable(history: &History) -> bool {
    let mut operations = Vec::new();
    for operation in history.operations().iter().filter(|operation| tells(operation)) {
        let asked = |request, returned| Operation { request, invoked: operation.invoked, returned };
        let returned = match (&operation.outcome, operation.returned) {
            (Outcome::Unknown, _) | (_, None) => None,
            (outcome, Some(returned)) => Some((returned, outcome.clone())),
        };
        operations.push(asked(operation.request.clone(), returned));
        if let (Request::LeaseGrant(grant), Outcome::Ok(_) | Outcome::Unknown) =
            (&operation.request, &operation.outcome)
        {
            let expiry = Request::LeaseRevoke(LeaseRevokeRequest { id: grant.id });
            operations.push(asked(expiry, None));
        }
    }
    let conclusions = linearizability::check(&Etcd, &operations, Budget::UNLIMITED);
    let is_ordered = |(_, one): &((), linearizability::Conclusion)| {
        matches!(one, linearizability::Conclusion::Linearizable(_))
    };
    conclusions.iter().all(is_ordered)
}
