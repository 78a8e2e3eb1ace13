//! The raft loop: the only task that touches Raft and the write-ahead log.
//!
//! It takes what arrived (a tick, messages, proposals, reads), and then lets each `Ready` through in etcd's order:
//! a leader sends, then everything is written and synced, then a follower answers, then committed entries go to
//! the apply loop. While it waits for the disk, what arrives waits for it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType};
use raft::{Config, INVALID_ID, LightReady, RawNode, Ready, SnapshotStatus, StateRole};
use tokio::sync::oneshot;
use vertebra_sim::network::Socket;
use vertebra_sim::random::Moments;
use vertebra_sim::{NodeId, Ticker, sometimes};

use super::apply_loop::Batch;
use super::conf_change::Applying;
use super::log::Log;
use super::{Member, Proposal, member_id, queue, snapshots};
use crate::cluster::MemberId;
use crate::defect::Defect;
use crate::error::Error;
use crate::failpoints;
use crate::wal::Wal;
use crate::wire::{PEER_PORT, PeerMessage};

mod planted;
mod reads;
mod role;

use reads::Reader;

/// What other tasks ask of the raft loop.
pub(super) enum Input {
    /// Propose something.
    Propose(Proposal),
    /// Propose a request if this member leads in `term`: nobody else may.
    ProposeInTerm { term: u64, proposal: Proposal },
    /// Tell how much of the log a member has, and how much the leader itself; nothing if there is no such member.
    Progress { of: MemberId, answer: oneshot::Sender<Result<Option<(u64, u64)>, Error>> },
    /// Let another member lead.
    TransferLeader { to: MemberId },
    /// Find out who answers.
    Greet { number: u64, others: Vec<MemberId> },
    /// Tell a member that it was removed.
    Refuse { member: MemberId },
    /// Find an index from which a read is up to date. The context is unique to the attempt; the answer is the
    /// index. No answer means no.
    ReadIndex { context: u64, answer: oneshot::Sender<u64> },
    /// A snapshot has arrived from the leader, and its backend is in its file.
    SnapshotArrived(Box<Message>),
    /// A snapshot was sent to a follower, or could not be.
    SnapshotSent { to: u64, arrived: bool },
    /// The apply loop's snapshot is in its file.
    SnapshotSaved { index: u64, term: u64, conf_state: ConfState },
}

struct RaftLoop {
    member: Rc<Member>,
    raft: RawNode<Log>,
    log: Log,
    wal: Wal,
    socket: Socket<PeerMessage>,
    ticker: Ticker,
    apply: queue::Sender<Batch>,
    readers: BTreeMap<u64, Reader>,
    /// By follower: up to where its log matched when it refused entries from there on, and how often it has since.
    refusals: BTreeMap<MemberId, (u64, u32)>,
    next_read: u64,
    /// What the observer was last told.
    role: (u64, StateRole),
    /// The election timeout in ticks, and the term and role that it is for, and whether of a member with its store.
    election_timeout: ((u64, StateRole, bool), usize),
    /// Index of the last entry that the apply loop was given.
    handed_over: u64,
    /// Index of the snapshot with which the member started.
    began_at: u64,
    /// Changes of the configuration that the apply loop has come to.
    conf_changes: queue::Receiver<Applying>,
    /// How many of those that the apply loop was given it has not come to.
    conf_changes_pending: usize,
    /// Whence it is drawn how many messages are taken at a time.
    batches: Moments,
    farewell: Farewell,
}

/// The last heartbeats of a leader that is none any more since it was removed, and how often they are still to be sent.
#[derive(Default)]
struct Farewell {
    messages: Vec<Message>,
    times: u16,
}

