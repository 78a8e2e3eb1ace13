//! The errors that etcd's services answer with: their exact text, their gRPC code, and what a client may
//! conclude from each.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::history::Request;
use crate::quota;

/// A status code of gRPC; the discriminant is its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The operation was cancelled, as a rule by the caller.
    Canceled = 1,
    /// No more precise code applies.
    Unknown = 2,
    /// The request is wrong whatever the state of the system.
    InvalidArgument = 3,
    /// The deadline passed before the operation finished.
    DeadlineExceeded = 4,
    /// Something that the request names does not exist.
    NotFound = 5,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A quota or a limit is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the operation needs.
    FailedPrecondition = 9,
    /// The request reaches past a valid range, such as that of the revisions.
    OutOfRange = 11,
    /// There is no such method.
    Unimplemented = 12,
    /// Something that should hold does not, such as that a message can be decoded.
    Internal = 13,
    /// The service is not available now; to try again may help.
    Unavailable = 14,
    /// Data is lost or corrupt for good.
    DataLoss = 15,
    /// The caller did not prove who it is.
    Unauthenticated = 16,
}

/// An error of etcd's services.
///
/// The text is what etcd puts on the wire, and clients do compare it: etcd's own Go client finds an error by its
/// text alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Error {
    /// A request without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a key that does not exist, or a transaction with an empty operation.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// `ignore_value` together with a value.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// `ignore_lease` together with a lease.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// A transaction over the limit of operations.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction that would put one key twice, or put it and delete it.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A sort order or sort target that etcd does not know.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// A request above the limit of bytes.
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// A read at a revision whose history has been compacted away.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// A read at a revision that does not exist yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The backend has reached its quota.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// A put with a lease that does not exist, or the revocation of one.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A grant of a lease that exists.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// A grant of a lease for longer than there are leases.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// A member was asked for a lease as the leader that it is no more. It has no status of its own.
    #[error("not a primary lessor")]
    NotPrimary,
    /// Committed entries wait to be applied in too great a number.
    ///
    /// etcd's server sends this one text with the code Unknown (it puts its client's error into the map where the
    /// status belongs), and its Go client restores the code from the text.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// The caller's user may not touch this key.
    #[error("etcdserver: permission denied")]
    PermissionDenied,
    /// The caller's token is wrong or has expired.
    #[error("etcdserver: invalid auth token")]
    InvalidAuthToken,
    /// Users or roles changed while the request was under way.
    #[error("etcdserver: revision of auth store is old")]
    AuthOldRevision,
    /// A request without a token, where one is needed; or a user without a name.
    #[error("etcdserver: user name is empty")]
    UserEmpty,
    /// A role without a name.
    #[error("etcdserver: role name is empty")]
    RoleEmpty,
    /// No such user, or another password.
    #[error("etcdserver: authentication failed, invalid user ID or password")]
    AuthFailed,
    /// The same, for a user that has no password. etcd's server has no status for it.
    #[error("auth: authentication failed, password was given for no password user")]
    NoPasswordUser,
    /// A permission was to be granted and none was named. Clients do not find it by its text.
    #[error("etcdserver: permission not given")]
    PermissionNotGiven,
    /// What would leave nobody to look after users and roles, or a permission for no keys.
    #[error("etcdserver: invalid auth management")]
    InvalidAuthMgmt,
    /// There must be a user `root` before authentication can be switched on.
    #[error("etcdserver: root user does not exist")]
    RootUserNotExist,
    /// And it must have the role `root`.
    #[error("etcdserver: root user does not have root role")]
    RootRoleNotExist,
    /// A user of this name exists.
    #[error("etcdserver: user name already exists")]
    UserAlreadyExist,
    /// No user has this name.
    #[error("etcdserver: user name not found")]
    UserNotFound,
    /// A role of this name exists.
    #[error("etcdserver: role name already exists")]
    RoleAlreadyExist,
    /// No role has this name.
    #[error("etcdserver: role name not found")]
    RoleNotFound,
    /// The role to be revoked is not granted.
    #[error("etcdserver: role is not granted to the user")]
    RoleNotGranted,
    /// The permission to be revoked is not granted.
    #[error("etcdserver: permission is not granted to the role")]
    PermissionNotGranted,
    /// A token was asked for, and nobody needs one.
    #[error("etcdserver: authentication is not enabled")]
    AuthNotEnabled,
    /// A learner serves serializable reads only.
    #[error("etcdserver: rpc not supported for learner")]
    NotSupportedForLearner,
    /// The member knows of no leader.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// The leader changed while a linearizable read waited for its index.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// The member is stopping.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// The member gave up waiting for the request's result.
    #[error("etcdserver: request timed out")]
    TimedOut,
    /// The same, and the leader was lost not long before.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    TimedOutLeaderFailure,
    /// The same, and the member has lost its connection to a quorum.
    #[error("etcdserver: request timed out, possibly due to connection lost")]
    TimedOutConnectionLost,
    /// A linearizable read waited too long for the member to apply what is committed.
    #[error("etcdserver: request timed out, waiting for the applied index took too long")]
    TimedOutAppliedIndex,
    /// The member is not connected to enough others.
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
    /// The alarm for corruption is raised.
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    /// The request was cancelled while the member waited for its result.
    #[error("etcdserver: request canceled")]
    Canceled,
    /// The URLs of a member are none, or are none that a member can be reached under.
    #[error("etcdserver: given member URLs are invalid")]
    MemberBadUrls,
    /// The member belongs to another cluster.
    #[error("etcdserver: cluster ID mismatch")]
    ClusterIdMismatch,
    /// The cluster does not offer this API yet.
    #[error("etcdserver: not capable")]
    NotCapable,
    /// A stream of watches was cancelled.
    #[error("etcdserver: watch canceled")]
    WatchCanceled,
    /// The version to go down to is none.
    #[error("etcdserver: wrong downgrade target version format")]
    WrongDowngradeVersionFormat,
    /// The version to go down to is not the one before.
    #[error("etcdserver: invalid downgrade target version")]
    InvalidDowngradeTargetVersion,
    /// Nobody knows yet what version the cluster has.
    #[error("etcdserver: cluster version not found during downgrade")]
    ClusterVersionUnavailable,
    /// The cluster is going down to another version already.
    #[error("etcdserver: cluster has a downgrade job in progress")]
    DowngradeInProcess,
    /// The cluster is not going down to another version.
    #[error("etcdserver: no inflight downgrade job")]
    NoInflightDowngrade,
    /// What a client says of its version is no text.
    #[error("etcdserver: invalid client api version")]
    InvalidClientApiVersion,
    /// The client's deadline passed. This text comes from gRPC, on either side, and bears no prefix.
    #[error("context deadline exceeded")]
    DeadlineExceeded,
    /// No member has this identifier, or one had it and was removed.
    #[error("etcdserver: member not found")]
    MemberNotFound,
    /// A member has this identifier already.
    #[error("etcdserver: member ID already exist")]
    MemberExist,
    /// A member can be reached under this address already.
    #[error("etcdserver: Peer URLs already exists")]
    PeerUrlExist,
    /// After the change, fewer members than a quorum would have been started.
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    MemberNotEnoughStarted,
    /// The member to promote votes already.
    #[error("etcdserver: can only promote a learner member")]
    MemberNotLearner,
    /// The learner to promote lags behind.
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    /// There may be no more learners.
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    /// The member does not lead, and what was asked is the leader's to do.
    #[error("etcdserver: not leader")]
    NotLeader,
    /// The member that shall lead is none, or a learner.
    #[error("etcdserver: bad leader transferee")]
    BadLeaderTransferee,
    /// The member that shall lead did not begin to in time.
    #[error("etcdserver: request timed out, leader transfer took too long")]
    TimedOutLeaderTransfer,
    /// A proposal without a request in it.
    #[error("etcdserver: unknown method")]
    UnknownMethod,
}

