//! Mixed traffic, in the manner of etcd's robustness tests and with what these leave out.
//!
//! Every put carries a value of its own, so that each can be told wherever it is seen. After an operation with an
//! unknown outcome a client reads everything, which keeps such operations from following one upon another.

mod auth;
pub(crate) mod kubernetes;
mod leases;
mod recipes;
mod text;
mod varied;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use vertebra_sim::coverage::Profile;
use vertebra_sim::random::Stream;
use vertebra_sim::schedule::Numbers;
use vertebra_sim::{Instant, Node, NodeId, sometimes};

use crate::api::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::api::{
    AuthDisableRequest, AuthRequest, CompactionRequest, Compare, DeleteRangeRequest, KeyValue,
    LeaseLeasesRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, request_op,
};
use crate::client::Client;
use crate::credentials::Passwords;
use crate::history::{Outcome, Request};
use crate::load::{Load, Loads};
use crate::options::{Options, Traffic};
use crate::response::Response;
use auth::Auth;
pub(crate) use auth::user_of;
use kubernetes::{ApiServer, Met};
use leases::Leases;
use recipes::{Recipe, Turn};
use text::Text;

/// How often the administrator looks, in the end, whether anybody is asked who it is.
const LOOK_AFTER_AUTH: Duration = Duration::from_millis(500);

/// Operations in a transaction of several.
const MULTI_OP_TXN_OPS: usize = 4;

/// What one client does from start to end.
pub(crate) struct Workload {
    node: Node,
    client: Client,
    requests: Requests,
    /// The operations that it performs, where these are not all that it draws.
    only: Option<Numbers>,
    loads: Rc<Loads>,
    limits: Limits,
    /// What it does with users and roles, if there are any.
    auth: Option<Auth>,
    /// Whether it asks its member about leases in the end.
    asks_about_leases: bool,
}

/// The limits of the members that some requests go up to.
#[derive(Clone, Copy)]
struct Limits {
    request_bytes_max: usize,
    txn_ops_max: usize,
}

/// The requests of one client, each drawn when its turn comes.
///
/// Drawing knows nothing of the simulation, so that a benchmark can let a bare event loop do the same work.
pub struct Requests {
    client: NodeId,
    /// How many times the client was started, which is more than once where the cluster was restored.
    incarnation: u32,
    traffic: Traffic,
    stream: Stream,
    values: u64,
    /// The highest revision that it was told of.
    revision: i64,
    /// The last revision at which it compacted.
    compacted: i64,
    /// The last one at which it deleted something.
    deleted: i64,
    /// The keys as last seen.
    seen: Vec<KeyValue>,
    leases: Leases,
    recipe: Recipe,
    api_server: ApiServer,
    /// From which the requests of loads are drawn, and those that have a flaw.
    load_stream: Stream,
    flaw_stream: Stream,
    /// Keys that are used, where they are fewer than all.
    hot_keys: Option<u16>,
}

/// The kinds of operations that are drawn.
#[derive(Clone, Copy)]
enum Kind {
    Get,
    List,
    StaleGet,
    StaleList,
    SerializableGet,
    Put,
    Delete,
    DeleteRange,
    CompareAndSet,
    MultiOpTxn,
    ReadTxn,
    Compact,
    LeaseGrant,
    LeasePut,
    LeaseRevoke,
    LeaseKeepAlive,
    LeaseTimeToLive,
    LeaseLeases,
    Recipe,
    AnyRange,
    AnyPut,
    AnyDelete,
    AnyTxn,
    Kubernetes,
}

