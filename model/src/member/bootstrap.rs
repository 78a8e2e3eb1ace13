//! What a process is whose disk is empty.

use std::time::Duration;

use vertebra_sim::{Node, NodeId, before, record};

use super::machine_number;
use crate::cluster::{Listed, MemberId, Shown, ask_for_members};
use crate::failpoints;
use crate::inventory::{Inventory, Start};
use crate::options::Options;

/// How long another member may take to say who the members are.
const ANSWER: Duration = Duration::from_secs(2);

/// The identifier under which a process takes part, which has nothing on its disk.
///
/// # Errors
///
/// Why it must not, or cannot yet.
pub(super) async fn identify(
    node: &Node,
    options: &Options,
    inventory: &Inventory,
) -> Result<MemberId, String> {
    let machine = machine_number(node.id());
    match inventory.start(node.id()) {
        Start::New => Ok(u64::from(machine)),
        Start::Nothing => Err(format!("nobody is to run on machine {machine}")),
        // Its log is there as soon as it is laid out.
        Start::Bootstrapped(_) | Start::Restored(_) => {
            Err(format!("member {machine} has already been bootstrapped"))
        }
        Start::Existing(id) => {
            node.failpoint(failpoints::MEMBER_ADD_BEFORE_START).await;
            let members = ask_the_others(node, options, id).await;
            let known = members.as_ref().map(|members| members.iter().find(|member| member.id == id));
            match known.flatten() {
                // That others are out of reach, or have not heard of it yet, is nothing wrong with it.
                None => {
                    let reason = match members {
                        None => "no other member says who they are".to_owned(),
                        Some(_) => format!("member {} is not among the members", Shown(id)),
                    };
                    inventory.refuses(node.id(), node.world().now());
                    node.give_up(&reason).await
                }
                Some(member) if member.started => {
                    Err(format!("member {} has already been bootstrapped", Shown(id)))
                }
                Some(_) => {
                    record!(node, "member", "joins as {}", Shown(id));
                    node.failpoint(failpoints::MEMBER_ADD_BEFORE_CREATE).await;
                    Ok(id)
                }
            }
        }
    }
}

/// Who the members are, as the first has it that knows of this one. Others may be behind, or have been removed and not
/// know; the last that answers is taken if nobody knows.
async fn ask_the_others(node: &Node, options: &Options, id: MemberId) -> Option<Vec<Listed>> {
    let machines = (1..=options.members + options.spares).map(NodeId::Member);
    let mut last = None;
    for machine in machines.filter(|machine| *machine != node.id()) {
        let asked = ask_for_members(node, machine);
        if let Some(members) = before(node.sleep(ANSWER), asked).await.flatten() {
            if members.iter().any(|member| member.id == id) {
                return Some(members);
            }
            last = Some(members);
        }
    }
    last
}
