//! What the operator does when all faults are over: it looks who does not run that should, and sees to it.

use std::time::Duration;

use vertebra_sim::{Instant, NodeId, record};

use super::calls::{Calls, voters};
use super::orders;
use crate::cluster::{Listed, Shown, machine};
use crate::inventory::{Inventory, Start};
use crate::member::has_machine;

/// How often in a row a process gives up before the operator believes that its disk is damaged.
const REFUSALS: u32 = 2;

/// How long it takes at most until a process that gave up is started again.
const AGAIN: Duration = Duration::from_secs(3);

/// Repairs one thing, if there is one; whether there was none.
pub(super) async fn look(calls: &mut Calls, inventory: &Inventory) -> bool {
    let mut members = calls.members().await.members;
    // Who was added and never ran comes first: without it, members may be too few to let another be removed.
    members.sort_by_key(|member| member.started);
    // Of a member at an address that no machine has, nothing can be mended.
    for member in members.iter().filter(|member| has_machine(calls.world(), member.id)) {
        if let Some(what) = trouble(calls, inventory, member) {
            record!(calls.node, "operator", "repairs {}: {}", Shown(member.id), what);
            mend(calls, inventory, member, voters(&members)).await;
            return false;
        }
    }
    // One that refused just now may do so again, unless nobody starts it any more.
    let (now, start) = (calls.world().now(), Instant::START);
    let recent = start + now.since_start().saturating_sub(AGAIN);
    !members.iter().any(|member| inventory.is_refusing_since(NodeId::Member(machine(member.id)), recent))
}

fn trouble(calls: &Calls, inventory: &Inventory, member: &Listed) -> Option<&'static str> {
    let node = NodeId::Member(machine(member.id));
    let never_ran = match inventory.start(node) {
        Start::Existing(id) => !member.started && id == member.id,
        Start::Restored(_) => true,
        // Or on its disk is still who was there before: who refuses is that one, and makes room.
        _ => false,
    };
    if inventory.refusals(node) >= REFUSALS && !never_ran {
        Some("it refuses to start")
    } else if !calls.world().is_enabled(node) {
        Some("its process is stopped")
    } else {
        None
    }
}

async fn mend(calls: &mut Calls, inventory: &Inventory, member: &Listed, voters: usize) {
    let node = NodeId::Member(machine(member.id));
    let is_damaged = inventory.refusals(node) >= REFUSALS;
    let is_being_restored = matches!(inventory.start(node), Start::Restored(_));
    if !is_damaged && member.started || is_being_restored {
        calls.world().start_process(node);
        return;
    }
    if !member.started && inventory.start(node) != Start::Bootstrapped(member.id) {
        // It was added, and never came to run.
        orders::start(calls, inventory, member.id);
        return;
    }
    if voters == 1 && !member.learner {
        record!(calls.node, "operator", "the only voter cannot be replaced");
        // An order that came to nothing may have left it stopped, and what it refused over may have passed.
        calls.world().start_process(node);
        return;
    }
    calls.world().stop_process(node);
    if orders::remove_member(calls, member.id).await.is_err() {
        return;
    }
    calls.world().end_process(node);
    if member.learner {
        // A dead learner is no loss.
        return;
    }
    if let Ok(id) = orders::add_on(calls, node, false).await {
        orders::start(calls, inventory, id);
    }
}
