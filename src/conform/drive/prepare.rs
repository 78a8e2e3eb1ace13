//! Sequences come one after the other to a server that is never begun anew. Each finds it empty and leaves it so: no keys,
//! no leases, no users and roles, no alarms, all history compacted.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use prost_reflect::prost::Message as _;
use vertebra_model::api::{
    AlarmRequest, AlarmResponse, AuthDisableRequest, AuthDisableResponse, AuthRoleDeleteRequest,
    AuthRoleDeleteResponse, AuthRoleListRequest, AuthRoleListResponse, AuthStatusResponse,
    AuthUserDeleteRequest, AuthUserDeleteResponse, AuthUserListRequest, AuthUserListResponse,
    AuthenticateRequest, AuthenticateResponse, CompactionRequest, CompactionResponse, DeleteRangeRequest,
    DeleteRangeResponse, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    MemberListRequest, MemberListResponse, MemberRemoveRequest, MemberRemoveResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, StatusRequest, StatusResponse, alarm_request,
};
use vertebra_model::grpc::Status;

use super::{Driver, Session, text};
use crate::conform::frame::Frame;
use crate::conform::sequence::Sequence;
use crate::conform::side::Side;
use crate::exit::Refusal;

const ROOT: &str = "root";
/// Sequences name no revision by its number that is larger, but for some that no server comes to.
const SMALL_REVISIONS_MAX: i64 = 2;

/// What a server holds that is not of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contents {
    pub keys: i64,
    pub leases: usize,
    pub users: usize,
}

impl Contents {
    pub fn is_empty(&self) -> bool {
        (self.keys, self.leases, self.users) == (0, 0, 0)
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys, {} leases and {} users", self.keys, self.leases, self.users)
    }
}

impl<S: Side> Session<S> {
    /// The version of the server.
    pub fn version(&mut self) -> Result<String, Refusal> {
        let path = "/etcdserverpb.Maintenance/Status";
        let status: StatusResponse = self.demand(path, None, &StatusRequest::default())?;
        Ok(status.version)
    }

    /// What is on the server. It is an error if that cannot be learnt without a password.
    pub fn contents(&mut self) -> Result<Contents, Refusal> {
        let everything =
            RangeRequest { key: "\0".into(), range_end: "\0".into(), count_only: true, ..Default::default() };
        let keys: RangeResponse = self.demand("/etcdserverpb.KV/Range", None, &everything)?;
        let leases = self.leases(None)?.len();
        let users: AuthUserListResponse =
            self.demand("/etcdserverpb.Auth/UserList", None, &AuthUserListRequest::default())?;
        Ok(Contents { keys: keys.count, leases, users: users.users.len() })
    }

    /// Puts a key, so that there is something on the server.
    pub fn put_a_key(&mut self) -> Result<(), Refusal> {
        let put = PutRequest { key: "a".into(), ..PutRequest::default() };
        self.demand::<PutResponse>("/etcdserverpb.KV/Put", None, &put).map(drop)
    }

    /// Deletes all that [`Session::contents`] counts, and what else a sequence can leave.
    pub fn wipe(&mut self) -> Result<(), Refusal> {
        self.remove_leases(None)?;
        self.remove_users()?;
        self.delete_keys().map(drop)
    }

    /// Brings the server into the state in which each sequence begins.
    pub fn prepare(&mut self) -> Result<Frame, Refusal> {
        self.begin_sequence()?;
        self.delete_keys()?;
        // There must be something to delete, for the revision to go on: the past is of the same kind everywhere then.
        let put = PutRequest { key: "a".into(), ..PutRequest::default() };
        // What sequences ask of revisions that are small numbers is of long ago everywhere, on a server that is new too.
        let written = loop {
            let put: PutResponse = self.demand("/etcdserverpb.KV/Put", None, &put)?;
            let written = put.header.map_or(0, |header| header.revision);
            if written > SMALL_REVISIONS_MAX {
                break written;
            }
        };
        let compaction = CompactionRequest { revision: written, ..CompactionRequest::default() };
        let _: CompactionResponse = self.demand("/etcdserverpb.KV/Compact", None, &compaction)?;
        let revision = self.delete_keys()?;
        let list: MemberListResponse =
            self.demand("/etcdserverpb.Cluster/MemberList", None, &MemberListRequest::default())?;
        let mut texts = Vec::new();
        for (number, member) in (1..).zip(&list.members) {
            let addresses = [("peer", &member.peer_ur_ls), ("client", &member.client_ur_ls)];
            for (kind, urls) in addresses {
                for (count, url) in (1..).zip(urls) {
                    texts.push((url.clone(), format!("http://{kind}-{count}.of.member-{number}:2380")));
                }
            }
            if !member.name.is_empty() {
                texts.push((member.name.clone(), format!("member-{number}")));
            }
        }
        let (messages, end) = self.call("/etcdserverpb.Auth/AuthStatus", None, Bytes::new())?;
        let auth = messages.first().filter(|_| end == Some(Status::OK));
        let auth = auth.and_then(|bytes| AuthStatusResponse::decode(bytes.clone()).ok()).unwrap_or_default();
        Ok(Frame {
            revision,
            auth_revision: i64::try_from(auth.auth_revision).unwrap_or_default(),
            cluster: list.header.unwrap_or_default().cluster_id,
            members_before: list.members.len(),
            members: list.members.iter().map(|member| member.id).collect(),
            texts,
            began: Some(Instant::now()),
            ..Frame::default()
        })
    }

