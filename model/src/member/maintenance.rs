//! Serves maintenance: hashes and defragmentation.

use std::rc::Rc;

use bytes::Bytes;
use vertebra_sim::network::Connection;
use vertebra_sim::{record, sometimes};

use super::Member;
use crate::backend::DefragmentError;
use crate::error::Error;
use crate::maintenance::{Call, MAINTENANCE_PORT, Reply, Request, Response};
use crate::mvcc::KvHash;

pub(super) async fn listen(member: Rc<Member>) {
    let listener = member.node.listen(MAINTENANCE_PORT);
    loop {
        let connection = listener.accept().await;
        let member = Rc::clone(&member);
        let node = member.node.clone();
        node.spawn(async move { serve(&member, connection).await });
    }
}

async fn serve(member: &Member, connection: Connection<Reply, Call>) {
    while let Ok(Call(request)) = connection.receive().await {
        let result = match request {
            Request::HashKv { revision } => {
                member.hash_kv(revision).map(|(hash, revision)| Response::HashKv { hash, revision })
            }
            Request::Defragment => member.defragment().await.map(|()| Response::Defragmented),
            Request::Snapshot => Ok(Response::Snapshot(member.save_snapshot().await)),
        };
        if connection.send(Reply(result)).is_err() {
            return;
        }
    }
}

/// What a timer on the machine does: it has the member defragmented again and again.
pub(super) async fn defragment_on_interval(member: Rc<Member>) {
    let interval = member.options.defragment_interval;
    if interval.is_zero() {
        return;
    }
    loop {
        member.node.sleep(interval).await;
        let _ = member.defragment().await;
    }
}

impl Member {
    /// The hash at `revision`, or now if that is 0, and the current revision. That of a compaction is kept from when it
    /// was carried out.
    pub(super) fn hash_kv(&self, revision: i64) -> Result<(KvHash, i64), Error> {
        // A compaction at 0 leaves a hash as well; etcd takes that for the current one.
        let (hash, current) = match self.kv.compactions().hash(revision).filter(|_| revision > 0) {
            Some(hash) => (hash, self.kv.revision()),
            None => self.kv.read(|store, tx| {
                let told = store.hash_by_revision(tx, revision);
                told.inspect_err(|error| {
                    let has = (store.compact_revision(), store.revision());
                    self.observer.refuses_hash(self.id, revision, has, *error);
                })
            })?,
        };
        self.observer.hashed(self.id, hash);
        Ok((hash, current))
    }

    /// The backend as it is, which nobody may put another file in the place of meanwhile.
    pub(super) async fn save_snapshot(&self) -> Bytes {
        let _file = self.backend_file.lock().await;
        match self.kv.backend().snapshot().await {
            Ok(database) => database,
            Err(error) => self.node.exit(&error.to_string()).await,
        }
    }

    /// Defragments the backend, while entries go on being applied. Nobody may put another file in its place meanwhile
    /// (etcd-io/etcd#20271).
    pub(super) async fn defragment(&self) -> Result<(), Error> {
        sometimes!(
            self.node,
            "a defragmentation waits for a snapshot to be installed",
            self.backend_file.try_lock().is_err(),
            when = |run| run.members > 1
        );
        let _file = self.backend_file.lock().await;
        let before = self.kv.backend().size();
        match self.kv.backend().defragment().await {
            Ok(()) => {
                let after = self.kv.backend().size();
                record!(self.node, "member", "defragmented: {} bytes of {}", after, before);
                Ok(())
            }
            // The old file is in service as before.
            Err(DefragmentError::NotDone(_)) => Err(Error::NoSpace),
            Err(error @ DefragmentError::Fatal(_)) => self.node.exit(&error.to_string()).await,
        }
    }
}
