//! What faults do to processes, links and clocks, seen by processes that tell what they notice.
#![allow(missing_docs)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::network::Message;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Crash, Direction, Fault, Packets, Shape, Target, TimedFault};
use vertebra_sim::{Node, NodeId, System, Verdict, Violation, World, run, run_timed, schedule_of};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Options {
    /// Whether the first member sends its ticks over a connection.
    connected: bool,
}

/// A tick of the first member: its number, and what it is called.
#[derive(Clone, Hash, Debug)]
struct Tick(u64, &'static str);

impl Message for Tick {
    fn kind(&self) -> &'static str {
        self.1
    }
}

impl std::fmt::Display for Tick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.1, self.0)
    }
}

/// The first member ticks every 10 ms, in turn with `even` and `odd`; the second one hears it. What both notice is
/// the detail of the violation with which each run ends, for that is how a run tells something.
struct Ticking {
    options: Options,
    noticed: RefCell<Noticed>,
}

#[derive(Default)]
struct Noticed {
    /// Virtual time of each start of the first member, in milliseconds.
    starts: Vec<u64>,
    /// Virtual time at which it ticked, in milliseconds.
    ticks: Vec<u64>,
    /// Virtual time of each arrival in milliseconds, and what arrived.
    heard: Vec<(u64, u64, &'static str)>,
    /// Connections that the first member made.
    connections: u64,
    /// By how many milliseconds its clock was ahead of what it had counted, whenever that changed.
    ahead: Vec<i64>,
    asked: Vec<String>,
}

impl Ticking {
    fn millis(node: &Node) -> u64 {
        node.world().now().since_start().as_millis() as u64
    }
}

impl System for Ticking {
    const NAME: &'static str = "ticking";
    type Options = Options;

    fn options(_: &Streams) -> Options {
        Options { connected: false }
    }

    fn shape(_: &Options) -> Result<Shape, String> {
        Ok(Shape {
            failpoints: &["tick"],
            operations: &["compact"],
            loads: &["burst"],
            messages: &["even", "odd"],
            ..Shape::new(2, 1)
        })
    }

    fn new(_: &World, options: Options) -> Self {
        Self { options, noticed: RefCell::default() }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        if node.id() == NodeId::Member(2) {
            let (socket, listener) = (node.socket::<Tick>(1), node.listen::<Tick, Tick>(2));
            let (this, listening) = (Rc::clone(&self), node.clone());
            node.spawn(async move {
                loop {
                    let connection = listener.accept().await;
                    while let Ok(Tick(number, kind)) = connection.receive().await {
                        this.noticed.borrow_mut().heard.push((Self::millis(&listening), number, kind));
                    }
                }
            });
            loop {
                let (_, Tick(number, kind)) = socket.receive().await;
                self.noticed.borrow_mut().heard.push((Self::millis(&node), number, kind));
            }
        }
        self.noticed.borrow_mut().starts.push(Self::millis(&node));
        let socket = node.socket::<Tick>(1);
        let mut connection = None;
        let start = (node.now(), node.monotonic());
        for number in 0.. {
            node.sleep(Duration::from_millis(10)).await;
            node.failpoint("tick").await;
            let counted = (node.monotonic() - start.1).as_millis() as i64;
            let shown = node.now().as_nanos() as i64 - start.0.as_nanos() as i64;
            let ahead = shown / 1_000_000 - counted;
            self.noticed.borrow_mut().ticks.push(Self::millis(&node));
            if self.noticed.borrow().ahead.last() != Some(&ahead) {
                self.noticed.borrow_mut().ahead.push(ahead);
            }
            let tick = Tick(number, if number % 2 == 0 { "even" } else { "odd" });
            if !self.options.connected {
                socket.send(NodeId::Member(2), tick);
                continue;
            }
            if connection.is_none() {
                connection = node.connect::<Tick, Tick>(NodeId::Member(2), 2).await.ok();
                self.noticed.borrow_mut().connections += 1;
            }
            if connection.as_ref().is_some_and(|open| open.send(tick).is_err()) {
                connection = None;
            }
        }
        Ok(())
    }

