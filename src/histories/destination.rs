//! Where the history of a run goes: a file, or a folder; and more of them, where the cluster was restored.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use vertebra_model::history::History;
use vertebra_model::watch_history::WatchHistory;

use super::{Export, jepsen, lines, porcupine, robustness};
use crate::written;

/// A file or a folder that is there, and empty at first.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    export: Option<Export>,
    file: Option<BufWriter<File>>,
    /// Whether the folder was not there before.
    is_new: bool,
    /// Where the histories of clusters are that were restored, after the first one.
    others: Vec<PathBuf>,
    written: usize,
}

impl Destination {
    /// Makes the file or the folder, so that it is known before a run whether that can be.
    ///
    /// # Errors
    ///
    /// When it cannot; or when it is a folder in which there is something already.
    pub fn new(path: &Path, export: Option<Export>) -> io::Result<Self> {
        let mut new =
            Self { path: path.to_owned(), export, file: None, is_new: false, others: Vec::new(), written: 0 };
        new.make(path)?;
        Ok(new)
    }

    fn make(&mut self, path: &Path) -> io::Result<()> {
        if self.export != Some(Export::EtcdRobustness) {
            self.file = Some(BufWriter::new(written::create(path)?));
            return Ok(());
        }
        self.is_new = !path.exists();
        fs::create_dir_all(path)?;
        match fs::read_dir(path)?.next() {
            None => Ok(()),
            Some(_) => {
                let reason = "there is something in this folder already; name one that is empty or new";
                Err(io::Error::new(ErrorKind::AlreadyExists, reason))
            }
        }
    }

    /// Writes the history of a cluster. Our own lines hold those of several clusters; of the others each has a file or
    /// a folder of its own.
    ///
    /// # Errors
    ///
    /// What writing fails with, or what cannot be said in this form.
    pub fn write(&mut self, history: &History, watches: &WatchHistory) -> io::Result<()> {
        self.written += 1;
        if self.export.is_some() && self.written > 1 {
            self.finish()?;
            let next = numbered(&self.path, self.written);
            self.make(&next)?;
            self.others.push(next);
        }
        let folder = self.others.last().unwrap_or(&self.path);
        let Some(file) = &mut self.file else {
            let written = robustness::write(folder, history, watches);
            if written.is_err() && self.is_new {
                // What cannot be said is known before anything is written. A folder with something in it stays.
                let _ = fs::remove_dir(folder);
            }
            return written;
        };
        match self.export {
            None | Some(Export::EtcdRobustness) => lines::write(file, history, watches),
            Some(Export::Jepsen) => jepsen::write(file, history, watches),
            Some(Export::Porcupine) => porcupine::write(file, history, watches),
        }
    }

    /// Writes what is still in the buffer.
    ///
    /// # Errors
    ///
    /// What writing fails with.
    pub fn finish(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    /// Where the histories of the clusters are that were restored.
    pub fn others(&self) -> &[PathBuf] {
        &self.others
    }
}

/// `run.edn` becomes `run-2.edn`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_restored_clusters_are_numbered_before_the_extension() {
        assert_eq!(numbered(Path::new("a/run.edn"), 2), Path::new("a/run-2.edn"));
        assert_eq!(numbered(Path::new("report"), 3), Path::new("report-3"));
        assert_eq!(numbered(Path::new("a.b/report/"), 3), Path::new("a.b/report-3"));
    }
}
