//! The limit: one hand-written loop over a heap of events, without tasks, trace, virtual disks or oracles.
//!
//! Everything else is what the members and clients of the model do: the same configuration of Raft, election timeouts
//! from the seed, an append before its sync and an acknowledgement after it, the log encoded record by record,
//! proposals encoded and decoded by every member, reads confirmed by the leader for all that wait at a time,
//! proposals passed on by followers, requests drawn from the same streams.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use prost::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState, Message, Snapshot};
use raft::{
    Config, GetEntriesContext, LightReady, RaftState, RawNode, Ready, StateRole, Storage, StorageError,
};
use vertebra_model::api::{InternalRaftRequest, RequestHeader, ResponseHeader};
use vertebra_model::history::Request;
use vertebra_model::mvcc::{self, AnyLease, Memory, Store, validate};
use vertebra_model::wal::Encoder;
use vertebra_model::{Error, Options, Requests, Response};
use vertebra_sim::NodeId;
use vertebra_sim::random::{Stream, Streams, split_mix};
use vertebra_sim::schedule::{Link as LinkProfile, Schedule};

use crate::Work;

const READ_RETRY: u64 = 500_000_000;
const RETRANSMISSION: u64 = 200_000_000;

/// Runs `schedule` to its end; there is nothing to heal.
pub fn run(schedule: &Schedule<Options>) -> Work {
    let mut cluster = Cluster::new(schedule);
    let end = nanos(schedule.duration);
    while let Some(event) = cluster.queue.pop(end) {
        cluster.happen(event);
    }
    let wal_bytes: usize = cluster.members.iter().map(|member| member.wal_bytes.len()).sum();
    assert!(wal_bytes > 0, "the members wrote nothing");
    cluster.work
}

type Result<T> = std::result::Result<T, Error>;

enum Event {
    Tick(usize),
    Datagram(Box<(usize, usize, Datagram)>),
    Synced(usize),
    Forwarded(usize, Vec<u8>),
    ReadRetry(usize, u64),
    Think(usize),
    Request(Box<(usize, Asked, Request)>),
    Reply(Box<(Asked, Result<Response>)>),
    Timeout(Asked),
}

enum Datagram {
    Raft(Message),
    ReadIndex { attempt: u64 },
    ReadIndexAnswer { attempt: u64, index: u64 },
}

/// A client, and which of its requests.
#[derive(Clone, Copy, PartialEq)]
struct Asked {
    client: usize,
    number: u64,
}

#[derive(Default)]
struct Queue {
    now: u64,
    sequence: u64,
    heap: BinaryHeap<Reverse<Due>>,
}

struct Due {
    at: u64,
    sequence: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl Queue {
    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.heap.push(Reverse(Due { at: self.now + delay, sequence: self.sequence, event }));
    }

    fn pop(&mut self, end: u64) -> Option<Event> {
        let Reverse(Due { at, event, .. }) = self.heap.pop()?;
        self.now = at;
        (at <= end).then_some(event)
    }
}

struct Link {
    profile: LinkProfile,
    stream: Stream,
    arrives_after: u64,
}

impl Link {
    fn latency(&mut self) -> u64 {
        self.stream.between(nanos(self.profile.latency_min), nanos(self.profile.latency_max))
    }

    fn is_lost(&mut self) -> bool {
        self.profile.loss_ppm > 0 && self.stream.chance(self.profile.loss_ppm)
    }

    /// How long something takes that arrives for certain, and after what was sent before.
    fn ordered(&mut self, now: u64) -> u64 {
        let mut latency = self.latency();
        for attempt in 0..6 {
            if !self.is_lost() {
                break;
            }
            latency += RETRANSMISSION << attempt;
        }
        self.arrives_after = self.arrives_after.max(now + latency);
        self.arrives_after - now
    }
}

/// For whom a read index is sought.
enum Reader {
    Here,
    Peer(usize, u64),
}

struct Member {
    raft: RawNode<Log>,
    encoder: Encoder,
    wal_bytes: Vec<u8>,
    syncs: Stream,
    store: Store,
    buckets: Memory,
    applied: u64,
    next_request: u64,
    ticked: bool,
    /// Its loop runs, and comes by the inbox again.
    steps: bool,
    /// What arrived while the log was synced.
    inbox: VecDeque<Input>,
    syncing: Option<Box<(Ready, Vec<Entry>)>>,
    /// Who waits for the result of a proposal, by its identifier.
    waiting: BTreeMap<u64, Asked>,
    leaderless: Vec<Vec<u8>>,
    readers: BTreeMap<u64, Reader>,
    next_read: u64,
    /// The attempt under way for the reads that share an index, and those that wait for the next one.
    attempt: Option<u64>,
    reading: Vec<(Asked, Request)>,
    reads: Vec<(Asked, Request)>,
    /// The index that `reading` waits for.
    read_at: Option<u64>,
}

