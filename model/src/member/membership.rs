//! Who belongs to the cluster, as one member knows it from what it has applied.
//!
//! It follows from the log alone, so that all members have the same at the same index. Whether a change is allowed is
//! judged twice, as in etcd: when it is proposed, by what the proposer then knows, and when it is applied, by what
//! came of the changes before it. One that is not allowed when it is applied changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use crate::backend::Bucket;
use crate::cluster::{Address, Change, Listed, MemberId, machine, peer_url};
use crate::error::Error;
use crate::mvcc::{Read, Write};

/// Learners that there may be. etcd: `--max-learners`.
const LEARNERS_MAX: usize = 1;

/// The key of the configuration, as etcd has it.
const CONF_STATE: &[u8] = b"confState";

/// The members and those that were.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Membership {
    members: BTreeMap<MemberId, Description>,
    removed: BTreeSet<MemberId>,
    /// What Raft makes of it.
    conf_state: ConfState,
    /// The version that the cluster shall go down to.
    downgrade: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Description {
    address: Address,
    learner: bool,
    /// Whether it has published itself: it was started at least once.
    started: bool,
    /// Its peer URLs, where these do not follow from its address.
    urls: Vec<String>,
}

/// A member in the backend, under its identifier.
#[derive(Clone, PartialEq, Message)]
struct MemberRecord {
    #[prost(uint32, tag = "1")]
    address: u32,
    #[prost(bool, tag = "2")]
    learner: bool,
    #[prost(bool, tag = "3")]
    started: bool,
    #[prost(string, repeated, tag = "4")]
    urls: Vec<String>,
}

/// What goes with an entry that changes the configuration: etcd's `ConfigChangeContext`, for several changes.
#[derive(Clone, PartialEq, Message)]
struct Context {
    /// The identifier of the request.
    #[prost(uint64, tag = "1")]
    request: u64,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<ChangeRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct ChangeRecord {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint64, tag = "2")]
    id: u64,
    #[prost(uint32, tag = "3")]
    address: u32,
}

/// The key of the version that the cluster shall go down to. etcd: the same, with a value in JSON.
const DOWNGRADE: &[u8] = b"downgrade";

const ADD: u32 = 0;
const ADD_LEARNER: u32 = 1;
const PROMOTE: u32 = 2;
const REMOVE: u32 = 3;
const UPDATE: u32 = 4;

impl Membership {
    /// That of a cluster that begins with members on the machines 1 to `members`, none of which is started.
    pub(crate) fn initial(members: u16) -> Self {
        Self::of((1..=members).map(MemberId::from).collect())
    }

    /// That of a cluster that begins with these members, none of which is started.
    pub(crate) fn of(ids: Vec<MemberId>) -> Self {
        let description = |id| Description {
            address: machine(id).into(),
            learner: false,
            started: false,
            urls: Vec::new(),
        };
        Self {
            members: ids.iter().map(|id| (*id, description(*id))).collect(),
            removed: BTreeSet::new(),
            conf_state: ConfState::from((ids, vec![])),
            downgrade: None,
        }
    }

    /// What a backend has; `initial` while that is nothing, which is what the cluster begins with.
    ///
    /// # Errors
    ///
    /// A sentence that says what in it is no membership.
    pub(crate) fn load(tx: &impl Read, initial: impl FnOnce() -> Self) -> Result<Self, String> {
        let Some(conf_state) = tx.get(Bucket::Meta, CONF_STATE) else {
            return Ok(initial());
        };
        let conf_state = protobuf::Message::parse_from_bytes(&conf_state);
        let conf_state = conf_state.map_err(|error| format!("the configuration in the backend: {error}"))?;
        let all = |bucket| tx.range(bucket, &[0; 8], &[0xff; 9], usize::MAX);
        let id = |key: &[u8]| {
            let id = key.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            id.ok_or_else(|| "an identifier of a member in the backend is none".to_owned())
        };
        let mut members = BTreeMap::new();
        for (key, value) in all(Bucket::Members) {
            let member = MemberRecord::decode(&value[..]);
            let MemberRecord { address, learner, started, urls } =
                member.map_err(|error| format!("a member in the backend: {error}"))?;
            members.insert(id(&key)?, Description { address, learner, started, urls });
        }
        let removed = all(Bucket::MembersRemoved).iter().map(|(key, _)| id(key)).collect::<Result<_, _>>()?;
        let downgrade = tx.get(Bucket::Cluster, DOWNGRADE).filter(|version| !version.is_empty());
        let downgrade = downgrade.map(|version| String::from_utf8_lossy(&version).into_owned());
        Ok(Self { members, removed, conf_state, downgrade })
    }

