//! Findings: what a ledger says of each kind of failure.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::row::{from_row, to_row};
use super::state::{Head, Sessions, Tally, judge};
use super::{Ledger, LedgerError, Rate, Session, State, row, session};
use crate::coverage::Coverage;
use crate::seeds::SeedSet;

/// One failure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Occurrence {
    /// The seed.
    pub seed: u64,
    /// The build that ran it.
    pub build: String,
    /// Its commit, where it is known.
    pub commit: Option<String>,
    /// When its session began, in milliseconds since 1970.
    pub began_ms: i64,
}

/// All failures of one signature under one profile.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Finding {
    /// `F` and eight hexadecimal digits: a function of signature and profile.
    pub id: String,
    /// How it stands.
    pub state: State,
    /// Its signature.
    pub signature: String,
    /// Its oracle.
    pub oracle: String,
    /// Its clause.
    pub clause: String,
    /// The flags under which it was found.
    pub profile: String,
    /// How many failures there are.
    pub failures: u64,
    /// The first, in the order of sessions and seeds.
    pub first: Occurrence,
    /// The last.
    pub last: Occurrence,
    /// Whether somebody closed it, and it was not seen since.
    pub is_closed: bool,
    /// Whether somebody closed it, and it was seen again.
    pub is_back: bool,
    /// From the session in which it was first seen to the one in which it was last seen.
    pub seen: Rate,
    /// How many seeds were run after that.
    pub seeds_since: u64,
    /// How many failures `seeds_since` would have had at the rate of `seen`.
    pub expected_since: f64,
}

/// The id of the finding of `signature` under `profile`.
pub(super) fn id(profile: &str, signature: &str) -> String {
    let hash = xxh3_64(format!("{profile}\n{signature}").as_bytes());
    format!("F{:08x}", hash >> 32)
}

impl Ledger {
    /// All findings: by state, then by the number of failures, most first.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn findings(&self) -> Result<Vec<Finding>, LedgerError> {
        let read = || -> rusqlite::Result<Vec<Finding>> {
            // What is read belongs together, whatever a sweep writes meanwhile.
            let transaction = self.connection.unchecked_transaction()?;
            let swept = session::sessions(&transaction)?;
            let mut by_profile: BTreeMap<&str, Sessions<'_>> = BTreeMap::new();
            for swept in &swept {
                by_profile.entry(&swept.session.profile).or_default().push(swept);
            }
            let mut findings = Vec::new();
            for (number, head, tallies) in met(&transaction)? {
                let Some(sessions) = by_profile.get(head.profile.as_str()) else { continue };
                let failures = match sessions.overlap {
                    true => distinct(&transaction, number)?,
                    false => tallies.iter().fold(0_u64, |sum, tally| sum.saturating_add(tally.failures)),
                };
                findings.extend(judge(head, failures, &tallies, sessions));
            }
            Ok(findings)
        };
        let mut findings: Vec<Finding> = read().map_err(|error| self.failed(&error))?;
        findings.sort_by(|one, other| {
            let order = |finding: &Finding| (finding.state, std::cmp::Reverse(finding.failures));
            order(one).cmp(&order(other)).then_with(|| one.id.cmp(&other.id))
        });
        Ok(findings)
    }

    /// The seeds of a finding's failures, each once: the first `count` that were met, and how many there are.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn seeds_of(&self, id: &str, count: u64) -> Result<(Vec<u64>, u64), LedgerError> {
        let read = || -> rusqlite::Result<(Vec<u64>, u64)> {
            let mut statement = self.connection.prepare(
                "SELECT failure.seed, count(*) OVER () FROM finding JOIN failure ON failure.finding = finding.number
                 JOIN session ON session.number = failure.session WHERE finding.id = ?1
                 GROUP BY failure.seed ORDER BY min(session.began_ms), failure.seed < 0, failure.seed LIMIT ?2",
            )?;
            let mut rows = statement.query((id, i64::try_from(count).unwrap_or(i64::MAX)))?;
            let (mut seeds, mut all) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                seeds.push(from_row(row.get(0)?));
                all = from_row(row.get(1)?);
            }
            Ok((seeds, all))
        };
        read().map_err(|error| self.failed(&error))
    }

    /// What earlier sessions did of the sweep that `session` is to go on with: of a night, the sessions of that
    /// night; else, all of its build under its profile. The seeds come back and what they reached, and each failure is
    /// told, in the order of the seeds. What was reached is summed over whole intervals, of which some may have seeds
    /// before or after those of `session`.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn before(
        &self,
        session: &Session,
        mut told: impl FnMut(KnownFailure),
    ) -> Result<(SeedSet, Coverage), LedgerError> {
        let Session { version, profile, seeds, is_nightly, .. } = session;
        let (first, last) = (to_row(seeds.first), to_row(seeds.last));
        let of_the_sweep = (&version.build, profile, is_nightly, first, last);
        let mut read = || -> rusqlite::Result<(SeedSet, Coverage)> {
            let mut statement = self.connection.prepare(&format!(
                "SELECT interval.first, interval.last, interval.coverage FROM session
                 JOIN interval ON interval.session = session.number WHERE {OF_THE_SWEEP}"
            ))?;
            let mut rows = statement.query(of_the_sweep)?;
            let (mut ranges, mut coverage) = (Vec::new(), Coverage::default());
            while let Some(row) = rows.next()? {
                let range = row::seeds(row, 0, 1)?;
                ranges.push(range);
                if range.first <= seeds.last && seeds.first <= range.last {
                    coverage.merge(&row::json(row, 2)?);
                }
            }
            let done = ranges.into_iter().collect::<SeedSet>().within(*seeds);
            let mut statement = self.connection.prepare(&format!(
                "SELECT failure.seed, finding.signature, finding.oracle, finding.clause, finding.shape,
                     failure.detail, failure.at_ns
                 FROM session JOIN failure ON failure.session = session.number
                 JOIN finding ON finding.number = failure.finding
                 WHERE {OF_THE_SWEEP} GROUP BY failure.seed ORDER BY failure.seed < 0, failure.seed"
            ))?;
            let mut rows = statement.query(of_the_sweep)?;
            while let Some(row) = rows.next()? {
                let seed = from_row(row.get(0)?);
                if done.contains(seed) {
                    told(KnownFailure {
                        seed,
                        signature: row.get(1)?,
                        oracle: row.get(2)?,
                        clause: row.get(3)?,
                        shape: row.get(4)?,
                        detail: row.get(5)?,
                        at_ns: from_row(row.get(6)?),
                    });
                }
            }
            Ok((done, coverage))
        };
        read().map_err(|error| self.failed(&error))
    }

    /// A failure of `finding` whose schedule is kept: the first that the last build to have it recorded.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn example(&self, finding: &Finding) -> Result<Option<Example>, LedgerError> {
        let found = self.connection.query_row(
            "SELECT failure.seed, failure.at_ns, failure.detail, failure.digest, schedule.text
             FROM finding JOIN failure ON failure.finding = finding.number
             JOIN session ON session.number = failure.session JOIN schedule ON schedule.failure = failure.number
             WHERE finding.id = ?1
             ORDER BY session.build = ?2 DESC, session.began_ms, session.id, failure.number LIMIT 1",
            (&finding.id, &finding.last.build),
            |row| {
                Ok(Example {
                    seed: from_row(row.get(0)?),
                    at_ns: from_row(row.get(1)?),
                    detail: row.get(2)?,
                    digest: row.get(3)?,
                    schedule: row.get(4)?,
                })
            },
        );
        found.optional().map_err(|error| self.failed(&error))
    }

    /// Closes a finding, or opens it again. Says whether there is one of that id.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn mark(&self, id: &str, is_closed: bool, now_ms: i64) -> Result<bool, LedgerError> {
        let marked = self.connection.execute(
            "UPDATE finding SET is_closed = ?2, marked_ms = ?3 WHERE id = ?1",
            (id, is_closed, now_ms),
        );
        marked.map(|rows| rows > 0).map_err(|error| self.failed(&error))
    }
}

