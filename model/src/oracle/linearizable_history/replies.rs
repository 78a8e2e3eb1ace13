//! Walks over requests and their replies: which keys they show, put and delete.

use super::txn_changes;
use crate::api::compare::CompareTarget;
use crate::api::range_request::SortTarget;
use crate::api::request_op::Request as Op;
use crate::api::response_op::Response as OpReply;
use crate::api::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, RangeRequest, RangeResponse,
    RequestOp, ResponseHeader, TxnRequest, TxnResponse, is_in_range,
};
use crate::error::Error;
use crate::history::Request;
use crate::response::Response;

/// A key as one reply showed it.
#[derive(Clone, Copy)]
pub(in crate::oracle) struct Sight<'a> {
    pub(in crate::oracle) kv: &'a KeyValue,
    /// The value was left out.
    pub(in crate::oracle) keys_only: bool,
    /// At the end of this revision, the key was still so.
    pub(in crate::oracle) until: i64,
}

/// Each key in `reply`, with what is known of the time for which it stayed so.
pub(in crate::oracle) fn each_key<'a>(
    request: &'a Request,
    reply: &'a Response,
    sink: &mut impl FnMut(Sight<'a>),
) {
    match (request, reply) {
        (Request::Range(read), Response::Range(reply)) => {
            in_range(read, &reply.kvs, reply_revision(&reply.header), sink)
        }
        (Request::Put(_), Response::Put(reply)) => {
            before(&reply.prev_kv, reply_revision(&reply.header) - 1, sink)
        }
        (Request::DeleteRange(_), Response::DeleteRange(reply)) => {
            before(&reply.prev_kvs, reply_revision(&reply.header) - 1, sink);
        }
        (Request::Txn(txn), Response::Txn(reply)) => {
            let changed = txn_changes(txn, reply) != Some(false);
            in_txn(txn, reply, reply_revision(&reply.header) - i64::from(changed), sink)
        }
        _ => {}
    }
}

fn reply_revision(header: &Option<ResponseHeader>) -> i64 {
    header.as_ref().map_or(0, |header| header.revision)
}

fn in_range<'a>(read: &RangeRequest, kvs: &'a [KeyValue], revision: i64, sink: &mut impl FnMut(Sight<'a>)) {
    let until = if read.revision > 0 { read.revision } else { revision };
    kvs.iter().for_each(|kv| sink(Sight { kv, keys_only: read.keys_only, until }));
}

/// Keys as they were before the operation that returns them.
fn before<'a>(kvs: impl IntoIterator<Item = &'a KeyValue>, until: i64, sink: &mut impl FnMut(Sight<'a>)) {
    kvs.into_iter().for_each(|kv| sink(Sight { kv, keys_only: false, until }));
}

/// Keys as they were at the end of revision `until`, which is the last one that the transaction did not make. What it
/// saw of its own changes is left out: another of its operations may have come after that.
fn in_txn<'a>(txn: &'a TxnRequest, reply: &'a TxnResponse, until: i64, sink: &mut impl FnMut(Sight<'a>)) {
    let mut sink = |sight: Sight<'a>| {
        if sight.kv.mod_revision <= until {
            sink(Sight { until: sight.until.min(until), ..sight });
        }
    };
    in_branch(txn, reply, until, &mut sink);
}

/// Each key as a transaction that changed something showed it, by then or by itself.
pub(super) fn each_key_within<'a>(
    request: &'a Request,
    reply: &'a Response,
    sink: &mut impl FnMut(&'a KeyValue),
) {
    if let (Request::Txn(txn), Response::Txn(reply)) = (request, reply) {
        in_branch(txn, reply, i64::MAX, &mut |sight: Sight<'a>| {
            if !sight.keys_only {
                sink(sight.kv);
            }
        });
    }
}

