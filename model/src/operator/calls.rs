//! How the operator talks to members.

use std::rc::Rc;
use std::time::Duration;

use vertebra_sim::network::Connection;
use vertebra_sim::{Node, NodeId, World, before, record};

use crate::auth::ROOT;
use crate::cluster::{CLUSTER_PORT, Call, Listed, MemberId, Reply, Request, Response, machine};
use crate::credentials::{Credentials, Passwords};
use crate::error::Error;
use crate::options::Options;

/// How long a member may take to answer. etcdctl: `--command-timeout`, 5 s.
const ANSWER: Duration = Duration::from_secs(5);

/// How long it may take to be connected, or to say who the members are.
const LIST: Duration = Duration::from_millis(1_500);

/// What the operator waits before it tries again, or asks another member.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// A connection at a time, to whoever answered last.
pub(super) struct Calls {
    pub(super) node: Node,
    options: Rc<Options>,
    /// It is root, if there are users.
    credentials: Option<Rc<Credentials>>,
    connection: Option<Connection<Call, Reply>>,
    /// The machine that is asked next.
    next: u16,
    number: u64,
}

/// What came of a request.
pub(super) enum Answer {
    Done(Response),
    /// It has certainly not been done.
    Refused(Error),
    /// Nobody can say.
    Unknown,
}

impl Calls {
    pub(super) fn new(node: Node, options: Rc<Options>, passwords: Rc<Passwords>) -> Self {
        let credentials = options.auth.any().then(|| Rc::new(Credentials::new(ROOT.to_owned(), passwords)));
        Self { node, options, credentials, connection: None, next: 1, number: 0 }
    }

    pub(super) fn world(&self) -> &World {
        self.node.world()
    }

    pub(super) fn options(&self) -> Rc<Options> {
        Rc::clone(&self.options)
    }

    pub(super) fn credentials(&self) -> Option<Rc<Credentials>> {
        self.credentials.clone()
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// All machines.
    pub(super) fn machines(&self) -> impl Iterator<Item = NodeId> + use<> {
        self.world().machines()
    }

    /// Sends a request to a member that can be reached, whichever that is.
    pub(super) async fn ask_anyone(&mut self, request: &Request) -> Answer {
        let machines = self.options.members + self.options.spares;
        for _ in 0..machines {
            let to = NodeId::Member(self.next);
            if self.world().is_enabled(to) {
                match self.ask(to, request).await {
                    // Another may lead, or vote.
                    Answer::Refused(Error::NotLeader | Error::NotSupportedForLearner) => {}
                    Answer::Refused(error) if error.outcome_unknown() => {
                        self.another();
                        return Answer::Unknown;
                    }
                    Answer::Unknown if self.connection.is_some() => {
                        self.another();
                        return Answer::Unknown;
                    }
                    Answer::Unknown => {}
                    answer => return answer,
                }
            }
            self.another();
        }
        Answer::Unknown
    }

    fn another(&mut self) {
        let machines = self.options.members + self.options.spares;
        self.next = self.next % machines + 1;
        self.connection = None;
    }

    /// Sends a request to the member on a machine. There is no connection afterwards if it was not sent.
    pub(super) async fn ask(&mut self, to: NodeId, request: &Request) -> Answer {
        let patience = match request {
            Request::MemberList { .. } => LIST,
            _ => ANSWER,
        };
        let deadline = self.node.sleep(patience);
        self.number += 1;
        let call = Call { number: self.number, request: request.clone() };
        record!(self.node, "operator", "asks {}: {}", to, call);
        if self.connection.as_ref().is_none_or(|connection| connection.peer() != to) {
            self.connection = None;
            match before(self.node.sleep(LIST), self.node.connect(to, CLUSTER_PORT)).await {
                Some(Ok(connection)) => self.connection = Some(connection),
                _ => return Answer::Unknown,
            }
        }
        let Some(connection) = &self.connection else { return Answer::Unknown };
        let answered = async {
            let number = call.number;
            connection.send(call).ok()?;
            loop {
                let reply = connection.receive().await.ok()?;
                if reply.number == number {
                    return Some(reply.result);
                }
            }
        };
        match before(deadline, answered).await.flatten() {
            Some(Ok(response)) => Answer::Done(response),
            Some(Err(error)) => Answer::Refused(error),
            None => Answer::Unknown,
        }
    }

    /// Who the members are, however long it takes to hear, and who leads them. While no quorum works (it may wait
    /// for a member that is to be started), one member's word has to do.
    pub(super) async fn members(&mut self) -> Response {
        loop {
            // Another number than there are members, most of the time, so that not always the same is asked in the
            // last resort.
            for linearizable in [true, true, false, false] {
                if let Answer::Done(response) = self.ask_anyone(&Request::MemberList { linearizable }).await {
                    return response;
                }
                self.node.sleep(PAUSE).await;
            }
        }
    }
}

/// The member on a machine, among those that are listed.
pub(super) fn on_machine(members: &[Listed], node: NodeId) -> Option<Listed> {
    members.iter().copied().find(|member| NodeId::Member(machine(member.id)) == node)
}

/// How many of them vote.
pub(super) fn voters(members: &[Listed]) -> usize {
    members.iter().filter(|member| !member.learner).count()
}

/// Whether the member is listed.
pub(super) fn lists(members: &[Listed], id: MemberId) -> bool {
    members.iter().any(|member| member.id == id)
}
