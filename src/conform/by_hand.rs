//! A sequence as commands that can be typed, over etcd's JSON gateway.

use prost_reflect::DynamicMessage;
use serde_json::Value;

use super::compare::text;
use super::methods;
use super::sequence::{Action, Body, Caller, REVISION, Sequence, hexadecimal};
use crate::words::shell_quoted;

/// Where the gateway has the methods, below `/v3/`.
const PLACES: [(&str, &str); 44] = [
    ("KV/Range", "kv/range"),
    ("KV/Put", "kv/put"),
    ("KV/DeleteRange", "kv/deleterange"),
    ("KV/Txn", "kv/txn"),
    ("KV/Compact", "kv/compaction"),
    ("Watch/Watch", "watch"),
    ("Lease/LeaseGrant", "lease/grant"),
    ("Lease/LeaseRevoke", "lease/revoke"),
    ("Lease/LeaseKeepAlive", "lease/keepalive"),
    ("Lease/LeaseTimeToLive", "lease/timetolive"),
    ("Lease/LeaseLeases", "lease/leases"),
    ("Cluster/MemberAdd", "cluster/member/add"),
    ("Cluster/MemberRemove", "cluster/member/remove"),
    ("Cluster/MemberUpdate", "cluster/member/update"),
    ("Cluster/MemberList", "cluster/member/list"),
    ("Cluster/MemberPromote", "cluster/member/promote"),
    ("Maintenance/Alarm", "maintenance/alarm"),
    ("Maintenance/Status", "maintenance/status"),
    ("Maintenance/Defragment", "maintenance/defragment"),
    ("Maintenance/Hash", "maintenance/hash"),
    ("Maintenance/HashKV", "maintenance/hash"),
    ("Maintenance/Snapshot", "maintenance/snapshot"),
    ("Maintenance/MoveLeader", "maintenance/transfer-leadership"),
    ("Maintenance/Downgrade", "maintenance/downgrade"),
    ("Auth/AuthEnable", "auth/enable"),
    ("Auth/AuthDisable", "auth/disable"),
    ("Auth/AuthStatus", "auth/status"),
    ("Auth/Authenticate", "auth/authenticate"),
    ("Auth/UserAdd", "auth/user/add"),
    ("Auth/UserGet", "auth/user/get"),
    ("Auth/UserList", "auth/user/list"),
    ("Auth/UserDelete", "auth/user/delete"),
    ("Auth/UserChangePassword", "auth/user/changepw"),
    ("Auth/UserGrantRole", "auth/user/grant"),
    ("Auth/UserRevokeRole", "auth/user/revoke"),
    ("Auth/RoleAdd", "auth/role/add"),
    ("Auth/RoleGet", "auth/role/get"),
    ("Auth/RoleList", "auth/role/list"),
    ("Auth/RoleDelete", "auth/role/delete"),
    ("Auth/RoleGrantPermission", "auth/role/grant"),
    ("Auth/RoleRevokePermission", "auth/role/revoke"),
    ("Lock/Lock", "lock/lock"),
    ("Lock/Unlock", "lock/unlock"),
    ("Election/Campaign", "election/campaign"),
];

/// The commands, one for each step, with what is asked as a comment after it.
pub fn lines(sequence: &Sequence, endpoint: &str) -> Vec<String> {
    let mut lines = vec![
        format!("E={}", shell_quoted(endpoint)),
        r#"R=$(curl -s $E/v3/kv/range -d '{"key":"YQ=="}' | sed 's/.*"revision":"\([0-9]*\)".*/\1/')"#
            .to_owned(),
    ];
    for index in 0..sequence.steps.len() {
        lines.push(format!("# {index}: {}", step(sequence, index)));
        if let Some(command) = command(sequence, index) {
            lines.push(command);
        }
    }
    lines
}

/// What is asked in a step, for people.
pub fn step(sequence: &Sequence, index: usize) -> String {
    let path = sequence.path(index);
    let name = path.trim_start_matches('/').split_once('.').map_or(path, |(_, name)| name);
    let body = |body: &Body| match body {
        Body::Message(message) => text(message),
        Body::Bytes(bytes) => format!("bytes {}", hexadecimal(bytes)),
    };
    let whose = |caller: &Caller| match caller {
        Caller::Nobody => String::new(),
        Caller::User(user) => format!(" as {user}"),
        Caller::Early(user) => format!(" as {user}, with the first token"),
        Caller::Token(token) => format!(" with token {token:?}"),
    };
    let names = sequence.steps[index].names.map_or(String::new(), |name| format!(" (names lease {name})"));
    match &sequence.steps[index].action {
        Action::Call { caller, body: request, .. } => {
            format!("{name}{}: {}{names}", whose(caller), body(request))
        }
        Action::Open { stream, caller, .. } => format!("stream {stream} is opened{}: {name}", whose(caller)),
        Action::Send { stream, body: request } => {
            format!("stream {stream}, {name}: {}{names}", body(request))
        }
        Action::Await { stream } => format!("stream {stream}, {name}: an answer is waited for"),
        Action::Close { stream } => format!("stream {stream}, {name}: no more requests"),
        Action::Cancel { stream } => format!("stream {stream}, {name}: cancelled"),
    }
}

fn command(sequence: &Sequence, index: usize) -> Option<String> {
    let step = &sequence.steps[index];
    let path = sequence.path(index);
    let (_, name) = path.trim_start_matches('/').split_once('.')?;
    let (_, place) = PLACES.iter().find(|(method, _)| *method == name)?;
    let Body::Message(message) = step.body()? else { return None };
    let stays = matches!(step.action, Action::Send { .. });
    let token = match &step.action {
        Action::Call { caller: Caller::User(user) | Caller::Early(user), .. } => {
            format!(" -H \"Authorization: $TOKEN_{user}\"")
        }
        _ => String::new(),
    };
    let end = if stays { " &" } else { "" };
    Some(format!("curl -sN{token} $E/v3/{place} -d '{}'{end}", relative(message)))
}

/// The message in JSON, with revisions that the shell computes from that at the start.
fn relative(message: &DynamicMessage) -> String {
    let json = quoted(methods::to_json(message)).to_string().replace('\'', r"'\''");
    let mut text = String::new();
    let mut rest = json.as_str();
    // Only revisions are near this number.
    while let Some(at) = rest.find("\"1125899906") {
        let (before, after) = rest.split_at(at + 1);
        text.push_str(before);
        let end = after.find('"').unwrap_or(after.len());
        match after[..end].parse::<i64>() {
            Ok(number) => text.push_str(&format!("'$((R{:+}))'", number - REVISION)),
            Err(_) => text.push_str(&after[..end]),
        }
        rest = &after[end..];
    }
    text + rest
}

/// Long values are not for the command line.
fn quoted(json: Value) -> Value {
    match json {
        Value::String(text) if text.len() > 2_000 => Value::String(format!("{}...", &text[..40])),
        Value::Array(values) => Value::Array(values.into_iter().map(quoted).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, quoted(value))).collect())
        }
        json => json,
    }
}
