//! Histories for the tests of the oracles: made by hand, and by an honest store with concurrent clients.

use bytes::Bytes;
use vertebra_sim::random::Stream;

use super::linearizable_log::{LogEntry, Witness};
use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::request_op::Request as Op;
use crate::api::{
    CompactionRequest, Compare, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RangeRequest, RequestHeader, RequestOp, TxnRequest,
};
use crate::error::Error;
use crate::history::{History, OperationId, Outcome, Request};
use crate::response::Response;
use crate::specification::Specification;

pub(crate) fn get(key: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), ..Default::default() }
}

pub(crate) fn put(key: &'static str, value: &'static str) -> Request {
    Request::Put(PutRequest { key: key.into(), value: value.into(), ..Default::default() })
}

pub(crate) fn delete(key: &'static str, range_end: &'static str) -> Request {
    Request::DeleteRange(DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false })
}

pub(crate) fn grant(id: i64) -> Request {
    Request::LeaseGrant(LeaseGrantRequest { id, ttl: 5 })
}

pub(crate) fn revoke(id: i64) -> Request {
    Request::LeaseRevoke(LeaseRevokeRequest { id })
}

pub(crate) fn put_with(key: &'static str, value: &'static str, lease: i64) -> Request {
    Request::Put(PutRequest { key: key.into(), value: value.into(), lease, ..Default::default() })
}

/// The result of `request` on `specification`, by the path that a server takes.
pub(crate) fn execute(specification: &mut Specification, request: &Request) -> Result<Response, Error> {
    match request {
        Request::Range(read) => specification.read(read).map(Response::Range),
        Request::Txn(txn) if request.is_read_only() => specification.read_txn(txn).map(Response::Txn),
        write => specification.apply(&write.to_proposal().unwrap_or_default()),
    }
}

/// A store, its log, and a history that is written down step by step.
pub(crate) struct Script {
    pub(crate) history: History,
    pub(crate) witness: Witness,
    pub(crate) specification: Specification,
    index: u64,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            history: History::new(),
            witness: Witness::new(),
            specification: Specification::with_leases(0),
            index: 0,
        }
    }

    pub(crate) fn invoke(&mut self, session: u32, request: Request) -> OperationId {
        let id = self.history.invoke(session, request);
        if !self.history[id].request.is_read_only() {
            self.witness.proposed(id, 100 + id.index() as u64);
        }
        id
    }

    /// The operation takes effect: in the log if it is a write, on the present state if not.
    pub(crate) fn apply(&mut self, id: OperationId) -> Outcome {
        let request = self.history[id].request.clone();
        match request.to_proposal().filter(|_| !request.is_read_only()) {
            Some(proposal) => {
                self.index += 1;
                let header = Some(RequestHeader { id: 100 + id.index() as u64, ..RequestHeader::default() });
                let request = InternalRaftRequest { header, ..proposal };
                let committed = self.history.clock();
                self.witness.committed(LogEntry { index: self.index, request, committed });
            }
            None => self.witness.served(id, self.index),
        }
        match execute(&mut self.specification, &request) {
            Ok(reply) => Outcome::Ok(reply),
            Err(error) => Outcome::Failed(error),
        }
    }

    /// The leader finds that a lease has expired, and revokes it.
    pub(crate) fn expire(&mut self, id: i64) {
        self.index += 1;
        let proposal = 1_000_000 + self.index;
        self.witness.proposed_by_leader(proposal);
        let request = InternalRaftRequest {
            header: Some(RequestHeader { id: proposal, ..RequestHeader::default() }),
            lease_revoke: Some(LeaseRevokeRequest { id }),
            ..Default::default()
        };
        let _ = self.specification.apply(&request);
        let committed = self.history.clock();
        self.witness.committed(LogEntry { index: self.index, request, committed });
    }

    /// A whole operation, from invocation to return.
    pub(crate) fn write(&mut self, session: u32, request: Request) {
        let id = self.invoke(session, request);
        let outcome = self.apply(id);
        self.history.returned(id, outcome);
    }

    /// What the store would answer now, without any effect.
    pub(crate) fn reply_of(&self, request: &Request) -> Response {
        execute(&mut self.specification.clone(), request).expect("a request that succeeds")
    }

    /// What the store answers or refuses, outside the history.
    pub(crate) fn outcome(&mut self, request: &Request) -> Outcome {
        match execute(&mut self.specification, request) {
            Ok(reply) => Outcome::Ok(reply),
            Err(error) => Outcome::Failed(error),
        }
    }

    /// What the store answers, outside the history.
    pub(crate) fn execute(&mut self, request: &Request) -> Response {
        execute(&mut self.specification, request).expect("a request that succeeds")
    }
}

