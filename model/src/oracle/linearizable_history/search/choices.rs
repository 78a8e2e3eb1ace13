//! What can fill a gap, and in which order it is tried.

use std::cmp::Reverse;

use super::super::conflicts::{Conflict, KeySet};
use super::super::evidence::{Class, Evidence, Writers};
use super::Search;
use super::counts::Counts;
use crate::history::Operation;

/// So many unknown writes are looked at before one of them is taken for a gap.
const TRIED_AT_ONCE: usize = 32;

/// A class that can fill a gap.
pub(super) struct Candidate {
    class: u32,
    /// The revision until which somebody must have made a change like that.
    until: i64,
    /// By how many keys a count will be wrong, for all that is known.
    wrong: i64,
}

/// What can fill a gap.
#[derive(Default)]
pub(super) struct Options {
    pub(super) candidates: Vec<Candidate>,
    /// Keys that some write could have changed here.
    pub(super) writable: Vec<u32>,
    /// Why nothing else is a candidate.
    pub(super) because: Conflict,
    /// By key: it may be because of this one as well.
    pub(super) touched: Vec<bool>,
    /// How many keys there must be after the gap, and after those that follow on it.
    pub(super) counts: Counts,
    /// Others have failed at this gap.
    is_retry: bool,
    /// So many classes have not been looked at yet, of those that are taken by their times.
    pub(super) untried: usize,
}

/// A gap, for a glance at what can have filled it.
#[derive(Clone, Copy)]
struct Here {
    revision: i64,
    /// A write that was invoked later did not.
    deadline: u64,
    /// Keys that some gap can have written at that revision.
    loud: KeySet,
}

impl Here {
    /// Whether a class can have made the revision, whatever happened before.
    fn allows(&self, evidence: &Evidence<'_>, class: &Class) -> bool {
        class.invoked < self.deadline && !evidence.refutes(class, self.revision, self.loud)
    }
}

impl<'a> Search<'a> {
    /// The next write of `class` without a place.
    pub(super) fn next_of(&self, class: u32) -> Option<&'a Operation> {
        let class = class as usize;
        let member = *self.evidence?.classes[class].members.get(self.used[class].len())?;
        Some(self.places.operation(member))
    }

    /// Candidates for `revision` in the order in which to try them, the last first: what leaves as many keys as are counted soon;
    /// what is not needed elsewhere; what is needed, the sooner the better; and of what is not, the latest, since a write takes
    /// effect soon as a rule.
    pub(super) fn sorted(&self, mut candidates: Vec<Candidate>, revision: i64) -> Vec<u32> {
        candidates.sort_by_cached_key(|&Candidate { class, until, wrong }| {
            let is_free = self.evidence.is_some_and(|evidence| !evidence.is_spoken_for(class, revision));
            (Reverse(wrong), is_free, Reverse(until), self.next_of(class).map(|write| write.invoked))
        });
        candidates.into_iter().map(|candidate| candidate.class).collect()
    }

    /// The classes of which one may stand at the gap `revision`, and why no other may. Of those that are taken by their
    /// times, the last `untried` ones have not been looked at; at first, none has.
    pub(super) fn options(&mut self, revision: i64, untried: Option<usize>) -> Options {
        let mut options = Options {
            touched: vec![false; self.causes.len()],
            counts: self.counts_after(revision),
            is_retry: untried.is_some(),
            ..Options::default()
        };
        let Some(evidence) = self.evidence else { return options };
        let here = Here { revision, deadline: self.places.deadline(revision), loud: evidence.loud(revision) };
        let Writers { always, by_time } = evidence.writers_at(revision);
        self.work += if self.counts_work { 1 + (self.causes.len() + always.len()) as u64 / 8 } else { 0 };
        if untried.is_none() {
            let unmet = evidence.unmet(&self.replay, revision);
            if let Some(key) = unmet {
                options.touched[key as usize] = true;
            }
            let mut writable = vec![false; self.causes.len()];
            let mut written = 0;
            for &number in always {
                let class = &evidence.classes[number as usize];
                let may_write = match unmet.filter(|_| !class.may_recreate) {
                    Some(_) => here.allows(evidence, class),
                    None => self.try_class(evidence, number, here, &mut options),
                };
                // With more keys than bits, some share one.
                if may_write && (class.write_set & !written != 0 || !evidence.is_exact()) {
                    written |= class.write_set;
                    class.writes.iter().for_each(|&key| writable[key as usize] = true);
                }
            }
            let is_writable = |key: u32| {
                (writable[key as usize] || !by_time.is_empty() && evidence.is_key(key))
                    && !evidence.is_quiet(key, revision)
            };
            options.writable = (0..self.causes.len() as u32).filter(|&key| is_writable(key)).collect();
        }
        let is_early = |class: &u32| evidence.classes[*class as usize].invoked < here.deadline;
        options.untried = untried.unwrap_or_else(|| by_time.partition_point(is_early));
        let mut tried = 0;
        while options.untried > 0 && (tried < TRIED_AT_ONCE || options.candidates.is_empty()) {
            options.untried -= 1;
            self.work += 1;
            let class = by_time[options.untried];
            if options.is_retry && self.spares_doomed_keys(&evidence.classes[class as usize]) {
                continue;
            }
            self.try_class(evidence, class, here, &mut options);
            tried += 1;
        }
        for (causes, _) in self.causes.iter().zip(&options.touched).filter(|(_, is_touched)| **is_touched) {
            options.because.add(causes);
        }
        options
    }

    /// Adds a class to the candidates for a gap, or the reason why it is none; whether it can have been one at all.
    fn try_class(&mut self, evidence: &Evidence<'a>, class: u32, here: Here, options: &mut Options) -> bool {
        let members = &evidence.classes[class as usize];
        if !here.allows(evidence, members) {
            return false;
        }
        let (revision, used) = (here.revision, &self.used[class as usize]);
        let next = evidence.available(class, used.len() as u32, revision);
        let next =
            next.map(|write| self.places.operation(write)).filter(|write| write.invoked < here.deadline);
        let Some(write) = next else {
            if !used.is_empty() {
                options.because.spend(class);
            }
            return true;
        };
        let mark = self.replay.mark();
        self.replays += 1;
        let changes = self.replay.step(&write.request, None) == Ok(true);
        let is_possible = changes && evidence.allows(&self.replay, mark, revision);
        let counted = if is_possible { self.counted(mark, options) } else { None };
        if let Some(wrong) = counted
            && !(options.is_retry && self.is_doomed(evidence, mark))
        {
            let until = evidence.needed_until(&self.replay, mark, revision);
            options.candidates.push(Candidate { class, until, wrong });
        } else {
            members.touches.iter().for_each(|&key| options.touched[key as usize] = true);
        }
        self.replay.rewind(mark);
        true
    }

    /// The next class to try at the last gap. The replay stands before that.
    pub(super) fn next_class(&mut self) -> Option<u32> {
        loop {
            let gap = self.filled.last_mut()?;
            if let Some(class) = gap.others.pop() {
                if self.leads_elsewhere(class) {
                    return Some(class);
                }
                continue;
            }
            if gap.untried == 0 {
                return None;
            }
            let (revision, untried) = (gap.revision, gap.untried);
            let Options { candidates, because, untried, .. } = self.options(revision, Some(untried));
            let others = self.sorted(candidates, revision);
            let gap = self.filled.last_mut()?;
            gap.because.merge(&because);
            gap.untried = untried;
            gap.others = others;
        }
    }
}
