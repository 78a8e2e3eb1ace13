//! Where two transcripts part: every field of every response is compared, whatever its type.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use serde::Serialize;

use super::drive::{Heard, What};

/// One field in which the answers to a step differ.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// The step, counted from 0.
    pub step: usize,
    pub method: String,
    /// Without the numbers of what stands in lists.
    pub field: String,
    /// With them.
    pub at: String,
    pub model: String,
    pub real: String,
}

impl Difference {
    /// What makes two differences of one kind.
    pub fn kind(&self) -> (&str, &str) {
        (&self.method, &self.field)
    }
}

/// The value of a field that is not set, or of a message that did not come.
pub const NONE: &str = "none";

/// In what the answers to a step differ.
pub fn differences(step: usize, method: &str, model: &[Heard], real: &[Heard]) -> Vec<Difference> {
    let (mut model, mut real) = (fields(model), fields(real));
    // Where one has succeeded and the other not, that says it all.
    let status = |fields: &BTreeMap<String, String>| -> Vec<(String, String)> {
        fields.iter().filter(|(at, _)| is_status(at)).map(|(at, value)| (at.clone(), value.clone())).collect()
    };
    if status(&model) != status(&real) {
        let is_status = |at: &String, _: &mut String| is_status(at);
        model.retain(is_status);
        real.retain(is_status);
    }
    let mut places: Vec<&String> = model.keys().chain(real.keys()).collect();
    places.sort();
    places.dedup();
    let value = |fields: &BTreeMap<String, String>, at: &String| {
        fields.get(at).map_or(NONE.to_owned(), String::clone)
    };
    places
        .into_iter()
        .filter(|at| model.get(*at) != real.get(*at))
        .map(|at| Difference {
            step,
            method: method.to_owned(),
            field: without_numbers(at),
            at: at.clone(),
            model: value(&model, at),
            real: value(&real, at),
        })
        .collect()
}

fn is_status(at: &str) -> bool {
    at == "status" || at.starts_with("stream[") && at.ends_with("].status")
}

/// All fields of what was heard, by their places.
fn fields(heard: &[Heard]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut counts: BTreeMap<(Option<u32>, Option<i64>), usize> = BTreeMap::new();
    for heard in heard {
        let mut place = match (heard.stream, heard.watch) {
            (None, _) => String::new(),
            (Some(stream), None) => format!("stream[{stream}]."),
            (Some(stream), Some(watch)) => format!("stream[{stream}].watch[{watch}]."),
        };
        let count = counts.entry((heard.stream, heard.watch)).or_default();
        match &heard.what {
            What::End(status) => drop(fields.insert(format!("{place}status"), status.to_string())),
            What::Nothing => drop(fields.insert(format!("{place}status"), "no answer".to_owned())),
            What::Bytes(bytes) => {
                fields.insert(format!("{place}bytes[{count}]"), bytes.escape_ascii().to_string());
                *count += 1;
            }
            What::Message(message) => {
                if heard.stream.is_some() || *count > 0 {
                    place = format!("{place}message[{count}].");
                    // An empty message is one all the same.
                    fields.insert(format!("{place}is"), "there".to_owned());
                }
                flatten(message, &place, &mut |at, value| drop(fields.insert(at, value)));
                *count += 1;
            }
        }
    }
    fields
}

/// Tells of each field of a message that is set: its place and its value.
pub fn flatten(message: &DynamicMessage, place: &str, tell: &mut dyn FnMut(String, String)) {
    for (field, value) in message.fields() {
        let place = format!("{place}{}", field.name());
        match value {
            Value::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    leaf(&field, value, format!("{place}[{index}]"), tell);
                }
            }
            value => leaf(&field, value, place, tell),
        }
    }
    for unknown in message.unknown_fields() {
        tell(format!("{place}field[{}]", unknown.number()), format!("{:?}", unknown.wire_type()));
    }
}

fn leaf(field: &FieldDescriptor, value: &Value, place: String, tell: &mut dyn FnMut(String, String)) {
    match (value, field.kind()) {
        (Value::Message(message), _) => {
            tell(place.clone(), "there".to_owned());
            flatten(message, &format!("{place}."), tell);
        }
        (Value::EnumNumber(number), Kind::Enum(descriptor)) => {
            let name = descriptor.get_value(*number).map(|value| value.name().to_owned());
            // A question mark tells a number that means nothing from all names.
            tell(place, name.unwrap_or_else(|| format!("?{number}")));
        }
        (value, _) => tell(place, shown(value)),
    }
}

/// A value of a field that is no message, as it is told.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) if bytes.len() > 80 => {
            format!("\"{}...\" ({} bytes)", bytes[..60].escape_ascii(), bytes.len())
        }
        Value::Bytes(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Value::String(text) => format!("{text:?}"),
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => number(*value),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => i64::try_from(*value).map_or(value.to_string(), number),
        value => format!("{value:?}"),
    }
}

/// A number, or what it stands for.
fn number(value: i64) -> String {
    use super::sequence::REVISION;
    match value.checked_sub(REVISION) {
        Some(0) => "R".to_owned(),
        Some(after) if after.unsigned_abs() < 1 << 40 => format!("R{after:+}"),
        _ => value.to_string(),
    }
}

/// `kvs[2].key` without what is in brackets.
fn without_numbers(place: &str) -> String {
    let mut text = String::with_capacity(place.len());
    let mut is_number = false;
    for character in place.chars() {
        match character {
            '[' => is_number = true,
            ']' => is_number = false,
            _ if is_number => {}
            character => text.push(character),
        }
    }
    text
}

/// All that was heard in a step, a line for each thing.
pub fn lines(heard: &[Heard]) -> Vec<String> {
    let mut lines = Vec::new();
    for heard in heard {
        let from = heard.stream.map_or(String::new(), |stream| format!("stream {stream}: "));
        lines.push(match &heard.what {
            What::End(status) => format!("{from}{status}"),
            What::Nothing => format!("{from}no answer"),
            What::Bytes(bytes) => format!("{from}bytes {}", bytes.escape_ascii()),
            What::Message(message) => format!("{from}{}", text(message)),
        });
    }
    lines
}

/// A message on one line.
pub fn text(message: &DynamicMessage) -> String {
    let mut parts = Vec::new();
    for (field, value) in message.fields() {
        let one = |value: &Value| match (value, field.kind()) {
            (Value::Message(message), _) => format!("{{{}}}", text(message)),
            (Value::EnumNumber(number), Kind::Enum(descriptor)) => {
                descriptor.get_value(*number).map_or(number.to_string(), |value| value.name().to_owned())
            }
            (value, _) => shown(value),
        };
        match value {
            Value::List(values) if values.len() > 12 => {
                let some: Vec<_> = values[..8].iter().map(one).collect();
                parts.push(format!("{}: [{}, ... {} in all]", field.name(), some.join(", "), values.len()));
            }
            Value::List(values) => {
                let all: Vec<_> = values.iter().map(one).collect();
                parts.push(format!("{}: [{}]", field.name(), all.join(", ")));
            }
            value => parts.push(format!("{}: {}", field.name(), one(value))),
        }
    }
    if parts.is_empty() { message.descriptor().name().to_owned() + " {}" } else { parts.join(", ") }
}
