//! For each clause the smallest violation, beside a twin that is legal.

use super::*;

fn entry(index: u64, term: u64, data: &'static str) -> Entry<'static> {
    Entry { index, term, data: data.as_bytes() }
}

fn durable(last_index: u64, last_term: u64, term: u64, vote: MemberId) -> Durable {
    Durable { last_index, last_term, term, vote, commit: 0 }
}

/// Three members; the first leads term 1, and all have its entries 1 and 2 on disk.
fn cluster() -> RaftSafety {
    let mut raft = RaftSafety::new(&[1, 2, 3]);
    raft.persisted(1, durable(0, 0, 1, 1)).unwrap();
    raft.sent_vote_request(1, 1, false).unwrap();
    for member in [2, 3] {
        raft.persisted(member, durable(0, 0, 1, 1)).unwrap();
        raft.sent_vote_response(member, 1, 1, true, false).unwrap();
    }
    raft.became_leader(1, 1).unwrap();
    for member in 1..=3 {
        raft.appended(member, [entry(1, 1, ""), entry(2, 1, "x")]).unwrap();
        raft.persisted(member, durable(2, 1, 1, 1)).unwrap();
    }
    for member in [2, 3] {
        raft.sent_append_response(member, 1, 1, 2, false).unwrap();
    }
    raft
}

/// The same, and the second entry is committed and applied everywhere.
fn settled() -> RaftSafety {
    let mut raft = cluster();
    for member in 1..=3 {
        raft.committed(member, 1, 2).unwrap();
        raft.applied(member, entry(1, 1, "")).unwrap();
        raft.applied(member, entry(2, 1, "x")).unwrap();
    }
    raft
}

fn clause(result: Result<(), Violation>) -> &'static str {
    result.unwrap_err().clause
}

#[test]
fn an_honest_run_passes() {
    let mut raft = settled();
    raft.compacted(1, 1).unwrap();
    raft.appended(1, [entry(3, 1, "y")]).unwrap();
    raft.appended(2, [entry(2, 1, "x"), entry(3, 1, "y")]).unwrap();
    raft.persisted(1, durable(3, 1, 1, 1)).unwrap();
    raft.persisted(2, durable(3, 1, 1, 1)).unwrap();
    raft.committed(1, 1, 3).unwrap();
    raft.applied(1, entry(3, 1, "y")).unwrap();
    raft.installed_snapshot(3, 3, 1).unwrap();
    raft.persisted(3, durable(3, 1, 1, 1)).unwrap();
    raft.sent_append_response(3, 1, 1, 3, false).unwrap();
}

#[test]
fn a_term_has_one_leader() {
    let mut raft = cluster();
    raft.became_leader(1, 1).unwrap();
    assert_eq!(clause(raft.became_leader(2, 1)), "election safety");
    raft.became_leader(2, 2).unwrap();
}

#[test]
fn a_leader_appends_only() {
    let mut raft = cluster();
    assert_eq!(clause(raft.appended(1, [entry(2, 1, "other")])), "leader append-only");
    let mut raft = cluster();
    raft.stepped_down(1);
    raft.appended(1, [entry(2, 2, "other")]).unwrap();
}

#[test]
fn logs_match_where_an_entry_does() {
    let mut raft = cluster();
    assert_eq!(clause(raft.appended(2, [entry(2, 1, "other")])), "log matching");
    let mut raft = RaftSafety::new(&[1, 2, 3]);
    raft.appended(1, [entry(1, 1, "x"), entry(2, 2, "y")]).unwrap();
    raft.appended(2, [entry(1, 2, "z")]).unwrap();
    // The same entry after another one.
    assert_eq!(clause(raft.appended(2, [entry(2, 2, "y")])), "log matching");
}

#[test]
fn a_log_has_no_holes_and_its_terms_do_not_fall() {
    let mut raft = cluster();
    assert_eq!(clause(raft.appended(2, [entry(4, 1, "")])), "log gap");
    assert_eq!(clause(raft.appended(2, [entry(3, 0, "")])), "term order");
    raft.appended(2, [entry(3, 1, "")]).unwrap();
}

#[test]
fn what_is_committed_stays() {
    let mut raft = settled();
    assert_eq!(clause(raft.appended(2, [entry(2, 2, "other")])), "committed entry dropped");
    cluster().appended(2, [entry(2, 2, "other")]).unwrap();
}

