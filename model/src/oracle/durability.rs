//! No acknowledged write is lost.
//!
//! Verifies, on a member that has caught up at the end of a run, for each acknowledged write:
//!
//! | clause | what must hold |
//! | --- | --- |
//! | `revision` | the member's store has reached its revision |
//! | `put` | each key that it put has that revision and that value there |
//! | `delete` | none of the keys that it is known to have deleted exists there |
//!
//! Where a compaction has taken the revision away, the oldest one left is asked instead: no key may be older there than
//! what was put. Stated in etcd's API guarantees (Durability).
//!
//! Does NOT verify unknown writes, writes that nobody made, or that the member could not lose power now: see
//! `agreement`, `linearizable_log` and `raft_safety`.

use vertebra_sim::verdict::Violation;

use super::linearizable_history::{changes, each_delete, each_put};
use super::raft_safety::MemberId;
use crate::api::KeyValue;
use crate::history::{History, Operation};

const ORACLE: &str = "durability";

/// The records of one member's store, as a reader at a revision sees them.
pub trait Records {
    /// The current revision.
    fn revision(&self) -> i64;

    /// The oldest revision that can still be read; anything below the first one if there was no compaction.
    fn compacted(&self) -> i64;

    /// The key as it was at the end of `revision`, if it existed then.
    fn get(&self, key: &[u8], revision: i64) -> Option<KeyValue>;
}

/// Looks for each acknowledged write of `history` in the store of `member`.
///
/// # Errors
///
/// The first write that is not there.
pub fn check(history: &History, member: MemberId, records: &impl Records) -> Result<(), Violation> {
    for operation in history.operations() {
        let Some(reply) = operation.reply() else { continue };
        let revision = reply.revision();
        if changes(&operation.request, reply) != Some(true) {
            continue;
        }
        if revision > records.revision() {
            let current = records.revision();
            return lost("revision", operation, format!("member {member} is at revision {current}"));
        }
        let at = revision.max(records.compacted());
        let mut result = Ok(());
        each_put(&operation.request, reply, &mut |put| {
            // It stands for a revision that a restoration has passed over, and no client can have written it.
            if put.key.is_empty() {
                return;
            }
            let there = records.get(&put.key, at);
            let kept = match &there {
                // Compacted since: deleted, perhaps.
                None => at > revision,
                Some(kv) if kv.mod_revision == revision => put.ignore_value || kv.value == put.value,
                Some(kv) => at > revision && kv.mod_revision > revision,
            };
            if result.is_ok() && !kept {
                result = lost("put", operation, format!("member {member} has at revision {at}: {there:?}"));
            }
        });
        each_delete(&operation.request, reply, &mut |key| {
            let there = records.get(key, at);
            let gone = there.as_ref().is_none_or(|kv| at > revision && kv.mod_revision > revision);
            if result.is_ok() && !gone {
                result =
                    lost("delete", operation, format!("member {member} has at revision {at}: {there:?}"));
            }
        });
        result?;
    }
    Ok(())
}

fn lost(clause: &'static str, operation: &Operation, there: String) -> Result<(), Violation> {
    Err(Violation::new(ORACLE, clause, operation.request.kind(), format!("{operation}; {there}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RangeRequest, RequestOp, TxnRequest, request_op};
    use crate::history::Request;
    use crate::oracle::testing::{Script, delete, put};
    use crate::specification::Specification;

    struct Store {
        content: Specification,
        compacted: i64,
    }

    impl Records for Store {
        fn revision(&self) -> i64 {
            self.content.revision()
        }

        fn compacted(&self) -> i64 {
            self.compacted
        }

        fn get(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
            let read = RangeRequest { key: key.to_vec().into(), revision, ..RangeRequest::default() };
            self.content.read(&read).unwrap().kvs.pop()
        }
    }

    /// The clients' writes, and what a store that got `applied` in their place makes of them.
    fn found(writes: &[Request], applied: &[Request]) -> Option<&'static str> {
        let mut script = Script::new();
        writes.iter().for_each(|write| script.write(1, write.clone()));
        let mut other = Script::new();
        applied.iter().for_each(|write| other.write(1, write.clone()));
        let last = other.specification.revision();
        let mut store = Store { content: other.specification, compacted: -1 };
        let plain = check(&script.history, 1, &store).err().map(|violation| violation.clause);
        // What can still be seen after a compaction is no more than before.
        store.compacted = last;
        let compacted = check(&script.history, 1, &store).err().map(|violation| violation.clause);
        assert!(compacted.is_none() || compacted == plain, "{compacted:?} and {plain:?}");
        plain
    }

    #[test]
    fn a_store_that_has_all_writes_passes() {
        let writes = [put("a", "1"), put("b", "2"), delete("a", ""), put("a", "3")];
        assert_eq!(found(&writes, &writes), None);
        assert_eq!(found(&writes, &[&writes[..], &[put("a", "4")]].concat()), None);
    }

    #[test]
    fn a_lost_tail_is_found() {
        assert_eq!(found(&[put("a", "1"), put("b", "2")], &[put("a", "1")]), Some("revision"));
    }

    #[test]
    fn a_write_replaced_by_another_is_found() {
        assert_eq!(found(&[put("a", "1")], &[put("a", "2")]), Some("put"));
        assert_eq!(found(&[put("a", "1")], &[put("b", "1")]), Some("put"));
    }

    #[test]
    fn a_lost_deletion_is_found() {
        let writes = [put("a", "1"), delete("a", "")];
        assert_eq!(found(&writes, &[put("a", "1"), put("b", "2")]), Some("delete"));
    }

    #[test]
    fn what_a_transaction_undoes_itself_is_not_lost() {
        let put = |key: &'static str| {
            let Request::Put(put) = put(key, "1") else { unreachable!() };
            RequestOp { request: Some(request_op::Request::RequestPut(put)) }
        };
        let delete = |key: &'static str| {
            let Request::DeleteRange(delete) = delete(key, "") else { unreachable!() };
            RequestOp { request: Some(request_op::Request::RequestDeleteRange(delete)) }
        };
        let txn = |success: Vec<RequestOp>| Request::Txn(TxnRequest { success, ..TxnRequest::default() });
        let undone = txn(vec![put("a"), delete("a")]);
        let done_again = txn(vec![delete("a"), put("a")]);
        let writes = [undone.clone(), super::tests::put("a", "0"), done_again.clone()];
        assert_eq!(found(&writes, &writes), None);
        assert_eq!(found(&[undone], &[super::tests::put("a", "1")]), Some("delete"));
        let lost = [super::tests::put("a", "0"), super::tests::delete("a", "")];
        assert_eq!(found(&[lost[0].clone(), done_again], &lost), Some("put"));
    }

    #[test]
    fn after_a_compaction_a_newer_content_is_no_loss() {
        let writes = [put("a", "1"), put("a", "2"), delete("a", "")];
        let mut script = Script::new();
        writes.iter().for_each(|write| script.write(1, write.clone()));
        let store = Store { content: script.specification.clone(), compacted: 4 };
        assert_eq!(check(&script.history, 1, &store), Ok(()));
    }
}
