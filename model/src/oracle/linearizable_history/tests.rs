//! For each clause the smallest violation, beside a twin that is legal.

use super::{Conclusion, check};
use crate::api::request_op::Request as Op;
use crate::api::{
    CompactionRequest, PutRequest, PutResponse, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
};
use crate::error::Error;
use crate::history::{History, OperationId, Outcome, Request};
use crate::oracle::testing::{Script, delete, get, grant, put, put_with, revoke};
use crate::response::Response;

fn clause(history: &History) -> Option<&'static str> {
    match check(history) {
        Ok(Conclusion::Linearizable) => None,
        Ok(undecided) => panic!("{undecided:?}"),
        Err(violation) => Some(violation.clause),
    }
}

fn read(key: &'static str) -> Request {
    Request::Range(get(key))
}

/// A put that needs its key.
fn touch(key: &'static str) -> Request {
    Request::Put(PutRequest { key: key.into(), ignore_value: true, ..PutRequest::default() })
}

fn put_reply(revision: i64) -> Outcome {
    let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
    Outcome::Ok(Response::Put(PutResponse { header, prev_kv: None }))
}

/// Invokes, applies and leaves the answer open: a client that gave up.
fn lose(script: &mut Script, request: Request) -> OperationId {
    let id = script.invoke(9, request);
    script.apply(id);
    id
}

#[test]
fn an_empty_history_is_linearizable() {
    assert_eq!(clause(&History::new()), None);
}

#[test]
fn a_reply_belongs_to_its_request() {
    let mut script = Script::new();
    let id = script.invoke(1, read("a"));
    script.history.returned(id, put_reply(2));
    assert_eq!(clause(&script.history), Some("malformed reply"));
}

#[test]
fn no_write_made_the_first_revision() {
    for (revision, expected) in
        [(2, None), (1, Some("impossible revision")), (i64::MAX, Some("impossible revision"))]
    {
        let mut script = Script::new();
        let id = script.invoke(1, put("a", "1"));
        script.history.returned(id, put_reply(revision));
        assert_eq!(clause(&script.history), expected);
    }
}

#[test]
fn two_writes_have_two_revisions() {
    for (second, expected) in [(3, None), (2, Some("duplicate revision"))] {
        let mut script = Script::new();
        for revision in [2, second] {
            let id = script.invoke(1, put("a", "1"));
            script.history.returned(id, put_reply(revision));
        }
        assert_eq!(clause(&script.history), expected);
    }
}

#[test]
fn a_revision_that_nobody_made_is_found() {
    for unknown in [true, false] {
        let mut script = Script::new();
        if unknown {
            lose(&mut script, put("a", "1"));
        }
        let id = script.invoke(1, put("b", "1"));
        script.history.returned(id, put_reply(3));
        assert_eq!(clause(&script.history), (!unknown).then_some("unexplained revision"));
    }
}

#[test]
fn a_revision_with_the_content_of_an_acknowledged_write_was_applied_twice() {
    let mut script = Script::new();
    script.write(1, put("a", "1"));
    script.execute(&put("a", "1"));
    script.write(1, read("a"));
    assert_eq!(clause(&script.history), Some("applied twice"));
}

#[test]
fn a_read_sees_the_writes_that_were_over_before_it_began() {
    for concurrent in [true, false] {
        let mut script = Script::new();
        let early = script.reply_of(&read("a"));
        let write = script.invoke(1, put("a", "1"));
        let outcome = script.apply(write);
        let mut id = None;
        if concurrent {
            id = Some(script.invoke(2, read("a")));
        }
        script.history.returned(write, outcome);
        let id = id.unwrap_or_else(|| script.invoke(2, read("a")));
        script.history.returned(id, Outcome::Ok(early));
        assert_eq!(clause(&script.history), (!concurrent).then_some("real-time order"));
        let signature = check(&script.history).err().map(|violation| violation.signature());
        let expected = "linearizable history/real-time order: Range after Put";
        assert_eq!(signature.as_deref(), (!concurrent).then_some(expected));
    }
}

#[test]
fn a_write_replies_what_was_there_before() {
    for prev_kv in [false, true] {
        let mut script = Script::new();
        script.write(1, put("a", "1"));
        let request = Request::Put(PutRequest { key: "a".into(), prev_kv, ..PutRequest::default() });
        let id = script.invoke(1, request);
        script.history.returned(id, put_reply(3));
        assert_eq!(clause(&script.history), prev_kv.then_some("write reply"));
    }
}

