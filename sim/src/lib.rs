//! A deterministic simulator for replicated systems.

#[cfg(not(madsim))]
compile_error!(
    "vertebra-sim runs on madsim, which is a simulator only under `--cfg madsim`.\n\
     `.cargo/config.toml` sets it; a RUSTFLAGS variable in the environment replaces that setting.\n\
     Unset RUSTFLAGS, or add the flag to it: RUSTFLAGS=\"$RUSTFLAGS --cfg madsim\"."
);

mod clock;
pub mod disk;
mod failpoint;
mod harness;
mod nemesis;
pub mod network;
mod node;
mod node_id;
mod panics;
mod plugin;
mod process;
mod queue;
pub mod random;
pub mod schedule;
mod storage;
mod system;
pub mod time;
mod timer;
pub mod trace;
pub mod verdict;
mod world;

pub use disk::{DiskError, OpenMode};
pub use harness::{Report, run, run_many, schedule_of};
pub use node::Node;
pub use node_id::NodeId;
pub use storage::{File, NodeDisk};
pub use system::System;
pub use time::Instant;
pub use timer::{Sleep, Ticker, before};
pub use verdict::{Verdict, Violation};
pub use world::World;
