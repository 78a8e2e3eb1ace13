//! The replay in order of the revisions, and the search for the writes that fill the gaps.
//!
//! Depth first, with jumps: where the replay cannot go on, the gaps that this depends on are known, and the search
//! goes back to the last of them that has another candidate, past all choices that have nothing to do with it
//! (conflict-directed backjumping). For that, each key carries the gaps that its present state depends on, and loses
//! them as soon as a reply has shown the key: any other way to that point would have to lead to the same state.

use vertebra_sim::verdict::Violation;

use super::evidence::Evidence;
use super::replies::{each_settled, txn_reads_past};
use super::{
    Conclusion, FIRST_REVISION, Floating, Limits, Places, Write, unexplained, violation, wrong_reply,
};
use crate::history::{Operation, OperationId, Request};
use crate::oracle::replay::{Mark, Refusal, Replay};
use crate::response::Response;

/// Why one branch of the search ended. The violation, which costs a look at the whole history, is made of the last.
enum Failure {
    /// Nothing can have made this revision.
    Gap(i64),
    /// The write changes nothing at its revision.
    Idle(u32),
    /// A reply differs.
    Write(u32, Refusal),
    Read(u32, Refusal),
    /// No reason for the refusal of this operation.
    Unfounded(u32),
}

impl Failure {
    fn into_violation(self, places: &Places<'_>) -> Violation {
        match self {
            Self::Gap(revision) => unexplained(places.history, revision),
            Self::Idle(number) => {
                let operation = places.operation(number);
                let detail = format!("{operation}: it changes nothing at that revision");
                violation("write reply", operation.request.kind(), detail)
            }
            Self::Write(number, refusal) => wrong_reply("write reply", places.operation(number), &refusal),
            Self::Read(number, refusal) => wrong_reply("read reply", places.operation(number), &refusal),
            Self::Unfounded(number) => {
                let operation = places.operation(number);
                let detail = format!("{operation}: there was no reason for it at any moment");
                violation("unfounded error", operation.request.kind(), detail)
            }
        }
    }
}

/// A failure, and the gaps whose writes made it certain: it comes again unless one of these is another.
struct DeadEnd {
    failure: Failure,
    because: GapSet,
}

/// A set of gaps by number, in order of their revisions.
#[derive(Clone, Default)]
struct GapSet(Vec<u64>);

impl GapSet {
    /// All gaps below `count`.
    fn below(count: usize) -> Self {
        let mut all = Self::default();
        (0..count).for_each(|gap| all.insert(gap));
        all
    }

    fn insert(&mut self, gap: usize) {
        if self.0.len() <= gap / 64 {
            self.0.resize(gap / 64 + 1, 0);
        }
        self.0[gap / 64] |= 1 << (gap % 64);
    }

    fn remove(&mut self, gap: usize) {
        if let Some(word) = self.0.get_mut(gap / 64) {
            *word &= !(1 << (gap % 64));
        }
    }

    fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    fn last(&self) -> Option<usize> {
        let (place, word) = self.0.iter().enumerate().rev().find(|(_, word)| **word != 0)?;
        Some(place * 64 + word.ilog2() as usize)
    }
}

/// A gap with the write that the search has put there.
struct Filled {
    revision: i64,
    class: u32,
    /// Classes to try next, the last first.
    others: Vec<u32>,
    /// Keys that some write could have changed here.
    writable: Vec<u32>,
    /// Gaps because of which all other writes are out of the question here.
    because: GapSet,
    /// What to go back to; nothing where there is no other class to try.
    before: Option<Before>,
}

/// The search as it was before a gap.
struct Before {
    mark: Mark,
    causes: Vec<GapSet>,
    waiting: Vec<u32>,
    next_floating: usize,
}

/// What can fill a gap.
#[derive(Default)]
struct Options {
    /// Classes, each with the revision until which somebody must have made a change like theirs.
    candidates: Vec<(i64, u32)>,
    writable: Vec<u32>,
    because: GapSet,
}

