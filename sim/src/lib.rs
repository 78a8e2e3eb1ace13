//! A deterministic simulator for replicated systems.
//!
//! A system implements [`System`]: what its members and clients do, and the oracles that judge them. The simulator runs
//! it in one thread, in virtual time, over a network, disks and clocks that fail as a schedule says. The same schedule
//! gives the same run, event for event.
//!
//! ```text
//!  seed ──schedule_of──> Schedule ──run──> Report: verdict, digest
//!                                   │
//!                 ┌──────────── World ─────────────┐
//!   faults ──────>│ queue: what happens next       │<────── deliveries, timers
//!                 │   │ driver: sets the time,     │
//!                 │   ▼         wakes tasks        │
//!                 │ member 1   member 2   client 1 │──record!──> digest, and in a replay the trace
//!                 │   Node       Node       Node   │
//!                 └────────────────────────────────┘
//! ```
//!
//! | noun | meaning | where |
//! | --- | --- | --- |
//! | world | virtual time, network, disks, clocks and processes of one run | [`World`] |
//! | node | a member or a client, as its own process sees it | [`Node`], [`NodeId`] |
//! | schedule | everything about one run that is drawn before it starts, its faults above all, as data | [`schedule`] |
//! | system | what is simulated: options, members, clients, oracles | [`System`] |
//! | oracle | what holds one guarantee, and reports a [`Violation`] of it | [`System::finish`], [`World::fail`] |
//! | verdict | how a run ended: pass, or a violation with a signature | [`verdict`] |
//! | digest | 128 bits over every event of a run; equal for equal runs | [`trace`] |
//! | mark | a place or a situation that a sweep must reach | [`coverage`], [`sometimes!`] |
//! | ledger | what sweeps did and found, in a file; with the feature of this name | `ledger` |
//! | specification | what a system answers whose operations come one after the other; a history is held against it | [`linearizability`] |
//! | stream | random draws for one purpose and one node, link or client | [`random`] |
//!
//! `examples/register.rs` has all of it in some 200 lines: a replicated register, and a bug in it that a sweep finds.
//! It is what to copy.

#[cfg(not(madsim))]
compile_error!(
    "vertebra-sim runs on madsim, which is a simulator only under `--cfg madsim`.\n\
     `.cargo/config.toml` sets it; a RUSTFLAGS variable in the environment replaces that setting.\n\
     Unset RUSTFLAGS, or add the flag to it: RUSTFLAGS=\"$RUSTFLAGS --cfg madsim\"."
);

pub mod atlas;
mod clock;
pub mod coverage;
pub mod disk;
mod executor;
mod failpoint;
mod harness;
#[cfg(feature = "ledger")]
pub mod ledger;
pub mod linearizability;
mod nemesis;
pub mod network;
mod node;
mod node_id;
mod panics;
mod process;
mod queue;
pub mod random;
pub mod schedule;
pub mod seeds;
mod storage;
mod system;
pub mod time;
mod timer;
pub mod trace;
pub mod verdict;
mod world;

pub use disk::{DiskError, OpenMode};
pub use harness::{Outside, Report, Turn, run, run_many, run_timed, run_with, schedule_of, schedule_with};
pub use node::Node;
pub use node_id::NodeId;
pub use storage::{File, NodeDisk};
pub use system::System;
pub use time::Instant;
pub use timer::{Sleep, Ticker, before};
pub use verdict::{Verdict, Violation};
pub use world::World;
