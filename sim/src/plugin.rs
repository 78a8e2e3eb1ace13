//! The seam between madsim and this world.
//!
//! madsim tells its plugins when a node is reset, whoever reset it. That is the one place at which a dead process
//! loses its sockets, its connections and its unsynced data.

use std::sync::OnceLock;

use madsim::plugin::Simulator;
use madsim::rand::GlobalRng;
use madsim::task::NodeId as MadsimId;
use madsim::time::TimeHandle;
use madsim::{Config, plugin};
use send_wrapper::SendWrapper;

use crate::process::{Crash, Status};
use crate::world::{WeakWorld, World};

/// Network, disks and clocks, as a plugin of madsim.
pub(crate) struct Plugin(OnceLock<SendWrapper<WeakWorld>>);

impl Simulator for Plugin {
    fn new(_: &GlobalRng, _: &TimeHandle, _: &Config) -> Self {
        Self(OnceLock::new())
    }

    fn reset_node(&self, id: MadsimId) {
        if let Some(world) = self.0.get().and_then(|world| world.upgrade()) {
            world.process_is_gone(id);
        }
    }
}

/// Puts `world` behind the plugin of madsim's current runtime.
pub(crate) fn attach(world: &World) {
    let attached = plugin::simulator::<Plugin>().0.set(SendWrapper::new(world.downgrade()));
    assert!(attached.is_ok(), "a runtime has one world");
}

impl World {
    /// The tasks of a process will not run again.
    fn process_is_gone(&self, madsim_id: MadsimId) {
        let Some(index) = self.processes().iter().position(|process| process.madsim_id == madsim_id) else {
            return;
        };
        let process = self.process(index);
        if process.status.get() == Status::Running {
            // Someone killed the node by madsim's own means.
            process.status.set(Status::Down);
        }
        if self.has_ended() {
            return;
        }
        let crash = if process.status.get() == Status::Down { Crash::Process } else { Crash::Power };
        self.close_all(process.id, crash == Crash::Process);
        self.crash_disk(index, crash);
    }
}
