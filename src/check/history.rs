//! A history in a file, as operations of a model.

use std::io::BufRead;

use clap::ValueEnum;
use clojure_reader::edn::Edn;
use serde::Serialize;
use vertebra_sim::linearizability::specs::{key_value, register, versioned};
use vertebra_sim::linearizability::{adds, append};

use super::asked::Held;
use super::cluster::Cluster;
use super::forms::{Form, Forms};
use super::recorded::{Damage, Recorded};
use super::text::{self, Event, Kind};
use super::{asked, cluster, forms};

/// What a history is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// A cluster of etcd, by the revisions in its responses; and what its watches told
    Etcd,
    /// One value for each key that is read, written and swapped: `:read`, `:write`, `:cas`
    Register,
    /// Texts with keys, to which can be appended: `:get`, `:put`, `:append`
    Kv,
    /// Sets that grow: `:add`, `:read`
    Set,
    /// Transactions that append to lists and read them: `[:append k v]`, `[:r k nil]`
    Append,
}

/// How a history is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// A log of Jepsen, as porcupine's data has it: a line for each event
    Log,
    /// A history of Jepsen in EDN: maps, one after the other or in a vector
    Edn,
    /// The same in JSON: objects, one after the other or in an array
    Json,
    /// A report of etcd's robustness tests: its folder, or a file `operations.json`
    Etcd,
    /// Lines of JSON that `vertebra replay --history` writes
    Lines,
}

pub type Registers = Recorded<(String, register::Request<Held>), versioned::Reply<Held>>;
pub type Texts = Recorded<key_value::Request, key_value::Reply>;
pub type Sets = Recorded<(String, adds::Request), adds::Reply>;
pub type Lists = Recorded<Vec<append::Step>, Vec<Option<Vec<i64>>>>;

/// A history of one of them.
#[derive(Debug)]
pub enum History {
    Register(Registers),
    Kv(Texts),
    Set(Sets),
    Append(Lists),
    Etcd(Vec<Cluster>),
}

/// What is said about a file beside what it holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    pub model: Option<Model>,
    /// What registers hold at first. With a value, a read of nil tells nothing.
    pub initial: Option<i64>,
}

/// Reads a history in some format.
///
/// # Errors
///
/// The first line that cannot be understood, or be read.
pub fn read(format: Format, reader: impl BufRead, expected: Expected) -> Result<History, Damage> {
    let history = match format {
        Format::Etcd => {
            return of_etcd(expected, || cluster::robustness::read_file(reader).map(|one| vec![one]));
        }
        Format::Lines => return of_etcd(expected, || cluster::lines::read(reader)),
        Format::Log => {
            let mut reading = Reading::new(expected, text::event);
            let mut reader = reader;
            forms::pass_mark(&mut reader);
            let (mut number, mut bytes) = (0, Vec::new());
            loop {
                bytes.clear();
                number += 1;
                let damage = |reason: String| Damage { line: number, reason };
                let read = reader.read_until(b'\n', &mut bytes);
                if read.map_err(|error| damage(error.to_string()))? == 0 {
                    break reading.finish()?;
                }
                let line = std::str::from_utf8(&bytes);
                reading.take(number, line.map_err(|_| damage("this is not text in UTF-8".to_owned()))?)?;
            }
        }
        Format::Edn | Format::Json => {
            let parse: Parse = if format == Format::Edn { text::of_edn } else { text::of_json };
            let (mut reading, mut forms) = (Reading::new(expected, parse), Forms::new(reader));
            while let Some(Form { line, text }) = forms.read()? {
                reading.take(line, &text)?;
            }
            reading.finish()?
        }
    };
    Ok(history)
}

fn of_etcd(
    expected: Expected,
    read: impl FnOnce() -> Result<Vec<Cluster>, Damage>,
) -> Result<History, Damage> {
    match expected.model {
        None | Some(Model::Etcd) => read().map(History::Etcd),
        Some(other) => {
            let other = format!("{other:?}").to_lowercase();
            Err(Damage {
                line: 1,
                reason: format!("this is a history of etcd, and not of `--model {other}`"),
            })
        }
    }
}

/// How the text of an event is understood.
type Parse = fn(&str) -> Result<Option<Event<'_>>, String>;

/// What is known of how a history asks for what it reads.
#[derive(Clone, Copy, Default)]
struct Reads {
    /// Some read was of one key of many.
    are_keyed: bool,
    /// And also of its version.
    ask_for_versions: bool,
}

/// Events, as they are read.
struct Reading {
    expected: Expected,
    parse: Parse,
    /// Events that do not say of what model they are, until one does.
    waiting: Vec<(usize, String)>,
    reads: Reads,
    any: bool,
    registers: Registers,
    texts: Texts,
    sets: Sets,
    lists: Lists,
    appended: asked::Appended,
}

