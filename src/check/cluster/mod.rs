//! Histories of etcd clusters: what clients were answered, and what watches told.

use vertebra_model::history::History;
use vertebra_model::oracle::linearizable_history::{self, Conclusion, Limits};
use vertebra_model::oracle::watch_by_history;
use vertebra_model::watch_history::WatchHistory;
use vertebra_sim::Violation;

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
        if conclusion != Conclusion::Linearizable {
            return Ok(None);
        }
        let conclusion = watch_by_history::check(&self.watches, &self.history, &writes, limits)?;
        Ok((conclusion == Conclusion::Linearizable).then_some(()))
    }
}
