//! How far a sweep is, on standard error: a line that is drawn over and over on a terminal, and elsewhere one that
//! is written once in a while, so that a log shows that it is alive.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::summary::Summary;
use crate::words::{Count, Span, counted};

/// Between two drawings of the line.
const TERMINAL_PERIOD: Duration = Duration::from_millis(100);
/// Between two lines in a log.
const LOG_PERIOD: Duration = Duration::from_secs(60);

pub struct Progress {
    is_terminal: bool,
    /// How many seeds there will be, where that is known.
    expected: Option<u64>,
    told: Instant,
    is_drawn: bool,
}

impl Progress {
    pub fn new(expected: Option<u64>) -> Self {
        Self { is_terminal: io::stderr().is_terminal(), expected, told: Instant::now(), is_drawn: false }
    }

    /// Tells how far the sweep is, if it is time to.
    pub fn tell(&mut self, summary: &Summary, wall_time: Duration) {
        let period = if self.is_terminal { TERMINAL_PERIOD } else { LOG_PERIOD };
        if self.told.elapsed() < period {
            return;
        }
        self.told = Instant::now();
        let line = self.line(summary, wall_time);
        // Nothing to do when standard error is closed.
        let _ = match self.is_terminal {
            true => write!(io::stderr(), "\r{line}\x1b[K"),
            false => writeln!(io::stderr(), "{line}"),
        };
        self.is_drawn = self.is_terminal;
    }

    /// Takes the line off the terminal, so that something else can be written there.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn line(&self, summary: &Summary, wall_time: Duration) -> String {
        let of = self.expected.map_or(String::new(), |expected| format!("/{}", Count(expected)));
        let failures = match summary.failures {
            0 => "no failure".to_owned(),
            failures => {
                format!("{} ({})", counted(failures, "failure"), counted(summary.kinds.len() as u64, "kind"))
            }
        };
        format!(
            "{}{of} seeds  {}/s  {} virtual  {failures}",
            Count(summary.sums.seeds),
            Count(summary.seeds_per_second(wall_time) as u64),
            Span(summary.sums.virtual_time),
        )
    }
}
