//! Faults of links, which end by themselves.

use std::time::Duration;

use crate::network::Link;
use crate::node_id::NodeId;
use crate::schedule::Direction;
use crate::world::World;

impl World {
    /// The links between two sides, each once.
    pub(super) fn links_between(&self, from: &[NodeId], to: &[NodeId], direction: Direction) -> Vec<usize> {
        let mut links = Vec::new();
        for a in from {
            for b in to.iter().filter(|b| *b != a) {
                let (a, b) = (self.index(*a), self.index(*b));
                let network = self.network().borrow();
                links.push(network.link_index(a, b));
                if direction == Direction::Both {
                    links.push(network.link_index(b, a));
                }
            }
        }
        links.sort_unstable();
        links.dedup();
        links
    }

    /// Changes links, and changes them back after `lasts`; whether there are any.
    pub(super) fn change_links(
        &self,
        links: Vec<usize>,
        lasts: Duration,
        change: impl Fn(&mut Link),
        back: impl Fn(&mut Link) + 'static,
    ) -> bool {
        if links.is_empty() {
            return false;
        }
        self.network().borrow_mut().change(links.iter().copied(), change);
        self.undo_after(lasts, move |world| {
            world.network().borrow_mut().change(links.iter().copied(), back);
            for link in links {
                world.send_held(link);
                world.send_stalled(link);
            }
        });
        true
    }

    pub(super) fn reset_between(&self, from: &[NodeId], to: &[NodeId]) {
        for a in from {
            for b in to {
                self.reset_connections(*a, *b);
            }
        }
    }

    pub(super) fn heal_links(&self) {
        let links = self.network().borrow().link_count();
        self.network().borrow_mut().change(0..links, Link::heal);
        for link in 0..links {
            self.send_held(link);
            self.send_stalled(link);
        }
    }
}
