//! Which calls are operations that the oracles know, and what became of them.
//!
//! These are the calls of the services KV, Lease and Auth. All have one request and one answer, but for those that keep
//! leases alive: each request on such a stream is an operation, and they are answered in order.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::api::AuthRequest;
use crate::auth::AuthResponse;
use crate::error::Error;
use crate::grpc::{Metadata, Status, decode_request, decode_response};
use crate::history::{OperationId, Outcome, Request};
use crate::response::Response;

/// A call that is under way.
pub(super) struct Call {
    path: String,
    pub(super) metadata: Metadata,
    /// Operations that are not answered, in order.
    unanswered: VecDeque<(OperationId, Request)>,
    /// The answer of a call that has one, which counts when the call has ended well.
    answer: Option<Bytes>,
}

impl Call {
    pub(super) fn new(path: String, metadata: Metadata) -> Self {
        Self { path, metadata, unanswered: VecDeque::new(), answer: None }
    }

    /// The request that a message is, if it is an operation.
    pub(super) fn request(&self, bytes: &Bytes) -> Option<Request> {
        let request = decode_request(&self.path, bytes.clone())?.ok()?;
        // A second message of a call that has one is of no meaning.
        (is_stream(&request) || self.unanswered.is_empty()).then_some(request)
    }

    pub(super) fn begin(&mut self, operation: OperationId, request: Request) {
        self.unanswered.push_back((operation, request));
    }

    /// The operations that are not answered.
    pub(super) fn operations(&self) -> impl Iterator<Item = OperationId> {
        self.unanswered.iter().map(|(operation, _)| *operation)
    }

    /// Takes in a message; what it says of which operation, unless that is to be seen at the end.
    pub(super) fn hear(&mut self, bytes: &Bytes) -> Option<(OperationId, Option<Response>)> {
        match self.unanswered.front() {
            Some((_, request)) if is_stream(request) => {
                let (operation, _) = self.unanswered.pop_front()?;
                Some((operation, self.response(bytes)))
            }
            Some(_) => {
                self.answer = Some(bytes.clone());
                None
            }
            None => None,
        }
    }

    /// Takes in how it ended; what became of the operation that this is about, if there is one.
    pub(super) fn close(&mut self, status: &Status) -> Option<(OperationId, Request, Outcome)> {
        let (operation, request) = self.unanswered.pop_front()?;
        let outcome = match status.code {
            None => {
                let answer = self.answer.take().and_then(|bytes| self.response(&bytes));
                answer.map_or(Outcome::Unknown, Outcome::Ok)
            }
            Some(_) => match error_of(status) {
                Some(error) if !error.outcome_unknown() => Outcome::Failed(error),
                _ => Outcome::Unknown,
            },
        };
        Some((operation, request, outcome))
    }

    fn response(&self, bytes: &Bytes) -> Option<Response> {
        decode_response(&self.path, bytes.clone())?.ok()
    }
}

/// The user to whom a token was given, and the token, if that is what was asked for.
pub(super) fn token<'a>(request: &'a Request, outcome: &'a Outcome) -> Option<(&'a str, &'a str)> {
    match (request, outcome) {
        (
            Request::Auth(AuthRequest::Authenticate(asked)),
            Outcome::Ok(Response::Auth(AuthResponse::Authenticate(response))),
        ) => Some((&asked.name, &response.token)),
        _ => None,
    }
}

/// Whether more requests may follow on the same call.
fn is_stream(request: &Request) -> bool {
    matches!(request, Request::LeaseKeepAlive(_))
}

/// The error that a status is, if it is one of etcd's.
fn error_of(status: &Status) -> Option<Error> {
    REFUSALS.into_iter().find(|error| Status::from(*error) == *status)
}

/// What the oracles look into. Of any other refusal it is enough to know nothing.
const REFUSALS: [Error; 37] = [
    Error::EmptyKey,
    Error::KeyNotFound,
    Error::ValueProvided,
    Error::LeaseProvided,
    Error::TooManyOps,
    Error::DuplicateKey,
    Error::InvalidSortOption,
    Error::RequestTooLarge,
    Error::Compacted,
    Error::FutureRevision,
    Error::NoSpace,
    Error::LeaseNotFound,
    Error::LeaseExists,
    Error::LeaseTtlTooLarge,
    Error::TooManyRequests,
    Error::PermissionDenied,
    Error::InvalidAuthToken,
    Error::AuthOldRevision,
    Error::UserEmpty,
    Error::RoleEmpty,
    Error::AuthFailed,
    Error::NoPasswordUser,
    Error::PermissionNotGiven,
    Error::InvalidAuthMgmt,
    Error::RootUserNotExist,
    Error::RootRoleNotExist,
    Error::UserAlreadyExist,
    Error::UserNotFound,
    Error::RoleAlreadyExist,
    Error::RoleNotFound,
    Error::RoleNotGranted,
    Error::PermissionNotGranted,
    Error::AuthNotEnabled,
    Error::NotSupportedForLearner,
    Error::NoLeader,
    Error::Corrupt,
    Error::UnknownMethod,
];
