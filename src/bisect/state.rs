//! What a bisection keeps between two starts: its worktree, the build folder, and what it knows already.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::judgement::Judgement;
use crate::exit::Refusal;
use crate::git::{Git, name_of};
use crate::written::write_atomically;

/// The file with what was found of each commit.
const KNOWN: &str = "known.json";
/// The lock. Whatever stands beside it at places that are ours is removed, so nobody else may have a file of this name.
const LOCK: &str = "vertebra-bisect.lock";

/// The folder of all bisections of one repository.
pub struct Folder {
    pub path: PathBuf,
    /// The same as the user wrote it.
    pub shown: PathBuf,
    lock: File,
}

impl Folder {
    /// The folder at `path`, or that of the repository in the user's cache. Nobody else can have it until this one
    /// is dropped.
    ///
    /// # Errors
    ///
    /// If it cannot be made, has something else in it, or is in use.
    pub fn open(path: Option<&Path>, git: &Git) -> Result<Self, Refusal> {
        let shown = match path {
            Some(path) => path.to_owned(),
            None => default_folder(git)?,
        };
        let name = shown.display();
        let failed = |error: std::io::Error| Refusal::new(format!("{name}: {error}"));
        fs::create_dir_all(&shown).map_err(failed)?;
        let path = shown.canonicalize().map_err(failed)?;
        let lock = path.join(LOCK);
        if !lock.exists() && fs::read_dir(&path).map_err(failed)?.next().is_some() {
            return Err(Refusal::new(format!(
                "{name} has something else in it; name an empty folder with --work"
            )));
        }
        let lock = File::options().create(true).read(true).append(true).open(lock).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, shown, lock }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
            Err(TryLockError::WouldBlock) => Err(Refusal::new(format!(
                "{name} is in use by another bisection, or by what one that was killed had started; wait for its \
                 end, or name another folder with --work"
            ))),
        }
    }

    /// What children have as their standard input: nothing, and the lock. So a child that outlives us, since we
    /// were killed, still keeps others away from the worktree.
    pub fn input(&self) -> Result<File, Refusal> {
        Ok(self.lock.try_clone().map_err(|error| format!("{}: {error}", self.shown.display()))?)
    }

    pub fn worktree(&self) -> PathBuf {
        self.path.join("worktree")
    }

    /// The one build folder, which each commit finds as the last one left it.
    pub fn build(&self) -> PathBuf {
        self.path.join("build")
    }
}

impl Drop for Folder {
    /// A daemon that a build left behind has the lock too: here it ends for all.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

/// In the user's cache.
fn default_folder(git: &Git) -> Result<PathBuf, Refusal> {
    let cache = dirs::cache_dir().ok_or_else(|| {
        Refusal::new("there is no cache folder, for HOME is not set; name a folder with --work")
    })?;
    Ok(cache.join("vertebra/bisect").join(name_of(&git.folder_of_all()?)))
}

/// Where the files of one question are: a schedule, its ends, and how commits are built and run.
#[derive(Clone, Debug)]
pub struct Place {
    pub path: PathBuf,
    /// The same as the user would write it.
    pub shown: PathBuf,
}

impl Place {
    /// Writes a file of this question.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Refusal> {
        let path = self.path.join(name);
        write_atomically(&path, text).map_err(|error| self.refuse(name, error))?;
        Ok(path)
    }

    /// A refusal that names a file of this question.
    pub fn refuse(&self, name: &str, reason: impl fmt::Display) -> Refusal {
        Refusal::new(format!("{}: {reason}", self.shown.join(name).display()))
    }
}

/// What is known of a question.
pub struct Memory {
    pub place: Place,
    known: BTreeMap<String, Judgement>,
}

impl Memory {
    /// What is known of `question`, or nothing if it is to be asked `anew`.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, written or removed.
    pub fn open(folder: &Folder, question: &str, anew: bool) -> Result<Self, Refusal> {
        let name = format!("{:016x}", xxh3_64(question.as_bytes()));
        let place = Place { path: folder.path.join(&name), shown: folder.shown.join(&name) };
        match anew.then(|| fs::remove_dir_all(&place.path)) {
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => return Err(place.refuse("", error)),
            _ => fs::create_dir_all(&place.path).map_err(|error| place.refuse("", error))?,
        }
        let known = match fs::read(place.path.join(KNOWN)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| place.refuse(KNOWN, format_args!("{error}; --anew begins anew")))?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(place.refuse(KNOWN, error)),
        };
        Ok(Self { place, known })
    }

    /// What was found of the commit `hash`.
    pub fn get(&self, hash: &str) -> Option<&Judgement> {
        self.known.get(hash)
    }

    /// Keeps what was found of the commit `hash`.
    pub fn keep(&mut self, hash: &str, judgement: Judgement) -> Result<(), Refusal> {
        self.known.insert(hash.to_owned(), judgement);
        let text = serde_json::to_string_pretty(&self.known).map_err(|error| error.to_string())?;
        self.place.write(KNOWN, &text).map(drop)
    }
}
