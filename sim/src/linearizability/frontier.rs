//! A set of configurations, without those that others make superfluous.

use super::Map;
use super::mask::Mask;

/// A state, and how it came about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Configuration<M> {
    /// The number of the state.
    pub(super) state: u32,
    /// The pending operations that are done, by their slots.
    pub(super) done: M,
    /// The operations of unknown outcome that took effect.
    pub(super) used: M,
    /// The last that was done: its place among the links of the search.
    pub(super) last: u32,
}

/// From so many on, configurations are found by their hash.
const INDEXED: usize = 24;

/// Configurations. Of those in one state with the same done, one that used fewer unknown operations can do all that one
/// can that used more.
pub(super) struct Frontier<M> {
    configurations: Vec<Configuration<M>>,
    /// By state and what is done, where there are many: the places of all such.
    index: Map<(u32, M), Vec<u32>>,
}

impl<M: Mask> Frontier<M> {
    pub(super) fn new() -> Self {
        Self { configurations: Vec::new(), index: Map::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.configurations.len()
    }

    pub(super) fn configurations(&self) -> &[Configuration<M>] {
        &self.configurations
    }

    pub(super) fn configurations_mut(&mut self) -> &mut [Configuration<M>] {
        debug_assert!(self.index.is_empty(), "what is done is what the index goes by");
        &mut self.configurations
    }

    /// Forgets how configurations are found, which must not be looked for any more.
    pub(super) fn close(&mut self) {
        self.index.clear();
    }

    /// Adds one, unless there is one that makes it superfluous; whether it was added.
    pub(super) fn add(&mut self, new: Configuration<M>) -> bool {
        let makes_superfluous = |old: &Configuration<M>| old.used.is_subset(&new.used);
        if self.configurations.len() < INDEXED {
            let mut same =
                (self.configurations.iter()).filter(|old| old.state == new.state && old.done == new.done);
            if same.any(makes_superfluous) {
                return false;
            }
        } else {
            if self.index.is_empty() {
                for (place, old) in self.configurations.iter().enumerate() {
                    self.index.entry((old.state, old.done.clone())).or_default().push(place as u32);
                }
            }
            let same = self.index.entry((new.state, new.done.clone())).or_default();
            if same.iter().any(|place| makes_superfluous(&self.configurations[*place as usize])) {
                return false;
            }
            same.push(self.configurations.len() as u32);
        }
        self.configurations.push(new);
        true
    }
}