pub(super) async fn run(
    member: Rc<Member>,
    log: Log,
    wal: Wal,
    mut inputs: queue::Receiver<Input>,
    apply: queue::Sender<Batch>,
    conf_changes: queue::Receiver<Applying>,
) -> Result<(), String> {
    let raft = start_raft(&member, log.clone());
    let role = (raft.raft.term, raft.raft.state);
    let socket = member.node.socket(PEER_PORT);
    let ticker = member.node.ticker(member.options.heartbeat_interval);
    // Contexts must not repeat over restarts: an acknowledgement may still be on its way.
    let next_read = u64::from(member.node.incarnation()) << 32;
    let batches = Moments::new(member.node.stream("member/raft-batch"));
    let (readers, handed_over) = (BTreeMap::new(), member.applied.get());
    let mut this = RaftLoop {
        member,
        raft,
        log,
        wal,
        socket,
        ticker,
        apply,
        readers,
        refusals: BTreeMap::new(),
        next_read,
        role,
        // Of no term.
        election_timeout: ((0, StateRole::Leader, false), 0),
        handed_over,
        began_at: handed_over,
        conf_changes,
        conf_changes_pending: 0,
        batches,
        farewell: Farewell::default(),
    };
    this.settle_election_timeout();
    loop {
        let (mut input, mut conf_change) = (None, None);
        let ticked = poll_fn(|context| {
            let ticked = this.ticker.poll_tick(context).is_ready();
            if let Poll::Ready(Some(next)) = inputs.poll_recv(context) {
                input = Some(next);
            }
            if let Poll::Ready(Some(next)) = this.conf_changes.poll_recv(context) {
                conf_change = Some(next);
            }
            if ticked
                || input.is_some()
                || conf_change.is_some()
                || this.socket.poll_ready(context).is_ready()
            {
                return Poll::Ready(ticked);
            }
            Poll::Pending
        })
        .await;
        if ticked {
            this.tell_election_timeout();
        }
        // First of all: from here on, everything is counted by the new configuration.
        while let Some(next) = conf_change.take().or_else(|| this.conf_changes.try_recv()) {
            this.apply_conf_change(next);
        }
        if ticked {
            this.say_farewell();
            if this.raft.raft.leader_id == INVALID_ID {
                this.member.observer.ticks_alone(this.member.id);
            }
        }
        if ticked && this.may_tick() {
            if this.raft.raft.state == StateRole::Leader {
                let (member, raft) = (&this.member, &this.raft.raft);
                let transfers = raft.lead_transferee.is_some();
                member.observer.ticks(member.id, raft.term, transfers, member.options.election_ticks);
            }
            this.raft.tick();
            this.role_may_have_changed();
        }
        while let Some(next) = input.take().or_else(|| inputs.try_recv()) {
            this.take_input(next).await?;
        }
        this.take_messages().await;
        this.advance_applied();
        this.ask_for_store();
        while this.raft.has_ready() {
            this.let_ready_through().await?;
        }
        this.settle_election_timeout();
        this.publish_status();
    }
}

fn start_raft(member: &Member, log: Log) -> RawNode<Log> {
    let options = &member.options;
    let election_tick = usize::from(options.election_ticks);
    let config = Config {
        id: member.id,
        election_tick,
        heartbeat_tick: 1,
        applied: member.applied.get(),
        max_size_per_msg: options.message_bytes_max,
        max_inflight_msgs: usize::from(options.messages_inflight_max),
        pre_vote: true,
        check_quorum: true,
        read_only_option: planted::read_only_option(options.defects),
        ..Config::default()
    };
    let silent = slog::Logger::root(slog::Discard, slog::o!());
    match RawNode::new(&config, log, &silent) {
        Ok(raft) => raft,
        Err(error) => panic!("options that were checked, and a log that was: {error}"),
    }
}

impl RaftLoop {
    /// Whether Raft's clock may go on. A member without a store must not stand for election: as a leader it could apply
    /// nothing, and nobody could send it a store.
    fn may_tick(&self) -> bool {
        let raft = &self.raft.raft;
        let may = self.member.is_whole() || raft.election_elapsed + 1 < raft.randomized_election_timeout();
        sometimes!(
            self.member.node,
            "a member without its store does not stand for election",
            !may,
            when = |run| run.members > 1
                && run.any_fault(&["bit-rot", "misdirected-write", "phantom-write", "sync-lie"])
        );
        may
    }

    /// Whether the store is lost, and no other has come from the leader. Once one is accepted, Raft would take another in
    /// place of what has come to the log since.
    fn lacks_store(&self) -> bool {
        !self.member.is_whole() && self.log.snapshot().0 <= self.began_at
    }

    /// Asks the leader for its store, if this member's is lost.
    fn ask_for_store(&mut self) {
        let raft = &self.raft.raft;
        if self.lacks_store() && raft.state == StateRole::Follower && raft.leader_id != 0 {
            // Raft refuses while it has nothing of the leader's in its log, and when it has been asked already.
            let _ = self.raft.request_snapshot();
        }
    }