enum Input {
    Datagram(usize, Datagram),
    Propose(Vec<u8>),
    ReadIndex,
}

struct Client {
    requests: Requests,
    endpoints: Vec<usize>,
    endpoint: usize,
    number: u64,
    /// Whether request `number` is under way.
    waits: bool,
}

struct Cluster {
    queue: Queue,
    links: Vec<Link>,
    members: Vec<Member>,
    clients: Vec<Client>,
    schedule: Schedule<Options>,
    work: Work,
}

impl Cluster {
    fn new(schedule: &Schedule<Options>) -> Self {
        let streams = Streams::new(schedule.seed);
        let options = &schedule.options;
        let (members, clients) = (usize::from(options.members), usize::from(options.clients));
        let nodes = members + clients;
        let link = |index: usize| Link {
            profile: match index / nodes < members && index % nodes < members {
                true => schedule.network.peers,
                false => schedule.network.clients,
            },
            stream: streams.stream("network/link", index as u64),
            arrives_after: 0,
        };
        let mut queue = Queue::default();
        for member in 0..members {
            queue.after(nanos(options.heartbeat_interval), Event::Tick(member));
        }
        let mut cluster = Self {
            queue,
            links: (0..nodes * nodes).map(link).collect(),
            members: (0..members).map(|index| Member::new(index, options, &streams)).collect(),
            clients: (0..clients).map(|index| Client::new(index, members, options, &streams)).collect(),
            schedule: schedule.clone(),
            work: Work::default(),
        };
        (0..clients).for_each(|client| cluster.think(client));
        cluster
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick(member) => {
                let interval = nanos(self.schedule.options.heartbeat_interval);
                self.queue.after(interval, Event::Tick(member));
                self.members[member].ticked = true;
                self.step(member);
            }
            Event::Datagram(datagram) => {
                let (from, to, datagram) = *datagram;
                self.take(to, Input::Datagram(from, datagram));
            }
            Event::Synced(member) => self.synced(member),
            Event::Forwarded(member, data) => self.take(member, Input::Propose(data)),
            Event::ReadRetry(member, attempt) => {
                let this = &self.members[member];
                if this.attempt == Some(attempt) && this.read_at.is_none() {
                    self.take(member, Input::ReadIndex);
                }
            }
            Event::Think(client) => self.invoke(client),
            Event::Request(request) => {
                let (member, asked, request) = *request;
                self.serve(member, asked, request);
            }
            Event::Reply(reply) => {
                let (asked, result) = *reply;
                let client = &mut self.clients[asked.client];
                if client.waits && client.number == asked.number {
                    client.waits = false;
                    if let Ok(response) = result {
                        client.requests.learn(response);
                    }
                    self.think(asked.client);
                }
            }
            Event::Timeout(asked) => {
                let client = &mut self.clients[asked.client];
                if client.waits && client.number == asked.number {
                    client.waits = false;
                    client.endpoint = (client.endpoint + 1) % client.endpoints.len();
                    self.think(asked.client);
                }
            }
        }
    }

    // Clients.

    fn think(&mut self, client: usize) {
        let rest = nanos(self.clients[client].requests.think_time());
        self.queue.after(rest, Event::Think(client));
    }

    fn invoke(&mut self, index: usize) {
        self.work.operations += 1;
        let client = &mut self.clients[index];
        client.number += 1;
        client.waits = true;
        let (asked, member) =
            (Asked { client: index, number: client.number }, client.endpoints[client.endpoint]);
        let request = client.requests.draw();
        self.queue.after(nanos(self.schedule.options.traffic.request_timeout), Event::Timeout(asked));
        let now = self.queue.now;
        let delay = self.link(self.members.len() + index, member).ordered(now);
        self.queue.after(delay, Event::Request(Box::new((member, asked, request))));
    }

    // Members, towards clients.

    fn serve(&mut self, member: usize, asked: Asked, request: Request) {
        let proposal = match request {
            Request::Range(read) => match validate::range(&read) {
                Ok(()) => return self.read(member, asked, Request::Range(read)),
                Err(error) => Err(error),
            },
            Request::Txn(txn) => match validate::txn(&txn, validate::TXN_OPS_MAX) {
                Ok(()) if mvcc::is_read_only(&txn) => return self.read(member, asked, Request::Txn(txn)),
                Ok(()) => Ok(InternalRaftRequest { txn: Some(txn), ..Default::default() }),
                Err(error) => Err(error),
            },
            Request::Put(put) => {
                validate::put(&put).map(|()| InternalRaftRequest { put: Some(put), ..Default::default() })
            }
            Request::DeleteRange(delete) => validate::delete_range(&delete)
                .map(|()| InternalRaftRequest { delete_range: Some(delete), ..Default::default() }),
            _ => unreachable!("the options have none"),
        };
        let mut proposal = match proposal {
            Ok(proposal) => proposal,
            Err(error) => return self.reply(member, asked, Err(error)),
        };
        let this = &mut self.members[member];
        this.next_request += 1;
        let id = (member as u64 + 1) << 48 | this.next_request;
        proposal.header = Some(RequestHeader { id, ..RequestHeader::default() });
        this.waiting.insert(id, asked);
        self.propose(member, proposal.encode_to_vec());
    }

    fn propose(&mut self, member: usize, data: Vec<u8>) {
        match self.members[member].raft.raft.leader_id as usize {
            0 => self.members[member].leaderless.push(data),
            leader if leader - 1 == member => self.take(member, Input::Propose(data)),
            leader => {
                let now = self.queue.now;
                let delay = self.link(member, leader - 1).ordered(now);
                self.queue.after(delay, Event::Forwarded(leader - 1, data));
            }
        }
    }

    fn read(&mut self, member: usize, asked: Asked, request: Request) {
        if request.is_serializable() {
            return self.answer_read(member, asked, &request);
        }
        let this = &mut self.members[member];
        this.reads.push((asked, request));
        if this.attempt.is_none() {
            self.begin_reading(member);
        }
    }

    fn begin_reading(&mut self, member: usize) {
        let this = &mut self.members[member];
        this.reading = std::mem::take(&mut this.reads);
        this.attempt = None;
        this.read_at = None;
        if !this.reading.is_empty() {
            this.attempt = Some(0);
            self.take(member, Input::ReadIndex);
        }
    }

    fn answer_read(&mut self, member: usize, asked: Asked, request: &Request) {
        let Member { store, buckets, .. } = &self.members[member];
        let result = match request {
            Request::Range(read) => store.range(buckets, read).map(Response::Range),
            Request::Txn(txn) => store.read_txn(buckets, txn).map(Response::Txn),
            _ => unreachable!("a write"),
        };
        self.reply(member, asked, result);
    }

    fn reply(&mut self, member: usize, asked: Asked, mut result: Result<Response>) {
        if let Ok(response) = &mut result {
            let header = response.header_mut();
            let revision = header.map_or(0, |header| header.revision);
            let raft_term = self.members[member].raft.raft.term;
            *header =
                Some(ResponseHeader { cluster_id: 1, member_id: member as u64 + 1, revision, raft_term });
        }
        let now = self.queue.now;
        let delay = self.link(member, self.members.len() + asked.client).ordered(now);
        self.queue.after(delay, Event::Reply(Box::new((asked, result))));
    }

    // Members, towards each other.

    fn take(&mut self, member: usize, input: Input) {
        self.members[member].inbox.push_back(input);
        self.step(member);
    }

    /// What a member's raft loop does when it wakes.
    fn step(&mut self, member: usize) {
        if self.members[member].syncing.is_some() || std::mem::replace(&mut self.members[member].steps, true)
        {
            return;
        }
        if std::mem::take(&mut self.members[member].ticked) {
            self.members[member].raft.tick();
        }
        loop {
            while let Some(input) = self.members[member].inbox.pop_front() {
                self.take_input(member, input);
            }
            self.let_through(member);
            let this = &self.members[member];
            if this.inbox.is_empty() || this.syncing.is_some() {
                break;
            }
        }
        self.members[member].steps = false;
    }

    /// What it does when its log is synced.
    fn synced(&mut self, member: usize) {
        if let Some(saved) = self.members[member].syncing.take() {
            let (ready, entries) = *saved;
            self.members[member].steps = true;
            self.saved(member, ready, entries);
            self.members[member].steps = false;
        }
        self.step(member);
    }

    fn take_input(&mut self, member: usize, input: Input) {
        match input {
            Input::Datagram(_, Datagram::Raft(message)) => {
                // What Raft refuses is not for it.
                let _ = self.members[member].raft.step(message);
            }
            Input::Datagram(from, Datagram::ReadIndex { attempt }) => {
                self.seek_read_index(member, Reader::Peer(from, attempt));
            }
            Input::Datagram(_, Datagram::ReadIndexAnswer { attempt, index }) => {
                self.read_index_found(member, attempt, index);
            }
            Input::Propose(data) => {
                let raft = &mut self.members[member].raft;
                if raft.raft.state == StateRole::Leader {
                    let _ = raft.propose(Vec::new(), data);
                }
            }
            Input::ReadIndex => self.seek_read_index(member, Reader::Here),
        }
    }

    fn seek_read_index(&mut self, member: usize, reader: Reader) {
        let this = &mut self.members[member];
        this.next_read += 1;
        let attempt = this.next_read;
        let here = matches!(reader, Reader::Here);
        if here {
            this.attempt = Some(attempt);
            self.queue.after(READ_RETRY, Event::ReadRetry(member, attempt));
        }
        if this.raft.raft.state == StateRole::Leader {
            this.raft.read_index(attempt.to_be_bytes().to_vec());
            this.readers.insert(attempt, reader);
        } else if here && this.raft.raft.leader_id > 0 {
            let leader = this.raft.raft.leader_id as usize - 1;
            this.readers.insert(attempt, reader);
            self.send(member, leader, Datagram::ReadIndex { attempt });
        }
    }

    fn read_index_found(&mut self, member: usize, attempt: u64, index: u64) {
        let this = &mut self.members[member];
        match this.readers.remove(&attempt) {
            Some(Reader::Here) if this.attempt == Some(attempt) => {
                this.read_at = Some(index);
                self.answer_reads(member);
            }
            Some(Reader::Peer(peer, attempt)) => {
                self.send(member, peer, Datagram::ReadIndexAnswer { attempt, index });
            }
            Some(Reader::Here) | None => {}
        }
    }

    fn answer_reads(&mut self, member: usize) {
        let this = &mut self.members[member];
        if this.read_at.is_some_and(|index| this.applied >= index) {
            for (asked, request) in std::mem::take(&mut this.reading) {
                self.answer_read(member, asked, &request);
            }
            self.begin_reading(member);
        }
    }

    fn let_through(&mut self, member: usize) {
        let this = &mut self.members[member];
        let committed = this.raft.raft.raft_log.committed;
        this.raft.advance_apply_to(this.applied.min(committed));
        while self.members[member].syncing.is_none() && self.members[member].raft.has_ready() {
            let mut ready = self.members[member].raft.ready();
            for read in ready.take_read_states() {
                if let Some(context) = read.request_ctx.first_chunk() {
                    self.read_index_found(member, u64::from_be_bytes(*context), read.index);
                }
            }
            self.send_all(member, ready.take_messages());
            let entries = ready.take_entries();
            self.apply(member, ready.take_committed_entries());
            self.members[member].save(&entries, ready.hs());
            if ready.must_sync() {
                let latency = self.members[member].sync_latency(&self.schedule);
                self.queue.after(latency, Event::Synced(member));
                self.members[member].syncing = Some(Box::new((ready, entries)));
            } else {
                self.saved(member, ready, entries);
            }
        }
        let this = &mut self.members[member];
        this.settle_election_timeout(self.schedule.seed, &self.schedule.options);
        if this.raft.raft.leader_id > 0 {
            for data in std::mem::take(&mut this.leaderless) {
                self.propose(member, data);
            }
        }
    }

    fn saved(&mut self, member: usize, mut ready: Ready, entries: Vec<Entry>) {
        let log = self.members[member].raft.mut_store();
        if let Some(hard_state) = ready.hs() {
            log.hard_state = hard_state.clone();
        }
        log.append(entries);
        self.send_all(member, ready.take_persisted_messages());
        let light = self.members[member].raft.advance_append(ready);
        self.let_light_through(member, light);
    }

    fn let_light_through(&mut self, member: usize, mut light: LightReady) {
        if let Some(commit) = light.commit_index() {
            let this = &mut self.members[member];
            this.raft.mut_store().hard_state.commit = commit;
            let hard_state = this.raft.store().hard_state.clone();
            this.save(&[], Some(&hard_state));
        }
        self.send_all(member, light.take_messages());
        self.apply(member, light.take_committed_entries());
    }

    fn apply(&mut self, member: usize, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        for entry in entries {
            let this = &mut self.members[member];
            this.applied = entry.index;
            if entry.data.is_empty() {
                continue;
            }
            let request = InternalRaftRequest::decode(&entry.data[..]).expect("what was encoded");
            let result = this.store.apply(&mut this.buckets, &mut AnyLease, &request);
            this.store.publish();
            if let Some(asked) = this.waiting.remove(&request.header.as_ref().map_or(0, |header| header.id)) {
                self.reply(member, asked, result);
            }
        }
        self.answer_reads(member);
    }

    fn send_all(&mut self, member: usize, messages: Vec<Message>) {
        for message in messages {
            self.send(member, message.to as usize - 1, Datagram::Raft(message));
        }
    }

    fn send(&mut self, from: usize, to: usize, datagram: Datagram) {
        self.work.datagrams += 1;
        let link = self.link(from, to);
        if !link.is_lost() {
            let latency = link.latency();
            self.queue.after(latency, Event::Datagram(Box::new((from, to, datagram))));
        }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let nodes = self.members.len() + self.clients.len();
        &mut self.links[from * nodes + to]
    }
}

