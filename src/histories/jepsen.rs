//! The form of Jepsen's histories: a register for each key that is read, written and swapped.
//!
//! ```text
//! {:index 0, :time 1000, :process 0, :type :invoke, :f :write, :value ["a" "1"]}
//! {:index 1, :time 2000, :process 0, :type :ok, :f :write, :value ["a" "1"]}
//! {:index 2, :time 3000, :process 1, :type :invoke, :f :cas, :value ["a" ["1" "2"]]}
//! {:index 3, :time 4000, :process 1, :type :info, :f :cas, :value ["a" ["1" "2"]]}
//! ```
//!
//! That is what Knossos decides, with Jepsen's `independent` for the keys. Of an operation on several keys, each key has what
//! concerns it, as an operation of its own between the same moments: what is linearizable as a whole is so for each key. A
//! deletion writes nil. What was compared or read, and then changed, is swapped.
//!
//! Left out is what changes no value and shows none: leases, compactions, reads of the past or of one member, the keys that a read
//! gave without values, what was refused. Where a lease may have ended that a value has, a swap of that for nil is told of which
//! nobody knows what came of it. Revisions and versions have no place here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use bytes::Bytes;
use vertebra_model::api::compare::{CompareResult, CompareTarget, TargetUnion};
use vertebra_model::api::request_op::Request as Op;
use vertebra_model::api::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse};
use vertebra_model::history::{History, Operation, Outcome, Request};
use vertebra_model::watch_history::WatchHistory;

use super::effects::{Did, Done, Seen, each_op};
use super::time_ns;

/// Values that are longer are told by their beginning and a number.
const VALUE_BYTES_MAX: usize = 64;
/// So much of it.
const BEGINNING_BYTES: usize = 24;

/// What a register holds: nothing, or a value.
type Held = Option<Bytes>;

/// What one operation is to one key.
#[derive(Clone, Default)]
struct Asked {
    /// What was there before, as far as that was seen or compared.
    before: Option<Held>,
    /// What was there afterwards, where it was changed.
    after: Option<Held>,
}

impl Asked {
    /// This was there before; unless it is what the operation itself has made of it.
    fn shows(&mut self, held: Held) {
        if self.after.is_none() {
            self.before.get_or_insert(held);
        }
    }
}

/// An operation on a register.
struct Told<'a> {
    key: &'a Bytes,
    process: usize,
    asked: Asked,
    invoked: u64,
    ended: u64,
    is_known: bool,
}

/// Writes a history. Watches tell nothing of registers but what values there were.
///
/// # Errors
///
/// What writing fails with.
pub fn write(to: &mut dyn Write, history: &History, watches: &WatchHistory) -> io::Result<()> {
    let seen = Seen::of(history, watches);
    let told = Telling::of(history, &seen).told;
    // The number of the event, whether it is a return, and of what.
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * told.len());
    for (place, told) in told.iter().enumerate() {
        events.push((told.invoked, false, place));
        events.push((told.ended, true, place));
    }
    events.sort_unstable();
    let mut values = Values::default();
    for (index, (clock, is_return, place)) in events.into_iter().enumerate() {
        let Told { key, process, asked, is_known, .. } = &told[place];
        let (time, kind) = (time_ns(clock), kind(is_return, *is_known));
        let key = quoted(&key.escape_ascii().to_string());
        let (function, value) = match asked {
            Asked { before: Some(before), after: Some(after) } => {
                ("cas", format!("[{} {}]", values.text(before), values.text(after)))
            }
            Asked { after: Some(after), .. } => ("write", values.text(after)),
            Asked { before: Some(before), .. } if is_return => ("read", values.text(before)),
            Asked { .. } => ("read", "nil".to_owned()),
        };
        writeln!(
            to,
            "{{:index {index}, :time {time}, :process {process}, :type {kind}, :f :{function}, :value [{key} {value}]}}"
        )?;
    }
    Ok(())
}

fn kind(is_return: bool, is_known: bool) -> &'static str {
    match (is_return, is_known) {
        (false, _) => ":invoke",
        (true, true) => ":ok",
        (true, false) => ":info",
    }
}

/// The operations on registers that a history comes to.
struct Telling<'a> {
    seen: &'a Seen,
    told: Vec<Told<'a>>,
    /// Of each session, for each key.
    processes: BTreeMap<(u32, &'a Bytes), usize>,
    /// The next process.
    next: usize,
    /// Those that have an operation of which nobody knows what came of it.
    retired: BTreeSet<usize>,
    /// Keys that somebody found without a value, or may have. Of others, nobody misses it when they lose theirs.
    found_empty: BTreeSet<&'a Bytes>,
    /// The number of the last event.
    end: u64,
}