    /// Tells Raft what is applied. A snapshot that was handed over counts: its log begins behind it, and Raft would look
    /// for entries between the two if it stood for election before the apply loop came to it.
    fn advance_applied(&mut self) {
        let (snapshot, _) = self.log.snapshot_base();
        // Raft checks that no more is applied than it said is committed, which a planted defect may not care for.
        let committed = self.raft.raft.raft_log.committed;
        self.log.set_applied(self.member.applied.get());
        self.raft.advance_apply_to(self.member.applied.get().max(snapshot).min(committed));
    }

    async fn take_input(&mut self, input: Input) -> Result<(), String> {
        match input {
            Input::Propose(proposal) => {
                // Raft would pass it on in a datagram, which may be duplicated: `peers` does that over a connection.
                // Refusals end in the proposer's timeout, as in etcd.
                let raft = &self.raft.raft;
                if raft.state == StateRole::Leader {
                    self.propose(proposal);
                } else {
                    sometimes!(
                        self.member.node,
                        "a proposal reaches a raft loop that no longer leads",
                        when = |run| run.members > 1
                    );
                    if raft.leader_id != 0 && raft.leader_id != raft.id {
                        let _ = self.member.forward.send(proposal);
                    }
                }
            }
            Input::ProposeInTerm { term, proposal } => {
                let raft = &self.raft.raft;
                if raft.state == StateRole::Leader && raft.term == term {
                    self.propose(proposal);
                }
            }
            Input::Progress { of, answer } => {
                let _ = answer.send(self.progress(of));
            }
            Input::TransferLeader { to } => self.raft.transfer_leader(to),
            Input::Greet { number, others } => {
                for other in others {
                    self.send(other, PeerMessage::Greeting { number });
                }
            }
            Input::Refuse { member } => self.send(member, PeerMessage::Removed { member }),
            Input::ReadIndex { context, answer } => self.seek_read_index(Some(context), Reader::Here(answer)),
            Input::SnapshotArrived(message) => self.step(*message),
            Input::SnapshotSent { to, arrived } => {
                sometimes!(
                    self.member.node,
                    "a snapshot does not arrive",
                    !arrived,
                    when = |run| run.members > 1
                );
                let status = if arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
                self.raft.report_snapshot(to, status);
            }
            Input::SnapshotSaved { index, term, conf_state } => {
                Box::pin(self.snapshot_saved(index, term, conf_state)).await?;
            }
        }
        Ok(())
    }

    /// Takes the messages that are here, or some of them. After a pause or a slow write there may be many; whether
    /// Raft sees them all before its next `Ready`, or acts on each, is left to chance, as it is among etcd's
    /// goroutines.
    async fn take_messages(&mut self) {
        let mut taken = 0;
        let mut batch = usize::MAX;
        while let Some((from, message)) = self.socket.try_receive() {
            self.take_message(from, message).await;
            taken += 1;
            if taken == 1 && !self.socket.is_empty() {
                batch = *self.batches.at(self.member.node.world().now()).pick(&[1, 1, 8, usize::MAX]);
            }
            if taken == batch {
                sometimes!(
                    self.member.node,
                    "messages that wait are taken in parts",
                    when = |run| run.members > 1
                );
                return self.member.node.yield_now().await;
            }
        }
    }

    async fn take_message(&mut self, from: NodeId, message: PeerMessage) {
        match message {
            // It is for who was here before.
            PeerMessage::Raft(message) if message.to != self.member.id => {}
            PeerMessage::Raft(message) if self.member.is_removed(message.from) => {
                self.send(message.from, PeerMessage::Removed { member: message.from });
            }
            // To stand for election at once.
            PeerMessage::Raft(message)
                if message.msg_type == MessageType::MsgTimeoutNow && !self.member.is_whole() => {}
            PeerMessage::Raft(message) => {
                if message.msg_type == MessageType::MsgHeartbeat
                    && self.member.node.failpoint(failpoints::RAFT_DROP_HEARTBEAT).await
                {
                    return;
                }
                self.step(*message);
            }
            PeerMessage::ReadIndex { member, .. } if self.member.is_removed(member) => {
                self.send(member, PeerMessage::Removed { member });
            }
            PeerMessage::ReadIndex { attempt, .. } => {
                self.seek_read_index(None, Reader::Peer { member: from, attempt });
            }
            PeerMessage::Greeting { number } => {
                let answer = PeerMessage::GreetingAnswer { number, member: self.member.id };
                self.socket.send(from, answer);
            }
            PeerMessage::GreetingAnswer { number, member } => {
                if let Some(answered) = self.member.greeted.borrow_mut().get_mut(&number) {
                    answered.insert(member);
                }
            }
            PeerMessage::Removed { member } => {
                if member == self.member.id {
                    Box::pin(self.member.end_as_removed()).await;
                }
            }
            PeerMessage::ReadIndexAnswer { attempt, index } => {
                if let Some(Reader::Here(answer)) = self.readers.remove(&attempt) {
                    let is_late = answer.send(index).is_err();
                    sometimes!(
                        self.member.node,
                        "a read index comes too late",
                        is_late,
                        when = |run| run.members > 1
                    );
                } else {
                    sometimes!(self.member.node, "a read index comes twice", when = |run| run.members > 1);
                }
            }
        }
    }

