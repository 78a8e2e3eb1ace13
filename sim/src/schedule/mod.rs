//! The schedule: everything about one run that is drawn before it starts, as data.
//!
//! A seed gives a schedule ([`generate`]), and a schedule gives a run: no generator is needed for the second step.
//! So a schedule can be kept as a file, edited, shrunk, and carried to another version of the code. It is a TOML
//! file with a format number, in which times count from the start of the run and are written as `1.5s`:
//!
//! ```toml
//! format = 1
//! system = "register"
//! seed = 7
//! interleaving = 3      # of tasks that are ready at the same time; where it is absent, the seed
//! duration = "9.5s"     # faults happen before this; then everything is healed
//! settle_max = "30s"    # and has this long to recover
//!
//! [options]             # the system's own
//! members = 3
//!
//! [network.peers]       # between members
//! latency_min = "200us"
//! latency_max = "2ms"
//!
//! [network.clients]     # between a client and a member
//! latency_min = "500us"
//! latency_max = "5ms"
//! loss_ppm = 1000
//!
//! [disk]
//! sync_latency_min = "500us"
//! sync_latency_max = "8ms"
//!
//! [[clock]]             # of a node without an entry, the clock is true
//! node = "member 2"
//! offset = "-150ms"
//! drift_ppm = 300
//!
//! [[fault]]
//! at = "1.5s"
//! kind = "kill"
//! target = "leader"
//! down = "500ms"
//!
//! [[fault]]
//! at = "1.8s"
//! kind = "partition"
//! from = ["member 1", "client 1"]
//! to = ["others"]
//! direction = "one-way"
//! packets = "hold"
//! lasts = "2s"
//! ```
//!
//! | part | where |
//! | --- | --- |
//! | the kinds of faults | [`Fault`] |
//! | whom they meet, and what a cluster has for them | [`Target`], [`Shape`] |
//! | links, disks and clocks between faults | [`Network`], [`Disk`], [`Clock`] |
//! | what stays broken at the end, and how much may be damaged | [`Broken`], [`DamageMax`] |
//! | a file's text, and what can be wrong with it | [`Schedule::read`], [`Schedule::write`], [`ScheduleError`] |
//! | from a seed to a schedule | [`generate`] |
//! | which operations clients perform | [`Operations`] |
//! | what is weaker than a fault, for shrinking | [`Fault::weaker`], [`Network::plainer`], [`Disk::plainer`], [`Clock::truer`] |

use std::time::Duration;

mod ending;
mod environment;
mod fault;
mod generate;
mod operations;
mod problem;
mod rounder;
mod shape;
mod target;
mod text;
mod weaker;

pub use ending::{Broken, DamageMax, How};
pub use environment::{Clock, ClockOffset, Disk, Link, Network};
pub use fault::{Action, Aim, Crash, Direction, Fault, Operation, Packets, TimedFault};
pub use generate::{Generated, fault_kinds, generate};
pub use operations::{Numbers, Operations};
pub use problem::{Problem, ScheduleError};
pub use rounder::rounder;
pub use shape::{FileClass, Shape};
pub use target::{Target, resolve_sides};

/// The number of the form in which schedules are written. A file of another form is refused, not guessed at.
pub const FORMAT: u32 = 1;

/// Everything about one run that is decided before it starts.
///
/// `O` holds the options of the system that runs: a struct, since the file has a table for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule<O> {
    /// The system that this is a schedule of.
    pub system: String,
    /// The seed of every stream that the run itself draws from.
    pub seed: u64,
    /// The seed of the choice among tasks that are ready at the same time, where it is not `seed` too. So what is
    /// drawn can stay as it is while tasks meet in another order.
    pub interleaving: Option<u64>,
    /// How long faults happen. Then all of them end.
    pub duration: Duration,
    /// How long after that the system has to recover, in virtual time.
    pub settle_max: Duration,
    /// How many voters may have damaged data at the same time.
    pub damage: DamageMax,
    /// The system's own options.
    pub options: O,
    /// The links between faults.
    pub network: Network,
    /// The disks between faults.
    pub disk: Disk,
    /// The clocks that are not true, one entry at most for each node.
    pub clocks: Vec<Clock>,
    /// What goes wrong. The order is without meaning, except that of two faults at the same time the first one
    /// begins first.
    pub faults: Vec<TimedFault>,
    /// The members that stay broken for good when everything else is healed, one entry at most for each.
    pub broken: Vec<Broken>,
}

impl<O> Schedule<O> {
    /// Leaves out the clocks, faults and broken members that a cluster of this shape cannot have, and those that begin too late.
    pub fn fit(&mut self, shape: &Shape) {
        self.clocks.retain(|clock| clock.check(shape).is_ok());
        self.broken.retain(|broken| broken.check(shape).is_ok());
        self.faults.retain(|fault| fault.at < self.duration && fault.fault.check(shape).is_ok());
    }

    /// Whether a cluster of this shape can run it. [`Schedule::read`] does this too; it is for schedules that were
    /// built or changed in memory.
    ///
    /// # Errors
    ///
    /// The first fault or setting that makes no sense, and why.
    pub fn validate(&self, shape: &Shape) -> Result<(), Problem> {
        if self.duration.is_zero() {
            return Err(Problem::new("duration must be longer than 0s".to_owned()).under("duration"));
        }
        self.network.check().map_err(|problem| problem.under("network"))?;
        self.disk.check().map_err(|problem| problem.under("disk"))?;
        let mut nodes = Vec::with_capacity(self.clocks.len());
        for (index, clock) in self.clocks.iter().enumerate() {
            let repeated = match nodes.contains(&clock.node) {
                true => Err(Problem::new(format!("`{}` has a clock already", clock.node)).under("node")),
                false => Ok(()),
            };
            nodes.push(clock.node);
            repeated.and(clock.check(shape)).map_err(|problem| problem.in_entry(index, "clock"))?;
        }
        let mut members = Vec::with_capacity(self.broken.len());
        for (index, broken) in self.broken.iter().enumerate() {
            let repeated = match members.contains(&broken.member) {
                true => Err(Problem::new(format!("`{}` is broken already", broken.member)).under("member")),
                false => Ok(()),
            };
            members.push(broken.member);
            repeated.and(broken.check(shape)).map_err(|problem| problem.in_entry(index, "broken"))?;
        }
        for (index, TimedFault { at, fault }) in self.faults.iter().enumerate() {
            let early = match *at < self.duration {
                true => Ok(()),
                false => Err(Problem::new(format!(
                    "it begins at {}, but faults end at {}, the schedule's `duration`",
                    crate::time::text::format(*at),
                    crate::time::text::format(self.duration)
                ))
                .under("at")),
            };
            early.and_then(|()| fault.check(shape)).map_err(|problem| problem.in_entry(index, "fault"))?;
        }
        Ok(())
    }
}
