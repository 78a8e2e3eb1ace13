//! Lets the faults of a schedule happen. The name is Jepsen's.

mod clocks;
mod disk;
mod ending;
mod links;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::atlas::Damage;
use crate::clock::Clock;
use crate::coverage::FaultTally;
use crate::failpoint::{Armed, Strike};
use crate::network::{Filter, Link, LinkProfile, Shown};
use crate::node_id::NodeId;
use crate::process;
use crate::record;
use crate::schedule::{
    self, Action, Aim, Broken, DamageMax, Fault, Packets, Schedule, Shape, TimedFault, resolve_sides,
};
use crate::sometimes;
use crate::system::System;
use crate::world::World;

/// The faults of one run.
pub(crate) struct Nemesis(Rc<Inner>);

struct Inner {
    shape: Shape,
    faults: Vec<TimedFault>,
    clocks: Vec<(NodeId, Clock)>,
    damage_max: DamageMax,
    broken: Vec<Broken>,
    cluster: Rc<dyn Cluster>,
    /// Which of the faults met somebody.
    met: RefCell<Vec<bool>>,
}

/// The system, as far as faults need to know it.
pub(crate) trait Cluster {
    fn leader(&self) -> Option<NodeId>;
    fn voters(&self, world: &World) -> Vec<NodeId>;
    fn is_sound(&self, damage: &Damage) -> bool;
    fn operate(&self, world: &World, operation: &str, targets: &[NodeId]) -> bool;
    fn load(&self, world: &World, load: &str, targets: &[NodeId], amount: u32, lasts: Duration) -> bool;
}

impl<S: System> Cluster for S {
    fn leader(&self) -> Option<NodeId> {
        System::leader(self)
    }

    fn voters(&self, world: &World) -> Vec<NodeId> {
        System::voters(self, world)
    }

    fn is_sound(&self, damage: &Damage) -> bool {
        System::is_sound(self, damage)
    }

    fn operate(&self, world: &World, operation: &str, targets: &[NodeId]) -> bool {
        System::operate(self, world, operation, targets)
    }

    fn load(&self, world: &World, load: &str, targets: &[NodeId], amount: u32, lasts: Duration) -> bool {
        System::load(self, world, load, targets, amount, lasts)
    }
}

impl Nemesis {
    pub(crate) fn new<O>(schedule: &Schedule<O>, shape: Shape, cluster: Rc<dyn Cluster>) -> Self {
        let clocks = schedule.clocks.iter();
        Self(Rc::new(Inner {
            shape,
            faults: schedule.faults.clone(),
            clocks: clocks
                .map(|clock| (clock.node, Clock::new(clock.offset.nanos, clock.drift_ppm)))
                .collect(),
            damage_max: schedule.damage,
            broken: schedule.broken.clone(),
            cluster,
            met: RefCell::new(vec![false; schedule.faults.len()]),
        }))
    }

    /// How many faults have met somebody.
    pub(crate) fn met(&self) -> u64 {
        self.0.met.borrow().iter().filter(|met| **met).count() as u64
    }

    /// How often each kind is in the schedule, and met somebody.
    pub(crate) fn tallies(&self) -> Vec<(&'static str, FaultTally)> {
        let mut tallies: Vec<_> =
            Fault::KINDS.into_iter().map(|kind| (kind, FaultTally::default())).collect();
        for (fault, met) in self.0.faults.iter().zip(&*self.0.met.borrow()) {
            let (_, tally) = &mut tallies[fault.fault.kind_index()];
            tally.runs = 1;
            tally.drawn += 1;
            tally.met += u64::from(*met);
        }
        tallies
    }

    /// Sets the clocks, and puts every fault into the queue.
    pub(crate) fn begin(&self, world: &World) {
        for (node, clock) in &self.0.clocks {
            world.process(world.index(*node)).set_clock(*clock);
        }
        for (number, fault) in self.0.faults.iter().enumerate() {
            let nemesis = Rc::clone(&self.0);
            world.call_after(fault.at, move |world| nemesis.strike(world, number));
        }
    }
}

impl Inner {
    fn strike(&self, world: &World, number: usize) {
        if world.is_healed() {
            // Whoever takes part from outside has gone before it was time.
            return;
        }
        let fault = &self.faults[number].fault;
        let (nodes, others) = self.struck(fault);
        record!(world, "fault", "{}: {}{}", number + 1, Shown(fault), Struck(fault.aim(), &nodes, &others));
        let met = self.happen(world, number, &nodes, &others);
        if fault.refuses_disk() {
            nodes.iter().for_each(|node| world.disk_fails(*node));
        }
        self.met.borrow_mut()[number] = met;
        sometimes!(world, "a fault meets nobody", !met, when = |run| run.members > 1);
        world.assess();
    }

