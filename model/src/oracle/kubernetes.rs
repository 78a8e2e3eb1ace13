//! What Kubernetes takes for granted of etcd, beyond what etcd says of itself.
//!
//! Stated in KEP-4743 (the Kubernetes-etcd interface), in etcd's `client/v3/kubernetes` (`interface.go`), in its guarantees of
//! the API and of watches ("KV API guarantees"), and in what Kubernetes does (`apiserver/pkg/storage/etcd3`). The contract has
//! 18 clauses; each is verified, here or elsewhere:
//!
//! | contract | oracle |
//! | --- | --- |
//! | 1 writes are atomic, durable and seen by all later reads | `linearizable_log`, `linearizable_history`, `commit_window`, `durability` |
//! | 2 one revision for all, which never goes back | `revisions` |
//! | 3 a revision changes one object | `one object` |
//! | 4, 5 optimistic writes and deletions | `optimistic` |
//! | 6 lists in pages, at the revision of the first | `list` |
//! | 7 counts do not depend on limits | `count` |
//! | 8 reads see what was written before them; a cache that has come to the revision of one is as good | `linearizable_log`; `cache` |
//! | 9 compactions by turns, which leave the present alone and what was not compacted legible | `turns`, `expired`; `cache` |
//! | 10, 11 each change is told once, in order, or it is said that it is compacted | `watch`; `cache`, `expired` |
//! | 12 progress means that everything up to there was told | `watch`; `cache` |
//! | 13 a stream that requires a leader ends without one | `liveness` (`streams end`), where something is sent after that; a test of the gRPC server, and a mark |
//! | 14 a lease lives for its TTL at least | `leases` |
//! | 15 health is a read of a key | `linearizable_log`, and `liveness` when all faults are over |
//! | 16 resources do not depend on each other | it allows clusters of their own, and forbids nothing |
//! | 17 without space, reads and deletions go on | `no space` |
//! | 18 an error that leaves no doubt means that nothing happened, and nothing happens twice | `linearizable_log` |
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `one object` | two objects were last changed by the same revision |
//! | `optimistic` | an object was written or deleted that was not as expected, or it was as expected and was not; or what it is said to be instead is not what it was |
//! | `list` | the pages of a list are not together the objects that there were at its revision, in order, none twice |
//! | `count` | the number of objects is not what the pages have, or is another one because of a limit |
//! | `turns` | two API servers compacted in the same turn |
//! | `expired` | a read is refused as compacted, and nobody had asked for a compaction beyond it |
//! | `cache` | a list, and what was watched from there on, do not make the objects that there were at the revision to which it has come |
//! | `no space` | a read or a deletion was refused for lack of space |
//!
//! A cache is judged at each response that ends a revision or tells of progress. As before it held what the store did, only what
//! was changed since can differ: that makes the time linear in what the cache and the store were told.
//!
//! Does NOT verify: anything between the watches of two resources, which the contract does not order; the rest of what clients
//! do in the same run. The log is taken as the truth of what the store was; `linearizable_log` and `raft_safety` check it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use vertebra_sim::verdict::Violation;

use super::replayed::Replayed;
use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::mvccpb::event::EventType;
use crate::api::request_op::Request as Op;
use crate::api::{KeyValue, RangeRequest, RangeResponse, TxnRequest, TxnResponse, response_op};
use crate::cache_history::{CacheHistory, Listed};
use crate::error::Error;
use crate::history::{History, Operation, OperationId, Outcome, Request};
use crate::response::Response;
use crate::watch_history::{WatchHistory, Watched};

#[cfg(test)]
mod tests;

const ORACLE: &str = "kubernetes";

/// What the keys of all objects begin with.
const REGISTRY: &[u8] = b"/registry/";

/// The key by whose versions API servers compact by turns.
const COMPACT_REV_KEY: &[u8] = b"compact_rev_key";

