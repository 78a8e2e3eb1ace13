//! Sequences side by side: one at a time on each pair, and what comes of them in the order of their seeds.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

/// What came of each of `seeds`, up to the first of which nothing came: an interrupt ends it before all are done.
pub fn judge(
    pairs: &mut [Pair],
    seeds: &[u64],
    requests: usize,
    stop: &AtomicBool,
) -> Vec<Result<Done, (u64, Refusal)>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for pair in pairs {
            let (next, done) = (&next, &done);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(at) else { break };
                    let one = judge_one(pair, *seed, requests).map_err(|refusal| (*seed, refusal));
                    let is_refused = one.is_err();
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(at, one);
                    if is_refused {
                        // The others need not go on, and there is one seed less.
                        next.store(seeds.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Without gaps, so that what is told does not depend on which of them was fast.
    done.into_iter().enumerate().take_while(|(count, (at, _))| count == at).map(|(_, (_, one))| one).collect()
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
