//! A line on standard error that is drawn over and over, where that is a terminal; and elsewhere one that is written once in
//! a while, so that a log shows that somebody is alive.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;

/// Between two drawings of the line.
const TERMINAL_PERIOD: Duration = Duration::from_millis(100);
/// Between two lines in a log.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// The line, as long as it is drawn.
pub struct Drawn {
    pub is_terminal: bool,
    is_drawn: bool,
    told: Instant,
}

impl Drawn {
    /// Not drawn yet.
    pub fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_drawn: false, told: Instant::now() }
    }

    /// Draws `line` in the place of the last one.
    pub fn draw(&mut self, line: &str) {
        // Nothing to do when standard error is closed.
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
        self.is_drawn = true;
    }

    /// Draws or writes the line that `line` makes, if it is time to.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        let period = if self.is_terminal { TERMINAL_PERIOD } else { LOG_PERIOD };
        if self.told.elapsed() < period {
            return;
        }
        self.told = Instant::now();
        match self.is_terminal {
            true => self.draw(&line()),
            // Nothing to do when standard error is closed.
            false => drop(writeln!(io::stderr(), "{}", line())),
        }
    }

    /// `style`, if standard error shows colours.
    pub fn style(&self, style: Style) -> Style {
        if AutoStream::choice(&io::stderr()) == ColorChoice::Never { Style::new() } else { style }
    }

    /// Takes the line off the terminal, so that something else can be written there.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
