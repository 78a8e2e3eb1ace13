//! The replay in order of the revisions, and the search for the writes that fill the gaps.
//!
//! Depth first, with jumps: where the replay cannot go on, the gaps that this depends on are known, and the search
//! goes back to the last of them that has another candidate, past all choices that have nothing to do with it
//! (conflict-directed backjumping). For that, each key carries the gaps that its present state depends on, and loses
//! them as soon as a reply has shown the key: any other way to that point would have to lead to the same state. With a gap goes
//! which keys matter there, and of its other candidates only those are tried that do something else to these. A refusal for
//! which only keys can be the reason, and which was right at no revision yet, carries those of all of these.

mod choices;
mod counts;
mod effects;
mod failure;
mod order;

use std::collections::BTreeMap;

use vertebra_sim::verdict::Violation;

use choices::Options;
use effects::Effect;
use failure::Failure;

use super::beside::{Beside, Frontier};
use super::conflicts::{ANYTHING, Conflict, GapSet, key_set};
use super::evidence::Evidence;
use super::replies::{each_settled, reads_past};
use super::{Conclusion, FIRST_REVISION, Limits, Places, Write};
use crate::history::{Operation, OperationId, Request};
use crate::oracle::replay::{Mark, Replay};
use crate::response::Response;

/// So much is copied in the time in which an operation is replayed.
const COPIED_AT_ONCE: usize = 16;

/// A failure, and the gaps whose writes made it certain: it comes again unless one of these is another.
struct DeadEnd {
    failure: Failure,
    because: Box<Conflict>,
}

impl DeadEnd {
    fn new(failure: Failure, because: impl Into<Conflict>) -> Self {
        Self { failure, because: Box::new(because.into()) }
    }
}

/// A gap with the write that the search has put there.
struct Filled<'a> {
    revision: i64,
    class: u32,
    /// Classes to try next, the last first; then so many more of those that are taken by their times.
    others: Vec<u32>,
    untried: usize,
    /// Keys that some write could have changed here.
    writable: Vec<u32>,
    /// Gaps because of which all other writes are out of the question here.
    because: Conflict,
    /// Effects that lead to failures that have been seen.
    doomed: Vec<Effect<'a>>,
    /// What to go back to; nothing where there is no other class to try.
    before: Option<Before>,
}

/// The search as it was before a gap.
struct Before {
    mark: Mark,
    causes: Vec<GapSet>,
    frontier: Frontier,
    waiting: BTreeMap<u32, GapSet>,
    ordered_by: GapSet,
}

