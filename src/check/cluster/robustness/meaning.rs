//! What the objects of a report mean.

use bytes::Bytes;
use vertebra_model::api::compare::{CompareResult, CompareTarget, TargetUnion};
use vertebra_model::api::mvccpb::event::EventType;
use vertebra_model::api::request_op::Request as Op;
use vertebra_model::api::response_op::Response as OpReply;
use vertebra_model::api::{
    CompactionRequest, CompactionResponse, Compare, DeleteRangeRequest, DeleteRangeResponse, Event, KeyValue,
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
    WatchCreateRequest, WatchResponse,
};
use vertebra_model::error::Error;
use vertebra_model::history::{Outcome, Request};
use vertebra_model::response::Response;

use crate::histories::robustness::form::{
    Condition, Input, Kv, Operation, Output, Range, Span, Step, TxnOutput, ValueRevision, WatchRequest,
    WatchTold, prefix_end,
};

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

impl ValueRevision {
    fn of(self, key: String) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: self.value.bytes(),
            mod_revision: self.mod_revision,
            version: self.version,
            ..KeyValue::default()
        }
    }
}

fn keys(kvs: Option<Vec<Kv>>) -> Vec<KeyValue> {
    kvs.unwrap_or_default().into_iter().map(|kv| kv.of.of(kv.key)).collect()
}

impl Span {
    fn request(self) -> RangeRequest {
        let Self { start, end, limit, keys_only } = self;
        let (key, range_end) = (start.into(), end.into());
        RangeRequest { key, range_end, limit, keys_only, ..RangeRequest::default() }
    }
}

/// What a read gives. Whether its limit has cut something follows from the count.
fn read(request: &RangeRequest, kvs: Option<Vec<Kv>>, count: i64) -> RangeResponse {
    let more = request.limit > 0 && count > request.limit;
    RangeResponse { header: None, kvs: keys(kvs), more, count }
}

impl Condition {
    fn compare(self) -> Compare {
        let (target, operand) = match self.expected_version {
            1.. => (CompareTarget::Version, TargetUnion::Version(self.expected_version)),
            _ => (CompareTarget::Mod, TargetUnion::ModRevision(self.expected_revision)),
        };
        Compare {
            key: self.key.into(),
            result: CompareResult::Equal.into(),
            target: target.into(),
            target_union: Some(operand),
            ..Compare::default()
        }
    }
}

impl Step {
    fn op(self) -> Result<RequestOp, String> {
        let request = match &self.r#type[..] {
            "range-operation" => Op::RequestRange(self.range.request()),
            "put-operation" => Op::RequestPut(PutRequest {
                key: self.put.key.into(),
                value: self.put.value.bytes(),
                lease: self.put.lease,
                ..PutRequest::default()
            }),
            "delete-operation" => Op::RequestDeleteRange(DeleteRangeRequest {
                key: self.delete.key.into(),
                ..DeleteRangeRequest::default()
            }),
            other => return Err(format!("there is no operation `{other}` in a transaction")),
        };
        Ok(RequestOp { request: Some(request) })
    }
}

fn ops(steps: Option<Vec<Step>>) -> Result<Vec<RequestOp>, String> {
    steps.unwrap_or_default().into_iter().map(Step::op).collect()
}

impl TxnOutput {
    fn response(self, request: &TxnRequest, revision: i64) -> Response {
        let ops = if self.failure { &request.failure } else { &request.success };
        let results = self.results.unwrap_or_default();
        let count = results.len();
        let responses = ops.iter().map(Some).chain(std::iter::repeat(None)).zip(results);
        let responses = responses.map(|(op, result)| ResponseOp {
            response: Some(match op.and_then(|op| op.request.as_ref()) {
                Some(Op::RequestRange(request)) => {
                    OpReply::ResponseRange(read(request, result.kvs, result.count))
                }
                Some(Op::RequestDeleteRange(_)) => OpReply::ResponseDeleteRange(DeleteRangeResponse {
                    deleted: result.deleted,
                    ..DeleteRangeResponse::default()
                }),
                _ => OpReply::ResponsePut(PutResponse::default()),
            }),
        });
        let (header, succeeded) = (header(revision), !self.failure);
        Response::Txn(TxnResponse { header, succeeded, responses: responses.take(count).collect() })
    }
}

impl Operation {
    /// Whether its client got an answer, so that it was over when that came.
    pub fn is_answered(&self) -> bool {
        self.output.error.is_empty()
    }

