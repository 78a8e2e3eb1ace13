//! Reports of etcd's own robustness tests: for each client a folder, in which are its operations and its watches, as JSON
//! objects one after the other.
//!
//! What such a report leaves out is taken as unknown: of a key when it was created and what lease it has, of values from 20
//! bytes on all but a hash, of a lease how long it lives, of a watch the word that it was created. Times are nanoseconds on
//! one clock; what begins at the moment at which something else ends is concurrent with it.

mod meaning;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use vertebra_model::api::{ResponseHeader, WatchResponse};
use vertebra_model::history::{History, OperationId, Outcome, Request};
use vertebra_model::watch_history::{Heard, WatchHistory, Watched};

use super::Cluster;
use crate::check::forms::{Form, Forms};
use crate::check::recorded::Damage;
use crate::check::text::shortened;
use crate::histories::robustness::form;

/// A file, and where it is damaged.
pub type DamagedFile = (PathBuf, Damage);

/// An operation with its times.
struct Timed {
    /// In which file it stands, and on which line.
    file: usize,
    line: usize,
    client: i64,
    call: i64,
    returned: i64,
    request: Request,
    outcome: Outcome,
}

/// Reads one file of operations.
///
/// # Errors
///
/// The first line that cannot be understood, or be read.
pub fn read_file(reader: impl BufRead) -> Result<Cluster, Damage> {
    let mut operations = Vec::new();
    read_operations(reader, 0, &mut operations)?;
    if operations.is_empty() {
        return Err(Damage { line: 1, reason: "there is no operation in this file".to_owned() });
    }
    one_at_a_time(&operations).map_err(|(_, damage)| damage)?;
    Ok(Cluster { history: ordered(operations).0, watches: WatchHistory::default() })
}

/// Reads a folder, each file of it by way of what `open` makes of it.
///
/// # Errors
///
/// The file that is damaged, and where.
pub fn read_folder<R: std::io::Read>(
    folder: &Path,
    open: impl Fn(File) -> R,
) -> Result<Cluster, DamagedFile> {
    let damaged =
        |path: &Path, error: std::io::Error| (path.to_owned(), Damage { line: 0, reason: error.to_string() });
    let mut clients = Vec::new();
    for entry in folder.read_dir().map_err(|error| damaged(folder, error))? {
        let entry = entry.map_err(|error| damaged(folder, error))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("client-"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            clients.push((number, entry.path()));
        }
    }
    clients.sort_unstable();
    let (mut operations, mut watches, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for (_, client) in &clients {
        for (name, is_watch) in [("operations.json", false), ("watch.json", true)] {
            let path = client.join(name);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(damaged(&path, error)),
            };
            let reader = BufReader::new(open(file));
            let read = match is_watch {
                false => read_operations(reader, files.len(), &mut operations),
                true => read_watches(reader, &mut watches),
            };
            read.map_err(|damage| (path.clone(), damage))?;
            files.push(path);
        }
    }
    if operations.is_empty() {
        let reason = "there is no client-*/operations.json with an operation in this folder".to_owned();
        return Err((folder.to_owned(), Damage { line: 0, reason }));
    }
    one_at_a_time(&operations).map_err(|(file, damage)| (files[file].clone(), damage))?;
    let (history, times) = ordered(operations);
    let mut told = WatchHistory::default();
    for watch in watches {
        told.push(watched(watch, &times));
    }
    Ok(Cluster { history, watches: told })
}

fn read_operations(reader: impl BufRead, file: usize, operations: &mut Vec<Timed>) -> Result<(), Damage> {
    let mut forms = Forms::new(reader);
    while let Some(Form { line, text }) = forms.read()? {
        let operation: form::Operation = parsed(line, &text)?;
        let damage = |reason: String| Damage { line, reason: shortened(&reason) };
        if operation.call >= operation.returned {
            return Err(damage("it returns before it is called".to_owned()));
        }
        let (client, call) = (operation.client, operation.call);
        // Without an answer, it may be done when its client has given up.
        let returned = if operation.is_answered() { operation.returned } else { i64::MAX };
        if let Some((request, outcome)) = operation.understood().map_err(damage)? {
            operations.push(Timed { file, line, client, call, returned, request, outcome });
        }
    }
    Ok(())
}

