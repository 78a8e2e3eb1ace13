//! What etcd's gRPC layer refuses, before anything is read or proposed.
//!
//! None of it depends on the state of the store. A request that passes can still fail when it is applied.

use std::collections::BTreeSet;

use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::request_op::Request;
use crate::api::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use crate::error::Error;

/// How many comparisons, or operations of one branch, etcd lets a transaction have unless told otherwise.
pub const TXN_OPS_MAX: usize = 128;

/// Checks a read.
///
/// # Errors
///
/// `EmptyKey`, `InvalidSortOption`.
pub fn range(request: &RangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    sorting(request).map(|_| ())
}

/// How a read wants its keys sorted.
pub(super) fn sorting(request: &RangeRequest) -> Result<(SortOrder, SortTarget), Error> {
    let order = SortOrder::try_from(request.sort_order).map_err(|_| Error::InvalidSortOption)?;
    let target = SortTarget::try_from(request.sort_target).map_err(|_| Error::InvalidSortOption)?;
    Ok((order, target))
}

/// Checks a put.
///
/// # Errors
///
/// `EmptyKey`, `ValueProvided`, `LeaseProvided`.
pub fn put(request: &PutRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

/// Checks a deletion.
///
/// # Errors
///
/// `EmptyKey`.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Error> {
    if request.key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

/// Checks a transaction and all that is nested in it, with at most `ops_max` comparisons or operations of a branch
/// ([`TXN_OPS_MAX`] unless the server is configured otherwise).
///
/// # Errors
///
/// `TooManyOps`, `EmptyKey`, `KeyNotFound` for an operation that is empty, `DuplicateKey`, and those of the
/// operations.
pub fn txn(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
    shape(request, ops_max)?;
    for branch in [&request.success, &request.failure] {
        // One operation cannot collide with itself, and most branches have no more.
        let alone = matches!(&branch[..], [op] if !matches!(op.request, Some(Request::RequestTxn(_))));
        if !alone {
            writes(branch)?;
        }
    }
    Ok(())
}

fn shape(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    // A nested transaction gets what its parent's largest list leaves, which also bounds how deep they nest.
    let Some(rest) = ops_max.checked_sub(ops) else { return Err(Error::TooManyOps) };
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete_range(request)?,
            Some(Request::RequestTxn(request)) => shape(request, rest)?,
            None => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// The keys that some operations may put, and the ranges that they may delete.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletions: Vec<&'a DeleteRangeRequest>,
}

impl<'a> Writes<'a> {
    fn check_put(&self, key: &[u8]) -> Result<(), Error> {
        if self.deletions.iter().any(|deletion| covers(deletion, key)) {
            Err(Error::DuplicateKey)
        } else {
            Ok(())
        }
    }

    fn put(&mut self, key: &'a [u8]) -> Result<(), Error> {
        self.check_put(key)?;
        if self.puts.insert(key) { Ok(()) } else { Err(Error::DuplicateKey) }
    }
}

/// Whether this check of etcd's sees that `deletion` covers `key`.
///
/// It reads the range's end as the bytes that they are, so to it a deletion "from this key on", whose end is "\0",
/// is of an empty range and collides with nothing. Such a deletion does pass together with a put of a key that it
/// deletes.
fn covers(deletion: &DeleteRangeRequest, key: &[u8]) -> bool {
    if deletion.range_end.is_empty() {
        key == deletion.key
    } else {
        key >= deletion.key && key < deletion.range_end
    }
}

/// Collects what `ops` may write, and refuses a key that one execution could put twice, or put and delete.
///
/// The order in which etcd looks decides what it overlooks: a deletion in a nested transaction collides with puts
/// of later nested ones, and of this level, but not with those of earlier nested ones.
fn writes(ops: &[RequestOp]) -> Result<Writes<'_>, Error> {
    let mut all = Writes::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(deletion)) = &op.request {
            all.deletions.push(deletion);
        }
    }
    for op in ops {
        let Some(Request::RequestTxn(nested)) = &op.request else { continue };
        let success = writes(&nested.success)?;
        let failure = writes(&nested.failure)?;
        for key in &success.puts {
            all.put(key)?;
        }
        for key in &failure.puts {
            // Only one of the branches is executed, so both may put the same key.
            if success.puts.contains(key) {
                all.check_put(key)?;
            } else {
                all.put(key)?;
            }
        }
        all.deletions.extend(success.deletions);
        all.deletions.extend(failure.deletions);
    }
    for op in ops {
        if let Some(Request::RequestPut(request)) = &op.request {
            all.put(&request.key)?;
        }
    }
    Ok(all)
}
