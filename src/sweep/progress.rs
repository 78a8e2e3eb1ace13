//! How far a sweep is, on standard error: a line that is drawn over and over on a terminal, and elsewhere one that
//! is written once in a while, so that a log shows that it is alive.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::summary::Summary;
use crate::drawn::Drawn;
use crate::words::{Count, Span, counted};

/// Between two drawings of the line.
const TERMINAL_PERIOD: Duration = Duration::from_millis(100);
/// Between two lines in a log.
const LOG_PERIOD: Duration = Duration::from_secs(60);

pub struct Progress {
    drawn: Drawn,
    /// How many seeds there will be, where that is known.
    expected: Option<u64>,
    told: Instant,
}

impl Progress {
    pub fn new(expected: Option<u64>) -> Self {
        Self { drawn: Drawn::new(), expected, told: Instant::now() }
    }

    /// Tells how far the sweep is, if it is time to.
    pub fn tell(&mut self, summary: &Summary, wall_time: Duration) {
        let period = if self.drawn.is_terminal { TERMINAL_PERIOD } else { LOG_PERIOD };
        if self.told.elapsed() < period {
            return;
        }
        self.told = Instant::now();
        let line = self.line(summary, wall_time);
        match self.drawn.is_terminal {
            true => self.drawn.draw(&line),
            // Nothing to do when standard error is closed.
            false => drop(writeln!(io::stderr(), "{line}")),
        }
    }

    /// Takes the line off the terminal, so that something else can be written there.
    pub fn clear(&mut self) {
        self.drawn.clear();
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
