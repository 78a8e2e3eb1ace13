//! etcd's API messages, generated from `proto/`.
//!
//! Names, field numbers and so bytes are those of etcd's `rpc.proto`, `kv.proto`, `lease.proto`, `auth.proto`,
//! `raft_internal.proto`, `v3lock.proto` and `v3election.proto`.
#![allow(missing_docs, clippy::doc_markdown)]

/// Package `mvccpb`: the stored form of a key.
pub mod mvccpb {
    include!(concat!(env!("OUT_DIR"), "/mvccpb.rs"));
}

/// Package `etcdserverpb`: requests and responses.
pub mod etcdserverpb {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}

/// Package `authpb`: the stored forms of users and roles.
pub mod authpb {
    include!(concat!(env!("OUT_DIR"), "/authpb.rs"));
}

/// Package `leasepb`: the stored form of a lease.
pub mod leasepb {
    include!(concat!(env!("OUT_DIR"), "/leasepb.rs"));
}

/// Package `membershippb`: what members write into the log about the cluster.
pub mod membershippb {
    include!(concat!(env!("OUT_DIR"), "/membershippb.rs"));
}

/// Package `v3lockpb`: locks.
pub mod v3lockpb {
    include!(concat!(env!("OUT_DIR"), "/v3lockpb.rs"));
}

/// Package `v3electionpb`: elections.
pub mod v3electionpb {
    include!(concat!(env!("OUT_DIR"), "/v3electionpb.rs"));
}

/// Package `grpc.health.v1`: gRPC's own service of health.
pub mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// All services and messages, as a `FileDescriptorSet` of protobuf: for reflection, and for who translates them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What the Auth service is asked. A client's request and what is proposed for it have one form: the member that is asked
/// replaces passwords, and chooses tokens.
pub use etcdserverpb::internal_raft_request::Auth as AuthRequest;
pub use etcdserverpb::*;
pub use mvccpb::{Event, KeyValue};

/// Whether `key` is in a range, as requests have them: from `first` up to `range_end`, or to the end of all keys if that is
/// one zero byte; `first` alone if it is empty.
#[must_use]
pub fn is_in_range(first: &[u8], range_end: &[u8], key: &[u8]) -> bool {
    match range_end {
        [] => key == first,
        [0] => key >= first,
        end => key >= first && key < end,
    }
}
