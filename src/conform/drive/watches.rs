//! When all that the watches of a stream will be told of a step has been told.
//!
//! A stream has a watch of ours on a key that nobody else puts. It is put after each step that can have changed something,
//! and what comes before that event is of the step: a server tells the watches of a stream of one revision after the
//! other. Two more things can be under way. Answers to requests overtake events and are overtaken, but not one another: one more
//! watch is asked for, and its answer is the last. And a watch that begins in the past is told of that by and by: one that
//! begins in the past too is told in the same go.

use std::time::Duration;

use bytes::Bytes;
use prost_reflect::prost::Message as _;
use vertebra_model::api::mvccpb::event::EventType;
use vertebra_model::api::watch_request::RequestUnion;
use vertebra_model::api::{
    Event, PutRequest, PutResponse, WatchCancelRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use vertebra_model::grpc::{CallId, Down};

use super::{Body, Driver, Heard, PATIENCE, What};
use crate::conform::side::Side;
use crate::exit::Refusal;

const KEY: &str = "zz/sentinel";
/// The watch that is there all the time.
const SENTINEL: i64 = 1 << 60;
/// The one that is asked for to get an answer.
const MARK: i64 = SENTINEL + 1;
/// How long nothing must come where nothing else says that all has come.
const QUIET: Duration = Duration::from_millis(30);
/// How long whoever waits in a queue takes to go on, in the model.
const QUEUE: Duration = Duration::from_millis(300);

/// A stream of watches.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// Our watch is there.
    is_watched: bool,
    /// How many watches were asked for, and how often it was answered.
    asked: u64,
    answered: u64,
    /// Something was sent that may be answered.
    is_asked: bool,
    /// A watch may begin in the past. Our key was put at this revision before.
    past: Option<i64>,
}

fn create(id: i64, start_revision: i64) -> Bytes {
    let request =
        WatchCreateRequest { key: KEY.into(), watch_id: id, start_revision, ..WatchCreateRequest::default() };
    encoded(RequestUnion::CreateRequest(request))
}

fn cancel(watch_id: i64) -> Bytes {
    encoded(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }))
}

fn encoded(union: RequestUnion) -> Bytes {
    WatchRequest { request_union: Some(union) }.encode_to_vec().into()
}

fn is_of_sentinel(event: &Event) -> bool {
    event.kv.as_ref().is_some_and(|kv| kv.key == KEY) && event.r#type == EventType::Put as i32
}

