//! Histories of concurrent clients of an honest store, for tests and benchmarks of what judges histories.

use bytes::Bytes;
use vertebra_sim::random::Stream;

use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::request_op::Request as Op;
use crate::api::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    RangeRequest, RequestOp, TxnRequest,
};
use crate::error::Error;
use crate::history::{History, Outcome, Request};
use crate::response::Response;
use crate::specification::Specification;

/// The result of `request` on `specification`, by the path that a server takes.
///
/// # Errors
///
/// Those of the store.
pub fn execute(specification: &mut Specification, request: &Request) -> Result<Response, Error> {
    match request {
        Request::Range(read) => specification.read(read).map(Response::Range),
        Request::Txn(txn) if request.is_read_only() => specification.read_txn(txn).map(Response::Txn),
        write => specification.apply(&write.to_proposal().unwrap_or_default()),
    }
}

/// What the clients of [`Run::simulate`] do.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// How many operations there are.
    pub operations: usize,
    /// How many clients ask, each for one thing at a time.
    pub clients: usize,
    /// How many keys they use.
    pub keys: u64,
    /// Of a million writes, how many lose their answer.
    pub unknown: u32,
    /// Of a million requests, how many are of those that a store often refuses: compactions at any revision, and puts that need
    /// their key. Others are among the rest.
    pub refused: u32,
    /// Each put has a value of its own; otherwise one of two.
    pub unique_values: bool,
    /// At the end, one more client reads everything.
    pub final_read: bool,
    /// There are leases, which expire: this one and the next. In a long run, each grant has a number of its own, and
    /// this is one that may be used now.
    pub leases: Option<i64>,
}

impl Traffic {
    /// In a short run, all that can happen is to happen soon.
    fn is_short(&self) -> bool {
        self.operations <= 20
    }
}

/// A step of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The operation with this number begins.
    Invoke(usize),
    /// It takes effect.
    Apply(usize),
    /// Its client is answered, or waits no longer.
    Return(usize),
    /// A lease expires.
    Expire(i64),
}

impl Step {
    /// The operation of the step; none has the number that is given for a step without one.
    #[must_use]
    pub fn operation(self) -> usize {
        match self {
            Self::Invoke(operation) | Self::Apply(operation) | Self::Return(operation) => operation,
            Self::Expire(_) => usize::MAX,
        }
    }
}

/// A run as a list of steps, which a test can disturb before it makes a history of them.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Each with the session that asked, and what it was told.
    pub operations: Vec<(u32, Request, Outcome)>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

enum Client {
    Idle,
    Waiting(usize),
    Answered(usize),
}

impl Run {
    /// An honest store with concurrent clients, some of whom lose answers.
    #[must_use]
    pub fn simulate(stream: &mut Stream, traffic: Traffic) -> Self {
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
                    let _ = execute(&mut specification, &revocation(id));
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
                        [.., last] if !traffic.is_short() => *stream.pick(&[live[live.len() / 2], last]),
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

    /// Lets the first read that is answered after `begin` steps come `by` steps after that answer, which stays as it was: as a
    /// rule, others have seen more by then.
    ///
    /// # Panics
    ///
    /// If no read is answered there.
    pub fn delay_a_read(&mut self, begin: usize, by: usize) {
        let is_answer = |step: &&Step| {
            let Step::Return(number) = **step else { return false };
            let (_, request, outcome) = &self.operations[number];
            matches!(outcome, Outcome::Ok(_)) && request.is_read_only() && !request.is_serializable()
        };
        let answer = self.steps.iter().skip(begin).position(|step| is_answer(&step)).expect("a read");
        let read = self.steps[begin + answer].operation();
        let later = self.steps.split_off((begin + answer + by + 1).min(self.steps.len()));
        let (late, mut steps): (Vec<Step>, Vec<Step>) =
            std::mem::take(&mut self.steps).into_iter().partition(|step| step.operation() == read);
        steps.extend(late);
        steps.extend(later);
        self.steps = steps;
    }

    /// What the clients saw.
    #[must_use]
    pub fn into_history(self) -> History {
        let mut history = History::new();
        let mut operations: Vec<_> = self.operations.into_iter().map(|one| (Some(one), None)).collect();
        for step in self.steps {
            let (Step::Invoke(number) | Step::Return(number)) = step else { continue };
            match &mut operations[number] {
                (Some((session, request, _)), id @ None) => {
                    *id = Some(history.invoke(*session, request.clone()))
                }
                (operation, Some(id)) => {
                    history.returned(*id, operation.take().map_or(Outcome::Unknown, |(.., outcome)| outcome));
                }
                (None, None) => {}
            }
        }
        history
    }
}

fn revocation(id: i64) -> Request {
    Request::LeaseRevoke(LeaseRevokeRequest { id })
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
        let id = *stream.pick(&[first, first, first + 1]);
        let granted = if traffic.is_short() { id } else { 1_000 + 10 * serial as i64 };
        return if stream.chance(700_000) {
            Request::LeaseGrant(LeaseGrantRequest { id: granted, ttl: 5 })
        } else {
            revocation(id)
        };
    }
    if traffic.refused > 0 && stream.chance(traffic.refused) {
        if stream.chance(500_000) {
            let revision = stream.between(0, revision as u64 + 2) as i64;
            return Request::Compact(CompactionRequest { revision, physical: false });
        }
        let key = key(stream.below(traffic.keys));
        return Request::Put(PutRequest { key, ignore_value: true, ..PutRequest::default() });
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
        // A few of many, and in a short run at least some.
        70..80 if traffic.is_short() || stream.chance(200_000) => {
            let oldest = if traffic.is_short() { 0 } else { (revision - 9).max(0) };
            let revision = stream.between(oldest as u64, revision as u64 + 2) as i64;
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
