//! `vertebra serve`, as its callers see it: over real connections.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod garbage;
mod gateway;
mod grpc;
mod noise;
mod server;
mod sessions;
mod tls;
