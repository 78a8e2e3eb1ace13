//! What the simulator costs: instructions per virtual second of a cluster of 3 members and 5 clients, beside those of
//! a bare event loop that does the same work with the same Raft, log encoding, store and traffic.
//!
//! ```text
//! cargo bench -p vertebra-model --bench overhead
//! ```
//!
//! Time on a shared machine says little, so instructions are counted, by valgrind's callgrind: exactly the same number
//! in every run. Each arm runs in a process of its own, for two lengths of virtual time, and their difference is what
//! counts: start and end cancel out. What the arms do is printed beside what they cost, since the ratio means
//! nothing if one of them does less.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures, and is part of no run")]

mod bare;
mod callgrind;
mod simulated;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use vertebra_model::{
    AuthOptions, KubernetesTraffic, LeaseOptions, LeaseWeights, Options, Traffic, VariedWeights,
    WatchOptions, Weights,
};
use vertebra_sim::schedule::{DamageMax, Disk, Link, Network, Operations, Schedule};
use vertebra_sim::time::text;

use callgrind::Profile;

/// The allocator of the command, whose sweeps are what has to be fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEEDS: std::ops::Range<u64> = 0..4;
const SHORT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(30);

/// What a run did.
#[derive(Clone, Copy, Default)]
struct Work {
    /// Operations that clients began.
    operations: u64,
    /// Messages of Raft, and for read indices, that members sent.
    datagrams: u64,
}

#[derive(Clone, Copy)]
enum Arm {
    Simulated,
    Bare,
}

impl Arm {
    fn name(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Bare => "bare",
        }
    }

    fn count(self, schedule: &Schedule<Options>) -> Work {
        match self {
            Self::Simulated => simulated::count(schedule),
            Self::Bare => bare::run(schedule),
        }
    }

    fn work(self, schedule: &Schedule<Options>) {
        match self {
            Self::Simulated => simulated::run(schedule),
            Self::Bare => drop(bare::run(schedule)),
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // The child under valgrind.
        ["--arm", arm, seconds] => {
            let arm = if arm == Arm::Bare.name() { Arm::Bare } else { Arm::Simulated };
            let duration = Duration::from_secs(seconds.parse().unwrap_or(SHORT.as_secs()));
            SEEDS.for_each(|seed| arm.work(&schedule(seed, duration)));
            ExitCode::SUCCESS
        }
        _ if !args.contains(&"--bench") => {
            println!("overhead: nothing to test; `cargo bench -p vertebra-model --bench overhead` measures");
            ExitCode::SUCCESS
        }
        _ if !callgrind::is_installed() => {
            eprintln!(
                "overhead: valgrind counts the instructions and is not installed (Debian: apt install valgrind)"
            );
            ExitCode::FAILURE
        }
        _ => match compare() {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("overhead: {problem}");
                ExitCode::FAILURE
            }
        },
    }
}

fn compare() -> Result<(), String> {
    let seconds = (LONG - SHORT).as_secs() * SEEDS.count() as u64;
    let mut costs = Vec::new();
    println!(
        "3 members, 5 clients, {} seeds, from {} to {} of virtual time",
        SEEDS.count(),
        text::format(SHORT),
        text::format(LONG)
    );
    println!("{:<22}{:>14}{:>14}{:>14}", "per virtual second", "instructions", "operations", "datagrams");
    for arm in [Arm::Bare, Arm::Simulated] {
        let mut work = [Work::default(); 2];
        for (work, duration) in work.iter_mut().zip([SHORT, LONG]) {
            for seed in SEEDS {
                let done = arm.count(&schedule(seed, duration));
                work.operations += done.operations;
                work.datagrams += done.datagrams;
            }
        }
        let [short, long] = work;
        let profile = beyond(&profile(arm, LONG)?, &profile(arm, SHORT)?);
        println!(
            "{:<22}{:>14}{:>14.1}{:>14.1}",
            arm.name(),
            profile.total / seconds,
            (long.operations - short.operations) as f64 / seconds as f64,
            (long.datagrams - short.datagrams) as f64 / seconds as f64
        );
        costs.push(profile);
    }
    let [bare, simulated] = &costs[..] else { return Err("two arms were measured".to_owned()) };
    let Profile { total, oracles, digest } = *simulated;
    println!("{:<22}{:>14}", "  of which oracles", oracles / seconds);
    println!("{:<22}{:>14}", "  of which digest", digest / seconds);
    let ratio = |instructions| instructions as f64 / bare.total as f64;
    println!("ratio, all that a sweep does            {:.2}", ratio(total));
    println!("ratio, without the oracles              {:.2}", ratio(total - oracles));
    println!("ratio, without the oracles and digest   {:.2}", ratio(total - oracles - digest));
    Ok(())
}

