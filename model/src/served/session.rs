//! A cluster that serves, as fast as it can: virtual time passes when its caller waits for something.
//!
//! The cluster runs on a thread of its own. What its caller does between two waits happens at one moment of virtual time, so
//! the run depends on that alone, and not on when it was done.
//!
//! ```
//! use std::time::Duration;
//! use vertebra_model::grpc::Metadata;
//! use vertebra_model::served::{Served, faults, session::Session};
//!
//! let schedule = faults::schedule(1, Served::usual(3), faults::Severity::None, faults::HOURS)?;
//! let mut session = Session::begin(schedule);
//! session.advance(Duration::from_secs(3));
//! let path = "/etcdserverpb.KV/Range";
//! let answer = session.unary(1, path, Metadata::default(), &b"\x0a\x03foo"[..], Duration::from_secs(5));
//! println!("{} messages, {}", answer.messages.len(), answer.status);
//! assert_eq!(session.finish().verdict, vertebra_sim::Verdict::Pass);
//! # Ok::<(), String>(())
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{Instant, Outside, Report, Turn, World, run_with};

use super::{Doors, Served};
use crate::error::Code;
use crate::grpc::{CallId, Down, Metadata, Status, Up};
use crate::options::Options;

/// After what time it is looked whether what is waited for has come.
const STEP: Duration = Duration::from_micros(500);

/// What is said of calls when the run has ended by itself.
const GONE: &str = "the cluster is gone";

/// A cluster that serves, and its one caller.
pub struct Session {
    asks: Sender<Ask>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<Report>>,
    now: Instant,
    calls: CallId,
    /// The members that calls under way were made to.
    members: BTreeMap<CallId, u16>,
    /// What came down and was not asked for.
    heard: BTreeMap<CallId, VecDeque<Down>>,
}

/// What came of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The messages.
    pub messages: Vec<Bytes>,
    /// How it ended.
    pub status: Status,
}

enum Ask {
    /// Something comes in.
    Up(u16, Up),
    /// Time passes until then, or until this call hears something.
    Wait(Instant, Option<CallId>),
}

struct Answer {
    now: Instant,
    heard: Vec<Down>,
}

