//! The oracle against all orders of small histories, and its speed on large ones.

use vertebra_sim::random::{Stream, Streams};

use super::explain::{explain, remembered};
use super::general::{self, tells};
use super::{Conclusion, check};
use crate::api::response_op::Response as OpReply;
use crate::api::{KeyValue, RangeResponse, TxnResponse};
use crate::error::Error;
use crate::history::{History, Operation, OperationId, Outcome, Request};
use crate::honest::{Run, Step, Traffic, execute};
use crate::oracle::linearizable_log;
use crate::oracle::testing::revoke;
use crate::response::Response;
use crate::specification::Specification;

/// Whether some order of the operations explains `history`: tries them all.
fn linearizable_by_force(history: &History) -> bool {
    let operations: Vec<&Operation> = history.operations().iter().filter(|one| tells(one)).collect();
    extend(&operations, 0, &Specification::with_leases(0))
}

/// Whether the operations that are not in `done` can follow a state.
fn extend(operations: &[&Operation], done: u32, state: &Specification) -> bool {
    let open = || operations.iter().enumerate().filter(|(number, _)| done & (1 << number) == 0);
    let first_end = open().map(|(_, operation)| operation.ended()).min().unwrap_or(u64::MAX);
    if open().all(|(_, operation)| operation.outcome == Outcome::Unknown) {
        return true;
    }
    open().any(|(number, operation)| {
        if operation.invoked > first_end {
            return false;
        }
        let mut next = state.clone();
        let result = execute(&mut next, &operation.request);
        let fits = match (&operation.outcome, &result) {
            (Outcome::Ok(found), Ok(expected)) => linearizable_log::difference(expected, found).is_none(),
            (Outcome::Failed(found), Err(expected)) => found == expected,
            (Outcome::Unknown, _) => next != *state,
            _ => false,
        };
        fits && extend(operations, done | (1 << number), &next)
    }) || state.leases().any(|id| {
        let mut next = state.clone();
        execute(&mut next, &revoke(id)).is_ok() && extend(operations, done, &next)
    })
}

/// Makes something of `run` that did not happen, as a rule.
fn disturb(stream: &mut Stream, run: &mut Run) {
    for _ in 0..stream.between(1, 3) {
        let operation = stream.below(run.operations.len() as u64) as usize;
        match stream.below(8) {
            0..4 => {
                let place = stream.below(run.steps.len() as u64 - 1) as usize;
                for place in place..(place + 1 + stream.below(4) as usize).min(run.steps.len() - 1) {
                    if run.steps[place].operation() != run.steps[place + 1].operation() {
                        run.steps.swap(place, place + 1);
                    }
                }
            }
            4 => {
                let (_, request, outcome) = &mut run.operations[operation];
                *outcome = match outcome {
                    Outcome::Ok(_) => Outcome::Unknown,
                    _ => Outcome::Failed(*stream.pick(refusals(request))),
                };
            }
            _ => {
                if let Outcome::Ok(reply) = &mut run.operations[operation].2 {
                    falsify(stream, reply);
                }
            }
        }
    }
}

/// The errors that a request can get from an honest store.
fn refusals(request: &Request) -> &'static [Error] {
    match request {
        Request::Range(_) | Request::Compact(_) => &[Error::FutureRevision, Error::Compacted],
        Request::Put(_) => &[Error::KeyNotFound, Error::LeaseNotFound],
        Request::LeaseGrant(_) => &[Error::LeaseExists],
        Request::LeaseRevoke(_) => &[Error::LeaseNotFound],
        _ => &[Error::KeyNotFound, Error::FutureRevision, Error::Compacted, Error::LeaseNotFound],
    }
}

