//! Simpler values in the place of others: what shrinking tries for a time or a number.

use std::time::Duration;

use crate::time::nanos;

/// Times that people read more easily: fewer digits that are not 0, the fewest first, just below and just above.
/// Nothing where `duration` has one digit already.
///
/// Whatever is taken of these has fewer digits, so that taking again and again comes to an end.
#[must_use = "these are candidates"]
pub fn rounder(duration: Duration) -> impl Iterator<Item = Duration> {
    rounder_number(nanos(duration)).map(Duration::from_nanos)
}

/// Times that are shorter, the shortest first, each of one digit; then [`rounder`] ones. Nothing of them is 0.
pub(super) fn shorter(duration: Duration) -> impl Iterator<Item = Duration> {
    lower(nanos(duration)).filter(|nanos| *nanos >= 1_000).map(Duration::from_nanos)
}

/// Numbers that are lower, the lowest first, each of one digit; then rounder ones. Nothing of them is 0.
///
/// Of what is taken, the digits become fewer, or the number becomes lower and the digits no more.
pub(super) fn lower(number: u64) -> impl Iterator<Item = u64> {
    let steps = (0..20).flat_map(|power| {
        [1_u64, 2, 5].into_iter().filter_map(move |digit| digit.checked_mul(10_u64.checked_pow(power)?))
    });
    steps.take_while(move |step| *step < number).chain(rounder_number(number))
}

fn rounder_number(number: u64) -> impl Iterator<Item = u64> {
    let length = number.checked_ilog10().unwrap_or(0);
    let mut trailing = number;
    let mut zeros = 0;
    while trailing != 0 && trailing.is_multiple_of(10) {
        (trailing, zeros) = (trailing / 10, zeros + 1);
    }
    // The place of the last digit that stays, from the highest.
    (zeros + 1..=length).rev().flat_map(move |place| {
        let unit = 10_u64.pow(place);
        let below = number / unit * unit;
        [Some(below), below.checked_add(unit)].into_iter().flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_below_and_above_with_the_fewest_digits_first() {
        let millis = |duration: Duration| duration.as_millis();
        let rounded: Vec<_> = rounder(Duration::from_millis(3_510)).map(millis).collect();
        assert_eq!(rounded, [3_000, 4_000, 3_500, 3_600]);
        assert_eq!(rounder(Duration::from_secs(2)).count(), 0);
        assert_eq!(rounder(Duration::ZERO).count(), 0);
    }

    #[test]
    fn a_number_is_lowered_to_one_digit_first() {
        assert_eq!(lower(23).collect::<Vec<_>>(), [1, 2, 5, 10, 20, 20, 30]);
        assert_eq!(lower(1).count() + lower(0).count(), 0);
    }

    #[test]
    fn taking_a_lower_number_again_and_again_comes_to_an_end() {
        for start in [u64::MAX, 987_654_321, 999, 15] {
            // The worst that can be taken: the last.
            let steps = std::iter::successors(Some(start), |number| lower(*number).last());
            assert!(steps.take(200).count() < 200, "{start} does not come to an end");
        }
    }
}