impl Reading {
    fn new(expected: Expected, parse: Parse) -> Self {
        Self {
            expected,
            parse,
            waiting: Vec::new(),
            reads: Reads::default(),
            any: false,
            registers: Recorded::new(),
            texts: Recorded::new(),
            sets: Recorded::new(),
            lists: Recorded::new(),
            appended: asked::Appended::default(),
        }
    }

    fn take(&mut self, line: usize, text: &str) -> Result<(), Damage> {
        let damage = |reason: String| Damage { line, reason };
        let Some(event) = (self.parse)(text).map_err(damage)? else { return Ok(()) };
        self.any = true;
        let of_one =
            event.function == "read" && asked::pair(&event.value).is_some_and(|(_, of)| *of == Edn::Nil);
        self.reads.are_keyed |= of_one;
        self.reads.ask_for_versions |= asked::asks_for_version(&event);
        if let Some(model) = self.expected.model {
            return self.push(model, line, &event);
        }
        match model(&event, self.reads).map_err(damage)? {
            None => self.waiting.push((line, text.to_owned())),
            Some(model) => {
                self.decide(model)?;
                self.push(model, line, &event)?;
            }
        }
        Ok(())
    }

    /// Now it is known of which model all is.
    fn decide(&mut self, model: Model) -> Result<(), Damage> {
        self.expected.model = Some(model);
        for (line, text) in std::mem::take(&mut self.waiting) {
            self.take(line, &text)?;
        }
        Ok(())
    }

    fn push(&mut self, expected: Model, line: usize, event: &Event<'_>) -> Result<(), Damage> {
        let damage = |reason: String| Damage { line, reason };
        if let Some(found) = model(event, self.reads).map_err(damage)?
            && found != expected
        {
            let [found, expected] = [found, expected].map(|model| format!("{model:?}").to_lowercase());
            let (function, value) = (text::beginning(&event.function), text::beginning(&event.value));
            let reason = format!("`:{function}` of `{value}` is asked of a {found}, and not of a {expected}");
            return Err(damage(reason));
        }
        match expected {
            Model::Etcd => {
                let reason = "this is no history of etcd's API: it has no revisions".to_owned();
                Err(damage(reason))
            }
            Model::Register => asked::of_register(&mut self.registers, line, event, self.expected.initial),
            Model::Kv => asked::of_texts(&mut self.texts, line, event),
            Model::Set => asked::of_sets(&mut self.sets, line, event),
            Model::Append => asked::of_lists(&mut self.lists, &mut self.appended, line, event),
        }
    }

    fn finish(mut self) -> Result<History, Damage> {
        if !self.any {
            return Err(Damage { line: 1, reason: "there is no event in this file".to_owned() });
        }
        let model = self.expected.model.unwrap_or(Model::Register);
        self.decide(model)?;
        self.registers.finish();
        self.texts.finish();
        self.sets.finish();
        self.lists.finish();
        Ok(match model {
            Model::Kv => History::Kv(self.texts),
            Model::Set => History::Set(self.sets),
            Model::Append => History::Append(self.lists),
            Model::Register | Model::Etcd => History::Register(self.registers),
        })
    }
}

/// The model that something is asked of; nothing if it can be asked of several.
fn model(event: &Event<'_>, reads: Reads) -> Result<Option<Model>, String> {
    let is_transaction = asked::steps(&event.value).is_some();
    Ok(Some(match &event.function[..] {
        "write" | "cas" => Model::Register,
        "get" | "put" => Model::Kv,
        "append" if !is_transaction => Model::Kv,
        "add" => Model::Set,
        "read" if asked::asks_for_version(event) => Model::Register,
        "read" => return Ok(of_read(event, reads)),
        _ if is_transaction => Model::Append,
        "txn" | "" if event.value == Edn::Nil => return Ok(None),
        "txn" | "" => {
            let steps = "`[:append k v]` and `[:r k nil]` are what a transaction can do";
            return Err(format!("`{}`: {steps}", text::beginning(&event.value)));
        }
        other => return Err(format!("`:{}` is asked of no model", text::beginning(&other))),
    }))
}

/// What is read tells what it is read of: a number or a text of a register, many of them of a set.
fn of_read(event: &Event<'_>, reads: Reads) -> Option<Model> {
    if event.kind != Kind::Ok {
        return None;
    }
    if reads.ask_for_versions {
        return Some(Model::Register);
    }
    let of = |value: &Edn<'_>| match value {
        Edn::Set(_) | Edn::Vector(_) | Edn::List(_) => Some(Model::Set),
        Edn::Int(_) | Edn::Str(_) => Some(Model::Register),
        _ => None,
    };
    match asked::pair(&event.value).filter(|_| reads.are_keyed) {
        Some((_, value)) => of(value),
        None => of(&event.value),
    }
}
