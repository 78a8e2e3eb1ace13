//! The file of `--digests`: a seed and its digest on each line.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use vertebra_sim::Report;

use crate::exit::Refusal;
use crate::written;

pub struct Digests {
    path: PathBuf,
    file: BufWriter<File>,
    failed: Option<std::io::Error>,
}

impl Digests {
    pub fn create(path: &Path) -> Result<Self, Refusal> {
        let file = written::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), failed: None })
    }

    pub fn add(&mut self, seed: u64, report: &Report) {
        if self.failed.is_none() {
            self.failed = writeln!(self.file, "{seed} {}", report.digest).err();
        }
    }

    pub fn finish(mut self) -> Result<(), Refusal> {
        let flushed = self.file.flush().err();
        match self.failed.or(flushed) {
            Some(error) => Err(Refusal::new(format!("{}: {error}", self.path.display()))),
            None => Ok(()),
        }
    }
}
