//! A node's own clock, which is offset from virtual time and runs fast or slow.

use std::time::Duration;

use crate::time::{Instant, nanos};

/// What every clock showed when the run began, give or take its offset: far enough from zero that no offset
/// takes a clock below it.
const EPOCH: Instant = Instant::from_nanos(1_000_000 * 1_000_000_000);

const MILLION: u64 = 1_000_000;

/// The clock of one node.
///
/// It has counted up to `shown` at the moment `since` of virtual time, and from there on counts `rate` nanoseconds for
/// each million that pass. What it shows is `ahead` of what it has counted: that may jump, and counting may not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    since: Instant,
    shown: Instant,
    rate: u64,
    ahead_nanos: i64,
}

impl Clock {
    /// A clock that is `offset` nanoseconds ahead (behind when negative) and gains `drift` parts per million.
    pub(crate) fn new(offset_nanos: i64, drift_ppm: i32) -> Self {
        let shown = EPOCH.as_nanos().saturating_add_signed(offset_nanos);
        Self {
            since: Instant::START,
            shown: Instant::from_nanos(shown),
            rate: rate(drift_ppm),
            ahead_nanos: 0,
        }
    }

    /// What the clock shows at `now`: the time of day.
    pub(crate) fn read(&self, now: Instant) -> Instant {
        Instant::from_nanos(self.count(now).as_nanos().saturating_add_signed(self.ahead_nanos))
    }

    /// What the clock has counted at `now`, whatever it was set to since.
    pub(crate) fn count(&self, now: Instant) -> Instant {
        self.shown + scale(now - self.since, self.rate, MILLION)
    }

    /// Sets the clock: it shows so much more than it has counted.
    pub(crate) fn set_ahead(&mut self, nanos: i64) {
        self.ahead_nanos = nanos;
    }

    /// By how much the clock gains.
    pub(crate) fn drift_ppm(&self) -> i32 {
        self.rate as i32 - MILLION as i32
    }

    /// From `now` on the clock gains `drift` parts per million; what it shows does not jump.
    pub(crate) fn set_drift(&mut self, now: Instant, drift_ppm: i32) {
        *self = Self { since: now, shown: self.count(now), rate: rate(drift_ppm), ..*self };
    }

    /// How much virtual time passes while this clock counts `duration`.
    pub(crate) fn virtual_duration(&self, duration: Duration) -> Duration {
        scale(duration, MILLION, self.rate)
    }
}

/// A clock never stands still: the slowest counts one nanosecond in a million.
fn rate(drift_ppm: i32) -> u64 {
    MILLION.saturating_add_signed(i64::from(drift_ppm)).max(1)
}

fn scale(duration: Duration, numerator: u64, denominator: u64) -> Duration {
    if numerator == denominator {
        return duration;
    }
    let scaled = u128::from(nanos(duration)) * u128::from(numerator) / u128::from(denominator);
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fast_clock_counts_more_and_waits_less() {
        let clock = Clock::new(0, 100_000);
        let (start, later) = (Instant::START, Instant::START + SECOND);
        assert_eq!(clock.read(later) - clock.read(start), Duration::from_millis(1_100));
        assert_eq!(clock.virtual_duration(Duration::from_millis(1_100)), SECOND);
    }

    #[test]
    fn an_offset_shifts_what_is_shown_and_nothing_else() {
        let (ahead, behind) = (Clock::new(5, 0), Clock::new(-5, 0));
        assert_eq!(ahead.read(Instant::START) - behind.read(Instant::START), Duration::from_nanos(10));
        assert_eq!(ahead.virtual_duration(SECOND), SECOND);
    }

    #[test]
    fn a_clock_that_is_set_shows_another_time_and_counts_on() {
        let mut clock = Clock::new(0, 500);
        let (now, later) = (Instant::START + SECOND, Instant::START + SECOND * 2);
        let (shown, counted) = (clock.read(now), clock.count(now));
        clock.set_ahead(-3_000_000_000);
        assert_eq!(shown - clock.read(now), Duration::from_secs(3));
        assert_eq!(clock.count(later) - counted, clock.read(later) - clock.read(now));
        clock.set_drift(now, 500);
        assert_eq!(shown - clock.read(now), Duration::from_secs(3));
        clock.set_ahead(0);
        assert_eq!(clock.read(now), shown);
    }

    #[test]
    fn a_change_of_drift_does_not_make_the_clock_jump() {
        let mut clock = Clock::new(0, 500);
        let now = Instant::START + SECOND;
        let before = clock.read(now);
        clock.set_drift(now, -100_000);
        assert_eq!(clock.read(now), before);
        assert_eq!(clock.read(now + SECOND) - before, Duration::from_millis(900));
    }
}
