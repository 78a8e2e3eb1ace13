//! What members tell of their backends, snapshots and files, and of reads that they confirm.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use raft::eraftpb::{Entry, Message, MessageType};
use vertebra_sim::{Instant, NodeDisk, NodeId, Violation};

use super::Observer;
use crate::cluster::{MemberId, machine};
use crate::error::Error;
use crate::member::{Kv, member_id, snapshots};
use crate::mvcc::KvHash;
use crate::mvcc::watch::Waiting;
use crate::options::Options;
use crate::oracle::liveness::{self, Liveness, Silence};
use crate::oracle::resources::{self, Files, Held};
use crate::oracle::soundness;
use crate::oracle::storage::Storage;
use crate::wal;

/// What is known of what members do by themselves.
pub(super) struct Upkeep {
    storage: Storage,
    liveness: Liveness,
    hashes: soundness::Hashes,
    /// When each member applied entries: about one for each second, the last of those that it applied in it. Before them, the
    /// snapshot that it began with.
    applied: BTreeMap<MemberId, Vec<(Duration, u64)>>,
    /// How many snapshots each member is sending, and up to where entries were applied when that last changed. Meanwhile its
    /// log is not cut.
    sending: BTreeMap<MemberId, (u32, u64)>,
    /// How many snapshots each member is receiving.
    receiving: BTreeMap<MemberId, usize>,
    /// Bytes that each member has written to its log, at most.
    logged: BTreeMap<MemberId, u64>,
    /// Bytes of what any member's backend had in use at most. A backend can be another member's.
    fullest: u64,
    /// Bytes that any member has written to its log at once, at most. A log can come from another generation of a machine.
    largest_write: u64,
    /// How often each machine's member has started. One that dies when it should begin a segment writes to the last one again.
    starts: BTreeMap<NodeId, u64>,
    /// Databases of snapshots that members left when they removed files.
    left: BTreeMap<MemberId, Vec<u64>>,
    snapshot_count: u64,
    catchup: u64,
    segment: u64,
    progress_interval: Duration,
    revoke_rate: usize,
    /// So many watches are wanted by clients, over all streams.
    watches: usize,
}

/// For so long, a snapshot may be due and not made: a disk may stand still.
const RECENT: Duration = Duration::from_secs(3);

/// What an entry's record takes besides its data, and with it the records that say what is committed.
const RECORD_BYTES: u64 = 256;

impl Upkeep {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            storage: Storage::new(),
            liveness: Liveness::new(),
            hashes: soundness::Hashes::default(),
            applied: BTreeMap::new(),
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
            logged: BTreeMap::new(),
            fullest: 0,
            largest_write: 0,
            starts: BTreeMap::new(),
            left: BTreeMap::new(),
            snapshot_count: options.snapshot_count,
            catchup: options.snapshot_catchup_entries,
            segment: options.wal_segment_bytes,
            progress_interval: options.watch.progress_interval,
            revoke_rate: options.leases.revoke_rate,
            watches: usize::from(options.watch.streams) * crate::watcher::WATCHES_MAX,
        }
    }
}

impl Observer {
    /// A member starts.
    pub(super) fn upkeep_started(&self, member: MemberId, snapshot_index: u64, kv: &Kv) {
        let committed = self.committed.borrow().len() as u64 - 1;
        let damaged = self.is_damaged(member_id(member));
        let upkeep = &mut *self.upkeep.borrow_mut();
        let due = snapshot_index + upkeep.snapshot_count;
        upkeep.liveness.started(member, kv.compactions_left(), due, self.world.now());
        upkeep.sending.remove(&member);
        upkeep.receiving.remove(&member);
        *upkeep.starts.entry(member_id(member)).or_default() += 1;
        upkeep.applied.insert(member, vec![(Duration::ZERO, snapshot_index)]);
        let (in_use, file) = kv.backend_bytes();
        // What a cluster begins with may have been larger before.
        upkeep.fullest = upkeep.fullest.max(if upkeep.fullest == 0 { file } else { in_use });
        if self.asks("storage") {
            let index = kv.visible_index();
            self.check(upkeep.storage.opened(member, (index, snapshot_index), committed, damaged));
            if let Some(revision) = kv.waiting_compaction().filter(|_| !damaged) {
                self.check(upkeep.storage.resumed(member, revision, index));
            }
        }
    }

