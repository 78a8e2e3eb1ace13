//! Known differences between the model and versions of etcd, as data: `known-differences.toml`.
//!
//! Each says which field of which method differs, in which versions, in which values, and why that is right. A
//! difference that matches none is one that is told.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::{Deserialize, Serialize};
use vertebra_model::api::alarm_request::AlarmAction;
use vertebra_model::grpc::Status;

use super::compare::{Difference, flatten, shown};
use super::drive::{Heard, What};
use super::methods;
use super::sequence::{Action, Body, Caller, REVISION, Sequence, Step};
use crate::exit::Refusal;

/// What a request is asked for that is bytes and no message, since a number in it is too large.
const OVERFLOW: &str = "overflow";
const EMPTY_END: &str = "empty-end";

/// What a request is asked for that is bytes in which a group begins or ends.
const GROUP: &str = "group";

/// What a request is asked for that names a range in which no key can be, also as a part of a transaction.
const EMPTY_RANGE: &str = "empty-range";

/// The file in the tree.
const BUILT_IN: &str = include_str!("known-differences.toml");

/// All of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    #[serde(default)]
    pub difference: Vec<Entry>,
    /// Requests that are not sent.
    #[serde(default)]
    pub never: Vec<Never>,
}

/// A request that a version does not survive.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Never {
    /// It is told under this name.
    pub name: String,
    #[serde(default)]
    pub versions: String,
    pub method: String,
    /// Fields of the request, all of which it has.
    pub request: Vec<String>,
    /// What comes of it.
    pub reason: String,
}

/// One difference that is known. Of values, `*` stands for any text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// It is told under this name.
    pub name: String,
    /// The versions of the real server: `>=3.4, <3.5`. Without it, all.
    #[serde(default)]
    pub versions: String,
    pub method: String,
    /// The field of the response, without the numbers of what stands in lists; `status` is how the call ended.
    pub field: Texts,
    #[serde(default)]
    pub model: Texts,
    #[serde(default)]
    pub real: Texts,
    /// A field of the request, as `fragment=true`. The revision up to which all was compacted is `{compacted}`. `overflow`: it is
    /// bytes in which a number has more than 64 bits, or that of a field more than 29. `empty-range`: one
    /// ends where it begins, or before. `empty-end`: it is bytes in which the end of a range is written out, and is nothing. `group`: it is bytes in which a group begins or ends, as Protocol Buffers had them once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Another difference of the same step: its field, `model` or `real`, and the value there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// The caller has a token, which need not be good.
    #[serde(default)]
    pub token: bool,
    /// Whether authentication is on. Without it, that makes no difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<bool>,
    /// An alarm was raised and not taken back.
    #[serde(default)]
    pub alarm: bool,
    /// Alarms of two kinds were raised, whether they were taken back or not.
    #[serde(default)]
    pub two_alarms: bool,
    /// After it, both sides are in different states: what comes later is not compared.
    #[serde(default)]
    pub ends: bool,
    /// Why each is right.
    pub reason: String,
}

/// What a value may be: one text or several, in each of which `*` stands for any.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Default for Texts {
    fn default() -> Self {
        Self::One("*".to_owned())
    }
}

impl Texts {
    fn have(&self, text: &str) -> bool {
        match self {
            Self::One(pattern) => matches(pattern, text),
            Self::Several(patterns) => patterns.iter().any(|pattern| matches(pattern, text)),
        }
    }
}

/// In what state both sides are, as far as their answers tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    authentication: bool,
    alarm: bool,
    /// The kinds of all alarms that were raised.
    raised: BTreeSet<i32>,
    /// Up to here all was compacted.
    compacted: i64,
    /// The calls of several steps that were begun with a token.
    with_token: BTreeSet<u32>,
}

impl Default for State {
    fn default() -> Self {
        // Each sequence begins with a compaction of the revision before its first.
        Self {
            authentication: false,
            alarm: false,
            raised: BTreeSet::new(),
            compacted: REVISION - 1,
            with_token: BTreeSet::new(),
        }
    }
}