#[test]
fn a_new_leader_has_what_earlier_terms_committed() {
    let mut raft = settled();
    raft.became_leader(2, 2).unwrap();
    let mut raft = RaftSafety::new(&[1, 2, 3]);
    for member in [1, 2] {
        raft.appended(member, [entry(1, 2, "")]).unwrap();
        raft.persisted(member, durable(1, 2, 2, 1)).unwrap();
    }
    raft.committed(1, 2, 1).unwrap();
    // One whose votes of term 1 arrive late owes nothing to term 2.
    raft.became_leader(3, 1).unwrap();
    assert_eq!(clause(raft.became_leader(3, 3)), "leader completeness");
}

#[test]
fn members_commit_the_same() {
    let mut raft = RaftSafety::new(&[1]);
    raft.appended(1, [entry(1, 1, "x")]).unwrap();
    raft.persisted(1, durable(1, 1, 1, 1)).unwrap();
    raft.committed(1, 1, 1).unwrap();
    raft.appended(2, [entry(1, 2, "y")]).unwrap();
    assert_eq!(raft.committed(2, 2, 1).unwrap_err().signature(), "raft/state machine safety: commit");
}

#[test]
fn members_apply_what_is_committed() {
    let mut raft = cluster();
    raft.committed(1, 1, 2).unwrap();
    raft.committed(2, 1, 1).unwrap();
    assert_eq!(
        raft.applied(1, entry(1, 1, "other")).unwrap_err().signature(),
        "raft/state machine safety: apply"
    );
    raft.applied(2, entry(1, 1, "")).unwrap();
    assert_eq!(clause(raft.applied(2, entry(2, 1, "x"))), "apply order");
    assert_eq!(clause(raft.applied(2, entry(1, 1, ""))), "apply order");
}

#[test]
fn a_commit_neither_falls_nor_leaves_the_log() {
    let mut raft = settled();
    assert_eq!(clause(raft.committed(1, 1, 1)), "commit order");
    assert_eq!(clause(raft.committed(1, 1, 3)), "commit order");
    raft.committed(1, 1, 2).unwrap();
}

#[test]
fn a_majority_has_what_is_committed_on_disk() {
    for (holders, sound) in [(2, true), (1, false)] {
        let mut raft = RaftSafety::new(&[1, 2, 3]);
        for member in 1..=3 {
            raft.appended(member, [entry(1, 1, "x")]).unwrap();
            if member <= holders {
                raft.persisted(member, durable(1, 1, 1, 1)).unwrap();
            }
        }
        assert_eq!(
            raft.committed(1, 1, 1).map_err(|violation| violation.clause),
            match sound {
                true => Ok(()),
                false => Err("commit without quorum"),
            }
        );
    }
}

#[test]
fn the_voters_of_the_moment_are_the_majority() {
    let mut raft = RaftSafety::new(&[1]);
    raft.configured(&[1, 2]);
    raft.appended(1, [entry(1, 1, "x")]).unwrap();
    raft.persisted(1, durable(1, 1, 1, 1)).unwrap();
    assert_eq!(clause(raft.committed(1, 1, 1)), "commit without quorum");
}

#[test]
fn a_leader_counts_entries_of_its_own_term_only() {
    let mut raft = cluster();
    raft.became_leader(2, 2).unwrap();
    assert_eq!(clause(raft.committed(2, 2, 2)), "commit of an old term");
    raft.appended(2, [entry(3, 2, "")]).unwrap();
    raft.persisted(2, durable(3, 2, 2, 2)).unwrap();
    raft.appended(3, [entry(3, 2, "")]).unwrap();
    raft.persisted(3, durable(3, 2, 2, 2)).unwrap();
    raft.committed(2, 2, 3).unwrap();
}

#[test]
fn a_term_has_one_vote_of_each_member_whatever_its_disk_forgot() {
    let mut raft = cluster();
    assert_eq!(clause(raft.persisted(2, durable(2, 1, 1, 3))), "two votes");
    assert_eq!(clause(raft.sent_vote_response(2, 3, 1, true, false)), "two votes");
    assert_eq!(clause(raft.sent_vote_request(2, 1, false)), "two votes");
    raft.sent_vote_response(2, 3, 1, false, false).unwrap();
    raft.sent_vote_response(2, 3, 7, true, true).unwrap();
}

#[test]
fn a_vote_is_on_disk_before_it_is_sent() {
    let mut raft = cluster();
    let sent = raft.sent_vote_response(2, 3, 2, true, false).unwrap_err();
    assert_eq!(sent.signature(), "raft/sent before durable: vote");
    let mut raft = cluster();
    assert_eq!(clause(raft.sent_vote_request(3, 2, false)), "sent before durable");
    raft.sent_vote_request(3, 2, true).unwrap();
    raft.persisted(3, durable(2, 1, 2, 3)).unwrap();
    raft.sent_vote_request(3, 2, false).unwrap();
}

