//! However a run ends, nothing of it is left: a sweep runs millions in one process.
//!
//! What a run is made of refers to itself in circles: tasks hold the world, and the world the tasks, their wakers and
//! what they wait for. So guards stand wherever a system can put something, and are counted when the run is over.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::network::{Connection, Message};
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Direction, Fault, Packets, Shape, Target, TimedFault};
use vertebra_sim::{Node, NodeId, OpenMode, Report, System, Violation, World, run, schedule_of};

/// How a run ends.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
enum Ending {
    Pass,
    ViolationUnderFaults,
    PanicOfProcess,
    PanicInFault,
    PanicInSettling,
    PanicInDelivery,
    PanicInOracle,
    Unsettled,
}

/// Guards that are alive, by ending: the tests run side by side.
static ALIVE: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];
static MADE: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];

struct Guard(Ending);

impl Guard {
    fn new(ending: Ending) -> Self {
        ALIVE[ending as usize].fetch_add(1, Ordering::Relaxed);
        MADE[ending as usize].fetch_add(1, Ordering::Relaxed);
        Self(ending)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        ALIVE[self.0 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// As a message: in flight, held by a link, in an inbox that nobody reads.
impl Clone for Guard {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl Hash for Guard {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Message for Guard {}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a guard")
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Options {
    ending: Ending,
}

struct Guarded {
    ending: Ending,
    world: World,
    _guard: Guard,
}

const MEMBERS: u16 = 3;

impl System for Guarded {
    const NAME: &'static str = "guarded";
    type Options = Options;

    fn options(_: &Streams) -> Options {
        Options { ending: Ending::Pass }
    }

    fn shape(_: &Options) -> Result<Shape, String> {
        Ok(Shape::new(MEMBERS, 1))
    }

    fn settle_max(_: &Options) -> Duration {
        Duration::from_secs(2)
    }

    fn new(world: &World, options: Options) -> Self {
        // As the observer of a real system does.
        Self { ending: options.ending, world: world.clone(), _guard: Guard::new(options.ending) }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let _guard = Guard::new(self.ending);
        let socket = node.socket::<Guard>(1);
        // Nobody reads from this one.
        let _unread = node.socket::<Guard>(2);
        let listener = node.listen::<Guard, Guard>(3);
        let _file = node.disk().open("file", OpenMode::Create).await.map_err(|error| error.to_string())?;
        let ending = self.ending;
        node.spawn(async move {
            let _guard = Guard::new(ending);
            let mut connections = Vec::new();
            loop {
                connections.push(listener.accept().await);
            }
        });
        let mut ticker = node.ticker(Duration::from_millis(50));
        let unread = node.socket::<Guard>(4);
        let mut outgoing: Vec<Connection<Guard, Guard>> = Vec::new();
        loop {
            ticker.tick().await;
            while socket.try_receive().is_some() {}
            for to in (1..=MEMBERS).map(NodeId::Member).filter(|to| *to != node.id()) {
                socket.send(to, Guard::new(ending));
                unread.send(to, Guard::new(ending));
                if outgoing.len() < 4
                    && let Ok(connection) = node.connect(to, 3).await
                {
                    outgoing.push(connection);
                }
            }
            for connection in &outgoing {
                let _ = connection.send(Guard::new(ending));
            }
            if ending == Ending::PanicOfProcess && node.now().since_start() > Duration::from_millis(1_500) {
                panic!("as was asked");
            }
        }
    }

    async fn client(self: Rc<Self>, node: Node) {
        let _guard = Guard::new(self.ending);
        node.sleep(Duration::from_millis(1_500)).await;
        if self.ending == Ending::ViolationUnderFaults {
            node.world().fail(Violation::new("test", "as was asked", "", ""));
        }
        node.sleep(Duration::from_secs(1)).await;
        if self.ending == Ending::PanicInDelivery {
            // The socket takes something else.
            node.socket::<String>(1).send(NodeId::Member(1), "no guard".to_owned());
        }
        std::future::pending().await
    }

    fn leader(&self) -> Option<NodeId> {
        assert!(self.ending != Ending::PanicInFault, "as was asked");
        Some(NodeId::Member(1))
    }

    async fn settle(self: Rc<Self>, world: World) {
        let _guard = Guard::new(self.ending);
        world.sleep(Duration::from_millis(100)).await;
        assert!(self.ending != Ending::PanicInSettling, "as was asked");
        if matches!(self.ending, Ending::Unsettled | Ending::PanicInDelivery) {
            std::future::pending().await
        }
    }

    fn unsettled(&self) -> Violation {
        Violation::new("test", "settles", "", "")
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        assert!(self.ending != Ending::PanicInOracle, "as was asked");
        Ok(())
    }

    fn operations(&self) -> u64 {
        self.world.nodes().count() as u64
    }
}

/// Runs until all faults but the last two are over, and those to the end of the faults.
fn run_to(ending: Ending) -> Report {
    let mut schedule =
        schedule_of::<Guarded>(1, |options| options.ending = ending).expect("the options are good");
    schedule.duration = Duration::from_secs(2);
    let at = |millis, fault| TimedFault { at: Duration::from_millis(millis), fault };
    let hold = |from, to| Fault::Partition {
        from: vec![from],
        to: vec![to],
        direction: Direction::Both,
        packets: Packets::Hold,
        lasts: Duration::from_secs(60),
    };
    let (first, second, third) = (NodeId::Member(1), NodeId::Member(2), NodeId::Member(3));
    schedule.faults = vec![
        at(400, Fault::Kill { target: Target::Node(second), down: Duration::from_millis(100) }),
        at(600, Fault::PowerFailure { target: Target::Node(third), down: Duration::from_millis(100) }),
        at(1_000, hold(Target::Node(first), Target::Node(second))),
        at(1_100, Fault::Pause { target: Target::Node(third), lasts: Duration::from_secs(60) }),
        at(1_700, Fault::Kill { target: Target::Leader, down: Duration::from_secs(60) }),
    ];
    run::<Guarded>(&schedule, None)
}

/// Ends a run, and expects the signature of that ending and nothing left.
fn nothing_is_left_after(ending: Ending, signature: Option<&str>) {
    let report = run_to(ending);
    let found = report.verdict.signature();
    assert!(
        found
            .as_deref()
            .zip(signature)
            .map_or(found.is_none() && signature.is_none(), |(found, expected)| { found.contains(expected) }),
        "{ending:?} ended with {found:?}"
    );
    let count = |counters: &[AtomicUsize; 8]| counters[ending as usize].load(Ordering::Relaxed);
    assert!(count(&MADE) > 10, "only {} guards were ever made", count(&MADE));
    assert_eq!(count(&ALIVE), 0, "guards are left, of {}", count(&MADE));
}

#[test]
fn nothing_is_left_of_a_run_that_passes() {
    nothing_is_left_after(Ending::Pass, None);
}

#[test]
fn nothing_is_left_of_a_run_that_a_violation_ends_while_a_process_is_paused_and_a_link_held() {
    nothing_is_left_after(Ending::ViolationUnderFaults, Some("as was asked"));
}

#[test]
fn nothing_is_left_of_a_run_that_a_panicking_process_ends() {
    nothing_is_left_after(Ending::PanicOfProcess, Some("as was asked"));
}

#[test]
fn nothing_is_left_of_a_run_that_a_panic_in_a_fault_ends() {
    nothing_is_left_after(Ending::PanicInFault, Some("as was asked"));
}

#[test]
fn nothing_is_left_of_a_run_that_a_panic_while_it_settles_ends() {
    nothing_is_left_after(Ending::PanicInSettling, Some("as was asked"));
}

#[test]
fn nothing_is_left_of_a_run_that_a_message_of_a_wrong_type_ends_while_it_settles() {
    nothing_is_left_after(Ending::PanicInDelivery, Some("another type"));
}

#[test]
fn nothing_is_left_of_a_run_that_a_panicking_oracle_ends() {
    nothing_is_left_after(Ending::PanicInOracle, Some("as was asked"));
}

#[test]
fn nothing_is_left_of_a_run_that_does_not_settle() {
    nothing_is_left_after(Ending::Unsettled, Some("settles"));
}
