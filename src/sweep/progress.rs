//! How far a sweep is, on standard error: a line that is drawn over and over on a terminal, and elsewhere one that
//! is written once in a while, so that a log shows that it is alive.

use std::time::Duration;

use super::summary::Summary;
use crate::drawn::Drawn;
use crate::words::{Count, Span, counted};

pub struct Progress {
    drawn: Drawn,
    /// How many seeds there will be, where that is known.
    expected: Option<u64>,
}

impl Progress {
    pub fn new(expected: Option<u64>) -> Self {
        Self { drawn: Drawn::new(), expected }
    }

    /// Tells how far the sweep is, if it is time to.
    pub fn tell(&mut self, summary: &Summary, wall_time: Duration) {
        let expected = self.expected;
        self.drawn.tell(|| line(expected, summary, wall_time));
    }

    /// Takes the line off the terminal, so that something else can be written there.
    pub fn clear(&mut self) {
        self.drawn.clear();
    }
}

fn line(expected: Option<u64>, summary: &Summary, wall_time: Duration) -> String {
    let of = expected.map_or(String::new(), |expected| format!("/{}", Count(expected)));
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