    /// Whom `fault` meets now; those of its other side, too, where it has one.
    fn struck(&self, fault: &Fault) -> (Vec<NodeId>, Vec<NodeId>) {
        let leader = self.cluster.leader();
        match fault.aim() {
            Aim::Nodes(target) => (target.resolve(&self.shape, leader), Vec::new()),
            Aim::Links(from, to) => resolve_sides(from, to, &self.shape, leader),
        }
    }

    /// Lets a fault happen to `nodes`, or between them and `others`; whether there was anybody.
    fn happen(&self, world: &World, number: usize, nodes: &[NodeId], others: &[NodeId]) -> bool {
        let each = |happens: &dyn Fn(NodeId)| {
            nodes.iter().for_each(|node| happens(*node));
            !nodes.is_empty()
        };
        let links = |direction| world.links_between(nodes, others, direction);
        match &self.faults[number].fault {
            Fault::Kill { down, .. } => each(&|node| world.crash_for(node, process::Crash::Process, *down)),
            Fault::PowerFailure { down, .. } => {
                each(&|node| world.crash_for(node, process::Crash::Power, *down))
            }
            Fault::Pause { lasts, .. } => each(&|node| world.pause_for(node, *lasts)),
            Fault::Throttle { period, quota, lasts, .. } => each(&|node| {
                let (quota, stands_still) = (*quota, *period - *quota);
                world.again_and_again(*period, *lasts, move |world, left| {
                    // It runs first, and stands still for the rest of the period.
                    let wait = quota.min(left);
                    let stands_still = stands_still.min(left - wait);
                    world.undo_after(wait, move |world| world.pause_for(node, stands_still));
                });
            }),
            Fault::CrashLoop { crash, times, down, up, .. } => each(&|node| {
                let (crash, down) = (crash_of(*crash), *down);
                let between = down + *up;
                world.again_and_again(between, between * *times, move |world, _| {
                    world.crash_for(node, crash, down);
                });
            }),
            Fault::Partition { direction, packets, lasts, .. } => match packets {
                Packets::Drop => world.change_links(links(*direction), *lasts, Link::cut, Link::join),
                Packets::Hold => world.change_links(links(*direction), *lasts, Link::hold, Link::release),
            },
            Fault::Flap { direction, packets, down, up, lasts, .. } => {
                let (links, packets, down) = (links(*direction), *packets, *down);
                let met = !links.is_empty();
                world.again_and_again(down + *up, *lasts, move |world, left| {
                    let (links, lasts) = (links.clone(), down.min(left));
                    match packets {
                        Packets::Drop => world.change_links(links, lasts, Link::cut, Link::join),
                        Packets::Hold => world.change_links(links, lasts, Link::hold, Link::release),
                    };
                });
                met
            }
            Fault::Filter { direction, messages, loss_ppm, delay, lasts, .. } => {
                let (messages, delay) = (messages.clone(), crate::time::nanos(*delay));
                let filter = Rc::new(Filter { messages, loss_ppm: *loss_ppm, delay });
                let begin = move |link: &mut Link| link.filter(number, Rc::clone(&filter));
                world.change_links(links(*direction), *lasts, begin, move |link| link.end_filter(number))
            }
            Fault::Degrade {
                direction,
                latency_min,
                latency_max,
                loss_ppm,
                duplicate_ppm,
                duplicate_delay_max,
                reorder_ppm,
                reorder_delay_max,
                lasts,
                ..
            } => {
                let profile = LinkProfile {
                    latency_min: crate::time::nanos(*latency_min),
                    latency_max: crate::time::nanos(*latency_max),
                    loss_ppm: *loss_ppm,
                    duplicate_ppm: *duplicate_ppm,
                    duplicate_delay_max: crate::time::nanos(*duplicate_delay_max),
                    reorder_ppm: *reorder_ppm,
                    reorder_delay_max: crate::time::nanos(*reorder_delay_max),
                    ..LinkProfile::default()
                };
                let degrade = move |link: &mut Link| link.degrade(number, profile);
                world.change_links(links(*direction), *lasts, degrade, move |link| link.restore(number))
            }
            Fault::Reset { .. } => {
                world.reset_between(nodes, others);
                !nodes.is_empty() && !others.is_empty()
            }
            Fault::ResetStorm { every, lasts, .. } => {
                let (nodes, others) = (nodes.to_vec(), others.to_vec());
                let met = !nodes.is_empty() && !others.is_empty();
                world.again_and_again(*every, *lasts, move |world, _| world.reset_between(&nodes, &others));
                met
            }
            Fault::Failpoint { name, hit, action, lasts, .. } => {
                let strike = match action {
                    Action::Kill => Strike::Crash(process::Crash::Process, *lasts),
                    Action::PowerFailure => Strike::Crash(process::Crash::Power, *lasts),
                    Action::Pause => Strike::Pause(*lasts),
                    Action::Delay => Strike::Delay(*lasts),
                    Action::Disconnect => Strike::Disconnect,
                };
                each(&|node| {
                    let armed = Armed { node, name: name.clone(), hits: *hit, strike };
                    world.failpoints().borrow_mut().push(armed);
                })
            }
            Fault::DiskStall { extra_latency, lasts, .. } => {
                each(&|node| world.stall_disk(node, *extra_latency, *lasts))
            }
            Fault::BitRot { .. }
            | Fault::MisdirectedWrite { .. }
            | Fault::PhantomWrite { .. }
            | Fault::SyncLie { .. }
            | Fault::ReadError { .. }
            | Fault::Wipe { .. } => self.damage(world, number, nodes),
            Fault::DiskError { operation, count, .. } => {
                each(&|node| world.fail_disk(node, *operation, *count))
            }
            Fault::DiskFull { lasts, .. } => each(&|node| world.fill_disk(node, *lasts)),
            Fault::ClockDrift { drift_ppm, lasts, .. } => {
                each(&|node| world.drift_clock(node, number, *drift_ppm, *lasts))
            }
            Fault::ClockJump { by, lasts, .. } => each(&|node| world.jump_clock(node, number, *by, *lasts)),
            Fault::ClockStrobe { by, period, lasts, .. } => each(&|node| {
                let (by, period) = (*by, *period);
                world.again_and_again(period * 2, *lasts, move |world, left| {
                    world.jump_clock(node, number, by, period.min(left));
                });
            }),
            Fault::Operate { operation, .. } => {
                !nodes.is_empty() && self.cluster.operate(world, operation, nodes)
            }
            Fault::Load { load, amount, lasts, .. } => {
                !nodes.is_empty() && self.cluster.load(world, load, nodes, *amount, *lasts)
            }
        }
    }
}

