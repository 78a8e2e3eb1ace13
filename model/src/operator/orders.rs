//! What each order takes. Each goes on as long as there is hope; the operator's patience ends it.

use std::time::Duration;

use vertebra_sim::{NodeId, before};

use super::calls::{Answer, Calls, PAUSE, lists, on_machine, voters};
use crate::cluster::{JointChange, Listed, MemberId, Request, Response, machine};
use crate::error::Error;
use crate::inventory::{Inventory, Start};

/// How often a learner is tried to promote that is not ready.
const PROMOTE_ATTEMPTS: u32 = 8;

/// How long a removed member has to end by itself.
const ENDS: Duration = Duration::from_secs(6);

type Done = Result<(), String>;

fn number(node: NodeId) -> u16 {
    match node {
        NodeId::Member(number) => number,
        NodeId::Client(_) | NodeId::Operator => 0,
    }
}

/// A machine without a process and without a member, rather one that is meant than another. A machine without a
/// process alone may be one whose member is to come back.
fn standing_by(calls: &Calls, members: &[Listed], targets: &[NodeId]) -> Option<NodeId> {
    let idle = |node: &NodeId| {
        number(*node) != 0 && !calls.world().is_enabled(*node) && on_machine(members, *node).is_none()
    };
    targets.iter().copied().find(idle).or_else(|| calls.machines().find(|node| idle(node)))
}

/// Starts the process of a member that was added on a machine, whose disk may have been another's.
pub(super) fn start(calls: &Calls, inventory: &Inventory, id: MemberId) {
    let node = NodeId::Member(machine(id));
    calls.world().stop_process(node);
    calls.world().wipe_disk(node);
    inventory.write(node, Start::Existing(id), calls.world().now());
    calls.world().start_process(node);
}

/// Waits until a member has said that it has started.
async fn wait_started(calls: &mut Calls, id: MemberId) -> Done {
    loop {
        match calls.members().await.members.iter().find(|member| member.id == id) {
            Some(member) if member.started => return Ok(()),
            Some(_) => calls.node.sleep(PAUSE).await,
            None => return Err("it was removed again".to_owned()),
        }
    }
}

pub(super) async fn add(calls: &mut Calls, inventory: &Inventory, targets: &[NodeId], learner: bool) -> Done {
    let members = calls.members().await.members;
    let node = standing_by(calls, &members, targets).ok_or("no machine stands by")?;
    let id = add_on(calls, node, learner).await?;
    start(calls, inventory, id);
    wait_started(calls, id).await
}

/// Adds a member on a machine on which there is none, and says which it is.
pub(super) async fn add_on(calls: &mut Calls, node: NodeId, learner: bool) -> Result<MemberId, String> {
    let mut attempts = 0;
    loop {
        if let Some(known) = on_machine(&calls.members().await.members, node) {
            return match attempts {
                // An earlier attempt has succeeded.
                1.. if !known.started => Ok(known.id),
                _ => Err("there is a member on the machine".to_owned()),
            };
        }
        attempts += 1;
        let request = Request::MemberAdd { address: number(node).into(), learner };
        match calls.ask_anyone(&request).await {
            Answer::Done(response) => {
                return response.added.first().copied().ok_or("nobody was added".to_owned());
            }
            Answer::Refused(error @ Error::TooManyLearners) => return Err(error.to_string()),
            Answer::Refused(_) | Answer::Unknown => calls.node.sleep(PAUSE).await,
        }
    }
}

pub(super) async fn promote(calls: &mut Calls, targets: &[NodeId]) -> Done {
    let members = calls.members().await.members;
    let learners = || members.iter().filter(|member| member.learner);
    let meant = learners().find(|member| targets.contains(&NodeId::Member(machine(member.id))));
    let learner = meant.or_else(|| learners().next()).ok_or("there is no learner")?.id;
    let mut attempts = 0;
    loop {
        match calls.ask_anyone(&Request::MemberPromote(learner)).await {
            Answer::Done(_) | Answer::Refused(Error::MemberNotLearner) => return Ok(()),
            Answer::Refused(error @ Error::MemberNotFound) => return Err(error.to_string()),
            Answer::Refused(error) => {
                attempts += 1;
                if attempts >= PROMOTE_ATTEMPTS {
                    return Err(error.to_string());
                }
            }
            Answer::Unknown => {}
        }
        calls.node.sleep(PAUSE).await;
    }
}

/// Removes the member with this identifier, for certain.
pub(super) async fn remove_member(calls: &mut Calls, id: MemberId) -> Done {
    loop {
        let answer = calls.ask_anyone(&Request::MemberRemove(id)).await;
        if let Answer::Done(_) | Answer::Refused(Error::MemberNotFound) = answer {
            return Ok(());
        }
        calls.node.sleep(PAUSE).await;
        let members = calls.members().await.members;
        if !lists(&members, id) {
            return Ok(());
        }
        if voters(&members) == 1 && members.iter().any(|member| member.id == id && !member.learner) {
            return Err("it is the only voter".to_owned());
        }
    }
}

pub(super) async fn remove(calls: &mut Calls, targets: &[NodeId]) -> Done {
    let response = calls.members().await;
    let members = response.members;
    let found = targets.iter().find_map(|node| Some((*node, on_machine(&members, *node)?)));
    let (node, member) = found.ok_or("it is no member")?;
    if voters(&members) == 1 && !member.learner {
        return Err("it is the only voter".to_owned());
    }
    // Of two voters, a leader that removes itself is gone before the other knows that this is committed, and then the
    // other can never win the two votes of which it knows.
    if voters(&members) == 2 && member.id == response.leader {
        move_leader(calls, &[]).await?;
    }
    remove_member(calls, member.id).await?;
    // It has the time to learn of it, and to tell others; then it ends by itself.
    let deadline = calls.node.sleep(ENDS);
    let ended = async {
        while calls.world().is_enabled(node) {
            calls.node.sleep(PAUSE).await;
        }
    };
    if before(deadline, ended).await.is_none() {
        calls.world().end_process(node);
    }
    Ok(())
}

