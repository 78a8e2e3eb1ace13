//! The cluster as a system that the simulator can run.

use std::rc::Rc;
use std::time::Duration;

use vertebra_sim::atlas::Damage;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::Shape;
use vertebra_sim::{Node, NodeId, System, Violation, World};

use crate::client::Client;
use crate::credentials::{Credentials, Passwords};
use crate::history::History;
use crate::inventory::Inventory;
use crate::load::{Loads, SLOW_WATCH};
use crate::member::Member;
use crate::observer::Observer;
use crate::observers::Observers;
use crate::operator::Operator;
use crate::options::Options;
use crate::oracle::liveness::Unsettled;
use crate::watch_history::WatchHistory;
use crate::watcher::Watcher;
use crate::workload::{Workload, user_of};

/// How long the cluster has to recover when all faults are healed: a supervisor's delay, some elections that fail,
/// the members' and clients' timeouts, and then some.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// A lease of so many seconds is not waited for.
const LONG_LEASE: i64 = 8;

/// A member that can remove so many records in a second has come to the end of its compactions when a run ends.
const COMPACTED_PER_SECOND: f64 = 500.0;

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// An etcd cluster with its clients.
pub struct Etcd {
    options: Rc<Options>,
    observers: Rc<Observers>,
    inventory: Rc<Inventory>,
    operator: Rc<Operator>,
    loads: Rc<Loads>,
    passwords: Rc<Passwords>,
}

impl Etcd {
    /// Who observes the present cluster.
    pub(crate) fn observer(&self) -> Rc<Observer> {
        self.observers.present()
    }

    /// What the clients of each of its clusters saw, one cluster after the other.
    pub fn histories(&self, mut each: impl FnMut(&History, &WatchHistory)) {
        self.observers.each(|observer| observer.tell_history(&mut each));
    }

    /// The streams of watches of a client. They are dealt out one by one.
    fn streams_of(&self, client: NodeId) -> impl Iterator<Item = u16> + use<> {
        let clients = self.options.clients;
        let number = if let NodeId::Client(number) = client { number } else { 0 };
        (0..self.options.watch.streams).filter(move |stream| stream % clients + 1 == number)
    }

    /// Opens the streams of watches of a client.
    fn watch(&self, node: &Node, client: &Client) {
        for stream in self.streams_of(node.id()) {
            let (observer, options) = (self.observer(), Rc::clone(&self.options));
            let (loads, known) = (Rc::clone(&self.loads), client.known_revision());
            let watcher =
                Watcher::new(node.clone(), observer, options, loads, stream, known, client.credentials());
            node.spawn(watcher.run());
        }
    }

    /// The faults are over.
    pub(crate) fn heal(&self) {
        self.observer().healed();
        self.operator.repair();
    }

    /// Whether the members have recovered.
    pub(crate) fn is_whole(&self) -> bool {
        self.operator.is_content() && self.observer().members_agree()
    }

    /// What to report when they have not in time.
    pub(crate) fn not_whole(&self) -> Violation {
        Unsettled::Members.violation(format!(
            "the operator is {}content; {}",
            if self.operator.is_content() { "" } else { "not " },
            self.observer().standing()
        ))
    }

    /// Whether leases that may expire have expired, where a run waits for that.
    fn leases_have_expired(&self) -> bool {
        !self.options.leases.wait_for_expiry || self.observer().leases_have_expired(LONG_LEASE)
    }