fn falsify(stream: &mut Stream, reply: &mut Response) {
    let shift = |stream: &mut Stream| if stream.chance(500_000) { 1 } else { -1 };
    if stream.chance(300_000) {
        reply.header_mut().as_mut().expect("every reply has a header").revision += shift(stream);
        return;
    }
    match reply {
        Response::Range(reply) => falsify_range(stream, reply),
        Response::Put(reply) => match &mut reply.prev_kv {
            Some(kv) => falsify_key(stream, kv),
            None => reply.prev_kv = Some(KeyValue { key: "k0".into(), ..KeyValue::default() }),
        },
        Response::DeleteRange(reply) => match reply.prev_kvs.first_mut() {
            Some(kv) => falsify_key(stream, kv),
            None => reply.deleted = (reply.deleted + shift(stream)).max(0),
        },
        Response::Txn(reply) => falsify_txn(stream, reply),
        other => other.header_mut().as_mut().expect("every reply has a header").revision += shift(stream),
    }
}

fn falsify_txn(stream: &mut Stream, reply: &mut TxnResponse) {
    if reply.responses.is_empty() || stream.chance(200_000) {
        reply.succeeded ^= true;
        return;
    }
    let number = stream.below(reply.responses.len() as u64) as usize;
    match &mut reply.responses[number].response {
        Some(OpReply::ResponseRange(reply)) => falsify_range(stream, reply),
        Some(OpReply::ResponsePut(reply)) => {
            if let Some(header) = &mut reply.header {
                header.revision += 1;
            }
        }
        Some(OpReply::ResponseDeleteRange(reply)) => reply.deleted ^= 1,
        Some(OpReply::ResponseTxn(reply)) => falsify_txn(stream, reply),
        None => {}
    }
}

fn falsify_range(stream: &mut Stream, reply: &mut RangeResponse) {
    match (stream.below(4), reply.kvs.is_empty()) {
        (0, _) => reply.more ^= true,
        (1, _) | (_, true) => reply.count += 1,
        (2, _) => {
            reply.kvs.pop();
            reply.count -= 1;
        }
        (_, false) => {
            let number = stream.below(reply.kvs.len() as u64) as usize;
            falsify_key(stream, &mut reply.kvs[number]);
        }
    }
}

fn falsify_key(stream: &mut Stream, kv: &mut KeyValue) {
    let shift = if stream.chance(500_000) { 1 } else { -1 };
    match stream.below(5) {
        0 => kv.mod_revision += shift,
        1 => kv.create_revision += shift,
        2 => kv.version += shift,
        3 => kv.lease = 7 - kv.lease,
        _ => kv.value = format!("w{}", stream.below(2)).into(),
    }
}

/// How many histories of each sort there were.
#[derive(Default, Debug)]
struct Counted {
    illegal: u64,
    unknown: u64,
    leases: u64,
    expiries: u64,
    compactions: u64,
    refusals: u64,
    past_reads: u64,
    idle_deletes: u64,
    proved_by_log: u64,
}

impl Counted {
    fn count(&mut self, run: &Run, is_legal: bool, is_proved: bool) {
        let has = |test: &dyn Fn(&Request, &Outcome) -> bool| {
            u64::from(run.operations.iter().any(|(_, request, outcome)| test(request, outcome)))
        };
        self.illegal += u64::from(!is_legal);
        self.proved_by_log += u64::from(is_proved);
        self.unknown += has(&|_, outcome| *outcome == Outcome::Unknown);
        self.leases += has(&|request, _| matches!(request, Request::LeaseGrant(_)));
        self.expiries += u64::from(run.steps.iter().any(|step| matches!(step, Step::Expire(_))));
        self.compactions += has(&|request, _| matches!(request, Request::Compact(_)));
        self.refusals += has(&|_, outcome| matches!(outcome, Outcome::Failed(_)));
        self.past_reads += has(&|request, _| matches!(request, Request::Range(read) if read.revision > 0));
        self.idle_deletes += has(
            &|_, outcome| matches!(outcome, Outcome::Ok(Response::DeleteRange(reply)) if reply.deleted == 0),
        );
    }
}

