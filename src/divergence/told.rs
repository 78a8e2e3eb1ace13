//! What a run tells, line by line: a process that is telling it, or a file that one wrote.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::exit::Refusal;
use crate::replay::Ending;

/// How the line of a verdict begins.
pub const VERDICT: &str = r#"{"type":"verdict""#;
/// How that of an event does, and what it has in it when it is a mark: in a text, quotes are escaped.
const EVENT: &str = r#"{"type":"event""#;
const OF_A_MARK: &str = r#","topic":"mark","#;
const BUFFER_BYTES: usize = 1 << 16;
/// No line comes near this, but that of a schedule as large as one may be.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A run that is told.
pub struct Told {
    reader: Box<dyn BufRead>,
    teller: Teller,
    /// The line of its verdict, once that has been read.
    verdict: Option<String>,
}

/// Who tells, or told it.
enum Teller {
    Process(Child),
    /// A process that is over; how it ended.
    Past(String),
}

impl Told {
    /// By a process that `command` starts.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn by(command: &mut Command) -> Result<Self, Refusal> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let program = command.get_program().display().to_string();
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let Some(stdout) = child.stdout.take() else { return Err(Refusal::new("a process without output")) };
        Ok(Self::new(stdout, Teller::Process(child)))
    }

    /// By a process that is over: it wrote the file at `path`, and ended with `status`.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn file(path: &Path, status: String) -> Result<Self, Refusal> {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self::new(file, Teller::Past(status)))
    }

    fn new(input: impl Read + 'static, teller: Teller) -> Self {
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, input));
        Self { reader, teller, verdict: None }
    }

    /// The next line, if there is one. Those of marks are passed over: they are no part of the run, and another
    /// build may have others.
    pub fn next(&mut self) -> Result<Option<String>, Refusal> {
        loop {
            match self.next_line()? {
                Some(line) if line.starts_with(EVENT) && line.contains(OF_A_MARK) => {}
                line => return Ok(line),
            }
        }
    }

    /// The next line. What is no text in it is shown as such.
    fn next_line(&mut self) -> Result<Option<String>, Refusal> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        read.map_err(|error| format!("what a run tells cannot be read: {error}"))?;
        if bytes.len() as u64 == LINE_BYTES_MAX {
            return Err(Refusal::new("what a run tells cannot be read: a line of it is too long"));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let line = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if line.starts_with(VERDICT) {
            self.verdict = Some(line.clone());
        }
        Ok(Some(line))
    }

    /// `line` and those that follow it, `most` in all.
    pub fn following(&mut self, line: Option<String>, most: usize) -> Result<Vec<String>, Refusal> {
        let mut lines: Vec<String> = line.into_iter().collect();
        while !lines.is_empty() && lines.len() < most {
            match self.next()? {
                Some(line) => lines.push(line),
                None => break,
            }
        }
        Ok(lines)
    }

    /// Its verdict, after a look at all that it still tells.
    pub fn ending(&mut self) -> Result<Option<Ending>, Refusal> {
        while self.next()?.is_some() {}
        Ok(self.verdict.as_deref().and_then(|line| serde_json::from_str(line).ok()))
    }

    /// How its process ended.
    pub fn status(&mut self) -> String {
        match &mut self.teller {
            Teller::Process(child) => {
                child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
            }
            Teller::Past(status) => status.clone(),
        }
    }
}

impl Drop for Told {
    /// Leaves no process behind, whichever way a comparison ends.
    fn drop(&mut self) {
        if let Teller::Process(child) = &mut self.teller {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
