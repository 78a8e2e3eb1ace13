//! Takes a sequence to a side, and writes down what comes back.
//!
//! | | where |
//! | --- | --- |
//! | calls, and what comes of them | `session` |
//! | what has to be done before and after a sequence | `prepare` |
//! | when all that a watch will be told has been told | `watches` |
//!
//! A step ends when all that it brings about has come: an answer does not depend on how fast a server is.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;
use vertebra_model::api::{LeaseGrantResponse, LeaseKeepAliveRequest};
use vertebra_model::grpc::{CallId, Down, Status};

pub use self::session::Session;
use super::equals::order_equals;
use super::frame::Frame;
use super::methods;
use super::sequence::{Action, Body, Caller, Sequence, Step};
use super::side::Side;
use crate::exit::Refusal;

mod prepare;
mod session;
mod watches;

/// For an answer that must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// For one that perhaps does not: it waits for another's lock.
const SHORT_PATIENCE: Duration = Duration::from_millis(1_500);
/// As long as a server answers others so many times: what it has to say by then, it has said. A time of ours would be too
/// long for a server that is fast, and too short for one that has no processor.
const ROUNDS: u32 = 25;
/// How often it is looked whether something has happened that nobody tells of.
const LOOK: Duration = Duration::from_millis(2);
const LOOKS_MAX: u32 = 100;

/// How long an answer is waited for that perhaps does not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// While the server answers others [`ROUNDS`] times.
    Rounds,
    /// For a time that is long for every server.
    Time,
}

/// No sequence takes so long.
const SHORT_LEASE_SECONDS: i64 = 60;

/// What was heard in each step.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Transcript {
    pub steps: Vec<Vec<Heard>>,
}

/// Something that came back.
#[derive(Clone, PartialEq, Debug)]
pub struct Heard {
    /// Of this call of several steps.
    pub stream: Option<u32>,
    /// Of this watch.
    pub watch: Option<i64>,
    pub what: What,
}

#[derive(Clone, PartialEq, Debug)]
pub enum What {
    Message(DynamicMessage),
    /// What is no message of its type.
    Bytes(Bytes),
    End(Status),
    /// Nothing came in the time that was given.
    Nothing,
}

/// A call of several steps.
struct Stream {
    call: CallId,
    path: String,
    ended: bool,
    /// If it is one of watches.
    watches: Option<watches::Watches>,
}

struct Driver<'a, S> {
    session: &'a mut Session<S>,
    sequence: &'a Sequence,
    frame: Frame,
    streams: BTreeMap<u32, Stream>,
    /// What each user was given: first, and last.
    tokens: BTreeMap<String, (Bytes, Bytes)>,
    /// The token of root, while users and roles are asked for.
    admin: Option<Bytes>,
    /// How often the key was put that tells of the end of what was told.
    puts: u64,
    /// The revision at which that was last.
    last_put: Option<i64>,
    patience: Patience,
    /// Leases that would end in the middle of a sequence on a server that is slow.
    short: Vec<i64>,
    /// A member was added: none is removed before the end, and so all that are added are others.
    has_added: bool,
}

/// Does all of `sequence` at a side, which is left as it was found.
///
/// # Errors
///
/// The side can be reached no more, or cannot be brought into the state in which sequences begin.
pub fn drive<S: Side>(
    session: &mut Session<S>,
    sequence: &Sequence,
    patience: Patience,
) -> Result<Transcript, Refusal> {
    let frame = session.prepare()?;
    let mut driver = Driver {
        session,
        sequence,
        frame,
        streams: BTreeMap::new(),
        tokens: BTreeMap::new(),
        admin: None,
        puts: 0,
        last_put: None,
        patience,
        short: Vec::new(),
        has_added: false,
    };
    let mut transcript = Transcript::default();
    for (index, step) in sequence.steps.iter().enumerate() {
        driver.keep_short_leases()?;
        let heard = driver.step(index, step)?;
        transcript.steps.push(heard);
    }
    driver.leave()?;
    Ok(transcript)
}