impl Workload {
    pub(crate) fn new(
        node: Node,
        client: Client,
        options: &Options,
        loads: Rc<Loads>,
        passwords: Rc<Passwords>,
    ) -> Self {
        let mut requests = Requests::new(node.id(), options.traffic.clone(), node.stream("workload"));
        requests.load_stream = node.stream("workload/load");
        requests.flaw_stream = node.stream("workload/flaws");
        requests.incarnation = node.incarnation();
        let Options { request_bytes_max, txn_ops_max, members, .. } = *options;
        // One for each member that clients are bound to.
        let asks_about_leases = options.traffic.weights.leases.any()
            && matches!(node.id(), NodeId::Client(number) if number <= members);
        let limits = Limits { request_bytes_max, txn_ops_max };
        let only = options.operations.only(node.id()).cloned();
        let auth = options.auth.any().then(|| {
            let stream = node.stream("workload/auth");
            Auth::new(node.id(), options, stream, passwords)
        });
        Self { node, client, requests, only, loads, limits, auth, asks_about_leases }
    }

    /// The members that a client talks to. Most are bound to one, as in etcd's robustness tests: what a member tells
    /// while it is cut off is heard only by those who stay with it.
    pub(crate) fn endpoints(client: NodeId, members: u16) -> Vec<NodeId> {
        let NodeId::Client(number) = client else { return Vec::new() };
        let preferred = number % members;
        let all = (0..members).map(|offset| NodeId::Member((preferred + offset) % members + 1));
        if number % 4 == 1 { all.collect() } else { all.take(1).collect() }
    }

    /// Works until the faults are over, and then until the cluster has answered once more.
    pub(crate) async fn run(&mut self) {
        loop {
            let rest = self.requests.think_time();
            if self.load().is_none() {
                self.node.sleep(rest).await;
            }
            if self.node.world().is_healed() {
                break;
            }
            let request = match self.load() {
                None => {
                    let number = self.node.draw_operation();
                    let auth = self.auth.as_mut().and_then(Auth::draw);
                    let request = auth.map_or_else(|| self.requests.draw(), Request::Auth);
                    if let Some(only) = &self.only {
                        if !only.contains(number) {
                            self.requests.recipe.forget();
                            self.requests.api_server.forget();
                            continue;
                        }
                        let now = self.node.world().now().since_start();
                        if let Some(wait) =
                            only.at(number).and_then(|at| at.checked_sub(now)).filter(|it| !it.is_zero())
                        {
                            self.node.world().sleep(wait).await;
                            if self.node.world().is_healed() {
                                break;
                            }
                        }
                    }
                    request
                }
                // What a load asks for belongs to its fault, and is not numbered among the client's own.
                Some((Load::Flood, left)) => {
                    self.loads.done(self.node.id(), left);
                    let requests =
                        (0..left).map(|_| self.requests.draw_for(Load::Flood, self.limits)).collect();
                    self.client.flood(requests).await;
                    // What it left undecided is decided here, or the next operations would add to it.
                    self.call(self.requests.read_all()).await;
                    continue;
                }
                Some((load, _)) => {
                    self.loads.done(self.node.id(), 1);
                    self.requests.draw_for(load, self.limits)
                }
            };
            if self.auth.is_some() {
                self.client.authenticate().await;
            }
            if self.call(request).await.is_none() {
                self.call(self.requests.read_all()).await;
            }
        }
        // The cluster is whole again, or as whole as it will be: a write and a read must succeed, and questions be answered.
        self.achieve(|requests| Request::Put(requests.put())).await;
        self.achieve(|_| list(0)).await;
        if self.asks_about_leases {
            self.achieve(|requests| requests.leases.last_question()).await;
            self.achieve(|_| leases::useless_sign()).await;
        }
    }

    /// Asks for something until it is answered. One after the other: where the network is slow and the client does not wait for
    /// long, few are answered in a row.
    async fn achieve(&mut self, mut draw: impl FnMut(&mut Requests) -> Request) {
        loop {
            self.client.leave_broken_endpoints();
            let request = draw(&mut self.requests);
            if self.succeeds(request).await {
                return;
            }
            if self.auth.is_some() {
                self.switch_auth_off().await;
            }
        }
    }

    /// Sees to it that nobody is asked who it is, also by what was under way and comes late.
    pub(crate) async fn keep_auth_off(mut self) {
        while self.auth.is_some() {
            self.switch_auth_off().await;
            self.node.sleep(LOOK_AFTER_AUTH).await;
        }
    }

