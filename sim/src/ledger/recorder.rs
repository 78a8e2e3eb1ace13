//! Recording a sweep, seed by seed.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Row, Transaction, TransactionBehavior};

use super::row::{sum_to_row, to_json, to_row};
use super::session::write_session;
use super::{Ledger, LedgerError, SCHEDULES_MAX, Session, Sums};
use crate::harness::Report;
use crate::seeds::{SeedSet, Seeds};
use crate::verdict::{Verdict, Violation};

/// The run of one seed, as it is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The seed.
    pub seed: u64,
    /// What came of it.
    pub report: &'a Report,
    /// How many members its cluster had.
    pub members: u16,
    /// Its schedule as text, where the run failed.
    pub schedule: Option<&'a str>,
}

/// What the ledger knew of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// Nothing: it is recorded now.
    New,
    /// The same: an earlier sweep of this build and profile did the seed.
    Again,
    /// Something else, although build and profile are the same: what it was.
    Otherwise(String),
}

/// A ledger with a session under way.
#[derive(Debug)]
pub struct Recorder {
    ledger: Ledger,
    session: i64,
    version: super::Version,
    profile: String,
    /// The seeds that earlier sessions of this build and profile did.
    done: SeedSet,
    /// The row that grows.
    interval: Option<(Seeds, Sums)>,
    began_ms: i64,
    /// By signature, as far as they were met: the row, and how many schedules are kept.
    findings: BTreeMap<String, (i64, u64)>,
    /// Findings that were met in seeds that are done again.
    seen: BTreeSet<i64>,
}

impl Ledger {
    /// Begins a session. The ledger was opened to be written.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn begin(self, session: &Session) -> Result<Recorder, LedgerError> {
        let (version, profile) = (session.version.clone(), session.profile.clone());
        let began_ms = session.began_ms;
        let done = self.done(&profile, Some(&version.build))?;
        let written = write_session(&self.connection, session);
        let (session, _) = written.map_err(|error| self.failed(&error))?;
        Ok(Recorder {
            ledger: self,
            session,
            version,
            profile,
            done,
            interval: None,
            began_ms,
            findings: BTreeMap::new(),
            seen: BTreeSet::new(),
        })
    }
}

impl Recorder {
    /// Records the run of a seed. When this returns, the process may be killed and the record stays.
    ///
    /// # Errors
    ///
    /// If it cannot be written: then nothing of this run is, and everything before it.
    pub fn record(&mut self, run: &Run<'_>) -> Result<Recorded, LedgerError> {
        let recorded = if self.done.contains(run.seed) { self.compare(run) } else { self.insert(run) };
        recorded.map_err(|error| self.ledger.failed(&error))
    }

    /// Ends the session; `ending` says why.
    ///
    /// # Errors
    ///
    /// If that cannot be written. What was recorded stays.
    pub fn end(self, ending: &str, now_ms: i64) -> Result<Ledger, LedgerError> {
        let ended = self.ledger.connection.execute(
            "UPDATE session SET ended_ms = ?2, ending = ?3 WHERE number = ?1",
            (self.session, now_ms, ending),
        );
        match ended {
            Ok(_) => Ok(self.ledger),
            Err(error) => Err(self.ledger.failed(&error)),
        }
    }

    fn insert(&mut self, run: &Run<'_>) -> rusqlite::Result<Recorded> {
        let interval = self.extended(run);
        let transaction = self.ledger.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        write_interval(&transaction, self.session, &interval)?;
        if let Verdict::Violation { violation, at } = &run.report.verdict {
            let signature = violation.signature();
            let (finding, schedules) = match self.findings.get(&signature) {
                Some(known) => *known,
                None => {
                    let finding = finding(&transaction, &self.profile, violation, self.began_ms)?;
                    (finding, schedules(&transaction, finding, &self.version.build)?)
                }
            };
            let failure = Failure {
                seed: run.seed,
                digest: &run.report.digest.to_string(),
                at_ns: at.as_nanos(),
                detail: &violation.detail,
                schedule: run.schedule.filter(|_| schedules < SCHEDULES_MAX),
            };
            write_failure(&transaction, self.session, finding, &failure)?;
            self.findings.insert(signature, (finding, schedules + u64::from(failure.schedule.is_some())));
        }
        transaction.commit()?;
        self.interval = Some(interval);
        Ok(Recorded::New)
    }

    /// The interval with the seed of `run` in it: the one that grows, or a new one.
    fn extended(&self, run: &Run<'_>) -> (Seeds, Sums) {
        let (first, mut sums) = match &self.interval {
            Some((seeds, sums)) if seeds.last.checked_add(1) == Some(run.seed) => (seeds.first, sums.clone()),
            _ => (run.seed, Sums::default()),
        };
        sums.add_run(run.report, run.members);
        (Seeds { first, last: run.seed }, sums)
    }

