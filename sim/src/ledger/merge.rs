//! Joining ledgers: the shards of one sweep, or the sweeps of many machines.
//!
//! A session has the same id in every ledger, and only grows. So joining is taking the union of sessions, of each the
//! longer one, and of failures: whatever is joined in whatever order and however often, the result is the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior};

use super::recorder::{self, Failure, see_finding, write_failure, write_interval};
use super::row::{from_row, to_row};
use super::session::{self, sums, write_session};
use super::{Ledger, LedgerError, Session, Swept, row};
use crate::seeds::{SeedSet, Seeds};

/// What may be joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joining {
    /// What one build did under one profile.
    OneSweep,
    /// Anything: each build and profile stays a part of its own.
    History,
}

/// What came of joining ledgers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Merged {
    /// Sessions that were not known.
    pub sessions: u64,
    /// Failures that were not known.
    pub failures: u64,
}

impl Ledger {
    /// Takes everything in that the ledgers at `paths` hold, or nothing.
    ///
    /// # Errors
    ///
    /// When they do not belong together (see [`Joining`]), when one of them says that a seed ended otherwise than
    /// another says, or when one cannot be read or this one not be written.
    pub fn merge(&mut self, paths: &[PathBuf], joining: Joining) -> Result<Merged, LedgerError> {
        let system: String = self
            .connection
            .query_row("SELECT system FROM ledger", (), |row| row.get(0))
            .map_err(|error| self.failed(&error))?;
        let mut first = None;
        self.fits(joining, &mut first)?;
        check(paths, &system, joining, &mut first)?;
        let own = &self.path;
        let failed = |error| LedgerError::of(own, &error);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut merged = Merged::default();
        for path in paths {
            let other = Self::read(path, &system)?;
            join(&transaction, &other, &mut merged).map_err(|trouble| match trouble {
                Trouble::Here(error) => failed(error),
                Trouble::There(error) => LedgerError::of(path, &error),
                Trouble::Contradiction(reason) => LedgerError::new(path, reason),
            })?;
        }
        match contradiction(&transaction).map_err(failed)? {
            None => transaction.commit().map_err(failed)?,
            Some(reason) => return Err(LedgerError::new(own, reason)),
        }
        Ok(merged)
    }

    /// Whether the ledgers at `paths` can be joined with each other.
    ///
    /// # Errors
    ///
    /// When they do not belong together, or one cannot be read.
    pub fn check_joining(paths: &[PathBuf], system: &str, joining: Joining) -> Result<(), LedgerError> {
        check(paths, system, joining, &mut None)
    }

    /// Whether all sessions have the build and the profile of `first`, which is the first that there is in any ledger.
    fn fits(&self, joining: Joining, first: &mut Option<Session>) -> Result<(), LedgerError> {
        if joining == Joining::History {
            return Ok(());
        }
        for Swept { session, .. } in self.sessions()? {
            let first = first.get_or_insert_with(|| session.clone());
            let flags = |profile: &str| match profile {
                "" => "no flags that change what a seed draws".to_owned(),
                flags => format!("`{flags}`"),
            };
            let difference = if session.version.build != first.version.build {
                format!("build {} made it, and build {} another one", session.version, first.version)
            } else if session.profile != first.profile {
                format!(
                    "it was made with {}, and another one with {}",
                    flags(&session.profile),
                    flags(&first.profile)
                )
            } else {
                continue;
            };
            let reason = "a seed is another run there; --history joins them all the same, each for itself";
            return Err(LedgerError::new(&self.path, format!("{difference}; {reason}")));
        }
        Ok(())
    }
}

fn check(
    paths: &[PathBuf],
    system: &str,
    joining: Joining,
    first: &mut Option<Session>,
) -> Result<(), LedgerError> {
    // One at a time, so that there may be more of them than a process may have files.
    paths.iter().try_for_each(|path| Ledger::read(path, system)?.fits(joining, first))
}

/// What went wrong, and in which ledger.
enum Trouble {
    Here(rusqlite::Error),
    There(rusqlite::Error),
    /// Two ledgers, or two sessions of one, say of a seed that it ended otherwise.
    Contradiction(String),
}

const ONE_BUILD: &str = "although it is one build: that is non-determinism. Nothing was joined";

