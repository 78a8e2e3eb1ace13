//! The parts of a transaction in a report: conditions, reads, puts and deletions of single keys, and what each was answered.

use std::io;

use bytes::Bytes;
use vertebra_model::api::compare::{CompareResult, CompareTarget, TargetUnion};
use vertebra_model::api::range_request::{SortOrder, SortTarget};
use vertebra_model::api::request_op::Request as Op;
use vertebra_model::api::response_op::Response as OpReply;
use vertebra_model::api::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, RangeRequest, RequestOp, ResponseOp,
    TxnRequest,
};

use super::form::{Condition, Delete, Kv, Put, Span, Step, StepOutput, Txn, Value, ValueRevision};

/// No key that is text comes after it.
const LAST_KEY: &str = "\u{10ffff}";

fn text(bytes: &[u8]) -> io::Result<String> {
    let text = std::str::from_utf8(bytes);
    let why =
        || format!("a report of etcd's cannot have the key \"{}\", which is no text", bytes.escape_ascii());
    text.map(str::to_owned).map_err(|_| io::Error::other(why()))
}

/// The transaction as it was asked, if there are words for all of it.
pub fn literal(txn: &TxnRequest) -> io::Result<Option<Txn>> {
    let mut conditions = Vec::new();
    for compare in &txn.compare {
        let Some(condition) = condition(compare) else { return Ok(None) };
        conditions.push(condition);
    }
    let mut branches = [Vec::new(), Vec::new()];
    for (branch, ops) in branches.iter_mut().zip([&txn.success, &txn.failure]) {
        for op in ops {
            let Some(step) = literal_step(op)? else { return Ok(None) };
            branch.push(step);
        }
    }
    let [success, failure] = branches;
    let none_if_empty = |steps: Vec<_>| (!steps.is_empty()).then_some(steps);
    Ok(Some(Txn {
        conditions: (!conditions.is_empty()).then_some(conditions),
        operations_on_success: none_if_empty(success),
        operations_on_failure: none_if_empty(failure),
    }))
}

pub fn transaction(conditions: Vec<Condition>, steps: Vec<Step>) -> Txn {
    Txn {
        conditions: (!conditions.is_empty()).then_some(conditions),
        operations_on_success: (!steps.is_empty()).then_some(steps),
        operations_on_failure: None,
    }
}

pub fn step(kind: &str) -> Step {
    Step { r#type: kind.to_owned(), ..Step::default() }
}

pub fn put(key: &[u8], value: &[u8], lease: i64) -> io::Result<Step> {
    let put = Put { key: text(key)?, value: Value::of(value), lease };
    Ok(Step { put, ..step("put-operation") })
}

pub fn deletion(key: &[u8]) -> io::Result<Step> {
    Ok(Step { delete: Delete { key: text(key)? }, ..step("delete-operation") })
}

/// A comparison; nothing if there are no words for it.
pub fn condition(compare: &Compare) -> Option<Condition> {
    if !compare.range_end.is_empty() || compare.result() != CompareResult::Equal {
        return None;
    }
    let Ok(key) = text(&compare.key) else { return None };
    match (compare.target(), &compare.target_union) {
        (CompareTarget::Mod, Some(TargetUnion::ModRevision(expected_revision))) => {
            Some(Condition { key, expected_revision: *expected_revision, expected_version: 0 })
        }
        (CompareTarget::Version, Some(TargetUnion::Version(expected_version @ 1..))) => {
            Some(Condition { key, expected_revision: 0, expected_version: *expected_version })
        }
        // That it does not exist.
        (CompareTarget::Version, Some(TargetUnion::Version(0)))
        | (CompareTarget::Create, Some(TargetUnion::CreateRevision(0))) => {
            Some(Condition { key, expected_revision: 0, expected_version: 0 })
        }
        _ => None,
    }
}

/// What a read reads; nothing if there are no words for it.
pub fn span(read: &RangeRequest) -> Option<Span> {
    let bounds =
        [read.min_mod_revision, read.max_mod_revision, read.min_create_revision, read.max_create_revision];
    let by_key = read.sort_target() == SortTarget::Key && read.sort_order() != SortOrder::Descend;
    if read.count_only || bounds != [0; 4] || !by_key && read.limit > 0 {
        return None;
    }
    let start = text(&read.key).ok()?;
    let end = match &read.range_end[..] {
        // Alone, a key would be given with its value.
        [] if read.keys_only => format!("{start}\0"),
        [0] => LAST_KEY.to_owned(),
        end => text(end).ok()?,
    };
    Some(Span { start, end, limit: read.limit.max(0), keys_only: read.keys_only })
}

/// The keys that a read gave, by their names.
pub fn found(read: &RangeRequest, kvs: &[KeyValue]) -> io::Result<Vec<Kv>> {
    let mut kvs: Vec<&KeyValue> = kvs.iter().collect();
    kvs.sort_by(|one, other| one.key.cmp(&other.key));
    let kv = |kv: &&KeyValue| {
        let value = if read.keys_only { Value::default() } else { Value::of(&kv.value) };
        let of = ValueRevision { value, mod_revision: kv.mod_revision, version: kv.version };
        Ok(Kv { key: text(&kv.key)?, of })
    };
    kvs.iter().map(kv).collect()
}

/// An operation of a transaction as it was asked; nothing if there are no words for it.
fn literal_step(op: &RequestOp) -> io::Result<Option<Step>> {
    Ok(match &op.request {
        Some(Op::RequestRange(read)) if read.revision == 0 => {
            span(read).map(|range| Step { range, ..step("range-operation") })
        }
        Some(Op::RequestPut(put)) if !put.ignore_value && !put.ignore_lease => {
            Some(self::put(&put.key, &put.value, put.lease)?)
        }
        Some(Op::RequestDeleteRange(delete)) if delete.range_end.is_empty() => Some(deletion(&delete.key)?),
        _ => None,
    })
}

pub fn result(op: &RequestOp, reply: &ResponseOp) -> io::Result<StepOutput> {
    Ok(match (&op.request, &reply.response) {
        (Some(Op::RequestRange(read)), Some(OpReply::ResponseRange(reply))) => {
            StepOutput { kvs: Some(found(read, &reply.kvs)?), count: reply.count, deleted: 0 }
        }
        (_, Some(OpReply::ResponseDeleteRange(reply))) => {
            StepOutput { deleted: reply.deleted, ..StepOutput::default() }
        }
        _ => StepOutput::default(),
    })
}

/// Of each of `keys`, whether it was deleted; nothing if the answer does not say which ones were.
pub fn deleted(
    keys: &[&Bytes],
    delete: &DeleteRangeRequest,
    reply: &DeleteRangeResponse,
) -> Option<Vec<i64>> {
    let count = keys.len() as i64;
    match reply.deleted {
        0 => Some(vec![0; keys.len()]),
        all if all == count => Some(vec![1; keys.len()]),
        _ if delete.prev_kv => {
            let was = |key: &&Bytes| i64::from(reply.prev_kvs.iter().any(|kv| kv.key == **key));
            Some(keys.iter().map(was).collect())
        }
        _ => None,
    }
}
