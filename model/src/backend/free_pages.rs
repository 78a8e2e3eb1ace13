//! Which pages of the file are free.
//!
//! bbolt's readers read from the file, so that a page that a reader may still need is not used again before it has
//! finished. Here readers have their nodes in memory. A page is needed as long as the last durable commit has a node in
//! it, and is free as soon as a later one is durable.
//!
//! The list is not in the file: it is what no tree uses, which opening finds out. etcd does so as well
//! (`NoFreelistSync`).

use std::collections::BTreeSet;

use super::page::{META_PAGES, Place};

/// The pages behind the meta pages, in use or not.
pub(super) struct FreePages {
    /// Pages of the file.
    all: u32,
    free: BTreeSet<u32>,
    /// What the transaction that is under way has no more use for, while the last commit has.
    pub(super) freed: Vec<Place>,
}

impl FreePages {
    /// A file that has nothing but meta pages.
    pub(super) fn new() -> Self {
        Self { all: META_PAGES, free: BTreeSet::new(), freed: Vec::new() }
    }

    /// A file of `all` pages in which the ones that `is_used` are in use.
    pub(super) fn found(is_used: &[bool]) -> Self {
        let is_free = |page: &u32| !is_used[*page as usize];
        let all = is_used.len() as u32;
        Self { all, free: (META_PAGES..all).filter(is_free).collect(), freed: Vec::new() }
    }

    /// Takes `pages` free pages that follow one another, the first that there are, or new ones at the end of the file;
    /// returns the number of the first.
    pub(super) fn take(&mut self, pages: u32) -> u32 {
        let mut run = 0..0;
        for &page in &self.free {
            run = if page == run.end { run.start..page + 1 } else { page..page + 1 };
            if run.end - run.start == pages {
                for page in run.clone() {
                    self.free.remove(&page);
                }
                return run.start;
            }
        }
        let first = self.all;
        self.all += pages;
        first
    }

    /// The transaction under way is durable.
    pub(super) fn committed(&mut self) {
        for place in self.freed.drain(..) {
            self.free.extend(place.page..place.page + place.pages);
        }
    }

    /// Pages of the file.
    pub(super) fn all(&self) -> u32 {
        self.all
    }

    /// Those of them that are not free.
    pub(super) fn in_use(&self) -> u32 {
        self.all - self.free.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_used_again_when_the_commit_that_frees_them_is_durable_and_enough_follow_one_another() {
        let mut pages = FreePages::found(&[true, true, true, false, true, false, false, true]);
        assert_eq!((pages.all(), pages.in_use()), (8, 5));
        assert_eq!(pages.take(2), 5);
        assert_eq!(pages.take(2), 8);
        pages.freed.push(Place { page: 4, pages: 1, checksum: 0 });
        assert_eq!(pages.take(2), 10);
        pages.committed();
        assert_eq!(pages.take(2), 3);
        assert_eq!((pages.all(), pages.in_use()), (12, 12));
    }
}
