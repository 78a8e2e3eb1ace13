//! What members tell each other over connections: proposals for the leader, and snapshots.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use protobuf::Message as _;
use raft::eraftpb::Message;
use vertebra_sim::network::Connection;
use vertebra_sim::{NodeId, before, record, sometimes};

use super::raft_loop::Input;
use super::snapshots::Receiving;
use super::{Member, Proposal, member_id, queue};
use crate::wire::{PEER_PORT, PeerStream, SnapshotReceived};

/// Bytes of a snapshot that are sent at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// Longest snapshot that is believed.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// How long a follower may take to receive a snapshot.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(10);

/// For how long the log keeps what comes after a snapshot that was sent. etcd: 30 s, which is longer than most runs.
const RELEASE_DELAY: Duration = Duration::from_secs(1);

type Outgoing = Connection<PeerStream, SnapshotReceived>;
type Incoming = Connection<SnapshotReceived, PeerStream>;

/// Passes proposals on to the leader, over one connection as long as it leads. What cannot be sent is dropped: its
/// proposer does not know what became of it, and will find out by its timeout.
pub(super) async fn forward(member: Rc<Member>, mut proposals: queue::Receiver<Proposal>) {
    let mut connection: Option<(NodeId, Outgoing)> = None;
    while let Some(proposal) = proposals.recv().await {
        let leader = match member.status.get().leader {
            0 => {
                sometimes!(
                    member.node,
                    "a proposal is dropped, for there is no leader",
                    when = |run| run.members > 1
                );
                continue;
            }
            leader if leader == member.id => {
                let _ = member.raft.send(Input::Propose(proposal));
                continue;
            }
            leader => member_id(leader),
        };
        if connection.as_ref().is_none_or(|(to, _)| *to != leader) {
            connection = connect(&member, leader).await.map(|connection| (leader, connection));
        }
        sometimes!(
            member.node,
            "a proposal is lost, for its leader is out of reach",
            connection.is_none(),
            when = |run| run.members > 1
        );
        if let Some((_, open)) = &connection
            && open.send(in_stream(proposal)).is_err()
        {
            sometimes!(member.node, "a proposal is lost with its connection", when = |run| run.members > 1);
            connection = None;
        }
    }
}

fn in_stream(proposal: Proposal) -> PeerStream {
    match proposal {
        Proposal::Request(data) => PeerStream::Proposal(data.into()),
        Proposal::ConfChange(data) => PeerStream::ConfChange(data.into()),
    }
}

/// Connects to the leader, unless it is no longer that before it answers.
async fn connect(member: &Member, leader: NodeId) -> Option<Outgoing> {
    let connecting = std::pin::pin!(member.node.connect(leader, PEER_PORT));
    let leader_changed = std::pin::pin!(member.leader_changed.notified());
    match select(connecting, leader_changed).await {
        Either::Left((connection, _)) => {
            let connection = connection.ok()?;
            connection.send(PeerStream::Hello { member: member.id }).ok().map(|()| connection)
        }
        Either::Right(_) => {
            sometimes!(
                member.node,
                "the leader changes while a member connects to it",
                when = |run| run.members > 1
            );
            None
        }
    }
}

/// Takes what other members send.
pub(super) async fn listen(member: Rc<Member>) {
    let listener = member.node.listen(PEER_PORT);
    loop {
        let connection = listener.accept().await;
        let member = Rc::clone(&member);
        let node = member.node.clone();
        node.spawn(async move { receive(&member, connection).await });
    }
}

/// A snapshot that is coming, and its backend.
type Coming = (Box<Message>, Receiving);

async fn receive(member: &Member, connection: Incoming) {
    let mut snapshot = None;
    receive_all(member, &connection, &mut snapshot).await;
    abandon(member, snapshot).await;
}

/// Lets go of a snapshot of which no more will come.
async fn abandon(member: &Member, snapshot: Option<Coming>) {
    // Where the disk refuses that, too, the file is there until the next start.
    if let Some((_, receiving)) = snapshot
        && receiving.abandon(&member.node.disk()).await.is_ok()
    {
        member.observer.receives_snapshot(member.id, false);
    }
}

