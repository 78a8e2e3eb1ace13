//! A history in a file, as operations of a specification.

use std::io::BufRead;

use clap::ValueEnum;
use clojure_reader::edn::Edn;
use serde::Serialize;
use vertebra_sim::linearizability::specs::{key_value, register};

use super::recorded::{Damage, End, Recorded};
use super::text::{Event, Kind, event};

/// What a history is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// One value that is read, written and swapped: `:read`, `:write`, `:cas`
    Register,
    /// Texts with keys, to which can be appended: `:get`, `:put`, `:append`
    Kv,
}

/// A history of one of them.
#[derive(Debug)]
pub enum History {
    Register(Recorded<register::Request, register::Reply>),
    Kv(Recorded<key_value::Request, key_value::Reply>),
}

/// The model that something is asked of.
fn model(function: &str) -> Result<Model, String> {
    Ok(match function {
        "read" | "write" | "cas" => Model::Register,
        "get" | "put" | "append" => Model::Kv,
        other => return Err(format!("`:{other}` is asked of no model")),
    })
}

/// Reads a history. Without a `model`, the first event says what it is of.
///
/// # Errors
///
/// The first line that cannot be understood, or be read.
pub fn read(reader: impl BufRead, mut expected: Option<Model>) -> Result<History, Damage> {
    let (mut register, mut kv) = (Recorded::new(), Recorded::new());
    for (number, line) in reader.lines().enumerate() {
        let number = number + 1;
        let damage = |reason: String| Damage { line: number, reason };
        let line = line.map_err(|error| damage(error.to_string()))?;
        let Some(event) = event(&line).map_err(damage)? else { continue };
        let found = model(&event.function).map_err(damage)?;
        let expected = *expected.get_or_insert(found);
        if found != expected {
            let (found, expected) = (format!("{found:?}"), format!("{expected:?}").to_lowercase());
            return Err(damage(format!(
                "`:{}` is asked of a {}, and not of a {expected}",
                event.function,
                found.to_lowercase()
            )));
        }
        match found {
            Model::Register => of_register(&mut register, number, &event)?,
            Model::Kv => of_texts(&mut kv, number, &event)?,
        }
    }
    match expected {
        Some(Model::Register) => Ok(History::Register(register)),
        Some(Model::Kv) => Ok(History::Kv(kv)),
        None => Err(Damage { line: 1, reason: "there is no event in this file".to_owned() }),
    }
}

fn integer(value: &Edn<'_>) -> Result<i64, String> {
    match value {
        Edn::Int(value) => Ok(*value),
        other => Err(format!("`{other}` is no number")),
    }
}

/// Makes sure that an event ends what was begun.
fn is_of(event: &Event<'_>, begun: &str) -> Result<(), String> {
    if event.function == begun {
        Ok(())
    } else {
        Err(format!("`:{}` ends, and `:{begun}` was begun", event.function))
    }
}

fn of_register(
    recorded: &mut Recorded<register::Request, register::Reply>,
    line: usize,
    event: &Event<'_>,
) -> Result<(), Damage> {
    use register::{Reply, Request};
    let damage = |reason: String| Damage { line, reason };
    if event.kind == Kind::Invoke {
        let request = match (&event.function[..], &event.value) {
            ("read", _) => Request::Read,
            ("write", value) => Request::Write(integer(value).map_err(damage)?),
            (_, Edn::Vector(pair)) if pair.len() == 2 => {
                let (expected, value) = (integer(&pair[0]), integer(&pair[1]));
                Request::CompareAndSet(expected.map_err(damage)?, value.map_err(damage)?)
            }
            (_, value) => return Err(damage(format!("`{value}` is no pair of numbers"))),
        };
        return recorded.invoke(line, event.process, request);
    }
    recorded.end(line, event.process, |request| {
        is_of(
            event,
            match request {
                Request::Read => "read",
                Request::Write(_) => "write",
                Request::CompareAndSet(..) => "cas",
            },
        )?;
        Ok(match (event.kind, request) {
            (Kind::Info | Kind::Invoke, _) => End::Unknown,
            (Kind::Ok, Request::Read) => End::Answered(Reply::Value(match &event.value {
                Edn::Nil => None,
                value => Some(integer(value)?),
            })),
            (Kind::Ok, Request::Write(_)) => End::Answered(Reply::Done),
            (Kind::Ok, Request::CompareAndSet(..)) => End::Answered(Reply::Swapped(true)),
            // It was compared, and something else was there.
            (Kind::Fail, Request::CompareAndSet(..)) => End::Answered(Reply::Swapped(false)),
            (Kind::Fail, _) => End::NotDone,
        })
    })
}

fn of_texts(
    recorded: &mut Recorded<key_value::Request, key_value::Reply>,
    line: usize,
    event: &Event<'_>,
) -> Result<(), Damage> {
    use key_value::{Reply, Request};
    let text = |value: &Edn<'_>| match value {
        Edn::Str(text) => Ok(text.to_string()),
        other => Err(Damage { line, reason: format!("`{other}` is no text") }),
    };
    if event.kind == Kind::Invoke {
        let key = text(event.key.as_ref().unwrap_or(&Edn::Nil))?;
        let request = match &event.function[..] {
            "get" => Request::Get(key),
            "put" => Request::Put(key, text(&event.value)?),
            _ => Request::Append(key, text(&event.value)?),
        };
        return recorded.invoke(line, event.process, request);
    }
    recorded.end(line, event.process, |request| {
        is_of(
            event,
            match request {
                Request::Get(_) => "get",
                Request::Put(..) => "put",
                Request::Append(..) => "append",
            },
        )?;
        Ok(match (event.kind, request) {
            (Kind::Info | Kind::Invoke, _) => End::Unknown,
            (Kind::Fail, _) => End::NotDone,
            (Kind::Ok, Request::Get(_)) => {
                End::Answered(Reply::Text(text(&event.value).map_err(|damage| damage.reason)?))
            }
            (Kind::Ok, _) => End::Answered(Reply::Done),
        })
    })
}