    /// A member begins to send a snapshot, or has ended to.
    pub(crate) fn sends_snapshot(&self, member: MemberId, begins: bool) {
        let (upkeep, applied) = (&mut *self.upkeep.borrow_mut(), self.applied.get());
        let (count, since) = upkeep.sending.entry(member).or_default();
        *count = if begins { *count + 1 } else { count.saturating_sub(1) };
        *since = applied;
    }

    /// A member begins to receive a snapshot, or has ended to.
    pub(crate) fn receives_snapshot(&self, member: MemberId, begins: bool) {
        let upkeep = &mut *self.upkeep.borrow_mut();
        let count = upkeep.receiving.entry(member).or_default();
        *count = if begins { *count + 1 } else { count.saturating_sub(1) };
    }

    /// A member writes entries to its log.
    pub(super) fn upkeep_appended(&self, member: MemberId, entries: &[Entry]) {
        let bytes: u64 = entries.iter().map(|entry| entry.data.len() as u64 + RECORD_BYTES).sum();
        let upkeep = &mut *self.upkeep.borrow_mut();
        *upkeep.logged.entry(member).or_default() += bytes;
        upkeep.largest_write = upkeep.largest_write.max(bytes);
    }

    /// A member has applied an entry.
    pub(super) fn upkeep_applied(&self, member: MemberId, index: u64) {
        if !self.asks("resources") {
            return;
        }
        let (since_start, upkeep) = (self.world.now().since_start(), &mut *self.upkeep.borrow_mut());
        let applied = upkeep.applied.entry(member).or_default();
        match applied.last_mut() {
            Some((at, last)) if at.as_secs() == since_start.as_secs() => *last = index,
            _ => applied.push((since_start, index)),
        }
    }

    /// A member that has come to `index` takes up more entries.
    pub(crate) fn takes_up(&self, member: MemberId, index: u64) {
        if self.asks(liveness::NAME) {
            self.check(self.upkeep.borrow().liveness.takes_up(member, index));
        }
    }

    /// The store that came with a snapshot has taken the place of a member's own.
    pub(super) fn upkeep_installed(&self, member: MemberId, index: u64, kv: &Kv) {
        self.snapshot_made(member, index);
        let upkeep = &mut *self.upkeep.borrow_mut();
        upkeep.fullest = upkeep.fullest.max(kv.backend_bytes().0);
        upkeep.applied.insert(member, vec![(Duration::ZERO, index)]);
        upkeep.liveness.replaced(member, kv.compactions_left(), self.world.now());
        self.check(upkeep.storage.installed(member, kv.visible_index(), index));
    }

    /// What a member has written to its backend is durable, up to the changes of the entry at `index`.
    pub(crate) fn backend_committed(&self, member: MemberId, index: u64) {
        let committed = self.committed.borrow().len() as u64 - 1;
        let upkeep = &mut *self.upkeep.borrow_mut();
        if let Some(kv) = &self.members.borrow()[usize::from(machine(member)) - 1].kv {
            upkeep.fullest = upkeep.fullest.max(kv.backend_bytes().0);
        }
        self.world.check(self.ask("storage", || upkeep.storage.committed(member, index, committed)));
        self.world.check(self.ask(liveness::NAME, || upkeep.liveness.committed(member, self.world.now())));
    }

    pub(crate) fn compaction_scheduled(&self, member: MemberId) {
        self.upkeep.borrow_mut().liveness.compaction_scheduled(member, self.world.now());
    }

    /// A compaction has removed a batch of records, or there is nothing left of it to be done.
    pub(crate) fn compaction_moved(&self, member: MemberId, over: bool) {
        self.upkeep.borrow_mut().liveness.compaction_moved(member, over, self.world.now());
    }

    /// Whether no member that can be counted on has anything left to compact.
    pub(crate) fn members_have_compacted(&self) -> bool {
        let (_, configuration) = &*self.configuration.borrow();
        let liveness = &self.upkeep.borrow().liveness;
        configuration.members().filter(|id| self.expects(*id)).all(|id| liveness.has_compacted(id))
    }

    /// A member has kept the hash of what a compaction has left, or was asked for one.
    pub(crate) fn hashed(&self, member: MemberId, hash: KvHash) {
        if self.world.damages().is_empty() {
            let result = self.upkeep.borrow_mut().hashes.told(member, hash);
            self.check(result);
        }
    }

    /// A member refuses the hash at `asked`, which has come to the second of these revisions, and is compacted at the first.
    pub(crate) fn refuses_hash(&self, member: MemberId, asked: i64, has: (i64, i64), error: Error) {
        self.check(soundness::refuses(member, asked, has, error));
    }

