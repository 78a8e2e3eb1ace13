//! A system small enough that what the command says of it never has to change: members send back what they get.
//!
//! Its defects are one for each thing that the command must be able to tell: a violation, a panic, failures that
//! take certain faults, and kinds of non-determinism.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra::{Planted, Subject};
use vertebra_sim::ledger::Version;
use vertebra_sim::network::Socket;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Operations, Shape};
use vertebra_sim::{Node, NodeId, System, Violation, World, record, sometimes};

const PORT: u16 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// A member sends something else back.
    Lie,
    /// A member panics.
    Panic,
    /// A member records something that differs from process to process.
    ProcessId,
    /// The same, where the text of the event does not show it.
    HiddenProcessId,
    /// What an answer is depends on how many runs the process has had.
    RunCount,
    /// It is over when two members were restarted.
    Pair,
    /// It is over when a member was restarted often.
    Worn,
}

const DEFECTS: [(Defect, &str, &str); 7] = [
    (Defect::Lie, "lie", "a member sends something else back"),
    (Defect::Panic, "panic", "a member panics"),
    (Defect::ProcessId, "process-id", "an event shows the number of its process"),
    (Defect::HiddenProcessId, "hidden-process-id", "an event holds the number of its process"),
    (Defect::RunCount, "run-count", "an event holds how many runs its process had"),
    (Defect::Pair, "pair", "two members were restarted"),
    (Defect::Worn, "worn", "a member was restarted 150 times"),
];

/// Restarts that a worn member has had.
const WORN: u32 = 150;

/// How many runs this process has had.
static RUNS: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    members: u16,
    clients: u16,
    #[serde(default)]
    defects: Vec<Defect>,
    #[serde(default, skip_serializing_if = "Operations::is_empty")]
    operations: Operations,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Message {
    Ask(u64),
    Answer(u64),
}

impl vertebra_sim::network::Message for Message {}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(number) => write!(f, "ask {number}"),
            Self::Answer(number) => write!(f, "answer {number}"),
        }
    }
}

/// Hashed, but not shown.
#[derive(Hash)]
struct Hidden(u32);

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

pub struct Echo {
    options: Options,
    operations: Cell<u64>,
    recovered: Cell<u16>,
    restarted: RefCell<BTreeSet<NodeId>>,
}

impl Echo {
    fn fail(node: &Node, clause: &'static str) {
        node.world().fail(Violation::new("echo", clause, "", format!("{} was the last", node.id())));
    }

    /// A build whose name begins with `lie` has that defect without an option, as the code of a commit has its bugs.
    fn has(&self, defect: Defect) -> bool {
        let is_built_in = defect == Defect::Lie && build().starts_with("lie");
        is_built_in || self.options.defects.contains(&defect)
    }
}

/// What the environment says, so that tests have many builds of it.
fn build() -> String {
    std::env::var("ECHO_BUILD").unwrap_or_else(|_| "echo".to_owned())
}

impl Subject for Echo {
    fn defects() -> Vec<Planted> {
        DEFECTS.map(|(_, name, summary)| Planted::plain(name, summary)).to_vec()
    }

    fn plant(options: &mut Options, defect: &str) -> Result<(), String> {
        let Some((planted, ..)) = DEFECTS.into_iter().find(|(_, name, _)| *name == defect) else {
            return Err(format!("there is no defect `{defect}`"));
        };
        if !options.defects.contains(&planted) {
            options.defects.push(planted);
        }
        Ok(())
    }

    fn set_members(options: &mut Options, members: u16) {
        options.members = members;
    }

    fn set_clients(options: &mut Options, clients: u16) {
        options.clients = clients;
    }

    fn usual() -> Option<Options> {
        Some(Options { members: 3, clients: 1, defects: Vec::new(), operations: Operations::default() })
    }

    fn performed(options: &mut Options) -> Option<&mut Operations> {
        Some(&mut options.operations)
    }

    fn version() -> Version {
        Version { build: build(), commit: Some(format!("of {}", build())) }
    }
}

impl System for Echo {
    const NAME: &'static str = "echo";
    type Options = Options;

    fn options(streams: &Streams) -> Options {
        let mut stream = streams.stream("options/size", 0);
        let members = *stream.pick(&[1, 3]);
        Options {
            members,
            clients: stream.between(1, 2) as u16,
            defects: Vec::new(),
            operations: Operations::default(),
        }
    }

