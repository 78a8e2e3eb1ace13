//! Serializable reads: answered by one member from its own store, without asking a quorum.
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `unknown revision` | there never was the revision in the header |
//! | `future` | the write that made it was committed only after the read had returned |
//! | `another's state` | it is not the revision at which the member was by what it had applied: older, or newer than it could know |
//! | `content` | the state at this revision was another, or of a revision that the member had compacted |
//! | `error without a reason` | it is refused as compacted, or as one of the future, and was not |
//! | `went back` | it shows an older state than the same member, in the same process, had shown before it began |
//!
//! Reads in the past, also linearizable ones, are answered from the state at the revision that they ask for; of
//! linearizable ones `linearizable_log` asks that. The last clause counts them as well.
//!
//! Stated in etcd's API guarantees (KV API guarantees, "serializable" reads).
//!
//! Does NOT verify how old the state is: no age is too great. Nor that a client sees time go forward: it may ask
//! another member the next time, or the same after a start, whose store may be older for a while. The log is taken as the
//! truth; `linearizable_log` and `raft_safety` check it.

use std::collections::BTreeMap;

use vertebra_sim::verdict::Violation;

use super::linearizable_history::each_revision;
use super::linearizable_log::{Witness, difference};
use super::raft_safety::MemberId;
use super::replayed::Replayed;
use crate::error::Error;
use crate::history::{Event, History, Outcome, Request};
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
    members_go_forward(history, witness)?;
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
        if operation.outcome == Outcome::Failed(Error::FutureRevision) {
            let own = witness.trace(id).served_at.map(|index| replayed.revision_at(index));
            let mut asks_beyond = own.is_none();
            each_revision(&operation.request, None, &mut |revision| {
                asks_beyond |= own.is_some_and(|own| revision > own);
            });
            if !asks_beyond {
                let detail = format!("{operation}: the member was at revision {own:?}");
                return violation("error without a reason", kind, detail);
            }
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
        let is_read = matches!(operation.request, Request::Range(_) | Request::Txn(_));
        let own =
            witness.trace(id).served_at.filter(|_| is_read).map(|index| (index, replayed.revision_at(index)));
        if let Some((index, own)) = own.filter(|(_, own)| *own != at) {
            let detail =
                format!("{operation}: the member had applied entry {index}, and so was at revision {own}");
            return violation("another's state", kind, detail);
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

/// What one process of a member has shown: when that was answered, and the highest revision until then.
#[derive(Default)]
struct Shown {
    started: u64,
    highest: Vec<(u64, i64)>,
}

/// Reads that a member answers while it runs show states that never go back.
fn members_go_forward(history: &History, witness: &Witness) -> Result<(), Violation> {
    let mut shown: BTreeMap<MemberId, Shown> = BTreeMap::new();
    for event in history.events() {
        let Event::Returned(id) = *event else { continue };
        let operation = &history[id];
        if !matches!(operation.request, Request::Range(_) | Request::Txn(_))
            || !operation.request.is_read_only()
        {
            continue;
        }
        let Some(header) = operation.reply().and_then(Response::header) else { continue };
        let (member, revision, ended) = (header.member_id, header.revision, operation.ended());
        let starts = witness.starts(member);
        let begun = starts.partition_point(|start| *start <= ended);
        let started = begun.checked_sub(1).map_or(0, |last| starts[last]);
        // It may have been answered by the process before.
        if started > operation.invoked {
            continue;
        }
        let shown = shown.entry(member).or_default();
        if shown.started != started {
            *shown = Shown { started, highest: Vec::new() };
        }
        let before = shown.highest.partition_point(|(at, _)| *at < operation.invoked);
        let floor = before.checked_sub(1).map(|last| shown.highest[last]);
        if let Some((at, floor)) = floor.filter(|(_, floor)| revision < *floor) {
            let detail = format!("{operation}: member {member} had shown revision {floor} by {at}");
            return violation("went back", operation.request.kind(), detail);
        }
        if shown.highest.last().is_none_or(|(_, highest)| revision > *highest) {
            shown.highest.push((ended, revision));
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
    fn what_its_member_has_is_not_of_the_future() {
        let refused = |revision: i64, served_at: u64| {
            let mut script = Script::new();
            ["1", "2"].into_iter().for_each(|value| script.write(1, put("a", value)));
            let request = RangeRequest { revision, serializable: true, ..get("a") };
            let id = script.history.invoke(2, Request::Range(request));
            script.witness.served(id, served_at);
            script.history.returned(id, Outcome::Failed(Error::FutureRevision));
            check(&script.history, &script.witness, &Replayed::of(&script.witness))
        };
        refused(4, 2).unwrap();
        assert_eq!(clause(refused(3, 2)), "error without a reason");
        // A member that lags.
        refused(3, 1).unwrap();
    }

    #[test]
    fn a_read_shows_what_its_member_has_applied() {
        let served = |index| {
            read(|script, _| {
                let (id, _) = script.history.iter().last().unwrap();
                script.witness.served(id, index);
            })
        };
        served(1).unwrap();
        assert_eq!(clause(served(0)), "another's state");
        // It may be refused what others have applied by then.
        let later = read(|script, _| {
            let (id, _) = script.history.iter().last().unwrap();
            script.write(1, put("b", "1"));
            script.witness.served(id, 2);
        });
        assert_eq!(clause(later), "another's state");
    }

    /// A member shows revision 3, is perhaps started again, and shows revision 2.
    fn twice(other: bool, start: bool, overlapping: bool) -> Result<(), Violation> {
        let mut script = Script::new();
        ["1", "2"].into_iter().for_each(|value| script.write(1, put("a", value)));
        let request = RangeRequest { serializable: true, ..get("a") };
        let reply = |script: &Script, revision: i64, member_id: u64| {
            let mut reply = script.specification.read_at(&request, revision).unwrap();
            let header = reply.header.as_mut().unwrap();
            (header.revision, header.member_id) = (revision, member_id);
            Outcome::Ok(Response::Range(reply))
        };
        script.witness.restarted(1, 0);
        let early = overlapping.then(|| script.history.invoke(3, Request::Range(request.clone())));
        let first = script.history.invoke(2, Request::Range(request.clone()));
        script.history.returned(first, reply(&script, 3, 1));
        if start {
            script.witness.restarted(1, script.history.clock());
        }
        let second = early.unwrap_or_else(|| script.history.invoke(3, Request::Range(request.clone())));
        script.history.returned(second, reply(&script, 2, if other { 2 } else { 1 }));
        check(&script.history, &script.witness, &Replayed::of(&script.witness))
    }

    #[test]
    fn what_a_member_shows_never_goes_back_while_it_runs() {
        assert_eq!(clause(twice(false, false, false)), "went back");
        twice(true, false, false).unwrap();
        twice(false, true, false).unwrap();
        twice(false, false, true).unwrap();
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
