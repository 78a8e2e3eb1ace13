//! Revisions stand for one write each, and never go back.
//!
//! Verifies, in what clients saw ([`check`]; serializable reads count where it does not matter which member answered),
//! and as members apply ([`Revisions::applied`]):
//!
//! | clause | what must hold |
//! | --- | --- |
//! | `went back` | a session's linearizable replies bear revisions that never fall |
//! | `two writes` | no two acknowledged writes bear one revision |
//! | `two contents` | no key is seen with two contents at one modification revision |
//! | `impossible key` | 1 <= version, create revision <= mod revision <= the header's revision |
//! | `reused` | a revision belongs to one log index for ever, on all members and over all restarts |
//! | `skipped` | a member's revisions rise by one |
//!
//! Stated in etcd's API guarantees (Revisions), and by its robustness tests.
//!
//! Does NOT verify that the content is right, nor which write made it: see `linearizable_log`.

use std::collections::BTreeMap;

use vertebra_sim::verdict::Violation;

use super::linearizable_history::{changes, each_key};
use super::raft_safety::MemberId;
use super::shape;
use crate::api::KeyValue;
use crate::history::{Event, History, Request};

const ORACLE: &str = "revisions";

/// Judges what clients saw.
///
/// # Errors
///
/// The first broken clause.
pub fn check(history: &History) -> Result<(), Violation> {
    sessions_go_forward(history)?;
    writes_differ(history)?;
    contents_agree(history)
}

fn sessions_go_forward(history: &History) -> Result<(), Violation> {
    // By session: the highest revision of what has returned, and of which operation; by operation, the same when it
    // was invoked.
    let mut highest = BTreeMap::new();
    let mut floors = vec![None; history.operations().len()];
    for event in history.events() {
        match *event {
            Event::Invoked(id) => floors[id.index()] = highest.get(&history[id].session).copied(),
            Event::Returned(id) => {
                let operation = &history[id];
                // Of a compaction, a partial reply has no revision.
                let has_none = history.is_partial() && matches!(operation.request, Request::Compact(_));
                let is_told = !operation.request.is_serializable() && !has_none;
                let Some(reply) = operation.reply().filter(|_| is_told) else { continue };
                let revision = reply.revision();
                if let Some((floor, earlier)) = floors[id.index()]
                    && revision < floor
                {
                    let earlier = &history[earlier];
                    let detail = format!("{earlier}\n{operation}");
                    return violation("went back", shape(earlier, operation), detail);
                }
                let highest = highest.entry(operation.session).or_insert((revision, id));
                if revision > highest.0 {
                    *highest = (revision, id);
                }
            }
        }
    }
    Ok(())
}

fn writes_differ(history: &History) -> Result<(), Violation> {
    let writes = history.operations().iter().filter_map(|operation| {
        let reply = operation.reply()?;
        changes(&operation.request, reply)?.then(|| (reply.revision(), operation))
    });
    let mut writes: Vec<_> = writes.collect();
    writes.sort_by_key(|(revision, operation)| (*revision, operation.invoked));
    for pair in writes.windows(2) {
        if let [(one, first), (other, second)] = pair
            && one == other
        {
            return violation("two writes", shape(first, second), format!("{first}\n{second}"));
        }
    }
    Ok(())
}

fn contents_agree(history: &History) -> Result<(), Violation> {
    // Key and modification revision, with what the first who saw it saw; the value if anybody saw it.
    let mut contents: BTreeMap<&[u8], BTreeMap<i64, (&KeyValue, bool)>> = BTreeMap::new();
    for operation in history.operations() {
        let Some(reply) = operation.reply() else { continue };
        let mut result = Ok(());
        each_key(&operation.request, reply, &mut |sight| {
            let kv = sight.kv;
            let kind = operation.request.kind();
            let ordered = kv.create_revision <= kv.mod_revision && kv.mod_revision <= reply.revision();
            // Of what is left out of a partial reply, there is 0.
            let is_told = kv.version >= 1 && kv.create_revision >= 1;
            let is_left_out = history.is_partial() && kv.version >= 0 && kv.mod_revision >= 1;
            if result.is_ok() && !((is_told || is_left_out) && ordered) {
                result = violation("impossible key", kind, format!("{operation}: {kv:?}"));
            }
            let (first, keys_only) =
                contents.entry(&kv.key).or_default().entry(kv.mod_revision).or_insert((kv, sight.keys_only));
            let comparable = !*keys_only && !sight.keys_only;
            let is_version_told = !history.is_partial() || first.version > 0 && kv.version > 0;
            let same = (first.create_revision, first.lease) == (kv.create_revision, kv.lease)
                && (!is_version_told || first.version == kv.version)
                && (!comparable || first.value == kv.value);
            if result.is_ok() && !same {
                result =
                    violation("two contents", kind, format!("{operation}: {kv:?}; seen before: {first:?}"));
            }
            if *keys_only && !sight.keys_only {
                (*first, *keys_only) = (kv, false);
            }
        });
        result?;
    }
    Ok(())
}

/// The part of the oracle that watches members apply their logs.
#[derive(Debug, Default)]
pub struct Revisions {
    /// By revision: the index of the entry that made it; 0 for none.
    indexes: Vec<u64>,
    members: BTreeMap<MemberId, i64>,
}

impl Revisions {
    /// An oracle that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of `member` is at `revision`: a start, or a snapshot in place of the store.
    pub fn opened(&mut self, member: MemberId, revision: i64) {
        self.members.insert(member, revision);
    }

