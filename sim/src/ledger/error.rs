//! Why a ledger cannot be used, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// One line: which ledger, what is wrong with it, and what to do. Whoever calls needs to tell no two of them apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerError {
    path: PathBuf,
    reason: String,
}

impl LedgerError {
    pub(super) fn new(path: &Path, reason: String) -> Self {
        Self { path: path.to_owned(), reason }
    }

    pub(super) fn missing(path: &Path) -> Self {
        Self::new(path, "there is no ledger; a sweep begins one".to_owned())
    }

    pub(super) fn foreign(path: &Path) -> Self {
        Self::new(path, "is no ledger, and is left as it is; name another file".to_owned())
    }

    pub(super) fn damaged(path: &Path, what: &str) -> Self {
        let what = what.lines().last().unwrap_or_default();
        let reason =
            "is damaged, and is left as it is; put it back from a copy, or move it away and sweep anew";
        Self::new(path, format!("{reason} ({what})"))
    }

    pub(super) fn locked(path: &Path, holder: &str) -> Self {
        let holder = if holder.is_empty() { "another process" } else { holder };
        Self::new(
            path,
            format!("{holder} writes into it; wait for its end, or name another file with --ledger"),
        )
    }

    pub(super) fn unwritable(path: &Path, why: &str) -> Self {
        Self::new(
            path,
            format!("cannot be written ({why}); name another file with --ledger, or do with --no-ledger"),
        )
    }

    /// What an error of the database means for whoever uses the ledger.
    pub(super) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::foreign(path),
            // A table that is not there: SQLite has no better word for it.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => Self::damaged(path, &text),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::new(
                path,
                "another process holds it, and did not let go of it; look for what is stopped".to_owned(),
            ),
            Some(ErrorCode::ReadOnly) => Self::unwritable(path, &text),
            Some(ErrorCode::CannotOpen) => Self::new(
                path,
                format!("cannot be opened ({text}); is its folder there, and may it be written by you?"),
            ),
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => Self::new(
                path,
                format!(
                    "cannot be written or read ({text}): is the disk full? What was recorded before is kept"
                ),
            ),
            // A row that holds something else than the tables are made for.
            None if !matches!(error, rusqlite::Error::SqliteFailure(..)) => Self::damaged(path, &text),
            _ => Self::new(path, text),
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for LedgerError {}
