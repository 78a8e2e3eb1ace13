//! Files that a command writes: whole or not at all, each apart from the others, and never over what it reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::exit::Refusal;

/// How a file of SQLite begins.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// Writes `text` to `path` so that no reader ever sees half of it. Where a link leads to a file, that one is written.
///
/// # Errors
///
/// What writing fails with; or that there is a ledger.
pub fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let path = &followed(path);
    spare_ledger(path)?;
    if is_device(path) {
        // Another file in its place would be none.
        return OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    // The process is part of the name, for two of them may write the same file at the same time.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.tmp", std::process::id()));
    let written = File::create(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Makes a file, or empties the one that is there.
///
/// # Errors
///
/// What making it fails with; or that there is a ledger.
pub fn create(path: &Path) -> io::Result<File> {
    spare_ledger(path)?;
    File::create(path)
}

/// Refuses, before anything is done, a file that could not be written afterwards. One that was not there is there then, and
/// empty.
///
/// # Errors
///
/// What writing it would fail with.
pub fn try_to_write(path: &Path) -> Result<(), Refusal> {
    let tried = spare_ledger(path).and_then(|()| OpenOptions::new().append(true).create(true).open(path));
    tried.map(|_| ()).map_err(|error| Refusal::new(format!("{}: {error}", path.display())))
}

/// Refuses files of which two are the same one: each comes with what names it, a flag or what else it is.
///
/// # Errors
///
/// Which two.
pub fn keep_apart<'a>(files: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>) -> Result<(), Refusal> {
    let mut known: Vec<(&str, PathBuf)> = Vec::new();
    for (name, path) in files {
        let Some(path) = path else { continue };
        let followed = followed(path);
        // Whatever is written there is gone.
        let is_nowhere = is_device(&followed);
        if let Some((other, _)) = known.iter().find(|(_, known)| *known == followed && !is_nowhere) {
            let path = path.display();
            return Err(Refusal::new(format!("{path} is both {other} and {name}; name two files")));
        }
        known.push((name, followed));
    }
    Ok(())
}

fn spare_ledger(path: &Path) -> io::Result<()> {
    let mut head = [0; SQLITE.len()];
    let read = |mut file: File| file.read_exact(&mut head);
    if path.is_file() && File::open(path).and_then(read).is_ok() && head == *SQLITE {
        return Err(io::Error::other("this is a ledger, and would be lost; name another file"));
    }
    Ok(())
}

/// Whether there is something that is neither a file nor a folder: a device or a pipe.
fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// Where links lead, also those of the folders of a file that is not there yet.
fn followed(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return path.to_owned(),
    };
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("vertebra-written-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn two_names_of_one_file_are_refused() {
        let folder = folder("apart");
        fs::write(folder.join("a"), "").unwrap();
        let (plain, roundabout) = (folder.join("a"), folder.join(".").join("a"));
        let refusal =
            keep_apart([("--one", Some(&*plain)), ("--two", None), ("--three", Some(&*roundabout))]);
        assert!(refusal.is_err_and(|refusal| refusal.to_string().contains("both --one and --three")));
        let (new, newer) = (folder.join("new"), folder.join("newer"));
        assert!(keep_apart([("--one", Some(&*new)), ("--two", Some(&*newer))]).is_ok());
        assert!(keep_apart([("--one", Some(&*new)), ("--two", Some(&*folder.join("./new")))]).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_ledger_is_written_over_by_nothing() {
        let folder = folder("ledger");
        let ledger = folder.join("ledger");
        fs::write(&ledger, [&SQLITE[..], b"rest"].concat()).unwrap();
        assert!(write_atomically(&ledger, "x").is_err() && create(&ledger).is_err());
        assert!(try_to_write(&ledger).is_err());
        assert!(fs::read(&ledger).unwrap().ends_with(b"rest"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one() {
        let folder = folder("link");
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        fs::remove_dir_all(&folder).unwrap();
    }
}