/// A number that whoever starts the test may set.
#[expect(clippy::disallowed_methods, reason = "how long to search is for whoever starts the test to say")]
fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |number| number.parse().unwrap())
}

/// Three opinions on many small histories: by revisions, by the general search, and by trying all orders. And the log, where
/// it proves one.
#[test]
fn three_ways_to_judge_a_history_agree() {
    let histories = asked("VERTEBRA_FUZZ_HISTORIES", 20_000);
    let streams = Streams::new(asked("VERTEBRA_FUZZ_SEED", 1));
    let first = asked("VERTEBRA_FUZZ_FIRST", 0);
    let mut counted = Counted::default();
    for number in first..first + histories {
        let mut stream = streams.stream("oracle/fuzz", number);
        let traffic = Traffic {
            operations: stream.between(2, 8) as usize,
            clients: stream.between(1, 4) as usize,
            keys: stream.between(1, 3),
            unknown: *stream.pick(&[0, 200_000, 500_000]),
            refused: if stream.chance(300_000) { 600_000 } else { 0 },
            unique_values: stream.chance(400_000),
            final_read: stream.chance(500_000),
            leases: stream.chance(600_000).then_some(7),
        };
        let mut run = Run::simulate(&mut stream, traffic);
        let honest = stream.chance(300_000);
        if !honest {
            disturb(&mut stream, &mut run);
        }
        let (history, witness) = run.record();
        let white = linearizable_log::check(&history, &witness);
        let black = check(&history);
        let expected = linearizable_by_force(&history);
        let found = match &black {
            Ok(Conclusion::Linearizable) => Some(true),
            Ok(Conclusion::Undecided { .. }) => None,
            Err(_) => Some(false),
        };
        assert_eq!(found, Some(expected), "history {number}: {black:?}\n{}", listing(&history));
        let general = general::is_linearizable(&history);
        assert_eq!(general, expected, "history {number}, by the general search\n{}", listing(&history));
        assert!(!honest || expected, "history {number} is honest:\n{}", listing(&history));
        assert!(!honest || white.is_ok(), "history {number} is honest: {white:?}\n{}", listing(&history));
        assert_eq!(crate::oracle::compare(&white, &black), None, "history {number}\n{}", listing(&history));
        counted.count(&run, expected, white.is_ok());
        if (number + 1) % 1_000_000 == 0 {
            println!("{} histories: {counted:?}", number + 1);
        }
    }
    println!("{histories} histories: {counted:?}");
    let Counted { illegal, unknown, leases, compactions, refusals, past_reads, idle_deletes, .. } = counted;
    if histories < 1_000 {
        return;
    }
    assert!(illegal * 10 >= histories && illegal * 10 <= histories * 9, "{illegal} are illegal");
    for count in [unknown, leases, compactions, refusals, past_reads, idle_deletes, counted.expiries] {
        assert!(count * 50 >= histories, "{counted:?}");
    }
}

