//! What the operator does to the members' data: compactions, defragmentations, comparisons of hashes, snapshots that are
//! kept elsewhere. As `etcdctl compaction`, `defrag`, `endpoint hashkv` and `snapshot save` do it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use vertebra_sim::network::Connection;
use vertebra_sim::{NodeId, before, record, sometimes};

use super::calls::{Calls, PAUSE};
use crate::api::{CompactionRequest, RangeRequest};
use crate::client::Client;
use crate::cluster::machine;
use crate::error::Error;
use crate::history::{Outcome, Request as KvRequest};
use crate::maintenance::{Call, MAINTENANCE_PORT, Reply, Request, Response};
use crate::observer::{Observer, Saved};

/// How long a member may take to be connected, and then to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many compactions or defragmentations a storm has.
const STORM: u32 = 20;

/// The time between two of them.
const LULL: Duration = Duration::from_millis(30);

/// How often it asks for another token before it gives up.
const TOKENS_MAX: u32 = 5;

/// Revisions that a compaction leaves before the current one.
const KEPT: i64 = 10;

type Done = Result<(), String>;

/// Compacts, a little behind the current revision. A physical compaction is over when everything is removed.
pub(super) async fn compact(calls: &mut Calls, observer: &Rc<Observer>, physical: bool) -> Done {
    let mut client = client(calls, observer).await;
    compact_once(&mut client, physical, KEPT).await
}

/// Compacts to the current revision, again and again.
pub(super) async fn compaction_storm(calls: &mut Calls, observer: &Rc<Observer>) -> Done {
    let mut client = client(calls, observer).await;
    let mut last = Ok(());
    for number in 0..STORM {
        last = compact_once(&mut client, number % 4 == 3, 0).await;
        calls.node.sleep(LULL).await;
    }
    last
}

/// A client of all members, whose operations are in the history as those of any other.
async fn client(calls: &mut Calls, observer: &Rc<Observer>) -> Client {
    let members = calls.members().await.members;
    let voters = members.iter().filter(|member| !member.learner);
    let endpoints = voters.map(|member| NodeId::Member(machine(member.id))).collect();
    let client = Client::new(calls.node.clone(), Rc::clone(observer), endpoints, calls.options());
    match calls.credentials() {
        Some(credentials) => client.with_credentials(credentials),
        None => client,
    }
}

/// Calls, and gets a new token where it is refused for lack of one.
async fn call(client: &mut Client, request: KvRequest) -> Outcome {
    let mut outcome = client.call(request.clone()).await;
    for _ in 0..TOKENS_MAX {
        if !matches!(outcome, Outcome::Failed(error) if error.needs_token()) {
            break;
        }
        client.authenticate().await;
        outcome = client.call(request.clone()).await;
    }
    outcome
}

async fn compact_once(client: &mut Client, physical: bool, kept: i64) -> Done {
    let read = RangeRequest { key: bytes::Bytes::from_static(b"key"), ..RangeRequest::default() };
    let Outcome::Ok(response) = call(client, KvRequest::Range(read)).await else {
        return Err("nobody tells the revision".to_owned());
    };
    let revision = (response.revision() - kept).max(1);
    match call(client, KvRequest::Compact(CompactionRequest { revision, physical })).await {
        // Somebody else may have compacted so far.
        Outcome::Ok(_) | Outcome::Failed(Error::Compacted) => Ok(()),
        Outcome::Failed(error) => Err(error.to_string()),
        Outcome::Unknown => Err("nobody knows whether it is compacted".to_owned()),
    }
}

/// Asks the Maintenance service of a member; nothing when it does not answer.
async fn ask(calls: &Calls, to: NodeId, request: Request) -> Option<Result<Response, Error>> {
    record!(calls.node, "operator", "asks {}: {}", to, Call(request));
    let asked = async {
        let connection: Connection<Call, Reply> = calls.node.connect(to, MAINTENANCE_PORT).await.ok()?;
        connection.send(Call(request)).ok()?;
        Some(connection.receive().await.ok()?.0)
    };
    before(calls.node.sleep(PATIENCE), asked).await.flatten()
}

/// The machines of all members.
async fn machines(calls: &mut Calls) -> Vec<NodeId> {
    calls.members().await.members.iter().map(|member| NodeId::Member(machine(member.id))).collect()
}

/// Defragments members, one after the other.
pub(super) async fn defragment(calls: &Calls, members: &[NodeId]) -> Done {
    let mut done = Ok(());
    for member in members {
        done = match ask(calls, *member, Request::Defragment).await {
            Some(Ok(_)) => done,
            Some(Err(error)) => Err(error.to_string()),
            None => Err(format!("{member} does not say whether it is defragmented")),
        };
    }
    done
}

/// Defragments all members.
pub(super) async fn defragment_all(calls: &mut Calls) -> Done {
    let members = machines(calls).await;
    defragment(calls, &members).await
}

/// Defragments all members again and again.
pub(super) async fn defragmentation_storm(calls: &mut Calls) -> Done {
    let members = machines(calls).await;
    let mut last = Ok(());
    for _ in 0..STORM {
        last = defragment(calls, &members).await;
        calls.node.sleep(LULL).await;
    }
    last
}

/// Compares the hashes of all members at the revision that the first one is at.
pub(super) async fn check_hashes(calls: &mut Calls, observer: &Observer) -> Done {
    let members = machines(calls).await;
    let mut newest = None;
    for member in &members {
        if let Some(Ok(Response::HashKv { revision, .. })) =
            ask(calls, *member, Request::HashKv { revision: 0 }).await
        {
            newest = Some(revision);
            break;
        }
    }
    let revision = newest.ok_or("no member tells its revision")?;
    // Others may not have come so far.
    calls.node.sleep(PAUSE).await;
    let mut first = BTreeMap::new();
    let mut compared = 0;
    for member in &members {
        let NodeId::Member(number) = *member else { continue };
        let told = ask(calls, *member, Request::HashKv { revision }).await;
        let Some(Ok(Response::HashKv { hash, .. })) = told else { continue };
        let (other, expected) = *first.entry(hash.compact_revision).or_insert((number, hash.hash));
        if expected != hash.hash {
            observer.found_corrupt(other.into(), number.into());
        }
        compared += u32::from(other != number);
    }
    sometimes!(
        calls.node,
        "an operator finds the same hash on several members",
        compared > 0,
        when = |run| run.operation("hash-check")
    );
    Ok(())
}

/// Lets a member send its database, and looks whether it could be restored from.
pub(super) async fn save_snapshot(
    calls: &mut Calls,
    targets: &[NodeId],
    observer: &Rc<Observer>,
) -> Result<Saved, String> {
    let members = machines(calls).await;
    let member = targets.iter().copied().find(|target| members.contains(target)).or(members.first().copied());
    let member = member.ok_or("there is no member")?;
    match ask(calls, member, Request::Snapshot).await {
        Some(Ok(Response::Snapshot(database))) => {
            sometimes!(
                calls.node,
                "an operator saves a snapshot",
                when = |run| run.operation("snapshot-save")
            );
            observer.saved(member, database).ok_or("it is damaged".to_owned())
        }
        Some(Ok(_)) => Err("it is no snapshot".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!("{member} sends no snapshot")),
    }
}
