//! A session as a file: everything that decides its run.
//!
//! One JSON object on each line; its `type` is one of:
//!
//! | type | what |
//! | --- | --- |
//! | `session` | the first line: `format`, `version` (of the command), `schedule` (as the text of a schedule file, without faults) |
//! | `faults` | `schedule`: faults that begin next, as they stand in a schedule file |
//! | `begin` | a call begins: `at_ns`, `member`, `call`, `path`, and what is known of the caller |
//! | `message` | a message of it: `at_ns`, `member`, `call`, `bytes` (base64) |
//! | `half-close`, `consumed`, `cancel` | as gRPC and HTTP/2 have them: `at_ns`, `member`, `call` |
//! | `end` | the session ended: `at_ns`, `digest`; the last line, unless the process was killed |
//!
//! A line is written before what it says happens, so a process that is killed leaves nothing out but the end. A last line
//! that is torn is as good as none.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vertebra_model::Options;
use vertebra_model::grpc::{Metadata, Up};
use vertebra_sim::schedule::{Schedule, TimedFault};
use vertebra_sim::{Instant, Report};

use crate::version;
use crate::written;

/// The form in which sessions are written.
pub const FORMAT: u32 = 1;

/// A line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    Session {
        format: u32,
        version: String,
        schedule: String,
    },
    Faults {
        schedule: String,
    },
    Begin {
        at_ns: u64,
        member: u16,
        call: u64,
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Base64>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        require_leader: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_api_version: Option<Base64>,
    },
    Message {
        at_ns: u64,
        member: u16,
        call: u64,
        bytes: Base64,
    },
    HalfClose {
        at_ns: u64,
        member: u16,
        call: u64,
    },
    Consumed {
        at_ns: u64,
        member: u16,
        call: u64,
        bytes: u64,
    },
    Cancel {
        at_ns: u64,
        member: u16,
        call: u64,
    },
    End {
        at_ns: u64,
        digest: String,
    },
}

/// Bytes as text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Base64(pub Bytes);

impl From<Base64> for String {
    fn from(bytes: Base64) -> Self {
        BASE64_STANDARD.encode(bytes.0)
    }
}

impl TryFrom<String> for Base64 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = BASE64_STANDARD.decode(text);
        bytes.map(|bytes| Self(bytes.into())).map_err(|error| format!("not base64: {error}"))
    }
}

impl Line {
    fn of(at: Instant, member: u16, up: &Up) -> Self {
        let at_ns = at.as_nanos();
        match up {
            Up::Begin { call, path, metadata } => Self::Begin {
                at_ns,
                member,
                call: *call,
                path: path.clone(),
                token: metadata.token.clone().map(Base64),
                require_leader: metadata.require_leader,
                client_api_version: metadata.client_api_version.clone().map(Base64),
            },
            Up::Message { call, bytes } => {
                Self::Message { at_ns, member, call: *call, bytes: Base64(bytes.clone()) }
            }
            Up::HalfClose { call } => Self::HalfClose { at_ns, member, call: *call },
            Up::Consumed { call, bytes } => Self::Consumed { at_ns, member, call: *call, bytes: *bytes },
            Up::Cancel { call } => Self::Cancel { at_ns, member, call: *call },
        }
    }

    /// What comes in, when and where, if that is what the line says.
    pub fn comes_in(self) -> Option<(Instant, u16, Up)> {
        let (at_ns, member, up) = match self {
            Self::Session { .. } | Self::Faults { .. } | Self::End { .. } => return None,
            Self::Begin { at_ns, member, call, path, token, require_leader, client_api_version } => {
                let metadata = Metadata {
                    token: token.map(|token| token.0),
                    require_leader,
                    client_api_version: client_api_version.map(|version| version.0),
                };
                (at_ns, member, Up::Begin { call, path, metadata })
            }
            Self::Message { at_ns, member, call, bytes } => {
                (at_ns, member, Up::Message { call, bytes: bytes.0 })
            }
            Self::HalfClose { at_ns, member, call } => (at_ns, member, Up::HalfClose { call }),
            Self::Consumed { at_ns, member, call, bytes } => (at_ns, member, Up::Consumed { call, bytes }),
            Self::Cancel { at_ns, member, call } => (at_ns, member, Up::Cancel { call }),
        };
        Some((Instant::from_nanos(at_ns), member, up))
    }
}

/// Writes a session while it goes on.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Inner>>);

struct Inner {
    file: BufWriter<File>,
    /// Why nothing is written any more.
    failed: Option<String>,
    /// Faults that were not written yet, the last one first.
    faults: Vec<TimedFault>,
    /// For the text of faults.
    frame: Schedule<Options>,
}

impl Recorder {
    /// Begins the file.
    ///
    /// # Errors
    ///
    /// A sentence, if that cannot be done.
    pub fn begin(path: &Path, schedule: &Schedule<Options>) -> Result<Self, String> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let file = written::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut frame = schedule.clone();
        let mut faults = std::mem::take(&mut frame.faults);
        faults.reverse();
        let version = version::shown().to_owned();
        let first = Line::Session { format: FORMAT, version, schedule: frame.write()? };
        let mut inner = Inner { file: BufWriter::new(file), failed: None, faults, frame };
        inner.write(&first);
        inner.flush();
        match inner.failed {
            Some(reason) => Err(format!("{}: {reason}", path.display())),
            None => Ok(Self(Arc::new(Mutex::new(inner)))),
        }
    }

    /// Faults up to this time happen.
    pub fn reached(&self, now: Instant) {
        self.with(|inner| inner.reached(now));
    }

    /// Something comes in.
    pub fn comes_in(&self, now: Instant, coming: &[(u16, Up)]) {
        self.with(|inner| {
            for (member, up) in coming {
                inner.write(&Line::of(now, *member, up));
            }
            inner.flush();
        });
    }

    /// The session is over.
    pub fn end(&self, report: &Report, stopped: Instant) {
        self.with(|inner| {
            inner.write(&Line::End { at_ns: stopped.as_nanos(), digest: report.digest.to_string() });
            inner.flush();
        });
    }

    /// Why it is not all written, if it is not.
    pub fn failed(&self) -> Option<String> {
        self.with(|inner| inner.failed.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    /// A fault is written before the time comes when it begins, so that one that ends the session is in it.
    fn reached(&mut self, now: Instant) {
        const AHEAD: std::time::Duration = std::time::Duration::from_secs(1);
        let until = (now + AHEAD).since_start();
        let mut next = Vec::new();
        while self.faults.last().is_some_and(|timed| timed.at <= until) {
            next.extend(self.faults.pop());
        }
        if next.is_empty() {
            return;
        }
        self.frame.faults = next;
        match self.frame.write() {
            Ok(text) => {
                let begin = text.find("[[fault]]").unwrap_or(text.len());
                self.write(&Line::Faults { schedule: text[begin..].to_owned() });
                self.flush();
            }
            Err(reason) => self.failed = Some(reason),
        }
    }

    fn write(&mut self, line: &Line) {
        if self.failed.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut self.file, line).map_err(std::io::Error::from);
        self.failed = written.and_then(|()| self.file.write_all(b"\n")).err().map(|error| error.to_string());
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.file.flush().err().map(|error| error.to_string());
        }
    }
}