fn in_branch<'a>(txn: &'a TxnRequest, reply: &'a TxnResponse, until: i64, sink: &mut impl FnMut(Sight<'a>)) {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    for (op, reply) in branch.iter().zip(&reply.responses) {
        match (&op.request, &reply.response) {
            (Some(Op::RequestRange(read)), Some(OpReply::ResponseRange(reply))) => {
                in_range(read, &reply.kvs, until, sink);
            }
            (_, Some(OpReply::ResponsePut(reply))) => before(&reply.prev_kv, until, sink),
            (_, Some(OpReply::ResponseDeleteRange(reply))) => before(&reply.prev_kvs, until, sink),
            (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => {
                in_branch(txn, reply, until, sink)
            }
            _ => {}
        }
    }
}

/// What an operation did to keys.
enum Change<'a> {
    Put(&'a PutRequest),
    Delete(&'a DeleteRangeRequest, &'a DeleteRangeResponse),
}

impl Change<'_> {
    fn is_of(&self, key: &[u8]) -> bool {
        match self {
            Self::Put(put) => put.key == key,
            Self::Delete(delete, _) => is_in_range(&delete.key, &delete.range_end, key),
        }
    }
}

/// What an acknowledged transaction did, in order.
fn changes_of<'a>(txn: &'a TxnRequest, reply: &'a TxnResponse, sink: &mut dyn FnMut(Change<'a>)) {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    for (op, reply) in branch.iter().zip(&reply.responses) {
        match (&op.request, &reply.response) {
            (Some(Op::RequestPut(put)), _) => sink(Change::Put(put)),
            (Some(Op::RequestDeleteRange(delete)), Some(OpReply::ResponseDeleteRange(reply))) => {
                sink(Change::Delete(delete, reply));
            }
            (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => changes_of(txn, reply, sink),
            _ => {}
        }
    }
}

/// Calls `each` with what a transaction did, and with whether that still stands for a key when it is over: etcd means to
/// refuse what changes a key twice, and overlooks some transactions that put a key and delete it as well.
fn each_change<'a>(
    txn: &'a TxnRequest,
    reply: &'a TxnResponse,
    each: &mut impl FnMut(&Change<'a>, &dyn Fn(&[u8]) -> bool),
) {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    let only_puts =
        |op: &RequestOp| matches!(op.request, Some(Op::RequestPut(_) | Op::RequestRange(_)) | None);
    // Nearly always.
    if branch.iter().all(only_puts) {
        for (op, _) in branch.iter().zip(&reply.responses) {
            if let Some(Op::RequestPut(put)) = &op.request {
                each(&Change::Put(put), &|_| true);
            }
        }
        return;
    }
    let (mut puts, mut deletes) = (false, false);
    changes_of(txn, reply, &mut |change| match change {
        Change::Put(_) => puts = true,
        Change::Delete(..) => deletes = true,
    });
    if !(puts && deletes) {
        return changes_of(txn, reply, &mut |change| each(&change, &|_| true));
    }
    let mut changes = Vec::new();
    changes_of(txn, reply, &mut |change| changes.push(change));
    for (number, change) in changes.iter().enumerate() {
        let later = &changes[number + 1..];
        each(change, &|key| !later.iter().any(|change| change.is_of(key)));
    }
}

/// Each put that an acknowledged request made, and that it did not undo itself.
pub(in crate::oracle) fn each_put<'a>(
    request: &'a Request,
    reply: &'a Response,
    sink: &mut impl FnMut(&'a PutRequest),
) {
    match (request, reply) {
        (Request::Put(put), _) => sink(put),
        (Request::Txn(txn), Response::Txn(reply)) => each_change(txn, reply, &mut |change, stands| {
            if let Change::Put(put) = change
                && stands(&put.key)
            {
                sink(put);
            }
        }),
        _ => {}
    }
}

/// Each key that an acknowledged request is known to have deleted, and that it did not put again.
pub(in crate::oracle) fn each_delete<'a>(
    request: &'a Request,
    reply: &'a Response,
    sink: &mut impl FnMut(&'a [u8]),
) {
    match (request, reply) {
        (Request::DeleteRange(delete), Response::DeleteRange(reply)) => keys_deleted(delete, reply, sink),
        (Request::Txn(txn), Response::Txn(reply)) => each_change(txn, reply, &mut |change, stands| {
            if let Change::Delete(delete, reply) = change {
                keys_deleted(delete, reply, &mut |key| {
                    if stands(key) {
                        sink(key);
                    }
                });
            }
        }),
        _ => {}
    }
}

fn keys_deleted<'a>(
    delete: &'a DeleteRangeRequest,
    reply: &'a DeleteRangeResponse,
    sink: &mut impl FnMut(&'a [u8]),
) {
    if delete.range_end.is_empty() && reply.deleted > 0 {
        sink(&delete.key);
    } else {
        reply.prev_kvs.iter().for_each(|kv| sink(&kv.key));
    }
}

/// Each put that a request would make in one branch or the other.
pub(in crate::oracle) fn each_possible_put<'a>(request: &'a Request, sink: &mut impl FnMut(&'a PutRequest)) {
    match request {
        Request::Put(put) => sink(put),
        Request::Txn(txn) => each_op(txn, &mut |op| {
            if let Some(Op::RequestPut(put)) = &op.request {
                sink(put);
            }
        }),
        _ => {}
    }
}

/// Each operation of both branches, nested ones too.
pub(super) fn each_op<'a>(txn: &'a TxnRequest, sink: &mut impl FnMut(&'a RequestOp)) {
    for op in txn.success.iter().chain(&txn.failure) {
        sink(op);
        if let Some(Op::RequestTxn(nested)) = &op.request {
            each_op(nested, sink);
        }
    }
}

/// Whether a transaction puts something and deletes something.
pub(super) fn puts_and_deletes(request: &Request) -> bool {
    let (mut puts, mut deletes) = (false, false);
    if let Request::Txn(txn) = request {
        each_op(txn, &mut |op| {
            puts |= matches!(op.request, Some(Op::RequestPut(_)));
            deletes |= matches!(op.request, Some(Op::RequestDeleteRange(_)));
        });
    }
    puts && deletes
}

/// Whether some operation of a transaction is none at all.
pub(in crate::oracle) fn has_empty_operation(request: &Request) -> bool {
    let mut empty = false;
    if let Request::Txn(txn) = request {
        each_op(txn, &mut |op| empty |= op.request.is_none());
    }
    empty
}

/// Whether a refusal depends on the state in which the request was executed.
pub(in crate::oracle) fn tells_of_state(error: Error) -> bool {
    matches!(
        error,
        Error::KeyNotFound
            | Error::FutureRevision
            | Error::Compacted
            | Error::LeaseNotFound
            | Error::LeaseExists
    )
}

/// Each revision that a request asks for by its number, in one branch or the other; with a reply, in the branch that
/// was executed. (A plain read of revision 0 or less is one of the present, and so is one of 0 in a transaction.)
pub(in crate::oracle) fn each_revision(
    request: &Request,
    reply: Option<&Response>,
    sink: &mut impl FnMut(i64),
) {
    match (request, reply) {
        (Request::Range(read), _) if read.revision > 0 => sink(read.revision),
        (Request::Txn(txn), Some(Response::Txn(reply))) => revisions_of(txn, reply, sink),
        (Request::Txn(txn), _) => each_op(txn, &mut |op| {
            if let Some(Op::RequestRange(read)) = &op.request
                && read.revision != 0
            {
                sink(read.revision);
            }
        }),
        _ => {}
    }
}

fn revisions_of(txn: &TxnRequest, reply: &TxnResponse, sink: &mut impl FnMut(i64)) {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    for (op, reply) in branch.iter().zip(&reply.responses) {
        match (&op.request, &reply.response) {
            (Some(Op::RequestRange(read)), _) if read.revision != 0 => sink(read.revision),
            (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => revisions_of(txn, reply, sink),
            _ => {}
        }
    }
}

/// Whether a request asks for a revision by its number, in one branch or the other.
pub(super) fn reads_past(request: &Request) -> bool {
    let mut past = false;
    each_revision(request, None, &mut |_| past = true);
    past
}

/// Each range of keys that a request may look at or (second argument) change, in one branch or the other.
pub(super) fn each_touch<'a>(request: &'a Request, sink: &mut impl FnMut(KeyRange<'a>, bool)) {
    match request {
        Request::Range(read) => sink((&read.key, &read.range_end), false),
        Request::Put(put) => sink((&put.key, b""), true),
        Request::DeleteRange(delete) => sink((&delete.key, &delete.range_end), true),
        Request::Txn(txn) => txn_touches(txn, sink),
        Request::Compact(_) | Request::Auth(_) => {}
        // What is attached to a lease the request does not say.
        Request::LeaseGrant(_)
        | Request::LeaseRevoke(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases(_) => {}
    }
}

fn txn_touches<'a>(txn: &'a TxnRequest, sink: &mut impl FnMut(KeyRange<'a>, bool)) {
    txn.compare.iter().for_each(|compare| sink((&compare.key, &compare.range_end), false));
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Op::RequestRange(read)) => sink((&read.key, &read.range_end), false),
            Some(Op::RequestPut(put)) => sink((&put.key, b""), true),
            Some(Op::RequestDeleteRange(delete)) => sink((&delete.key, &delete.range_end), true),
            Some(Op::RequestTxn(nested)) => txn_touches(nested, sink),
            None => {}
        }
    }
}

