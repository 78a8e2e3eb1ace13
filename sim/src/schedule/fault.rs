//! The faults themselves, as data.
//!
//! To add a kind: a variant of [`Fault`], an arm in each of the three matches below it, and an entry with the
//! rule that draws it in `generate/kinds.rs`. Reading, writing and showing follow from the variant, which has
//! fields in braces even where it has none: a file has a table for it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Shape;
use super::environment::{check_drift, check_ppm, check_range};
use super::problem::Problem;
use super::target::Target;
use crate::node_id::NodeId;
use crate::time::text;

/// A fault and the time at which it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimedFault {
    /// When it begins, since the start of the run.
    pub at: Duration,
    /// What happens.
    pub fault: Fault,
}

impl TimedFault {
    /// When its last effect ends, since the start of the run; `None` when that is left to what it meets.
    #[must_use]
    pub fn end(&self) -> Option<Duration> {
        self.fault.lasting().map(|lasting| self.at.saturating_add(lasting))
    }
}

/// What goes wrong. Each fault heals by itself, so that one can be taken out of a schedule without a change to
/// another.
///
/// Faults that overlap on one target add up: it is well again when the last of them has ended. When the time for
/// faults is over, all of them end at once. A fault that meets nobody (the leader, while there is none) does
/// nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The process dies, and starts again after `down`. Its disk keeps what was written, synced or not.
    Kill {
        /// Members.
        target: Target,
        /// Until it starts again.
        #[serde(with = "text")]
        down: Duration,
    },
    /// The machine loses its power, and starts again after `down`. Its disk loses what was not synced.
    PowerFailure {
        /// Members.
        target: Target,
        /// Until it starts again.
        #[serde(with = "text")]
        down: Duration,
    },
    /// The process stands still, and so do its timers. What arrives waits for it.
    Pause {
        /// Members.
        target: Target,
        /// Until it goes on.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// Packets from one side do not reach the other.
    Partition {
        /// One side.
        from: Vec<Target>,
        /// The other side.
        to: Vec<Target>,
        /// Which of the packets between them.
        direction: Direction,
        /// What becomes of those packets.
        packets: Packets,
        /// Until packets arrive again.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// Packets from one side reach the other late, twice or not at all. In each respect, the worse of this and of
    /// the link's own settings holds.
    Degrade {
        /// One side.
        from: Vec<Target>,
        /// The other side.
        to: Vec<Target>,
        /// Which of the packets between them.
        direction: Direction,
        /// The shortest time that a packet takes.
        #[serde(with = "text")]
        latency_min: Duration,
        /// The longest time that a packet takes.
        #[serde(with = "text")]
        latency_max: Duration,
        /// How many packets of a million are lost.
        #[serde(default)]
        loss_ppm: u32,
        /// How many packets of a million arrive twice or more.
        #[serde(default)]
        duplicate_ppm: u32,
        /// How much later than at `latency_max` the second copy arrives at most.
        #[serde(default, with = "text")]
        duplicate_delay_max: Duration,
        /// Until the link is as before.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// Ordered connections between the two sides break. New ones can be made at once.
    Reset {
        /// One side.
        from: Vec<Target>,
        /// The other side.
        to: Vec<Target>,
    },
    /// A place in the code of a member is armed, and acts when execution comes there for the `hit`-th time since.
    /// It is disarmed when it has acted, and when the time for faults is over.
    Failpoint {
        /// One of the places that the system names.
        name: String,
        /// Members; each counts for itself.
        target: Target,
        /// Which passage it acts on, counted from 1.
        hit: u32,
        /// What happens there.
        action: Action,
        /// How long the member is down, stands still or waits there.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// Each operation of the disk takes longer.
    DiskStall {
        /// Members.
        target: Target,
        /// What is added to the time of each operation.
        #[serde(with = "text")]
        extra_latency: Duration,
        /// Until the disk is as fast as before.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// The next operations of one sort fail.
    DiskError {
        /// Members.
        target: Target,
        /// Which operations.
        operation: Operation,
        /// How many of them.
        count: u32,
    },
    /// Writes that need more room fail.
    DiskFull {
        /// Members.
        target: Target,
        /// Until there is room again.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// The clock runs fast or slow, instead of as it did. It keeps what it gained or lost.
    ClockDrift {
        /// Members or clients.
        target: Target,
        /// By how many microseconds it gains on each second; it loses when this is negative.
        drift_ppm: i32,
        /// Until it runs as before.
        #[serde(with = "text")]
        lasts: Duration,
    },
}

/// Which of the packets between two sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Those of either side.
    Both,
    /// Those that go `from` one side `to` the other.
    OneWay,
}

/// What becomes of the packets that are on their way when a partition begins, or are sent while it lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packets {
    /// They are lost.
    Drop,
    /// They arrive in random order when it ends.
    Hold,
}

/// What happens at a failpoint. A fault's `lasts` says for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// As [`Fault::Kill`].
    Kill,
    /// As [`Fault::PowerFailure`].
    PowerFailure,
    /// As [`Fault::Pause`].
    Pause,
    /// The task that came there waits; the others of the member go on.
    Delay,
}

/// A sort of disk operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Data is read.
    Read,
    /// Data is written.
    Write,
    /// Data is made durable.
    Sync,
}

impl Fault {
    /// The kind as a file names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::PowerFailure { .. } => "power-failure",
            Self::Pause { .. } => "pause",
            Self::Partition { .. } => "partition",
            Self::Degrade { .. } => "degrade",
            Self::Reset { .. } => "reset",
            Self::Failpoint { .. } => "failpoint",
            Self::DiskStall { .. } => "disk-stall",
            Self::DiskError { .. } => "disk-error",
            Self::DiskFull { .. } => "disk-full",
            Self::ClockDrift { .. } => "clock-drift",
        }
    }

    /// How long it lasts from its beginning; `None` when that depends on what the target does.
    #[must_use]
    pub fn lasting(&self) -> Option<Duration> {
        match self {
            Self::Kill { down: lasts, .. }
            | Self::PowerFailure { down: lasts, .. }
            | Self::Pause { lasts, .. }
            | Self::Partition { lasts, .. }
            | Self::Degrade { lasts, .. }
            | Self::DiskStall { lasts, .. }
            | Self::DiskFull { lasts, .. }
            | Self::ClockDrift { lasts, .. } => Some(*lasts),
            Self::Reset { .. } => Some(Duration::ZERO),
            Self::Failpoint { .. } | Self::DiskError { .. } => None,
        }
    }

    /// Whether it can happen to a cluster of this shape.
    pub(super) fn check(&self, shape: &Shape) -> Result<(), Problem> {
        match self {
            Self::Kill { target, .. }
            | Self::PowerFailure { target, .. }
            | Self::Pause { target, .. }
            | Self::DiskStall { target, .. }
            | Self::DiskFull { target, .. } => check_members(*target, shape),
            Self::DiskError { target, count, .. } => {
                check_members(*target, shape)?;
                check_counted("count", *count)
            }
            Self::ClockDrift { target, drift_ppm, .. } => {
                check_target(*target, shape).map_err(|problem| problem.under("target"))?;
                check_drift(*drift_ppm)
            }
            Self::Partition { from, to, .. } | Self::Reset { from, to } => check_sides(from, to, shape),
            Self::Degrade { from, to, latency_min, latency_max, loss_ppm, duplicate_ppm, .. } => {
                check_sides(from, to, shape)?;
                check_range(("latency_min", *latency_min), ("latency_max", *latency_max))?;
                check_ppm("loss_ppm", *loss_ppm)?;
                check_ppm("duplicate_ppm", *duplicate_ppm)
            }
            Self::Failpoint { name, target, hit, .. } => {
                if !shape.failpoints.contains(&name.as_str()) {
                    return Err(unknown_failpoint(name, shape).under("name"));
                }
                check_members(*target, shape)?;
                check_counted("hit", *hit)
            }
        }
    }
}

