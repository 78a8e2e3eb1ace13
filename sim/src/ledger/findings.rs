//! Findings: what a ledger says of each kind of failure.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::row::from_row;
use super::state::{Head, Sessions, Tally, judge};
use super::{Ledger, LedgerError, Rate, State};

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
        let sessions = self.sessions()?;
        let read = || -> rusqlite::Result<Vec<(Head, Vec<Tally>)>> {
            let mut statement = self.connection.prepare(
                "SELECT finding.id, finding.profile, finding.signature, finding.oracle, finding.clause,
                     CASE WHEN finding.is_closed THEN finding.marked_ms END,
                     session.id, tally.failures, tally.first_seed, tally.last_seed
                 FROM finding JOIN tally ON tally.finding = finding.number
                 JOIN session ON session.number = tally.session
                 ORDER BY finding.number, session.began_ms, session.id",
            )?;
            let mut rows = statement.query(())?;
            let mut found: Vec<(Head, Vec<Tally>)> = Vec::new();
            while let Some(row) = rows.next()? {
                let head = head(row)?;
                if found.last().is_none_or(|(last, _)| last.id != head.id) {
                    found.push((head, Vec::new()));
                }
                if let Some((_, tallies)) = found.last_mut() {
                    tallies.push(Tally {
                        session: row.get(6)?,
                        failures: from_row(row.get(7)?),
                        first_seed: from_row(row.get(8)?),
                        last_seed: from_row(row.get(9)?),
                    });
                }
            }
            Ok(found)
        };
        let found = read().map_err(|error| self.failed(&error))?;
        let mut by_profile: BTreeMap<&str, Sessions<'_>> = BTreeMap::new();
        for (session, sums) in &sessions {
            by_profile.entry(&session.profile).or_default().push(session, sums);
        }
        let judged = found.into_iter().filter_map(|(head, tallies)| {
            let sessions = by_profile.get(head.profile.as_str())?;
            judge(head, &tallies, sessions)
        });
        let mut findings: Vec<Finding> = judged.collect();
        findings.sort_by(|one, other| {
            let order = |finding: &Finding| (finding.state, std::cmp::Reverse(finding.failures));
            order(one).cmp(&order(other)).then_with(|| one.id.cmp(&other.id))
        });
        Ok(findings)
    }

    /// The seeds of a finding's failures, at most `count` of them, in the order in which they were met.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn seeds_of(&self, id: &str, count: u64) -> Result<Vec<u64>, LedgerError> {
        let read = || -> rusqlite::Result<Vec<u64>> {
            let mut statement = self.connection.prepare(
                "SELECT failure.seed FROM finding JOIN failure ON failure.finding = finding.number
                 JOIN session ON session.number = failure.session WHERE finding.id = ?1
                 ORDER BY session.began_ms, session.id, failure.number LIMIT ?2",
            )?;
            let seeds = statement
                .query_map((id, i64::try_from(count).unwrap_or(i64::MAX)), |row| row.get(0).map(from_row))?;
            seeds.collect()
        };
        read().map_err(|error| self.failed(&error))
    }

    /// The failures of a build under a profile in the range `seeds`: seed, digest, and signature, in the order of the seeds.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or what `told` says.
    pub fn failures_in(
        &self,
        (build, profile): (&str, &str),
        seeds: crate::seeds::Seeds,
        mut told: impl FnMut(KnownFailure),
    ) -> Result<(), LedgerError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare(
                "SELECT failure.seed, finding.signature, finding.oracle, finding.clause, finding.shape,
                     failure.detail, failure.at_ns
                 FROM session JOIN failure ON failure.session = session.number
                 JOIN finding ON finding.number = failure.finding
                 WHERE session.build = ?1 AND session.profile = ?2 ORDER BY failure.seed < 0, failure.seed",
            )?;
            let mut rows = statement.query((build, profile))?;
            while let Some(row) = rows.next()? {
                let seed = from_row(row.get(0)?);
                if (seeds.first..=seeds.last).contains(&seed) {
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
            Ok(())
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

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        id: row.get(0)?,
        profile: row.get(1)?,
        signature: row.get(2)?,
        oracle: row.get(3)?,
        clause: row.get(4)?,
        closed_ms: row.get(5)?,
    })
}
