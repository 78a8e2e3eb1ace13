//! Ranges of seeds, and sets of them.

use std::fmt;
use std::str::FromStr;

/// The seeds from `first` to `last`, both among them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Seeds {
    /// The lowest.
    pub first: u64,
    /// The highest; not below `first`.
    pub last: u64,
}

impl Seeds {
    /// Every seed there is.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };

    /// `count` seeds from `first` on, or as many as there are.
    #[must_use]
    pub fn starting_at(first: u64, count: u64) -> Self {
        Self { first, last: first.saturating_add(count.max(1) - 1) }
    }

    /// How many there are. Of all 2⁶⁴ seeds, one is not counted.
    #[must_use]
    pub fn count(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether they go on to the last seed that there is: a range to which nobody gave an end.
    #[must_use]
    pub fn is_endless(self) -> bool {
        self.last == u64::MAX
    }

    /// The `part`-th of `parts` pieces, counted from 1: as equal in size as can be, and none missing between them.
    /// Nothing where there are fewer seeds than pieces.
    ///
    /// # Panics
    ///
    /// Unless `1 <= part <= parts`.
    #[must_use]
    pub fn part(self, part: u32, parts: u32) -> Option<Self> {
        assert!((1..=parts).contains(&part), "part {part} of {parts}");
        let count = u128::from(self.last - self.first) + 1;
        let edge = |part: u32| u128::from(self.first) + count * u128::from(part) / u128::from(parts);
        let (first, end) = (edge(part - 1), edge(part));
        let seed = |seed: u128| u64::try_from(seed).unwrap_or(u64::MAX);
        (first < end).then(|| Self { first: seed(first), last: seed(end - 1) })
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

/// A set of seeds, as the ranges that it is made of: as small as the number of its gaps, however many seeds it has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SeedSet {
    /// In order; none touches the next.
    ranges: Vec<Seeds>,
}

impl SeedSet {
    /// The ranges it is made of, in order; between any two of them there is a seed that is not in the set.
    #[must_use]
    pub fn ranges(&self) -> &[Seeds] {
        &self.ranges
    }

    /// How many seeds it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().fold(0, |sum, range| sum.saturating_add(range.count()))
    }

    /// Whether `seed` is in it.
    #[must_use]
    pub fn contains(&self, seed: u64) -> bool {
        let after = self.ranges.partition_point(|range| range.first <= seed);
        after > 0 && self.ranges[after - 1].last >= seed
    }

    /// What it has in common with `seeds`.
    #[must_use]
    pub fn within(&self, seeds: Seeds) -> Self {
        let clipped = self.ranges.iter().filter_map(|range| {
            let (first, last) = (range.first.max(seeds.first), range.last.min(seeds.last));
            (first <= last).then_some(Seeds { first, last })
        });
        Self { ranges: clipped.collect() }
    }

    /// The ranges of `seeds` that are not in the set, in order.
    pub fn gaps(&self, seeds: Seeds) -> impl Iterator<Item = Seeds> + use<> {
        let mut next = Some(seeds.first);
        let ranges = self.within(seeds).ranges;
        let mut gaps = Vec::with_capacity(ranges.len() + 1);
        for range in ranges {
            if let Some(first) = next.filter(|first| *first < range.first) {
                gaps.push(Seeds { first, last: range.first - 1 });
            }
            next = range.last.checked_add(1);
        }
        if let Some(first) = next.filter(|first| *first <= seeds.last) {
            gaps.push(Seeds { first, last: seeds.last });
        }
        gaps.into_iter()
    }
}

impl FromIterator<Seeds> for SeedSet {
    fn from_iter<I: IntoIterator<Item = Seeds>>(ranges: I) -> Self {
        let mut sorted: Vec<Seeds> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut ranges: Vec<Seeds> = Vec::new();
        for range in sorted {
            match ranges.last_mut() {
                Some(known) if range.first <= known.last.saturating_add(1) => {
                    known.last = known.last.max(range.last);
                }
                _ => ranges.push(range),
            }
        }
        Self { ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(first: u64, last: u64) -> Seeds {
        Seeds { first, last }
    }

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
        assert_eq!(Seeds::ALL.count(), u64::MAX);
    }

    #[test]
    fn the_parts_of_a_range_are_the_range() {
        for (range, parts) in [
            (seeds(0, 99), 7),
            (seeds(5, 5), 1),
            (seeds(10, 14), 9),
            (Seeds::ALL, 3),
            (seeds(3, 1_002), 1_000),
        ] {
            let pieces: Vec<Seeds> = (1..=parts).filter_map(|part| range.part(part, parts)).collect();
            assert_eq!(pieces.first().map(|piece| piece.first), Some(range.first));
            assert_eq!(pieces.last().map(|piece| piece.last), Some(range.last));
            assert!(pieces.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
            let sizes = pieces.iter().map(|piece| piece.count());
            assert!(sizes.clone().max().unwrap_or(0) - sizes.min().unwrap_or(0) <= 1, "{range} in {parts}");
        }
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        let set: SeedSet = [seeds(8, 9), seeds(0, 3), seeds(4, 5), seeds(2, 4)].into_iter().collect();
        assert_eq!(set.ranges(), [seeds(0, 5), seeds(8, 9)]);
        assert_eq!(set.count(), 8);
        let top: SeedSet = [seeds(9, u64::MAX), seeds(u64::MAX, u64::MAX)].into_iter().collect();
        assert_eq!(top.ranges(), [seeds(9, u64::MAX)]);
    }

    #[test]
    fn a_set_knows_its_seeds_and_its_gaps() {
        let set: SeedSet = [seeds(2, 3), seeds(6, 6), seeds(u64::MAX, u64::MAX)].into_iter().collect();
        for (seed, is_in) in [(0, false), (2, true), (3, true), (4, false), (6, true), (u64::MAX, true)] {
            assert_eq!(set.contains(seed), is_in, "{seed}");
        }
        let gaps = |first, last| set.gaps(seeds(first, last)).collect::<Vec<_>>();
        assert_eq!(gaps(0, 9), [seeds(0, 1), seeds(4, 5), seeds(7, 9)]);
        assert_eq!(gaps(2, 6), [seeds(4, 5)]);
        assert_eq!(gaps(2, 3), []);
        assert_eq!(gaps(7, u64::MAX), [seeds(7, u64::MAX - 1)]);
        assert_eq!(SeedSet::default().gaps(Seeds::ALL).collect::<Vec<_>>(), [Seeds::ALL]);
        assert_eq!(set.within(seeds(3, 6)).ranges(), [seeds(3, 3), seeds(6, 6)]);
    }
}
