//! What `failures` says of what sweeps found, and what other programs are told of it.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use super::support::{Ended, ended, folder};
use super::{command, tests, vertebra};

tests![
    failures_are_listed_with_state_seeds_commits_and_command,
    one_failure_is_shown_whole,
    a_failure_is_followed_over_builds,
    what_is_closed_is_listed_as_resolved_until_it_is_seen_again,
    an_id_may_be_shortened_as_long_as_it_is_one,
    the_schedule_in_the_ledger_is_that_of_the_failure,
    a_failure_of_another_build_is_replayed_by_its_schedule,
    an_empty_ledger_lists_no_failure,
    a_report_for_ci_servers_has_a_case_for_each_kind_of_failure,
    a_report_that_cannot_be_written_is_refused_before_anything_runs,
    under_github_actions_each_kind_of_failure_is_an_annotation,
];

/// The id that the list has first.
fn id(folder: &std::path::Path) -> String {
    let first = vertebra(folder, &["failures", "--json"]).expect(0).json().swap_remove(0);
    first["id"].as_str().expect("an id").to_owned()
}

/// `text` without the times of day in it.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| line.split(", sweep of ").next().unwrap_or_default());
    lines.map(|line| format!("{line}\n")).collect()
}

fn failures_are_listed_with_state_seeds_commits_and_command() {
    let folder = folder("triage-list");
    vertebra(&folder, &["sweep", "--seeds", "0..30", "--defect", "lie"]).expect(1);
    vertebra(&folder, &["sweep", "--seeds", "40..50", "--defect", "panic", "--members", "1"]).expect(1);
    let list = vertebra(&folder, &["failures"]).expect(0).stdout;
    // Where in its file the panic stands changes with the file, and its id with that.
    let (before, panicked) = list.split_once("\n\n").expect("two failures");
    let (_, panicked) = panicked.split_once(' ').expect("an id");
    let (file, panicked) = panicked.split_once("echo.rs:").expect("a place");
    let (_, panicked) = panicked.split_once(' ').expect("a message");
    let list = format!("{before}\n\n[id] {file}echo.rs:[line] {panicked}");
    assert_snapshot!("failures", list);
    let json = vertebra(&folder, &["failures", "list", "--json", "--state", "new,rare"]).expect(0).json();
    assert_eq!(json.len(), 2);
    for line in &json {
        assert_eq!((&line["type"], &line["state"]), (&"finding".into(), &"new".into()));
        assert_eq!(line["first"]["commit"], "of echo");
        let command = line["command"].as_str().expect("a command");
        let arguments: Vec<&str> = command.split(' ').skip(1).chain(["--json", "--quiet"]).collect();
        let again = vertebra(&folder, &arguments).expect(1).last();
        assert_eq!((&again["signature"], &again["seed"]), (&line["signature"], &line["first"]["seed"]));
    }
    let none = vertebra(&folder, &["failures", "--state", "resolved"]).expect(0).stdout;
    assert_eq!(none, "no such failure in 40 seeds\n");
    let refused = vertebra(&folder, &["failures", "--state", "old"]).expect(2);
    assert!(refused.stderr.contains("[possible values: new, ongoing, rare, resolved]"), "{}", refused.stderr);
}

fn one_failure_is_shown_whole() {
    let folder = folder("triage-show");
    vertebra(&folder, &["sweep", "--seeds", "0..30", "--defect", "lie"]).expect(1);
    let shown = vertebra(&folder, &["failures", "show", &id(&folder)]).expect(0).stdout;
    assert_snapshot!("failure_shown", timeless(&shown));
    let json = vertebra(&folder, &["failures", "show", &id(&folder), "--json"]).expect(0).last();
    assert_eq!((&json["example"]["seed"], &json["seeds"][0]), (&0.into(), &0.into()));
}

/// Sweeps as another build does.
fn sweep(folder: &std::path::Path, build: &str, flags: &[&str]) -> Ended {
    ended(command(folder, &[&["sweep"], flags].concat()).env("ECHO_BUILD", build))
}

