//! Finds the index at which linearizable reads are up to date, for all reads that wait at a time.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;
use vertebra_sim::{before, sometimes};

use super::raft_loop::Input;
use super::{Member, queue};
use crate::error::Error;

/// A read that waits for the store to be up to date.
pub(super) type Waiting = oneshot::Sender<Result<(), Error>>;

/// How long an attempt may go unanswered before there is another. etcd: 500 ms.
const RETRY: Duration = Duration::from_millis(500);

pub(super) async fn run(member: Rc<Member>, mut waiting: queue::Receiver<Waiting>) {
    let mut contexts = u64::from(member.node.incarnation()) << 32;
    while let Some(first) = waiting.recv().await {
        // Those that wait now can share an index; those that come later began later, and need a later one.
        let mut batch = vec![first];
        while let Some(next) = waiting.try_recv() {
            batch.push(next);
        }
        contexts += 1;
        let deadline = member.node.sleep(member.request_timeout());
        let result = match before(deadline, up_to_date(&member, contexts)).await {
            Some(result) => result,
            None => {
                sometimes!(member.node, "a read is given up by its member");
                Err(Error::TimedOut)
            }
        };
        sometimes!(member.node, "reads share an index", batch.len() > 1);
        for read in batch {
            // A client that gave up has dropped its end.
            let _ = read.send(result);
        }
    }
}

/// Waits until everything is applied that was committed when this was called.
async fn up_to_date(member: &Member, context: u64) -> Result<(), Error> {
    let mut leader_changed = std::pin::pin!(member.leader_changed.notified());
    // From here on a change is seen, even one before the first poll below.
    leader_changed.as_mut().enable();
    loop {
        let (answer, answered) = oneshot::channel();
        let _ = member.raft.send(Input::ReadIndex { context, answer });
        let index = async {
            match answered.await {
                Ok(index) => index,
                // Raft cannot tell yet. Another attempt may.
                Err(_) => std::future::pending().await,
            }
        };
        let found = select(Box::pin(index), leader_changed.as_mut());
        match before(member.node.sleep(RETRY), found).await {
            Some(Either::Left((index, _))) => {
                sometimes!(
                    member.node,
                    "a read waits until entries are applied",
                    member.applied.get() < index
                );
                member.wait_applied(index).await;
                return Ok(());
            }
            Some(Either::Right(_)) => {
                sometimes!(member.node, "the leader changes under a read", when = |run| run.members > 1);
                return Err(Error::LeaderChanged);
            }
            None => sometimes!(member.node, "a read index is sought again", when = |run| run.members > 1),
        }
    }
}
