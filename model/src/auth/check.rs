//! Whether a request is let pass.

use bytes::Bytes;

use super::permission::Access;
use super::{AuthStore, ROOT};
use crate::api::request_op::Request as Op;
use crate::api::{
    AuthRequest, DeleteRangeRequest, InternalRaftRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use crate::defect::Defect;
use crate::error::Error;
use crate::lessor::Lessor;

/// Who asks, and what the auth revision was when that was found out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Caller {
    /// The user; empty for who has no token.
    pub user: String,
    /// 0 for who has no token.
    pub revision: u64,
}

impl Caller {
    /// Who a proposal says that it is from.
    #[must_use]
    pub fn of(request: &InternalRaftRequest) -> Self {
        let header = request.header.as_ref();
        header.map_or_else(Self::default, |header| Self {
            user: header.username.clone(),
            revision: header.auth_revision,
        })
    }
}

impl AuthStore {
    /// Whether what was proposed may be applied. Leases are judged by the keys that they have.
    ///
    /// # Errors
    ///
    /// `UserEmpty`, `AuthOldRevision`, `PermissionDenied`, `UserNotFound`. Nothing changes then.
    pub fn check(&self, request: &InternalRaftRequest, lessor: &Lessor) -> Result<(), Error> {
        if !self.is_enabled() {
            return Ok(());
        }
        let caller = &Caller::of(request);
        let InternalRaftRequest { put, delete_range, txn, lease_revoke, .. } = request;
        if let Some(put) = put {
            return self.check_put(caller, lessor, put);
        }
        if let Some(delete) = delete_range {
            self.may_write(caller, &delete.key, &delete.range_end)?;
            return if delete.prev_kv {
                self.may_read(caller, &delete.key, &delete.range_end)
            } else {
                Ok(())
            };
        }
        if let Some(txn) = txn {
            return self.check_txn(caller, lessor, txn);
        }
        match lease_revoke {
            Some(revoke) => self.check_lease(caller, lessor, revoke.id),
            // Of compactions and grants etcd's members judge by themselves, before they propose them.
            None => Ok(()),
        }
    }

    /// Whether a request to this service may be applied.
    ///
    /// # Errors
    ///
    /// `UserEmpty`, `UserNotFound`, `PermissionDenied`. The revision does not matter.
    pub fn check_management(&self, request: &AuthRequest, caller: &Caller) -> Result<(), Error> {
        let own = match request {
            AuthRequest::Authenticate(_) | AuthRequest::AuthStatus(_) => return Ok(()),
            AuthRequest::AuthUserGet(request) => request.name == caller.user,
            AuthRequest::AuthRoleGet(request) => self.has_role(&caller.user, &request.role),
            _ => false,
        };
        self.is_admin(caller).or_else(|error| if own { Ok(()) } else { Err(error) })
    }

    /// Whether a transaction of reads may be answered.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_txn(&self, caller: &Caller, lessor: &Lessor, txn: &TxnRequest) -> Result<(), Error> {
        for compare in &txn.compare {
            self.may_read(caller, &compare.key, &compare.range_end)?;
        }
        // As in etcd, both branches, whichever is taken.
        txn.success.iter().chain(&txn.failure).try_for_each(|op| self.check_op(caller, lessor, op))
    }

    fn check_op(&self, caller: &Caller, lessor: &Lessor, op: &RequestOp) -> Result<(), Error> {
        match &op.request {
            Some(Op::RequestRange(RangeRequest { key, range_end, .. })) => {
                self.may_read(caller, key, range_end)
            }
            Some(Op::RequestPut(put)) if self.has(Defect::PreviousUnchecked) => {
                self.check_put(caller, lessor, &PutRequest { prev_kv: false, ..put.clone() })
            }
            Some(Op::RequestPut(put)) => self.check_put(caller, lessor, put),
            Some(Op::RequestDeleteRange(DeleteRangeRequest { key, range_end, prev_kv })) => {
                if *prev_kv {
                    self.may_read(caller, key, range_end)?;
                }
                self.may_write(caller, key, range_end)
            }
            Some(Op::RequestTxn(txn)) => self.check_txn(caller, lessor, txn),
            None => Ok(()),
        }
    }

    fn check_put(&self, caller: &Caller, lessor: &Lessor, put: &PutRequest) -> Result<(), Error> {
        let alone = Bytes::new();
        self.may_write(caller, &put.key, &alone)?;
        self.check_lease(caller, lessor, put.lease)?;
        if put.prev_kv { self.may_read(caller, &put.key, &alone) } else { Ok(()) }
    }

    /// Whether the caller may write all keys that are attached to a lease: who attaches another key to it can have the
    /// others deleted.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_lease(&self, caller: &Caller, lessor: &Lessor, id: i64) -> Result<(), Error> {
        self.check_lease_for(caller, lessor, id, Access::Write)
    }

    /// Whether the caller may read all keys that are attached to a lease, and so be told of them.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_lease_read(&self, caller: &Caller, lessor: &Lessor, id: i64) -> Result<(), Error> {
        self.check_lease_for(caller, lessor, id, Access::Read)
    }

    fn check_lease_for(
        &self,
        caller: &Caller,
        lessor: &Lessor,
        id: i64,
        access: Access,
    ) -> Result<(), Error> {
        let Some(lease) = lessor.lookup(id) else { return Ok(()) };
        if self.is_admin(caller).is_ok() {
            return Ok(());
        }
        let alone = Bytes::new();
        lease.keys().try_for_each(|key| self.may(caller, access, key, &alone))
    }

    /// Whether the caller may read these keys.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn may_read(&self, caller: &Caller, key: &[u8], range_end: &Bytes) -> Result<(), Error> {
        self.may(caller, Access::Read, key, range_end)
    }

    fn may_write(&self, caller: &Caller, key: &[u8], range_end: &Bytes) -> Result<(), Error> {
        self.may(caller, Access::Write, key, range_end)
    }

    fn may(&self, caller: &Caller, access: Access, key: &[u8], range_end: &Bytes) -> Result<(), Error> {
        if !self.is_enabled() {
            return Ok(());
        }
        if caller.revision == 0 {
            return Err(Error::UserEmpty);
        }
        if caller.revision < self.revision() {
            return Err(Error::AuthOldRevision);
        }
        let is_root = match self.roles_of(&caller.user) {
            Some(roles) => is_root(roles),
            None => return Err(Error::PermissionDenied),
        };
        let alone = Bytes::new();
        let is_open = self.has(Defect::OpenRangeUnchecked) && range_end[..] == *b"\0";
        let range_end = if is_open { &alone } else { range_end };
        if is_root || self.permits(&caller.user, access, key, range_end) {
            Ok(())
        } else {
            Err(Error::PermissionDenied)
        }
    }

    /// Whether the caller may do what needs the role `root`.
    ///
    /// # Errors
    ///
    /// `UserEmpty`, `UserNotFound`, `PermissionDenied`.
    pub fn is_admin(&self, caller: &Caller) -> Result<(), Error> {
        if !self.is_enabled() {
            return Ok(());
        }
        if caller.user.is_empty() {
            return Err(Error::UserEmpty);
        }
        let roles = self.roles_of(&caller.user).ok_or(Error::UserNotFound)?;
        if is_root(roles) { Ok(()) } else { Err(Error::PermissionDenied) }
    }

    fn has_role(&self, user: &str, role: &str) -> bool {
        self.roles_of(user).is_some_and(|roles| roles.iter().any(|has| has == role))
    }
}

pub(super) fn is_root(roles: &[String]) -> bool {
    roles.iter().any(|role| role == ROOT)
}
