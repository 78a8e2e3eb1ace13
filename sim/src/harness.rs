//! Runs a system over schedules: one, or many.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use madsim::Config;
use madsim::runtime::Runtime;
use tracing::Dispatch;

use crate::atlas::{Excuse, Reason};
use crate::coverage::{Profile, Reached};
use crate::nemesis::{Cluster, Nemesis};
use crate::panics;
use crate::random::Streams;
use crate::record;
use crate::schedule::{self, Fault, Schedule, Shape};
use crate::system::System;
use crate::time::Instant;
use crate::trace::Digest;
use crate::verdict::Verdict;
use crate::world::{Setup, World};

/// How long a system may try to recover that cannot be asked to.
const HOPELESS: Duration = Duration::from_secs(5);

/// What came of one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Pass, or what was violated.
    pub verdict: Verdict,
    /// The digest over every event: equal for equal runs.
    pub digest: Digest,
    /// How much virtual time it took.
    pub virtual_time: Duration,
    /// How many events it had.
    pub events: u64,
    /// How many operations clients began.
    pub operations: u64,
    /// How many faults met somebody.
    pub faults: u64,
    /// When each client drew each of its operations, performed or not, client 1 first; nothing of clients that do not
    /// number them.
    pub drawn: Vec<Vec<Instant>>,
    /// How often a fault spared somebody, since too many voters would have had damaged data.
    pub spared: u64,
    /// How long progress could not be asked of the cluster, for each reason that there was.
    pub excused: Vec<(Reason, Duration)>,
    /// What was let pass since no service can promise it, by name, and how often ([`System::excuses`]).
    pub let_pass: Vec<(&'static str, u64)>,
    /// Why it was not asked to recover at the end, where it had to be and did not.
    pub unsettled: Option<Excuse>,
    /// Which marks, failpoints and kinds of faults it came by. Unlike all the rest, this may differ from one version of
    /// the code to another that has the same runs.
    pub reached: Reached,
}

/// The schedule that `seed` stands for.
///
/// `adjust` changes the options after they were drawn, as a flag of the command line does; what is drawn for the
/// rest of the schedule depends on the shape of the cluster alone.
///
/// # Errors
///
/// What the system says of options that make no sense.
pub fn schedule_of<S: System>(
    seed: u64,
    adjust: impl FnOnce(&mut S::Options),
) -> Result<Schedule<S::Options>, String> {
    schedule_with::<S>(seed, &[], adjust)
}

/// As [`schedule_of`], with faults of the kinds of these names besides those that the seed has.
///
/// # Errors
///
/// As there, and when there is no such kind of fault.
pub fn schedule_with<S: System>(
    seed: u64,
    added: &[&str],
    adjust: impl FnOnce(&mut S::Options),
) -> Result<Schedule<S::Options>, String> {
    let streams = Streams::new(seed);
    let mut options = S::options(&streams);
    adjust(&mut options);
    let shape = S::shape(&options)?;
    let settle_max = S::settle_max(&options);
    let mut generated = schedule::generate(&streams, &shape);
    added.iter().try_for_each(|kind| generated.add(&streams, &shape, kind))?;
    Ok(generated.into_schedule(S::NAME, seed, settle_max, options))
}

/// Runs `schedule` on a thread of its own: what std and its libraries keep per thread then starts afresh, so that
/// a run cannot depend on those before it.
///
/// With a `reader`, each event of the run is also told to it; see [`record!`](crate::record).
///
/// # Panics
///
/// If the schedule is not valid for its system; one that was read or generated is.
#[must_use]
pub fn run<S: System>(schedule: &Schedule<S::Options>, reader: Option<&Dispatch>) -> Report {
    alone(|| match reader {
        Some(reader) => tracing::dispatcher::with_default(reader, || run_here::<S>(schedule, true, drive)),
        None => run_here::<S>(schedule, false, drive),
    })
}

/// As [`run`], with what `clock` gained meanwhile. It is read on the thread of the run, so it may be the time of a
/// processor that a thread has used.
///
/// # Panics
///
/// As there.
#[must_use]
pub fn run_timed<S: System>(
    schedule: &Schedule<S::Options>,
    clock: impl Fn() -> Duration + Sync,
) -> (Report, Duration) {
    alone(|| {
        let began = clock();
        let report = run_here::<S>(schedule, false, drive);
        (report, clock().saturating_sub(began))
    })
}

/// What happens by itself while there are faults.
fn drive<S>(world: &World, _: &Rc<S>, healed: Instant) {
    world.drive(healed);
}

