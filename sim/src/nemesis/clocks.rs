//! Faults of clocks, which end by themselves.

use std::time::Duration;

use crate::node_id::NodeId;
use crate::world::World;

impl World {
    pub(super) fn drift_clock(&self, id: NodeId, fault: usize, drift_ppm: i32, lasts: Duration) {
        let index = self.index(id);
        self.process(index).drift(self.now(), fault, drift_ppm);
        self.undo_after(lasts, move |world| world.process(index).end_drift(world.now(), fault));
    }

    pub(super) fn heal_clocks(&self) {
        for process in self.processes() {
            process.end_drifts(self.now());
        }
    }
}
