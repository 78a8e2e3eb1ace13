//! The oracles: one guarantee, one file, which opens with what it verifies and what it does not.
//!
//! | oracle | sees | guarantee |
//! | --- | --- | --- |
//! | [`linearizable_log`] | committed log, history | each operation took effect at one moment between its ends: the log says when |
//! | [`linearizable_history`] | history | the same, by what clients saw alone |
//! | [`serializable`] | committed log, history | a read that may be old shows a state that was, and never one to come |
//! | [`commit_window`] | committed log, history | writes are committed before they are acknowledged, reads are fresh |
//! | [`refusals`] | history | a request is refused for what is wrong with it, and for nothing else |
//! | [`revisions`] | history, applied writes | a revision stands for one write, for ever, and never falls |
//! | [`durability`] | history, members' stores | no acknowledged write is lost on any member |
//! | [`agreement`] | members' states | what has applied the same has the same state |
//! | [`watch`] | committed log, what watches told | each change that was asked for is told of, once and in order |
//! | [`watch_by_history`] | history, what watches told | the same, as far as what clients saw alone can tell |
//! | [`auth`] | committed log, history, who asked | nobody does what it may not, nobody is refused who may |
//! | [`leases`] | committed log, history, leaders' steps | a lease lives as long as was promised, and not much longer |
//! | [`locks`] | history, committed log, who took itself for a holder | one holder at a time as long as it was promised, and fences hold |
//! | [`kubernetes`] | history, what watches told, committed log | what Kubernetes takes for granted: its lists and caches are what etcd has |
//! | [`soundness`] | members' hashes, faults | data is damaged only where a fault damaged it |
//! | [`snapshot`] | committed log, saved databases | what is saved of a cluster is what its store was |
//! | [`raft_safety`] | members' steps | Raft's safety properties; nothing is promised before it is durable |
//! | [`storage`] | members' commits and starts | what a backend has is of committed entries, and no older than the snapshot |
//! | [`liveness`] | clients, members' steps | what is begun comes to an end |
//! | [`resources`] | members' files and memory | what members keep stays within bounds |
//!
//! The two oracles for linearizability are independent: one replays the log on the
//! [`Specification`](crate::specification::Specification), the other searches the history on a store of its own.
//! [`compare`] holds them against each other.
//!
//! [`watch_by_history`] is for histories that others have recorded: where there is a log, [`watch`] sees more.

pub mod agreement;
pub mod auth;
pub mod clauses;
pub mod commit_window;
pub mod durability;
pub mod kubernetes;
pub mod leases;
pub mod linearizable_history;
pub mod linearizable_log;
pub mod liveness;
pub mod locks;
pub mod raft_safety;
pub mod refusals;
mod replay;
mod replayed;
pub mod resources;
pub mod revisions;
pub mod serializable;
pub mod snapshot;
pub mod soundness;
pub mod storage;
#[cfg(test)]
mod testing;
pub mod watch;
pub mod watch_by_history;

use vertebra_sim::verdict::Violation;

pub use clauses::NAMES;
pub use replayed::Replayed;

/// Holds the verdicts of [`linearizable_log`] and [`linearizable_history`] on one run against each other.
///
/// If the log proves an order, the history has one: that the black box finds none is then a bug of an oracle, or of
/// what was recorded. The reverse is no contradiction: a log may hold what no client ever saw (an entry applied
/// twice, whose second effect nobody read), and then the white box has found a bug of its own. Nor is it one that
/// the black box could not decide.
#[must_use]
pub fn compare<T, U>(white: &Result<T, Violation>, black: &Result<U, Violation>) -> Option<Violation> {
    match (white, black) {
        (Ok(_), Err(refused)) => Some(Violation::new(
            "oracles",
            "disagree",
            refused.signature(),
            format!("the log proves the history linearizable, and the history alone is refused: {refused}"),
        )),
        _ => None,
    }
}

/// The name of an operation's successes and failures in signatures: what it asked for.
fn shape(earlier: &crate::history::Operation, later: &crate::history::Operation) -> String {
    format!("{} after {}", later.request.kind(), earlier.request.kind())
}
