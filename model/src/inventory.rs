//! What an operator writes down of each machine: how a member there is to be started, and what came of it.
//!
//! It stands for the arguments in a machine's unit file and for the machine's journal. A process reads from it what
//! etcd reads from its command line, and nothing else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use vertebra_sim::{Instant, NodeId};

use crate::cluster::{MemberId, machine};
use crate::restoration::Restoration;

/// What a process with an empty disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Start {
    /// A member of a cluster that begins (etcd: `--initial-cluster-state new`).
    #[default]
    New,
    /// This member of a cluster that is there (`existing`).
    Existing(MemberId),
    /// This member had a log on this disk before. It may have voted, and must not begin anew: etcd's refuses when
    /// another member tells it that it "has already been bootstrapped". Ours refuses also when it cannot ask.
    Bootstrapped(MemberId),
    /// This member of a cluster that is restored: its disk is laid out before it starts.
    Restored(MemberId),
    /// None: the machine stood by, or had a member of a cluster that is no more.
    Nothing,
}

/// All machines.
#[derive(Default)]
pub(crate) struct Inventory {
    machines: RefCell<BTreeMap<NodeId, Entry>>,
    /// What those are restored from whose member is one of a restored cluster.
    restoration: RefCell<Option<Rc<Restoration>>>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    start: Start,
    /// How often in a row a process there gave up before it took part.
    refusals: u32,
    /// When the last of them was.
    refused: Option<Instant>,
    /// When another member was last put on it.
    replaced: Option<Instant>,
}

impl Inventory {
    fn change(&self, machine: NodeId, change: impl FnOnce(&mut Entry)) {
        change(self.machines.borrow_mut().entry(machine).or_default());
    }

    /// The operator says what a process on an empty disk is.
    pub(crate) fn write(&self, machine: NodeId, start: Start, now: Instant) {
        self.change(machine, |entry| *entry = Entry { start, replaced: Some(now), ..Entry::default() });
    }

    /// The operator restores the cluster: on some machines there will be its members, and on the others nobody.
    pub(crate) fn restore(
        &self,
        restoration: Rc<Restoration>,
        machines: impl Iterator<Item = NodeId>,
        now: Instant,
    ) {
        for node in machines {
            let on_it = |id: &MemberId| NodeId::Member(machine(*id)) == node;
            let member = restoration.members.iter().copied().find(on_it);
            self.write(node, member.map_or(Start::Nothing, Start::Restored), now);
        }
        *self.restoration.borrow_mut() = Some(restoration);
    }

    /// What a member is restored from, the last time that one was.
    pub(crate) fn restoration(&self) -> Option<Rc<Restoration>> {
        self.restoration.borrow().clone()
    }

    /// The disk of a restored member is laid out; nothing of it is older than that.
    pub(crate) fn is_laid_out(&self, machine: NodeId, member: MemberId, began: Instant) {
        self.write(machine, Start::Bootstrapped(member), began);
    }

    pub(crate) fn start(&self, machine: NodeId) -> Start {
        self.machines.borrow().get(&machine).map_or(Start::New, |entry| entry.start)
    }

    /// Whether another member was put on a machine since some time, on an empty disk.
    pub(crate) fn is_replaced_since(&self, machine: NodeId, since: Instant) -> bool {
        let replaced = self.machines.borrow().get(&machine).and_then(|entry| entry.replaced);
        replaced.is_some_and(|replaced| replaced >= since)
    }

    /// A log of this member is on the disk for certain.
    pub(crate) fn has_log(&self, machine: NodeId, member: MemberId) {
        self.change(machine, |entry| entry.start = Start::Bootstrapped(member));
    }

    /// A process gave up before it took part.
    pub(crate) fn refuses(&self, machine: NodeId, now: Instant) {
        self.change(machine, |entry| (entry.refusals, entry.refused) = (entry.refusals + 1, Some(now)));
    }

    /// A process takes part.
    pub(crate) fn runs(&self, machine: NodeId) {
        self.change(machine, |entry| entry.refusals = 0);
    }

    pub(crate) fn refusals(&self, machine: NodeId) -> u32 {
        self.machines.borrow().get(&machine).map_or(0, |entry| entry.refusals)
    }

    /// Whether a process has refused to start since some time, and none has come to run since.
    pub(crate) fn is_refusing_since(&self, machine: NodeId, since: Instant) -> bool {
        let machines = self.machines.borrow();
        let refusing = machines.get(&machine).filter(|entry| entry.refusals > 0);
        refusing.and_then(|entry| entry.refused).is_some_and(|refused| refused >= since)
    }

    /// The faults are over: a process that has refused to start is given another chance, as a fault may have been the
    /// reason.
    pub(crate) fn forgive(&self) {
        self.machines.borrow_mut().values_mut().for_each(|entry| entry.refusals = entry.refusals.min(1));
    }
}
