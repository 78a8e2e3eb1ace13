//! A replicated register, and a bug in it that a sweep finds.
//!
//! Members keep one value with a version. A client writes by asking a majority for the newest version and storing
//! a newer one at a majority; it reads by asking a majority and taking the newest value that it hears of. That is
//! the register of Attiya, Bar-Noy and Dolev, but for one step: a read must store what it found at a majority
//! before it answers. Without it, a read can see a write that a later read does not.
//!
//! ```text
//! cargo run --release -p vertebra-sim --example register
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::network::Socket;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::Shape;
use vertebra_sim::{Node, NodeId, OpenMode, System, Violation, World, record, run_many, schedule_of};

const PORT: u16 = 1;

/// Version and value; versions are made unique by the number of the client that writes.
type Stamped = (u64, u64);

#[derive(Clone, Hash, Debug)]
enum Message {
    Ask { round: u64 },
    Store { round: u64, stamped: Stamped },
    Answer { round: u64, stamped: Stamped },
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
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
    recovered: Cell<u16>,
    newest_completed: Cell<u64>,
}

impl System for Register {
    const NAME: &'static str = "register";
    type Options = Options;

    fn options(streams: &Streams) -> Options {
        let mut stream = streams.stream("options/size", 0);
        let members = *stream.pick(&[3, 5]);
        Options { members, clients: stream.between(2, 4) as u16, write_back: true }
    }

    fn shape(options: &Options) -> Result<Shape, String> {
        match options.members {
            0 => Err("members: a register has at least one".to_owned()),
            members => Ok(Shape { members, clients: options.clients, failpoints: &["beforeAnswer"] }),
        }
    }

    fn new(_: &World, options: Options) -> Self {
        Self { options, operations: Cell::new(0), recovered: Cell::new(0), newest_completed: Cell::new(0) }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let socket = node.socket::<Message>(PORT);
        let file = node.disk().open("register", OpenMode::Create).await.map_err(|e| e.to_string())?;
        node.disk().sync_directory("").await.map_err(|e| e.to_string())?;
        let mut stored = decode(&file.read_at(0, 16).await.map_err(|e| e.to_string())?);
        loop {
            let (from, message) = socket.receive().await;
            let round = match message {
                Message::Ask { round } => round,
                Message::Store { round, stamped } => {
                    if stamped.0 > stored.0 {
                        stored = stamped;
                        file.write_at(0, &encode(stored)).await.map_err(|e| e.to_string())?;
                        file.sync().await.map_err(|e| e.to_string())?;
                    }
                    round
                }
                Message::Answer { .. } => continue,
            };
            node.failpoint("beforeAnswer").await;
            socket.send(from, Message::Answer { round, stamped: stored });
        }
    }

    async fn client(self: Rc<Self>, node: Node) {
        let mut client = Client { socket: node.socket(PORT), round: 0, system: Rc::clone(&self), node };
        let mut stream = client.node.stream("workload");
        let NodeId::Client(number) = client.node.id() else { return };
        loop {
            client.node.sleep(stream.duration(Duration::from_millis(1), Duration::from_millis(100))).await;
            self.operations.set(self.operations.get() + 1);
            // What was completed before this operation began, it must not miss.
            let completed = self.newest_completed.get();
            let found = client.ask().await;
            let result = if stream.chance(300_000) {
                let stamped = (((found.0 >> 8) + 1) << 8 | u64::from(number), stream.next_u64());
                client.store(stamped).await
            } else if self.options.write_back {
                client.store(found).await
            } else {
                found
            };
            record!(client.node, "client", "completes at version {}", result.0);
            if result.0 < completed {
                client.node.world().fail(Violation {
                    oracle: "register",
                    clause: "a completed operation is seen by those that begin later",
                    shape: String::new(),
                    detail: format!("version {completed} was completed, and {} was found", result.0),
                });
            }
            self.newest_completed.set(self.newest_completed.get().max(result.0));
            if client.node.world().is_healed() {
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
        Violation { oracle: "liveness", clause: "answers after healing", shape: String::new(), detail }
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        Ok(())
    }

    fn operations(&self) -> u64 {
        self.operations.get()
    }
}

struct Client {
    node: Node,
    socket: Socket<Message>,
    round: u64,
    system: Rc<Register>,
}

impl Client {
    async fn ask(&mut self) -> Stamped {
        self.majority(|round| Message::Ask { round }).await
    }

    async fn store(&mut self, stamped: Stamped) -> Stamped {
        self.majority(|round| Message::Store { round, stamped }).await;
        stamped
    }

    /// Sends a message to all until a majority has answered; returns the newest of their answers.
    async fn majority(&mut self, message: impl Fn(u64) -> Message) -> Stamped {
        self.round += 1;
        let answers = RefCell::new(BTreeMap::new());
        loop {
            for member in self.node.world().members() {
                self.socket.send(member, message(self.round));
            }
            let deadline = self.node.sleep(Duration::from_millis(300));
            let gather = async {
                while answers.borrow().len() <= usize::from(self.system.options.members) / 2 {
                    let (from, message) = self.socket.receive().await;
                    if let Message::Answer { round, stamped } = message
                        && round == self.round
                    {
                        answers.borrow_mut().insert(from, stamped);
                    }
                }
            };
            if vertebra_sim::before(deadline, gather).await.is_some() {
                return answers.into_inner().into_values().max().unwrap_or_default();
            }
        }
    }
}

fn encode((version, value): Stamped) -> Vec<u8> {
    [version.to_le_bytes(), value.to_le_bytes()].concat()
}

fn decode(bytes: &[u8]) -> Stamped {
    let number =
        |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    (number(0), number(8))
}

fn main() {
    for write_back in [true, false] {
        let (stop, mut seeds, mut found) = (AtomicBool::new(false), 0, None);
        let schedule = |seed| schedule_of::<Register>(seed, |options| options.write_back = write_back);
        run_many::<Register>(0..2_000, 2, &stop, schedule, |seed, ran| {
            let (_, report) = ran.expect("drawn options are valid");
            seeds += 1;
            if let Some(signature) = report.verdict.signature() {
                found.get_or_insert((seed, signature));
                stop.store(true, Ordering::Relaxed);
            }
        });
        println!("write back: {write_back}: {seeds} seeds, violation: {found:?}");
    }
}