fn join(transaction: &Transaction<'_>, other: &Ledger, merged: &mut Merged) -> Result<(), Trouble> {
    // What is read belongs together, whatever a sweep writes meanwhile.
    let _snapshot = other.connection.unchecked_transaction().map_err(Trouble::There)?;
    let (sessions, new) = join_sessions(transaction, other)?;
    join_intervals(transaction, other, &sessions)?;
    let findings = join_findings(transaction, other)?;
    merged.sessions += new;
    merged.failures += join_failures(transaction, other, &sessions, &findings)?;
    Ok(())
}

/// Rows of the one ledger, by those of the other.
type Rows = BTreeMap<i64, i64>;

fn join_sessions(transaction: &Transaction<'_>, other: &Ledger) -> Result<(Rows, u64), Trouble> {
    let query = format!("SELECT {}, session.ended_ms, session.number FROM session", session::COLUMNS);
    let mut statement = other.connection.prepare(&query).map_err(Trouble::There)?;
    let mut rows = statement.query(()).map_err(Trouble::There)?;
    let (mut numbers, mut new) = (Rows::new(), 0);
    while let Some(row) = rows.next().map_err(Trouble::There)? {
        let read = || Ok((session::session(row)?, row.get::<_, Option<i64>>(10)?, row.get::<_, i64>(11)?));
        let (session, ended_ms, number) = read().map_err(Trouble::There)?;
        let write = || {
            let (number, is_new) = write_session(transaction, &session)?;
            // One of them may be a copy from before its end.
            transaction.execute(
                "UPDATE session SET ended_ms = coalesce(ended_ms, ?2), ending = coalesce(ending, ?3)
                 WHERE number = ?1",
                (number, ended_ms, &session.ending),
            )?;
            Ok((number, is_new))
        };
        let (own, is_new) = write().map_err(Trouble::Here)?;
        new += u64::from(is_new);
        numbers.insert(number, own);
    }
    Ok((numbers, new))
}

fn join_intervals(transaction: &Transaction<'_>, other: &Ledger, sessions: &Rows) -> Result<(), Trouble> {
    let query = "SELECT session, first, last, failures, virtual_time_ns, events, operations, faults, members,
                     coverage
                 FROM interval";
    let mut statement = other.connection.prepare(query).map_err(Trouble::There)?;
    let mut rows = statement.query(()).map_err(Trouble::There)?;
    while let Some(row) = rows.next().map_err(Trouble::There)? {
        let read = || {
            let seeds = row::seeds(row, 1, 2)?;
            Ok((row.get::<_, i64>(0)?, seeds, sums(seeds, row, 3)?))
        };
        let (session, seeds, sums) = read().map_err(Trouble::There)?;
        let Some(session) = sessions.get(&session).copied() else { continue };
        let write = || {
            let known: Option<i64> = transaction
                .prepare_cached("SELECT last FROM interval WHERE session = ?1 AND first = ?2")?
                .query_row((session, to_row(seeds.first)), |row| row.get(0))
                .optional()?;
            match known.map(from_row) {
                Some(known) if known >= seeds.last => Ok(()),
                _ => write_interval(transaction, session, &(seeds, sums.clone())),
            }
        };
        write().map_err(Trouble::Here)?;
    }
    Ok(())
}

fn join_findings(transaction: &Transaction<'_>, other: &Ledger) -> Result<Rows, Trouble> {
    let query = "SELECT number, id, profile, signature, oracle, clause, shape, is_closed, marked_ms, seen_ms FROM finding";
    let mut statement = other.connection.prepare(query).map_err(Trouble::There)?;
    let mut rows = statement.query(()).map_err(Trouble::There)?;
    let mut numbers = Rows::new();
    while let Some(row) = rows.next().map_err(Trouble::There)? {
        let text = |column: usize| row.get::<_, String>(column);
        let read = || {
            let texts = [text(1)?, text(2)?, text(3)?, text(4)?, text(5)?, text(6)?];
            let marked = (row.get::<_, bool>(7)?, row.get::<_, Option<i64>>(8)?);
            Ok((row.get::<_, i64>(0)?, texts, marked, row.get::<_, i64>(9)?))
        };
        let (number, texts, (is_closed, marked_ms), seen_ms) = read().map_err(Trouble::There)?;
        let write = || {
            let own = see_finding(transaction, texts.each_ref().map(String::as_str), seen_ms)?;
            // What was said last holds.
            transaction.execute(
                "UPDATE finding SET is_closed = ?2, marked_ms = ?3
                 WHERE number = ?1 AND ?3 IS NOT NULL AND ?3 > coalesce(marked_ms, -1)",
                (own, is_closed, marked_ms),
            )?;
            Ok(own)
        };
        numbers.insert(number, write().map_err(Trouble::Here)?);
    }
    Ok(numbers)
}

