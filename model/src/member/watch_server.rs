//! Serves streams of watches.
//!
//! ```text
//!              requests                       control: created, cancelled
//!  client ──> reader ──> receive loop ──────────────────────────────────────> send loop ──> client
//!                │          └──> watchers of the store ── events, progress ───────▲
//!                └── what the client has consumed: there is room for more ────────┘
//! ```
//!
//! Two channels lead to the send loop, and nothing says which it takes from first, as in etcd: so a watch's events can
//! come before the word that it is created, and wait for that. Progress goes the way of the events, and so never
//! before them (etcd-io/etcd#15220).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture, select};
use prost::Message;
use vertebra_sim::network::Connection;
use vertebra_sim::random::Stream as Draws;
use vertebra_sim::sometimes;

use super::server::CLUSTER_ID;
use super::window::Window;
use super::{Member, queue};
use crate::api::mvccpb::event::EventType;
use crate::api::watch_create_request::FilterType;
use crate::api::watch_request::RequestUnion;
use crate::api::{Event, ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};
use crate::defect::Defect;
use crate::error::Error;
use crate::failpoints;
use crate::grpc::Status;
use crate::mvcc::watch::{Channel, Filter, Number, Response, Watch};
use crate::oracle::liveness::Silence;
use crate::wire::{Token, WATCH_PORT, WatchDown, WatchUp};
use crate::workload::of_kubernetes;

/// Control responses that wait for the send loop. As in etcd.
const CONTROL_MAX: usize = 16;

/// The name of no watch. Responses about all of a stream's watches bear it, and about those that were refused.
const INVALID_ID: i64 = -1;

/// Why a watch of no keys is refused; the words are etcd's.
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";

/// Why a second watch of one name is refused; the words are etcd's.
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";

pub(super) async fn listen(member: Rc<Member>) {
    let listener = member.node.listen(WATCH_PORT);
    let draws = Rc::new(RefCell::new(member.node.stream("watch server")));
    loop {
        let connection = listener.accept().await;
        let (member, draws, node) = (Rc::clone(&member), Rc::clone(&draws), member.node.clone());
        node.spawn(async move { serve(&member, &draws, connection).await });
    }
}

/// A stream, from its beginning to its end.
struct Stream<'a, T> {
    member: &'a Member,
    draws: &'a RefCell<Draws>,
    transport: &'a T,
    token: RefCell<Option<Token>>,
    events: Rc<Channel<Response>>,
    control: Channel<WatchResponse>,
    watches: RefCell<BTreeMap<i64, Served>>,
    next_id: Cell<i64>,
    /// For oracles.
    silence: Cell<Silence>,
}

/// A watch of a stream.
struct Served {
    number: Number,
    prev_kv: bool,
    fragment: bool,
    /// Whether it wants to hear of progress, and if so whether it was silent since it last could have.
    progress: Option<bool>,
}

/// What carries a stream.
pub(super) trait Transport {
    /// What comes next from the client.
    ///
    /// # Errors
    ///
    /// When the stream is over, with what it ends with if anybody hears of that.
    async fn receive(&self) -> Result<WatchUp, Option<Status>>;

    /// Sends a response at once.
    fn send(&self, message: WatchDown) -> Result<(), Ended>;

    /// What the client consumes.
    fn window(&self) -> &Window;

    /// How it is said why a watch is refused.
    fn reason(error: Error) -> String;
}

/// A connection of a simulated client.
struct OwnClient<'a> {
    member: &'a Member,
    connection: Connection<WatchDown, WatchUp>,
    window: Window,
    /// Whether the client wants to hear of it when the member has lost its leader. For oracles.
    requires_leader: Cell<bool>,
    /// Ends when that is so.
    lost_leader: RefCell<Option<LocalBoxFuture<'a, ()>>>,
}

impl OwnClient<'_> {
    fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Result<WatchUp, Option<Status>>> {
        loop {
            let lost_leader = &mut *self.lost_leader.borrow_mut();
            if lost_leader.as_mut().is_some_and(|lost| lost.poll_unpin(context).is_ready()) {
                sometimes!(
                    self.member.node,
                    "a stream of watches ends with its member's leader",
                    when = of_kubernetes
                );
                return Poll::Ready(Err(None));
            }
            return match self.connection.poll_receive(context) {
                Poll::Ready(Ok(WatchUp::RequireLeader)) => {
                    self.requires_leader.set(true);
                    if self.member.status.get().leader == 0 {
                        return Poll::Ready(Err(None));
                    }
                    *lost_leader = Some(self.member.lost_leader().boxed_local());
                    continue;
                }
                received => received.map_err(|_| None),
            };
        }
    }
}

