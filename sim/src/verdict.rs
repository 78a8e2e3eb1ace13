//! What a run was found to be.

use std::fmt;

use crate::time::Instant;

/// A guarantee that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The oracle that saw it.
    pub oracle: &'static str,
    /// The clause of the oracle's guarantee that was broken.
    pub clause: &'static str,
    /// What it looked like, without names and numbers, so that two finds of one bug look the same.
    pub shape: String,
    /// What it looked like in this run, in full.
    pub detail: String,
}

impl Violation {
    /// What makes two failures the same failure: oracle, clause and shape.
    #[must_use]
    pub fn signature(&self) -> String {
        let Self { oracle, clause, shape, .. } = self;
        if shape.is_empty() { format!("{oracle}/{clause}") } else { format!("{oracle}/{clause}: {shape}") }
    }
}

/// The outcome of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every guarantee held.
    Pass,
    /// One did not.
    Violation {
        /// Which, and how.
        violation: Violation,
        /// When it was seen.
        at: Instant,
    },
}

impl Verdict {
    /// The violation's signature, when there is one.
    #[must_use]
    pub fn signature(&self) -> Option<String> {
        match self {
            Self::Pass => None,
            Self::Violation { violation, .. } => Some(violation.signature()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Violation { violation, at } => write!(f, "{} at {at} s", violation.signature()),
        }
    }
}