impl State {
    /// Takes note of a step, and of what was answered.
    pub fn note(&mut self, path: &str, step: &Step, heard: &[Heard]) {
        if let Action::Open { stream, caller, .. } = &step.action
            && *caller != Caller::Nobody
        {
            self.with_token.insert(*stream);
        }
        if !heard.iter().any(|heard| matches!(&heard.what, What::End(status) if *status == Status::OK)) {
            return;
        }
        match path.rsplit('/').next().unwrap_or_default() {
            "AuthEnable" => self.authentication = true,
            "AuthDisable" => self.authentication = false,
            "Alarm" => {
                let request = request(path, step);
                let number = |name| request.as_ref()?.get_field_by_name(name)?.as_enum_number();
                match number("action").and_then(|action| AlarmAction::try_from(action).ok()) {
                    Some(AlarmAction::Activate) => {
                        self.alarm = true;
                        self.raised.extend(number("alarm"));
                    }
                    Some(AlarmAction::Deactivate) => self.alarm = false,
                    _ => {}
                }
            }
            "Compact" => {
                let revision = request(path, step).and_then(|message| {
                    message.get_field_by_name("revision").and_then(|revision| revision.as_i64())
                });
                self.compacted = revision.unwrap_or(self.compacted);
            }
            _ => {}
        }
    }
}

impl Known {
    /// The differences that are known of a version.
    ///
    /// # Errors
    ///
    /// The file is wrong.
    pub fn built_in(version: &str) -> Result<Self, Refusal> {
        Self::read(BUILT_IN, version)
            .map_err(|reason| Refusal::new(format!("known-differences.toml: {reason}")))
    }

    /// Of what stands in a file, that which is of this version.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with the file.
    pub fn read(text: &str, version: &str) -> Result<Self, String> {
        let mut known: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut kept = Vec::new();
        for entry in known.difference.drain(..) {
            if entry.reason.trim().is_empty() {
                return Err(format!("`{}` has no reason", entry.name));
            }
            if matches_version(&entry.versions, version)
                .map_err(|error| format!("`{}`: {error}", entry.name))?
            {
                kept.push(entry);
            }
        }
        let mut never = Vec::new();
        for entry in known.never.drain(..) {
            if matches_version(&entry.versions, version)
                .map_err(|error| format!("`{}`: {error}", entry.name))?
            {
                never.push(entry);
            }
        }
        Ok(Self { difference: kept, never })
    }

    /// Takes out of a sequence what the version would not survive; tells of how many steps it took.
    pub fn spare(&self, sequence: &mut Sequence) -> u64 {
        let is_spared = |index: usize| {
            let (path, step) = (sequence.path(index), &sequence.steps[index]);
            self.never.iter().any(|entry| {
                matches(&entry.method, path)
                    && entry.request.iter().all(|wanted| has_field(path, step, wanted))
            })
        };
        let spared: Vec<bool> = (0..sequence.steps.len()).map(is_spared).collect();
        let mut of_step = spared.iter().copied();
        sequence.steps.retain(|_| !of_step.next().unwrap_or(false));
        spared.into_iter().filter(|spared| *spared).count() as u64
    }

    /// The entry that a difference is of, among all of its step.
    pub fn find(
        &self,
        difference: &Difference,
        all: &[Difference],
        step: &Step,
        state: &State,
    ) -> Option<usize> {
        self.difference.iter().position(|entry| entry.is_of(difference, all, step, state))
    }
}

impl State {
    fn has_token(&self, step: &Step) -> bool {
        match &step.action {
            Action::Call { caller, .. } | Action::Open { caller, .. } => *caller != Caller::Nobody,
            _ => step.stream().is_some_and(|stream| self.with_token.contains(&stream)),
        }
    }
}

impl Entry {
    fn is_of(&self, difference: &Difference, all: &[Difference], step: &Step, state: &State) -> bool {
        let is_with = |wanted: &String| {
            all.iter().any(|Difference { field, model, real, .. }| {
                matches(wanted, &format!("{field} real {real}"))
                    || matches(wanted, &format!("{field} model {model}"))
            })
        };
        let is_asked = |wanted: &String| {
            let compacted = shown(&Value::I64(state.compacted));
            has_field(&difference.method, step, &wanted.replace("{compacted}", &compacted))
        };
        matches(&self.method, &difference.method)
            && self.field.have(&difference.field)
            && self.model.have(&difference.model)
            && self.real.have(&difference.real)
            && self.with.as_ref().is_none_or(is_with)
            && (!self.token || state.has_token(step))
            && self.authentication.is_none_or(|wanted| wanted == state.authentication)
            && (!self.alarm || state.alarm)
            && (!self.two_alarms || state.raised.len() >= 2)
            && self.request.as_ref().is_none_or(is_asked)
    }
}

