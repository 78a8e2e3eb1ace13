//! Serializable reads: answered by one member from its own store, without asking a quorum.
//!
//! Verifies that such a read shows the state that the store had at the revision in its header (`content`), that this
//! revision existed (`unknown revision`), and that the write which made it was committed before the read returned
//! (`future`); that it shows no revision that the member had compacted (`content`), and is not refused as one that was
//! compacted without a reason (`error without a reason`).
//!
//! Does NOT verify how old the state is: no age is too great. Nor that a client sees time go forward: it may ask
//! another member the next time. The log is taken as the truth; `linearizable_log` and `raft_safety` check it.

use vertebra_sim::verdict::Violation;

use super::linearizable_history::each_revision;
use super::linearizable_log::{Witness, difference};
use super::replayed::Replayed;
use crate::error::Error;
use crate::history::{History, Outcome, Request};
use crate::response::Response;

const ORACLE: &str = "serializable";

/// Judges the serializable reads of `history` by the log of `witness`, which came to what is `replayed`.
///
/// # Errors
///
/// The first broken clause.
pub fn check(history: &History, witness: &Witness, replayed: &Replayed) -> Result<(), Violation> {
    let serializable = |request: &Request| request.is_serializable();
    if !history.operations().iter().any(|operation| serializable(&operation.request)) {
        return Ok(());
    }
    let Replayed { specification, committed, compactions, .. } = replayed;
    // That of the empty store.
    let first = 1;
    let compacted_at = |index: u64| {
        let later = compactions.partition_point(|compaction| compaction.index <= index);
        later.checked_sub(1).map(|last| compactions[last].revision)
    };
    for (id, operation) in history.iter().filter(|(_, operation)| serializable(&operation.request)) {
        let (kind, at) = (operation.request.kind(), operation.reply().map_or(first, Response::revision));
        let compacted = witness.trace(id).served_at.and_then(compacted_at);
        let asks_before = |reply: Option<&Response>| {
            let mut before = false;
            let never = |revision: i64| compacted.is_none() && revision < -1;
            let gone = |revision: i64| compacted.is_some_and(|compacted| revision < compacted);
            each_revision(&operation.request, reply, &mut |revision| {
                before |= never(revision) || gone(revision)
            });
            before
        };
        if operation.outcome == Outcome::Failed(Error::Compacted) && !asks_before(None) {
            let detail = format!("{operation}: the member had compacted at {compacted:?}");
            return violation("error without a reason", kind, detail);
        }
        let Outcome::Ok(reply) = &operation.outcome else { continue };
        if asks_before(Some(reply)) {
            let detail = format!("{operation}: the member had compacted at {compacted:?}");
            return violation("content", format!("{kind}: success instead of an error"), detail);
        }
        if at < first || at > specification.revision() {
            let detail = format!("{operation}: the last revision is {}", specification.revision());
            return violation("unknown revision", kind, detail);
        }
        if at > first {
            let committed = committed[(at - first - 1) as usize];
            if operation.ended() < committed {
                return violation(
                    "future",
                    kind,
                    format!("{operation}: revision {at} was committed at {committed}"),
                );
            }
        }
        let expected: Result<Response, Error> = match &operation.request {
            Request::Range(read) => specification.read_at(read, at).map(Response::Range),
            Request::Txn(txn) => specification.read_txn_at(txn, at).map(Response::Txn),
            _ => continue,
        };
        let field = match &expected {
            Ok(expected) => difference(expected, reply),
            Err(_) => Some("success instead of an error"),
        };
        if let Some(field) = field {
            let detail = format!("{operation}: the state gives {expected:?}, the client got {reply:?}");
            return violation("content", format!("{kind}: {field}"), detail);
        }
    }
    Ok(())
}

fn violation(clause: &'static str, shape: impl Into<String>, detail: String) -> Result<(), Violation> {
    Err(Violation::new(ORACLE, clause, shape, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CompactionRequest, RangeRequest};
    use crate::oracle::testing::{Script, get, put};

    /// A put of `a` (revision 2), then a serializable read that returns `reply`.
    fn read(change: impl FnOnce(&mut Script, &mut crate::api::RangeResponse)) -> Result<(), Violation> {
        let mut script = Script::new();
        script.write(1, put("a", "1"));
        let mut request = get("a");
        request.serializable = true;
        let mut reply = script.specification.read(&request).unwrap();
        let id = script.history.invoke(2, Request::Range(request));
        change(&mut script, &mut reply);
        script.history.returned(id, Outcome::Ok(Response::Range(reply)));
        script.write(1, put("a", "2"));
        check(&script.history, &script.witness, &Replayed::of(&script.witness))
    }

    fn clause(result: Result<(), Violation>) -> &'static str {
        result.unwrap_err().clause
    }

    #[test]
    fn a_read_may_show_an_old_state() {
        read(|_, _| ()).unwrap();
        read(|script, _| script.write(1, put("a", "3"))).unwrap();
        read(|_, reply| {
            reply.header.as_mut().unwrap().revision = 1;
            (reply.kvs, reply.count) = (Vec::new(), 0);
        })
        .unwrap();
    }

    #[test]
    fn a_read_may_not_mix_two_states() {
        let mixed = read(|_, reply| reply.header.as_mut().unwrap().revision = 1);
        assert_eq!(clause(mixed), "content");
        let other = read(|_, reply| reply.kvs[0].value = "2".into());
        assert_eq!(clause(other), "content");
    }

    /// A serializable read of revision 2 at the entry `served_at`, where the fourth compacted at 3.
    fn compacted(served_at: u64, outcome: impl FnOnce(&mut Script) -> Outcome) -> Result<(), Violation> {
        let mut script = Script::new();
        ["1", "2", "3"].into_iter().for_each(|value| script.write(1, put("a", value)));
        let request = RangeRequest { revision: 2, serializable: true, ..get("a") };
        let outcome = outcome(&mut script);
        script.write(1, Request::Compact(CompactionRequest { revision: 3, physical: false }));
        let id = script.history.invoke(2, Request::Range(request));
        script.witness.served(id, served_at);
        script.history.returned(id, outcome);
        check(&script.history, &script.witness, &Replayed::of(&script.witness))
    }

    #[test]
    fn a_member_that_lags_may_show_what_others_have_compacted_and_none_what_it_has_compacted_itself() {
        let shown = |script: &mut Script| {
            let request = RangeRequest { revision: 2, ..get("a") };
            Outcome::Ok(Response::Range(script.specification.read(&request).unwrap()))
        };
        compacted(3, shown).unwrap();
        assert_eq!(clause(compacted(4, shown)), "content");
        let refused = |_: &mut Script| Outcome::Failed(Error::Compacted);
        compacted(4, refused).unwrap();
        assert_eq!(clause(compacted(3, refused)), "error without a reason");
    }

    #[test]
    fn a_read_may_not_show_what_is_yet_to_come() {
        let future = read(|_, reply| {
            reply.header.as_mut().unwrap().revision = 3;
            (reply.kvs[0].value, reply.kvs[0].mod_revision, reply.kvs[0].version) = ("2".into(), 3, 2);
        });
        assert_eq!(clause(future), "future");
        let unknown = read(|_, reply| reply.header.as_mut().unwrap().revision = 4);
        assert_eq!(clause(unknown), "unknown revision");
    }
}
