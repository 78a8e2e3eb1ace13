//! Faults of clocks, which end by themselves.

use std::time::Duration;

use crate::node_id::NodeId;
use crate::schedule::ClockOffset;
use crate::sometimes;
use crate::world::World;

impl World {
    pub(super) fn drift_clock(&self, id: NodeId, fault: usize, drift_ppm: i32, lasts: Duration) {
        let index = self.index(id);
        self.process(index).drift(self.now(), fault, drift_ppm);
        sometimes!(
            self,
            "a clock gains or loses a twentieth",
            drift_ppm.unsigned_abs() >= 50_000,
            when = |run| { run.fault("clock-drift") }
        );
        self.undo_after(lasts, move |world| world.process(index).end_drift(world.now(), fault));
    }

    pub(super) fn jump_clock(&self, id: NodeId, fault: usize, by: ClockOffset, lasts: Duration) {
        let index = self.index(id);
        self.process(index).jump(fault, by.nanos);
        self.undo_after(lasts, move |world| world.process(index).end_jump(fault));
    }

    pub(super) fn heal_clocks(&self) {
        for process in self.processes() {
            process.heal_clock(self.now());
        }
    }
}
