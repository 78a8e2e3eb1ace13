//! What events ask and tell, by model.

use std::collections::BTreeMap;
use std::sync::Arc;

use clojure_reader::edn::Edn;
use vertebra_sim::linearizability::adds;
use vertebra_sim::linearizability::append::Step;
use vertebra_sim::linearizability::specs::{key_value, register};

use super::history::{Lists, Registers, Sets, Texts};
use super::recorded::{Damage, End};
use super::text::{self, Event, Kind, beginning};

/// Where each element was appended to each key.
pub type Appended = BTreeMap<(String, i64), usize>;

fn integer(value: &Edn<'_>) -> Result<i64, String> {
    match value {
        Edn::Int(value) => Ok(*value),
        other => Err(format!("`{}` is no number", beginning(other))),
    }
}

/// Both of a pair.
pub fn pair<'e, 'a>(value: &'e Edn<'a>) -> Option<(&'e Edn<'a>, &'e Edn<'a>)> {
    match value {
        Edn::Vector(pair) | Edn::List(pair) if pair.len() == 2 => Some((&pair[0], &pair[1])),
        _ => None,
    }
}

fn shown(value: &Edn<'_>) -> String {
    match value {
        Edn::Str(text) => text.to_string(),
        other => other.to_string(),
    }
}

/// The key, and what is of it, if `value` is of one key of many.
fn keyed<'e, 'a>(value: &'e Edn<'a>, is_keyed: bool) -> Result<(String, &'e Edn<'a>), String> {
    if !is_keyed {
        return Ok((String::new(), value));
    }
    match pair(value) {
        Some((key, value)) => Ok((shown(key), value)),
        None => Err(format!("`{}` is no pair of a key and what is of it", beginning(value))),
    }
}

/// Makes sure that an event ends what was begun.
fn is_of(event: &Event<'_>, begun: &str) -> Result<(), String> {
    if event.function == begun {
        Ok(())
    } else {
        Err(format!("`:{}` ends, and `:{begun}` was begun", beginning(&event.function)))
    }
}

/// Makes sure that it is of the same key.
fn is_of_key(ended: &str, begun: &str) -> Result<(), String> {
    if ended == begun {
        Ok(())
    } else {
        Err(format!("key {} ends, and {} was begun", beginning(&ended), beginning(&begun)))
    }
}

/// What a register holds: `nil`, which is nothing, a number or a text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Held {
    Nothing,
    Number(i64),
    Text(Arc<str>),
}

fn held(value: &Edn<'_>) -> Result<Held, String> {
    match value {
        Edn::Nil => Ok(Held::Nothing),
        Edn::Int(value) => Ok(Held::Number(*value)),
        Edn::Str(text) => Ok(Held::Text(Arc::from(&**text))),
        other => Err(format!("`{}` is neither a number nor a text", beginning(other))),
    }
}

pub fn of_register(
    recorded: &mut Registers,
    line: usize,
    event: &Event<'_>,
    initial: Option<i64>,
) -> Result<(), Damage> {
    use register::{Reply, Request};
    let damage = |reason: String| Damage { line, reason };
    if event.kind == Kind::Invoke {
        let is_keyed = match &event.function[..] {
            "cas" => pair(&event.value).is_some_and(|(_, of)| pair(of).is_some()),
            _ => pair(&event.value).is_some(),
        };
        let (key, value) = keyed(&event.value, is_keyed).map_err(damage)?;
        let request = match &event.function[..] {
            "read" => Request::Read,
            "write" => Request::Write(held(value).map_err(damage)?),
            _ => {
                let Some((expected, value)) = pair(value) else {
                    return Err(damage(format!("`{}` is no pair of values", beginning(value))));
                };
                let (expected, value) = (held(expected), held(value));
                Request::CompareAndSet(expected.map_err(damage)?, value.map_err(damage)?)
            }
        };
        return recorded.invoke(line, event.process, (key, request));
    }
    recorded.end(line, event.process, |(key, request)| {
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
            (Kind::Ok, Request::Read) => {
                let (ended, value) = keyed(&event.value, !key.is_empty())?;
                is_of_key(&ended, key)?;
                match held(value)? {
                    Held::Nothing if initial.is_some() => End::NotDone,
                    value => End::Answered(Reply::Value(Some(value))),
                }
            }
            (Kind::Ok, Request::Write(_)) => End::Answered(Reply::Done),
            (Kind::Ok, Request::CompareAndSet(..)) => End::Answered(Reply::Swapped(true)),
            (Kind::Fail, Request::CompareAndSet(..)) if event.fails_by_value => {
                End::Answered(Reply::Swapped(false))
            }
            (Kind::Fail, _) => End::NotDone,
        })
    })
}

