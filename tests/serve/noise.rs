//! Noise that resembles what callers send, from many of them at once: messages with something wrong in them, halves of them, callers
//! who read nothing, streams without number. Nothing of it stops the command, breaks a guarantee, or makes it hold more and more.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::SendRequest;
use http::Request;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vertebra_sim::random::{Stream, Streams};

use crate::client::{block_on, framed};
use crate::server::{Server, vertebra};
use crate::support::folder;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No settings.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Callers at a time.
const CALLERS: u64 = 12;

/// How long one waits for an answer to what may deserve none.
const WAIT: Duration = Duration::from_millis(200);

/// Connections that one leaves open without a use.
const IDLE_MAX: usize = 40;

/// What the command takes at most, whatever comes in. What callers store and what is judged of them at the end are in it.
const RESIDENT_BYTES_MAX: u64 = 1 << 30;

/// One who makes noise.
struct Caller {
    endpoints: Vec<SocketAddr>,
    methods: Vec<MethodDescriptor>,
    draws: Stream,
    idle: Vec<Box<dyn Send>>,
}

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(vertebra_model::api::DESCRIPTORS).expect("descriptors");
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn bytes(draws: &mut Stream, length_max: u64) -> Vec<u8> {
    (0..draws.below(length_max + 1)).map(|_| draws.next_u64() as u8).collect()
}

/// Numbers at which something ends.
fn number(draws: &mut Stream) -> u64 {
    let some = [0, 1, 2, 127, 128, u64::from(u32::MAX), i64::MAX as u64, i64::MIN as u64, u64::MAX];
    match draws.below(12) {
        index if index < 9 => some[index as usize],
        _ => draws.next_u64() >> draws.below(64),
    }
}

fn value(kind: &Kind, draws: &mut Stream, depth: u32) -> Value {
    match kind {
        Kind::Bool => Value::Bool(draws.chance(500_000)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number(draws) as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number(draws) as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number(draws) as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number(draws)),
        Kind::Float => Value::F32(f32::NAN),
        Kind::Double => Value::F64(f64::NEG_INFINITY),
        Kind::String => Value::String(String::from_utf8_lossy(&bytes(draws, 12)).into_owned()),
        Kind::Bytes => Value::Bytes(bytes(draws, 12).into()),
        Kind::Enum(_) => Value::EnumNumber(draws.below(9) as i32 - 1),
        Kind::Message(descriptor) => Value::Message(message(descriptor, draws, depth + 1)),
    }
}

/// A message of that type in which some of the fields are set.
fn message(descriptor: &MessageDescriptor, draws: &mut Stream, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if field.is_map() || depth > 4 || !draws.chance(400_000) {
            continue;
        }
        let kind = field.kind();
        let value = match field.is_list() {
            true => Value::List((0..draws.below(4)).map(|_| value(&kind, draws, depth)).collect()),
            false => value(&kind, draws, depth),
        };
        message.set_field(&field, value);
    }
    message
}

/// Something is wrong in it, most of the time.
fn spoilt(mut text: Vec<u8>, draws: &mut Stream) -> Vec<u8> {
    for _ in 0..draws.below(4) {
        let place = draws.below(text.len() as u64 + 1) as usize;
        match draws.below(6) {
            0 => text.truncate(place),
            1 => {
                text.splice(place..place, bytes(draws, 12));
            }
            // A length, or a number, that is more than there is.
            2 => {
                text.splice(place..place, [0xff; 10]);
            }
            3 => {
                let again = text[place..].to_vec();
                text.extend(again);
            }
            4 => {
                let digits = b"18446744073709551616e999";
                text.splice(place..place, digits.iter().copied());
            }
            _ if place < text.len() => text[place] ^= 1 << draws.below(8),
            _ => {}
        }
    }
    text
}

async fn connect(to: SocketAddr) -> Option<SendRequest<Bytes>> {
    let (requests, connection) = h2::client::handshake(TcpStream::connect(to).await.ok()?).await.ok()?;
    tokio::spawn(connection);
    Some(requests)
}

