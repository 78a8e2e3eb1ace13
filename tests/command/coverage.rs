//! What sweeps reached, and what they should have.

use std::path::Path;

use serde_json::Value;

use super::support::{Ended, folder};
use super::{tests, vertebra};

tests![
    marks_are_reached_missing_or_dormant,
    what_is_missing_fails_a_sweep_where_that_is_asked_for,
    too_few_seeds_are_not_judged,
    a_mark_is_dormant_only_where_no_run_can_reach_it,
    the_tables_do_not_depend_on_the_number_of_threads,
    a_sweep_that_is_gone_on_with_reached_what_the_undisturbed_one_did,
    parts_that_are_joined_reached_what_the_whole_did,
    the_tables_are_told_as_text_and_as_markdown,
    a_replay_tells_marks_which_are_no_events,
    a_comparison_passes_over_marks,
];

const REACHED: &str = "a question is answered";
const MISSING: &str = "a question of a hundredth client is answered";
const DORMANT: &str = "a question is answered among five";

fn named<'a>(coverage: &'a Value, list: &str, name: &str) -> &'a Value {
    let key = if list == "faults" { "kind" } else { "name" };
    let list = coverage[list].as_array().expect("a list");
    list.iter().find(|entry| entry[key] == name).unwrap_or_else(|| panic!("{name} is not in {list:?}"))
}

fn state(coverage: &Value, mark: &str) -> Value {
    named(coverage, "marks", mark)["state"].clone()
}

/// The coverage in the summary of a sweep.
fn swept(folder: &Path, flags: &[&str]) -> Value {
    vertebra(folder, &[&["sweep", "--json", "--no-keep"], flags].concat()).last()["coverage"].clone()
}

/// That in a ledger, without what differs from that of a summary.
fn kept(folder: &Path, ledger: &str) -> Value {
    let mut coverage = vertebra(folder, &["coverage", "--json", "--ledger", ledger]).expect(0).last();
    assert_eq!(coverage.as_object_mut().and_then(|fields| fields.remove("type")), Some("coverage".into()));
    coverage
}

fn marks_are_reached_missing_or_dormant() {
    let folder = folder("coverage-states");
    let coverage = swept(&folder, &["--seeds", "0..40", "--no-ledger"]);
    assert_eq!(coverage["seeds"], 40);
    for (mark, expected) in [(REACHED, "reached"), (MISSING, "missing"), (DORMANT, "dormant")] {
        assert_eq!(state(&coverage, mark), expected, "{mark}");
    }
    let reached = named(&coverage, "marks", REACHED);
    assert_eq!((&reached["possible"], &reached["seeds"]), (&40.into(), &40.into()));
    assert!(reached["hits"].as_u64() > Some(40), "{reached}");
    let missing = named(&coverage, "marks", MISSING);
    assert_eq!(
        (&missing["possible"], &missing["seeds"], &missing["hits"]),
        (&40.into(), &0.into(), &0.into())
    );
    assert_eq!(named(&coverage, "marks", DORMANT)["possible"], 0);
    let after_crash = named(&coverage, "marks", "a question is answered after a crash");
    assert!((1..40).contains(&after_crash["possible"].as_u64().expect("a number")), "{after_crash}");

    let failpoint = named(&coverage, "failpoints", "beforeAnswer");
    assert_eq!(failpoint["seeds"], 40);
    assert!(failpoint["passed"].as_u64() > failpoint["struck"].as_u64());
    assert!(failpoint["struck"].as_u64() >= failpoint["crashed"].as_u64());
    let kill = named(&coverage, "faults", "kill");
    assert!((1..40).contains(&kill["seeds"].as_u64().expect("a number")), "{kill}");
    assert!(kill["drawn"].as_u64() >= kill["met"].as_u64() && kill["met"].as_u64() > Some(0), "{kill}");
    let marks = coverage["marks"].as_array().expect("a list").iter();
    let foreign: Vec<&Value> =
        marks.filter(|mark| mark["name"].as_str().expect("a name").contains("leader")).collect();
    assert!(foreign.is_empty(), "marks of another system of the same program: {foreign:?}");
}

