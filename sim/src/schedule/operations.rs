//! Which operations clients perform, so that one can be taken out of a run as a fault can be.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node_id::NodeId;
use crate::time::text;

/// The operations that clients perform; those of a client without an entry, all.
///
/// A client numbers its operations from 0 as it draws them ([`Node::draw_operation`](crate::Node::draw_operation)).
/// One that it does not perform is drawn all the same, so that those after it are what they were. A system that
/// wants this has a field of this type among its options:
///
/// ```toml
/// [options.operations]
/// "client 1" = "0..5, 7 at 1.5s"
/// "client 2" = "none"
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operations(BTreeMap<NodeId, Numbers>);

impl Operations {
    /// Whether every client performs all of its operations.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that `client` performs, where that is not all of them.
    #[must_use]
    pub fn only(&self, client: NodeId) -> Option<&Numbers> {
        self.0.get(&client)
    }

    /// Lets `client` perform these alone; with `None`, all.
    pub fn set(&mut self, client: NodeId, only: Option<Numbers>) {
        match only {
            Some(only) => self.0.insert(client, only),
            None => self.0.remove(&client),
        };
    }

    /// Forgets what is said of clients beyond the first `clients`.
    pub fn truncate(&mut self, clients: u16) {
        self.0.retain(|client, _| matches!(client, NodeId::Client(number) if *number <= clients));
    }

    /// Whether a cluster with so many clients can have these.
    ///
    /// # Errors
    ///
    /// A sentence that names the entry of a node that is no client.
    pub fn check(&self, clients: u16) -> Result<(), String> {
        let is_client = |node: &NodeId| matches!(node, NodeId::Client(number) if *number <= clients);
        match self.0.keys().find(|node| !is_client(node)) {
            Some(node) => Err(format!("`{node}` is none of the {clients} clients")),
            None => Ok(()),
        }
    }
}

/// The operations that one client performs, by their numbers. As text, `0..5, 7 at 1.5s`: ranges without their ends,
/// and single ones; `none` is the empty set.
///
/// One with a time begins then at the earliest. So it stays where it was when others before it are taken out, which
/// takes no time any more.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Numbers {
    /// First and last of each run, in order, with a gap between any two.
    runs: Vec<(u64, u64)>,
    /// Those with a time since the start of the run.
    times: BTreeMap<u64, Duration>,
}

impl Numbers {
    /// Whether `number` is one of them.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let after = self.runs.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).is_some_and(|run| number <= self.runs[run].1)
    }

    /// When the operation with this number begins at the earliest, where that is said.
    #[must_use]
    pub fn at(&self, number: u64) -> Option<Duration> {
        self.times.get(&number).copied()
    }

    /// Those of them that are below `end`, in order.
    pub fn below(&self, end: u64) -> impl Iterator<Item = u64> + use<'_> {
        self.runs.iter().flat_map(move |(first, last)| *first..end.min(last.saturating_add(1)))
    }

    fn new(mut runs: Vec<(u64, u64)>, times: BTreeMap<u64, Duration>) -> Self {
        runs.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(runs.len());
        for (first, last) in runs {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Self { runs: joined, times }
    }
}

