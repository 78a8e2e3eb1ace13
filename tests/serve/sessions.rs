//! Sessions that were recorded are run again.

use std::fs::{self, OpenOptions};
use std::io::Write;

use serde_json::json;

use crate::client::http;
use crate::server::{Server, vertebra};
use crate::support::folder;

/// Some puts and reads at all members, whatever becomes of them.
fn talk(server: &Server, rounds: usize) {
    for round in 0..rounds {
        let endpoint = server.endpoints[round % server.endpoints.len()];
        let value = json!({ "key": "Zm9v", "value": "YmFy" }).to_string();
        http(endpoint, "POST", "/v3/kv/put", &value);
        http(endpoint, "POST", "/v3/kv/range", "{\"key\": \"Zm9v\"}");
    }
}

#[test]
fn a_session_under_faults_is_run_again_to_the_same_digest() {
    let folder = folder("serve-record");
    let server = Server::start(&folder, &["--faults", "default", "--seed", "3", "--speed", "4"]);
    talk(&server, 20);
    let (code, verdict) = server.end();
    assert_eq!(code, Some(0), "{verdict}");
    for _ in 0..2 {
        let again = vertebra(&folder, &["replay", "session.jsonl", "--verdict", "--json"]).expect(0);
        assert_eq!(again.last()["digest"], verdict["digest"]);
    }
    let twice = vertebra(&folder, &["replay", "session.jsonl", "--twice"]).expect(0);
    assert!(twice.stdout.starts_with("equal "), "{}", twice.stdout);
}

#[test]
fn a_session_that_was_killed_is_run_again_up_to_what_is_left_of_it() {
    let folder = folder("serve-killed");
    let server = Server::start(&folder, &[]);
    talk(&server, 3);
    let path = server.session.clone();
    server.kill();
    let again = vertebra(&folder, &["replay", "session.jsonl", "--verdict", "--json"]).expect(0);
    assert_eq!(again.last()["operations"], 6);
    assert!(again.stderr.contains("the session was killed"), "{}", again.stderr);
    let mut file = OpenOptions::new().append(true).open(path).expect("the session");
    file.write_all(b"{\"type\":\"begin\",\"at_n").expect("written");
    let torn = vertebra(&folder, &["replay", "session.jsonl", "--verdict", "--json"]).expect(0);
    assert_eq!(torn.last()["digest"], again.last()["digest"]);
    assert!(torn.stderr.contains("is torn"), "{}", torn.stderr);
}

#[test]
fn what_is_wrong_with_a_session_is_said_with_its_line() {
    let folder = folder("serve-damaged");
    let server = Server::start(&folder, &[]);
    talk(&server, 1);
    let path = server.session.clone();
    server.end();
    let whole = fs::read_to_string(&path).expect("the session");
    let (head, rest) = whole.split_once('\n').expect("lines");
    let cases = [
        (format!("{head}\nnonsense\n{rest}"), "damaged.jsonl:2: not a line of a session"),
        (format!("{head}\n{head}\n{rest}"), "damaged.jsonl:2: a session begins in the middle"),
        (
            head.replacen("\"format\":1", "\"format\":9", 1) + "\n" + rest,
            "damaged.jsonl:1: format 9 is unknown",
        ),
        (head.replacen("members = 3", "members = 4", 1) + "\n" + rest, "a cluster has 1, 3 or 5 members"),
        (whole.replacen("\"member\":1", "\"member\":8", 1), "came in for member 8 of 3"),
        (format!("{whole}{{\"type\":\"cancel\",\"at_ns\":1,\"member\":1,\"call\":1}}\n"), "has ended before"),
    ];
    for (text, expected) in cases {
        fs::write(folder.join("damaged.jsonl"), text).expect("written");
        let refused = vertebra(&folder, &["replay", "damaged.jsonl"]).expect(2);
        assert!(refused.stderr.contains(expected), "{} instead of {expected}", refused.stderr);
    }
    let refused = vertebra(&folder, &["shrink", "session.jsonl"]).expect(2);
    assert!(refused.stderr.contains("a recorded session"), "{}", refused.stderr);
}

#[test]
fn a_violation_ends_the_session_which_is_kept_and_shows_it_again() {
    let folder = folder("serve-violation");
    let flags = ["--members", "1", "--listen", "127.0.0.1:0", "--defect", "acknowledge-before-sync"];
    let found = vertebra(&folder, &[&["serve", "--json"], &flags[..]].concat()).expect(1).last();
    assert_eq!(found["signature"], "raft/commit without quorum", "{found}");
    let session = found["schedule"].as_str().expect("the session is kept");
    assert_eq!(found["command"], format!("vertebra replay {session}"));
    let again = vertebra(&folder, &["replay", session, "--json", "--verdict"]).expect(1).last();
    assert_eq!((&again["digest"], &again["at_ns"]), (&found["digest"], &found["at_ns"]));
    fs::remove_file(session).expect("it is there");
}
