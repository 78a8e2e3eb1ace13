use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use vertebra_sim::schedule::{Fault, Target, TimedFault};
use vertebra_sim::{NodeId, Report, Verdict};

use super::Served;
use super::faults::{HOURS, Severity, schedule};
use super::session::{Answered, Session};
use crate::api::{
    AuthEnableRequest, AuthRoleAddRequest, AuthUserAddRequest, AuthUserGrantRoleRequest, AuthenticateRequest,
    AuthenticateResponse, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest,
    RangeRequest, RangeResponse,
};
use crate::error::Code;
use crate::grpc::{Down, Metadata, Status};

const SECOND: Duration = Duration::from_secs(1);

fn range(session: &mut Session, member: u16) -> Answered {
    let request = RangeRequest { key: Bytes::from_static(b"key"), ..RangeRequest::default() };
    session.unary(
        member,
        "/etcdserverpb.KV/Range",
        Metadata::default(),
        request.encode_to_vec(),
        Duration::from_secs(20),
    )
}

/// A call to a member that is down.
fn calls_while_down() -> (Answered, Report) {
    let mut schedule = schedule(7, Served::usual(3), Severity::None, HOURS).expect("options that make sense");
    let target = Target::Node(NodeId::Member(1));
    let kill = Fault::Kill { target, down: Duration::from_secs(10) };
    schedule.faults.push(TimedFault { at: SECOND, fault: kill });
    let mut session = Session::begin(schedule);
    session.advance(2 * SECOND);
    let answered = range(&mut session, 1);
    (answered, session.finish())
}

#[test]
fn a_caller_of_a_member_that_is_down_is_told_as_grpc_go_tells_it() {
    let (answered, report) = calls_while_down();
    assert_eq!(answered.status.code, Some(Code::Unavailable), "{answered:?}");
    assert!(answered.status.message.contains("connection refused"), "{answered:?}");
    assert_eq!(report.verdict, Verdict::Pass);
}

#[test]
fn the_same_calls_at_the_same_times_are_the_same_run() {
    let (first, second) = (calls_while_down(), calls_while_down());
    assert_eq!(first.0, second.0);
    assert_eq!(first.1.digest, second.1.digest);
}

#[test]
fn a_session_without_calls_ends_well_under_faults() {
    let schedule = schedule(11, Served::usual(3), Severity::Default, HOURS).expect("options that make sense");
    let mut session = Session::begin(schedule);
    session.advance(60 * SECOND);
    let report = session.finish();
    assert_eq!(report.verdict, Verdict::Pass);
    assert!(report.faults > 5, "{} faults", report.faults);
}

/// A cluster that has had the time to elect a leader.
fn begun() -> Session {
    let schedule = schedule(7, Served::usual(3), Severity::None, HOURS).expect("options that make sense");
    let mut session = Session::begin(schedule);
    session.advance(3 * SECOND);
    session
}

fn call(
    session: &mut Session,
    member: u16,
    path: &str,
    token: Option<&str>,
    request: &impl Message,
) -> Answered {
    let token = token.map(|token| Bytes::copy_from_slice(token.as_bytes()));
    let metadata = Metadata { token, ..Metadata::default() };
    session.unary(member, path, metadata, request.encode_to_vec(), 5 * SECOND)
}

#[test]
fn what_is_asked_from_outside_is_an_operation_that_is_judged() {
    let mut session = begun();
    let put = PutRequest { key: "key".into(), value: "value".into(), ..PutRequest::default() };
    assert_eq!(call(&mut session, 1, "/etcdserverpb.KV/Put", None, &put).status, Status::OK);
    let read = range(&mut session, 3);
    let response = RangeResponse::decode(read.messages[0].clone()).expect("a response");
    assert_eq!((read.status, &response.kvs[0].value[..]), (Status::OK, &b"value"[..]));
    let grant = LeaseGrantRequest { id: 7, ttl: 60 };
    assert_eq!(call(&mut session, 2, "/etcdserverpb.Lease/LeaseGrant", None, &grant).status, Status::OK);
    let keeps = session.call(2, "/etcdserverpb.Lease/LeaseKeepAlive", Metadata::default());
    for _ in 0..2 {
        session.send(keeps, LeaseKeepAliveRequest { id: 7 }.encode_to_vec());
        let Some(Down::Message { bytes, .. }) = session.next(keeps, SECOND) else {
            panic!("it is kept alive")
        };
        assert_eq!(LeaseKeepAliveResponse::decode(bytes).expect("a response").ttl, 60);
    }
    session.half_close(keeps);
    assert_eq!(session.next(keeps, SECOND), Some(Down::End { call: keeps, status: Status::OK }));
    let report = session.finish();
    assert_eq!((report.verdict, report.operations), (Verdict::Pass, 5));
}