    /// Deletes all keys; the revision after that.
    pub fn delete_keys(&mut self) -> Result<i64, Refusal> {
        let everything = DeleteRangeRequest { key: "\0".into(), range_end: "\0".into(), prev_kv: false };
        let deleted: DeleteRangeResponse = self.demand("/etcdserverpb.KV/DeleteRange", None, &everything)?;
        Ok(deleted.header.unwrap_or_default().revision)
    }

    /// The token of root, with the password that it has in `sequence`.
    pub fn become_admin(&mut self, sequence: &Sequence) -> Result<Bytes, Refusal> {
        let bodies = sequence.steps.iter().filter_map(|step| step.body());
        let mut passwords: Vec<String> =
            bodies.filter(|body| text(body, "name") == ROOT).map(|body| text(body, "password")).collect();
        passwords.reverse();
        passwords.dedup();
        for password in passwords {
            let request = AuthenticateRequest { name: ROOT.to_owned(), password };
            let (messages, end) =
                self.call("/etcdserverpb.Auth/Authenticate", None, request.encode_to_vec().into())?;
            if let Some(bytes) = messages.first().filter(|_| end == Some(Status::OK)) {
                let response = AuthenticateResponse::decode(bytes.clone()).unwrap_or_default();
                return Ok(response.token.into());
            }
        }
        Err(Refusal::new(format!(
            "{}: authentication is enabled, and root's password is not known",
            self.name
        )))
    }

    fn leases(&mut self, token: Option<Bytes>) -> Result<Vec<i64>, Refusal> {
        let request = LeaseLeasesRequest::default();
        let leases: LeaseLeasesResponse = self.demand("/etcdserverpb.Lease/LeaseLeases", token, &request)?;
        Ok(leases.leases.iter().map(|lease| lease.id).collect())
    }

    fn remove_leases(&mut self, token: Option<Bytes>) -> Result<(), Refusal> {
        for id in self.leases(token.clone())? {
            // It may have ended by itself.
            let revoke = LeaseRevokeRequest { id };
            let revoked: Result<LeaseRevokeResponse, _> =
                self.demand("/etcdserverpb.Lease/LeaseRevoke", token.clone(), &revoke);
            drop(revoked);
        }
        Ok(())
    }

    fn remove_users(&mut self) -> Result<(), Refusal> {
        let users: AuthUserListResponse =
            self.demand("/etcdserverpb.Auth/UserList", None, &AuthUserListRequest::default())?;
        for name in users.users {
            let request = AuthUserDeleteRequest { name };
            let _: AuthUserDeleteResponse = self.demand("/etcdserverpb.Auth/UserDelete", None, &request)?;
        }
        let roles: AuthRoleListResponse =
            self.demand("/etcdserverpb.Auth/RoleList", None, &AuthRoleListRequest::default())?;
        for role in roles.roles {
            let request = AuthRoleDeleteRequest { role };
            let _: AuthRoleDeleteResponse = self.demand("/etcdserverpb.Auth/RoleDelete", None, &request)?;
        }
        Ok(())
    }

    fn remove_alarms(&mut self, token: Option<Bytes>) -> Result<(), Refusal> {
        let path = "/etcdserverpb.Maintenance/Alarm";
        let request = AlarmRequest::default();
        let raised: AlarmResponse = self.demand(path, token.clone(), &request)?;
        for alarm in raised.alarms {
            let request = AlarmRequest {
                action: alarm_request::AlarmAction::Deactivate as i32,
                member_id: alarm.member_id,
                alarm: alarm.alarm,
            };
            let _: AlarmResponse = self.demand(path, token.clone(), &request)?;
        }
        Ok(())
    }

    fn remove_members(&mut self, known: &[u64]) -> Result<(), Refusal> {
        let path = "/etcdserverpb.Cluster/MemberList";
        let list: MemberListResponse = self.demand(path, None, &MemberListRequest::default())?;
        for member in list.members.iter().filter(|member| !known.contains(&member.id)) {
            let request = MemberRemoveRequest { id: member.id };
            let _: MemberRemoveResponse =
                self.demand("/etcdserverpb.Cluster/MemberRemove", None, &request)?;
        }
        Ok(())
    }
}

impl<S: Side> Driver<'_, S> {
    /// Leaves the side as it was found.
    pub(super) fn leave(mut self) -> Result<(), Refusal> {
        let streams: Vec<u32> = self.streams.keys().copied().collect();
        for stream in streams {
            self.cancel(stream)?;
        }
        let touches = |service: &str| {
            let mut indices = 0..self.sequence.steps.len();
            indices.any(|index| self.sequence.path(index).contains(service))
        };
        if touches("/Alarm") {
            self.session.remove_alarms(self.admin.clone())?;
        }
        if self.admin.is_some() {
            let admin = Some(self.session.become_admin(self.sequence)?);
            let request = AuthDisableRequest::default();
            let _: AuthDisableResponse =
                self.session.demand("/etcdserverpb.Auth/AuthDisable", admin, &request)?;
        }
        if touches(".Auth/") {
            self.session.remove_users()?;
        }
        if touches("lock") || touches("election") || touches(".Lease/") {
            self.session.remove_leases(None)?;
        }
        if touches("/MemberAdd") {
            self.session.remove_members(&self.frame.members[..self.frame.members_before])?;
        }
        Ok(())
    }
}
