//! Whether some order of concurrent operations explains what they answered: a check for any sequential specification.
//!
//! A history is *linearizable* (Herlihy and Wing, 1990) if each operation can be given a moment between its invocation
//! and its return, so that one after the other, in the order of these moments, they answer as the [`Spec`] says. To
//! decide that is hard in general. What makes it fast here:
//!
//! | | |
//! | --- | --- |
//! | parts | operations on parts of the state that have nothing to do with each other are judged apart ([`Spec::Part`]) |
//! | just in time | nothing takes effect before the return of some operation needs it (Lowe, 2017) |
//! | reads are done at once | what answers rightly now, and changes nothing wherever it does, need not wait ([`Spec::is_read_only`]) |
//! | equal requests of unknown outcome | are taken in the order of their invocations |
//! | one state, fewer unknown operations used | makes the ways superfluous that came there with more |
//!
//! Each of them leaves the verdict as it is. What is left is a set of *configurations*: a state, with which pending
//! operations are done in it. A history is refused at the first return that no configuration can answer, and what is told
//! then is as little as still contradicts itself ([`Explanation`]).
//!
//! Some systems answer so much that nothing is left to search: [`append`] and [`adds`] are such.
//!
//! A store that numbers its changes, as etcd does with revisions, tells the order itself: for such there are oracles that
//! need no search.

pub mod adds;
pub mod append;
mod contradiction;
mod explain;
mod frontier;
mod least;
mod mask;
mod precedence;
mod search;
pub mod specs;
#[cfg(test)]
mod tests;

use std::hash::Hash;

use foldhash::fast::FixedState;

pub use explain::Explanation;
pub use least::{Trial, least};

/// Only looked into, never walked through.
type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;

/// What a system answers whose operations come one after the other.
pub trait Spec {
    /// What is asked. Equal requests do the same.
    type Request: Eq + Hash;
    /// What is answered.
    type Reply;
    /// All that the past means for the future.
    type State: Clone + Eq + Hash;
    /// Operations of different parts have nothing to do with each other.
    type Part: Ord;

    /// The state before everything.
    fn initial(&self) -> Self::State;

    /// The part that `request` is of.
    fn part(&self, request: &Self::Request) -> Self::Part;

    /// The state after `request` was done in `state`; nothing if its answer is another than `reply` there. Without a reply,
    /// any will do.
    fn step(
        &self,
        state: &Self::State,
        request: &Self::Request,
        reply: Option<&Self::Reply>,
    ) -> Option<Self::State>;

    /// Whether `request` changes nothing in any state in which `reply` is its answer, or in any state at all.
    fn is_read_only(&self, _request: &Self::Request, _reply: Option<&Self::Reply>) -> bool {
        false
    }

    /// The states that `request`, answered with `reply`, tells from others: in all that are not among them it is right, or in
    /// none; and it leaves all of these as they are, or makes the same of all. Nothing if no few states are so.
    ///
    /// No verdict depends on it. It makes explanations short where many operations are not to be told.
    fn tells_apart(
        &self,
        _request: &Self::Request,
        _reply: Option<&Self::Reply>,
    ) -> Option<Vec<Self::State>> {
        None
    }
}

/// What somebody asked, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation<Q, R> {
    /// What was asked.
    pub request: Q,
    /// When, on a clock that all share. What returns at the moment of an invocation is concurrent with it.
    pub invoked: u64,
    /// What was answered, and when; nothing if the outcome is unknown: it may take effect at any time, or never.
    pub returned: Option<(u64, R)>,
}

/// What a check comes to. Numbers are places in the list of operations that was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conclusion {
    /// In this order, everything is answered as it was. Operations that are not in it never took effect.
    Linearizable(Vec<usize>),
    /// There is no such order.
    Illegal(Explanation),
    /// The budget was used up before.
    Undecided,
}

/// How much work a check may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Calls of [`Spec::step`], for each part.
    pub steps: u64,
}

impl Budget {
    /// As much as it takes.
    pub const UNLIMITED: Self = Self { steps: u64::MAX };
}

/// Judges each part of a history, in the order of the parts.
///
/// ```
/// use vertebra_sim::linearizability::specs::register::{Register, Reply, Request};
/// use vertebra_sim::linearizability::{Budget, Conclusion, Operation, check};
///
/// let write = Operation { request: Request::Write(1), invoked: 0, returned: Some((3, Reply::Done)) };
/// let read = |invoked, value| {
///     Operation { request: Request::Read, invoked, returned: Some((invoked + 1, Reply::Value(value))) }
/// };
/// // While it is written, either is right; but not the new value and then the old one.
/// let mut history = vec![write, read(1, None), read(4, Some(1))];
/// let conclusions = check(&Register::default(), &history, Budget::UNLIMITED);
/// assert_eq!(conclusions, [((), Conclusion::Linearizable(vec![1, 0, 2]))]);
/// history.push(read(6, None));
/// let [(_, Conclusion::Illegal(why))] = &check(&Register::default(), &history, Budget::UNLIMITED)[..] else {
///     unreachable!()
/// };
/// assert_eq!(why.contradiction, [2, 3]);
/// ```
pub fn check<S: Spec>(
    spec: &S,
    operations: &[Operation<S::Request, S::Reply>],
    budget: Budget,
) -> Vec<(S::Part, Conclusion)> {
    each_part(spec, operations, |places| explain::judge(spec, operations, places, budget))
}

/// Whether each part of a history has an order, in the order of the parts; nothing where the budget was used up before. What has
/// none is not explained, which is most of the work of a [`check`].
///
/// ```
/// use vertebra_sim::linearizability::specs::register::{Register, Reply, Request};
/// use vertebra_sim::linearizability::{Budget, Operation, verdicts};
///
/// let read = |invoked, value| {
///     Operation { request: Request::Read, invoked, returned: Some((invoked + 1, Reply::Value(value))) }
/// };
/// let unknown = Operation { request: Request::Write(1), invoked: 0, returned: None };
/// let (legal, illegal) = (vec![unknown.clone(), read(1, None), read(3, Some(1))], vec![unknown, read(1, Some(2))]);
/// let verdicts = |history: &[_], steps| verdicts(&Register::default(), history, Budget { steps });
/// assert_eq!(verdicts(&legal, u64::MAX), [((), Some(true))]);
/// assert_eq!(verdicts(&illegal, u64::MAX), [((), Some(false))]);
/// assert_eq!(verdicts(&legal, 0), [((), None)]);
/// ```
pub fn verdicts<S: Spec>(
    spec: &S,
    operations: &[Operation<S::Request, S::Reply>],
    budget: Budget,
) -> Vec<(S::Part, Option<bool>)> {
    each_part(spec, operations, |places| explain::verdict(spec, operations, places, budget))
}

/// What `judge` makes of the places of each part.
fn each_part<S: Spec, T>(
    spec: &S,
    operations: &[Operation<S::Request, S::Reply>],
    judge: impl Fn(&[usize]) -> T,
) -> Vec<(S::Part, T)> {
    let mut parts: Vec<(S::Part, usize)> = operations
        .iter()
        .enumerate()
        .map(|(place, operation)| (spec.part(&operation.request), place))
        .collect();
    parts.sort_by(|one, other| one.0.cmp(&other.0));
    let mut conclusions = Vec::new();
    let mut parts = parts.into_iter().peekable();
    while let Some((part, first)) = parts.next() {
        let mut places = vec![first];
        while let Some((_, place)) = parts.next_if(|(other, _)| *other == part) {
            places.push(place);
        }
        conclusions.push((part, judge(&places)));
    }
    conclusions
}
