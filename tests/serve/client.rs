//! A client of gRPC over a real connection, and one of HTTP/1.1.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a call was answered with.
#[derive(Debug)]
pub struct Answered {
    pub messages: Vec<Bytes>,
    pub status: u16,
    pub text: String,
}

impl Answered {
    /// The one message of a call that went well.
    #[track_caller]
    pub fn message<M: Message + Default>(&self) -> M {
        assert_eq!(self.status, 0, "{}", self.text);
        M::decode(self.messages.first().expect("a message").clone()).expect("a message of this type")
    }
}

/// A connection.
pub struct Client {
    requests: SendRequest<Bytes>,
}

/// A call that is under way.
pub struct Stream {
    sends: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    receives: Option<RecvStream>,
    head: HeaderMap,
    read: BytesMut,
}

/// Runs `test`, with a runtime.
pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test)
}

pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).expect("a small message").to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

impl Client {
    pub async fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.expect("a connection")).await
    }

    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self { requests }
    }

    pub async fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Stream {
        let mut requests = self.requests.clone().ready().await.expect("room for a call");
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (response, sends) =
            requests.send_request(request.body(()).expect("a request"), false).expect("sent");
        Stream {
            sends,
            response: Some(response),
            receives: None,
            head: HeaderMap::new(),
            read: BytesMut::new(),
        }
    }

    pub async fn call(&self, path: &str, request: &impl Message) -> Answered {
        self.bytes(path, &framed(&request.encode_to_vec())).await
    }

    /// A call of which these bytes are the body.
    pub async fn bytes(&self, path: &str, body: &[u8]) -> Answered {
        let mut stream = self.stream(path, &[]).await;
        stream.raw(body, true);
        stream.rest().await
    }
}

impl Stream {
    /// Sends bytes.
    pub fn raw(&mut self, bytes: &[u8], is_last: bool) {
        self.sends.send_data(Bytes::copy_from_slice(bytes), is_last).expect("sent");
    }

    pub fn send(&mut self, request: &impl Message) {
        self.raw(&framed(&request.encode_to_vec()), false);
    }

    pub fn half_close(&mut self) {
        self.raw(b"", true);
    }

    /// The next message; nothing at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        timeout(PATIENCE, self.receive()).await.expect("something comes")
    }

    async fn receive(&mut self) -> Option<Bytes> {
        if let Some(response) = self.response.take() {
            let (head, body) = response.await.ok()?.into_parts();
            self.head = head.headers;
            self.receives = Some(body);
        }
        loop {
            if self.read.len() >= 5 {
                let length =
                    u32::from_be_bytes([self.read[1], self.read[2], self.read[3], self.read[4]]) as usize;
                if self.read.len() >= 5 + length {
                    self.read.advance(5);
                    return Some(self.read.split_to(length).freeze());
                }
            }
            let receives = self.receives.as_mut()?;
            let data = receives.data().await?.ok()?;
            let _ = receives.flow_control().release_capacity(data.len());
            self.read.extend_from_slice(&data);
        }
    }

    /// Everything that is still to come.
    pub async fn rest(mut self) -> Answered {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        let trailers = match &mut self.receives {
            Some(receives) => poll_fn(|context| receives.poll_trailers(context)).await.ok().flatten(),
            None => None,
        };
        let trailers = trailers.unwrap_or(self.head);
        let text =
            |name| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Answered {
            messages,
            status: text("grpc-status").parse().unwrap_or(u16::MAX),
            text: text("grpc-message"),
        }
    }
}

/// A request over HTTP/1.1: status and body.
pub fn http(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head[9..12].parse().expect("a status"), body.to_owned())
}
