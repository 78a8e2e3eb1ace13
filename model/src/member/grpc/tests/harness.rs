//! A calm cluster whose client is a script that speaks gRPC.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use vertebra_sim::network::Connection;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::Shape;
use vertebra_sim::{Node, NodeId, Outside, System, Turn, Verdict, Violation, World, run_with, schedule_of};

use crate::etcd::Etcd;
use crate::grpc::{Down, Metadata, Status, Up};
use crate::options::Options;
use crate::wire::{GRPC_PORT, GrpcDown, GrpcUp};

type Script = Box<dyn FnOnce(Caller) -> Pin<Box<dyn Future<Output = ()>>>>;

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
    static DONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a script against a cluster of so many members, and judges what it did as if it were a workload.
pub(super) fn script(members: u16, script: impl AsyncFnOnce(Caller) + Send + 'static) {
    script_with(members, |_| {}, script);
}

/// The same with other options.
#[expect(clippy::disallowed_methods, reason = "one thread to a run: nothing in the run can tell")]
pub(super) fn script_with(
    members: u16,
    adjust: impl FnOnce(&mut Options),
    script: impl AsyncFnOnce(Caller) + Send + 'static,
) {
    let mut schedule = schedule_of::<Scripted>(1, |options| {
        *options = Options { members, clients: 1, ..Options::usual() };
        adjust(options);
    })
    .unwrap();
    schedule.duration = Duration::from_secs(60);
    schedule.network.peers.loss_ppm = 0;
    schedule.network.peers.tail_ppm = 0;
    schedule.clocks.clear();
    schedule.broken.clear();
    schedule.faults.clear();
    // What panics on the thread of a run is a part of its verdict.
    let run = move || {
        SCRIPT.set(Some(Box::new(|caller| Box::pin(script(caller)))));
        let report = run_with::<Scripted, _>(&schedule, None, |_, _| WhileScriptRuns);
        (report.verdict, DONE.get())
    };
    let (verdict, done) = std::thread::spawn(run).join().expect("a run that ends");
    assert_eq!(verdict, Verdict::Pass);
    assert!(done, "the script did not come to its end");
}

struct WhileScriptRuns;

impl Outside for WhileScriptRuns {
    fn turn(&mut self, world: &World) -> Turn {
        let now = world.now();
        // Scripts wait for minutes at most.
        let is_over = DONE.get() || now.since_start() > Duration::from_secs(1_000);
        if is_over { Turn::End } else { Turn::Until(now + Duration::from_millis(100)) }
    }
}

/// A cluster with a script in place of its clients.
struct Scripted(Rc<Etcd>);

impl System for Scripted {
    const NAME: &'static str = Etcd::NAME;
    type Options = Options;

    fn options(streams: &Streams) -> Options {
        Options::draw(streams)
    }

    fn shape(options: &Options) -> Result<Shape, String> {
        options.shape()
    }

    fn features(options: &Options) -> Vec<(&'static str, bool)> {
        Etcd::features(options)
    }

    fn new(world: &World, options: Options) -> Self {
        Self(Rc::new(Etcd::new(world, options)))
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        Rc::clone(&self.0).member(node).await
    }

    async fn client(self: Rc<Self>, node: Node) {
        let Some(script) = SCRIPT.take() else { return };
        let caller = Caller { node: Rc::new(node), metadata: Metadata::default() };
        caller.wait_until_served().await;
        script(caller).await;
        DONE.set(true);
    }

    /// It starts what callers add, where there are machines for that.
    async fn operator(self: Rc<Self>, node: Node) {
        if node.world().machines().count() > node.world().members().count() {
            self.0.heal();
            Rc::clone(&self.0).operator(node).await;
        }
    }

    fn leader(&self) -> Option<NodeId> {
        self.0.leader()
    }

    async fn settle(self: Rc<Self>, world: World) {
        world.sleep(Duration::from_secs(1)).await;
    }

    fn unsettled(&self) -> Violation {
        self.0.unsettled()
    }

    fn finish(&self, world: &World) -> Result<(), Violation> {
        self.0.finish(world)
    }

    fn operations(&self) -> u64 {
        self.0.operations()
    }
}

/// Somebody who calls members.
#[derive(Clone)]
pub(super) struct Caller {
    node: Rc<Node>,
    pub(super) metadata: Metadata,
}

impl Caller {
    /// The same caller with a token.
    pub(super) fn with_token(&self, token: &str) -> Self {
        let token = Some(Bytes::copy_from_slice(token.as_bytes()));
        Self { node: Rc::clone(&self.node), metadata: Metadata { token, ..self.metadata.clone() } }
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        self.node.sleep(duration).await;
    }

    pub(super) fn sleeping(&self, duration: Duration) -> vertebra_sim::Sleep {
        self.node.sleep(duration)
    }

    pub(super) fn world(&self) -> &World {
        self.node.world()
    }

    /// A unary call of a method of etcd's own services, such as `KV/Put`.
    pub(super) async fn call<A: Message, B: Message + Default>(
        &self,
        member: u16,
        method: &str,
        request: &A,
    ) -> Result<B, Status> {
        let mut call = self.open(member, method).await;
        call.send(request);
        let response = call.next().await?;
        call.receive().await.unwrap_err().map_or(Ok(response), Err)
    }

    /// A call that goes on.
    pub(super) async fn open(&self, member: u16, method: &str) -> Open {
        let connection = self.node.connect(NodeId::Member(member), GRPC_PORT).await;
        let connection = connection.unwrap_or_else(|error| panic!("member {member}: {error:?}"));
        let path = match method.starts_with('/') {
            true => method.to_owned(),
            false => format!("/etcdserverpb.{method}"),
        };
        let open = Open { connection };
        open.up(Up::Begin { call: 1, path, metadata: self.metadata.clone() });
        open
    }

    /// Members listen when they have started, and there is a leader soon.
    async fn wait_until_served(&self) {
        self.sleep(Duration::from_secs(5)).await;
    }
}

/// A call that goes on.
pub(super) struct Open {
    connection: Connection<GrpcUp, GrpcDown>,
}

impl Open {
    fn up(&self, up: Up) {
        let _ = self.connection.send(GrpcUp { up, operation: None });
    }

    pub(super) fn send(&self, message: &impl Message) {
        self.send_bytes(message.encode_to_vec().into());
    }

    pub(super) fn send_bytes(&self, bytes: Bytes) {
        self.up(Up::Message { call: 1, bytes });
    }

    pub(super) fn half_close(&self) {
        self.up(Up::HalfClose { call: 1 });
    }

    pub(super) fn consume(&self, bytes: u64) {
        self.up(Up::Consumed { call: 1, bytes });
    }

    pub(super) fn cancel(&self) {
        self.up(Up::Cancel { call: 1 });
    }

    /// The next message, or the end: nothing for `OK`.
    pub(super) async fn receive(&mut self) -> Result<Bytes, Option<Status>> {
        match self.connection.receive().await.expect("a connection that holds").down {
            Down::Message { bytes, .. } => Ok(bytes),
            Down::End { status, .. } if status == Status::OK => Err(None),
            Down::End { status, .. } => Err(Some(status)),
        }
    }

    /// The next message, which there must be.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<M, Status> {
        match self.receive().await {
            Ok(bytes) => Ok(M::decode(bytes).expect("a message of this type")),
            Err(Some(status)) => Err(status),
            Err(None) => panic!("the call ended"),
        }
    }

    /// What ends the call, which must be an error.
    pub(super) async fn error(&mut self) -> Status {
        self.receive().await.expect_err("the end").expect("an error")
    }
}