/// The request in a step.
fn request(path: &str, step: &Step) -> Option<DynamicMessage> {
    match step.body()? {
        Body::Message(message) => Some(message.clone()),
        // They may be a message all the same.
        Body::Bytes(bytes) => DynamicMessage::decode(methods::method(path)?.input(), bytes.clone()).ok(),
    }
}

fn names_empty_range(message: &DynamicMessage) -> bool {
    fn of_value(value: &Value) -> bool {
        match value {
            Value::Message(message) => names_empty_range(message),
            Value::List(values) => values.iter().any(of_value),
            _ => false,
        }
    }
    let bytes = |name| message.get_field_by_name(name).and_then(|value| value.as_bytes().cloned());
    let is_empty = match (bytes("key"), bytes("range_end")) {
        (Some(key), Some(end)) => !end.is_empty() && end[..] != *b"\0" && end <= key,
        _ => false,
    };
    is_empty || message.fields().any(|(_, value)| of_value(value))
}

fn has_field(path: &str, step: &Step, wanted: &str) -> bool {
    let of_bytes: Option<fn(&Field) -> bool> = match wanted {
        // A number of more than 64 bits, in the ten bytes that one may have; or that of a field which none can have.
        OVERFLOW => Some(|field| field.tag > u128::from(u32::MAX) || field.value > u128::from(u64::MAX)),
        // It begins or ends in front of everything that is no field.
        GROUP => Some(|field| [3, 4].contains(&(field.tag & 7))),
        EMPTY_END => Some(|field| {
            field.value == 0 && field.descriptor.as_ref().is_some_and(|field| field.name() == "range_end")
        }),
        _ => None,
    };
    if let Some(found) = of_bytes {
        let method = methods::method(path);
        return matches!((step.body(), method), (Some(Body::Bytes(bytes)), Some(method))
            if fields_until(&method.input(), bytes, found));
    }
    let Some(message) = request(path, step) else { return false };
    if wanted == EMPTY_RANGE {
        return names_empty_range(&message);
    }
    // With an exclamation mark: a field that it has not.
    let (is_wanted, wanted) = match wanted.strip_prefix('!') {
        Some(absent) => (false, absent),
        None => (true, wanted),
    };
    let mut found = false;
    flatten(&message, "", &mut |place, value| found |= matches(wanted, &format!("{place}={value}")));
    found == is_wanted
}

/// A field as it stands in bytes.
struct Field {
    /// Its number and its kind.
    tag: u128,
    /// A number of seven bits to a byte, or the length of what follows.
    value: u128,
    /// What it is, if the message has such a field.
    descriptor: Option<FieldDescriptor>,
}

/// Whether there is a field for which `found`, in a message or in one that is inside of it.
fn fields_until(message: &MessageDescriptor, mut bytes: &[u8], found: fn(&Field) -> bool) -> bool {
    while let Some(tag) = number(&mut bytes) {
        let (kind, number_of_field) = (tag & 7, u32::try_from(tag >> 3).unwrap_or_default());
        let value = if kind == 0 || kind == 2 { number(&mut bytes) } else { Some(1) };
        let descriptor = message.get_field(number_of_field);
        let field = Field { tag, value: value.unwrap_or(1), descriptor };
        if found(&field) {
            return true;
        }
        let length = match (kind, value) {
            (0, Some(_)) => 0,
            (1, _) => 8,
            (2, Some(length)) => match usize::try_from(length) {
                Ok(length) => length,
                Err(_) => return false,
            },
            (5, _) => 4,
            _ => return false,
        };
        let Some((inside, rest)) = bytes.split_at_checked(length) else { return false };
        if let Some(Kind::Message(inner)) = field.descriptor.map(|field| field.kind())
            && kind == 2
            && fields_until(&inner, inside, found)
        {
            return true;
        }
        bytes = rest;
    }
    false
}

/// A number as Protocol Buffers have it, seven bits to a byte.
fn number(bytes: &mut &[u8]) -> Option<u128> {
    let length = bytes.iter().take(10).position(|byte| *byte < 0x80)? + 1;
    let (number, rest) = bytes.split_at(length);
    *bytes = rest;
    Some(number.iter().rev().fold(0, |number, byte| number << 7 | u128::from(byte & 0x7f)))
}

/// Whether `text` is `pattern`, in which each `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

