//! Histories of an etcd cluster as files.
//!
//! | | where |
//! | --- | --- |
//! | the lines of a file of our own | `lines` |
//! | requests and responses as JSON | `messages` |
//! | Jepsen's EDN: a register for each key | `jepsen` |
//! | what porcupine's viewer draws | `porcupine` |
//! | a report of etcd's robustness tests | `robustness` |
//! | answers in words | `shown` |
//! | what operations did to keys, and what was seen of them | `effects` |
//! | where a history goes | `destination` |
//!
//! `replay --history` writes them, and `check` reads those of them that say what was asked and answered. Each form says
//! only what the history does: what it has no words for is left out where nobody can miss it, and is otherwise something of which
//! nobody knows what came of it.

use clap::ValueEnum;

pub use destination::Destination;

mod destination;
mod effects;
pub mod jepsen;
pub mod lines;
pub mod messages;
pub mod porcupine;
pub mod robustness;
pub mod shown;

/// A form that others read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Export {
    /// EDN as Jepsen writes it, with a register for each key: for Knossos, and `vertebra check`
    Jepsen,
    /// The JSON that porcupine's viewer draws, with the order that was found
    Porcupine,
    /// A folder as etcd's robustness tests write it, for their own code and `vertebra check`
    EtcdRobustness,
}

/// The time of an event: others want nanoseconds, and here events have an order alone. A microsecond lies between them.
fn time_ns(clock: u64) -> u64 {
    1_000 * (clock + 1)
}