/// The state of the one failure there is, and why.
fn state(folder: &std::path::Path) -> String {
    let shown = vertebra(folder, &["failures", "show", "F"]).expect(0).stdout;
    shown.lines().find_map(|line| line.strip_prefix("state      ")).expect("a state").to_owned()
}

fn a_failure_is_followed_over_builds() {
    let folder = folder("triage-builds");
    let lying = ["--members", "1", "--seeds"];
    // The defect is an option of the echo, and so a part of the profile. Here it comes and goes with the build.
    let sweep = |build: &str, seeds: &str, code| {
        sweep(&folder, build, &[&lying[..], &[seeds]].concat()).expect(code);
    };
    sweep("lie 1", "0..40", 1);
    assert_eq!(state(&folder), "new: no build before the latest had it");
    sweep("lie 2", "0..40", 1);
    assert_eq!(state(&folder), "ongoing: the latest build has it, as one before had");
    sweep("honest", "40..42", 0);
    let rare = state(&folder);
    assert!(rare.starts_with("rare: not seen in 2 seeds after that, where "), "{rare}");
    assert!(rare.ends_with(" failures were to be expected: too few to say that it is gone"), "{rare}");
    sweep("honest", "42..80", 0);
    assert!(
        state(&folder).starts_with("resolved: not seen in 40 seeds after that, where "),
        "{}",
        state(&folder)
    );
    sweep("lie 3", "0..40", 1);
    assert_eq!(state(&folder), "ongoing: the latest build has it, as one before had");
    let list = vertebra(&folder, &["failures"]).expect(0).stdout;
    assert!(list.contains(" at commit of lie 1 to seed "), "{list}");
    assert!(list.contains(" at commit of lie 3\n"), "{list}");
}

fn what_is_closed_is_listed_as_resolved_until_it_is_seen_again() {
    let folder = folder("triage-close");
    vertebra(&folder, &["sweep", "--seeds", "0..10", "--defect", "lie"]).expect(1);
    let id = id(&folder);
    let closed = vertebra(&folder, &["failures", "close", &id]).expect(0).stdout;
    assert_eq!(closed, format!("closed     {id}  echo/an answer is what was asked: too large\n"));
    assert_eq!(state(&folder), "resolved: closed, and not seen since");
    vertebra(&folder, &["failures", "reopen", &id]).expect(0);
    assert_eq!(state(&folder), "new: no build before the latest had it");
    let json = vertebra(&folder, &["failures", "close", "F", "--json"]).expect(0).last();
    assert_eq!((&json["id"], &json["state"]), (&id.as_str().into(), &"resolved".into()));
    sweep(&folder, "another", &["--seeds", "0..10", "--defect", "lie"]).expect(1);
    assert_eq!(state(&folder), "ongoing: closed before, and seen again");
    // The first of two is not closed when there is no second.
    vertebra(&folder, &["failures", "close", &id, "F0"]).expect(2);
    assert_eq!(state(&folder), "ongoing: closed before, and seen again");
}

fn an_id_may_be_shortened_as_long_as_it_is_one() {
    let folder = folder("triage-id");
    vertebra(&folder, &["sweep", "--seeds", "0..5", "--defect", "lie"]).expect(1);
    vertebra(&folder, &["sweep", "--seeds", "0..5", "--defect", "panic"]).expect(1);
    let refused = vertebra(&folder, &["failures", "show", "F"]).expect(2);
    assert!(refused.stderr.starts_with("error: F may be F"), "{}", refused.stderr);
    assert!(refused.stderr.ends_with("; write more of it\n"), "{}", refused.stderr);
    for id in ["7", "G", "F00000000", ""] {
        let refused = vertebra(&folder, &["failures", "--ledger", "none", "show", id]).expect(2);
        assert_eq!(refused.stderr, "error: none: there is no ledger; a sweep begins one\n");
    }
    let refused = vertebra(&folder, &["failures", "show", "F00000000"]).expect(2);
    assert!(
        refused
            .stderr
            .ends_with("there is no failure F00000000; `vertebra failures` lists those there are\n")
    );
}

