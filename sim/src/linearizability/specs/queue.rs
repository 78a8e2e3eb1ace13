//! A queue: first in, first out.

use std::collections::VecDeque;

use crate::linearizability::Spec;

/// A queue that is empty at first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Queue;

/// What is asked of one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// This one is its last from now on.
    Enqueue(i64),
    /// Its first one, which is in it no more.
    Dequeue,
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is the last.
    Done,
    /// This was the first, or it is empty.
    First(Option<i64>),
}

impl Spec for Queue {
    type Request = Request;
    type Reply = Reply;
    type State = VecDeque<i64>;
    type Part = ();

    fn initial(&self) -> VecDeque<i64> {
        VecDeque::new()
    }

    fn part(&self, _request: &Request) {}

    fn step(&self, state: &VecDeque<i64>, request: &Request, reply: Option<&Reply>) -> Option<VecDeque<i64>> {
        let mut after = state.clone();
        let answer = match request {
            Request::Enqueue(element) => {
                after.push_back(*element);
                Reply::Done
            }
            Request::Dequeue => Reply::First(after.pop_front()),
        };
        reply.is_none_or(|reply| *reply == answer).then_some(after)
    }

    fn is_read_only(&self, _request: &Request, reply: Option<&Reply>) -> bool {
        matches!(reply, Some(Reply::First(None)))
    }
}
