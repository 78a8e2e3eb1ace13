//! What operations were answered, on one line for people.

use vertebra_model::api::KeyValue;
use vertebra_model::api::mvccpb::event::EventType;
use vertebra_model::api::response_op::Response as OpReply;
use vertebra_model::api::{DeleteRangeResponse, PutResponse, RangeResponse, TxnResponse, WatchResponse};
use vertebra_model::history::Outcome;
use vertebra_model::response::Response;

use crate::words::counted;

/// So many keys of an answer are shown.
const KEYS_MAX: usize = 20;
/// And so much of a value.
const VALUE_BYTES_MAX: usize = 60;

/// What came of an operation.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unknown => "unknown".to_owned(),
        Outcome::Failed(error) => format!("refused: {error}"),
        Outcome::Ok(reply) => match answer(reply) {
            answer if answer.is_empty() => format!("revision {}", reply.revision()),
            answer => format!("revision {}: {answer}", reply.revision()),
        },
    }
}

fn answer(reply: &Response) -> String {
    match reply {
        Response::Range(reply) => range(reply),
        Response::Put(reply) => put(reply),
        Response::DeleteRange(reply) => deletion(reply),
        Response::Txn(reply) => txn(reply),
        Response::LeaseGrant(reply) => format!("lease {}", reply.id),
        Response::LeaseKeepAlive(reply) => format!("{} s", reply.ttl),
        Response::LeaseTimeToLive(reply) => format!("{} s", reply.ttl),
        Response::LeaseLeases(reply) => format!("{} leases", reply.leases.len()),
        Response::Compact(_)
        | Response::LeaseRevoke(_)
        | Response::LeaseCheckpoint(_)
        | Response::Auth(_)
        | Response::Alarm(_) => String::new(),
    }
}

/// A key with its value, and what is known of its revision and version.
pub fn key(kv: &KeyValue) -> String {
    let key = format!("\"{}\"=\"{}\"", kv.key.escape_ascii(), value(&kv.value));
    match (kv.mod_revision, kv.version) {
        (0, _) => key,
        (revision, 0) => format!("{key} of {revision}"),
        (revision, version) => format!("{key} of {revision}, version {version}"),
    }
}

/// The beginning of a value.
fn value(value: &[u8]) -> String {
    match value.get(..VALUE_BYTES_MAX) {
        Some(beginning) if value.len() > VALUE_BYTES_MAX => {
            format!("{}... ({} bytes)", beginning.escape_ascii(), value.len())
        }
        _ => value.escape_ascii().to_string(),
    }
}

/// What a watch was told, in short.
pub fn told<'a>(responses: impl Iterator<Item = &'a WatchResponse>) -> String {
    let mut words = Vec::new();
    let mut events = 0;
    for response in responses {
        events += response.events.len();
        match response {
            response if response.canceled => words.push("ended".to_owned()),
            response if response.created => words.push("created".to_owned()),
            response if response.events.is_empty() => words.push("progress".to_owned()),
            _ => {}
        }
    }
    if events > 0 {
        words.push(counted(events as u64, "event"));
    }
    words.join(", ")
}

/// What a watch was told.
pub fn watch(response: &WatchResponse) -> String {
    let WatchResponse { header, events, canceled, cancel_reason, compact_revision, .. } = response;
    let mut words = vec![format!("revision {}", header.map_or(0, |header| header.revision))];
    words.push(told([response].into_iter()));
    if *canceled && !cancel_reason.is_empty() {
        words.push(cancel_reason.clone());
    }
    if *compact_revision > 0 {
        words.push(format!("compacted at {compact_revision}"));
    }
    for event in events.iter().take(KEYS_MAX) {
        let Some(kv) = &event.kv else { continue };
        words.push(match event.r#type == EventType::Delete as i32 {
            true => format!("\"{}\" deleted at {}", kv.key.escape_ascii(), kv.mod_revision),
            false => key(kv),
        });
    }
    if let Some(more @ 1..) = events.len().checked_sub(KEYS_MAX) {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

fn keys(kvs: &[KeyValue]) -> String {
    let mut shown: Vec<String> = kvs.iter().take(KEYS_MAX).map(key).collect();
    if let Some(more @ 1..) = kvs.len().checked_sub(KEYS_MAX) {
        shown.push(format!("and {more} more"));
    }
    shown.join("; ")
}

fn range(reply: &RangeResponse) -> String {
    match (reply.kvs.len() as i64, reply.count) {
        (0, 0) => "nothing".to_owned(),
        (0, count) => format!("{count} keys"),
        (given, count) if given == count => keys(&reply.kvs),
        (_, count) => format!("{} ({count} keys in all)", keys(&reply.kvs)),
    }
}

fn put(reply: &PutResponse) -> String {
    reply.prev_kv.as_ref().map_or(String::new(), |previous| format!("before that, {}", key(previous)))
}

fn deletion(reply: &DeleteRangeResponse) -> String {
    match &reply.prev_kvs[..] {
        [] => format!("{} deleted", reply.deleted),
        previous => format!("{} deleted: {}", reply.deleted, keys(previous)),
    }
}

fn txn(reply: &TxnResponse) -> String {
    let each = reply.responses.iter().map(|reply| match &reply.response {
        Some(OpReply::ResponseRange(reply)) => range(reply),
        Some(OpReply::ResponsePut(_)) => "put".to_owned(),
        Some(OpReply::ResponseDeleteRange(reply)) => deletion(reply),
        Some(OpReply::ResponseTxn(reply)) => txn(reply),
        None => "nothing".to_owned(),
    });
    let branch = if reply.succeeded { "then" } else { "else" };
    format!("{branch} [{}]", each.collect::<Vec<_>>().join(" | "))
}
