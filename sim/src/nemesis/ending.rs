//! The end of all faults, and what stays broken.

use std::time::Duration;

use super::Nemesis;
use crate::network::{Link, Shown};
use crate::record;
use crate::schedule::{Broken, How};
use crate::world::World;

/// Longer than any run.
const FOR_GOOD: Duration = Duration::from_secs(1_000_000);

impl Nemesis {
    /// Ends all faults: every process runs, every link and every disk works, every clock keeps its own pace. But for
    /// the members that the schedule breaks for good.
    pub(crate) fn heal(&self, world: &World) {
        record!(world, "fault", "all faults are healed");
        world.set_healed();
        world.failpoints().borrow_mut().clear();
        for Broken { member, how } in &self.0.broken {
            world.atlas().set_broken(*member, *how);
        }
        world.heal_links();
        world.heal_disks();
        world.heal_clocks();
        world.heal_processes();
        for Broken { member, how } in &self.0.broken {
            record!(world.node_by_index(world.index(*member)), "fault", "stays {}", Shown(how));
            let index = world.index(*member);
            match how {
                How::Down => world.keep_down(index),
                How::Paused => world.keep_paused(index),
                How::Stalled => world.drive_of(index).stalls.borrow_mut().push(FOR_GOOD),
                How::CutOff => {
                    let mut network = world.network().borrow_mut();
                    let others = (0..world.processes().len()).filter(|other| *other != index);
                    let links: Vec<usize> = others
                        .flat_map(|other| {
                            [network.link_index(index, other), network.link_index(other, index)]
                        })
                        .collect();
                    network.change(links, Link::cut);
                }
            }
        }
        world.assess();
    }
}
