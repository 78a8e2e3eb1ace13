//! Annotations under GitHub Actions: what was found stands at the head of the run's page.
//!
//! They are commands in what a step prints. They go to standard error, which the runner reads too, so that `--json`
//! stays JSON.

use std::fmt;

use super::summary::Summary;
use crate::output::complain;
use crate::words::counted;

/// A step shows no more of them.
const MAX: usize = 10;

/// Tells what was found, when it is GitHub Actions that listens.
pub fn tell(summary: &Summary) {
    if std::env::var_os("GITHUB_ACTIONS").is_none_or(|value| value != "true") {
        return;
    }
    let annotate = |title: &str, text: &str| {
        let (title, text) =
            (Escaped { text: title, is_property: true }, Escaped { text, is_property: false });
        complain(format_args!("::error title={title}::{text}"));
    };
    if summary.differing > 0 {
        annotate("non-determinism", &summary.difference());
    }
    for kind in summary.kinds.iter().take(MAX) {
        let failure = &kind.failure;
        let count = counted(kind.count, "failure");
        let text = format!(
            "{count}, the first at seed {}: {}\n{}",
            kind.first_seed, failure.detail, failure.command
        );
        annotate(&failure.signature, &text);
    }
}

/// `text` as such a command has it.
struct Escaped<'a> {
    text: &'a str,
    is_property: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.text.chars() {
            match character {
                '%' | '\r' | '\n' => write!(f, "%{:02X}", u32::from(character))?,
                ':' | ',' if self.is_property => write!(f, "%{:02X}", u32::from(character))?,
                _ => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_early_is_escaped() {
        let text = "raft: 100 %,\nterm";
        assert_eq!(Escaped { text, is_property: false }.to_string(), "raft: 100 %25,%0Aterm");
        assert_eq!(Escaped { text, is_property: true }.to_string(), "raft%3A 100 %25%2C%0Aterm");
    }
}
