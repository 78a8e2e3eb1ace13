//! The form of the reports of etcd's robustness tests: a folder with one for each client.
//!
//! | file | holds |
//! | --- | --- |
//! | `client-N/operations.json` | what a client asked and was answered: JSON objects, one after the other |
//! | `client-N/watch.json` | what a client's watches were told |
//! | `traffic.json` | that a revision may change several keys |
//!
//! Sessions are clients' streams here, and share a folder where one begins when the other is over. The last folders are for what no
//! client asked (the end of leases), for what may have been done in several ways, and for watches.
//!
//! Left out is what this form has no words for, where nobody misses it: reads of one member, counts, bounds and limits in an order
//! of their own; watches of ranges, with filters or from a negative revision; who may do what; refusals, but for those of compactions. Of what changes
//! keys, nothing is left out (see [`words`]).
//!
//! There are no members' folders with their logs, which the whole of etcd's own check wants beside this.

pub mod form;
mod parts;
mod watched;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use vertebra_model::api::ResponseHeader;
use vertebra_model::error::Error;
use vertebra_model::history::{History, Operation, Outcome, Request};
use vertebra_model::response::Response;
use vertebra_model::watch_history::WatchHistory;

use self::form::{Compact, Input, Lease, Nothing, Output};
use self::words::Words;
use super::effects::{Seen, each_put};
use super::time_ns;

/// What stands in the place of an answer that nobody heard.
const UNHEARD: &str = "nobody heard what came of it";
/// The revision of an answer that bears none.
const NO_REVISION: i64 = -1;

/// An operation as etcd's code writes it: the answer stands there twice.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    operation: &'a form::Operation,
    #[serde(rename = "Metadata")]
    metadata: &'a Output,
}

/// Writes a history into an empty folder.
///
/// # Errors
///
/// What writing fails with, or what this form cannot say.
pub fn write(folder: &Path, history: &History, watches: &WatchHistory) -> io::Result<()> {
    let seen = Seen::of(history, watches);
    let mut report = Report::new(history);
    let words = Words::of(history, &seen);
    for operation in history.operations() {
        report.take(operation, &words)?;
    }
    report.leases_may_end();
    let mut number = 0;
    for operations in report.folders() {
        number += 1;
        let mut file = file(folder, number, "operations.json")?;
        for operation in operations {
            object(&mut file, &Written { operation, metadata: &operation.output })?;
        }
        file.flush()?;
    }
    let mut told = watches.watches().iter().filter_map(watched::told).peekable();
    if told.peek().is_some() {
        let mut file = file(folder, number + 1, "watch.json")?;
        told.try_for_each(|watch| object(&mut file, &watch))?;
        file.flush()?;
    }
    fs::write(folder.join("traffic.json"), "{}")
}

fn file(folder: &Path, client: usize, name: &str) -> io::Result<BufWriter<File>> {
    let folder = folder.join(format!("client-{client}"));
    fs::create_dir_all(&folder)?;
    File::create(folder.join(name)).map(BufWriter::new)
}

fn object(file: &mut impl Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *file, object)?;
    file.write_all(b"\n")
}

/// The operations, as far as they are told.
struct Report<'a> {
    history: &'a History,
    /// Of sessions.
    asked: Vec<form::Operation>,
    /// Of nobody.
    others: Vec<form::Operation>,
    /// The next client that is nobody.
    nobody: i64,
}

impl<'a> Report<'a> {
    fn new(history: &'a History) -> Self {
        let sessions = history.operations().iter().map(|operation| i64::from(operation.session)).max();
        let (asked, others) = (Vec::new(), Vec::new());
        Self { history, asked, others, nobody: sessions.unwrap_or_default() + 1 }
    }

    /// When all is over.
    fn end(&self) -> i64 {
        time_ns(self.history.clock()) as i64
    }