pub fn of_texts(recorded: &mut Texts, line: usize, event: &Event<'_>) -> Result<(), Damage> {
    use key_value::{Reply, Request};
    let text = |value: &Edn<'_>| match value {
        Edn::Str(text) => Ok(text.to_string()),
        other => Err(Damage { line, reason: format!("`{}` is no text", beginning(other)) }),
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

fn integers(value: &Edn<'_>) -> Result<Vec<i64>, String> {
    match value {
        Edn::Vector(elements) | Edn::List(elements) => elements.iter().map(integer).collect(),
        Edn::Set(elements) => elements.iter().map(integer).collect(),
        // Nothing was there yet.
        Edn::Nil => Ok(Vec::new()),
        other => Err(format!("`{}` is no collection of numbers", beginning(other))),
    }
}

pub fn of_sets(recorded: &mut Sets, line: usize, event: &Event<'_>) -> Result<(), Damage> {
    use adds::{Reply, Request};
    let damage = |reason: String| Damage { line, reason };
    if event.kind == Kind::Invoke {
        let (key, value) = keyed(&event.value, pair(&event.value).is_some()).map_err(damage)?;
        let request = match &event.function[..] {
            "read" => Request::Read,
            _ => Request::Add(integer(value).map_err(damage)?),
        };
        return recorded.invoke(line, event.process, (key, request));
    }
    recorded.end(line, event.process, |(key, request)| {
        is_of(event, if *request == Request::Read { "read" } else { "add" })?;
        Ok(match (event.kind, request) {
            (Kind::Info | Kind::Invoke, _) => End::Unknown,
            (Kind::Fail, _) => End::NotDone,
            (Kind::Ok, Request::Add(_)) => End::Answered(Reply::Added),
            (Kind::Ok, Request::Read) => {
                let (ended, value) = keyed(&event.value, !key.is_empty())?;
                is_of_key(&ended, key)?;
                let mut elements = integers(value)?;
                elements.sort_unstable();
                End::Answered(Reply::Elements(elements))
            }
        })
    })
}

/// The steps of a transaction: what each of them is named, its key, and what is of that.
pub fn steps<'e, 'a>(value: &'e Edn<'a>) -> Option<Vec<(&'e str, &'e Edn<'a>, &'e Edn<'a>)>> {
    let (Edn::Vector(steps) | Edn::List(steps)) = value else { return None };
    let step = |step: &'e Edn<'a>| match step {
        Edn::Vector(step) | Edn::List(step) => match &step[..] {
            [name, key, of] => match text::name(name) {
                Some(name @ ("append" | "r")) => Some((name, key, of)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    steps.iter().map(step).collect::<Option<Vec<_>>>().filter(|steps| !steps.is_empty())
}

pub fn of_lists(
    recorded: &mut Lists,
    appended: &mut Appended,
    line: usize,
    event: &Event<'_>,
) -> Result<(), Damage> {
    let damage = |reason: String| Damage { line, reason };
    let told = steps(&event.value);
    if event.kind == Kind::Invoke {
        let Some(told) = told else {
            return Err(damage(format!("`{}` are no steps of a transaction", beginning(&event.value))));
        };
        let mut request = Vec::with_capacity(told.len());
        for (name, key, of) in told {
            let key = shown(key);
            if name == "r" {
                request.push(Step::Read(key));
                continue;
            }
            let element = integer(of).map_err(damage)?;
            if let Some(before) = appended.insert((key.clone(), element), line) {
                let reason = format!("{element} is appended to {} on line {before} already", beginning(&key));
                return Err(damage(format!("{reason}: nobody can tell which of them is read")));
            }
            request.push(Step::Append(key, element));
        }
        return recorded.invoke(line, event.process, request);
    }
    recorded.end(line, event.process, |request| {
        match event.kind {
            Kind::Info | Kind::Invoke => return Ok(End::Unknown),
            Kind::Fail => return Ok(End::NotDone),
            Kind::Ok => {}
        }
        let told = told.unwrap_or_default();
        let same = |(step, (name, key, of)): (&Step, &(&str, &Edn<'_>, &Edn<'_>))| match step {
            Step::Read(read) => *name == "r" && *read == shown(key),
            Step::Append(to, element) => *name == "append" && *to == shown(key) && **of == Edn::Int(*element),
        };
        if told.len() != request.len() || !request.iter().zip(&told).all(same) {
            return Err(format!("`{}` are not the steps that were begun", beginning(&event.value)));
        }
        let lists = told.iter().map(|(name, _, of)| match (*name, of) {
            ("append", _) | (_, Edn::Nil) => Ok(None),
            (_, list) => integers(list).map(Some),
        });
        // Of a list that is nil, some clients mean that it is empty.
        let lists = lists.zip(request).map(|(list, step)| match (list, step) {
            (Ok(None), Step::Read(_)) => Ok(Some(Vec::new())),
            (list, _) => list,
        });
        Ok(End::Answered(lists.collect::<Result<_, String>>()?))
    })
}
