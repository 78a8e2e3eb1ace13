//! What events ask and tell, by model.

use std::collections::BTreeMap;
use std::sync::Arc;

use clojure_reader::edn::Edn;
use vertebra_sim::linearizability::adds;
use vertebra_sim::linearizability::append::Step;
use vertebra_sim::linearizability::specs::{key_value, register, versioned};

use super::history::{Lists, Registers, Sets, Texts};
use super::recorded::{Damage, End};
use super::shown::Shown;
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

/// Makes sure that what is done is what was asked for.
fn is_same(ended: &Edn<'_>, is_same: bool, begun: &str) -> Result<(), String> {
    if is_same {
        Ok(())
    } else {
        Err(format!("`{}` ends, and `{}` was begun", beginning(ended), beginning(&begun)))
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

/// What is asked of a register, or told of it: the version, where that is counted, and what is of that.
struct Told<'e, 'a> {
    key: String,
    /// It has a place for the version, of which it may say nothing. Then nothing is said of a value that is `nil`, either.
    is_counted: bool,
    version: Option<i64>,
    value: &'e Edn<'a>,
}

impl<'e, 'a> Told<'e, 'a> {
    /// `v`, `[k v]` or `[k [version v]]`, where `v` is of the kind that `function` has.
    fn of(function: &str, value: &'e Edn<'a>, is_keyed: bool) -> Result<Self, String> {
        let (key, value) = keyed(value, is_keyed)?;
        let plain = Ok(Told { key: key.clone(), is_counted: false, version: None, value });
        let Some((version, of)) = pair(value).filter(|_| is_keyed) else { return plain };
        match version {
            _ if function == "cas" && pair(of).is_none() => plain,
            Edn::Nil => Ok(Told { key, is_counted: true, version: None, value: of }),
            Edn::Int(version) => Ok(Told { key, is_counted: true, version: Some(*version), value: of }),
            other => Err(format!("`{}` is no version of a key, which is a number or nil", beginning(other))),
        }
    }
}

/// Whether a read asks for the version of a key, and what it holds: `[k [nil nil]]`.
pub fn asks_for_version(event: &Event<'_>) -> bool {
    let asked = pair(&event.value).and_then(|(_, of)| pair(of));
    event.kind == Kind::Invoke
        && event.function == "read"
        && asked.is_some_and(|(version, value)| (version, value) == (&Edn::Nil, &Edn::Nil))
}

fn asked_of_register(function: &str, value: &Edn<'_>) -> Result<register::Request<Held>, String> {
    use register::Request;
    Ok(match function {
        "read" => Request::Read,
        "write" => Request::Write(held(value)?),
        _ => {
            let both = pair(value).ok_or_else(|| format!("`{}` is no pair of values", beginning(value)));
            let (expected, value) = both?;
            Request::CompareAndSet(held(expected)?, held(value)?)
        }
    })
}

pub fn of_register(
    recorded: &mut Registers,
    line: usize,
    event: &Event<'_>,
    initial: Option<i64>,
) -> Result<(), Damage> {
    use register::{Reply, Request};
    let damage = |reason: String| Damage { line, reason };
    let looks_keyed = match &event.function[..] {
        "cas" => pair(&event.value).is_some_and(|(_, of)| pair(of).is_some()),
        _ => pair(&event.value).is_some(),
    };
    if event.kind == Kind::Invoke {
        let told = Told::of(&event.function, &event.value, looks_keyed).map_err(damage)?;
        let request = asked_of_register(&event.function, told.value).map_err(damage)?;
        return recorded.invoke(line, event.process, (told.key, request));
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
        let answered = |version, answer| End::Answered(versioned::Reply { version, answer });
        match event.kind {
            Kind::Info | Kind::Invoke => return Ok(End::Unknown),
            Kind::Fail if matches!(request, Request::CompareAndSet(..)) && event.fails_by_value => {
                return Ok(answered(None, Some(Reply::Swapped(false))));
            }
            Kind::Fail => return Ok(End::NotDone),
            Kind::Ok => {}
        }
        // A key can be without letters, too.
        let told = Told::of(&event.function, &event.value, looks_keyed || !key.is_empty())?;
        is_of_key(&told.key, key)?;
        if *request != Request::Read {
            let ended = asked_of_register(&event.function, told.value)?;
            is_same(&event.value, ended == *request, &request.shown())?;
        }
        Ok(match request {
            Request::Read => match (held(told.value)?, told.version) {
                (Held::Nothing, None) if told.is_counted || initial.is_some() => End::NotDone,
                (Held::Nothing, version) if told.is_counted => answered(version, None),
                (value, version) => answered(version, Some(Reply::Value(Some(value)))),
            },
            Request::Write(_) => answered(told.version, Some(Reply::Done)),
            Request::CompareAndSet(..) => answered(told.version, Some(Reply::Swapped(true))),
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
            (Kind::Ok, Request::Put(_, begun) | Request::Append(_, begun)) => {
                // Some clients say no more than that it is done.
                let is_told = event.value != Edn::Nil;
                is_same(&event.value, !is_told || event.value == Edn::string(&begun[..]), begun)?;
                End::Answered(Reply::Done)
            }
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
            (Kind::Ok, Request::Add(begun)) => {
                let (ended, value) = match &event.value {
                    // Some clients say no more than that it is done.
                    Edn::Nil => (key.clone(), &Edn::Int(*begun)),
                    told => keyed(told, pair(told).is_some() || !key.is_empty())?,
                };
                is_of_key(&ended, key)?;
                is_same(&event.value, *value == Edn::Int(*begun), &begun.to_string())?;
                End::Answered(Reply::Added)
            }
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