fn crash_of(crash: schedule::Crash) -> process::Crash {
    match crash {
        schedule::Crash::Kill => process::Crash::Process,
        schedule::Crash::PowerFailure => process::Crash::Power,
    }
}

/// Whom a fault meets, behind the fault in a trace.
#[derive(Hash)]
struct Struck<'f>(Aim<'f>, &'f [NodeId], &'f [NodeId]);

impl fmt::Display for Struck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(aim, nodes, others) = self;
        f.write_str(" -> ")?;
        tell_nodes(f, nodes)?;
        if let Aim::Links(..) = aim {
            f.write_str(" and ")?;
            tell_nodes(f, others)?;
        }
        Ok(())
    }
}

fn tell_nodes(f: &mut fmt::Formatter<'_>, nodes: &[NodeId]) -> fmt::Result {
    for (place, node) in nodes.iter().enumerate() {
        write!(f, "{}{node}", if place == 0 { "" } else { ", " })?;
    }
    if nodes.is_empty() { f.write_str("nobody") } else { Ok(()) }
}

impl World {
    /// Lets `happens` happen now and each `period` from now, for as long as the time that it is told is left of
    /// `lasts`, and until all faults are ended.
    fn again_and_again(
        &self,
        period: Duration,
        lasts: Duration,
        happens: impl Fn(&Self, Duration) + 'static,
    ) {
        happens(self, lasts);
        let left = lasts.saturating_sub(period);
        if !left.is_zero() {
            self.undo_after(period, move |world| world.again_and_again(period, left, happens));
        }
    }

    /// Does something after `lasts`, such as to end a fault, unless all faults were ended before.
    pub(crate) fn undo_after(&self, lasts: Duration, undo: impl FnOnce(&Self) + 'static) {
        self.call_after(lasts, |world| {
            if !world.is_healed() {
                undo(world);
                world.assess();
            }
        });
    }
}
