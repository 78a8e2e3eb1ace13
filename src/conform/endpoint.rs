//! A real server, over HTTP/2.
//!
//! There is no thread of its own: the runtime turns while something is waited for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Uri};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use vertebra_model::error::Code;
use vertebra_model::grpc::{CallId, Down, Metadata, Status, Up};

use super::side::Side;
use crate::exit::Refusal;

/// What may be under way on a connection and in a call: as much as will ever be.
const WINDOW_BYTES: u32 = 1 << 30;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A server at an address.
pub struct Endpoint {
    runtime: Runtime,
    authority: String,
    address: SocketAddr,
    /// To the connection, while there is one.
    requests: Option<SendRequest<Bytes>>,
    /// What callers still send to.
    calls: BTreeMap<CallId, SendStream<Bytes>>,
    came: UnboundedReceiver<Down>,
    comes: UnboundedSender<Down>,
}

impl Endpoint {
    /// The server at `url`, which is `http://HOST:PORT`.
    ///
    /// # Errors
    ///
    /// Nobody answers there.
    pub fn connect(url: &str) -> Result<Self, Refusal> {
        let refuse = |reason: &str| Refusal::new(format!("{url}: {reason}"));
        let uri: Uri = url.parse().map_err(|_| refuse("this is no address; write http://HOST:PORT"))?;
        let authority = match (uri.scheme_str(), uri.authority()) {
            (Some("http") | None, Some(authority)) => authority.clone(),
            (Some(_), _) => return Err(refuse("only http:// can be spoken here; TLS cannot")),
            _ => return Err(refuse("this is no address; write http://HOST:PORT")),
        };
        let place = (authority.host(), authority.port_u16().unwrap_or(2379));
        let mut addresses =
            std::net::ToSocketAddrs::to_socket_addrs(&place).map_err(|error| refuse(&error.to_string()))?;
        let address = addresses.next().ok_or_else(|| refuse("this host has no address"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| refuse(&error.to_string()))?;
        let (comes, came) = unbounded_channel();
        let authority = authority.to_string();
        let mut endpoint =
            Self { runtime, authority, address, requests: None, calls: BTreeMap::new(), came, comes };
        endpoint.open()?;
        Ok(endpoint)
    }

    fn open(&mut self) -> Result<(), Refusal> {
        let (address, authority) = (self.address, &self.authority);
        let refuse = |reason: String| {
            Refusal::new(format!(
                "no etcd can be reached at http://{authority} ({reason}); is it running there?"
            ))
        };
        let opened = self.runtime.block_on(async {
            let opening = async {
                let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                let mut builder = h2::client::Builder::new();
                builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
                builder.handshake(stream).await.map_err(|error| error.to_string())
            };
            tokio::time::timeout(CONNECT, opening).await.map_err(|_| "it does not answer".to_owned())?
        });
        let (requests, connection): (SendRequest<Bytes>, Connection<TcpStream, Bytes>) =
            opened.map_err(refuse)?;
        // How it ends is learnt from the calls.
        self.runtime.spawn(async { drop(connection.await) });
        self.requests = Some(requests);
        Ok(())
    }

    fn begin(&mut self, call: CallId, path: &str, metadata: &Metadata) -> Result<(), Refusal> {
        let ready = self.requests.take().and_then(|requests| self.runtime.block_on(requests.ready()).ok());
        if ready.is_none() {
            self.open()?;
        }
        let requests = ready.or_else(|| self.requests.take());
        let mut request = Request::post(format!("http://{}{path}", self.authority))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = &metadata.token {
            request = request.header("token", &token[..]);
        }
        if metadata.require_leader {
            request = request.header("hasleader", "true");
        }
        let sent = request.body(()).map_err(|error| error.to_string()).and_then(|request| {
            let mut requests = requests.ok_or("the connection is gone")?;
            let sent = requests.send_request(request, false).map_err(|error| error.to_string());
            self.requests = Some(requests);
            sent
        });
        let (response, sender) =
            sent.map_err(|reason| Refusal::new(format!("http://{}: {reason}", self.authority)))?;
        self.calls.insert(call, sender);
        let comes = self.comes.clone();
        self.runtime.spawn(async move {
            let status = receive(call, response, &comes).await;
            // Nobody listens any more when the endpoint is dropped.
            let _ = comes.send(Down::End { call, status });
        });
        Ok(())
    }
}

impl Side for Endpoint {
    fn is_in_real_time(&self) -> bool {
        true
    }