#[test]
fn of_what_contradicts_each_other_nothing_can_be_left_out() {
    let streams = Streams::new(1);
    let mut sizes = [0; 9];
    for number in 0..if cfg!(debug_assertions) { 2_000 } else { 50_000 } {
        let mut stream = streams.stream("oracle/explanations", number);
        let traffic = Traffic {
            operations: stream.between(3, 8) as usize,
            clients: stream.between(1, 4) as usize,
            keys: stream.between(1, 2),
            unknown: *stream.pick(&[0, 200_000]),
            refused: 0,
            unique_values: stream.chance(400_000),
            final_read: stream.chance(500_000),
            leases: stream.chance(500_000).then_some(7),
        };
        let mut run = Run::simulate(&mut stream, traffic);
        disturb(&mut stream, &mut run);
        let history = run.into_history();
        let Some(why) = explain(&history) else {
            assert!(linearizable_by_force(&history), "history {number}\n{}", listing(&history));
            continue;
        };
        let told = || format!("history {number}: {why:?}\n{}", listing(&history));
        assert!(linearizable_by_force(&history.until(why.before)), "{}", told());
        let known = history.until(why.before + 1);
        assert!(!linearizable_by_force(&known), "{}", told());
        let is_legal_with =
            |kept: &[OperationId]| linearizable_by_force(&remembered(&known, kept, why.refused, None));
        assert!(why.contradiction.contains(&why.refused), "{}", told());
        let others: Vec<_> = why.contradiction.iter().copied().filter(|id| *id != why.refused).collect();
        assert!(!is_legal_with(&others), "{}", told());
        for left_out in &others {
            let fewer: Vec<_> = others.iter().copied().filter(|id| id != left_out).collect();
            assert!(is_legal_with(&fewer), "without {left_out:?}, {}", told());
        }
        if traffic.leases.is_none() {
            assert!(is_explained(&history, why.before as u64, &why.order), "{}", told());
        }
        sizes[why.contradiction.len().min(8)] += 1;
    }
    println!("by their size, so many contradictions: {sizes:?}");
    assert!(sizes[1] > 0 && sizes[2] > 0 && sizes[3] > 0, "{sizes:?}");
}

/// Whether all reads and writes of keys that had succeeded before a time are in an order, and are right in it.
fn is_explained(history: &History, end: u64, order: &[OperationId]) -> bool {
    let mut store = Specification::with_leases(0);
    let order: Vec<_> = order.iter().copied().filter(|id| has_keys(&history[*id].request)).collect();
    let are_right = order.iter().enumerate().all(|(place, id)| {
        let operation = &history[*id];
        let is_late = |earlier: &OperationId| history[*earlier].invoked > operation.ended();
        let result = execute(&mut store, &operation.request);
        let is_right = match (&operation.outcome, result) {
            (Outcome::Ok(found), Ok(expected)) if operation.ended() < end => {
                linearizable_log::difference(&expected, found).is_none()
            }
            _ => operation.ended() >= end,
        };
        is_right && !order[..place].iter().any(is_late) && operation.invoked < end
    });
    let is_there = |(id, operation): (OperationId, &Operation)| {
        let has_place = operation.reply().is_some()
            && !operation.request.is_serializable()
            && has_keys(&operation.request);
        !has_place || operation.ended() >= end || order.contains(&id)
    };
    are_right && history.iter().all(is_there)
}

fn has_keys(request: &Request) -> bool {
    matches!(request, Request::Range(_) | Request::Put(_) | Request::DeleteRange(_) | Request::Txn(_))
}

fn listing(history: &History) -> String {
    history.operations().iter().map(|operation| format!("{operation}: {:?}\n", operation.outcome)).collect()
}

#[test]
#[expect(clippy::disallowed_types, reason = "it measures how long the oracles take")]
fn an_honest_run_of_any_length_passes_both_oracles() {
    for (operations, clients, unknown) in [
        (1_000, 8, 0),
        (1_000, 8, 50_000),
        (1_000, 50, 100_000),
        (10_000, 8, 0),
        (10_000, 8, 50_000),
        (10_000, 50, 50_000),
    ] {
        for seed in 0..3 {
            let mut stream = Streams::new(seed).stream("oracle/long", 0);
            let traffic = Traffic {
                operations,
                clients,
                keys: 10,
                unknown,
                refused: 0,
                unique_values: seed != 2,
                final_read: true,
                // In ten thousand operations, hundreds of leases and of unknown writes leave more than is searched.
                leases: (seed == 1 && operations <= 1_000).then_some(7),
            };
            let run = Run::simulate(&mut stream, traffic);
            let (history, witness) = run.record();
            let begin = std::time::Instant::now();
            let white = linearizable_log::check(&history, &witness);
            let white_took = begin.elapsed() / operations as u32;
            let begin = std::time::Instant::now();
            let black = check(&history);
            let black_took = begin.elapsed() / operations as u32;
            let lost = run.operations.iter().filter(|operation| operation.2 == Outcome::Unknown).count();
            println!(
                "{operations} operations, {clients} clients, {lost} unknown: white box {white_took:?}, \
                 black box {black_took:?} for each"
            );
            assert_eq!(white, Ok(()));
            assert_eq!(black, Ok(Conclusion::Linearizable));
        }
    }
}

