//! An etcd cluster inside the simulator: members over Raft, clients, workloads and oracles.
//!
//! ```text
//!  Workload ──> Client ══requests══> Member: server, read loop, raft loop, apply loop ══Raft══> other members
//!                 │                     │         write-ahead log, snapshots, store
//!                 └──────── tell ───────┴──────> Observer ──> oracles
//! ```
//!
//! | part | where |
//! | --- | --- |
//! | the cluster as a system that can be simulated | [`Etcd`] |
//! | what a seed decides about it | [`Options`] |
//! | the store: revisions, generations, transactions | [`mvcc`] |
//! | the write-ahead log | [`wal`] |
//! | the database below the store | [`backend`] |
//! | leases | [`lessor`] |
//! | users, roles and what they may do | [`auth`] |
//! | etcd's messages and errors | [`api`], [`error`], [`response`] |
//! | what clients saw | [`history`], [`watch_history`], [`cache_history`] |
//! | the cluster behind a way in for outside callers | [`served`] |
//! | what the service should do, as naive as it can be said | [`specification`] |
//! | histories of a store that is right, for tests | [`honest`] |
//! | the guarantees | [`oracle`] |
//! | bugs that can be switched on | [`Defect`] |

pub mod api;
pub mod auth;
pub mod backend;
pub mod cache_history;
mod client;
pub mod cluster;
mod credentials;
pub mod defect;
pub mod error;
mod etcd;
pub mod failpoints;
pub mod grpc;
pub mod history;
pub mod honest;
mod inventory;
pub mod lessor;
mod load;
pub mod maintenance;
mod member;
pub mod mvcc;
mod observer;
mod observers;
mod operator;
mod options;
pub mod oracle;
mod quota;
pub mod response;
mod restoration;
pub mod served;
pub mod specification;
pub mod syncs;
pub mod wal;
pub mod watch_history;
mod watcher;
mod wire;
mod workload;

pub use defect::{Defect, Defects};
pub use error::Error;
pub use etcd::Etcd;
pub use options::{
    AuthOptions, KubernetesTraffic, LeaseOptions, LeaseWeights, Options, Traffic, VariedWeights,
    WatchOptions, Weights,
};
pub use response::Response;
pub use workload::Requests;
