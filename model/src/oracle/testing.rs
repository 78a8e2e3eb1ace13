//! Histories for the tests of the oracles: made by hand, and of an honest store with its log.

use super::linearizable_log::{LogEntry, Witness};
use crate::api::{
    DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    RequestHeader,
};
use crate::history::{History, OperationId, Outcome, Request};
use crate::honest::{Run, Step, execute};
use crate::response::Response;
use crate::specification::Specification;

pub(crate) fn get(key: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), ..Default::default() }
}

pub(crate) fn put(key: &'static str, value: &'static str) -> Request {
    Request::Put(PutRequest { key: key.into(), value: value.into(), ..Default::default() })
}

pub(crate) fn delete(key: &'static str, range_end: &'static str) -> Request {
    Request::DeleteRange(DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false })
}

pub(crate) fn grant(id: i64) -> Request {
    Request::LeaseGrant(LeaseGrantRequest { id, ttl: 5 })
}

pub(crate) fn revoke(id: i64) -> Request {
    Request::LeaseRevoke(LeaseRevokeRequest { id })
}

pub(crate) fn put_with(key: &'static str, value: &'static str, lease: i64) -> Request {
    Request::Put(PutRequest { key: key.into(), value: value.into(), lease, ..Default::default() })
}

/// A store, its log, and a history that is written down step by step.
pub(crate) struct Script {
    pub(crate) history: History,
    pub(crate) witness: Witness,
    pub(crate) specification: Specification,
    index: u64,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            history: History::new(),
            witness: Witness::new(),
            specification: Specification::with_leases(0),
            index: 0,
        }
    }

    pub(crate) fn invoke(&mut self, session: u32, request: Request) -> OperationId {
        let id = self.history.invoke(session, request);
        if !self.history[id].request.is_read_only() {
            self.witness.proposed(id, 100 + id.index() as u64);
        }
        id
    }

    /// The operation takes effect: in the log if it is a write, on the present state if not.
    pub(crate) fn apply(&mut self, id: OperationId) -> Outcome {
        let request = self.history[id].request.clone();
        match request.to_proposal().filter(|_| !request.is_read_only()) {
            Some(proposal) => {
                self.index += 1;
                let header = Some(RequestHeader { id: 100 + id.index() as u64, ..RequestHeader::default() });
                let request = InternalRaftRequest { header, ..proposal };
                let committed = self.history.clock();
                self.witness.committed(LogEntry { index: self.index, request, committed });
            }
            None => self.witness.served(id, self.index),
        }
        match execute(&mut self.specification, &request) {
            Ok(reply) => Outcome::Ok(reply),
            Err(error) => Outcome::Failed(error),
        }
    }

    /// The leader finds that a lease has expired, and revokes it.
    pub(crate) fn expire(&mut self, id: i64) {
        self.index += 1;
        let proposal = 1_000_000 + self.index;
        self.witness.proposed_by_leader(proposal);
        let request = InternalRaftRequest {
            header: Some(RequestHeader { id: proposal, ..RequestHeader::default() }),
            lease_revoke: Some(LeaseRevokeRequest { id }),
            ..Default::default()
        };
        let _ = self.specification.apply(&request);
        let committed = self.history.clock();
        self.witness.committed(LogEntry { index: self.index, request, committed });
    }

    /// A whole operation, from invocation to return.
    pub(crate) fn write(&mut self, session: u32, request: Request) {
        let id = self.invoke(session, request);
        let outcome = self.apply(id);
        self.history.returned(id, outcome);
    }

    /// What the store would answer now, without any effect.
    pub(crate) fn reply_of(&self, request: &Request) -> Response {
        execute(&mut self.specification.clone(), request).expect("a request that succeeds")
    }

    /// What the store answers or refuses, outside the history.
    pub(crate) fn outcome(&mut self, request: &Request) -> Outcome {
        match execute(&mut self.specification, request) {
            Ok(reply) => Outcome::Ok(reply),
            Err(error) => Outcome::Failed(error),
        }
    }

    /// What the store answers, outside the history.
    pub(crate) fn execute(&mut self, request: &Request) -> Response {
        execute(&mut self.specification, request).expect("a request that succeeds")
    }
}

impl Run {
    /// The history of the clients, and what the log tells about it.
    pub(crate) fn record(&self) -> (History, Witness) {
        let mut script = Script::new();
        let mut ids = vec![None; self.operations.len()];
        for step in &self.steps {
            if let Step::Expire(id) = step {
                script.expire(*id);
                continue;
            }
            let (session, request, outcome) = &self.operations[step.operation()];
            let id = &mut ids[step.operation()];
            match (step, *id) {
                (Step::Invoke(_), None) => *id = Some(script.invoke(*session, request.clone())),
                (Step::Apply(_), Some(id)) => drop(script.apply(id)),
                (Step::Return(_), Some(id)) => script.history.returned(id, outcome.clone()),
                (step, id) => unreachable!("{step:?} of {id:?}"),
            }
        }
        (script.history, script.witness)
    }
}
