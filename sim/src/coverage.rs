//! What runs reach: marks, failpoints and kinds of faults.
//!
//! A simulator that finds nothing may have looked nowhere. So whoever writes code says where a sweep must come by, with
//! [`sometimes!`](crate::sometimes), and a sweep says where it came by. Nothing of this is part of a digest: a mark
//! more moves no run.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use vertebra_sim_mark::{Mark, Profile};

#[doc(hidden)]
pub use vertebra_sim_mark as mark;

use crate::node_id::NodeId;
use crate::system::System;
use crate::world::World;

/// A mark, over runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(into = "[u64; 3]", from = "[u64; 3]")]
pub struct MarkTally {
    /// Runs in which it was possible.
    pub possible: u64,
    /// Runs that reached it.
    pub runs: u64,
    /// How often they did.
    pub hits: u64,
}

/// A failpoint, over runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(into = "[u64; 4]", from = "[u64; 4]")]
pub struct FailpointTally {
    /// Runs in which some process came by.
    pub runs: u64,
    /// How often processes came by.
    pub passed: u64,
    /// How often a fault struck there.
    pub struck: u64,
    /// How often that was a crash.
    pub crashed: u64,
}

/// A kind of fault, over runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(into = "[u64; 3]", from = "[u64; 3]")]
pub struct FaultTally {
    /// Runs whose schedules have one.
    pub runs: u64,
    /// How many there are in them.
    pub drawn: u64,
    /// How many of these met somebody.
    pub met: u64,
}

/// What runs reached, by name. As it is kept, each tally is a list of its numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// How many runs.
    pub seeds: u64,
    /// The marks of the system and of the simulator.
    pub marks: BTreeMap<Cow<'static, str>, MarkTally>,
    /// The failpoints of the system.
    pub failpoints: BTreeMap<Cow<'static, str>, FailpointTally>,
    /// The kinds of faults.
    pub faults: BTreeMap<Cow<'static, str>, FaultTally>,
}

/// What one run reached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reached {
    /// In the order of their names.
    pub marks: Vec<(&'static str, MarkTally)>,
    /// In the order of the system's list.
    pub failpoints: Vec<(&'static str, FailpointTally)>,
    /// In no order that means something.
    pub faults: Vec<(&'static str, FaultTally)>,
}

/// How a mark or a failpoint stands after a sweep.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// It should have been reached, and never was.
    Missing,
    /// Some run reached it.
    Reached,
    /// No run could have reached it.
    Dormant,
}

impl MarkTally {
    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.hits, self.possible) {
            (1.., _) => Standing::Reached,
            (0, 1..) => Standing::Missing,
            (0, 0) => Standing::Dormant,
        }
    }
}

impl FailpointTally {
    /// How it stands: it is reached when processes came by and crashed there.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.passed > 0 && self.crashed > 0 { Standing::Reached } else { Standing::Missing }
    }
}

impl From<MarkTally> for [u64; 3] {
    fn from(MarkTally { possible, runs, hits }: MarkTally) -> Self {
        [possible, runs, hits]
    }
}

impl From<[u64; 3]> for MarkTally {
    fn from([possible, runs, hits]: [u64; 3]) -> Self {
        Self { possible, runs, hits }
    }
}

impl From<FailpointTally> for [u64; 4] {
    fn from(FailpointTally { runs, passed, struck, crashed }: FailpointTally) -> Self {
        [runs, passed, struck, crashed]
    }
}

impl From<[u64; 4]> for FailpointTally {
    fn from([runs, passed, struck, crashed]: [u64; 4]) -> Self {
        Self { runs, passed, struck, crashed }
    }
}

impl From<FaultTally> for [u64; 3] {
    fn from(FaultTally { runs, drawn, met }: FaultTally) -> Self {
        [runs, drawn, met]
    }
}

impl From<[u64; 3]> for FaultTally {
    fn from([runs, drawn, met]: [u64; 3]) -> Self {
        Self { runs, drawn, met }
    }
}

impl Coverage {
    /// Adds a run.
    pub fn add(&mut self, reached: &Reached) {
        self.seeds = self.seeds.saturating_add(1);
        for (name, tally) in &reached.marks {
            add_mark(self.marks.entry(Cow::Borrowed(*name)).or_default(), tally);
        }
        for (name, tally) in &reached.failpoints {
            add_failpoint(self.failpoints.entry(Cow::Borrowed(*name)).or_default(), tally);
        }
        for (name, tally) in &reached.faults {
            add_fault(self.faults.entry(Cow::Borrowed(*name)).or_default(), tally);
        }
    }

    /// Takes that of other runs in.
    pub fn merge(&mut self, other: &Self) {
        self.seeds = self.seeds.saturating_add(other.seeds);
        for (name, tally) in &other.marks {
            add_mark(self.marks.entry(name.clone()).or_default(), tally);
        }
        for (name, tally) in &other.failpoints {
            add_failpoint(self.failpoints.entry(name.clone()).or_default(), tally);
        }
        for (name, tally) in &other.faults {
            add_fault(self.faults.entry(name.clone()).or_default(), tally);
        }
    }
}

