//! Schedules as text: written so that people can edit them, read with errors that name the line.
//!
//! serde alone would lose the lines: a `kind` inside a table makes it copy the table first. So a fault's table is
//! handed to serde as if it stood under the name of its kind, which keeps the place of every value.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ending::DamageMax;
use super::environment::{Clock, Disk, Network};
use super::fault::{Fault, TimedFault};
use super::problem::{Problem, ScheduleError, Step};
use super::{FORMAT, Schedule, Shape};
use crate::time::text;

/// A duration as a value of its own, where no struct's field can say how it is written.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text(#[serde(with = "text")] Duration);

/// What a file has at its top, in order.
const FIELDS: &[&str] = &[
    "format",
    "system",
    "seed",
    "interleaving",
    "duration",
    "settle_max",
    "damage",
    "options",
    "network",
    "disk",
    "clock",
    "fault",
    "broken",
];

/// All but the lists behind the clocks, in the order of the file.
#[derive(Serialize)]
struct Head<'a, O> {
    format: u32,
    system: &'a str,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    interleaving: Option<u64>,
    duration: Text,
    settle_max: Text,
    #[serde(skip_serializing_if = "DamageMax::is_default")]
    damage: DamageMax,
    options: &'a O,
    network: &'a Network,
    disk: &'a Disk,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    clock: &'a [Clock],
}

/// The fields of `fault`, one on each line, as a file has them.
pub(super) fn fields(fault: &Fault) -> Result<String, toml::ser::Error> {
    let mut table = toml::to_string(fault)?;
    // The first line is the kind as a table's header, which is not how a schedule has it.
    table.drain(..table.find('\n').map_or(table.len(), |end| end + 1));
    Ok(table)
}

impl<O: Serialize> Schedule<O> {
    /// The schedule as the text of a file. [`Schedule::read`] gives an equal schedule back.
    ///
    /// # Errors
    ///
    /// A sentence, when TOML cannot express the options: they are no struct, or have a value such as `()` in it.
    pub fn write(&self) -> Result<String, String> {
        let head = Head {
            format: FORMAT,
            system: &self.system,
            seed: self.seed,
            interleaving: self.interleaving,
            duration: Text(self.duration),
            settle_max: Text(self.settle_max),
            damage: self.damage,
            options: &self.options,
            network: &self.network,
            disk: &self.disk,
            clock: &self.clocks,
        };
        let refused = |error: toml::ser::Error| format!("a schedule cannot be written: {error}");
        let mut file = toml::to_string(&head).map_err(refused)?;
        for TimedFault { at, fault } in &self.faults {
            let (at, kind, fields) = (text::format(*at), fault.kind(), fields(fault).map_err(refused)?);
            file.push_str(&format!("\n[[fault]]\nat = \"{at}\"\nkind = \"{kind}\"\n{fields}"));
        }
        for broken in &self.broken {
            let fields = toml::to_string(broken).map_err(refused)?;
            file.push_str(&format!("\n[[broken]]\n{fields}"));
        }
        Ok(file)
    }
}

impl<O: DeserializeOwned> Schedule<O> {
    /// Reads the schedule of the system named `system` from the bytes of a file, which errors call `file`.
    ///
    /// `shape_of` says what a cluster with the given options has that a fault can meet, or in a sentence why the
    /// system refuses such options.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, on one line, with its place in the file.
    pub fn read(
        file: &str,
        bytes: &[u8],
        system: &str,
        shape_of: impl FnOnce(&O) -> Result<Shape, String>,
    ) -> Result<Self, ScheduleError> {
        let source = Source::new(file, bytes)?;
        let document =
            DeTable::parse(source.text).map_err(|error| source.refuse(0..0, "not TOML: ", "value", error))?;
        // What is read is taken out of `rest`; `document` keeps the places of what is checked after that.
        let mut rest = Table { source: &source, entries: document.get_ref().clone(), span: 0..0, prefix: "" };

        let format: u64 = rest.take("format")?;
        if format != u64::from(FORMAT) {
            let message = format!("format {format} is unknown; this version reads format {FORMAT}");
            return Err(source.error(place(&document, [Step::Field("format")]), &message));
        }
        let named: String = rest.take("system")?;
        if named != system {
            let message = format!("this is a schedule of `{named}`, not of `{system}`");
            return Err(source.error(place(&document, [Step::Field("system")]), &message));
        }
        // Before anything is missing, since it may be there under a name that is spelt wrong.
        rest.refuse_all_but(FIELDS)?;
        let options = rest.take_table("options")?;
        let shape = shape_of(&options).map_err(|reason| {
            source.error(place(&document, [Step::Field("options")]), &format!("options: {reason}"))
        })?;

        let schedule = Self {
            system: named,
            seed: rest.take("seed")?,
            interleaving: rest.take_if_there("interleaving")?,
            duration: rest.take::<Text>("duration")?.0,
            settle_max: rest.take::<Text>("settle_max")?.0,
            damage: rest.take_if_there("damage")?.unwrap_or_default(),
            options,
            network: rest.take_table("network")?,
            disk: rest.take_table("disk")?,
            clocks: rest.take_list("clock", |table| table.all())?,
            faults: rest.take_list("fault", timed_fault)?,
            broken: rest.take_list("broken", |table| table.all())?,
        };
        schedule.validate(&shape).map_err(|problem: Problem| {
            source.error(place(&document, problem.steps()), &problem.to_string())
        })?;
        Ok(schedule)
    }
}