/// A failure that an earlier session recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownFailure {
    /// The seed.
    pub seed: u64,
    /// Its signature.
    pub signature: String,
    /// Its oracle.
    pub oracle: String,
    /// Its clause.
    pub clause: String,
    /// Its shape.
    pub shape: String,
    /// The case at hand.
    pub detail: String,
    /// When it was seen, in nanoseconds of virtual time.
    pub at_ns: u64,
}

/// A failure of a finding, with its schedule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Example {
    /// The seed.
    pub seed: u64,
    /// When it was seen, in nanoseconds of virtual time.
    pub at_ns: u64,
    /// The case at hand.
    pub detail: String,
    /// The digest of its run.
    pub digest: String,
    /// Its schedule.
    pub schedule: String,
}

/// Whether a session is one of a sweep that is gone on with.
const OF_THE_SWEEP: &str = "session.build = ?1 AND session.profile = ?2
     AND (NOT ?3 OR session.is_nightly AND session.first = ?4 AND session.last = ?5)";

/// Each finding, by its row, with the sessions that met it, in their order.
fn met(connection: &Connection) -> rusqlite::Result<Vec<(i64, Head, Vec<Tally>)>> {
    let mut statement = connection.prepare(
        "SELECT finding.number, finding.id, finding.profile, finding.signature, finding.oracle, finding.clause,
             CASE WHEN finding.is_closed THEN finding.marked_ms END, finding.seen_ms,
             session.id, tally.failures, tally.first_seed, tally.last_seed
         FROM finding JOIN tally ON tally.finding = finding.number
         JOIN session ON session.number = tally.session
         ORDER BY finding.number, session.began_ms, session.id",
    )?;
    let mut rows = statement.query(())?;
    let mut met: Vec<(i64, Head, Vec<Tally>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        if met.last().is_none_or(|(last, ..)| *last != number) {
            let head = Head {
                id: row.get(1)?,
                profile: row.get(2)?,
                signature: row.get(3)?,
                oracle: row.get(4)?,
                clause: row.get(5)?,
                closed_ms: row.get(6)?,
                seen_ms: row.get(7)?,
            };
            met.push((number, head, Vec::new()));
        }
        if let Some((.., tallies)) = met.last_mut() {
            tallies.push(Tally {
                session: row.get(8)?,
                failures: from_row(row.get(9)?),
                first_seed: from_row(row.get(10)?),
                last_seed: from_row(row.get(11)?),
            });
        }
    }
    Ok(met)
}

/// How many failures a finding has, where sessions of one build did the same seeds.
fn distinct(connection: &Connection, finding: i64) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM (SELECT DISTINCT session.build, failure.seed FROM failure
         JOIN session ON session.number = failure.session WHERE failure.finding = ?1)",
    )?;
    statement.query_row([finding], |row| row.get(0).map(from_row))
}
