//! Our own form of a history: JSON, one event on each line, in the order in which they happened.
//!
//! ```text
//! {"type":"history","format":1,"model":"etcd"}
//! {"type":"invoke","operation":0,"session":3,"request":{"put":{"key":"YQ==","value":"MQ=="}}}
//! {"type":"ok","operation":0,"response":{"put":{"header":{"revision":"2"}}}}
//! {"type":"fail","operation":1,"error":"compacted"}
//! {"type":"unknown","operation":2}
//! {"type":"watch","watch":0,"request":{"key":"YQ==","start_revision":"2"}}
//! {"type":"heard","watch":0,"response":{"header":{"revision":"2"},"created":true}}
//! ```
//!
//! An operation that has no end is under way when the history ends. Where a cluster is restored from a snapshot, its history
//! begins with another first line.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vertebra_model::error::Error;
use vertebra_model::history::{Event, History, Outcome};
use vertebra_model::watch_history::WatchHistory;

use super::messages;

/// The one that is written, and read.
pub const FORMAT: u32 = 1;

/// A line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Line {
    /// The first line of a history.
    History { format: u32, model: String },
    /// A client asks for something. Operations are numbered as one likes.
    Invoke { operation: u64, session: u32, request: Value },
    /// It was done.
    Ok { operation: u64, response: Value },
    /// It was refused, and certainly not done.
    Fail { operation: u64, error: Error },
    /// Nobody heard what came of it.
    Unknown { operation: u64 },
    /// A client asks for a watch; whether its stream has another of this name, and whether the client ends it later.
    Watch {
        watch: u64,
        request: Value,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cancelled: bool,
    },
    /// A watch tells something.
    Heard { watch: u64, response: Value },
}

/// Writes a history, and what watches were told meanwhile.
///
/// # Errors
///
/// What writing fails with.
pub fn write(to: &mut dyn Write, history: &History, watches: &WatchHistory) -> io::Result<()> {
    let mut line = |line: &Line| -> io::Result<()> {
        serde_json::to_writer(&mut *to, line)?;
        to.write_all(b"\n")
    };
    line(&Line::History { format: FORMAT, model: "etcd".to_owned() })?;
    let mut heard = Vec::new();
    for (watch, watched) in (0..).zip(watches.watches()) {
        line(&Line::Watch {
            watch,
            request: messages::written("WatchCreateRequest", &watched.request),
            duplicate: watched.is_duplicate,
            cancelled: watched.cancel_asked,
        })?;
        heard.extend(watched.heard.iter().map(|heard| (heard.clock, watch, &heard.response)));
    }
    heard.sort_by_key(|(clock, ..)| *clock);
    let mut heard = heard.into_iter().peekable();
    for (clock, event) in (0..).zip(history.events()) {
        while let Some((_, watch, response)) = heard.next_if(|(heard, ..)| *heard <= clock) {
            line(&Line::Heard { watch, response: messages::written("WatchResponse", response) })?;
        }
        let (Event::Invoked(id) | Event::Returned(id)) = *event;
        let (operation, told) = (id.index() as u64, &history[id]);
        line(&match (event, &told.outcome) {
            (Event::Invoked(_), _) => {
                let (session, request) = (told.session, messages::request(&told.request));
                Line::Invoke { operation, session, request }
            }
            (_, Outcome::Ok(response)) => Line::Ok { operation, response: messages::response(response) },
            (_, Outcome::Failed(error)) => Line::Fail { operation, error: *error },
            (_, Outcome::Unknown) => Line::Unknown { operation },
        })?;
    }
    for (_, watch, response) in heard {
        line(&Line::Heard { watch, response: messages::written("WatchResponse", response) })?;
    }
    Ok(())
}
