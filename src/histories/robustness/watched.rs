//! What watches were told, in the words of a report.

use vertebra_model::api::mvccpb::event::EventType;
use vertebra_model::api::{Event, KeyValue, WatchCreateRequest, WatchResponse};
use vertebra_model::error::Error;
use vertebra_model::watch_history::Watched;

use super::form::{EventTold, Value, ValueRevision, Watch, WatchRequest, WatchTold, prefix_end};

/// A watch; nothing if this form has no words for what it asks.
pub fn told(watched: &Watched) -> Option<Watch> {
    let request = asked(&watched.request).filter(|_| !watched.is_duplicate)?;
    let mut responses = Vec::new();
    // Clients put what comes in fragments together again.
    let mut events: Vec<EventTold> = Vec::new();
    for heard in &watched.heard {
        let WatchResponse { header, events: told, fragment, canceled, created, .. } = &heard.response;
        for event in told {
            events.extend(self::event(event));
        }
        if *fragment {
            continue;
        }
        let error = error(&heard.response);
        // That it was created is not told, nor that it ended as its client wanted.
        if error.is_empty() && (*created || *canceled) {
            continue;
        }
        let is_progress_notify = events.is_empty() && error.is_empty();
        responses.push(WatchTold {
            events: (!events.is_empty()).then(|| std::mem::take(&mut events)),
            is_progress_notify,
            revision: header.map_or(0, |header| header.revision),
            // Between the event before it and the next one.
            time: 1_000 * heard.clock as i64 + 500,
            error,
        });
    }
    Some(Watch { request, responses: (!responses.is_empty()).then_some(responses) })
}

fn asked(request: &WatchCreateRequest) -> Option<WatchRequest> {
    let WatchCreateRequest { key, range_end, start_revision, progress_notify, prev_kv, filters, .. } =
        request;
    let (key, with_prefix) = match (&key[..], &range_end[..]) {
        (b"\0", b"\0") => (String::new(), true),
        (key, []) => (text(key)?, false),
        (key, end) if *end == prefix_end(key)[..] => (text(key)?, true),
        _ => return None,
    };
    // From before all revisions: that is refused, and a report does not tell so.
    let is_said = filters.is_empty() && *start_revision >= 0;
    is_said.then_some(WatchRequest {
        key,
        revision: *start_revision,
        with_prefix,
        with_progress_notify: *progress_notify,
        with_prev_kv: *prev_kv,
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn event(event: &Event) -> Option<EventTold> {
    let kv = event.kv.as_ref()?;
    let deleted = event.r#type == EventType::Delete as i32;
    let kind = if deleted { "delete-operation" } else { "put-operation" };
    Some(EventTold {
        r#type: kind.to_owned(),
        key: text(&kv.key)?,
        value: Value::of(&kv.value),
        revision: kv.mod_revision,
        is_create: !deleted && kv.create_revision == kv.mod_revision,
        prev_value: event.prev_kv.as_ref().map(version),
    })
}

fn version(kv: &KeyValue) -> ValueRevision {
    ValueRevision { value: Value::of(&kv.value), mod_revision: kv.mod_revision, version: kv.version }
}

/// What etcd's client makes of the end of a watch.
fn error(response: &WatchResponse) -> String {
    match response {
        response if response.compact_revision != 0 => Error::Compacted.to_string(),
        response if response.canceled => response.cancel_reason.clone(),
        _ => String::new(),
    }
}
