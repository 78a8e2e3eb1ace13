//! Compactions, by what clients saw.
//!
//! What is compacted is a register beside the keys: each compaction that succeeds raises it, and nothing lowers it. It
//! can be judged apart from the search. The replay keeps all history, and here it is asked whether the register
//! was low enough for each read of the past that succeeded, and can have been high enough for each that was refused.
//!
//! The bounds are those of real time and of the revisions in the headers, between an operation and each compaction above
//! what it asks for. A refusal must have a compaction that was invoked before it returned; whether the header of that
//! compaction leaves room for the refusal is not asked.

use vertebra_sim::verdict::Violation;

use super::replies::each_revision;
use super::{shape, violation};
use crate::error::Error;
use crate::history::{History, Operation, Outcome, Request};

/// A compaction that succeeded.
struct Compacted<'a> {
    operation: &'a Operation,
    /// Where it compacted.
    at: i64,
    /// The revision that it saw.
    header: i64,
}

/// Judges the compactions of `history`, and what they make unreadable.
pub(super) fn check(history: &History) -> Result<(), Violation> {
    let mut compacted = Vec::new();
    // Those that succeeded, and those that may have: at which revision, and when they were invoked.
    let mut possible = Vec::new();
    for operation in history.operations() {
        let Request::Compact(compaction) = &operation.request else { continue };
        match &operation.outcome {
            Outcome::Ok(reply) => {
                // Where that is not told, it may be any.
                let header = if history.is_partial() { i64::MAX } else { reply.revision() };
                let at = compaction.revision;
                if at > header {
                    return refused(operation, operation);
                }
                compacted.push(Compacted { operation, at, header });
                possible.push((at, operation.invoked));
            }
            Outcome::Unknown => possible.push((compaction.revision, operation.invoked)),
            Outcome::Failed(_) => {}
        }
    }
    compacted.sort_by_key(|compacted| compacted.at);
    in_order(&compacted)?;
    let above = Above::of(&compacted);
    for operation in history.operations().iter().filter(|operation| !operation.request.is_serializable()) {
        match &operation.outcome {
            Outcome::Ok(reply) => {
                let mut result = Ok(());
                each_revision(&operation.request, Some(reply), &mut |revision| {
                    if result.is_ok() {
                        result = above.allow(&compacted, operation, revision, reply.revision());
                    }
                });
                result?;
            }
            Outcome::Failed(Error::Compacted) => {
                let mut founded = false;
                let mut take = |revision: i64, until: i64| {
                    let earlier = |&(at, invoked): &(i64, u64)| at >= until && invoked < operation.ended();
                    // Never compacted is to etcd compacted at -1, and in a transaction it looks there.
                    founded |= revision < -1 || possible.iter().any(earlier);
                };
                match &operation.request {
                    Request::Compact(compaction) => take(compaction.revision, compaction.revision),
                    request => each_revision(request, None, &mut |revision| take(revision, revision + 1)),
                }
                if !founded {
                    let detail = format!("{operation}: nothing was compacted that far");
                    return Err(violation("unfounded error", operation.request.kind(), detail));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Each compaction compacts further than those before it.
fn in_order(compacted: &[Compacted<'_>]) -> Result<(), Violation> {
    for pair in compacted.windows(2) {
        if let [before, next] = pair
            && (next.at == before.at || next.header < before.header)
        {
            return refused(before.operation, next.operation);
        }
    }
    let mut latest: Option<&Compacted<'_>> = None;
    for next in compacted {
        if let Some(before) = latest
            && next.operation.ended() < before.operation.invoked
        {
            return refused(before.operation, next.operation);
        }
        if latest.is_none_or(|before| next.operation.invoked >= before.operation.invoked) {
            latest = Some(next);
        }
    }
    Ok(())
}

/// For each compaction in order: of those from there on, which was over first, and which saw the lowest revision.
struct Above(Vec<(usize, usize)>);

impl Above {
    fn of(compacted: &[Compacted<'_>]) -> Self {
        let mut above = vec![(0, 0); compacted.len()];
        let mut best: Option<(usize, usize)> = None;
        for place in (0..compacted.len()).rev() {
            let (first, lowest) = best.unwrap_or((place, place));
            let ended = |place: usize| compacted[place].operation.ended();
            let first = if ended(place) <= ended(first) { place } else { first };
            let lowest = if compacted[place].header <= compacted[lowest].header { place } else { lowest };
            above[place] = (first, lowest);
            best = Some((first, lowest));
        }
        Self(above)
    }

    /// Whether `operation`, whose reply bears `header`, can have come before every compaction above `revision`.
    fn allow(
        &self,
        compacted: &[Compacted<'_>],
        operation: &Operation,
        revision: i64,
        header: i64,
    ) -> Result<(), Violation> {
        let next = compacted.partition_point(|compacted| compacted.at <= revision);
        let Some(&(first, lowest)) = self.0.get(next) else { return Ok(()) };
        if compacted[first].operation.ended() < operation.invoked {
            return refused(compacted[first].operation, operation);
        }
        if compacted[lowest].header < header {
            return refused(compacted[lowest].operation, operation);
        }
        Ok(())
    }
}

fn refused(one: &Operation, other: &Operation) -> Result<(), Violation> {
    Err(violation("compaction", shape(one, other), format!("{one}\n{other}")))
}

#[cfg(test)]
mod tests {
    use crate::api::{CompactionRequest, RangeRequest};
    use crate::error::Error;
    use crate::history::{History, Outcome, Request};
    use crate::oracle::linearizable_history;
    use crate::oracle::testing::{Script, put};

    fn compact(revision: i64) -> Request {
        Request::Compact(CompactionRequest { revision, physical: false })
    }

    fn read(revision: i64) -> Request {
        Request::Range(RangeRequest { key: "a".into(), revision, ..RangeRequest::default() })
    }

    /// Four puts, and then requests with the outcomes that a store gives that is compacted as `change` says.
    fn found(requests: &[Request], change: impl FnOnce(&mut Vec<Outcome>)) -> Option<&'static str> {
        let mut script = Script::new();
        for value in ["1", "2", "3", "4"] {
            script.write(1, put("a", value));
        }
        let mut outcomes: Vec<_> = requests.iter().map(|request| script.outcome(request)).collect();
        change(&mut outcomes);
        let mut history: History = script.history;
        for (request, outcome) in requests.iter().zip(outcomes) {
            let id = history.invoke(1, request.clone());
            history.returned(id, outcome);
        }
        linearizable_history::check(&history).err().map(|violation| violation.clause)
    }

    #[test]
    fn what_an_honest_store_answers_passes() {
        let requests =
            [read(2), compact(3), read(2), read(3), compact(3), compact(2), compact(6), compact(5), read(4)];
        assert_eq!(found(&requests, |_| ()), None);
    }

    #[test]
    fn a_compacted_revision_that_is_read_is_found() {
        let requests = [read(2), compact(3), read(2)];
        assert_eq!(found(&requests, |outcomes| outcomes[2] = outcomes[0].clone()), Some("compaction"));
    }

    #[test]
    fn a_refusal_without_a_compaction_is_found() {
        let refused = |outcomes: &mut Vec<Outcome>| outcomes[0] = Outcome::Failed(Error::Compacted);
        assert_eq!(found(&[read(2), compact(3)], refused), Some("unfounded error"));
        assert_eq!(found(&[compact(3), compact(2)], refused), Some("unfounded error"));
        assert_eq!(found(&[read(0)], refused), Some("unfounded error"));
        let last = |outcomes: &mut Vec<Outcome>| outcomes[1] = Outcome::Failed(Error::Compacted);
        assert_eq!(found(&[compact(3), read(3)], last), Some("unfounded error"));
        assert_eq!(found(&[compact(3), read(2)], last), None);
        assert_eq!(found(&[compact(3), compact(3)], last), None);
    }

    #[test]
    fn an_unknown_compaction_may_have_been() {
        let unknown = |outcomes: &mut Vec<Outcome>| {
            outcomes[0] = Outcome::Unknown;
            outcomes[1] = Outcome::Failed(Error::Compacted);
        };
        assert_eq!(found(&[compact(3), read(2)], unknown), None);
        assert_eq!(found(&[compact(3), read(3)], unknown), Some("unfounded error"));
    }

    #[test]
    fn compactions_that_go_back_or_come_twice_are_found() {
        let twice = |outcomes: &mut Vec<Outcome>| outcomes[1] = outcomes[0].clone();
        assert_eq!(found(&[compact(3), compact(3)], twice), Some("compaction"));
        assert_eq!(found(&[compact(3), compact(2)], twice), Some("compaction"));
        let future = |outcomes: &mut Vec<Outcome>| outcomes[1] = outcomes[0].clone();
        assert_eq!(found(&[compact(3), compact(6)], future), Some("compaction"));
    }
}
