//! What was asked and answered, by model, in words.

use vertebra_sim::linearizability::adds;
use vertebra_sim::linearizability::append::Step;
use vertebra_sim::linearizability::specs::{key_value, register, versioned};

use super::asked::Held;

/// So much of a text is told.
const TEXT_MAX: usize = 200;

/// How something stands in what is told.
pub trait Shown {
    fn shown(&self) -> String;
}

impl Shown for () {
    fn shown(&self) -> String {
        String::new()
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        match self.char_indices().nth(TEXT_MAX) {
            Some((end, _)) => format!("{:?}... ({} bytes)", &self[..end], self.len()),
            None => format!("{self:?}"),
        }
    }
}

impl Shown for Held {
    fn shown(&self) -> String {
        match self {
            Self::Nothing => "nil".to_owned(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => text.to_string().shown(),
        }
    }
}

impl Shown for register::Request<Held> {
    fn shown(&self) -> String {
        match self {
            Self::Read => "read".to_owned(),
            Self::Write(value) => format!("write {}", value.shown()),
            Self::CompareAndSet(expected, value) => format!("cas {} {}", expected.shown(), value.shown()),
        }
    }
}

impl Shown for register::Reply<Held> {
    fn shown(&self) -> String {
        match self {
            Self::Value(value) => value.as_ref().unwrap_or(&Held::Nothing).shown(),
            Self::Done | Self::Swapped(true) => "ok".to_owned(),
            Self::Swapped(false) => "fail".to_owned(),
        }
    }
}

impl Shown for versioned::Reply<Held> {
    fn shown(&self) -> String {
        let answer = self.answer.as_ref().map(Shown::shown);
        match (answer, self.version) {
            (Some(answer), None) => answer,
            (Some(answer), Some(version)) => format!("{answer} at version {version}"),
            (None, Some(version)) => format!("version {version}"),
            (None, None) => "unknown".to_owned(),
        }
    }
}

impl Shown for key_value::Request {
    fn shown(&self) -> String {
        match self {
            Self::Get(_) => "get".to_owned(),
            Self::Put(_, text) => format!("put {}", text.shown()),
            Self::Append(_, text) => format!("append {}", text.shown()),
        }
    }
}

impl Shown for key_value::Reply {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.shown(),
            Self::Done => "ok".to_owned(),
        }
    }
}

impl<Q: Shown> Shown for (String, Q) {
    /// Of a key, where there are several.
    fn shown(&self) -> String {
        let (key, of) = (&self.0, self.1.shown());
        match (key.is_empty(), of.is_empty()) {
            (true, _) => of,
            (false, true) => key.clone(),
            (false, false) => format!("{key}: {of}"),
        }
    }
}

impl Shown for adds::Request {
    fn shown(&self) -> String {
        match self {
            Self::Add(element) => format!("add {element}"),
            Self::Read => "read".to_owned(),
        }
    }
}

/// A list of elements, as far as it fits on a line.
fn elements(elements: &[i64]) -> String {
    const ELEMENTS_MAX: usize = 20;
    let told: Vec<String> = elements.iter().rev().take(ELEMENTS_MAX).map(i64::to_string).collect();
    let told: Vec<&str> = told.iter().rev().map(String::as_str).collect();
    match elements.len() {
        0..=ELEMENTS_MAX => format!("[{}]", told.join(" ")),
        count => format!("[... {}] ({count} elements)", told.join(" ")),
    }
}

impl Shown for adds::Reply {
    fn shown(&self) -> String {
        match self {
            Self::Added => "ok".to_owned(),
            Self::Elements(read) => elements(read),
        }
    }
}

impl Shown for Vec<Step> {
    fn shown(&self) -> String {
        let step = |step: &Step| match step {
            Step::Append(key, element) => format!("append {key} {element}"),
            Step::Read(key) => format!("read {key}"),
        };
        self.iter().map(step).collect::<Vec<_>>().join(", ")
    }
}

impl Shown for Vec<Option<Vec<i64>>> {
    fn shown(&self) -> String {
        let lists: Vec<String> = self.iter().flatten().map(|list| elements(list)).collect();
        if lists.is_empty() { "ok".to_owned() } else { lists.join(", ") }
    }
}
