//! The store, and reads from it.

use crate::api::range_request::{SortOrder, SortTarget};
use crate::api::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};
use crate::defect::Defects;
use crate::error::Error;

use super::buckets::Read;
use super::index::{Index, Keys};
use super::record::{self, Record};
use super::revision::Revision;
use super::validate::sorting;
use crate::backend::Bucket;

/// The revision of a store that nothing was written to.
pub(super) const FIRST_REVISION: i64 = 1;

/// The compacted revision of a store that was never compacted.
///
/// It is not 0, and a client can tell: inside a transaction a read at revision -1 is one of the present and a read
/// at -2 is refused as compacted.
pub(super) const NEVER_COMPACTED: i64 = -1;

/// The index of a store, and how far it has come. What was written is in the backend, of which every method gets a
/// view.
///
/// A write counts when it is published: until then a reader sees the state before it. Two stores that applied the
/// same requests in the same order are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    pub(super) index: Index,
    /// What readers see.
    published: Progress,
    /// What writers have come to.
    pub(super) written: Progress,
    pub(super) defects: Defects,
}

/// How far a store has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Progress {
    pub revision: i64,
    pub compact_revision: i64,
    pub hash: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty store, at revision 1.
    #[must_use]
    pub fn new() -> Self {
        Self::restored(Index::default(), FIRST_REVISION, NEVER_COMPACTED, 0)
    }

    pub(super) fn restored(index: Index, revision: i64, compact_revision: i64, hash: u64) -> Self {
        let progress = Progress { revision, compact_revision, hash };
        Self { index, published: progress, written: progress, defects: Defects::NONE }
    }

    /// The current revision: that of the newest change, or 1.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.published.revision
    }

    /// The revision that readers will see next: that of what was written, published or not.
    #[must_use]
    pub fn written_revision(&self) -> i64 {
        self.written.revision
    }

    /// The oldest revision that can be read, or -1 if the store was never compacted.
    #[must_use]
    pub fn compact_revision(&self) -> i64 {
        self.published.compact_revision
    }

    /// For oracles: a hash of every change and every compaction that was ever applied, in order.
    ///
    /// Members at one revision must have one hash. It takes no time to read. It covers what is not published yet:
    /// the backend must keep it together with these changes.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        self.written.hash
    }

    /// Whether readers see everything that was written.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.published == self.written
    }

    /// Lets readers see what was written.
    pub fn publish(&mut self) {
        self.published = self.written;
    }

    pub(super) fn note_compaction(&mut self, main: i64) {
        self.written.compact_revision = main;
        self.written.hash = record::chain(self.written.hash, b"compaction", &main.to_le_bytes());
    }

    /// What revision `main` changed, in order; empty if there is no such revision or it is compacted away.
    #[must_use]
    pub fn records(tx: &impl Read, main: i64) -> Vec<Record> {
        let [from, to] = [main, main.saturating_add(1)].map(|main| Revision { main, sub: 0 }.to_bytes());
        let records = tx.range(Bucket::Key, &from, &to, usize::MAX);
        records.into_iter().filter_map(|(key, value)| Record::decode(&key, value)).collect()
    }

    /// Answers a read.
    ///
    /// The header bears the current revision, whichever was read.
    ///
    /// # Errors
    ///
    /// `FutureRevision` and `Compacted` for a revision that cannot be read, `InvalidSortOption`.
    pub fn range(&self, tx: &impl Read, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.range_at(tx, request, self.revision())
    }

    /// One key as it was at `revision`, or is if that is 0: what [`range`](Self::range) would find.
    ///
    /// # Errors
    ///
    /// `FutureRevision` and `Compacted`.
    pub fn get(&self, tx: &impl Read, key: &[u8], revision: i64) -> Result<Option<KeyValue>, Error> {
        let revision = self.readable(revision, self.revision())?;
        let found = self.index.get(key).and_then(|life| life.get(revision));
        Ok(found.map(|found| record::get(tx, found.modified)))
    }

    /// The revision that a read of `revision` is about, where `current` counts as the present.
    fn readable(&self, revision: i64, current: i64) -> Result<i64, Error> {
        if revision > current {
            return Err(Error::FutureRevision);
        }
        let revision = if revision <= 0 { current } else { revision };
        if revision < self.compact_revision() {
            return Err(Error::Compacted);
        }
        Ok(revision)
    }

    /// Answers a read where `current` counts as the present: the revision that a transaction is making, maybe.
    pub(super) fn range_at(
        &self,
        tx: &impl Read,
        request: &RangeRequest,
        current: i64,
    ) -> Result<RangeResponse, Error> {
        let (order, target) = sorting(request)?;
        let revision = self.readable(request.revision, current)?;
        let keys = Keys::new(&request.key, &request.range_end);
        let header = Some(ResponseHeader { revision: current, ..ResponseHeader::default() });
        if request.count_only {
            let mut count = 0;
            self.index.visit(keys, revision, |_| {
                count += 1;
                true
            });
            return Ok(RangeResponse { header, kvs: Vec::new(), more: false, count });
        }

        let limit = match usize::try_from(request.limit) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        };
        // Where the first keys are the right ones, no more than these are read, and one to know that there are
        // more. Without a sort order they count as the right ones whatever the sort target: etcd then sorts by the
        // target among those that it has read.
        let ordered_by_key =
            order == SortOrder::None || (order, target) == (SortOrder::Ascend, SortTarget::Key);
        let filter = Filter::of(request);
        let read_max = if ordered_by_key && filter.is_none() { limit.saturating_add(1) } else { usize::MAX };
        let mut kvs = match keys {
            Keys::One(_) => Vec::with_capacity(1),
            Keys::From(_) | Keys::Between(..) => Vec::new(),
        };
        let mut count = 0;
        self.index.visit(keys, revision, |found| {
            count += 1;
            let passes =
                filter.as_ref().is_none_or(|filter| filter.passes(found.modified.main, found.created));
            if passes && kvs.len() < read_max {
                kvs.push(record::get(tx, found.modified));
            }
            true
        });

        sort(&mut kvs, order, target);
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        if request.keys_only {
            for kv in &mut kvs {
                kv.value.clear();
            }
        }
        Ok(RangeResponse { header, kvs, more, count })
    }
}

