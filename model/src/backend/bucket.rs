//! The buckets of etcd's schema.

/// A space of keys of its own within the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Bucket {
    /// What alarms are raised.
    Alarm,
    /// Whether authentication is on, and its revision.
    Auth,
    /// The roles, by name.
    AuthRoles,
    /// The users, by name.
    AuthUsers,
    /// The version of the cluster.
    Cluster,
    /// The key-value pairs of every revision, by revision. Its keys only ever grow.
    Key,
    /// The leases, by number.
    Lease,
    /// The members of the cluster.
    Members,
    /// The members that were removed.
    MembersRemoved,
    /// The consistent index and its term, and how far compaction came.
    Meta,
}

impl Bucket {
    /// All of them, in the order of their names, in which a database keeps and hashes them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Alarm,
        Self::Auth,
        Self::AuthRoles,
        Self::AuthUsers,
        Self::Cluster,
        Self::Key,
        Self::Lease,
        Self::Members,
        Self::MembersRemoved,
        Self::Meta,
    ];

    /// How many there are.
    pub(super) const COUNT: usize = 10;

    /// Its name in etcd's schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Auth => "auth",
            Self::AuthRoles => "authRoles",
            Self::AuthUsers => "authUsers",
            Self::Cluster => "cluster",
            Self::Key => "key",
            Self::Lease => "lease",
            Self::Members => "members",
            Self::MembersRemoved => "members_removed",
            Self::Meta => "meta",
        }
    }

    /// Whether its keys are written once each, in growing order (etcd's `UnsafeSeqPut`).
    #[must_use]
    pub fn is_sequential(self) -> bool {
        self == Self::Key
    }

    pub(super) fn number(self) -> usize {
        self as usize
    }
}