#[test]
fn one_stale_read_in_a_long_run_is_found() {
    let traffic = Traffic {
        operations: 2_000,
        clients: 8,
        keys: 10,
        unknown: 20_000,
        refused: 0,
        unique_values: true,
        final_read: true,
        leases: None,
    };
    let mut run = Run::simulate(&mut Streams::new(5).stream("oracle/stale", 0), traffic);
    // By then, the writes that followed have been acknowledged.
    run.delay_a_read(3_000, 60);
    let (history, witness) = run.record();
    assert_eq!(check(&history).unwrap_err().clause, "real-time order");
    assert!(linearizable_log::check(&history, &witness).is_err());
}

#[test]
fn what_the_log_proves_the_history_never_refutes() {
    let (mut proved, mut refused, mut undecided, mut hidden) = (0, 0, 0, 0);
    for number in 0..10_000 {
        let mut stream = Streams::new(number).stream("oracle/agreement", 0);
        let traffic = Traffic {
            operations: stream.between(20, 80) as usize,
            clients: stream.between(2, 8) as usize,
            keys: 5,
            unknown: *stream.pick(&[0, 50_000, 300_000]),
            refused: 0,
            unique_values: stream.chance(600_000),
            final_read: stream.chance(800_000),
            leases: stream.chance(500_000).then_some(7),
        };
        let mut run = Run::simulate(&mut stream, traffic);
        if stream.chance(700_000) {
            disturb(&mut stream, &mut run);
        }
        let (history, witness) = run.record();
        let (white, black) = (linearizable_log::check(&history, &witness), check(&history));
        assert_eq!(crate::oracle::compare(&white, &black), None, "run {number}\n{}", listing(&history));
        match (&white, &black) {
            (_, Ok(Conclusion::Undecided { .. })) => undecided += 1,
            (_, Err(_)) => refused += 1,
            (Ok(()), Ok(_)) => proved += 1,
            (Err(_), Ok(_)) => hidden += 1,
        }
    }
    println!(
        "{proved} proved by both, {refused} refused by both, {undecided} undecided, {hidden} wrong in the log alone"
    );
    assert!(proved > 2_000 && refused > 2_000 && undecided < 100);
}

/// What has many gaps close together, and so many choices that depend on each other, is more than brute force can judge.
#[test]
fn an_honest_history_is_never_refused() {
    let histories = asked("VERTEBRA_FUZZ_HISTORIES", 3_000);
    let streams = Streams::new(asked("VERTEBRA_FUZZ_SEED", 1));
    let first = asked("VERTEBRA_FUZZ_FIRST", 0);
    let mut undecided = 0;
    for number in first..first + histories {
        let mut stream = streams.stream("oracle/honest", number);
        let traffic = Traffic {
            operations: stream.between(20, 200) as usize,
            clients: stream.between(2, 20) as usize,
            keys: stream.between(1, 10),
            unknown: stream.between(200_000, 700_000) as u32,
            refused: if stream.chance(300_000) { 200_000 } else { 0 },
            unique_values: stream.chance(500_000),
            final_read: stream.chance(700_000),
            leases: stream.chance(400_000).then_some(7),
        };
        let history = Run::simulate(&mut stream, traffic).into_history();
        match check(&history) {
            Ok(Conclusion::Linearizable) => {}
            Ok(Conclusion::Undecided { .. }) => undecided += 1,
            Err(violation) => panic!("run {number}: {violation:?}\n{}", listing(&history)),
        }
    }
    println!("{undecided} of {histories} undecided");
    assert!(undecided <= histories / 20);
}