/// The bounds on the revisions of the keys that a read wants; 0 is no bound.
struct Filter {
    modified_min: i64,
    modified_max: i64,
    created_min: i64,
    created_max: i64,
}

impl Filter {
    fn of(request: &RangeRequest) -> Option<Self> {
        let filter = Self {
            modified_min: request.min_mod_revision,
            modified_max: request.max_mod_revision,
            created_min: request.min_create_revision,
            created_max: request.max_create_revision,
        };
        let bounds = [filter.modified_min, filter.modified_max, filter.created_min, filter.created_max];
        (bounds != [0; 4]).then_some(filter)
    }

    fn passes(&self, modified: i64, created: i64) -> bool {
        let within = |value, min, max| (min == 0 || value >= min) && (max == 0 || value <= max);
        within(modified, self.modified_min, self.modified_max)
            && within(created, self.created_min, self.created_max)
    }
}

/// Sorts `kvs`, which are ordered by key, as etcd does.
///
/// Ties stay in the order of their keys. etcd's sort keeps that for up to twelve keys (six, if built with a Go before
/// 1.19) and promises nothing, so a client must not count on it.
fn sort(kvs: &mut [KeyValue], order: SortOrder, target: SortTarget) {
    let descending = order == SortOrder::Descend;
    if target == SortTarget::Key && !descending {
        return;
    }
    kvs.sort_by(|left, right| {
        let (left, right) = if descending { (right, left) } else { (left, right) };
        match target {
            SortTarget::Key => left.key.cmp(&right.key),
            SortTarget::Version => left.version.cmp(&right.version),
            SortTarget::Create => left.create_revision.cmp(&right.create_revision),
            SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
            SortTarget::Value => left.value.cmp(&right.value),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::buckets::Memory;
    use super::super::leases::AnyLease;
    use super::*;
    use crate::api::request_op::Request;
    use crate::api::{InternalRaftRequest, PutRequest, RequestOp, TxnRequest};

    /// Revisions 2 to 6 wrote one key; 4 is the oldest that can still be read.
    fn compacted() -> (Store, Memory) {
        let (mut store, mut buckets) = (Store::new(), Memory::default());
        for _ in 2..=6 {
            let put = PutRequest { key: "k".into(), ..PutRequest::default() };
            let request = InternalRaftRequest { put: Some(put), ..InternalRaftRequest::default() };
            store.apply(&mut buckets, &mut AnyLease, &request).unwrap();
            store.publish();
        }
        store.schedule_compaction(&mut buckets, 4).unwrap();
        store.publish();
        (store, buckets)
    }

    fn at(revision: i64) -> RangeRequest {
        RangeRequest { key: "k".into(), revision, ..RangeRequest::default() }
    }

    #[test]
    fn the_compacted_revision_can_be_read_and_those_before_it_cannot() {
        let (store, buckets) = compacted();
        assert_eq!(store.range(&buckets, &at(3)), Err(Error::Compacted));
        assert_eq!(store.range(&buckets, &at(4)).map(|response| response.kvs[0].version), Ok(3));
        for present in [0, -1, i64::MIN] {
            assert_eq!(store.range(&buckets, &at(present)).map(|response| response.kvs[0].version), Ok(5));
        }
    }

    #[test]
    fn a_negative_revision_inside_a_transaction_is_a_compacted_one() {
        let read = |(store, buckets): &(Store, Memory), revision| {
            let range = RequestOp { request: Some(Request::RequestRange(at(revision))) };
            store.read_txn(buckets, &TxnRequest { success: vec![range], ..TxnRequest::default() }).map(|_| ())
        };
        let store = compacted();
        assert_eq!((read(&store, 0), read(&store, 4)), (Ok(()), Ok(())));
        assert_eq!((read(&store, -1), read(&store, 3)), (Err(Error::Compacted), Err(Error::Compacted)));
    }

    #[test]
    fn what_is_written_is_read_when_it_is_published() {
        let (mut store, mut buckets) = compacted();
        let put = PutRequest { key: "k".into(), value: "new".into(), ..PutRequest::default() };
        let request = InternalRaftRequest { put: Some(put), ..InternalRaftRequest::default() };
        store.apply(&mut buckets, &mut AnyLease, &request).unwrap();
        store.schedule_compaction(&mut buckets, 5).unwrap();
        let seen = |store: &Store| {
            let now = store.range(&buckets, &at(0)).unwrap();
            (now.kvs[0].mod_revision, store.revision(), store.compact_revision())
        };
        assert_eq!(seen(&store), (6, 6, 4));
        store.publish();
        assert_eq!(seen(&store), (7, 7, 5));
    }
}
