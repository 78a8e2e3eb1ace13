//! How far the reading of a file has come, on a terminal.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::drawn::Drawn;
use crate::output::Line;

/// The line that is drawn.
pub struct Progress {
    path: String,
    read: Cell<u64>,
    drawn: RefCell<Drawn>,
}

impl Progress {
    pub fn new(path: &Path) -> Self {
        let path = path.display().to_string();
        Self { path, read: Cell::new(0), drawn: RefCell::new(Drawn::new()) }
    }

    /// A file, whose bytes are counted when they are read.
    pub fn counting(&self, file: File) -> Counting<'_> {
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        Counting { file, bytes, progress: self }
    }

    /// All is read.
    pub fn judging(&self) {
        let mut drawn = self.drawn.borrow_mut();
        if drawn.is_terminal && self.read.get() > 0 {
            drawn.draw(&format!("{}: judging", Line(&self.path)));
        }
    }

    pub fn clear(&self) {
        self.drawn.borrow_mut().clear();
    }
}

/// A file that is read.
pub struct Counting<'a> {
    file: File,
    bytes: u64,
    progress: &'a Progress,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let read = self.progress.read.get() + count as u64;
        self.progress.read.set(read);
        self.progress.drawn.borrow_mut().tell(|| {
            // Of a report with several files, the last one says no more than how much is read.
            let path = Line(&self.progress.path);
            match read <= self.bytes {
                true => format!("{path}: {} % read", read * 100 / self.bytes.max(1)),
                false => format!("{path}: {} MB read", read / 1_000_000),
            }
        });
        Ok(count)
    }
}
