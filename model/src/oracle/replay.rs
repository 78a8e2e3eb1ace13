//! A store that replays operations and compares each reply as it goes; the black-box oracle's own idea of etcd.
//!
//! It shares nothing with the members' store, and nothing with the specification that the white-box oracle uses,
//! so that the two oracles cannot be wrong alike. It differs from the specification where the search for a
//! linearization needs it: steps can be taken back, and a reply is compared with the state in place instead of
//! being built and compared as a whole.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::Range;

use bytes::Bytes;

use super::linearizable_history::Names;
use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::request_op::Request as Op;
use crate::api::response_op::Response as OpReply;
use crate::api::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, LeaseRevokeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse, compare,
};
use crate::error::Error;
use crate::history::Request;
use crate::response::Response;

/// Why a reply does not fit the state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The request is an error in this state.
    Error(Error),
    /// One field of the reply is another. In a box, since every step returns what may be one, and hardly any is.
    Differs(Box<Difference>),
}

/// A field of a reply that is another than the state gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Difference {
    /// Which field.
    field: &'static str,
    /// What the state gives.
    expected: String,
    /// What the reply has.
    found: String,
    /// The keys that are not as the reply has them, if it is not all that the request looks at.
    keys: Option<Range<u32>>,
}

impl Refusal {
    /// The field, or the kind of refusal, for a signature.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Error(_) => "success instead of an error",
            Self::Differs(difference) => difference.field,
        }
    }

    /// The keys that are not as the reply has them, if these are known.
    pub(crate) fn keys(&self) -> Option<Range<u32>> {
        match self {
            Self::Error(_) => None,
            Self::Differs(difference) => difference.keys.clone(),
        }
    }

    /// It is because of these keys, unless it is known better.
    fn because_of(mut self, of: Range<u32>) -> Self {
        if let Self::Differs(difference) = &mut self {
            difference.keys.get_or_insert(of);
        }
        self
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(error) => write!(f, "it succeeded and should be refused: {error}"),
            Self::Differs(difference) => {
                let Difference { field, expected, found, .. } = &**difference;
                write!(f, "{field} is {found} and should be {expected}")
            }
        }
    }
}

/// What a key has that does not exist.
static NO_VALUE: Bytes = Bytes::new();

/// What a key was from a revision on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version<'a> {
    pub(crate) modified: i64,
    pub(crate) created: i64,
    /// 0: the key does not exist.
    pub(crate) version: i64,
    pub(crate) lease: i64,
    pub(crate) value: &'a Bytes,
}

/// A moment that [`Replay::rewind`] can go back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    revision: i64,
    changes: usize,
    gone: usize,
}

/// The store: each key with all its versions, and the current revision.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    revision: i64,
    names: &'a Names<'a>,
    /// By number of the key.
    versions: Vec<Vec<Version<'a>>>,
    /// Whose version was pushed, in order.
    changes: Vec<u32>,
    /// By lease: the keys that have it now.
    attached: BTreeMap<i64, BTreeSet<u32>>,
    /// Leases that end once and for ever; and those of them that have, in order.
    granted_once: BTreeSet<i64>,
    gone: Vec<i64>,
    is_gone: BTreeSet<i64>,
    /// Replies leave out what [`History::partial`](crate::history::History::partial) says.
    is_partial: bool,
    /// Revision before the request that is being executed.
    begun_at: i64,
    /// Space for one read: places in `versions`. And for one transaction: which branches it takes.
    found: Vec<(u32, usize)>,
    branches: Vec<bool>,
}

/// The revision of an empty store.
pub(crate) const FIRST_REVISION: i64 = 1;

impl<'a> Replay<'a> {
    /// An empty store with keys of these names, and leases that end once and for ever; others may come and go as they like.
    /// The replies may be those of a partial history.
    pub(crate) fn new(names: &'a Names<'a>, granted_once: BTreeSet<i64>, is_partial: bool) -> Self {
        Self {
            revision: FIRST_REVISION,
            names,
            versions: vec![Vec::new(); names.count()],
            changes: Vec::new(),
            attached: BTreeMap::new(),
            granted_once,
            gone: Vec::new(),
            is_gone: BTreeSet::new(),
            is_partial,
            begun_at: FIRST_REVISION,
            found: Vec::new(),
            branches: Vec::new(),
        }
    }

