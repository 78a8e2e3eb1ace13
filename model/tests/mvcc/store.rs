//! A store on buckets in memory, whose writes count at once.

use vertebra_model::api::{InternalRaftRequest, RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use vertebra_model::error::Error;
use vertebra_model::mvcc::{self, AnyLease, KvHash, Memory, Record, RestoreError, Restored};
use vertebra_model::response::Response;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Store {
    pub store: mvcc::Store,
    pub buckets: Memory,
}

impl Store {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn revision(&self) -> i64 {
        self.store.revision()
    }

    pub fn compact_revision(&self) -> i64 {
        self.store.compact_revision()
    }

    pub fn state_hash(&self) -> u64 {
        self.store.state_hash()
    }

    pub fn apply(&mut self, request: &InternalRaftRequest) -> Result<Response, Error> {
        let result = self.store.apply(&mut self.buckets, &mut AnyLease, request);
        self.store.publish();
        result
    }

    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.store.range(&self.buckets, request)
    }

    pub fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        self.store.read_txn(&self.buckets, request)
    }

    pub fn records(&self, main: i64) -> Vec<Record> {
        mvcc::Store::records(&self.buckets, main)
    }

    pub fn hash(&self, revision: i64) -> Result<KvHash, Error> {
        self.store.hash_by_revision(&self.buckets, revision).map(|(hash, _)| hash)
    }

    /// The store of the same buckets after a restart, and the compaction that it must carry on with.
    pub fn restored(&self) -> Result<(Self, Option<i64>), RestoreError> {
        let Restored { store, unfinished, .. } = mvcc::Store::restore(&self.buckets, self.state_hash())?;
        Ok((Self { store, buckets: self.buckets.clone() }, unfinished))
    }

    /// Schedules a compaction, and carries it out in batches of `limit`, of which it makes at most `batches`.
    pub fn compact(&mut self, main: i64, limit: usize, batches: usize) -> Result<KvHash, Error> {
        let before = self.store.schedule_compaction(&mut self.buckets, main)?;
        self.store.publish();
        let mut compaction = self.store.begin_compaction(main, before);
        for _ in 0..batches {
            if !compaction.batch(&mut self.buckets, limit) {
                compaction.set_finished(&mut self.buckets);
                break;
            }
        }
        Ok(compaction.hash())
    }
}