fn what_is_missing_fails_a_sweep_where_that_is_asked_for() {
    let folder = folder("coverage-required");
    let sweep =
        |flags: &[&str]| vertebra(&folder, &[&["sweep", "--seeds", "0..40", "--no-ledger"], flags].concat());
    assert!(!sweep(&[]).expect(0).stdout.contains(MISSING), "so few seeds say nothing of it");
    let refused = sweep(&["--require-coverage=40"]).expect(1);
    assert!(refused.stdout.contains(" missing, "), "{}", refused.stdout);
    assert!(refused.stdout.contains(&format!("\nmissing       {MISSING}\n")), "{}", refused.stdout);
    for part in
        ["that a sweep must reach", "in 40 seeds", "take the mark or failpoint out", "`vertebra coverage`"]
    {
        assert!(refused.stderr.contains(part), "{part} is not in {}", refused.stderr);
    }
    assert!(!refused.stderr.contains(DORMANT));
    let ledger = ["--ledger", "l"];
    vertebra(&folder, &[&["sweep", "--seeds", "0..40"], &ledger[..]].concat()).expect(0);
    vertebra(&folder, &[&["coverage"], &ledger[..]].concat()).expect(0);
    let refused =
        vertebra(&folder, &[&["coverage", "--require-coverage=40"], &ledger[..]].concat()).expect(1);
    assert!(refused.stderr.contains("that a sweep must reach"), "{}", refused.stderr);
    // A violation is more than what was not reached.
    let found = sweep(&["--require-coverage=40", "--defect", "lie", "--no-keep"]).expect(1);
    assert!(found.stdout.contains("an answer is what was asked"), "{}", found.stdout);
}

fn too_few_seeds_are_not_judged() {
    let folder = folder("coverage-few");
    let flags = ["sweep", "--seeds", "0..40", "--no-ledger", "--require-coverage"];
    let ended = vertebra(&folder, &flags).expect(0);
    assert!(ended.stdout.contains(" not yet, "), "{}", ended.stdout);
    assert_eq!(
        ended.stderr,
        "note: whether marks are missing is not judged: 40 seeds were run, and it takes 20,000\n"
    );
}

fn a_mark_is_dormant_only_where_no_run_can_reach_it() {
    let folder = folder("coverage-when");
    let coverage = swept(&folder, &["--seeds", "0..5", "--members", "5", "--no-ledger"]);
    assert_eq!(state(&coverage, DORMANT), "reached");
    let lies = "a question is answered with a lie";
    assert_eq!(state(&coverage, lies), "dormant");
    let coverage = swept(&folder, &["--seeds", "0..20", "--defect", "lie", "--no-ledger"]);
    assert_eq!(state(&coverage, lies), "reached");
}

fn the_tables_do_not_depend_on_the_number_of_threads() {
    let folder = folder("coverage-threads");
    let tables = |jobs: &str| {
        let flags = ["sweep", "--seeds", "0..60", "--no-ledger", "--coverage", "--jobs", jobs];
        let stdout = vertebra(&folder, &flags).expect(0).stdout;
        let (_, tables) = stdout.split_once("\npass: no violation was found\n").expect("it passes");
        tables.to_owned()
    };
    let tables_of_one = tables("1");
    assert!(tables_of_one.contains(REACHED), "{tables_of_one}");
    assert_eq!(tables_of_one, tables("4"));
}

fn a_sweep_that_is_gone_on_with_reached_what_the_undisturbed_one_did() {
    let folder = folder("coverage-resume");
    let whole = swept(&folder, &["--seeds", "0..60", "--ledger", "whole"]);
    assert_eq!(whole["seeds"], 60);
    swept(&folder, &["--seeds", "0..25", "--ledger", "parts"]);
    swept(&folder, &["--seeds", "40..50", "--ledger", "parts"]);
    assert_eq!(swept(&folder, &["--seeds", "0..60", "--resume", "--ledger", "parts"]), whole);
    assert_eq!(kept(&folder, "parts"), whole);
    assert_eq!(kept(&folder, "whole"), whole);
    // Seeds that are done again are not counted again.
    assert_eq!(swept(&folder, &["--seeds", "0..60", "--ledger", "whole"]), whole);
    assert_eq!(kept(&folder, "whole"), whole);
}

