//! Calls as JSON, as grpc-gateway (version 1, which etcd has) translates them.
//!
//! Fields have their names from the protocol, numbers of 64 bits are strings, bytes are base64, and what has its default is left
//! out. A method that answers many times gives an object on each line, `{"result": ...}`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use serde::Serialize;
use serde_json::value::RawValue;
use vertebra_model::error::Code;
use vertebra_model::grpc::{Metadata, Status};

use super::{Body, Endpoint, HEAD_PATIENCE, Service, json, text};
use crate::serve::hub::{Call, Heard, UpLine, late};

/// What a request as JSON may have more of bytes than the message that it is: base64, escapes, names.
const TIMES: usize = 4;

impl Endpoint {
    pub(super) async fn gateway(&self, path: &'static str, request: Request<Incoming>) -> Response<Body> {
        let service = &self.service;
        let Some(method) = service.method(path) else {
            return text(StatusCode::NOT_FOUND, "404 page not found");
        };
        let (head, body) = request.into_parts();
        let metadata = metadata(&head.headers);
        let mut values = Values { body, read: BytesMut::new(), bytes_max: service.message_bytes_max * TIMES };
        if method.is_client_streaming() {
            let call = service.hub.call(self.member, path, metadata).await;
            let (up, input) = (call.up(), method.input());
            tokio::spawn(async move { pump(&mut values, &up, &input).await });
            return stream(call, &method).await;
        }
        let request = match values.only().await.and_then(|value| read(&value, &method.input())) {
            Ok(request) => request,
            Err(status) => return failed(&status),
        };
        let mut call = service.hub.call(self.member, path, metadata).await;
        let up = call.up();
        up.message(request).await;
        up.half_close();
        if method.is_server_streaming() {
            return stream(call, &method).await;
        }
        let mut answer = None;
        loop {
            match call.next().await {
                Some(Heard::Message(bytes)) => answer = Some(bytes),
                Some(Heard::End(status)) if status.code.is_some() => return failed(&status),
                Some(Heard::End(_)) | None => break,
            }
        }
        match answer
            .ok_or_else(|| Status::new(Code::Internal, "no answer"))
            .and_then(|bytes| written(&bytes, &method.output()))
        {
            Ok(text) => json(StatusCode::OK, text),
            Err(status) => failed(&status),
        }
    }
}

impl Service {
    fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let (service, method) = path.trim_start_matches('/').split_once('/')?;
        self.pool.get_service_by_name(service)?.methods().find(|known| known.name() == method)
    }
}

fn metadata(headers: &HeaderMap) -> Metadata {
    let token = headers.get(AUTHORIZATION).or_else(|| headers.get("grpc-metadata-token"));
    let require_leader = headers.get("grpc-metadata-hasleader").is_some_and(|value| value == "true");
    Metadata {
        token: token.map(|token| Bytes::copy_from_slice(token.as_bytes())),
        require_leader,
        client_api_version: None,
    }
}

/// A request as the message that it is.
fn read(value: &[u8], input: &MessageDescriptor) -> Result<Bytes, Status> {
    let wrong = |error: serde_json::Error| Status::new(Code::InvalidArgument, error.to_string());
    let mut json = serde_json::Deserializer::from_slice(value);
    let message = DynamicMessage::deserialize(input.clone(), &mut json).map_err(wrong)?;
    json.end().map_err(wrong)?;
    Ok(message.encode_to_vec().into())
}

/// A message as JSON.
fn written(bytes: &Bytes, output: &MessageDescriptor) -> Result<Vec<u8>, Status> {
    let wrong = |error: String| Status::new(Code::Internal, error);
    let message = DynamicMessage::decode(output.clone(), bytes.clone());
    let message = message.map_err(|error| wrong(error.to_string()))?;
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::new(&mut text);
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(true)
        .use_proto_field_name(true)
        .skip_default_fields(true);
    message.serialize_with_options(&mut json, &options).map_err(|error| wrong(error.to_string()))?;
    Ok(text)
}

/// What grpc-gateway answers a call with that failed.
#[derive(Serialize)]
struct Failed<'a> {
    error: &'a str,
    code: u8,
    message: &'a str,
}

fn failed(status: &Status) -> Response<Body> {
    let code = status.code.unwrap_or(Code::Unknown);
    let failed = Failed { error: &status.message, code: code as u8, message: &status.message };
    json(http_status(code), serde_json::to_vec(&failed).unwrap_or_default())
}