/// The replay, and the choices made in it.
pub(super) struct Search<'a> {
    places: &'a Places<'a>,
    replay: Replay,
    evidence: Option<Evidence<'a>>,
    /// By class: the gaps that it fills.
    used: Vec<Vec<usize>>,
    filled: Vec<Filled>,
    /// By key: the gaps on which its state depends.
    causes: Vec<GapSet>,
    /// Floating operations that may stand here and have no place yet, by invocation.
    waiting: Vec<u32>,
    next_floating: usize,
    alternatives: u64,
    replays: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(places: &'a Places<'a>) -> Self {
        // Without a gap, only a refusal that nothing else explains can ask for an unknown write.
        let needed = !places.gaps.is_empty() || !(places.floating.is_empty() || places.unknown.is_empty());
        let evidence = needed.then(|| Evidence::gather(places));
        let classes = evidence.as_ref().map_or(0, |evidence| evidence.classes.len());
        let keys = evidence.as_ref().map_or(0, Evidence::keys_count);
        Self {
            places,
            replay: Replay::with_leases(places.leases.granted_once()).partial(places.history.is_partial()),
            evidence,
            used: vec![Vec::new(); classes],
            filled: Vec::new(),
            causes: vec![GapSet::default(); keys],
            waiting: Vec::new(),
            next_floating: 0,
            alternatives: 0,
            replays: 0,
        }
    }

    pub(super) fn run(&mut self, limits: Limits) -> Result<Conclusion, Violation> {
        let mut deepest: Option<(i64, Failure)> = None;
        let mut result = self.settle(FIRST_REVISION);
        loop {
            let revision = self.replay.revision();
            result = match result {
                Ok(()) if revision >= self.places.last() && self.all_settled() => {
                    return Ok(Conclusion::Linearizable);
                }
                Ok(()) => self.advance(revision + 1),
                Err(DeadEnd { failure, because }) => {
                    let retried = self.retry(because);
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
            if self.alternatives > limits.alternatives || self.replays > limits.replays {
                let gaps = self.places.gaps.clone();
                return Ok(Conclusion::Undecided { gaps, alternatives: self.alternatives });
            }
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
            let class = &self.evidence.as_ref()?.classes[filled.class as usize];
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
        self.waiting.is_empty() && self.next_floating == self.places.floating.len()
    }

    /// Goes from one revision to the next, `revision`.
    fn advance(&mut self, revision: i64) -> Result<(), DeadEnd> {
        self.replays += 1;
        if let Some(number) = self.places.write(revision) {
            let write = self.places.operation(number);
            match self.replay.step(&write.request, write.reply()) {
                Ok(true) => {}
                Ok(false) => return Err(self.dead_end(Failure::Idle(number), write)),
                Err(refusal) => return Err(self.dead_end(Failure::Write(number, refusal), write)),
            }
            self.learn(write);
            return self.settle(revision);
        }
        let Options { mut candidates, writable, because } = self.options(revision);
        if candidates.is_empty() {
            if revision > self.places.last() {
                return Err(DeadEnd { failure: self.unfounded(), because: GapSet::below(self.filled.len()) });
            }
            return Err(DeadEnd { failure: Failure::Gap(revision), because });
        }
        // Try what is needed first; of what is not, the latest, since a write takes effect soon as a rule.
        candidates.sort_by_key(|&(until, class)| {
            (std::cmp::Reverse(until), self.next_of(class).map(|write| write.invoked))
        });
        let mut others: Vec<u32> = candidates.into_iter().map(|(_, class)| class).collect();
        let Some(class) = others.pop() else { return Ok(()) };
        let before = (!others.is_empty()).then(|| Before {
            mark: self.replay.mark(),
            causes: self.causes.clone(),
            waiting: self.waiting.clone(),
            next_floating: self.next_floating,
        });
        self.filled.push(Filled { revision, class, others, writable, because, before });
        self.fill()
    }

    /// The next write of `class` without a place.
    fn next_of(&self, class: u32) -> Option<&'a Operation> {
        let class = class as usize;
        let member = *self.evidence.as_ref()?.classes[class].members.get(self.used[class].len())?;
        Some(self.places.operation(member))
    }

    /// The classes of which one may stand at the gap `revision`, and why no other may.
    fn options(&mut self, revision: i64) -> Options {
        let mut options = Options::default();
        let Some(evidence) = &self.evidence else { return options };
        let deadline = self.places.deadline(revision);
        let waiting = self.waiting.iter().map(|&at| self.places.floating[at as usize].ended).min();
        let mut writable = vec![false; self.causes.len()];
        for &class in evidence.writers_at(revision) {
            let members = &evidence.classes[class as usize];
            let first = self.places.operation(members.members[0]);
            if first.invoked >= deadline || evidence.refutes(first, revision) {
                continue;
            }
            members.writes.iter().for_each(|&key| writable[key as usize] = true);
            let used = &self.used[class as usize];
            let next = evidence.available(class, used.len() as u32, revision);
            let next =
                next.map(|write| self.places.operation(write)).filter(|write| write.invoked < deadline);
            let Some(write) = next else {
                used.iter().for_each(|&gap| options.because.insert(gap));
                continue;
            };
            if waiting.is_some_and(|waiting| write.invoked >= waiting) {
                options.because = GapSet::below(self.filled.len());
                continue;
            }
            let mark = self.replay.mark();
            self.replays += 1;
            let changes = self.replay.step(&write.request, None) == Ok(true);
            if changes && evidence.allows(&self.replay, mark, revision) {
                options.candidates.push((evidence.needed_until(&self.replay, mark, revision), class));
            } else {
                members.touches.iter().for_each(|&key| options.because.merge(&self.causes[key as usize]));
            }
            self.replay.rewind(mark);
        }
        let writable = writable
            .iter()
            .zip(0..)
            .filter(|&(&writable, key)| writable && !evidence.is_quiet(key, revision));
        options.writable = writable.map(|(_, key)| key).collect();
        options
    }

    /// Puts the next write of the class chosen for the last gap there.
    fn fill(&mut self) -> Result<(), DeadEnd> {
        let gap = self.filled.len() - 1;
        let Filled { revision, class, .. } = self.filled[gap];
        let (Some(evidence), Some(write)) = (&self.evidence, self.next_of(class)) else { return Ok(()) };
        self.used[class as usize].push(gap);
        self.replays += 1;
        // The options were tried, and found to change something.
        let _ = self.replay.step(&write.request, None);
        let class = &evidence.classes[class as usize];
        let mut through = GapSet::default();
        through.insert(gap);
        class.touches.iter().for_each(|&key| through.merge(&self.causes[key as usize]));
        for &key in &self.filled[gap].writable {
            self.causes[key as usize].insert(gap);
        }
        class.writes.iter().for_each(|&key| self.causes[key as usize].merge(&through));
        self.settle(revision)
    }

    /// Goes back to the last gap among `because` that can be filled in another way; `None` if there is none, which
    /// proves that nothing could have gone otherwise.
    fn retry(&mut self, mut because: GapSet) -> Option<Result<(), DeadEnd>> {
        while let Some(gap) = because.last() {
            because.remove(gap);
            while self.filled.len() > gap + 1 {
                let class = self.filled.pop()?.class;
                self.used[class as usize].pop();
            }
            let filled = self.filled.last_mut()?;
            self.used[filled.class as usize].pop();
            filled.because.merge(&because);
            if let (Some(class), Some(before)) = (filled.others.pop(), &filled.before) {
                filled.class = class;
                self.replay.rewind(before.mark);
                self.causes.clone_from(&before.causes);
                self.waiting.clone_from(&before.waiting);
                self.next_floating = before.next_floating;
                self.alternatives += 1;
                return Some(self.fill());
            }
            because = self.filled.pop()?.because;
        }
        None
    }

    /// Checks what shows `revision`, at which the replay is now.
    fn settle(&mut self, revision: i64) -> Result<(), DeadEnd> {
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
        if self.all_settled() { Ok(()) } else { self.settle_floating(revision) }
    }

    /// The operation, which has passed, shows what some keys are beyond doubt.
    fn learn(&mut self, operation: &Operation) {
        let (Some(evidence), Some(reply)) = (&self.evidence, operation.reply()) else { return };
        if self.filled.is_empty() {
            return;
        }
        each_settled(&operation.request, reply, &mut |(key, range_end)| {
            for key in evidence.keys_in(key, range_end) {
                self.causes[key as usize].0.clear();
            }
        });
    }

    /// The failure of an acknowledged operation, with the gaps on which the keys that it touches depend.
    fn dead_end(&self, failure: Failure, operation: &Operation) -> DeadEnd {
        let mut because = GapSet::default();
        match &self.evidence {
            Some(evidence) if !txn_reads_past(&operation.request) => {
                let (touches, _) = evidence.touched(&operation.request);
                touches.into_iter().for_each(|key| because.merge(&self.causes[key as usize]));
            }
            _ => because = GapSet::below(self.filled.len()),
        }
        DeadEnd { failure, because }
    }

    /// Gives each floating operation that may stand here its place: the first one possible is best for all others.
    fn settle_floating(&mut self, revision: i64) -> Result<(), DeadEnd> {
        let floating = &self.places.floating;
        while floating.get(self.next_floating).is_some_and(|next| next.low <= revision) {
            self.waiting.push(self.next_floating as u32);
            self.next_floating += 1;
        }
        let mut first_ended = u64::MAX;
        let mut expired = None;
        let replay = &self.replay;
        self.waiting.retain(|&at| {
            let Floating { operation: number, error, high, ended, .. } = floating[at as usize];
            let operation = self.places.operation(number);
            // One that was over before this began comes first.
            if operation.invoked < first_ended && replay.refuses(&operation.request) == Some(error) {
                return false;
            }
            first_ended = first_ended.min(ended);
            if high <= revision {
                expired = expired.or(Some(number));
            }
            true
        });
        match expired {
            Some(number) => {
                let because = GapSet::below(self.filled.len());
                Err(DeadEnd { failure: Failure::Unfounded(number), because })
            }
            None => Ok(()),
        }
    }

    fn unfounded(&self) -> Failure {
        let first = self.waiting.first().map_or(self.next_floating, |&at| at as usize);
        match self.places.floating.get(first) {
            Some(floating) => Failure::Unfounded(floating.operation),
            None => Failure::Gap(self.places.last()),
        }
    }
}
