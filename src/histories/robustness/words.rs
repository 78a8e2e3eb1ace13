//! What operations on keys are in a report: transactions of puts and deletions of single keys, under conditions that compare
//! revisions or versions.
//!
//! What can be said so is said as it was asked. Of the rest:
//!
//! | asked | told |
//! | --- | --- |
//! | a transaction that this form cannot ask | what it did, under those of its conditions that the form has; where not all answers can be told, it is *persisted*, at its revision |
//! | a deletion of a range | one of each key in it that somebody ever put |
//! | a put that keeps value or lease | with those that were seen at its revision, or that it must have kept |
//! | the same, where nobody knows what it kept, or heard what came of it | each way in which it can have been done, as a transaction of which nobody heard |
//! | all keys from one on | those up to the last one that text can name |

use std::collections::BTreeSet;
use std::io;

use bytes::Bytes;
use vertebra_model::api::request_op::Request as Op;
use vertebra_model::api::response_op::Response as OpReply;
use vertebra_model::api::{
    DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, ResponseOp, TxnRequest,
    TxnResponse,
};
use vertebra_model::history::{History, Operation, Outcome, Request};
use vertebra_model::response::Response;

use super::form::{Range, RangeOutput, Step, StepOutput, Txn, TxnOutput};
use super::parts;
use crate::histories::effects::{Did, Done, Seen, each_put};

/// In more ways than this, nothing is told.
const WAYS_MAX: usize = 64;

/// Says what a history has, in the words of the form.
pub struct Words<'a> {
    history: &'a History,
    seen: &'a Seen,
}

fn cannot(operation: &Operation, why: &str) -> io::Error {
    io::Error::other(format!("a report of etcd's cannot tell of this operation: {why}: {operation}"))
}

fn too_many_ways(operation: &Operation) -> io::Error {
    cannot(operation, "it can have been done in too many ways, and nobody heard in which")
}

impl<'a> Words<'a> {
    pub fn of(history: &'a History, seen: &'a Seen) -> Self {
        Self { history, seen }
    }

    /// A read with its answer; nothing if there are no words for it.
    pub fn read(
        &self,
        read: &RangeRequest,
        reply: &RangeResponse,
    ) -> io::Result<Option<(Range, RangeOutput)>> {
        let Some(span) = parts::span(read) else { return Ok(None) };
        let (kvs, count) = (Some(parts::found(read, &reply.kvs)?), reply.count);
        Ok(Some((Range { span, revision: read.revision.max(0) }, RangeOutput { kvs, count })))
    }

