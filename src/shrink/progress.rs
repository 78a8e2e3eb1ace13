//! How far the shrinking is, on standard error: a line that is drawn over and over on a terminal, and elsewhere one
//! that is written once in a while, so that a log shows that it is alive.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::drawn::Drawn;
use crate::words::{Count, Span, counted};

/// Between two drawings of the line.
const TERMINAL_PERIOD: Duration = Duration::from_millis(100);
/// Between two lines in a log.
const LOG_PERIOD: Duration = Duration::from_secs(60);

pub struct Progress {
    drawn: Drawn,
    began: Instant,
    told: Instant,
    /// Of the smallest schedule so far, and of the source.
    pub faults: [u64; 2],
    pub operations: [u64; 2],
    /// What is tried at the time.
    pub pass: &'static str,
}

impl Progress {
    pub fn new(faults: u64, operations: u64) -> Self {
        let now = Instant::now();
        let (faults, operations) = ([faults; 2], [operations; 2]);
        Self { drawn: Drawn::new(), began: now, told: now, faults, operations, pass: "" }
    }

    /// How long it has taken.
    pub fn wall_time(&self) -> Duration {
        self.began.elapsed()
    }

    /// Tells that so many candidates were tried, if it is time to.
    pub fn tell(&mut self, candidates: u64) {
        let period = if self.drawn.is_terminal { TERMINAL_PERIOD } else { LOG_PERIOD };
        if self.told.elapsed() < period {
            return;
        }
        self.told = Instant::now();
        let line = self.line(candidates);
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

    fn line(&self, candidates: u64) -> String {
        let wall_time = self.wall_time();
        let speed = candidates as f64 / wall_time.as_secs_f64().max(0.001);
        format!(
            "{} of {}  {} of {}  {}, {}/s  {}  {}",
            Count(self.faults[0]),
            counted(self.faults[1], "fault"),
            Count(self.operations[0]),
            counted(self.operations[1], "operation"),
            counted(candidates, "candidate"),
            Count(speed as u64),
            Span(wall_time),
            self.pass,
        )
    }
}