#[test]
fn an_entry_is_on_disk_before_it_is_acknowledged() {
    let mut raft = cluster();
    raft.appended(2, [entry(3, 1, "y")]).unwrap();
    let sent = raft.sent_append_response(2, 1, 1, 3, false).unwrap_err();
    assert_eq!(sent.signature(), "raft/sent before durable: acknowledgement of entries");
    assert_eq!(clause(raft.sent_append_response(2, 1, 2, 2, true)), "sent before durable");
    raft.persisted(2, durable(3, 1, 1, 1)).unwrap();
    raft.sent_append_response(2, 1, 1, 3, false).unwrap();
}

#[test]
fn an_acknowledgement_may_be_sent_after_a_newer_leader_has_cut_the_log_in_memory() {
    let mut raft = cluster();
    raft.appended(2, [entry(3, 1, "y")]).unwrap();
    raft.appended(2, [entry(3, 2, "z")]).unwrap();
    raft.persisted(2, durable(3, 1, 1, 1)).unwrap();
    raft.sent_append_response(2, 1, 1, 3, false).unwrap();
    // But what replaced it is not durable by that.
    assert_eq!(raft.members[&2].durable_index, 2);
    assert_eq!(clause(raft.sent_append_response(2, 3, 2, 3, false)), "sent before durable");
}

fn recovered(term: u64, vote: MemberId) -> Recovered {
    Recovered { term, vote, ..Recovered::default() }
}

#[test]
fn a_restart_brings_back_all_that_was_durable() {
    let log = [entry(1, 1, ""), entry(2, 1, "x")];
    settled().restarted(2, recovered(1, 1), log).unwrap();
    // What was written and not synced may be there.
    settled().restarted(2, recovered(2, 3), [log[0], log[1], entry(3, 1, "y")]).unwrap();
    let what = |recovered, log: &[Entry<'static>]| {
        settled().restarted(2, recovered, log.iter().copied()).unwrap_err().signature()
    };
    assert_eq!(what(recovered(0, 0), &log), "raft/state went back: term");
    assert_eq!(what(recovered(1, 0), &log), "raft/state went back: vote");
    assert_eq!(what(recovered(1, 1), &log[..1]), "raft/state went back: log");
    assert_eq!(what(Recovered { commit: 3, ..recovered(1, 1) }, &log), "raft/commit order");
    assert_eq!(what(recovered(1, 1), &[log[0], entry(2, 1, "rotten")]), "raft/log matching");
}

#[test]
fn what_was_read_back_is_durable_only_after_the_next_sync() {
    let mut raft = cluster();
    let log = [entry(1, 1, ""), entry(2, 1, "x"), entry(3, 1, "y")];
    raft.appended(2, [log[2]]).unwrap();
    raft.restarted(2, recovered(1, 1), log).unwrap();
    assert_eq!(clause(raft.sent_append_response(2, 1, 1, 3, false)), "sent before durable");
    raft.persisted(2, durable(3, 1, 1, 1)).unwrap();
    raft.sent_append_response(2, 1, 1, 3, false).unwrap();
}

#[test]
fn a_restart_from_a_snapshot_keeps_what_the_snapshot_stands_for() {
    let from = |index, term, log: &[Entry<'static>]| {
        let recovered =
            Recovered { snapshot_index: index, snapshot_term: term, applied: index, ..recovered(1, 1) };
        settled().restarted(2, recovered, log.iter().copied()).map_err(|violation| violation.clause)
    };
    assert_eq!(from(2, 1, &[]), Ok(()));
    assert_eq!(from(1, 1, &[entry(2, 1, "x")]), Ok(()));
    assert_eq!(from(1, 1, &[]), Err("state went back"));
    assert_eq!(from(2, 2, &[]), Err("snapshot"));
}

#[test]
fn a_disk_does_not_go_back_while_its_member_runs() {
    let mut raft = cluster();
    raft.persisted(2, durable(2, 1, 3, 0)).unwrap();
    assert_eq!(clause(raft.persisted(2, durable(2, 1, 2, 0))), "state went back");
}

#[test]
fn a_snapshot_stands_for_committed_entries() {
    let mut raft = cluster();
    assert_eq!(clause(raft.installed_snapshot(3, 2, 1)), "snapshot");
    raft.committed(1, 1, 2).unwrap();
    assert_eq!(clause(raft.installed_snapshot(3, 2, 2)), "snapshot");
    assert_eq!(clause(raft.compacted(1, 1)), "snapshot");
    raft.installed_snapshot(3, 2, 1).unwrap();
    assert_eq!(clause(raft.installed_snapshot(3, 1, 1)), "snapshot");
}
