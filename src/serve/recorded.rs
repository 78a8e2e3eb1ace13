//! A session that was recorded, read and run again.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use tracing::Dispatch;
use vertebra_model::Options;
use vertebra_model::grpc::Up;
use vertebra_model::served::{Doors, Served};
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Instant, Outside, Report, System, Turn, World, run_with};

use super::record::{FORMAT, Line};
use crate::exit::Refusal;
use crate::version;

/// No line of a session is longer: a message is limited.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// No session is longer: a time beyond it is damaged, and to run until then would take as good as forever.
const LATEST: Instant = Instant::from_nanos(400 * 24 * 3_600 * 1_000_000_000);

/// With what a session begins, and no schedule.
const BEGINNING: &[u8] = b"{\"type\":\"session\"";

/// A session as its file has it.
#[derive(Debug)]
pub struct Session {
    pub schedule: Schedule<Options>,
    /// What came in, in order.
    comes_in: Vec<(Instant, u16, Up)>,
    /// When it ended, and with what digest. Without it, the process was killed.
    end: Option<(Instant, String)>,
    /// The version of the command that wrote it.
    version: String,
    /// The last line is torn.
    pub is_torn: bool,
}

/// Whether a file is a session, rather than a schedule.
pub fn is_session(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(BEGINNING.len() as u64).read_to_end(&mut beginning));
    read.is_ok() && beginning == BEGINNING
}

impl Session {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        let name = path.display().to_string();
        let cannot = |error: std::io::Error| Refusal::new(format!("{name}: {error}"));
        Self::read_from(&name, BufReader::new(File::open(path).map_err(cannot)?))
    }

    /// Reads what a file named `name` holds.
    fn read_from(name: &str, mut file: impl BufRead) -> Result<Self, Refusal> {
        let (mut number, mut bytes) = (0_u64, Vec::new());
        let (mut head, mut faults, mut is_torn) = (None, String::new(), false);
        let (mut comes_in, mut end): (Vec<(Instant, u16, Up)>, _) = (Vec::new(), None);
        loop {
            bytes.clear();
            number += 1;
            let refuse = |reason: String| Refusal::new(format!("{name}:{number}: {reason}"));
            let read = file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
            if read.map_err(|error| refuse(error.to_string()))? == 0 {
                break;
            }
            let is_whole = bytes.ends_with(b"\n");
            if !is_whole && bytes.len() as u64 == LINE_BYTES_MAX {
                return Err(refuse("the line is too long to be one of a session".to_owned()));
            }
            let line = match serde_json::from_slice::<Line>(&bytes) {
                Ok(line) => line,
                // Whoever wrote it was killed in the middle of it.
                Err(_) if !is_whole && number > 1 => {
                    is_torn = true;
                    break;
                }
                Err(error) => return Err(refuse(format!("not a line of a session: {error}"))),
            };
            if end.is_some() {
                return Err(refuse("the session has ended before".to_owned()));
            }
            match line {
                Line::Session { format, version, schedule } if number == 1 => {
                    if format != FORMAT {
                        let known = format!("format {format} is unknown; this version reads format {FORMAT}");
                        return Err(refuse(known));
                    }
                    head = Some((version, schedule));
                }
                Line::Session { .. } => {
                    return Err(refuse("a session begins in the middle of another".to_owned()));
                }
                _ if number == 1 => return Err(refuse("a session begins with a line `session`".to_owned())),
                Line::Faults { schedule } => faults.push_str(&schedule),
                Line::End { at_ns, digest } => end = Some((Instant::from_nanos(at_ns), digest)),
                line => {
                    let Some(coming) = line.comes_in() else { continue };
                    if coming.0 > LATEST {
                        return Err(refuse("it came in after more than a year".to_owned()));
                    }
                    if comes_in.last().is_some_and(|(last, ..)| *last > coming.0) {
                        return Err(refuse("it came in before the line above it".to_owned()));
                    }
                    comes_in.push(coming);
                }
            }
        }
        let refuse = |reason: String| Refusal::new(format!("{name}: {reason}"));
        let (version, head) = head.ok_or_else(|| refuse("the file is empty".to_owned()))?;
        let text = format!("{head}\n{faults}");
        let of_schedule = format!("{name} (its schedule)");
        let schedule = Schedule::read(&of_schedule, text.as_bytes(), Served::NAME, Served::shape);
        let schedule = schedule.map_err(|error| Refusal::new(error.to_string()))?;
        if end.as_ref().is_some_and(|(end, _)| *end > LATEST) {
            return Err(refuse("it ended after more than a year".to_owned()));
        }
        let members = schedule.options.members;
        if let Some((_, member, _)) = comes_in.iter().find(|(_, member, _)| !(1..=members).contains(member)) {
            return Err(refuse(format!("something came in for member {member} of {members}")));
        }
        if let (Some((end, _)), Some((last, ..))) = (&end, comes_in.last())
            && end < last
        {
            return Err(refuse("something came in after the end".to_owned()));
        }
        Ok(Self { schedule, comes_in, end, version, is_torn })
    }

    /// Whether its end is known.
    pub fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// The digest that it had, if this version is the one that it was recorded by.
    pub fn digest(&self) -> Option<&str> {
        let (_, digest) = self.end.as_ref().filter(|_| self.version == version::shown())?;
        Some(digest)
    }

    /// Runs it again, on a thread of its own.
    pub fn run(&self, reader: Option<&Dispatch>) -> Report {
        let last = self.comes_in.last().map_or(Instant::START, |(at, ..)| *at);
        let end = self.end.as_ref().map_or(last, |(at, _)| *at);
        let run = || {
            run_with::<Served, _>(&self.schedule, reader, |_, served| Again {
                doors: served.doors(),
                comes_in: &self.comes_in,
                end,
            })
        };
        std::thread::scope(|scope| match scope.spawn(run).join() {
            Ok(report) => report,
            Err(payload) => std::panic::resume_unwind(payload),
        })
    }
}

/// Hands in what came in, at its times.
struct Again<'a> {
    doors: Rc<Doors>,
    /// What is still to come.
    comes_in: &'a [(Instant, u16, Up)],
    end: Instant,
}

impl Outside for Again<'_> {
    fn turn(&mut self, world: &World) -> Turn {
        let now = world.now();
        let count = self.comes_in.partition_point(|(at, ..)| *at <= now);
        let (coming, later) = self.comes_in.split_at(count);
        self.comes_in = later;
        self.doors.up(coming.iter().map(|(_, member, up)| (*member, up.clone())));
        match later.first() {
            Some((at, ..)) => Turn::Until(*at),
            None if now < self.end => Turn::Until(self.end),
            None => Turn::End,
        }
    }
}