    /// By applying the entry at `index`, the store of `member` came to `revision` (which may be what it was).
    ///
    /// # Errors
    ///
    /// A broken clause.
    pub fn applied(&mut self, member: MemberId, index: u64, revision: i64) -> Result<(), Violation> {
        let before = *self.members.entry(member).or_insert(1);
        if revision == before {
            return Ok(());
        }
        self.members.insert(member, revision);
        if revision != before + 1 {
            let shape = if revision < before { "back" } else { "forward" };
            let detail =
                format!("member {member} went from revision {before} to {revision} at entry {index}");
            return violation("skipped", shape, detail);
        }
        let place = usize::try_from(revision).unwrap_or(0);
        if place >= self.indexes.len() {
            self.indexes.resize(place + 1, 0);
        }
        let first = &mut self.indexes[place];
        if *first == 0 {
            *first = index;
        }
        if *first != index {
            let detail =
                format!("revision {revision} is of entry {first}; member {member} gave it to entry {index}");
            return violation("reused", "", detail);
        }
        Ok(())
    }
}

fn violation(clause: &'static str, shape: impl Into<String>, detail: String) -> Result<(), Violation> {
    Err(Violation::new(ORACLE, clause, shape, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;
    use crate::oracle::testing::{Script, get, put};
    use crate::response::Response;

    /// Puts `a` twice and reads it twice in one session; `change` makes something of the replies.
    fn found(change: impl FnOnce(&mut [Response])) -> Option<&'static str> {
        let mut script = Script::new();
        let requests = [put("a", "1"), Request::Range(get("a")), put("b", "2"), Request::Range(get("a"))];
        let mut replies: Vec<Response> = requests.iter().map(|request| script.execute(request)).collect();
        change(&mut replies);
        let mut history = History::new();
        for (request, reply) in requests.into_iter().zip(replies) {
            let id = history.invoke(1, request);
            history.returned(id, Outcome::Ok(reply));
        }
        check(&history).err().map(|violation| violation.clause)
    }

    fn range(reply: &mut Response) -> &mut crate::api::RangeResponse {
        match reply {
            Response::Range(reply) => reply,
            other => panic!("not a read: {other:?}"),
        }
    }

    #[test]
    fn what_an_honest_store_answers_breaks_nothing() {
        assert_eq!(found(|_| ()), None);
    }

    #[test]
    fn what_a_partial_history_leaves_out_breaks_nothing() {
        let compaction = Request::Compact(crate::api::CompactionRequest { revision: 2, physical: false });
        let requests = [put("a", "1"), Request::Range(get("a")), compaction, Request::Range(get("a"))];
        let found = |version: i64, mod_revision: i64| {
            let (mut script, mut history) = (Script::new(), History::partial());
            for request in requests.clone() {
                let mut reply = script.execute(&request);
                match &mut reply {
                    Response::Range(reply) => {
                        for kv in &mut reply.kvs {
                            (kv.create_revision, kv.version, kv.mod_revision) = (0, version, mod_revision);
                        }
                    }
                    Response::Compact(reply) => reply.header = None,
                    _ => {}
                }
                let id = history.invoke(1, request);
                history.returned(id, Outcome::Ok(reply));
            }
            check(&history).err().map(|violation| violation.clause)
        };
        assert_eq!(found(0, 2), None);
        assert_eq!(found(-1, 2), Some("impossible key"));
        assert_eq!(found(1, 9), Some("impossible key"));
    }

    #[test]
    fn a_session_that_sees_an_older_revision_is_found() {
        assert_eq!(
            found(|replies| range(&mut replies[3]).header.as_mut().unwrap().revision = 2),
            Some("went back")
        );
    }

    #[test]
    fn two_writes_of_one_revision_are_found() {
        let reuse = |replies: &mut [Response]| replies[2] = replies[0].clone();
        assert_eq!(found(reuse), Some("two writes"));
    }

    #[test]
    fn a_key_with_two_contents_at_one_revision_is_found() {
        assert_eq!(found(|replies| range(&mut replies[3]).kvs[0].value = "x".into()), Some("two contents"));
        assert_eq!(found(|replies| range(&mut replies[3]).kvs[0].version = 2), Some("two contents"));
    }

    #[test]
    fn a_key_from_the_future_is_found() {
        assert_eq!(found(|replies| range(&mut replies[1]).kvs[0].mod_revision = 3), Some("impossible key"));
        assert_eq!(found(|replies| range(&mut replies[1]).kvs[0].version = 0), Some("impossible key"));
    }

    #[test]
    fn a_revision_belongs_to_one_entry_on_all_members() {
        let mut oracle = Revisions::new();
        oracle.applied(1, 3, 2).unwrap();
        oracle.applied(1, 4, 2).unwrap();
        oracle.applied(1, 5, 3).unwrap();
        // A member that starts again from an older store applies the same entries again.
        oracle.opened(1, 2);
        oracle.applied(1, 5, 3).unwrap();
        assert_eq!(oracle.applied(2, 4, 2).unwrap_err().clause, "reused");
    }

    #[test]
    fn a_member_whose_revision_jumps_is_found() {
        let mut oracle = Revisions::new();
        assert_eq!(oracle.applied(1, 3, 3).unwrap_err().clause, "skipped");
        assert_eq!(oracle.applied(1, 4, 1).unwrap_err().signature(), "revisions/skipped: back");
        oracle.opened(1, 7);
        oracle.applied(1, 9, 8).unwrap();
    }
}