impl Session {
    /// Begins the run of `schedule`.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "one thread to a run, which waits whenever its caller does not"
    )]
    pub fn begin(schedule: Schedule<Options>) -> Self {
        let ((asks, asked), (answer, answers)) = (channel(), channel());
        let thread = std::thread::spawn(move || {
            run_with::<Served, _>(&schedule, None, |_, served| Outer::new(served.doors(), asked, answer))
        });
        Self {
            asks,
            answers,
            thread: Some(thread),
            now: Instant::START,
            calls: 0,
            members: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Begins a call of a method of member `member`, from 1.
    pub fn call(&mut self, member: u16, path: &str, metadata: Metadata) -> CallId {
        self.calls += 1;
        let call = self.calls;
        self.members.insert(call, member);
        self.heard.insert(call, VecDeque::new());
        self.up(member, Up::Begin { call, path: path.to_owned(), metadata });
        call
    }

    /// Sends a message.
    pub fn send(&mut self, call: CallId, bytes: impl Into<Bytes>) {
        self.up_of(call, Up::Message { call, bytes: bytes.into() });
    }

    /// Says that there are no more messages.
    pub fn half_close(&mut self, call: CallId) {
        self.up_of(call, Up::HalfClose { call });
    }

    /// Ends a call. Nothing more is heard of it.
    pub fn cancel(&mut self, call: CallId) {
        self.up_of(call, Up::Cancel { call });
        self.heard.remove(&call);
        self.members.remove(&call);
    }

    /// The next thing that is heard of a call, which is waited for as long as `patience`; nothing when it has not come by
    /// then. Messages are consumed by it.
    pub fn next(&mut self, call: CallId, patience: Duration) -> Option<Down> {
        if self.heard.get(&call)?.is_empty() {
            self.wait(self.now + patience, Some(call));
        }
        let down = self.heard.get_mut(&call)?.pop_front()?;
        match &down {
            Down::Message { bytes, .. } => {
                self.up_of(call, Up::Consumed { call, bytes: bytes.len() as u64 });
            }
            Down::End { .. } => {
                self.heard.remove(&call);
                self.members.remove(&call);
            }
        }
        Some(down)
    }

    /// Lets time pass.
    pub fn advance(&mut self, duration: Duration) {
        self.wait(self.now + duration, None);
    }

    /// A whole call with one request. It is cancelled when it has not ended after `patience`.
    pub fn unary(
        &mut self,
        member: u16,
        path: &str,
        metadata: Metadata,
        request: impl Into<Bytes>,
        patience: Duration,
    ) -> Answered {
        let call = self.call(member, path, metadata);
        self.send(call, request);
        self.half_close(call);
        let (given_up, mut messages) = (self.now + patience, Vec::new());
        loop {
            match self.next(call, given_up.since(self.now)) {
                Some(Down::Message { bytes, .. }) => messages.push(bytes),
                Some(Down::End { status, .. }) => return Answered { messages, status },
                None => {
                    self.cancel(call);
                    let status = Status::new(Code::DeadlineExceeded, "context deadline exceeded");
                    return Answered { messages, status };
                }
            }
        }
    }

    /// Ends the run: the faults are over, and the cluster is judged.
    ///
    /// # Panics
    ///
    /// If the run has panicked.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let thread = self.thread.take().expect("nobody else takes it");
        drop(self);
        match thread.join() {
            Ok(report) => report,
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }

    fn up_of(&mut self, call: CallId, up: Up) {
        if let Some(member) = self.members.get(&call) {
            self.up(*member, up);
        }
    }

    fn up(&self, member: u16, up: Up) {
        // When nobody is there any more, that is found out by waiting.
        let _ = self.asks.send(Ask::Up(member, up));
    }

    fn wait(&mut self, until: Instant, call: Option<CallId>) {
        let asked = self.asks.send(Ask::Wait(until, call)).is_ok();
        match asked.then(|| self.answers.recv().ok()).flatten() {
            Some(Answer { now, heard }) => {
                self.now = now;
                heard.into_iter().for_each(|down| self.hear(down));
            }
            None => {
                let status = Status::new(Code::Unavailable, GONE);
                let over: Vec<_> = self.members.keys().copied().collect();
                over.into_iter().for_each(|call| self.hear(Down::End { call, status: status.clone() }));
            }
        }
    }

    fn hear(&mut self, down: Down) {
        let (Down::Message { call, .. } | Down::End { call, .. }) = &down;
        if let Some(heard) = self.heard.get_mut(call) {
            heard.push_back(down);
        }
    }
}

/// The other side, on the thread of the run.
struct Outer {
    doors: Rc<Doors>,
    asked: Receiver<Ask>,
    answer: Sender<Answer>,
    heard: Rc<RefCell<Vec<Down>>>,
    /// What comes in as soon as it can.
    coming: Vec<(u16, Up)>,
    waits: Option<(Instant, Option<CallId>)>,
}

impl Outer {
    fn new(doors: Rc<Doors>, asked: Receiver<Ask>, answer: Sender<Answer>) -> Self {
        let heard = Rc::<RefCell<Vec<Down>>>::default();
        let hearing = Rc::clone(&heard);
        doors.hear(move |_, down| hearing.borrow_mut().push(down));
        Self { doors, asked, answer, heard, coming: Vec::new(), waits: None }
    }

    fn has_heard_of(&self, call: CallId) -> bool {
        let is_of = |down: &Down| match down {
            Down::Message { call: of, .. } | Down::End { call: of, .. } => *of == call,
        };
        self.heard.borrow().iter().any(is_of)
    }
}

impl Outside for Outer {
    fn turn(&mut self, world: &World) -> Turn {
        loop {
            let Some((until, call)) = self.waits else {
                match self.asked.recv() {
                    Ok(Ask::Up(member, up)) => self.coming.push((member, up)),
                    Ok(Ask::Wait(until, call)) => self.waits = Some((until, call)),
                    Err(_) => return Turn::End,
                }
                continue;
            };
            let opens = self.doors.opens();
            if !self.coming.is_empty() {
                if opens > world.now() {
                    return Turn::Until(opens);
                }
                self.doors.up(self.coming.drain(..));
                // Even who waits for nothing lets it be taken.
                return Turn::Until(self.doors.opens());
            }
            if world.now() < until && !call.is_some_and(|call| self.has_heard_of(call)) {
                return Turn::Until(until.min(world.now() + STEP));
            }
            self.waits = None;
            let answer = Answer { now: world.now(), heard: self.heard.take() };
            if self.answer.send(answer).is_err() {
                return Turn::End;
            }
        }
    }
}
