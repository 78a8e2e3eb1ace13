//! What of `real-time order` can be seen as soon as a read is answered, by revisions alone.
//!
//! A read that tells of a lower revision than one that a client had been told of before the read began is stale, whatever
//! else is in the log. Seen at once, it ends the run there, and a schedule that fails so is shrunk in runs that are no
//! longer than that. What stays for [`check`](super::check): reads that are stale by changes of which no client was told.

use vertebra_sim::verdict::Violation;

use super::{shape, violation};
use crate::history::{History, OperationId, Outcome};
use crate::response::Response;

/// The revisions of which clients were told.
#[derive(Default)]
pub struct Freshness {
    /// The highest one, and the operation whose client was told first.
    told: Told,
    /// What `told` was when each operation began.
    began: Vec<Told>,
}

/// No operation has told of revision 0.
#[derive(Clone, Copy, Default)]
struct Told {
    revision: i64,
    by: Option<OperationId>,
}

impl Freshness {
    /// `operation` begins. Each is told of in the order of the history.
    pub fn invoked(&mut self, operation: OperationId) {
        debug_assert_eq!(operation.index(), self.began.len());
        self.began.push(self.told);
    }

    /// `operation` has its outcome.
    ///
    /// # Errors
    ///
    /// It is a read, and stale.
    pub fn returned(&mut self, history: &History, operation: OperationId) -> Result<(), Violation> {
        let returned = &history[operation];
        let Outcome::Ok(response) = &returned.outcome else { return Ok(()) };
        if !tells_of_revision(response) || returned.request.is_serializable() {
            return Ok(());
        }
        let revision = response.revision();
        if let Told { revision: told, by: Some(earlier) } = self.began[operation.index()]
            && revision < told
            && returned.request.is_read_only()
        {
            let earlier = &history[earlier];
            let detail = format!("{earlier}\nwas over before this began: {returned}");
            return violation("real-time order", shape(earlier, returned), detail);
        }
        if revision > self.told.revision {
            self.told = Told { revision, by: Some(operation) };
        }
        Ok(())
    }
}

/// Whether the revision in its header is that of the state in which it was executed.
fn tells_of_revision(response: &Response) -> bool {
    matches!(response, Response::Range(_) | Response::Put(_) | Response::DeleteRange(_) | Response::Txn(_))
}
