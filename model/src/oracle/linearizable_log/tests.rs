//! For each clause the smallest violation, beside a twin that is legal.

use std::cell::RefCell;

use super::*;
use crate::api::{PutRequest, RequestHeader};
use crate::oracle::testing::{Script, get, put};

fn clause(history: &History, witness: &Witness) -> Option<&'static str> {
    check(history, witness).err().map(|violation| violation.clause)
}

fn read(key: &'static str) -> Request {
    Request::Range(get(key))
}

/// Two writes, one read, one write of unknown outcome.
fn honest() -> Script {
    let mut script = Script::new();
    script.write(1, put("a", "1"));
    script.write(2, put("a", "2"));
    script.write(1, read("a"));
    let lost = script.invoke(3, put("a", "3"));
    script.apply(lost);
    script
}

/// What the oracle says of the honest run after `change` to its log.
fn after(change: impl FnOnce(&mut Vec<LogEntry>)) -> Option<&'static str> {
    let mut script = honest();
    change(&mut script.witness.entries);
    clause(&script.history, &script.witness)
}

#[test]
fn an_honest_run_passes() {
    assert_eq!(after(|_| ()), None);
    // The unknown write may as well never have got there.
    assert_eq!(after(|entries| drop(entries.pop())), None);
    // Indexes may skip: entries that hold no request are left out.
    assert_eq!(after(|entries| entries[2].index = 9), None);
}

#[test]
fn indexes_rise() {
    assert_eq!(after(|entries| entries[2].index = 2), Some("log order"));
}

#[test]
fn an_acknowledged_write_is_in_the_log() {
    assert_eq!(after(|entries| entries.truncate(0)), Some("read reply"));
    let mut script = Script::new();
    script.write(1, put("a", "1"));
    script.witness.entries.clear();
    assert_eq!(clause(&script.history, &script.witness), Some("lost write"));
}

#[test]
fn a_request_is_in_the_log_once() {
    let again = |entries: &mut Vec<LogEntry>, of: usize| {
        let entry = LogEntry { index: 4, ..entries[of].clone() };
        entries.push(entry);
    };
    assert_eq!(after(|entries| again(entries, 0)), Some("applied twice"));
    assert_eq!(after(|entries| again(entries, 2)), Some("applied twice"));
}

#[test]
fn an_entry_is_of_an_operation_and_says_what_it_asked_for() {
    let stranger = |entries: &mut Vec<LogEntry>| {
        entries[2].request.header = Some(RequestHeader { id: 7, ..RequestHeader::default() })
    };
    assert_eq!(after(stranger), Some("phantom entry"));
    let changed = |entries: &mut Vec<LogEntry>| {
        entries[2].request.put = Some(PutRequest { key: "b".into(), ..PutRequest::default() });
    };
    assert_eq!(after(changed), Some("phantom entry"));
}

#[test]
fn an_entry_is_committed_after_its_operation_began() {
    assert_eq!(after(|entries| entries[1].committed = 2), Some("applied before invocation"));
    assert_eq!(after(|entries| entries[1].committed = 3), None);
}

#[test]
fn a_refused_write_changes_nothing() {
    for (applied, expected) in [(false, None), (true, Some("refused but applied"))] {
        let mut script = Script::new();
        let id = script.invoke(1, put("a", "1"));
        if applied {
            script.apply(id);
        }
        script.history.returned(id, Outcome::Failed(Error::TooManyRequests));
        assert_eq!(clause(&script.history, &script.witness), expected);
    }
}

#[test]
fn a_refusal_by_the_state_is_in_the_log_and_true() {
    let touch = || Request::Put(PutRequest { key: "a".into(), ignore_value: true, ..PutRequest::default() });
    let mut script = Script::new();
    script.write(1, touch());
    assert_eq!(clause(&script.history, &script.witness), None);

    let mut script = Script::new();
    let id = script.invoke(1, touch());
    script.history.returned(id, Outcome::Failed(Error::KeyNotFound));
    assert_eq!(clause(&script.history, &script.witness), Some("error without index"));

    let mut script = Script::new();
    script.write(1, put("a", "1"));
    let id = script.invoke(1, touch());
    script.apply(id);
    script.history.returned(id, Outcome::Failed(Error::KeyNotFound));
    assert_eq!(clause(&script.history, &script.witness), Some("refused but applied"));
}

