//! Connections under faults: what arrives is what was sent, in order and once, up to where the connection broke.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Direction, Fault, Packets, Shape, Target, TimedFault};
use vertebra_sim::{Node, NodeId, System, Violation, World, run_many, schedule_of};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Options {
    pause_max_ms: u64,
    /// Whether a run fails in whose last seconds nobody is called.
    calls_last: bool,
}

/// Clients that count, and one member that hears them; each connection counts from 1.
struct Counting {
    options: Options,
    received: Cell<u64>,
    connections: Cell<u64>,
    /// When the last of them was accepted.
    accepted: Cell<Duration>,
    /// Ends of connections that were told that the other is gone.
    broken: RefCell<u64>,
}

impl System for Counting {
    const NAME: &'static str = "counting";
    type Options = Options;

    fn options(streams: &Streams) -> Options {
        Options { pause_max_ms: streams.stream("options/pause", 0).magnitude(1, 200), calls_last: false }
    }

    fn shape(_: &Options) -> Result<Shape, String> {
        Ok(Shape { failpoints: &["beforeReceive"], ..Shape::new(1, 3) })
    }

    fn new(_: &World, options: Options) -> Self {
        Self {
            options,
            received: Cell::new(0),
            connections: Cell::new(0),
            accepted: Cell::default(),
            broken: RefCell::default(),
        }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let listener = node.listen::<u64, u64>(1);
        loop {
            let connection = listener.accept().await;
            self.connections.set(self.connections.get() + 1);
            self.accepted.set(node.world().now().since_start());
            let (this, inner) = (Rc::clone(&self), node.clone());
            node.spawn(async move {
                let mut expected = 1;
                while let Ok(number) = connection.receive().await {
                    inner.failpoint("beforeReceive").await;
                    if number != expected {
                        let detail = format!("{number} from {} instead of {expected}", connection.peer());
                        inner.world().fail(Violation::new("connection", "order", "", detail));
                    }
                    expected += 1;
                    this.received.set(this.received.get() + 1);
                    let _ = connection.send(number);
                }
                *this.broken.borrow_mut() += 1;
            });
        }
    }

    async fn client(self: Rc<Self>, node: Node) {
        let mut stream = node.stream("workload");
        while !node.world().is_healed() {
            let Ok(connection) = node.connect::<u64, u64>(NodeId::Member(1), 1).await else {
                node.sleep(Duration::from_millis(50)).await;
                continue;
            };
            let mut answered = 0;
            for number in 1..=stream.between(1, 300) {
                if connection.send(number).is_err() {
                    break;
                }
                let pause = stream.duration(Duration::ZERO, Duration::from_millis(self.options.pause_max_ms));
                let answers = async {
                    while let Ok(answer) = connection.receive().await {
                        answered += 1;
                        assert_eq!(answer, answered, "answers come in order");
                    }
                };
                vertebra_sim::before(node.sleep(pause), answers).await;
            }
        }
    }

    async fn settle(self: Rc<Self>, world: World) {
        world.sleep(Duration::from_secs(1)).await;
    }

    fn unsettled(&self) -> Violation {
        Violation::new("connection", "settles", "", "")
    }

    fn finish(&self, world: &World) -> Result<(), Violation> {
        let late = world.now().since_start() - self.accepted.get() > Duration::from_secs(10);
        if self.options.calls_last && late {
            Err(Violation::new("connection", "is made again", "", ""))
        } else {
            Ok(())
        }
    }

    fn operations(&self) -> u64 {
        self.received.get()
    }
}

#[test]
fn what_arrives_is_what_was_sent_in_order_and_once() {
    let mut received = 0;
    let schedule = |seed| schedule_of::<Counting>(seed, |_| {});
    run_many::<Counting>(0..300, 2, &AtomicBool::new(false), schedule, |seed, ran| {
        let (_, report) = ran.unwrap();
        assert_eq!(report.verdict.signature(), None, "seed {seed}: {:?}", report.verdict);
        received += report.operations;
    });
    assert!(received > 20_000, "only {received} messages");
}

#[test]
fn a_call_ends_when_the_machine_that_accepted_it_loses_its_power_before_it_can_say_so() {
    let at = |millis, fault| TimedFault { at: Duration::from_millis(millis), fault };
    let schedule = |seed| {
        let mut schedule = schedule_of::<Counting>(seed, |options| {
            *options = Options { pause_max_ms: 1, calls_last: true };
        })?;
        (schedule.duration, schedule.broken) = (Duration::from_secs(20), Vec::new());
        schedule.faults = vec![
            at(
                1_000,
                Fault::Partition {
                    from: vec![Target::Node(NodeId::Member(1))],
                    to: vec![Target::AllClients],
                    direction: Direction::OneWay,
                    packets: Packets::Drop,
                    lasts: Duration::from_secs(5),
                },
            ),
            at(
                2_000,
                Fault::PowerFailure { target: Target::Node(NodeId::Member(1)), down: Duration::from_secs(1) },
            ),
        ];
        Ok(schedule)
    };
    run_many::<Counting>(0..20, 2, &AtomicBool::new(false), schedule, |seed, ran| {
        let (_, report) = ran.unwrap();
        assert_eq!(report.verdict.signature(), None, "seed {seed}: {:?}", report.verdict);
    });
}
