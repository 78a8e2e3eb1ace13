//! One call of a caller from outside.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use prost::Message;
use tokio::sync::Notify;
use vertebra_sim::network::Connection;

use super::super::Member;
use super::super::server::Origin;
use super::super::window::Window;
use super::Failure;
use crate::error::Code;
use crate::grpc::{CallId, Down, Metadata, Status};
use crate::history::OperationId;
use crate::wire::{GrpcDown, GrpcUp, Token};

/// What a request may have in bytes besides what the store allows.
const OVERHEAD: usize = 512 << 10;

/// What the parser of protobuf says of what is none.
const NO_MESSAGE: &str = "proto: cannot parse invalid wire-format data";

/// What is done for the call shall end.
pub(super) struct Over;

/// One call.
pub(super) struct Call {
    member: Rc<Member>,
    connection: Rc<Connection<GrpcDown, GrpcUp>>,
    id: CallId,
    pub(super) path: String,
    pub(super) metadata: Metadata,
    pub(super) token: Option<Token>,
    inbox: RefCell<VecDeque<Received>>,
    half_closed: Cell<bool>,
    over: Cell<bool>,
    /// Whether nobody wants to hear how the call ends.
    gone: Cell<bool>,
    /// Wakes those who wait for one of the four before.
    changed: Notify,
    window: Window,
}

/// A message.
#[derive(Clone)]
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) operation: Option<OperationId>,
}

impl Call {
    pub(super) fn new(
        member: Rc<Member>,
        connection: Rc<Connection<GrpcDown, GrpcUp>>,
        id: CallId,
        path: String,
        metadata: Metadata,
    ) -> Self {
        let token = metadata.token.as_ref().map(|token| String::from_utf8_lossy(token).into());
        let window = Window::new(member.options.watch.window_bytes);
        Self {
            member,
            connection,
            id,
            path,
            metadata,
            token,
            inbox: RefCell::default(),
            half_closed: Cell::new(false),
            over: Cell::new(false),
            gone: Cell::new(false),
            changed: Notify::new(),
            window,
        }
    }

    pub(super) fn push(&self, bytes: Bytes, operation: Option<OperationId>) {
        self.inbox.borrow_mut().push_back(Received { bytes, operation });
        self.changed.notify_waiters();
    }

    pub(super) fn half_close(&self) {
        self.half_closed.set(true);
        self.changed.notify_waiters();
    }

    /// The caller has gone.
    pub(super) fn cancel(&self) {
        self.gone.set(true);
        self.abort();
    }

    /// What is done for the call shall end; its caller will hear why.
    pub(super) fn abort(&self) {
        self.over.set(true);
        self.changed.notify_waiters();
    }

    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// Who asks for what is done with a message.
    pub(super) fn origin(&self, operation: Option<OperationId>) -> Origin {
        Origin { operation, token: self.token.clone() }
    }

    /// Waits until the call is over.
    pub(super) async fn cancelled(&self) {
        loop {
            let changed = self.changed.notified();
            if self.over.get() {
                return;
            }
            changed.await;
        }
    }

    /// The next message; nothing when there will be no more.
    pub(super) async fn receive(&self) -> Result<Option<Received>, Failure> {
        loop {
            let changed = self.changed.notified();
            if self.over.get() {
                return Err(Over.into());
            }
            if let Some(received) = self.inbox.borrow_mut().pop_front() {
                self.check_size(&received.bytes)?;
                return Ok(Some(received));
            }
            if self.half_closed.get() {
                return Ok(None);
            }
            changed.await;
        }
    }

    /// The message of a call that has one.
    pub(super) async fn receive_only(&self) -> Result<Received, Failure> {
        // What gRPC's server says of a stream that ends without it.
        self.receive().await?.ok_or_else(|| Status::new(Code::Unknown, "EOF").into())
    }

    fn check_size(&self, bytes: &Bytes) -> Result<(), Status> {
        let bytes_max = self.member.options.request_bytes_max + OVERHEAD;
        if bytes.len() <= bytes_max {
            return Ok(());
        }
        let text = format!("grpc: received message larger than max ({} vs. {bytes_max})", bytes.len());
        Err(Status::new(Code::ResourceExhausted, text))
    }

    /// Sends a message without regard to the window: the answer of a call that has one.
    pub(super) fn send_at_once(&self, bytes: Bytes) {
        self.tell(Down::Message { call: self.id, bytes });
    }

    /// Sends a message when the caller has consumed enough of those before.
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), Failure> {
        let room = pin!(self.window.take(bytes.len() as u64));
        match select(room, pin!(self.cancelled())).await {
            Either::Left(((), _)) => self.send_at_once(bytes),
            Either::Right(_) => return Err(Over.into()),
        }
        Ok(())
    }

    /// Ends the call, if anybody waits for that.
    pub(super) fn end(&self, status: Option<Status>) {
        if let Some(status) = status.filter(|_| !self.gone.get()) {
            self.tell(Down::End { call: self.id, status });
        }
    }

    /// Whether the connection is broken shows when it is read from.
    fn tell(&self, down: Down) {
        let _ = self.connection.send(GrpcDown { down, applied_index: self.member.visible_index() });
    }
}

/// The message of a unary call.
pub(super) fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|_| undecodable())
}

/// The message of a stream.
pub(super) fn decode_of_stream<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|_| {
        Status::new(Code::Internal, format!("grpc: failed to unmarshal the received message: {NO_MESSAGE}"))
    })
}

/// What a unary call ends with whose message cannot be read.
pub(super) fn undecodable() -> Status {
    Status::new(Code::Internal, format!("grpc: error unmarshalling request: {NO_MESSAGE}"))
}
