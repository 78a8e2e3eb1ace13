//! What readers saw, as evidence on which unknown write made which revision.
//!
//! Every rule here only refuses what the replay would refuse later: the evidence makes the search short, not right.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use super::{FIRST_REVISION, Mark, Places, Replay};
use crate::api::compare::CompareTarget;
use crate::api::range_request::SortTarget;
use crate::api::request_op::Request as Op;
use crate::api::response_op::Response as OpReply;
use crate::api::{
    DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest,
    TxnResponse,
};
use crate::history::{Operation, Request};
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

/// Unknown writes that nobody could tell apart: whichever is possible will do.
pub(super) struct Class {
    /// By invocation. The first is possible wherever any other is.
    pub(super) members: Vec<u32>,
    /// Gaps that no other class can fill, in order.
    reserved: Vec<i64>,
}

/// One version of a key, as all who saw it showed it.
struct Record<'a> {
    modified: i64,
    created: i64,
    version: i64,
    lease: i64,
    value: Option<&'a Bytes>,
    until: i64,
}

#[derive(Default)]
struct Key<'a> {
    /// By revision.
    records: Vec<Record<'a>>,
    /// Revisions of acknowledged puts, rising.
    puts: Vec<i64>,
    /// Revisions, after the first and up to the second, in which no gap writes the key.
    quiet: Vec<(i64, i64)>,
    /// From the first to the second revision the key existed, created at the first.
    generations: Vec<(i64, i64)>,
    /// Classes that can put the key, and the value if it is known beforehand.
    writers: Vec<(Option<&'a Bytes>, u32)>,
}

#[derive(Default)]
struct Gap<'a> {
    revision: i64,
    /// Keys that somebody saw as this revision left them: number, and place in its records.
    seen: Vec<(&'a [u8], usize, usize)>,
    writers: Vec<u32>,
}

/// All evidence of a history.
pub(super) struct Evidence<'a> {
    pub(super) classes: Vec<Class>,
    /// Some operation asks for a revision of the past.
    pub(super) past_is_read: bool,
    names: BTreeMap<&'a [u8], usize>,
    keys: Vec<Key<'a>>,
    gaps: Vec<Gap<'a>>,
    all_classes: Vec<u32>,
}

impl<'a> Evidence<'a> {
    pub(super) fn gather(places: &Places<'a>) -> Self {
        let mut evidence = Self {
            classes: Vec::new(),
            past_is_read: false,
            names: BTreeMap::new(),
            keys: Vec::new(),
            gaps: places.gaps.iter().map(|&revision| Gap { revision, ..Gap::default() }).collect(),
            all_classes: Vec::new(),
        };
        evidence.look(places);
        for key in &mut evidence.keys {
            key.conclude();
        }
        evidence.classify(places);
        evidence.assign();
        evidence
    }

    fn key(&mut self, name: &'a [u8]) -> &mut Key<'a> {
        let number = *self.names.entry(name).or_insert_with(|| {
            self.keys.push(Key::default());
            self.keys.len() - 1
        });
        &mut self.keys[number]
    }

    /// Collects sights and puts in order of the revisions.
    fn look(&mut self, places: &Places<'a>) {
        for revision in FIRST_REVISION..=places.last() {
            let reads = places.reads(revision).iter().copied();
            for number in places.write(revision).into_iter().chain(reads) {
                let operation = places.operation(number);
                let Some(reply) = operation.reply() else { continue };
                each_key(&operation.request, reply, &mut |sight| self.key(&sight.kv.key).see(sight));
                each_put(&operation.request, reply, &mut |put| self.key(&put.key).puts.push(revision));
                self.past_is_read |= reads_past(&operation.request);
            }
        }
        for floating in &places.floating {
            self.past_is_read |= reads_past(&places.operation(floating.operation).request);
        }
    }

    /// Sorts the unknown writes into classes.
    fn classify(&mut self, places: &Places<'a>) {
        let operations = places.history.operations();
        let values_matter = operations.iter().any(|operation| reads_values(&operation.request));
        let mut numbers = BTreeMap::new();
        for &write in &places.unknown {
            let operation = places.operation(write);
            let alike = self.alike(&operation.request, values_matter);
            let number = *numbers.entry(alike).or_insert_with(|| {
                self.classes.push(Class { members: Vec::new(), reserved: Vec::new() });
                self.classes.len() - 1
            });
            self.classes[number].members.push(write);
            if self.classes[number].members.len() == 1 {
                self.all_classes.push(number as u32);
                each_possible_put(&operation.request, &mut |put: &'a PutRequest| {
                    let value = (!put.ignore_value).then_some(&put.value);
                    self.key(&put.key).writers.push((value, number as u32));
                });
            }
        }
    }

