//! Histories of etcd clusters: what clients were answered, and what watches told.

use vertebra_model::history::{History, OperationId};
use vertebra_model::oracle::linearizable_history::{self, Conclusion, Limits, explain};
use vertebra_model::oracle::{refusals, revisions, watch_by_history};
use vertebra_model::watch_history::{WatchHistory, Watched};
use vertebra_sim::Violation;

use super::tell::{Explained, Marked, WatchTold};
use crate::histories::shown;

pub mod lines;
pub mod robustness;

/// What was seen of one cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    pub history: History,
    pub watches: WatchHistory,
}

impl Cluster {
    /// Whether it is as etcd promises; nothing if `limits` do not suffice to say.
    ///
    /// # Errors
    ///
    /// The first promise that it breaks.
    pub fn judge(&self, limits: Limits) -> Result<Option<()>, Violation> {
        let (conclusion, writes) = linearizable_history::find_order(&self.history, limits)?;
        refusals::check_recorded(&self.history)?;
        revisions::check(&self.history)?;
        if conclusion != Conclusion::Linearizable {
            return Ok(None);
        }
        let conclusion = watch_by_history::check(&self.watches, &self.history, &writes, limits)?;
        Ok((conclusion == Conclusion::Linearizable).then_some(()))
    }

    /// Which operations a promise is broken by, or which response of a watch.
    pub fn explained(&self, violation: &Violation) -> (Option<Explained>, Marked) {
        match violation.oracle {
            linearizable_history::NAME => {}
            watch_by_history::NAME => {
                return (None, Marked { told: self.told_wrongly(), ..Marked::default() });
            }
            _ => return (None, Marked::default()),
        }
        let Some(why) = explain::explain(&self.history) else { return (None, Marked::default()) };
        let told = |id: &OperationId| {
            let operation = &self.history[*id];
            let (invoked, returned) = (operation.invoked, operation.returned);
            let until = returned.map_or(String::new(), |returned| returned.to_string());
            let (session, request) = (operation.session, &operation.request);
            let outcome = shown::outcome(&operation.outcome);
            format!("session {session}: {request} at {invoked}..{until} -> {outcome}")
        };
        let refused = &self.history[why.refused];
        let explained = Explained {
            answer: format!("what session {} was answered at event {}", refused.session, refused.ended()),
            refused: told(&why.refused),
            contradiction: why.contradiction.iter().map(told).collect(),
            least: why.is_least,
            ordered: why.order.len(),
        };
        let marked = Marked {
            refused: Some(why.refused.index()),
            contradiction: why.contradiction.iter().map(|id| id.index()).collect(),
            ..Marked::default()
        };
        (Some(explained), marked)
    }

    /// The first response, of the first watch, with which that watch alone tells what cannot be.
    fn told_wrongly(&self) -> Option<WatchTold> {
        let limits = Limits::of(&self.history);
        let (_, writes) = linearizable_history::find_order(&self.history, limits).ok()?;
        let is_wrong = |watched: &Watched, responses: usize| {
            let mut alone = WatchHistory::default();
            let heard = watched.heard[..responses].to_vec();
            alone.push(Watched { heard, resumes: None, ..watched.clone() });
            watch_by_history::check(&alone, &self.history, &writes, limits).is_err()
        };
        let mut watches = self.watches.watches().iter().enumerate();
        let (watch, watched) = watches.find(|(_, watched)| is_wrong(watched, watched.heard.len()))?;
        let (mut right, mut wrong) = (0, watched.heard.len());
        while wrong - right > 1 {
            let middle = right + (wrong - right) / 2;
            if is_wrong(watched, middle) { wrong = middle } else { right = middle }
        }
        Some(WatchTold { watch, response: wrong.checked_sub(1)? })
    }
}
