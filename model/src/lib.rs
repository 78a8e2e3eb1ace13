//! An etcd cluster inside the simulator: members over Raft, clients, workloads and oracles.

pub mod api;
mod client;
mod defect;
pub mod error;
mod etcd;
mod failpoints;
pub mod history;
mod member;
pub mod mvcc;
mod observer;
mod options;
pub mod oracle;
pub mod response;
pub mod specification;
pub mod wal;
mod wire;
mod workload;

pub use defect::Defect;
pub use error::Error;
pub use etcd::Etcd;
pub use options::{Options, Traffic, Weights};
pub use response::Response;
pub use workload::Requests;
