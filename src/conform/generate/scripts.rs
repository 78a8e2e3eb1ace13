//! What makes sense only as several steps in their order.

use prost_reflect::DynamicMessage;
use serde_json::json;

use super::{Action, Body, Caller, Generator, Step, message_of, methods};
use crate::conform::sequence::LEASE;

const WATCH: &str = "/etcdserverpb.Watch/Watch";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
const LOCK: &str = "/v3lockpb.Lock/Lock";
const CAMPAIGN: &str = "/v3electionpb.Election/Campaign";
/// `l` and `e`, as JSON has bytes.
const NAMES: [&str; 2] = ["bA==", "ZQ=="];

impl Generator {
    /// If the server chooses the identifier of a lease in this request, its name from here on.
    pub(super) fn name_if_server_chooses(&mut self, path: &str, request: &DynamicMessage) -> Option<i64> {
        let is_zero = |name| !request.has_field_by_name(name);
        let chooses = path.ends_with("/LeaseGrant") && is_zero("ID")
            || (path == LOCK || path == CAMPAIGN) && is_zero("lease");
        chooses.then(|| {
            let name = LEASE + self.names;
            self.names += 1;
            self.values.note_lease(name);
            name
        })
    }

    fn open(&mut self, path: &'static str) -> u32 {
        let stream = self.streams;
        self.streams += 1;
        let caller = if self.enabled { self.caller() } else { Caller::Nobody };
        self.push(Step::new(Action::Open { stream, path: path.to_owned(), caller }));
        stream
    }

    /// A step on a stream of watches: one that is open, or a new one.
    pub(super) fn watch(&mut self) {
        let open = self.on_stream(WATCH, 2);
        if self.draw.chance(30_000) {
            return self.end(open);
        }
        let method = methods::method(WATCH).expect("it is there");
        let message = self.values.message(&mut self.draw, &method.input(), 0);
        self.push(Step::new(Action::Send { stream: open, body: Body::Message(message) }));
    }

    pub(super) fn keep_alive(&mut self) {
        let open = self.on_stream(KEEP_ALIVE, 1);
        if self.draw.chance(50_000) {
            return self.end(open);
        }
        let method = methods::method(KEEP_ALIVE).expect("it is there");
        let message = self.values.message(&mut self.draw, &method.input(), 0);
        self.push(Step::new(Action::Send { stream: open, body: Body::Message(message) }));
    }

    /// A stream of a method, of which there are at most so many.
    fn on_stream(&mut self, path: &'static str, most: usize) -> u32 {
        let open: Vec<u32> =
            self.open.iter().filter(|(_, opened)| *opened == path).map(|(stream, _)| *stream).collect();
        if open.is_empty() || open.len() < most && self.draw.chance(100_000) {
            let stream = self.open(path);
            self.open.push((stream, path));
            return stream;
        }
        *self.draw.pick(&open)
    }

    fn end(&mut self, stream: u32) {
        self.open.retain(|(open, _)| *open != stream);
        let action = match self.draw.chance(500_000) {
            true => Action::Close { stream },
            false => Action::Cancel { stream },
        };
        self.push(Step::new(action));
    }

    /// One takes a lock, perhaps a second one waits for it, and each gives it back or goes.
    pub(super) fn lock(&mut self) {
        let (first, second) = (self.lease_of_ours(), self.lease_of_ours());
        let name = *self.draw.pick(&NAMES);
        self.queue(LOCK, json!({ "name": name, "lease": first.to_string() }));
        match self.draw.below(4) {
            0 => {
                let waiting = self.wait_in_queue(LOCK, json!({ "name": name, "lease": second.to_string() }));
                if self.draw.chance(300_000) {
                    self.push(Step::new(Action::Cancel { stream: waiting }));
                } else {
                    self.revoke(first);
                    self.push(Step::new(Action::Await { stream: waiting }));
                }
            }
            1 => self.revoke(first),
            2 => {
                let key = format!("l/{first:x}");
                self.call("/v3lockpb.Lock/Unlock", Caller::Nobody, json!({ "key": base64(key.as_bytes()) }));
            }
            _ => self.request("/v3lockpb.Lock/Unlock"),
        }
    }