    /// Writes it to a backend, as a part of the entry that is being applied.
    pub(crate) fn save(&self, tx: &mut impl Write) {
        let key = |id: &MemberId| Bytes::copy_from_slice(&id.to_be_bytes());
        for (id, Description { address, learner, started, urls }) in &self.members {
            let (address, learner, started) = (*address, *learner, *started);
            let record = MemberRecord { address, learner, started, urls: urls.clone() };
            tx.put(Bucket::Members, key(id), record.encode_to_vec().into());
        }
        for id in &self.removed {
            tx.delete(Bucket::Members, key(id));
            tx.put(Bucket::MembersRemoved, key(id), Bytes::from_static(b"removed"));
        }
        let conf_state = protobuf::Message::write_to_bytes(&self.conf_state);
        let conf_state = conf_state.expect("a configuration can be encoded");
        tx.put(Bucket::Meta, Bytes::from_static(CONF_STATE), conf_state.into());
    }

    /// Puts it in the place of what a backend has of another cluster.
    pub(crate) fn replace(&self, tx: &mut impl Write) {
        for bucket in [Bucket::Members, Bucket::MembersRemoved] {
            for (key, _) in tx.range(bucket, b"", &[0xff; 9], usize::MAX) {
                tx.delete(bucket, key);
            }
        }
        self.save(tx);
    }