    /// Equal for requests that have the same effect as far as anybody can see.
    fn alike(&self, request: &Request, values_matter: bool) -> (u8, Vec<u8>) {
        match request {
            Request::Range(read) => (0, read.encode_to_vec()),
            Request::Put(put) => {
                let seen = self.names.get(&put.key[..]).is_some_and(|&key| {
                    self.keys[key].records.iter().any(|record| record.value == Some(&put.value))
                });
                let mut effect = PutRequest { prev_kv: false, ..put.clone() };
                if !(values_matter || seen || put.ignore_value || put.ignore_lease) {
                    effect.value = Bytes::new();
                    return (1, effect.encode_to_vec());
                }
                (2, effect.encode_to_vec())
            }
            Request::DeleteRange(delete) => (3, delete.encode_to_vec()),
            Request::Txn(txn) => (4, txn.encode_to_vec()),
        }
    }

    /// Finds for each gap what was seen there, and so who can have written it.
    fn assign(&mut self) {
        for (&name, &number) in &self.names {
            for (place, record) in self.keys[number].records.iter().enumerate() {
                if let Ok(gap) = self.gaps.binary_search_by_key(&record.modified, |gap| gap.revision) {
                    self.gaps[gap].seen.push((name, number, place));
                }
            }
        }
        for gap in &mut self.gaps {
            let Some(&(_, number, place)) = gap.seen.first() else { continue };
            let key = &self.keys[number];
            let value = key.records[place].value;
            let fits = |writes: Option<&Bytes>| writes.is_none() || value.is_none() || writes == value;
            gap.writers = key.writers.iter().filter(|writer| fits(writer.0)).map(|writer| writer.1).collect();
            gap.writers.sort_unstable();
            gap.writers.dedup();
            if let [only] = gap.writers[..] {
                self.classes[only as usize].reserved.push(gap.revision);
            }
        }
    }

    fn gap(&self, revision: i64) -> Option<&Gap<'a>> {
        let place = self.gaps.binary_search_by_key(&revision, |gap| gap.revision).ok()?;
        Some(&self.gaps[place])
    }

    /// The classes that can have made `revision`, as far as its content was seen.
    pub(super) fn writers_at(&self, revision: i64) -> &[u32] {
        match self.gap(revision) {
            Some(gap) if !gap.seen.is_empty() => &gap.writers,
            _ => &self.all_classes,
        }
    }

    /// The next write of `class` after `used` of them, unless it is needed for a gap after `revision`.
    pub(super) fn available(&self, class: u32, used: u32, revision: i64) -> Option<u32> {
        let Class { members, reserved } = &self.classes[class as usize];
        let kept = reserved.len() - reserved.partition_point(|&gap| gap <= revision);
        let unused = members.get(used as usize..).unwrap_or(&[]);
        unused.first().filter(|_| unused.len() > kept).copied()
    }

    /// Whether a plain put cannot have made `revision`, by a glance at its key.
    pub(super) fn refutes(&self, write: &Operation, revision: i64) -> bool {
        let Request::Put(put) = &write.request else { return false };
        self.names.get(&put.key[..]).is_some_and(|&key| self.keys[key].is_quiet(revision))
    }

    /// Whether what was written since `mark` can have made `revision`.
    pub(super) fn allows(&self, replay: &Replay, mark: Mark, revision: i64) -> bool {
        let possible = replay.written_since(mark).all(|(name, written)| {
            let Some(&key) = self.names.get(&name[..]) else { return true };
            self.keys[key].allows(revision, written.version, written.created)
        });
        let Some(gap) = self.gap(revision) else { return possible };
        possible
            && gap.seen.iter().all(|&(name, number, place)| {
                let seen = &self.keys[number].records[place];
                replay.latest(name).is_some_and(|written| {
                    written.modified == seen.modified
                        && written.created == seen.created
                        && written.version == seen.version
                        && written.lease == seen.lease
                        && seen.value.is_none_or(|value| *value == written.value)
                })
            })
    }
}

impl<'a> Key<'a> {
    fn see(&mut self, sight: Sight<'a>) {
        let Sight { kv, keys_only, until } = sight;
        let value = (!keys_only).then_some(&kv.value);
        // Sights come in order of the revisions, so that the same version as last time is the common case.
        if let Some(last) = self.records.last_mut()
            && last.modified == kv.mod_revision
        {
            last.until = last.until.max(until);
            last.value = last.value.or(value);
            return;
        }
        self.records.push(Record {
            modified: kv.mod_revision,
            created: kv.create_revision,
            version: kv.version,
            lease: kv.lease,
            value,
            until,
        });
    }