impl Error {
    /// The gRPC code that etcd's clients see with this error.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSortOption
            | Self::InvalidClientApiVersion
            | Self::MemberBadUrls
            | Self::WrongDowngradeVersionFormat
            | Self::InvalidDowngradeTargetVersion
            | Self::RequestTooLarge
            | Self::UserEmpty
            | Self::RoleEmpty
            | Self::AuthFailed
            | Self::PermissionNotGiven
            | Self::InvalidAuthMgmt
            | Self::AuthOldRevision => Code::InvalidArgument,
            Self::Compacted | Self::FutureRevision | Self::LeaseTtlTooLarge => Code::OutOfRange,
            Self::LeaseExists => Code::FailedPrecondition,
            Self::NoSpace | Self::TooManyRequests => Code::ResourceExhausted,
            Self::LeaseNotFound | Self::MemberNotFound => Code::NotFound,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::InvalidAuthToken => Code::Unauthenticated,
            Self::NotSupportedForLearner
            | Self::MemberExist
            | Self::ClusterIdMismatch
            | Self::NotCapable
            | Self::ClusterVersionUnavailable
            | Self::DowngradeInProcess
            | Self::NoInflightDowngrade
            | Self::PeerUrlExist
            | Self::MemberNotEnoughStarted
            | Self::MemberNotLearner
            | Self::LearnerNotReady
            | Self::TooManyLearners
            | Self::NotLeader
            | Self::BadLeaderTransferee
            | Self::RootUserNotExist
            | Self::RootRoleNotExist
            | Self::UserAlreadyExist
            | Self::UserNotFound
            | Self::RoleAlreadyExist
            | Self::RoleNotFound
            | Self::RoleNotGranted
            | Self::PermissionNotGranted
            | Self::AuthNotEnabled => Code::FailedPrecondition,
            Self::NoLeader
            | Self::LeaderChanged
            | Self::Stopped
            | Self::TimedOut
            | Self::TimedOutLeaderFailure
            | Self::TimedOutConnectionLost
            | Self::TimedOutAppliedIndex
            | Self::TimedOutLeaderTransfer
            | Self::Unhealthy => Code::Unavailable,
            Self::Corrupt => Code::DataLoss,
            Self::Canceled | Self::WatchCanceled => Code::Canceled,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::UnknownMethod | Self::NotPrimary | Self::NoPasswordUser => Code::Unknown,
        }
    }

    /// Whether a write that got this error may have been applied, or may yet be.
    ///
    /// A client judges by the code, so each Unavailable counts, though etcd has some (such as `NoLeader`) that it
    /// gives before it proposes anything. `NoSpace` counts as well: the request that crosses the quota may be
    /// applied on the members and still be answered with it. `NoPasswordUser` says by its text that it is a refusal.
    #[must_use]
    pub fn outcome_unknown(self) -> bool {
        self == Self::NoSpace
            || self != Self::NoPasswordUser
                && matches!(
                    self.code(),
                    Code::Unavailable | Code::DeadlineExceeded | Code::Canceled | Code::Unknown
                )
    }

    /// The same of this request. What adds nothing to the backend crosses no quota: `NoSpace` then says that it was refused.
    #[must_use]
    pub fn leaves_open(self, request: &Request) -> bool {
        self.outcome_unknown() && (self != Self::NoSpace || quota::cost_of_request(request) > 0)
    }

    /// Whether it says that the request lacks a token that the member takes: with another, it may be let pass.
    #[must_use]
    pub fn needs_token(self) -> bool {
        matches!(self, Self::UserEmpty | Self::InvalidAuthToken | Self::AuthOldRevision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{DeleteRangeRequest, PutRequest};

    #[test]
    fn an_error_bears_the_text_and_the_code_of_etcd() {
        let cases = [
            (Error::EmptyKey, Code::InvalidArgument, "etcdserver: key is not provided"),
            (Error::Compacted, Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
            (Error::NoSpace, Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            (Error::LeaderChanged, Code::Unavailable, "etcdserver: leader changed"),
            (Error::DeadlineExceeded, Code::DeadlineExceeded, "context deadline exceeded"),
            (Error::AuthOldRevision, Code::InvalidArgument, "etcdserver: revision of auth store is old"),
            (Error::UserNotFound, Code::FailedPrecondition, "etcdserver: user name not found"),
            (Error::InvalidAuthMgmt, Code::InvalidArgument, "etcdserver: invalid auth management"),
        ];
        for (error, code, text) in cases {
            assert_eq!((error.code(), error.to_string().as_str()), (code, text));
        }
        assert_eq!(Code::Unauthenticated as u8, 16);
    }

    #[test]
    fn a_refused_write_was_not_applied_and_an_unanswered_one_may_have_been() {
        for refused in [Error::EmptyKey, Error::KeyNotFound, Error::FutureRevision, Error::TooManyRequests] {
            assert!(!refused.outcome_unknown(), "{refused}");
        }
        for unanswered in [Error::NoLeader, Error::TimedOut, Error::Stopped, Error::Canceled, Error::NoSpace]
        {
            assert!(unanswered.outcome_unknown(), "{unanswered}");
        }
        let delete = Request::DeleteRange(DeleteRangeRequest { key: "key".into(), ..Default::default() });
        let put = Request::Put(PutRequest { key: "key".into(), ..Default::default() });
        assert!(Error::NoSpace.leaves_open(&put) && !Error::NoSpace.leaves_open(&delete));
        assert!(Error::TimedOut.leaves_open(&delete));
    }
}
