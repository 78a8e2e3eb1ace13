//! Who changes the cluster while it runs, as an administrator of etcd does: with `etcdctl` over the network, and with
//! what one can do to machines (stop and start a process, wipe a disk).
//!
//! It carries out one order after the other, tries again what may succeed later, asks who the members are when it does
//! not know what became of a request, and gives up after a while. When all faults are over it repairs what is left
//! half done or refuses to start, so that the cluster can recover.

mod calls;
mod orders;
mod repair;
mod restore;
mod upkeep;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use vertebra_sim::{Node, NodeId, before, record};

use crate::credentials::Passwords;
use crate::failpoints::join;
use crate::inventory::{Inventory, Start};
use crate::observer::Saved;
use crate::observers::Observers;
use crate::options::Options;
use calls::Calls;

/// What the operator can be told to do.
pub(crate) const OPERATIONS: &[&str] = &join::<
    { SPARE_OPERATIONS.len() + UPKEEP.len() + RARE_OPERATIONS.len() },
>(&[SPARE_OPERATIONS, UPKEEP, RARE_OPERATIONS]);

/// Those that need a machine that stands by, or are about one that came from there.
pub(crate) const SPARE_OPERATIONS: &[&str] = &[
    MEMBER_ADD,
    MEMBER_ADD_LEARNER,
    MEMBER_PROMOTE,
    MEMBER_REMOVE,
    MEMBER_REPLACE,
    MEMBER_RETURN,
    JOINT_CHANGE,
];

/// Those that can be given to any cluster.
const UPKEEP: &[&str] = &[
    LEADER_TRANSFER,
    COMPACT,
    COMPACT_PHYSICAL,
    COMPACTION_STORM,
    DEFRAGMENT,
    DEFRAGMENT_ALL,
    DEFRAGMENTATION_STORM,
    HASH_CHECK,
    SNAPSHOT_SAVE,
];

/// Those that end all that clients do: restorations.
pub(crate) const RARE_OPERATIONS: &[&str] = &[SNAPSHOT_RESTORE, SNAPSHOT_RESTORE_BUMP];

/// A machine that stands by becomes a voter.
const MEMBER_ADD: &str = "member-add";
/// A machine that stands by becomes a learner.
const MEMBER_ADD_LEARNER: &str = "member-add-learner";
/// A learner becomes a voter.
const MEMBER_PROMOTE: &str = "member-promote";
/// A member is removed, and its process stopped.
const MEMBER_REMOVE: &str = "member-remove";
/// A member is stopped and removed, its disk wiped, and another added in its place.
const MEMBER_REPLACE: &str = "member-replace";
/// A member that was removed is started on the disk that it had.
const MEMBER_RETURN: &str = "member-return";
/// A member is added and another removed, both at once.
const JOINT_CHANGE: &str = "joint-change";
/// A member is made the leader.
const LEADER_TRANSFER: &str = "leader-transfer";
/// Revisions behind the current one cannot be read any more.
const COMPACT: &str = "compact";
/// The same, and it is waited until they are removed.
const COMPACT_PHYSICAL: &str = "compact-physical";
/// Compactions of everything, one soon after the other.
const COMPACTION_STORM: &str = "compaction-storm";
/// The backends of members are copied into new files.
const DEFRAGMENT: &str = "defragment";
/// Those of all members, one after the other.
const DEFRAGMENT_ALL: &str = "defragment-all";
/// The same, again and again.
const DEFRAGMENTATION_STORM: &str = "defragmentation-storm";
/// The hashes of all members at one revision are compared.
const HASH_CHECK: &str = "hash-check";
/// A member sends its backend, to be kept elsewhere.
const SNAPSHOT_SAVE: &str = "snapshot-save";

/// The cluster is ended, and another begun from the last snapshot that was kept.
const SNAPSHOT_RESTORE: &str = "snapshot-restore";
/// The same, at a later revision than the snapshot's, up to which everything is compacted.
const SNAPSHOT_RESTORE_BUMP: &str = "snapshot-restore-bump";

/// How long the operator goes on with an order.
const PATIENCE: Duration = Duration::from_secs(12);

/// How often it looks whether there is something to repair.
const LOOK: Duration = Duration::from_millis(200);

/// An order that waits.
struct Order {
    operation: &'static str,
    targets: Vec<NodeId>,
}

/// The orders that the schedule gives, and where their execution stands.
pub(crate) struct Operator {
    options: Rc<Options>,
    observers: Rc<Observers>,
    passwords: Rc<Passwords>,
    inventory: Rc<Inventory>,
    /// The last snapshot that a member sent.
    saved: RefCell<Option<Rc<Saved>>>,
    orders: RefCell<VecDeque<Order>>,
    called: Notify,
    /// Whether the faults are over, and it shall repair what is broken.
    repairs: Cell<bool>,
    /// Whether nothing is left to do.
    content: Cell<bool>,
}

impl Operator {
    pub(crate) fn new(
        options: Rc<Options>,
        observers: Rc<Observers>,
        inventory: Rc<Inventory>,
        passwords: Rc<Passwords>,
    ) -> Self {
        Self {
            options,
            observers,
            inventory,
            saved: RefCell::default(),
            passwords,
            orders: RefCell::default(),
            called: Notify::new(),
            repairs: Cell::new(false),
            content: Cell::new(false),
        }
    }

