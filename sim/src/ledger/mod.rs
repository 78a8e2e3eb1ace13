//! What sweeps did and found, in a file that outlives them: an embedded SQL database (SQLite).
//!
//! ```text
//!  sweep ──Recorder──> session ─┬─ interval   seeds first..=last are done, with their sums: one row, however long
//!                               └─ failure ── finding   one signature under one profile: new, ongoing, ...
//!                                     └────── schedule  of the first failures of each finding
//! ```
//!
//! | noun | meaning |
//! | --- | --- |
//! | session | one sweep, from its start to its end: which build, which profile, which seeds |
//! | build | the code that ran. Two runs of a seed are comparable within one build only |
//! | profile | the flags that change what a seed draws. Under another profile a seed is another run |
//! | finding | all failures of one signature under one profile; see [`State`] |
//!
//! A seed is in the ledger from the moment at which its record is committed, which is once for each seed, so a
//! process that is killed loses the runs that were under way and no other. SQLite's write-ahead log makes a commit
//! cheap: none waits for the disk. What that may lose is the last commits, when the machine loses its power, and
//! never what was before them.
//!
//! One sweep writes at a time, which a lock file beside the ledger sees to (SQLite alone would let two take turns);
//! any number of processes read meanwhile. A ledger is for one system. Its file has a number of format, and one of
//! another format is refused.
//!
//! Times of day are given by the caller, in milliseconds since 1970: this crate asks no clock.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::coverage::Coverage;
use crate::seeds::SeedSet;

mod error;
mod findings;
mod merge;
mod recorder;
mod row;
mod session;
mod state;

pub use error::LedgerError;
pub use findings::{Example, Finding, KnownFailure, Occurrence};
pub use merge::{Joining, Merged};
pub use recorder::{Recorded, Recorder, Run};
pub use session::{Session, Sums, Swept, Version};
pub use state::{Rate, State};

use self::row::from_row;

/// Of each finding, in one build, the schedules of so many failures are kept; of the others, seed and digest.
pub const SCHEDULES_MAX: u64 = 100;

/// Marks the file as a ledger: `vtbr`.
const APPLICATION: i32 = 0x7674_6272;
/// Changes with each change of the tables.
const FORMAT: i32 = 2;
/// How the file of a lock begins.
const HOLDER: &str = "locked by ";
/// A reader keeps a writer waiting for milliseconds at most; this is for machines that stand still.
const PATIENCE: Duration = Duration::from_secs(20);

/// A ledger, open.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
    /// Held as long as this process is the one that sweeps into it.
    lock: Option<File>,
}

