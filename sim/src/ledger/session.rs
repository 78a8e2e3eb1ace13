//! Sessions: one for each sweep.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use super::row::{from_row, to_row};
use super::{Ledger, LedgerError, Rate, row};
use crate::coverage::Coverage;
use crate::harness::Report;
use crate::seeds::{SeedSet, Seeds};
use crate::verdict::Verdict;

/// The code that ran.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// Equal exactly where a seed is the same run: a digest over the code, say, or over the program.
    pub build: String,
    /// The commit that it was built from, for people, where it is known.
    pub commit: Option<String>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| text.chars().take(12).collect::<String>();
        write!(f, "{}", short(&self.build))?;
        match &self.commit {
            Some(commit) => write!(f, " (commit {})", short(commit)),
            None => Ok(()),
        }
    }
}

/// One sweep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// 128 random bits in hexadecimal, by which it is known in every ledger.
    pub id: String,
    /// What ran.
    pub version: Version,
    /// The flags that changed what seeds draw.
    pub profile: String,
    /// What it was asked to sweep. How far it came is said by [`Ledger::done`].
    pub seeds: Seeds,
    /// Whether it passed over the seeds that another build had done.
    pub is_nightly: bool,
    /// How many threads.
    pub jobs: usize,
    /// When it began, in milliseconds since 1970.
    pub began_ms: i64,
    /// Why it ended; nothing when it was killed, or is under way.
    pub ending: Option<String>,
}

/// A session, and what it did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Swept {
    /// The session.
    pub session: Session,
    /// The seeds that it did.
    pub seeds: SeedSet,
    /// The sums over them.
    pub sums: Sums,
}

/// Sums over seeds that are done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Sums {
    /// How many seeds.
    pub seeds: u64,
    /// How many of them ended in a violation.
    pub failures: u64,
    /// Virtual time.
    pub virtual_time: Duration,
    /// Events.
    pub events: u64,
    /// Operations of clients.
    pub operations: u64,
    /// Faults that met somebody.
    pub faults: u64,
    /// How many seeds had a cluster of how many members.
    pub members: BTreeMap<u16, u64>,
    /// What they reached.
    pub coverage: Coverage,
}

impl Sums {
    /// Takes one run in; its cluster had so many members.
    pub fn add_run(&mut self, report: &Report, members: u16) {
        self.coverage.add(&report.reached);
        self.add(&Self {
            seeds: 1,
            failures: u64::from(report.verdict != Verdict::Pass),
            virtual_time: report.virtual_time,
            events: report.events,
            operations: report.operations,
            faults: report.faults,
            members: BTreeMap::from([(members, 1)]),
            coverage: Coverage::default(),
        });
    }

    /// Takes those of other seeds in.
    pub fn add(&mut self, other: &Self) {
        let Self { seeds, failures, virtual_time, events, operations, faults, members, coverage } = other;
        self.seeds = self.seeds.saturating_add(*seeds);
        self.failures = self.failures.saturating_add(*failures);
        self.virtual_time = self.virtual_time.saturating_add(*virtual_time);
        self.events = self.events.saturating_add(*events);
        self.operations = self.operations.saturating_add(*operations);
        self.faults = self.faults.saturating_add(*faults);
        for (size, seeds) in members {
            let known = self.members.entry(*size).or_default();
            *known = known.saturating_add(*seeds);
        }
        self.coverage.merge(coverage);
    }
}

/// The columns of a session, as [`session`] reads them.
pub(super) const COLUMNS: &str =
    "session.id, session.build, session.commit_id, session.profile, session.first, session.last,
     session.is_nightly, session.jobs, session.began_ms, session.ending";

/// The session that begins at the first column of `row`.
pub(super) fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        version: Version { build: row.get(1)?, commit: row.get(2)? },
        profile: row.get(3)?,
        seeds: row::seeds(row, 4, 5)?,
        is_nightly: row.get(6)?,
        jobs: usize::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
        began_ms: row.get(8)?,
        ending: row.get(9)?,
    })
}

