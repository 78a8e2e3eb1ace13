//! What is told of an order that was found, and of a history that has none.
//!
//! A history is refused for good: what has no order has none either when more happens. So there is a first event with which it
//! has none, and it is looked for by halves. Of what came before, as little is kept as still contradicts itself: of a forgotten
//! operation neither answer nor return count, so that whatever has no order without them has none with them. Mostly it is not
//! long ago that what contradicts an answer has happened, so this is tried first of the latest operations. Where two operations
//! contradict each other whatever all others are, one look at the history finds them (module `suspects`).
//!
//! To forget an answer makes a search longer. Each trial may therefore search little, and one that comes to nothing counts as one
//! that has an order: then more may be told than must be, which is said, and nothing that is wrong. All trials together cost a
//! few times what the verdict did.

use hashbrown::HashSet;
use vertebra_sim::linearizability::{Trial, least};

use super::replies::{each_possible_put, each_touch};
use super::suspects::{self, Suspect};
use super::{Conclusion, FIRST_REVISION, Limits, Write, changes, check, find_order, judge, place_of};
use crate::api::is_in_range;
use crate::history::{Event, History, Operation, OperationId, Outcome, Request};

/// To make a contradiction small may take so much work: operations that are copied and replayed, and what it takes to fill gaps.
/// For each operation of the history, at least in all; and that one trial may replay.
const WORK_EACH: u64 = 8;
const WORK: u64 = 2_000_000;
const REPLAYED_ONCE: u64 = 10_000;

/// Where so many ranges of keys matter, all keys do.
const RANGES_MAX: usize = 16;

/// A trial may take such a part of the work that is left.
const PART: u64 = 8;

/// Why no order explains a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The first operation, by the order of events, with whose end there is no order.
    pub refused: OperationId,
    /// So many events came before that one.
    pub before: usize,
    /// An order of what was known then. What has to do with leases and compactions alone stands where its revision is, in
    /// the order of invocation.
    pub order: Vec<OperationId>,
    /// Operations that contradict each other, whatever all others were answered and whether or not these took effect; in the
    /// order of their invocations.
    pub contradiction: Vec<OperationId>,
    /// None of them can be left out, for certain. Otherwise that was too much work to find out, and fewer may do.
    pub is_least: bool,
}

/// One step of an order.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The operation that takes effect; none where a lease expires.
    pub operation: Option<OperationId>,
    /// What changed, if anything did.
    pub changed: Option<&'a Request>,
}

/// The operations that took effect, one after the other, where `writes` is an order that was found. Refusals are left out, and
/// so is what stands nowhere: reads that may be old, and what has no revision.
pub fn steps<'a>(history: &History, writes: &'a [Write]) -> Vec<Step<'a>> {
    // By revision, from the first on: what saw it and changed nothing, by invocation.
    let mut seen: Vec<Vec<OperationId>> = vec![Vec::new(); writes.len() + 1];
    for (id, operation) in history.iter() {
        if let Some(revision) = shown(history, operation)
            && let Some(seen) =
                usize::try_from(revision - FIRST_REVISION).ok().and_then(|at| seen.get_mut(at))
        {
            seen.push(id);
        }
    }
    let mut seen = seen.into_iter();
    let reads = |reads: Option<Vec<OperationId>>| {
        let reads = reads.unwrap_or_default().into_iter();
        reads.map(|id| Step { operation: Some(id), changed: None })
    };
    let mut steps: Vec<Step<'a>> = reads(seen.next()).collect();
    for write in writes {
        steps.push(Step { operation: write.operation, changed: Some(&write.request) });
        steps.extend(reads(seen.next()));
    }
    steps
}

/// The revision that an operation shows which has changed nothing.
fn shown(history: &History, operation: &Operation) -> Option<i64> {
    if operation.request.is_serializable()
        || history.is_partial() && matches!(operation.request, Request::Compact(_))
    {
        return None;
    }
    let reply = operation.reply()?;
    (changes(&operation.request, reply) == Some(false)).then(|| reply.revision())
}

/// Why `history` has no order; nothing if it has one, or if that is not clear.
#[must_use]
pub fn explain(history: &History) -> Option<Explanation> {
    let is_refused = |history: &History| check(history).is_err();
    if !is_refused(history) {
        return None;
    }
    let (mut before, mut with) = (0, history.events().len());
    let mut then = if history.is_partial() { History::partial() } else { History::new() };
    let suspect = suspects::first(history);
    if let Some(Suspect { event, .. }) = suspect {
        then.move_to(history, event + 1);
        if event + 1 == with || is_refused(&then) {
            with = event + 1;
            then.move_to(history, event);
            if is_refused(&then) { with = event } else { before = event }
        }
    }
    while with - before > 1 {
        let middle = before + (with - before) / 2;
        then.move_to(history, middle);
        if is_refused(&then) { with = middle } else { before = middle }
    }
    let (Event::Invoked(refused) | Event::Returned(refused)) = *history.events().get(before)?;
    then.move_to(history, before);
    let (_, writes) = find_order(&then, Limits::of(&then)).ok()?;
    let order = steps(&then, &writes).iter().filter_map(|step| step.operation).collect();
    drop(writes);
    then.move_to(history, with);
    let suspect = suspect.filter(|suspect| suspect.event == before);
    let (contradiction, is_least) = contradiction(&then, refused, suspect);
    Some(Explanation { refused, before, order, contradiction, is_least })
}