/// Does `work` on a thread that nothing else was ever done on.
#[expect(clippy::disallowed_methods, reason = "one thread to a run: nothing in the run can tell")]
fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(done) => done,
        Err(payload) => std::panic::resume_unwind(payload),
    })
}

/// Somebody outside of a run who takes part in it.
///
/// When everything has happened that happens at one moment, it is its turn: it may then hand something to the system,
/// which happens at that moment, and says until when the run goes on by itself. How often it is asked changes nothing:
/// only what it does, and at which virtual times.
pub trait Outside {
    /// What is next.
    fn turn(&mut self, world: &World) -> Turn;
}

/// What an [`Outside`] decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// What happens by itself until then, that moment included, happens; then it is asked again.
    Until(Instant),
    /// It goes. What is broken is healed, and the run ends as any other.
    End,
}

/// Runs `schedule` on this thread, with an [`Outside`] in it that `outside` makes at the beginning. Faults come at the
/// times that the schedule has, and the run ends when the outside says so, be that before or after the schedule's end.
///
/// # Panics
///
/// If the schedule is not valid for its system.
#[must_use]
pub fn run_with<S: System, O: Outside>(
    schedule: &Schedule<S::Options>,
    reader: Option<&Dispatch>,
    outside: impl FnOnce(&World, &Rc<S>) -> O,
) -> Report {
    let go_on = |world: &World, system: &Rc<S>, _: Instant| {
        let mut outside = outside(world, system);
        while let Turn::Until(until) = outside.turn(world) {
            world.drive(until.max(world.now()));
            if world.has_ended() {
                return;
            }
        }
    };
    match reader {
        Some(reader) => tracing::dispatcher::with_default(reader, || run_here::<S>(schedule, true, go_on)),
        None => run_here::<S>(schedule, false, go_on),
    }
}

/// Runs the schedules of many seeds on `jobs` threads, and hands each seed's schedule and report to `done` as they
/// come, or why `schedule` has none for it.
///
/// Seeds are begun in order, and end in any order. When `stop` is set, those under way are finished and no other
/// is begun; `done` may set it too.
#[expect(clippy::disallowed_methods, reason = "runs share nothing, so their order does not matter to them")]
pub fn run_many<S: System>(
    seeds: impl Iterator<Item = u64> + Send,
    jobs: usize,
    stop: &AtomicBool,
    schedule: impl Fn(u64) -> Result<Schedule<S::Options>, String> + Sync,
    mut done: impl FnMut(u64, Result<(Schedule<S::Options>, Report), String>),
) {
    let seeds = Mutex::new(seeds);
    let (sender, receiver) = mpsc::sync_channel(4 * jobs);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let (seeds, schedule) = (&seeds, &schedule);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Some(seed) = seeds.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                        break;
                    };
                    let ran = schedule(seed).map(|schedule| {
                        let report = run::<S>(&schedule, None);
                        (schedule, report)
                    });
                    if sender.send((seed, ran)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (seed, ran) in receiver {
            done(seed, ran);
        }
    });
}

/// `go_on` lets happen what happens while there are faults, which the schedule has until the time that it is given.
fn run_here<S: System>(
    schedule: &Schedule<S::Options>,
    told: bool,
    go_on: impl FnOnce(&World, &Rc<S>, Instant),
) -> Report {
    panics::capture();
    let shape = match S::shape(&schedule.options) {
        Ok(shape) => shape,
        Err(problem) => panic!("options that were checked before: {problem}"),
    };
    // What a library asks of the machine, its clock and its randomness, madsim answers from the seed.
    let runtime = Runtime::with_seed_and_config(schedule.seed, Config::default());
    runtime.block_on(async { run_inside::<S>(schedule, &shape, told, go_on) })
}