/// The kind and its fields on one line, as a file has them: `kill, target = "leader", down = "500ms"`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        let fields = super::text::fields(self).map_err(|_| fmt::Error)?;
        fields.lines().try_for_each(|field| write!(f, ", {field}"))
    }
}

fn check_counted(field: &'static str, value: u32) -> Result<(), Problem> {
    if value == 0 {
        return Err(Problem::new(format!("{field} is counted from 1")).under(field));
    }
    Ok(())
}

fn check_target(target: Target, shape: &Shape) -> Result<(), Problem> {
    match target {
        Target::Node(node) => shape.check_node(node, "target"),
        Target::Others => {
            Err(Problem::new("`others` needs another side; write it in `from` or in `to`".to_owned()))
        }
        Target::Leader | Target::Follower | Target::AllMembers | Target::AllClients => Ok(()),
    }
}

fn check_members(target: Target, shape: &Shape) -> Result<(), Problem> {
    match target {
        Target::Node(NodeId::Client(_)) | Target::AllClients => Err(Problem::new(format!(
            "target `{target}` is no member; this kind of fault happens to members"
        ))),
        target => check_target(target, shape),
    }
    .map_err(|problem| problem.under("target"))
}

fn check_sides(from: &[Target], to: &[Target], shape: &Shape) -> Result<(), Problem> {
    for (field, side) in [("from", from), ("to", to)] {
        if side.is_empty() {
            return Err(Problem::new(format!("`{field}` names nobody")).under(field));
        }
        for target in side.iter().filter(|target| **target != Target::Others) {
            check_target(*target, shape).map_err(|problem| problem.under(field))?;
        }
    }
    if from.contains(&Target::Others) && to.contains(&Target::Others) {
        return Err(Problem::new("`others` can stand on one side only".to_owned()).under("to"));
    }
    Ok(())
}

fn unknown_failpoint(name: &str, shape: &Shape) -> Problem {
    let known = match shape.failpoints {
        [] => "it has none".to_owned(),
        names => format!("it has {}", names.join(", ")),
    };
    Problem::new(format!("this system has no failpoint `{name}`; {known}"))
}