/// The replay, and the choices made in it.
pub(super) struct Search<'a> {
    places: &'a Places<'a>,
    replay: Replay<'a>,
    evidence: Option<&'a Evidence<'a>>,
    /// By class: the gaps that it fills.
    used: Vec<Vec<usize>>,
    filled: Vec<Filled<'a>>,
    /// By key: the gaps on which its state depends.
    causes: Vec<GapSet>,
    /// So many keys depend on any.
    uncertain: usize,
    /// What is beside the keys, and what of it is possible now.
    beside: &'a Beside<'a>,
    frontier: Frontier,
    /// By item that was never right yet, for want of a key or of its absence: the gaps because of which it was not.
    waiting: BTreeMap<u32, GapSet>,
    /// The gaps on which it depends what is possible beside the keys.
    ordered_by: GapSet,
    alternatives: u64,
    replays: u64,
    /// It is counted only where it is bounded: a verdict has no use for it.
    counts_work: bool,
    work: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        places: &'a Places<'a>,
        evidence: Option<&'a Evidence<'a>>,
        beside: &'a Beside<'a>,
    ) -> Self {
        let classes = evidence.map_or(0, |evidence| evidence.classes.len());
        let keys = evidence.map_or(0, Evidence::keys_count);
        let frontier = beside.begin();
        let mut replay = Replay::new(places.names, places.leases.granted_once(), places.history.is_partial());
        replay.reserve(places.writes.len(), places.versions_of_each());
        Self {
            places,
            replay,
            evidence,
            used: vec![Vec::new(); classes],
            filled: Vec::new(),
            causes: vec![GapSet::default(); keys],
            uncertain: 0,
            beside,
            frontier,
            waiting: BTreeMap::new(),
            ordered_by: GapSet::default(),
            alternatives: 0,
            replays: 0,
            counts_work: false,
            work: 0,
        }
    }

    /// How many operations were replayed, and what it took to fill gaps.
    pub(super) fn work(&self) -> u64 {
        self.replays + self.work
    }

    /// How much there is to copy of what is known.
    fn weight(&self) -> u64 {
        if !self.counts_work {
            return 0;
        }
        let causes: usize = self.causes.iter().map(GapSet::weight).sum();
        ((causes + self.causes.len() + self.waiting.len()) / COPIED_AT_ONCE) as u64 + 1
    }

    pub(super) fn run(&mut self, limits: Limits) -> Result<Conclusion, Violation> {
        self.counts_work = limits.work < u64::MAX;
        let mut deepest: Option<(i64, Failure)> = None;
        let mut result = self.settle(FIRST_REVISION, None);
        loop {
            let too_much = self.beside.is_too_much(&self.frontier);
            if self.alternatives > limits.alternatives
                || self.replays > limits.replays
                || self.work > limits.work
                || too_much
            {
                let gaps = self.places.gaps.clone();
                return Ok(Conclusion::Undecided { gaps, alternatives: self.alternatives });
            }
            let revision = self.replay.revision();
            result = match result {
                Ok(()) if revision >= self.places.last() && self.all_settled() => {
                    return Ok(Conclusion::Linearizable);
                }
                Ok(()) => self.advance(revision + 1),
                Err(DeadEnd { failure, because }) => {
                    let retried = self.retry(*because);
                    if deepest.as_ref().is_none_or(|(depth, _)| *depth < revision) {
                        deepest = Some((revision, failure));
                    }
                    match (retried, deepest.take()) {
                        (Some(result), kept) => {
                            deepest = kept;
                            result
                        }
                        (None, Some((_, failure))) => return Err(failure.into_violation(self.places)),
                        (None, None) => return Ok(Conclusion::Linearizable),
                    }
                }
            };
        }
    }

    /// After an order was found: the write that made each revision, from the second on.
    pub(super) fn writes(&self) -> Vec<Write> {
        let mut filled = self.filled.iter().enumerate().peekable();
        let mut only_way = true;
        let by_revision = (FIRST_REVISION + 1..=self.places.last()).filter_map(|revision| {
            if let Some(number) = self.places.write(revision) {
                return Some((number, true));
            }
            let (gap, filled) = filled.next_if(|(_, filled)| filled.revision == revision)?;
            // What comes after a choice may be so because of it.
            only_way &= filled.before.is_none();
            let class = &self.evidence?.classes[filled.class as usize];
            let place = self.used[filled.class as usize].iter().position(|used| *used == gap)?;
            Some((class.members[place], only_way))
        });
        let operations = self.places.history.operations().len();
        by_revision
            .map(|(number, is_certain)| {
                let write = self.places.operation(number);
                let is_of_history = (number as usize) < operations;
                Write {
                    operation: is_of_history.then(|| OperationId::at(number)),
                    request: write.request.clone(),
                    invoked: write.invoked,
                    is_certain,
                }
            })
            .collect()
    }

    fn all_settled(&self) -> bool {
        self.beside.is_done(&self.frontier)
    }

    /// Goes from one revision to the next, `revision`.
    fn advance(&mut self, revision: i64) -> Result<(), DeadEnd> {
        self.replays += 1;
        if let Some(number) = self.places.write(revision) {
            let write = self.places.operation(number);
            if !self.beside.write(&mut self.frontier, &self.replay, write) {
                // Which branch a transaction takes, its keys say.
                let mut dead_end = self.dead_end(Failure::Denied(number), write);
                dead_end.because.add(&self.ordered_by);
                return Err(dead_end);
            }
            match self.replay.step(&write.request, write.reply()) {
                Ok(true) => {}
                Ok(false) => return Err(self.dead_end(Failure::Idle(number), write)),
                Err(refusal) => return Err(self.dead_end(Failure::Write(number, refusal), write)),
            }
            self.learn(write);
            return self.settle(revision, None);
        }
        let options = self.options(revision, None);
        if options.candidates.is_empty() {
            let because = options.because;
            if revision > self.places.last() {
                return Err(DeadEnd::new(self.unfounded(), GapSet::below(self.filled.len())));
            }
            return Err(DeadEnd::new(Failure::Gap(revision), because));
        }
        let Options { candidates, writable, because, untried, .. } = options;
        let mut others = self.sorted(candidates, revision);
        let Some(class) = others.pop() else { return Ok(()) };
        self.work += self.weight();
        let before = (!others.is_empty() || untried > 0).then(|| Before {
            mark: self.replay.mark(),
            causes: self.causes.clone(),
            frontier: self.frontier.clone(),
            waiting: self.waiting.clone(),
            ordered_by: self.ordered_by.clone(),
        });
        let doomed = Vec::new();
        self.filled.push(Filled { revision, class, others, untried, writable, because, doomed, before });
        self.fill()
    }

    /// Puts the next write of the class chosen for the last gap there.
    fn fill(&mut self) -> Result<(), DeadEnd> {
        let gap = self.filled.len() - 1;
        let Filled { revision, class, .. } = self.filled[gap];
        let (Some(evidence), Some(write)) = (self.evidence, self.next_of(class)) else { return Ok(()) };
        self.used[class as usize].push(gap);
        self.replays += 1;
        // Of those that were over before it was asked for, one may have waited in vain.
        let is_over = |item: &u32| self.beside.item(*item).ended <= write.invoked;
        let in_vain =
            self.beside.open(&self.frontier).filter(is_over).find_map(|item| self.waiting.get(&item));
        let because = in_vain.cloned().map(|because| {
            let mut because = Conflict::from(because);
            because.spend(class);
            because
        });
        if self.beside.may_depend(&self.frontier) {
            self.ordered_by.insert(gap, ANYTHING);
        }
        if !self.beside.write(&mut self.frontier, &self.replay, write) {
            let because = because.unwrap_or_else(|| {
                let mut because = self.ordered_by.clone();
                let touches = &evidence.classes[class as usize].touches;
                touches.iter().for_each(|&key| because.merge(&self.causes[key as usize]));
                because.insert(gap, ANYTHING);
                because.into()
            });
            return Err(DeadEnd::new(self.unfounded(), because));
        }
        let ended = match &write.request {
            Request::LeaseRevoke(revoke) => Some(revoke.id),
            _ => None,
        };
        // The options were tried, and found to change something.
        let _ = self.replay.step(&write.request, None);
        let class = &evidence.classes[class as usize];
        let mut through = GapSet::default();
        class.touches.iter().for_each(|&key| through.merge(&self.causes[key as usize]));
        for &key in class.writes.iter().chain(&self.filled[gap].writable) {
            self.causes[key as usize].insert(gap, key_set(key));
        }
        class.writes.iter().for_each(|&key| self.causes[key as usize].merge(&through));
        self.uncertain = self.causes.iter().filter(|causes| !causes.is_empty()).count();
        self.settle(revision, ended)
    }

    /// Goes back to the last gap among `because` that can be filled in another way; `None` if there is none, which
    /// proves that nothing could have gone otherwise.
    fn retry(&mut self, mut because: Conflict) -> Option<Result<(), DeadEnd>> {
        while let Some((gap, keys)) = because.pop(&self.used) {
            self.work += self.weight();
            while self.filled.len() > gap + 1 {
                let class = self.filled.pop()?.class;
                self.used[class as usize].pop();
            }
            let filled = self.filled.last_mut()?;
            self.used[filled.class as usize].pop();
            filled.because.merge(&because);
            let failed = filled.class;
            if let Some(before) = &filled.before {
                self.replay.rewind(before.mark);
                self.causes.clone_from(&before.causes);
                self.frontier.clone_from(&before.frontier);
                self.waiting.clone_from(&before.waiting);
                self.ordered_by.clone_from(&before.ordered_by);
                self.doom(failed, keys);
                if let Some(class) = self.next_class() {
                    self.filled.last_mut()?.class = class;
                    self.alternatives += 1;
                    return Some(self.fill());
                }
            }
            because = self.filled.pop()?.because;
        }
        None
    }

    /// Checks what shows `revision`, at which the replay is now, and which the end of a lease has made.
    fn settle(&mut self, revision: i64, ended: Option<i64>) -> Result<(), DeadEnd> {
        for &number in self.places.reads(revision) {
            self.replays += 1;
            let read = self.places.operation(number);
            let result = match (&read.request, read.reply()) {
                (Request::Range(past), Some(Response::Range(reply)))
                    if past.revision > 0 && past.revision <= revision =>
                {
                    self.replay.shows(past, reply)
                }
                // A reply that tells of no change fits no step that makes one.
                (request, reply) => self.replay.step(request, reply).map(|_| ()),
            };
            if let Err(refusal) = result {
                return Err(self.dead_end(Failure::Read(number, refusal), read));
            }
            self.learn(read);
        }
        if self.beside.is_trivial(&self.frontier) {
            self.order();
            return Ok(());
        }
        let (is_last, before) = (revision >= self.places.last(), self.frontier.next());
        let late = self.beside.settle(&mut self.frontier, &self.replay, ended, is_last);
        let Some(&first) = late.first() else {
            self.wait();
            self.order();
            return Ok(());
        };
        let in_vain = late.iter().find_map(|item| Some((*item, self.causes_of_wait(*item)?)));
        let (item, because) = in_vain.unwrap_or_else(|| {
            let depends_on_keys =
                (before..self.frontier.next()).any(|item| self.beside.depends_on_keys(item));
            let all = depends_on_keys.then(|| GapSet::below(self.filled.len()));
            (first, all.unwrap_or_else(|| self.ordered_by.clone()))
        });
        Err(DeadEnd::new(self.beside.item(item).failure(), because))
    }

    /// The operation, which has passed, shows what some keys are beyond doubt.
    fn learn(&mut self, operation: &Operation) {
        let Some(reply) = operation.reply() else { return };
        if self.uncertain == 0 {
            return;
        }
        each_settled(&operation.request, reply, &mut |(key, range_end)| {
            for key in self.places.names.within(key, range_end) {
                let causes = &mut self.causes[key as usize];
                self.uncertain -= usize::from(!causes.is_empty());
                causes.clear();
            }
        });
    }

    /// The failure of an acknowledged operation, with the gaps on which the keys depend that are not as it needs them.
    fn dead_end(&self, failure: Failure, operation: &Operation) -> DeadEnd {
        let mut because = GapSet::default();
        let reads_past = matches!(operation.request, Request::Txn(_)) && reads_past(&operation.request);
        if let Failure::Write(_, refusal) | Failure::Read(_, refusal) = &failure
            && let Some(keys) = refusal.keys().filter(|_| !reads_past && self.evidence.is_some())
        {
            keys.for_each(|key| because.merge(&self.causes[key as usize]));
            return DeadEnd::new(failure, because);
        }
        match self.evidence {
            // A plain read of the past was compared when the replay was there.
            Some(evidence) if !reads_past => {
                let (touches, _) = evidence.touched(&operation.request);
                touches.into_iter().for_each(|key| because.merge(&self.causes[key as usize]));
            }
            _ => because = GapSet::below(self.filled.len()),
        }
        DeadEnd::new(failure, because)
    }
}
