//! Whether a fault can happen to a cluster of a shape.

use std::time::Duration;

use super::Fault;
use crate::node_id::NodeId;
use crate::schedule::environment::{check_drift, check_ppm, check_range};
use crate::schedule::problem::Problem;
use crate::schedule::{ClockOffset, Shape, Target};
use crate::time::text;

/// The shortest time between two occurrences of what happens again and again.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// By how much a clock jumps at most: a day.
const JUMP_MAX: Duration = Duration::from_secs(86_400);

impl Fault {
    /// Whether it can happen to a cluster of this shape.
    pub(in crate::schedule) fn check(&self, shape: &Shape) -> Result<(), Problem> {
        match self {
            Self::Kill { target, .. }
            | Self::PowerFailure { target, .. }
            | Self::Pause { target, .. }
            | Self::DiskStall { target, .. }
            | Self::DiskFull { target, .. }
            | Self::Wipe { target, .. } => check_members(*target, shape),
            Self::DiskError { target, count, .. } => {
                check_members(*target, shape)?;
                check_counted("count", *count)
            }
            Self::BitRot { target, files, bits: count } => {
                check_files(*target, files, shape)?;
                check_counted("bits", *count)
            }
            Self::ReadError { target, files, sectors: count } => {
                check_files(*target, files, shape)?;
                check_counted("sectors", *count)
            }
            Self::MisdirectedWrite { target, files, count }
            | Self::PhantomWrite { target, files, count }
            | Self::SyncLie { target, files, count } => {
                check_files(*target, files, shape)?;
                check_counted("count", *count)
            }
            Self::ClockDrift { target, drift_ppm, .. } => {
                check_target(*target, shape).map_err(|problem| problem.under("target"))?;
                check_drift(*drift_ppm)
            }
            Self::ClockJump { target, by, .. } => {
                check_target(*target, shape).map_err(|problem| problem.under("target"))?;
                check_jump(*by)
            }
            Self::ClockStrobe { target, by, period, .. } => {
                check_target(*target, shape).map_err(|problem| problem.under("target"))?;
                check_jump(*by)?;
                check_period("period", *period)
            }
            Self::Throttle { target, period, quota, .. } => {
                check_members(*target, shape)?;
                check_period("period", *period)?;
                check_range(("quota", *quota), ("period", *period))
            }
            Self::CrashLoop { target, times, down, .. } => {
                check_members(*target, shape)?;
                check_period("down", *down)?;
                check_counted("times", *times)
            }
            Self::Partition { from, to, .. } | Self::Reset { from, to } => check_sides(from, to, shape),
            Self::ResetStorm { from, to, every, .. } => {
                check_sides(from, to, shape)?;
                check_period("every", *every)
            }
            Self::Flap { from, to, down, .. } => {
                check_sides(from, to, shape)?;
                check_period("down", *down)
            }
            Self::Filter { from, to, messages, loss_ppm, .. } => {
                check_sides(from, to, shape)?;
                if messages.is_empty() {
                    return Err(Problem::new("`messages` names none".to_owned()).under("messages"));
                }
                for kind in messages {
                    check_name(kind, shape.messages, "kind of message")
                        .map_err(|problem| problem.under("messages"))?;
                }
                check_ppm("loss_ppm", *loss_ppm)
            }
            Self::Degrade {
                from,
                to,
                latency_min,
                latency_max,
                loss_ppm,
                duplicate_ppm,
                reorder_ppm,
                ..
            } => {
                check_sides(from, to, shape)?;
                check_ppm("reorder_ppm", *reorder_ppm)?;
                check_range(("latency_min", *latency_min), ("latency_max", *latency_max))?;
                check_ppm("loss_ppm", *loss_ppm)?;
                check_ppm("duplicate_ppm", *duplicate_ppm)
            }
            Self::Failpoint { name, target, hit, .. } => {
                check_name(name, shape.failpoints, "failpoint").map_err(|problem| problem.under("name"))?;
                check_members(*target, shape)?;
                check_counted("hit", *hit)
            }
            Self::Operate { operation, target } => {
                check_name(operation, shape.operations, "operation")
                    .map_err(|problem| problem.under("operation"))?;
                check_members(*target, shape)
            }
            Self::Load { load, target, amount, .. } => {
                check_name(load, shape.loads, "load").map_err(|problem| problem.under("load"))?;
                check_clients(*target, shape)?;
                check_counted("amount", *amount)
            }
        }
    }
}

fn check_counted(field: &'static str, value: u32) -> Result<(), Problem> {
    if value == 0 {
        return Err(Problem::new(format!("{field} is counted from 1")).under(field));
    }
    Ok(())
}

/// What happens again and again must leave time in between, or a run would never come to its end.
fn check_period(field: &'static str, period: Duration) -> Result<(), Problem> {
    if period < PERIOD_MIN {
        let (period, least) = (text::format(period), text::format(PERIOD_MIN));
        return Err(Problem::new(format!("{field} ({period}) is shorter than {least}")).under(field));
    }
    Ok(())
}

fn check_jump(by: ClockOffset) -> Result<(), Problem> {
    if Duration::from_nanos(by.nanos.unsigned_abs()) > JUMP_MAX {
        let most = text::format(JUMP_MAX);
        return Err(Problem::new(format!("{by} is no jump; a clock jumps by {most} at most")).under("by"));
    }
    Ok(())
}

fn check_target(target: Target, shape: &Shape) -> Result<(), Problem> {
    match target {
        Target::Node(node) => shape.check_node(node, "target"),
        Target::Others => {
            Err(Problem::new("`others` needs another side; write it in `from` or in `to`".to_owned()))
        }
        Target::Leader
        | Target::Follower
        | Target::Minority
        | Target::Majority
        | Target::AllMembers
        | Target::AllClients => Ok(()),
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

fn check_files(target: Target, files: &str, shape: &Shape) -> Result<(), Problem> {
    let classes: Vec<&str> = shape.files.iter().map(|class| class.name).collect();
    check_name(files, &classes, "class of files").map_err(|problem| problem.under("files"))?;
    check_members(target, shape)
}

fn check_clients(target: Target, shape: &Shape) -> Result<(), Problem> {
    match target {
        Target::Node(NodeId::Client(_)) | Target::AllClients => check_target(target, shape),
        target => Err(Problem::new(format!(
            "target `{target}` is no client; this kind of fault happens to clients"
        ))),
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

/// Whether `name` is one of those that the system has for a `noun`.
fn check_name(name: &str, known: &[&str], noun: &str) -> Result<(), Problem> {
    if known.contains(&name) {
        return Ok(());
    }
    let known = match known {
        [] => "it has none".to_owned(),
        names => format!("it has {}", names.join(", ")),
    };
    Err(Problem::new(format!("this system has no {noun} `{name}`; {known}")))
}