    /// The same with an election, and what its leader says.
    pub(super) fn elect(&mut self) {
        let (first, second) = (self.lease_of_ours(), self.lease_of_ours());
        let name = *self.draw.pick(&NAMES);
        let caller = self.caller();
        self.call("/v3electionpb.Election/Leader", caller, json!({ "name": name }));
        self.queue(CAMPAIGN, json!({ "name": name, "lease": first.to_string(), "value": "MQ==" }));
        let caller = self.caller();
        self.call("/v3electionpb.Election/Leader", caller, json!({ "name": name }));
        match self.draw.below(5) {
            0 => {
                let waiting = self.wait_in_queue(
                    CAMPAIGN,
                    json!({ "name": name, "lease": second.to_string(), "value": "Mg==" }),
                );
                self.revoke(first);
                self.push(Step::new(Action::Await { stream: waiting }));
            }
            1 => {
                let observer = self.open("/v3electionpb.Election/Observe");
                let body =
                    Body::Message(message_of("/v3electionpb.Election/Observe", json!({ "name": name })));
                self.push(Step::new(Action::Send { stream: observer, body }));
                self.push(Step::new(Action::Await { stream: observer }));
                self.push(Step::new(Action::Cancel { stream: observer }));
            }
            2 => self.request("/v3electionpb.Election/Proclaim"),
            3 => self.request("/v3electionpb.Election/Resign"),
            _ => self.revoke(first),
        }
    }

    /// A lease for someone in a queue: one that was just granted.
    fn lease_of_ours(&mut self) -> i64 {
        let id = 1_000 + self.sequence.steps.len() as i64;
        let caller = self.caller();
        self.call("/etcdserverpb.Lease/LeaseGrant", caller, json!({ "TTL": "300", "ID": id.to_string() }));
        self.values.note_lease(id);
        id
    }

    fn queue(&mut self, path: &'static str, json: serde_json::Value) {
        let waiting = self.wait_in_queue(path, json);
        self.push(Step::new(Action::Await { stream: waiting }));
    }

    fn wait_in_queue(&mut self, path: &'static str, json: serde_json::Value) -> u32 {
        let stream = self.open(path);
        let body = Body::Message(message_of(path, json));
        self.push(Step::new(Action::Send { stream, body }));
        stream
    }

    fn revoke(&mut self, lease: i64) {
        let caller = self.caller();
        self.call("/etcdserverpb.Lease/LeaseRevoke", caller, json!({ "ID": lease.to_string() }));
    }

    /// Users, roles, and from now on tokens.
    pub(super) fn enable_authentication(&mut self) {
        let auth = |name: &str| format!("/etcdserverpb.Auth/{name}");
        let steps = [
            ("UserAdd", json!({ "name": "root", "password": "root's" })),
            ("RoleAdd", json!({ "name": "root" })),
            ("UserGrantRole", json!({ "user": "root", "role": "root" })),
            ("UserAdd", json!({ "name": "alice", "password": "secret" })),
            ("RoleAdd", json!({ "name": "reader" })),
            ("UserGrantRole", json!({ "user": "alice", "role": "reader" })),
        ];
        // It takes root with the role of root, which need not be there. Without them, authentication stays off.
        let mut is_possible = true;
        for (number, (name, json)) in steps.into_iter().enumerate() {
            if self.draw.chance(950_000) {
                self.call(&auth(name), Caller::Nobody, json);
            } else if number == 0 || number == 2 {
                is_possible = false;
            }
        }
        for _ in 0..self.draw.between(0, 3) {
            self.request(&auth("RoleGrantPermission"));
        }
        self.call(&auth("AuthEnable"), Caller::Nobody, json!({}));
        self.enabled = is_possible;
        for (name, password) in [("root", "root's"), ("alice", "secret"), ("bob", "secret")] {
            self.call(&auth("Authenticate"), Caller::Nobody, json!({ "name": name, "password": password }));
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    let method = methods::method("/etcdserverpb.KV/Put").expect("it is there");
    let mut message = DynamicMessage::new(method.input());
    message.set_field_by_name("key", prost_reflect::Value::Bytes(bytes.to_vec().into()));
    methods::to_json(&message)["key"].as_str().unwrap_or_default().to_owned()
}