impl<'a> Telling<'a> {
    fn of(history: &'a History, seen: &'a Seen) -> Self {
        let mut telling = Self {
            seen,
            told: Vec::new(),
            processes: BTreeMap::new(),
            next: 0,
            retired: BTreeSet::new(),
            found_empty: BTreeSet::new(),
            end: history.clock(),
        };
        for operation in history.operations() {
            match &operation.outcome {
                Outcome::Ok(_) if operation.request.is_serializable() => {}
                Outcome::Ok(reply) => telling.done(operation, &Done::of(&operation.request, reply)),
                Outcome::Unknown => telling.may_find_empty(operation),
                Outcome::Failed(_) => {}
            }
        }
        for operation in history.operations() {
            match &operation.outcome {
                Outcome::Failed(_) => {}
                Outcome::Unknown => telling.may_be_done(operation),
                Outcome::Ok(reply) => {
                    for did in Done::of(&operation.request, reply).did {
                        if let Did::Put(put, _) = did {
                            telling.may_expire(operation, put);
                        }
                    }
                }
            }
        }
        telling
    }

    /// The process that does what a session asks of a key.
    fn process(&mut self, session: u32, key: &'a Bytes) -> usize {
        let process = *self.processes.entry((session, key)).or_insert(self.next);
        self.next = self.next.max(process + 1);
        process
    }

