//! What it costs to judge histories of etcd by their revisions: `cargo bench -p vertebra-model --bench histories`.
//!
//! The histories are of an honest store with concurrent clients, some of whom lose answers: reads of now and the past,
//! puts, deletions, transactions, compactions. In those that are illegal, one read in the middle was answered with what the
//! store had been before its client asked; or with a value that nobody put, or a revision that there was not. The time is the least of many, on one thread. Instructions come from
//! `valgrind --tool=callgrind` over the same program with the beginning of a row's name as its argument.
//!
//! porcupine's figures are of etcd's own model on histories of the same size (v1.3.0, Go, one processor); at the larger ones it
//! gives up after 60 s.

use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "a benchmark is what the machine's clock is for")]
use std::time::Instant as Clock;

use vertebra_model::Response;
use vertebra_model::history::{History, Outcome, Request};
use vertebra_model::honest::{Run, Step, Traffic};
use vertebra_model::oracle::linearizable_history::explain::explain;
use vertebra_model::oracle::linearizable_history::{Conclusion, check};
use vertebra_sim::random::Streams;

// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Case {
    name: &'static str,
    operations: usize,
    clients: usize,
    /// Of a million writes.
    unknown: u32,
    leases: bool,
    target: Duration,
    porcupine: &'static str,
}

const fn case(
    name: &'static str,
    operations: usize,
    clients: usize,
    target_us: u64,
    porcupine: &'static str,
) -> Case {
    let target = Duration::from_micros(target_us);
    Case { name, operations, clients, unknown: 50_000, leases: false, target, porcupine }
}

const CASES: [Case; 9] = [
    case("1k", 1_000, 8, 150, "913 ms"),
    Case { unknown: 0, ..case("1k all known", 1_000, 8, 150, "15 ms") },
    Case { leases: true, ..case("1k with leases", 1_000, 8, 150, "") },
    case("10k", 10_000, 50, 5_000, "> 60 s"),
    Case { unknown: 0, ..case("10k all known", 10_000, 50, 5_000, "") },
    Case { leases: true, ..case("10k with leases", 10_000, 50, 5_000, "") },
    case("100k", 100_000, 50, 200_000, ""),
    case("1M", 1_000_000, 50, 2_000_000, ""),
    Case { unknown: 0, ..case("1M all known", 1_000_000, 50, 2_000_000, "") },
];

#[expect(clippy::disallowed_methods, reason = "no run depends on the command line")]
fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!(
        "{:<18}{:>11}{:>9}{:>9}{:>12}{:>9}{:>12}{:>12}{:>12}{:>12}{:>9}{:>9}",
        "",
        "operations",
        "clients",
        "unknown",
        "legal",
        "each",
        "illegal",
        "explained",
        "value",
        "revision",
        "porcupine",
        "target"
    );
    for case in &CASES {
        if wanted.as_deref().is_none_or(|wanted| wanted == case.name) {
            measure(case);
        }
    }
}

fn measure(case: &Case) {
    let traffic = Traffic {
        operations: case.operations,
        clients: case.clients,
        keys: 10,
        unknown: case.unknown,
        refused: 0,
        unique_values: true,
        final_read: true,
        leases: case.leases.then_some(7),
    };
    let mut run = Run::simulate(&mut Streams::new(1).stream("bench/histories", 0), traffic);
    let unknown = run.operations.iter().filter(|(.., outcome)| *outcome == Outcome::Unknown).count();
    let legal = run.clone().into_history();
    let times = (3_000_000 / case.operations).clamp(3, 1_000);
    let conclusion = check(&legal).unwrap_or_else(|violation| panic!("{}: {violation}", case.name));
    let took = least(times, || assert_eq!(check(&legal).as_ref(), Ok(&conclusion), "{}", case.name));
    drop(legal);
    let middle = run.steps.len() / 2;
    let times_explained = (30_000 / case.operations).clamp(1, 3);
    let [took_value, took_revision] = [false, true].map(|of_revision| {
        let mut run = run.clone();
        spoil(&mut run, middle, of_revision);
        let illegal = run.into_history();
        least(times_explained, || drop(explain(&illegal).expect("it is illegal")))
    });
    run.delay_a_read(middle, 400);
    let illegal = run.into_history();
    let took_illegal = least(times, || assert!(check(&illegal).is_err(), "{}", case.name));
    let took_explained = least(times_explained, || explained(&illegal));
    let is_met = took <= case.target && took_illegal <= case.target;
    let target = match conclusion {
        Conclusion::Undecided { .. } => "GAVE UP",
        Conclusion::Linearizable if is_met => "met",
        Conclusion::Linearizable => "MISSED",
    };
    println!(
        "{:<18}{:>11}{:>9}{:>9}{:>9.0} us{:>6.0} ns{:>9.0} us{:>9.0} us{:>9.0} us{:>9.0} us{:>9}{:>9}",
        case.name,
        case.operations,
        case.clients,
        unknown,
        micros(took),
        micros(took) * 1e3 / case.operations as f64,
        micros(took_illegal),
        micros(took_explained),
        micros(took_value),
        micros(took_revision),
        case.porcupine,
        target,
    );
}

/// Answers the first read from a step on that shows a key with a wrong revision of it, or a wrong value.
fn spoil(run: &mut Run, begin: usize, of_revision: bool) {
    for step in &run.steps[begin..] {
        let (Step::Invoke(number) | Step::Return(number)) = *step else { continue };
        if let (_, Request::Range(read), Outcome::Ok(Response::Range(reply))) = &mut run.operations[number]
            && !read.serializable
            && !read.keys_only
            && let Some(kv) = reply.kvs.first_mut()
        {
            if of_revision {
                kv.mod_revision += 1_000_000_000
            } else {
                kv.value = "nobody's".into()
            }
            return;
        }
    }
    panic!("no read shows a key");
}

fn explained(history: &History) {
    let why = explain(history).expect("it is illegal");
    assert!(why.contradiction.len() >= 2, "{:?}", why.contradiction);
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

#[expect(clippy::disallowed_types, reason = "a benchmark is what the machine's clock is for")]
fn least(times: usize, mut work: impl FnMut()) -> Duration {
    let took = (0..times).map(|_| {
        let begun = Clock::now();
        work();
        begun.elapsed()
    });
    took.min().unwrap_or_default()
}
