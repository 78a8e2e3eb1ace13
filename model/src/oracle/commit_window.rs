//! When things were committed, compared with what clients were told, and when.
//!
//! Verifies more than linearizability asks for, so that a bug shows near its cause:
//!
//! | clause | what is wrong |
//! | --- | --- |
//! | `acknowledged before commit` | a client got the reply to a write that was not committed yet |
//! | `read before commit` | a linearizable read showed what was not committed when its client got the reply |
//! | `stale read` | such a read did not show everything that was committed before it was invoked, whether or not anybody had been told |
//!
//! A ReadIndex keeps the last one: the leader has committed an entry of its own term, and confirms that it still leads,
//! after the read has begun. A lease read under clocks that drift breaks it first. Stated in the dissertation on Raft
//! (Ongaro 2014, section 6.4).
//!
//! Does NOT verify replies or order: the history may be linearizable where this fails, and the reverse.

use vertebra_sim::verdict::Violation;

use super::linearizable_log::Witness;
use crate::history::{History, Operation};

const ORACLE: &str = "commit window";

/// Judges the moments of `history` by those of `witness`.
///
/// # Errors
///
/// The first broken clause.
pub fn check(history: &History, witness: &Witness) -> Result<(), Violation> {
    let entries = witness.entries();
    for (entry, operation) in entries.iter().zip(witness.operations(history)) {
        let Some(operation) = operation.map(|id| &history[id]) else { continue };
        if operation.reply().is_some() && operation.ended() < entry.committed {
            let at = (entry.index, entry.committed);
            return violation("acknowledged before commit", operation, at);
        }
    }
    for (id, operation) in history.iter() {
        if !operation.request.is_read_only() || operation.request.is_serializable() {
            continue;
        }
        let (Some(served_at), Some(_)) = (witness.trace(id).served_at, operation.reply()) else { continue };
        let next = entries.partition_point(|entry| entry.index <= served_at);
        if let Some(last) = next.checked_sub(1).map(|last| &entries[last])
            && operation.ended() < last.committed
        {
            return violation("read before commit", operation, (last.index, last.committed));
        }
        if let Some(missed) = entries.get(next)
            && missed.committed <= operation.invoked
        {
            return violation("stale read", operation, (missed.index, missed.committed));
        }
    }
    Ok(())
}

fn violation(clause: &'static str, operation: &Operation, (index, at): (u64, u64)) -> Result<(), Violation> {
    let detail = format!("{operation}: entry {index} was committed at {at}");
    Err(Violation::new(ORACLE, clause, operation.request.kind(), detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Outcome, Request};
    use crate::oracle::testing::{Script, get, put};

    fn clause(script: &Script) -> Option<&'static str> {
        check(&script.history, &script.witness).err().map(|violation| violation.clause)
    }

    #[test]
    fn a_write_is_committed_before_it_is_acknowledged() {
        for late in [false, true] {
            let mut script = Script::new();
            let id = script.invoke(1, put("a", "1"));
            if !late {
                script.apply(id);
            }
            let reply = script.reply_of(&put("a", "1"));
            script.history.returned(id, Outcome::Ok(reply));
            if late {
                script.apply(id);
            }
            assert_eq!(clause(&script), late.then_some("acknowledged before commit"));
        }
    }

    #[test]
    fn a_read_shows_all_that_was_committed_before_it_began_and_nothing_that_was_not() {
        for (served_at, found) in
            [(0, Some("stale read")), (1, None), (2, None), (3, Some("read before commit"))]
        {
            let mut script = Script::new();
            script.write(1, put("a", "1"));
            let read = script.invoke(2, Request::Range(get("a")));
            let unanswered = script.invoke(1, put("a", "2"));
            script.apply(unanswered);
            script.history.returned(read, Outcome::Ok(script.reply_of(&Request::Range(get("a")))));
            script.witness.served(read, served_at);
            script.write(3, put("a", "3"));
            assert_eq!(clause(&script), found, "served at {served_at}");
        }
    }
}
