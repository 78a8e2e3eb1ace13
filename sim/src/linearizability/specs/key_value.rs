//! A store of texts, to which can be appended.

use crate::linearizability::{Operation, Spec};

/// A store in which each key has the empty text at first.
///
/// Its states are not texts. What matters of one is which of the texts that somebody read it is the beginning of: of
/// texts that are the beginning of none, nobody will ever see more than that they are gone, by the next put. So there is one
/// state for all of them, and each state is two numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyValue {
    /// All that was read, in order.
    seen: Vec<String>,
}

/// What is asked of one, of a key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// What is its text?
    Get(String),
    /// Its text is this from now on.
    Put(String, String),
    /// Its text has this at its end from now on.
    Append(String, String),
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The text.
    Text(String),
    /// It is changed.
    Done,
}

/// The text of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// The beginning of the text with this number, and of none before it.
    Begins {
        /// Which text.
        text: u32,
        /// How many bytes of it.
        length: u32,
    },
    /// Some text that begins none that was read.
    Unseen,
}

impl KeyValue {
    /// The store that a history is to be held against.
    #[must_use]
    pub fn of(operations: &[Operation<Request, Reply>]) -> Self {
        let read = operations.iter().filter_map(|operation| match &operation.returned {
            Some((_, Reply::Text(text))) => Some(text.clone()),
            _ => None,
        });
        let mut seen: Vec<String> = read.chain([String::new()]).collect();
        seen.sort_unstable();
        seen.dedup();
        Self { seen }
    }

    /// The state of a key whose text has two parts.
    fn state(&self, head: &str, tail: &str) -> State {
        let (head, tail) = (head.as_bytes(), tail.as_bytes());
        let length = head.len() + tail.len();
        // The first text that comes not before this one is the first that can begin with it.
        let is_before = |seen: &String| {
            let seen = seen.as_bytes();
            match seen.split_at_checked(head.len()) {
                Some((begin, rest)) => (begin, rest) < (head, tail),
                None => seen < head,
            }
        };
        let text = self.seen.partition_point(is_before);
        let begins =
            |seen: &String| seen.as_bytes().strip_prefix(head).is_some_and(|rest| rest.starts_with(tail));
        match self.seen.get(text).is_some_and(begins) {
            true => State::Begins { text: text as u32, length: length as u32 },
            false => State::Unseen,
        }
    }

    fn text(&self, state: State) -> Option<&str> {
        match state {
            State::Begins { text, length } => self.seen[text as usize].get(..length as usize),
            State::Unseen => None,
        }
    }
}

impl Spec for KeyValue {
    type Request = Request;
    type Reply = Reply;
    type State = State;
    type Part = String;

    fn initial(&self) -> State {
        self.state("", "")
    }

    fn part(&self, request: &Request) -> String {
        let (Request::Get(key) | Request::Put(key, _) | Request::Append(key, _)) = request;
        key.clone()
    }

    fn step(&self, state: &State, request: &Request, reply: Option<&Reply>) -> Option<State> {
        match (request, reply) {
            (Request::Get(_), None) => Some(*state),
            (Request::Get(_), Some(Reply::Text(text))) => (self.text(*state) == Some(text)).then_some(*state),
            (Request::Put(_, text), None | Some(Reply::Done)) => Some(self.state(text, "")),
            (Request::Append(_, tail), None | Some(Reply::Done)) => match self.text(*state) {
                Some(head) => Some(self.state(head, tail)),
                None => Some(State::Unseen),
            },
            _ => None,
        }
    }

    fn is_read_only(&self, request: &Request, _reply: Option<&Reply>) -> bool {
        matches!(request, Request::Get(_))
    }
}
