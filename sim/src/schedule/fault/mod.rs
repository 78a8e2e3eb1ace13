//! The faults themselves, as data.
//!
//! To add a kind: a variant of [`Fault`], its name in [`Fault::KINDS`], an arm in both matches below and in
//! `check.rs`, and an entry with the rule that draws it in `generate/kinds/`. Reading, writing and showing follow
//! from the variant, which has fields in braces even where it has none: a file has a table for it.

mod check;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::environment::ClockOffset;
use super::target::Target;
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
    /// The process gets a share of its processor, as under a quota of cgroups: in each `period` it runs for `quota`,
    /// and stands still for the rest.
    Throttle {
        /// Members.
        target: Target,
        /// How long a period is.
        #[serde(with = "text")]
        period: Duration,
        /// How long it runs in each.
        #[serde(with = "text")]
        quota: Duration,
        /// Until it runs all the time.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// The process dies again and again, each time shortly after it was started.
    CrashLoop {
        /// Members.
        target: Target,
        /// What dies.
        crash: Crash,
        /// How often it dies.
        times: u32,
        /// From each death until it starts again.
        #[serde(with = "text")]
        down: Duration,
        /// From each start, but the last, until it dies again.
        #[serde(with = "text")]
        up: Duration,
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
    /// A partition that comes and goes.
    Flap {
        /// One side.
        from: Vec<Target>,
        /// The other side.
        to: Vec<Target>,
        /// Which of the packets between them.
        direction: Direction,
        /// What becomes of those packets while it is there.
        packets: Packets,
        /// How long it is there each time.
        #[serde(with = "text")]
        down: Duration,
        /// How long packets arrive in between.
        #[serde(with = "text")]
        up: Duration,
        /// Until it does not come again.
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
        /// How many packets of a million are overtaken by others.
        #[serde(default)]
        reorder_ppm: u32,
        /// How much longer than usual such a packet takes at most.
        #[serde(default, with = "text")]
        reorder_delay_max: Duration,
        /// Until the link is as before.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// Messages of some kinds from one side are lost or late; all others pass.
    Filter {
        /// One side.
        from: Vec<Target>,
        /// The other side.
        to: Vec<Target>,
        /// Which of the messages between them.
        direction: Direction,
        /// Kinds of messages that the system names.
        messages: Vec<String>,
        /// How many of a million are lost. A connection breaks over a message that is lost.
        #[serde(default)]
        loss_ppm: u32,
        /// How much later the others arrive; on a connection, so does what follows them.
        #[serde(default, with = "text")]
        delay: Duration,
        /// Until they pass.
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
    /// Ordered connections between the two sides break again and again, in the middle of what they carry.
    ResetStorm {
        /// One side.
        from: Vec<Target>,
        /// The other side.
        to: Vec<Target>,
        /// From each time to the next.
        #[serde(with = "text")]
        every: Duration,
        /// Until they do not break again.
        #[serde(with = "text")]
        lasts: Duration,
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
    /// Bits flip in data that was synced. What the page cache has of it is dropped, so that the next read sees it.
    BitRot {
        /// Members.
        target: Target,
        /// The class of files that it happens to.
        files: String,
        /// How many bits of each member.
        bits: u32,
    },
    /// The next writes land at other sectors, of the same file or of another one of the class, and not where they
    /// should. They are acknowledged, and so are their syncs; the page cache shows them where they should be, until
    /// the power fails.
    MisdirectedWrite {
        /// Members.
        target: Target,
        /// The class of files that it happens to.
        files: String,
        /// How many writes of each member.
        count: u32,
    },
    /// The next writes land nowhere. They are acknowledged, and so are their syncs; the page cache shows them, until
    /// the power fails.
    PhantomWrite {
        /// Members.
        target: Target,
        /// The class of files that it happens to.
        files: String,
        /// How many writes of each member.
        count: u32,
    },
    /// The next syncs fail, after which the page cache takes for clean what they should have made durable: reads show
    /// it, later syncs succeed without writing it, and it is gone when the power fails.
    SyncLie {
        /// Members.
        target: Target,
        /// The class of files that it happens to.
        files: String,
        /// How many syncs of each member.
        count: u32,
    },
    /// Sectors with data that was synced cannot be read any more, until they are written again.
    ReadError {
        /// Members.
        target: Target,
        /// The class of files that it happens to.
        files: String,
        /// How many sectors of each member.
        sectors: u32,
    },
    /// The process dies, and finds an empty disk when it starts again after `down`.
    Wipe {
        /// Members.
        target: Target,
        /// Until it starts again.
        #[serde(with = "text")]
        down: Duration,
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
    /// The clock shows another time, as one that somebody set. Timers do not notice.
    ClockJump {
        /// Members or clients.
        target: Target,
        /// How far it jumps ahead, or back where this is negative.
        by: ClockOffset,
        /// Until it jumps back.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// The clock jumps there and back again and again. Timers do not notice.
    ClockStrobe {
        /// Members or clients.
        target: Target,
        /// How far it jumps ahead, or back where this is negative.
        by: ClockOffset,
        /// From each jump to the next.
        #[serde(with = "text")]
        period: Duration,
        /// Until it stays as it was.
        #[serde(with = "text")]
        lasts: Duration,
    },
    /// The operator is asked for something: no fault by itself, but one beside others.
    Operate {
        /// One of the operations that the system names.
        operation: String,
        /// Members, or machines that could become one.
        target: Target,
    },
    /// Clients do more than they usually do, or something else.
    Load {
        /// One of the loads that the system names.
        load: String,
        /// Clients.
        target: Target,
        /// How much of it; what is counted depends on the load.
        amount: u32,
        /// Until they do as before, if `amount` is not done earlier.
        #[serde(with = "text")]
        lasts: Duration,
    },
}

/// Whom a fault meets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Aim<'f> {
    /// Nodes.
    Nodes(Target),
    /// The links between two sides.
    Links(&'f [Target], &'f [Target]),
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

/// What dies, and with it what is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crash {
    /// As [`Fault::Kill`].
    Kill,
    /// As [`Fault::PowerFailure`].
    PowerFailure,
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
    /// All connections of the member break, and it goes on at once.
    Disconnect,
}

/// A sort of disk operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Data is read.
    Read,
    /// Data is written.
    Write,
    /// Data is made durable. It is as unsynced as before when that fails, and a later sync covers it.
    Sync,
    /// Data is made durable. It is lost when that fails, from the page cache too, and a later sync has nothing to write.
    SyncLost,
    /// A file or directory is created, renamed or removed.
    Name,
}

impl Fault {
    /// The kinds as files name them, in the order of the variants.
    pub const KINDS: [&'static str; 26] = [
        "kill",
        "power-failure",
        "pause",
        "throttle",
        "crash-loop",
        "partition",
        "flap",
        "degrade",
        "filter",
        "reset",
        "reset-storm",
        "failpoint",
        "disk-stall",
        "disk-error",
        "disk-full",
        "bit-rot",
        "misdirected-write",
        "phantom-write",
        "sync-lie",
        "read-error",
        "wipe",
        "clock-drift",
        "clock-jump",
        "clock-strobe",
        "operate",
        "load",
    ];

    /// The kind as a file names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::PowerFailure { .. } => "power-failure",
            Self::Pause { .. } => "pause",
            Self::Throttle { .. } => "throttle",
            Self::CrashLoop { .. } => "crash-loop",
            Self::Partition { .. } => "partition",
            Self::Flap { .. } => "flap",
            Self::Degrade { .. } => "degrade",
            Self::Filter { .. } => "filter",
            Self::Reset { .. } => "reset",
            Self::ResetStorm { .. } => "reset-storm",
            Self::Failpoint { .. } => "failpoint",
            Self::DiskStall { .. } => "disk-stall",
            Self::DiskError { .. } => "disk-error",
            Self::DiskFull { .. } => "disk-full",
            Self::BitRot { .. } => "bit-rot",
            Self::MisdirectedWrite { .. } => "misdirected-write",
            Self::PhantomWrite { .. } => "phantom-write",
            Self::SyncLie { .. } => "sync-lie",
            Self::ReadError { .. } => "read-error",
            Self::Wipe { .. } => "wipe",
            Self::ClockDrift { .. } => "clock-drift",
            Self::ClockJump { .. } => "clock-jump",
            Self::ClockStrobe { .. } => "clock-strobe",
            Self::Operate { .. } => "operate",
            Self::Load { .. } => "load",
        }
    }

    /// The place of its kind in [`KINDS`](Self::KINDS).
    #[must_use]
    pub fn kind_index(&self) -> usize {
        let kind = self.kind();
        Self::KINDS.iter().position(|name| *name == kind).expect("every kind is listed")
    }

    /// Whether what a disk was given is gone or another afterwards.
    #[must_use]
    pub fn damages_data(&self) -> bool {
        matches!(
            self,
            Self::BitRot { .. }
                | Self::MisdirectedWrite { .. }
                | Self::PhantomWrite { .. }
                | Self::SyncLie { .. }
                | Self::ReadError { .. }
                | Self::Wipe { .. }
        )
    }

    /// Whether it makes a disk refuse what is asked of it, with all data as it is.
    #[must_use]
    pub fn refuses_disk(&self) -> bool {
        matches!(self, Self::DiskError { .. } | Self::DiskFull { .. })
    }

    /// Whom it meets.
    #[must_use]
    pub fn aim(&self) -> Aim<'_> {
        match self {
            Self::Kill { target, .. }
            | Self::PowerFailure { target, .. }
            | Self::Pause { target, .. }
            | Self::Throttle { target, .. }
            | Self::CrashLoop { target, .. }
            | Self::Failpoint { target, .. }
            | Self::DiskStall { target, .. }
            | Self::DiskError { target, .. }
            | Self::DiskFull { target, .. }
            | Self::BitRot { target, .. }
            | Self::MisdirectedWrite { target, .. }
            | Self::PhantomWrite { target, .. }
            | Self::SyncLie { target, .. }
            | Self::ReadError { target, .. }
            | Self::Wipe { target, .. }
            | Self::ClockDrift { target, .. }
            | Self::ClockJump { target, .. }
            | Self::ClockStrobe { target, .. }
            | Self::Operate { target, .. }
            | Self::Load { target, .. } => Aim::Nodes(*target),
            Self::Partition { from, to, .. }
            | Self::Flap { from, to, .. }
            | Self::Degrade { from, to, .. }
            | Self::Filter { from, to, .. }
            | Self::Reset { from, to }
            | Self::ResetStorm { from, to, .. } => Aim::Links(from, to),
        }
    }

    /// How long it lasts from its beginning; `None` when that depends on what the target does.
    #[must_use]
    pub fn lasting(&self) -> Option<Duration> {
        match self {
            Self::Kill { down: lasts, .. }
            | Self::PowerFailure { down: lasts, .. }
            | Self::Pause { lasts, .. }
            | Self::Throttle { lasts, .. }
            | Self::Flap { lasts, .. }
            | Self::Filter { lasts, .. }
            | Self::ResetStorm { lasts, .. }
            | Self::ClockJump { lasts, .. }
            | Self::ClockStrobe { lasts, .. }
            | Self::Partition { lasts, .. }
            | Self::Degrade { lasts, .. }
            | Self::DiskStall { lasts, .. }
            | Self::DiskFull { lasts, .. }
            | Self::Wipe { down: lasts, .. }
            | Self::ClockDrift { lasts, .. }
            | Self::Load { lasts, .. } => Some(*lasts),
            Self::CrashLoop { times, down, up, .. } => {
                Some((*down).saturating_add(*up).saturating_mul(*times).saturating_sub(*up))
            }
            Self::BitRot { .. } | Self::ReadError { .. } | Self::Reset { .. } | Self::Operate { .. } => {
                Some(Duration::ZERO)
            }
            Self::Failpoint { .. }
            | Self::DiskError { .. }
            | Self::MisdirectedWrite { .. }
            | Self::PhantomWrite { .. }
            | Self::SyncLie { .. } => None,
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
