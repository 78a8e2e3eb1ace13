//! Lets the faults of a schedule happen. The name is Jepsen's.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Clock;
use crate::coverage::FaultTally;
use crate::failpoint::{Armed, Strike};
use crate::network::{Link, LinkProfile, Shown};
use crate::node_id::NodeId;
use crate::process::Crash;
use crate::record;
use crate::schedule::{
    Action, Direction, Fault, Packets, Schedule, Shape, Target, TimedFault, fault_kinds, resolve_sides,
};
use crate::world::World;

/// The faults of one run.
pub(crate) struct Nemesis(Rc<Inner>);

struct Inner {
    shape: Shape,
    faults: Vec<TimedFault>,
    clocks: Vec<(NodeId, Clock)>,
    leader: Box<dyn Fn() -> Option<NodeId>>,
    /// Which of the faults met somebody.
    met: RefCell<Vec<bool>>,
}

impl Nemesis {
    pub(crate) fn new<O>(
        schedule: &Schedule<O>,
        shape: Shape,
        leader: impl Fn() -> Option<NodeId> + 'static,
    ) -> Self {
        let clocks = schedule.clocks.iter();
        Self(Rc::new(Inner {
            shape,
            faults: schedule.faults.clone(),
            clocks: clocks
                .map(|clock| (clock.node, Clock::new(clock.offset.nanos, clock.drift_ppm)))
                .collect(),
            leader: Box::new(leader),
            met: RefCell::new(vec![false; schedule.faults.len()]),
        }))
    }

    /// How many faults have met somebody.
    pub(crate) fn met(&self) -> u64 {
        self.0.met.borrow().iter().filter(|met| **met).count() as u64
    }