    fn take(&mut self, operation: &Operation, words: &Words<'_>) -> io::Result<()> {
        let Operation { request, outcome, .. } = operation;
        match (request, outcome) {
            (Request::Compact(compaction), _) => {
                let compact = Some(Compact { revision: compaction.revision });
                let answer = match outcome {
                    Outcome::Ok(_) => {
                        Output { compact: Some(Nothing {}), revision: NO_REVISION, ..Output::default() }
                    }
                    Outcome::Failed(error @ (Error::Compacted | Error::FutureRevision)) => {
                        // The store's own words, without those of the server.
                        let error = error.to_string();
                        let client_error = error.trim_start_matches("etcdserver: ").to_owned();
                        Output { client_error, ..Output::default() }
                    }
                    Outcome::Failed(_) => return Ok(()),
                    Outcome::Unknown => unheard(),
                };
                self.asked(operation, Input { compact, ..input("compact") }, answer);
            }
            (Request::LeaseGrant(_), Outcome::Ok(Response::LeaseGrant(reply))) => {
                let grant = Input { lease_grant: Some(Lease { id: reply.id }), ..input("leaseGrant") };
                let answer = Output { lease_grant: Some(Lease::default()), ..headed(reply.header) };
                self.asked(operation, grant, answer);
            }
            (Request::LeaseGrant(request), Outcome::Unknown) => {
                let lease_grant = Some(Lease { id: request.id });
                self.asked(operation, Input { lease_grant, ..input("leaseGrant") }, unheard());
            }
            (Request::LeaseRevoke(request), Outcome::Ok(_) | Outcome::Unknown) => {
                let lease_revoke = Some(Lease { id: request.id });
                let answer = match outcome {
                    Outcome::Ok(reply) => Output { lease_revoke: Some(Nothing {}), ..headed(reply.header()) },
                    _ => unheard(),
                };
                self.asked(operation, Input { lease_revoke, ..input("leaseRevoke") }, answer);
            }
            (Request::Range(read), Outcome::Ok(Response::Range(reply))) if !read.serializable => {
                if let Some((range, found)) = words.read(read, reply)? {
                    let answer = Output { range: Some(found), ..headed(reply.header) };
                    self.asked(operation, Input { range: Some(range), ..input("range") }, answer);
                }
            }
            (_, Outcome::Ok(_)) if request.is_serializable() => {}
            (Request::Put(_) | Request::DeleteRange(_) | Request::Txn(_), Outcome::Ok(reply)) => {
                let Some((txn, answer)) = words.done(operation, reply)? else {
                    return self.in_some_way(operation, words);
                };
                let header = headed(reply.header());
                let answer = match answer {
                    Some(txn) => Output { txn: Some(txn), ..header },
                    None => {
                        Output { persisted: true, persisted_revision: header.revision, ..Output::default() }
                    }
                };
                self.asked(operation, Input { txn: Some(txn), ..input("txn") }, answer);
            }
            // Without an answer, a read tells nothing.
            (request, Outcome::Unknown) if request.is_read_only() => {}
            (Request::Put(_) | Request::DeleteRange(_) | Request::Txn(_), Outcome::Unknown) => {
                self.in_some_way(operation, words)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A write that was done in one of several ways, or not at all.
    fn in_some_way(&mut self, operation: &Operation, words: &Words<'_>) -> io::Result<()> {
        let mut ways = words.possible(operation)?.into_iter();
        if let Some(txn) = ways.next() {
            self.asked(operation, Input { txn: Some(txn), ..input("txn") }, unheard());
        }
        for txn in ways {
            self.by_nobody(operation.invoked, Input { txn: Some(txn), ..input("txn") });
        }
        Ok(())
    }

    fn asked(&mut self, operation: &Operation, input: Input, output: Output) {
        let call = time_ns(operation.invoked) as i64;
        let returned = operation.returned.map_or(self.end(), |returned| time_ns(returned) as i64);
        let client = i64::from(operation.session);
        self.asked.push(form::Operation { client, input, call, output, returned });
    }

    /// From right after an event on, something may happen.
    fn by_nobody(&mut self, after: u64, input: Input) {
        let (client, call) = (self.nobody, time_ns(after) as i64 + 1);
        self.nobody += 1;
        let (output, returned) = (unheard(), self.end());
        self.others.push(form::Operation { client, input, call, output, returned });
    }

    /// Each lease to which something is attached may end from its grant on.
    fn leases_may_end(&mut self) {
        let mut attached = BTreeSet::new();
        let operations = self.history.operations().iter();
        for operation in operations.filter(|operation| !matches!(operation.outcome, Outcome::Failed(_))) {
            each_put(&operation.request, &mut |put| {
                attached.insert(put.lease);
            });
        }
        for operation in self.history.operations() {
            let id = match (&operation.request, &operation.outcome) {
                (Request::LeaseGrant(_), Outcome::Ok(Response::LeaseGrant(reply))) => reply.id,
                (Request::LeaseGrant(request), Outcome::Unknown) => request.id,
                _ => 0,
            };
            if id != 0 && attached.contains(&id) {
                let lease_revoke = Some(Lease { id });
                self.by_nobody(operation.invoked, Input { lease_revoke, ..input("leaseRevoke") });
            }
        }
    }

    /// The operations of each folder, in the order of time.
    fn folders(&self) -> Vec<Vec<&form::Operation>> {
        let mut sessions: BTreeMap<i64, Vec<&form::Operation>> = BTreeMap::new();
        for operation in &self.asked {
            sessions.entry(operation.client).or_default().push(operation);
        }
        let mut sessions: Vec<Vec<&form::Operation>> = sessions.into_values().collect();
        sessions.sort_by_key(|operations| operations[0].call);
        let mut folders: Vec<Vec<&form::Operation>> = Vec::new();
        // Until when each is in use.
        let mut free: BTreeSet<(i64, usize)> = BTreeSet::new();
        for operations in sessions {
            let (begins, ends) = (operations[0].call, operations.last().map_or(0, |last| last.returned));
            let folder = match free.first().copied().filter(|(until, _)| *until < begins) {
                Some(unused) => {
                    free.remove(&unused);
                    unused.1
                }
                None => {
                    folders.push(Vec::new());
                    folders.len() - 1
                }
            };
            free.insert((ends, folder));
            folders[folder].extend(operations);
        }
        if !self.others.is_empty() {
            folders.push(self.others.iter().collect());
        }
        folders
    }
}

fn input(kind: &str) -> Input {
    Input { r#type: kind.to_owned(), ..Input::default() }
}

fn headed(header: Option<ResponseHeader>) -> Output {
    let header = header.unwrap_or_default();
    let member = if header.member_id == 0 { String::new() } else { format!("{:x}", header.member_id) };
    Output { revision: header.revision, member, ..Output::default() }
}

fn unheard() -> Output {
    Output { error: UNHEARD.to_owned(), ..Output::default() }
}
