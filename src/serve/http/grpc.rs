//! Calls of gRPC over HTTP/2, as grpc-go serves them.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use tokio::time::Sleep;
use vertebra_model::error::Code;
use vertebra_model::grpc::{Metadata, Status};

use super::frames::{Ended, Messages, framed};
use super::{Body, Endpoint, Service, reflection, text};
use crate::serve::hub::{Call, Heard, UpLine, late};

/// Whether a request means to be a call of gRPC.
pub fn is_meant(request: &Request<Incoming>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    content_type.starts_with(b"application/grpc")
}

impl Endpoint {
    pub(super) async fn grpc(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if head.version != Version::HTTP_2 {
            return text(StatusCode::BAD_REQUEST, "gRPC requires HTTP/2");
        }
        if head.method != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "invalid gRPC request method");
        }
        let content_type = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if !matches!(content_type.get(16..), Some(b"" | b"+proto" | [b';', ..])) {
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid gRPC request content-type");
        }
        let path = head.uri.path();
        let service = &self.service;
        let counted = service.counters.begin(path);
        if let Some(encoding) = head.headers.get("grpc-encoding").filter(|encoding| *encoding != "identity") {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            let text = format!("grpc: Decompressor is not installed for grpc-encoding \"{encoding}\"");
            counted.end(Some(Code::Unimplemented));
            return ended(&Status::new(Code::Unimplemented, text));
        }
        let patience = match timeout(&head.headers) {
            Ok(patience) => patience,
            Err(status) => {
                counted.end(status.code);
                return ended(&status);
            }
        };
        let mut messages = Messages::new(body, service.message_bytes_max);
        if let Some(version) = reflection::Version::of(path) {
            counted.end(None);
            return reflection::answer(Arc::clone(service), version, messages);
        }
        let mut call = service.hub.call(self.member, path, metadata(&head.headers)).await;
        let up = call.up();
        let pumped = Arc::clone(service);
        tokio::spawn(async move { pump(&mut messages, &up, &pumped).await });

        let mut deadline = patience.map(|patience| Box::pin(tokio::time::sleep(patience)));
        // As grpc-go does, nothing is sent before there is something to say.
        let first = std::future::poll_fn(|context| poll_heard(&mut call, &mut deadline, context)).await;
        if let Some(Heard::End(status)) = &first {
            counted.end(status.code);
            return ended(status);
        }
        call.put_back(first);
        let answer = Answer { call, deadline, streams: service.streams(path), counted: Some(counted) };
        let mut response = Response::new(answer.boxed_unsync());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

impl Service {
    /// Whether a method answers with as many messages as it likes, so that the caller's window counts.
    pub fn streams(&self, path: &str) -> bool {
        let Some((service, method)) = path.trim_start_matches('/').rsplit_once('/') else { return false };
        let service = self.pool.get_service_by_name(service);
        service.is_some_and(|service| {
            service.methods().any(|known| known.name() == method && known.is_server_streaming())
        })
    }
}

/// Hands the messages of a request up, until there are no more.
async fn pump(messages: &mut Messages, up: &UpLine, service: &Service) {
    loop {
        match messages.next().await {
            Ok(message) => {
                service.counters.received(message.len());
                up.message(message).await;
            }
            Err(Ended::Well) => return up.half_close(),
            // Whoever is gone hears nothing, and what is to be heard is dropped with it.
            Err(Ended::Gone) => return,
            Err(Ended::Wrong(status)) => return up.refuse(status),
        }
    }
}

/// What is heard next of a call whose caller waits no longer than until a deadline.
fn poll_heard(
    call: &mut Call,
    deadline: &mut Option<Pin<Box<Sleep>>>,
    context: &mut Context<'_>,
) -> Poll<Option<Heard>> {
    if let Poll::Ready(heard) = call.poll_next(context) {
        return Poll::Ready(heard);
    }
    match deadline {
        Some(deadline) => deadline.as_mut().poll(context).map(|()| Some(Heard::End(late()))),
        None => Poll::Pending,
    }
}

/// The messages that a call is answered with, and its status behind them.
struct Answer {
    call: Call,
    deadline: Option<Pin<Box<Sleep>>>,
    streams: bool,
    /// Until it has ended.
    counted: Option<super::metrics::Begun>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    /// This is asked when there is room for more on the connection: so what is taken here is consumed.
    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let answer = self.get_mut();
        let Some(counted) = &answer.counted else { return Poll::Ready(None) };
        Poll::Ready(match ready!(poll_heard(&mut answer.call, &mut answer.deadline, context)) {
            Some(Heard::Message(message)) => {
                counted.sent(message.len());
                if answer.streams {
                    answer.call.consumed(message.len());
                }
                Some(Ok(Frame::data(framed(&message))))
            }
            Some(Heard::End(status)) => {
                if let Some(counted) = answer.counted.take() {
                    counted.end(status.code);
                }
                Some(Ok(Frame::trailers(trailers(&status))))
            }
            None => None,
        })
    }
}

/// An answer that is a status alone.
pub fn ended(status: &Status) -> Response<Body> {
    let mut response = super::response(StatusCode::OK, "application/grpc", Bytes::new());
    response.headers_mut().extend(trailers(status));
    response
}

/// A status as HTTP/2 has it.
pub fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let code = status.code.map_or(0, |code| code as u16);
    trailers.insert("grpc-status", HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&status.message)) {
        trailers.insert("grpc-message", message);
    }
    trailers
}

/// Text as `grpc-message` has it.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            // Writing to a `String` does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// What a caller says of itself.
fn metadata(headers: &HeaderMap) -> Metadata {
    let bytes = |name: &str| headers.get(name).map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Metadata {
        token: bytes("token").or_else(|| bytes("authorization")),
        require_leader: headers.get("hasleader").is_some_and(|value| value == "true"),
        client_api_version: bytes("client-api-version"),
    }
}

/// How long the caller waits, if it says so.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let malformed = || Status::new(Code::Internal, format!("malformed grpc-timeout: {text:?}"));
    let unit = text.chars().last().filter(char::is_ascii).ok_or_else(malformed)?;
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let number: u64 = digits.parse().map_err(|_| malformed())?;
    Ok(Some(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return Err(malformed()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_characters_that_a_header_can_have() {
        assert_eq!(percent_encoded("etcdserver: key not found"), "etcdserver: key not found");
        assert_eq!(percent_encoded("50 %\nñ"), "50 %25%0A%C3%B1");
    }

    #[test]
    fn a_timeout_is_read_with_its_unit() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            timeout(&headers).ok().flatten()
        };
        assert_eq!(read("5S"), Some(Duration::from_secs(5)));
        assert_eq!(read("4999961u"), Some(Duration::from_micros(4_999_961)));
        for bad in ["", "S", "5", "5x", "-5S", "123456789S", "5S "] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