/// Whether a version is among `versions`: comparisons with commas between them, all of which must hold.
fn matches_version(versions: &str, version: &str) -> Result<bool, String> {
    let refuse = |text: &str| format!("`{text}` compares no version; write `>=3.4, <3.5`");
    let numbers = |text: &str| -> Option<Vec<u64>> {
        let plain = text.split(['-', '+']).next().unwrap_or_default();
        plain.trim().split('.').map(|number| number.parse().ok()).collect()
    };
    let version = numbers(version).unwrap_or_default();
    for comparison in versions.split(',').map(str::trim).filter(|comparison| !comparison.is_empty()) {
        let operator: String = comparison.chars().take_while(|c| "<>=".contains(*c)).collect();
        let bound = numbers(&comparison[operator.len()..]).ok_or_else(|| refuse(comparison))?;
        let holds = match operator.as_str() {
            "<" => version < bound,
            "<=" => version <= bound,
            ">" => version > bound,
            ">=" => version >= bound,
            "=" => version == bound,
            _ => return Err(refuse(comparison)),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost_reflect::ReflectMessage;
    use vertebra_model::error::Code;

    use super::*;

    fn difference(field: &str, model: &str, real: &str) -> Difference {
        Difference {
            step: 0,
            method: "/etcdserverpb.Auth/AuthStatus".to_owned(),
            field: field.to_owned(),
            at: field.to_owned(),
            model: model.to_owned(),
            real: real.to_owned(),
        }
    }

    fn step() -> Step {
        let body = Body::Bytes(Bytes::new());
        Step::new(Action::Call {
            path: "/etcdserverpb.Auth/AuthStatus".to_owned(),
            caller: Caller::Nobody,
            body,
        })
    }

    const FILE: &str = r#"
[[difference]]
name = "status"
versions = ">=3.4, <3.5"
method = "/etcdserverpb.Auth/AuthStatus"
field = "status"
model = "OK"
real = "Unimplemented: *AuthStatus*"
reason = "There is no such method yet."
"#;

    fn find(known: &Known, difference: Difference) -> Option<usize> {
        known.find(&difference, std::slice::from_ref(&difference), &step(), &State::default())
    }

    #[test]
    fn only_what_an_entry_says_in_all_its_parts_is_known() {
        let known = Known::read(FILE, "3.4.23").expect("it is right");
        let real = "Unimplemented: unknown method AuthStatus for service etcdserverpb.Auth";
        assert_eq!(find(&known, difference("status", "OK", real)), Some(0));
        assert_eq!(find(&known, difference("status", "OK", "Unimplemented: unknown")), None);
        assert_eq!(find(&known, difference("status", "Unknown: no", real)), None);
        assert_eq!(find(&known, difference("enabled", "OK", real)), None);
    }

    #[test]
    fn an_entry_is_of_the_state_that_it_says() {
        let file = r#"
[[difference]]
name = "refused"
method = "*"
field = "status"
real = ["Unknown: a", "Unknown: b"]
request = "revision={compacted}"
authentication = true
reason = "Because."
"#;
        let known = Known::read(file, "").expect("it is right");
        let call = |path: &str, revision: i64| {
            let path = format!("/etcdserverpb.{path}");
            let method = methods::method(&path).expect("it is there");
            let mut message = DynamicMessage::new(method.input());
            if message.descriptor().get_field_by_name("revision").is_some() {
                message.set_field_by_name("revision", Value::I64(revision));
            }
            let body = Body::Message(message);
            (path.clone(), Step::new(Action::Call { path, caller: Caller::Nobody, body }))
        };
        let ended = |status: Status| [Heard { stream: None, watch: None, what: What::End(status) }];
        let (path, step) = call("Maintenance/HashKV", REVISION + 5);
        let is_known = |state: &State, real: &str| {
            let difference = Difference { method: path.clone(), ..difference("status", "OK", real) };
            known.find(&difference, std::slice::from_ref(&difference), &step, state).is_some()
        };
        let mut state = State::default();
        assert!(!is_known(&state, "Unknown: a"));
        let (enable, enabled) = call("Auth/AuthEnable", 0);
        state.note(&enable, &enabled, &ended(Status::OK));
        let (compact, compacted) = call("KV/Compact", REVISION + 5);
        state.note(&compact, &compacted, &ended(Status::new(Code::OutOfRange, "it is not there")));
        assert!(!is_known(&state, "Unknown: a"));
        state.note(&compact, &compacted, &ended(Status::OK));
        assert!(is_known(&state, "Unknown: a") && is_known(&state, "Unknown: b"));
        assert!(!is_known(&state, "Unknown: c"));
        let (disable, disabled) = call("Auth/AuthDisable", 0);
        state.note(&disable, &disabled, &ended(Status::OK));
        assert!(!is_known(&state, "Unknown: a"));
    }

    #[test]
    fn an_entry_is_of_its_versions_only() {
        for (version, count) in [("3.4.0", 1), ("3.4.23", 1), ("3.5.0", 0), ("3.3.27", 0), ("3.4.23+git", 1)]
        {
            assert_eq!(Known::read(FILE, version).expect("it is right").difference.len(), count, "{version}");
        }
    }

    #[test]
    fn an_entry_without_a_reason_or_with_a_version_that_is_none_is_refused() {
        for (from, to) in [("There is no such method yet.", " "), (">=3.4, <3.5", "3.4"), ("ends", "end")] {
            let text = FILE.replace(from, to).replace("reason", if to == "end" { "why" } else { "reason" });
            assert!(Known::read(&text, "3.4.23").is_err(), "{text}");
        }
    }

    #[test]
    fn the_file_in_the_tree_is_read_for_every_version() {
        for version in ["3.4.23", "3.5.1", "3.6.0", ""] {
            assert!(Known::built_in(version).is_ok());
        }
    }

    #[test]
    fn a_range_without_keys_is_seen_wherever_it_stands() {
        let range = |key: &str, end: &str| {
            let method = methods::method("/etcdserverpb.KV/DeleteRange").expect("it is there");
            let mut message = DynamicMessage::new(method.input());
            for (name, bytes) in [("key", key), ("range_end", end)] {
                message.set_field_by_name(name, Value::Bytes(bytes.to_owned().into()));
            }
            message
        };
        let in_txn = |range: DynamicMessage| {
            let method = methods::method("/etcdserverpb.KV/Txn").expect("it is there");
            let mut txn = DynamicMessage::new(method.input());
            let field = txn.descriptor().get_field_by_name("success").expect("it is there");
            let mut op = DynamicMessage::new(field.kind().as_message().expect("a message").clone());
            op.set_field_by_name("request_delete_range", Value::Message(range));
            txn.set_field(&field, Value::List(vec![Value::Message(op)]));
            txn
        };
        for (key, end, is_empty) in
            [("b", "a", true), ("b", "b", true), ("a", "b", false), ("b", "", false), ("b", "\0", false)]
        {
            assert_eq!(names_empty_range(&range(key, end)), is_empty, "{key}..{end:?}");
            assert_eq!(
                names_empty_range(&in_txn(range(key, end))),
                is_empty,
                "{key}..{end:?} in a transaction"
            );
        }
    }

    #[test]
    fn what_only_the_bytes_of_a_request_tell_is_seen() {
        let is = |path: &str, bytes: &[u8], wanted: &str| {
            let body = Body::Bytes(Bytes::copy_from_slice(bytes));
            let call = Action::Call { path: path.to_owned(), caller: Caller::Nobody, body };
            has_field(path, &Step::new(call), wanted)
        };
        let overflows = |bytes: &[u8]| is("/etcdserverpb.KV/Range", bytes, OVERFLOW);
        let has_group = |bytes: &[u8]| is("/etcdserverpb.KV/Range", bytes, GROUP);
        let ten = [0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbf, 0xfe];
        let message = |last: u8| [&[8][..], &ten, &[last, 0x10, 1]].concat();
        assert!(overflows(&message(0x7f)));
        assert!(overflows(&[&[0x12, 2, 1, 2, 0x0d, 0, 0, 0, 0][..], &message(2)].concat()));
        assert!(!overflows(&message(1)));
        assert!(!overflows(&[&[0x12, 13][..], &message(0x7f)].concat()));
        assert!(has_group(&[0x23, 0x0c]) && has_group(&[8, 1, 0x0c]) && !has_group(&[8, 3, 0x12, 1, 0x0c]));
        assert!(!overflows(&[0x12, 200]));
        assert!(!overflows(&[8, 0x80]));
        assert!(!overflows(b""));
        // In a comparison of a transaction; the same bytes in a key are no message.
        let inside = [&[0x0a, 11, 0x20][..], &[0xff; 9], &[3]].concat();
        assert!(is("/etcdserverpb.KV/Txn", &inside, OVERFLOW));
        assert!(!overflows(&inside));
        let end = |length: u8| [&[0x0a, 3, b'a', b'/', b'2', 0x92, 0, length][..], &[b'b'; 1]].concat();
        assert!(is("/etcdserverpb.KV/Range", &end(0), EMPTY_END));
        assert!(!is("/etcdserverpb.KV/Range", &end(1), EMPTY_END));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a*b*c", "axbyc", true),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
