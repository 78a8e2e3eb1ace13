//! What an operator can do to machines, and what faults and their healing make of that.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Fault, Shape, Target, TimedFault};
use vertebra_sim::{Node, NodeId, OpenMode, System, Verdict, Violation, World, run, schedule_of};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Options {
    /// What the operator does, one step each second: `start 3`, `stop 1`, `wipe 1`.
    steps: Vec<String>,
    /// What must have been logged at the end.
    expected: String,
}

/// Members that count on their disks how often they were started.
struct Starts {
    options: Options,
    log: RefCell<Vec<String>>,
}

impl Starts {
    fn standing(&self) -> Violation {
        let log = self.log.borrow().join(", ");
        Violation::new("starts", "log", "", log)
    }
}

impl System for Starts {
    const NAME: &'static str = "starts";
    type Options = Options;

    fn options(_: &Streams) -> Options {
        Options { steps: Vec::new(), expected: String::new() }
    }

    fn shape(_: &Options) -> Result<Shape, String> {
        Ok(Shape { spares: 1, operations: &["steps"], ..Shape::new(2, 0) })
    }

    fn new(_: &World, options: Options) -> Self {
        Self { options, log: RefCell::default() }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let disk = node.disk();
        let file = disk.open("starts", OpenMode::Create).await.map_err(|error| error.to_string())?;
        file.append(b".").await.map_err(|error| error.to_string())?;
        file.sync().await.map_err(|error| error.to_string())?;
        let starts = file.length().await.map_err(|error| error.to_string())?;
        self.log.borrow_mut().push(format!("{} {starts}", node.id()));
        if self.options.expected.contains("finishes") && node.id() == NodeId::Member(2) {
            node.sleep(Duration::from_millis(100)).await;
            self.log.borrow_mut().push("finishes".to_owned());
            node.finish("it has nothing to do").await;
        }
        let first = node.id() == NodeId::Member(2) && node.incarnation() == 1;
        if first && self.options.expected.contains("exits") {
            node.sleep(Duration::from_millis(100)).await;
            node.exit("cannot read `starts`: 1 of 2").await;
        }
        if first && self.options.expected.contains("gives up") {
            node.sleep(Duration::from_millis(100)).await;
            node.give_up("nobody answers").await;
        }
        std::future::pending().await
    }

    async fn client(self: Rc<Self>, _: Node) {}

    async fn operator(self: Rc<Self>, node: Node) {
        for step in &self.options.steps {
            node.sleep(Duration::from_secs(1)).await;
            let (what, number) = step.split_once(' ').unwrap();
            let (machine, world) = (NodeId::Member(number.parse().unwrap()), node.world());
            match what {
                "start" => world.start_process(machine),
                "stop" => world.stop_process(machine),
                _ => world.wipe_disk(machine),
            }
        }
    }

    async fn settle(self: Rc<Self>, world: World) {
        world.sleep(Duration::from_secs(5)).await;
    }

    fn unsettled(&self) -> Violation {
        self.standing()
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        match self.log.borrow().join(", ") == self.options.expected {
            true => Ok(()),
            false => Err(self.standing()),
        }
    }

    fn operations(&self) -> u64 {
        0
    }
}

fn check(steps: &[&str], faults: &[(u64, Fault)], expected: &str) {
    assert_eq!(verdict(steps, faults, expected), Verdict::Pass);
}

fn verdict(steps: &[&str], faults: &[(u64, Fault)], expected: &str) -> Verdict {
    let mut schedule = schedule_of::<Starts>(1, |options| {
        options.steps = steps.iter().map(|step| (*step).to_owned()).collect();
        options.expected = expected.to_owned();
    })
    .unwrap();
    schedule.duration = Duration::from_secs(10);
    schedule.clocks.clear();
    schedule.disk.sync_latency_min = Duration::from_millis(1);
    schedule.disk.sync_latency_max = Duration::from_millis(1);
    let timed =
        |(at, fault): &(u64, Fault)| TimedFault { at: Duration::from_millis(*at), fault: fault.clone() };
    schedule.faults = faults.iter().map(timed).collect();
    run::<Starts>(&schedule, None).verdict
}

#[test]
fn a_process_ends_itself_only_where_a_fault_has_met_a_disk_or_others_do_not_answer() {
    let signature = |faults: &[(u64, Fault)], how| verdict(&[], faults, how).signature();
    assert_eq!(signature(&[], "exits").as_deref(), Some("process/exit: cannot read"));
    // The log is not that: the run went on to its end, and was not ended by the exit.
    let goes_on = Some("starts/log");
    assert_eq!(signature(&[], "gives up").as_deref(), goes_on);
    assert_eq!(signature(&[down(50, 1, 10)], "exits").as_deref(), Some("process/exit: cannot read"));
    let full = |number| {
        let target = Target::Node(NodeId::Member(number));
        (50, Fault::DiskFull { target, lasts: Duration::from_millis(10) })
    };
    assert_eq!(signature(&[full(2)], "exits").as_deref(), goes_on);
    // What meets another's disk is no reason.
    assert_eq!(signature(&[full(1)], "exits").as_deref(), Some("process/exit: cannot read"));
}

fn down(at: u64, number: u16, millis: u64) -> (u64, Fault) {
    let target = Target::Node(NodeId::Member(number));
    (at, Fault::Kill { target, down: Duration::from_millis(millis) })
}

const BEGIN: &str = "member 1 1, member 2 1";

#[test]
fn a_spare_runs_only_when_it_is_started() {
    check(&[], &[], BEGIN);
    check(&["start 3"], &[], &format!("{BEGIN}, member 3 1"));
}

#[test]
fn a_spare_that_a_fault_keeps_down_starts_when_the_fault_ends() {
    check(&["start 3", "stop 3"], &[down(500, 3, 3_000)], BEGIN);
    check(&["start 3"], &[down(500, 3, 3_000)], &format!("{BEGIN}, member 3 1"));
}

#[test]
fn a_stopped_process_is_not_started_by_the_end_of_a_fault_nor_by_healing() {
    check(&["stop 1"], &[down(500, 1, 2_000)], BEGIN);
    check(&["stop 1"], &[down(500, 1, 30_000), down(2_000, 1, 1_000)], BEGIN);
    check(&["stop 1"], &[down(500, 2, 30_000)], &format!("{BEGIN}, member 2 2"));
}

#[test]
fn a_stopped_process_finds_its_disk_as_it_was_unless_that_was_wiped() {
    check(&["stop 1", "start 1"], &[], &format!("{BEGIN}, member 1 2"));
    check(&["stop 1", "wipe 1", "start 1"], &[], &format!("{BEGIN}, member 1 1"));
}

#[test]
fn a_process_that_finishes_is_not_started_again() {
    check(&[], &[], BEGIN);
    check(&[], &[], &format!("{BEGIN}, finishes"));
    check(&["stop 1", "start 2"], &[], &format!("{BEGIN}, finishes, member 2 2, finishes"));
}
