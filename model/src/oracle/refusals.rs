//! A request is refused for what is wrong with it, and not for what is right.
//!
//! Verifies, for what a request alone can tell:
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `unfounded` | a request was refused for a flaw that it does not have |
//! | `overlooked` | a request was carried out that has a flaw: no key, a value or a lease beside the wish to leave it as it is, an order to sort by that there is none, a key that a list of operations puts twice, or puts and deletes |
//!
//! Stated in etcd's comments on its API and in the checks of its server/etcdserver/api/v3rpc/key.go.
//!
//! Does NOT verify: which of several flaws is told; that what is too much is refused, or changes a key twice by lists within
//! others (etcd overlooks some of that); refusals that tell of the state ([`linearizable_log`](super::linearizable_log) does) or of who asks
//! ([`auth`](super::auth)).

use bytes::Bytes;
use vertebra_sim::verdict::Violation;

use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::request_op::Request as Op;
use crate::api::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, is_in_range};
use crate::error::Error;
use crate::history::{History, Operation, Outcome, Request};
use crate::lessor::TTL_MAX;

const ORACLE: &str = "refusals";

/// Judges what was asked for and refused in `operations`, where a transaction may have `ops_max` comparisons or operations.
///
/// # Errors
///
/// The first broken clause.
pub fn check<'a>(
    operations: impl IntoIterator<Item = &'a Operation>,
    ops_max: usize,
) -> Result<(), Violation> {
    judge(operations, &|request| Flaws { request, ops_max, has_lists: true })
}

/// Judges what is known of a history alone: what else refuses a transaction is that it is too large for a limit that nobody has
/// recorded. Where replies are partial, the lists of a transaction may have been told as one, and tell nothing. A cluster that was
/// restored begins with puts of no key, which nobody asked it for: by them, etcd raises its revision.
///
/// # Errors
///
/// The first broken clause.
pub fn check_recorded(history: &History) -> Result<(), Violation> {
    let has_lists = !history.is_partial();
    let first = history.operations().first().map(|operation| operation.session);
    let is_asked =
        |operation: &&Operation| Some(operation.session) != first || !raises_revision(&operation.request);
    let operations = history.operations().iter().filter(is_asked);
    judge(operations, &|request| Flaws { request, ops_max: 0, has_lists })
}

fn judge<'a>(
    operations: impl IntoIterator<Item = &'a Operation>,
    flaws: &dyn Fn(&'a Request) -> Flaws<'a>,
) -> Result<(), Violation> {
    for operation in operations {
        let flaws = flaws(&operation.request);
        let clause = match operation.outcome {
            Outcome::Failed(error) if !flaws.may_be(error) => "unfounded",
            Outcome::Ok(_) if flaws.any() => "overlooked",
            _ => continue,
        };
        return Err(Violation::new(ORACLE, clause, operation.request.kind(), operation.to_string()));
    }
    Ok(())
}

/// Whether it puts nothing at no key; in a partial history, that is a transaction.
fn raises_revision(request: &Request) -> bool {
    let is_nothing = |put: &PutRequest| *put == PutRequest::default();
    match request {
        Request::Put(put) => is_nothing(put),
        Request::Txn(TxnRequest { compare, success, failure }) => {
            let op = success.first().and_then(|op| op.request.as_ref());
            let is_put = matches!(op, Some(Op::RequestPut(put)) if is_nothing(put));
            is_put && compare.is_empty() && success.len() == 1 && failure.is_empty()
        }
        _ => false,
    }
}

/// What is wrong with a request.
struct Flaws<'a> {
    request: &'a Request,
    ops_max: usize,
    /// Its lists of operations are those that were sent.
    has_lists: bool,
}

impl Flaws<'_> {
    /// Whether it can be refused with `error`, as far as the request tells.
    fn may_be(&self, error: Error) -> bool {
        match error {
            Error::EmptyKey | Error::ValueProvided | Error::LeaseProvided | Error::InvalidSortOption => {
                self.has(error)
            }
            Error::TooManyOps => matches!(self.request, Request::Txn(txn) if size(txn) > self.ops_max),
            Error::DuplicateKey => matches!(self.request, Request::Txn(txn) if changes_twice(txn)),
            Error::LeaseTtlTooLarge => {
                matches!(self.request, Request::LeaseGrant(grant) if grant.ttl > TTL_MAX)
            }
            _ => true,
        }
    }

    fn any(&self) -> bool {
        let all = [Error::EmptyKey, Error::ValueProvided, Error::LeaseProvided, Error::InvalidSortOption];
        all.into_iter().any(|error| self.has(error))
            || self.has_lists
                && matches!(self.request, Request::Txn(txn) if collides(&txn.success) || collides(&txn.failure))
    }

    fn has(&self, error: Error) -> bool {
        match self.request {
            Request::Range(range) => is_of_range(range, error),
            Request::Put(put) => is_of_put(put, error),
            Request::DeleteRange(deletion) => deletion.key.is_empty() && error == Error::EmptyKey,
            Request::Txn(txn) => is_of_txn(txn, error),
            _ => false,
        }
    }
}