    /// Gives it an order; whether there is such an operation, and somebody to do it to.
    pub(crate) fn order(&self, operation: &str, targets: &[NodeId]) -> bool {
        let Some(operation) = OPERATIONS.iter().find(|known| **known == operation) else { return false };
        if targets.is_empty() {
            return false;
        }
        self.orders.borrow_mut().push_back(Order { operation, targets: targets.to_vec() });
        self.called.notify_one();
        true
    }

    /// The faults are over: it drops the orders that wait, and repairs.
    pub(crate) fn repair(&self) {
        self.orders.borrow_mut().clear();
        self.inventory.forgive();
        self.repairs.set(true);
        self.called.notify_one();
    }

    /// Whether it has repaired what was broken.
    pub(crate) fn is_content(&self) -> bool {
        self.content.get()
    }

    /// Works until the run ends.
    pub(crate) async fn run(self: Rc<Self>, node: Node) {
        let mut calls = Calls::new(node.clone(), Rc::clone(&self.options), Rc::clone(&self.passwords));
        loop {
            let order = self.orders.borrow_mut().pop_front();
            if let Some(Order { operation, targets }) = order {
                self.carry_out(&node, &mut calls, operation, &targets).await;
            } else if self.repairs.get() {
                self.content.set(repair::look(&mut calls, &self.inventory).await);
                node.sleep(LOOK).await;
            } else {
                self.called.notified().await;
            }
        }
    }

    async fn carry_out(&self, node: &Node, calls: &mut Calls, operation: &'static str, targets: &[NodeId]) {
        record!(node, "operator", "{}: begins", operation);
        let done = {
            let deadline = node.sleep(PATIENCE);
            before(deadline, self.try_to(calls, operation, targets)).await
        };
        match &done {
            Some(Ok(())) => record!(node, "operator", "{}: is done", operation),
            Some(Err(reason)) => record!(node, "operator", "{}: gives up: {}", operation, reason.as_str()),
            None => record!(node, "operator", "{}: gives up: it takes too long", operation),
        }
        if !matches!(done, Some(Ok(()))) {
            // What was stopped for it and has its disk still goes on: if it was removed after all, it will find out.
            for target in targets
                .iter()
                .filter(|target| matches!(self.inventory.start(**target), Start::Bootstrapped(_)))
            {
                let was_stopped_for_it = operation == MEMBER_REPLACE && !node.world().is_enabled(*target);
                if was_stopped_for_it {
                    node.world().start_process(*target);
                }
            }
        }
        calls.disconnect();
    }

    /// Ends with a reason when it is of no use to try again.
    async fn try_to(&self, calls: &mut Calls, operation: &str, targets: &[NodeId]) -> Result<(), String> {
        let (inventory, observer) = (&*self.inventory, &self.observers.present());
        match operation {
            MEMBER_ADD => orders::add(calls, inventory, targets, false).await,
            MEMBER_ADD_LEARNER => orders::add(calls, inventory, targets, true).await,
            MEMBER_PROMOTE => orders::promote(calls, targets).await,
            MEMBER_REMOVE => orders::remove(calls, targets).await,
            MEMBER_REPLACE => orders::replace(calls, inventory, targets).await,
            MEMBER_RETURN => orders::bring_back(calls, inventory, targets).await,
            JOINT_CHANGE => orders::change_several(calls, inventory, targets).await,
            COMPACT => upkeep::compact(calls, observer, false).await,
            COMPACT_PHYSICAL => upkeep::compact(calls, observer, true).await,
            COMPACTION_STORM => upkeep::compaction_storm(calls, observer).await,
            DEFRAGMENT => upkeep::defragment(calls, targets).await,
            DEFRAGMENT_ALL => upkeep::defragment_all(calls).await,
            DEFRAGMENTATION_STORM => upkeep::defragmentation_storm(calls).await,
            HASH_CHECK => upkeep::check_hashes(calls, observer).await,
            SNAPSHOT_SAVE => self.save(calls, targets).await.map(drop),
            SNAPSHOT_RESTORE => self.restore(calls, targets, 0).await,
            SNAPSHOT_RESTORE_BUMP => self.restore(calls, targets, restore::BUMP).await,
            _ => orders::move_leader(calls, targets).await,
        }
    }

    async fn save(&self, calls: &mut Calls, targets: &[NodeId]) -> Result<Rc<Saved>, String> {
        let saved = Rc::new(upkeep::save_snapshot(calls, targets, &self.observers.present()).await?);
        *self.saved.borrow_mut() = Some(Rc::clone(&saved));
        Ok(saved)
    }

    /// Restores from the last snapshot, or from one that is made for it.
    async fn restore(&self, calls: &mut Calls, targets: &[NodeId], bump: i64) -> Result<(), String> {
        let last = self.saved.borrow().clone();
        let saved = match last {
            Some(saved) => saved,
            None => self.save(calls, targets).await?,
        };
        restore::restore(calls, &self.inventory, &self.observers, &saved, bump);
        self.passwords.restore();
        Ok(())
    }
}