    /// What was asked, and what came of it; nothing for what has no effect on keys.
    pub fn understood(self) -> Result<Option<(Request, Outcome)>, String> {
        let lacks = |what: &str| format!("there is no `{what}` in an operation of that type");
        let Input { r#type, range, txn, lease_grant, lease_revoke, defragment: _, compact } = self.input;
        let request = match &r#type[..] {
            "range" => {
                let Range { span, revision } = range.ok_or_else(|| lacks("Range"))?;
                Request::Range(RangeRequest { revision, ..span.request() })
            }
            "txn" => {
                let txn = txn.ok_or_else(|| lacks("Txn"))?;
                let compare = txn.conditions.unwrap_or_default().into_iter().map(Condition::compare);
                Request::Txn(TxnRequest {
                    compare: compare.collect(),
                    success: ops(txn.operations_on_success)?,
                    failure: ops(txn.operations_on_failure)?,
                })
            }
            "leaseGrant" => match lease_grant.ok_or_else(|| lacks("LeaseGrant"))?.id {
                // Nobody can have used a lease without its number.
                0 => return Ok(None),
                id => Request::LeaseGrant(LeaseGrantRequest { id, ttl: 0 }),
            },
            "leaseRevoke" => Request::LeaseRevoke(LeaseRevokeRequest {
                id: lease_revoke.ok_or_else(|| lacks("LeaseRevoke"))?.id,
            }),
            "compact" => {
                let revision = compact.ok_or_else(|| lacks("Compact"))?.revision;
                Request::Compact(CompactionRequest { revision, physical: false })
            }
            "defragment" => return Ok(None),
            other => return Err(format!("there is no operation of type `{other}`")),
        };
        let outcome = self.output.outcome(&request)?;
        Ok(Some((request, outcome)))
    }
}

/// What came of a write that is known to be done, at a revision if that is not 0, while nobody heard its answer. It counts as
/// answered where it can have been answered in one way only. What else is known is less than an order needs to know.
fn persisted(request: &Request, revision: i64) -> Outcome {
    let header = header(revision);
    match request {
        _ if revision <= 0 => Outcome::Unknown,
        Request::LeaseRevoke(_) => Outcome::Ok(Response::LeaseRevoke(LeaseRevokeResponse { header })),
        Request::Txn(txn) if txn.compare.is_empty() && !txn.success.is_empty() => {
            let put = |op: &RequestOp| match op.request {
                Some(Op::RequestPut(_)) => {
                    let response = Some(OpReply::ResponsePut(PutResponse::default()));
                    Some(ResponseOp { response })
                }
                _ => None,
            };
            match txn.success.iter().map(put).collect() {
                Some(responses) => {
                    Outcome::Ok(Response::Txn(TxnResponse { header, succeeded: true, responses }))
                }
                None => Outcome::Unknown,
            }
        }
        _ => Outcome::Unknown,
    }
}

impl Output {
    fn outcome(self, request: &Request) -> Result<Outcome, String> {
        let persisted = self.persisted.then(|| persisted(request, self.persisted_revision));
        if !self.error.is_empty() {
            return Ok(persisted.unwrap_or(Outcome::Unknown));
        }
        if !self.client_error.is_empty() {
            let known = [Error::Compacted, Error::FutureRevision];
            let error = known.into_iter().find(|error| error.to_string().ends_with(&self.client_error));
            return match error {
                Some(error) => Ok(Outcome::Failed(error)),
                None => Err(format!("there is no error `{}` that a client is sure of", self.client_error)),
            };
        }
        let header = header(self.revision);
        let response = match request {
            Request::Range(read_request) => self.range.map(|output| {
                Response::Range(RangeResponse { header, ..read(read_request, output.kvs, output.count) })
            }),
            Request::Txn(txn) => self.txn.map(|output| output.response(txn, self.revision)),
            Request::LeaseGrant(grant) => self.lease_grant.map(|_| {
                let (id, ttl) = (grant.id, grant.ttl);
                Response::LeaseGrant(LeaseGrantResponse { header, id, ttl, ..LeaseGrantResponse::default() })
            }),
            Request::LeaseRevoke(_) => {
                self.lease_revoke.map(|_| Response::LeaseRevoke(LeaseRevokeResponse { header }))
            }
            _ => self.compact.map(|_| Response::Compact(CompactionResponse { header: None })),
        };
        response
            .map(Outcome::Ok)
            .or(persisted)
            .ok_or_else(|| "it has neither an answer of its type nor an error".to_owned())
    }
}

impl WatchRequest {
    pub fn understood(&self) -> WatchCreateRequest {
        let range_end = match self.with_prefix {
            true => prefix_end(self.key.as_bytes()),
            false => Bytes::new(),
        };
        WatchCreateRequest {
            key: self.key.clone().into(),
            range_end,
            start_revision: self.revision,
            progress_notify: self.with_progress_notify,
            prev_kv: self.with_prev_kv,
            ..WatchCreateRequest::default()
        }
    }
}

impl WatchTold {
    /// The response; nothing for what tells of neither keys nor progress.
    pub fn understood(self) -> Option<WatchResponse> {
        let told = self.events.unwrap_or_default();
        if !self.error.is_empty() || told.is_empty() && !self.is_progress_notify {
            return None;
        }
        let events = told.into_iter().map(|told| {
            let deleted = told.r#type == "delete-operation";
            let prev_kv = told.prev_value.map(|previous| previous.of(told.key.clone()));
            let kv = KeyValue {
                key: told.key.into(),
                value: told.value.bytes(),
                mod_revision: told.revision,
                create_revision: if told.is_create { told.revision } else { 0 },
                ..KeyValue::default()
            };
            let kind = if deleted { EventType::Delete } else { EventType::Put };
            Event { r#type: kind.into(), kv: Some(kv), prev_kv }
        });
        let events = events.collect();
        Some(WatchResponse { header: header(self.revision), events, ..WatchResponse::default() })
    }
}