    async fn client(self: Rc<Self>, _: Node) {}

    fn leader(&self) -> Option<NodeId> {
        Some(NodeId::Member(1))
    }

    fn operate(&self, _: &World, operation: &str, targets: &[NodeId]) -> bool {
        self.noticed.borrow_mut().asked.push(format!("{operation} {targets:?}"));
        true
    }

    fn load(&self, _: &World, load: &str, targets: &[NodeId], amount: u32, lasts: Duration) -> bool {
        self.noticed.borrow_mut().asked.push(format!("{load} {targets:?} {amount} {lasts:?}"));
        false
    }

    async fn settle(self: Rc<Self>, _: World) {}

    fn unsettled(&self) -> Violation {
        Violation::new("ticking", "settles", "", "it did not")
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        let Noticed { starts, ticks, heard, connections, ahead, asked } = &*self.noticed.borrow();
        let ticks = ticks.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        let heard: Vec<String> =
            heard.iter().map(|(at, number, kind)| format!("{at}:{number}:{kind}")).collect();
        let detail =
            format!("{starts:?}|{ticks}|{}|{connections}|{ahead:?}|{}", heard.join(" "), asked.join(";"));
        Err(Violation::new("ticking", "tells", "", detail))
    }

    fn operations(&self) -> u64 {
        0
    }
}

/// What was noticed, part by part, when `fault` happened after a second of the five that the run has.
struct Told {
    starts: String,
    ticks: Vec<u64>,
    /// When, which tick, and its kind.
    heard: Vec<(u64, u64, String)>,
    connections: u64,
    ahead: String,
    asked: String,
    faults: u64,
}

fn told(fault: Fault, connected: bool) -> Told {
    let mut schedule = schedule_of::<Ticking>(1, |options| options.connected = connected).unwrap();
    let calm = "latency_min = \"1ms\"\nlatency_max = \"1ms\"\n";
    let link = toml::from_str(calm).unwrap();
    (schedule.network.peers, schedule.network.clients) = (link, link);
    schedule.clocks.clear();
    schedule.duration = Duration::from_secs(5);
    schedule.faults = vec![TimedFault { at: Duration::from_secs(1), fault }];
    schedule.validate(&Ticking::shape(&schedule.options).unwrap()).unwrap();
    // It is also written and read back.
    let text = schedule.write().unwrap();
    let read = vertebra_sim::schedule::Schedule::read("x", text.as_bytes(), "ticking", Ticking::shape);
    assert_eq!(read.as_ref(), Ok(&schedule));
    let report = run::<Ticking>(&schedule, None);
    let Verdict::Violation { violation, .. } = report.verdict else { panic!("a run tells something") };
    let parts: Vec<&str> = violation.detail.split('|').collect();
    let [starts, ticks, heard, connections, ahead, asked] = parts[..] else { panic!("{}", violation.detail) };
    let heard = heard.split_whitespace().map(|heard| {
        let parts: Vec<&str> = heard.split(':').collect();
        (parts[0].parse().unwrap(), parts[1].parse().unwrap(), parts[2].to_owned())
    });
    Told {
        starts: starts.to_owned(),
        ticks: ticks.split_whitespace().map(|tick| tick.parse().unwrap()).collect(),
        heard: heard.collect(),
        connections: connections.parse().unwrap(),
        ahead: ahead.to_owned(),
        asked: asked.to_owned(),
        faults: report.faults,
    }
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn sides() -> (Vec<Target>, Vec<Target>) {
    (vec![Target::Leader], vec![Target::Others])
}

#[test]
fn a_process_that_is_throttled_runs_for_its_quota_of_each_period() {
    let target = Target::Leader;
    let told =
        told(Fault::Throttle { target, period: millis(100), quota: millis(30), lasts: millis(1_000) }, false);
    let during: Vec<u64> = told.ticks.into_iter().filter(|at| (1_001..2_000).contains(at)).collect();
    assert!(during.iter().all(|at| at % 100 <= 30), "{during:?}");
    assert!((20..=40).contains(&during.len()), "{during:?}");
}

#[test]
fn a_crash_loop_ends_each_start_but_the_last() {
    let target = Target::Leader;
    let looped = Fault::CrashLoop { target, crash: Crash::Kill, times: 3, down: millis(100), up: millis(50) };
    assert_eq!(looped.lasting(), Some(millis(400)));
    let told = told(looped, false);
    assert_eq!(told.starts, "[0, 1100, 1250, 1400]");
    assert!(told.ticks.iter().any(|at| *at > 4_900));
}

#[test]
fn a_flap_comes_and_goes() {
    let (from, to) = sides();
    let told = told(
        Fault::Flap {
            from,
            to,
            direction: Direction::OneWay,
            packets: Packets::Drop,
            down: millis(100),
            up: millis(300),
            lasts: millis(900),
        },
        false,
    );
    let heard = |from: u64, to: u64| told.heard.iter().filter(|(at, ..)| (from..to).contains(at)).count();
    assert_eq!((heard(1_002, 1_100), heard(1_402, 1_500), heard(1_802, 1_900)), (0, 0, 0));
    assert!(heard(1_102, 1_400) > 25 && heard(1_502, 1_800) > 25 && heard(1_902, 2_400) > 45);
}

fn filtered(loss_ppm: u32, delay: Duration, connected: bool) -> Told {
    let (from, to) = sides();
    let (messages, direction) = (vec!["odd".to_owned()], Direction::Both);
    told(Fault::Filter { from, to, direction, messages, loss_ppm, delay, lasts: millis(1_000) }, connected)
}

#[test]
fn a_filter_loses_the_messages_that_it_names_and_no_others() {
    let told = filtered(1_000_000, Duration::ZERO, false);
    let heard = |kind: &str| {
        told.heard.iter().filter(|(at, _, of)| (1_002..2_000).contains(at) && of == kind).count()
    };
    assert_eq!(heard("odd"), 0);
    assert!(heard("even") > 45);
    assert!(told.heard.iter().any(|(at, _, kind)| *at > 2_010 && kind == "odd"));
}

#[test]
fn a_filter_delays_the_messages_that_it_names_and_no_others() {
    let told = filtered(0, millis(500), false);
    // Datagrams of the other kind overtake them.
    let late = |number: u64, at: u64| at.saturating_sub((number + 1) * 10) > 400;
    assert!(told.heard.iter().all(|(at, number, kind)| kind == "odd" || !late(*number, *at)));
    assert!(told.heard.iter().filter(|(at, number, _)| late(*number, *at)).count() > 45);
}

#[test]
fn on_a_connection_a_filter_delays_what_follows_and_breaks_it_over_a_loss() {
    let delayed = filtered(0, millis(500), true);
    assert!(delayed.heard.is_sorted_by_key(|(_, number, _)| *number), "a connection keeps its order");
    assert_eq!(delayed.connections, 1);
    let late = |(at, number, _): &(u64, u64, String)| at.saturating_sub((number + 1) * 10) > 400;
    assert!(delayed.heard.iter().any(|heard| late(heard) && heard.2 == "even"));
    let lost = filtered(1_000_000, Duration::ZERO, true);
    assert!(lost.connections > 10, "{} connections", lost.connections);
    assert!(lost.heard.iter().all(|(at, _, kind)| !(1_002..2_000).contains(at) || kind == "even"));
}

#[test]
fn a_storm_of_resets_breaks_connections_again_and_again() {
    let (from, to) = sides();
    let calm = told(Fault::Reset { from: from.clone(), to: to.clone() }, true);
    assert_eq!(calm.connections, 2);
    let storm = told(Fault::ResetStorm { from, to, every: millis(100), lasts: millis(1_000) }, true);
    assert_eq!(storm.connections, 11);
}

#[test]
fn packets_that_are_reordered_are_overtaken_and_none_is_lost() {
    let (from, to) = sides();
    let told = told(
        Fault::Degrade {
            from,
            to,
            direction: Direction::OneWay,
            latency_min: millis(1),
            latency_max: millis(1),
            loss_ppm: 0,
            duplicate_ppm: 0,
            duplicate_delay_max: Duration::ZERO,
            reorder_ppm: 300_000,
            reorder_delay_max: millis(200),
            lasts: millis(2_000),
        },
        false,
    );
    let mut numbers: Vec<u64> = told.heard.iter().map(|(_, number, _)| *number).collect();
    let overtaken = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((20..120).contains(&overtaken), "{overtaken} were overtaken");
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "each arrives once");
}

#[test]
fn a_clock_that_jumps_shows_it_and_its_timers_do_not_notice() {
    let target = Target::Leader;
    let back = "-30s".to_owned().try_into().unwrap();
    let jumped = told(Fault::ClockJump { target, by: back, lasts: millis(1_000) }, false);
    assert_eq!(jumped.ahead, "[0, -30000, 0]");
    assert!(jumped.ticks.windows(2).all(|pair| pair[1] - pair[0] == 10), "its timers noticed");
    let forth = "2s".to_owned().try_into().unwrap();
    let strobed = Fault::ClockStrobe { target, by: forth, period: millis(200), lasts: millis(1_000) };
    let strobed = told(strobed, false);
    assert_eq!(strobed.ahead, "[0, 2000, 0, 2000, 0, 2000, 0]");
    assert!(strobed.ticks.windows(2).all(|pair| pair[1] - pair[0] == 10), "its timers noticed");
}

#[test]
fn what_the_operator_and_clients_are_asked_for_reaches_the_system() {
    let operation = "compact".to_owned();
    let asked = told(Fault::Operate { operation, target: Target::Minority }, false);
    // Of two members, none is a minority.
    assert_eq!((asked.asked.as_str(), asked.faults), ("", 0));
    let operation = "compact".to_owned();
    let asked = told(Fault::Operate { operation, target: Target::Majority }, false);
    assert_eq!((asked.asked.as_str(), asked.faults), ("compact [Member(1), Member(2)]", 1));
    let load = "burst".to_owned();
    let asked = told(Fault::Load { load, target: Target::AllClients, amount: 7, lasts: millis(300) }, false);
    // The system says that nobody does it.
    assert_eq!((asked.asked.as_str(), asked.faults), ("burst [Client(1)] 7 300ms", 0));
}

#[test]
fn a_failpoint_that_disconnects_lets_the_process_go_on() {
    let name = "tick".to_owned();
    let action = vertebra_sim::schedule::Action::Disconnect;
    let fault = Fault::Failpoint { name, target: Target::Leader, hit: 2, action, lasts: Duration::ZERO };
    let told = told(fault, true);
    assert_eq!((told.starts.as_str(), told.connections), ("[0]", 2));
}

#[test]
fn a_run_is_timed_by_a_clock_of_its_own_thread() {
    let schedule = schedule_of::<Ticking>(1, |_| ()).unwrap();
    std::thread_local! {
        static IS_HERE: Cell<bool> = const { Cell::new(false) };
    }
    IS_HERE.set(true);
    let readings = AtomicU64::new(0);
    let clock = || {
        assert!(!IS_HERE.get());
        Duration::from_secs(3 * readings.fetch_add(1, Ordering::Relaxed))
    };
    assert_eq!(
        run_timed::<Ticking>(&schedule, clock),
        (run::<Ticking>(&schedule, None), Duration::from_secs(3))
    );
}