    /// Draws what can be drawn from the sights of the key.
    fn conclude(&mut self) {
        self.records.sort_by_key(|record| record.modified);
        self.records.dedup_by(|later, first| {
            let same = later.modified == first.modified;
            if same {
                first.until = first.until.max(later.until);
                first.value = first.value.or(later.value);
            }
            same
        });
        let puts_within = |after: i64, until: i64| {
            let upto = |revision| self.puts.partition_point(|&put| put <= revision);
            upto(until) as i64 - upto(after) as i64
        };
        let mut quiet = Vec::new();
        let mut generations: Vec<(i64, i64)> = Vec::new();
        let mut before: Option<&Record> = None;
        for record in &self.records {
            quiet.push((record.modified, record.until));
            // Versions count the puts of a generation: where all of them are known, no gap is among them.
            let (after, counted) = match before.filter(|before| before.created == record.created) {
                Some(before) => (before.modified, before.version),
                None => (record.created - 1, 0),
            };
            if puts_within(after, record.modified) >= record.version - counted {
                quiet.push((after, record.modified));
            }
            match generations.last_mut().filter(|last| last.0 == record.created) {
                Some(last) => last.1 = last.1.max(record.until),
                None => generations.push((record.created, record.modified.max(record.until))),
            }
            before = Some(record);
        }
        quiet.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(quiet.len());
        for (after, until) in quiet {
            match merged.last_mut() {
                Some(last) if after <= last.1 => last.1 = last.1.max(until),
                _ => merged.push((after, until)),
            }
        }
        (self.quiet, self.generations) = (merged, generations);
    }

    fn is_quiet(&self, revision: i64) -> bool {
        let place = self.quiet.partition_point(|&(after, _)| after < revision);
        place.checked_sub(1).is_some_and(|place| revision <= self.quiet[place].1)
    }

    /// Whether a gap at `revision` can have left the key at `version` (0: deleted), created at `created`.
    fn allows(&self, revision: i64, version: i64, created: i64) -> bool {
        if self.is_quiet(revision) {
            return false;
        }
        let place = self.generations.partition_point(|&(begin, _)| begin <= revision);
        let generation = place.checked_sub(1).map(|place| self.generations[place]);
        let Some((begin, _)) = generation.filter(|&(_, end)| revision <= end) else { return true };
        if version == 0 || created != begin {
            return false;
        }
        // As many puts as are known to come until the next sight must still fit.
        let next = self.records.partition_point(|record| record.modified < revision);
        self.records.get(next).filter(|next| next.created == begin).is_none_or(|next| {
            let upto = |revision| self.puts.partition_point(|&put| put <= revision);
            version + (upto(next.modified) - upto(revision)) as i64 <= next.version
        })
    }
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
            in_txn(txn, reply, reply_revision(&reply.header) - 1, sink)
        }
        _ => {}
    }
}

fn reply_revision(header: &Option<crate::api::ResponseHeader>) -> i64 {
    header.as_ref().map_or(0, |header| header.revision)
}

fn in_range<'a>(read: &RangeRequest, kvs: &'a [KeyValue], revision: i64, sink: &mut impl FnMut(Sight<'a>)) {
    let until = if read.revision > 0 { read.revision } else { revision };
    kvs.iter().for_each(|kv| sink(Sight { kv, keys_only: read.keys_only, until }));
}

/// Keys as they were before the operation that returns them.
fn before<'a>(kvs: impl IntoIterator<Item = &'a KeyValue>, until: i64, sink: &mut impl FnMut(Sight<'a>)) {
    // What a transaction itself put before it is newer, and may be gone at its end.
    let older = kvs.into_iter().filter(|kv| kv.mod_revision <= until);
    older.for_each(|kv| sink(Sight { kv, keys_only: false, until }));
}