impl Client {
    fn new(index: usize, members: usize, options: &Options, streams: &Streams) -> Self {
        let number = index as u16 + 1;
        let stream = streams.stream("workload", ((members + index) as u64) << 32 | 1);
        let requests = Requests::new(NodeId::Client(number), options.traffic.clone(), stream);
        // As the model's clients choose theirs.
        let preferred = usize::from(number) % members;
        let count = if number % 4 == 1 { members } else { 1 };
        let endpoints = (0..count).map(|offset| (preferred + offset) % members).collect();
        Self { requests, endpoints, endpoint: 0, number: 0, waits: false }
    }
}

impl Member {
    fn new(index: usize, options: &Options, streams: &Streams) -> Self {
        let config = Config {
            id: index as u64 + 1,
            election_tick: usize::from(options.election_ticks),
            heartbeat_tick: 1,
            max_size_per_msg: options.message_bytes_max,
            max_inflight_msgs: usize::from(options.messages_inflight_max),
            pre_vote: true,
            check_quorum: true,
            ..Config::default()
        };
        let voters = (1..=u64::from(options.members)).collect();
        let log = Log { hard_state: HardState::default(), voters, entries: Vec::new() };
        let silent = slog::Logger::root(slog::Discard, slog::o!());
        let raft = RawNode::new(&config, log, &silent).expect("options that make sense");
        let mut member = Self {
            raft,
            encoder: Encoder::new(0),
            wal_bytes: Vec::new(),
            syncs: streams.stream("disk/latency", index as u64),
            store: Store::new(),
            buckets: Memory::default(),
            applied: 0,
            next_request: 0,
            ticked: false,
            steps: false,
            inbox: VecDeque::new(),
            syncing: None,
            waiting: BTreeMap::new(),
            leaderless: Vec::new(),
            readers: BTreeMap::new(),
            next_read: 0,
            attempt: None,
            reading: Vec::new(),
            reads: Vec::new(),
            read_at: None,
        };
        member.settle_election_timeout(streams.seed(), options);
        member
    }

