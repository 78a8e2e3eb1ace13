//! The comparison as a whole, over two models in the place of a real server.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use prost_reflect::prost::Message as _;
use vertebra_model::api::RangeResponse;
use vertebra_model::grpc::{CallId, Down, Up};

use super::drive::{Patience, Session};
use super::generate::generate;
use super::known::Known;
use super::methods;
use super::pair::{AnySide, Pair};
use super::pool;
use super::reduce::{Limits, is_harmful, reduce, simpler};
use super::sequence::{Sequence, Step};
use super::side::Side;
use super::simulated::Simulated;
use crate::exit::Refusal;

/// A model that counts one key too many wherever it counts two.
struct Miscounting {
    side: Simulated,
    ranges: BTreeSet<CallId>,
}

impl Side for Miscounting {
    fn up(&mut self, up: Up) -> Result<(), Refusal> {
        if let Up::Begin { call, path, .. } = &up
            && path.ends_with("/Range")
        {
            self.ranges.insert(*call);
        }
        self.side.up(up)
    }

    fn next(&mut self, call: CallId, patience: Duration) -> Result<Option<Down>, Refusal> {
        let next = self.side.next(call, patience)?;
        let Some(Down::Message { call, bytes }) = &next else { return Ok(next) };
        match RangeResponse::decode(bytes.clone()) {
            Ok(response) if self.ranges.contains(call) && response.count == 2 => {
                let bytes = RangeResponse { count: 3, ..response }.encode_to_vec().into();
                Ok(Some(Down::Message { call: *call, bytes }))
            }
            _ => Ok(next),
        }
    }
}

fn pair(real: AnySide) -> Pair {
    let model: AnySide = Box::new(Simulated::new().expect("a cluster of one"));
    Pair {
        model: Session::new(model, "the model".to_owned()),
        real: Session::new(real, "the other".to_owned()),
        known: Known { difference: Vec::new(), never: Vec::new() },
    }
}

#[test]
fn the_model_answers_as_itself() {
    let mut pair = pair(Box::new(Simulated::new().expect("a cluster of one")));
    for seed in 0..20 {
        let judgement = pair.judge(&generate(seed, 30), Patience::Rounds).expect("both can be asked");
        assert_eq!(judgement.differences, [], "seed {seed}");
    }
}

#[test]
fn a_deliberate_error_is_found_and_shrunk_to_what_it_takes() {
    let side = Simulated::new().expect("a cluster of one");
    let mut pair = pair(Box::new(Miscounting { side, ranges: BTreeSet::new() }));
    let found = (0..100).find_map(|seed| {
        let sequence = generate(seed, 50);
        let judgement = pair.judge(&sequence, Patience::Rounds).expect("both can be asked");
        let is_it = |field: &str| field == "count";
        let found = judgement.differences.first().is_some_and(|difference| is_it(&difference.field));
        found.then_some(judgement)
    });
    let judgement = found.expect("one of a hundred seeds finds it");
    let stop = AtomicBool::new(false);
    let limits = Limits { deadline: Instant::now() + Duration::from_secs(120), stop: &stop };
    let (shortest, judgement) = reduce(&mut pair, judgement, &limits).expect("both can be asked");
    // Two keys, in whatever way they came, and who counts them.
    assert!(shortest.steps.len() <= 5, "{:?}", shortest.to_json());
    let [difference] = &judgement.differences[..] else { panic!("{:?}", judgement.differences) };
    assert_eq!((difference.model.as_str(), difference.real.as_str()), ("2", "3"));
}

#[test]
fn what_comes_after_a_difference_that_ends_all_is_compared_too() {
    let side = Simulated::new().expect("a cluster of one");
    let mut pair = pair(Box::new(Miscounting { side, ranges: BTreeSet::new() }));
    let entry = r#"
[[difference]]
name = "miscounting"
method = "/etcdserverpb.KV/Range"
field = "count"
model = "2"
real = "3"
ends = true
reason = "It cannot count."
"#;
    pair.known = Known::read(entry, "").expect("it is right");
    let mut left_out = 0;
    for seed in 0..30 {
        let sequence = generate(seed, 50);
        let judgement = pair.judge(&sequence, Patience::Rounds).expect("both can be asked");
        assert_eq!(judgement.differences, [], "seed {seed}");
        left_out += judgement.left_out.len();
        assert_eq!(judgement.compared, sequence.steps.len(), "seed {seed}");
        assert_eq!(judgement.sequence.steps.len() + judgement.left_out.len(), sequence.steps.len());
        for (step, _) in &judgement.left_out {
            assert!(sequence.path(*step).ends_with("/Range"), "seed {seed}, step {step}");
        }
    }
    assert!(left_out > 0, "no seed counts two keys");
}

