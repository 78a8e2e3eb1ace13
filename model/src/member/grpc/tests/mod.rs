//! Calls of all services, at members of simulated clusters.

mod auth;
mod cluster;
mod election;
mod harness;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod protocol;
mod quota;
mod range_stream;
mod watch;