impl Ledger {
    /// Opens the ledger of `system` at `path` to read it.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read: see [`LedgerError`].
    pub fn read(path: &Path, system: &str) -> Result<Self, LedgerError> {
        if !path.try_exists().map_err(|error| LedgerError::new(path, error.to_string()))? {
            return Err(LedgerError::missing(path));
        }
        let ledger = Self::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, None)?;
        ledger.check(system)?;
        Ok(ledger)
    }

    /// Opens a ledger to change what people say of its findings. That disturbs no sweep, so it takes no lock.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be written.
    pub fn amend(path: &Path, system: &str) -> Result<Self, LedgerError> {
        Self::read(path, system)?;
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, None)
    }

    /// Opens a ledger for a sweep, or makes it, and keeps other sweeps out. `writer` is told to those.
    ///
    /// # Errors
    ///
    /// When another process sweeps into it, or it cannot be written, or it is damaged.
    pub fn write(path: &Path, system: &str, writer: &str) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::of(path, &error);
        let unwritable = |error: std::io::Error| LedgerError::unwritable(path, &error.to_string());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(unwritable)?;
        }
        if path.metadata().is_ok_and(|file| file.len() > 0) {
            // What is no ledger gets no lock beside it.
            Self::read(path, system)?;
        } else {
            // Before the lock, which is beside the file itself, whatever link leads to it.
            File::options().append(true).create(true).open(path).map_err(unwritable)?;
        }
        let lock = lock(path, writer)?;
        let ledger = Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, Some(lock))?;
        if ledger.is_empty().map_err(failed)? {
            ledger.create(system).map_err(failed)?;
        }
        ledger.check(system)?;
        ledger.check_pages().map_err(failed)?;
        // The log makes commits cheap. A commit that is in it survives the process; it reaches the disk now and then.
        ledger.connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        ledger.connection.pragma_update(None, "synchronous", "normal").map_err(failed)?;
        Ok(ledger)
    }

    fn open(path: &Path, flags: OpenFlags, lock: Option<File>) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::of(path, &error);
        if !path.is_file() {
            return Err(LedgerError::new(path, "is no file; name one".to_owned()));
        }
        // To SQLite, some names that are not absolute are no files: `:memory:`, or what begins with `file:`.
        let real = path.canonicalize().map_err(|error| LedgerError::new(path, error.to_string()))?;
        let connection =
            Connection::open_with_flags(&real, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        Ok(Self { connection, path: path.to_owned(), lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The seeds that were done under `profile`: in `build`, or in any one.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn done(&self, profile: &str, build: Option<&str>) -> Result<SeedSet, LedgerError> {
        let intervals = || -> rusqlite::Result<SeedSet> {
            let mut statement = self.connection.prepare(
                "SELECT interval.first, interval.last FROM interval JOIN session ON session.number = interval.session
                 WHERE session.profile = ?1 AND (?2 IS NULL OR session.build = ?2)",
            )?;
            let ranges = statement.query_map((profile, build), |row| row::seeds(row, 0, 1))?;
            ranges.collect()
        };
        intervals().map_err(|error| self.failed(&error))
    }

    /// What the seeds that were done under `profile` in `build` reached. A seed that two sessions did, which only
    /// ledgers that were joined have, is counted for each of them, also in `seeds`.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn coverage(&self, profile: &str, build: &str) -> Result<Coverage, LedgerError> {
        let read = || -> rusqlite::Result<Coverage> {
            let mut statement = self.connection.prepare(
                "SELECT interval.coverage FROM interval JOIN session ON session.number = interval.session
                 WHERE session.profile = ?1 AND session.build = ?2",
            )?;
            let mut rows = statement.query((profile, build))?;
            let mut sum = Coverage::default();
            while let Some(row) = rows.next()? {
                sum.merge(&row::json(row, 0)?);
            }
            Ok(sum)
        };
        read().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> LedgerError {
        LedgerError::of(&self.path, error)
    }

    fn is_empty(&self) -> rusqlite::Result<bool> {
        let tables: i64 =
            self.connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        let application: i32 =
            self.connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok(tables == 0 && application == 0)
    }

    fn create(&self, system: &str) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute_batch(include_str!("schema.sql"))?;
        transaction.execute("INSERT INTO ledger (system) VALUES (?1)", [system])?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.commit()
    }

    /// Whether it is a ledger, of this format, for this system.
    fn check(&self, system: &str) -> Result<(), LedgerError> {
        let look = || -> rusqlite::Result<(i32, i32, Option<String>)> {
            let number = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get(0));
            let (application, format) = (number("application_id")?, number("user_version")?);
            let known = (application, format) == (APPLICATION, FORMAT);
            let system = match known {
                true => {
                    self.connection.query_row("SELECT system FROM ledger", (), |row| row.get(0)).optional()?
                }
                false => None,
            };
            Ok((application, format, system))
        };
        let refuse = |reason: String| Err(LedgerError::new(&self.path, reason));
        match look().map_err(|error| self.failed(&error))? {
            (APPLICATION, FORMAT, Some(own)) if own == system => Ok(()),
            (APPLICATION, FORMAT, Some(own)) => {
                refuse(format!("it is a ledger of the system `{own}`, and this is `{system}`"))
            }
            (APPLICATION, FORMAT, None) => Err(LedgerError::damaged(&self.path, "it names no system")),
            (APPLICATION, format, _) => refuse(format!(
                "its format is {format}, and this version reads {FORMAT}; use the version that made it, or another file"
            )),
            _ => Err(LedgerError::foreign(&self.path)),
        }
    }

    /// A look at every page, before anything is written between damaged ones.
    fn check_pages(&self) -> rusqlite::Result<()> {
        let found: String = self.connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
        match found.as_str() {
            "ok" => Ok(()),
            _ => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(found),
            )),
        }
    }
}

impl Drop for Ledger {
    /// A ledger into which nobody sweeps is one file, which can be copied and read where nothing can be written.
    /// Whoever reads it now keeps it from that, and then the next sweep does it.
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = self.connection.busy_timeout(Duration::ZERO);
            let _ = self.connection.pragma_update(None, "journal_mode", "delete");
        }
    }
}

/// Takes the lock of the ledger at `path`, for as long as the file that is returned stays open: the system takes it
/// back from a process that is killed.
fn lock(path: &Path, writer: &str) -> Result<File, LedgerError> {
    let failed = |error: std::io::Error| LedgerError::unwritable(path, &error.to_string());
    let mut name = path.canonicalize().map_err(failed)?.into_os_string();
    name.push("-lock");
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&name).map_err(failed)?;
    let mut holder = String::new();
    let read = (&file).take(200).read_to_string(&mut holder);
    match file.try_lock() {
        Ok(()) if read.is_ok() && (holder.is_empty() || holder.starts_with(HOLDER)) => {
            let told = file.set_len(0).and_then(|()| file.rewind());
            told.and_then(|()| write!(file, "{HOLDER}{writer}")).map_err(failed)?;
            Ok(file)
        }
        Ok(()) => {
            let name = Path::new(&name).display();
            Err(LedgerError::new(path, format!("its lock would be {name}, and that is something else")))
        }
        Err(TryLockError::WouldBlock) => {
            Err(LedgerError::locked(path, holder.strip_prefix(HOLDER).unwrap_or_default()))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
