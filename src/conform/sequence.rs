//! What is asked of both sides: a sequence of steps, as data that can be kept, shortened and sent to someone.
//!
//! A sequence knows nothing of the servers that it is sent to. Where it means what only a server knows, it has a
//! name for it, and [`Frame`](super::frame::Frame) puts in what it is at that server:
//!
//! - a revision near [`REVISION`] is that far from the revision at which the sequence begins;
//! - a lease near [`LEASE`] is one whose identifier the server chose, in the step that [`Step::names`] it;
//! - a member near [`MEMBER`] is that one of the list of members;
//! - a token is that which a user was given last, or first.

use bytes::Bytes;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::methods;

/// The revision at which each sequence begins. No server comes to it by itself.
pub const REVISION: i64 = 1 << 50;
/// The first of the names of leases whose identifiers servers choose.
pub const LEASE: i64 = 9_000_000_000;
/// The first of the names of leases that servers grant of themselves.
pub const LEASE_UNNAMED: i64 = 9_500_000_000;
/// The name of the first member.
pub const MEMBER: u64 = 8_000_000_000;

/// Steps, one after the other.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sequence {
    /// Where it comes from.
    pub seed: u64,
    pub steps: Vec<Step>,
}

/// One thing that is done.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    pub action: Action,
    /// By this name the sequence knows the lease whose identifier the server chooses in this step.
    pub names: Option<i64>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// A call with one request, whose end is waited for.
    Call { path: String, caller: Caller, body: Body },
    /// A call begins that goes on over several steps.
    Open { stream: u32, path: String, caller: Caller },
    /// A message of it. Where each is answered by one, that is waited for.
    Send { stream: u32, body: Body },
    /// One more message of it, or its end, is waited for.
    Await { stream: u32 },
    /// There are no more requests. Its end is waited for.
    Close { stream: u32 },
    /// Nobody waits for it any more.
    Cancel { stream: u32 },
}

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caller {
    /// Somebody without a token.
    #[default]
    Nobody,
    /// With the token that this user was given last.
    User(String),
    /// With the first one that it was given.
    Early(String),
    /// With this for a token.
    Token(String),
}

/// A request.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    Message(DynamicMessage),
    /// Bytes that need not be a message.
    Bytes(Bytes),
}