    /// Whether members are compacted, where that takes them no more than seconds.
    fn are_compacted(&self) -> bool {
        let Options { compaction_batch_limit: batch, compaction_sleep_interval: interval, .. } =
            &*self.options;
        let is_slow = interval.as_secs_f64() * COMPACTED_PER_SECOND > *batch as f64;
        is_slow || self.observer().members_have_compacted()
    }
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
        let leases = options.traffic.weights.leases.any();
        vec![
            ("leases", leases),
            ("lease checkpoints", leases && options.leases.checkpoint_interval.is_some()),
            ("locks", options.traffic.weights.recipe > 0),
            ("kubernetes", options.traffic.kubernetes.any()),
            ("watch", options.watch.streams > 0),
            ("auth", options.auth.any()),
        ]
    }

    fn settle_max(options: &Options) -> Duration {
        let (watch, leases) = (&options.watch, &options.leases);
        // Over a slow link, each window of a stream takes as long as a turn of it.
        let has_small_windows = watch.streams > 0 && watch.window_bytes < 1 << 10;
        // A hundred leases of which a few may expire in a second.
        let expires_slowly = leases.wait_for_expiry && leases.revoke_rate < 100;
        if has_small_windows || expires_slowly { 4 * SETTLE_MAX } else { SETTLE_MAX }
    }

    fn new(world: &World, options: Options) -> Self {
        let observers = Rc::new(Observers::new(Observer::new(world, &options)));
        let (options, inventory) = (Rc::new(options), Rc::new(Inventory::default()));
        let (loads, passwords) = (Rc::default(), Rc::<Passwords>::default());
        let (known, watched, written) = (Rc::clone(&options), Rc::clone(&observers), Rc::clone(&inventory));
        let operator = Rc::new(Operator::new(known, watched, written, Rc::clone(&passwords)));
        Self { options, observers, inventory, operator, loads, passwords }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let inventory = Rc::clone(&self.inventory);
        Member::run(node, Rc::clone(&self.options), self.observer(), inventory).await
    }

    async fn client(self: Rc<Self>, node: Node) {
        let endpoints = Workload::endpoints(node.id(), self.options.members);
        let mut client = Client::new(node.clone(), self.observer(), endpoints, Rc::clone(&self.options));
        if self.options.auth.any() {
            let user = user_of(node.id(), &self.options);
            client = client.with_credentials(Rc::new(Credentials::new(user, Rc::clone(&self.passwords))));
        }
        self.watch(&node, &client);
        let administrates = NodeId::Client(self.options.auth.administrator) == node.id();
        let (loads, passwords) = (Rc::clone(&self.loads), Rc::clone(&self.passwords));
        let mut workload = Workload::new(node, client, &self.options, loads, passwords);
        workload.run().await;
        self.observers.client_answered();
        if administrates {
            workload.keep_auth_off().await;
        }
    }

    async fn operator(self: Rc<Self>, node: Node) {
        Rc::clone(&self.operator).run(node).await;
    }

    fn operate(&self, _: &World, operation: &str, targets: &[NodeId]) -> bool {
        self.operator.order(operation, targets)
    }

    fn voters(&self, _: &World) -> Vec<NodeId> {
        self.observer().voters()
    }

    fn is_sound(&self, damage: &Damage) -> bool {
        self.inventory.is_replaced_since(damage.member, damage.since) || self.observer().is_sound(damage)
    }

    fn leader(&self) -> Option<NodeId> {
        self.observer().leader()
    }

    fn load(&self, world: &World, load: &str, targets: &[NodeId], amount: u32, lasts: Duration) -> bool {
        if load == SLOW_WATCH {
            let watches = |client: &&NodeId| self.streams_of(**client).next().is_some();
            let watching: Vec<_> = targets.iter().filter(watches).copied().collect();
            return self.loads.begin(load, &watching, amount, world.now(), lasts);
        }
        self.loads.begin(load, targets, amount, world.now(), lasts)
    }

    async fn settle(self: Rc<Self>, world: World) {
        self.heal();
        while self.observers.answered() < self.options.clients
            || !self.operator.is_content()
            || !self.leases_have_expired()
            || !self.observer().members_agree()
            || !self.observer().watches_caught_up()
            || !self.are_compacted()
        {
            world.sleep(LOOK).await;
        }
    }

    fn unsettled(&self) -> Violation {
        let (answered, clients) = (self.observers.answered(), self.options.clients);
        let unsettled = if answered < clients {
            Unsettled::Clients
        } else if !self.operator.is_content() || !self.observer().members_agree() {
            Unsettled::Members
        } else if !self.observer().watches_caught_up() {
            Unsettled::Watches
        } else {
            Unsettled::Compactions
        };
        let rest = answered == clients && self.operator.is_content() && self.observer().members_agree();
        if rest && !self.leases_have_expired() {
            let detail = "some lease does not expire though all faults are over";
            return Violation::new("leases", "outlived", "", detail.to_owned());
        }
        unsettled.violation(format!(
            "{answered} of {clients} clients were answered; the operator is {}content; {}; {}",
            if self.operator.is_content() { "" } else { "not " },
            self.observer().standing(),
            self.observer().watched()
        ))
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        self.observers.judge()
    }

    fn operations(&self) -> u64 {
        self.observers.operations()
    }

    fn excuses(&self) -> Vec<(&'static str, u64)> {
        self.observers.excuses()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Weak;

    use vertebra_sim::{Instant, Outside, Turn, run_with, schedule_of};

    use super::*;

    struct UpTo(Instant);

    impl Outside for UpTo {
        fn turn(&mut self, world: &World) -> Turn {
            if world.now() < self.0 { Turn::Until(self.0) } else { Turn::End }
        }
    }

    #[test]
    fn a_run_leaves_nothing_behind() {
        // A sweep has millions of them in one process.
        for seed in 0..20 {
            let schedule = schedule_of::<Etcd>(seed, |_| ()).expect("what is drawn makes sense");
            let mut observer = Weak::new();
            let report = run_with::<Etcd, _>(&schedule, None, |_, etcd| {
                observer = Rc::downgrade(&etcd.observers.present());
                UpTo(Instant::START + schedule.duration)
            });
            assert!(report.events > 0);
            assert_eq!(observer.strong_count(), 0, "seed {seed}");
        }
    }
}
