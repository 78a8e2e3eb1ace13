//! A door: the machine in the simulation that stands for all outside callers of one member.
//!
//! It is to its member what a client's process is: one connection that carries many calls, made when there is something to
//! send, and made anew when it broke. What a caller is told of that is what grpc-go tells.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use vertebra_sim::network::{ConnectError, Connection};
use vertebra_sim::{Node, NodeId, record};

use super::Doors;
use super::operations::{self, Call};
use crate::client::{Shown, Told};
use crate::error::Code;
use crate::grpc::{CallId, Down, Metadata, Status, Up};
use crate::history::{OperationId, Outcome};
use crate::observer::Observer;
use crate::wire::{GRPC_PORT, GrpcDown, GrpcUp};

/// What grpc-go says to callers whose connection breaks.
const BROKEN: &str = "error reading from server: EOF";

/// What it says to those who find nobody there.
const REFUSED: &str =
    "connection error: desc = \"transport: Error while dialing: dial tcp: connect: connection refused\"";

/// And to those who hear nothing.
const TIMED_OUT: &str = "connection error: desc = \"transport: Error while dialing: dial tcp: i/o timeout\"";

/// How many operations are judged whatever they are. Beyond that, only each sixteenth read is, so that a cluster that is read from
/// for days does not need more and more memory.
const READS_MAX: u64 = 200_000;

/// See above.
const OF_READS: u64 = 16;

/// Serves callers from outside until the run ends.
pub(super) async fn run(node: Node, observer: Rc<Observer>, doors: &Rc<Doors>) {
    let NodeId::Client(member) = node.id() else { return };
    let mut door = Door { node, observer, doors: Rc::clone(doors), member, calls: BTreeMap::new(), reads: 0 };
    loop {
        let up = poll_fn(|context| door.doors.poll_next(member, context)).await;
        // What is of a call that is over is worth no connection.
        if !matches!(up, Up::Begin { .. }) {
            continue;
        }
        match door.node.connect(NodeId::Member(member), GRPC_PORT).await {
            Ok(connection) => door.serve(&connection, up).await,
            Err(error) => door.refuse(up, error),
        }
    }
}

struct Door {
    node: Node,
    observer: Rc<Observer>,
    doors: Rc<Doors>,
    /// Whose door it is.
    member: u16,
    /// The calls that are under way on the connection that there is.
    calls: BTreeMap<CallId, Call>,
    /// Reads since not all of them are judged.
    reads: u64,
}

impl Drop for Door {
    /// Its process is killed, or the run is over: nobody else will tell its callers.
    fn drop(&mut self) {
        for call in std::mem::take(&mut self.calls).into_keys() {
            self.tell_end(call, BROKEN);
        }
    }
}

impl Door {
    /// Goes on for as long as the connection lasts.
    async fn serve(&mut self, connection: &Connection<GrpcUp, GrpcDown>, first: Up) {
        let mut next = Some(first);
        loop {
            if let Some(up) = next.take() {
                let operation = self.note(&up);
                // Where it is broken, that is found out below.
                let _ = connection.send(GrpcUp { up, operation });
            }
            let (member, doors) = (self.member, &self.doors);
            let event = poll_fn(|context| {
                // What the member says comes first: what comes in now may be about calls that are over by now.
                if let Poll::Ready(down) = connection.poll_receive(context) {
                    return Poll::Ready(Event::Down(down.ok()));
                }
                doors.poll_next(member, context).map(Event::Up)
            })
            .await;
            match event {
                Event::Up(up) => next = self.is_of_use(&up).then_some(up),
                Event::Down(Some(down)) => self.pass_on(down),
                Event::Down(None) => return self.break_off(),
            }
        }
    }

    /// Whether it is of a call that is still under way.
    fn is_of_use(&self, up: &Up) -> bool {
        match up {
            Up::Begin { call, .. } => !self.calls.contains_key(call),
            Up::Message { call, .. }
            | Up::HalfClose { call }
            | Up::Consumed { call, .. }
            | Up::Cancel { call } => self.calls.contains_key(call),
        }
    }

