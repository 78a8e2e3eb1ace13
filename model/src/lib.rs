//! An etcd cluster inside the simulator: members over Raft, clients, workloads and oracles.

pub mod api;
pub mod error;
pub mod history;
pub mod mvcc;
pub mod oracle;
pub mod response;
pub mod specification;
