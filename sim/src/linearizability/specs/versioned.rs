//! A register that counts its changes, as a key of etcd does.

use std::hash::Hash;

use super::register::{self, Register, Request};
use crate::linearizability::Spec;

/// A register with a version: 0 at first, and one more with each write and each swap, also with what it holds already.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Versioned<V = i64> {
    /// What is counted.
    pub register: Register<V>,
    /// Where no answer tells a version there is nothing to count, and one state in the place of many.
    pub is_counted: bool,
}

/// What it answers, as far as somebody has recorded it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply<V = i64> {
    /// The version that it has then.
    pub version: Option<i64>,
    /// What a register answers.
    pub answer: Option<register::Reply<V>>,
}

impl<V: Clone + Eq + Hash> Spec for Versioned<V> {
    type Request = Request<V>;
    type Reply = Reply<V>;
    /// The version, and what it holds.
    type State = (i64, Option<V>);
    type Part = ();

    fn initial(&self) -> Self::State {
        (0, self.register.initial())
    }

    fn part(&self, _request: &Request<V>) {}

    fn step(
        &self,
        (version, held): &Self::State,
        request: &Request<V>,
        reply: Option<&Reply<V>>,
    ) -> Option<Self::State> {
        let answer = reply.and_then(|reply| reply.answer.as_ref());
        let after = self.register.step(held, request, answer)?;
        let changes = match request {
            Request::Read => false,
            Request::Write(_) => true,
            Request::CompareAndSet(expected, _) => held.as_ref() == Some(expected),
        };
        let version = version + i64::from(self.is_counted && changes);
        let told = reply.and_then(|reply| reply.version).filter(|_| self.is_counted);
        told.is_none_or(|told| told == version).then_some((version, after))
    }

    fn is_read_only(&self, request: &Request<V>, reply: Option<&Reply<V>>) -> bool {
        self.register.is_read_only(request, reply.and_then(|reply| reply.answer.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linearizability::{Budget, Operation, verdicts};

    /// Whether what is asked and answered one after the other is right.
    fn is_right(asked: &[(Request, Option<Reply>)]) -> bool {
        let operation = |(place, (request, reply)): (usize, &(Request, Option<Reply>))| {
            let invoked = 2 * place as u64;
            let returned = reply.clone().map(|reply| (invoked + 1, reply));
            Operation { request: request.clone(), invoked, returned }
        };
        let operations: Vec<_> = asked.iter().enumerate().map(operation).collect();
        let spec = Versioned { register: Register::default(), is_counted: true };
        verdicts(&spec, &operations, Budget::UNLIMITED) == [((), Some(true))]
    }

    fn read(version: Option<i64>, value: Option<i64>) -> (Request, Option<Reply>) {
        (
            Request::Read,
            Some(Reply { version, answer: value.map(|value| register::Reply::Value(Some(value))) }),
        )
    }

    fn write(value: i64, version: Option<i64>) -> (Request, Option<Reply>) {
        (Request::Write(value), Some(Reply { version, answer: Some(register::Reply::Done) }))
    }

    #[test]
    fn each_change_is_counted_and_what_is_not_told_is_not_asked_for() {
        let swap = |expected, value, version| {
            let answer = Some(register::Reply::Swapped(true));
            (Request::CompareAndSet(expected, value), Some(Reply { version: Some(version), answer }))
        };
        assert!(is_right(&[read(Some(0), None), write(3, Some(1)), write(3, None), read(Some(2), Some(3))]));
        assert!(is_right(&[write(3, None), swap(3, 3, 2), read(None, Some(3)), read(Some(2), None)]));
        assert!(!is_right(&[write(3, Some(1)), write(3, Some(1))]));
        assert!(!is_right(&[write(3, None), swap(3, 4, 1)]));
        assert!(!is_right(&[write(3, None), write(3, None), read(Some(1), Some(3))]));
    }

    #[test]
    fn a_write_without_an_answer_is_counted_if_somebody_saw_it() {
        let unknown = (Request::Write(3), None);
        assert!(is_right(&[unknown.clone(), write(3, Some(2)), read(Some(2), Some(3))]));
        assert!(is_right(&[unknown.clone(), write(3, Some(1)), read(Some(1), Some(3))]));
        assert!(!is_right(&[unknown, write(3, Some(3))]));
    }
}
