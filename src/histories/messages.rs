//! Requests and responses as JSON: the mapping of protobuf's own specification, as etcd's gateway has it. Keys and values are
//! in base64, numbers of 64 bits are text, and what has its default is left out.
//!
//! Each is an object with one field, named for what is asked: `{"put":{"key":"YQ==","value":"MQ=="}}`.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Map, Value};
use vertebra_model::api::{self, InternalRaftRequest};
use vertebra_model::auth::AuthResponse;
use vertebra_model::history::Request;
use vertebra_model::response::Response;

/// All that the model's protocol files define.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(api::DESCRIPTORS).expect("the model's descriptors are whole"));

fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("etcdserverpb.{name}")).expect("a message of etcd's API")
}

/// A message of etcd's API as JSON.
pub fn written(name: &str, message: &impl Message) -> Value {
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor(name), &bytes[..]).expect("it is this message");
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(true)
        .use_proto_field_name(true)
        .skip_default_fields(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("a message has a form in JSON")
}

/// The message of etcd's API that `json` is.
///
/// # Errors
///
/// What is wrong with it.
pub fn read<M: Message + Default>(name: &str, json: Value) -> Result<M, String> {
    let message = DynamicMessage::deserialize(descriptor(name), json).map_err(|error| error.to_string())?;
    M::decode(&message.encode_to_vec()[..]).map_err(|error| error.to_string())
}

fn field(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// The name of the one field, and what it is.
fn only_field(json: Value) -> Result<(String, Value), String> {
    match json {
        Value::Object(fields) if fields.len() == 1 => Ok(fields.into_iter().next().expect("there is one")),
        other => Err(format!("`{other}` is no object with one field")),
    }
}

/// A request as JSON.
pub fn request(request: &Request) -> Value {
    match request {
        Request::Range(read) => field("range", written("RangeRequest", read)),
        Request::LeaseKeepAlive(kept) => field("lease_keep_alive", written("LeaseKeepAliveRequest", kept)),
        Request::LeaseTimeToLive(asked) => {
            field("lease_time_to_live", written("LeaseTimeToLiveRequest", asked))
        }
        Request::LeaseLeases(asked) => field("lease_leases", written("LeaseLeasesRequest", asked)),
        others => written("InternalRaftRequest", &others.to_proposal().unwrap_or_default()),
    }
}

/// The request that `json` is.
///
/// # Errors
///
/// What is wrong with it.
pub fn read_request(json: Value) -> Result<Request, String> {
    let (name, value) = only_field(json)?;
    Ok(match &name[..] {
        "range" => Request::Range(read("RangeRequest", value)?),
        "lease_keep_alive" => Request::LeaseKeepAlive(read("LeaseKeepAliveRequest", value)?),
        "lease_time_to_live" => Request::LeaseTimeToLive(read("LeaseTimeToLiveRequest", value)?),
        "lease_leases" => Request::LeaseLeases(read("LeaseLeasesRequest", value)?),
        _ => {
            let proposal: InternalRaftRequest = read("InternalRaftRequest", field(&name, value))?;
            let InternalRaftRequest {
                put,
                delete_range,
                txn,
                compaction,
                lease_grant,
                lease_revoke,
                auth,
                ..
            } = proposal;
            let put = put.map(Request::Put);
            put.or_else(|| delete_range.map(Request::DeleteRange))
                .or_else(|| txn.map(Request::Txn))
                .or(compaction.map(Request::Compact))
                .or(lease_grant.map(Request::LeaseGrant))
                .or(lease_revoke.map(Request::LeaseRevoke))
                .or_else(|| auth.map(Request::Auth))
                .ok_or_else(|| format!("`{name}` is nothing that a client asks for"))?
        }
    })
}

/// Reads and writes responses: the variant, the name of its field, and the message.
macro_rules! responses {
    ($($variant:ident $name:literal $message:literal),+; $($auth:ident $auth_name:literal $auth_message:literal),+) => {
        /// A response as JSON.
        pub fn response(response: &Response) -> Value {
            match response {
                $(Response::$variant(response) => field($name, written($message, response)),)+
                Response::Auth(response) => match response {
                    $(AuthResponse::$auth(response) => field($auth_name, written($auth_message, response)),)+
                },
            }
        }

        /// The response that `json` is.
        ///
        /// # Errors
        ///
        /// What is wrong with it.
        pub fn read_response(json: Value) -> Result<Response, String> {
            let (name, value) = only_field(json)?;
            Ok(match &name[..] {
                $($name => Response::$variant(read($message, value)?),)+
                $($auth_name => Response::Auth(AuthResponse::$auth(read($auth_message, value)?)),)+
                _ => return Err(format!("`{name}` is nothing that a server answers")),
            })
        }
    };
}

responses! {
    Range "range" "RangeResponse",
    Put "put" "PutResponse",
    DeleteRange "delete_range" "DeleteRangeResponse",
    Txn "txn" "TxnResponse",
    Compact "compaction" "CompactionResponse",
    LeaseGrant "lease_grant" "LeaseGrantResponse",
    LeaseRevoke "lease_revoke" "LeaseRevokeResponse",
    LeaseCheckpoint "lease_checkpoint" "LeaseCheckpointResponse",
    LeaseKeepAlive "lease_keep_alive" "LeaseKeepAliveResponse",
    LeaseTimeToLive "lease_time_to_live" "LeaseTimeToLiveResponse",
    LeaseLeases "lease_leases" "LeaseLeasesResponse",
    Alarm "alarm" "AlarmResponse";
    Enable "auth_enable" "AuthEnableResponse",
    Disable "auth_disable" "AuthDisableResponse",
    Status "auth_status" "AuthStatusResponse",
    Authenticate "authenticate" "AuthenticateResponse",
    UserAdd "auth_user_add" "AuthUserAddResponse",
    UserDelete "auth_user_delete" "AuthUserDeleteResponse",
    UserGet "auth_user_get" "AuthUserGetResponse",
    UserChangePassword "auth_user_change_password" "AuthUserChangePasswordResponse",
    UserGrantRole "auth_user_grant_role" "AuthUserGrantRoleResponse",
    UserRevokeRole "auth_user_revoke_role" "AuthUserRevokeRoleResponse",
    UserList "auth_user_list" "AuthUserListResponse",
    RoleAdd "auth_role_add" "AuthRoleAddResponse",
    RoleDelete "auth_role_delete" "AuthRoleDeleteResponse",
    RoleGet "auth_role_get" "AuthRoleGetResponse",
    RoleList "auth_role_list" "AuthRoleListResponse",
    RoleGrantPermission "auth_role_grant_permission" "AuthRoleGrantPermissionResponse",
    RoleRevokePermission "auth_role_revoke_permission" "AuthRoleRevokePermissionResponse"
}
