//! What an administrator does after a disaster: he stops everything, and begins another cluster from a snapshot of the old
//! one. As `etcdutl snapshot restore` and Kubernetes' documentation have it, which wants the API servers stopped before.

use std::rc::Rc;

use vertebra_sim::{NodeId, record, sometimes};

use super::calls::Calls;
use crate::cluster::initial_member;
use crate::inventory::Inventory;
use crate::observer::{Observer, Saved};
use crate::observers::Observers;
use crate::restoration::Restoration;

/// How much later the revision is where it is to be: `--bump-revision`, which should be more than was written since the
/// snapshot.
pub(super) const BUMP: i64 = 1_000;

/// Ends the cluster, and begins another with the members that it was meant to have, on the same machines. Whatever was
/// on any machine is gone.
pub(super) fn restore(
    calls: &mut Calls,
    inventory: &Inventory,
    observers: &Observers,
    saved: &Saved,
    bump: i64,
) {
    calls.disconnect();
    let (world, options) = (calls.world(), calls.options());
    let clients = || world.nodes().filter(|node| matches!(node, NodeId::Client(_)));
    clients().chain(calls.machines()).for_each(|node| world.stop_process(node));
    calls.machines().for_each(|machine| world.wipe_disk(machine));

    let restored = observers.restored() + 1;
    let members = (1..=options.members).map(|machine| initial_member(machine, restored)).collect();
    let restoration = Rc::new(Restoration { database: saved.database.clone(), members, bump });
    record!(calls.node, "operator", "restores the cluster for the {}. time", restored);
    sometimes!(
        calls.node,
        "a cluster is restored from a snapshot",
        when = |run| run.operation("snapshot-restore") || run.operation("snapshot-restore-bump")
    );
    sometimes!(
        calls.node,
        "a cluster is restored, and writes since the snapshot are gone",
        saved.misses_writes(),
        when = |run| run.operation("snapshot-restore") || run.operation("snapshot-restore-bump")
    );
    sometimes!(
        calls.node,
        "a cluster is restored at a later revision",
        bump > 0,
        when = |run| run.operation("snapshot-restore-bump")
    );
    observers.succeed(Observer::restored(world, &options, saved, &restoration));
    inventory.restore(restoration, calls.machines(), world.now());
    world.members().chain(clients()).for_each(|node| world.start_process(node));
}
