//! Which services and methods there are.

use crate::error::Code;
use crate::grpc::Status;

/// A method, or those that are served alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    /// One that a history knows, of the services KV, Lease and Auth.
    Operation,
    LeaseKeepAlive,
    Watch,
    MemberAdd,
    MemberRemove,
    MemberUpdate,
    MemberList,
    MemberPromote,
    Alarm,
    Status,
    Defragment,
    Hash,
    HashKv,
    Snapshot,
    MoveLeader,
    Downgrade,
    RangeStream,
    Lock,
    Unlock,
    Campaign,
    Proclaim,
    Leader,
    Observe,
    Resign,
    HealthCheck,
    HealthWatch,
}

/// How many messages go which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// One and one.
    Unary,
    /// Several in some direction.
    Stream,
}

/// The services with their methods.
const SERVICES: &[(&str, &[(&str, Method)])] = &[
    (
        "etcdserverpb.KV",
        &[
            ("Range", Method::Operation),
            ("RangeStream", Method::RangeStream),
            ("Put", Method::Operation),
            ("DeleteRange", Method::Operation),
            ("Txn", Method::Operation),
            ("Compact", Method::Operation),
        ],
    ),
    ("etcdserverpb.Watch", &[("Watch", Method::Watch)]),
    (
        "etcdserverpb.Lease",
        &[
            ("LeaseGrant", Method::Operation),
            ("LeaseRevoke", Method::Operation),
            ("LeaseKeepAlive", Method::LeaseKeepAlive),
            ("LeaseTimeToLive", Method::Operation),
            ("LeaseLeases", Method::Operation),
        ],
    ),
    (
        "etcdserverpb.Auth",
        &[
            ("AuthEnable", Method::Operation),
            ("AuthDisable", Method::Operation),
            ("AuthStatus", Method::Operation),
            ("Authenticate", Method::Operation),
            ("UserAdd", Method::Operation),
            ("UserGet", Method::Operation),
            ("UserList", Method::Operation),
            ("UserDelete", Method::Operation),
            ("UserChangePassword", Method::Operation),
            ("UserGrantRole", Method::Operation),
            ("UserRevokeRole", Method::Operation),
            ("RoleAdd", Method::Operation),
            ("RoleGet", Method::Operation),
            ("RoleList", Method::Operation),
            ("RoleDelete", Method::Operation),
            ("RoleGrantPermission", Method::Operation),
            ("RoleRevokePermission", Method::Operation),
        ],
    ),
    (
        "etcdserverpb.Cluster",
        &[
            ("MemberAdd", Method::MemberAdd),
            ("MemberRemove", Method::MemberRemove),
            ("MemberUpdate", Method::MemberUpdate),
            ("MemberList", Method::MemberList),
            ("MemberPromote", Method::MemberPromote),
        ],
    ),
    (
        "etcdserverpb.Maintenance",
        &[
            ("Alarm", Method::Alarm),
            ("Status", Method::Status),
            ("Defragment", Method::Defragment),
            ("Hash", Method::Hash),
            ("HashKV", Method::HashKv),
            ("Snapshot", Method::Snapshot),
            ("MoveLeader", Method::MoveLeader),
            ("Downgrade", Method::Downgrade),
        ],
    ),
    ("v3lockpb.Lock", &[("Lock", Method::Lock), ("Unlock", Method::Unlock)]),
    (
        "v3electionpb.Election",
        &[
            ("Campaign", Method::Campaign),
            ("Proclaim", Method::Proclaim),
            ("Leader", Method::Leader),
            ("Observe", Method::Observe),
            ("Resign", Method::Resign),
        ],
    ),
    ("grpc.health.v1.Health", &[("Check", Method::HealthCheck), ("Watch", Method::HealthWatch)]),
];

impl Method {
    /// The method of a path.
    ///
    /// # Errors
    ///
    /// What gRPC's server in Go says if there is none.
    pub(super) fn of(path: &str) -> Result<Self, Status> {
        let unimplemented = |text: String| Status::new(Code::Unimplemented, text);
        let Some((service, name)) = path.strip_prefix('/').unwrap_or(path).rsplit_once('/') else {
            return Err(unimplemented(format!("malformed method name: {path:?}")));
        };
        let Some((_, methods)) = SERVICES.iter().find(|(known, _)| *known == service) else {
            return Err(unimplemented(format!("unknown service {service}")));
        };
        let method = methods.iter().find(|(known, _)| *known == name);
        let unknown = || unimplemented(format!("unknown method {name} for service {service}"));
        method.map(|(_, method)| *method).ok_or_else(unknown)
    }

    pub(super) fn shape(self) -> Shape {
        match self {
            Self::LeaseKeepAlive
            | Self::Watch
            | Self::Snapshot
            | Self::RangeStream
            | Self::Observe
            | Self::HealthWatch => Shape::Stream,
            _ => Shape::Unary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_not_is_refused_in_the_words_of_grpc() {
        let refused = |path: &str| Method::of(path).unwrap_err().message;
        assert_eq!(Method::of("/etcdserverpb.KV/Range"), Ok(Method::Operation));
        assert_eq!(refused("/etcdserverpb.KV/Get"), "unknown method Get for service etcdserverpb.KV");
        assert_eq!(refused("/a/b.C/Get"), "unknown service a/b.C");
        assert_eq!(refused("/Get"), "malformed method name: \"/Get\"");
    }
}
