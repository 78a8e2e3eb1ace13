//! A set, to which elements are added and from which they are removed.

use std::collections::BTreeSet;
use std::hash::Hash;

use crate::linearizability::Spec;

/// A set that is empty at first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Set;

/// What is asked of one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// This one is in it from now on.
    Add(i64),
    /// This one is not.
    Remove(i64),
    /// Which ones are in it?
    Elements,
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Whether that has changed anything.
    Changed(bool),
    /// These are in it.
    Elements(BTreeSet<i64>),
}

impl Spec for Set {
    type Request = Request;
    type Reply = Reply;
    type State = BTreeSet<i64>;
    type Part = ();

    fn initial(&self) -> BTreeSet<i64> {
        BTreeSet::new()
    }

    fn part(&self, _request: &Request) {}

    fn step(&self, state: &BTreeSet<i64>, request: &Request, reply: Option<&Reply>) -> Option<BTreeSet<i64>> {
        let mut after = state.clone();
        let answer = match request {
            Request::Add(element) => Reply::Changed(after.insert(*element)),
            Request::Remove(element) => Reply::Changed(after.remove(element)),
            Request::Elements => Reply::Elements(state.clone()),
        };
        reply.is_none_or(|reply| *reply == answer).then_some(after)
    }

    fn is_read_only(&self, request: &Request, reply: Option<&Reply>) -> bool {
        matches!(request, Request::Elements) || matches!(reply, Some(Reply::Changed(false)))
    }
}
