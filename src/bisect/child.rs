//! A child process in a group of its own, so that all that it starts can be ended with it.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Stop;

/// Between two looks at a child: short for those that end soon.
const PERIODS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];
/// How long a child may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// Signals that come from someone else: a user, a supervisor, a machine without memory.
const FROM_OUTSIDE: [Signal; 5] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::KILL, Signal::TERM];

/// How a child ended.
pub enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It had used up its time.
    TimedOut,
    /// It was to go on no longer.
    Stopped,
}

/// Starts `command` and waits for its end, for `limit` at most, and while `goes_on` says so each time it is asked.
///
/// # Errors
///
/// If it cannot be started, was killed by someone else, or `stop` was set: what an interrupted child did says
/// nothing of its commit.
pub fn run(
    command: &mut Command,
    limit: Option<Duration>,
    stop: &AtomicBool,
    mut goes_on: impl FnMut() -> bool,
) -> Result<Ended, Stop> {
    if stop.load(Ordering::Relaxed) {
        return Err(Stop::Interrupted);
    }
    let program = command.get_program().display().to_string();
    let mut child = command.process_group(0).spawn().map_err(|error| Stop::NotStarted { program, error })?;
    let began = Instant::now();
    loop {
        let ended = child.try_wait().map_err(|error| format!("a child cannot be waited for: {error}"))?;
        if let Some(status) = ended
            && let Some(signal) = from_outside(status)
        {
            // Whoever ends us together with our children may end them first.
            std::thread::sleep(PERIODS[1]);
            return Err(match stop.load(Ordering::Relaxed) {
                true => Stop::Interrupted,
                false => Stop::Killed(signal),
            });
        }
        if stop.load(Ordering::Relaxed) {
            end(&mut child);
            return Err(Stop::Interrupted);
        }
        if let Some(status) = ended {
            // What it left running would still be there when the next commit runs.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            return Ok(Ended::Exited(status));
        }
        if limit.is_some_and(|limit| began.elapsed() >= limit) {
            end(&mut child);
            return Ok(Ended::TimedOut);
        }
        if !goes_on() {
            end(&mut child);
            return Ok(Ended::Stopped);
        }
        std::thread::sleep(if began.elapsed() < PERIODS[1] { PERIODS[0] } else { PERIODS[1] });
    }
}

/// The signal by which someone else ended the child, or, as shells have it, the child's own child.
fn from_outside(status: ExitStatus) -> Option<i32> {
    let shell = || status.code().filter(|code| *code > 128).map(|code| code - 128);
    let number = status.signal().or_else(shell)?;
    FROM_OUTSIDE.iter().any(|signal| signal.as_raw() == number).then_some(number)
}

/// Ends the child and all of its group: at first by asking.
fn end(child: &mut Child) {
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(PERIODS[0]);
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}