/// What the clients of [`Run::simulate`] do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) operations: usize,
    pub(crate) clients: usize,
    pub(crate) keys: u64,
    /// Of a million writes, how many lose their answer.
    pub(crate) unknown: u32,
    /// Each put has a value of its own; otherwise one of two.
    pub(crate) unique_values: bool,
    /// At the end, one more client reads everything.
    pub(crate) final_read: bool,
    /// There are leases, which expire: this one and the next. In a long run, each grant has a number of its own, and
    /// this is one that may be used now.
    pub(crate) leases: Option<i64>,
}

/// A step of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Invoke(usize),
    Apply(usize),
    Return(usize),
    /// A lease expires.
    Expire(i64),
}

impl Step {
    /// The operation of the step; none has the number that is given for a step without one.
    pub(crate) fn operation(self) -> usize {
        match self {
            Self::Invoke(operation) | Self::Apply(operation) | Self::Return(operation) => operation,
            Self::Expire(_) => usize::MAX,
        }
    }
}

/// A run as a list of steps, which a test can disturb before it makes a history of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) operations: Vec<(u32, Request, Outcome)>,
    pub(crate) steps: Vec<Step>,
}

enum Client {
    Idle,
    Waiting(usize),
    Answered(usize),
}

impl Run {
    /// An honest store with concurrent clients, some of whom lose answers.
    pub(crate) fn simulate(stream: &mut Stream, traffic: Traffic) -> Self {
        let mut run = Self::default();
        let mut specification = Specification::with_leases(0);
        let mut clients: Vec<(u32, Client)> = (0..traffic.clients).map(|_| (0, Client::Idle)).collect();
        let mut sessions = 0;
        for client in &mut clients {
            client.0 = sessions;
            sessions += 1;
        }
        // Writes whose clients gave up before they took effect.
        let mut adrift: Vec<usize> = Vec::new();
        loop {
            if !adrift.is_empty() && stream.chance(150_000) {
                let operation = adrift.swap_remove(stream.below(adrift.len() as u64) as usize);
                if stream.chance(500_000) {
                    run.steps.push(Step::Apply(operation));
                    let _ = execute(&mut specification, &run.operations[operation].1);
                }
            }
            if traffic.leases.is_some() && stream.chance(60_000) {
                let leases: Vec<_> = specification.leases().collect();
                if !leases.is_empty() {
                    let id = *stream.pick(&leases);
                    run.steps.push(Step::Expire(id));
                    let _ = execute(&mut specification, &revoke(id));
                }
            }
            let busy = clients.iter().any(|(_, client)| !matches!(client, Client::Idle));
            if run.operations.len() >= traffic.operations && !busy {
                break;
            }
            let place = stream.below(traffic.clients as u64) as usize;
            let (session, client) = &mut clients[place];
            match *client {
                Client::Idle if run.operations.len() >= traffic.operations => {}
                Client::Idle => {
                    let operation = run.operations.len();
                    let live: Vec<_> = specification.leases().collect();
                    let leases = traffic.leases.map(|first| match live[..] {
                        [.., last] if traffic.operations > 20 => *stream.pick(&[live[live.len() / 2], last]),
                        _ => first,
                    });
                    let traffic = Traffic { leases, ..traffic };
                    let request = request(stream, traffic, specification.revision(), operation);
                    run.operations.push((*session, request, Outcome::Unknown));
                    run.steps.push(Step::Invoke(operation));
                    *client = Client::Waiting(operation);
                }
                Client::Waiting(operation) => {
                    let unknown = stream.chance(traffic.unknown);
                    if unknown && stream.chance(600_000) {
                        adrift.push(operation);
                    } else {
                        run.steps.push(Step::Apply(operation));
                        let outcome = match execute(&mut specification, &run.operations[operation].1) {
                            Ok(reply) => Outcome::Ok(reply),
                            Err(error) => Outcome::Failed(error),
                        };
                        if !unknown {
                            run.operations[operation].2 = outcome;
                        }
                    }
                    *client = Client::Answered(operation);
                }
                Client::Answered(operation) => {
                    run.steps.push(Step::Return(operation));
                    if run.operations[operation].2 == Outcome::Unknown {
                        *session = sessions;
                        sessions += 1;
                    }
                    *client = Client::Idle;
                }
            }
        }
        if traffic.final_read {
            let read = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
            let reply = specification.read(&read).expect("a read of the present");
            let operation = run.operations.len();
            run.operations.push((sessions, Request::Range(read), Outcome::Ok(Response::Range(reply))));
            run.steps.extend([Step::Invoke(operation), Step::Apply(operation), Step::Return(operation)]);
        }
        run
    }

