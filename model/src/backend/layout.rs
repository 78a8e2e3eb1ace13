//! How a database lies in its file: what oracles hold the file and its accounts against.

use super::Backend;
use super::database::Trees;
use super::page::{META_PAGES, PAGE_BYTES};
use super::tree::{Entries, Node};

/// How a database lies in its file, after its last commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// Bytes of the file.
    pub file: u64,
    /// Bytes of the pages that it does not take for free.
    pub in_use: u64,
    /// Bytes of the pages that have something in them.
    pub held: u64,
    /// Nodes that take another number of bytes than they know.
    pub miscounted: u32,
    /// Leaves of more than a page that should have been split.
    pub overfull: u32,
}

impl Backend {
    /// For oracles: how it lies in its file, after the last commit.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let mut layout = Layout { file: self.size(), in_use: self.size_in_use(), ..Layout::default() };
        layout.take_all(self.0.view.borrow().committed());
        layout
    }
}

/// For oracles.
impl Layout {
    fn take_all(&mut self, trees: &Trees) {
        self.held = u64::from(META_PAGES) * PAGE_BYTES as u64;
        trees.iter().filter_map(|tree| tree.root.as_deref()).for_each(|root| self.take(root));
    }

    fn take(&mut self, node: &Node) {
        self.held += u64::from(node.place.map_or(0, |place| place.pages)) * PAGE_BYTES as u64;
        self.miscounted += u32::from(node.is_miscounted());
        self.overfull += u32::from(node.is_overfull());
        if let Entries::Branch(children) = &node.entries {
            children.iter().for_each(|(_, child)| self.take(child));
        }
    }
}
