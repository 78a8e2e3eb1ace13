//! Schedules as files: what is written is read back, and what is wrong is said on one line that names the place.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vertebra_sim::NodeId;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{
    Broken, DamageMax, Fault, FileClass, Generated, How, Schedule, ScheduleError, Shape, TimedFault, generate,
};

const SHAPE: Shape = Shape {
    failpoints: &["beforeSave", "afterSave"],
    files: &[
        FileClass { name: "log", prefix: "wal/", finds_lost_writes: false },
        FileClass { name: "snapshot", prefix: "snap/", finds_lost_writes: true },
    ],
    ..Shape::new(3, 2)
};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    members: u16,
    #[serde(with = "vertebra_sim::time::text")]
    heartbeat: Duration,
    storage: Storage,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Storage {
    batch: u64,
}

fn options() -> Options {
    Options { members: 3, heartbeat: Duration::from_millis(100), storage: Storage { batch: 10 } }
}

fn shape_of(options: &Options) -> Result<Shape, String> {
    match options.members {
        0 => Err("a cluster needs at least one member".to_owned()),
        members => Ok(Shape { members, ..SHAPE }),
    }
}

fn schedule(seed: u64) -> Schedule<Options> {
    generate(&Streams::new(seed), &SHAPE).into_schedule("register", seed, Duration::from_secs(30), options())
}

fn read(bytes: &[u8]) -> Result<Schedule<Options>, ScheduleError> {
    Schedule::read("schedule.toml", bytes, "register", shape_of)
}

/// A small file with a fault of every kind.
const FILE: &str = r#"# Written by hand.
format = 1
system = "register"
seed = 7
duration = "9.5s"
settle_max = "30s"

[options]
members = 3
heartbeat = "100ms"
storage = { batch = 10 }

[network.peers]
latency_min = "200us"
latency_max = "2ms"

[network.clients]
latency_min = "500us"
latency_max = "5ms"
loss_ppm = 1000

[disk]
sync_latency_min = "500us"
sync_latency_max = "8ms"

[[clock]]
node = "member 2"
offset = "-150ms"
drift_ppm = -300

[[fault]]
at = "1.5s"
kind = "kill"
target = "member 2"
down = "500ms"

[[fault]]
at = "1.8s"
kind = "partition"
from = ["leader", "client 1"]
to = ["others"]
direction = "one-way"
packets = "hold"
lasts = "2s"

[[fault]]
at = "2s"
kind = "failpoint"
name = "beforeSave"
target = "leader"
hit = 2
action = "kill"
lasts = "10ms"

[[fault]]
at = "3s"
kind = "disk-error"
target = "follower"
operation = "sync"
count = 1

[[fault]]
at = "4s"
kind = "clock-drift"
target = "client 2"
drift_ppm = 20000
lasts = "1s"

[[fault]]
at = "5s"
kind = "degrade"
from = ["all members"]
to = ["all clients"]
direction = "both"
latency_min = "10ms"
latency_max = "20ms"
lasts = "1s"
"#;

/// The error of `FILE` when its first `from` is `to`.
fn error_with(from: &str, to: &str) -> String {
    assert!(FILE.contains(from), "the file has no {from}");
    error(FILE.replacen(from, to, 1).as_bytes())
}

fn error(bytes: &[u8]) -> String {
    read(bytes).expect_err("this is no schedule").to_string()
}

#[test]
fn a_file_written_by_hand_is_read() {
    let schedule = read(FILE.as_bytes()).unwrap();
    assert_eq!(schedule.options, options());
    assert_eq!(schedule.clocks[0].offset.nanos, -150_000_000);
    let kinds: Vec<&str> = schedule.faults.iter().map(|timed| timed.fault.kind()).collect();
    assert_eq!(kinds, ["kill", "partition", "failpoint", "disk-error", "clock-drift", "degrade"]);
    assert_eq!(read(schedule.write().unwrap().as_bytes()), Ok(schedule));
}

#[test]
fn the_file_in_the_documentation_is_a_schedule() {
    let module = include_str!("../src/schedule/mod.rs");
    let (_, example) = module.split_once("//! ```toml\n").unwrap();
    let (example, _) = example.split_once("//! ```\n").unwrap();
    let lines = example.lines().map(|line| line.trim_start_matches("//!").trim_start());
    let file = lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("members = 3", "members = 3\nheartbeat = \"100ms\"\nstorage = { batch = 1 }");
    let schedule = read(file.as_bytes()).unwrap();
    assert_eq!((schedule.clocks.len(), schedule.faults.len()), (1, 2));
}

