//! Nothing that comes in stops it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;
use vertebra_sim::random::{Stream, Streams};

use crate::client::{Client, block_on, framed, http};
use crate::server::{Server, vertebra};
use crate::support::folder;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn bytes(draws: &mut Stream, length_max: u64) -> Vec<u8> {
    (0..draws.below(length_max + 1)).map(|_| draws.next_u64() as u8).collect()
}

/// Sends bytes, and goes away some time after.
fn throw(to: SocketAddr, thrown: &[u8]) {
    let mut stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time limit");
    // It may have been closed by then.
    let _ = stream.write_all(thrown);
    let _ = stream.read(&mut [0; 512]);
}

fn every_method() -> Vec<String> {
    let pool = prost_reflect::DescriptorPool::decode(vertebra_model::api::DESCRIPTORS).expect("descriptors");
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name())).collect()
}

#[test]
fn garbage_at_the_ports_and_in_messages_never_stops_it() {
    let folder = folder("serve-garbage");
    let mut server = Server::start(&folder, &[]);
    let draws = &mut Streams::new(5).stream("tests/garbage", 0);
    for round in 0..150 {
        let to = server.endpoints[round % 3];
        let noise = bytes(draws, 200);
        match round % 5 {
            0 => throw(to, &noise),
            // Frames of HTTP/2, some of which have a head that could be one.
            1 => throw(to, &[PREFACE, &noise].concat()),
            2 => {
                let (kind, flags, stream) =
                    (draws.below(12) as u8, draws.next_u64() as u8, draws.below(4) as u8);
                let head = [0, 0, noise.len() as u8, kind, flags, 0, 0, 0, stream];
                throw(to, &[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &head, &noise].concat());
            }
            3 => throw(
                to,
                &[b"POST /v3/kv/put HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n{", &noise[..]]
                    .concat(),
            ),
            _ => throw(to, &[b"GET /".as_slice(), &noise, b" HTTP/1.1\r\n\r\n"].concat()),
        }
    }
    block_on(async {
        let client = Client::connect(server.endpoints[0]).await;
        for (number, path) in every_method().into_iter().enumerate() {
            for part in 0..4 {
                let noise = bytes(draws, 60);
                let body = if part == 0 { noise } else { framed(&noise).to_vec() };
                let mut stream = client.stream(&path, &[("grpc-timeout", "300m")]).await;
                let cut = body.len() - if (number + part) % 3 == 0 { body.len().min(1) } else { 0 };
                stream.raw(&body[..cut], part < 3);
                if part < 3 {
                    stream.rest().await;
                }
            }
        }
    });
    for _ in 0..100 {
        let mut text = String::from_utf8_lossy(&bytes(draws, 60)).into_owned();
        if draws.chance(500_000) {
            text = format!("{{\"key\": {text:?}, \"limit\": {}}}", draws.next_u64());
        }
        for path in ["/v3/kv/range", "/v3/kv/txn", "/v3/lease/grant"] {
            http(server.endpoints[1], "POST", path, &text);
        }
    }
    let deep = "{\"success\":[{\"request_txn\":".repeat(5_000);
    http(server.endpoints[0], "POST", "/v3/kv/txn", &deep);
    assert!(server.runs());
    let put = json!({ "key": "Zm9v", "value": "YmFy" }).to_string();
    let (status, body) = http(server.endpoints[2], "POST", "/v3/kv/put", &put);
    assert_eq!(status, 200, "{body}");
    let (code, verdict) = server.end();
    assert_eq!(code, Some(0), "{verdict}");
    let again = vertebra(&folder, &["replay", "session.jsonl", "--verdict", "--json"]).expect(0);
    assert_eq!(again.last()["digest"], verdict["digest"]);
}
