//! Calls at one side, and what comes of each.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost_reflect::prost::Message as _;
use vertebra_model::api::{RangeRequest, RangeResponse};
use vertebra_model::grpc::{CallId, Down, Metadata, Status, Up};

use super::PATIENCE;
use crate::conform::side::Side;
use crate::exit::Refusal;

/// And a bit, for two clocks.
const SECOND: Duration = Duration::from_millis(1_050);
const RANGE: &str = "/etcdserverpb.KV/Range";

fn for_revision() -> RangeRequest {
    RangeRequest { key: "a".into(), count_only: true, ..RangeRequest::default() }
}

/// A side, over many sequences.
pub struct Session<S> {
    side: S,
    /// What it is called in what people are told.
    pub name: String,
    calls: CallId,
    /// What came of the calls that are waited for.
    came: BTreeMap<CallId, VecDeque<Down>>,
    /// When a member was added last.
    added: Option<Instant>,
}

impl<S: Side> Session<S> {
    pub fn new(side: S, name: String) -> Self {
        Self { side, name, calls: 0, came: BTreeMap::new(), added: None }
    }

    /// A new sequence begins.
    pub fn begin_sequence(&mut self) -> Result<(), Refusal> {
        self.side.begin()
    }

    /// Whether what is waited for here takes time of ours.
    pub fn is_in_real_time(&self) -> bool {
        self.side.is_in_real_time()
    }

    pub fn begin(&mut self, path: &str, token: Option<Bytes>) -> Result<CallId, Refusal> {
        self.calls += 1;
        let call = self.calls;
        self.came.insert(call, VecDeque::new());
        let metadata = Metadata { token, ..Metadata::default() };
        self.side.up(Up::Begin { call, path: path.to_owned(), metadata })?;
        Ok(call)
    }

    pub fn message(&mut self, call: CallId, bytes: Bytes) -> Result<(), Refusal> {
        self.side.up(Up::Message { call, bytes })
    }

    pub fn half_close(&mut self, call: CallId) -> Result<(), Refusal> {
        self.side.up(Up::HalfClose { call })
    }

    /// What comes of it later is thrown away.
    pub fn cancel(&mut self, call: CallId) -> Result<(), Refusal> {
        self.came.remove(&call);
        self.side.up(Up::Cancel { call })
    }

    /// What comes next of a call, in so long a time.
    pub fn next(&mut self, call: CallId, patience: Duration) -> Result<Option<Down>, Refusal> {
        if !self.has_come(call, patience)? {
            return Ok(None);
        }
        let next = self.came.get_mut(&call).and_then(VecDeque::pop_front);
        if let Some(Down::End { .. }) = next {
            self.came.remove(&call);
        }
        Ok(next)
    }

    /// Whether something has come of a call, or does in so long a time.
    pub fn has_come(&mut self, call: CallId, patience: Duration) -> Result<bool, Refusal> {
        loop {
            match self.came.get(&call) {
                Some(came) if came.is_empty() => {}
                Some(_) => return Ok(true),
                None => return Ok(false),
            }
            let Some(down) = self.side.next(call, patience)? else { return Ok(false) };
            let (Down::Message { call, .. } | Down::End { call, .. }) = down;
            if let Some(came) = self.came.get_mut(&call) {
                came.push_back(down);
            }
        }
    }

    /// Waits until another second has begun than that in which a member was added last. The identifier of a member is a hash
    /// of its addresses and the second, and one that was removed never comes back.
    pub fn wait_for_another_identifier(&mut self) {
        if let Some(added) = self.added.filter(|_| self.is_in_real_time()) {
            std::thread::sleep(SECOND.saturating_sub(added.elapsed()));
        }
    }

    /// A member was perhaps added.
    pub fn note_addition(&mut self) {
        self.added = Some(Instant::now());
    }

    /// Calls, and waits for the end of the call.
    pub fn call(
        &mut self,
        path: &str,
        token: Option<Bytes>,
        bytes: Bytes,
    ) -> Result<(Vec<Bytes>, Option<Status>), Refusal> {
        let call = self.begin(path, token)?;
        self.message(call, bytes)?;
        self.half_close(call)?;
        let mut messages = Vec::new();
        loop {
            match self.next(call, PATIENCE)? {
                Some(Down::Message { bytes, .. }) => messages.push(bytes),
                Some(Down::End { status, .. }) => return Ok((messages, Some(status))),
                None => {
                    self.cancel(call)?;
                    return Ok((messages, None));
                }
            }
        }
    }

    /// Calls a method that must answer well.
    pub fn demand<R: prost::Message + Default>(
        &mut self,
        path: &str,
        token: Option<Bytes>,
        request: &impl prost::Message,
    ) -> Result<R, Refusal> {
        let (messages, end) = self.call(path, token, request.encode_to_vec().into())?;
        let ended = match end {
            None => "no answer".to_owned(),
            Some(status) if status == Status::OK => {
                match messages.first().map(|bytes| R::decode(bytes.clone())) {
                    Some(Ok(response)) => return Ok(response),
                    _ => "no response that can be read".to_owned(),
                }
            }
            Some(status) => status.to_string(),
        };
        Err(Refusal::new(format!("{}: {path}: {ended}", self.name)))
    }

    /// The revision of the store.
    pub fn revision(&mut self, token: Option<Bytes>) -> Result<i64, Refusal> {
        let response: RangeResponse = self.demand(RANGE, token, &for_revision())?;
        Ok(response.header.unwrap_or_default().revision)
    }

    /// Waits for an answer to the same question, whatever it is.
    pub fn ask_for_revision(&mut self, token: Option<Bytes>) -> Result<(), Refusal> {
        self.call(RANGE, token, for_revision().encode_to_vec().into()).map(drop)
    }
}
