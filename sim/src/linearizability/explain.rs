//! From a list of operations to a conclusion, and what is told of a history that has no order.

use super::contradiction::contradiction;
use super::search::{Asked, Bounds, Found, search};
use super::{Budget, Conclusion, Operation, Spec};

/// To make an explanation small may take so many times the work of the search, and so much more.
const TIMES: u64 = 4;
const WORK: u64 = 1 << 24;

/// Why no order explains a history. Numbers are places in the list of operations that was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The first operation, by the times of return, that nothing explains.
    pub refused: usize,
    /// The longest order of what came before its return.
    pub order: Vec<usize>,
    /// Operations that contradict each other by the time at which that one returned, whatever all others answered and
    /// whether or not these took effect. In the order of their invocations.
    pub contradiction: Vec<usize>,
    /// None of them can be left out, for certain. Otherwise that was too much work to find out, and fewer may do.
    pub is_least: bool,
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
    let (found, spent) = search(spec, &asked, u64::MAX, Bounds::of(budget));
    let named = |numbers: Vec<u32>| numbers.into_iter().map(|number| places[number as usize]).collect();
    match found {
        Found::Order(order) => Conclusion::Linearizable(named(order)),
        Found::Budget => Conclusion::Undecided,
        Found::Dead { refused, order } => {
            let work = spent.work.saturating_mul(TIMES).saturating_add(WORK);
            let (mut contradiction, is_least) = contradiction(spec, &asked, refused, work);
            contradiction.sort_by_key(|number| (asked[*number as usize].invoked, *number));
            Conclusion::Illegal(Explanation {
                refused: places[refused as usize],
                order: named(order),
                contradiction: named(contradiction),
                is_least,
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
    match search(spec, &asked, u64::MAX, Bounds::of(budget)).0 {
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