#[test]
fn a_read_replies_what_is_there() {
    for (value, expected) in [("1", None), ("2", Some("read reply"))] {
        let mut script = Script::new();
        script.write(1, put("a", "1"));
        let id = script.invoke(1, read("a"));
        let Response::Range(mut reply) = script.reply_of(&read("a")) else {
            panic!("a read gets another reply")
        };
        reply.kvs[0].value = value.into();
        script.history.returned(id, Outcome::Ok(Response::Range(reply)));
        assert_eq!(clause(&script.history), expected);
    }
}

#[test]
fn a_read_of_the_past_is_held_against_the_past() {
    for (value, expected) in [("1", None), ("2", Some("read reply"))] {
        let mut script = Script::new();
        script.write(1, put("a", "1"));
        script.write(1, put("a", "2"));
        let request = Request::Range(RangeRequest { revision: 2, ..get("a") });
        let id = script.invoke(1, request.clone());
        let Response::Range(mut reply) = script.reply_of(&request) else {
            panic!("a read gets another reply")
        };
        reply.kvs[0].value = value.into();
        script.history.returned(id, Outcome::Ok(Response::Range(reply)));
        assert_eq!(clause(&script.history), expected);
    }
}

#[test]
fn a_refusal_needs_a_reason_while_the_operation_lasts() {
    for (existed, expected) in [(false, None), (true, Some("unfounded error"))] {
        let mut script = Script::new();
        let early = (!existed).then(|| script.invoke(1, touch("a")));
        script.write(2, put("a", "1"));
        let id = early.unwrap_or_else(|| script.invoke(1, touch("a")));
        script.history.returned(id, Outcome::Failed(Error::KeyNotFound));
        assert_eq!(clause(&script.history), expected);
    }
}

#[test]
fn an_unknown_deletion_can_be_the_reason_of_a_refusal() {
    for deleted in [true, false] {
        let mut script = Script::new();
        script.write(2, put("a", "1"));
        if deleted {
            script.invoke(9, delete("a", ""));
        }
        let id = script.invoke(1, touch("a"));
        script.history.returned(id, Outcome::Failed(Error::KeyNotFound));
        assert_eq!(clause(&script.history), (!deleted).then_some("unfounded error"));
    }
}

#[test]
fn an_unknown_write_takes_effect_late_or_never_but_not_before_it_was_asked_for() {
    for (invoked_first, expected) in [(true, None), (false, Some("unexplained revision"))] {
        let mut script = Script::new();
        let mut other = Script::new();
        // The store applies a write that the history has only later, if at all.
        other.execute(&put("a", "1"));
        if invoked_first {
            script.invoke(9, put("a", "1"));
        }
        let id = script.invoke(1, read("a"));
        script.history.returned(id, Outcome::Ok(other.reply_of(&read("a"))));
        if !invoked_first {
            script.invoke(9, put("a", "1"));
        }
        assert_eq!(clause(&script.history), expected);
    }
    let mut script = Script::new();
    script.invoke(9, put("a", "1"));
    script.write(1, read("a"));
    assert_eq!(clause(&script.history), None);
}

#[test]
fn what_readers_saw_decides_between_unknown_writes() {
    let mut script = Script::new();
    script.invoke(8, put("a", "1"));
    lose(&mut script, put("a", "2"));
    script.write(1, read("a"));
    assert_eq!(clause(&script.history), None);
    // The other one cannot have come after it: nobody made a third revision.
    let mut other = Script::new();
    other.execute(&put("a", "2"));
    other.execute(&put("a", "1"));
    let id = script.invoke(1, read("a"));
    script.history.returned(id, Outcome::Ok(other.reply_of(&read("a"))));
    assert_eq!(clause(&script.history), None);
    let id = script.invoke(1, put("a", "3"));
    script.history.returned(id, put_reply(5));
    assert_eq!(clause(&script.history), Some("unexplained revision"));
}

