use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use vertebra_sim::schedule::{Fault, Target, TimedFault};
use vertebra_sim::{NodeId, Report, Verdict};

use super::Served;
use super::faults::{HOURS, Severity, schedule};
use super::session::{Answered, Session};
use crate::api::RangeRequest;
use crate::error::Code;
use crate::grpc::{Metadata, Status};

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
    assert_eq!(Status::OK.code, None);
}
