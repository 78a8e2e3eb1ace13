//! The cluster as a system that the simulator can run.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use vertebra_sim::random::Streams;
use vertebra_sim::schedule::Shape;
use vertebra_sim::{Node, NodeId, System, Violation, World};

use crate::client::Client;
use crate::member::Member;
use crate::observer::Observer;
use crate::options::Options;
use crate::watcher::Watcher;
use crate::workload::Workload;

/// How long the cluster has to recover when all faults are healed: a supervisor's delay, some elections that fail,
/// the members' and clients' timeouts, and then some.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

impl Etcd {
    /// Opens the streams of watches of a client. They are dealt out one by one.
    fn watch(&self, node: &Node, client: &Client) {
        let NodeId::Client(number) = node.id() else { return };
        for stream in (0..self.options.watch.streams).filter(|stream| stream % self.options.clients + 1 == number) {
            let (observer, options) = (Rc::clone(&self.observer), Rc::clone(&self.options));
            let watcher = Watcher::new(node.clone(), observer, options, stream, client.known_revision());
            node.spawn(watcher.run());
        }
    }
}

/// An etcd cluster with its clients.
pub struct Etcd {
    options: Rc<Options>,
    observer: Rc<Observer>,
    /// Clients that the cluster has answered since all faults were healed.
    answered: Cell<u16>,
}

impl System for Etcd {
    const NAME: &'static str = "etcd";
    type Options = Options;

    fn options(streams: &Streams) -> Options {
        Options::draw(streams)
    }

    fn shape(options: &Options) -> Result<Shape, String> {
        options.shape()
    }

    fn features(options: &Options) -> Vec<(&'static str, bool)> {
        vec![("watch", options.watch.streams > 0)]
    }

    fn settle_max(_: &Options) -> Duration {
        SETTLE_MAX
    }

    fn new(world: &World, options: Options) -> Self {
        let observer = Rc::new(Observer::new(world, &options));
        Self { options: Rc::new(options), observer, answered: Cell::new(0) }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        Member::run(node, Rc::clone(&self.options), Rc::clone(&self.observer)).await
    }

    async fn client(self: Rc<Self>, node: Node) {
        let endpoints = Workload::endpoints(node.id(), self.options.members);
        let client =
            Client::new(node.clone(), Rc::clone(&self.observer), endpoints, Rc::clone(&self.options));
        self.watch(&node, &client);
        Workload::new(node, client, &self.options).run().await;
        self.answered.set(self.answered.get() + 1);
    }

    fn leader(&self) -> Option<NodeId> {
        self.observer.leader()
    }

    async fn settle(self: Rc<Self>, world: World) {
        while self.answered.get() < self.options.clients
            || !self.observer.members_agree()
            || !self.observer.watches_caught_up()
        {
            world.sleep(LOOK).await;
        }
    }

    fn unsettled(&self) -> Violation {
        let (answered, clients) = (self.answered.get(), self.options.clients);
        let clause = if answered < clients {
            "answers after healing"
        } else if !self.observer.members_agree() {
            "converges after healing"
        } else {
            "watches catch up after healing"
        };
        Violation {
            oracle: "liveness",
            clause,
            shape: String::new(),
            detail: format!(
                "{answered} of {clients} clients were answered; {}; {}",
                self.observer.standing(),
                self.observer.watched()
            ),
        }
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        self.observer.judge()
    }

    fn operations(&self) -> u64 {
        self.observer.operations()
    }
}
