//! Finds members whose data is corrupt, by their hashes, as etcd does: at the start, by the leader at intervals, and for
//! each compaction. What is found raises an alarm through Raft, after which nobody writes any more.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use prost::Message as _;
use vertebra_sim::network::Connection;
use vertebra_sim::{before, record, sometimes};

use super::raft_loop::Input;
use super::{Member, Proposal, member_id};
use crate::api::alarm_request::AlarmAction;
use crate::api::{AlarmRequest, AlarmType, InternalRaftRequest, RequestHeader};
use crate::error::Error;
use crate::maintenance::{Call, MAINTENANCE_PORT, Reply, Request, Response};
use crate::mvcc::KvHash;

/// How long a member has to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// What another member said: its hash, and its current revision.
type Told = (u64, Option<(KvHash, i64)>);

impl Member {
    /// The hashes of all other members at `revision`; nothing of those that do not answer, or are not there yet.
    async fn hashes_of_others(&self, revision: i64) -> Vec<Told> {
        let others = self.peers();
        join_all(others.into_iter().map(|id| async move {
            let told = before(self.node.sleep(PATIENCE), self.hash_of(id, revision)).await.flatten();
            (id, told)
        }))
        .await
    }

    async fn hash_of(&self, id: u64, revision: i64) -> Option<(KvHash, i64)> {
        if !self.is_somewhere(id) {
            return None;
        }
        let connected = self.node.connect(member_id(id), MAINTENANCE_PORT).await.ok();
        let connection: Connection<Call, Reply> = connected?;
        connection.send(Call(Request::HashKv { revision })).ok()?;
        match connection.receive().await.ok()?.0 {
            Ok(Response::HashKv { hash, revision }) => Some((hash, revision)),
            _ => None,
        }
    }

    /// Compares the store with those of others before it serves anybody. Whether it may go on.
    pub(super) async fn initial_check(&self) -> Result<(), String> {
        let Ok((own, _)) = self.hash_kv(0) else { return Ok(()) };
        for (id, told) in self.hashes_of_others(own.revision).await {
            if let Some((other, _)) = told
                && other.compact_revision == own.compact_revision
                && other.revision == own.revision
                && other.hash != own.hash
            {
                self.observer.found_corrupt(self.id, id);
                return Err(format!(
                    "its data differs from that of member {id} at revision {}",
                    own.revision
                ));
            }
        }
        Ok(())
    }

    /// Raises the alarm; 0 stands for nobody in particular.
    fn raise_corrupt(&self, id: u64) {
        record!(self.node, "corruption", "member {} has other data", id);
        let alarm = AlarmRequest {
            action: AlarmAction::Activate.into(),
            member_id: id,
            alarm: AlarmType::Corrupt.into(),
        };
        let header = Some(RequestHeader { id: self.next_request_id(), ..RequestHeader::default() });
        let request = InternalRaftRequest { header, alarm: Some(alarm), ..Default::default() };
        let _ = self.raft.send(Input::Propose(Proposal::Request(request.encode_to_vec())));
    }

    async fn periodic_check(&self) -> Result<(), Error> {
        let (first, _) = self.hash_kv(0)?;
        let others = self.hashes_of_others(first.revision).await;
        // From here on this store is ahead of what the others told.
        self.become_up_to_date().await?;
        let (second, revision) = self.hash_kv(0)?;
        let same_place =
            first.revision == second.revision && first.compact_revision == second.compact_revision;
        if same_place && first.hash != second.hash {
            self.raise_corrupt(self.id);
            return Ok(());
        }
        for (id, told) in others {
            sometimes!(
                self.node,
                "a member cannot be compared with the leader now",
                told.is_none(),
                when = |run| run.members > 1
            );
            let Some((other, at)) = told else { continue };
            sometimes!(
                self.node,
                "hashes are not compared over a compaction",
                other.compact_revision != first.compact_revision,
                when = |run| run.members > 1
            );
            let ahead = at > revision || other.compact_revision > second.compact_revision;
            let differs = other.compact_revision == first.compact_revision && other.hash != first.hash;
            if ahead || differs {
                self.raise_corrupt(id);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Compares the newest compaction that all members have the hash of.
    async fn compact_check(&self, checked: &mut i64) {
        for own in self.kv.compactions().hashes().into_iter().take_while(|hash| hash.revision > *checked) {
            let others = self.hashes_of_others(own.revision).await;
            let mut members = BTreeMap::from([(own.hash, vec![self.id])]);
            let mut missing = false;
            for (id, told) in &others {
                match told {
                    Some((other, _)) if other.compact_revision == own.compact_revision => {
                        members.entry(other.hash).or_default().push(*id);
                    }
                    _ => missing = true,
                }
            }
            if members.len() > 1 {
                let quorum = others.len().div_ceil(2) + 1;
                let majority = members.iter().find(|(_, ids)| ids.len() >= quorum).map(|(hash, _)| *hash);
                match majority {
                    Some(hash) => {
                        members.remove(&hash);
                        members.into_values().flatten().for_each(|id| self.raise_corrupt(id));
                    }
                    None => self.raise_corrupt(0),
                }
                return;
            }
            sometimes!(
                self.node,
                "a member lacks the hash of a compaction",
                missing,
                when = |run| run.members > 1
            );
            if !missing {
                sometimes!(
                    self.node,
                    "all members have the same hash of a compaction",
                    when = |run| run.members > 1
                );
                *checked = own.revision;
                return;
            }
        }
    }
}

/// The leader compares the current state of all members, again and again.
pub(super) async fn check_on_interval(member: Rc<Member>) {
    let interval = member.options.corruption_check_interval;
    while !interval.is_zero() {
        member.node.sleep(interval).await;
        if member.is_leader() {
            // What cannot be compared now is compared the next time.
            let _ = member.periodic_check().await;
        }
    }
}

/// The leader compares what compactions left on all members, again and again.
pub(super) async fn check_compactions_on_interval(member: Rc<Member>) {
    let interval = member.options.compact_hash_check_interval;
    let mut checked = 0;
    while !interval.is_zero() {
        member.node.sleep(interval).await;
        if member.is_leader() {
            member.compact_check(&mut checked).await;
        }
    }
}
