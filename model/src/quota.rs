//! What requests add to the backend, as etcd estimates it, and which of them alarms forbid.

use std::collections::BTreeSet;

use crate::api::alarm_request::AlarmAction;
use crate::api::request_op::Request as Op;
use crate::api::{AlarmRequest, AlarmType, InternalRaftRequest, PutRequest, RequestOp, TxnRequest};
use crate::error::Error;
use crate::history::Request;

/// What a key takes besides its name and value.
const KEY_BYTES: u64 = 256;

/// What a lease takes.
const LEASE_BYTES: u64 = 64;

/// What a request adds to the backend, in bytes; 0 if it adds nothing.
#[must_use]
pub fn cost(request: &InternalRaftRequest) -> u64 {
    let InternalRaftRequest { put, txn, lease_grant, .. } = request;
    put.as_ref().map_or(0, cost_of_put)
        + txn.as_ref().map_or(0, cost_of_txn)
        + lease_grant.map_or(0, |_| LEASE_BYTES)
}

/// The same of a request that is not proposed yet.
#[must_use]
pub fn cost_of_request(request: &Request) -> u64 {
    match request {
        Request::Put(put) => cost_of_put(put),
        Request::Txn(txn) => cost_of_txn(txn),
        Request::LeaseGrant(_) => LEASE_BYTES,
        _ => 0,
    }
}

fn cost_of_put(put: &PutRequest) -> u64 {
    KEY_BYTES + put.key.len() as u64 + put.value.len() as u64
}

/// The dearer branch. What is nested in it costs nothing: etcd does not look there, so such a transaction writes also
/// when there is no space.
fn cost_of_txn(txn: &TxnRequest) -> u64 {
    let cost = |op: &RequestOp| match &op.request {
        Some(Op::RequestPut(put)) => cost_of_put(put),
        Some(Op::RequestTxn(_) | Op::RequestRange(_) | Op::RequestDeleteRange(_)) | None => 0,
    };
    let branch = |ops: &[RequestOp]| ops.iter().map(cost).sum::<u64>();
    branch(&txn.success).max(branch(&txn.failure))
}

/// What is refused while alarms of these kinds are raised. The corrupt appliers of etcd stand before the capped ones, and
/// both before all others; what is about users and roles passes by them, and so do alarms.
///
/// # Errors
///
/// Why the request is refused.
pub fn check(request: &InternalRaftRequest, raised: impl Fn(AlarmType) -> bool) -> Result<(), Error> {
    if request.alarm.is_some() || request.auth.is_some() {
        return Ok(());
    }
    if raised(AlarmType::Corrupt) {
        return Err(Error::Corrupt);
    }
    if raised(AlarmType::Nospace) && cost(request) > 0 {
        return Err(Error::NoSpace);
    }
    Ok(())
}

/// Which alarms the log says are raised.
#[derive(Clone, Debug, Default)]
pub struct Logged(BTreeSet<(i32, u64)>);

impl Logged {
    /// Takes the next request of the log in, and says whether it is refused.
    pub fn refuses(&mut self, request: &InternalRaftRequest) -> bool {
        if let Some(AlarmRequest { member_id, alarm, .. }) = request.alarm {
            match request.alarm.map(|request| request.action()) {
                Some(AlarmAction::Activate) if alarm != AlarmType::None as i32 => {
                    self.0.insert((alarm, member_id));
                }
                Some(AlarmAction::Deactivate) => _ = self.0.remove(&(alarm, member_id)),
                _ => {}
            }
        }
        check(request, |kind| self.0.iter().any(|(alarm, _)| *alarm == kind as i32)).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{DeleteRangeRequest, LeaseGrantRequest};

    fn put(value: usize) -> InternalRaftRequest {
        let put = PutRequest { key: "key".into(), value: vec![0; value].into(), ..PutRequest::default() };
        InternalRaftRequest { put: Some(put), ..Default::default() }
    }

    #[test]
    fn a_request_costs_what_etcd_estimates() {
        assert_eq!(cost(&put(5)), 264);
        let grant =
            InternalRaftRequest { lease_grant: Some(LeaseGrantRequest::default()), ..Default::default() };
        assert_eq!(cost(&grant), 64);
        let op = |size| RequestOp { request: put(size).put.map(Op::RequestPut) };
        let inner = TxnRequest { failure: vec![op(1), op(2)], ..TxnRequest::default() };
        let nested = RequestOp { request: Some(Op::RequestTxn(inner)) };
        let txn = TxnRequest { success: vec![nested], failure: vec![op(100)], ..TxnRequest::default() };
        assert_eq!(cost(&InternalRaftRequest { txn: Some(txn), ..Default::default() }), 359);
    }

    #[test]
    fn alarms_forbid_what_adds_to_the_backend_or_everything() {
        let alarm = |action: AlarmAction, alarm: AlarmType| InternalRaftRequest {
            alarm: Some(AlarmRequest { action: action.into(), member_id: 1, alarm: alarm.into() }),
            ..Default::default()
        };
        let delete_range = Some(DeleteRangeRequest::default());
        let delete = InternalRaftRequest { delete_range, ..Default::default() };
        let mut logged = Logged::default();
        assert!(!logged.refuses(&put(1)));
        assert!(!logged.refuses(&alarm(AlarmAction::Activate, AlarmType::Nospace)));
        assert!(logged.refuses(&put(1)) && !logged.refuses(&delete));
        assert!(!logged.refuses(&alarm(AlarmAction::Activate, AlarmType::Corrupt)));
        assert!(logged.refuses(&delete));
        assert!(!logged.refuses(&alarm(AlarmAction::Deactivate, AlarmType::Corrupt)));
        assert!(!logged.refuses(&alarm(AlarmAction::Deactivate, AlarmType::Nospace)));
        assert!(!logged.refuses(&put(1)));
    }
}
