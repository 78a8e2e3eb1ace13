//! Marks are counted, and are no part of the run.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::coverage::{Coverage, FailpointTally, MarkTally, Standing};
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Action, Fault, Schedule, Shape, Target, TimedFault};
use vertebra_sim::{Node, NodeId, System, Violation, World, record, run, schedule_of, sometimes};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Options {
    watch: bool,
}

struct Marked(Options);

const ROUNDS: u64 = 10;

impl System for Marked {
    const NAME: &'static str = "marked";
    type Options = Options;

    fn options(_: &Streams) -> Options {
        Options { watch: false }
    }

    fn shape(_: &Options) -> Result<Shape, String> {
        Ok(Shape { failpoints: &["beforeRound", "never"], ..Shape::new(2, 0) })
    }

    fn features(options: &Options) -> Vec<(&'static str, bool)> {
        vec![("watch", options.watch)]
    }

    fn new(_: &World, options: Options) -> Self {
        Self(options)
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        for round in 0..ROUNDS {
            node.sleep(Duration::from_millis(100)).await;
            node.failpoint("beforeRound").await;
            record!(node, "member", "round {}", round);
            let trace = node.world().trace();
            let before = (trace.digest(), trace.events());
            sometimes!(node, "a round is over");
            sometimes!(node, "a third round is over", round == 2);
            sometimes!(
                node,
                "a round is over after a crash",
                node.incarnation() > 1,
                when = |run| { run.fault("failpoint") && run.failpoint("beforeRound") }
            );
            sometimes!(
                node,
                "the second member is done",
                node.id() == NodeId::Member(2) && round == 9,
                when = |run| { run.members == 2 }
            );
            sometimes!(node, "a round has a watch", self.0.watch, when = |run| run.has("watch"));
            sometimes!(node, "an eleventh round is over", round == 10);
            sometimes!(node, "a disk is used", round == 10, when = |run| run.disks || run.connections);
            assert_eq!(before, (trace.digest(), trace.events()), "a mark is an event");
        }
        node.sleep(Duration::from_secs(1_000)).await;
        Ok(())
    }

    async fn client(self: Rc<Self>, _: Node) {}

    async fn settle(self: Rc<Self>, world: World) {
        world.sleep(Duration::from_secs(3)).await;
    }

    fn unsettled(&self) -> Violation {
        Violation::new("none", "none", "", "")
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        Ok(())
    }

    fn operations(&self) -> u64 {
        0
    }
}

fn schedule(watch: bool, faults: Vec<Fault>) -> Schedule<Options> {
    let mut schedule = schedule_of::<Marked>(1, |options| options.watch = watch).expect("it has a schedule");
    schedule.clocks.clear();
    schedule.duration = Duration::from_secs(5);
    schedule.faults =
        faults.into_iter().map(|fault| TimedFault { at: Duration::from_millis(1), fault }).collect();
    schedule
}

fn crash_before_third_round() -> Fault {
    Fault::Failpoint {
        name: "beforeRound".to_owned(),
        target: Target::Node(NodeId::Member(1)),
        hit: 3,
        action: Action::Kill,
        lasts: Duration::from_millis(10),
    }
}

fn coverage(schedules: &[Schedule<Options>]) -> Coverage {
    let mut coverage = Coverage::default();
    schedules.iter().for_each(|schedule| coverage.add(&run::<Marked>(schedule, None).reached));
    coverage
}

#[test]
fn a_run_counts_what_it_comes_by_and_what_it_could_come_by() {
    let coverage = coverage(&[schedule(false, Vec::new())]);
    let tally = |name: &str| coverage.marks[name];
    let possible = |hits| MarkTally { possible: 1, runs: u64::min(hits, 1), hits };
    assert_eq!(tally("a round is over"), possible(2 * ROUNDS));
    assert_eq!(tally("a third round is over"), possible(2));
    assert_eq!(tally("the second member is done"), possible(1));
    assert_eq!(tally("an eleventh round is over").standing(), Standing::Missing);
    for name in ["a round has a watch", "a round is over after a crash", "a disk is used"] {
        assert_eq!(tally(name).standing(), Standing::Dormant, "{name}");
    }
}

#[test]
fn a_mark_is_dormant_until_some_run_makes_it_possible() {
    let schedules = [
        schedule(false, Vec::new()),
        schedule(true, Vec::new()),
        schedule(false, vec![crash_before_third_round()]),
    ];
    let coverage = coverage(&schedules);
    assert_eq!(coverage.seeds, 3);
    assert_eq!(coverage.marks["a round has a watch"], MarkTally { possible: 1, runs: 1, hits: 2 * ROUNDS });
    assert_eq!(
        coverage.marks["a round is over after a crash"],
        MarkTally { possible: 1, runs: 1, hits: ROUNDS }
    );
    assert_eq!(coverage.marks["a round is over"].hits, 6 * ROUNDS + 2, "two of them were before the crash");
}

#[test]
fn a_failpoint_counts_who_passes_and_whom_a_fault_strikes() {
    let coverage = coverage(&[schedule(false, vec![crash_before_third_round()])]);
    let struck = FailpointTally { runs: 1, passed: 3 + 2 * ROUNDS, struck: 1, crashed: 1 };
    assert_eq!(coverage.failpoints["beforeRound"], struck);
    assert_eq!(coverage.failpoints["never"], FailpointTally::default());
    assert_eq!(
        (struck.standing(), FailpointTally::default().standing()),
        (Standing::Reached, Standing::Missing)
    );
    let faults = coverage.faults["failpoint"];
    assert_eq!((faults.runs, faults.drawn, faults.met), (1, 1, 1));
    assert_eq!(coverage.faults["kill"].drawn, 0);
}