    /// A write that was done, as a transaction, with its answer; without one where the form cannot tell all of it. Nothing where
    /// nobody knows what a put of it kept.
    pub fn done(
        &self,
        operation: &Operation,
        reply: &Response,
    ) -> io::Result<Option<(Txn, Option<TxnOutput>)>> {
        let (request, answer) = as_txn(&operation.request, reply);
        if let Some(txn) = parts::literal(&request)? {
            let branch = if answer.succeeded { &request.success } else { &request.failure };
            let mut results = Vec::new();
            for (op, reply) in branch.iter().zip(&answer.responses) {
                results.push(parts::result(op, reply)?);
            }
            let answer = TxnOutput { failure: !answer.succeeded, results: Some(results) };
            return Ok(Some((txn, Some(answer))));
        }
        let (asked, answered) = (Request::Txn(request), Response::Txn(answer));
        let Done { held, did } = Done::of(&asked, &answered);
        let conditions = held.into_iter().filter_map(parts::condition).collect();
        let (mut steps, mut results, mut is_whole) = (Vec::new(), Vec::new(), true);
        for did in did {
            match did {
                Did::Read(read, reply) => {
                    if let Some(range) = parts::span(read).filter(|_| read.revision == 0) {
                        steps.push(Step { range, ..parts::step("range-operation") });
                        let (kvs, count) = (Some(parts::found(read, &reply.kvs)?), reply.count);
                        results.push(StepOutput { kvs, count, deleted: 0 });
                    }
                }
                Did::Put(put, _) => {
                    let Some(put) = self.put(operation, put, reply.revision())? else { return Ok(None) };
                    steps.push(put);
                    results.push(StepOutput::default());
                }
                Did::Delete(delete, reply) => {
                    let keys = self.keys(delete);
                    let each = parts::deleted(&keys, delete, reply);
                    is_whole &= each.is_some();
                    let each = each.into_iter().flatten();
                    results.extend(each.map(|deleted| StepOutput { deleted, ..StepOutput::default() }));
                    for key in keys {
                        steps.push(parts::deletion(key)?);
                    }
                }
            }
        }
        if !is_whole {
            steps.retain(|step| step.r#type != "range-operation");
        }
        let txn = parts::transaction(conditions, steps);
        Ok(Some((txn, is_whole.then_some(TxnOutput { failure: false, results: Some(results) }))))
    }

    /// Each way in which a write can have been done of which nobody heard. Where its conditions cannot be told, they are left
    /// out: they may have held.
    pub fn possible(&self, operation: &Operation) -> io::Result<Vec<Txn>> {
        let request = as_request(&operation.request);
        if let Some(txn) = parts::literal(&request)? {
            return Ok(vec![txn]);
        }
        let mut branches = Vec::new();
        for branch in [&request.success, &request.failure] {
            branches.extend(ways(branch).ok_or_else(|| too_many_ways(operation))?);
        }
        let mut txns: Vec<Txn> = Vec::new();
        for branch in branches.iter().filter(|branch| !branch.is_empty()) {
            for steps in self.steps(operation, branch)? {
                let txn = parts::transaction(Vec::new(), steps);
                if !txns.contains(&txn) {
                    txns.push(txn);
                }
            }
        }
        match txns.len() {
            0..=WAYS_MAX => Ok(txns),
            _ => Err(too_many_ways(operation)),
        }
    }

    /// All keys that a deletion can have deleted.
    fn keys(&self, delete: &DeleteRangeRequest) -> Vec<&'a Bytes> {
        self.seen.within(&delete.key, &delete.range_end).map(|(key, _)| key).collect()
    }

    /// A put that made a revision, with value and lease; nothing where nobody knows them.
    fn put(&self, operation: &Operation, put: &PutRequest, revision: i64) -> io::Result<Option<Step>> {
        let (key, versions) = (&put.key, &self.seen.versions);
        let version = |revision| versions.get(&(key.clone(), revision));
        let before = || versions.range((key.clone(), i64::MIN)..(key.clone(), revision)).rev();
        let value = match put.ignore_value {
            false => Some(put.value.clone()),
            // Where nobody saw it, nobody can tell it from another.
            true => version(revision)
                .and_then(|version| version.value.clone())
                .or_else(|| before().find_map(|(_, version)| version.value.clone())),
        };
        let lease = match put.ignore_lease {
            false => Some(put.lease),
            true => version(revision).and_then(|version| version.lease).or_else(|| {
                let leases = self.leases(key);
                if leases.len() < 2 {
                    return Some(leases.first().copied().unwrap_or_default());
                }
                // Nothing else can have come in between.
                let is_sure = !self.may_be_put(key, operation.ended());
                before().find_map(|(_, version)| version.lease).filter(|_| is_sure)
            }),
        };
        let (Some(value), Some(lease)) = (value, lease) else { return Ok(None) };
        parts::put(key, &value, lease).map(Some)
    }

    /// All leases with which somebody put a key.
    fn leases(&self, key: &Bytes) -> BTreeSet<i64> {
        let mut leases = BTreeSet::new();
        let operations = self.history.operations().iter();
        for operation in operations.filter(|operation| !matches!(operation.outcome, Outcome::Failed(_))) {
            each_put(&operation.request, &mut |put| {
                if put.key == key && !put.ignore_lease {
                    leases.insert(put.lease);
                }
            });
        }
        leases
    }

    /// Whether somebody may have put a key before an event who heard nothing of it.
    fn may_be_put(&self, key: &Bytes, before: u64) -> bool {
        let operations = self.history.operations().iter().take_while(|operation| operation.invoked < before);
        operations.filter(|operation| operation.outcome == Outcome::Unknown).any(|operation| {
            let mut any = false;
            each_put(&operation.request, &mut |put| any |= put.key == key);
            any
        })
    }