    async fn switch_auth_off(&mut self) {
        let Some(credentials) = self.client.credentials() else { return };
        let disable = || Request::Auth(AuthRequest::AuthDisable(Box::new(AuthDisableRequest {})));
        if let Outcome::Failed(_) = self.client.call(disable()).await {
            credentials.become_root();
            self.client.authenticate().await;
            self.client.call(disable()).await;
        }
    }

    /// What it is asked to do at this moment, besides what it does by itself.
    fn load(&self) -> Option<(Load, u32)> {
        self.loads.of(self.node.id(), self.node.world().now())
    }

    async fn succeeds(&mut self, request: Request) -> bool {
        matches!(self.client.call(request).await, Outcome::Ok(_))
    }

    /// Sends a request; nothing when its outcome is unknown.
    async fn call(&mut self, request: Request) -> Option<()> {
        let granted = leases::granted(&request);
        let auth = match &request {
            Request::Auth(request) => Some(request.clone()),
            _ => None,
        };
        let asked = self.node.world().now();
        self.tell_of_lock();
        let reads_all = self.requests.traffic.kubernetes.any() && request == kubernetes::everything();
        let (operation, outcome) = self.client.call_and_name(request).await;
        if reads_all && let Outcome::Ok(Response::Range(range)) = &outcome {
            self.requests.api_server.learn_all(&range.kvs);
        }
        if self.requests.api_server.is_under_way() {
            let (met, pages) = self.requests.api_server.told(operation, &outcome);
            self.mark_met(met);
            if let Some(pages) = pages {
                self.client.observer().listed(pages);
            }
        }
        if self.requests.recipe.is_under_way() {
            self.tell_of_lease(asked, &outcome);
            let turn = self.requests.recipe.told(&outcome);
            self.mark(turn);
            match turn {
                Some(Turn::Got { .. }) => {
                    let held = self.requests.recipe.held();
                    held.into_iter().for_each(|held| self.client.observer().holds(self.node.id(), held));
                }
                Some(Turn::Fenced | Turn::Expired) => self.client.observer().gives_up(self.node.id()),
                _ => {}
            }
            return (outcome != Outcome::Unknown).then_some(());
        }
        if let (Some(auth), Some(request)) = (&mut self.auth, &auth) {
            auth.learn(request, &outcome);
        }
        match outcome {
            Outcome::Ok(response) => {
                self.requests.learn(response);
                Some(())
            }
            Outcome::Failed(error) => {
                self.requests.leases.refused(error);
                Some(())
            }
            Outcome::Unknown => {
                self.requests.leases.lost(granted);
                None
            }
        }
    }

    /// Tells the observer what the request of a recipe that is sent now means for a lock.
    fn tell_of_lock(&self) {
        let (recipe, observer) = (&self.requests.recipe, self.client.observer());
        if recipe.gives_up() {
            observer.gives_up(self.node.id());
        }
        recipe.keeps_alive().into_iter().for_each(|lease| observer.asks_for_lease(lease));
    }

    /// Tells it how long the lease of a lock lives from when it was asked for.
    fn tell_of_lease(&self, asked: Instant, outcome: &Outcome) {
        let (lease, ttl) = match outcome {
            Outcome::Ok(Response::LeaseGrant(granted)) => (granted.id, granted.ttl),
            Outcome::Ok(Response::LeaseKeepAlive(kept)) if kept.ttl > 0 => (kept.id, kept.ttl),
            _ => return,
        };
        self.client.observer().lease_promised(lease, ttl, asked);
    }

