//! What the simulator switches on: a full disk, errors of the device, and writes and syncs that do not do what they say.

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
    /// Syncs of files, which then have lost what they should have made durable: the page cache has dropped it.
    SyncLost,
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
    /// Those of all times: a write that was led astray may land long after the last one was.
    snares: Vec<Snare>,
    /// Whether any of them waits for more.
    has_snares: bool,
}

/// A fault that waits for what the process does to some files.
#[derive(Clone, Debug)]
struct Snare {
    prefix: Box<str>,
    catches: Catches,
    left: u32,
    met: u32,
    /// Where what it leads astray lands.
    places: Option<Stream>,
}

/// What a [`Snare`] waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Catches {
    /// A write, which goes astray.
    Write(Stray),
    /// A sync, which fails and takes for clean what it should have made durable.
    Sync,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            capacity_bytes: CAPACITY_BYTES_DEFAULT,
            armed: [0; IO_KINDS],
            snares: Vec::new(),
            has_snares: false,
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
        self.lay(Snare {
            prefix: prefix.into(),
            catches: Catches::Write(stray),
            left: count,
            met: 0,
            places: Some(stream),
        })
    }

    pub(super) fn forget_syncs(&mut self, prefix: &str, count: u32) -> usize {
        self.lay(Snare { prefix: prefix.into(), catches: Catches::Sync, left: count, met: 0, places: None })
    }

    fn lay(&mut self, snare: Snare) -> usize {
        self.snares.push(snare);
        self.has_snares = true;
        self.snares.len() - 1
    }

    pub(super) fn call_off(&mut self) {
        self.snares.iter_mut().for_each(|snare| snare.left = 0);
        self.has_snares = false;
    }

    pub(super) fn struck(&self, fault: usize) -> u32 {
        self.snares.get(fault).map_or(0, |snare| snare.met)
    }

    /// The fault that leads a write to `path` astray, which is counted.
    pub(super) fn meets_write(&mut self, path: &str) -> Option<usize> {
        let fault = self.meets(path, |catches| matches!(catches, Catches::Write(_)))?;
        self.count(fault);
        Some(fault)
    }

    /// The fault that lets a sync of the file at `path` fail. Whether it did any harm is to be [counted](Self::count).
    pub(super) fn meets_sync(&mut self, path: &str) -> Option<usize> {
        self.meets(path, |catches| catches == Catches::Sync)
    }

    fn meets(&mut self, path: &str, catches: impl Fn(Catches) -> bool) -> Option<usize> {
        if !self.has_snares {
            return None;
        }
        let waits =
            |snare: &Snare| snare.left > 0 && catches(snare.catches) && path.starts_with(&*snare.prefix);
        let fault = self.snares.iter().position(waits)?;
        self.snares[fault].left -= 1;
        Some(fault)
    }

    /// Counts what a fault has done.
    pub(super) fn count(&mut self, fault: usize) {
        self.snares[fault].met += 1;
    }

    /// Whether what a fault leads astray lands anywhere.
    pub(super) fn lands(&self, fault: usize) -> bool {
        self.snares[fault].catches == Catches::Write(Stray::Misdirected)
    }

    pub(super) fn prefix(&self, fault: usize) -> &str {
        &self.snares[fault].prefix
    }

    /// One of `places`, if there are any.
    pub(super) fn draw_place<T: Copy>(&mut self, fault: usize, places: &[T]) -> Option<T> {
        let stream = self.snares[fault].places.as_mut().filter(|_| !places.is_empty())?;
        Some(*stream.pick(places))
    }
}