/// A range of keys.
pub(super) type KeyRange<'a> = (&'a [u8], &'a [u8]);

/// Each range of keys whose state is known beyond doubt after an operation with this reply: whatever it was before,
/// the reply could not be the same after another state, or the operation leaves no trace of it.
///
/// A plain read of the past is taken to be judged at the revision that it asks for.
pub(super) fn each_settled<'a>(
    request: &'a Request,
    reply: &'a Response,
    sink: &mut impl FnMut(KeyRange<'a>),
) {
    match (request, reply) {
        (Request::Range(read), Response::Range(reply)) => range_settles(read, reply, sink),
        (Request::Put(put), Response::Put(_)) => put_settles(put, sink),
        (Request::DeleteRange(delete), Response::DeleteRange(_)) => sink((&delete.key, &delete.range_end)),
        (Request::Txn(txn), Response::Txn(reply)) => txn_settles(txn, reply, sink),
        _ => {}
    }
}

fn range_settles<'a>(read: &'a RangeRequest, reply: &'a RangeResponse, sink: &mut impl FnMut(KeyRange<'a>)) {
    if reply.count == 0 || (!read.keys_only && reply.kvs.len() as i64 == reply.count) {
        sink((&read.key, &read.range_end));
    } else if !read.keys_only {
        reply.kvs.iter().for_each(|kv| sink((&kv.key, b"")));
    }
}