    /// Makes room for so many changes in all, and to each key.
    pub(crate) fn reserve(&mut self, changes: usize, to_each: usize) {
        self.changes.reserve(changes);
        self.versions.iter_mut().for_each(|versions| versions.reserve(to_each));
    }

    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { revision: self.revision, changes: self.changes.len(), gone: self.gone.len() }
    }

    /// Takes back everything since `mark`.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.revision = mark.revision;
        for lease in self.gone.drain(mark.gone..) {
            self.is_gone.remove(&lease);
        }
        while self.changes.len() > mark.changes {
            if let Some(key) = self.changes.pop() {
                self.attach(key, false);
                self.versions[key as usize].pop();
                self.attach(key, true);
            }
        }
    }

    /// The keys written since `mark`, with what they are now.
    pub(crate) fn written_since(&self, mark: Mark) -> impl Iterator<Item = (u32, &Version<'a>)> {
        self.changes[mark.changes..].iter().filter_map(|&key| Some((key, self.latest(key)?)))
    }

    /// The key as it is now, if it ever existed.
    pub(crate) fn latest(&self, key: u32) -> Option<&Version<'a>> {
        self.versions[key as usize].last()
    }

    /// Whether the key exists now.
    pub(crate) fn exists(&self, key: u32) -> bool {
        self.present(key).is_some()
    }

    /// Whether the key existed at the end of `revision`.
    pub(crate) fn existed(&self, key: u32, revision: i64) -> bool {
        existing(&self.versions[key as usize], revision).is_some()
    }

    /// The key as it is now, if it exists.
    fn present(&self, key: u32) -> Option<&Version<'a>> {
        self.latest(key).filter(|last| last.version > 0)
    }

    /// Executes `request`; where a reply is given, it must be the one that this gives.
    ///
    /// Says whether anything changed. After a refusal the store is as before.
    pub(crate) fn step(&mut self, request: &'a Request, reply: Option<&Response>) -> Result<bool, Refusal> {
        let mark = self.mark();
        self.begun_at = self.revision;
        let result = match (request, reply) {
            (Request::Range(read), Some(Response::Range(reply))) => self.range(read, Some(reply)),
            (Request::Range(read), None) => self.range(read, None),
            (Request::Put(put), Some(Response::Put(reply))) => self.put(put, Some(reply)),
            (Request::Put(put), None) => self.put(put, None),
            (Request::DeleteRange(delete), Some(Response::DeleteRange(reply))) => {
                self.delete(delete, Some(reply))
            }
            (Request::DeleteRange(delete), None) => self.delete(delete, None),
            (Request::Txn(txn), Some(Response::Txn(reply))) => self.txn(txn, Some(reply)),
            (Request::Txn(txn), None) => self.txn(txn, None),
            // All history is kept: what a compaction makes unreadable is judged apart.
            (Request::Compact(_), Some(Response::Compact(reply))) => self.same_header(reply.header.as_ref()),
            (Request::Compact(_), None) => Ok(()),
            (Request::LeaseRevoke(revoke), Some(Response::LeaseRevoke(reply))) => {
                self.revoked(revoke.id, reply)
            }
            (Request::LeaseRevoke(revoke), None) => {
                self.revoke(revoke.id);
                Ok(())
            }
            (Request::LeaseGrant(_), Some(Response::LeaseGrant(reply))) => {
                self.same_header(reply.header.as_ref())
            }
            (Request::Auth(_), Some(Response::Auth(reply))) => self.same_header(reply.header().as_ref()),
            // Nothing of what the store has depends on these.
            (
                Request::LeaseGrant(_)
                | Request::LeaseKeepAlive(_)
                | Request::LeaseTimeToLive(_)
                | Request::LeaseLeases(_)
                | Request::Auth(_),
                None
                | Some(Response::LeaseKeepAlive(_) | Response::LeaseTimeToLive(_) | Response::LeaseLeases(_)),
            ) => Ok(()),
            (request, Some(reply)) => Err(different("kind of reply", &request.kind(), reply)),
        };
        match result {
            Ok(()) => Ok(self.changes.len() > mark.changes),
            Err(refusal) => {
                self.rewind(mark);
                Err(refusal)
            }
        }
    }

    /// How many keys are attached to a lease.
    pub(crate) fn attached(&self, lease: i64) -> usize {
        self.attached.get(&lease).map_or(0, BTreeSet::len)
    }

    /// The error with which `request` is refused in this state, of those that tell of the state, where these leases exist
    /// and what is before revision `compacted` cannot be read.
    pub(crate) fn refusal(
        &self,
        request: &Request,
        exists: &dyn Fn(i64) -> bool,
        compacted: i64,
    ) -> Option<Error> {
        match request {
            Request::Range(read) => {
                let is_gone = read.revision > 0 && read.revision < compacted;
                if is_gone { Some(Error::Compacted) } else { self.read_refused(read) }
            }
            Request::Put(put) => {
                lease_refused(put, exists).or_else(|| self.misses(put).then_some(Error::KeyNotFound))
            }
            Request::Txn(txn) => self.txn_refused(txn, exists, compacted),
            Request::Compact(compaction) if compaction.revision <= compacted => Some(Error::Compacted),
            Request::Compact(compaction) => {
                (compaction.revision > self.revision).then_some(Error::FutureRevision)
            }
            Request::LeaseGrant(grant) => exists(grant.id).then_some(Error::LeaseExists),
            Request::LeaseRevoke(revoke) => (!exists(revoke.id)).then_some(Error::LeaseNotFound),
            _ => None,
        }
    }

    fn read_refused(&self, read: &RangeRequest) -> Option<Error> {
        (read.revision > self.revision).then_some(Error::FutureRevision)
    }

    /// That of the first operation to be refused.
    fn txn_refused(&self, txn: &TxnRequest, exists: &dyn Fn(i64) -> bool, compacted: i64) -> Option<Error> {
        let branch = if self.holds_all(&txn.compare) { &txn.success } else { &txn.failure };
        branch.iter().find_map(|op| match &op.request {
            Some(Op::RequestRange(read)) => self.read_refused(read).or_else(|| {
                // Never compacted is to etcd compacted at -1, and here it looks at negative revisions too.
                (read.revision != 0 && read.revision < compacted).then_some(Error::Compacted)
            }),
            Some(Op::RequestPut(put)) => {
                let missing = self.misses(put).then_some(Error::KeyNotFound);
                missing.or_else(|| lease_refused(put, exists))
            }
            Some(Op::RequestTxn(txn)) => self.txn_refused(txn, exists, compacted),
            Some(Op::RequestDeleteRange(_)) | None => None,
        })
    }

    /// Whether the put has a lease that is known to be gone.
    fn lacks_lease(&self, put: &PutRequest) -> bool {
        put.lease != 0 && self.is_gone.contains(&put.lease)
    }

    /// Whether the put needs a key that does not exist.
    fn misses(&self, put: &PutRequest) -> bool {
        (put.ignore_value || put.ignore_lease)
            && self.names.number(&put.key).and_then(|key| self.present(key)).is_none()
    }

    /// Fills `found` with the keys of the range that existed at the end of `revision`.
    fn find(&mut self, key: &[u8], range_end: &[u8], revision: i64) {
        self.found.clear();
        for key in self.names.within(key, range_end) {
            if let Some(version) = existing(&self.versions[key as usize], revision) {
                self.found.push((key, version));
            }
        }
    }

    fn range(&mut self, read: &RangeRequest, reply: Option<&RangeResponse>) -> Result<(), Refusal> {
        if read.revision > self.begun_at {
            return Err(Refusal::Error(Error::FutureRevision));
        }
        let Some(reply) = reply else { return Ok(()) };
        self.same_header(reply.header.as_ref())?;
        self.shows(read, reply)
    }

    /// Whether `reply`, whatever its header, has the keys that `read` finds. A revision that the read asks for must not
    /// be in the future.
    pub(crate) fn shows(&mut self, read: &RangeRequest, reply: &RangeResponse) -> Result<(), Refusal> {
        let revision = if read.revision > 0 { read.revision } else { self.revision };
        self.find(&read.key, &read.range_end, revision);
        same("count", &(self.found.len() as i64), &reply.count)?;
        let mut found = std::mem::take(&mut self.found);
        let more = self.narrow(read, &mut found);
        let result = self.same_keys(&found, &reply.kvs, read.keys_only);
        self.found = found;
        result?;
        same("more", &more, &reply.more)
    }

    /// Leaves of the keys found what the options of the read let through, in its order; whether the limit cut some.
    fn narrow(&self, read: &RangeRequest, found: &mut Vec<(u32, usize)>) -> bool {
        if read.count_only {
            found.clear();
        }
        let of = |&(key, version): &(u32, usize)| &self.versions[key as usize][version];
        let within = |revision: i64, min: i64, max: i64| {
            (min == 0 || revision >= min) && (max == 0 || revision <= max)
        };
        let filtered = [
            read.min_mod_revision,
            read.max_mod_revision,
            read.min_create_revision,
            read.max_create_revision,
        ] != [0; 4];
        if filtered {
            found.retain(|place| {
                within(of(place).modified, read.min_mod_revision, read.max_mod_revision)
                    && within(of(place).created, read.min_create_revision, read.max_create_revision)
            });
        }
        let limit = usize::try_from(read.limit).unwrap_or(0);
        let (order, target) = (read.sort_order(), read.sort_target());
        // With a target but without an order, etcd asks its index for one key more than the limit, and sorts those.
        if limit > 0 && order == SortOrder::None && !filtered {
            found.truncate(limit + 1);
        }
        if order != SortOrder::None || target != SortTarget::Key {
            found.sort_by(|one, other| {
                let ordering = match target {
                    SortTarget::Key => one.0.cmp(&other.0),
                    SortTarget::Version => of(one).version.cmp(&of(other).version),
                    SortTarget::Create => of(one).created.cmp(&of(other).created),
                    SortTarget::Mod => of(one).modified.cmp(&of(other).modified),
                    SortTarget::Value => of(one).value.cmp(of(other).value),
                };
                if order == SortOrder::Descend { ordering.reverse() } else { ordering }
            });
        }
        let more = limit > 0 && found.len() > limit;
        if more {
            found.truncate(limit);
        }
        more
    }

    fn same_keys(&self, found: &[(u32, usize)], kvs: &[KeyValue], keys_only: bool) -> Result<(), Refusal> {
        same("number of keys", &found.len(), &kvs.len())?;
        for (&(key, version), kv) in found.iter().zip(kvs) {
            let name = self.names.name(key);
            same("key", &name, &&kv.key[..])?;
            self.same_key(&self.versions[key as usize][version], kv, keys_only)
                .map_err(|refusal| refusal.because_of(key..key + 1))?;
        }
        Ok(())
    }

    fn put(&mut self, put: &'a PutRequest, reply: Option<&PutResponse>) -> Result<(), Refusal> {
        if self.lacks_lease(put) {
            return Err(Refusal::Error(Error::LeaseNotFound));
        }
        let key = self.names.number(&put.key);
        let previous = key.and_then(|key| self.present(key));
        if (put.ignore_value || put.ignore_lease) && previous.is_none() {
            return Err(Refusal::Error(Error::KeyNotFound));
        }
        let next = self.begun_at + 1;
        if let Some(reply) = reply {
            match (previous.filter(|_| put.prev_kv), &reply.prev_kv) {
                (None, None) => {}
                (Some(previous), Some(found)) => {
                    same("key", &put.key, &found.key)?;
                    self.same_key(previous, found, false)?;
                }
                (previous, found) => return Err(different("previous key", &previous, found)),
            }
        }
        let created =
            Version { modified: next, created: next, version: 1, lease: put.lease, value: &put.value };
        let version = match previous {
            None => created,
            Some(previous) => Version {
                created: previous.created,
                version: previous.version + 1,
                lease: if put.ignore_lease { previous.lease } else { put.lease },
                value: if put.ignore_value { previous.value } else { &put.value },
                ..created
            },
        };
        if let Some(key) = key {
            self.push(key, version);
        }
        match reply {
            Some(reply) => self.same_header(reply.header.as_ref()),
            None => Ok(()),
        }
    }

    fn delete(
        &mut self,
        delete: &DeleteRangeRequest,
        reply: Option<&DeleteRangeResponse>,
    ) -> Result<(), Refusal> {
        self.find(&delete.key, &delete.range_end, i64::MAX);
        let found = std::mem::take(&mut self.found);
        if let Some(reply) = reply {
            same("number of keys deleted", &(found.len() as i64), &reply.deleted)?;
            let previous = if delete.prev_kv { &found[..] } else { &[] };
            self.same_keys(previous, &reply.prev_kvs, false)?;
        }
        let modified = self.begun_at + 1;
        for &(key, _) in &found {
            self.push(key, gone(modified));
        }
        self.found = found;
        match reply {
            Some(reply) => self.same_header(reply.header.as_ref()),
            None => Ok(()),
        }
    }

    /// Deletes the keys that are attached to a lease, and the lease.
    fn revoke(&mut self, id: i64) {
        let modified = self.begun_at + 1;
        for key in self.attached.get(&id).cloned().unwrap_or_default() {
            self.push(key, gone(modified));
        }
        self.lose(id);
    }

    /// After a revocation that was acknowledged, nothing is attached to the lease.
    fn revoked(&mut self, id: i64, reply: &LeaseRevokeResponse) -> Result<(), Refusal> {
        self.same_header(reply.header.as_ref())?;
        same("number of keys attached to the lease", &self.attached(id), &0)?;
        self.lose(id);
        Ok(())
    }

    fn lose(&mut self, id: i64) {
        if self.granted_once.contains(&id) && self.is_gone.insert(id) {
            self.gone.push(id);
        }
    }

    fn push(&mut self, key: u32, version: Version<'a>) {
        self.revision = version.modified;
        self.attach(key, false);
        self.versions[key as usize].push(version);
        self.attach(key, true);
        self.changes.push(key);
    }

    /// Notes that the key, as it is now, is attached to its lease, or is no more.
    #[inline]
    fn attach(&mut self, key: u32, is_attached: bool) {
        // Most keys have none.
        if let Some(lease) = self.latest(key).map(|last| last.lease).filter(|lease| *lease != 0) {
            self.attach_to(lease, key, is_attached);
        }
    }

    #[inline(never)]
    fn attach_to(&mut self, lease: i64, key: u32, is_attached: bool) {
        let keys = self.attached.entry(lease).or_default();
        if is_attached {
            keys.insert(key);
        } else {
            keys.remove(&key);
        }
        if keys.is_empty() {
            self.attached.remove(&lease);
        }
    }

    fn txn(&mut self, txn: &'a TxnRequest, reply: Option<&TxnResponse>) -> Result<(), Refusal> {
        // All comparisons, those of nested transactions too, look at the state before the first operation.
        let mut branches = std::mem::take(&mut self.branches);
        branches.clear();
        self.choose_branches(txn, &mut branches);
        let result = self.execute(txn, &mut branches.iter(), reply);
        self.branches = branches;
        result?;
        match reply {
            Some(reply) => self.same_header(reply.header.as_ref()),
            None => Ok(()),
        }
    }

    fn choose_branches(&self, txn: &TxnRequest, branches: &mut Vec<bool>) {
        let succeeded = self.holds_all(&txn.compare);
        branches.push(succeeded);
        for op in if succeeded { &txn.success } else { &txn.failure } {
            if let Some(Op::RequestTxn(nested)) = &op.request {
                self.choose_branches(nested, branches);
            }
        }
    }

    fn execute(
        &mut self,
        txn: &'a TxnRequest,
        branches: &mut std::slice::Iter<'_, bool>,
        reply: Option<&TxnResponse>,
    ) -> Result<(), Refusal> {
        let succeeded = branches.next().copied().unwrap_or_default();
        let ops = if succeeded { &txn.success } else { &txn.failure };
        if let Some(reply) = reply {
            same("branch of the transaction", &succeeded, &reply.succeeded)?;
            same("number of responses", &ops.len(), &reply.responses.len())?;
        }
        let names = self.names;
        for (number, op) in ops.iter().enumerate() {
            let reply = reply.map(|reply| &reply.responses[number].response);
            match (&op.request, reply) {
                (Some(Op::RequestRange(read)), None) => self.range(read, None)?,
                (Some(Op::RequestRange(read)), Some(Some(OpReply::ResponseRange(reply)))) => {
                    let keys = || names.within(&read.key, &read.range_end);
                    self.range(read, Some(reply)).map_err(|refusal| refusal.because_of(keys()))?;
                }
                (Some(Op::RequestPut(put)), None) => self.put(put, None)?,
                (Some(Op::RequestPut(put)), Some(Some(OpReply::ResponsePut(reply)))) => {
                    let keys = || names.within(&put.key, b"");
                    self.put(put, Some(reply)).map_err(|refusal| refusal.because_of(keys()))?;
                }
                (Some(Op::RequestDeleteRange(delete)), None) => self.delete(delete, None)?,
                (Some(Op::RequestDeleteRange(delete)), Some(Some(OpReply::ResponseDeleteRange(reply)))) => {
                    let keys = || names.within(&delete.key, &delete.range_end);
                    self.delete(delete, Some(reply)).map_err(|refusal| refusal.because_of(keys()))?;
                }
                (Some(Op::RequestTxn(nested)), None) => self.execute(nested, branches, None)?,
                (Some(Op::RequestTxn(nested)), Some(Some(OpReply::ResponseTxn(reply)))) => {
                    // The header of a nested reply stays empty in etcd.
                    self.execute(nested, branches, Some(reply))?;
                }
                (None, None | Some(None)) => {}
                (_, reply) => return Err(different("kind of response", &"that of its operation", &reply)),
            }
        }
        Ok(())
    }

    fn holds_all(&self, compares: &[Compare]) -> bool {
        compares.iter().all(|compare| self.holds(compare))
    }

    /// Whether every key of the range passes; where there is none, whether a key of zeros would, which has no value.
    fn holds(&self, compare: &Compare) -> bool {
        let mut present = self
            .names
            .within(&compare.key, &compare.range_end)
            .filter_map(|key| self.present(key))
            .peekable();
        if present.peek().is_none() {
            passes(compare, None)
        } else {
            present.all(|last| passes(compare, Some(last)))
        }
    }

    fn same_key(&self, version: &Version<'_>, kv: &KeyValue, keys_only: bool) -> Result<(), Refusal> {
        same("mod revision", &version.modified, &kv.mod_revision)?;
        if !self.is_partial {
            same("create revision", &version.created, &kv.create_revision)?;
            same("lease", &version.lease, &kv.lease)?;
        }
        if !(self.is_partial && kv.version == 0) {
            same("version", &version.version, &kv.version)?;
        }
        let value = if keys_only { &NO_VALUE } else { version.value };
        same("value", value, &kv.value)
    }

    fn same_header(&self, header: Option<&ResponseHeader>) -> Result<(), Refusal> {
        if self.is_partial && header.is_none() {
            return Ok(());
        }
        same("header revision", &self.revision, &header.map_or(0, |header| header.revision))
    }
}