fn the_schedule_in_the_ledger_is_that_of_the_failure() {
    let folder = folder("triage-schedule");
    vertebra(&folder, &["sweep", "--seeds", "0..5", "--defect", "lie"]).expect(1);
    let schedule = vertebra(&folder, &["failures", "show", "F", "--schedule"]).expect(0).stdout;
    assert_eq!(schedule, fs::read_to_string(folder.join("vertebra-failures/0-lie.toml")).expect("a file"));
}

fn a_failure_of_another_build_is_replayed_by_its_schedule() {
    let folder = folder("triage-replay");
    sweep(&folder, "another", &["--seeds", "0..5", "--defect", "lie", "--ledger", "a ledger"]).expect(1);
    let line = vertebra(&folder, &["failures", "--ledger", "a ledger", "--json"]).expect(0).last();
    let id = line["id"].as_str().expect("an id");
    assert_eq!(line["command"], format!("vertebra replay {id} --ledger 'a ledger'"));
    let again =
        vertebra(&folder, &["replay", id, "--ledger", "a ledger", "--json", "--quiet"]).expect(1).last();
    assert_eq!(again["signature"], line["signature"]);
    assert_eq!(again["command"], line["command"]);
}

fn an_empty_ledger_lists_no_failure() {
    let folder = folder("triage-empty");
    let refused = vertebra(&folder, &["failures"]).expect(2);
    assert!(refused.stderr.ends_with("there is no ledger; a sweep begins one\n"), "{}", refused.stderr);
    vertebra(&folder, &["sweep", "--seeds", "0..5"]).expect(0);
    assert_eq!(vertebra(&folder, &["failures"]).expect(0).stdout, "no failure in 5 seeds\n");
    assert_eq!(vertebra(&folder, &["failures", "--json"]).expect(0).stdout, "");
}

fn a_report_for_ci_servers_has_a_case_for_each_kind_of_failure() {
    let folder = folder("triage-junit");
    let report = |flags: &[&str], code| {
        vertebra(&folder, &[&["sweep", "--seeds", "0..20", "--junit", "report.xml"], flags].concat())
            .expect(code);
        let report = fs::read_to_string(folder.join("report.xml")).expect("a report");
        // How long it took.
        let parts = report.split(" time=\"").enumerate().map(|(number, part)| match number {
            0 => part,
            _ => part.split_once('"').expect("a value ends").1,
        });
        parts.collect::<String>()
    };
    assert_snapshot!("junit_pass", report(&[], 0));
    assert_snapshot!("junit_failures", report(&["--defect", "lie"], 1));
}

fn a_report_that_cannot_be_written_is_refused_before_anything_runs() {
    let folder = folder("triage-junit-unwritable");
    let refused = vertebra(&folder, &["sweep", "--junit", "missing/report.xml"]).expect(2);
    assert_eq!(refused.stderr, "error: missing/report.xml: No such file or directory (os error 2)\n");
    assert_eq!(refused.stdout, "", "that is known before anything runs");
    let sweep =
        vertebra(&folder, &["sweep", "--seeds", "0..5", "--defect", "lie", "--junit", "/dev/full"]).expect(2);
    assert_eq!(sweep.stderr, "error: /dev/full: No space left on device (os error 28)\n");
}

fn under_github_actions_each_kind_of_failure_is_an_annotation() {
    let folder = folder("triage-github");
    let flags = ["sweep", "--seeds", "0..5", "--defect", "lie", "--json"];
    let told = ended(command(&folder, &flags).env("GITHUB_ACTIONS", "true")).expect(1);
    let count = told.last()["failures"].as_u64().expect("a number");
    let annotation = format!(
        "::error title=echo/an answer is what was asked%3A too large::{count} failures, the first at seed 0: 107 came \
         back%0Aas 108%0Avertebra replay 0 --defect lie\n"
    );
    assert_eq!(told.stderr, annotation);
    assert!(told.json().iter().all(Value::is_object));
    assert_eq!(vertebra(&folder, &flags).expect(1).stderr, "", "annotations are for GitHub Actions");
    let green =
        ended(command(&folder, &["sweep", "--seeds", "0..5"]).env("GITHUB_ACTIONS", "true")).expect(0);
    assert_eq!(green.stderr, "");
}
