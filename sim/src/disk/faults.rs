//! What the simulator switches on: a full disk, and errors of the device.

/// The operations that can be made to fail with an input/output error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IoKind {
    /// Reads of files.
    Read,
    /// Appends, writes and truncations of files.
    Write,
    /// Syncs of files and of directories, at the moment they would complete.
    Sync,
}

/// The capacity of a new disk in bytes: far more than a run needs, and less than the machine's memory, so that a
/// wild offset is a full disk and not the end of the simulator.
pub const CAPACITY_BYTES_DEFAULT: u64 = 1 << 30;

/// The faults that are switched on.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    pub(super) capacity_bytes: u64,
    armed: [u32; 3],
}

impl Default for Faults {
    fn default() -> Self {
        Self { capacity_bytes: CAPACITY_BYTES_DEFAULT, armed: [0; 3] }
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
}
