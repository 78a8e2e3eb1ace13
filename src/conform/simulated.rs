//! The model, as one of the two sides: a cluster whose time goes on while something is waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use vertebra_model::Options;
use vertebra_model::grpc::{CallId, Down, Up};
use vertebra_model::served::faults::{HOURS, Severity};
use vertebra_model::served::session::Session;
use vertebra_model::served::{Served, faults};
use vertebra_sim::schedule::Schedule;

use super::side::Side;
use crate::exit::Refusal;

/// After so many sequences, a new cluster takes the place of the old one, whose history has grown.
const SEQUENCES: u32 = 100;
/// Until there is a leader.
const ELECTION: Duration = Duration::from_secs(3);
/// The one that is asked.
const MEMBER: u16 = 1;

/// A cluster of one member.
pub struct Simulated {
    schedule: Schedule<Options>,
    session: Option<Session>,
    sequences: u32,
    /// The numbers that calls have there, and have here.
    there: BTreeMap<CallId, CallId>,
}

impl Simulated {
    /// A cluster with these bugs.
    ///
    /// # Errors
    ///
    /// No such cluster can be made.
    pub fn new() -> Result<Self, Refusal> {
        let schedule = faults::schedule(1, Served::usual(1), Severity::None, HOURS)?;
        Ok(Self { schedule, session: None, sequences: 0, there: BTreeMap::new() })
    }

    fn session(&mut self) -> &mut Session {
        self.session.get_or_insert_with(|| {
            let mut session = Session::begin(self.schedule.clone());
            session.advance(ELECTION);
            session
        })
    }
}

impl Side for Simulated {
    fn begin(&mut self) -> Result<(), Refusal> {
        self.sequences += 1;
        if !self.sequences.is_multiple_of(SEQUENCES) {
            return Ok(());
        }
        self.there.clear();
        let Some(session) = self.session.take() else { return Ok(()) };
        match session.finish().verdict.signature() {
            None => Ok(()),
            Some(signature) => {
                Err(Refusal::new(format!("the model broke a guarantee of its own: {signature}")))
            }
        }
    }

    fn up(&mut self, up: Up) -> Result<(), Refusal> {
        let (Up::Begin { call, .. }
        | Up::Message { call, .. }
        | Up::HalfClose { call }
        | Up::Consumed { call, .. }
        | Up::Cancel { call }) = up;
        let there = self.there.get(&call).copied();
        let session = self.session();
        match (up, there) {
            (Up::Begin { path, metadata, .. }, _) => {
                let there = session.call(MEMBER, &path, metadata);
                self.there.insert(call, there);
            }
            (Up::Message { bytes, .. }, Some(there)) => session.send(there, bytes),
            (Up::HalfClose { .. }, Some(there)) => session.half_close(there),
            (Up::Cancel { .. }, Some(there)) => {
                session.cancel(there);
                self.there.remove(&call);
            }
            _ => {}
        }
        Ok(())
    }

    fn next(&mut self, call: CallId, patience: Duration) -> Result<Option<Down>, Refusal> {
        let Some(there) = self.there.get(&call).copied() else { return Ok(None) };
        Ok(match self.session().next(there, patience) {
            Some(Down::Message { bytes, .. }) => Some(Down::Message { call, bytes }),
            Some(Down::End { status, .. }) => {
                self.there.remove(&call);
                Some(Down::End { call, status })
            }
            None => None,
        })
    }
}