/// Writes a session, unless the ledger has it, and says which row it is and whether that is new.
pub(super) fn write_session(connection: &Connection, session: &Session) -> rusqlite::Result<(i64, bool)> {
    let Session { id, version, profile, seeds, is_nightly, jobs, began_ms, ending } = session;
    let written = connection.execute(
        "INSERT OR IGNORE INTO session
             (id, build, commit_id, profile, first, last, is_nightly, jobs, began_ms, ending)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        (
            id,
            &version.build,
            &version.commit,
            profile,
            to_row(seeds.first),
            to_row(seeds.last),
            is_nightly,
            i64::try_from(*jobs).unwrap_or(i64::MAX),
            began_ms,
            ending,
        ),
    )?;
    let number = connection.query_row("SELECT number FROM session WHERE id = ?1", [id], |row| row.get(0))?;
    Ok((number, written > 0))
}

impl Ledger {
    /// The session that began last: under `profile`, or under any one.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn last_session(&self, profile: Option<&str>) -> Result<Option<Session>, LedgerError> {
        let query = format!(
            "SELECT {COLUMNS} FROM session WHERE ?1 IS NULL OR profile = ?1
             ORDER BY began_ms DESC, number DESC LIMIT 1"
        );
        let found = self.connection.query_row(&query, [profile], session).optional();
        found.map_err(|error| self.failed(&error))
    }

    /// All sessions, in the order in which they began.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn sessions(&self) -> Result<Vec<Swept>, LedgerError> {
        sessions(&self.connection).map_err(|error| self.failed(&error))
    }

    /// How many seeds are done, and how many of them failed; each once for each build and profile that did it.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn totals(&self) -> Result<Rate, LedgerError> {
        let failures = "SELECT count(*) FROM (SELECT DISTINCT session.build, session.profile, failure.seed
                        FROM failure JOIN session ON session.number = failure.session)";
        let failures = self.connection.query_row(failures, (), |row| row.get(0).map(from_row));
        let mut done: BTreeMap<(String, String), Vec<Seeds>> = BTreeMap::new();
        for Swept { session, seeds, sums: _ } in self.sessions()? {
            let known = done.entry((session.version.build, session.profile)).or_default();
            known.extend_from_slice(seeds.ranges());
        }
        let sets = done.into_values().map(|ranges| ranges.into_iter().collect::<SeedSet>());
        Ok(Rate {
            failures: failures.map_err(|error| self.failed(&error))?,
            seeds: sets.fold(0, |sum, set| sum.saturating_add(set.count())),
        })
    }
}

pub(super) fn sessions(connection: &Connection) -> rusqlite::Result<Vec<Swept>> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS}, interval.first, interval.last, interval.failures, interval.virtual_time_ns,
             interval.events, interval.operations, interval.faults, interval.members, interval.coverage
         FROM session LEFT JOIN interval ON interval.session = session.number
         ORDER BY session.began_ms, session.id, interval.first"
    ))?;
    let mut rows = statement.query(())?;
    let mut sessions: Vec<(Session, Vec<Seeds>, Sums)> = Vec::new();
    while let Some(row) = rows.next()? {
        let session = session(row)?;
        if sessions.last().is_none_or(|(last, ..)| last.id != session.id) {
            sessions.push((session, Vec::new(), Sums::default()));
        }
        let has_interval = row.get::<_, Option<i64>>(10)?.is_some();
        if let Some((_, ranges, sums)) = sessions.last_mut().filter(|_| has_interval) {
            let seeds = row::seeds(row, 10, 11)?;
            ranges.push(seeds);
            sums.add(&self::sums(seeds, row, 12)?);
        }
    }
    let swept = |(session, ranges, sums): (Session, Vec<Seeds>, Sums)| Swept {
        session,
        seeds: ranges.into_iter().collect(),
        sums,
    };
    Ok(sessions.into_iter().map(swept).collect())
}

/// The sums that begin at column `at` of `row`, over `seeds`.
pub(super) fn sums(seeds: Seeds, row: &Row<'_>, at: usize) -> rusqlite::Result<Sums> {
    let sum = |column: usize| row.get::<_, i64>(at + column).map(from_row);
    Ok(Sums {
        seeds: seeds.count(),
        failures: sum(0)?,
        virtual_time: Duration::from_nanos(sum(1)?),
        events: sum(2)?,
        operations: sum(3)?,
        faults: sum(4)?,
        members: row::json(row, at + 5)?,
        coverage: row::json(row, at + 6)?,
    })
}