impl FromIterator<(u64, Option<Duration>)> for Numbers {
    fn from_iter<I: IntoIterator<Item = (u64, Option<Duration>)>>(numbers: I) -> Self {
        let (mut runs, mut times) = (Vec::new(), BTreeMap::new());
        for (number, at) in numbers {
            runs.push((number, number));
            times.extend(at.map(|at| (number, at)));
        }
        Self::new(runs, times)
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs.is_empty() {
            return f.write_str("none");
        }
        let mut comma = "";
        for (mut first, last) in self.runs.iter().copied() {
            loop {
                // A number with a time stands alone.
                let timed = self.times.range(first..=last).next();
                let end = timed.map_or(last.checked_add(1), |(number, _)| Some(*number));
                match end {
                    None => write!(f, "{comma}{first}..")?,
                    Some(end) if end == first => {}
                    Some(end) if end == first + 1 => write!(f, "{comma}{first}")?,
                    Some(end) => write!(f, "{comma}{first}..{end}")?,
                }
                if end != Some(first) {
                    comma = ", ";
                }
                let Some((number, at)) = timed else { break };
                write!(f, "{comma}{number} at {}", text::format(*at))?;
                comma = ", ";
                match number.checked_add(1).filter(|next| *next <= last) {
                    Some(next) => first = next,
                    None => break,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let (mut runs, mut times) = (Vec::new(), BTreeMap::new());
        for part in text.split(',').map(str::trim) {
            // `parse` alone would take `+1` for a number.
            let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
                true => digits.parse::<u64>().ok(),
                false => None,
            };
            let run = match (part.split_once(" at "), part.split_once("..")) {
                (Some((only, at)), _) => {
                    let only = number(only.trim());
                    times.extend(only.zip(Some(text::parse(at.trim())?)));
                    only.map(|only| (only, only))
                }
                (None, None) => number(part).map(|only| (only, only)),
                (None, Some((first, ""))) => number(first).map(|first| (first, u64::MAX)),
                (None, Some((first, end))) => {
                    number(first).zip(number(end).and_then(|end| end.checked_sub(1)))
                }
            };
            let run = run.filter(|(first, last)| first <= last).ok_or_else(|| {
                format!(
                    "`{part}` is no operation; write numbers and ranges, as in `0..5, 7 at 1.5s` or `3..`, or `none`"
                )
            })?;
            runs.push(run);
        }
        Ok(Self::new(runs, times))
    }
}

impl From<Numbers> for String {
    fn from(numbers: Numbers) -> Self {
        numbers.to_string()
    }
}

impl TryFrom<String> for Numbers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back_as_they_were_written() {
        for text in [
            "none",
            "0",
            "0..5, 7",
            "3..",
            "1, 3, 5..7, 18446744073709551614",
            "0 at 10ms, 1 at 1.5s",
            "0..3, 3 at 1s, 4..6, 8 at 2s",
            "2, 3 at 0s, 4..",
        ] {
            assert_eq!(text.parse::<Numbers>().map(|numbers| numbers.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn numbers_in_any_order_are_written_as_few_ranges() {
        assert_eq!("7,0..3, 2..5 ,5".parse::<Numbers>().unwrap().to_string(), "0..6, 7");
        let numbers = [4, 2, 3, 9, 2].map(|number| (number, None)).into_iter().collect::<Numbers>();
        assert_eq!(numbers.to_string(), "2..5, 9");
        assert_eq!("3.., 5..9".parse::<Numbers>().unwrap().to_string(), "3..");
    }

    #[test]
    fn a_set_contains_what_was_put_into_it() {
        let numbers: Numbers = "1..3, 5, 8..".parse().unwrap();
        let contained: Vec<u64> = (0..11).filter(|number| numbers.contains(*number)).collect();
        assert_eq!(contained, [1, 2, 5, 8, 9, 10]);
        assert_eq!(numbers.below(10).collect::<Vec<_>>(), [1, 2, 5, 8, 9]);
        let numbers: Numbers = "1..3, 2 at 1s".parse().unwrap();
        assert_eq!((numbers.at(1), numbers.at(2)), (None, Some(Duration::from_secs(1))));
        assert_eq!(Numbers::default().below(10).count(), 0);
    }

    #[test]
    fn what_is_no_set_of_operations_is_refused_with_a_reason() {
        for bad in [
            "",
            "a",
            "5..5",
            "5..3",
            "-1",
            "+1",
            "1,,2",
            "1..2..3",
            "..3",
            "18446744073709551616",
            "1..3 at 1s",
            "1 at 1",
            "1 at",
        ] {
            assert!(bad.parse::<Numbers>().is_err(), "`{bad}` was read as operations");
        }
    }

    #[test]
    fn an_entry_of_a_node_that_is_no_client_is_refused() {
        let mut operations = Operations::default();
        operations.set(NodeId::Client(3), Some(Numbers::default()));
        assert_eq!(operations.check(3), Ok(()));
        assert_eq!(operations.check(2), Err("`client 3` is none of the 2 clients".to_owned()));
        operations.truncate(2);
        assert!(operations.is_empty());
        operations.set(NodeId::Member(1), Some(Numbers::default()));
        assert!(operations.check(3).is_err());
    }
}