    /// How often each kind is in the schedule, and met somebody.
    pub(crate) fn tallies(&self) -> Vec<(&'static str, FaultTally)> {
        let mut tallies: Vec<_> = fault_kinds().map(|kind| (kind, FaultTally::default())).collect();
        for (fault, met) in self.0.faults.iter().zip(&*self.0.met.borrow()) {
            if let Some((_, tally)) = tallies.iter_mut().find(|(kind, _)| *kind == fault.fault.kind()) {
                tally.runs = 1;
                tally.drawn += 1;
                tally.met += u64::from(*met);
            }
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

    /// Ends all faults: every process runs, every link and every disk works, every clock keeps its own pace.
    pub(crate) fn heal(&self, world: &World) {
        record!(world, "fault", "all faults are healed");
        world.set_healed();
        world.failpoints().borrow_mut().clear();
        world.heal_links();
        world.heal_disks();
        world.heal_clocks();
        world.heal_processes();
    }
}

impl Inner {
    fn strike(&self, world: &World, number: usize) {
        let fault = &self.faults[number].fault;
        record!(world, "fault", "{}: {}", number + 1, Shown(fault));
        let met = match fault {
            Fault::Kill { target, down } => {
                self.each(*target, |node| world.crash_for(node, Crash::Process, *down))
            }
            Fault::PowerFailure { target, down } => {
                self.each(*target, |node| world.crash_for(node, Crash::Power, *down))
            }
            Fault::Pause { target, lasts } => self.each(*target, |node| world.pause_for(node, *lasts)),
            Fault::Partition { from, to, direction, packets, lasts } => {
                let links = self.links(world, from, to, *direction);
                match packets {
                    Packets::Drop => world.change_links(links, *lasts, Link::cut, Link::join),
                    Packets::Hold => world.change_links(links, *lasts, Link::hold, Link::release),
                }
            }
            Fault::Degrade {
                from,
                to,
                direction,
                latency_min,
                latency_max,
                loss_ppm,
                duplicate_ppm,
                duplicate_delay_max,
                lasts,
            } => {
                let profile = LinkProfile {
                    latency_min: crate::time::nanos(*latency_min),
                    latency_max: crate::time::nanos(*latency_max),
                    loss_ppm: *loss_ppm,
                    duplicate_ppm: *duplicate_ppm,
                    duplicate_delay_max: crate::time::nanos(*duplicate_delay_max),
                    ..LinkProfile::default()
                };
                let links = self.links(world, from, to, *direction);
                let degrade = move |link: &mut Link| link.degrade(number, profile);
                world.change_links(links, *lasts, degrade, move |link| link.restore(number))
            }
            Fault::Reset { from, to } => {
                let (from, to) = self.sides(from, to);
                for a in &from {
                    for b in &to {
                        world.reset_connections(*a, *b);
                    }
                }
                !from.is_empty() && !to.is_empty()
            }
            Fault::Failpoint { name, target, hit, action, lasts } => {
                let strike = match action {
                    Action::Kill => Strike::Crash(Crash::Process, *lasts),
                    Action::PowerFailure => Strike::Crash(Crash::Power, *lasts),
                    Action::Pause => Strike::Pause(*lasts),
                    Action::Delay => Strike::Delay(*lasts),
                };
                self.each(*target, |node| {
                    let armed = Armed { node, name: name.clone(), hits: *hit, strike };
                    world.failpoints().borrow_mut().push(armed);
                })
            }
            Fault::DiskStall { target, extra_latency, lasts } => {
                self.each(*target, |node| world.stall_disk(node, *extra_latency, *lasts))
            }
            Fault::DiskError { target, operation, count } => {
                self.each(*target, |node| world.fail_disk(node, *operation, *count))
            }
            Fault::DiskFull { target, lasts } => self.each(*target, |node| world.fill_disk(node, *lasts)),
            Fault::ClockDrift { target, drift_ppm, lasts } => {
                self.each(*target, |node| world.drift_clock(node, number, *drift_ppm, *lasts))
            }
        };
        self.met.borrow_mut()[number] = met;
    }

    /// Lets something happen to whom `target` means now; whether that is anybody.
    fn each(&self, target: Target, happens: impl FnMut(NodeId)) -> bool {
        let nodes = target.resolve(&self.shape, (self.leader)());
        let met = !nodes.is_empty();
        nodes.into_iter().for_each(happens);
        met
    }

    fn sides(&self, from: &[Target], to: &[Target]) -> (Vec<NodeId>, Vec<NodeId>) {
        resolve_sides(from, to, &self.shape, (self.leader)())
    }

    /// The links between two sides, each once.
    fn links(&self, world: &World, from: &[Target], to: &[Target], direction: Direction) -> Vec<usize> {
        let (from, to) = self.sides(from, to);
        let mut links = Vec::new();
        for a in &from {
            for b in to.iter().filter(|b| *b != a) {
                let (a, b) = (world.index(*a), world.index(*b));
                let network = world.network().borrow();
                links.push(network.link_index(a, b));
                if direction == Direction::Both {
                    links.push(network.link_index(b, a));
                }
            }
        }
        links.sort_unstable();
        links.dedup();
        links
    }
}

impl World {
    /// Changes links, and changes them back after `lasts`; whether there are any.
    fn change_links(
        &self,
        links: Vec<usize>,
        lasts: Duration,
        change: impl Fn(&mut Link),
        back: impl Fn(&mut Link) + 'static,
    ) -> bool {
        if links.is_empty() {
            return false;
        }
        self.network().borrow_mut().change(links.iter().copied(), change);
        self.undo_after(lasts, move |world| {
            world.network().borrow_mut().change(links.iter().copied(), back);
            for link in links {
                world.send_held(link);
                world.send_stalled(link);
            }
        });
        true
    }

    fn heal_links(&self) {
        let links = self.network().borrow().link_count();
        self.network().borrow_mut().change(0..links, Link::heal);
        for link in 0..links {
            self.send_held(link);
            self.send_stalled(link);
        }
    }

    /// Ends a fault after `lasts`, unless all faults were ended before.
    pub(crate) fn undo_after(&self, lasts: Duration, undo: impl FnOnce(&Self) + 'static) {
        self.call_after(lasts, |world| {
            if !world.is_healed() {
                undo(world);
            }
        });
    }

    fn drift_clock(&self, id: NodeId, fault: usize, drift_ppm: i32, lasts: Duration) {
        let index = self.index(id);
        self.process(index).drift(self.now(), fault, drift_ppm);
        self.undo_after(lasts, move |world| world.process(index).end_drift(world.now(), fault));
    }

    fn heal_clocks(&self) {
        for process in self.processes() {
            process.end_drifts(self.now());
        }
    }
}
