//! The alarms that are raised, as the backend has them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;

use crate::api::alarm_request::AlarmAction;
use crate::api::{AlarmMember, AlarmRequest, AlarmType};
use crate::backend::Bucket;
use crate::mvcc::{Read, Write};

/// The alarms of a member's store: what is wrong, and whose member it is.
#[derive(Default)]
pub(super) struct Alarms(RefCell<BTreeSet<(i32, u64)>>);

impl Alarms {
    /// Takes over those of a backend.
    pub(super) fn restore(&self, tx: &impl Read) {
        let raised = tx.range(Bucket::Alarm, b"", &[0xff; 32], usize::MAX);
        let raised = raised.into_iter().filter_map(|(key, _)| AlarmMember::decode(key).ok());
        *self.0.borrow_mut() = raised.map(|alarm| (alarm.alarm, alarm.member_id)).collect();
    }

    /// Raises or takes back. Whether that changed anything.
    pub(super) fn apply(&self, tx: &mut impl Write, request: &AlarmRequest) -> bool {
        if request.alarm == AlarmType::None as i32 {
            return false;
        }
        let alarm = AlarmMember { member_id: request.member_id, alarm: request.alarm };
        let key = Bytes::from(alarm.encode_to_vec());
        let entry = (alarm.alarm, alarm.member_id);
        match request.action() {
            AlarmAction::Activate if self.0.borrow_mut().insert(entry) => {
                tx.put(Bucket::Alarm, key, Bytes::new());
                true
            }
            AlarmAction::Deactivate if self.0.borrow_mut().remove(&entry) => {
                tx.delete(Bucket::Alarm, key);
                true
            }
            _ => false,
        }
    }

    /// Those of a kind, or for none all of them, in the order of the members.
    pub(super) fn of_kind(&self, kind: i32) -> Vec<AlarmMember> {
        let alarms = self.0.borrow();
        let meant = alarms.iter().filter(|(alarm, _)| kind == AlarmType::None as i32 || *alarm == kind);
        meant.map(|(alarm, member_id)| AlarmMember { member_id: *member_id, alarm: *alarm }).collect()
    }

    /// Whether any alarm of this kind is raised.
    pub(super) fn any(&self, alarm: AlarmType) -> bool {
        self.0.borrow().iter().any(|(kind, _)| *kind == alarm as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvcc::Memory;

    #[test]
    fn an_alarm_outlives_a_restart_until_it_is_taken_back() {
        let (alarms, mut buckets) = (Alarms::default(), Memory::default());
        let request = |action: AlarmAction| AlarmRequest {
            action: action.into(),
            member_id: 0,
            alarm: AlarmType::Corrupt.into(),
        };
        assert!(alarms.apply(&mut buckets, &request(AlarmAction::Activate)));
        assert!(!alarms.apply(&mut buckets, &request(AlarmAction::Activate)));
        let restarted = Alarms::default();
        assert!(!restarted.any(AlarmType::Corrupt));
        restarted.restore(&buckets);
        assert!(restarted.any(AlarmType::Corrupt) && !restarted.any(AlarmType::Nospace));
        assert!(restarted.apply(&mut buckets, &request(AlarmAction::Deactivate)));
        alarms.restore(&buckets);
        assert!(!alarms.any(AlarmType::Corrupt));
    }
}