/// Whether a call of this method changes nothing that a watch could be told.
fn is_read(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    matches!(
        name,
        "Range"
            | "LeaseTimeToLive"
            | "LeaseLeases"
            | "MemberList"
            | "Status"
            | "Hash"
            | "HashKV"
            | "AuthStatus"
    )
}

impl<S: Side> Driver<'_, S> {
    fn step(&mut self, index: usize, step: &Step) -> Result<Vec<Heard>, Refusal> {
        let path = self.sequence.path(index).to_owned();
        let mut heard = Vec::new();
        let is_read = match &step.action {
            Action::Call { path, caller, body } => {
                self.call(path, caller, body, step.names, &mut heard)?;
                is_read(path)
            }
            Action::Open { stream, path, caller } => {
                self.open(*stream, path, caller, &mut heard)?;
                true
            }
            Action::Send { stream, body } => {
                let bytes = self.bytes(body);
                self.send(*stream, bytes, body, step.names, &mut heard)?;
                path.ends_with("/LeaseKeepAlive")
            }
            Action::Await { stream } => {
                let patience = self.patience_for(*stream)?;
                self.hear(*stream, patience, step.names, &mut heard)?;
                false
            }
            Action::Close { stream } => {
                if let Some(open) = self.streams.get(stream).filter(|open| !open.ended) {
                    self.session.half_close(open.call)?;
                    loop {
                        let patience = self.patience_for(*stream)?;
                        if !self.hear(*stream, patience, step.names, &mut heard)? {
                            break;
                        }
                    }
                }
                false
            }
            Action::Cancel { stream } => {
                self.cancel(*stream)?;
                false
            }
        };
        if !is_read {
            self.settle_watches(&mut heard)?;
        }
        Ok(heard)
    }

    fn call(
        &mut self,
        path: &str,
        caller: &Caller,
        body: &Body,
        names: Option<i64>,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Refusal> {
        let token = self.token(caller);
        let bytes = self.bytes(body);
        let adds = path.ends_with("/MemberAdd");
        if adds && !self.has_added {
            self.session.wait_for_another_identifier();
        }
        let (messages, end) = self.session.call(path, token, bytes)?;
        if adds && end == Some(Status::OK) {
            self.has_added = true;
            self.session.note_addition();
        }
        if end == Some(Status::OK) {
            self.learn(path, body, messages.first())?;
        }
        for bytes in messages {
            let mut message = self.heard(path, None, &bytes, names);
            if let (What::Message(response), Body::Message(request)) = (&mut message.what, body) {
                order_equals(request, response);
            }
            if path.ends_with("/Snapshot") {
                // Of how many parts it is depends on what was in the database in its life: only the last is compared.
                heard.clear();
            }
            heard.push(message);
        }
        let end = end.map_or(What::Nothing, |status| What::End(self.status(status)));
        heard.push(Heard { stream: None, watch: None, what: end });
        Ok(())
    }

    fn open(
        &mut self,
        stream: u32,
        path: &str,
        caller: &Caller,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Refusal> {
        let token = self.token(caller);
        let call = self.session.begin(path, token)?;
        let watches = path.ends_with("/Watch").then(watches::Watches::default);
        let is_watch = watches.is_some();
        self.streams.insert(stream, Stream { call, path: path.to_owned(), ended: false, watches });
        if is_watch { self.begin_watches(stream, heard) } else { Ok(()) }
    }

    fn send(
        &mut self,
        stream: u32,
        bytes: Bytes,
        body: &Body,
        names: Option<i64>,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Refusal> {
        let Some(open) = self.streams.get(&stream).filter(|open| !open.ended) else { return Ok(()) };
        let (call, path) = (open.call, open.path.clone());
        match path.rsplit('/').next() {
            Some("Watch") => self.send_to_watches(stream, bytes, body),
            Some("LeaseKeepAlive") => {
                self.session.message(call, bytes)?;
                self.hear(stream, PATIENCE, names, heard).map(drop)
            }
            _ => {
                let before = self.revision()?;
                self.session.message(call, bytes)?;
                self.session.half_close(call)?;
                // It may wait for someone; first it writes down that it does.
                for _ in 0..LOOKS_MAX {
                    if self.session.has_come(call, LOOK)? {
                        break;
                    }
                    if self.revision()? != before {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Hears one thing of a call of several steps; tells whether there may be more.
    fn hear(
        &mut self,
        stream: u32,
        patience: Duration,
        names: Option<i64>,
        heard: &mut Vec<Heard>,
    ) -> Result<bool, Refusal> {
        let Some(open) = self.streams.get(&stream).filter(|open| !open.ended) else { return Ok(false) };
        if open.watches.is_some() {
            let before = heard.len();
            while self.hear_watch(stream, patience, heard)?.is_some() {
                // What our own watches are told is not written down.
                if heard.len() > before {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let (call, path) = (open.call, open.path.clone());
        let (what, more) = match self.session.next(call, patience)? {
            None => (Heard { stream: Some(stream), watch: None, what: What::Nothing }, false),
            Some(Down::Message { bytes, .. }) => (self.heard(&path, Some(stream), &bytes, names), true),
            Some(Down::End { status, .. }) => {
                if let Some(open) = self.streams.get_mut(&stream) {
                    open.ended = true;
                }
                let what = What::End(self.status(status));
                (Heard { stream: Some(stream), watch: None, what }, false)
            }
        };
        heard.push(what);
        Ok(more)
    }

    /// Waits for what perhaps does not come on a stream; what patience is left for it then.
    fn patience_for(&mut self, stream: u32) -> Result<Duration, Refusal> {
        if self.patience == Patience::Time || !self.session.is_in_real_time() {
            return Ok(SHORT_PATIENCE);
        }
        if let Some(call) = self.streams.get(&stream).filter(|open| !open.ended).map(|open| open.call) {
            self.wait_rounds(call)?;
        }
        Ok(Duration::ZERO)
    }

    /// The revision of the store.
    fn revision(&mut self) -> Result<i64, Refusal> {
        self.as_admin(|session, token| session.revision(token))
    }

    /// Calls as who may do everything. The token may have ended with root's old password: then there is another.
    fn as_admin<R>(
        &mut self,
        call: impl Fn(&mut Session<S>, Option<Bytes>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        match call(self.session, self.admin.clone()) {
            Err(_) if self.admin.is_some() => {
                self.admin = Some(self.session.become_admin(self.sequence)?);
                call(self.session, self.admin.clone())
            }
            called => called,
        }
    }

    /// Waits for what perhaps does not come, as long as the server answers others [`ROUNDS`] times.
    fn wait_rounds(&mut self, call: CallId) -> Result<(), Refusal> {
        for _ in 0..ROUNDS {
            if self.session.has_come(call, LOOK)? {
                break;
            }
            // Whether it may read makes no difference: it waits for all that was applied before.
            self.session.ask_for_revision(self.admin.clone())?;
        }
        Ok(())
    }

    fn cancel(&mut self, stream: u32) -> Result<(), Refusal> {
        let Some(open) = self.streams.remove(&stream).filter(|open| !open.ended) else { return Ok(()) };
        let leaves_queue = ["/Lock", "/Campaign"].iter().any(|name| open.path.ends_with(name));
        if !leaves_queue || self.session.has_come(open.call, Duration::ZERO)? {
            return self.session.cancel(open.call);
        }
        let before = self.revision()?;
        self.session.cancel(open.call)?;
        // Who leaves a queue deletes his key, and nobody is told.
        for _ in 0..LOOKS_MAX {
            std::thread::sleep(LOOK);
            if self.revision()? != before {
                break;
            }
        }
        Ok(())
    }

    /// Renews the leases that are short: none ends by itself, for that takes longer on one side than on the other.
    fn keep_short_leases(&mut self) -> Result<(), Refusal> {
        for id in self.short.clone() {
            let request = LeaseKeepAliveRequest { id }.encode_to_vec().into();
            self.session.call("/etcdserverpb.Lease/LeaseKeepAlive", self.admin.clone(), request)?;
        }
        Ok(())
    }

    /// What is done with a response besides that it is compared.
    fn learn(&mut self, path: &str, body: &Body, response: Option<&Bytes>) -> Result<(), Refusal> {
        let name = path.rsplit('/').next().unwrap_or_default();
        match name {
            "Authenticate" => {
                let user = text(body, "name");
                let token = response
                    .and_then(|bytes| decoded(path, bytes))
                    .and_then(|message| message.get_field_by_name("token")?.as_str().map(str::to_owned));
                let token = Bytes::from(token.unwrap_or_default());
                let tokens = self.tokens.entry(user).or_insert_with(|| (token.clone(), token.clone()));
                tokens.1 = token;
            }
            "MemberAdd" => {
                let added = response.and_then(|bytes| decoded(path, bytes)).and_then(|message| {
                    message.get_field_by_name("member")?.as_message()?.get_field_by_name("ID")?.as_u64()
                });
                self.frame.members.extend(added);
            }
            "LeaseGrant" => {
                let granted = response.and_then(|bytes| LeaseGrantResponse::decode(bytes.clone()).ok());
                self.short
                    .extend(granted.filter(|lease| lease.ttl < SHORT_LEASE_SECONDS).map(|lease| lease.id));
            }
            "AuthEnable" => self.admin = Some(self.session.become_admin(self.sequence)?),
            "AuthDisable" => self.admin = None,
            _ => {}
        }
        Ok(())
    }

    fn token(&self, caller: &Caller) -> Option<Bytes> {
        let given = |user: &String| self.tokens.get(user).cloned();
        match caller {
            Caller::Nobody => None,
            Caller::Token(token) => Some(token.clone().into()),
            Caller::User(user) => Some(given(user).map_or("none".into(), |tokens| tokens.1)),
            Caller::Early(user) => Some(given(user).map_or("none".into(), |tokens| tokens.0)),
        }
    }

    fn bytes(&mut self, body: &Body) -> Bytes {
        match body {
            Body::Message(message) => Body::Message(self.frame.put_in(message)).encoded(),
            Body::Bytes(bytes) => bytes.clone(),
        }
    }

    fn heard(&mut self, path: &str, stream: Option<u32>, bytes: &Bytes, names: Option<i64>) -> Heard {
        let Some(message) = decoded(path, bytes) else {
            return Heard { stream, watch: None, what: What::Bytes(bytes.clone()) };
        };
        if let Some((name, lease)) = names.zip(lease_of(&message)) {
            self.frame.leases.entry(name).or_insert(lease);
        }
        let watch = message.get_field_by_name("watch_id").and_then(|id| id.as_i64());
        Heard { stream, watch, what: What::Message(self.frame.take_out(message)) }
    }

    fn status(&self, status: Status) -> Status {
        Status { message: self.frame.take_out_of_text(&status.message), ..status }
    }
}

/// The response of a method that these bytes are.
fn decoded(path: &str, bytes: &Bytes) -> Option<DynamicMessage> {
    DynamicMessage::decode(methods::method(path)?.output(), bytes.clone()).ok()
}

/// A text in a request.
fn text(body: &Body, field: &str) -> String {
    let Body::Message(message) = body else { return String::new() };
    message.get_field_by_name(field).and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The lease that a response tells the identifier of: that which was granted, or that of whoever has a lock now.
fn lease_of(message: &DynamicMessage) -> Option<i64> {
    match message.descriptor_name().as_str() {
        "LeaseGrantResponse" => message.get_field_by_name("ID")?.as_i64(),
        "LockResponse" => {
            let key = message.get_field_by_name("key")?.as_bytes()?.clone();
            let digits = std::str::from_utf8(key.rsplit(|byte| *byte == b'/').next()?).ok()?.to_owned();
            u64::from_str_radix(&digits, 16).ok().map(u64::cast_signed)
        }
        "CampaignResponse" => {
            message.get_field_by_name("leader")?.as_message()?.get_field_by_name("lease")?.as_i64()
        }
        _ => None,
    }
}

trait Named {
    fn descriptor_name(&self) -> String;
}

impl Named for DynamicMessage {
    fn descriptor_name(&self) -> String {
        use prost_reflect::ReflectMessage;
        self.descriptor().name().to_owned()
    }
}