/// Begins a call, and sends this much of it.
async fn begin(
    requests: &mut SendRequest<Bytes>,
    path: &str,
    body: Bytes,
    is_all: bool,
) -> Option<(h2::client::ResponseFuture, h2::SendStream<Bytes>)> {
    let request = Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "100m");
    *requests = timeout(WAIT, requests.clone().ready()).await.ok()?.ok()?;
    let (response, mut sends) = requests.send_request(request.body(()).ok()?, false).ok()?;
    sends.send_data(body, is_all).ok()?;
    Some((response, sends))
}

impl Caller {
    fn endpoint(&mut self) -> SocketAddr {
        let index = self.draws.below(self.endpoints.len() as u64);
        self.endpoints[index as usize]
    }

    fn method(&mut self) -> (String, MessageDescriptor) {
        let index = self.draws.below(self.methods.len() as u64);
        let method = &self.methods[index as usize];
        (format!("/{}/{}", method.parent_service().full_name(), method.name()), method.input())
    }

    fn leave_idle(&mut self, connection: impl Send + 'static) {
        if self.idle.len() >= IDLE_MAX {
            self.idle.remove(0);
        }
        self.idle.push(Box::new(connection));
    }

    /// Some calls over one connection, of which each has a message that may be spoilt.
    async fn calls(&mut self) -> Option<()> {
        let mut requests = connect(self.endpoint()).await?;
        for _ in 0..20 {
            let (path, input) = self.method();
            let mut body = Vec::new();
            for _ in 0..=self.draws.below(3) {
                let sent = message(&input, &mut self.draws, 0).encode_to_vec();
                body.extend(framed(&spoilt(sent, &mut self.draws)));
            }
            if self.draws.chance(200_000) {
                body = spoilt(body, &mut self.draws);
            }
            let is_all = self.draws.chance(700_000);
            let (response, sends) = begin(&mut requests, &path, body.into(), is_all).await?;
            if let Ok(Ok(response)) = timeout(WAIT, response).await {
                let mut body = response.into_body();
                while let Ok(Some(Ok(part))) = timeout(WAIT, body.data()).await {
                    let _ = body.flow_control().release_capacity(part.len());
                }
            }
            drop(sends);
        }
        Some(())
    }

    /// A call through the gateway.
    async fn json(&mut self) -> Option<()> {
        const PATHS: [(&str, &str); 8] = [
            ("/v3/kv/range", "etcdserverpb.RangeRequest"),
            ("/v3/kv/put", "etcdserverpb.PutRequest"),
            ("/v3/kv/txn", "etcdserverpb.TxnRequest"),
            ("/v3/watch", "etcdserverpb.WatchRequest"),
            ("/v3/lease/grant", "etcdserverpb.LeaseGrantRequest"),
            ("/v3/lease/keepalive", "etcdserverpb.LeaseKeepAliveRequest"),
            ("/v3/auth/authenticate", "etcdserverpb.AuthenticateRequest"),
            ("/v3/maintenance/status", "etcdserverpb.StatusRequest"),
        ];
        let (path, name) = PATHS[self.draws.below(PATHS.len() as u64) as usize];
        let input = self.methods[0].parent_pool().get_message_by_name(name)?;
        let sent = message(&input, &mut self.draws, 0);
        let mut body = spoilt(serde_json::to_vec(&sent).ok()?, &mut self.draws);
        if self.draws.chance(50_000) {
            let times = 1 << self.draws.below(14);
            body = b"{\"success\":[{\"request_txn\":".repeat(times);
        }
        // It may promise more than comes.
        let length = body.len() as u64 + if self.draws.chance(200_000) { 7 } else { 0 };
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        let mut stream = TcpStream::connect(self.endpoint()).await.ok()?;
        stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
        let mut answer = [0; 4_096];
        let _ = timeout(WAIT, stream.read(&mut answer)).await;
        if self.draws.chance(100_000) {
            self.leave_idle(stream);
        }
        Some(())
    }

