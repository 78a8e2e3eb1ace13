//! For each clause the smallest violation, beside a twin that is legal.

use super::*;

fn entry(index: u64, term: u64, data: &'static str) -> Entry<'static> {
    Entry { index, term, data: data.as_bytes(), reconfigures: false }
}

fn change(index: u64, term: u64, data: &'static str) -> Entry<'static> {
    Entry { reconfigures: true, ..entry(index, term, data) }
}

/// These vote for `member`, whatever else their disks hold.
fn vote(raft: &mut RaftSafety, term: u64, member: MemberId, voters: &[MemberId]) {
    for voter in voters {
        record_vote(&mut raft.members.entry(*voter).or_default().votes, *voter, term, member).unwrap();
    }
}

fn durable(last_index: u64, last_term: u64, term: u64, vote: MemberId) -> Durable {
    Durable { last_index, last_term, term, vote, commit: 0 }
}

/// Three members; the first leads term 1, and all have its entries 1 and 2 on disk.
fn cluster() -> RaftSafety {
    let mut raft = RaftSafety::new(&[1, 2, 3]);
    raft.persisted(1, durable(0, 0, 1, 1)).unwrap();
    raft.sent_vote_request(1, 1).unwrap();
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
    vote(&mut raft, 2, 2, &[3]);
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
fn a_leader_goes_back_no_further_than_to_what_matches() {
    let raft = cluster();
    raft.refused(1, 2, 4, 5).unwrap();
    assert_eq!(clause(raft.refused(1, 2, 4, 4)), "next behind match");
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
    vote(&mut raft, 2, 2, &[3]);
    raft.became_leader(2, 2).unwrap();
    let mut raft = RaftSafety::new(&[1, 2, 3]);
    for member in [1, 2] {
        raft.appended(member, [entry(1, 2, "")]).unwrap();
        raft.persisted(member, durable(1, 2, 2, 1)).unwrap();
    }
    raft.committed(1, 2, 1).unwrap();
    // One whose votes of term 1 arrive late owes nothing to term 2.
    vote(&mut raft, 1, 3, &[2]);
    raft.became_leader(3, 1).unwrap();
    vote(&mut raft, 3, 3, &[2]);
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
fn a_leader_counts_entries_of_its_own_term_only() {
    let mut raft = cluster();
    vote(&mut raft, 2, 2, &[3]);
    raft.became_leader(2, 2).unwrap();
    assert_eq!(clause(raft.committed(2, 2, 2)), "commit of an old term");
    // Unless somebody else has committed it: who does not vote for a candidate tells it.
    let mut told = cluster();
    vote(&mut told, 2, 2, &[3]);
    told.became_leader(2, 2).unwrap();
    told.committed(1, 1, 2).unwrap();
    told.committed(2, 2, 2).unwrap();
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
    assert_eq!(clause(raft.sent_vote_request(2, 1)), "two votes");
    raft.sent_vote_response(2, 3, 1, false, false).unwrap();
    raft.sent_vote_response(2, 3, 7, true, true).unwrap();
}

#[test]
fn a_vote_is_on_disk_before_it_is_sent() {
    let mut raft = cluster();
    let sent = raft.sent_vote_response(2, 3, 2, true, false).unwrap_err();
    assert_eq!(sent.signature(), "raft/sent before durable: vote: term");
    let mut raft = cluster();
    let sent = raft.sent_vote_request(3, 2).unwrap_err();
    assert_eq!(sent.signature(), "raft/sent before durable: candidacy: term");
    raft.sent_pre_vote_request(3, 2);
    raft.persisted(3, durable(2, 1, 2, 0)).unwrap();
    let sent = raft.sent_vote_request(3, 2).unwrap_err();
    assert_eq!(sent.signature(), "raft/sent before durable: candidacy: vote");
    raft.persisted(3, durable(2, 1, 2, 3)).unwrap();
    raft.sent_vote_request(3, 2).unwrap();
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
    let mut raft = settled();
    raft.persisted(2, Durable { commit: 1, ..durable(2, 1, 1, 1) }).unwrap();
    // A store that had more can be lost; what the log said cannot.
    let back = Recovered { commit: 2, ..recovered(1, 1) };
    assert_eq!(raft.restarted(2, back, log).unwrap_err().signature(), "raft/state went back: commit");
    raft.restarted(2, Recovered { commit_logged: 1, ..back }, log).unwrap();
    raft.restarted(2, Recovered { commit_logged: 1, commit: 1, ..back }, log).unwrap();
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
fn a_snapshot_that_was_installed_before_a_crash_replaces_another_log() {
    let mut raft = settled();
    // Member 3 has an entry of a leader that is none any more, and the others have committed another there.
    raft.appended(3, [entry(3, 1, "lost")]).unwrap();
    raft.persisted(3, durable(3, 1, 1, 1)).unwrap();
    for member in [1, 2] {
        raft.stepped_down(member);
        raft.appended(member, [entry(3, 2, "y")]).unwrap();
        raft.persisted(member, durable(3, 2, 2, 2)).unwrap();
    }
    raft.committed(2, 2, 3).unwrap();
    let read = Recovered { snapshot_index: 3, snapshot_term: 2, applied: 3, commit: 3, ..recovered(2, 0) };
    raft.restarted(3, read, []).unwrap();
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

// Changes of the configuration.

fn joint(voters: &[MemberId], outgoing: &[MemberId]) -> Configuration {
    Configuration { outgoing: outgoing.to_vec(), ..Configuration::of(voters) }
}

/// Everyone in `members` has applied the change at entry 3, and has it on disk.
fn reconfigured(configuration: &Configuration, members: &[MemberId]) -> RaftSafety {
    let mut raft = settled();
    for member in 1..=3 {
        raft.appended(member, [change(3, 1, "")]).unwrap();
        raft.persisted(member, durable(3, 1, 1, 1)).unwrap();
    }
    for member in members {
        raft.committed(*member, 1, 3).unwrap();
        raft.configured(*member, 3, configuration.clone()).unwrap();
        raft.applied(*member, change(3, 1, "")).unwrap();
    }
    raft
}

#[test]
fn what_is_committed_is_counted_by_the_configuration_of_who_commits_it() {
    let commit = |configuration: &Configuration, configured: &[MemberId], holders: &[MemberId]| {
        let mut raft = reconfigured(configuration, configured);
        for member in holders {
            if *member > 3 {
                raft.appended(*member, [entry(1, 1, ""), entry(2, 1, "x"), change(3, 1, "")]).unwrap();
            }
            raft.appended(*member, [entry(4, 1, "y")]).unwrap();
            raft.persisted(*member, durable(4, 1, 1, 1)).unwrap();
        }
        raft.committed(1, 1, 4).map_err(|violation| violation.clause)
    };
    let refused = Err("commit without quorum");
    let four = Configuration::of(&[1, 2, 3, 4]);
    assert_eq!(commit(&four, &[1], &[1, 2]), refused);
    assert_eq!(commit(&four, &[1], &[1, 2, 3]), Ok(()));
    // It counts from where the leader has applied it, as in etcd.
    assert_eq!(commit(&four, &[2], &[1, 2]), Ok(()));
    // Who was removed does not count, nor does a learner.
    assert_eq!(commit(&Configuration::of(&[1, 2]), &[1], &[1, 3]), refused);
    let learner = Configuration { learners: vec![4], ..Configuration::of(&[1, 2, 3]) };
    assert_eq!(commit(&learner, &[1], &[1, 4]), refused);
    assert_eq!(commit(&learner, &[1], &[1, 2]), Ok(()));
    // Of a joint one, both halves.
    let both = joint(&[1, 4, 5], &[1, 2, 3]);
    assert_eq!(commit(&both, &[1], &[1, 2]), refused);
    assert_eq!(commit(&both, &[1], &[1, 4]), refused);
    assert_eq!(commit(&both, &[1], &[1, 2, 4]), Ok(()));
}

#[test]
fn a_leader_has_the_votes_of_a_quorum_of_its_configuration() {
    let elect = |configuration: &Configuration, candidate: MemberId, voters: &[MemberId]| {
        let mut raft = reconfigured(configuration, &[1, 2, 3]);
        vote(&mut raft, 2, candidate, voters);
        raft.became_leader(candidate, 2).map_err(|violation| violation.clause)
    };
    let refused = Err("election without quorum");
    let three = Configuration::of(&[1, 2, 3]);
    assert_eq!(elect(&three, 2, &[]), refused);
    assert_eq!(elect(&three, 2, &[3]), Ok(()));
    assert_eq!(elect(&Configuration::of(&[1, 2, 3, 4]), 2, &[3]), refused);
    assert_eq!(elect(&Configuration::of(&[1, 2]), 2, &[3]), refused);
    assert_eq!(elect(&joint(&[2, 4, 5], &[1, 2, 3]), 2, &[3]), refused);
    assert_eq!(elect(&joint(&[2, 4, 5], &[1, 2, 3]), 2, &[3, 4]), Ok(()));
    assert_eq!(elect(&Configuration::of(&[1, 2]), 3, &[1, 2]), Err("not a voter"));
}

#[test]
fn a_learner_and_who_was_removed_stand_for_no_election() {
    let learner = Configuration { learners: vec![4], ..Configuration::of(&[1, 2, 3]) };
    let mut raft = reconfigured(&learner, &[1, 2, 3]);
    assert_eq!(clause(raft.sent_vote_request(4, 2)), "not a voter");
    raft.sent_pre_vote_request(4, 2);
    raft.persisted(2, durable(3, 1, 2, 2)).unwrap();
    raft.sent_vote_request(2, 2).unwrap();
    let mut raft = reconfigured(&Configuration::of(&[1, 2]), &[3]);
    assert_eq!(clause(raft.sent_vote_request(3, 2)), "not a voter");
}

#[test]
fn one_change_is_under_way_at_a_time() {
    let mut raft = settled();
    raft.appended(1, [change(3, 1, "")]).unwrap();
    raft.persisted(1, durable(3, 1, 1, 1)).unwrap();
    assert_eq!(clause(raft.appended(1, [change(4, 1, "")])), "two changes at once");
    let mut raft = reconfigured(&Configuration::of(&[1, 2]), &[1]);
    raft.appended(1, [change(4, 1, "")]).unwrap();
    // A follower may have one that a newer leader replaces by another.
    let mut raft = settled();
    raft.appended(2, [change(3, 1, "a")]).unwrap();
    raft.appended(2, [change(3, 2, "b")]).unwrap();
}

#[test]
fn members_have_one_configuration_after_one_entry() {
    let mut raft = reconfigured(&Configuration::of(&[1, 2]), &[1]);
    assert_eq!(clause(raft.configured(2, 3, Configuration::of(&[1, 2, 3]))), "configuration");
    assert_eq!(clause(raft.configured(2, 2, Configuration::of(&[1, 2]))), "configuration");
    raft.configured(2, 2, Configuration::of(&[1, 2, 3])).unwrap();
    raft.configured(2, 3, Configuration::of(&[1, 2])).unwrap();
}

#[test]
fn a_configuration_follows_from_the_one_before() {
    let step = |from: &Configuration, to: &Configuration| {
        let mut raft = RaftSafety::new(&[1, 2, 3]);
        raft.configurations = Configurations::new(from.clone());
        raft.configured(1, 9, to.clone()).map_err(|violation| violation.clause)
    };
    let refused = Err("configuration step");
    let three = Configuration::of(&[1, 2, 3]);
    let learner = Configuration { learners: vec![4], ..three.clone() };
    assert_eq!(step(&three, &Configuration::of(&[1, 2, 3, 4])), Ok(()));
    assert_eq!(step(&three, &Configuration::of(&[2, 3])), Ok(()));
    assert_eq!(step(&three, &Configuration::of(&[2, 3, 4])), refused);
    assert_eq!(step(&three, &learner), Ok(()));
    assert_eq!(step(&learner, &Configuration::of(&[1, 2, 3, 4])), Ok(()));
    assert_eq!(step(&three, &joint(&[2, 3, 4], &[1, 2, 3])), Ok(()));
    assert_eq!(step(&three, &joint(&[2, 3, 4], &[1, 2])), refused);
    assert_eq!(step(&joint(&[2, 3, 4], &[1, 2, 3]), &Configuration::of(&[2, 3, 4])), Ok(()));
    assert_eq!(step(&joint(&[2, 3, 4], &[1, 2, 3]), &three), refused);
    assert_eq!(step(&joint(&[2, 3, 4], &[1, 2, 3]), &joint(&[2, 3], &[1, 2, 3])), refused);
}

#[test]
fn who_was_removed_does_not_come_back() {
    let mut raft = reconfigured(&Configuration::of(&[1, 2]), &[1]);
    assert_eq!(clause(raft.configured(1, 4, Configuration::of(&[1, 2, 3]))), "removed member");
    raft.configured(1, 4, Configuration::of(&[1, 2, 1 << 16 | 3])).unwrap();
}

#[test]
fn a_member_stands_when_the_seed_says_so() {
    let raft = RaftSafety::default();
    raft.waits(1, 13, 13).unwrap();
    assert_eq!(clause(raft.waits(1, 12, 13)), "election timeout");
}

#[test]
fn who_ends_as_removed_was_removed() {
    let raft = reconfigured(&Configuration::of(&[1, 2]), &[1]);
    raft.ends(3).unwrap();
    assert_eq!(clause(raft.ends(2)), "ended");
}

#[test]
fn a_read_is_confirmed_by_a_quorum_that_answered_since_it_came() {
    let mut raft = cluster();
    raft.read_begun(1, 1, 70);
    assert_eq!(raft.read_confirmed(1, 70).unwrap_err().signature(), "raft/read without quorum");
    raft.read_answered(2, 1, 1, 70);
    raft.read_confirmed(1, 70).unwrap();
    // Under a context that was used before, what was answered then counts for nothing.
    raft.read_begun(1, 1, 70);
    let reused = raft.read_confirmed(1, 70).unwrap_err();
    assert_eq!(reused.signature(), "raft/read without quorum: context used before");
    // Nor does what is answered in another term, or twice by the leader.
    raft.read_answered(2, 1, 2, 70);
    raft.read_answered(1, 1, 1, 70);
    assert_eq!(clause(raft.read_confirmed(1, 70)), "read without quorum");
    // A later read confirms those before it, and no earlier one those behind it.
    raft.read_begun(1, 1, 71);
    raft.read_answered(3, 1, 1, 71);
    raft.read_begun(1, 1, 72);
    raft.read_confirmed(1, 70).unwrap();
    assert_eq!(clause(raft.read_confirmed(1, 72)), "read without quorum");
}

#[test]
fn a_read_is_confirmed_by_who_votes() {
    let read = |configuration: &Configuration, answers: &[MemberId]| {
        let mut raft = reconfigured(configuration, &[1, 2, 3]);
        raft.read_begun(1, 1, 70);
        answers.iter().for_each(|member| raft.read_answered(*member, 1, 1, 70));
        raft.read_confirmed(1, 70).map_err(|violation| violation.clause)
    };
    let refused = Err("read without quorum");
    let learner = Configuration { learners: vec![4], ..Configuration::of(&[1, 2, 3]) };
    assert_eq!(read(&learner, &[4]), refused);
    assert_eq!(read(&learner, &[2]), Ok(()));
    assert_eq!(read(&joint(&[1, 4, 5], &[1, 2, 3]), &[2]), refused);
    assert_eq!(read(&joint(&[1, 4, 5], &[1, 2, 3]), &[2, 4]), Ok(()));
    // Who was removed has no say.
    assert_eq!(read(&Configuration::of(&[1, 2]), &[3]), refused);
    assert_eq!(read(&Configuration::of(&[1, 2]), &[2]), Ok(()));
}

#[test]
fn votes_of_learners_count_for_nothing() {
    let learner = Configuration { learners: vec![4], ..Configuration::of(&[1, 2, 3]) };
    for (voters, found) in [(&[4][..], Err("election without quorum")), (&[4, 3], Ok(()))] {
        let mut raft = reconfigured(&learner, &[1, 2, 3]);
        vote(&mut raft, 2, 2, voters);
        assert_eq!(raft.became_leader(2, 2).map_err(|violation| violation.clause), found);
    }
}

#[test]
fn who_stands_has_asked_first_unless_it_was_told_to() {
    let mut raft = cluster();
    raft.sent_pre_vote_request(1, 3);
    raft.stands(1, 3, false).unwrap();
    assert_eq!(clause(raft.stands(1, 4, false)), "no pre-vote");
    raft.stands(1, 4, true).unwrap();
    assert_eq!(clause(raft.stands(2, 3, false)), "no pre-vote");
}

#[test]
fn a_leader_that_hears_no_quorum_steps_down() {
    let mut raft = cluster();
    let ticks = |raft: &mut RaftSafety, count: u32| (0..count).try_for_each(|_| raft.ticked(1, 1, false, 10));
    ticks(&mut raft, 21).unwrap();
    raft.heard(1, 2);
    ticks(&mut raft, 21).unwrap();
    assert_eq!(clause(ticks(&mut raft, 1)), "leads without quorum");
    // It has begun to hand its leadership over.
    raft.ticked(1, 1, true, 10).unwrap();
    ticks(&mut raft, 20).unwrap();
    assert_eq!(clause(ticks(&mut raft, 1)), "leads without quorum");
    // In another term it has just been elected.
    raft.ticked(1, 2, false, 10).unwrap();
}