/// Reads one entry of `fault`.
fn timed_fault(mut table: Table<'_, '_>) -> Result<TimedFault, ScheduleError> {
    let Text(at) = table.take("at")?;
    let kind = table.take_value("kind")?;
    let kind_span = kind.span();
    let Some(kind) = kind.get_ref().as_str().map(str::to_owned) else {
        return Err(table.error(kind_span, "the kind is a text, such as `kill`"));
    };
    let Table { source, entries, span, prefix } = table;
    let mut tagged = DeTable::new();
    tagged.insert(
        Spanned::new(kind_span.clone(), Cow::Owned(kind)),
        Spanned::new(span.clone(), DeValue::Table(entries)),
    );
    let fault = Fault::deserialize(Spanned::new(span, DeValue::Table(tagged)).into_deserializer());
    fault.map(|fault| TimedFault { at, fault }).map_err(|error| {
        let noun = if error.span() == Some(kind_span.clone()) { "kind" } else { "value" };
        source.refuse(kind_span, prefix, noun, error)
    })
}

/// A file's text, and its name for errors.
struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

impl<'t> Source<'t> {
    fn new(file: &'t str, bytes: &'t [u8]) -> Result<Self, ScheduleError> {
        let error =
            |line, message: &str| ScheduleError { file: file.to_owned(), line, message: message.to_owned() };
        let text = std::str::from_utf8(bytes).map_err(|invalid| {
            let valid = &bytes[..invalid.valid_up_to()];
            error(1 + valid.iter().filter(|byte| **byte == b'\n').count(), "not text in UTF-8")
        })?;
        if text.trim().is_empty() {
            return Err(error(1, &format!("the file is empty; a schedule begins with `format = {FORMAT}`")));
        }
        Ok(Self { file, text })
    }

    /// An error at `span`, on one line whatever of the file the message repeats.
    fn error(&self, span: Range<usize>, message: &str) -> ScheduleError {
        let before = self.text.as_bytes().iter().take(span.start);
        let mut line = String::with_capacity(message.len());
        for character in message.chars() {
            match character.is_control() {
                true => line.extend(character.escape_default()),
                false => line.push(character),
            }
        }
        ScheduleError {
            file: self.file.to_owned(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
            message: line,
        }
    }

    /// An error of serde or of the TOML reader within `span`; `noun` is what an enum at its place is called.
    fn refuse(&self, span: Range<usize>, prefix: &str, noun: &str, error: toml::de::Error) -> ScheduleError {
        let message = in_words_of_schedules(error.message(), noun);
        self.error(error.span().unwrap_or(span), &format!("{prefix}{message}"))
    }

    /// The value that serde finds in `value`.
    fn deserialize<T: DeserializeOwned>(
        &self,
        prefix: &str,
        value: Spanned<DeValue<'_>>,
    ) -> Result<T, ScheduleError> {
        let span = value.span();
        T::deserialize(value.into_deserializer()).map_err(|error| self.refuse(span, prefix, "value", error))
    }
}

/// `message` of serde or of the TOML reader, without their words for what a schedule calls a kind or a field.
fn in_words_of_schedules(message: &str, noun: &str) -> String {
    if let Some(keys) = message.strip_prefix("unexpected keys in table: ")
        && let Some((extra, known)) = keys.split_once(", available keys: ")
    {
        return format!("unknown field `{extra}`; known fields: at, kind, {known}");
    }
    for (theirs, ours) in [("variant", noun), ("field", "field")] {
        if let Some(rest) = message.strip_prefix(&format!("unknown {theirs} `"))
            && let Some((unknown, known)) = rest.split_once("`, expected ")
        {
            let known = known.trim_start_matches("one of ").replace('`', "").replace(" or ", ", ");
            return format!("unknown {ours} `{unknown}`; known {ours}s: {known}");
        }
    }
    message.to_owned()
}

/// A table of the file that is read field by field.
struct Table<'s, 't> {
    source: &'s Source<'t>,
    entries: DeTable<'t>,
    span: Range<usize>,
    /// How messages begin: `fault 3: `.
    prefix: &'s str,
}

impl<'s, 't> Table<'s, 't> {
    fn error(&self, span: Range<usize>, message: &str) -> ScheduleError {
        self.source.error(span, &format!("{}{message}", self.prefix))
    }