#[test]
fn many_pairs_come_to_what_one_comes_to() {
    let pairs = |count: usize| -> Vec<Pair> {
        let miscounting = |_| {
            let side = Simulated::new().expect("a cluster of one");
            pair(Box::new(Miscounting { side, ranges: BTreeSet::new() }))
        };
        (0..count).map(miscounting).collect()
    };
    let stop = AtomicBool::new(false);
    let judged = |count: usize| -> Vec<String> {
        let mut told = Vec::new();
        let rest = pool::judge(&mut pairs(count), 100..=119, 50, &stop, |seed, done| {
            let done = done.expect("both can be asked");
            assert_eq!(seed, done.sequence.seed);
            told.push(format!("{seed} {:?} {:?}", done.first.differences, done.again.is_some()));
            ControlFlow::Continue(())
        });
        assert!(rest.is_empty());
        told
    };
    let one = judged(1);
    assert_eq!(one.len(), 20);
    assert_eq!(one, judged(3));
}

#[test]
fn what_is_left_after_a_break_begins_with_the_next_seed() {
    let mut pairs: Vec<Pair> =
        (0..3).map(|_| pair(Box::new(Simulated::new().expect("a cluster of one")))).collect();
    let mut told = Vec::new();
    let mut rest = 0..=9;
    while !rest.is_empty() {
        rest = pool::judge(&mut pairs, rest, 50, &AtomicBool::new(false), |seed, done| {
            assert!(done.is_ok());
            told.push(seed);
            if seed % 4 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(told, (0..=*told.last().expect("one at least")).collect::<Vec<u64>>());
    }
    assert_eq!(told.len(), 10);
}

#[test]
fn a_seed_always_makes_the_same_sequence_and_it_survives_being_written() {
    for seed in 0..200 {
        let sequence = generate(seed, 50);
        assert_eq!(sequence, generate(seed, 50), "seed {seed}");
        assert!(sequence.steps.len() >= 50, "seed {seed}");
        let text = sequence.to_json().to_string();
        let json = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(Sequence::from_json(json), Ok(sequence), "seed {seed}");
    }
}

#[test]
fn some_seeds_ask_each_method_that_can_be_asked_without_harm() {
    let mut asked = BTreeSet::new();
    for seed in 0..1_500 {
        let sequence = generate(seed, 50);
        asked.extend((0..sequence.steps.len()).map(|index| sequence.path(index).to_owned()));
    }
    // Newer than both of the versions that are compared with, or not of etcd's own.
    let others = ["RangeStream", "grpc.health", "Health"];
    let missing: Vec<String> = methods::paths()
        .filter(|path| !asked.contains(path) && !others.iter().any(|other| path.contains(other)))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn no_sequence_leaves_a_server_that_cannot_be_used() {
    for seed in 0..500 {
        let sequence = generate(seed, 50);
        assert!(!sequence.steps.iter().any(is_harmful), "seed {seed}");
    }
}

#[test]
fn making_a_step_simpler_comes_to_an_end() {
    for seed in 0..20 {
        // Large ones take their time.
        let is_small = |step: &Step| step.body().is_none_or(|body| body.encoded().len() < 100);
        for step in generate(seed, 20).steps.into_iter().filter(is_small) {
            let (mut step, mut count) = (step, 0);
            while let Some(next) = simpler(&step).pop() {
                (step, count) = (next, count + 1);
                assert!(count < 10_000, "{step:?}");
            }
        }
    }
}

#[test]
fn a_file_that_is_no_sequence_is_refused_with_the_step() {
    for (text, reason) in [
        (r#"{"format": 2, "seed": 1, "steps": []}"#, "format 1"),
        (
            r#"{"format": 1, "seed": 1, "steps": [{"do": "call", "path": "/no.Such/Method", "message": {}}]}"#,
            "step 0",
        ),
        (r#"{"format": 1, "seed": 1, "steps": [{"do": "send", "stream": 0, "bytes": "0"}]}"#, "hexadecimal"),
    ] {
        let json = serde_json::from_str(text).expect("it is JSON");
        let refusal = Sequence::from_json(json).expect_err("it is wrong");
        assert!(refusal.contains(reason), "{refusal}");
    }
}