/// As few operations as make sure that what `refused` ends with, at the end of `history`, has no order.
fn contradiction(
    history: &History,
    refused: OperationId,
    suspect: Option<Suspect>,
) -> (Vec<OperationId>, bool) {
    let mut trials = Trials::new(history, refused);
    let (mut contradiction, is_least) = match suspect {
        Some(Suspect { with, .. }) => least(with.into_iter().collect(), |kept| trials.trial(kept)),
        None => {
            let first = trials.first();
            least(first, |kept| trials.trial(kept))
        }
    };
    contradiction.push(refused);
    contradiction.sort_unstable();
    (contradiction, is_least)
}

/// Trials of what contradicts an operation.
struct Trials<'a> {
    history: &'a History,
    refused: OperationId,
    left: u64,
}

impl<'a> Trials<'a> {
    fn new(history: &'a History, refused: OperationId) -> Self {
        let count = history.operations().len() as u64;
        Self { history, refused, left: WORK.max(WORK_EACH * count) }
    }

    /// Whether there is no order when only these are known, and the refused one.
    fn trial(&mut self, kept: &[OperationId]) -> Trial {
        // What has no order although more is possible has none.
        if let Some(other) = self.any_other(kept) {
            let trial = remembered(self.history, kept, self.refused, Some(&other));
            if let found @ (Trial::Enough | Trial::Over) = self.judge(&trial) {
                return found;
            }
        }
        let trial = remembered(self.history, kept, self.refused, None);
        self.judge(&trial)
    }

    /// A forgotten put of a key that has to do with none of these, and what is like it: of writes of such keys, one is as good as
    /// the other.
    fn any_other(&self, kept: &[OperationId]) -> Option<Other<'a>> {
        let mut other = Other { request: None, keys: HashSet::default(), ranges: Vec::new() };
        for id in kept.iter().chain([&self.refused]) {
            each_touch(&self.history[*id].request, &mut |(key, range_end), _| match range_end {
                [] => _ = other.keys.insert(key),
                _ => other.ranges.push((key, range_end)),
            });
        }
        if other.ranges.len() > RANGES_MAX {
            return None;
        }
        let is_one = |operation: &&Operation| {
            matches!(&operation.request, Request::Put(put) if !put.ignore_value && !put.ignore_lease)
                && other.has(&operation.request)
        };
        other.request = self.history.operations().iter().find(is_one).map(|operation| &operation.request);
        other.request.is_some().then_some(other)
    }

    fn judge(&mut self, trial: &History) -> Trial {
        if self.left == 0 {
            return Trial::Over;
        }
        let count = self.history.operations().len() as u64;
        let replays = REPLAYED_ONCE + 4 * count;
        let limits = Limits { replays, work: self.left / PART, ..Limits::of(self.history) };
        let (found, work) = judge(trial, usize::MAX, limits, |search, result| {
            let found = match result {
                Err(_) => Trial::Enough,
                Ok(Conclusion::Linearizable) => Trial::TooFew,
                Ok(Conclusion::Undecided { .. }) => Trial::Unclear,
            };
            Ok((found, search.work()))
        })
        .unwrap_or((Trial::Enough, 0));
        self.left = self.left.saturating_sub(count + work);
        found
    }

    /// Of the latest operations, alone or with those that have to do with the same keys, the first few that are enough; all, if
    /// that is too much work.
    fn first(&mut self) -> Vec<OperationId> {
        let mut known: Vec<(u64, OperationId)> = self
            .history
            .iter()
            .filter(|(id, operation)| operation.returned.is_some() && *id != self.refused)
            .map(|(id, operation)| (operation.ended(), id))
            .collect();
        known.sort_unstable();
        let known: Vec<OperationId> = known.into_iter().map(|(_, id)| id).collect();
        if let Some(furthest) = furthest_before(self.history, self.refused)
            && self.trial(&[furthest]) == Trial::Enough
        {
            return vec![furthest];
        }
        let near: Vec<OperationId> = known.iter().copied().filter(|id| self.has_a_key_of_it(*id)).collect();
        let is_enough = near.len() < known.len() && self.trial(&near) == Trial::Enough;
        let most = if is_enough { near.len() } else { known.len() };
        let mut size = 1;
        while size < most && self.left > 0 {
            for latest in [&known, &near] {
                let latest = &latest[latest.len().saturating_sub(size)..];
                if latest.len() * 4 > size && self.trial(latest) == Trial::Enough {
                    return latest.to_vec();
                }
            }
            size *= 4;
        }
        if is_enough { near } else { known }
    }

    /// Whether an operation has to do with a key that the refused one has to do with.
    fn has_a_key_of_it(&self, id: OperationId) -> bool {
        let mut is_one = false;
        each_touch(&self.history[self.refused].request, &mut |(key, range_end), _| {
            each_touch(&self.history[id].request, &mut |(other, other_end), _| {
                is_one |= is_in_range(key, range_end, other) || is_in_range(other, other_end, key);
            });
        });
        is_one
    }
}

