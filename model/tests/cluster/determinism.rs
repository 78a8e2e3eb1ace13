//! One schedule, one run.

use vertebra_model::Etcd;
use vertebra_sim::random::Streams;
use vertebra_sim::schedule::{Schedule, generate};
use vertebra_sim::{System, run, schedule_of};

use crate::told::tell;

#[test]
fn a_run_does_not_depend_on_those_before_it() {
    let schedules: Vec<_> = (0..20).map(|seed| schedule_of::<Etcd>(seed, |_| {}).unwrap()).collect();
    let forward: Vec<_> = schedules.iter().map(|schedule| run::<Etcd>(schedule, None)).collect();
    let mut backward: Vec<_> = schedules.iter().rev().map(|schedule| run::<Etcd>(schedule, None)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
}

#[test]
fn a_run_that_is_told_is_the_run_that_is_not() {
    for seed in 0..10 {
        let schedule = schedule_of::<Etcd>(seed, |_| {}).unwrap();
        let (told, lines) = tell(&schedule);
        assert_eq!(told, run::<Etcd>(&schedule, None));
        assert_eq!(lines.len() as u64, told.events, "every event is told");
    }
}

#[test]
fn a_schedule_that_was_written_and_read_gives_the_same_run() {
    for seed in 0..10 {
        let schedule = schedule_of::<Etcd>(seed, |_| {}).unwrap();
        let text = schedule.write().unwrap();
        let read = Schedule::read("s.toml", text.as_bytes(), Etcd::NAME, Etcd::shape).unwrap();
        assert_eq!(run::<Etcd>(&read, None), run::<Etcd>(&schedule, None));
    }
}

#[test]
fn another_interleaving_is_another_run_of_the_same_draws() {
    let mut schedule = schedule_of::<Etcd>(7, |_| {}).unwrap();
    let absent = run::<Etcd>(&schedule, None);
    schedule.interleaving = Some(7);
    assert_eq!(run::<Etcd>(&schedule, None), absent, "that of the seed is what an absent one means");
    schedule.interleaving = Some(8);
    let other = run::<Etcd>(&schedule, None);
    assert_ne!(other.digest, absent.digest);
    assert_eq!(run::<Etcd>(&schedule, None), other);
}

#[test]
fn encoding_every_message_changes_nothing() {
    for seed in 0..40 {
        let plain = schedule_of::<Etcd>(seed, |_| {}).unwrap();
        let encoded = schedule_of::<Etcd>(seed, |options| options.encode_messages = true).unwrap();
        assert_eq!(run::<Etcd>(&plain, None), run::<Etcd>(&encoded, None), "seed {seed}");
    }
}

/// What a run draws from. Whoever adds a stream to the simulator or the model adds its purpose here.
const PURPOSES_OF_RUNS: [&str; 6] = [
    "network/link",
    "disk/latency",
    "disk/short-write",
    "disk/power-failure",
    "member/raft-batch",
    "workload",
];

#[test]
fn a_draw_more_in_a_stream_of_the_run_changes_no_byte_of_any_schedule() {
    let text = |seed, streams: Streams| {
        let options = Etcd::options(&streams);
        let shape = Etcd::shape(&options).unwrap();
        let settle_max = Etcd::settle_max(&options);
        generate(&streams, &shape).into_schedule(Etcd::NAME, seed, settle_max, options).write().unwrap()
    };
    for seed in 0..500 {
        let streams = Streams::new(seed);
        let calm = text(seed, streams);
        assert_eq!(calm, schedule_of::<Etcd>(seed, |_| {}).unwrap().write().unwrap());
        for purpose in PURPOSES_OF_RUNS {
            assert_eq!(text(seed, streams.disturbing(purpose)), calm, "{purpose}, seed {seed}");
        }
        let moved = text(seed, streams.disturbing("options/traffic"));
        let faults = |text: &str| text[text.find("[[fault]]").unwrap()..].to_owned();
        assert_eq!(faults(&moved), faults(&calm), "one part of a schedule moves no other");
    }
}