    fn compare(&mut self, run: &Run<'_>) -> rusqlite::Result<Recorded> {
        let connection = &self.ledger.connection;
        let known = known_failure(connection, (&self.version.build, &self.profile), run.seed)?;
        let digest = run.report.digest.to_string();
        Ok(match (known, run.report.verdict.signature()) {
            (None, None) => Recorded::Again,
            (Some(known), Some(_)) if known.digest == digest => {
                if self.seen.insert(known.finding) {
                    let see = "UPDATE finding SET seen_ms = max(seen_ms, ?2) WHERE number = ?1";
                    connection.execute(see, (known.finding, self.began_ms))?;
                }
                Recorded::Again
            }
            (None, Some(_)) => Recorded::Otherwise("pass".to_owned()),
            (Some(Known { signature, digest, .. }), _) => {
                Recorded::Otherwise(format!("{signature}, digest {digest}"))
            }
        })
    }
}

/// A failure, as a row.
pub(super) struct Failure<'a> {
    pub seed: u64,
    pub digest: &'a str,
    pub at_ns: u64,
    pub detail: &'a str,
    pub schedule: Option<&'a str>,
}

/// A failure that is recorded.
pub(super) struct Known {
    pub finding: i64,
    pub signature: String,
    pub digest: String,
}

/// The failure of `seed` in this build and profile.
pub(super) fn known_failure(
    connection: &rusqlite::Connection,
    (build, profile): (&str, &str),
    seed: u64,
) -> rusqlite::Result<Option<Known>> {
    let mut statement = connection.prepare_cached(
        "SELECT finding.number, finding.signature, failure.digest FROM failure
         JOIN session ON session.number = failure.session JOIN finding ON finding.number = failure.finding
         WHERE failure.seed = ?1 AND session.build = ?2 AND session.profile = ?3 LIMIT 1",
    )?;
    let known =
        |row: &Row<'_>| Ok(Known { finding: row.get(0)?, signature: row.get(1)?, digest: row.get(2)? });
    statement.query_row((to_row(seed), build, profile), known).optional()
}

/// Writes an interval over the one with the same beginning.
pub(super) fn write_interval(
    transaction: &Transaction<'_>,
    session: i64,
    (seeds, sums): &(Seeds, Sums),
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO interval
             (session, first, last, failures, virtual_time_ns, events, operations, faults, members, coverage)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let virtual_time_ns = u64::try_from(sums.virtual_time.as_nanos()).unwrap_or(u64::MAX);
    statement.execute((
        session,
        to_row(seeds.first),
        to_row(seeds.last),
        sum_to_row(sums.failures),
        sum_to_row(virtual_time_ns),
        sum_to_row(sums.events),
        sum_to_row(sums.operations),
        sum_to_row(sums.faults),
        to_json(&sums.members)?,
        to_json(&sums.coverage)?,
    ))?;
    Ok(())
}

/// The row of the finding that `violation` is under `profile`, which a sweep that began then has seen.
fn finding(
    transaction: &Transaction<'_>,
    profile: &str,
    violation: &Violation,
    began_ms: i64,
) -> rusqlite::Result<i64> {
    let signature = violation.signature();
    let id = super::findings::id(profile, &signature);
    let texts = [&id, profile, &signature, violation.oracle, violation.clause, &violation.shape];
    see_finding(transaction, texts, began_ms)
}

/// Writes a finding (id, profile, signature, oracle, clause, shape) that was seen then, and says which row it is.
pub(super) fn see_finding(
    transaction: &Transaction<'_>,
    [id, profile, signature, oracle, clause, shape]: [&str; 6],
    seen_ms: i64,
) -> rusqlite::Result<i64> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO finding (id, profile, signature, oracle, clause, shape, seen_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (profile, signature) DO UPDATE SET seen_ms = max(seen_ms, excluded.seen_ms)
         RETURNING number",
    )?;
    statement.query_row((id, profile, signature, oracle, clause, shape, seen_ms), |row| row.get(0))
}

/// How many schedules of `finding` are kept of runs of `build`.
fn schedules(transaction: &Transaction<'_>, finding: i64, build: &str) -> rusqlite::Result<u64> {
    let count: i64 = transaction.query_row(
        "SELECT count(*) FROM schedule JOIN failure ON failure.number = schedule.failure
         JOIN session ON session.number = failure.session WHERE failure.finding = ?1 AND session.build = ?2",
        (finding, build),
        |row| row.get(0),
    )?;
    Ok(super::from_row(count))
}

/// Writes a failure and counts it, unless the session has it already. Says whether it was written.
pub(super) fn write_failure(
    transaction: &Transaction<'_>,
    session: i64,
    finding: i64,
    failure: &Failure<'_>,
) -> rusqlite::Result<bool> {
    let number: Option<i64> = transaction
        .prepare_cached(
            "INSERT INTO failure (seed, session, finding, digest, at_ns, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO NOTHING RETURNING number",
        )?
        .query_row(
            (
                to_row(failure.seed),
                session,
                finding,
                failure.digest,
                sum_to_row(failure.at_ns),
                failure.detail,
            ),
            |row| row.get(0),
        )
        .optional()?;
    let Some(number) = number else { return Ok(false) };
    if let Some(text) = failure.schedule {
        let mut statement =
            transaction.prepare_cached("INSERT INTO schedule (failure, text) VALUES (?1, ?2)")?;
        statement.execute((number, text))?;
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO tally (finding, session, failures, first_seed, last_seed) VALUES (?1, ?2, 1, ?3, ?3)
         ON CONFLICT DO UPDATE SET failures = failures + 1, last_seed = excluded.last_seed",
    )?;
    statement.execute((finding, session, to_row(failure.seed)))?;
    Ok(true)
}
