//! The seam between madsim and this world.
//!
//! madsim tells its plugins when a node is reset, whoever reset it: also when a system under test kills a node by
//! madsim's own means, the dead process loses its sockets and its connections, and its disk what a crash takes.

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
            world.node_was_reset(id);
        }
    }
}

/// Puts `world` behind the plugin of madsim's current runtime.
pub(crate) fn attach(world: &World) {
    let attached = plugin::simulator::<Plugin>().0.set(SendWrapper::new(world.downgrade()));
    assert!(attached.is_ok(), "a runtime has one world");
}

impl World {
    /// A node was reset. Our own crashes have seen to everything by then; someone else used madsim's means.
    fn node_was_reset(&self, madsim_id: MadsimId) {
        let Some(index) = self.processes().iter().position(|process| process.madsim_id == madsim_id) else {
            return;
        };
        let status = &self.process(index).status;
        if status.get() == Status::Running && !self.has_ended() {
            status.set(Status::Down);
            self.process_is_gone(index, Crash::Process);
        }
    }
}
