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
    /// How many bytes each begins with like the one before.
    shared: Vec<usize>,
}

/// So many texts are looked at one after the other before they are searched by halves.
const NEAR: usize = 8;

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
        let before = [""].into_iter().chain(seen.iter().map(String::as_str));
        // Most texts are the one before with more behind it.
        let common = |(one, other): (&str, &String)| match other.starts_with(one) {
            true => one.len(),
            false => one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count(),
        };
        let shared = before.zip(&seen).map(common).collect();
        Self { seen, shared }
    }

    /// The state of a key with `tail` behind its text, which is the first `head` bytes of a text and of none before that.
    fn appended(&self, text: usize, head: usize, tail: &str) -> State {
        for place in text..(text + NEAR).min(self.seen.len()) {
            if place > text && self.shared[place] < head {
                return State::Unseen;
            }
            if self.seen[place].as_bytes()[head..].starts_with(tail.as_bytes()) {
                return State::Begins { text: place as u32, length: (head + tail.len()) as u32 };
            }
        }
        self.state(&self.seen[text][..head], tail)
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
            (Request::Append(_, tail), None | Some(Reply::Done)) => match *state {
                State::Begins { text, length } => Some(self.appended(text as usize, length as usize, tail)),
                State::Unseen => Some(State::Unseen),
            },
            _ => None,
        }
    }

    fn is_read_only(&self, request: &Request, _reply: Option<&Reply>) -> bool {
        matches!(request, Request::Get(_))
    }

    fn tells_apart(&self, request: &Request, reply: Option<&Reply>) -> Option<Vec<State>> {
        match (request, reply) {
            (Request::Get(_), Some(Reply::Text(text))) => Some(vec![self.state(text, "")]),
            (Request::Get(_) | Request::Put(..), _) => Some(Vec::new()),
            (Request::Append(..), _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_found_as_the_whole_text_is() {
        // Many begin alike, so that some are far from the first that begins with a text.
        let texts = (0..40).map(|number: u32| format!("{:b}", number * number + 1)).chain(["x".repeat(9)]);
        let read = |text| {
            let request = Request::Get("key".to_owned());
            Operation { request, invoked: 0, returned: Some((1, Reply::Text(text))) }
        };
        let history: Vec<_> = texts.map(read).collect();
        let store = KeyValue::of(&history);
        let mut unseen = 0;
        for head in store.seen.iter().flat_map(|text| (0..=text.len()).map(|length| &text[..length])) {
            let State::Begins { text, length } = store.state(head, "") else { panic!("{head} was read") };
            for tail in ["", "0", "1", "01", "110", "00000", "x"] {
                let appended = store.appended(text as usize, length as usize, tail);
                assert_eq!(appended, store.state(head, tail), "{tail} behind {head}");
                unseen += usize::from(appended == State::Unseen);
            }
        }
        assert!(unseen > 100, "{unseen}");
    }
}
