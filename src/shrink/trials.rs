//! Trying candidates: which of them still fails as the source does.
//!
//! Candidates of a round run on all threads at once. What is taken is the first one in their order that fails with
//! the signature, which does not depend on which thread was faster. Nor does the number of candidates that were
//! tried: those behind the one that is taken are not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Report, Verdict, run};
use xxhash_rust::xxh3::xxh3_128;

use super::progress::Progress;
use crate::Subject;

/// How often it is looked whether to end, and the progress is drawn.
const LOOK: Duration = Duration::from_millis(100);

/// Why no other candidate is tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// `--time` is over.
    Time,
    /// `--candidates` were tried.
    Candidates,
    /// Ctrl-C.
    Interrupt,
    /// Two runs of this schedule differ.
    Nondeterminism(String),
}

/// What came of a candidate.
enum Tried<O> {
    /// It fails with the signature, in both of its runs.
    Same(Box<(Schedule<O>, Report)>),
    /// It passes, or fails otherwise.
    Other,
    /// It is no schedule.
    Invalid,
    /// Its two runs differ.
    Differs(String),
}

/// A candidate that a thread has tried, by the hash of its text.
struct Attempted<O> {
    index: usize,
    key: u128,
    tried: Tried<O>,
}

/// The first candidate that fails as it should: its number, and what came of it.
pub type Found<O> = Option<(usize, Schedule<O>, Report)>;

/// How candidates are tried.
pub struct Trials<'a> {
    pub jobs: usize,
    pub stop: &'a AtomicBool,
    pub deadline: Option<Instant>,
    /// How many candidates may still be tried.
    pub left: Option<u64>,
    /// The signature that they must have.
    pub wanted: String,
    pub progress: Progress,
    /// How many were tried.
    pub count: u64,
    counted: BTreeSet<u128>,
    /// Those that are known not to fail as they should.
    failed: Mutex<BTreeSet<u128>>,
}

impl<'a> Trials<'a> {
    pub fn new(jobs: usize, stop: &'a AtomicBool, wanted: String, progress: Progress) -> Self {
        let (counted, failed) = (BTreeSet::new(), Mutex::default());
        Self { jobs, stop, deadline: None, left: None, wanted, progress, count: 0, counted, failed }
    }

    /// The first of `count` candidates that fails with the signature. `make` makes that with a given number, where
    /// there is one.
    ///
    /// `is_early` says that the failure comes before faults end: then no run is followed further than that.
    pub fn first<S: Subject>(
        &mut self,
        count: usize,
        is_early: bool,
        make: &(dyn Fn(usize) -> Option<Schedule<S::Options>> + Sync),
    ) -> Result<Found<S::Options>, Stop> {
        let (next, end, ended) = (AtomicUsize::new(0), AtomicUsize::new(count), AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let (stop, wanted, failed) = (self.stop, self.wanted.as_str(), &self.failed);
        let mut in_order = Counting { results: BTreeMap::new(), prefix: 0, fresh: BTreeSet::new() };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(count) {
                let (sender, next, end, ended) = (sender.clone(), &next, &end, &ended);
                scope.spawn(move || {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let is_over = stop.load(Ordering::Relaxed) || ended.load(Ordering::Relaxed);
                        if is_over || index >= end.load(Ordering::Relaxed) {
                            break;
                        }
                        let (key, tried) = attempt::<S>(make(index), wanted, is_early, failed);
                        if matches!(tried, Tried::Same(_) | Tried::Differs(_)) {
                            end.fetch_min(index + 1, Ordering::Relaxed);
                        }
                        if sender.send(Attempted { index, key, tried }).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            loop {
                match receiver.recv_timeout(LOOK) {
                    Ok(attempted) => in_order.put(attempted, &self.counted),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                let fresh = in_order.fresh.len() as u64;
                self.progress.tell(self.count + fresh);
                let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
                if is_late || self.left.is_some_and(|left| fresh > left) {
                    ended.store(true, Ordering::Relaxed);
                }
            }
        });
        self.decide(count, in_order.results)
    }

    /// Goes through the results as one thread would have come by them.
    fn decide<O>(
        &mut self,
        count: usize,
        mut results: BTreeMap<usize, Attempted<O>>,
    ) -> Result<Found<O>, Stop> {
        for index in 0..count {
            let Some(Attempted { key, tried, .. }) = results.remove(&index) else {
                return Err(if self.stop.load(Ordering::Relaxed) { Stop::Interrupt } else { Stop::Time });
            };
            if !matches!(tried, Tried::Invalid) && self.counted.insert(key) {
                if let Some(left) = &mut self.left {
                    *left = left.checked_sub(1).ok_or(Stop::Candidates)?;
                }
                self.count += 1;
            }
            match tried {
                Tried::Same(same) => return Ok(Some((index, same.0, same.1))),
                Tried::Differs(text) => return Err(Stop::Nondeterminism(text)),
                Tried::Other | Tried::Invalid => {}
            }
        }
        Ok(None)
    }
}

/// Counts, while results come in, those that one thread would have tried by then.
struct Counting<O> {
    results: BTreeMap<usize, Attempted<O>>,
    /// All before this one are there.
    prefix: usize,
    fresh: BTreeSet<u128>,
}

impl<O> Counting<O> {
    fn put(&mut self, attempted: Attempted<O>, counted: &BTreeSet<u128>) {
        self.results.insert(attempted.index, attempted);
        while let Some(Attempted { key, tried, .. }) = self.results.get(&self.prefix) {
            if !matches!(tried, Tried::Invalid) && !counted.contains(key) {
                self.fresh.insert(*key);
            }
            self.prefix += 1;
        }
    }
}

/// Runs a candidate, and a second time if it fails as it should.
fn attempt<S: Subject>(
    candidate: Option<Schedule<S::Options>>,
    wanted: &str,
    is_early: bool,
    failed: &Mutex<BTreeSet<u128>>,
) -> (u128, Tried<S::Options>) {
    let checked = candidate.and_then(|schedule| {
        let shape = S::shape(&schedule.options).ok()?;
        schedule.validate(&shape).ok()?;
        let text = schedule.write().ok()?;
        Some((schedule, text))
    });
    let Some((schedule, text)) = checked else { return (0, Tried::Invalid) };
    // How far a run is followed is a part of what is known of it.
    let key = xxh3_128(text.as_bytes()) ^ u128::from(is_early);
    let failed = || failed.lock().unwrap_or_else(PoisonError::into_inner);
    if failed().contains(&key) {
        return (key, Tried::Other);
    }
    let report = match is_early {
        // What comes after that is not waited for: it would take most of the time.
        true => run::<S>(&Schedule { settle_max: Duration::ZERO, ..schedule.clone() }, None),
        false => run::<S>(&schedule, None),
    };
    let is_same = match &report.verdict {
        Verdict::Pass => false,
        Verdict::Violation { violation, at } => {
            violation.signature() == wanted && (!is_early || is_before(*at, schedule.duration))
        }
    };
    if !is_same {
        failed().insert(key);
        return (key, Tried::Other);
    }
    match run::<S>(&schedule, None) == report {
        true => (key, Tried::Same(Box::new((schedule, report)))),
        false => (key, Tried::Differs(text)),
    }
}

/// Whether a violation at that time comes while faults happen.
pub fn is_before(at: vertebra_sim::Instant, duration: Duration) -> bool {
    at.since_start() < duration
}
