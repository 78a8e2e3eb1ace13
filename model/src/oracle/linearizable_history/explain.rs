//! What is told of an order that was found, and of a history that has none.
//!
//! A history is refused for good: what has no order has none either when more happens. So there is a first event with which it
//! has none, and it is looked for by halves. Of what came before, as little is kept as still contradicts itself: of a forgotten
//! operation neither answer nor return count, so that whatever has no order without them has none with them. Mostly it is not
//! long ago that what contradicts an answer has happened, so this is tried first of the latest operations.
//!
//! To forget an answer makes a search longer. Each trial may therefore search little, and one that comes to nothing counts as one
//! that has an order: then more is told than must be, and nothing that is wrong.

use vertebra_sim::linearizability::least;

use super::{FIRST_REVISION, Limits, Write, changes, find_order, judge, place_of};
use crate::history::{Event, History, Operation, OperationId, Outcome, Request};

/// Operations that may be replayed to make a contradiction small, at least; and that one trial may replay.
const REPLAYED: u64 = 20_000_000;
const REPLAYED_ONCE: u64 = 10_000;

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
    /// order of their invocations. None of them can be left out, unless the search for fewer ended early.
    pub contradiction: Vec<OperationId>,
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
    let is_refused = |history: &History| find_order(history, Limits::of(history)).is_err();
    if !is_refused(history) {
        return None;
    }
    let (mut before, mut with) = (0, history.events().len());
    while with - before > 1 {
        let middle = before + (with - before) / 2;
        if is_refused(&history.until(middle)) { with = middle } else { before = middle }
    }
    let (Event::Invoked(refused) | Event::Returned(refused)) = *history.events().get(before)?;
    let known = history.until(before);
    let (_, writes) = find_order(&known, Limits::of(&known)).ok()?;
    let order = steps(&known, &writes).iter().filter_map(|step| step.operation).collect();
    let contradiction = contradiction(&history.until(with), refused);
    Some(Explanation { refused, before, order, contradiction })
}

/// As few operations as make sure that what `refused` ends with, at the end of `history`, has no order.
fn contradiction(history: &History, refused: OperationId) -> Vec<OperationId> {
    let count = history.operations().len() as u64;
    let limits = Limits { replays: REPLAYED_ONCE + 4 * count, ..Limits::of(history) };
    let mut left = REPLAYED.max(40 * count);
    let mut contradicts = |kept: &[OperationId]| {
        if left == 0 {
            return false;
        }
        let trial = remembered(history, kept, refused);
        let searched =
            judge(&trial, usize::MAX, limits, |search, result| Ok((result.is_err(), search.replays())));
        let (is_refused, replays) = searched.unwrap_or((true, 0));
        left = left.saturating_sub(count + replays);
        is_refused
    };
    let mut known: Vec<(u64, OperationId)> = history
        .iter()
        .filter(|(id, operation)| operation.returned.is_some() && *id != refused)
        .map(|(id, operation)| (operation.ended(), id))
        .collect();
    known.sort_unstable();
    let known: Vec<OperationId> = known.into_iter().map(|(_, id)| id).collect();
    let furthest = furthest_before(history, refused).filter(|furthest| contradicts(&[*furthest]));
    let mut contradiction = match furthest {
        Some(furthest) => least(vec![furthest], contradicts),
        None => {
            let sizes = (0..).map(|power| 4_usize.pow(power)).take_while(|size| *size < known.len());
            let latest = sizes.map(|size| &known[known.len() - size..]).find(|latest| contradicts(latest));
            least(latest.unwrap_or(&known).to_vec(), contradicts)
        }
    };
    contradiction.push(refused);
    contradiction.sort_unstable();
    contradiction
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

/// The history in which only these are known, and `refused`: the others may have done what they ask for at any time, or never.
pub(super) fn remembered(history: &History, kept: &[OperationId], refused: OperationId) -> History {
    let mut is_kept = vec![false; history.operations().len()];
    kept.iter().chain([&refused]).for_each(|id| is_kept[id.index()] = true);
    let mut remembered = if history.is_partial() { History::partial() } else { History::new() };
    let mut names = vec![None; history.operations().len()];
    for event in history.events() {
        match *event {
            Event::Invoked(id) => {
                let operation = &history[id];
                let request =
                    if is_kept[id.index()] { operation.request.clone() } else { operation.unanswered() };
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
}
