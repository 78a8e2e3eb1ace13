//! The write-ahead log on a disk that fails: what was synced is recovered, and what is recovered was written.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, HardState};
use serde::{Deserialize, Serialize};
use vertebra_model::Defects;
use vertebra_model::syncs::SkippedSyncs;
use vertebra_model::wal::Wal;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::Shape;
use vertebra_sim::{Node, System, Violation, World, run_many, schedule_of};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Options {
    segment_bytes: u64,
}

/// One member that writes to its log, and knows what it should find there.
struct Writer {
    options: Options,
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    /// The log as last written: index, term.
    written: Vec<(u64, u64)>,
    /// Every entry that was, also those that others replaced: an old one may survive where the new one does not.
    ever_written: BTreeSet<(u64, u64)>,
    /// How much of it was synced.
    synced: usize,
    /// The newest term that was written, and the newest that was synced.
    term_written: u64,
    term_synced: u64,
    /// Entries up to here were released.
    released: u64,
    starts: u64,
}

fn broken(clause: &'static str, detail: String) -> Violation {
    Violation::new("wal", clause, "", detail)
}

impl Writer {
    /// Holds what was recovered against what was written.
    fn check(&self, entries: &[Entry], state: &HardState) -> Result<(), Violation> {
        let known = &mut *self.known.borrow_mut();
        let is_kept = |(index, _): &(u64, u64)| *index > known.released;
        let found: Vec<_> = entries.iter().map(|entry| (entry.index, entry.term)).filter(is_kept).collect();
        if let Some(entry) = found.iter().find(|entry| !known.ever_written.contains(entry)) {
            return Err(broken("invented", format!("{entry:?} was never written")));
        }
        let synced: Vec<_> = known.written[..known.synced].iter().copied().filter(is_kept).collect();
        if !found.starts_with(&synced) {
            return Err(broken("lost", format!("found {found:?}, had synced {synced:?}")));
        }
        if state.term < known.term_synced || state.term > known.term_written {
            let (low, high) = (known.term_synced, known.term_written);
            return Err(broken("hard state", format!("term {} is not in {low}..={high}", state.term)));
        }
        // What was read is durable from here on, and what was not is gone.
        known.ever_written = found.iter().copied().collect();
        known.synced = found.len();
        known.written = found;
        (known.term_written, known.term_synced) = (state.term, state.term);
        known.starts += 1;
        Ok(())
    }
}

impl System for Writer {
    const NAME: &'static str = "wal";
    type Options = Options;

    fn options(streams: &Streams) -> Options {
        Options { segment_bytes: streams.stream("options/segment", 0).magnitude(512, 8_192) }
    }

    fn shape(_: &Options) -> Result<Shape, String> {
        Ok(Shape { failpoints: &["wal"], ..Shape::new(1, 0) })
    }

    fn new(_: &World, options: Options) -> Self {
        Self { options, known: RefCell::default() }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let mut stream = node.stream("workload");
        let opened = Wal::open(&node, 1, self.options.segment_bytes, SkippedSyncs::NONE, Defects::NONE).await;
        let (mut wal, recovered) = match opened {
            Ok(opened) => opened,
            Err(error @ vertebra_model::wal::WalError::Disk(_)) => return Err(error.to_string()),
            Err(error) => {
                node.world().fail(broken("refused", error.to_string()));
                return Ok(());
            }
        };
        node.world().check(self.check(&recovered.entries, &recovered.hard_state));
        let mut state = recovered.hard_state;
        loop {
            node.sleep(stream.duration(Duration::from_micros(100), Duration::from_millis(50))).await;
            node.failpoint("wal").await;
            let sync = stream.chance(600_000);
            if stream.chance(300_000) {
                state.term += 1;
                self.known.borrow_mut().term_written = state.term;
            }
            let last = self.known.borrow().written.last().map_or(0, |(index, _)| *index);
            let released = self.known.borrow().released;
            // Sometimes over entries that were written before, as a follower does.
            let first = stream.between((released + 1).max(last.saturating_sub(2)).min(last + 1), last + 1);
            let entries: Vec<_> = (first..first + stream.below(4))
                .map(|index| {
                    let length = stream.magnitude(1, 1_500) as usize;
                    let mut entry = Entry::new();
                    (entry.index, entry.term, entry.data) = (index, state.term, Bytes::from(vec![7; length]));
                    entry
                })
                .collect();
            if !entries.is_empty() {
                let known = &mut *self.known.borrow_mut();
                let keep = known.written.partition_point(|(index, _)| *index < first);
                if keep < known.synced {
                    // Whether the old one or the new one must be found would depend on what a failure kept; runs
                    // of whole clusters cover it.
                    continue;
                }
                known.written.truncate(keep);
                known.written.extend(entries.iter().map(|entry| (entry.index, entry.term)));
                known.ever_written.extend(entries.iter().map(|entry| (entry.index, entry.term)));
            }
            wal.save(&entries, Some(&state), sync).await.map_err(|error| error.to_string())?;
            if sync {
                let known = &mut *self.known.borrow_mut();
                (known.synced, known.term_synced) = (known.written.len(), state.term);
            }
            let (synced_last, term) = {
                let known = self.known.borrow();
                known.written[..known.synced].last().copied().unwrap_or_default()
            };
            if sync && synced_last > 0 && stream.chance(100_000) {
                wal.save_snapshot(synced_last, term, &ConfState::new(), false)
                    .await
                    .map_err(|error| error.to_string())?;
                self.known.borrow_mut().released = synced_last;
                wal.release(synced_last).await.map_err(|error| error.to_string())?;
            }
            if node.world().is_healed() {
                return Ok(());
            }
        }
    }

    async fn client(self: Rc<Self>, _: Node) {}

    async fn settle(self: Rc<Self>, world: World) {
        world.sleep(Duration::from_secs(3)).await;
    }

    fn unsettled(&self) -> Violation {
        broken("settles", String::new())
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        Ok(())
    }

    fn operations(&self) -> u64 {
        self.known.borrow().starts
    }
}

#[test]
fn what_was_synced_is_recovered_and_what_is_recovered_was_written() {
    let mut starts = 0;
    let schedule = |seed| schedule_of::<Writer>(seed, |_| {});
    run_many::<Writer>(0..1_000, 2, &AtomicBool::new(false), schedule, |seed, ran| {
        let (_, report) = ran.unwrap();
        assert_eq!(report.verdict.signature(), None, "seed {seed}: {:?}", report.verdict);
        starts += report.operations;
    });
    assert!(starts > 2_000, "only {starts} recoveries in 1,000 runs");
}