    pub(crate) fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    pub(crate) fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
    }

    pub(crate) fn contains(&self, id: MemberId) -> bool {
        self.members.contains_key(&id)
    }

    /// Whether a member was removed, and is needed no more: while a joint configuration lasts, it still votes.
    pub(crate) fn is_removed(&self, id: MemberId) -> bool {
        let ConfState { voters, voters_outgoing, learners, .. } = &self.conf_state;
        let mut needed = voters.iter().chain(voters_outgoing).chain(learners);
        self.removed.contains(&id) && !needed.any(|member| *member == id)
    }

    /// Whether two sets of voters count at once.
    pub(crate) fn is_joint(&self) -> bool {
        !self.conf_state.voters_outgoing.is_empty()
    }

    pub(crate) fn is_learner(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|member| member.learner)
    }

    pub(crate) fn voters(&self) -> impl Iterator<Item = MemberId> {
        self.members.iter().filter(|(_, member)| !member.learner).map(|(id, _)| *id)
    }

    pub(crate) fn list(&self) -> Vec<Listed> {
        let listed = |(id, member): (&MemberId, &Description)| Listed {
            id: *id,
            address: member.address,
            learner: member.learner,
            started: member.started,
        };
        self.members.iter().map(listed).collect()
    }

    /// An identifier for another member on the machine, which none there ever had as far as is known here.
    pub(crate) fn next_id(&self, machine_number: u16) -> MemberId {
        let known = || self.members.keys().chain(&self.removed);
        let last = known().filter(|id| machine(**id) == machine_number).map(|id| id >> 16).max();
        // A machine on which there was none begins with the cluster's own part of the identifier.
        let none = || known().next().map_or(0, |id| id >> 32 << 16);
        (last.unwrap_or_else(none) + 1) << 16 | u64::from(machine_number)
    }

    /// A member says that it has started.
    pub(crate) fn publish(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.started = true;
        }
    }

    /// Whether the changes are allowed, one after the other.
    ///
    /// # Errors
    ///
    /// Why the first that is not allowed is not. The last voter stays, of which etcd leaves it to its strict check.
    pub(crate) fn validate(&self, changes: &[Change]) -> Result<(), Error> {
        let mut after = self.clone();
        for change in changes {
            after.validate_one(*change)?;
            after.make(*change);
        }
        match after.voters().next() {
            Some(_) => Ok(()),
            None => Err(Error::MemberNotEnoughStarted),
        }
    }

    fn validate_one(&self, change: Change) -> Result<(), Error> {
        let (Change::Add { id, .. }
        | Change::Promote { id }
        | Change::Remove { id }
        | Change::Update { id, .. }) = change;
        if self.removed.contains(&id) {
            return Err(Error::MemberNotFound);
        }
        let known = self.members.get(&id);
        let taken =
            |address| self.members.iter().any(|(other, member)| *other != id && member.address == address);
        match change {
            Change::Add { .. } if known.is_some() => Err(Error::MemberExist),
            Change::Add { address, .. } if taken(address) => Err(Error::PeerUrlExist),
            Change::Add { learner: true, .. } => {
                match self.members.values().filter(|member| member.learner).count() < LEARNERS_MAX {
                    true => Ok(()),
                    false => Err(Error::TooManyLearners),
                }
            }
            Change::Add { .. } => Ok(()),
            _ if known.is_none() => Err(Error::MemberNotFound),
            Change::Promote { .. } if !self.is_learner(id) => Err(Error::MemberNotLearner),
            Change::Update { address, .. } if taken(address) => Err(Error::PeerUrlExist),
            Change::Promote { .. } | Change::Remove { .. } | Change::Update { .. } => Ok(()),
        }
    }

    /// Makes changes that are allowed.
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        changes.iter().for_each(|change| self.make(*change));
    }

    fn make(&mut self, change: Change) {
        match change {
            Change::Add { id, address, learner } => {
                self.members.insert(id, Description { address, learner, started: false, urls: Vec::new() });
            }
            Change::Promote { id } => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.learner = false;
                }
            }
            Change::Remove { id } => {
                self.members.remove(&id);
                self.removed.insert(id);
            }
            Change::Update { id, address } => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.address = address;
                    member.urls.clear();
                }
            }
        }
    }

    /// The peer URLs of a member.
    pub(crate) fn peer_urls(&self, id: MemberId) -> Vec<String> {
        let urls = |member: &Description| match member.urls.is_empty() {
            true => vec![peer_url(member.address)],
            false => member.urls.clone(),
        };
        self.members.get(&id).map(urls).unwrap_or_default()
    }

    /// Gives a member peer URLs that do not follow from its address.
    pub(crate) fn set_peer_urls(&mut self, id: MemberId, urls: &[String]) {
        if let Some(member) = self.members.get_mut(&id) {
            member.urls = urls.to_vec();
        }
    }

    /// Whether a member other than `id` can be reached under one of these URLs.
    pub(crate) fn has_any_url(&self, urls: &[String], id: Option<MemberId>) -> bool {
        let others = self.members.keys().filter(|other| Some(**other) != id);
        others.flat_map(|other| self.peer_urls(*other)).any(|known| urls.contains(&known))
    }

    /// The version that the cluster shall go down to.
    pub(crate) fn downgrade(&self) -> Option<&str> {
        self.downgrade.as_deref()
    }

    /// Lets the cluster go down to a version, or not any more.
    pub(crate) fn set_downgrade(&mut self, tx: &mut impl Write, version: Option<String>) {
        let bytes = version.clone().unwrap_or_default();
        tx.put(Bucket::Cluster, Bytes::from_static(DOWNGRADE), bytes.into());
        self.downgrade = version;
    }

    // The strict check for reconfigurations, in etcd's words.

    /// Whether a quorum would be started if one more voter were added, or a learner promoted (which `is_started`).
    pub(crate) fn is_ready_for_another_voter(&self, is_started: bool) -> bool {
        let voters = self.members.values().filter(|member| !member.learner);
        let (mut count, mut started) = (1, usize::from(is_started));
        for member in voters {
            count += 1;
            started += usize::from(member.started);
        }
        // A member is added to a cluster of one, as when a cluster is restored.
        (!is_started && started == 1 && count == 2) || started > count / 2
    }

    /// Whether a quorum would be started if this voter were removed.
    pub(crate) fn is_ready_to_remove_voter(&self, id: MemberId) -> bool {
        let others = self.members.iter().filter(|(other, member)| !member.learner && **other != id);
        let (mut count, mut started) = (0, 0);
        for (_, member) in others {
            count += 1;
            started += usize::from(member.started);
        }
        started > count / 2
    }
}