/// And a stream that did.
#[derive(Serialize)]
struct FailedStream<'a> {
    error: FailedIn<'a>,
}

#[derive(Serialize)]
struct FailedIn<'a> {
    grpc_code: u8,
    http_code: u16,
    message: &'a str,
    http_status: &'a str,
}

fn failed_stream(status: &Status) -> Vec<u8> {
    let code = status.code.unwrap_or(Code::Unknown);
    let http = http_status(code);
    let error = FailedIn {
        grpc_code: code as u8,
        http_code: http.as_u16(),
        message: &status.message,
        http_status: http.canonical_reason().unwrap_or_default(),
    };
    serde_json::to_vec(&FailedStream { error }).unwrap_or_default()
}

/// The status of HTTP that grpc-gateway gives for one of gRPC.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Canceled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The JSON values of a body, one after the other.
struct Values {
    body: Incoming,
    read: BytesMut,
    bytes_max: usize,
}

impl Values {
    /// The next value; nothing behind the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let (mut looks, mut is_over) = (!self.read.is_empty(), false);
        loop {
            if looks {
                let mut values = serde_json::Deserializer::from_slice(&self.read).into_iter::<&RawValue>();
                match values.next() {
                    Some(Ok(_)) => {
                        let end = values.byte_offset();
                        return Ok(Some(self.read.split_to(end).freeze()));
                    }
                    Some(Err(error)) if error.is_eof() && !is_over => {}
                    Some(Err(error)) => return Err(Status::new(Code::InvalidArgument, error.to_string())),
                    None => {}
                }
            }
            if is_over {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if self.read.len() + data.len() > self.bytes_max {
                        return Err(Status::new(Code::InvalidArgument, "http: request body too large"));
                    }
                    // Not after each byte of one that comes byte by byte: an object ends in a brace.
                    looks = data.contains(&b'}');
                    self.read.extend_from_slice(&data);
                }
                Some(Err(_)) => return Err(Status::new(Code::InvalidArgument, "unexpected EOF")),
                None => (looks, is_over) = (true, true),
            }
        }
    }

    /// The one value that there shall be. A body without any is an empty object.
    async fn only(mut self) -> Result<Bytes, Status> {
        let value = tokio::time::timeout(HEAD_PATIENCE, self.next()).await.map_err(|_| late())?;
        Ok(value?.unwrap_or(Bytes::from_static(b"{}")))
    }
}

/// Hands the values of a request up, until there are no more.
async fn pump(values: &mut Values, up: &UpLine, input: &MessageDescriptor) {
    loop {
        match values.next().await {
            Ok(Some(value)) => match read(&value, input) {
                Ok(message) => up.message(message).await,
                Err(status) => return up.refuse(status),
            },
            Ok(None) => return up.half_close(),
            Err(status) => return up.refuse(status),
        }
    }
}

/// What a call is answered with that may be answered many times.
async fn stream(mut call: Call, method: &MethodDescriptor) -> Response<Body> {
    let first = call.next().await;
    if let Some(Heard::End(status)) = &first
        && status.code.is_some()
    {
        let code = status.code.unwrap_or(Code::Unknown);
        return json(http_status(code), failed_stream(status));
    }
    call.put_back(first);
    let lines = Lines { call, output: method.output(), is_over: false };
    let mut response = Response::new(lines.boxed_unsync());
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

struct Lines {
    call: Call,
    output: MessageDescriptor,
    is_over: bool,
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let lines = self.get_mut();
        if lines.is_over {
            return Poll::Ready(None);
        }
        let line = match ready!(lines.call.poll_next(context)) {
            Some(Heard::Message(bytes)) => {
                lines.call.consumed(bytes.len());
                match written(&bytes, &lines.output) {
                    Ok(text) => [&b"{\"result\":"[..], &text, b"}\n"].concat(),
                    Err(status) => {
                        lines.is_over = true;
                        failed_stream(&status)
                    }
                }
            }
            Some(Heard::End(status)) if status.code.is_some() => {
                lines.is_over = true;
                let mut line = failed_stream(&status);
                line.push(b'\n');
                line
            }
            Some(Heard::End(_)) | None => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(line.into()))))
    }
}