#[test]
fn every_schedule_is_read_back_as_it_was_written() {
    for seed in 0..5_000 {
        let schedule = schedule(seed);
        assert_eq!(read(schedule.write().unwrap().as_bytes()), Ok(schedule));
    }
}

#[test]
fn the_interleaving_is_written_where_there_is_one_and_is_absent_from_what_seeds_give() {
    let mut schedule = schedule(7);
    assert_eq!(schedule.interleaving, None);
    assert!(!schedule.write().unwrap().contains("interleaving"));
    for interleaving in [0, 7, u64::MAX] {
        schedule.interleaving = Some(interleaving);
        let text = schedule.write().unwrap();
        assert!(text.contains(&format!("seed = 7\ninterleaving = {interleaving}\n")), "{text}");
        assert_eq!(read(text.as_bytes()), Ok(schedule.clone()));
    }
    insta::assert_snapshot!(
        error_with("seed = 7", "seed = 7\ninterleaving = -1"),
        @"schedule.toml:5: invalid value: integer `-1`, expected u64"
    );
}

#[test]
fn not_one_nanosecond_is_lost_in_writing() {
    for seed in 0..200 {
        let mut schedule = schedule(seed);
        let mut stream = Streams::new(seed).stream("test", 0);
        let mut odd = |duration: &mut Duration| *duration += Duration::from_nanos(stream.below(1_000));
        odd(&mut schedule.duration);
        odd(&mut schedule.settle_max);
        odd(&mut schedule.network.peers.tail_max);
        odd(&mut schedule.disk.sync_latency_max);
        for TimedFault { at, fault } in &mut schedule.faults {
            odd(at);
            if let Fault::Kill { down, .. } | Fault::Pause { lasts: down, .. } = fault {
                odd(down);
            }
        }
        schedule.seed = u64::MAX - seed;
        assert_eq!(read(schedule.write().unwrap().as_bytes()), Ok(schedule));
    }
}

#[test]
fn a_schedule_is_written_so_that_people_can_edit_it() {
    insta::assert_snapshot!(schedule(SNAPSHOT_SEED).write().unwrap());
}

const SNAPSHOT_SEED: u64 = 92;