/// Of the operations that were over before `refused` began, the one that saw most: what is old is so because of it, if of any.
fn furthest_before(history: &History, refused: OperationId) -> Option<OperationId> {
    let place = |id: OperationId| {
        let operation = &history[id];
        let reply = operation.reply().filter(|_| !operation.request.is_serializable())?;
        place_of(operation, reply)
    };
    let before = history.events().iter().take_while(|event| **event != Event::Invoked(refused));
    let over = before.filter_map(|event| match *event {
        Event::Returned(id) => Some((place(id)?, id)),
        Event::Invoked(_) => None,
    });
    over.max_by_key(|(place, _)| *place).map(|(_, id)| id)
}

/// Writes that have to do with no key that matters, and with no lease.
pub(super) struct Other<'a> {
    /// One of them, which changes something whenever it is done.
    request: Option<&'a Request>,
    /// The keys that matter: some, and all between two.
    keys: HashSet<&'a [u8], foldhash::fast::FixedState>,
    ranges: Vec<(&'a [u8], &'a [u8])>,
}

impl Other<'_> {
    fn has(&self, request: &Request) -> bool {
        let mut is_other = matches!(request, Request::Put(_) | Request::DeleteRange(_) | Request::Txn(_));
        each_possible_put(request, &mut |put| is_other &= put.lease == 0 && !put.ignore_lease);
        each_touch(request, &mut |(key, range_end), _| {
            let matters = |other: &[u8], other_end: &[u8]| {
                is_in_range(key, range_end, other) || is_in_range(other, other_end, key)
            };
            is_other &= match range_end {
                [] => !self.keys.contains(key),
                _ => !self.keys.iter().any(|other| matters(other, b"")),
            };
            is_other &= !self.ranges.iter().any(|(other, other_end)| matters(other, other_end));
        });
        is_other
    }
}

