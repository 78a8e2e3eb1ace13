//! `/metrics`: what monitors of etcd look at, under etcd's names, as far as there is such a thing here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Response, StatusCode};
use prost::Message;
use vertebra_model::api::{StatusRequest, StatusResponse};
use vertebra_model::error::Code;
use vertebra_model::grpc::Metadata;

use super::{Body, Endpoint, response};

/// How long a member that does not answer is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// What callers do, of all members together.
#[derive(Clone, Default)]
pub struct Counters(Arc<Inner>);

#[derive(Default)]
struct Inner {
    methods: Mutex<BTreeMap<String, Calls>>,
    received: Traffic,
    sent: Traffic,
}

#[derive(Default)]
struct Traffic {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    fn count(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// Calls of a method.
#[derive(Default)]
struct Calls {
    started: u64,
    /// By how they ended.
    handled: BTreeMap<&'static str, u64>,
}

/// Whoever calls what there is not must not make the list of methods grow.
const METHODS_MAX: usize = 128;

impl Counters {
    /// A call begins.
    pub fn begin(&self, path: &str) -> Begun {
        let mut methods = self.0.methods.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = methods.contains_key(path);
        let name = if is_known || methods.len() < METHODS_MAX { path } else { "/unknown/unknown" };
        methods.entry(name.to_owned()).or_default().started += 1;
        drop(methods);
        Begun { counters: self.clone(), path: name.to_owned() }
    }

    /// A message came in.
    pub fn received(&self, bytes: usize) {
        self.0.received.count(bytes);
    }
}

/// A call that has begun.
pub struct Begun {
    counters: Counters,
    path: String,
}

impl Begun {
    /// A message is sent for it.
    pub fn sent(&self, bytes: usize) {
        self.counters.0.sent.count(bytes);
    }

    /// It ends.
    pub fn end(self, code: Option<Code>) {
        let mut methods = self.counters.0.methods.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = methods.get_mut(&self.path) {
            *calls.handled.entry(code_name(code)).or_default() += 1;
        }
    }
}

/// As grpc-go writes it.
fn code_name(code: Option<Code>) -> &'static str {
    match code {
        None => "OK",
        Some(Code::Canceled) => "Canceled",
        Some(Code::Unknown) => "Unknown",
        Some(Code::InvalidArgument) => "InvalidArgument",
        Some(Code::DeadlineExceeded) => "DeadlineExceeded",
        Some(Code::NotFound) => "NotFound",
        Some(Code::PermissionDenied) => "PermissionDenied",
        Some(Code::ResourceExhausted) => "ResourceExhausted",
        Some(Code::FailedPrecondition) => "FailedPrecondition",
        Some(Code::OutOfRange) => "OutOfRange",
        Some(Code::Unimplemented) => "Unimplemented",
        Some(Code::Internal) => "Internal",
        Some(Code::Unavailable) => "Unavailable",
        Some(Code::DataLoss) => "DataLoss",
        Some(Code::Unauthenticated) => "Unauthenticated",
    }
}

impl Endpoint {
    pub(super) async fn metrics(&self) -> Response<Body> {
        let mut page = Page(String::new());
        let call =
            self.service.hub.call(self.member, "/etcdserverpb.Maintenance/Status", Metadata::default());
        let status = call.await.answer(StatusRequest::default().encode_to_vec().into(), PATIENCE).await;
        if let Ok(status) =
            status.map_err(|_| ()).and_then(|bytes| StatusResponse::decode(bytes).map_err(|_| ()))
        {
            page.member(&status);
        }
        page.calls(&self.service.counters);
        page.process();
        let streams = self.service.hub.under_way() as u64;
        page.gauge(
            "vertebra_calls_under_way",
            "Calls that have begun and not ended, of all members.",
            streams,
        );
        response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page.0)
    }
}

/// Text in the format of Prometheus.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// What a member says of itself.
    fn member(&mut self, status: &StatusResponse) {
        let member = status.header.map_or(0, |header| header.member_id);
        let has_leader = u64::from(status.leader != 0);
        self.gauge(
            "etcd_server_has_leader",
            "Whether or not a leader exists. 1 is existence, 0 is not.",
            has_leader,
        );
        let leads = u64::from(status.leader == member && member != 0);
        self.gauge(
            "etcd_server_is_leader",
            "Whether or not this member is a leader. 1 if is, 0 otherwise.",
            leads,
        );
        let size = u64::try_from(status.db_size).unwrap_or_default();
        self.gauge(
            "etcd_mvcc_db_total_size_in_bytes",
            "Total size of the underlying database physically allocated in bytes.",
            size,
        );
        let name = "etcd_server_proposals_committed_total";
        self.gauge(name, "The total number of consensus proposals committed.", status.raft_index);
        let revision = status.header.map_or(0, |header| u64::try_from(header.revision).unwrap_or_default());
        let name = "etcd_debugging_mvcc_current_revision";
        self.gauge(name, "The current revision of store.", revision);
    }

    /// What this process takes, which is all members together. Where the system does not say, it is left out.
    fn process(&mut self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|size| size.trim().trim_end_matches(" kB").parse::<u64>().ok());
        if let Some(kilobytes) = kilobytes {
            self.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", kilobytes * 1_024);
        }
    }

    fn calls(&mut self, Counters(counters): &Counters) {
        let methods = counters.methods.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = |path: &str| {
            let (service, method) = path.trim_start_matches('/').rsplit_once('/').unwrap_or(("", path));
            // A path is what a caller likes, as far as HTTP lets it.
            let plain = |text: &str| text.replace(['"', '\\', '\n'], "_");
            format!("grpc_method=\"{}\",grpc_service=\"{}\"", plain(method), plain(service))
        };
        let name = "grpc_server_started_total";
        self.head(name, "counter", "Total number of RPCs started on the server.");
        for (path, calls) in &*methods {
            let _ = writeln!(self.0, "{name}{{{}}} {}", parts(path), calls.started);
        }
        let name = "grpc_server_handled_total";
        self.head(
            name,
            "counter",
            "Total number of RPCs completed on the server, regardless of success or failure.",
        );
        for (path, calls) in &*methods {
            for (code, count) in &calls.handled {
                let _ = writeln!(self.0, "{name}{{grpc_code=\"{code}\",{}}} {count}", parts(path));
            }
        }
        drop(methods);
        let (received, sent) = (counters.received.read(), counters.sent.read());
        let name = "etcd_network_client_grpc_received_bytes_total";
        self.counter(name, "The total number of bytes received from grpc clients.", received.1);
        let name = "etcd_network_client_grpc_sent_bytes_total";
        self.counter(name, "The total number of bytes sent to grpc clients.", sent.1);
        let name = "vertebra_grpc_received_messages_total";
        self.counter(name, "The total number of messages received from grpc clients.", received.0);
        let name = "vertebra_grpc_sent_messages_total";
        self.counter(name, "The total number of messages sent to grpc clients.", sent.0);
    }
}