fn is_of_range(range: &RangeRequest, error: Error) -> bool {
    match error {
        Error::EmptyKey => range.key.is_empty(),
        Error::InvalidSortOption => {
            SortOrder::try_from(range.sort_order).is_err() || SortTarget::try_from(range.sort_target).is_err()
        }
        _ => false,
    }
}

fn is_of_put(put: &PutRequest, error: Error) -> bool {
    match error {
        Error::EmptyKey => put.key.is_empty(),
        Error::ValueProvided => put.ignore_value && !put.value.is_empty(),
        Error::LeaseProvided => put.ignore_lease && put.lease != 0,
        _ => false,
    }
}

fn is_of_txn(txn: &TxnRequest, error: Error) -> bool {
    let has_key = txn.compare.iter().all(|compare| !compare.key.is_empty());
    let ops = txn.success.iter().chain(&txn.failure);
    !has_key && error == Error::EmptyKey
        || ops.into_iter().any(|op| match &op.request {
            Some(Op::RequestRange(range)) => is_of_range(range, error),
            Some(Op::RequestPut(put)) => is_of_put(put, error),
            Some(Op::RequestDeleteRange(deletion)) => deletion.key.is_empty() && error == Error::EmptyKey,
            Some(Op::RequestTxn(nested)) => is_of_txn(nested, error),
            None => false,
        })
}

/// All comparisons and operations of a transaction, at most.
fn size(txn: &TxnRequest) -> usize {
    let nested = txn.success.iter().chain(&txn.failure).map(|op| match &op.request {
        Some(Op::RequestTxn(nested)) => 1 + size(nested),
        _ => 1,
    });
    txn.compare.len() + nested.sum::<usize>()
}

/// Whether a transaction puts some key and changes it another time, in whichever branches.
fn changes_twice(txn: &TxnRequest) -> bool {
    let (mut puts, mut deletions) = (Vec::new(), Vec::new());
    gather(txn, &mut puts, &mut deletions);
    puts.sort_unstable();
    let is_put_twice = puts.windows(2).any(|pair| pair[0] == pair[1]);
    let covers = |deletion: &&DeleteRangeRequest| {
        puts.iter().any(|key| is_in_range(&deletion.key, &deletion.range_end, key))
    };
    is_put_twice || deletions.iter().any(covers)
}

/// Whether a list of operations puts a key twice, or deletes it too, or a list within it does.
fn collides(ops: &[RequestOp]) -> bool {
    let (mut puts, mut deletions) = (Vec::new(), Vec::new());
    for op in ops {
        match &op.request {
            Some(Op::RequestPut(put)) => puts.push(&put.key),
            // To etcd, one from some key on is of no key.
            Some(Op::RequestDeleteRange(deletion)) if deletion.range_end != b"\0"[..] => {
                deletions.push(deletion)
            }
            Some(Op::RequestTxn(nested)) if collides(&nested.success) || collides(&nested.failure) => {
                return true;
            }
            _ => {}
        }
    }
    puts.sort_unstable();
    let is_deleted =
        |key: &&Bytes| deletions.iter().any(|deletion| is_in_range(&deletion.key, &deletion.range_end, key));
    puts.windows(2).any(|pair| pair[0] == pair[1]) || puts.iter().any(is_deleted)
}

