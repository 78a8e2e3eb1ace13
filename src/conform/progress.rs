//! How far a comparison is, on standard error.

use std::time::Duration;

use super::tell::Summary;
use crate::drawn::Drawn;
use crate::words::{Count, counted};

pub struct Progress {
    drawn: Drawn,
    /// How many seeds there will be, where that is known.
    expected: Option<u64>,
}

impl Progress {
    pub fn new(expected: Option<u64>) -> Self {
        Self { drawn: Drawn::new(), expected }
    }

    /// Tells how far it is, if it is time to.
    pub fn tell(&mut self, summary: &Summary, wall_time: Duration) {
        let expected = self.expected;
        self.drawn.tell(|| {
            let of = expected.map_or(String::new(), |expected| format!("/{}", Count(expected)));
            format!(
                "{}{of} seeds  {:.0}/s  {}",
                Count(summary.seeds),
                summary.seeds as f64 / wall_time.as_secs_f64(),
                match summary.differing {
                    0 => "no difference".to_owned(),
                    differing => format!("{} differ", counted(differing, "seed")),
                }
            )
        });
    }

    /// Takes the line off the terminal, so that something else can be written there.
    pub fn clear(&mut self) {
        self.drawn.clear();
    }
}
