//! A member that does what a test wants, and that no fault meets but those that the test wants.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Fault, Shape, TimedFault};
use vertebra_sim::{Node, System, Verdict, Violation, World, run, schedule_of};

/// What the member does. Its panics are those of the test.
pub trait Task: 'static {
    async fn run(node: &Node);
}

struct Calm<T> {
    ended: Cell<bool>,
    task: PhantomData<T>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Options {}

/// Runs `T`, while the faults happen at their milliseconds.
pub fn calmly<T: Task>(faults: Vec<(u64, Fault)>) {
    let mut schedule = schedule_of::<Calm<T>>(1, |_| {}).unwrap();
    schedule.duration = Duration::from_secs(10);
    schedule.clocks.clear();
    schedule.faults =
        faults.into_iter().map(|(at, fault)| TimedFault { at: Duration::from_millis(at), fault }).collect();
    assert_eq!(run::<Calm<T>>(&schedule, None).verdict, Verdict::Pass);
}

impl<T: Task> System for Calm<T> {
    const NAME: &'static str = "calm";
    type Options = Options;

    fn options(_: &Streams) -> Options {
        Options {}
    }

    fn shape(_: &Options) -> Result<Shape, String> {
        Ok(Shape { failpoints: &["none"], ..Shape::new(1, 0) })
    }

    fn settle_max(_: &Options) -> Duration {
        Duration::from_secs(3_600)
    }

    fn new(_: &World, _: Options) -> Self {
        Self { ended: Cell::new(false), task: PhantomData }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        T::run(&node).await;
        self.ended.set(true);
        std::future::pending().await
    }

    async fn client(self: Rc<Self>, _: Node) {}

    async fn settle(self: Rc<Self>, world: World) {
        while !self.ended.get() {
            world.sleep(Duration::from_secs(1)).await;
        }
    }

    fn unsettled(&self) -> Violation {
        Violation::new("calm", "ends", "", String::new())
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        Ok(())
    }

    fn operations(&self) -> u64 {
        0
    }
}