    fn take_value(&mut self, field: &str) -> Result<Spanned<DeValue<'t>>, ScheduleError> {
        let value = self.entries.remove(field);
        value.ok_or_else(|| self.error(self.span.clone(), &format!("missing field `{field}`")))
    }

    fn take<T: DeserializeOwned>(&mut self, field: &str) -> Result<T, ScheduleError> {
        let value = self.take_value(field)?;
        self.source.deserialize(self.prefix, value)
    }

    fn take_if_there<T: DeserializeOwned>(&mut self, field: &str) -> Result<Option<T>, ScheduleError> {
        let value = self.entries.remove(field);
        value.map(|value| self.source.deserialize(self.prefix, value)).transpose()
    }

    /// As [`Self::take`], where messages about the inside should say that it is inside of `field`.
    fn take_table<T: DeserializeOwned>(&mut self, field: &str) -> Result<T, ScheduleError> {
        let value = self.take_value(field)?;
        self.source.deserialize(&format!("{field}: "), value)
    }

    /// The list of tables `[[field]]`, which may be absent.
    fn take_list<T>(
        &mut self,
        field: &str,
        read: impl Fn(Table<'_, 't>) -> Result<T, ScheduleError>,
    ) -> Result<Vec<T>, ScheduleError> {
        let Some(list) = self.entries.remove(field) else { return Ok(Vec::new()) };
        let shape = format!("`{field}` is a list of tables; write `[[{field}]]` before each");
        let span = list.span();
        let DeValue::Array(list) = list.into_inner() else { return Err(self.error(span, &shape)) };
        let tables = list.into_iter().enumerate().map(|(index, table)| {
            let (span, prefix) = (table.span(), format!("{field} {}: ", index + 1));
            let DeValue::Table(entries) = table.into_inner() else { return Err(self.error(span, &shape)) };
            read(Table { source: self.source, entries, span, prefix: &prefix })
        });
        tables.collect()
    }

    /// The whole of the table, as one value.
    fn all<T: DeserializeOwned>(self) -> Result<T, ScheduleError> {
        let value = Spanned::new(self.span, DeValue::Table(self.entries));
        self.source.deserialize(self.prefix, value)
    }

    /// Refuses the first field in the file, not in the alphabet, that is not one of `known`.
    fn refuse_all_but(&self, known: &[&str]) -> Result<(), ScheduleError> {
        let unknown = self.entries.keys().filter(|field| !known.contains(&field.get_ref().as_ref()));
        let Some(field) = unknown.min_by_key(|field| field.span().start) else { return Ok(()) };
        let message = format!("unknown field `{}`; known fields: {}", field.get_ref(), known.join(", "));
        Err(self.error(field.span(), &message))
    }
}

/// Where `steps` lead to in the file, or the innermost table on the way that the file has.
fn place(document: &Spanned<DeTable<'_>>, steps: impl IntoIterator<Item = Step>) -> Range<usize> {
    let mut steps = steps.into_iter();
    let Some(Step::Field(first)) = steps.next() else { return 0..0 };
    let Some(mut value) = document.get_ref().get(first) else { return 0..0 };
    for step in steps {
        let next = match step {
            Step::Field(field) => value.get_ref().as_table().and_then(|table| table.get(field)),
            Step::Entry(index) => value.get_ref().as_array().and_then(|list| list.get(index)),
        };
        match next {
            Some(next) => value = next,
            None => break,
        }
    }
    value.span()
}
