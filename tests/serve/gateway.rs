//! JSON and pages over HTTP/1.1.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::client::{PATIENCE, http};
use crate::server::Server;
use crate::support::folder;

fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let (status, body) = http(server.endpoints[0], "POST", path, &body.to_string());
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}")))
}

#[test]
fn json_is_what_grpc_gateway_makes_of_the_messages() {
    let server = Server::start(&folder("serve-json"), &[]);
    let (status, put) =
        post(&server, "/v3/kv/put", &json!({ "key": "Zm9v", "value": "YmFy", "prevKv": true }));
    assert_eq!((status, &put["header"]["revision"]), (200, &json!("2")), "{put}");
    let (status, read) = post(&server, "/v3/kv/range", &json!({ "key": "Zm9v" }));
    assert_eq!(status, 200);
    let kv = json!({
        "key": "Zm9v", "value": "YmFy", "create_revision": "2", "mod_revision": "2", "version": "1"
    });
    assert_eq!((&read["kvs"], &read["count"]), (&json!([kv]), &json!("1")), "{read}");
    assert_eq!(read.get("more"), None, "{read}");
    let compares = json!([{ "key": "Zm9v", "target": "VERSION", "version": "1", "result": "EQUAL" }]);
    let delete = json!([{ "request_delete_range": { "key": "Zm9v" } }]);
    let (_, txn) = post(&server, "/v3/kv/txn", &json!({ "compare": compares, "success": delete }));
    assert_eq!(txn["responses"][0]["response_delete_range"]["deleted"], "1", "{txn}");

    let (status, refused) = post(&server, "/v3/kv/range", &json!({}));
    let text = "etcdserver: key is not provided";
    assert_eq!((status, refused), (400, json!({ "error": text, "code": 3, "message": text })));
    let (status, refused) = post(&server, "/v3/kv/range", &json!({ "no_such_field": 1 }));
    assert_eq!((status, &refused["code"]), (400, &json!(3)), "{refused}");
    assert_eq!(http(server.endpoints[0], "GET", "/v3/kv/range", "").0, 405);
    let not_found = (404, "Not Found\n".to_owned());
    assert_eq!(http(server.endpoints[0], "POST", "/v3/kv/get", "{}"), not_found);

    // The one field whose name etcd writes in another way than all others.
    let all = json!({ "permType": "READWRITE", "key": "AA==", "range_end": "AA==" });
    post(&server, "/v3/auth/role/add", &json!({ "name": "all" }));
    post(&server, "/v3/auth/role/grant", &json!({ "name": "all", "perm": all }));
    let (_, role) = post(&server, "/v3/auth/role/get", &json!({ "role": "all" }));
    assert_eq!(role["perm"], json!([all]), "{role}");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_watch_in_json_gives_an_object_on_each_line() {
    let server = Server::start(&folder("serve-json-watch"), &[]);
    let body = r#"{"create_request": {"key": "Zm9v"}}"#;
    let mut stream = TcpStream::connect(server.endpoints[1]).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let head = format!("POST /v3/watch HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).expect("sent");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    let created = lines.find(|line| line.starts_with('{')).expect("an object");
    let created: Value = serde_json::from_str(&created).expect("JSON");
    assert_eq!(created["result"]["created"], true, "{created}");
    post(&server, "/v3/kv/put", &json!({ "key": "Zm9v", "value": "YmFy" }));
    let told = lines.find(|line| line.starts_with('{')).expect("an object");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["result"]["events"][0]["kv"]["value"], "YmFy", "{told}");
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn pages_tell_version_health_and_metrics() {
    let server = Server::start(&folder("serve-pages"), &[]);
    let (status, version) = http(server.endpoints[0], "GET", "/version", "");
    assert!(status == 200 && version.starts_with("{\"etcdserver\":\"3."), "{version}");
    let (status, health) = http(server.endpoints[1], "GET", "/health", "");
    assert_eq!((status, &health[..]), (200, "{\"health\":\"true\",\"reason\":\"\"}"));
    let (status, metrics) = http(server.endpoints[2], "GET", "/metrics", "");
    assert!(status == 200 && metrics.contains("\netcd_server_has_leader 1\n"), "{metrics}");
    assert_eq!(http(server.endpoints[0], "GET", "/nowhere", "").0, 404);
    assert_eq!(server.end().0, Some(0));
}
