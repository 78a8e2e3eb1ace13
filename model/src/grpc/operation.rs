//! The calls that a history knows: their messages as requests and responses.

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::api::{self, AuthRequest, AuthenticateRequest, InternalAuthenticateRequest};
use crate::auth::AuthResponse;
use crate::history::Request;
use crate::response::Response;

/// Each method with what its messages are.
macro_rules! methods {
    ($($path:literal $asked:ident => $request:expr, $answered:ident => $response:expr;)+) => {
        /// The request that a message to the method of this path is; nothing if a history knows no such method.
        ///
        /// # Errors
        ///
        /// If the message is none of the method's.
        #[must_use]
        pub fn decode_request(path: &str, message: Bytes) -> Option<Result<Request, DecodeError>> {
            Some(match path {
                $($path => api::$asked::decode(message).map($request),)+
                _ => return None,
            })
        }

        /// The response that a message from the method of this path is; nothing if a history knows no such method.
        ///
        /// # Errors
        ///
        /// If the message is none of the method's.
        #[must_use]
        pub fn decode_response(path: &str, message: Bytes) -> Option<Result<Response, DecodeError>> {
            Some(match path {
                $($path => api::$answered::decode(message).map($response),)+
                _ => return None,
            })
        }
    };
}

/// A request of the Auth service.
macro_rules! auth {
    ($kind:ident) => {
        |message| Request::Auth(AuthRequest::$kind(Box::new(message)))
    };
}

/// A response of it.
macro_rules! authed {
    ($kind:ident) => {
        |message| Response::Auth(AuthResponse::$kind(message))
    };
}

methods! {
    "/etcdserverpb.KV/Range" RangeRequest => Request::Range, RangeResponse => Response::Range;
    "/etcdserverpb.KV/Put" PutRequest => Request::Put, PutResponse => Response::Put;
    "/etcdserverpb.KV/DeleteRange" DeleteRangeRequest => Request::DeleteRange,
        DeleteRangeResponse => Response::DeleteRange;
    "/etcdserverpb.KV/Txn" TxnRequest => Request::Txn, TxnResponse => Response::Txn;
    "/etcdserverpb.KV/Compact" CompactionRequest => Request::Compact, CompactionResponse => Response::Compact;
    "/etcdserverpb.Lease/LeaseGrant" LeaseGrantRequest => Request::LeaseGrant,
        LeaseGrantResponse => Response::LeaseGrant;
    "/etcdserverpb.Lease/LeaseRevoke" LeaseRevokeRequest => Request::LeaseRevoke,
        LeaseRevokeResponse => Response::LeaseRevoke;
    "/etcdserverpb.Lease/LeaseKeepAlive" LeaseKeepAliveRequest => Request::LeaseKeepAlive,
        LeaseKeepAliveResponse => Response::LeaseKeepAlive;
    "/etcdserverpb.Lease/LeaseTimeToLive" LeaseTimeToLiveRequest => Request::LeaseTimeToLive,
        LeaseTimeToLiveResponse => Response::LeaseTimeToLive;
    "/etcdserverpb.Lease/LeaseLeases" LeaseLeasesRequest => Request::LeaseLeases,
        LeaseLeasesResponse => Response::LeaseLeases;
    "/etcdserverpb.Auth/AuthEnable" AuthEnableRequest => auth!(AuthEnable),
        AuthEnableResponse => authed!(Enable);
    "/etcdserverpb.Auth/AuthDisable" AuthDisableRequest => auth!(AuthDisable),
        AuthDisableResponse => authed!(Disable);
    "/etcdserverpb.Auth/AuthStatus" AuthStatusRequest => auth!(AuthStatus),
        AuthStatusResponse => authed!(Status);
    "/etcdserverpb.Auth/Authenticate" AuthenticateRequest => authenticate,
        AuthenticateResponse => authed!(Authenticate);
    "/etcdserverpb.Auth/UserAdd" AuthUserAddRequest => auth!(AuthUserAdd),
        AuthUserAddResponse => authed!(UserAdd);
    "/etcdserverpb.Auth/UserGet" AuthUserGetRequest => auth!(AuthUserGet),
        AuthUserGetResponse => authed!(UserGet);
    "/etcdserverpb.Auth/UserList" AuthUserListRequest => auth!(AuthUserList),
        AuthUserListResponse => authed!(UserList);
    "/etcdserverpb.Auth/UserDelete" AuthUserDeleteRequest => auth!(AuthUserDelete),
        AuthUserDeleteResponse => authed!(UserDelete);
    "/etcdserverpb.Auth/UserChangePassword" AuthUserChangePasswordRequest => auth!(AuthUserChangePassword),
        AuthUserChangePasswordResponse => authed!(UserChangePassword);
    "/etcdserverpb.Auth/UserGrantRole" AuthUserGrantRoleRequest => auth!(AuthUserGrantRole),
        AuthUserGrantRoleResponse => authed!(UserGrantRole);
    "/etcdserverpb.Auth/UserRevokeRole" AuthUserRevokeRoleRequest => auth!(AuthUserRevokeRole),
        AuthUserRevokeRoleResponse => authed!(UserRevokeRole);
    "/etcdserverpb.Auth/RoleAdd" AuthRoleAddRequest => auth!(AuthRoleAdd),
        AuthRoleAddResponse => authed!(RoleAdd);
    "/etcdserverpb.Auth/RoleGet" AuthRoleGetRequest => auth!(AuthRoleGet),
        AuthRoleGetResponse => authed!(RoleGet);
    "/etcdserverpb.Auth/RoleList" AuthRoleListRequest => auth!(AuthRoleList),
        AuthRoleListResponse => authed!(RoleList);
    "/etcdserverpb.Auth/RoleDelete" AuthRoleDeleteRequest => auth!(AuthRoleDelete),
        AuthRoleDeleteResponse => authed!(RoleDelete);
    "/etcdserverpb.Auth/RoleGrantPermission" AuthRoleGrantPermissionRequest => auth!(AuthRoleGrantPermission),
        AuthRoleGrantPermissionResponse => authed!(RoleGrantPermission);
    "/etcdserverpb.Auth/RoleRevokePermission" AuthRoleRevokePermissionRequest => auth!(AuthRoleRevokePermission),
        AuthRoleRevokePermissionResponse => authed!(RoleRevokePermission);
}

