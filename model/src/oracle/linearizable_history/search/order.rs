//! On what it depends what is possible beside the keys, and why refusals wait.

use super::super::beside::Dependence;
use super::super::conflicts::GapSet;
use super::{Failure, Search};

impl Search<'_> {
    /// Notes on what it depends what is possible beside the keys.
    pub(super) fn order(&mut self) {
        match self.beside.dependence(&self.frontier) {
            Dependence::Nothing => self.ordered_by.clear(),
            Dependence::Order => {}
            Dependence::Keys => self.ordered_by = GapSet::below(self.filled.len()),
        }
    }

    /// Notes why refusals still wait.
    pub(super) fn wait(&mut self) {
        if self.filled.is_empty() && self.waiting.is_empty() {
            return;
        }
        // Nearly always.
        if self.beside.open(&self.frontier).next().is_none() {
            self.waiting.clear();
            return;
        }
        let open: Vec<u32> = self.beside.open(&self.frontier).collect();
        let waiting = open.into_iter().filter_map(|item| Some((item, self.causes_of_wait(item)?)));
        self.waiting = waiting.collect();
    }

    /// The gaps because of which an item has not been right up to this revision; nothing if it has, or if keys are not all that it
    /// depends on.
    pub(super) fn causes_of_wait(&self, item: u32) -> Option<GapSet> {
        let evidence = self.evidence?;
        let (request, has_waited) = self.beside.waits_for_keys(item, &self.replay)?;
        let mut because = match self.waiting.get(&item) {
            Some(because) => because.clone(),
            None if has_waited && !self.filled.is_empty() => return None,
            None => GapSet::default(),
        };
        let (touches, _) = evidence.touched(request);
        touches.into_iter().for_each(|key| because.merge(&self.causes[key as usize]));
        Some(because)
    }

    pub(super) fn unfounded(&self) -> Failure {
        match self.beside.unfounded(&self.frontier) {
            Some(item) => item.failure(),
            None => Failure::Gap(self.places.last()),
        }
    }
}
