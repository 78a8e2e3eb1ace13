//! Faults of disks.

use std::time::Duration;

use super::Inner;
use crate::atlas::{Damage, Doubt};
use crate::disk::{IoKind, Stray};
use crate::node_id::NodeId;
use crate::process::Crash;
use crate::random::Stream;
use crate::record;
use crate::schedule::{DamageMax, Fault, FileClass, Operation};
use crate::time::nanos;
use crate::world::World;

/// What a fault did to the data of a member.
enum Harm {
    /// It damaged it.
    Done,
    /// That depends on what the member does: by the number that the disk gave.
    Doubtful(usize),
}

impl Inner {
    /// Lets a fault damage data of `nodes`, as far as the schedule allows it; whether there was any.
    pub(super) fn damage(&self, world: &World, number: usize, nodes: &[NodeId]) -> bool {
        let timed = &self.faults[number];
        let class = match &timed.fault {
            Fault::BitRot { files, .. }
            | Fault::MisdirectedWrite { files, .. }
            | Fault::PhantomWrite { files, .. }
            | Fault::SyncLie { files, .. }
            | Fault::ReadError { files, .. } => self.shape.file_class(files),
            _ => None,
        };
        let mut met = false;
        for node in nodes {
            if self.damage_max == DamageMax::Minority && !world.may_damage(*node) {
                record!(
                    world,
                    "fault",
                    "{}: spares {}: too many voters would have damaged data",
                    number + 1,
                    node
                );
                world.atlas().count_spared();
                continue;
            }
            // A function of when and where, so that it stays as it is when another fault is taken out.
            let place = nanos(timed.at) ^ (world.index(*node) as u64) << 48;
            let stream = world.streams().stream(timed.fault.kind(), place);
            if let Some(harm) = world.harm(*node, &timed.fault, class, stream) {
                met = true;
                world.disk_fails(*node);
                let damage =
                    Damage { member: *node, files: class.map(|class| class.name), since: world.now() };
                let doubt = match harm {
                    Harm::Done => None,
                    Harm::Doubtful(fault) => Some(Doubt { fault, struck: 0 }),
                };
                world.atlas().add_damage(damage, doubt);
            }
        }
        met
    }
}

impl World {
    /// What `fault` did to the data of a member; nothing if there was no data.
    fn harm(&self, id: NodeId, fault: &Fault, class: Option<&FileClass>, mut stream: Stream) -> Option<Harm> {
        let prefix = class.map_or("", |class| class.prefix);
        let index = self.index(id);
        let disk = || self.drive_of(index).disk.borrow_mut();
        let node = self.node_by_index(index);
        let stray =
            |stray, count, stream| Some(Harm::Doubtful(disk().lead_astray(prefix, stray, count, stream)));
        match fault {
            Fault::BitRot { bits, .. } => {
                let flipped = disk().rot(prefix, *bits, &mut stream);
                record!(node, "disk", "{} bits are flipped", flipped);
                (flipped > 0).then_some(Harm::Done)
            }
            Fault::ReadError { sectors, .. } => {
                let spoilt = disk().spoil(prefix, *sectors, &mut stream);
                record!(node, "disk", "{} sectors cannot be read any more", spoilt);
                (spoilt > 0).then_some(Harm::Done)
            }
            Fault::MisdirectedWrite { count, .. } => stray(Stray::Misdirected, *count, stream),
            Fault::PhantomWrite { count, .. } => stray(Stray::Phantom, *count, stream),
            Fault::SyncLie { count, .. } => Some(Harm::Doubtful(disk().forget_syncs(prefix, *count))),
            Fault::Wipe { down, .. } => {
                self.crash_for(id, Crash::Process, *down);
                disk().wipe();
                record!(node, "disk", "is empty");
                Some(Harm::Done)
            }
            _ => None,
        }
    }

    /// How often what was doubtful has happened.
    pub(crate) fn struck(&self, id: NodeId, doubt: Doubt) -> u32 {
        self.drive_of(self.index(id)).disk.borrow().struck(doubt.fault)
    }

    /// Whether it may do more damage after it has happened: what went astray lands somewhere.
    pub(crate) fn lands_late(&self, id: NodeId, doubt: Doubt) -> bool {
        self.drive_of(self.index(id)).disk.borrow().lands(doubt.fault)
    }

    pub(super) fn stall_disk(&self, id: NodeId, extra_latency: Duration, lasts: Duration) {
        let index = self.index(id);
        self.drive_of(index).stalls.borrow_mut().push(extra_latency);
        self.undo_after(lasts, move |world| {
            let stalls = &mut *world.drive_of(index).stalls.borrow_mut();
            if let Some(position) = stalls.iter().position(|stall| nanos(*stall) == nanos(extra_latency)) {
                stalls.remove(position);
            }
        });
    }

    pub(super) fn fail_disk(&self, id: NodeId, operation: Operation, count: u32) {
        let kind = match operation {
            Operation::Read => IoKind::Read,
            Operation::Write => IoKind::Write,
            Operation::Sync => IoKind::Sync,
            Operation::SyncLost => IoKind::SyncLost,
            Operation::Name => IoKind::Names,
        };
        self.drive_of(self.index(id)).disk.borrow_mut().fail_next(kind, count);
    }

    pub(super) fn fill_disk(&self, id: NodeId, lasts: Duration) {
        let index = self.index(id);
        let drive = self.drive_of(index);
        drive.full.set(drive.full.get() + 1);
        drive.set_full(true);
        self.undo_after(lasts, move |world| {
            let drive = world.drive_of(index);
            drive.full.set(drive.full.get() - 1);
            if drive.full.get() == 0 {
                drive.set_full(false);
            }
        });
    }

    /// Ends what any fault does to disks. What is damaged stays so.
    pub(super) fn heal_disks(&self) {
        for index in 0..self.processes().len() {
            let drive = self.drive_of(index);
            drive.stalls.borrow_mut().clear();
            drive.full.set(0);
            drive.set_full(false);
            let disk = &mut *drive.disk.borrow_mut();
            for kind in [IoKind::Read, IoKind::Write, IoKind::Sync, IoKind::SyncLost, IoKind::Names] {
                disk.fail_next(kind, 0);
            }
            disk.call_off();
        }
        self.resolve_doubts();
    }
}