fn authenticate(AuthenticateRequest { name, password }: AuthenticateRequest) -> Request {
    let request = InternalAuthenticateRequest { name, password, simple_token: String::new() };
    Request::Auth(AuthRequest::Authenticate(Box::new(request)))
}

/// A response as the message that goes over the wire.
#[must_use]
pub fn encode_response(response: &Response) -> Bytes {
    let bytes = match response {
        Response::Range(response) => response.encode_to_vec(),
        Response::Put(response) => response.encode_to_vec(),
        Response::DeleteRange(response) => response.encode_to_vec(),
        Response::Txn(response) => response.encode_to_vec(),
        Response::Compact(response) => response.encode_to_vec(),
        Response::LeaseGrant(response) => response.encode_to_vec(),
        Response::LeaseRevoke(response) => response.encode_to_vec(),
        Response::LeaseCheckpoint(response) => response.encode_to_vec(),
        Response::LeaseKeepAlive(response) => response.encode_to_vec(),
        Response::LeaseTimeToLive(response) => response.encode_to_vec(),
        Response::LeaseLeases(response) => response.encode_to_vec(),
        Response::Auth(response) => response.encode(),
        Response::Alarm(response) => response.encode_to_vec(),
    };
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{PutRequest, PutResponse, ResponseHeader};

    #[test]
    fn messages_are_known_by_the_path_of_their_method() {
        let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
        let decoded = decode_request("/etcdserverpb.KV/Put", put.encode_to_vec().into());
        assert_eq!(decoded, Some(Ok(Request::Put(put))));
        let header = Some(ResponseHeader { revision: 7, ..ResponseHeader::default() });
        let response = Response::Put(PutResponse { header, prev_kv: None });
        let decoded = decode_response("/etcdserverpb.KV/Put", encode_response(&response));
        assert_eq!(decoded, Some(Ok(response)));
        assert!(decode_request("/etcdserverpb.KV/Put", Bytes::from_static(&[0xff])).unwrap().is_err());
        assert_eq!(decode_request("/etcdserverpb.Cluster/MemberList", Bytes::new()), None);
    }

    #[test]
    fn a_caller_does_not_choose_its_token() {
        let asked = InternalAuthenticateRequest {
            name: "ann".to_owned(),
            password: "secret".to_owned(),
            simple_token: "mine".to_owned(),
        };
        let decoded = decode_request("/etcdserverpb.Auth/Authenticate", asked.encode_to_vec().into());
        let Some(Ok(Request::Auth(AuthRequest::Authenticate(request)))) = decoded else {
            panic!("{decoded:?}")
        };
        assert_eq!((&request.name[..], &request.simple_token[..]), ("ann", ""));
    }
}