fn add_mark(sum: &mut MarkTally, other: &MarkTally) {
    sum.possible = sum.possible.saturating_add(other.possible);
    sum.runs = sum.runs.saturating_add(other.runs);
    sum.hits = sum.hits.saturating_add(other.hits);
}

fn add_failpoint(sum: &mut FailpointTally, other: &FailpointTally) {
    sum.runs = sum.runs.saturating_add(other.runs);
    sum.passed = sum.passed.saturating_add(other.passed);
    sum.struck = sum.struck.saturating_add(other.struck);
    sum.crashed = sum.crashed.saturating_add(other.crashed);
}

fn add_fault(sum: &mut FaultTally, other: &FaultTally) {
    sum.runs = sum.runs.saturating_add(other.runs);
    sum.drawn = sum.drawn.saturating_add(other.drawn);
    sum.met = sum.met.saturating_add(other.met);
}

/// Counts during one run.
pub(crate) struct Counters {
    /// Hits of each mark, at its index.
    hits: Vec<Cell<u32>>,
    failpoints: Failpoints,
    /// Whether a process has used a disk, and a connection.
    pub(crate) uses_disks: Cell<bool>,
    pub(crate) uses_connections: Cell<bool>,
}

impl Counters {
    pub(crate) fn new(failpoints: &'static [&'static str]) -> Self {
        Self {
            hits: mark::all().iter().map(|_| Cell::new(0)).collect(),
            failpoints: Failpoints::new(failpoints),
            uses_disks: Cell::new(false),
            uses_connections: Cell::new(false),
        }
    }

    /// A process comes by the failpoint `name`.
    #[inline(always)]
    pub(crate) fn passes(&self, name: &str) {
        self.failpoints.count(name, |tally| tally.passed += 1);
    }

    /// A fault strikes there.
    pub(crate) fn strikes(&self, name: &str, is_crash: bool) {
        self.failpoints.count(name, |tally| {
            tally.struck += 1;
            tally.crashed += u64::from(is_crash);
        });
    }

    /// What a run of `S` with this profile reached.
    pub(crate) fn reached<S: System>(
        &self,
        profile: &Profile,
        faults: Vec<(&'static str, FaultTally)>,
    ) -> Reached {
        let own = mark::package(std::any::type_name::<S>());
        let marks = mark::all().iter().zip(&self.hits);
        let marks = marks.filter(|(mark, _)| [own, env!("CARGO_CRATE_NAME")].contains(&mark.package()));
        let marks = marks.map(|(mark, hits)| {
            let hits = u64::from(hits.get());
            let possible = u64::from((mark.when)(profile));
            (mark.name, MarkTally { possible, runs: hits.min(1), hits })
        });
        Reached { marks: marks.collect(), failpoints: self.failpoints.tallies(), faults }
    }
}

/// Tallies of failpoints, found by name in a few instructions: members come by some of them for each message.
struct Failpoints {
    names: &'static [&'static str],
    tallies: Vec<Cell<FailpointTally>>,
    /// A hash table with open addressing, at most half full: the key of a name, and 1 + its index, or 0.
    slots: Vec<(u64, usize)>,
}