/// Judges what API servers were told by the log, which came to what is `replayed`.
///
/// # Errors
///
/// The first broken clause.
pub fn check(
    history: &History,
    watches: &WatchHistory,
    caches: &CacheHistory,
    replayed: &Replayed,
) -> Result<(), Violation> {
    check_operations(history, replayed)?;
    let log = Log::new(replayed);
    let mut objects = Objects::default();
    for listed in caches.lists() {
        let Some((revision, kvs)) = check_list(listed, history, &log)? else { continue };
        kvs.iter().try_for_each(|kv| objects.see(kv))?;
        let Some(mut cache) = Cache::new(&log, listed, history, revision, kvs) else { continue };
        for watch in &listed.watches {
            cache.follow(&watches[*watch], &mut objects)?;
        }
    }
    Ok(())
}

fn violation<T>(clause: &'static str, shape: &str, detail: String) -> Result<T, Violation> {
    Err(Violation::new(ORACLE, clause, shape, detail))
}

/// What became of objects, by the committed log.
struct Log<'a> {
    /// Changes of objects, in their order.
    changes: Vec<&'a (i64, Bytes)>,
    /// All objects that there ever were.
    keys: BTreeSet<&'a Bytes>,
    replayed: &'a Replayed,
}

impl<'a> Log<'a> {
    fn new(replayed: &'a Replayed) -> Self {
        let changes: Vec<_> = replayed.changes.iter().filter(|(_, key)| key.starts_with(REGISTRY)).collect();
        let keys = changes.iter().map(|(_, key)| key).collect();
        Self { changes, keys, replayed }
    }

    fn value(&self, key: &[u8], revision: i64) -> Option<&'a KeyValue> {
        self.replayed.specification.value(key, revision)
    }

    /// The objects of a range that there were, in their order.
    fn objects(&self, range: &RangeRequest, revision: i64) -> Vec<&'a KeyValue> {
        let keys = self.keys.range::<Bytes, _>(&range.key..&range.range_end);
        keys.filter_map(|key| self.value(key, revision)).collect()
    }
}

/// The revisions that last changed an object, as API servers were told.
#[derive(Default)]
struct Objects {
    by_revision: BTreeMap<i64, Bytes>,
}

impl Objects {
    fn see(&mut self, kv: &KeyValue) -> Result<(), Violation> {
        let known = self.by_revision.entry(kv.mod_revision).or_insert_with(|| kv.key.clone());
        if *known == kv.key {
            return Ok(());
        }
        let (one, other) = (known.escape_ascii(), kv.key.escape_ascii());
        violation("one object", "", format!("revision {} changed \"{one}\" and \"{other}\"", kv.mod_revision))
    }
}

/// A write of one object under the condition that it was last changed at a revision.
struct Optimistic<'a> {
    key: &'a Bytes,
    expected: i64,
    deletes: bool,
}

impl<'a> Optimistic<'a> {
    fn of(txn: &'a TxnRequest) -> Option<Self> {
        let ([compare], [op]) = (&txn.compare[..], &txn.success[..]) else { return None };
        let is_equal = compare.result == CompareResult::Equal as i32 && compare.range_end.is_empty();
        let by_revision = is_equal && compare.target == CompareTarget::Mod as i32;
        let Some(TargetUnion::ModRevision(expected)) = compare.target_union else { return None };
        let deletes = match &op.request {
            Some(Op::RequestPut(put)) if put.key == compare.key => false,
            Some(Op::RequestDeleteRange(delete))
                if delete.key == compare.key && delete.range_end.is_empty() =>
            {
                true
            }
            _ => return None,
        };
        let is_object = by_revision && compare.key.starts_with(REGISTRY);
        is_object.then_some(Self { key: &compare.key, expected, deletes })
    }

