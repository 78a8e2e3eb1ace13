//! A register: one value that is read, written and swapped.

use std::hash::Hash;

use crate::linearizability::Spec;

/// A register.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Register<V = i64> {
    /// What it holds at first.
    pub initial: Option<V>,
}

/// What is asked of one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request<V = i64> {
    /// What does it hold?
    Read,
    /// From now on it holds this.
    Write(V),
    /// If it holds the first, from now on it holds the second.
    CompareAndSet(V, V),
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply<V = i64> {
    /// It holds this, or nothing.
    Value(Option<V>),
    /// It is written.
    Done,
    /// Whether it held what was asked for, and holds the other now.
    Swapped(bool),
}

impl<V: Clone + Eq + Hash> Spec for Register<V> {
    type Request = Request<V>;
    type Reply = Reply<V>;
    type State = Option<V>;
    type Part = ();

    fn initial(&self) -> Option<V> {
        self.initial.clone()
    }

    fn part(&self, _request: &Request<V>) {}

    fn step(&self, state: &Option<V>, request: &Request<V>, reply: Option<&Reply<V>>) -> Option<Option<V>> {
        let (is_right, after) = match request {
            Request::Read => (matches!(reply, None | Some(Reply::Value(_))), state.clone()),
            Request::Write(value) => (matches!(reply, None | Some(Reply::Done)), Some(value.clone())),
            Request::CompareAndSet(expected, value) => {
                let swaps = state.as_ref() == Some(expected);
                let is_right = reply.is_none_or(|reply| *reply == Reply::Swapped(swaps));
                (is_right, if swaps { Some(value.clone()) } else { state.clone() })
            }
        };
        let shows_another = matches!(reply, Some(Reply::Value(value)) if value != state);
        (is_right && !shows_another).then_some(after)
    }

    fn is_read_only(&self, request: &Request<V>, reply: Option<&Reply<V>>) -> bool {
        matches!(request, Request::Read) || matches!(reply, Some(Reply::Swapped(false)))
    }

    fn tells_apart(&self, request: &Request<V>, reply: Option<&Reply<V>>) -> Option<Vec<Option<V>>> {
        Some(match (request, reply) {
            (Request::Read, Some(Reply::Value(value))) => vec![value.clone()],
            (Request::Read | Request::Write(_), _) => Vec::new(),
            (Request::CompareAndSet(expected, _), _) => vec![Some(expected.clone())],
        })
    }
}
