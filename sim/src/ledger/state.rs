//! How a finding stands.
//!
//! The state of a finding is computed when it is asked for, from the seeds that were run and the failures that were
//! met, so it cannot go stale and merging needs no rule for it. All that is stored is whether somebody closed it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Finding, Occurrence, Session, Swept};
use crate::seeds::SeedSet;

/// So many failures must have been expected for none to mean something: were the rate the old one, none would be seen
/// in one of e³ ≈ 20 cases.
const EXPECTED_MIN: f64 = 3.0;

/// How a finding stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The latest build has it, and none before had it.
    New,
    /// The latest build has it, as one before had.
    Ongoing,
    /// The latest build was not seen to have it, over too few seeds for that to say anything.
    Rare,
    /// Somebody closed it, or the latest build did not show it over seeds enough.
    Resolved,
}

impl State {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::New, Self::Ongoing, Self::Rare, Self::Resolved];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ongoing => "ongoing",
            Self::Rare => "rare",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Failures among seeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Rate {
    /// How many failed.
    pub failures: u64,
    /// How many were run.
    pub seeds: u64,
}

/// What stands of a finding in its own table.
pub struct Head {
    pub id: String,
    pub profile: String,
    pub signature: String,
    pub oracle: String,
    pub clause: String,
    pub closed_ms: Option<i64>,
    pub seen_ms: i64,
}

/// A session in which a finding was met.
pub struct Tally {
    pub session: String,
    pub failures: u64,
    pub first_seed: u64,
    pub last_seed: u64,
}

/// The sessions of one profile, in order.
#[derive(Default)]
pub struct Sessions<'a> {
    sessions: Vec<&'a Session>,
    /// Before each session, and after the last: the seeds that were run so far, each once for each build.
    seeds: Vec<u64>,
    places: BTreeMap<&'a str, usize>,
    done: BTreeMap<&'a str, SeedSet>,
    /// Whether two sessions of one build did the same seed. One ledger does not let them, but two that are joined may.
    pub overlap: bool,
}

impl<'a> Sessions<'a> {
    pub fn push(&mut self, swept: &'a Swept) {
        let Swept { session, seeds, sums: _ } = swept;
        // One that was killed before its first seed says nothing of its build.
        if seeds.ranges().is_empty() {
            return;
        }
        let done = self.done.entry(&session.version.build).or_default();
        let new = seeds.ranges().iter().flat_map(|range| done.gaps(*range));
        let new = new.fold(0_u64, |sum, gap| sum.saturating_add(gap.count()));
        self.overlap |= new < seeds.count();
        *done = done.ranges().iter().chain(seeds.ranges()).copied().collect();
        let before = self.seeds.last().copied().unwrap_or(0);
        if self.seeds.is_empty() {
            self.seeds.push(before);
        }
        self.seeds.push(before.saturating_add(new));
        self.places.insert(&session.id, self.sessions.len());
        self.sessions.push(session);
    }
}

/// What `tallies`, in the order of their sessions, make of a finding that has so many `failures`; `sessions` are all
/// of its profile.
pub fn judge(head: Head, failures: u64, tallies: &[Tally], sessions: &Sessions<'_>) -> Option<Finding> {
    let Sessions { sessions, seeds, places, .. } = sessions;
    let place = |tally: &Tally| places.get(tally.session.as_str()).copied();
    let (first, last) = (tallies.first()?, tallies.last()?);
    let (first_place, last_place) = (place(first)?, place(last)?);
    let seen = Rate { failures, seeds: seeds[last_place + 1] - seeds[first_place] };
    let seeds_since = seeds[sessions.len()] - seeds[last_place + 1];
    let expected_since = seeds_since as f64 * failures as f64 / seen.seeds.max(1) as f64;

    let latest = &sessions.last()?.version.build;
    let is_latest =
        |tally: &Tally| place(tally).is_some_and(|place| sessions[place].version.build == *latest);
    let (in_latest, before) = (tallies.iter().any(is_latest), !tallies.iter().all(is_latest));
    let is_back = head.closed_ms.is_some_and(|closed| head.seen_ms > closed);
    let is_closed = head.closed_ms.is_some() && !is_back;
    let state = match (in_latest, before) {
        _ if is_closed => State::Resolved,
        (true, false) => State::New,
        (true, true) => State::Ongoing,
        (false, _) if expected_since >= EXPECTED_MIN => State::Resolved,
        (false, _) => State::Rare,
    };
    let occurrence = |seed: u64, place: usize| {
        let Session { version, began_ms, .. } = sessions[place];
        Occurrence { seed, build: version.build.clone(), commit: version.commit.clone(), began_ms: *began_ms }
    };
    Some(Finding {
        state,
        failures,
        first: occurrence(first.first_seed, first_place),
        last: occurrence(last.last_seed, last_place),
        is_closed,
        is_back,
        seen,
        seeds_since,
        expected_since,
        id: head.id,
        signature: head.signature,
        oracle: head.oracle,
        clause: head.clause,
        profile: head.profile,
    })
}