impl<S: Side> Driver<'_, S> {
    pub(super) fn begin_watches(&mut self, stream: u32, heard: &mut Vec<Heard>) -> Result<(), Refusal> {
        self.ask(stream, create(SENTINEL, 0))?;
        let mut created = false;
        while let Some(response) = self.hear_watch(stream, PATIENCE, heard)? {
            if response.created {
                created = !response.canceled;
                break;
            }
        }
        if let Some(watches) = self.watches(stream) {
            watches.is_watched = created;
        }
        Ok(())
    }

    /// Asks for a watch of ours.
    fn ask(&mut self, stream: u32, bytes: Bytes) -> Result<(), Refusal> {
        if let Some(watches) = self.watches(stream) {
            watches.asked += 1;
        }
        self.session.message(self.streams[&stream].call, bytes)
    }

    pub(super) fn send_to_watches(&mut self, stream: u32, bytes: Bytes, body: &Body) -> Result<(), Refusal> {
        let call = self.streams[&stream].call;
        let request = WatchRequest::decode(bytes.clone()).ok().and_then(|request| request.request_union);
        let may_have_past = match &request {
            Some(RequestUnion::CreateRequest(request)) => request.start_revision != 0,
            Some(_) => false,
            // What it does to the stream is seen by what comes.
            None => matches!(body, Body::Bytes(_)),
        };
        // What it is told of the past says which revision there was then. There must be no put meanwhile. Where an alarm lets
        // nobody put, the last one will do.
        let past = if may_have_past { self.put_sentinel()?.or(self.last_put) } else { None };
        if let Some(watches) = self.watches(stream) {
            watches.is_asked = true;
            watches.asked += u64::from(matches!(request, Some(RequestUnion::CreateRequest(_))));
            watches.past = past.or(watches.past);
        }
        self.session.message(call, bytes)
    }

    /// Hears all that comes of what was done.
    pub(super) fn settle_watches(&mut self, heard: &mut Vec<Heard>) -> Result<(), Refusal> {
        let is_watch = |stream: &super::Stream| stream.watches.is_some() && !stream.ended;
        let streams: Vec<u32> =
            self.streams.iter().filter(|(_, stream)| is_watch(stream)).map(|(number, _)| *number).collect();
        if streams.is_empty() {
            return Ok(());
        }
        let first = heard.len();
        for stream in &streams {
            if self.watches(*stream).is_some_and(|watches| watches.is_asked) {
                self.hear_answers(*stream, heard)?;
            }
        }
        for stream in &streams {
            if let Some(revision) = self.watches(*stream).and_then(|watches| watches.past.take()) {
                self.hear_past(*stream, revision, heard)?;
            }
        }
        self.settle_queues()?;
        let put = self.put_sentinel()?;
        for stream in &streams {
            self.hear_up_to(*stream, put, heard)?;
        }
        // Which watch of a revision is told first is not said anywhere.
        heard[first..].sort_by_key(|heard| (heard.stream, heard.watch));
        Ok(())
    }

    /// Lets those go on who wait in queues: what they are told says which revision there was then.
    fn settle_queues(&mut self) -> Result<(), Refusal> {
        let waits = |stream: &super::Stream| !stream.ended && stream.path.starts_with("/v3");
        let waiting: Vec<CallId> =
            self.streams.values().filter(|stream| waits(stream)).map(|stream| stream.call).collect();
        let mut queue = QUEUE;
        for call in waiting {
            if self.session.is_in_real_time() {
                self.wait_rounds(call)?;
            } else if !self.session.has_come(call, queue)? {
                // That was time for the others as well, and is time that leases lose.
                queue = Duration::ZERO;
            }
        }
        Ok(())
    }

    /// Hears until the server has answered all that it was asked on a stream.
    fn hear_answers(&mut self, stream: u32, heard: &mut Vec<Heard>) -> Result<(), Refusal> {
        self.ask(stream, create(MARK, 0))?;
        let mut last = None;
        while self.watches(stream).is_some_and(|watches| watches.answered < watches.asked) {
            last = self.hear_watch(stream, PATIENCE, heard)?;
            if last.is_none() {
                break;
            }
        }
        if let Some(watches) = self.watches(stream) {
            watches.is_asked = false;
            watches.answered = watches.asked;
        }
        match last {
            Some(response) if !response.canceled => self.end_mark(stream, heard),
            _ => Ok(()),
        }
    }

    fn end_mark(&mut self, stream: u32, heard: &mut Vec<Heard>) -> Result<(), Refusal> {
        self.session.message(self.streams[&stream].call, cancel(MARK))?;
        while let Some(response) = self.hear_watch(stream, PATIENCE, heard)? {
            if response.watch_id == MARK && response.canceled {
                break;
            }
        }
        Ok(())
    }

    /// Hears what watches are told that begin in the past.
    fn hear_past(&mut self, stream: u32, revision: i64, heard: &mut Vec<Heard>) -> Result<(), Refusal> {
        if !self.watches(stream).is_some_and(|watches| watches.is_watched) {
            return Ok(());
        }
        self.ask(stream, create(MARK, revision))?;
        let mut has_event = false;
        while !has_event || self.watches(stream).is_some_and(|watches| watches.answered < watches.asked) {
            let Some(response) = self.hear_watch(stream, PATIENCE, heard)? else { return Ok(()) };
            has_event |= response.watch_id == MARK && !response.events.is_empty();
            let is_answered = self.watches(stream).is_none_or(|watches| watches.answered == watches.asked);
            if response.canceled && (response.watch_id == MARK || response.created && is_answered) {
                // All was compacted meanwhile, which comes in the same go too; or it is not allowed.
                return Ok(());
            }
        }
        self.end_mark(stream, heard)
    }

    /// Hears up to the event of our key at a revision; or what comes for a while, if there will be none.
    fn hear_up_to(
        &mut self,
        stream: u32,
        revision: Option<i64>,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Refusal> {
        let is_watched = self.watches(stream).is_some_and(|watches| watches.is_watched);
        match revision.filter(|_| is_watched) {
            Some(revision) => {
                while let Some(response) = self.hear_watch(stream, PATIENCE, heard)? {
                    let events = response.events.iter().filter_map(|event| event.kv.as_ref());
                    if response.watch_id == SENTINEL
                        && events.last().is_some_and(|kv| kv.mod_revision == revision)
                    {
                        break;
                    }
                }
            }
            None => while self.hear_watch_if_any(stream, QUIET, heard)?.is_some() {},
        }
        Ok(())
    }

    /// Puts our key. Where that is refused, for there is an alarm, there is no revision.
    fn put_sentinel(&mut self) -> Result<Option<i64>, Refusal> {
        self.puts += 1;
        let request =
            PutRequest { key: KEY.into(), value: self.puts.to_string().into(), ..PutRequest::default() };
        let put = self.as_admin(|session, token| {
            session.demand::<PutResponse>("/etcdserverpb.KV/Put", token, &request)
        });
        let revision = put.ok().map(|response| response.header.unwrap_or_default().revision);
        self.last_put = revision.or(self.last_put);
        Ok(revision)
    }

    /// Hears the next response that must come.
    pub(super) fn hear_watch(
        &mut self,
        stream: u32,
        patience: Duration,
        heard: &mut Vec<Heard>,
    ) -> Result<Option<WatchResponse>, Refusal> {
        let response = self.hear_watch_if_any(stream, patience, heard)?;
        if response.is_none() && !self.streams[&stream].ended {
            heard.push(Heard { stream: Some(stream), watch: None, what: What::Nothing });
        }
        Ok(response)
    }

    /// Hears the next response on a stream, and writes it down if it is not of our own watches.
    fn hear_watch_if_any(
        &mut self,
        stream: u32,
        patience: Duration,
        heard: &mut Vec<Heard>,
    ) -> Result<Option<WatchResponse>, Refusal> {
        if self.streams[&stream].ended {
            return Ok(None);
        }
        let call = self.streams[&stream].call;
        match self.session.next(call, patience)? {
            None => Ok(None),
            Some(Down::End { status, .. }) => {
                if let Some(open) = self.streams.get_mut(&stream) {
                    open.ended = true;
                }
                let what = What::End(self.status(status));
                heard.push(Heard { stream: Some(stream), watch: None, what });
                Ok(None)
            }
            Some(Down::Message { bytes, .. }) => {
                let response = WatchResponse::decode(bytes.clone()).unwrap_or_default();
                let mut is_ours = response.watch_id >= SENTINEL && response.watch_id <= MARK;
                if let Some(watches) = self.watches(stream).filter(|_| response.created) {
                    watches.answered += 1;
                    // What we asked for was asked for last, and may be refused.
                    is_ours |= watches.answered == watches.asked;
                }
                // Which watch of a revision is told first is left to chance, and so the others may be told of our key
                // before or after we are.
                is_ours |= !response.events.is_empty() && response.events.iter().all(is_of_sentinel);
                if !is_ours {
                    let path = self.streams[&stream].path.clone();
                    heard.push(self.heard(&path, Some(stream), &bytes, None));
                }
                Ok(Some(response))
            }
        }
    }

    fn watches(&mut self, stream: u32) -> Option<&mut Watches> {
        self.streams.get_mut(&stream)?.watches.as_mut()
    }
}
