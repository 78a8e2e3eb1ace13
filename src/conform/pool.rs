//! Sequences side by side: one at a time on each pair, and what comes of them in the order of their seeds.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use super::drive::Patience;
use super::generate::generate;
use super::pair::{Judgement, Pair};
use super::sequence::Sequence;
use crate::exit::Refusal;

/// What came of a seed.
pub struct Done {
    pub sequence: Sequence,
    /// How many steps were taken out of it, since the server would not survive them.
    pub spared: u64,
    pub first: Judgement,
    /// The same once more, with more patience, if there was a difference.
    pub again: Option<Judgement>,
}

/// Judges `seeds`, and gives `told` what came of each in their order, until it breaks. Returns the seeds that are left.
/// An interrupt ends it before all are done, and so does the first seed of which nothing came.
pub fn judge(
    pairs: &mut [Pair],
    mut seeds: RangeInclusive<u64>,
    requests: usize,
    stop: &AtomicBool,
    mut told: impl FnMut(u64, Result<Done, Refusal>) -> ControlFlow<()>,
) -> RangeInclusive<u64> {
    let next = Mutex::new(seeds.clone());
    let (sender, done) = mpsc::channel();
    std::thread::scope(|scope| {
        for pair in pairs {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(seed) = seed else { break };
                    let one = judge_one(pair, seed, requests);
                    let is_refused = one.is_err();
                    // Nobody listens any more once it is over.
                    if sender.send((seed, one)).is_err() || is_refused {
                        break;
                    }
                }
            });
        }
        drop(sender);
        // What is told must not depend on which of them was fast: a slow one holds back those after it, while the others go on.
        let mut early = BTreeMap::new();
        'all: for (seed, one) in done {
            early.insert(seed, one);
            while let Some(one) = early.remove(seeds.start()).filter(|_| !seeds.is_empty()) {
                let Some(seed) = seeds.next() else { break };
                let is_refused = one.is_err();
                if told(seed, one).is_break() || is_refused {
                    break 'all;
                }
            }
        }
    });
    seeds
}

fn judge_one(pair: &mut Pair, seed: u64, requests: usize) -> Result<Done, Refusal> {
    let mut sequence = generate(seed, requests);
    let spared = pair.known.spare(&mut sequence);
    let first = pair.judge(&sequence, Patience::Rounds)?;
    let again = match first.differences.is_empty() {
        true => None,
        false => Some(pair.judge(&sequence, Patience::Time)?),
    };
    Ok(Done { sequence, spared, first, again })
}