#[test]
fn a_fault_is_shown_on_one_line() {
    let faults = read(FILE.as_bytes()).unwrap().faults;
    assert_eq!(faults[0].fault.to_string(), r#"kill, target = "member 2", down = "500ms""#);
    assert_eq!(
        faults[1].fault.to_string(),
        r#"partition, from = ["leader", "client 1"], to = ["others"], direction = "one-way", packets = "hold", lasts = "2s""#
    );
}

#[test]
fn the_name_of_a_kind_is_the_one_in_files() {
    for seed in 0..500 {
        for TimedFault { at, fault } in schedule(seed).faults {
            let alone = Schedule { faults: vec![TimedFault { at, fault: fault.clone() }], ..schedule(seed) };
            let text = alone.write().unwrap();
            assert!(text.contains(&format!("kind = \"{}\"", fault.kind())), "{text}");
            assert_eq!(read(text.as_bytes()).unwrap().faults[0].fault, fault);
        }
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused() {
    insta::assert_snapshot!(
        error(b""),
        @"schedule.toml:1: the file is empty; a schedule begins with `format = 1`"
    );
    insta::assert_snapshot!(
        error(b"\n  \n"),
        @"schedule.toml:1: the file is empty; a schedule begins with `format = 1`"
    );
    insta::assert_snapshot!(
        error(b"format = 1\nsystem = \"regis\xff\"\n"),
        @"schedule.toml:2: not text in UTF-8"
    );
    insta::assert_snapshot!(
        error_with("seed = 7", "seed 7"),
        @"schedule.toml:4: not TOML: key with no value, expected `=`"
    );
    insta::assert_snapshot!(
        error_with("kind = \"kill\"", "kind = \"kill"),
        @r#"schedule.toml:33: not TOML: invalid basic string, expected `"`"#
    );
    insta::assert_snapshot!(
        error_with("seed = 7", "format = 1"),
        @"schedule.toml:4: not TOML: duplicate key"
    );
}

#[test]
fn a_file_of_another_format_or_system_is_refused_before_all_else() {
    insta::assert_snapshot!(
        error_with("format = 1", "format = 2"),
        @"schedule.toml:2: format 2 is unknown; this version reads format 1"
    );
    insta::assert_snapshot!(
        error_with("format = 1", "format = -1"),
        @"schedule.toml:2: invalid value: integer `-1`, expected u64"
    );
    insta::assert_snapshot!(
        error_with("format = 1", "format = \"1\""),
        @r#"schedule.toml:2: invalid type: string "1", expected u64"#
    );
    insta::assert_snapshot!(
        error(b"some = 1"),
        @"schedule.toml:1: missing field `format`"
    );
    insta::assert_snapshot!(
        error_with("\"register\"", "\"queue\""),
        @"schedule.toml:3: this is a schedule of `queue`, not of `register`"
    );
}

#[test]
fn what_is_missing_is_named() {
    insta::assert_snapshot!(
        error_with("seed = 7\n", ""),
        @"schedule.toml:1: missing field `seed`"
    );
    insta::assert_snapshot!(
        error_with("settle_max = \"30s\"\n", ""),
        @"schedule.toml:1: missing field `settle_max`"
    );
    insta::assert_snapshot!(
        error_with("[disk]\nsync_latency_min = \"500us\"\nsync_latency_max = \"8ms\"\n", ""),
        @"schedule.toml:1: missing field `disk`"
    );
    insta::assert_snapshot!(
        error_with("latency_max = \"2ms\"\n", ""),
        @"schedule.toml:13: network: missing field `latency_max`"
    );
    insta::assert_snapshot!(
        error_with("node = \"member 2\"\n", ""),
        @"schedule.toml:26: clock 1: missing field `node`"
    );
    insta::assert_snapshot!(
        error_with("at = \"1.8s\"\n", ""),
        @"schedule.toml:37: fault 2: missing field `at`"
    );
    insta::assert_snapshot!(
        error_with("kind = \"partition\"\n", ""),
        @"schedule.toml:37: fault 2: missing field `kind`"
    );
    insta::assert_snapshot!(
        error_with("down = \"500ms\"\n", ""),
        @"schedule.toml:31: fault 1: missing field `down`"
    );
}

#[test]
fn what_is_unknown_is_named_together_with_what_is_known() {
    insta::assert_snapshot!(
        error_with("seed = 7", "sead = 7"),
        @"schedule.toml:4: unknown field `sead`; known fields: format, system, seed, interleaving, duration, settle_max, damage, options, network, disk, clock, fault, broken"
    );
    insta::assert_snapshot!(
        error_with("loss_ppm", "lost_ppm"),
        @"schedule.toml:20: network: unknown field `lost_ppm`; known fields: latency_min, latency_max, tail_ppm, tail_max, loss_ppm, duplicate_ppm, duplicate_delay_max"
    );
    insta::assert_snapshot!(
        error_with("drift_ppm", "drift"),
        @"schedule.toml:29: clock 1: unknown field `drift`; known fields: node, offset, drift_ppm"
    );
    // The kinds that serde knows from the variants are those that are listed, in the same order.
    let known = Fault::KINDS.join(", ");
    assert_eq!(
        error_with("\"kill\"", "\"crsh\""),
        format!("schedule.toml:33: fault 1: unknown kind `crsh`; known kinds: {known}")
    );
    insta::assert_snapshot!(
        error_with("down =", "dwn ="),
        @"schedule.toml:35: fault 1: unknown field `dwn`; known fields: at, kind, target, down"
    );
    insta::assert_snapshot!(
        error_with("\"one-way\"", "\"sideways\""),
        @"schedule.toml:42: fault 2: unknown value `sideways`; known values: both, one-way"
    );
    insta::assert_snapshot!(
        error_with("action = \"kill\"", "action = \"explode\""),
        @"schedule.toml:52: fault 3: unknown value `explode`; known values: kill, power-failure, pause, delay, disconnect"
    );
    insta::assert_snapshot!(
        error_with("\"beforeSave\"", "\"beforeSafe\""),
        @"schedule.toml:49: fault 3: this system has no failpoint `beforeSafe`; it has beforeSave, afterSave"
    );
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_the_reason() {
    insta::assert_snapshot!(
        error_with("\"500ms\"", "\"-1s\""),
        @"schedule.toml:35: fault 1: `-1s` is negative; a time is counted from the start of the run"
    );
    insta::assert_snapshot!(
        error_with("at = \"1.5s\"", "at = \"-1s\""),
        @"schedule.toml:32: fault 1: `-1s` is negative; a time is counted from the start of the run"
    );
    insta::assert_snapshot!(
        error_with("at = \"1.5s\"", "at = 1.5"),
        @"schedule.toml:32: fault 1: invalid type: floating point `1.5`, expected a string"
    );
    insta::assert_snapshot!(
        error_with("at = \"1.5s\"", "at = \"9.5s\""),
        @"schedule.toml:32: fault 1: it begins at 9.5s, but faults end at 9.5s, the schedule's `duration`"
    );
    insta::assert_snapshot!(
        error_with("duration = \"9.5s\"", "duration = \"0s\""),
        @"schedule.toml:5: duration must be longer than 0s"
    );
    insta::assert_snapshot!(
        error_with("\"kill\"", "[\"kill\"]"),
        @"schedule.toml:33: fault 1: the kind is a text, such as `kill`"
    );
    insta::assert_snapshot!(
        error_with("\"2ms\"", "\"100us\""),
        @"schedule.toml:14: network.peers: latency_min (200us) is longer than latency_max (100us)"
    );
    insta::assert_snapshot!(
        error_with("latency_max = \"20ms\"", "latency_max = \"1ms\""),
        @"schedule.toml:75: fault 6: latency_min (10ms) is longer than latency_max (1ms)"
    );
    insta::assert_snapshot!(
        error_with("loss_ppm = 1000", "loss_ppm = 1000001"),
        @"schedule.toml:20: network.clients: 1000001 is more than a million parts per million"
    );
    insta::assert_snapshot!(
        error_with("loss_ppm = 1000", "loss_ppm = -1"),
        @"schedule.toml:20: network: invalid value: integer `-1`, expected u32"
    );
    insta::assert_snapshot!(
        error_with("drift_ppm = -300", "drift_ppm = 600000"),
        @"schedule.toml:29: clock 1: 600000 is no drift; a clock gains or loses 500000 parts per million at most"
    );
    insta::assert_snapshot!(
        error_with("drift_ppm = 20000", "drift_ppm = -600000"),
        @"schedule.toml:66: fault 5: -600000 is no drift; a clock gains or loses 500000 parts per million at most"
    );
    insta::assert_snapshot!(
        error_with("hit = 2", "hit = 0"),
        @"schedule.toml:51: fault 3: hit is counted from 1"
    );
    insta::assert_snapshot!(
        error_with("count = 1", "count = 0"),
        @"schedule.toml:60: fault 4: count is counted from 1"
    );
    insta::assert_snapshot!(
        error_with("[[fault]]\nat = \"1.5s\"\nkind = \"kill\"", "[fault]\nat = \"1.5s\"\nkind = \"kill\"").as_str(),
        @"schedule.toml:37: not TOML: duplicate key"
    );
    insta::assert_snapshot!(
        error(FILE.split("[[fault]]").next().unwrap().replace("[[clock]]", "[clock]").as_bytes()),
        @"schedule.toml:26: `clock` is a list of tables; write `[[clock]]` before each"
    );
}

#[test]
fn a_target_that_does_not_exist_is_refused() {
    insta::assert_snapshot!(
        error_with("target = \"member 2\"", "target = \"member 9\""),
        @"schedule.toml:34: fault 1: target `member 9` does not exist; this cluster has 3 members"
    );
    insta::assert_snapshot!(
        error_with("target = \"member 2\"", "target = \"member 0\""),
        @"schedule.toml:34: fault 1: `member 0` is no node; members and clients are counted from 1"
    );
    insta::assert_snapshot!(
        error_with("target = \"member 2\"", "target = \"boss\""),
        @"schedule.toml:34: fault 1: `boss` is no target; write `member 1`, `client 1`, `leader`, `follower`, `minority`, `majority`, `all members`, `all clients` or `others`"
    );
    insta::assert_snapshot!(
        error_with("target = \"member 2\"", "target = \"client 1\""),
        @"schedule.toml:34: fault 1: target `client 1` is no member; this kind of fault happens to members"
    );
    insta::assert_snapshot!(
        error_with("target = \"member 2\"", "target = \"others\""),
        @"schedule.toml:34: fault 1: `others` needs another side; write it in `from` or in `to`"
    );
    insta::assert_snapshot!(
        error_with("\"client 1\"]", "\"client 3\"]"),
        @"schedule.toml:40: fault 2: target `client 3` does not exist; this cluster has 2 clients"
    );
    insta::assert_snapshot!(
        error_with("[\"leader\", \"client 1\"]", "[]"),
        @"schedule.toml:40: fault 2: `from` names nobody"
    );
    insta::assert_snapshot!(
        error_with("[\"leader\", \"client 1\"]", "[\"others\"]"),
        @"schedule.toml:41: fault 2: `others` can stand on one side only"
    );
    insta::assert_snapshot!(
        error_with("node = \"member 2\"", "node = \"member 4\""),
        @"schedule.toml:27: clock 1: node `member 4` does not exist; this cluster has 3 members"
    );
    insta::assert_snapshot!(
        error_with("[[fault]]", "[[clock]]\nnode = \"member 2\"\n\n[[fault]]"),
        @"schedule.toml:32: clock 2: `member 2` has a clock already"
    );
}

#[test]
fn options_that_the_system_refuses_are_refused() {
    insta::assert_snapshot!(
        error_with("members = 3", "members = 0"),
        @"schedule.toml:8: options: a cluster needs at least one member"
    );
    insta::assert_snapshot!(
        error_with("members = 3", "members = \"three\""),
        @r#"schedule.toml:9: options: invalid type: string "three", expected u16"#
    );
    insta::assert_snapshot!(
        error_with("members = 3", "member = 3"),
        @"schedule.toml:9: options: unknown field `member`; known fields: members, heartbeat, storage"
    );
    insta::assert_snapshot!(
        error_with("heartbeat = \"100ms\"", "heartbeat = \"often\""),
        @"schedule.toml:10: options: `often` is not a duration; write a number and s, ms, us or ns, as in `1.5s`"
    );
    insta::assert_snapshot!(
        error_with("storage = { batch = 10 }\n", ""),
        @"schedule.toml:8: options: missing field `storage`"
    );
}

#[test]
fn an_error_is_one_line_even_where_the_file_has_more() {
    insta::assert_snapshot!(
        error_with("\"register\"", "\"reg\\nister\""),
        @r#"schedule.toml:3: this is a schedule of `reg\nister`, not of `register`"#
    );
    insta::assert_snapshot!(
        error_with("\"leader\"", "\"\"\"lea\nder\"\"\""),
        @r#"schedule.toml:40: fault 2: `lea\nder` is no target; write `member 1`, `client 1`, `leader`, `follower`, `minority`, `majority`, `all members`, `all clients` or `others`"#
    );
}

#[test]
fn options_that_toml_cannot_express_are_refused_in_writing() {
    let schedule = generate(&Streams::new(1), &SHAPE).into_schedule("register", 1, Duration::ZERO, ());
    assert!(schedule.write().unwrap_err().contains("cannot be written"));
}

#[test]
fn a_damaged_file_is_read_or_refused_on_one_line_and_never_panics() {
    let generated = schedule(SNAPSHOT_SEED).write().unwrap();
    let mut stream = Streams::new(1).stream("test", 0);
    let (mut read_well, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes =
            if stream.chance(500_000) { FILE.as_bytes().to_vec() } else { generated.as_bytes().to_vec() };
        // Half of the files keep their form, so that damage reaches what is checked after parsing.
        let numbers_only = stream.chance(500_000);
        for _ in 0..stream.magnitude(1, 8) {
            // A file of a single byte may have lost it.
            bytes.resize(bytes.len().max(1), b'\n');
            let place = stream.below(bytes.len() as u64) as usize;
            match stream.below(5) {
                _ if numbers_only => {
                    if let Some(digit) = bytes[place..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                        *digit = *stream.pick(b"0123456789");
                    }
                }
                0 => bytes[place] = stream.below(256) as u8,
                1 => bytes[place] = *stream.pick(b"\"[]{}=\n.-0123456789smu "),
                2 => drop(bytes.remove(place)),
                3 => bytes.truncate(place + 1),
                _ => {
                    let end = bytes.len().min(place + stream.magnitude(1, 64) as usize);
                    bytes.extend_from_within(place..end);
                }
            }
        }
        match read(&bytes) {
            Ok(schedule) => {
                read_well += 1;
                assert_eq!(read(schedule.write().unwrap().as_bytes()), Ok(schedule));
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
                let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
                assert!((1..=lines).contains(&error.line), "{error}");
            }
        }
    }
    assert!(read_well > 500 && refused > 5_000, "{read_well} read, {refused} refused");
}

#[test]
fn a_schedule_changed_in_memory_can_be_checked() {
    let mut schedule = schedule(SNAPSHOT_SEED);
    assert_eq!(schedule.validate(&SHAPE), Ok(()));
    schedule.faults[2].at = schedule.duration;
    assert!(schedule.validate(&SHAPE).unwrap_err().to_string().starts_with("fault 3: it begins at "));
    let Generated { duration, .. } = generate(&Streams::new(1), &SHAPE);
    assert!(duration >= Duration::from_secs(5));
}

/// What a disk may do to data, how much of that is allowed, and who stays broken.
const DAMAGE: &str = r#"
[[fault]]
at = "6s"
kind = "bit-rot"
target = "leader"
files = "log"
bits = 3

[[fault]]
at = "6s"
kind = "sync-lie"
target = "member 1"
files = "snapshot"
count = 2

[[fault]]
at = "6s"
kind = "misdirected-write"
target = "member 1"
files = "log"
count = 1

[[fault]]
at = "6s"
kind = "phantom-write"
target = "member 1"
files = "snapshot"
count = 1

[[fault]]
at = "6s"
kind = "read-error"
target = "member 1"
files = "log"
sectors = 5

[[fault]]
at = "6s"
kind = "wipe"
target = "member 1"
down = "1s"

[[broken]]
member = "member 2"
how = "cut-off"
"#;

/// `FILE` and `DAMAGE`, with any damage allowed, when the first `from` of them is `to`.
fn damaging(from: &str, to: &str) -> String {
    let file = format!("{FILE}{DAMAGE}")
        .replace("settle_max = \"30s\"\n", "settle_max = \"30s\"\ndamage = \"any\"\n");
    assert!(file.contains(from), "the file has no {from}");
    file.replacen(from, to, 1)
}

#[test]
fn damage_and_the_ending_are_read_back_as_they_were_written() {
    let schedule = read(damaging("", "").as_bytes()).unwrap();
    assert_eq!(schedule.damage, DamageMax::Any);
    assert_eq!(schedule.broken, [Broken { member: NodeId::Member(2), how: How::CutOff }]);
    let shown = schedule.faults.iter().rev().take(6).map(|timed| timed.fault.to_string());
    let shown: Vec<String> = shown.collect();
    assert_eq!(
        shown,
        [
            r#"wipe, target = "member 1", down = "1s""#,
            r#"read-error, target = "member 1", files = "log", sectors = 5"#,
            r#"phantom-write, target = "member 1", files = "snapshot", count = 1"#,
            r#"misdirected-write, target = "member 1", files = "log", count = 1"#,
            r#"sync-lie, target = "member 1", files = "snapshot", count = 2"#,
            r#"bit-rot, target = "leader", files = "log", bits = 3"#,
        ]
    );
    assert_eq!(read(schedule.write().unwrap().as_bytes()), Ok(schedule));
    let without = read(FILE.as_bytes()).unwrap();
    assert_eq!((without.damage, without.broken.len()), (DamageMax::Minority, 0));
    assert!(!without.write().unwrap().contains("damage"));
}

#[test]
fn damage_and_endings_that_cannot_be_are_refused() {
    let error_with = |from, to| error(damaging(from, to).as_bytes());
    let line = |text: &str| text.split_once(": ").map(|(_, message)| message.to_owned()).unwrap();
    for (from, to, message) in [
        (
            "files = \"log\"",
            "files = \"database\"",
            "fault 7: this system has no class of files `database`; it has log, snapshot",
        ),
        ("bits = 3", "bits = 0", "fault 7: bits is counted from 1"),
        ("sectors = 5", "sectors = 0", "fault 11: sectors is counted from 1"),
        ("count = 2", "count = 0", "fault 8: count is counted from 1"),
        (
            "files = \"snapshot\"\ncount = 2",
            "files = \"names\"\ncount = 2",
            "fault 8: this system has no class of files `names`; it has log, snapshot",
        ),
        ("damage = \"any\"", "damage = \"all\"", "unknown value `all`; known values: minority, any"),
        (
            "member = \"member 2\"",
            "member = \"member 4\"",
            "broken 1: member `member 4` does not exist; this cluster has 3 members",
        ),
        (
            "member = \"member 2\"",
            "member = \"client 1\"",
            "broken 1: `client 1` is no member; members stay broken, and nobody else",
        ),
        (
            "how = \"cut-off\"",
            "how = \"gone\"",
            "broken 1: unknown value `gone`; known values: down, cut-off, paused, stalled",
        ),
        (
            "how = \"cut-off\"",
            "how = \"down\"\n[[broken]]\nmember = \"member 2\"\nhow = \"down\"",
            "broken 2: `member 2` is broken already",
        ),
    ] {
        assert_eq!(line(&error_with(from, to)), message);
    }
}