    fn step(&mut self, mut message: Message) {
        if !self.member.options.defects.is_empty() {
            self.misread(&mut message);
        }
        let refuses = message.msg_type == MessageType::MsgAppendResponse && message.reject;
        let from = message.from;
        self.member.observer.hears(self.member.id, from);
        if refuses && !self.weigh_refusal(&mut message) {
            return;
        }
        // Raft refuses what is not for it, such as a response from an unknown member.
        let _ = self.raft.step(message);
        if refuses && let Some(progress) = self.raft.raft.prs().get(from) {
            self.member.observer.refused(self.member.id, from, progress.matched, progress.next_idx);
        }
        self.commit_by_counting();
        self.role_may_have_changed();
    }

    /// Lets what Raft has ready through.
    async fn let_ready_through(&mut self) -> Result<(), String> {
        let mut ready = self.raft.ready();
        let member = Rc::clone(&self.member);
        let (id, node) = (member.id, &member.node);
        self.confirm_reads(&mut ready);
        if !ready.messages().is_empty() {
            node.failpoint(failpoints::RAFT_BEFORE_LEADER_SEND).await;
            self.send_all(ready.take_messages());
        }
        let installs = !ready.snapshot().is_empty();
        if installs {
            Box::pin(self.save_installed_snapshot(&ready)).await?;
            let metadata = ready.snapshot().get_metadata();
            member.observer.installed_snapshot(id, metadata);
        }
        let entries = ready.take_entries();
        member.observer.appended(id, &entries);
        self.hand_over_uncommitted(&entries);
        if let Some(hard_state) = ready.hs() {
            member.observer.committed(id, hard_state.term, hard_state.commit);
        }
        self.hand_over(ready.take_committed_entries());
        if member.options.has(Defect::AnswerBeforeSave) {
            self.send_all(ready.take_persisted_messages());
        }
        if !entries.is_empty() || ready.hs().is_some() {
            node.failpoint(failpoints::RAFT_BEFORE_SAVE).await;
            self.save(&entries, &ready).await?;
            node.failpoint(failpoints::RAFT_AFTER_SAVE).await;
        }
        if let Some(hard_state) = ready.hs() {
            self.log.set_hard_state(hard_state);
        }
        if installs {
            Box::pin(self.apply_installed_snapshot(&ready)).await?;
        }
        let synced = ready.must_sync() || installs;
        let last = raft::Storage::last_index(&self.log).unwrap_or(0);
        let replaces = entries.first().is_some_and(|first| first.index <= last);
        sometimes!(node, "entries of a deposed leader are replaced", replaces, when = |run| run.members > 1);
        sometimes!(node, "many entries are appended at once", entries.len() >= 16);
        self.log.append(entries);
        if synced {
            self.observe_durable();
        }
        // Otherwise a candidate might be voted for by members that are none any more, as etcd has it.
        while self.raft.raft.state != StateRole::Leader && self.conf_changes_pending > 0 {
            match self.conf_changes.recv().await {
                Some(next) => self.apply_conf_change(next),
                None => break,
            }
        }
        if !ready.persisted_messages().is_empty() {
            node.failpoint(failpoints::RAFT_BEFORE_FOLLOWER_SEND).await;
            self.send_all(ready.take_persisted_messages());
        }
        node.failpoint(failpoints::RAFT_BEFORE_ADVANCE).await;
        let light = self.raft.advance_append(ready);
        self.role_may_have_changed();
        if installs {
            self.advance_applied();
        }
        self.let_light_through(light).await
    }