/// Raft's form of changes that were asked for by `request`.
pub(crate) fn conf_change(request: u64, changes: &[Change]) -> ConfChangeV2 {
    let single = |change: &Change| {
        let mut single = ConfChangeSingle::new();
        let (kind, id) = match *change {
            Change::Add { id, learner: true, .. } => (ConfChangeType::AddLearnerNode, id),
            Change::Add { id, .. } | Change::Promote { id } => (ConfChangeType::AddNode, id),
            Change::Remove { id } => (ConfChangeType::RemoveNode, id),
            // Raft does not care where members are.
            Change::Update { .. } => (ConfChangeType::AddNode, 0),
        };
        (single.change_type, single.node_id) = (kind, id);
        single
    };
    let record = |change: &Change| {
        let (kind, id, address) = match *change {
            Change::Add { id, address, learner: false } => (ADD, id, address),
            Change::Add { id, address, learner: true } => (ADD_LEARNER, id, address),
            Change::Promote { id } => (PROMOTE, id, 0),
            Change::Remove { id } => (REMOVE, id, 0),
            Change::Update { id, address } => (UPDATE, id, address),
        };
        ChangeRecord { kind, id, address }
    };
    let context = Context { request, changes: changes.iter().map(record).collect() };
    let mut change = ConfChangeV2::new();
    change.transition = ConfChangeTransition::Auto;
    change.changes = changes.iter().map(single).collect();
    change.context = context.encode_to_vec().into();
    change
}

/// A change that Raft takes for none.
pub(crate) fn no_conf_change() -> ConfChangeV2 {
    conf_change(0, &[Change::Update { id: 0, address: 0 }])
}

