//! What is wrong with a schedule, and where.

use std::fmt;

/// What is wrong with a schedule that was built or edited, and where in its data that is.
///
/// As text it is one line, such as "fault 3: target `member 9` does not exist; this cluster has 3 members".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The way from the root of the file to the place, the innermost step first.
    steps: Vec<Step>,
    message: String,
}

/// One step on the way from a file's root to a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Field(&'static str),
    /// Counted from 0.
    Entry(usize),
}

impl Problem {
    pub(super) fn new(message: String) -> Self {
        Self { steps: Vec::new(), message }
    }

    /// The same problem, seen from the table in which its place is the field `name`.
    pub(super) fn under(mut self, name: &'static str) -> Self {
        self.steps.push(Step::Field(name));
        self
    }

    /// The same problem, seen from the list `name`, in which its place is the entry `index`, counted from 0.
    pub(super) fn in_entry(mut self, index: usize, name: &'static str) -> Self {
        self.steps.extend([Step::Entry(index), Step::Field(name)]);
        self
    }

    /// The way from the root to the place.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step> {
        self.steps.iter().rev().copied()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outermost: Vec<Step> = self.steps().collect();
        match outermost.as_slice() {
            [Step::Field(list), Step::Entry(index), ..] => write!(f, "{list} {}: ", index + 1)?,
            // The last step is the field, which the message speaks of or the line shows.
            [tables @ .., _] => {
                for (depth, step) in tables.iter().enumerate() {
                    if let Step::Field(table) = step {
                        write!(f, "{}{table}", if depth == 0 { "" } else { "." })?;
                    }
                }
                f.write_str(if tables.is_empty() { "" } else { ": " })?;
            }
            [] => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// Why a file is not a schedule that can be run.
///
/// As text it is one line that names the place: `schedule.toml:14: fault 3: unknown kind ...`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct ScheduleError {
    /// The file as its reader named it.
    pub file: String,
    /// The line at fault, counted from 1; of what is missing, the line of what should have it.
    pub line: usize,
    /// What is wrong, without a line break.
    pub message: String,
}