/// Takes what comes over a connection, until it ends or there is no use in more. A snapshot that is not whole is left in
/// `snapshot`.
async fn receive_all(member: &Member, connection: &Incoming, snapshot: &mut Option<Coming>) {
    while let Ok(message) = connection.receive().await {
        match message {
            PeerStream::Hello { member: from } => {
                if member.is_removed(from) {
                    let _ = member.raft.send(Input::Refuse { member: from });
                    return;
                }
            }
            PeerStream::Proposal(data) => {
                if member.is_leader() {
                    let _ = member.raft.send(Input::Propose(Proposal::Request(data.to_vec())));
                } else {
                    sometimes!(
                        member.node,
                        "a proposal is passed on to a member that does not lead",
                        when = |run| run.members > 1
                    );
                }
            }
            PeerStream::ConfChange(data) => {
                if member.is_leader() {
                    let _ = member.raft.send(Input::Propose(Proposal::ConfChange(data.to_vec())));
                }
            }
            PeerStream::Snapshot { message, length, checksum } => match Message::parse_from_bytes(&message) {
                Ok(message) if message.to != member.id => return,
                Ok(message) if length <= SNAPSHOT_BYTES_MAX => {
                    abandon(member, snapshot.take()).await;
                    let number = member.received_snapshots.get() + 1;
                    member.received_snapshots.set(number);
                    let index = message.get_snapshot().get_metadata().index;
                    let disk = member.node.disk();
                    member.observer.receives_snapshot(member.id, true);
                    match Receiving::begin(&disk, number, index, length, checksum).await {
                        Ok(receiving) => *snapshot = Some((Box::new(message), receiving)),
                        Err(error) => return refused(member, &error),
                    }
                }
                _ => return,
            },
            PeerStream::Chunk(bytes) => {
                let Some((_, receiving)) = snapshot else { return };
                match receiving.chunk(&bytes).await {
                    Ok(false) => continue,
                    Ok(true) => {}
                    Err(error) => return refused(member, &error),
                }
                let skipped = member.options.skipped_syncs();
                if let Err(error) = receiving.finish(&member.node.disk(), skipped).await {
                    return refused(member, &error);
                }
                let Some((message, _)) = snapshot.take() else { return };
                member.observer.receives_snapshot(member.id, false);
                let index = message.get_snapshot().get_metadata().index;
                record!(member.node, "member", "received a snapshot of {}", index);
                let _ = member.raft.send(Input::SnapshotArrived(message));
                let _ = connection.send(SnapshotReceived);
            }
        }
    }
}

/// A snapshot that could not be kept is none: its sender notices by the end of the connection.
fn refused(member: &Member, error: &dyn std::fmt::Display) {
    record!(member.node, "member", "could not receive a snapshot: {}", Shown(error));
}

/// An error as text: its content does not enter the digest.
struct Shown<'a>(&'a dyn std::fmt::Display);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::hash::Hash for Shown<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

/// Sends a snapshot that Raft wants a follower to have, and tells Raft how that went.
pub(super) fn send_snapshot(member: &Rc<Member>, message: Message, database: Bytes) {
    let member = Rc::clone(member);
    let node = member.node.clone();
    member.inflight_snapshots.set(member.inflight_snapshots.get() + 1);
    member.observer.sends_snapshot(member.id, true);
    node.spawn(async move {
        let to = message.to;
        let deadline = member.node.sleep(SNAPSHOT_TIMEOUT);
        let sent = before(deadline, try_send_snapshot(&member, message, database)).await;
        let arrived = sent.flatten().is_some();
        let _ = member.raft.send(Input::SnapshotSent { to, arrived });
        if arrived {
            member.node.sleep(RELEASE_DELAY).await;
        }
        member.inflight_snapshots.set(member.inflight_snapshots.get() - 1);
        member.observer.sends_snapshot(member.id, false);
    });
}

async fn try_send_snapshot(member: &Member, message: Message, database: Bytes) -> Option<()> {
    if !member.is_somewhere(message.to) {
        return None;
    }
    let connection: Outgoing = member.node.connect(member_id(message.to), PEER_PORT).await.ok()?;
    let message = message.write_to_bytes().ok()?.into();
    let (length, checksum) = (database.len() as u64, crc32c::crc32c(&database));
    connection.send(PeerStream::Snapshot { message, length, checksum }).ok()?;
    for start in (0..database.len()).step_by(CHUNK_BYTES) {
        let end = database.len().min(start + CHUNK_BYTES);
        connection.send(PeerStream::Chunk(database.slice(start..end))).ok()?;
    }
    connection.receive().await.ok().map(|SnapshotReceived| ())
}