    fn save(&mut self, entries: &[Entry], hard_state: Option<&HardState>) {
        for entry in entries {
            self.encoder.put_entry(entry);
        }
        if let Some(hard_state) = hard_state {
            self.encoder.put_hard_state(hard_state);
        }
        self.wal_bytes.extend_from_slice(self.encoder.bytes());
        self.encoder.clear();
    }

    fn sync_latency(&mut self, schedule: &Schedule<Options>) -> u64 {
        nanos(self.syncs.duration(schedule.disk.sync_latency_min, schedule.disk.sync_latency_max))
    }

    fn settle_election_timeout(&mut self, seed: u64, options: &Options) {
        let ticks = usize::from(options.election_ticks);
        let raft = &mut self.raft.raft;
        let hash = split_mix(seed ^ split_mix(raft.id ^ split_mix(raft.term ^ split_mix(raft.state as u64))));
        let timeout = ticks + (hash % ticks as u64) as usize;
        if raft.randomized_election_timeout() != timeout {
            raft.set_randomized_election_timeout(timeout);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// The log that Raft reads.
struct Log {
    hard_state: HardState,
    voters: Vec<u64>,
    /// From index 1.
    entries: Vec<Entry>,
}

impl Log {
    fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        self.entries.truncate(first.index as usize - 1);
        self.entries.extend(entries);
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), ConfState::from((self.voters.clone(), vec![]))))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let mut entries = self.entries[low as usize - 1..high as usize - 1].to_vec();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match index.checked_sub(1) {
            None => Ok(0),
            Some(place) => self
                .entries
                .get(place as usize)
                .map(|entry| entry.term)
                .ok_or_else(|| StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.entries.len() as u64)
    }

    fn snapshot(&self, _: u64, _: u64) -> raft::Result<Snapshot> {
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}