    async fn let_light_through(&mut self, mut light: LightReady) -> Result<(), String> {
        if let Some(commit) = light.commit_index() {
            self.member.observer.committed(self.member.id, self.raft.raft.term, commit);
            self.log.set_commit(commit);
            let hard_state = self.log.hard_state().clone();
            // Nobody relies on it: a commit that is lost is learnt again.
            self.wal.save(&[], Some(&hard_state), false).await.map_err(|error| error.to_string())?;
        }
        self.send_all(light.take_messages());
        self.hand_over(light.take_committed_entries());
        Ok(())
    }

    fn observe_durable(&self) {
        let last_index = raft::Storage::last_index(&self.log).unwrap_or(0);
        let last_term = self.log.term_at(last_index).unwrap_or(0);
        // Raft may know more than the log: a commit that the backend told.
        self.member.observer.persisted(self.member.id, self.wal.hard_state(), last_index, last_term);
    }

    /// Gives committed entries to the apply loop.
    fn hand_over(&mut self, mut entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let given = entries.partition_point(|entry| entry.index <= self.handed_over);
        entries.drain(..given);
        if let Some(last) = entries.last() {
            self.handed_over = last.index;
            if self.lacks_store() {
                // There is nothing to apply them to, and the snapshot has what they do.
                return;
            }
            self.conf_changes_pending += entries.iter().filter(|entry| changes_configuration(entry)).count();
            // Whoever applies the first entry of a term must know whether this member leads in it.
            self.publish_status();
            // The apply loop ends only with the process.
            let _ = self.apply.send(Batch::Entries(entries));
        }
    }

    async fn save_installed_snapshot(&mut self, ready: &Ready) -> Result<(), String> {
        let node = &self.member.node;
        let metadata = ready.snapshot().get_metadata();
        let (index, term) = (metadata.index, metadata.term);
        node.failpoint(failpoints::RAFT_BEFORE_SAVE_SNAP).await;
        let saved = snapshots::save(node, metadata, self.member.options.skipped_syncs()).await;
        saved.map_err(|error| error.to_string())?;
        node.failpoint(failpoints::RAFT_BEFORE_WAL_SAVE_SNAPSHOT).await;
        let conf_state = metadata.get_conf_state();
        self.wal.save_snapshot(index, term, conf_state, true).await.map_err(|error| error.to_string())?;
        node.failpoint(failpoints::RAFT_AFTER_SAVE_SNAP).await;
        Ok(())
    }

    async fn apply_installed_snapshot(&mut self, ready: &Ready) -> Result<(), String> {
        let member = Rc::clone(&self.member);
        let metadata = ready.snapshot().get_metadata();
        let (index, term) = (metadata.index, metadata.term);
        member.node.failpoint(failpoints::RAFT_BEFORE_APPLY_SNAP).await;
        let (earlier, _) = self.log.snapshot_base();
        sometimes!(
            member.node,
            "a snapshot comes before the one before it is opened",
            earlier > member.applied.get(),
            when = |run| run.members > 1
        );
        self.log.install(index, term, metadata.get_conf_state().clone());
        self.handed_over = index;
        let _ = self.apply.send(Batch::Snapshot(metadata.clone()));
        member.node.failpoint(failpoints::RAFT_AFTER_APPLY_SNAP).await;
        self.release().await?;
        member.node.failpoint(failpoints::RAFT_AFTER_WAL_RELEASE).await;
        Ok(())
    }

    async fn snapshot_saved(&mut self, index: u64, term: u64, conf_state: ConfState) -> Result<(), String> {
        if index <= self.log.snapshot().0 {
            // The leader's was newer.
            sometimes!(
                self.member.node,
                "an own snapshot is older than the leader's",
                when = |run| run.members > 1
            );
            return Ok(());
        }
        let saved = self.wal.save_snapshot(index, term, &conf_state, false).await;
        saved.map_err(|error| error.to_string())?;
        let compact = match self.member.inflight_snapshots.get() {
            0 => index.saturating_sub(self.member.options.snapshot_catchup_entries),
            // A follower that is being sent a snapshot needs what comes after it next.
            _ => 0,
        };
        // Who is told to stand for election looks through what is not applied yet. What goes from the log must not be of it.
        self.advance_applied();
        if self.log.snapshot_saved(index, term, conf_state, compact) {
            self.member.observer.compacted(self.member.id, compact);
            sometimes!(self.member.node, "the log of raft is compacted");
        }
        self.release().await
    }

