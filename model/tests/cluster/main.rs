//! Whole runs: scripted ones, which read like the specification, and properties over many seeds.
#![allow(missing_docs)]

mod damage;
mod defects;
mod determinism;
mod membership;
mod restore;
mod scripted;
mod told;
mod wal;
