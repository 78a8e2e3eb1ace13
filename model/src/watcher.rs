//! A client that watches, in the manner of etcd's robustness tests and with what these leave out.
//!
//! It has one stream at a time, with one watch or several, and resumes them all over another connection when that
//! breaks: each where it was left off, often at another member. As etcd's client, it sends a cancellation also for a
//! watch that the member has cancelled.
//!
//! Two things it does not do, since etcd serves them wrongly. It gives no name to two watches of one stream, one after
//! the other: what was on its way to the first goes to the second. And it begins no watch on a stream on which it has
//! asked for progress: the answer, which is about the watches that there were, can come after the word that the new one
//! is created.

mod cache;
mod plan;

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use vertebra_sim::network::{Connection, Disconnected};
use vertebra_sim::random::Stream;
use vertebra_sim::{Node, NodeId, Sleep, record, sometimes};

use crate::api::watch_request::RequestUnion;
use crate::api::{WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use crate::client::Client;
use crate::credentials::Credentials;
use crate::defect::Defect;
use crate::load::Loads;
use crate::observer::Observer;
use crate::options::Options;
use crate::watch_history::WatchNumber;
use crate::wire::{Token, WATCH_PORT, WatchDown, WatchUp};
use crate::workload::{Workload, of_kubernetes};
use cache::Cache;
use plan::Action;

/// What a client waits before it opens another stream.
const BACKOFF: Duration = Duration::from_millis(50);

/// How often a client that reads nothing looks whether it should again.
const UNREAD_LOOK: Duration = Duration::from_millis(250);

/// Times that a client asks for the last of the news, before it asks another member than one that does not belong to the
/// cluster, and may not know. Who does has to answer in the end.
const ASKS_MAX: u32 = 10;

/// Watches that a stream has at most at a time.
pub(crate) const WATCHES_MAX: usize = 3;

/// The names that a client gives come after this one: a member that chooses begins at 0.
const NAMES_FROM: i64 = 1_000;

/// A client with one stream of watches.
pub(crate) struct Watcher {
    node: Node,
    observer: Rc<Observer>,
    options: Rc<Options>,
    loads: Rc<Loads>,
    /// Which of the streams of the run.
    number: u16,
    draws: Stream,
    endpoints: Vec<NodeId>,
    endpoint: usize,
    /// It stays with its member, whatever happens.
    pinned: bool,
    /// It reads slowly at times.
    can_be_slow: bool,
    slow: bool,
    wanted: Vec<Wanted>,
    /// The cache that it keeps, where clients are API servers.
    cache: Option<Cache>,
    known_revision: Rc<Cell<i64>>,
    credentials: Option<Rc<Credentials>>,
    /// The last name that it gave to a watch.
    named: i64,
    /// Responses with events that it heard.
    heard: u64,
    /// How far all of its watches had come when it last looked, in the end, and what it had heard; and how often it asked
    /// since then without hearing more. A response in many parts takes its time.
    seen: (i64, u64),
    asks: u32,
}

/// A watch that the client wants to have, over whichever stream.
struct Wanted {
    request: WatchCreateRequest,
    /// The first revision of which it was not told; 0 while it begins with the present.
    next: i64,
    /// Whether the last that it was told is how far the member has come.
    progressed: bool,
    /// The watch that was to tell it last.
    last: Option<WatchNumber>,
}

/// A stream.
struct Session {
    connection: Connection<WatchUp, WatchDown>,
    token: Option<Token>,
    /// The watches that were asked for, in that order. Responses to creations come in it too.
    open: Vec<Open>,
    creating: VecDeque<usize>,
    /// Progress was asked for.
    asked: bool,
    /// Bytes that were consumed, and of which the member does not know.
    consumed: u64,
}

/// A watch of a stream.
struct Open {
    watch: WatchNumber,
    id: Option<i64>,
    /// The first revision that was asked for.
    start: i64,
    /// Its place among those wanted; none when it is not wanted any more.
    wanted: Option<usize>,
    /// The revision of the member when it was created; 0 before.
    created_at: i64,
}

impl Watcher {
    pub(crate) fn new(
        node: Node,
        observer: Rc<Observer>,
        options: Rc<Options>,
        loads: Rc<Loads>,
        number: u16,
        known_revision: Rc<Cell<i64>>,
        credentials: Option<Rc<Credentials>>,
    ) -> Self {
        let mut draws = node.stream(&format!("watcher/{number}"));
        let members = u64::from(options.members);
        let endpoint = draws.below(members) as usize;
        let pinned = draws.chance(400_000);
        let can_be_slow = draws.below(100) < u64::from(options.watch.slow_percent);
        let endpoints = (1..=options.members).map(NodeId::Member).collect();
        let cache = Cache::new(&options, number, || {
            let endpoints = Workload::endpoints(node.id(), options.members);
            Client::new(node.clone(), Rc::clone(&observer), endpoints, Rc::clone(&options))
        });
        Self {
            node,
            observer,
            options,
            loads,
            number,
            draws,
            endpoints,
            endpoint,
            pinned,
            can_be_slow,
            slow: can_be_slow,
            wanted: Vec::new(),
            cache,
            known_revision,
            credentials,
            named: NAMES_FROM,
            heard: 0,
            seen: (0, 0),
            asks: 0,
        }
    }

    /// Watches, to the end of the run.
    pub(crate) async fn run(mut self) {
        let rest = self.draws.duration(Duration::ZERO, Duration::from_secs(1));
        self.node.sleep(rest).await;
        let watches = if self.cache.is_some() { 1 } else { *self.draws.weighted(&[(6, 1), (2, 2), (1, 3)]) };
        for _ in 0..watches {
            let wanted = self.draw_wanted();
            self.wanted.push(wanted);
        }
        loop {
            if self.is_ready().await
                && let Ok(connection) = self.node.connect(self.endpoints[self.endpoint], WATCH_PORT).await
            {
                let session = Session {
                    connection,
                    token: self.credentials.as_ref().and_then(|credentials| credentials.token()),
                    open: Vec::new(),
                    creating: VecDeque::new(),
                    asked: false,
                    consumed: 0,
                };
                // However it ended, what comes next is another stream.
                let _ = self.follow(session).await;
            }
            self.choose_endpoint();
            self.node.sleep(BACKOFF).await;
        }
    }

    /// The member for the next stream: another one, or the same for those who stay with it. When all faults are over,
    /// one that can be counted on.
    fn choose_endpoint(&mut self) {
        let world = self.node.world();
        if world.is_healed() {
            // Also those who stayed with theirs: it may not serve watches, as a learner does not.
            let last = self.endpoints[self.endpoint];
            let mut left: Vec<_> = world.machines().filter(|member| self.serves(*member)).collect();
            if !left.is_empty() {
                let behind = left.partition_point(|member| *member <= last);
                left.rotate_left(behind);
                (self.endpoints, self.endpoint) = (left, 0);
            }
        } else if !self.pinned {
            self.endpoint = (self.endpoint + 1) % self.endpoints.len();
        }
    }

    /// Whether a member can be counted on in the end.
    fn serves(&self, member: NodeId) -> bool {
        let world = self.node.world();
        world.expected(member) && world.is_enabled(member)
    }

    /// Follows a stream until it breaks or is given up.
    async fn follow(&mut self, mut session: Session) -> Result<(), Disconnected> {
        if let Some(token) = &session.token {
            session.connection.send(WatchUp::Token(Rc::clone(token)))?;
        }
        if self.cache.is_some() {
            session.connection.send(WatchUp::RequireLeader)?;
        }
        for place in 0..self.wanted.len() {
            self.begin(&mut session, place)?;
        }
        let mut tick = self.pace();
        loop {
            let Some(response) = next(&session.connection, &tick).await? else {
                self.tick(&mut session).await?;
                tick = self.pace();
                continue;
            };
            self.stop_reading().await;
            session.consumed += response.bytes();
            if self.slow && !self.node.world().is_healed() {
                let rest = self.draws.duration(Duration::from_millis(50), Duration::from_millis(150));
                self.node.sleep(rest).await;
            }
            self.hear(&mut session, response.0)?;
            // As HTTP/2 does: not for each message.
            if session.consumed >= self.options.watch.window_bytes / 4 {
                session.acknowledge()?;
            }
            self.report();
        }
    }

    /// Reads nothing more for as long as a load wants it, or until all faults are over.
    async fn stop_reading(&self) {
        while let Some(until) = self.loads.unread_until(self.node.id(), self.node.world().now()) {
            if self.node.world().is_healed() {
                return;
            }
            sometimes!(
                self.node,
                "a client stops to read a stream of watches",
                when = |run| run.has("watch") && run.load("slow-watch")
            );
            let rest = until - self.node.world().now();
            self.node.world().sleep(rest.min(UNREAD_LOOK)).await;
        }
    }

    /// How long until the client does something on its own.
    fn pace(&mut self) -> Sleep {
        let max = if self.node.world().is_healed() { 200 } else { 1_200 };
        let rest = self.draws.duration(Duration::from_millis(100), Duration::from_millis(max));
        self.node.sleep(rest)
    }

    /// Tells how far all of its watches have come.
    fn report(&self) {
        self.observer.watched_to(self.number, self.told());
    }

    /// The revision up to which all of its watches were told everything.
    fn told(&self) -> i64 {
        self.wanted.iter().map(|wanted| wanted.next - 1).min().unwrap_or(i64::MAX)
    }

    fn begin(&mut self, session: &mut Session, place: usize) -> Result<(), Disconnected> {
        let Wanted { request, next, progressed, .. } = &self.wanted[place];
        let mut request = request.clone();
        let early = *progressed && self.options.has(Defect::ResumeAtProgress);
        request.start_revision = *next - i64::from(early);
        if request.watch_id != 0 {
            self.named += 1;
            request.watch_id = self.named;
        }
        let watch = self.create(session, request, false, Some(place))?;
        if let Some(earlier) = self.wanted[place].last.replace(watch) {
            self.observer.watch_resumes(watch, earlier);
        }
        Ok(())
    }

    fn create(
        &self,
        session: &mut Session,
        request: WatchCreateRequest,
        is_duplicate: bool,
        wanted: Option<usize>,
    ) -> Result<WatchNumber, Disconnected> {
        let watch = self.observer.watch_asked(request.clone(), is_duplicate);
        if let Some(list) = self.listed().filter(|_| wanted.is_some()) {
            self.observer.cache_watches(list, watch);
        }
        if let Some(credentials) = &self.credentials {
            let (token, member) = (session.token.clone(), self.endpoints[self.endpoint]);
            self.observer.watch_asked_by(watch, credentials.user(), token, member);
        }
        session.creating.push_back(session.open.len());
        let start = request.start_revision;
        session.open.push(Open { watch, id: None, start, wanted, created_at: 0 });
        self.send(session, RequestUnion::CreateRequest(request))?;
        Ok(watch)
    }

    fn cancel(&self, session: &Session, place: usize) -> Result<(), Disconnected> {
        let Open { watch, id: Some(watch_id), .. } = session.open[place] else { return Ok(()) };
        self.observer.watch_cancel_asked(watch);
        self.send(session, RequestUnion::CancelRequest(WatchCancelRequest { watch_id }))
    }

    fn send(&self, session: &Session, request: RequestUnion) -> Result<(), Disconnected> {
        let request = WatchUp::Request(WatchRequest { request_union: Some(request) });
        let encode = self.options.encode_messages;
        session.connection.send(if encode { request.through_bytes() } else { request })
    }

    /// Takes in a response.
    fn hear(&mut self, session: &mut Session, response: WatchResponse) -> Result<(), Disconnected> {
        let revision = response.header.map_or(0, |header| header.revision);
        if response.created {
            let Some(place) = session.creating.pop_front() else { return Ok(()) };
            self.observer.watch_heard(session.open[place].watch, response.clone());
            if !response.canceled {
                self.hear_created(&mut session.open[place], response.watch_id, revision);
            } else if session.open[place].wanted.is_some() {
                // It may not: maybe it may later, or with another token.
                sometimes!(
                    self.node,
                    "a watch is refused, for its user may not",
                    when = |run| run.has("auth")
                );
                return Err(Disconnected);
            }
            return Ok(());
        }
        let is_meant = |open: &Open| match response.watch_id {
            // What is not wanted any more was maybe cancelled before this was said.
            -1 => open.id.is_some() && open.wanted.is_some(),
            id => open.id == Some(id),
        };
        let meant: Vec<_> = (0..session.open.len()).filter(|place| is_meant(&session.open[*place])).collect();
        if meant.is_empty()
            && response.watch_id != -1
            && let Some(place) = session.creating.front()
        {
            // It is of none that the client knows of: of one of which it has yet to hear that it is created, which is too early.
            self.observer.watch_heard(session.open[*place].watch, response);
            return Ok(());
        }
        for place in meant {
            self.observer.watch_heard(session.open[place].watch, response.clone());
            let Some(wanted) = session.open[place].wanted else { continue };
            if response.canceled {
                return self.hear_canceled(session, place, wanted, response.compact_revision);
            }
            self.advance(&session.open[place], wanted, &response, revision);
        }
        Ok(())
    }

    fn hear_created(&mut self, open: &mut Open, id: i64, revision: i64) {
        (open.id, open.created_at) = (Some(id), revision);
        let Some(wanted) = open.wanted.map(|place| &mut self.wanted[place]) else { return };
        let is_resumed = wanted.next > wanted.request.start_revision.max(1);
        sometimes!(
            self.node,
            "a watch is resumed at a member that lags behind it",
            is_resumed && wanted.next > revision + 1,
            when = |run| run.has("watch") && run.members >= 3
        );
        if wanted.next == 0 {
            // As etcd's client: what came between the beginning and this word may be lost.
            wanted.next = revision;
        }
    }

    fn advance(&mut self, open: &Open, wanted: usize, response: &WatchResponse, revision: i64) {
        self.heard += u64::from(!response.events.is_empty());
        let Wanted { next, progressed, .. } = &mut self.wanted[wanted];
        *progressed = response.events.is_empty();
        match response.events.last().and_then(|event| event.kv.as_ref()) {
            // Parts of a revision are not resumed behind.
            Some(_) if response.fragment => {}
            Some(last) => {
                sometimes!(
                    self.node,
                    "a watch of a revision of the future is told of it",
                    open.start > open.created_at + 1 && *next == open.start,
                    when = |run| run.has("watch")
                );
                *next = last.mod_revision + 1;
            }
            None => {
                sometimes!(self.node, "a watch is told of its progress", when = |run| run.has("watch"));
                *next = (*next).max(revision + 1);
            }
        }
        let told = *next - 1;
        self.cache_comes_to(told);
    }

    /// The member has cancelled a watch that is wanted: what it should tell next is compacted.
    fn hear_canceled(
        &mut self,
        session: &mut Session,
        place: usize,
        wanted: usize,
        compacted: i64,
    ) -> Result<(), Disconnected> {
        record!(self.node, "watcher", "stream {}: compacted at {}", self.number, compacted);
        if let Some(cache) = &mut self.cache {
            sometimes!(self.node, "what a cache waits for is compacted", when = of_kubernetes);
            cache.forget();
            return Err(Disconnected);
        }
        session.open[place].wanted = None;
        self.cancel(session, place)?;
        // The oldest that there is.
        self.wanted[wanted].next = compacted;
        if session.asked { Err(Disconnected) } else { self.begin(session, wanted) }
    }

    /// Does what the client does on its own.
    async fn tick(&mut self, session: &mut Session) -> Result<(), Disconnected> {
        // Also a sign of life, without which it would not learn that nobody is there any more.
        session.acknowledge()?;
        if self.node.world().is_healed() {
            return self.come_to_the_end(session);
        }
        match self.draw_action() {
            Action::AskForProgress => {
                if let Some(cache) = &mut self.cache {
                    cache.ask_revision().await;
                }
                session.asked = true;
                self.send(session, RequestUnion::ProgressRequest(WatchProgressRequest {}))
            }
            Action::Replace if !session.asked => self.replace(session),
            Action::AskForWhatCannotBe if !session.asked => {
                let taken = session.open.iter().filter(|open| open.wanted.is_some());
                let taken = taken.filter_map(|open| open.id).find(|id| *id != 0);
                let (request, is_duplicate) = self.draw_refused(taken);
                self.create(session, request, is_duplicate, None).map(drop)
            }
            Action::Reconnect => Err(Disconnected),
            Action::ListAgain => {
                self.cache.iter_mut().for_each(Cache::forget);
                Err(Disconnected)
            }
            Action::ChangePace => {
                self.slow = self.can_be_slow && !self.slow;
                Ok(())
            }
            Action::Replace | Action::AskForWhatCannotBe | Action::Nothing => Ok(()),
        }
    }

    /// Gives up one watch for another.
    fn replace(&mut self, session: &mut Session) -> Result<(), Disconnected> {
        let replaceable: Vec<_> = (0..session.open.len())
            .filter(|place| session.open[*place].id.is_some() && session.open[*place].wanted.is_some())
            .collect();
        if replaceable.is_empty() {
            return Ok(());
        }
        let place = *self.draws.pick(&replaceable);
        let Some(wanted) = session.open[place].wanted.take() else { return Ok(()) };
        self.cancel(session, place)?;
        self.wanted[wanted] = self.draw_wanted();
        self.begin(session, wanted)
    }

    /// All faults are over: the client sees to it that it hears of everything, and asks until it has.
    fn come_to_the_end(&mut self, session: &mut Session) -> Result<(), Disconnected> {
        self.slow = false;
        let seen = (self.told(), self.heard);
        let more = seen.0 > self.seen.0 || seen.1 > self.seen.1;
        self.asks = if more { 0 } else { self.asks + 1 };
        self.seen = seen;
        let member = self.endpoints[self.endpoint];
        if self.asks >= ASKS_MAX && !self.observer.is_voter(member) || !self.serves(member) {
            self.asks = 0;
            return Err(Disconnected);
        }
        // A member does not tell of the progress of a stream that waits for what has not come.
        for place in 0..session.open.len() {
            let Some(wanted) = session.open[place].wanted else { continue };
            // A cache waits for what comes next, and does not know how much its API server knows.
            let is_future = self.cache.is_none() && session.open[place].start > self.known_revision.get();
            if is_future && session.open[place].id.is_some() {
                self.cancel(session, place)?;
                session.open[place].wanted = None;
                // It is given up.
                (self.wanted[wanted].next, self.wanted[wanted].last) = (i64::MAX, None);
            }
        }
        session.asked = true;
        self.send(session, RequestUnion::ProgressRequest(WatchProgressRequest {}))
    }
}

impl Session {
    fn acknowledge(&mut self) -> Result<(), Disconnected> {
        self.connection.send(WatchUp::Consumed(std::mem::take(&mut self.consumed)))
    }
}

/// The next response; nothing at the tick.
async fn next(
    connection: &Connection<WatchUp, WatchDown>,
    tick: &Sleep,
) -> Result<Option<WatchDown>, Disconnected> {
    // The tick first: there may always be something to receive.
    poll_fn(|context| match tick.poll_done(context) {
        Poll::Ready(()) => Poll::Ready(Ok(None)),
        Poll::Pending => connection.poll_receive(context).map(|received| received.map(Some)),
    })
    .await
}
