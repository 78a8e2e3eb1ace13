//! The endpoints: gRPC, its JSON gateway, and pages for people and monitors, all on the port of a member.
//!
//! | file | what |
//! | --- | --- |
//! | `grpc.rs`, `frames.rs` | calls of gRPC, as grpc-go serves them |
//! | `reflection.rs` | which services there are, for tools such as grpcurl |
//! | `authority.rs` | requests of etcd's own client, of which HTTP/2 would not take the head |
//! | `gateway.rs`, `paths.rs` | the same calls as JSON, as grpc-gateway serves them |
//! | `pages.rs`, `metrics.rs` | `/version`, `/health`, `/metrics` |
//! | `tls.rs` | certificates |
//!
//! Nothing that comes in here may stop the process or make it hold more and more: what is half sent waits for no longer than
//! a while, what is too large is refused, and how much may be under way is bounded.

mod authority;
mod frames;
mod gateway;
mod grpc;
mod metrics;
mod pages;
mod paths;
mod reflection;
pub mod tls;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use prost_reflect::DescriptorPool;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use self::authority::Authorities;
use self::metrics::Counters;
use super::hub::Hub;

/// Connections to one member at a time. More wait to be accepted.
const CONNECTIONS_MAX: usize = 4_096;

/// Calls at a time over one connection.
const STREAMS_MAX: u32 = 16_384;

/// How long the head of a request, a handshake, or a request of which there is one may take to arrive.
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is answered with.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What all endpoints know.
pub struct Service {
    pub hub: Arc<Hub>,
    pub pool: DescriptorPool,
    /// Bytes that a request may have (etcd: `--max-request-bytes` and some for what is around it).
    pub message_bytes_max: usize,
    pub counters: Counters,
}

/// An endpoint.
#[derive(Clone)]
struct Endpoint {
    service: Arc<Service>,
    /// Of which member it is.
    member: u16,
}

impl Service {
    pub fn new(hub: Arc<Hub>, request_bytes_max: usize) -> Result<Arc<Self>, String> {
        let pool = DescriptorPool::decode(vertebra_model::api::DESCRIPTORS)
            .map_err(|error| format!("the descriptors of etcd's API: {error}"))?;
        let message_bytes_max = request_bytes_max + (512 << 10);
        Ok(Arc::new(Self { hub, pool, message_bytes_max, counters: Counters::default() }))
    }
}

/// Serves whoever connects to a member, until the process ends.
pub async fn serve(service: Arc<Service>, member: u16, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let endpoint = Endpoint { service, member };
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Too many files are open, as a rule. Some of them will be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (endpoint, tls) = (endpoint.clone(), tls.clone());
        tokio::spawn(async move {
            let _permit = permit;
            connection(endpoint, stream, tls).await;
        });
    }
}

async fn connection(endpoint: Endpoint, stream: TcpStream, tls: Option<TlsAcceptor>) {
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(HEAD_PATIENCE)
        .max_header_list_size(16 << 10)
        // Those who reset streams as fast as they can are cut off.
        .max_pending_accept_reset_streams(128);
    let service = service_fn(move |request| {
        let endpoint = endpoint.clone();
        async move { Ok::<_, Infallible>(endpoint.answer(request).await) }
    });
    // A connection that ends badly is the caller's affair.
    match tls {
        None if !speaks(&stream).await => {}
        None => {
            let _ = builder.serve_connection(TokioIo::new(Authorities::new(stream)), service).await;
        }
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_PATIENCE, tls.accept(stream)).await {
                let _ = builder.serve_connection(TokioIo::new(Authorities::new(stream)), service).await;
            }
        }
    }
}

/// Whether anything comes in time by which the version of HTTP can be known.
async fn speaks(stream: &TcpStream) -> bool {
    let looks = async {
        let mut beginning = [0; PREFACE.len()];
        loop {
            let Ok(length @ 1..) = stream.peek(&mut beginning).await else { return false };
            if length == PREFACE.len() || !PREFACE.starts_with(&beginning[..length]) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HEAD_PATIENCE, looks).await.unwrap_or(false)
}

impl Endpoint {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if grpc::is_meant(&request) {
            return self.grpc(request).await;
        }
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET | &Method::HEAD, "/version") => pages::version(),
            (&Method::GET | &Method::HEAD, "/health") => self.health(request.uri().query()).await,
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics().await,
            (_, "/version" | "/health" | "/metrics") => {
                text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
            }
            (method, path) => match paths::find(path) {
                Some(method_path) if method == Method::POST => self.gateway(method_path, request).await,
                Some(_) => text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
                // The gateway has words of its own.
                None if path.starts_with("/v3/") => text(StatusCode::NOT_FOUND, "Not Found"),
                None => text(StatusCode::NOT_FOUND, "404 page not found"),
            },
        }
    }
}

fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

fn response(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn text(status: StatusCode, line: &str) -> Response<Body> {
    response(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

fn json(status: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    response(status, "application/json", bytes)
}