/// The history in which only these are known, and `refused`: the others may have done what they ask for at any time, or never.
/// Those that are like `other` may have done what that asks for, which makes more possible.
pub(super) fn remembered(
    history: &History,
    kept: &[OperationId],
    refused: OperationId,
    other: Option<&Other<'_>>,
) -> History {
    let mut is_kept = vec![false; history.operations().len()];
    kept.iter().chain([&refused]).for_each(|id| is_kept[id.index()] = true);
    let mut remembered = if history.is_partial() { History::partial() } else { History::new() };
    let mut names = vec![None; history.operations().len()];
    for event in history.events() {
        match *event {
            Event::Invoked(id) => {
                let operation = &history[id];
                let other =
                    other.filter(|other| other.has(&operation.request)).and_then(|other| other.request);
                let request = match (is_kept[id.index()], other) {
                    (true, _) => operation.request.clone(),
                    (false, Some(other)) => other.clone(),
                    (false, None) => operation.unanswered(),
                };
                if is_kept[id.index()] || !request.is_read_only() {
                    names[id.index()] = Some(remembered.invoke(operation.session, request));
                }
            }
            Event::Returned(id) => {
                let Some(name) = names[id.index()] else { continue };
                let outcome = match is_kept[id.index()] {
                    true => history[id].outcome.clone(),
                    false => Outcome::Unknown,
                };
                remembered.returned(name, outcome);
            }
        }
    }
    remembered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{Script, delete, get, put};

    fn read(key: &'static str) -> Request {
        Request::Range(get(key))
    }

    fn perform(script: &mut Script, session: u32, request: Request) -> OperationId {
        let id = script.invoke(session, request);
        let outcome = script.apply(id);
        script.history.returned(id, outcome);
        id
    }

    #[test]
    fn an_order_has_every_operation_that_took_effect() {
        let mut script = Script::new();
        let first = perform(&mut script, 1, read("a"));
        let lost = script.invoke(9, put("a", "1"));
        script.apply(lost);
        let never = script.invoke(8, put("b", "2"));
        let second = perform(&mut script, 1, read("a"));
        let third = perform(&mut script, 1, delete("a", ""));
        let (_, writes) = find_order(&script.history, Limits::NONE).unwrap();
        let order: Vec<_> = steps(&script.history, &writes).iter().map(|step| step.operation).collect();
        assert_eq!(order, [Some(first), Some(lost), Some(second), Some(third)]);
        assert!(!order.contains(&Some(never)));
        assert_eq!(explain(&script.history), None);
    }

    #[test]
    fn of_many_operations_those_are_told_that_contradict_each_other() {
        let mut script = Script::new();
        for _ in 0..10 {
            perform(&mut script, 1, put("b", "1"));
            perform(&mut script, 2, read("b"));
        }
        let old = perform(&mut script, 1, read("a"));
        let old = script.history[old].outcome.clone();
        perform(&mut script, 2, put("a", "1"));
        let latest = perform(&mut script, 3, put("b", "2"));
        let stale = script.history.invoke(4, read("a"));
        script.history.returned(stale, old);
        for _ in 0..10 {
            perform(&mut script, 1, put("b", "3"));
        }
        let Explanation { refused, order, contradiction, .. } = explain(&script.history).unwrap();
        assert_eq!(refused, stale);
        // A revision is of all keys: the write of the other key is enough, and the nearest.
        assert_eq!(contradiction, [latest, stale]);
        assert_eq!(order.len(), 23);
    }

    #[test]
    fn what_contradicts_itself_alone_is_told_alone() {
        let mut script = Script::new();
        perform(&mut script, 1, put("a", "1"));
        let wrong = perform(&mut script, 1, read("a"));
        let mut history = script.history.until(3);
        let mut outcome = script.history[wrong].outcome.clone();
        if let Outcome::Ok(crate::Response::Range(reply)) = &mut outcome {
            reply.kvs[0].value = "2".into();
        }
        history.returned(wrong, outcome);
        let Explanation { refused, contradiction, .. } = explain(&history).unwrap();
        assert_eq!((refused, contradiction), (wrong, vec![wrong]));
    }

    /// So many puts of ten keys, one after the other, and then a read of one of them that `spoil` makes wrong.
    fn after_puts(count: usize, spoil: impl FnOnce(&mut crate::api::RangeResponse)) -> History {
        const KEYS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let mut script = Script::new();
        let values: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        for (number, value) in values.iter().enumerate() {
            let Request::Put(mut request) = put(KEYS[number % 10], "") else { unreachable!("it is a put") };
            request.value = value.clone().into();
            perform(&mut script, 1, Request::Put(request));
        }
        let read = perform(&mut script, 1, read("a"));
        let mut history = script.history.until(2 * count + 1);
        let mut outcome = script.history[read].outcome.clone();
        let Outcome::Ok(crate::Response::Range(reply)) = &mut outcome else {
            unreachable!("it was answered")
        };
        spoil(reply);
        history.returned(read, outcome);
        history
    }

    #[test]
    fn of_thousands_of_operations_those_are_told_that_contradict_a_read() {
        for count in [200, 1_000, 5_000] {
            let told = |name: &str, size: usize, history: &History| {
                let why = explain(history).expect("it has no order");
                assert_eq!(why.refused.index(), count, "{name}");
                assert_eq!((why.before, why.order.len()), (2 * count + 1, count), "{name}");
                assert!(why.contradiction.len() <= size, "{name} of {count}: {:?}", why.contradiction);
            };
            told("a value that nobody put", 1, &after_puts(count, |reply| reply.kvs[0].value = "x".into()));
            told("the value of another put", 2, &after_puts(count, |reply| reply.kvs[0].value = "10".into()));
            told(
                "a revision that does not exist",
                1,
                &after_puts(count, |reply| reply.kvs[0].mod_revision += count as i64),
            );
            told("a revision of another key", 2, &after_puts(count, |reply| reply.kvs[0].mod_revision -= 1));
            told(
                "a stale read",
                2,
                &after_puts(count, |reply| {
                    reply.kvs[0].mod_revision -= 10;
                    reply.kvs[0].version -= 1;
                    reply.kvs[0].value = (count - 20).to_string().into();
                }),
            );
            told(
                "a revision that is over",
                2,
                &after_puts(count, |reply| {
                    reply.header.as_mut().expect("it has one").revision -= 5;
                }),
            );
        }
    }

    #[test]
    fn what_contradicts_all_writes_of_a_key_is_told_with_those() {
        let history = after_puts(1_000, |reply| reply.kvs[0].version += 1);
        let why = explain(&history).expect("it has no order");
        assert!(why.contradiction.len() <= 101, "{}", why.contradiction.len());
    }
}