    /// Counts what API servers go through.
    fn mark_met(&self, met: Option<Met>) {
        let node = &self.node;
        let is_long = matches!(met, Some(Met::Listed { pages: 3.. }));
        sometimes!(
            node,
            "an object has changed since it was seen",
            met == Some(Met::Conflict),
            when = of_kubernetes
        );
        sometimes!(node, "an object is there already", met == Some(Met::Exists), when = of_kubernetes);
        sometimes!(node, "a list of several pages comes to its end", is_long, when = of_kubernetes);
        sometimes!(node, "a list expires between its pages", met == Some(Met::Expired), when = of_kubernetes);
        sometimes!(node, "an API server compacts", met == Some(Met::Compacted), when = of_kubernetes);
        sometimes!(node, "another API server compacts", met == Some(Met::OthersTurn), when = of_kubernetes);
        sometimes!(
            node,
            "an API server is overtaken by a compaction",
            met == Some(Met::Overtaken),
            when = of_kubernetes
        );
    }

    /// Counts what clients go through in locks and elections.
    fn mark(&self, turn: Option<Turn>) {
        let node = &self.node;
        sometimes!(node, "a lock is free", turn == Some(Turn::Got { waited: false }), when = with_locks);
        sometimes!(
            node,
            "a lock comes to one who waits",
            turn == Some(Turn::Got { waited: true }),
            when = with_locks
        );
        sometimes!(node, "a lock is another's", turn == Some(Turn::Behind), when = with_locks);
        sometimes!(node, "a write under a lock is fenced off", turn == Some(Turn::Fenced), when = with_locks);
        sometimes!(node, "a lock is written under", turn == Some(Turn::Wrote), when = with_locks);
        sometimes!(node, "a lock's lease has expired", turn == Some(Turn::Expired), when = with_locks);
        sometimes!(node, "a lock is left", turn == Some(Turn::Left), when = with_locks);
    }
}

pub(crate) fn of_kubernetes(run: &Profile) -> bool {
    run.has("kubernetes")
}

pub(crate) fn with_locks(run: &Profile) -> bool {
    run.has("locks")
}

impl Requests {
    /// The requests of `client`, drawn from `stream`.
    #[must_use]
    pub fn new(client: NodeId, traffic: Traffic, stream: Stream) -> Self {
        // Others take their places where there are loads or flaws.
        let (load_stream, flaw_stream) = (stream.clone(), stream.clone());
        Self {
            client,
            incarnation: 1,
            traffic,
            stream,
            values: 0,
            revision: 1,
            compacted: 0,
            deleted: 0,
            seen: Vec::new(),
            leases: Leases::new(client),
            recipe: Recipe::default(),
            api_server: ApiServer::default(),
            load_stream,
            flaw_stream,
            hot_keys: None,
        }
    }

    /// How long the client rests before its next request.
    pub fn think_time(&mut self) -> Duration {
        self.stream.duration(Duration::from_micros(10), self.traffic.think_time_max)
    }

    /// Takes in what the client was told: later requests refer to it.
    pub fn learn(&mut self, response: Response) {
        self.revision = self.revision.max(response.revision());
        self.leases.learn(&response);
        if matches!(&response, Response::DeleteRange(deleted) if deleted.deleted > 0) {
            self.deleted = response.revision();
        }
        if let Response::Range(range) = response
            && !range.kvs.is_empty()
        {
            self.seen = range.kvs;
        }
    }

