//! Which seeds reach which mutants. A run that does not reach one is the same with it, and need not be made.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::trial::Program;

/// What all seeds give without a mutant.
#[derive(Debug, Default)]
pub struct Reached {
    /// The digest of each seed's run.
    pub digests: BTreeMap<u64, String>,
    /// For each mutant that is reached, the seeds in their order.
    seeds: BTreeMap<u32, Vec<u64>>,
}

impl Reached {
    /// The seeds that reach a mutant.
    pub fn seeds(&self, number: u32) -> &[u64] {
        self.seeds.get(&number).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, seed: u64, digest: String, numbers: &[u32]) {
        self.digests.insert(seed, digest);
        for number in numbers {
            self.seeds.entry(*number).or_default().push(seed);
        }
    }
}

/// Runs the seeds that `kept` does not have yet, each in a process of its own. Each must pass.
pub fn trace(program: &Program, seeds: (u64, u64), jobs: usize, kept: &Path) -> io::Result<Reached> {
    let mut reached = Reached::default();
    for line in fs::read_to_string(kept).unwrap_or_default().split_inclusive('\n') {
        // One that is half written is of a seed that is run again.
        let mut words = line.strip_suffix('\n').unwrap_or_default().split(' ');
        let (Some(seed), Some(digest)) = (words.next().and_then(|seed| seed.parse().ok()), words.next())
        else {
            continue;
        };
        if (seeds.0..seeds.1).contains(&seed) {
            let numbers: Vec<u32> = words.filter_map(|word| word.parse().ok()).collect();
            reached.add(seed, digest.to_owned(), &numbers);
        }
    }
    let mut file = File::options().create(true).append(true).open(kept)?;
    // Behind one that is half written.
    file.write_all(b"\n")?;
    let done = reached.digests.clone();
    let next = AtomicU64::new(seeds.0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next, done) = (sender.clone(), &next, &done);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = seed >= seeds.1;
                    if is_over
                        || (!done.contains_key(&seed) && sender.send((seed, program.trace(seed))).is_err())
                    {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (seed, traced) in receiver {
            let (digest, numbers) = traced?;
            let words: String = numbers.iter().map(|number| format!(" {number}")).collect();
            file.write_all(format!("{seed} {digest}{words}\n").as_bytes())?;
            reached.add(seed, digest, &numbers);
            if reached.digests.len() % 100 == 0 {
                eprintln!("{} seeds pass without a mutant", reached.digests.len());
            }
        }
        Ok::<_, io::Error>(())
    })?;
    reached.seeds.values_mut().for_each(|seeds| seeds.sort_unstable());
    Ok(reached)
}
