//! What a run ends with.
//!
//! A sweep finds the same bug many times over. What tells two failures apart is their [signature](Violation::signature):
//! the oracle, its clause, and the shape of the failure, without the names, numbers and values that differ from
//! seed to seed. A sweep groups by it, shrinking keeps it, bisecting looks for it.

use std::fmt;

use crate::time::Instant;

/// A guarantee that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The oracle that saw it, as in `raft`.
    pub oracle: &'static str,
    /// The one rule of the oracle that was broken, as in `election safety`.
    pub clause: &'static str,
    /// What kinds of things broke it, in roles and kinds: `Range after Put`. Empty where the clause says it all.
    pub shape: String,
    /// The case at hand, with names and numbers, for whoever reads the failure.
    pub detail: String,
}

impl Violation {
    /// A violation of `clause`, which belongs to `oracle`.
    #[must_use]
    pub fn new(
        oracle: &'static str,
        clause: &'static str,
        shape: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { oracle, clause, shape: shape.into(), detail: detail.into() }
    }

    /// `oracle/clause: shape`, equal for two failures of the same kind.
    ///
    /// The shape may come from a place that does not know of signatures (the message of a panic), so what varies
    /// between seeds is taken out of it here: each number becomes `#`, each quoted text `_`.
    #[must_use]
    pub fn signature(&self) -> String {
        let shape = normalise(&self.shape);
        if shape.is_empty() {
            format!("{}/{}", self.oracle, self.clause)
        } else {
            format!("{}/{}: {shape}", self.oracle, self.clause)
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.signature())?;
        if !self.detail.is_empty() {
            write!(f, "\n{}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every oracle was content.
    Pass,
    /// One was not.
    Violation {
        /// What was broken.
        violation: Violation,
        /// When it was noticed.
        at: Instant,
    },
}

impl Verdict {
    /// The signature of the violation, if there is one.
    #[must_use]
    pub fn signature(&self) -> Option<String> {
        self.violation().map(Violation::signature)
    }

    /// The violation, if there is one.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Self::Pass => None,
            Self::Violation { violation, .. } => Some(violation),
        }
    }
}

/// `shape` with each number as `#` and each text in quotes or backquotes as `_`, on one line.
fn normalise(shape: &str) -> String {
    let mut normal = String::with_capacity(shape.len());
    let mut rest = shape.trim().chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '0'..='9' => {
                // Digits inside a word (`u64`, `xxh3`) are part of a name that does not vary.
                if normal.chars().next_back().is_some_and(char::is_alphanumeric) {
                    normal.push(next);
                } else if !normal.ends_with('#') {
                    normal.push('#');
                }
            }
            '"' | '`' if rest.clone().any(|later| later == next) => {
                rest.by_ref().find(|&closing| closing == next);
                normal.push('_');
            }
            _ if next.is_whitespace() => {
                if !normal.ends_with(' ') {
                    normal.push(' ');
                }
            }
            _ => normal.push(next),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(shape: &str) -> String {
        Violation::new("raft", "log matching", shape, "member 2 at 17").signature()
    }

    #[test]
    fn two_seeds_that_break_the_same_rule_have_one_signature() {
        let (one, other) = (signature("index 17 of `a/3`"), signature("index  9 of `b`"));
        assert_eq!(one, other);
        assert_eq!(one, "raft/log matching: index # of _");
    }

    #[test]
    fn what_names_a_kind_stays_in_the_signature() {
        assert_eq!(signature("u64 is not \"12\""), "raft/log matching: u64 is not _");
        assert_ne!(signature("Put"), signature("Range"));
        assert_eq!(signature("a member's log"), "raft/log matching: a member's log");
    }

    #[test]
    fn a_clause_that_says_it_all_needs_no_shape() {
        assert_eq!(signature(" "), "raft/log matching");
    }

    #[test]
    fn the_detail_is_shown_below_the_signature() {
        let shown = Violation::new("raft", "log matching", "", "member 2 at 17").to_string();
        assert_eq!(shown, "raft/log matching\nmember 2 at 17");
    }
}