    /// A member has this of its last compaction for others to ask for, which left what has the hash `left`.
    pub(crate) fn keeps(&self, member: MemberId, left: KvHash, kept: Option<KvHash>) {
        self.check(soundness::keeps(member, left, kept));
    }

    /// A compaction at `revision` is finished on a member, as the next commit will say.
    pub(crate) fn compaction_finished(&self, member: MemberId, revision: i64) {
        self.upkeep.borrow_mut().storage.compacted(member, revision);
    }

    /// Somebody goes on to wait for a compaction at `revision`, where all up to `finished` are over.
    pub(crate) fn waits_for_compaction(&self, member: MemberId, revision: i64, finished: i64) {
        if self.asks(liveness::NAME) {
            self.check(Liveness::waits(member, revision, finished));
        }
    }

    /// A member tells that a physical compaction at `revision` is over.
    pub(crate) fn answers_compaction(&self, member: MemberId, revision: i64) {
        if self.asks("storage") {
            self.check(self.upkeep.borrow().storage.answers(member, revision));
        }
    }

    /// A compaction at `revision` is finished on a member, and has left records of this checksum.
    pub(crate) fn compaction_left(&self, member: MemberId, revision: i64, left: u32) {
        if self.world.damages().is_empty() {
            let result = self.upkeep.borrow_mut().hashes.left(member, revision, left);
            self.check(result);
        }
    }

    /// A member has made a snapshot of what it has applied up to `index`.
    pub(crate) fn makes_snapshot(&self, member: MemberId, index: u64) {
        self.check(self.upkeep.borrow().liveness.makes_snapshot(member, index));
        self.snapshot_made(member, index);
    }

    /// A member has a snapshot of what it has applied up to `index`.
    fn snapshot_made(&self, member: MemberId, index: u64) {
        let upkeep = &mut *self.upkeep.borrow_mut();
        upkeep.liveness.snapshot_made(member, index + upkeep.snapshot_count);
    }

    /// This waits on a member until a stream of watches sends it, which has room for so many responses, and has had nothing to
    /// do since then.
    pub(crate) fn queued(&self, member: MemberId, waiting: Waiting, max: usize, idle_since: Instant) {
        self.check(resources::queued(member, waiting.count, max));
        // A process that is paused sends nothing.
        if let Some((since, healed)) = waiting.since.zip(self.healed.get())
            && since > healed
        {
            self.check(liveness::sent(member, since, idle_since, self.world.now()));
        }
    }

    /// A tick of a member's Raft passes, which waits for so many without a leader; the seed `wants` so many.
    pub(crate) fn waits_for_election(&self, member: MemberId, ticks: usize, wants: usize) {
        self.raft(|raft| raft.waits(member, ticks, wants));
    }

    /// A tick of a member's Raft passes, and it has no leader.
    pub(crate) fn ticks_alone(&self, member: MemberId) {
        self.upkeep.borrow_mut().liveness.ticked_alone(member);
    }

    /// A member has a leader.
    pub(crate) fn is_led(&self, member: MemberId) {
        self.upkeep.borrow_mut().liveness.is_led(member);
    }

    /// A stream of watches sends something, and its client requires a leader.
    pub(crate) fn sends_as_led(&self, member: MemberId, election_ticks: u16) {
        if self.asks(liveness::NAME) {
            self.check(self.upkeep.borrow().liveness.sends_as_led(member, election_ticks));
        }
    }

    /// A proposal comes to nothing: Raft drops it, or it is one of checkpoints that are not written down.
    pub(crate) fn drops_proposal(&self) {
        self.leases.borrow_mut().dropped(self.world.now());
    }

    /// A member ends itself for good, because it was removed.
    pub(crate) fn ends_as_removed(&self, member: MemberId) {
        self.raft(|raft| raft.ends(member));
    }

    /// A leader is about to revoke so many leases that it has found to have expired.
    pub(crate) fn revokes(&self, member: MemberId, count: usize) {
        if self.asks(resources::NAME) {
            self.check(resources::revoked(member, count, self.upkeep.borrow().revoke_rate));
        }
    }