    fn shape(options: &Options) -> Result<Shape, String> {
        match options.members {
            0 => Err("members: an echo has at least one".to_owned()),
            members => Ok(Shape { failpoints: &["beforeAnswer"], ..Shape::new(members, options.clients) }),
        }
    }

    fn features(options: &Options) -> Vec<(&'static str, bool)> {
        vec![("lies", options.defects.contains(&Defect::Lie))]
    }

    fn new(_: &World, options: Options) -> Self {
        if let Some(path) = std::env::var_os("ECHO_BEGAN") {
            std::fs::write(path, "").expect("a file");
        }
        RUNS.fetch_add(1, Ordering::Relaxed);
        let restarted = RefCell::default();
        Self { options, operations: Cell::new(0), recovered: Cell::new(0), restarted }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let socket = node.socket::<Message>(PORT);
        if node.incarnation() > 1 {
            self.restarted.borrow_mut().insert(node.id());
        }
        if self.has(Defect::Pair) && self.restarted.borrow().len() == 2 {
            Self::fail(&node, "one restart at most");
        }
        if self.has(Defect::Worn) && node.incarnation() > WORN {
            Self::fail(&node, "few restarts");
        }
        loop {
            let (from, Message::Ask(number)) = socket.receive().await else { continue };
            node.failpoint("beforeAnswer").await;
            if number % 100 == 3 {
                if self.has(Defect::ProcessId) {
                    record!(node, "echo", "is in process {}", std::process::id());
                }
                if self.has(Defect::HiddenProcessId) {
                    record!(node, "echo", "knows {}", Hidden(std::process::id()));
                }
                if self.has(Defect::RunCount) {
                    record!(node, "echo", "runs are {}", RUNS.load(Ordering::Relaxed));
                }
                assert!(!self.has(Defect::Panic), "a planted panic at number {number}");
            }
            sometimes!(node, "a question is answered");
            sometimes!(
                node,
                "a question is answered after a crash",
                node.incarnation() > 1,
                when = |run| { run.any_fault(&["kill", "power-failure", "failpoint"]) }
            );
            sometimes!(node, "a question of a hundredth client is answered", number > 10_000);
            sometimes!(
                node,
                "a question is answered among five",
                node.world().members().count() == 5,
                when = |run| { run.members == 5 }
            );
            let lies = self.has(Defect::Lie) && number % 100 == 7;
            sometimes!(node, "a question is answered with a lie", lies, when = |run| run.has("lies"));
            let lie = u64::from(lies);
            socket.send(from, Message::Answer(number + lie));
        }
    }

    async fn client(self: Rc<Self>, node: Node) {
        let socket: Socket<Message> = node.socket(PORT);
        let mut stream = node.stream("workload");
        let NodeId::Client(client) = node.id() else { return };
        let members: Vec<NodeId> = node.world().members().collect();
        for number in u64::from(client) * 100.. {
            node.sleep(stream.duration(Duration::from_millis(10), Duration::from_millis(900))).await;
            let operation = node.draw_operation();
            if self.options.operations.only(node.id()).is_some_and(|only| !only.contains(operation))
                && !node.world().is_healed()
            {
                continue;
            }
            self.operations.set(self.operations.get() + 1);
            let is_healed = node.world().is_healed();
            let answer = loop {
                socket.send(*stream.pick(&members), Message::Ask(number));
                let deadline = node.sleep(Duration::from_millis(200));
                // Late answers of an earlier question are passed over. Were each a reason to ask again, duplicates
                // would beget duplicates.
                let matching = async {
                    loop {
                        if let (_, Message::Answer(answer)) = socket.receive().await
                            && answer.abs_diff(number) <= 1
                        {
                            break answer;
                        }
                    }
                };
                if let Some(answer) = vertebra_sim::before(deadline, matching).await {
                    break answer;
                }
            };
            record!(node, "client", "{} came back as {}", number, answer);
            if answer > number {
                node.world().fail(Violation {
                    oracle: "echo",
                    clause: "an answer is what was asked",
                    shape: "too large".to_owned(),
                    detail: format!("{number} came back\nas {answer}"),
                });
            }
            if is_healed {
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
