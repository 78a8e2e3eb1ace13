//! The lines that `vertebra replay --history` writes.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde_json::error::Category;
use vertebra_model::api::{WatchCreateRequest, WatchResponse};
use vertebra_model::history::{OperationId, Outcome};
use vertebra_model::response::Response;
use vertebra_model::watch_history::WatchNumber;

use super::Cluster;
use crate::check::forms::{Form, Forms};
use crate::check::recorded::Damage;
use crate::check::text::shortened;
use crate::histories::lines::{FORMAT, Line};
use crate::histories::messages;

/// A cluster whose lines are being read.
#[derive(Default)]
struct Reading {
    cluster: Cluster,
    operations: BTreeMap<u64, OperationId>,
    /// By session: its last answer, when it came, and to which operation.
    answered: BTreeMap<u32, (u64, u64)>,
    watches: BTreeMap<u64, WatchNumber>,
}

/// Reads the histories of all clusters that a file has, one after the other.
///
/// # Errors
///
/// The first line that cannot be understood, or be read.
pub fn read(reader: impl BufRead) -> Result<Vec<Cluster>, Damage> {
    let mut forms = Forms::new(reader);
    let (mut clusters, mut reading) = (Vec::new(), None::<Reading>);
    while let Some(Form { line, text }) = forms.read()? {
        let damage = |reason: String| Damage { line, reason: shortened(&reason) };
        let told: Line = serde_json::from_str(&text).map_err(|error| match error.classify() {
            Category::Data => damage(error.to_string()),
            _ => damage(format!("this is no line of a history: {error}")),
        })?;
        if let Line::History { format, model } = &told {
            if *format != FORMAT || model != "etcd" {
                let known = format!("format {FORMAT} of model etcd is what this version reads");
                return Err(damage(format!("format {format} of model {model} is unknown: {known}")));
            }
            clusters.extend(reading.replace(Reading::default()).map(|reading| reading.cluster));
            continue;
        }
        let Some(reading) = &mut reading else {
            return Err(damage("a history begins with a line `history`".to_owned()));
        };
        reading.take(told).map_err(damage)?;
    }
    clusters.extend(reading.map(|reading| reading.cluster));
    if clusters.iter().all(|cluster| cluster.history.operations().is_empty()) {
        return Err(Damage { line: 1, reason: "there is no operation in this file".to_owned() });
    }
    Ok(clusters)
}

impl Reading {
    fn take(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::History { .. } => Ok(()),
            Line::Invoke { operation, session, request } => {
                let request = messages::read_request(request)?;
                let id = self.cluster.history.invoke(session, request);
                match self.operations.insert(operation, id) {
                    Some(_) => Err(format!("there is an operation {operation} already")),
                    None => Ok(()),
                }
            }
            Line::Ok { operation, response } => {
                let response: Response = messages::read_response(response)?;
                self.end(operation, Outcome::Ok(response))
            }
            Line::Fail { operation, error } => self.end(operation, Outcome::Failed(error)),
            Line::Unknown { operation } => self.end(operation, Outcome::Unknown),
            Line::Watch { watch, request, duplicate, cancelled } => {
                let request: WatchCreateRequest = messages::read("WatchCreateRequest", request)?;
                let number = self.cluster.watches.asked(request, duplicate);
                if cancelled {
                    self.cluster.watches.cancel_asked(number);
                }
                match self.watches.insert(watch, number) {
                    Some(_) => Err(format!("there is a watch {watch} already")),
                    None => Ok(()),
                }
            }
            Line::Heard { watch, response } => {
                let response: WatchResponse = messages::read("WatchResponse", response)?;
                let Some(&number) = self.watches.get(&watch) else {
                    return Err(format!("nobody has asked for a watch {watch}"));
                };
                let clock = self.cluster.history.clock();
                self.cluster.watches.heard(number, clock, response);
                Ok(())
            }
        }
    }

    fn end(&mut self, operation: u64, outcome: Outcome) -> Result<(), String> {
        let Some(&id) = self.operations.get(&operation) else {
            return Err(format!("no operation {operation} was begun"));
        };
        if self.cluster.history[id].returned.is_some() {
            return Err(format!("operation {operation} has ended before"));
        }
        let (is_answered, now) = (outcome != Outcome::Unknown, self.cluster.history.clock());
        self.cluster.history.returned(id, outcome);
        // Behind what nobody was answered, a session may go on.
        if is_answered {
            let asked = &self.cluster.history[id];
            let last = self.answered.insert(asked.session, (now, operation));
            if let Some((_, other)) = last.filter(|(answered, _)| *answered > asked.invoked) {
                let one = "a session has one at a time, and another client has another session";
                return Err(format!(
                    "operations {} and {} of session {} overlap: {one}",
                    other.min(operation),
                    other.max(operation),
                    asked.session
                ));
            }
        }
        Ok(())
    }
}