    /// Each way in which the writes of a branch can be told.
    fn steps(&self, operation: &Operation, branch: &[&Op]) -> io::Result<Vec<Vec<Step>>> {
        let mut all: Vec<Vec<Step>> = vec![Vec::new()];
        for op in branch {
            let choices: Vec<Vec<Step>> = match op {
                Op::RequestPut(put) => self.possible_puts(put)?.into_iter().map(|put| vec![put]).collect(),
                Op::RequestDeleteRange(delete) => {
                    vec![
                        self.keys(delete)
                            .into_iter()
                            .map(|key| parts::deletion(key))
                            .collect::<io::Result<_>>()?,
                    ]
                }
                Op::RequestRange(_) | Op::RequestTxn(_) => continue,
            };
            all = all
                .iter()
                .flat_map(|steps| choices.iter().map(move |more| [&steps[..], more].concat()))
                .collect();
            if all.len() > WAYS_MAX {
                return Err(too_many_ways(operation));
            }
        }
        Ok(all)
    }

    /// Each way in which a put can have been done of which nobody heard.
    fn possible_puts(&self, put: &PutRequest) -> io::Result<Vec<Step>> {
        let key = &put.key;
        let mut values: BTreeSet<Bytes> = BTreeSet::new();
        if put.ignore_value {
            let versions = self.seen.versions.range((key.clone(), i64::MIN)..=(key.clone(), i64::MAX));
            let mut any = None;
            for (_, version) in versions {
                if let Some(value) = &version.value {
                    any = Some(value);
                    if !version.is_acknowledged {
                        values.insert(value.clone());
                    }
                }
            }
            // If nobody saw what it did, nobody can tell it from another.
            values.extend(any.cloned());
        } else {
            values.insert(put.value.clone());
        }
        let leases = if put.ignore_lease { self.leases(key) } else { BTreeSet::from([put.lease]) };
        let mut puts = Vec::new();
        for value in &values {
            for lease in &leases {
                puts.push(parts::put(key, value, *lease)?);
            }
        }
        Ok(puts)
    }
}

/// A write as a transaction without conditions.
fn as_request(request: &Request) -> TxnRequest {
    let one = |op| TxnRequest { success: vec![RequestOp { request: Some(op) }], ..TxnRequest::default() };
    match request {
        Request::Put(put) => one(Op::RequestPut(put.clone())),
        Request::DeleteRange(delete) => one(Op::RequestDeleteRange(delete.clone())),
        Request::Txn(txn) => txn.clone(),
        _ => TxnRequest::default(),
    }
}

fn as_txn(request: &Request, reply: &Response) -> (TxnRequest, TxnResponse) {
    let one = |reply| {
        let responses = vec![ResponseOp { response: Some(reply) }];
        TxnResponse { header: None, succeeded: true, responses }
    };
    let answer = match reply {
        Response::Put(reply) => one(OpReply::ResponsePut(reply.clone())),
        Response::DeleteRange(reply) => one(OpReply::ResponseDeleteRange(reply.clone())),
        Response::Txn(reply) => reply.clone(),
        _ => TxnResponse::default(),
    };
    (as_request(request), answer)
}

/// What the operations of a branch can do to keys, those of nested transactions being done or not; nothing if that is too much.
fn ways(branch: &[RequestOp]) -> Option<Vec<Vec<&Op>>> {
    let mut all: Vec<Vec<&Op>> = vec![Vec::new()];
    for op in branch.iter().filter_map(|op| op.request.as_ref()) {
        match op {
            Op::RequestPut(_) | Op::RequestDeleteRange(_) => all.iter_mut().for_each(|way| way.push(op)),
            Op::RequestTxn(nested) => {
                let mut inner = [ways(&nested.success)?, ways(&nested.failure)?].concat();
                // To do nothing is one way, however often it is asked for.
                let mut does_nothing = false;
                inner.retain(|way| !way.is_empty() || !std::mem::replace(&mut does_nothing, true));
                all = all
                    .iter()
                    .flat_map(|way| inner.iter().map(move |more| [&way[..], more].concat()))
                    .collect();
            }
            Op::RequestRange(_) => {}
        }
        if all.len() > WAYS_MAX {
            return None;
        }
    }
    Some(all)
}