    /// The history of the clients, and what the log tells about it.
    pub(crate) fn record(&self) -> (History, Witness) {
        let mut script = Script::new();
        let mut ids = vec![None; self.operations.len()];
        for step in &self.steps {
            if let Step::Expire(id) = step {
                script.expire(*id);
                continue;
            }
            let (session, request, outcome) = &self.operations[step.operation()];
            let id = &mut ids[step.operation()];
            match (step, *id) {
                (Step::Invoke(_), None) => *id = Some(script.invoke(*session, request.clone())),
                (Step::Apply(_), Some(id)) => drop(script.apply(id)),
                (Step::Return(_), Some(id)) => script.history.returned(id, outcome.clone()),
                (step, id) => unreachable!("{step:?} of {id:?}"),
            }
        }
        (script.history, script.witness)
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("k{number}"))
}

/// A request that a server lets pass.
fn request(stream: &mut Stream, traffic: Traffic, revision: i64, serial: usize) -> Request {
    let value = |stream: &mut Stream| {
        if traffic.unique_values {
            Bytes::from(format!("v{serial}"))
        } else {
            Bytes::from(format!("w{}", stream.below(2)))
        }
    };
    if let Some(first) = traffic.leases
        && stream.chance(200_000)
    {
        let is_long = traffic.operations > 20;
        let id = *stream.pick(&[first, first, first + 1]);
        let granted = if is_long { 1_000 + 10 * serial as i64 } else { id };
        return if stream.chance(700_000) { grant(granted) } else { revoke(id) };
    }
    match stream.below(100) {
        0..35 => {
            let key = key(stream.below(traffic.keys));
            Request::Put(put_of(stream, traffic, key, value))
        }
        35..48 => {
            let delete = delete_of(stream, traffic);
            Request::DeleteRange(delete)
        }
        48..70 => Request::Range(range_of(stream, traffic, revision)),
        70..72 => {
            let revision = (revision + 2 - stream.below(12) as i64).max(0);
            Request::Compact(CompactionRequest { revision, physical: false })
        }
        _ => {
            let mut keys: Vec<u64> = (0..traffic.keys).collect();
            stream.shuffle(&mut keys);
            let (depth, overlaps) = (2, stream.chance(200_000));
            Request::Txn(txn_of(stream, traffic, revision, &keys, depth, overlaps, &value))
        }
    }
}

fn put_of(
    stream: &mut Stream,
    traffic: Traffic,
    key: Bytes,
    value: impl Fn(&mut Stream) -> Bytes,
) -> PutRequest {
    let ignore_value = stream.chance(80_000);
    let ignore_lease = stream.chance(30_000);
    let lease = match traffic.leases.filter(|_| !ignore_lease) {
        Some(first) => *stream.pick(&[0, 0, first, first, first + 1]),
        None => 0,
    };
    PutRequest {
        key,
        value: if ignore_value { Bytes::new() } else { value(stream) },
        lease,
        prev_kv: stream.chance(250_000),
        ignore_value,
        ignore_lease,
    }
}

fn delete_of(stream: &mut Stream, traffic: Traffic) -> DeleteRangeRequest {
    let first = stream.below(traffic.keys);
    let range_end = match stream.below(6) {
        0 => Bytes::from_static(b"\0"),
        1 => key(stream.between(0, traffic.keys)),
        _ => Bytes::new(),
    };
    DeleteRangeRequest { key: key(first), range_end, prev_kv: stream.chance(300_000) }
}

