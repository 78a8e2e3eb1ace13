//! The quota of a member's backend, and the alarm that goes with it.

use std::rc::Rc;

use tokio::sync::oneshot;
use vertebra_sim::record;

use super::Member;
use crate::api::alarm_request::AlarmAction;
use crate::api::{AlarmRequest, AlarmType, InternalRaftRequest};
use crate::error::Error;
use crate::response::Response;

impl Member {
    /// Whether the backend has room for what costs so much.
    pub(super) fn fits(&self, cost: u64) -> bool {
        let quota = self.options.quota_backend_bytes;
        cost == 0 || quota < 0 || self.kv.backend().size() + cost < quota.unsigned_abs()
    }

    /// Lets all members know that this one has no space left.
    pub(super) async fn raise_no_space(&self) {
        record!(self.node, "member", "has no space left");
        let alarm = AlarmRequest {
            action: AlarmAction::Activate.into(),
            member_id: self.id,
            alarm: AlarmType::Nospace.into(),
        };
        // What wanted the space is refused in any case.
        let _ = self.propose_unasked(InternalRaftRequest { alarm: Some(alarm), ..Default::default() }).await;
    }

    /// The same beside everything else; then whoever waits hears that there is no space.
    pub(super) fn refuse_for_space(
        self: &Rc<Self>,
        waiter: Option<oneshot::Sender<Result<Response, Error>>>,
    ) {
        let member = Rc::clone(self);
        self.node.spawn(async move {
            member.raise_no_space().await;
            if let Some(waiter) = waiter {
                let _ = waiter.send(Err(Error::NoSpace));
            }
        });
    }
}