/// Who asked for a change, and what it is; nothing when the context is none of ours.
pub(crate) fn read_context(change: &ConfChangeV2) -> Option<(u64, Vec<Change>)> {
    let Context { request, changes } = Context::decode(&change.context[..]).ok()?;
    let read = |ChangeRecord { kind, id, address }| {
        Some(match kind {
            ADD => Change::Add { id, address, learner: false },
            ADD_LEARNER => Change::Add { id, address, learner: true },
            PROMOTE => Change::Promote { id },
            REMOVE => Change::Remove { id },
            UPDATE => Change::Update { id, address },
            _ => return None,
        })
    };
    Some((request, changes.into_iter().map(read).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvcc::Memory;

    fn add(id: MemberId, learner: bool) -> Change {
        Change::Add { id, address: machine(id).into(), learner }
    }

    #[test]
    fn a_membership_is_read_back_as_it_was_written() {
        let mut membership = Membership::initial(3);
        membership.publish(2);
        membership.apply(&[add(1 << 16 | 4, true), Change::Remove { id: 3 }]);
        membership.set_conf_state(ConfState::from((vec![1, 2], vec![1 << 16 | 4])));
        let mut buckets = Memory::default();
        assert_eq!(Membership::load(&buckets, || Membership::initial(3)), Ok(Membership::initial(3)));
        Membership::initial(3).save(&mut buckets);
        membership.save(&mut buckets);
        assert_eq!(Membership::load(&buckets, || Membership::initial(3)), Ok(membership));
    }

    #[test]
    fn changes_are_read_back_from_the_context_of_their_entry() {
        let changes = vec![
            add(1 << 16 | 4, false),
            add(1 << 16 | 5, true),
            Change::Promote { id: 2 },
            Change::Remove { id: 3 },
            Change::Update { id: 1, address: 1 << 16 | 1 },
        ];
        assert_eq!(read_context(&conf_change(7, &changes)), Some((7, changes)));
        assert_eq!(
            read_context(&ConfChangeV2::new()),
            Some((0, vec![])),
            "which leaves a joint configuration"
        );
    }

    #[test]
    fn what_etcd_refuses_is_refused_with_its_error() {
        let mut membership = Membership::initial(3);
        membership.apply(&[add(1 << 16 | 4, true), Change::Remove { id: 3 }]);
        let refused = |change| membership.validate(&[change]).unwrap_err();
        assert_eq!(refused(add(1, false)), Error::MemberExist);
        assert_eq!(refused(add(1 << 16 | 1, false)), Error::PeerUrlExist);
        assert_eq!(refused(add(3, false)), Error::MemberNotFound, "an identifier is gone for ever");
        assert_eq!(refused(add(1 << 16 | 5, true)), Error::TooManyLearners);
        assert_eq!(refused(Change::Remove { id: 3 }), Error::MemberNotFound);
        assert_eq!(refused(Change::Promote { id: 1 }), Error::MemberNotLearner);
        assert_eq!(refused(Change::Promote { id: 9 }), Error::MemberNotFound);
        assert_eq!(refused(Change::Update { id: 1, address: 2 }), Error::PeerUrlExist);
        for allowed in [
            add(1 << 16 | 3, false),
            Change::Promote { id: 1 << 16 | 4 },
            Change::Remove { id: 1 },
            Change::Update { id: 1, address: 1 << 16 | 1 },
        ] {
            assert_eq!(membership.validate(&[allowed]), Ok(()), "{allowed}");
        }
    }

    #[test]
    fn who_is_removed_is_needed_as_long_as_a_joint_configuration_lasts() {
        let mut membership = Membership::initial(3);
        membership.apply(&[Change::Remove { id: 3 }]);
        assert!(!membership.is_removed(3));
        let mut joint = ConfState::from((vec![1, 2], vec![]));
        joint.voters_outgoing = vec![1, 2, 3];
        membership.set_conf_state(joint);
        assert!(membership.is_joint() && !membership.is_removed(3));
        membership.set_conf_state(ConfState::from((vec![1, 2], vec![])));
        assert!(!membership.is_joint() && membership.is_removed(3) && !membership.is_removed(2));
    }

    #[test]
    fn several_changes_are_judged_one_after_the_other() {
        let membership = Membership::initial(1);
        let (new, gone) = (add(1 << 16 | 2, false), Change::Remove { id: 1 });
        assert_eq!(membership.validate(&[new, gone]), Ok(()));
        assert_eq!(membership.validate(&[gone]), Err(Error::MemberNotEnoughStarted));
        assert_eq!(membership.validate(&[new, new]), Err(Error::MemberExist));
    }

    #[test]
    fn an_identifier_is_never_given_twice() {
        let mut membership = Membership::initial(2);
        assert_eq!((membership.next_id(3), membership.next_id(2)), (1 << 16 | 3, 1 << 16 | 2));
        membership.apply(&[
            Change::Remove { id: 2 },
            add(1 << 16 | 2, false),
            Change::Remove { id: 1 << 16 | 2 },
        ]);
        assert_eq!(membership.next_id(2), 2 << 16 | 2);
    }

    #[test]
    fn the_strict_check_wants_a_quorum_of_started_members_afterwards() {
        let with_started = |members: u16, started: &[u64]| {
            let mut membership = Membership::initial(members);
            started.iter().for_each(|id| membership.publish(*id));
            membership
        };
        assert!(with_started(1, &[1]).is_ready_for_another_voter(false));
        assert!(!with_started(2, &[1]).is_ready_for_another_voter(false));
        assert!(with_started(3, &[1, 2, 3]).is_ready_for_another_voter(false));
        assert!(!with_started(3, &[1, 2]).is_ready_for_another_voter(false));
        assert!(with_started(3, &[1, 2]).is_ready_for_another_voter(true));
        assert!(with_started(3, &[1, 2]).is_ready_to_remove_voter(3));
        assert!(!with_started(3, &[1, 2]).is_ready_to_remove_voter(1));
        assert!(!with_started(1, &[1]).is_ready_to_remove_voter(1));
    }
}
