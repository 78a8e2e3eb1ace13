//! Calls of all services, at members of simulated clusters.

mod harness;
mod kv;
mod lease;
mod protocol;
mod watch;