/// What a run took beyond a shorter one.
fn beyond(long: &Profile, short: &Profile) -> Profile {
    Profile {
        total: long.total - short.total,
        oracles: long.oracles - short.oracles,
        digest: long.digest - short.digest,
    }
}

/// Counts the instructions of an arm in a process of its own.
fn profile(arm: Arm, duration: Duration) -> Result<Profile, String> {
    let seconds = duration.as_secs().to_string();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{}.{seconds}", arm.name()));
    let itself = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(itself);
    command.args(["--arm", arm.name(), &seconds]);
    callgrind::run(&command, &out)
}

/// One run: no faults, and as much traffic as a client gives that rests for 50 ms on average.
fn schedule(seed: u64, duration: Duration) -> Schedule<Options> {
    let millis = Duration::from_millis;
    let link = |loss_ppm| Link {
        latency_min: millis(1),
        latency_max: millis(10),
        tail_ppm: 0,
        tail_max: Duration::ZERO,
        loss_ppm,
        duplicate_ppm: 0,
        duplicate_delay_max: Duration::ZERO,
    };
    Schedule {
        system: "etcd".to_owned(),
        seed,
        interleaving: None,
        duration,
        settle_max: Duration::from_secs(30),
        damage: DamageMax::Minority,
        options: options(),
        network: Network { peers: link(10_000), clients: link(0) },
        disk: Disk {
            sync_latency_min: millis(1),
            sync_latency_max: millis(5),
            tail_ppm: 0,
            tail_max: Duration::ZERO,
        },
        clocks: Vec::new(),
        faults: Vec::new(),
        broken: Vec::new(),
    }
}

/// As etcd's own where it has a default. So neither arm takes a snapshot or begins a second segment within a run.
fn options() -> Options {
    Options {
        spares: 0,
        strict_reconfiguration: true,
        members: 3,
        clients: 5,
        defects: vertebra_model::Defects::NONE,
        without_oracles: Vec::new(),
        without_sync: Vec::new(),
        encode_messages: false,
        heartbeat_interval: Duration::from_millis(100),
        election_ticks: 10,
        snapshot_count: 10_000,
        snapshot_catchup_entries: 5_000,
        backend_batch_interval: Duration::from_millis(100),
        backend_batch_limit: 10_000,
        compaction_batch_limit: 1_000,
        defragment_interval: Duration::ZERO,
        corruption_check_interval: Duration::ZERO,
        compact_hash_check_interval: Duration::ZERO,
        initial_corruption_check: false,
        compaction_sleep_interval: Duration::from_millis(10),
        wal_segment_bytes: 64 << 20,
        message_bytes_max: 1 << 20,
        messages_inflight_max: 512,
        leases: LeaseOptions::default(),
        client_urls: Vec::new(),
        auth: AuthOptions::default(),
        request_bytes_max: 3 << 19,
        txn_ops_max: 128,
        quota_backend_bytes: 2 << 30,
        backlog_max: 5_000,
        operations: Operations::default(),
        watch: WatchOptions::default(),
        traffic: Traffic {
            request_timeout: Duration::from_secs(1),
            think_time_max: Duration::from_millis(100),
            keys: 10,
            weights: Weights {
                get: 20,
                list: 6,
                stale_get: 5,
                stale_list: 3,
                serializable_get: 5,
                put: 35,
                delete: 5,
                delete_range: 2,
                compact: 0,
                compare_and_set: 8,
                multi_op_txn: 10,
                read_txn: 4,
                leases: LeaseWeights::default(),
                recipe: 0,
                varied: VariedWeights::default(),
            },
            kubernetes: KubernetesTraffic::default(),
        },
    }
}