    /// The next request.
    pub fn draw(&mut self) -> Request {
        let weights = &self.traffic.weights;
        let kinds = [
            (weights.get, Kind::Get),
            (weights.list, Kind::List),
            (weights.stale_get, Kind::StaleGet),
            (weights.stale_list, Kind::StaleList),
            (weights.serializable_get, Kind::SerializableGet),
            (weights.put, Kind::Put),
            (weights.delete, Kind::Delete),
            (weights.delete_range, Kind::DeleteRange),
            (weights.compare_and_set, Kind::CompareAndSet),
            (weights.multi_op_txn, Kind::MultiOpTxn),
            (weights.read_txn, Kind::ReadTxn),
            (weights.compact, Kind::Compact),
            (weights.leases.grant, Kind::LeaseGrant),
            (weights.leases.put, Kind::LeasePut),
            (weights.leases.revoke, Kind::LeaseRevoke),
            (weights.leases.keep_alive, Kind::LeaseKeepAlive),
            (weights.leases.time_to_live, Kind::LeaseTimeToLive),
            (weights.leases.list, Kind::LeaseLeases),
            (weights.recipe, Kind::Recipe),
            (weights.varied.range, Kind::AnyRange),
            (weights.varied.put, Kind::AnyPut),
            (weights.varied.delete, Kind::AnyDelete),
            (weights.varied.txn, Kind::AnyTxn),
            (u32::try_from(self.traffic.kubernetes.total()).unwrap_or(u32::MAX), Kind::Kubernetes),
        ];
        match *self.stream.weighted(&kinds) {
            Kind::Get => Request::Range(self.get()),
            Kind::List => {
                let limit = if self.stream.chance(300_000) { self.stream.between(1, 5) as i64 } else { 0 };
                list(limit)
            }
            Kind::StaleGet => {
                let revision = self.older_revision();
                Request::Range(RangeRequest { revision, ..self.get() })
            }
            Kind::StaleList => {
                let revision = self.older_revision();
                Request::Range(RangeRequest { revision, ..list_request() })
            }
            Kind::SerializableGet => Request::Range(RangeRequest { serializable: true, ..self.get() }),
            Kind::Put => Request::Put(self.put()),
            Kind::Delete => {
                Request::DeleteRange(DeleteRangeRequest { key: self.key(), ..DeleteRangeRequest::default() })
            }
            Kind::DeleteRange => {
                let first = self.stream.below(u64::from(self.traffic.keys)) as u16;
                let (key, range_end) = (key(first), key(first + 3));
                Request::DeleteRange(DeleteRangeRequest { key, range_end, prev_kv: false })
            }
            Kind::CompareAndSet => self.compare_and_set(),
            Kind::MultiOpTxn => self.multi_op_txn(),
            Kind::ReadTxn => {
                let success = (0..3).map(|_| range_op(self.get())).collect();
                Request::Txn(TxnRequest { success, ..TxnRequest::default() })
            }
            Kind::Compact => Request::Compact(self.compact()),
            Kind::LeasePut if self.stream.chance(100_000) => {
                Request::Put(PutRequest { ignore_lease: true, ..self.put() })
            }
            Kind::LeasePut => match self.leases.pick(&mut self.stream) {
                0 => self.leases.grant(&mut self.stream),
                lease => Request::Put(PutRequest { lease, ..self.put() }),
            },
            Kind::LeaseLeases => Request::LeaseLeases(LeaseLeasesRequest {}),
            Kind::Recipe => {
                let (value, data) = (self.value(), self.key());
                self.recipe.draw(&mut self.stream, value, data)
            }
            kind @ (Kind::AnyRange | Kind::AnyPut | Kind::AnyDelete | Kind::AnyTxn) => self.any(kind),
            Kind::Kubernetes => {
                let (value, keys) = (self.value(), self.keys());
                let (stream, traffic) = (&mut self.stream, &self.traffic.kubernetes);
                self.api_server.draw(stream, traffic, value, keys, self.revision)
            }
            // What needs a lease asks for one where the client has none.
            kind => {
                let (leases, stream) = (&mut self.leases, &mut self.stream);
                let request = match kind {
                    Kind::LeaseRevoke => leases.revoke(stream),
                    Kind::LeaseKeepAlive => leases.keep_alive(stream),
                    Kind::LeaseTimeToLive => leases.time_to_live(stream),
                    _ => None,
                };
                request.unwrap_or_else(|| leases.grant(stream))
            }
        }
    }

    /// A lease for a put that need not have one.
    fn some_lease(&mut self) -> i64 {
        if self.traffic.weights.leases.put > 0 && self.stream.chance(200_000) {
            self.leases.pick(&mut self.stream)
        } else {
            0
        }
    }

    /// The next request of a load. It is drawn from a stream of its own, so that those without a load do not move.
    fn draw_for(&mut self, load: Load, limits: Limits) -> Request {
        std::mem::swap(&mut self.stream, &mut self.load_stream);
        let request = self.draw_load(load, limits);
        std::mem::swap(&mut self.stream, &mut self.load_stream);
        request
    }

