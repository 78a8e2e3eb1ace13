//! What API servers listed, and what they watched from there on to keep a cache of it.
//!
//! It says which operations and which watches belong together. What these told is in the [`History`](crate::history::History)
//! and in the [`WatchHistory`](crate::watch_history::WatchHistory), so what a cache held at any moment follows.

use crate::history::OperationId;
use crate::watch_history::WatchNumber;

/// A list of all objects of a resource, and the watches that told what became of them.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The pages in their order. The last one may have failed.
    pub pages: Vec<OperationId>,
    /// The watches in their order, each from where the one before had come to. None for a list that nobody keeps.
    pub watches: Vec<WatchNumber>,
}

/// Which list of a [`CacheHistory`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListNumber(u32);

/// All lists of all API servers. It only ever grows.
#[derive(Clone, Debug, Default)]
pub struct CacheHistory {
    lists: Vec<Listed>,
}

impl CacheHistory {
    /// An API server has listed a resource by these operations.
    ///
    /// # Panics
    ///
    /// If there are more than 2^32 lists.
    pub fn listed(&mut self, pages: Vec<OperationId>) -> ListNumber {
        let number = u32::try_from(self.lists.len()).expect("fewer than 2^32 lists");
        self.lists.push(Listed { pages, watches: Vec::new() });
        ListNumber(number)
    }

    /// It asks for a watch from there on, or from where its last watch had come to.
    pub fn watches(&mut self, list: ListNumber, watch: WatchNumber) {
        self.lists[list.0 as usize].watches.push(watch);
    }

    /// All lists, in the order in which they were made.
    #[must_use]
    pub fn lists(&self) -> &[Listed] {
        &self.lists
    }
}