impl Transport for OwnClient<'_> {
    async fn receive(&self) -> Result<WatchUp, Option<Status>> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    fn send(&self, message: WatchDown) -> Result<(), Ended> {
        if self.requires_leader.get() {
            self.member.observer.sends_as_led(self.member.id, self.member.options.election_ticks);
        }
        self.connection.send(message).map_err(|_| Ended)
    }

    fn window(&self) -> &Window {
        &self.window
    }

    fn reason(error: Error) -> String {
        error.to_string()
    }
}

/// The stream has ended: its connection broke.
pub(super) struct Ended;

async fn serve(member: &Member, draws: &RefCell<Draws>, connection: Connection<WatchDown, WatchUp>) {
    // As in etcd, where a learner refuses all streams but that of a snapshot.
    if member.is_learner() {
        sometimes!(member.node, "a learner is asked for watches", when = |run| run.has("watch"));
        return;
    }
    let window = Window::new(member.options.watch.window_bytes);
    let (requires_leader, lost_leader) = (Cell::default(), RefCell::default());
    let client = OwnClient { member, connection, window, requires_leader, lost_leader };
    serve_stream(member, draws, &client, None).await;
}

/// Serves a stream, from its beginning to its end; what it ends with, if anybody hears of that.
pub(super) async fn serve_stream<T: Transport>(
    member: &Member,
    draws: &RefCell<Draws>,
    transport: &T,
    token: Option<Token>,
) -> Option<Status> {
    let options = &member.options.watch;
    let stream = Stream {
        member,
        draws,
        transport,
        token: RefCell::new(token),
        events: Rc::new(Channel::new(options.channel_responses_max, Some(member.node.world().clone()))),
        control: Channel::new(CONTROL_MAX, None),
        watches: RefCell::default(),
        next_id: Cell::new(0),
        silence: Cell::default(),
    };
    let (requests, mut received) = queue::queue();
    let status = {
        let reader = std::pin::pin!(stream.read(requests));
        let receiver = std::pin::pin!(stream.receive(&mut received));
        let sender = std::pin::pin!(stream.send_responses());
        match select(reader, select(receiver, sender)).await {
            Either::Left((status, _)) => status,
            Either::Right(_) => None,
        }
    };
    member.node.failpoint(failpoints::BEFORE_CLOSE_WATCH_STREAM).await;
    let watches = stream.watches.take();
    for served in watches.into_values() {
        member.kv.cancel_watch(member, served.number).await;
    }
    status
}

