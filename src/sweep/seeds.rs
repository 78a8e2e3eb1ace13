//! Ranges of seeds, and results put back into their order.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The seeds from `first` to `last`, both among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seeds {
    pub first: u64,
    pub last: u64,
}

impl Seeds {
    /// How many there are.
    pub fn count(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// `0..5000`, or `100..` where there is no end.
impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last.checked_add(1) {
            Some(end) => write!(f, "{}..{end}", self.first),
            None => write!(f, "{}..", self.first),
        }
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            match plain.then(|| digits.parse::<u64>()) {
                Some(Ok(number)) => Ok(number),
                Some(Err(_)) => Err(format!("{digits} is too large; the last seed is {}", u64::MAX)),
                None => Err("write a range of seeds, as in `0..5000`, `0..=4999`, `100..` or `7`".to_owned()),
            }
        };
        let Some((first, end)) = text.split_once("..") else {
            let seed = number(text)?;
            return Ok(Self { first: seed, last: seed });
        };
        let first = number(first)?;
        let last = match (end, end.strip_prefix('=')) {
            ("", _) => Some(u64::MAX),
            (_, Some(last)) => Some(number(last)?),
            (end, None) => number(end)?.checked_sub(1),
        };
        match last.filter(|last| first <= *last) {
            Some(last) => Ok(Self { first, last }),
            None => Err(format!("there is no seed in {text}")),
        }
    }
}

/// Takes results in the order in which they come, and gives them in the order of their seeds. So nothing that is
/// made of them depends on how many threads there were.
pub struct InOrder<T> {
    next: u64,
    waiting: BTreeMap<u64, T>,
}

impl<T> InOrder<T> {
    /// Nothing yet; `first` is the first seed that will be given.
    pub fn new(first: u64) -> Self {
        Self { next: first, waiting: BTreeMap::new() }
    }

    /// Takes the result of `seed`.
    pub fn put(&mut self, seed: u64, result: T) {
        self.waiting.insert(seed, result);
    }

    /// The result of the next seed, if it is there.
    pub fn take(&mut self) -> Option<(u64, T)> {
        let taken = self.waiting.remove_entry(&self.next)?;
        self.next = self.next.wrapping_add(1);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_in_each_of_its_forms() {
        let cases = [
            ("0..5", 0, 4),
            ("3..=3", 3, 3),
            ("7", 7, 7),
            ("5..", 5, u64::MAX),
            ("0..=9", 0, 9),
            ("0..1", 0, 0),
        ];
        for (text, first, last) in cases {
            assert_eq!(text.parse(), Ok(Seeds { first, last }), "{text}");
        }
        for bad in [
            "",
            "..",
            "..5",
            "5..5",
            "9..3",
            "0..0",
            "a..b",
            "-1..3",
            "0...3",
            "0..=",
            "18446744073709551616",
        ] {
            assert!(bad.parse::<Seeds>().is_err(), "`{bad}` was read as a range");
        }
        assert_eq!(Seeds { first: 0, last: u64::MAX }.count(), u64::MAX);
    }

    #[test]
    fn results_are_given_in_the_order_of_their_seeds() {
        let mut results = InOrder::new(10);
        results.put(11, 'b');
        assert_eq!(results.take(), None);
        results.put(10, 'a');
        assert_eq!(results.take(), Some((10, 'a')));
        assert_eq!(results.take(), Some((11, 'b')));
        assert_eq!(results.take(), None);
    }
}
