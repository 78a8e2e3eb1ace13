//! A line on standard error that is drawn over and over, where that is a terminal.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;

/// The line, as long as it is drawn.
pub struct Drawn {
    pub is_terminal: bool,
    is_drawn: bool,
}

impl Drawn {
    /// Not drawn yet.
    pub fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_drawn: false }
    }

    /// Draws `line` in the place of the last one.
    pub fn draw(&mut self, line: &str) {
        // Nothing to do when standard error is closed.
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
        self.is_drawn = true;
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