fn join_failures(
    transaction: &Transaction<'_>,
    other: &Ledger,
    sessions: &Rows,
    findings: &Rows,
) -> Result<u64, Trouble> {
    let query = "SELECT failure.session, failure.finding, failure.seed, failure.digest, failure.at_ns, failure.detail,
                     schedule.text, session.build, session.profile, finding.signature
                 FROM failure JOIN session ON session.number = failure.session
                 JOIN finding ON finding.number = failure.finding
                 LEFT JOIN schedule ON schedule.failure = failure.number ORDER BY failure.number";
    let mut statement = other.connection.prepare(query).map_err(Trouble::There)?;
    let mut rows = statement.query(()).map_err(Trouble::There)?;
    let mut new = 0;
    while let Some(row) = rows.next().map_err(Trouble::There)? {
        let text = |column: usize| row.get::<_, String>(column);
        let read = || {
            let (session, finding) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
            let numbers = (from_row(row.get(2)?), from_row(row.get(4)?));
            let texts = [text(3)?, text(5)?, text(7)?, text(8)?, text(9)?];
            Ok((session, finding, numbers, texts, row.get::<_, Option<String>>(6)?))
        };
        let (session, finding, (seed, at_ns), texts, schedule) = read().map_err(Trouble::There)?;
        let [digest, detail, build, profile, signature] = &texts;
        let (Some(session), Some(finding)) = (sessions.get(&session), findings.get(&finding)) else {
            continue;
        };
        let known = recorder::known_failure(transaction, (build, profile), seed).map_err(Trouble::Here)?;
        if let Some(known) = known.filter(|known| known.digest != *digest) {
            return Err(Trouble::Contradiction(format!(
                "seed {seed} ended as {signature} with digest {digest}, and elsewhere as {} with digest {}, {ONE_BUILD}",
                known.signature, known.digest
            )));
        }
        let failure = Failure { seed, digest, at_ns, detail, schedule: schedule.as_deref() };
        let written = write_failure(transaction, *session, *finding, &failure).map_err(Trouble::Here)?;
        new += u64::from(written);
    }
    Ok(new)
}

/// A seed that failed in one session and passed in another of the same build and profile, if there is one.
fn contradiction(transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
    let mut sweeps: BTreeMap<(String, String), Vec<SeedSet>> = BTreeMap::new();
    for Swept { session, seeds, sums: _ } in session::sessions(transaction)? {
        sweeps.entry((session.version.build, session.profile)).or_default().push(seeds);
    }
    for ((build, profile), sessions) in sweeps {
        let twice = overlaps(&sessions);
        if !twice.ranges().is_empty() {
            let mut statement = transaction.prepare_cached(
                "SELECT failure.seed, finding.signature, count(*) FROM session
                 JOIN failure ON failure.session = session.number JOIN finding ON finding.number = failure.finding
                 WHERE session.build = ?1 AND session.profile = ?2 GROUP BY failure.seed",
            )?;
            let mut rows = statement.query((&build, &profile))?;
            while let Some(row) = rows.next()? {
                let (seed, failed) = (from_row(row.get(0)?), from_row(row.get(2)?));
                let done = sessions.iter().filter(|seeds| seeds.contains(seed)).count() as u64;
                if twice.contains(seed) && failed < done {
                    let signature: String = row.get(1)?;
                    let ended =
                        format!("seed {seed} ended as {signature} in one sweep, and passed in another one");
                    return Ok(Some(format!("{ended}, {ONE_BUILD}")));
                }
            }
        }
    }
    Ok(None)
}

/// The seeds that are in more than one of the sets.
fn overlaps(sets: &[SeedSet]) -> SeedSet {
    let mut ranges: Vec<Seeds> = sets.iter().flat_map(|set| set.ranges()).copied().collect();
    ranges.sort_unstable();
    let mut furthest: Option<u64> = None;
    let mut twice = Vec::new();
    for range in ranges {
        if let Some(last) = furthest.filter(|last| *last >= range.first) {
            twice.push(Seeds { first: range.first, last: last.min(range.last) });
        }
        furthest = furthest.max(Some(range.last));
    }
    twice.into_iter().collect()
}
