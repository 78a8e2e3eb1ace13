//! A replicated register, in which a sweep finds the bug of reads that do not write back.
//!
//! Members keep one value with a version. A client writes by asking a majority for the newest version and storing a
//! newer one there. It reads by asking a majority, and writes back what it found (Attiya, Bar-Noy, Dolev).
//!
//! ```text
//! cargo run --release -p vertebra-sim --example register         # sweeps seeds, with write-back and without
//! cargo run --release -p vertebra-sim --example register -- 7    # tells the run of one seed without it
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing_subscriber::prelude::*;
use vertebra_sim::{DiskError, Node, NodeId, OpenMode, Report, System, Violation, World};
use vertebra_sim::{before, record, run, run_many, schedule_of};
use vertebra_sim::{network::Socket, random::Streams, schedule::Shape};

const PORT: u16 = 1;

/// Version and value. A version ends with the number of the client that wrote it, so that no two writes share one.
type Stamped = (u64, u64);
const NOTHING: Stamped = (0, 0);

/// To a member: store this, unless you have something newer. From a member, of the same round: what it has.
#[derive(Clone, Hash, Debug)]
struct Message {
    round: u64,
    stamped: Stamped,
}

impl vertebra_sim::network::Message for Message {}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {}: version {}", self.round, self.stamped.0)
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    members: u16,
    clients: u16,
    /// Whether a read stores what it found before it answers. Without it, the register is broken.
    write_back: bool,
}

struct Register {
    options: Options,
    operations: Cell<u64>,
    newest_completed: Cell<u64>,
    /// Clients that were answered when all faults were over.
    recovered: Cell<u16>,
}

impl System for Register {
    const NAME: &'static str = "register";
    type Options = Options;

    fn options(streams: &Streams) -> Options {
        let mut stream = streams.stream("options/size", 0);
        Options { members: *stream.pick(&[3, 5]), clients: stream.between(2, 4) as u16, write_back: true }
    }

    fn shape(options: &Options) -> Result<Shape, String> {
        let shape = Shape { failpoints: &["beforeAnswer"], ..Shape::new(options.members, options.clients) };
        (options.members > 0)
            .then_some(shape)
            .ok_or_else(|| "members: a register has at least one".to_owned())
    }

    fn new(_: &World, options: Options) -> Self {
        Self { options, operations: Cell::new(0), newest_completed: Cell::new(0), recovered: Cell::new(0) }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        serve(&node).await.map_err(|error| error.to_string())
    }

    async fn client(self: Rc<Self>, node: Node) {
        let NodeId::Client(number) = node.id() else { return };
        let (socket, mut stream) = (node.socket(PORT), node.stream("workload"));
        for round in (1..).step_by(2) {
            node.sleep(stream.duration(Duration::from_millis(1), Duration::from_millis(100))).await;
            self.operations.set(self.operations.get() + 1);
            // What was completed before this operation began, it must not miss.
            let completed = self.newest_completed.get();
            let mut seen = store(&node, &socket, round, NOTHING).await;
            if stream.chance(300_000) {
                seen = (((seen.0 >> 8) + 1) << 8 | u64::from(number), stream.next_u64());
                store(&node, &socket, round + 1, seen).await;
            } else if self.options.write_back {
                store(&node, &socket, round + 1, seen).await;
            }
            record!(node, "client", "completes at version {}", seen.0);
            if seen.0 < completed {
                let clause = "what was completed is seen by what begins later";
                let detail = format!("version {completed} was completed, and {} was found", seen.0);
                node.world().fail(Violation::new(Self::NAME, clause, "", detail));
            }
            self.newest_completed.set(self.newest_completed.get().max(seen.0));
            if node.world().is_healed() {
                return self.recovered.set(self.recovered.get() + 1);
            }
        }
    }

    async fn settle(self: Rc<Self>, world: World) {
        while self.recovered.get() < self.options.clients {
            world.sleep(Duration::from_millis(10)).await;
        }
    }

    fn unsettled(&self) -> Violation {
        let detail = format!("{} of {} clients were answered", self.recovered.get(), self.options.clients);
        Violation::new("liveness", "answers after healing", "", detail)
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        Ok(())
    }

    fn operations(&self) -> u64 {
        self.operations.get()
    }
}

/// A member, until it is killed or its disk fails.
async fn serve(node: &Node) -> Result<(), DiskError> {
    let socket = node.socket(PORT);
    let file = node.disk().open("register", OpenMode::Create).await?;
    node.disk().sync_directory("").await?;
    let bytes = file.read_at(0, 16).await?;
    let number = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let mut stored = (number(bytes.first_chunk()), number(bytes.last_chunk()));
    loop {
        let (client, Message { round, stamped }) = socket.receive().await;
        if stamped > stored {
            stored = stamped;
            file.write_at(0, &[stored.0.to_le_bytes(), stored.1.to_le_bytes()].concat()).await?;
            file.sync().await?;
        }
        node.failpoint("beforeAnswer").await;
        socket.send(client, Message { round, stamped: stored });
    }
}

/// Stores a value at a majority, however often it takes; returns the newest one that it answered with.
async fn store(node: &Node, socket: &Socket<Message>, round: u64, stamped: Stamped) -> Stamped {
    let members: Vec<NodeId> = node.world().members().collect();
    let mut answers = BTreeMap::new();
    loop {
        members.iter().for_each(|member| socket.send(*member, Message { round, stamped }));
        let gather = async {
            while answers.len() <= members.len() / 2 {
                let (member, answer) = socket.receive().await;
                if answer.round == round {
                    answers.insert(member, answer.stamped);
                }
            }
        };
        if before(node.sleep(Duration::from_millis(300)), gather).await.is_some() {
            return answers.into_values().max().unwrap_or(NOTHING);
        }
    }
}

/// Runs that many seeds, or fewer if one fails; returns that one.
pub(crate) fn sweep(seeds: u64, write_back: bool) -> Option<(u64, Report)> {
    let (stop, mut failed) = (AtomicBool::new(false), None);
    let schedule = |seed| schedule_of::<Register>(seed, |options| options.write_back = write_back);
    run_many::<Register>(0..seeds, 2, &stop, schedule, |seed, ran| {
        let (_, report) = ran.expect("drawn options make sense");
        // Seeds end in any order. All that are lower than one that failed were begun, so the lowest is always the same.
        if report.verdict.violation().is_some() && failed.as_ref().is_none_or(|(first, _)| seed < *first) {
            failed = Some((seed, report));
            stop.store(true, Ordering::Relaxed);
        }
    });
    failed
}

#[expect(clippy::disallowed_methods, reason = "no run depends on the command line")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(seed) = std::env::args().nth(1) {
        let schedule = schedule_of::<Register>(seed.parse()?, |options| options.write_back = false)?;
        let ours = tracing_subscriber::filter::filter_fn(|event| event.target().starts_with("vertebra"));
        let lines = tracing_subscriber::fmt::layer().without_time().with_filter(ours);
        let reader = tracing_subscriber::registry().with(lines).into();
        let report = run::<Register>(&schedule, Some(&reader));
        println!("{}", report.verdict.violation().map_or("pass".to_owned(), ToString::to_string));
        return Ok(());
    }
    for (name, write_back) in [("with write-back", true), ("without it", false)] {
        match sweep(2_000, write_back).and_then(|(seed, report)| Some((seed, report.verdict.signature()?))) {
            None => println!("{name}: pass"),
            Some((seed, signature)) => println!("{name}: seed {seed} is a violation of {signature}"),
        }
    }
    Ok(())
}