    /// A stream of watches sends something: the answer to a question for the progress of all its watches, or else. Do some of
    /// them want to hear of theirs unasked?
    pub(crate) fn stream_sends(
        &self,
        silence: &Cell<Silence>,
        is_answer: bool,
        wants_progress: impl FnOnce() -> bool,
    ) {
        if self.healed.get().is_some() && self.asks(liveness::NAME) {
            let next = match is_answer && wants_progress() {
                true => silence.get().goes_on(self.upkeep.borrow().progress_interval, self.world.now()),
                false => Ok(Silence::default()),
            };
            silence.set(next.unwrap_or_else(|violation| {
                self.check(Err(violation));
                Silence::default()
            }));
        }
    }

    /// A member has removed the files that are of no more use.
    pub(crate) fn released(
        &self,
        member: MemberId,
        disk: &NodeDisk,
        newest: u64,
        applied: u64,
        listed: &[u64],
    ) {
        if self.asks("resources") {
            let (snapshots, segments) = (disk.names("snap"), disk.names("wal"));
            let left = self.upkeep.borrow_mut().left.remove(&member).unwrap_or_default();
            let files =
                Files { snapshots: &snapshots, segments: &segments, newest, listed, applied, left: &left };
            self.check(resources::released(member, &files));
            self.upkeep.borrow_mut().left.insert(member, resources::databases(&files));
        }
    }

    /// A leader begins to look for an index for a read.
    pub(crate) fn read_begun(&self, member: MemberId, term: u64, context: u64) {
        if self.asks("raft") {
            self.raft.borrow_mut().read_begun(member, term, context);
        }
    }

    /// A leader has made what it makes of a follower's refusal: it knows that so much matches, and sends `next` next.
    pub(crate) fn refused(&self, member: MemberId, follower: MemberId, matched: u64, next: u64) {
        self.raft(|raft| raft.refused(member, follower, matched, next));
    }

    /// A member tells who asked for it the index for a read.
    pub(crate) fn read_confirmed(&self, member: MemberId, context: u64) {
        self.raft(|raft| raft.read_confirmed(member, context));
    }

    /// An answer to a heartbeat may be one to a read.
    pub(super) fn read_answered(&self, member: MemberId, message: &Message) {
        if message.msg_type == MessageType::MsgHeartbeatResponse
            && self.asks("raft")
            && let Some(context) = message.context.first_chunk()
        {
            let context = u64::from_be_bytes(*context);
            self.raft.borrow_mut().read_answered(member, message.to, message.term, context);
        }
    }

    /// Looks at whether a member that has come to rest says so.
    pub(super) fn check_rest(&self, member: MemberId, kv: &Kv) -> Result<(), Violation> {
        self.upkeep.borrow().liveness.rests(member, kv.compacted_and_told())
    }

    /// Looks at what a member has that has come to rest.
    pub(super) fn check_held(&self, member: MemberId, kv: &Kv) -> Result<(), Violation> {
        let upkeep = &*self.upkeep.borrow();
        let last = self.applied.get();
        let recent = self.world.now().since_start().saturating_sub(RECENT);
        let applied = upkeep.applied.get(&member).map_or(&[][..], Vec::as_slice);
        let before = match upkeep.sending.get(&member) {
            // It is cut when the next snapshot is due.
            Some((count, since)) if *count > 0 || since + upkeep.snapshot_count >= last => 0,
            _ => applied[..applied.partition_point(|(at, _)| *at < recent)]
                .last()
                .map_or(0, |(_, index)| *index),
        };
        let (backend, commits) = kv.backend_accounts();
        let disk = kv.disk();
        let segments = wal::segment_lengths(&disk);
        let is_damaged = self.is_damaged(member_id(member));
        let full = segments.split_last().map_or(&[][..], |(_, full)| if is_damaged { &[] } else { full });
        let held = Held {
            log: self.raft.borrow().log_length(member),
            snapshot_count: upkeep.snapshot_count,
            catchup: upkeep.catchup,
            recent: last - before.min(last),
            unfinished: snapshots::unfinished(&disk),
            receiving: upkeep.receiving.get(&member).copied().unwrap_or_default(),
            watchers: kv.watchers(),
            wanted: upkeep.watches,
            disk: disk.bytes_used(),
            backend,
            commits,
            fullest: upkeep.fullest.max(kv.backend_bytes().0),
            entries: upkeep.logged.get(&member).copied().unwrap_or_default(),
            segment: upkeep.segment,
            longest_segment: segments.iter().copied().max().unwrap_or_default(),
            shortest_full: full.iter().copied().min(),
            largest_write: upkeep.largest_write,
            starts: upkeep.starts.get(&member_id(member)).copied().unwrap_or_default(),
        };
        resources::quiet(member, &held)
    }
}