    /// Takes in what a caller sends; the operation that it begins, if it does.
    fn note(&mut self, up: &Up) -> Option<OperationId> {
        match up {
            Up::Begin { call, path, metadata } => {
                self.calls.insert(*call, Call::new(path.clone(), metadata.clone()));
                None
            }
            Up::Message { call, bytes } => {
                let begun = self.calls.get(call)?;
                let request = begun.request(bytes)?;
                if request.is_read_only() && self.observer.operations() > READS_MAX {
                    self.reads += 1;
                    if !self.reads.is_multiple_of(OF_READS) {
                        return None;
                    }
                }
                let operation = self.observer.invoked(self.observer.new_session(), &request);
                record!(self.node, "client", "{}: {}", operation.index(), Shown(&request));
                if let Some((user, token)) = self.sender(&begun.metadata) {
                    self.observer.invoked_by(operation, user, token);
                }
                self.calls.get_mut(call)?.begin(operation, request);
                Some(operation)
            }
            Up::Cancel { call } => {
                let call = self.calls.remove(call)?;
                call.operations().for_each(|operation| self.end(operation, &Outcome::Unknown, None));
                None
            }
            Up::HalfClose { .. } | Up::Consumed { .. } => None,
        }
    }

    /// Who a caller is, as far as that is known: of a token that no member gave to anybody, nothing can be said.
    fn sender(&self, metadata: &Metadata) -> Option<(String, Option<Rc<str>>)> {
        let Some(token) = &metadata.token else { return Some((String::new(), None)) };
        let user = self.doors.users.borrow().get(token)?.clone();
        Some((user, Some(std::str::from_utf8(token).ok()?.into())))
    }

    /// Takes in what the member says, and tells it to the outside.
    fn pass_on(&mut self, GrpcDown { down, applied_index }: GrpcDown) {
        match &down {
            Down::Message { call, bytes } => {
                let Some(call) = self.calls.get_mut(call) else { return };
                if let Some((operation, response)) = call.hear(bytes) {
                    let outcome = response.map_or(Outcome::Unknown, Outcome::Ok);
                    self.end(operation, &outcome, Some(applied_index));
                }
            }
            Down::End { call, status } => {
                let Some(mut call) = self.calls.remove(call) else { return };
                if let Some((operation, request, outcome)) = call.close(status) {
                    if let Some((user, token)) = operations::token(&request, &outcome) {
                        let token = Bytes::copy_from_slice(token.as_bytes());
                        self.doors.users.borrow_mut().insert(token, user.to_owned());
                    }
                    self.end(operation, &outcome, Some(applied_index));
                }
                call.operations().for_each(|operation| self.end(operation, &Outcome::Unknown, None));
            }
        }
        self.doors.tell(self.member, down);
    }

    fn end(&self, operation: OperationId, outcome: &Outcome, applied_index: Option<u64>) {
        record!(self.node, "client", "{}: {}", operation.index(), Told(outcome));
        let applied_index = applied_index.filter(|_| *outcome != Outcome::Unknown);
        self.observer.returned(operation, outcome, applied_index);
    }

    /// Nobody answers: everything that has come in since the first call began goes the same way.
    fn refuse(&mut self, first: Up, error: ConnectError) {
        let text = match error {
            ConnectError::Refused => REFUSED,
            ConnectError::TimedOut => TIMED_OUT,
        };
        record!(self.node, "client", "cannot reach member {}: {}", self.member, error.to_string());
        let waiting = self.doors.take_waiting(self.member);
        for up in std::iter::once(first).chain(waiting) {
            if let Up::Begin { call, .. } = up {
                self.tell_end(call, text);
            }
        }
    }

    /// The connection is broken, and all calls with it.
    fn break_off(&mut self) {
        for (number, call) in std::mem::take(&mut self.calls) {
            call.operations().for_each(|operation| self.end(operation, &Outcome::Unknown, None));
            self.tell_end(number, BROKEN);
        }
    }

    fn tell_end(&self, call: CallId, text: &str) {
        let status = Status::new(Code::Unavailable, text);
        self.doors.tell(self.member, Down::End { call, status });
    }
}

/// What a door waits for.
enum Event {
    Up(Up),
    /// Nothing when the connection is broken.
    Down(Option<GrpcDown>),
}