fn put_settles<'a>(put: &'a PutRequest, sink: &mut impl FnMut(KeyRange<'a>)) {
    if put.prev_kv {
        sink((&put.key, b""));
    }
}

fn txn_settles<'a>(txn: &'a TxnRequest, reply: &'a TxnResponse, sink: &mut impl FnMut(KeyRange<'a>)) {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    for (op, reply) in branch.iter().zip(&reply.responses) {
        match (&op.request, &reply.response) {
            (Some(Op::RequestRange(read)), Some(OpReply::ResponseRange(reply))) if read.revision <= 0 => {
                range_settles(read, reply, sink);
            }
            (Some(Op::RequestPut(put)), _) => put_settles(put, sink),
            (Some(Op::RequestDeleteRange(delete)), _) => sink((&delete.key, &delete.range_end)),
            (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => txn_settles(txn, reply, sink),
            _ => {}
        }
    }
}

/// Each comparison of a value, in nested transactions too.
pub(super) fn each_compared<'a>(request: &'a Request, sink: &mut impl FnMut(&'a Compare)) {
    if let Request::Txn(txn) = request {
        compared_in(txn, sink);
    }
}

fn compared_in<'a>(txn: &'a TxnRequest, sink: &mut impl FnMut(&'a Compare)) {
    txn.compare.iter().filter(|compare| compare.target == CompareTarget::Value as i32).for_each(&mut *sink);
    for op in txn.success.iter().chain(&txn.failure) {
        if let Some(Op::RequestTxn(nested)) = &op.request {
            compared_in(nested, sink);
        }
    }
}

/// Whether a reply may show keys in the order of values, or only the first of them, and leave values out.
pub(super) fn hides_order(request: &Request) -> bool {
    let hides = |read: &RangeRequest| {
        read.sort_target == SortTarget::Value as i32 && (read.keys_only || read.limit > 0)
    };
    match request {
        Request::Range(read) => hides(read),
        Request::Txn(txn) => {
            let mut hidden = false;
            each_op(txn, &mut |op| {
                hidden |= matches!(&op.request, Some(Op::RequestRange(read)) if hides(read));
            });
            hidden
        }
        _ => false,
    }
}
