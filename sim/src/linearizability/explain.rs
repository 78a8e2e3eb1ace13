//! From a list of operations to a conclusion, and what is told of a history that has no order.

use super::search::{Asked, Found, search};
use super::{Budget, Conclusion, Operation, Spec};

/// To make an explanation small may take so many times the steps of the search, and so many more.
const TIMES: u64 = 20;
const STEPS: u64 = 1 << 20;

/// Why no order explains a history. Numbers are places in the list of operations that was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The first operation, by the times of return, that nothing explains.
    pub refused: usize,
    /// The longest order of what came before its return.
    pub order: Vec<usize>,
    /// Operations that contradict each other by the time at which that one returned, whatever all others answered and
    /// whether or not these took effect: none of them can be left out, unless the search for it ended early. In the order of
    /// their invocations.
    pub contradiction: Vec<usize>,
}

/// Judges the operations at some places of a list, which are of one part.
pub(super) fn judge<S: Spec>(
    spec: &S,
    operations: &[Operation<S::Request, S::Reply>],
    places: &[usize],
    budget: Budget,
) -> Conclusion {
    let places = of_interest(spec, operations, places);
    let asked: Vec<Asked<'_, S>> = places.iter().map(|place| asked(&operations[*place])).collect();
    let (found, steps) = search(spec, &asked, u64::MAX, budget.steps);
    let named = |numbers: Vec<u32>| numbers.into_iter().map(|number| places[number as usize]).collect();
    match found {
        Found::Order(order) => Conclusion::Linearizable(named(order)),
        Found::Budget => Conclusion::Undecided,
        Found::Dead { refused, order } => {
            let limit = steps.saturating_mul(TIMES).saturating_add(STEPS);
            let mut contradiction = contradiction(spec, &asked, refused, limit);
            contradiction.sort_by_key(|number| (asked[*number as usize].invoked, *number));
            Conclusion::Illegal(Explanation {
                refused: places[refused as usize],
                order: named(order),
                contradiction: named(contradiction),
            })
        }
    }
}

/// Whether the operations at some places of a list, which are of one part, have an order.
pub(super) fn verdict<S: Spec>(
    spec: &S,
    operations: &[Operation<S::Request, S::Reply>],
    places: &[usize],
    budget: Budget,
) -> Option<bool> {
    let places = of_interest(spec, operations, places);
    let asked: Vec<Asked<'_, S>> = places.iter().map(|place| asked(&operations[*place])).collect();
    match search(spec, &asked, u64::MAX, budget.steps).0 {
        Found::Order(_) => Some(true),
        Found::Dead { .. } => Some(false),
        Found::Budget => None,
    }
}

/// The places of operations that tell of the state, or may have changed it.
fn of_interest<S: Spec>(
    spec: &S,
    operations: &[Operation<S::Request, S::Reply>],
    places: &[usize],
) -> Vec<usize> {
    let is_of_interest = |place: &usize| {
        let operation = &operations[*place];
        operation.returned.is_some() || !spec.is_read_only(&operation.request, None)
    };
    places.iter().copied().filter(is_of_interest).collect()
}

fn asked<S: Spec>(operation: &Operation<S::Request, S::Reply>) -> Asked<'_, S> {
    Asked {
        request: &operation.request,
        invoked: operation.invoked,
        returned: operation.returned.as_ref().map(|(returned, reply)| (*returned, reply)),
    }
}

/// The operations that are left when all are forgotten that can be: of a forgotten one, neither answer nor return count, so
/// that whatever has no order without them has none with them.
fn contradiction<S: Spec>(spec: &S, asked: &[Asked<'_, S>], refused: u32, limit: u64) -> Vec<u32> {
    let end = asked[refused as usize].returned.map_or(u64::MAX, |(returned, _)| returned);
    let is_before = |number: &u32| asked[*number as usize].invoked <= end;
    let is_known = |number: &u32| asked[*number as usize].returned.is_some();
    let all: Vec<u32> = (0..asked.len() as u32).filter(is_before).collect();
    let kept = all.iter().copied().filter(is_known).filter(|number| *number != refused).collect();
    let mut left = limit;
    let mut is_dead_with = |kept: &[u32]| {
        let mut is_kept = vec![false; asked.len()];
        kept.iter().chain([&refused]).for_each(|number| is_kept[*number as usize] = true);
        let remembered = all.iter().filter_map(|number| {
            let Asked { request, invoked, returned } = &asked[*number as usize];
            match is_kept[*number as usize] {
                true => Some(Asked { request: *request, invoked: *invoked, returned: *returned }),
                false if spec.is_read_only(request, None) => None,
                false => Some(Asked { request: *request, invoked: *invoked, returned: None }),
            }
        });
        let remembered: Vec<Asked<'_, S>> = remembered.collect();
        let (found, steps) = search(spec, &remembered, end, left);
        left = left.saturating_sub(steps + remembered.len() as u64);
        matches!(found, Found::Dead { .. })
    };
    let mut kept: Vec<u32> = least(kept, |fewer| is_dead_with(fewer));
    kept.push(refused);
    kept
}

/// As few of `all` as are `enough`, where more of them are enough whenever fewer are: none of those that are left can be left
/// out.
///
/// ```
/// use vertebra_sim::linearizability::least;
///
/// assert_eq!(least((0..100).collect(), |some: &[u32]| some.contains(&7) && some.contains(&70)), [7, 70]);
/// ```
pub fn least<T: Clone>(all: Vec<T>, mut enough: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = all;
    // First by halves, so that much goes at once.
    let mut size = kept.len();
    while size > 0 {
        let mut at = 0;
        while at < kept.len() {
            let end = kept.len().min(at + size);
            let fewer = [&kept[..at], &kept[end..]].concat();
            if enough(&fewer) {
                kept = fewer;
            } else {
                at = end;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    kept
}
