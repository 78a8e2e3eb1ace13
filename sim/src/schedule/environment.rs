//! What a run is like between its faults: its links, its disks and its clocks.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Shape;
use super::problem::Problem;
use crate::node_id::NodeId;
use crate::time::{self, text};

/// A million, as the bound of chances and shares that are counted in parts per million.
pub(super) const MILLION: u32 = 1_000_000;

/// How packets travel while no fault meets their link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Links between two members.
    pub peers: Link,
    /// Links between a client and a member, both ways.
    pub clients: Link,
}

/// How packets travel over one link, in each of its directions.
///
/// A field that is left out of a file is 0: nothing of that kind happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The shortest time that a packet takes.
    #[serde(with = "text")]
    pub latency_min: Duration,
    /// The longest time that a packet takes, unless it is one of the tail.
    #[serde(with = "text")]
    pub latency_max: Duration,
    /// How many packets of a million take up to `tail_max` instead of up to `latency_max`.
    #[serde(default)]
    pub tail_ppm: u32,
    /// The longest time that a packet of the tail takes.
    #[serde(default, with = "text")]
    pub tail_max: Duration,
    /// How many packets of a million are lost.
    #[serde(default)]
    pub loss_ppm: u32,
    /// How many packets of a million arrive twice or more.
    #[serde(default)]
    pub duplicate_ppm: u32,
    /// How much later than a packet outside the tail the second copy arrives at most.
    #[serde(default, with = "text")]
    pub duplicate_delay_max: Duration,
}

/// How long a disk takes to make data durable while no fault meets it. The same for every node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The shortest time that a sync takes.
    #[serde(with = "text")]
    pub sync_latency_min: Duration,
    /// The longest time that a sync takes, unless it is one of the tail.
    #[serde(with = "text")]
    pub sync_latency_max: Duration,
    /// How many syncs of a million take up to `tail_max` instead of up to `sync_latency_max`.
    #[serde(default)]
    pub tail_ppm: u32,
    /// The longest time that a sync of the tail takes.
    #[serde(default, with = "text")]
    pub tail_max: Duration,
}

/// How the clock of one node differs from virtual time. A node without an entry has a true clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Whose clock it is.
    pub node: NodeId,
    /// How far it is ahead at the start.
    #[serde(default)]
    pub offset: ClockOffset,
    /// By how many microseconds it gains on each second; it loses when this is negative.
    #[serde(default)]
    pub drift_ppm: i32,
}

/// How far a clock is ahead, or behind where it is negative. As text: `20ms`, `-1.5s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ClockOffset {
    /// Nanoseconds ahead.
    pub nanos: i64,
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        write!(f, "{sign}{}", text::format(Duration::from_nanos(self.nanos.unsigned_abs())))
    }
}

impl From<ClockOffset> for String {
    fn from(offset: ClockOffset) -> Self {
        offset.to_string()
    }
}

impl TryFrom<String> for ClockOffset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (sign, magnitude) = match text.strip_prefix('-') {
            // A second sign would otherwise be called negative, which an offset may be.
            Some(rest) if rest.starts_with('-') => return Err(format!("`{text}` is not a duration")),
            Some(rest) => (-1, rest),
            None => (1, text.as_str()),
        };
        let nanos = i64::try_from(time::nanos(text::parse(magnitude)?))
            .map_err(|_| format!("`{text}` is longer than 292 years"))?;
        Ok(Self { nanos: sign * nanos })
    }
}

/// The faster and the slower of these could not be told from a clock that jumps or stands still.
pub(super) const DRIFT_PPM_MAX: u32 = 500_000;

pub(super) fn check_drift(drift_ppm: i32) -> Result<(), Problem> {
    if drift_ppm.unsigned_abs() > DRIFT_PPM_MAX {
        return Err(Problem::new(format!(
            "{drift_ppm} is no drift; a clock gains or loses {DRIFT_PPM_MAX} parts per million at most"
        ))
        .under("drift_ppm"));
    }
    Ok(())
}

pub(super) fn check_ppm(field: &'static str, ppm: u32) -> Result<(), Problem> {
    if ppm > MILLION {
        return Err(Problem::new(format!("{ppm} is more than a million parts per million")).under(field));
    }
    Ok(())
}

pub(super) fn check_range(
    (low_field, low): (&'static str, Duration),
    (high_field, high): (&'static str, Duration),
) -> Result<(), Problem> {
    if low > high {
        let (low, high) = (text::format(low), text::format(high));
        return Err(Problem::new(format!("{low_field} ({low}) is longer than {high_field} ({high})"))
            .under(low_field));
    }
    Ok(())
}

impl Network {
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.peers.check().map_err(|problem| problem.under("peers"))?;
        self.clients.check().map_err(|problem| problem.under("clients"))
    }
}

impl Link {
    fn check(&self) -> Result<(), Problem> {
        check_range(("latency_min", self.latency_min), ("latency_max", self.latency_max))?;
        check_ppm("tail_ppm", self.tail_ppm)?;
        check_ppm("loss_ppm", self.loss_ppm)?;
        check_ppm("duplicate_ppm", self.duplicate_ppm)
    }
}

impl Disk {
    pub(super) fn check(&self) -> Result<(), Problem> {
        check_range(
            ("sync_latency_min", self.sync_latency_min),
            ("sync_latency_max", self.sync_latency_max),
        )?;
        check_ppm("tail_ppm", self.tail_ppm)
    }
}

impl Clock {
    pub(super) fn check(&self, shape: &Shape) -> Result<(), Problem> {
        shape.check_node(self.node, "node").map_err(|problem| problem.under("node"))?;
        check_drift(self.drift_ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_back_as_it_was_written() {
        for nanos in [0, 1, -1, 150_000_000, -1_500_000_000, i64::MAX, -i64::MAX] {
            let offset = ClockOffset { nanos };
            assert_eq!(ClockOffset::try_from(offset.to_string()), Ok(offset));
        }
        assert_eq!(ClockOffset { nanos: -1_500_000_000 }.to_string(), "-1.5s");
    }

    #[test]
    fn what_is_no_offset_is_refused_with_a_reason() {
        for bad in ["", "-", "--1s", "5", "500 years", "18446744073s"] {
            assert!(ClockOffset::try_from(bad.to_owned()).is_err(), "`{bad}` was read as an offset");
        }
    }
}
