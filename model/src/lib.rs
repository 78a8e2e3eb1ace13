//! An etcd cluster inside the simulator: members over Raft, clients, workloads and oracles.

pub mod api;