    fn draw_load(&mut self, load: Load, limits: Limits) -> Request {
        match load {
            Load::Burst => self.draw(),
            Load::Flood => self.draw_small(),
            Load::HotKeys => {
                let keys = if self.stream.chance(500_000) { 1 } else { 2 };
                self.hot_keys = Some(keys);
                let request = self.draw();
                self.hot_keys = None;
                request
            }
            Load::HugeValues => Request::Put(self.huge_put(limits.request_bytes_max)),
            Load::LargeTxns => self.large_txn(limits.txn_ops_max),
            Load::Compactions => Request::Compact(self.compact()),
        }
    }

    /// A read or a write of one key.
    fn draw_small(&mut self) -> Request {
        match self.stream.below(10) {
            0..4 => Request::Put(self.put()),
            4..8 => Request::Range(self.get()),
            _ => Request::Range(RangeRequest { serializable: true, ..self.get() }),
        }
    }

    /// A value of one to 16 KiB; at times one with which the request is just short enough, or too long.
    fn huge_put(&mut self, request_bytes_max: usize) -> PutRequest {
        let mut put = self.put();
        let at_limit_ppm = if request_bytes_max > 1 << 20 { 10_000 } else { 250_000 };
        let length = match self.stream.chance(at_limit_ppm) {
            true => request_bytes_max - 128 + self.stream.below(256) as usize,
            false => self.stream.magnitude(1 << 10, 16 << 10) as usize,
        };
        let mut value = put.value.to_vec();
        value.resize(length.max(value.len()), b'.');
        put.value = value.into();
        put
    }

    /// As many operations as a transaction may have, one less or one more; one of them is a put.
    fn large_txn(&mut self, ops_max: usize) -> Request {
        let ops = ops_max - 1 + self.stream.below(3) as usize;
        let mut success: Vec<RequestOp> = (1..ops).map(|_| range_op(self.get())).collect();
        let place = self.stream.below(ops as u64) as usize;
        success.insert(place, put_op(self.put()));
        Request::Txn(TxnRequest { success, ..TxnRequest::default() })
    }

    /// Etcd's robustness tests choose so: some compactions are of the past, some of the future.
    fn compact(&mut self) -> CompactionRequest {
        let span = (self.revision + 5 - self.compacted).max(1);
        let drawn = self.stream.below(span as u64) as i64;
        // A tombstone at that revision is the one that must stay.
        let at_deletion = drawn % 4 == 0 && self.deleted > self.compacted;
        let revision = if at_deletion { self.deleted } else { self.compacted + drawn };
        // What is refused as past is not tried again.
        self.compacted = self.compacted.max(revision.min(self.revision));
        CompactionRequest { revision, physical: self.stream.chance(200_000) }
    }

    fn key(&mut self) -> Bytes {
        key(self.stream.below(u64::from(self.keys())) as u16)
    }

    /// How many keys are used.
    fn keys(&self) -> u16 {
        self.hot_keys.unwrap_or(self.traffic.keys).min(self.traffic.keys)
    }

    /// A read of everything, after what nobody knows the outcome of.
    fn read_all(&self) -> Request {
        if self.traffic.kubernetes.any() { kubernetes::everything() } else { list(0) }
    }

    fn get(&mut self) -> RangeRequest {
        RangeRequest { key: self.key(), ..RangeRequest::default() }
    }

    fn put(&mut self) -> PutRequest {
        let (key, value) = (self.key(), self.value());
        PutRequest { key, value, ..PutRequest::default() }
    }