    /// One that does nothing else.
    fn another(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    /// An operation was done.
    fn done(&mut self, operation: &'a Operation, done: &Done<'a>) {
        let (ended, seen) = (operation.ended(), self.seen);
        let mut all: BTreeMap<&'a Bytes, Asked> = BTreeMap::new();
        for compare in &done.held {
            if let Some(held) = self.told_by(compare) {
                all.entry(&compare.key).or_default().shows(held);
            }
        }
        for did in &done.did {
            match *did {
                Did::Read(read, _) if read.revision > 0 => {}
                Did::Read(read, reply) => {
                    for kv in reply.kvs.iter().filter(|_| !read.keys_only) {
                        all.entry(&kv.key).or_default().shows(Some(kv.value.clone()));
                    }
                    if is_whole(read, reply) {
                        let given: BTreeSet<&Bytes> = reply.kvs.iter().map(|kv| &kv.key).collect();
                        // Whoever puts a key later tells nothing of what was there before.
                        for (key, _) in
                            seen.within(&read.key, &read.range_end).filter(|(_, first)| *first < ended)
                        {
                            if !given.contains(key) {
                                all.entry(key).or_default().shows(None);
                            }
                        }
                    }
                }
                Did::Put(put, _) if put.ignore_value => {}
                Did::Put(put, _) => all.entry(&put.key).or_default().after = Some(Some(put.value.clone())),
                Did::Delete(delete, reply) => {
                    let keys = seen.within(&delete.key, &delete.range_end);
                    for (key, _) in keys.filter(|(_, first)| *first < ended) {
                        let asked = all.entry(key).or_default();
                        if reply.deleted == 0 { asked.shows(None) } else { asked.after = Some(None) }
                    }
                }
            }
        }
        for (key, asked) in all {
            if asked.before == Some(None) {
                self.found_empty.insert(key);
            }
            let process = self.process(operation.session, key);
            self.told.push(Told { key, process, asked, invoked: operation.invoked, ended, is_known: true });
        }
    }

    /// What a comparison that held says of the value of its key.
    fn told_by(&self, compare: &Compare) -> Option<Held> {
        let Seen { keys, versions } = self.seen;
        let is_of_one = compare.range_end.is_empty() && keys.contains_key(&compare.key);
        if !is_of_one || compare.result() != CompareResult::Equal {
            return None;
        }
        match (compare.target(), &compare.target_union) {
            (CompareTarget::Value, Some(TargetUnion::Value(value))) => Some(Some(value.clone())),
            (CompareTarget::Version, Some(TargetUnion::Version(0)))
            | (CompareTarget::Create, Some(TargetUnion::CreateRevision(0)))
            | (CompareTarget::Mod, Some(TargetUnion::ModRevision(0))) => Some(None),
            (CompareTarget::Mod, Some(TargetUnion::ModRevision(revision))) => {
                versions.get(&(compare.key.clone(), *revision))?.value.clone().map(Some)
            }
            _ => None,
        }
    }

    /// Nobody heard what came of an operation. If it was done, it found keys empty.
    fn may_find_empty(&mut self, operation: &'a Operation) {
        if let Request::Txn(txn) = &operation.request {
            let empty = txn.compare.iter().filter(|compare| self.told_by(compare) == Some(None));
            let keys: Vec<&Bytes> = empty.map(|compare| &compare.key).collect();
            self.found_empty.extend(keys);
        }
    }

    /// The same: what each key may have become by it.
    fn may_be_done(&mut self, operation: &'a Operation) {
        match &operation.request {
            Request::Put(put) => self.may_be_put(operation, put, None),
            Request::DeleteRange(delete) => self.may_be_deleted(operation, delete, &[]),
            Request::Txn(txn) => {
                // What is compared first holds for what is done first. For the rest of the branches, nothing is sure.
                let held =
                    txn.compare.iter().filter_map(|compare| Some((&compare.key, self.told_by(compare)?)));
                let held: Vec<(&Bytes, Held)> = held.collect();
                let first: Vec<&Op> = txn.success.iter().filter_map(|op| op.request.as_ref()).collect();
                let mut all = Vec::new();
                each_op(txn, &mut |op| all.push(op));
                for op in all {
                    let is_first = first.iter().any(|first| std::ptr::eq(*first, op));
                    let held = if is_first { &held[..] } else { &[] };
                    match op {
                        Op::RequestPut(put) => self.may_be_put(operation, put, before(held, &put.key)),
                        Op::RequestDeleteRange(delete) => self.may_be_deleted(operation, delete, held),
                        Op::RequestRange(_) | Op::RequestTxn(_) => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn may_be_put(&mut self, operation: &'a Operation, put: &'a PutRequest, before: Option<Held>) {
        if !put.ignore_value {
            self.perhaps(operation, &put.key, Asked { before, after: Some(Some(put.value.clone())) });
        }
        self.may_expire(operation, put);
    }

    fn may_be_deleted(
        &mut self,
        operation: &'a Operation,
        delete: &DeleteRangeRequest,
        held: &[(&Bytes, Held)],
    ) {
        let seen = self.seen;
        for (key, _) in seen.within(&delete.key, &delete.range_end) {
            if self.found_empty.contains(key) {
                self.perhaps(operation, key, Asked { before: before(held, key), after: Some(None) });
            }
        }
    }

    /// A key that is put with a lease loses its value with that.
    fn may_expire(&mut self, operation: &'a Operation, put: &'a PutRequest) {
        if (put.lease == 0 && !put.ignore_lease) || !self.found_empty.contains(&put.key) {
            return;
        }
        let before = (!put.ignore_value).then(|| Some(put.value.clone()));
        let process = self.another();
        let asked = Asked { before, after: Some(None) };
        let (invoked, ended) = (operation.invoked, self.end);
        self.told.push(Told { key: &put.key, process, asked, invoked, ended, is_known: false });
    }

    /// An operation of which nobody knows what came of it may have done this.
    fn perhaps(&mut self, operation: &'a Operation, key: &'a Bytes, asked: Asked) {
        let mut process = self.process(operation.session, key);
        if !self.retired.insert(process) {
            // It may have done several things, and a process does one.
            process = self.another();
        }
        let (invoked, ended) = (operation.invoked, operation.returned.unwrap_or(self.end));
        self.told.push(Told { key, process, asked, invoked, ended, is_known: false });
    }
}

fn before(held: &[(&Bytes, Held)], key: &Bytes) -> Option<Held> {
    held.iter().find(|(other, _)| *other == key).map(|(_, held)| held.clone())
}

/// Whether a read gave all keys that there are in its range.
fn is_whole(read: &RangeRequest, reply: &RangeResponse) -> bool {
    let bounds =
        [read.min_mod_revision, read.max_mod_revision, read.min_create_revision, read.max_create_revision];
    bounds == [0; 4] && !reply.more && reply.count == reply.kvs.len() as i64
}

/// The values of a history as text.
#[derive(Default)]
struct Values {
    /// Long ones, by number.
    long: BTreeMap<Bytes, usize>,
}

impl Values {
    fn text(&mut self, held: &Held) -> String {
        match held {
            None => "nil".to_owned(),
            Some(value) if value.len() <= VALUE_BYTES_MAX => quoted(&value.escape_ascii().to_string()),
            Some(value) => {
                let next = self.long.len() + 1;
                let number = *self.long.entry(value.clone()).or_insert(next);
                let beginning = value[..BEGINNING_BYTES].escape_ascii();
                // No value is escaped like that, so that this is no other one.
                quoted(&format!("{beginning}\\... {number}, of {} bytes", value.len()))
            }
        }
    }
}

/// A text of EDN.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
