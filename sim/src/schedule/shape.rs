//! What a system has that a fault can meet.

use super::problem::Problem;
use crate::node_id::NodeId;

/// What a system has that a fault can meet. Names are the system's own; a schedule that names another is refused.
///
/// Most systems have few of these: `Shape { failpoints: &["beforeAnswer"], ..Shape::new(3, 2) }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// How many members there are at the start, at least 1.
    pub members: u16,
    /// How many machines there are besides, without a process at the start: members are numbered on over them.
    pub spares: u16,
    /// How many clients there are.
    pub clients: u16,
    /// The places in the members' code at which a fault can be armed.
    pub failpoints: &'static [&'static str],
    /// Those of them that a process passes while it starts and recovers what its disk has.
    pub recovery_failpoints: &'static [&'static str],
    /// Those of them that few runs pass, and those only once or twice. Seeds arm several of them at once, on all members.
    pub rare_failpoints: &'static [&'static str],
    /// Those of each task. Seeds strike one of the tasks at each of its steps, so that what few runs come to is not rarer than
    /// what all do all the time.
    pub failpoint_tasks: &'static [&'static [&'static str]],
    /// Those at which a task that is slow there lags behind the others of its process. Seeds let it sleep at each of some
    /// passages in a row.
    pub slow_failpoints: &'static [&'static str],
    /// Those at which a member stays that does not come along with the others.
    pub lag_failpoints: &'static [&'static str],
    /// Those that it passes when it catches up with them.
    pub catch_up_failpoints: &'static [&'static str],
    /// What an operator can be asked to do; see [`System::operate`](crate::System::operate).
    pub operations: &'static [&'static str],
    /// Those of them that need a machine that stands by. Seeds without spares have none of these.
    pub spare_operations: &'static [&'static str],
    /// Those of them that change so much that few seeds have one.
    pub rare_operations: &'static [&'static str],
    /// What clients can be asked to do besides what they do; see [`System::load`](crate::System::load).
    pub loads: &'static [&'static str],
    /// The kinds of messages that a fault can pick out; see [`Message::kind`](crate::network::Message::kind).
    pub messages: &'static [&'static str],
    /// The classes of files that a fault of a disk can pick out.
    pub files: &'static [FileClass],
}

/// Files of a member that serve one purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileClass {
    /// What a schedule calls them.
    pub name: &'static str,
    /// What their paths begin with, such as `wal/`.
    pub prefix: &'static str,
    /// Whether members find out when a write to them that the disk acknowledged is not there. Whatever is appended to
    /// cannot tell a write that never came from one that was never made, so seeds lose none of these.
    pub finds_lost_writes: bool,
}

impl Shape {
    /// A cluster of `members` and `clients` that names nothing.
    #[must_use]
    pub const fn new(members: u16, clients: u16) -> Self {
        Self {
            members,
            spares: 0,
            clients,
            failpoints: &[],
            recovery_failpoints: &[],
            rare_failpoints: &[],
            failpoint_tasks: &[],
            slow_failpoints: &[],
            lag_failpoints: &[],
            catch_up_failpoints: &[],
            operations: &[],
            spare_operations: &[],
            rare_operations: &[],
            loads: &[],
            messages: &[],
            files: &[],
        }
    }

    /// The members that there are at the start, in order.
    pub fn member_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.members).map(NodeId::Member)
    }

    /// The machines on which members can be: those of the members at the start, then the spares.
    pub fn machine_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.members + self.spares).map(NodeId::Member)
    }

    /// The clients, in order.
    pub fn client_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.clients).map(NodeId::Client)
    }

    /// The class of files of that name.
    #[must_use]
    pub fn file_class(&self, name: &str) -> Option<&'static FileClass> {
        self.files.iter().find(|class| class.name == name)
    }

    /// `noun` is what the file calls the node here.
    pub(super) fn check_node(&self, node: NodeId, noun: &str) -> Result<(), Problem> {
        let (number, count, name) = match node {
            NodeId::Member(number) => (number, self.members.saturating_add(self.spares), "member"),
            NodeId::Client(number) => (number, self.clients, "client"),
            NodeId::Operator => {
                return Err(Problem::new(format!("{noun} `{node}` is nobody that a schedule can name")));
            }
        };
        if (1..=count).contains(&number) {
            return Ok(());
        }
        let plural = if count == 1 { "" } else { "s" };
        Err(Problem::new(format!("{noun} `{node}` does not exist; this cluster has {count} {name}{plural}")))
    }
}