fn in_txn<'a>(txn: &'a TxnRequest, reply: &'a TxnResponse, until: i64, sink: &mut impl FnMut(Sight<'a>)) {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    for (op, reply) in branch.iter().zip(&reply.responses) {
        match (&op.request, &reply.response) {
            (Some(Op::RequestRange(read)), Some(OpReply::ResponseRange(reply))) => {
                in_range(read, &reply.kvs, reply_revision(&reply.header), sink);
            }
            (_, Some(OpReply::ResponsePut(reply))) => before(&reply.prev_kv, until, sink),
            (_, Some(OpReply::ResponseDeleteRange(reply))) => before(&reply.prev_kvs, until, sink),
            (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => in_txn(txn, reply, until, sink),
            _ => {}
        }
    }
}

/// Each put that an acknowledged request made.
pub(in crate::oracle) fn each_put<'a>(
    request: &'a Request,
    reply: &Response,
    sink: &mut impl FnMut(&'a PutRequest),
) {
    match (request, reply) {
        (Request::Put(put), _) => sink(put),
        (Request::Txn(txn), Response::Txn(reply)) => puts_of(txn, reply, sink),
        _ => {}
    }
}

fn puts_of<'a>(txn: &'a TxnRequest, reply: &TxnResponse, sink: &mut impl FnMut(&'a PutRequest)) {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    for (op, reply) in branch.iter().zip(&reply.responses) {
        match (&op.request, &reply.response) {
            (Some(Op::RequestPut(put)), _) => sink(put),
            (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => puts_of(txn, reply, sink),
            _ => {}
        }
    }
}

/// Each key that an acknowledged request is known to have deleted.
pub(in crate::oracle) fn each_delete<'a>(
    request: &'a Request,
    reply: &'a Response,
    sink: &mut impl FnMut(&'a [u8]),
) {
    match (request, reply) {
        (Request::DeleteRange(delete), Response::DeleteRange(reply)) => keys_deleted(delete, reply, sink),
        (Request::Txn(txn), Response::Txn(reply)) => deletes_of(txn, reply, sink),
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

fn deletes_of<'a>(txn: &'a TxnRequest, reply: &'a TxnResponse, sink: &mut impl FnMut(&'a [u8])) {
    let branch = if reply.succeeded { &txn.success } else { &txn.failure };
    for (op, reply) in branch.iter().zip(&reply.responses) {
        match (&op.request, &reply.response) {
            (Some(Op::RequestDeleteRange(delete)), Some(OpReply::ResponseDeleteRange(reply))) => {
                keys_deleted(delete, reply, sink);
            }
            (Some(Op::RequestTxn(txn)), Some(OpReply::ResponseTxn(reply))) => deletes_of(txn, reply, sink),
            _ => {}
        }
    }
}

/// Each put that a request would make in one branch or the other.
fn each_possible_put<'a>(request: &'a Request, sink: &mut impl FnMut(&'a PutRequest)) {
    match request {
        Request::Put(put) => sink(put),
        Request::Txn(txn) => each_op(txn, &mut |op| {
            if let Some(Op::RequestPut(put)) = &op.request {
                sink(put);
            }
        }),
        Request::Range(_) | Request::DeleteRange(_) => {}
    }
}

/// Each operation of both branches, nested ones too.
fn each_op<'a>(txn: &'a TxnRequest, sink: &mut dyn FnMut(&'a RequestOp)) {
    for op in txn.success.iter().chain(&txn.failure) {
        sink(op);
        if let Some(Op::RequestTxn(nested)) = &op.request {
            each_op(nested, sink);
        }
    }
}

/// Whether some operation of a transaction is none at all.
pub(in crate::oracle) fn has_empty_operation(request: &Request) -> bool {
    let mut empty = false;
    if let Request::Txn(txn) = request {
        each_op(txn, &mut |op| empty |= op.request.is_none());
    }
    empty
}

fn reads_past(request: &Request) -> bool {
    match request {
        Request::Range(read) => read.revision > 0,
        Request::Txn(txn) => {
            let mut past = false;
            each_op(txn, &mut |op| {
                past |= matches!(&op.request, Some(Op::RequestRange(read)) if read.revision > 0)
            });
            past
        }
        Request::Put(_) | Request::DeleteRange(_) => false,
    }
}

/// Whether values decide what the request does or in which order it shows keys.
fn reads_values(request: &Request) -> bool {
    let sorts = |read: &RangeRequest| read.sort_target == SortTarget::Value as i32;
    match request {
        Request::Range(read) => sorts(read),
        Request::Put(_) | Request::DeleteRange(_) => false,
        Request::Txn(txn) => txn_reads_values(txn, &sorts),
    }
}

fn txn_reads_values(txn: &TxnRequest, sorts: &impl Fn(&RangeRequest) -> bool) -> bool {
    txn.compare.iter().any(|compare| compare.target == CompareTarget::Value as i32)
        || txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
            Some(Op::RequestRange(read)) => sorts(read),
            Some(Op::RequestTxn(nested)) => txn_reads_values(nested, sorts),
            _ => false,
        })
}
