//! What can be said of numbers of which some are only known to be large.

use serde::Serialize;

/// Where the median of what was drawn from lies.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Estimate {
    /// Of the numbers themselves; nothing where it is one of those that are only known to be large.
    pub median: Option<f64>,
    /// The interval that holds the true one in 95 cases of 100; nothing where there are too few numbers, or where it has no
    /// end.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl Estimate {
    /// Of numbers that are known, and `longer` others that are larger than any of them.
    ///
    /// The interval is between two ranks: the true median is below the K-th of N numbers as often as N coins show fewer than K
    /// heads, whatever they are drawn from.
    pub fn new(mut known: Vec<f64>, longer: usize) -> Self {
        known.sort_by(f64::total_cmp);
        let count = known.len() + longer;
        if count == 0 {
            return Self::default();
        }
        let at = |rank: usize| known.get(rank).copied();
        let middle = (at((count - 1) / 2), at(count / 2));
        let median = middle.0.zip(middle.1).map(|(low, high)| f64::midpoint(low, high));
        let outside = outside(count);
        let low = outside.checked_sub(1).and_then(at);
        let high = (outside > 0).then(|| at(count - outside)).flatten();
        Self { median, low, high }
    }
}

/// The largest K for which fewer than K heads of `count` coins come in 2.5 of 100 cases at most.
fn outside(count: usize) -> usize {
    // In logarithms: half to the power of some thousand is no number.
    let coins = count as f64;
    let mut logarithm = coins * 0.5_f64.ln();
    let mut sum = 0.0;
    for heads in 0..count {
        sum += logarithm.exp();
        if sum > 0.025 {
            return heads;
        }
        logarithm += ((count - heads) as f64 / (heads + 1) as f64).ln();
    }
    0
}

/// Which share is not yet over after how long: each time at which it changes, with what is left from there on. Those of `longer`
/// are never over.
pub fn survival(mut known: Vec<u64>, longer: usize) -> Vec<(u64, f64)> {
    known.sort_unstable();
    let count = known.len() + longer;
    let mut steps: Vec<(u64, f64)> = Vec::new();
    for (over, time) in (1..).zip(known) {
        let left = (count - over) as f64 / count as f64;
        match steps.last_mut() {
            Some(last) if last.0 == time => last.1 = left,
            _ => steps.push((time, left)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_tables() {
        // Conover, Practical Nonparametric Statistics, table A3: for 20 numbers, the 6th and the 15th.
        for (count, rank) in [(5, 0), (6, 1), (10, 2), (20, 6), (100, 40), (5_000, 2_431)] {
            assert_eq!(outside(count), rank, "of {count}");
        }
    }

    #[test]
    fn the_median_is_known_as_long_as_most_are() {
        let twenty: Vec<f64> = (1..=20).map(f64::from).collect();
        let all = Estimate::new(twenty.iter().rev().copied().collect(), 0);
        assert_eq!(all, Estimate { median: Some(10.5), low: Some(6.0), high: Some(15.0) });
        let some = Estimate::new(twenty[..12].to_vec(), 8);
        assert_eq!(some, Estimate { median: Some(10.5), low: Some(6.0), high: None });
        assert_eq!(Estimate::new(twenty[..6].to_vec(), 14).median, None);
        assert_eq!(Estimate::new(vec![3.0], 0), Estimate { median: Some(3.0), low: None, high: None });
        assert_eq!(Estimate::new(Vec::new(), 0), Estimate::default());
    }

    #[test]
    fn what_is_left_goes_down_to_what_is_never_over() {
        assert_eq!(survival(vec![5, 2, 5], 1), [(2, 0.75), (5, 0.25)]);
        assert_eq!(survival(Vec::new(), 3), []);
    }
}