    /// Frames of HTTP/2 that could be some.
    async fn frames(&mut self) -> Option<()> {
        let mut sent = [PREFACE, &SETTINGS].concat();
        for _ in 0..=self.draws.below(8) {
            let draws = &mut self.draws;
            let mut payload = bytes(draws, 60);
            let kind = if draws.chance(400_000) { 1 } else { draws.below(11) as u8 };
            if kind == 1 {
                // A head with whatever for an authority.
                let length = payload.len() as u8;
                payload = [&[0x83, 0x86, 0x41, length | (draws.below(2) as u8) << 7][..], &payload].concat();
            }
            let stream = [0, 0, 0, draws.below(9) as u8];
            let head = [0, 0, payload.len() as u8, kind, draws.next_u64() as u8 & 0x2d];
            sent.extend([&head[..], &stream, &payload].concat());
        }
        let mut stream = TcpStream::connect(self.endpoint()).await.ok()?;
        for part in sent.chunks(1 + self.draws.below(200) as usize) {
            stream.write_all(part).await.ok()?;
        }
        let _ = timeout(WAIT, stream.read(&mut [0; 512])).await;
        if self.draws.chance(200_000) {
            self.leave_idle(stream);
        }
        Some(())
    }

    /// Watches of everything, whose events nobody reads; some of them are left alone.
    async fn streams(&mut self) -> Option<()> {
        let mut requests = connect(self.endpoint()).await?;
        let create = vertebra_model::api::WatchCreateRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            start_revision: self.draws.below(2) as i64,
            ..Default::default()
        };
        let union = vertebra_model::api::watch_request::RequestUnion::CreateRequest(create);
        let body = framed(&vertebra_model::api::WatchRequest { request_union: Some(union) }.encode_to_vec());
        let mut begun = Vec::new();
        for _ in 0..self.draws.below(400) {
            begun.push(begin(&mut requests, "/etcdserverpb.Watch/Watch", body.clone(), false).await?);
        }
        if self.draws.chance(300_000) {
            self.leave_idle((requests, begun));
        }
        Some(())
    }

    async fn make_noise(&mut self, until: Instant) {
        while Instant::now() < until {
            // Whatever the other side makes of it.
            let _ = match self.draws.below(10) {
                0..4 => self.calls().await,
                4..7 => self.json().await,
                7..9 => self.frames().await,
                _ => self.streams().await,
            };
        }
    }
}

/// Makes noise for that long, looks how much it takes, and whether it still serves.
fn noise(name: &str, lasts: Duration, seed: u64) {
    let folder = folder(name);
    let mut server = Server::start(&folder, &[]);
    let callers = (0..CALLERS).map(|number| Caller {
        endpoints: server.endpoints.clone(),
        methods: methods(),
        draws: Streams::new(seed).stream("tests/noise", number),
        idle: Vec::new(),
    });
    let mut callers: Vec<_> = callers.collect();
    let (begin, part) = (Instant::now(), lasts / 10);
    block_on(async {
        for round in 1..=10 {
            let until = begin + part * round;
            join_all(callers.iter_mut().map(|caller| caller.make_noise(until))).await;
            let resident = server.resident_bytes();
            println!("{:6.1} s: {} MB resident", begin.elapsed().as_secs_f64(), resident >> 20);
            assert!(server.runs());
            assert!(resident < RESIDENT_BYTES_MAX, "{resident} bytes are resident");
        }
        drop(callers);
    });
    let (code, verdict) = server.end();
    assert_eq!(code, Some(0), "{verdict}");
    let again = vertebra(&folder, &["replay", "session.jsonl", "--verdict", "--json"]).expect(0);
    assert_eq!(again.last()["digest"], verdict["digest"]);
}

#[test]
fn noise_of_all_kinds_neither_stops_it_nor_fills_it() {
    noise("serve-noise", Duration::from_secs(4), 1);
}

/// For as many seconds as VERTEBRA_NOISE_SECONDS says, or ten minutes.
#[test]
#[ignore = "it takes ten minutes"]
fn noise_for_long_neither_stops_it_nor_fills_it() {
    let seconds = std::env::var("VERTEBRA_NOISE_SECONDS").ok().and_then(|text| text.parse().ok());
    noise("serve-noise-long", Duration::from_secs(seconds.unwrap_or(600)), 2);
}