fn parts_that_are_joined_reached_what_the_whole_did() {
    let folder = folder("coverage-merge");
    let whole = swept(&folder, &["--seeds", "0..60", "--no-ledger"]);
    for part in ["1/2", "2/2"] {
        let ledger = part.replace('/', "-of-");
        swept(&folder, &["--seeds", "0..60", "--shard", part, "--ledger", &ledger]);
        assert_ne!(kept(&folder, &ledger), whole);
    }
    for _ in 0..2 {
        vertebra(&folder, &["merge", "all", "1-of-2", "2-of-2"]).expect(0);
        assert_eq!(kept(&folder, "all"), whole);
    }
}

fn the_tables_are_told_as_text_and_as_markdown() {
    let folder = folder("coverage-tables");
    swept(&folder, &["--seeds", "0..40", "--ledger", "l"]);
    let text = vertebra(&folder, &["coverage", "--ledger", "l"]).expect(0).stdout;
    let line = |part: &str| {
        text.lines().find(|line| line.ends_with(part)).unwrap_or_else(|| panic!("{part} in {text}"))
    };
    assert!(line(MISSING).starts_with("missing"), "{}", line(MISSING));
    assert!(line(REACHED).starts_with("reached"), "{}", line(REACHED));
    assert!(text.contains(", over 40 seeds; numbers are per 1,000 seeds\n"), "{text}");
    for (above, below) in
        [(MISSING, REACHED), (REACHED, DORMANT), (DORMANT, "beforeAnswer"), ("beforeAnswer", "clock-drift")]
    {
        assert!(text.find(above) < text.find(below), "{above} stands below {below}");
    }
    let Ended { stdout, .. } = vertebra(&folder, &["coverage", "--markdown", "--ledger", "l"]).expect(0);
    assert!(
        stdout.contains("| mark | state | possible | seeds | hits |\n| --- | --- | ---: | ---: | ---: |\n"),
        "{stdout}"
    );
    assert!(stdout.contains(&format!("| {MISSING} | missing | 100 % | 0 | 0 |\n")), "{stdout}");
    assert!(stdout.contains("\n| kill | "), "{stdout}");
    let empty = vertebra(&folder, &["coverage", "--ledger", "none"]).expect(2);
    assert!(empty.stderr.contains("there is no ledger; a sweep begins one"), "{}", empty.stderr);
}

fn a_replay_tells_marks_which_are_no_events() {
    let folder = folder("coverage-replay");
    let lines = vertebra(&folder, &["replay", "7", "--json"]).expect(0).json();
    let is_mark = |line: &&Value| line["topic"] == "mark";
    let marks: Vec<&Value> = lines.iter().filter(is_mark).collect();
    assert!(marks.iter().any(|mark| mark["text"] == REACHED), "{marks:?}");
    let events: Vec<&Value> =
        lines.iter().filter(|line| line["type"] == "event" && line["topic"] != "mark").collect();
    for mark in &marks {
        let event = mark["event"].as_u64().expect("a number");
        let before = events[usize::try_from(event).expect("small") - 1];
        assert_eq!((&before["event"], &before["digest"]), (&mark["event"], &mark["digest"]));
    }
    let verdict = lines.last().expect("a verdict");
    assert_eq!(verdict["events"], events.len());
    let text = vertebra(&folder, &["replay", "7", "--quiet", "--topic", "mark"]).expect(0).stdout;
    assert_eq!(text.lines().filter(|line| line.contains("  mark      ")).count(), marks.len(), "{text}");
}

fn a_comparison_passes_over_marks() {
    let folder = folder("coverage-twice");
    let compared = vertebra(&folder, &["replay", "7", "--twice", "--json"]).expect(0).json();
    let verdict = vertebra(&folder, &["replay", "7", "--verdict", "--json"]).expect(0).last();
    assert_eq!(compared.iter().find_map(|line| line["events"].as_u64()), verdict["events"].as_u64());
}