    /// Removes snapshot files and segments that are of no more use.
    async fn release(&mut self) -> Result<(), String> {
        let (newest, _) = self.log.snapshot();
        let disk = self.member.node.disk();
        let snapshots::Purged { oldest, listed } =
            snapshots::purge(&disk, newest).await.map_err(|error| error.to_string())?;
        let applied = self.member.applied.get();
        let released = snapshots::release_databases(&disk, self.opened_databases(newest)).await;
        released.map_err(|error| error.to_string())?;
        self.wal.release(self.stood_for(oldest)).await.map_err(|error| error.to_string())?;
        self.member.observer.released(self.member.id, &disk, newest, applied, &listed);
        Ok(())
    }

    fn send_all(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.member.observer.sends(self.member.id, &message);
            if message.msg_type == MessageType::MsgSnapshot {
                sometimes!(self.member.node, "a follower needs a snapshot", when = |run| run.members > 1);
                // It is made where it is known what is applied.
                let _ = self.apply.send(Batch::SendSnapshot(Box::new(message)));
            } else {
                self.send(message.to, PeerMessage::Raft(Box::new(message)));
            }
        }
    }

    fn send(&self, to: MemberId, message: PeerMessage) {
        debug_assert_ne!(to, self.member.id, "a member does not write to itself");
        // Who was on this machine before is not there any more.
        if !self.member.is_somewhere(to) || member_id(to) == self.member.node.id() {
            return;
        }
        let to = member_id(to);
        let message = if self.member.options.encode_messages { message.through_bytes() } else { message };
        self.socket.send(to, message);
    }

    fn propose(&mut self, proposal: Proposal) {
        match proposal {
            Proposal::Request(data) => {
                if self.raft.propose(Vec::new(), data).is_err() {
                    self.member.observer.drops_proposal();
                }
            }
            Proposal::ConfChange(data) => {
                // Raft puts an empty entry in its place if another change is under way.
                if let Ok(change) = ConfChangeV2::parse_from_bytes(&data) {
                    let _ = self.raft.propose_conf_change(Vec::new(), change);
                }
            }
        }
    }

    /// Lets Raft take a change that the apply loop has come to.
    fn apply_conf_change(&mut self, applying: Applying) {
        let Applying { index, change, answer } = applying;
        self.conf_changes_pending = self.conf_changes_pending.saturating_sub(1);
        let Some(change) = change else {
            let _ = answer.send(self.raft.raft.prs().conf().to_conf_state());
            return;
        };
        let conf_state = match self.raft.apply_conf_change(&change) {
            Ok(conf_state) => conf_state,
            Err(error) => panic!("Raft refuses the change of the configuration in entry {index}: {error}"),
        };
        self.member.observer.configured(self.member.id, index, &conf_state);
        let raft = &mut self.raft.raft;
        if raft.state == StateRole::Leader && raft.prs().get(raft.id).is_none() {
            // etcd's leaders go on until they stop. This Raft cannot commit any more when its leader is not in the
            // configuration (it panics). It tells the others what it has committed, again and again: they may not be
            // able to elect another before they know.
            raft.bcast_heartbeat();
            self.farewell = Farewell {
                messages: raft.msgs.iter().filter(|sent| is_heartbeat(sent)).cloned().collect(),
                times: self.member.options.election_ticks,
            };
            raft.become_follower(raft.term, INVALID_ID);
        }
        self.role_may_have_changed();
        let _ = answer.send(conf_state);
    }

    /// As if the network duplicated them.
    fn say_farewell(&mut self) {
        if self.farewell.times > 0 {
            self.farewell.times -= 1;
            for message in &self.farewell.messages {
                self.send(message.to, PeerMessage::Raft(Box::new(message.clone())));
            }
        }
    }

    /// How much of the log a member has, and how much this one, which must lead.
    fn progress(&self, of: MemberId) -> Result<Option<(u64, u64)>, Error> {
        let raft = &self.raft.raft;
        if raft.state != StateRole::Leader {
            return Err(Error::NotLeader);
        }
        let matched = |member| raft.prs().get(member).map(|progress| progress.matched);
        Ok(matched(of).zip(matched(self.member.id)))
    }
}

fn is_heartbeat(message: &Message) -> bool {
    message.msg_type == MessageType::MsgHeartbeat
}

/// Whether an entry changes the configuration.
pub(super) fn changes_configuration(entry: &Entry) -> bool {
    entry.entry_type != EntryType::EntryNormal
}
