//! Changes of the membership, by hand: what each order of the operator comes to.

use std::time::Duration;

use vertebra_model::Options;
use vertebra_sim::Verdict;
use vertebra_sim::schedule::{Direction, Fault, Packets, Schedule, Target};

use crate::scripted::{count, member, schedule};
use crate::told::tell;

fn operate(operation: &str, target: Target) -> Fault {
    Fault::Operate { operation: operation.to_owned(), target }
}

/// A calm run with two spares, in which the operator is told what `orders` say, by milliseconds.
fn operated(seed: u64, members: u16, orders: Vec<(u64, Fault)>) -> Schedule<Options> {
    let mut schedule = schedule(seed, members, orders);
    schedule.options.spares = 2;
    schedule.options.strict_reconfiguration = true;
    schedule
}

/// Runs it, and returns what was told when it passed.
fn passes(schedule: &Schedule<Options>) -> Vec<String> {
    let (report, lines) = tell(schedule);
    assert_eq!(report.verdict, Verdict::Pass, "seed {}", schedule.seed);
    lines
}

#[test]
fn a_spare_becomes_a_voter() {
    for members in [1, 3] {
        let lines = passes(&operated(1, members, vec![(2_000, operate("member-add", Target::AllMembers))]));
        let new = members + 1;
        assert_eq!(count(&lines, "operator: member-add: is done"), 1);
        assert!(count(&lines, &format!("process member {new}: starts, incarnation 1")) == 1);
        assert!(count(&lines, &format!("add {new}.1 is applied")) >= usize::from(members));
        assert!(count(&lines, &format!("apply member {new}: entry")) > 0, "it follows the log");
    }
}

#[test]
fn a_learner_is_promoted_when_it_has_caught_up() {
    let orders = vec![
        (2_000, operate("member-add-learner", Target::AllMembers)),
        (5_000, operate("member-promote", Target::AllMembers)),
    ];
    let lines = passes(&operated(2, 3, orders));
    assert!(count(&lines, "add learner 4.1 is applied") >= 3);
    assert!(count(&lines, "promote 4.1 is applied") >= 4, "on the learner too");
}

#[test]
fn a_removed_member_ends_for_good_and_is_not_listened_to_when_it_comes_back() {
    let orders =
        vec![(2_000, operate("member-remove", member(2))), (5_000, operate("member-return", member(2)))];
    let lines = passes(&operated(3, 3, orders));
    assert_eq!(count(&lines, "operator: member-remove: is done"), 1);
    assert!(count(&lines, "process member 2: starts, incarnation 2") == 1);
    let ends = count(&lines, "process member 2: exits for good: the member has been permanently removed");
    assert!(ends >= 1, "it learns that it was removed");
}

#[test]
fn a_member_that_was_cut_off_learns_of_its_removal_from_those_who_do_not_listen() {
    let cut = Fault::Partition {
        from: vec![member(3)],
        to: vec![Target::Others],
        direction: Direction::Both,
        packets: Packets::Drop,
        lasts: Duration::from_secs(5),
    };
    let mut schedule = operated(4, 3, vec![(1_500, cut), (2_500, operate("member-remove", member(3)))]);
    // The operator stops it, too.
    schedule.options.strict_reconfiguration = false;
    let lines = passes(&schedule);
    assert!(count(&lines, "remove 3 is applied") >= 2);
}

#[test]
fn a_replaced_member_comes_back_under_another_identifier_and_on_an_empty_disk() {
    let lines = passes(&operated(5, 3, vec![(2_500, operate("member-replace", member(2)))]));
    assert_eq!(count(&lines, "operator: member-replace: is done"), 1);
    assert_eq!(count(&lines, "process member 2: its disk is wiped"), 1);
    assert!(count(&lines, "member member 2: joins as 2.1") == 1);
    assert!(count(&lines, "apply member 2: snapshot") > 0, "the log does not reach back so far");
}

#[test]
fn the_only_voter_moves_to_another_machine_by_a_joint_configuration() {
    let lines = passes(&operated(6, 1, vec![(2_000, operate("joint-change", member(1)))]));
    assert!(count(&lines, "remove 1 is applied") >= 1 && count(&lines, "add 2.1 is applied") >= 1);
    assert!(count(&lines, "raft member 2: leader") >= 1);
}

#[test]
fn another_member_leads_when_it_is_told_to() {
    let lines = passes(&operated(7, 3, vec![(3_000, operate("leader-transfer", Target::Follower))]));
    assert_eq!(count(&lines, "operator: leader-transfer: is done"), 1);
    let leaders = lines.iter().filter(|line| line.contains(": leader in term")).count();
    assert!(leaders >= 2);
}

#[test]
fn a_wiped_member_refuses_to_start_and_is_replaced_when_the_faults_are_over() {
    let wipe = Fault::Wipe { target: member(3), down: Duration::from_millis(500) };
    let lines = passes(&operated(8, 3, vec![(3_000, wipe)]));
    assert!(count(&lines, "member 3 has already been bootstrapped") > 0);
    assert!(count(&lines, "operator: repairs 3: it refuses to start") == 1);
    assert!(count(&lines, "member member 3: joins as 3.1") == 1);
}