pub(super) async fn replace(calls: &mut Calls, inventory: &Inventory, targets: &[NodeId]) -> Done {
    let members = calls.members().await.members;
    let found = targets.iter().find_map(|node| Some((*node, on_machine(&members, *node)?)));
    let (node, member) = found.ok_or("it is no member")?;
    if voters(&members) == 1 && !member.learner {
        return Err("it is the only voter".to_owned());
    }
    // When this is cancelled half-way, the repair at the end starts the process again.
    calls.world().stop_process(node);
    remove_member(calls, member.id).await?;
    calls.world().end_process(node);
    let id = add_on(calls, node, member.learner).await?;
    start(calls, inventory, id);
    wait_started(calls, id).await
}

pub(super) async fn bring_back(calls: &mut Calls, inventory: &Inventory, targets: &[NodeId]) -> Done {
    let members = calls.members().await.members;
    let returns = |node: &NodeId| {
        calls.world().is_used(*node)
            && !calls.world().is_enabled(*node)
            && on_machine(&members, *node).is_none()
            && inventory.start(*node) != Start::Nothing
    };
    let meant = targets.iter().copied().find(returns);
    let node = meant.or_else(|| calls.machines().find(|node| returns(node))).ok_or("nobody was removed")?;
    calls.world().start_process(node);
    Ok(())
}

pub(super) async fn change_several(calls: &mut Calls, inventory: &Inventory, targets: &[NodeId]) -> Done {
    let known = calls.members().await.members;
    let found = targets.iter().find_map(|node| Some((*node, on_machine(&known, *node)?)));
    let (node, member) = found.ok_or("it is no member")?;
    // Not where the old member is: both may be needed at the same time.
    let new = standing_by(calls, &known, &[]).ok_or("no machine stands by")?;
    let mut changes = vec![
        JointChange::Remove(member.id),
        JointChange::Add { machine: number(new), learner: member.learner },
    ];
    let others = known.iter().filter(|other| other.learner && other.id != member.id);
    changes.extend(others.map(|learner| JointChange::Promote(learner.id)));
    let request = Request::Joint(changes);
    let mut unknown = false;
    loop {
        let added = match calls.ask_anyone(&request).await {
            Answer::Done(response) => response.added.first().copied(),
            Answer::Refused(_) => None,
            Answer::Unknown => {
                unknown = true;
                None
            }
        };
        if let Some(id) = added {
            // Nobody may be able to say who the members are before it runs.
            start(calls, inventory, id);
        }
        calls.node.sleep(PAUSE).await;
        let members = calls.members().await.members;
        // Of a request whose answer was lost, only the list tells.
        let found = added.or_else(|| {
            let listed = on_machine(&members, new).map(|member| member.id);
            listed.filter(|id| unknown && !lists(&known, *id))
        });
        if let Some(id) = found {
            if added.is_none() {
                start(calls, inventory, id);
            }
            while !most_go_on_without(calls, member.id).await {
                calls.node.sleep(PAUSE).await;
            }
            calls.world().end_process(node);
            return wait_started(calls, id).await;
        }
        if !lists(&members, member.id) {
            return Err("others changed the members meanwhile".to_owned());
        }
    }
}

/// Whether most of those who vote know that a member does not any more: until then its vote may be needed, for the change
/// is only over for those who know that. It may have learnt it before them, as their leader, and be stopped by then.
async fn most_go_on_without(calls: &mut Calls, removed: MemberId) -> bool {
    let left = |response: &Response| !response.joint && !lists(&response.members, removed);
    let response = calls.members().await;
    if !left(&response) {
        return false;
    }
    let mut know = 0;
    let voters: Vec<_> = response.members.iter().filter(|member| !member.learner).collect();
    for voter in &voters {
        let machine = NodeId::Member(machine(voter.id));
        let answer = calls.ask(machine, &Request::MemberList { linearizable: false }).await;
        know += usize::from(matches!(answer, Answer::Done(response) if left(&response)));
    }
    know > voters.len() / 2
}

pub(super) async fn move_leader(calls: &mut Calls, targets: &[NodeId]) -> Done {
    loop {
        let response = calls.members().await;
        let can_lead = |id: MemberId| {
            id != response.leader && response.members.iter().any(|member| member.id == id && !member.learner)
        };
        let meant =
            targets.iter().find_map(|node| on_machine(&response.members, *node)).map(|member| member.id);
        let anyone = response.members.iter().map(|member| member.id).find(|id| can_lead(*id));
        let to = meant.filter(|id| can_lead(*id)).or(anyone).ok_or("nobody else can lead")?;
        if response.leader != 0 {
            let leader = NodeId::Member(machine(response.leader));
            match calls.ask(leader, &Request::MoveLeader(to)).await {
                Answer::Done(_) => return Ok(()),
                Answer::Refused(error @ (Error::BadLeaderTransferee | Error::TimedOutLeaderTransfer)) => {
                    return Err(error.to_string());
                }
                Answer::Refused(_) | Answer::Unknown => calls.disconnect(),
            }
        }
        calls.node.sleep(PAUSE).await;
    }
}