    fn up(&mut self, up: Up) -> Result<(), Refusal> {
        match up {
            Up::Begin { call, path, metadata } => self.begin(call, &path, &metadata)?,
            Up::Message { call, bytes } => {
                let mut frame = BytesMut::with_capacity(5 + bytes.len());
                frame.extend_from_slice(&[0]);
                frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
                frame.extend_from_slice(&bytes);
                if let Some(sender) = self.calls.get_mut(&call) {
                    // If the server has ended the call, that is what comes back.
                    let _ = sender.send_data(frame.freeze(), false);
                }
            }
            Up::HalfClose { call } => {
                if let Some(sender) = self.calls.get_mut(&call) {
                    let _ = sender.send_data(Bytes::new(), true);
                }
            }
            Up::Cancel { call } => {
                if let Some(mut sender) = self.calls.remove(&call) {
                    sender.send_reset(Reason::CANCEL);
                }
            }
            Up::Consumed { .. } => {}
        }
        Ok(())
    }

    fn next(&mut self, _call: CallId, patience: Duration) -> Result<Option<Down>, Refusal> {
        let came = &mut self.came;
        let next = self.runtime.block_on(async { tokio::time::timeout(patience, came.recv()).await });
        let next = next.ok().flatten();
        if let Some(Down::End { call, .. }) = &next {
            self.calls.remove(call);
        }
        Ok(next)
    }
}

/// Hands on what comes of a call, until it ends.
async fn receive(call: CallId, response: ResponseFuture, comes: &UnboundedSender<Down>) -> Status {
    let lost = |error: h2::Error| Status::new(Code::Unavailable, format!("the stream broke: {error}"));
    let (head, mut body) = match response.await {
        Ok(response) => response.into_parts(),
        Err(error) => return lost(error),
    };
    if let Some(status) = status(&head.headers) {
        return status;
    }
    if head.status != http::StatusCode::OK {
        return Status::new(Code::Unknown, format!("HTTP status {}", head.status));
    }
    match messages(call, &mut body, comes).await {
        Err(error) => lost(error),
        Ok(()) => match body.trailers().await {
            Err(error) => lost(error),
            Ok(trailers) => trailers
                .as_ref()
                .and_then(status)
                .unwrap_or_else(|| Status::new(Code::Unknown, "the call ended without a status")),
        },
    }
}

async fn messages(
    call: CallId,
    body: &mut RecvStream,
    comes: &UnboundedSender<Down>,
) -> Result<(), h2::Error> {
    let mut received = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        received.extend_from_slice(&data);
        while received.len() >= 5 {
            let length = u32::from_be_bytes([received[1], received[2], received[3], received[4]]) as usize;
            if received.len() < 5 + length {
                break;
            }
            received.advance(5);
            let bytes = received.split_to(length).freeze();
            let _ = comes.send(Down::Message { call, bytes });
        }
    }
    Ok(())
}

/// The status of gRPC in headers or trailers.
fn status(headers: &HeaderMap) -> Option<Status> {
    let number: u8 = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let text = headers.get("grpc-message").map(|text| unescaped(text.as_bytes())).unwrap_or_default();
    match (number, code(number)) {
        (0, _) => Some(Status::OK),
        (_, Some(code)) => Some(Status::new(code, text)),
        (_, None) => Some(Status::new(Code::Unknown, format!("code {number}: {text}"))),
    }
}

/// The code with this number.
fn code(number: u8) -> Option<Code> {
    use Code::{
        Canceled, DataLoss, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument, NotFound,
        OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable, Unimplemented,
        Unknown,
    };
    let codes = [
        Canceled,
        Unknown,
        InvalidArgument,
        DeadlineExceeded,
        NotFound,
        PermissionDenied,
        ResourceExhausted,
        FailedPrecondition,
        OutOfRange,
        Unimplemented,
        Internal,
        Unavailable,
        DataLoss,
        Unauthenticated,
    ];
    codes.into_iter().find(|code| *code as u8 == number)
}

/// Takes back gRPC's percent-encoding.
fn unescaped(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => char::from(*high)
                .to_digit(16)
                .zip(char::from(*low).to_digit(16))
                .map(|(high, low)| (high << 4 | low) as u8),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_with_its_text_as_it_was_before_it_was_encoded() {
        let mut headers = HeaderMap::new();
        assert_eq!(status(&headers), None);
        headers.insert("grpc-status", "11".parse().expect("a value"));
        headers.insert("grpc-message", "a%3Ab 100% %C3%A4".parse().expect("a value"));
        assert_eq!(status(&headers), Some(Status::new(Code::OutOfRange, "a:b 100% ä")));
    }

    #[test]
    fn a_place_where_nobody_listens_is_refused_with_its_address() {
        for url in ["http://127.0.0.1:1", "https://127.0.0.1:1", "nonsense:", ""] {
            let refusal = Endpoint::connect(url).err().expect("nobody listens there").to_string();
            assert!(refusal.contains(url), "{refusal}");
        }
    }
}