impl Failpoints {
    /// # Panics
    ///
    /// If two names have one key.
    fn new(names: &'static [&'static str]) -> Self {
        let mut slots = vec![(0, 0); (2 * names.len()).next_power_of_two()];
        for (number, name) in (1..).zip(names) {
            let key = key(name);
            let mut slot = hash(key) & (slots.len() - 1);
            while slots[slot].1 != 0 {
                assert_ne!(slots[slot].0, key, "the failpoint {name} is too much like another");
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = (key, number);
        }
        Self { names, tallies: names.iter().map(|_| Cell::default()).collect(), slots }
    }

    /// Counts at `name`, if it is one of them.
    #[inline(always)]
    fn count(&self, name: &str, change: impl FnOnce(&mut FailpointTally)) {
        let key = key(name);
        let mut slot = hash(key) & (self.slots.len() - 1);
        while let (found, Some(index)) = (self.slots[slot].0, self.slots[slot].1.checked_sub(1)) {
            if found == key {
                let mut tally = self.tallies[index].get();
                change(&mut tally);
                return self.tallies[index].set(tally);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn tallies(&self) -> Vec<(&'static str, FailpointTally)> {
        let tallies = self.names.iter().zip(&self.tallies);
        let tally = |tally: FailpointTally| FailpointTally { runs: tally.passed.min(1), ..tally };
        tallies.map(|(name, counted)| (*name, tally(counted.get()))).collect()
    }
}

/// What tells the name of a failpoint from others: its length and some of its letters. Of a
/// constant, the compiler knows it.
#[inline(always)]
fn key(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let short = || bytes.iter().fold(0, |letters, letter| letters << 8 | u64::from(*letter));
    let tail = bytes.last_chunk::<8>().map_or_else(short, |tail| u64::from_le_bytes(*tail));
    let head = bytes.first_chunk::<8>().map_or(0, |head| u64::from_le_bytes(*head));
    let middle = bytes.get(bytes.len() / 2).map_or(0, |middle| u64::from(*middle));
    (tail ^ bytes.len() as u64 ^ middle << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ head
}

#[inline]
fn hash(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

impl World {
    /// For [`sometimes!`](crate::sometimes): a run comes by `mark`.
    #[inline]
    pub fn reaches(&self, mark: &'static Mark, node: Option<NodeId>) {
        let hits = &self.counters().hits[mark.index()];
        hits.set(hits.get().saturating_add(1));
        if self.trace().is_told() {
            self.tell_mark(mark, node);
        }
    }

    /// For the reader alone: the digest is the one of the events so far.
    #[cold]
    fn tell_mark(&self, mark: &'static Mark, node: Option<NodeId>) {
        tracing::info!(
            target: "vertebra::mark",
            at = self.now().as_nanos(),
            node = node.map(tracing::field::display),
            digest = %self.trace().digest(),
            "{}",
            mark.name
        );
    }
}

/// Marks a place or a situation that a sweep must reach, or else it has not looked there.
///
/// The first argument has `world()` and `trace_node()`: a [`Node`](crate::Node) or a [`World`](crate::World). Then come
/// the name, a literal that no other mark has, which says what has happened; where the place alone says nothing, a
/// condition; and where not each run can come there, what such a run must have, as a predicate over a [`Profile`].
///
/// A hit counts a number up. It is no event: digests do not know of marks.
///
/// ```
/// # use vertebra_sim::{sometimes, Node};
/// fn recovered(node: &Node, bytes_cut: u64) {
///     sometimes!(node, "a torn end of the log is cut", bytes_cut > 0, when = |run| run.fault("power-failure"));
/// }
/// ```
#[macro_export]
macro_rules! sometimes {
    ($source:expr, $name:literal $(,)?) => {
        $crate::sometimes!($source, $name, true, when = |_| true)
    };
    ($source:expr, $name:literal, when = $when:expr $(,)?) => {
        $crate::sometimes!($source, $name, true, when = $when)
    };
    ($source:expr, $name:literal, $condition:expr $(,)?) => {
        $crate::sometimes!($source, $name, $condition, when = |_| true)
    };
    ($source:expr, $name:literal, $condition:expr, when = $when:expr $(,)?) => {{
        #[$crate::coverage::mark::linkme::distributed_slice($crate::coverage::mark::MARKS)]
        #[linkme(crate = $crate::coverage::mark::linkme)]
        static MARK: $crate::coverage::Mark =
            $crate::coverage::Mark::new($name, ::std::module_path!(), $when);
        if $condition {
            let source = &$source;
            source.world().reaches(&MARK, source.trace_node());
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failpoint_is_counted_at_its_own_name() {
        const NAMES: &[&str] =
            &["a", "b", "", "raftBeforeSave", "raftAfterSave", "raftBeforeSaveSnap", "aftBeforeSave"];
        let failpoints = Failpoints::new(NAMES);
        for (times, name) in NAMES.iter().enumerate() {
            for _ in 0..times {
                failpoints.count(name, |tally| tally.passed += 1);
            }
        }
        failpoints.count("unknown", |_| panic!("there is no such failpoint"));
        let passed: Vec<u64> = failpoints.tallies().iter().map(|(_, tally)| tally.passed).collect();
        assert_eq!(passed, [0, 1, 2, 3, 4, 5, 6]);
        Failpoints::new(&[]).count("none", |_| panic!("there is none"));
    }

    #[test]
    fn a_mark_stands_as_missing_only_where_it_was_possible() {
        let standing = |possible, hits| MarkTally { possible, runs: hits, hits }.standing();
        assert_eq!(standing(0, 0), Standing::Dormant);
        assert_eq!(standing(5, 0), Standing::Missing);
        assert_eq!(standing(5, 1), Standing::Reached);
        assert_eq!(standing(0, 1), Standing::Reached, "its predicate is wrong, but it was reached");
    }

    #[test]
    fn sums_do_not_depend_on_the_order_of_the_runs() {
        let run = |hits| Reached {
            marks: vec![("m", MarkTally { possible: 1, runs: u64::min(hits, 1), hits })],
            failpoints: vec![("p", FailpointTally { runs: 1, passed: hits, struck: 1, crashed: hits % 2 })],
            faults: vec![("kill", FaultTally { runs: 1, drawn: 3, met: hits })],
        };
        let sum = |runs: &[u64]| {
            let mut sum = Coverage::default();
            runs.iter().for_each(|hits| sum.add(&run(*hits)));
            sum
        };
        let mut merged = sum(&[3]);
        merged.merge(&sum(&[0, 1]));
        assert_eq!(merged, sum(&[1, 3, 0]));
        assert_eq!(merged.marks["m"], MarkTally { possible: 3, runs: 2, hits: 4 });
        assert_eq!(merged.seeds, 3);
    }
}