#[test]
fn a_transaction_that_keeps_a_value_shows_who_wrote_it() {
    let Request::Put(keep) = touch("a") else { panic!("a put is a put") };
    let request = Request::Txn(TxnRequest {
        success: vec![
            RequestOp { request: Some(Op::RequestPut(keep)) },
            RequestOp { request: Some(Op::RequestRange(get("a"))) },
        ],
        ..Default::default()
    });
    for values in [["1", "2"], ["2", "1"]] {
        let mut script = Script::new();
        let lost = values.map(|value| script.invoke(9, put("a", value)));
        script.apply(lost[0]);
        script.write(1, request.clone());
        script.apply(lost[1]);
        script.write(1, read("b"));
        assert_eq!(clause(&script.history), None, "{values:?}");
    }
}

#[test]
fn comparisons_of_a_nested_transaction_look_at_the_state_before_it() {
    let nested = TxnRequest {
        compare: vec![crate::api::Compare {
            key: "a".into(),
            target_union: Some(crate::api::compare::TargetUnion::Version(0)),
            ..Default::default()
        }],
        success: vec![RequestOp { request: Some(Op::RequestRange(get("a"))) }],
        failure: vec![],
    };
    let Request::Put(first) = put("a", "1") else { panic!("a put is a put") };
    let request = Request::Txn(TxnRequest {
        success: vec![
            RequestOp { request: Some(Op::RequestPut(first)) },
            RequestOp { request: Some(Op::RequestTxn(nested)) },
        ],
        ..Default::default()
    });
    let mut script = Script::new();
    script.write(1, request);
    assert_eq!(clause(&script.history), None);
}

#[test]
fn too_many_choices_are_reported_as_such() {
    // Each put of `b` fits anywhere; only the comparison of its value at the end, which nobody can predict, tells.
    let mut script = Script::new();
    for number in 0..14 {
        let value = format!("{number}");
        script.invoke(
            9,
            Request::Put(PutRequest { key: "b".into(), value: value.into(), ..Default::default() }),
        );
    }
    let compare = |value: String| crate::api::Compare {
        key: "b".into(),
        target: crate::api::compare::CompareTarget::Value as i32,
        target_union: Some(crate::api::compare::TargetUnion::Value(value.into())),
        ..Default::default()
    };
    // Who may ask for each value tells them all apart.
    let compares = (0..14).map(|number| compare(format!("{number}"))).collect();
    script.invoke(9, Request::Txn(TxnRequest { compare: compares, ..TxnRequest::default() }));
    let compare = compare("none of them".into());
    let request = Request::Txn(TxnRequest {
        compare: vec![compare],
        success: vec![RequestOp { request: Some(Op::RequestRange(get("a"))) }],
        failure: vec![],
    });
    let id = script.invoke(1, request);
    let header = Some(ResponseHeader { revision: 12, ..ResponseHeader::default() });
    let inner = crate::api::response_op::Response::ResponseRange(crate::api::RangeResponse {
        header,
        ..Default::default()
    });
    let reply = crate::api::TxnResponse {
        header,
        succeeded: true,
        responses: vec![crate::api::ResponseOp { response: Some(inner) }],
    };
    script.history.returned(id, Outcome::Ok(Response::Txn(reply)));
    match check(&script.history) {
        Ok(Conclusion::Undecided { gaps, .. }) => assert_eq!(gaps.len(), 11),
        other => panic!("{other:?}"),
    }
}

fn compact(revision: i64) -> Request {
    Request::Compact(CompactionRequest { revision, physical: false })
}

fn read_at(revision: i64) -> Request {
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
    check(&history).err().map(|violation| violation.clause)
}

#[test]
fn what_an_honest_store_answers_passes() {
    let requests = [
        read_at(2),
        compact(3),
        read_at(2),
        read_at(3),
        compact(3),
        compact(2),
        compact(6),
        compact(5),
        read_at(4),
    ];
    assert_eq!(found(&requests, |_| ()), None);
}

#[test]
fn a_compacted_revision_that_is_read_is_found() {
    let requests = [read_at(2), compact(3), read_at(2)];
    assert_eq!(found(&requests, |outcomes| outcomes[2] = outcomes[0].clone()), Some("compaction"));
}

