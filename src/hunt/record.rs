//! Trials in a file: a line of JSON that says of what, and one for each of them. It is written to at its end alone, so whatever
//! ends a hunt, those before are kept.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::trial::Trial;
use crate::exit::Refusal;

/// What trials are of: they can be put together only where it is the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub system: String,
    /// The code: two versions with the same one have the same runs.
    pub build: String,
    /// The seeds of each.
    pub seeds: u64,
}

/// All that are known, and where they are kept.
pub struct Record {
    trials: BTreeMap<(String, u64), Trial>,
    file: Option<(PathBuf, File)>,
}

impl Record {
    /// Reads what is in the file at `path`, which is made if there is none.
    pub fn open(path: Option<&Path>, head: Head) -> Result<Self, Refusal> {
        let mut record = Self { trials: BTreeMap::new(), file: None };
        let Some(path) = path else { return Ok(record) };
        let refuse = |reason: String| Refusal::new(format!("{}: {reason}", path.display()));
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| refuse(error.to_string()))?;
        file.try_lock().map_err(|_| refuse("another hunt writes to it".to_owned()))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| refuse(error.to_string()))?;
        // A line without its end is one that a killed hunt did not write to its end.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = (1..).zip(text[..whole].lines());
        match lines.next() {
            None => {
                file.set_len(0).map_err(|error| refuse(error.to_string()))?;
                record.file = Some((path.to_owned(), file));
                record.write(&head)?;
                return Ok(record);
            }
            Some((_, line)) => {
                let found: Head = serde_json::from_str(line)
                    .map_err(|error| refuse(format!("1: this is no record of a hunt: {error}")))?;
                if found != head {
                    let Head { system, build, seeds } = found;
                    return Err(refuse(format!(
                        "these trials are of {seeds} seeds with build {build} of {system}, and cannot be gone on with by \
                         {} seeds with build {} of {}; name another file",
                        head.seeds, head.build, head.system
                    )));
                }
            }
        }
        for (number, line) in lines {
            let trial: Trial =
                serde_json::from_str(line).map_err(|error| refuse(format!("{number}: {error}")))?;
            record.trials.insert((trial.defect.clone(), trial.trial), trial);
        }
        file.set_len(whole as u64).map_err(|error| refuse(error.to_string()))?;
        file.seek(SeekFrom::End(0)).map_err(|error| refuse(error.to_string()))?;
        record.file = Some((path.to_owned(), file));
        Ok(record)
    }

    /// Whether this trial was done.
    pub fn has(&self, defect: &str, trial: u64) -> bool {
        self.trials.contains_key(&(defect.to_owned(), trial))
    }

    /// The trials of a bug, in order.
    pub fn of(&self, defect: &str) -> impl Iterator<Item = &Trial> {
        let defect = defect.to_owned();
        self.trials.range((defect.clone(), 0)..=(defect, u64::MAX)).map(|(_, trial)| trial)
    }

    /// Keeps one more.
    pub fn add(&mut self, trial: Trial) -> Result<(), Refusal> {
        self.write(&trial)?;
        self.trials.insert((trial.defect.clone(), trial.trial), trial);
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), Refusal> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let refuse = |error: std::io::Error| {
            Refusal::new(format!("{}: {error}; what was written before is kept", path.display()))
        };
        let mut text = serde_json::to_vec(line).map_err(|error| refuse(error.into()))?;
        text.push(b'\n');
        file.write_all(&text).map_err(refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { system: "etcd".to_owned(), build: "b1".to_owned(), seeds: 100 }
    }

    fn trial(number: u64) -> Trial {
        Trial { defect: "d".to_owned(), trial: number, seeds: 7, cpu_ns: 9, profiles: 3, found: None }
    }

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("vertebra-record-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn refusal(path: &Path, head: Head) -> String {
        Record::open(Some(path), head).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_was_kept_is_there_again_and_half_a_line_is_not() -> Result<(), Refusal> {
        let path = path("half");
        let mut record = Record::open(Some(&path), head())?;
        record.add(trial(0))?;
        record.add(trial(1))?;
        drop(record);
        let text = std::fs::read(&path).map_err(|error| error.to_string())?;
        std::fs::write(&path, &text[..text.len() - 5]).map_err(|error| error.to_string())?;
        let mut record = Record::open(Some(&path), head())?;
        assert!(record.has("d", 0) && !record.has("d", 1) && !record.has("e", 0));
        record.add(trial(2))?;
        drop(record);
        let record = Record::open(Some(&path), head())?;
        assert_eq!(record.of("d").cloned().collect::<Vec<_>>(), [trial(0), trial(2)]);
        let _ = std::fs::remove_file(&path);
        Ok(())
    }

    #[test]
    fn what_is_of_another_build_or_damaged_is_refused_with_its_line() -> Result<(), Refusal> {
        let path = path("damaged");
        let mut record = Record::open(Some(&path), head())?;
        record.add(trial(0))?;
        assert!(refusal(&path, head()).ends_with("another hunt writes to it"));
        drop(record);
        let other = refusal(&path, Head { build: "b2".to_owned(), ..head() });
        assert!(other.contains("with build b1") && other.ends_with("name another file"), "{other}");
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let damaged = text.replace("\"seeds\":7", "\"seeds\":-7");
        std::fs::write(&path, &damaged).map_err(|error| error.to_string())?;
        let said = refusal(&path, head());
        assert!(said.contains(": 2: "), "{said}");
        assert_eq!(std::fs::read_to_string(&path).ok(), Some(damaged), "it was changed");
        std::fs::write(&path, "not ours\n").map_err(|error| error.to_string())?;
        let said = refusal(&path, head());
        assert!(said.contains("1: this is no record of a hunt"), "{said}");
        let _ = std::fs::remove_file(&path);
        Ok(())
    }
}