fn gather<'a>(txn: &'a TxnRequest, puts: &mut Vec<&'a [u8]>, deletions: &mut Vec<&'a DeleteRangeRequest>) {
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Op::RequestPut(put)) => puts.push(&put.key),
            Some(Op::RequestDeleteRange(deletion)) => deletions.push(deletion),
            Some(Op::RequestTxn(nested)) => gather(nested, puts, deletions),
            Some(Op::RequestRange(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Compare, LeaseGrantRequest};
    use crate::oracle::testing::{delete, get, put};
    use crate::response::Response;

    fn clause(request: Request, outcome: Outcome) -> Option<&'static str> {
        let mut history = History::new();
        let id = history.invoke(1, request);
        history.returned(id, outcome);
        check(history.operations(), 3).err().map(|violation| violation.clause)
    }

    fn refused(request: Request, error: Error) -> Option<&'static str> {
        clause(request, Outcome::Failed(error))
    }

    fn done(request: Request) -> Option<&'static str> {
        clause(request, Outcome::Ok(Response::Put(crate::api::PutResponse::default())))
    }

    fn txn(ops: Vec<Request>) -> Request {
        let op = |request| match request {
            Request::Put(put) => Op::RequestPut(put),
            Request::DeleteRange(deletion) => Op::RequestDeleteRange(deletion),
            Request::Txn(txn) => Op::RequestTxn(txn),
            _ => unreachable!("not of a transaction"),
        };
        let success = ops.into_iter().map(|request| RequestOp { request: Some(op(request)) }).collect();
        Request::Txn(TxnRequest { success, ..TxnRequest::default() })
    }

    #[test]
    fn a_request_is_refused_for_its_own_flaws() {
        let value =
            PutRequest { key: "a".into(), value: "1".into(), ignore_value: true, ..Default::default() };
        let lease = PutRequest { key: "a".into(), lease: 7, ignore_lease: true, ..Default::default() };
        let sorted = RangeRequest { sort_order: 9, ..get("a") };
        let compare = TxnRequest { compare: vec![Compare::default()], ..Default::default() };
        for (flawed, error) in [
            (put("", "1"), Error::EmptyKey),
            (delete("", ""), Error::EmptyKey),
            (Request::Range(get("")), Error::EmptyKey),
            (Request::Txn(compare), Error::EmptyKey),
            (Request::Put(value.clone()), Error::ValueProvided),
            (txn(vec![txn(vec![Request::Put(value)])]), Error::ValueProvided),
            (Request::Put(lease), Error::LeaseProvided),
            (Request::Range(sorted), Error::InvalidSortOption),
        ] {
            assert_eq!(refused(flawed.clone(), error), None);
            assert_eq!(done(flawed), Some("overlooked"));
            assert_eq!(refused(put("a", "1"), error), Some("unfounded"));
        }
        let kept =
            PutRequest { key: "a".into(), ignore_value: true, ignore_lease: true, ..Default::default() };
        assert_eq!(done(Request::Put(kept)), None);
    }

    #[test]
    fn what_changes_a_key_twice_is_refused() {
        for (flawed, twin) in [
            (vec![put("a", "1"), put("a", "1")], vec![put("a", "1"), put("b", "1")]),
            (vec![put("a", "1"), delete("a", "")], vec![put("a", "1"), delete("b", "")]),
            (vec![delete("a", "c"), put("b", "1")], vec![delete("a", "c"), put("c", "1")]),
            // To etcd this is no collision.
            (vec![delete("b", "d"), put("b", "1")], vec![delete("b", "\0"), put("b", "1")]),
        ] {
            assert_eq!(done(txn(flawed.clone())), Some("overlooked"));
            assert_eq!(done(txn(vec![txn(flawed)])), Some("overlooked"));
            assert_eq!(done(txn(twin)), None);
        }
        // Of two lists, etcd may overlook it.
        assert_eq!(done(txn(vec![txn(vec![delete("a", "")]), txn(vec![put("a", "1")])])), None);
    }

    #[test]
    fn of_a_recorded_history_only_what_it_tells_is_judged() {
        let found = |mut history: History, request: Request, outcome: Outcome| {
            let id = history.invoke(1, request);
            history.returned(id, outcome);
            check_recorded(&history).err().map(|violation| violation.clause)
        };
        let done = || Outcome::Ok(Response::Put(crate::api::PutResponse::default()));
        let refused = |error| Outcome::Failed(error);
        let twice = || txn(vec![put("a", "1"), delete("a", "")]);
        assert_eq!(found(History::new(), put("a", "1"), refused(Error::EmptyKey)), Some("unfounded"));
        assert_eq!(found(History::partial(), put("", "1"), done()), Some("overlooked"));
        let nothing = || put("", "");
        for restored in [nothing(), txn(vec![nothing()])] {
            let mut history = History::new();
            let id = history.invoke(2, put("a", "1"));
            history.returned(id, done());
            assert_eq!(found(History::new(), restored.clone(), done()), None);
            assert_eq!(found(history, restored, done()), Some("overlooked"));
        }
        assert_eq!(found(History::new(), twice(), done()), Some("overlooked"));
        assert_eq!(found(History::partial(), twice(), done()), None);
        assert_eq!(found(History::new(), txn(vec![put("a", "1")]), refused(Error::TooManyOps)), None);
        assert_eq!(found(History::new(), put("a", "1"), refused(Error::TooManyOps)), Some("unfounded"));
    }

    #[test]
    fn what_is_too_much_or_twice_may_be_refused() {
        let puts = |count| txn((0..count).map(|_| put("a", "1")).collect());
        assert_eq!(refused(puts(4), Error::TooManyOps), None);
        assert_eq!(refused(puts(3), Error::TooManyOps), Some("unfounded"));
        assert_eq!(refused(puts(2), Error::DuplicateKey), None);
        assert_eq!(refused(puts(1), Error::DuplicateKey), Some("unfounded"));
        assert_eq!(refused(txn(vec![put("b", "1"), delete("a", "c")]), Error::DuplicateKey), None);
        let apart = txn(vec![put("c", "1"), delete("a", "c")]);
        assert_eq!(refused(apart, Error::DuplicateKey), Some("unfounded"));
        let grant = |ttl| Request::LeaseGrant(LeaseGrantRequest { id: 7, ttl });
        assert_eq!(refused(grant(TTL_MAX + 1), Error::LeaseTtlTooLarge), None);
        assert_eq!(refused(grant(TTL_MAX), Error::LeaseTtlTooLarge), Some("unfounded"));
        assert_eq!(refused(put("a", "1"), Error::KeyNotFound), None);
    }
}