#[test]
fn a_refusal_without_a_compaction_is_found() {
    let refused = |outcomes: &mut Vec<Outcome>| outcomes[0] = Outcome::Failed(Error::Compacted);
    assert_eq!(found(&[read_at(2), compact(3)], refused), Some("unfounded error"));
    assert_eq!(found(&[compact(3), compact(2)], refused), Some("unfounded error"));
    assert_eq!(found(&[read_at(0)], refused), Some("unfounded error"));
    let last = |outcomes: &mut Vec<Outcome>| outcomes[1] = Outcome::Failed(Error::Compacted);
    assert_eq!(found(&[compact(3), read_at(3)], last), Some("unfounded error"));
    assert_eq!(found(&[compact(3), read_at(2)], last), None);
    assert_eq!(found(&[compact(3), compact(3)], last), None);
}

#[test]
fn an_unknown_compaction_may_have_been() {
    let unknown = |outcomes: &mut Vec<Outcome>| {
        outcomes[0] = Outcome::Unknown;
        outcomes[1] = Outcome::Failed(Error::Compacted);
    };
    assert_eq!(found(&[compact(3), read_at(2)], unknown), None);
    assert_eq!(found(&[compact(3), read_at(3)], unknown), Some("unfounded error"));
}

#[test]
fn a_refusal_of_this_revision_alone_may_need_a_compaction_that_only_another_refusal_shows() {
    let early_and_late =
        [(touch("c"), Error::KeyNotFound, put("c", "1")), (compact(3), Error::FutureRevision, put("c", "1"))];
    for (refused, error, next) in early_and_late {
        for was_compacted in [true, false] {
            let mut script = Script::new();
            let lost = script.invoke(8, next.clone());
            script.write(1, put("a", "1"));
            if was_compacted {
                lose(&mut script, compact(2));
            }
            // Whoever sees the next revision leaves room for all refusals before and after it.
            let long = script.invoke(3, read("a"));
            for (request, error) in [(compact(2), Error::Compacted), (refused.clone(), error)] {
                let id = script.invoke(1, request);
                script.history.returned(id, Outcome::Failed(error));
            }
            script.apply(lost);
            let outcome = script.apply(long);
            script.history.returned(long, outcome);
            assert_eq!(clause(&script.history), (!was_compacted).then_some("unfounded error"));
        }
    }
}

#[test]
fn compactions_that_go_back_or_come_twice_are_found() {
    let twice = |outcomes: &mut Vec<Outcome>| outcomes[1] = outcomes[0].clone();
    assert_eq!(found(&[compact(3), compact(3)], twice), Some("compaction"));
    assert_eq!(found(&[compact(3), compact(2)], twice), Some("compaction"));
    let future = |outcomes: &mut Vec<Outcome>| outcomes[1] = outcomes[0].clone();
    assert_eq!(found(&[compact(3), compact(6)], future), Some("compaction"));
}

#[test]
fn a_refusal_for_want_of_a_lease_needs_a_moment_without_it() {
    // Before its grant, there is one; while a key has it, there is none.
    for (is_early, expected) in [(true, None), (false, Some("unfounded error"))] {
        let mut script = Script::new();
        let early = is_early.then(|| script.invoke(1, revoke(7)));
        script.write(2, grant(7));
        script.write(2, put_with("a", "1", 7));
        let id = early.unwrap_or_else(|| script.invoke(1, revoke(7)));
        script.history.returned(id, Outcome::Failed(Error::LeaseNotFound));
        script.write(2, read("a"));
        assert_eq!(clause(&script.history), expected);
    }
}

#[test]
fn a_lease_without_keys_may_end_at_any_time_but_not_come_back() {
    for (comes_back, expected) in [(false, None), (true, Some("lease order"))] {
        let mut script = Script::new();
        script.write(1, grant(7));
        let id = script.invoke(1, revoke(7));
        script.history.returned(id, Outcome::Failed(Error::LeaseNotFound));
        if comes_back {
            script.write(1, put_with("a", "1", 7));
        }
        assert_eq!(clause(&script.history), expected);
    }
}

#[test]
fn a_grant_is_refused_only_where_there_is_such_a_lease() {
    for (was_asked_for, expected) in [(true, None), (false, Some("unfounded error"))] {
        let mut script = Script::new();
        if was_asked_for {
            script.invoke(9, grant(7));
        }
        let id = script.invoke(1, grant(7));
        script.history.returned(id, Outcome::Failed(Error::LeaseExists));
        assert_eq!(clause(&script.history), expected);
    }
}
