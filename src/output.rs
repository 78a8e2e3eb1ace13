//! Standard output and standard error.
//!
//! A reader may go away at any time, as `head` does. That is no error: the rest is not written, and the exit code
//! still says what was found. Colours are for terminals only, and not when `NO_COLOR` is set.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;

use crate::exit::Refusal;

/// A trace has megabytes, in short lines.
const BUFFER_BYTES: usize = 1 << 16;

/// Standard output, buffered. Writing to it always succeeds; [`Output::finish`] says whether it did.
pub struct Output {
    writer: BufWriter<Stdout>,
    failed: Option<io::Error>,
    coloured: bool,
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let coloured = AutoStream::choice(&stdout) != ColorChoice::Never;
        Self { writer: BufWriter::with_capacity(BUFFER_BYTES, stdout), failed: None, coloured }
    }

    /// Writes a line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        let _ = self.write_fmt(line);
        let _ = self.write_all(b"\n");
    }

    /// Writes `value` as JSON on a line of its own.
    pub fn json(&mut self, value: &impl serde::Serialize) {
        if let Err(error) = serde_json::to_writer(&mut *self, value) {
            self.failed.get_or_insert(error.into());
        }
        let _ = self.write_all(b"\n");
    }

    /// `value` in `style`, where colours are shown.
    pub fn paint<T: fmt::Display>(&self, style: Style, value: T) -> Painted<T> {
        Painted { style: if self.coloured { style } else { Style::new() }, value }
    }

    /// Whether someone still reads; only as of the last flush.
    pub fn is_open(&self) -> bool {
        self.failed.is_none()
    }

    /// Writes what is still in the buffer.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong, unless it is that nobody reads any more.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        let _ = self.flush();
        match &self.failed {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Refusal::new(format!("standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(&mut self.writer).err();
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|writer| writer.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(Write::flush);
        Ok(())
    }
}

/// A value in a style.
pub struct Painted<T> {
    style: Style,
    value: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style)?;
        self.value.fmt(f)?;
        write!(f, "{:#}", self.style)
    }
}

/// Writes a line to standard error. Unlike `eprintln!`, it does not panic when that is closed.
pub fn complain(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// `text` on one line, with nothing in it that a terminal would obey.
pub struct Line<'a>(pub &'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.contains(char::is_control) {
            return f.write_str(self.0);
        }
        for character in self.0.chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_default())?,
                false => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}