fn run_inside<S: System>(
    schedule: &Schedule<S::Options>,
    shape: &Shape,
    told: bool,
    go_on: impl FnOnce(&World, &Rc<S>, Instant),
) -> Report {
    let world = World::new(&Setup {
        streams: Streams::new(schedule.seed),
        interleaving: schedule.interleaving.unwrap_or(schedule.seed),
        members: shape.members,
        clients: shape.clients,
        spares: shape.spares,
        has_operator: !shape.operations.is_empty(),
        peer_links: (&schedule.network.peers).into(),
        client_links: (&schedule.network.clients).into(),
        disk: schedule.disk,
        told,
        failpoints: shape.failpoints,
    });
    let system = Rc::new(S::new(&world, schedule.options.clone()));
    let nemesis = Nemesis::new(schedule, *shape, Rc::clone(&system) as Rc<dyn Cluster>);

    // A panic here is one of an oracle or of the simulator: it ends the run as a panic of a process does.
    let judged = catch_unwind(AssertUnwindSafe(|| judge(&world, &system, &nemesis, schedule, go_on)));
    let unsettled = judged.unwrap_or_else(|payload| {
        world.fail(panics::violation(&*payload));
        None
    });
    world.assess_finally();

    let report = Report {
        verdict: match world.take_violation() {
            Some((violation, at)) => Verdict::Violation { violation, at },
            None => Verdict::Pass,
        },
        digest: world.trace().digest(),
        virtual_time: world.now().since_start(),
        events: world.trace().events(),
        operations: system.operations(),
        faults: nemesis.met(),
        drawn: world.take_drawn_operations(),
        spared: world.atlas().spared(),
        excused: world.atlas().excused(),
        let_pass: system.excuses(),
        unsettled,
        reached: reached::<S>(&world, schedule, shape, &nemesis),
    };
    world.dismantle();
    report
}

/// What the run reached, of what it could.
fn reached<S: System>(
    world: &World,
    schedule: &Schedule<S::Options>,
    shape: &Shape,
    nemesis: &Nemesis,
) -> Reached {
    let faults = nemesis.tallies();
    let named = |names: &[&'static str], name_of: fn(&Fault) -> Option<&str>| {
        let drawn: Vec<&str> = schedule.faults.iter().filter_map(|timed| name_of(&timed.fault)).collect();
        names.iter().map(|name| (*name, drawn.contains(name))).collect::<Vec<_>>()
    };
    let profile = Profile {
        members: shape.members,
        clients: shape.clients,
        disks: world.counters().uses_disks.get(),
        connections: world.counters().uses_connections.get(),
        faults: faults.iter().map(|(kind, tally)| (*kind, tally.drawn > 0)).collect(),
        failpoints: named(shape.failpoints, |fault| match fault {
            Fault::Failpoint { name, .. } => Some(name),
            _ => None,
        }),
        operations: named(shape.operations, |fault| match fault {
            Fault::Operate { operation, .. } => Some(operation),
            _ => None,
        }),
        loads: named(shape.loads, |fault| match fault {
            Fault::Load { load, .. } => Some(load),
            _ => None,
        }),
        features: S::features(&schedule.options),
    };
    world.counters().reached::<S>(&profile, faults)
}

/// The phases of a run: faults, then none and time to recover, then the oracles that need the whole. Returns why the
/// system was not asked to recover, where it did not.
fn judge<S: System>(
    world: &World,
    system: &Rc<S>,
    nemesis: &Nemesis,
    schedule: &Schedule<S::Options>,
    go_on: impl FnOnce(&World, &Rc<S>, Instant),
) -> Option<Excuse> {
    world.set_main({
        let system = Rc::clone(system);
        Rc::new(move |node| {
            let system = Rc::clone(&system);
            match node.id() {
                crate::NodeId::Member(_) => system.member(node).boxed_local(),
                crate::NodeId::Client(_) => system.client(node).map(Ok).boxed_local(),
                crate::NodeId::Operator => system.operator(node).map(Ok).boxed_local(),
            }
        })
    });
    nemesis.begin(world);
    let spares = world.machines().skip(world.members().count());
    spares.for_each(|spare| world.leave_stopped(spare));
    for node in world.nodes() {
        world.start_unless_stopped(node);
    }
    world.atlas().set_cluster(Some(Rc::clone(system) as Rc<dyn Cluster>));
    go_on(world, system, Instant::START + schedule.duration);
    if world.has_ended() {
        return None;
    }
    let healed = world.now();
    let given_up = healed + schedule.settle_max;

    nemesis.heal(world);
    let settle = {
        let (system, world) = (Rc::clone(system), world.clone());
        async move {
            system.settle(world.clone()).await;
            world.settle();
        }
    };
    world.executor().spawn(world.processes().len(), Box::pin(settle));
    // Without hope it may recover all the same, as damaged members do that the rest can make whole.
    if world.hope().is_err() {
        world.drive(given_up.min(healed + HOPELESS));
    }
    if !world.has_ended() && world.hope().is_ok() {
        world.drive(given_up);
    }
    let mut unsettled = None;
    if !world.has_ended() {
        unsettled = world.hope().err();
        match &unsettled {
            Some(excuse) => record!(world, "atlas", "recovery is not asked for: {}", excuse),
            None => world.fail(system.unsettled()),
        }
    }
    if !world.has_failed() {
        world.check(system.finish(world));
    }
    unsettled
}
