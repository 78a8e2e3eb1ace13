//! The command, while it serves.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::support;

/// A cluster that serves. It is killed when nobody ends it.
pub struct Server {
    child: Child,
    told: BufReader<ChildStdout>,
    /// Of each member.
    pub endpoints: Vec<SocketAddr>,
    pub session: PathBuf,
}

pub fn vertebra(folder: &Path, arguments: &[&str]) -> support::Ended {
    support::ended(&mut support::command(Path::new(env!("CARGO_BIN_EXE_vertebra")), folder, arguments))
}

impl Server {
    /// Starts it at free ports, and waits until somebody leads.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let session = folder.join("session.jsonl");
        let session_text = session.to_string_lossy().into_owned();
        let mut all = vec!["serve", "--json", "--listen", "127.0.0.1:0", "--record", &session_text];
        all.extend(arguments);
        let mut command = support::command(Path::new(env!("CARGO_BIN_EXE_vertebra")), folder, &all);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
        let told = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut server = Self { child, told, endpoints: Vec::new(), session };
        let serving = server.hears("serving");
        let url = |endpoint: &Value| endpoint["url"].as_str().expect("a URL").to_owned();
        let address = |url: String| url.split_once("//").expect("a scheme").1.parse().expect("an address");
        let endpoints = serving["endpoints"].as_array().expect("endpoints");
        server.endpoints = endpoints.iter().map(url).map(address).collect();
        server.hears("leader");
        server
    }

    /// Waits until it tells something of a type.
    #[track_caller]
    pub fn hears(&mut self, r#type: &str) -> Value {
        loop {
            let mut line = String::new();
            let read = self.told.read_line(&mut line).expect("a line");
            assert_ne!(read, 0, "it ended and told of no {type}", type = r#type);
            let value: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            assert!(value["type"] != "verdict" || r#type == "verdict", "it ended: {value}");
            if value["type"] == r#type {
                return value;
            }
        }
    }

    /// Ends it as Ctrl-C does: the exit code, and the verdict.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, Value) {
        support::signal(&self.child, "INT");
        let verdict = self.hears("verdict");
        (self.child.wait().expect("it ends").code(), verdict)
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        let _ = self.child.wait();
        let _ = self.told.read_to_end(&mut Vec::new());
    }

    /// How much memory it takes; nothing where the system does not say.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|size| size.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or_default() * 1_024
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
