//! What the simulator asks of a system under test.

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atlas::Damage;
use crate::node::Node;
use crate::node_id::NodeId;
use crate::random::Streams;
use crate::schedule::Shape;
use crate::verdict::Violation;
use crate::world::World;

/// A replicated system, its clients, and the oracles that judge it.
///
/// One value of it belongs to one run. Members and clients are tasks that share it only to tell its oracles what
/// they do; to each other they talk over the network.
pub trait System: Sized + 'static {
    /// Its name, by which a schedule file says what it is for.
    const NAME: &'static str;

    /// Everything that a seed decides about the system: its size, its limits, its traffic, its planted defects. It
    /// stands in the schedule, as a table.
    type Options: Clone + PartialEq + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Draws the options of a seed, from streams whose purposes begin with `options/`.
    fn options(streams: &Streams) -> Self::Options;

    /// What these options make of the cluster.
    ///
    /// # Errors
    ///
    /// A sentence that says which option makes no sense: options may come from a file that a person edited.
    fn shape(options: &Self::Options) -> Result<Shape, String>;

    /// What a run with these options may have that another has not, and whether this one has it: what
    /// [`sometimes!`](crate::sometimes) asks with `run.has(name)`. The names are the same for all options.
    fn features(_options: &Self::Options) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    /// How long the system may take to recover when all faults are healed, in virtual time.
    fn settle_max(_options: &Self::Options) -> Duration {
        Duration::from_secs(30)
    }

    /// Makes the system for one run. Nothing runs yet.
    fn new(world: &World, options: Self::Options) -> Self;

    /// What the process of a member does, from each start until it is killed. Ending with a reason means that it
    /// exits by itself; a supervisor starts it again a second later.
    fn member(self: Rc<Self>, node: Node) -> impl Future<Output = Result<(), String>>;

    /// What a client does.
    fn client(self: Rc<Self>, node: Node) -> impl Future<Output = ()>;

    /// What the operator does: it carries out what it was told by [`operate`](Self::operate), over the network and
    /// by what [`World`] lets one do to machines. There is one where the shape has operations.
    fn operator(self: Rc<Self>, _node: Node) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// The member that leads, where the system has such a role; faults can then aim at it.
    fn leader(&self) -> Option<NodeId> {
        None
    }

    /// Asks the operator for one of the operations of its [`Shape`], on `targets`; whether there is anybody to ask it
    /// of. It only asks: what comes of it is a matter of requests over the network.
    fn operate(&self, _world: &World, _operation: &str, _targets: &[NodeId]) -> bool {
        false
    }

    /// Lets the clients in `targets` do one of the loads of its [`Shape`], `amount` of it and no longer than
    /// `lasts`; whether any of them will.
    fn load(&self, _world: &World, _load: &str, _targets: &[NodeId], _amount: u32, _lasts: Duration) -> bool {
        false
    }

    /// The members without a quorum of which nothing is decided now. Spares and members that do not vote are none.
    fn voters(&self, world: &World) -> Vec<NodeId> {
        world.members().collect()
    }

    /// Whether what was damaged of a member's data has been made good since: its files were written anew from
    /// undamaged ones, or the member was replaced. Asked again each time it matters, until it is so.
    fn is_sound(&self, _damage: &Damage) -> bool {
        false
    }

    /// Starts when all faults are healed, and ends when the system has recovered: it answers its clients, and those
    /// of its members agree that are to be [expected](World::expected): some may stay broken for good.
    fn settle(self: Rc<Self>, world: World) -> impl Future<Output = ()>;

    /// What to report when the system did not recover in time.
    fn unsettled(&self) -> Violation;

    /// The oracles that need the whole run. It may not have [settled](World::has_settled): when too much stays broken
    /// for that, no recovery is asked for.
    ///
    /// # Errors
    ///
    /// The first violation found.
    fn finish(&self, world: &World) -> Result<(), Violation>;

    /// Client operations so far.
    fn operations(&self) -> u64;

    /// What clients may have hoped for and no service can promise, by name, and how often it did not come about: the oracles
    /// count it when the run ends, and let it pass.
    fn excuses(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