impl<T: Transport> Stream<'_, T> {
    /// Takes in what arrives, however busy the receive loop is; what the stream ends with.
    async fn read(&self, requests: queue::Sender<WatchRequest>) -> Option<Status> {
        loop {
            match self.transport.receive().await {
                Ok(WatchUp::Request(request)) => drop(requests.send(request)),
                Ok(WatchUp::Token(token)) => *self.token.borrow_mut() = Some(token),
                // Who carries the stream sees to that.
                Ok(WatchUp::RequireLeader) => {}
                Ok(WatchUp::Consumed(bytes)) => self.transport.window().free(bytes),
                Err(status) => return status,
            }
        }
    }

    /// The receive loop.
    async fn receive(&self, requests: &mut queue::Receiver<WatchRequest>) {
        while let Some(request) = requests.recv().await {
            match request.request_union {
                Some(RequestUnion::CreateRequest(request)) => {
                    let response = self.create(request).await;
                    self.control.send(response).await;
                }
                Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id).await,
                Some(RequestUnion::ProgressRequest(_)) if self.member.options.has(Defect::EarlyProgress) => {
                    let response = self.response(self.member.kv.revision());
                    self.control.send(WatchResponse { watch_id: INVALID_ID, ..response }).await;
                }
                Some(RequestUnion::ProgressRequest(_)) => {
                    let numbers: Vec<_> =
                        self.watches.borrow().values().map(|served| served.number).collect();
                    self.member.kv.progress_if_synced(self.member, &numbers, INVALID_ID).await;
                }
                None => {}
            }
        }
    }

    /// Begins a watch, or says why not.
    async fn create(&self, mut request: WatchCreateRequest) -> WatchResponse {
        if request.key.is_empty() {
            request.key = Bytes::from_static(b"\0");
        }
        let refused = |reason: &str| WatchResponse {
            watch_id: INVALID_ID,
            created: true,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..self.response(self.member.kv.revision())
        };
        if request.start_revision < 0 {
            return refused(&Error::Compacted.to_string());
        }
        if let Err(error) = self.may_watch(&request).await {
            // As in etcd: what else can go wrong is told as if it were not allowed.
            let error = if error.needs_token() { error } else { Error::PermissionDenied };
            return refused(&T::reason(error));
        }
        let end = &request.range_end;
        if !end.is_empty() && end[..] != *b"\0" && request.key >= *end {
            return refused(EMPTY_RANGE);
        }
        let Some(id) = self.assign(request.watch_id) else { return refused(DUPLICATE_ID) };
        let filters = request.filters().map(|filter| match filter {
            FilterType::Noput => Filter::NoPut,
            FilterType::Nodelete => Filter::NoDelete,
        });
        let watch = Watch {
            id,
            filters: filters.collect(),
            start: request.start_revision,
            channel: Rc::clone(&self.events),
            key: request.key,
            range_end: request.range_end,
        };
        let number = self.member.kv.watch(watch).await;
        let (prev_kv, fragment) = (request.prev_kv, request.fragment);
        let progress = request.progress_notify.then_some(true);
        self.watches.borrow_mut().insert(id, Served { number, prev_kv, fragment, progress });
        self.member.node.failpoint(failpoints::BEFORE_SEND_WATCH_CREATED).await;
        WatchResponse { watch_id: id, created: true, ..self.response(self.member.kv.revision()) }
    }

    /// Whether who has opened this stream may read these keys. As in etcd it is asked once: a watch goes on when that changes.
    async fn may_watch(&self, request: &WatchCreateRequest) -> Result<(), Error> {
        if !self.member.kv.auth().is_enabled() {
            return Ok(());
        }
        let token = self.token.borrow().clone();
        let caller = self.member.caller(token.as_ref()).await?;
        self.member.kv.auth().may_read(&caller, &request.key, &request.range_end)
    }

    /// The name of a watch: the one that is asked for, or for 0 the next that is free. Nothing if it is taken.
    fn assign(&self, requested: i64) -> Option<i64> {
        let watches = self.watches.borrow();
        if requested != 0 {
            return (!watches.contains_key(&requested)).then_some(requested);
        }
        let mut id = self.next_id.get();
        while watches.contains_key(&id) {
            id += 1;
        }
        self.next_id.set(id + 1);
        Some(id)
    }

    async fn cancel(&self, id: i64) {
        let number = self.watches.borrow().get(&id).map(|served| served.number);
        // As in etcd, a watch that is not there gives no answer.
        let Some(number) = number else { return };
        self.member.kv.cancel_watch(self.member, number).await;
        self.watches.borrow_mut().remove(&id);
        let revision = self.member.kv.revision();
        self.control.send(WatchResponse { watch_id: id, canceled: true, ..self.response(revision) }).await;
    }

    fn response(&self, revision: i64) -> WatchResponse {
        let (member_id, raft_term) = (self.member.id, self.member.status.get().term);
        let header = Some(ResponseHeader { cluster_id: CLUSTER_ID, member_id, revision, raft_term });
        WatchResponse { header, ..WatchResponse::default() }
    }

    /// The send loop.
    async fn send_responses(&self) {
        // Watches that the client knows of, and what waits until it does.
        let mut known = BTreeSet::new();
        let mut pending: BTreeMap<i64, Vec<WatchResponse>> = BTreeMap::new();
        let interval = self.member.options.watch.progress_interval;
        let jitter = self.draws.borrow_mut().duration(Duration::ZERO, interval / 10);
        let mut ticker = self.member.node.ticker(interval + jitter);
        loop {
            let (max, since) =
                (self.member.options.watch.channel_responses_max, self.member.node.world().now());
            let next = poll_fn(|context| {
                self.member.observer.queued(self.member.id, self.events.waiting(), max, since);
                let both = !self.control.is_empty() && !self.events.is_empty();
                let control_first = !both || self.draws.borrow_mut().chance(500_000);
                if control_first && let Poll::Ready(response) = self.control.poll_receive(context) {
                    return Poll::Ready(Next::Control(response));
                }
                if let Poll::Ready(response) = self.events.poll_receive(context) {
                    return Poll::Ready(Next::Events(response));
                }
                ticker.poll_tick(context).map(|()| Next::Tick)
            })
            .await;
            let sent = match next {
                Next::Control(response) => self.send_control(response, &mut known, &mut pending).await,
                Next::Events(response) => self.send_events(response, &known, &mut pending).await,
                Next::Tick => {
                    self.tell_progress().await;
                    Ok(())
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn send_events(
        &self,
        response: Response,
        known: &BTreeSet<i64>,
        pending: &mut BTreeMap<i64, Vec<WatchResponse>>,
    ) -> Result<(), Ended> {
        let Response { id, mut events, revision, compact_revision } = response;
        let (prev_kv, fragment) = match self.watches.borrow().get(&id) {
            Some(served) => (served.prev_kv, served.fragment),
            None => (false, false),
        };
        if prev_kv {
            self.add_previous(&mut events);
        }
        let response = WatchResponse {
            watch_id: id,
            canceled: compact_revision != 0,
            compact_revision,
            events,
            ..self.response(revision)
        };
        let node = &self.member.node;
        if id != INVALID_ID && !known.contains(&id) {
            sometimes!(node, "events of a watch wait for the word that it is created");
            pending.entry(id).or_default().push(response);
            return Ok(());
        }
        node.failpoint(failpoints::BEFORE_SEND_WATCH_RESPONSE).await;
        let has_events = !response.events.is_empty();
        if fragment {
            self.send_fragments(response).await?;
        } else {
            self.send(response).await?;
        }
        if let Some(Served { progress: Some(silent), .. }) = self.watches.borrow_mut().get_mut(&id) {
            *silent &= !has_events;
        }
        Ok(())
    }

    async fn send_control(
        &self,
        response: WatchResponse,
        known: &mut BTreeSet<i64>,
        pending: &mut BTreeMap<i64, Vec<WatchResponse>>,
    ) -> Result<(), Ended> {
        let (id, created, canceled) = (response.watch_id, response.created, response.canceled);
        self.send(response).await?;
        if canceled {
            known.remove(&id);
        } else if created {
            known.insert(id);
            for response in pending.remove(&id).unwrap_or_default() {
                self.send(response).await?;
            }
        }
        Ok(())
    }

    /// Sends one response, when the client has consumed enough of those before.
    async fn send(&self, response: WatchResponse) -> Result<(), Ended> {
        self.member.observer.stream_sends(
            &self.silence,
            response.watch_id == INVALID_ID && !response.created,
            || self.watches.borrow().values().any(|served| served.progress.is_some()),
        );
        let message = WatchDown(response);
        let message = if self.member.options.encode_messages { message.through_bytes() } else { message };
        sometimes!(self.member.node, "a watching client does not keep up", self.transport.window().is_full());
        self.transport.window().take(message.bytes()).await;
        self.transport.send(message)
    }

    /// Splits a large response. A revision can be split with it; the client puts the parts together.
    async fn send_fragments(&self, response: WatchResponse) -> Result<(), Ended> {
        let bytes_max = self.member.options.watch.response_bytes_max;
        if response.encoded_len() < bytes_max || response.events.len() < 2 {
            return self.send(response).await;
        }
        sometimes!(self.member.node, "a watch response is split into fragments");
        let (events, rest) = (response.events, WatchResponse { events: Vec::new(), ..response });
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let mut part = WatchResponse { fragment: true, ..rest.clone() };
            while let Some(event) = events.next_if(|event| {
                // At least one goes into each.
                part.events.is_empty() || part.encoded_len() + encoded_len(event) < bytes_max
            }) {
                part.events.push(event);
            }
            part.fragment = events.peek().is_some();
            self.send(part).await?;
        }
        Ok(())
    }

    /// What the keys were before, as far as that is not compacted.
    fn add_previous(&self, events: &mut [Event]) {
        self.member.kv.read(|store, tx| {
            for event in events {
                let Some(kv) = &event.kv else { continue };
                let is_put = event.r#type == EventType::Put as i32;
                if !(is_put && kv.create_revision == kv.mod_revision) {
                    let present = self.member.options.has(Defect::PresentAsPrevious);
                    let before = if present { 0 } else { kv.mod_revision - 1 };
                    event.prev_kv = store.get(tx, &kv.key, before).ok().flatten();
                }
            }
        });
    }

    /// Lets the watches that were silent since the last time hear of their progress.
    async fn tell_progress(&self) {
        let mut silent = Vec::new();
        for (id, served) in self.watches.borrow_mut().iter_mut() {
            if served.progress == Some(true) {
                silent.push((*id, served.number));
            }
            served.progress = served.progress.map(|_| true);
        }
        for (id, number) in silent {
            self.member.kv.progress_if_synced(self.member, &[number], id).await;
        }
    }
}

/// What an event takes in a response: its bytes, their number and the tag.
fn encoded_len(event: &Event) -> usize {
    let bytes = event.encoded_len();
    1 + prost::length_delimiter_len(bytes) + bytes
}

/// What the send loop takes up.
enum Next {
    Control(WatchResponse),
    Events(Response),
    Tick,
}