    /// A value that no other put has. Some are longer than a sector of a disk.
    fn value(&mut self) -> Bytes {
        self.values += 1;
        let (letter, number) = match self.client {
            NodeId::Client(number) => (b'c', Some(number)),
            NodeId::Member(number) => (b'm', Some(number)),
            NodeId::Operator => (b'o', None),
        };
        let mut text = Text::default();
        text.push(&[letter]);
        if let Some(number) = number {
            text.push_number(u64::from(number), 1);
        }
        if self.incarnation > 1 {
            text.push(b".");
            text.push_number(self.incarnation.into(), 1);
        }
        text.push(b"/");
        text.push_number(self.values, 1);
        if self.stream.chance(50_000) {
            let length = text.bytes().len() + self.stream.magnitude(16, 2_048) as usize;
            let mut value = Vec::with_capacity(length);
            value.extend_from_slice(text.bytes());
            value.resize(length, b'.');
            return value.into();
        }
        Bytes::copy_from_slice(text.bytes())
    }

    /// A revision that was, or is, or (rarely) will be.
    fn older_revision(&mut self) -> i64 {
        let newest = self.revision + 2;
        (newest - self.stream.below(20) as i64).max(1)
    }

    fn compare_and_set(&mut self) -> Request {
        let put = PutRequest { lease: self.some_lease(), ..self.put() };
        let last = self.seen.iter().find(|kv| kv.key == put.key);
        let by_version = self.stream.chance(300_000);
        let (target, union) = match (by_version, last) {
            (true, last) => (CompareTarget::Version, TargetUnion::Version(last.map_or(0, |kv| kv.version))),
            (false, last) => {
                (CompareTarget::Mod, TargetUnion::ModRevision(last.map_or(0, |kv| kv.mod_revision)))
            }
        };
        let compare = Compare {
            result: CompareResult::Equal.into(),
            target: target.into(),
            key: put.key.clone(),
            target_union: Some(union),
            ..Compare::default()
        };
        let read = RangeRequest { key: put.key.clone(), ..RangeRequest::default() };
        let (compare, success, failure) = (vec![compare], vec![put_op(put)], vec![range_op(read)]);
        Request::Txn(TxnRequest { compare, success, failure })
    }

    /// Operations on keys of their own, at least one of them a put.
    fn multi_op_txn(&mut self) -> Request {
        let mut keys: Vec<_> = (0..self.traffic.keys).collect();
        self.stream.shuffle(&mut keys);
        keys.truncate(MULTI_OP_TXN_OPS);
        let mut success = Vec::with_capacity(keys.len());
        for (place, number) in keys.into_iter().enumerate() {
            let key = key(number);
            let choice = self.stream.below(10);
            success.push(match choice {
                _ if place == 0 => {
                    let (value, lease) = (self.value(), self.some_lease());
                    put_op(PutRequest { key, value, lease, ..PutRequest::default() })
                }
                0 => delete_op(DeleteRangeRequest { key, ..DeleteRangeRequest::default() }),
                1..=4 => range_op(RangeRequest { key, ..RangeRequest::default() }),
                _ => put_op(PutRequest { key, value: self.value(), ..PutRequest::default() }),
            });
        }
        self.stream.shuffle(&mut success);
        Request::Txn(TxnRequest { success, ..TxnRequest::default() })
    }
}

/// Keys sort as their numbers do.
fn key(number: u16) -> Bytes {
    let mut text = Text::default();
    text.push(b"key");
    text.push_number(u64::from(number), 2);
    Bytes::copy_from_slice(text.bytes())
}

fn list_request() -> RangeRequest {
    RangeRequest {
        key: Bytes::from_static(b"key"),
        range_end: Bytes::from_static(b"kez"),
        ..RangeRequest::default()
    }
}

fn list(limit: i64) -> Request {
    Request::Range(RangeRequest { limit, ..list_request() })
}

fn range_op(read: RangeRequest) -> RequestOp {
    RequestOp { request: Some(request_op::Request::RequestRange(read)) }
}

fn put_op(put: PutRequest) -> RequestOp {
    RequestOp { request: Some(request_op::Request::RequestPut(put)) }
}

fn delete_op(delete: DeleteRangeRequest) -> RequestOp {
    RequestOp { request: Some(request_op::Request::RequestDeleteRange(delete)) }
}