#[test]
fn a_write_replies_what_the_log_gives() {
    for (revision, expected) in [(2, None), (3, Some("write reply"))] {
        let mut script = Script::new();
        let id = script.invoke(1, put("a", "1"));
        script.apply(id);
        let header = Some(crate::api::ResponseHeader { revision, ..Default::default() });
        script
            .history
            .returned(id, Outcome::Ok(Response::Put(crate::api::PutResponse { header, prev_kv: None })));
        assert_eq!(clause(&script.history, &script.witness), expected);
    }
}

#[test]
fn a_read_replies_what_the_log_gives_at_its_index() {
    for (index, expected) in [(2, None), (1, Some("read reply")), (3, Some("read reply"))] {
        let mut script = honest();
        script.witness.traces[2].served_at = Some(index);
        assert_eq!(clause(&script.history, &script.witness), expected, "{index}");
    }
}

#[test]
fn a_read_says_where_it_was_served() {
    let mut script = honest();
    script.witness.traces[2].served_at = None;
    assert_eq!(clause(&script.history, &script.witness), Some("read without index"));
}

#[test]
fn an_operation_stands_after_those_that_were_over_before_it_began() {
    for concurrent in [true, false] {
        let mut script = Script::new();
        let early = script.reply_of(&read("a"));
        let write = script.invoke(1, put("a", "1"));
        let outcome = script.apply(write);
        let first = concurrent.then(|| script.invoke(2, read("a")));
        script.history.returned(write, outcome);
        let id = first.unwrap_or_else(|| script.invoke(2, read("a")));
        script.witness.served(id, 0);
        script.history.returned(id, Outcome::Ok(early));
        let found = clause(&script.history, &script.witness);
        assert_eq!(found, (!concurrent).then_some("real-time order"));
    }
}

#[test]
fn a_stale_read_is_noticed_when_it_is_answered() {
    let serializable = Request::Range(crate::api::RangeRequest { serializable: true, ..get("a") });
    let stale = Some("linearizable log/real-time order: Range after Put");
    let cases = [(read("a"), false, stale), (read("a"), true, None), (serializable, false, None)];
    for (read, concurrent, expected) in cases {
        let (mut script, freshness) = (Script::new(), RefCell::new(Freshness::default()));
        let early = script.reply_of(&read);
        let invoke = |script: &mut Script, session, request: &Request| {
            let id = script.invoke(session, request.clone());
            freshness.borrow_mut().invoked(id);
            id
        };
        let write = invoke(&mut script, 1, &put("a", "1"));
        let first = concurrent.then(|| invoke(&mut script, 2, &read));
        let outcome = script.apply(write);
        script.history.returned(write, outcome);
        assert_eq!(freshness.borrow_mut().returned(&script.history, write), Ok(()));
        let id = first.unwrap_or_else(|| invoke(&mut script, 2, &read));
        script.history.returned(id, Outcome::Ok(early));
        let found = freshness.borrow_mut().returned(&script.history, id).err();
        assert_eq!(found.map(|violation| violation.signature()).as_deref(), expected);
    }
}

#[test]
fn a_contradiction_of_the_two_oracles_is_a_violation_of_its_own() {
    use crate::oracle::{compare, linearizable_history::Conclusion};
    let bad = || Violation::new("x", "y", "z", "");
    let undecided = || Conclusion::Undecided { gaps: Vec::new(), alternatives: 0 };
    let signature = compare::<_, Conclusion>(&Ok(()), &Err(bad())).map(|violation| violation.signature());
    assert_eq!(signature.as_deref(), Some("oracles/disagree: x/y: z"));
    assert_eq!(compare(&Ok(()), &Ok(Conclusion::Linearizable)), None);
    assert_eq!(compare(&Ok(()), &Ok(undecided())), None);
    assert_eq!(compare::<(), Conclusion>(&Err(bad()), &Ok(Conclusion::Linearizable)), None);
    assert_eq!(compare::<(), Conclusion>(&Err(bad()), &Err(bad())), None);
}
