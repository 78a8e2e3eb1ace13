//! What faults may damage, when progress can be asked of a cluster, and how runs end.

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::atlas::{Damage, Reason};
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{
    Broken, DamageMax, Direction, Fault, FileClass, How, Operation, Packets, Schedule, Shape, Target,
    TimedFault,
};
use vertebra_sim::{Node, NodeId, OpenMode, Report, System, Violation, World, run, schedule_of};

const FILES: &[FileClass] = &[class("log", "log/"), class("unused", "unused/")];

const fn class(name: &'static str, prefix: &'static str) -> FileClass {
    FileClass { name, prefix, finds_lost_writes: true }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Options {
    members: u16,
    /// Whether damage is made good at once.
    heals: bool,
    /// Whether it recovers.
    settles: bool,
}

const OPTIONS: Options = Options { members: 3, heals: false, settles: true };

/// Members that write a record every 10 ms, and read all of them at their start.
struct Journal {
    options: Options,
}

impl System for Journal {
    const NAME: &'static str = "journal";
    type Options = Options;

    fn options(_: &Streams) -> Options {
        OPTIONS
    }

    fn shape(options: &Options) -> Result<Shape, String> {
        Ok(Shape { files: FILES, ..Shape::new(options.members, 0) })
    }

    fn settle_max(_: &Options) -> Duration {
        Duration::from_secs(10)
    }

    fn new(_: &World, options: Options) -> Self {
        Self { options }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let disk = node.disk();
        if !disk.exists("log") {
            disk.create_directory("log").await.map_err(|error| error.to_string())?;
        }
        let file = disk.open("log/1", OpenMode::Create).await.map_err(|error| error.to_string())?;
        disk.sync_directory("log").await.map_err(|error| error.to_string())?;
        disk.sync_directory("").await.map_err(|error| error.to_string())?;
        let bytes = disk.read("log/1").await.map_err(|error| error.to_string())?;
        if bytes.iter().any(|byte| *byte != 5) {
            return Err("the journal is damaged".to_owned());
        }
        let mut ticker = node.ticker(Duration::from_millis(10));
        loop {
            ticker.tick().await;
            file.append(&[5; 100]).await.map_err(|error| error.to_string())?;
            file.sync().await.map_err(|error| error.to_string())?;
        }
    }

    async fn client(self: Rc<Self>, _: Node) {}

    fn is_sound(&self, _: &Damage) -> bool {
        self.options.heals
    }

    async fn settle(self: Rc<Self>, world: World) {
        if !self.options.settles {
            pending::<()>().await;
        }
        while !world.members().all(|member| !world.expected(member) || world.is_running(member)) {
            world.sleep(Duration::from_millis(10)).await;
        }
    }

    fn unsettled(&self) -> Violation {
        Violation::new("liveness", "settles", "", "")
    }

    /// Tells what is damaged, as a violation: a report has no other place for it.
    fn finish(&self, world: &World) -> Result<(), Violation> {
        let tell = |damage: &Damage| format!("{} {}", damage.member, damage.files.unwrap_or("all"));
        let damages: Vec<String> = world.damages().iter().map(tell).collect();
        if damages.is_empty() {
            return Ok(());
        }
        Err(Violation::new("damage", "there is some", damages.join(", "), ""))
    }

    fn operations(&self) -> u64 {
        0
    }
}

fn member(number: u16) -> Target {
    Target::Node(NodeId::Member(number))
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A run of 10 s with these faults, one a second.
fn schedule(options: Options, faults: Vec<Fault>) -> Schedule<Options> {
    let mut schedule = schedule_of::<Journal>(1, |drawn| *drawn = options).unwrap();
    schedule.duration = secs(10);
    schedule.clocks.clear();
    schedule.broken.clear();
    let timed = faults.into_iter().zip(1..).map(|(fault, second)| TimedFault { at: secs(second), fault });
    schedule.faults = timed.collect();
    schedule
}

fn report(options: Options, faults: Vec<Fault>) -> Report {
    run::<Journal>(&schedule(options, faults), None)
}

/// What is damaged at the end, as the system tells it.
fn damaged(report: &Report) -> String {
    report.verdict.violation().map_or_else(String::new, |violation| violation.shape.clone())
}

fn rot(number: u16) -> Fault {
    Fault::BitRot { target: member(number), files: "log".to_owned(), bits: 3 }
}

#[test]
fn damage_spares_a_majority_of_the_voters() {
    let ran = report(OPTIONS, vec![rot(2), rot(1), rot(2), rot(3)]);
    assert_eq!((damaged(&ran).as_str(), ran.spared, ran.faults), ("member 2 log, member 2 log", 2, 2));
    let five = Options { members: 5, ..OPTIONS };
    let ran = report(five, vec![rot(2), rot(1), rot(3)]);
    assert_eq!((damaged(&ran).as_str(), ran.spared), ("member 2 log, member 1 log", 1));
    let all = Fault::BitRot { target: Target::AllMembers, files: "log".to_owned(), bits: 1 };
    assert_eq!(damaged(&report(OPTIONS, vec![all])), "member 1 log");
}

#[test]
fn a_single_member_is_never_damaged() {
    for members in [1, 2] {
        let ran = report(Options { members, ..OPTIONS }, vec![rot(1)]);
        assert_eq!((ran.verdict.violation(), ran.spared), (None, 1));
    }
}

#[test]
fn a_schedule_may_allow_any_damage() {
    let mut any = schedule(OPTIONS, vec![rot(1), rot(2), rot(3)]);
    any.damage = DamageMax::Any;
    let ran = run::<Journal>(&any, None);
    assert_eq!((damaged(&ran).as_str(), ran.spared), ("member 1 log, member 2 log, member 3 log", 0));
}

#[test]
fn damage_that_was_made_good_makes_room_for_more() {
    let ran = report(Options { heals: true, ..OPTIONS }, vec![rot(1), rot(2), rot(3)]);
    assert_eq!((ran.verdict.violation(), ran.spared, ran.faults), (None, 0, 3));
}

#[test]
fn a_class_without_files_meets_nobody() {
    let files = || "unused".to_owned();
    let faults = vec![
        Fault::BitRot { target: member(1), files: files(), bits: 1 },
        Fault::ReadError { target: member(1), files: files(), sectors: 1 },
    ];
    let ran = report(OPTIONS, faults);
    assert_eq!((ran.verdict.violation(), ran.faults), (None, 0));
}

#[test]
fn what_waits_for_a_write_and_gets_none_has_damaged_nothing() {
    let files = || "unused".to_owned();
    let faults = vec![
        Fault::PhantomWrite { target: member(1), files: files(), count: 3 },
        Fault::MisdirectedWrite { target: member(1), files: files(), count: 3 },
    ];
    assert_eq!(report(OPTIONS, faults).verdict.violation(), None);
    let faults = vec![Fault::PhantomWrite { target: member(1), files: "log".to_owned(), count: 3 }];
    assert_eq!(damaged(&report(OPTIONS, faults)), "member 1 log");
    let error = Fault::DiskError { target: member(1), operation: Operation::Sync, count: 1 };
    assert_eq!(report(OPTIONS, vec![error]).verdict.violation(), None);
    let lie = |files: &str| Fault::SyncLie { target: member(1), files: files.to_owned(), count: 1 };
    assert_eq!(report(OPTIONS, vec![lie("unused")]).verdict.violation(), None);
    assert_eq!(damaged(&report(OPTIONS, vec![lie("log")])), "member 1 log");
}

#[test]
fn a_wiped_member_starts_with_nothing() {
    let faults = vec![rot(1), Fault::Wipe { target: member(1), down: secs(1) }];
    let ran = report(OPTIONS, faults);
    assert_eq!(damaged(&ran), "member 1 log, member 1 all");
    // The damaged journal would end its member again and again, and is gone.
    let ran = report(OPTIONS, vec![Fault::Wipe { target: member(1), down: secs(1) }]);
    assert_eq!((damaged(&ran).as_str(), ran.excused.as_slice()), ("member 1 all", [].as_slice()));
}

/// How long progress could not be asked for, with these faults.
fn excused(faults: Vec<Fault>) -> Vec<(Reason, Duration)> {
    report(OPTIONS, faults).excused
}

#[test]
fn time_without_a_quorum_is_counted_with_its_reason() {
    let kill = |number, down| Fault::Kill { target: member(number), down };
    assert_eq!(excused(vec![kill(1, secs(3))]), []);
    // Member 1 from second 1 to 4, member 2 from second 2 to 3.
    assert_eq!(excused(vec![kill(1, secs(3)), kill(2, secs(1))]), [(Reason::Down, secs(1))]);
    let all = Target::AllMembers;
    assert_eq!(excused(vec![Fault::Pause { target: all, lasts: secs(2) }]), [(Reason::Paused, secs(2))]);
    let stall = |extra_latency| Fault::DiskStall { target: all, extra_latency, lasts: secs(2) };
    assert_eq!(excused(vec![stall(secs(1))]), [(Reason::Stalled, secs(2))]);
    assert_eq!(excused(vec![stall(Duration::from_millis(10))]), []);
    let partition = |from: Vec<Target>, direction| Fault::Partition {
        from,
        to: vec![Target::Others],
        direction,
        packets: Packets::Drop,
        lasts: secs(2),
    };
    assert_eq!(excused(vec![partition(vec![member(1)], Direction::Both)]), []);
    // Members 1 and 2 see each other at no time, nor does either see member 3.
    let apart =
        vec![partition(vec![member(1)], Direction::OneWay), partition(vec![member(2)], Direction::OneWay)];
    assert_eq!(excused(apart), [(Reason::CutOff, secs(1))]);
}

#[test]
fn a_full_disk_is_one_reason_and_the_exits_after_it_are_another() {
    let full = excused(vec![Fault::DiskFull { target: Target::AllMembers, lasts: secs(3) }]);
    assert_eq!(full.iter().map(|(reason, _)| *reason).collect::<Vec<_>>(), [Reason::Down, Reason::Full]);
    let whole: Duration = full.iter().map(|(_, lasted)| *lasted).sum();
    assert!(whole >= secs(3) && whole <= secs(4), "{full:?}");
}

fn ended(options: Options, broken: &[(u16, How)], faults: Vec<Fault>) -> Report {
    let mut schedule = schedule(options, faults);
    let broken = broken.iter().map(|(number, how)| Broken { member: NodeId::Member(*number), how: *how });
    schedule.broken = broken.collect();
    run::<Journal>(&schedule, None)
}

#[test]
fn a_minority_that_stays_broken_is_no_excuse() {
    for how in [How::Down, How::CutOff, How::Paused, How::Stalled] {
        let ran = ended(OPTIONS, &[(2, how)], vec![Fault::Kill { target: member(2), down: secs(30) }]);
        assert_eq!((ran.verdict.violation(), &ran.unsettled), (None, &None));
        let ran = ended(Options { settles: false, ..OPTIONS }, &[(2, how)], Vec::new());
        assert_eq!(ran.verdict.signature().as_deref(), Some("liveness/settles"));
    }
}

#[test]
fn a_majority_that_stays_broken_is_an_excuse_with_a_name() {
    let never = Options { settles: false, ..OPTIONS };
    let ran = ended(never.clone(), &[(2, How::Down), (3, How::CutOff)], Vec::new());
    assert_eq!(ran.verdict.violation(), None);
    let excuse = ran.unsettled.expect("it did not settle");
    assert_eq!(
        excuse.to_string(),
        "no quorum of voters is left by those that stay broken: member 2, member 3"
    );
    assert_eq!(ran.virtual_time, secs(15));
    // A broken member and a damaged one are two of three.
    let ran = ended(never, &[(2, How::Paused)], vec![rot(1)]);
    let excuse = ran.unsettled.expect("it did not settle");
    assert_eq!(excuse.to_string(), "no quorum of voters has undamaged data: member 1, member 2");
}

#[test]
fn what_stays_broken_is_broken() {
    let down = ended(
        OPTIONS,
        &[(1, How::Down), (2, How::Down)],
        vec![Fault::Kill { target: member(1), down: secs(3) }],
    );
    assert_eq!(down.unsettled, None);
    let mut long = Options { settles: false, ..OPTIONS };
    long.heals = true;
    for (how, reason) in [
        (How::Down, Reason::Down),
        (How::Paused, Reason::Paused),
        (How::Stalled, Reason::Stalled),
        (How::CutOff, Reason::CutOff),
    ] {
        let ran = ended(long.clone(), &[(1, how), (2, how)], Vec::new());
        // Until the end of the run, 5 s after healing.
        assert_eq!(ran.excused, [(reason, secs(5))]);
    }
}

#[test]
fn a_member_that_is_down_by_chance_is_no_excuse_at_the_end() {
    // Every journal is damaged, and none of them by a fault that the schedule may have: a bug would look so.
    let mut any = schedule(Options { heals: true, settles: false, ..OPTIONS }, vec![rot(1), rot(2), rot(3)]);
    let kills = (1..=3).map(|number| TimedFault {
        at: secs(5),
        fault: Fault::Kill { target: member(number), down: Duration::from_millis(10) },
    });
    any.faults.extend(kills);
    let ran = run::<Journal>(&any, None);
    assert_eq!(ran.verdict.signature().as_deref(), Some("liveness/settles"));
    assert!(ran.excused.iter().any(|(reason, lasted)| *reason == Reason::Down && *lasted > secs(5)));
}
