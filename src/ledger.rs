//! Where the ledger is.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use vertebra_sim::ledger::{Finding, Ledger, LedgerError};

use crate::Subject;
use crate::exit::Refusal;
use crate::git::{Git, name_of};
use crate::words::shell_quoted;

/// The flag that names the ledger.
#[derive(Args, Clone, Debug, Default)]
pub struct Place {
    /// The ledger, which keeps what sweeps do and find [default: in the user's data directory, named for the
    /// repository]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Ledger")]
    ledger: Option<PathBuf>,
}

impl Place {
    /// Its file.
    /// Its file.
    pub fn path(&self) -> Result<PathBuf, Refusal> {
        self.ledger.clone().map_or_else(default_path, Ok)
    }

    /// The flag as it was given, after a space.
    pub fn flag(&self) -> String {
        self.ledger
            .as_ref()
            .map_or(String::new(), |path| format!(" --ledger {}", shell_quoted(&path.to_string_lossy())))
    }

    /// The flag as a process takes it.
    pub fn arguments(&self) -> Vec<OsString> {
        self.ledger.iter().flat_map(|path| [OsString::from("--ledger"), path.into()]).collect()
    }

    /// Opens it to be read.
    pub fn read<S: Subject>(&self) -> Result<Ledger, Refusal> {
        Ok(Ledger::read(&self.path()?, S::NAME)?)
    }

    /// Opens it for a sweep.
    pub fn write<S: Subject>(&self) -> Result<Ledger, Refusal> {
        let writer = format!("another sweep (process {})", std::process::id());
        Ok(Ledger::write(&self.path()?, S::NAME, &writer)?)
    }

    /// Opens it to change what people say of its findings.
    pub fn amend<S: Subject>(&self) -> Result<Ledger, Refusal> {
        Ok(Ledger::amend(&self.path()?, S::NAME)?)
    }
}

/// The finding whose id begins with `id`.
pub fn finding(ledger: &Ledger, id: &str) -> Result<Finding, Refusal> {
    let mut fitting = ledger.findings()?;
    fitting.retain(|finding| finding.id.starts_with(id));
    match fitting.len() {
        1 => Ok(fitting.swap_remove(0)),
        0 => {
            let path = ledger.path().display();
            Err(Refusal::new(format!(
                "{path}: there is no failure {id}; `vertebra failures` lists those there are"
            )))
        }
        _ => {
            let ids: Vec<&str> = fitting.iter().take(5).map(|finding| finding.id.as_str()).collect();
            Err(Refusal::new(format!("{id} may be {}; write more of it", ids.join(", "))))
        }
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self::new(error.to_string())
    }
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp_millis()
}

/// One ledger for each repository, whichever of its work trees a sweep is started in.
fn default_path() -> Result<PathBuf, Refusal> {
    let Some(data) = dirs::data_dir() else {
        let reason = "there is no folder for the user's data, for HOME is not set";
        return Err(Refusal::new(format!("{reason}; name a file with --ledger")));
    };
    let folder = match Git::here().and_then(|git| git.folder_of_all()) {
        Ok(repository) => repository,
        // Without a repository, or without git: one for the folder.
        Err(_) => std::env::current_dir().map_err(|error| format!("the current folder: {error}"))?,
    };
    Ok(data.join("vertebra").join(format!("{}.ledger", name_of(&folder))))
}