#[test]
fn who_has_a_token_of_one_member_is_known_to_all_oracles() {
    let mut session = begun();
    let user =
        AuthUserAddRequest { name: "root".to_owned(), password: "secret".to_owned(), ..Default::default() };
    let role = AuthRoleAddRequest { name: "root".to_owned() };
    let grant = AuthUserGrantRoleRequest { user: "root".to_owned(), role: "root".to_owned() };
    let auth = |method: &str| format!("/etcdserverpb.Auth/{method}");
    assert_eq!(call(&mut session, 1, &auth("UserAdd"), None, &user).status, Status::OK);
    assert_eq!(call(&mut session, 1, &auth("RoleAdd"), None, &role).status, Status::OK);
    assert_eq!(call(&mut session, 2, &auth("UserGrantRole"), None, &grant).status, Status::OK);
    assert_eq!(call(&mut session, 2, &auth("AuthEnable"), None, &AuthEnableRequest {}).status, Status::OK);
    let ask = AuthenticateRequest { name: "root".to_owned(), password: "secret".to_owned() };
    let given = call(&mut session, 3, &auth("Authenticate"), None, &ask);
    let given = AuthenticateResponse::decode(given.messages[0].clone()).expect("a response");
    let put = PutRequest { key: "key".into(), ..PutRequest::default() };
    let path = "/etcdserverpb.KV/Put";
    assert_eq!(call(&mut session, 3, path, Some(&given.token), &put).status, Status::OK);
    let without = call(&mut session, 1, path, None, &put).status;
    assert_eq!(without.to_string(), "InvalidArgument: etcdserver: user name is empty");
    let wrong = call(&mut session, 1, path, Some("nonsense"), &put).status;
    assert_eq!(wrong.to_string(), "Unauthenticated: etcdserver: invalid auth token");
    assert_eq!(session.finish().verdict, Verdict::Pass);
}

#[test]
fn a_call_under_way_ends_when_its_member_dies_and_what_became_of_it_stays_unknown() {
    let mut schedule = schedule(7, Served::usual(3), Severity::None, HOURS).expect("options that make sense");
    let target = Target::Node(NodeId::Member(1));
    let kill = Fault::Kill { target, down: 2 * SECOND };
    schedule.faults.push(TimedFault { at: 3 * SECOND + Duration::from_micros(700), fault: kill });
    let mut session = Session::begin(schedule);
    session.advance(3 * SECOND);
    let put = PutRequest { key: "key".into(), ..PutRequest::default() };
    let status = call(&mut session, 1, "/etcdserverpb.KV/Put", None, &put).status;
    assert_eq!(status.to_string(), "Unavailable: error reading from server: EOF");
    session.advance(3 * SECOND);
    assert_eq!(range(&mut session, 1).status, Status::OK);
    assert_eq!(session.finish().verdict, Verdict::Pass);
}

#[test]
fn whoever_waits_no_longer_is_told_so_and_the_call_is_cancelled() {
    let mut schedule = schedule(7, Served::usual(3), Severity::None, HOURS).expect("options that make sense");
    let pause = Fault::Pause { target: Target::Minority, lasts: 60 * SECOND };
    schedule.faults.push(TimedFault { at: 3 * SECOND, fault: pause.clone() });
    schedule.faults.push(TimedFault {
        at: 3 * SECOND,
        fault: Fault::Pause { target: Target::Leader, lasts: 60 * SECOND },
    });
    let mut session = Session::begin(schedule);
    session.advance(4 * SECOND);
    for member in 1..=3 {
        let put = PutRequest { key: "key".into(), ..PutRequest::default() };
        let status = call(&mut session, member, "/etcdserverpb.KV/Put", None, &put).status;
        assert_ne!(status, Status::OK, "member {member}");
    }
    assert_eq!(session.finish().verdict, Verdict::Pass);
}