fn read_watches(reader: impl BufRead, watches: &mut Vec<form::Watch>) -> Result<(), Damage> {
    let mut forms = Forms::new(reader);
    while let Some(Form { line, text }) = forms.read()? {
        watches.push(parsed(line, &text)?);
    }
    Ok(())
}

fn parsed<T: serde::de::DeserializeOwned>(line: usize, text: &str) -> Result<T, Damage> {
    serde_json::from_str(text).map_err(|error| {
        let full = error.to_string();
        let reason = full.rsplit_once(" at line ").map_or(&full[..], |(reason, _)| reason);
        Damage { line: line + error.line().saturating_sub(1), reason: shortened(reason) }
    })
}

/// Makes sure that of each client, no two operations overlap that were answered. Behind one that was not, some go on.
fn one_at_a_time(operations: &[Timed]) -> Result<(), (usize, Damage)> {
    let is_answered =
        |operation: &&Timed| operation.outcome != Outcome::Unknown && operation.returned < i64::MAX;
    let mut answered: Vec<&Timed> = operations.iter().filter(is_answered).collect();
    answered.sort_by_key(|operation| (operation.client, operation.call));
    for pair in answered.windows(2) {
        let [before, operation] = [pair[0], pair[1]];
        if before.client == operation.client && operation.call < before.returned {
            let of = if before.file == operation.file { "" } else { " of another file" };
            let (client, line) = (operation.client, before.line);
            let reason = format!(
                "client {client} is answered to two operations at a time, of which the other is on line {line}{of}: a client \
                 has one at a time, and other clients have other ids"
            );
            return Err((operation.file, Damage { line: operation.line, reason }));
        }
    }
    Ok(())
}

/// A session for each client: of its own number where that is small enough, and otherwise of one that no client has.
fn sessions(operations: &[Timed]) -> BTreeMap<i64, u32> {
    let clients: BTreeSet<i64> = operations.iter().map(|operation| operation.client).collect();
    let is_free = |number: &u32| !clients.contains(&i64::from(*number));
    // The highest of all is for what watches tell.
    let mut free = (0..u32::MAX).rev().filter(is_free);
    let mut session =
        |client: i64| u32::try_from(client).ok().filter(|number| *number < u32::MAX).or_else(|| free.next());
    clients
        .iter()
        .map(|client| (*client, session(*client).expect("there are fewer clients than numbers")))
        .collect()
}

/// The operations as a history, and the times of its events.
fn ordered(mut operations: Vec<Timed>) -> (History, Vec<i64>) {
    operations.sort_by_key(|operation| (operation.call, operation.client));
    // At one moment, what begins comes before what ends.
    let mut events: Vec<(i64, bool, usize)> = Vec::with_capacity(2 * operations.len());
    for (place, operation) in operations.iter().enumerate() {
        events.push((operation.call, false, place));
        events.push((operation.returned, true, place));
    }
    events.sort_unstable();
    let sessions = sessions(&operations);
    let mut history = History::partial();
    let mut ids: Vec<Option<OperationId>> = vec![None; operations.len()];
    let mut times = Vec::with_capacity(events.len());
    for (time, returns, place) in events {
        let operation = &mut operations[place];
        match (returns, ids[place]) {
            (true, Some(id)) => {
                let outcome = std::mem::replace(&mut operation.outcome, Outcome::Unknown);
                history.returned(id, outcome);
            }
            _ => {
                let session = sessions[&operation.client];
                ids[place] = Some(history.invoke(session, operation.request.clone()));
            }
        }
        times.push(time);
    }
    (history, times)
}

/// A watch, among events at these times.
fn watched(watch: form::Watch, times: &[i64]) -> Watched {
    // The word that it was created is not recorded, nor at which revision.
    let header = Some(ResponseHeader { revision: i64::MAX / 2, ..ResponseHeader::default() });
    let created = WatchResponse { header, created: true, ..WatchResponse::default() };
    let mut heard = vec![Heard { clock: times.len() as u64, response: created }];
    let request = watch.request.understood();
    for told in watch.responses.unwrap_or_default() {
        let clock = times.partition_point(|time| *time <= told.time) as u64;
        if let Some(response) = told.understood() {
            heard.push(Heard { clock, response });
        }
    }
    // Clients end them as they like, and that is not recorded either.
    Watched { request, heard, is_partial: true, cancel_asked: true, ..Watched::default() }
}
