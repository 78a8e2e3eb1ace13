//! Virtual time.
//!
//! Nothing in a run reads the machine's clock. An [`Instant`] counts nanoseconds since the run began; it moves
//! only when the driver takes the next occurrence from its queue, so computing costs no virtual time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of a run, in nanoseconds of virtual time since its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Instant(u64);

impl Instant {
    /// The start of the run.
    pub const START: Self = Self(0);

    /// The moment `nanos` nanoseconds after the start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the start.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Stops at the end of time (584 years) instead of wrapping.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Seconds with six decimals: `3.141593`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0 / 1_000;
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

/// `duration` in nanoseconds, or the largest number of them where it does not fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    // Not `as_nanos`, which computes in 128 bits on a path that every timer takes.
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

/// Durations as people write them: `150ms`, `3.2s`, `1.5us`, `20ns`. Used by `#[serde(with = "...")]`.
///
/// What is written is read back without loss: a duration is written in the largest unit of which it is at least
/// one, with as many decimals as it needs.
pub mod text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const UNITS: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

    /// `duration` as text.
    #[must_use]
    pub fn format(duration: Duration) -> String {
        let nanos = super::nanos(duration);
        if nanos == 0 {
            return "0s".to_owned();
        }
        let (unit, size) = UNITS.into_iter().find(|(_, size)| nanos >= *size).unwrap_or(("ns", 1));
        let (whole, rest) = (nanos / size, nanos % size);
        if rest == 0 {
            return format!("{whole}{unit}");
        }
        let width = size.ilog10() as usize;
        format!("{whole}.{}{unit}", format!("{rest:0width$}").trim_end_matches('0'))
    }

    /// The duration that `text` names.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong, when `text` is not a number and a unit, is negative, is finer than a
    /// nanosecond, or is longer than 584 years.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        if number.starts_with('-') {
            return Err(format!("`{text}` is negative; a time is counted from the start of the run"));
        }
        let size = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, size)| *size);
        let (Some(size), false) = (size, number.is_empty()) else {
            return Err(format!(
                "`{text}` is not a duration; write a number and s, ms, us or ns, as in `1.5s`"
            ));
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let width = size.ilog10() as usize;
        if decimals.len() > width || decimals.contains('.') || whole.contains('-') || decimals.contains('-') {
            return Err(format!("`{text}` is not a whole number of nanoseconds"));
        }
        let parse = |digits: &str| match digits {
            "" => Some(0),
            digits => digits.parse::<u64>().ok(),
        };
        parse(whole)
            .and_then(|whole| whole.checked_mul(size))
            .zip(parse(&format!("{decimals:0<width$}")))
            .and_then(|(whole, rest)| whole.checked_add(rest))
            .map(Duration::from_nanos)
            .ok_or_else(|| format!("`{text}` is longer than 584 years"))
    }

    /// Writes `duration` as text.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*duration))
    }

    /// Reads a duration from text.
    ///
    /// # Errors
    ///
    /// Those of [`parse`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn a_duration_is_written_as_people_write_it() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5us"),
            (150_000_000, "150ms"),
            (3_200_000_000, "3.2s"),
            (1_000_000_001, "1.000000001s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(text::format(Duration::from_nanos(nanos)), text);
            assert_eq!(text::parse(text), Ok(Duration::from_nanos(nanos)));
        }
    }

    #[test]
    fn every_duration_is_read_back_as_it_was() {
        let mut stream = Streams::new(1).stream("test", 0);
        for _ in 0..10_000 {
            let duration = Duration::from_nanos(stream.magnitude(1, u64::MAX));
            assert_eq!(text::parse(&text::format(duration)), Ok(duration));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_reason() {
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.5",
            "1.2.3s",
            "1 day",
            "1.0000000001s",
            "1.5ns",
            "99999999999999s",
            "1-2s",
            "٣s",
        ] {
            assert!(text::parse(bad).is_err(), "`{bad}` was read as a duration");
        }
        assert!(text::parse("-1s").unwrap_err().contains("negative"));
    }

    #[test]
    fn an_instant_is_shown_in_seconds() {
        assert_eq!(Instant::from_nanos(3_141_592_653).to_string(), "3.141592");
    }
}