impl Body {
    /// What goes over the wire, where nothing has to be put in.
    pub fn encoded(&self) -> Bytes {
        match self {
            Self::Message(message) => message.encode_to_vec().into(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl Step {
    pub fn new(action: Action) -> Self {
        Self { action, names: None }
    }

    /// The request in it.
    pub fn body(&self) -> Option<&Body> {
        match &self.action {
            Action::Call { body, .. } | Action::Send { body, .. } => Some(body),
            _ => None,
        }
    }

    /// The request in it.
    pub fn body_mut(&mut self) -> Option<&mut Body> {
        match &mut self.action {
            Action::Call { body, .. } | Action::Send { body, .. } => Some(body),
            _ => None,
        }
    }

    /// The call of several steps that it is of.
    pub fn stream(&self) -> Option<u32> {
        match self.action {
            Action::Call { .. } => None,
            Action::Open { stream, .. }
            | Action::Send { stream, .. }
            | Action::Await { stream }
            | Action::Close { stream }
            | Action::Cancel { stream } => Some(stream),
        }
    }
}

impl Sequence {
    /// The method that the step with this number is of.
    pub fn path(&self, index: usize) -> &str {
        let stream = match &self.steps[index].action {
            Action::Call { path, .. } | Action::Open { path, .. } => return path,
            _ => self.steps[index].stream(),
        };
        let opened = self.steps[..index].iter().rev().find_map(|step| match &step.action {
            Action::Open { path, stream: opened, .. } if Some(*opened) == stream => Some(path.as_str()),
            _ => None,
        });
        opened.unwrap_or_default()
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let steps: Vec<_> = self.steps.iter().map(Step::to_json).collect();
        json!({ "format": 1, "seed": self.seed, "steps": steps })
    }

    /// Reads what [`Sequence::to_json`] gives.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong, and where.
    pub fn from_json(json: Value) -> Result<Self, String> {
        let file: File = serde_json::from_value(json).map_err(|error| error.to_string())?;
        if file.format != 1 {
            return Err(format!("this version reads format 1, and not {}", file.format));
        }
        let mut sequence = Self { seed: file.seed, steps: Vec::new() };
        for (index, written) in file.steps.into_iter().enumerate() {
            let step = written.read(&sequence).map_err(|reason| format!("step {index}: {reason}"))?;
            sequence.steps.push(step);
        }
        Ok(sequence)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    seed: u64,
    steps: Vec<Written>,
}

/// A step as it is written: `do` says what is done.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    r#do: Verb,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "is_nobody")]
    caller: Caller,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    /// In hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names: Option<i64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verb {
    Call,
    Open,
    Send,
    Await,
    Close,
    Cancel,
}

fn is_nobody(caller: &Caller) -> bool {
    *caller == Caller::Nobody
}

impl Step {
    fn to_json(&self) -> Value {
        let mut written = Written {
            r#do: Verb::Call,
            stream: self.stream(),
            path: None,
            caller: Caller::Nobody,
            message: None,
            bytes: None,
            names: self.names,
        };
        written.r#do = match &self.action {
            Action::Call { path, caller, .. } => {
                (written.path, written.caller) = (Some(path.clone()), caller.clone());
                Verb::Call
            }
            Action::Open { path, caller, .. } => {
                (written.path, written.caller) = (Some(path.clone()), caller.clone());
                Verb::Open
            }
            Action::Send { .. } => Verb::Send,
            Action::Await { .. } => Verb::Await,
            Action::Close { .. } => Verb::Close,
            Action::Cancel { .. } => Verb::Cancel,
        };
        match self.body() {
            Some(Body::Message(message)) => written.message = Some(methods::to_json(message)),
            Some(Body::Bytes(bytes)) => written.bytes = Some(hexadecimal(bytes)),
            None => {}
        }
        serde_json::to_value(written).expect("a step has a form in JSON")
    }
}

impl Written {
    fn read(self, before: &Sequence) -> Result<Step, String> {
        let path = || self.path.clone().ok_or("`path` is missing");
        let stream = || self.stream.ok_or("`stream` is missing");
        let action = match self.r#do {
            Verb::Call => {
                let path = path()?;
                Action::Call { body: self.body(&path)?, path, caller: self.caller.clone() }
            }
            Verb::Open => Action::Open { stream: stream()?, path: path()?, caller: self.caller.clone() },
            Verb::Send => {
                let stream = stream()?;
                let empty = Body::Bytes(Bytes::new());
                let mut opened = before.clone();
                opened.steps.push(Step::new(Action::Send { stream, body: empty }));
                Action::Send { stream, body: self.body(opened.path(before.steps.len()))? }
            }
            Verb::Await => Action::Await { stream: stream()? },
            Verb::Close => Action::Close { stream: stream()? },
            Verb::Cancel => Action::Cancel { stream: stream()? },
        };
        Ok(Step { action, names: self.names })
    }

    fn body(&self, path: &str) -> Result<Body, String> {
        match (&self.message, &self.bytes) {
            (Some(message), None) => {
                let method = methods::method(path).ok_or_else(|| format!("there is no method `{path}`"))?;
                let read = methods::from_json(method.input(), message.clone());
                read.map(Body::Message).map_err(|error| error.to_string())
            }
            (None, Some(text)) => {
                let bytes = from_hexadecimal(text).ok_or("`bytes` must be hexadecimal digits")?;
                Ok(Body::Bytes(bytes.into()))
            }
            _ => Err("it needs either `message` or `bytes`".to_owned()),
        }
    }
}

/// Bytes in hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
