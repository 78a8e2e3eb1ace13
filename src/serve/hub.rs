//! Between those who wait for a network and the thread that simulates: calls go one way, what comes of them the other.
//!
//! Everything that comes in passes here, with a bound on how much may wait for the simulation; what comes down for a call
//! waits at its [`Call`], and the member that sends it goes no further than a window beyond what was consumed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vertebra_model::error::Code;
use vertebra_model::grpc::{CallId, Down, Metadata, Status, Up};

/// Bytes that may wait for the simulation, in units of [`UNIT`]; a thing without bytes counts for one.
const ROOM: usize = 16 << 10;
const UNIT: usize = 4 << 10;

/// What is said of calls when there is no simulation any more.
const GONE: &str = "etcdserver: server stopped";

/// What the thread that simulates is told.
pub enum Event {
    /// So much time has passed since the beginning.
    Passed(Duration),
    /// Something comes in for a member.
    Up(u16, Up, Option<OwnedSemaphorePermit>),
    /// It shall end.
    Stop,
}

/// Calls that are under way, and the way to the simulation.
pub struct Hub {
    events: Sender<Event>,
    room: Arc<Semaphore>,
    calls: Mutex<HashMap<CallId, UnboundedSender<Down>>>,
    last: AtomicU64,
}

impl Hub {
    /// Nobody calls yet.
    pub fn new(events: Sender<Event>) -> Arc<Self> {
        Arc::new(Self {
            events,
            room: Arc::new(Semaphore::new(ROOM)),
            calls: Mutex::default(),
            last: AtomicU64::new(0),
        })
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, UnboundedSender<Down>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls that are under way.
    pub fn under_way(&self) -> usize {
        self.calls().len()
    }

    /// What comes down from a member.
    pub fn down(&self, down: Down) {
        let (Down::Message { call, .. } | Down::End { call, .. }) = &down;
        let mut calls = self.calls();
        let to = match &down {
            Down::Message { .. } => calls.get(call).cloned(),
            Down::End { .. } => calls.remove(call),
        };
        if let Some(to) = to {
            // Who does not listen any more has cancelled it.
            let _ = to.send(down);
        }
    }

    /// The simulation is over, and all calls with it.
    pub fn close(&self) {
        for (call, to) in self.calls().drain() {
            let _ = to.send(Down::End { call, status: gone() });
        }
    }

    /// Begins a call of a method of `member`.
    pub async fn call(self: &Arc<Self>, member: u16, path: &str, metadata: Metadata) -> Call {
        let call = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, heard) = unbounded_channel();
        self.calls().insert(call, sender);
        let up = UpLine { hub: Arc::clone(self), member, call };
        up.send(Up::Begin { call, path: path.to_owned(), metadata }, 0).await;
        Call { up, heard, first: None, over: false }
    }
}

fn gone() -> Status {
    Status::new(Code::Unavailable, GONE)
}

/// The way up of a call.
#[derive(Clone)]
pub struct UpLine {
    hub: Arc<Hub>,
    member: u16,
    call: CallId,
}

impl UpLine {
    async fn send(&self, up: Up, bytes: usize) {
        let units = u32::try_from((bytes / UNIT + 1).min(ROOM)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.hub.room).acquire_many_owned(units).await.ok();
        self.send_now(up, permit);
    }

    fn send_now(&self, up: Up, permit: Option<OwnedSemaphorePermit>) {
        if self.hub.events.send(Event::Up(self.member, up, permit)).is_err() {
            self.end(gone());
        }
    }

    /// Sends a message, as soon as there is room for it.
    pub async fn message(&self, bytes: Bytes) {
        let length = bytes.len();
        self.send(Up::Message { call: self.call, bytes }, length).await;
    }

    /// There are no more messages.
    pub fn half_close(&self) {
        self.send_now(Up::HalfClose { call: self.call }, None);
    }

    /// Ends the call for whoever listens, whatever the member may still say.
    pub fn end(&self, status: Status) {
        let listens = self.hub.calls().remove(&self.call);
        if let Some(listens) = listens {
            let _ = listens.send(Down::End { call: self.call, status });
        }
    }

    /// Ends the call as one that its caller does wrong, and lets the member know that nobody waits.
    pub fn refuse(&self, status: Status) {
        self.end(status);
        self.send_now(Up::Cancel { call: self.call }, None);
    }
}

/// A call that is under way. When it is dropped before its end, it is cancelled.
pub struct Call {
    up: UpLine,
    heard: UnboundedReceiver<Down>,
    /// What was put back, to be heard again.
    first: Option<Heard>,
    over: bool,
}

/// What is heard of a call.
pub enum Heard {
    Message(Bytes),
    End(Status),
}

impl Call {
    /// The way up.
    pub fn up(&self) -> UpLine {
        self.up.clone()
    }

    /// What is heard next; nothing after the end.
    pub async fn next(&mut self) -> Option<Heard> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Lets what was heard first be heard again: it was only to be seen how the answer begins.
    pub fn put_back(&mut self, first: Option<Heard>) {
        self.first = first;
    }

    /// As [`next`](Self::next), for use in a `poll_fn`.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Heard>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if self.over {
            return Poll::Ready(None);
        }
        self.heard.poll_recv(context).map(|down| match down {
            Some(Down::Message { bytes, .. }) => Some(Heard::Message(bytes)),
            Some(Down::End { status, .. }) => {
                self.over = true;
                Some(Heard::End(status))
            }
            None => {
                self.over = true;
                Some(Heard::End(gone()))
            }
        })
    }

    /// So many bytes of messages have gone on their way to the caller.
    pub fn consumed(&self, bytes: usize) {
        if !self.over && bytes > 0 {
            self.up.send_now(Up::Consumed { call: self.up.call, bytes: bytes as u64 }, None);
        }
    }

    /// A whole call with one request, for at most `patience`: the answer, or how it ended.
    pub async fn answer(mut self, request: Bytes, patience: Duration) -> Result<Bytes, Status> {
        let answered = async {
            self.up.message(request).await;
            self.up.half_close();
            let mut answer = None;
            loop {
                match self.next().await {
                    Some(Heard::Message(bytes)) => answer = Some(bytes),
                    Some(Heard::End(status)) if status.code.is_none() => {
                        return answer.ok_or_else(|| Status::new(Code::Internal, "no answer"));
                    }
                    Some(Heard::End(status)) => return Err(status),
                    None => return Err(gone()),
                }
            }
        };
        match tokio::time::timeout(patience, answered).await {
            Ok(answered) => answered,
            Err(_) => Err(late()),
        }
    }
}

/// What a caller is told whose deadline has passed.
pub fn late() -> Status {
    Status::new(Code::DeadlineExceeded, "context deadline exceeded")
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.over {
            self.up.hub.calls().remove(&self.up.call);
            self.up.send_now(Up::Cancel { call: self.up.call }, None);
        }
    }
}