fn lease_refused(put: &PutRequest, exists: &dyn Fn(i64) -> bool) -> Option<Error> {
    (put.lease != 0 && !exists(put.lease)).then_some(Error::LeaseNotFound)
}

/// What a key is when it has been deleted.
fn gone(modified: i64) -> Version<'static> {
    Version { modified, created: 0, version: 0, lease: 0, value: &NO_VALUE }
}

/// The place of the version that was current at the end of `revision`, if the key existed then.
fn existing(versions: &[Version<'_>], revision: i64) -> Option<usize> {
    let last = versions.len().checked_sub(1)?;
    let place = if versions[last].modified <= revision {
        last
    } else {
        versions.partition_point(|version| version.modified <= revision).checked_sub(1)?
    };
    (versions[place].version > 0).then_some(place)
}

fn passes(compare: &Compare, last: Option<&Version<'_>>) -> bool {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let number =
        |of: fn(&Version<'_>) -> i64, operand: Option<i64>| last.map_or(0, of).cmp(&operand.unwrap_or(0));
    let operand = &compare.target_union;
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => number(
            |last| last.version,
            if let Some(TargetUnion::Version(n)) = operand { Some(*n) } else { None },
        ),
        Ok(CompareTarget::Create) => number(
            |last| last.created,
            if let Some(TargetUnion::CreateRevision(n)) = operand { Some(*n) } else { None },
        ),
        Ok(CompareTarget::Mod) => number(
            |last| last.modified,
            if let Some(TargetUnion::ModRevision(n)) = operand { Some(*n) } else { None },
        ),
        Ok(CompareTarget::Lease) => {
            number(|last| last.lease, if let Some(TargetUnion::Lease(n)) = operand { Some(*n) } else { None })
        }
        Ok(CompareTarget::Value) => {
            let Some(last) = last else { return false };
            let value = if let Some(TargetUnion::Value(value)) = operand { &value[..] } else { &[] };
            last.value[..].cmp(value)
        }
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Err(_) => true,
    }
}

#[inline]
fn same<T: PartialEq + Debug>(field: &'static str, expected: &T, found: &T) -> Result<(), Refusal> {
    if expected == found { Ok(()) } else { Err(different(field, expected, found)) }
}

#[cold]
fn different(field: &'static str, expected: &dyn Debug, found: &dyn Debug) -> Refusal {
    let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
    Refusal::Differs(Box::new(Difference { field, expected, found, keys: None }))
}