fn range_of(stream: &mut Stream, traffic: Traffic, revision: i64) -> RangeRequest {
    let range_end = match stream.below(4) {
        0 => Bytes::from_static(b"\0"),
        1 => key(stream.between(0, traffic.keys)),
        _ => Bytes::new(),
    };
    let mut read = RangeRequest { key: key(stream.below(traffic.keys)), range_end, ..Default::default() };
    if stream.chance(150_000) {
        read.revision = stream.between(1, revision as u64 + 1) as i64;
    }
    if stream.chance(200_000) {
        read.limit = stream.between(1, 3) as i64;
    }
    read.keys_only = stream.chance(100_000);
    read.count_only = stream.chance(100_000);
    if stream.chance(100_000) {
        (read.sort_order, read.sort_target) = (stream.below(3) as i32, stream.below(5) as i32);
    }
    if stream.chance(50_000) {
        read.min_mod_revision = stream.below(revision as u64 + 1) as i64;
        read.max_create_revision = stream.below(revision as u64 + 1) as i64;
    }
    read
}

/// A transaction that puts no key twice: each put takes its own from `keys`. Where it `overlaps`, it may delete what it
/// puts: etcd means to refuse that, and overlooks some cases.
fn txn_of(
    stream: &mut Stream,
    traffic: Traffic,
    revision: i64,
    keys: &[u64],
    depth: u64,
    overlaps: bool,
    value: &impl Fn(&mut Stream) -> Bytes,
) -> TxnRequest {
    let compares = stream.below(3);
    let compare = (0..compares).map(|_| compare_of(stream, traffic, revision)).collect();
    let branch = |stream: &mut Stream| {
        let mut rest = keys;
        let mut ops = Vec::new();
        for _ in 0..stream.below(3) {
            let op = match (stream.below(8), rest) {
                (0..4, [first, others @ ..]) => {
                    rest = others;
                    let put = put_of(stream, traffic, key(*first), value);
                    // A key whose value is kept must be there, which is looked at before all that is done.
                    let keeps = !overlaps && put.ignore_value;
                    let ignore_lease = !overlaps && put.ignore_lease;
                    Op::RequestPut(PutRequest { ignore_value: keeps, ignore_lease, ..put })
                }
                (4, _) if overlaps => Op::RequestDeleteRange(delete_of(stream, traffic)),
                (4, [first, others @ ..]) => {
                    rest = others;
                    let prev_kv = stream.chance(500_000);
                    Op::RequestDeleteRange(DeleteRangeRequest {
                        key: key(*first),
                        range_end: Bytes::new(),
                        prev_kv,
                    })
                }
                (5, [_, _, ..]) if depth > 0 => {
                    let (inner, others) = rest.split_at(rest.len() / 2);
                    rest = others;
                    Op::RequestTxn(txn_of(stream, traffic, revision, inner, depth - 1, overlaps, value))
                }
                _ => Op::RequestRange(range_of(stream, traffic, revision)),
            };
            ops.push(RequestOp { request: Some(op) });
        }
        ops
    };
    let success = branch(stream);
    let failure = branch(stream);
    TxnRequest { compare, success, failure }
}

fn compare_of(stream: &mut Stream, traffic: Traffic, revision: i64) -> Compare {
    let number = stream.between(0, revision as u64) as i64;
    let target = *stream.pick(&[
        CompareTarget::Version,
        CompareTarget::Create,
        CompareTarget::Mod,
        CompareTarget::Mod,
        CompareTarget::Value,
        CompareTarget::Lease,
    ]);
    let operand = match target {
        CompareTarget::Version => TargetUnion::Version(stream.below(3) as i64),
        CompareTarget::Create => TargetUnion::CreateRevision(number),
        CompareTarget::Mod => TargetUnion::ModRevision(number),
        CompareTarget::Value => TargetUnion::Value(Bytes::from(format!("w{}", stream.below(2)))),
        CompareTarget::Lease => TargetUnion::Lease(7 * i64::from(stream.chance(500_000))),
    };
    let result = *stream.pick(&[
        CompareResult::Equal,
        CompareResult::Equal,
        CompareResult::Greater,
        CompareResult::Less,
        CompareResult::NotEqual,
    ]);
    let range_end = if stream.chance(150_000) { Bytes::from_static(b"\0") } else { Bytes::new() };
    Compare {
        result: result as i32,
        target: target as i32,
        key: key(stream.below(traffic.keys)),
        target_union: Some(operand),
        range_end,
    }
}