    fn check(&self, operation: &Operation, txn: &TxnResponse, replayed: &Replayed) -> Result<(), Violation> {
        let revision = txn.header.map_or(0, |header| header.revision);
        // A deletion of what is not there changes nothing.
        let moment =
            if txn.succeeded && (self.expected > 0 || !self.deletes) { revision - 1 } else { revision };
        let kv = replayed.specification.value(self.key, moment);
        let is_as_expected = kv.map_or(0, |kv| kv.mod_revision) == self.expected;
        let shape = if self.deletes { "delete" } else { "put" };
        if txn.succeeded != is_as_expected {
            let was = kv
                .map_or("was not there".to_owned(), |kv| format!("was last changed at {}", kv.mod_revision));
            return violation("optimistic", shape, format!("{operation}: at revision {moment} it {was}"));
        }
        let told = txn.responses.first().and_then(|op| op.response.as_ref());
        if let Some(response_op::Response::ResponseRange(range)) = told
            && range.kvs.first() != kv
        {
            let detail =
                format!("{operation}: it was {kv:?} at revision {moment}, and is said to be {:?}", range.kvs);
            return violation("optimistic", shape, detail);
        }
        Ok(())
    }
}

/// What a single operation can do wrong, or two of them.
fn check_operations(history: &History, replayed: &Replayed) -> Result<(), Violation> {
    // By version of the key, and the revision that created it: who won the turn.
    let mut turns: BTreeMap<(i64, i64), &Operation> = BTreeMap::new();
    // The highest revision at which anybody has asked to compact, by when.
    let mut compactions: Vec<(u64, i64)> = Vec::new();
    for operation in history.operations() {
        if let Request::Compact(compaction) = &operation.request
            && compactions.last().is_none_or(|(_, highest)| compaction.revision > *highest)
        {
            compactions.push((operation.invoked, compaction.revision));
        }
    }
    for operation in history.operations() {
        match (&operation.request, &operation.outcome) {
            (request, Outcome::Failed(Error::NoSpace)) if asks_for_no_space(request) => {
                return violation("no space", request.kind(), operation.to_string());
            }
            (Request::Range(read), Outcome::Failed(Error::Compacted)) => {
                let asked = compactions.partition_point(|(invoked, _)| *invoked < operation.ended());
                let highest = asked.checked_sub(1).map_or(0, |last| compactions[last].1);
                if highest <= read.revision {
                    let detail = format!("{operation}: nobody had asked to compact beyond {highest}");
                    return violation("expired", "", detail);
                }
            }
            (Request::Txn(request), Outcome::Ok(Response::Txn(txn))) => {
                if let Some(write) = Optimistic::of(request) {
                    write.check(operation, txn, replayed)?;
                } else if let Some(turn) = turn_of(request).filter(|_| txn.succeeded) {
                    let revision = txn.header.map_or(0, |header| header.revision);
                    let key = replayed.specification.value(COMPACT_REV_KEY, revision);
                    let created = key.map_or(0, |kv| kv.create_revision);
                    if let Some(other) = turns.insert((turn, created), operation) {
                        return violation("turns", "", format!("turn {turn}: {other}; {operation}"));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a request is one that etcd serves also where there is no space left.
fn asks_for_no_space(request: &Request) -> bool {
    match request {
        Request::Range(_) | Request::DeleteRange(_) | Request::LeaseRevoke(_) | Request::Compact(_) => true,
        Request::Txn(txn) => Optimistic::of(txn).is_some_and(|write| write.deletes),
        _ => false,
    }
}

/// The version of the key by which an API server asks to compact next.
fn turn_of(txn: &TxnRequest) -> Option<i64> {
    let [compare] = &txn.compare[..] else { return None };
    match compare.target_union {
        Some(TargetUnion::Version(version))
            if compare.key == COMPACT_REV_KEY && compare.result == CompareResult::Equal as i32 =>
        {
            Some(version)
        }
        _ => None,
    }
}

/// The page that an operation read, if it did.
fn page_of(history: &History, page: OperationId) -> Option<(&RangeRequest, &RangeResponse)> {
    match (&history[page].request, history[page].reply()) {
        (Request::Range(read), Some(Response::Range(range))) => Some((read, range)),
        _ => None,
    }
}

/// The revision of a list and its objects, where it came to its end.
fn check_list<'a>(
    listed: &Listed,
    history: &'a History,
    log: &Log<'a>,
) -> Result<Option<(i64, Vec<&'a KeyValue>)>, Violation> {
    let Some((first, range)) = listed.pages.first().and_then(|page| page_of(history, *page)) else {
        return Ok(None);
    };
    let present = range.header.map_or(0, |header| header.revision);
    let revision = if first.revision > 0 { first.revision } else { present };
    let expected = log.objects(first, revision);
    let mut kvs: Vec<&KeyValue> = Vec::with_capacity(expected.len());
    for page in &listed.pages {
        let Some((_, range)) = page_of(history, *page) else { return Ok(None) };
        let rest = &expected[kvs.len()..];
        let operation = &history[*page];
        if range.kvs.len() > rest.len() || range.kvs.iter().zip(rest).any(|(kv, expected)| kv != *expected) {
            let place = range.kvs.iter().zip(rest).take_while(|(kv, expected)| kv == *expected).count();
            let (told, is) = (range.kvs.get(place), rest.get(place));
            let detail = format!("{operation}: page of revision {revision}: {told:?}, and there is {is:?}");
            return violation("list", "", detail);
        }
        if range.count != rest.len() as i64 {
            let detail = format!("{operation}: a count of {}, and there are {}", range.count, rest.len());
            return violation("count", "", detail);
        }
        kvs.extend(&range.kvs);
        if range.more != (kvs.len() < expected.len()) {
            let (more, left) = (range.more, expected.len() - kvs.len());
            let detail = format!("{operation}: {left} objects are left, and it says {more}");
            return violation("list", "", detail);
        }
    }
    Ok((kvs.len() == expected.len()).then_some((revision, kvs)))
}

/// A cache, as far as it has come.
struct Cache<'a> {
    log: &'a Log<'a>,
    range: &'a RangeRequest,
    revision: i64,
    objects: BTreeMap<&'a Bytes, &'a KeyValue>,
    /// The next change of the log.
    next: usize,
    /// What was told or has changed since it was looked at.
    touched: BTreeSet<&'a Bytes>,
}

impl<'a> Cache<'a> {
    fn new(
        log: &'a Log<'a>,
        listed: &Listed,
        history: &'a History,
        revision: i64,
        kvs: Vec<&'a KeyValue>,
    ) -> Option<Self> {
        let Request::Range(range) = &history[*listed.pages.first()?].request else { return None };
        let next = log.changes.partition_point(|(changed, _)| *changed <= revision);
        let objects = kvs.into_iter().map(|kv| (&kv.key, kv)).collect();
        Some(Self { log, range, revision, objects, next, touched: BTreeSet::new() })
    }

    fn follow(&mut self, watched: &'a Watched, seen: &mut Objects) -> Result<(), Violation> {
        for heard in watched.heard.iter().filter(|heard| !heard.response.created && !heard.response.canceled)
        {
            let response = &heard.response;
            let mut last = None;
            for event in &response.events {
                let Some(kv) = &event.kv else { continue };
                last = Some(kv.mod_revision);
                self.touched.insert(&kv.key);
                if event.r#type == EventType::Delete as i32 {
                    self.objects.remove(&kv.key);
                } else {
                    seen.see(kv)?;
                    self.objects.insert(&kv.key, kv);
                }
            }
            if !response.fragment {
                let progress = response.header.map_or(0, |header| header.revision);
                self.come_to(last.unwrap_or(progress), last.is_none())?;
            }
        }
        Ok(())
    }

    /// It is to be what the store was at `revision`.
    fn come_to(&mut self, revision: i64, is_bookmark: bool) -> Result<(), Violation> {
        self.revision = self.revision.max(revision);
        let (from, end) = (&self.range.key, &self.range.range_end);
        while let Some((_, key)) = self.log.changes.get(self.next).filter(|(at, _)| *at <= self.revision) {
            self.next += 1;
            if (from..end).contains(&key) {
                self.touched.insert(key);
            }
        }
        for key in std::mem::take(&mut self.touched) {
            let (told, is) = (self.objects.get(key).copied(), self.log.value(key, self.revision));
            if told != is {
                let shape = if is_bookmark { "at a bookmark" } else { "at an event" };
                let detail = format!(
                    "the cache of \"{}\" has come to revision {} and has {told:?}, and there is {is:?}",
                    from.escape_ascii(),
                    self.revision
                );
                return violation("cache", shape, detail);
            }
        }
        Ok(())
    }
}
