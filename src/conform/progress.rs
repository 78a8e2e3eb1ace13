//! How far a comparison is, on standard error.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::tell::Summary;
use crate::drawn::Drawn;
use crate::words::{Count, counted};

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

    /// Tells how far it is, if it is time to.
    pub fn tell(&mut self, summary: &Summary, wall_time: Duration) {
        let period = if self.drawn.is_terminal { TERMINAL_PERIOD } else { LOG_PERIOD };
        if self.told.elapsed() < period {
            return;
        }
        self.told = Instant::now();
        let of = self.expected.map_or(String::new(), |expected| format!("/{}", Count(expected)));
        let line = format!(
            "{}{of} seeds  {:.0}/s  {}",
            Count(summary.seeds),
            summary.seeds as f64 / wall_time.as_secs_f64(),
            match summary.differing {
                0 => "no difference".to_owned(),
                differing => format!("{} differ", counted(differing, "seed")),
            }
        );
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
}
