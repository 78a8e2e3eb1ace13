//! Many of one thing, each with a key.

use crate::linearizability::Spec;

/// Independent ones, each as `S` says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Keyed<S>(pub S);

impl<S: Spec> Spec for Keyed<S> {
    /// The key, and what is asked of what it stands for.
    type Request = (String, S::Request);
    type Reply = S::Reply;
    type State = S::State;
    type Part = (String, S::Part);

    fn initial(&self) -> S::State {
        self.0.initial()
    }

    fn part(&self, (key, request): &Self::Request) -> Self::Part {
        (key.clone(), self.0.part(request))
    }

    fn step(
        &self,
        state: &S::State,
        (_, request): &Self::Request,
        reply: Option<&S::Reply>,
    ) -> Option<S::State> {
        self.0.step(state, request, reply)
    }

    fn is_read_only(&self, (_, request): &Self::Request, reply: Option<&S::Reply>) -> bool {
        self.0.is_read_only(request, reply)
    }

    fn tells_apart(&self, (_, request): &Self::Request, reply: Option<&S::Reply>) -> Option<Vec<S::State>> {
        self.0.tells_apart(request, reply)
    }
}
