//! What the simulator switches on: a full disk, errors of the device, and writes that do not land.

use super::damage::Stray;
use crate::random::Stream;

/// The operations that can be made to fail with an input/output error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IoKind {
    /// Reads of files.
    Read,
    /// Appends, writes and truncations of files.
    Write,
    /// Syncs of files and of directories, at the moment they would complete. What they should have made durable is as
    /// unsynced as before.
    Sync,
    /// The same; but what a sync of a file should have made durable is taken for clean, as by a kernel that reports
    /// such an error once: reads show it, no later sync writes it, and it is gone when the power fails.
    SyncForgets,
    /// Changes of names: creating, renaming and removing files and directories.
    Names,
}

const IO_KINDS: usize = 5;

/// The capacity of a new disk in bytes: far more than a run needs, and less than the machine's memory, so that a
/// wild offset is a full disk and not the end of the simulator.
pub const CAPACITY_BYTES_DEFAULT: u64 = 1 << 30;

/// The faults that are switched on.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    pub(super) capacity_bytes: u64,
    armed: [u32; IO_KINDS],
    /// Syncs that failed and took something for clean.
    pub(super) forgotten: u32,
    /// Those of all times: what a write waits to meet may come long after the last write went astray.
    strays: Vec<Strays>,
    /// Whether any write may still go astray.
    has_strays: bool,
}

/// A fault that leads writes astray.
#[derive(Clone, Debug)]
struct Strays {
    prefix: Box<str>,
    stray: Stray,
    left: u32,
    met: u32,
    stream: Stream,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            capacity_bytes: CAPACITY_BYTES_DEFAULT,
            armed: [0; IO_KINDS],
            forgotten: 0,
            strays: Vec::new(),
            has_strays: false,
        }
    }
}

impl Faults {
    pub(super) fn arm(&mut self, kind: IoKind, count: u32) {
        let armed = &mut self.armed[kind as usize];
        *armed = if count == 0 { 0 } else { armed.saturating_add(count) };
    }

    /// Whether the operation that is under way fails; one armed error is used up by it.
    pub(super) fn strikes(&mut self, kind: IoKind) -> bool {
        let armed = &mut self.armed[kind as usize];
        match armed.checked_sub(1) {
            Some(rest) => {
                *armed = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn lead_astray(&mut self, prefix: &str, stray: Stray, count: u32, stream: Stream) -> usize {
        self.strays.push(Strays { prefix: prefix.into(), stray, left: count, met: 0, stream });
        self.has_strays = true;
        self.strays.len() - 1
    }

    pub(super) fn call_off_strays(&mut self) {
        self.strays.iter_mut().for_each(|strays| strays.left = 0);
        self.has_strays = false;
    }

    pub(super) fn strays(&self, fault: usize) -> u32 {
        self.strays.get(fault).map_or(0, |strays| strays.met)
    }

    /// The fault that leads a write to `path` astray, which is counted.
    pub(super) fn meets_write(&mut self, path: &str) -> Option<usize> {
        if !self.has_strays {
            return None;
        }
        let meets = |strays: &Strays| strays.left > 0 && path.starts_with(&*strays.prefix);
        let fault = self.strays.iter().position(meets)?;
        self.strays[fault].left -= 1;
        self.strays[fault].met += 1;
        Some(fault)
    }

    pub(super) fn stray(&self, fault: usize) -> Stray {
        self.strays[fault].stray
    }

    pub(super) fn prefix(&self, fault: usize) -> &str {
        &self.strays[fault].prefix
    }

    /// One of `places`, if there are any.
    pub(super) fn draw_place<T: Copy>(&mut self, fault: usize, places: &[T]) -> Option<T> {
        (!places.is_empty()).then(|| *self.strays[fault].stream.pick(places))
    }
}
