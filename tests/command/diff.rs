//! Where two runs part.

use std::fs;

use super::support::folder;
use super::{tests, vertebra};

tests![
    a_run_is_equal_to_itself,
    the_first_event_that_says_something_else_is_named,
    digests_that_differ_where_no_text_does_are_named_too,
    a_comparison_can_be_had_as_json_with_both_verdicts,
    another_program_is_asked_for_its_run_of_the_same_schedule,
    what_cannot_be_compared_is_refused,
];

fn a_run_is_equal_to_itself() {
    let folder = folder("diff-equal");
    let ended = vertebra(&folder, &["diff", "7", "--members", "2"]).expect(0);
    let verdict =
        vertebra(&folder, &["replay", "7", "--members", "2", "--json", "--verdict"]).expect(0).last();
    let (events, digest) = (&verdict["events"], verdict["digest"].as_str().expect("a digest"));
    let side = format!("pass, {events} events, digest {digest}\nreproduce  vertebra replay 7 --members 2\n");
    let told =
        format!("equal      both runs told the same {events} events\nA          {side}B          {side}");
    assert_eq!(ended.stdout, told);
}

fn the_first_event_that_says_something_else_is_named() {
    let folder = folder("diff-events");
    let told = vertebra(&folder, &["replay", "7", "--until", "0s"]).expect(0).stdout;
    let (schedule, _) = told.split_once("\n   0.000000").expect("a schedule, then events");
    fs::write(folder.join("a.toml"), schedule).expect("a file");
    fs::write(folder.join("b.toml"), schedule.replace("defects = []", "defects = [\"lie\"]"))
        .expect("a file");
    let ended = vertebra(&folder, &["diff", "a.toml", "b.toml"]).expect(1);
    let (before, rest) = ended.stdout.split_once("\n\nA goes on:\n").expect("A");
    let (first, rest) = rest.split_once("\n\nB goes on:\n").expect("B");
    let (second, end) = rest.split_once("\n\ndifferent: event ").expect("a difference");
    assert_eq!(before.lines().count(), 11, "{before}");
    assert_eq!((first.lines().count(), second.lines().count()), (4, 4), "{rest}");
    assert!(first.lines().next().is_some_and(|line| line.ends_with(" answer 207")), "{first}");
    assert!(second.lines().next().is_some_and(|line| line.ends_with(" answer 208")), "{second}");
    assert!(end.contains("\nA          pass, "), "{end}");
    assert!(end.contains("\nreproduce  vertebra replay a.toml\n"), "{end}");
    assert!(end.contains("\nB          echo/an answer is what was asked: too large, "), "{end}");
    assert!(end.ends_with("\nreproduce  vertebra replay b.toml\n"), "{end}");
}

fn digests_that_differ_where_no_text_does_are_named_too() {
    let folder = folder("diff-hidden");
    let ended = vertebra(&folder, &["diff", "7", "--defect", "hidden-process-id"]).expect(1);
    let line = ended.stdout.lines().next().expect("a line");
    let event =
        line.strip_prefix("different: all events say the same, but from event ").expect("the difference");
    let (event, how) = event.split_once(" on digests differ, ").expect("an event");
    assert!(event.parse::<u64>().is_ok_and(|event| event > 1), "{line}");
    assert_eq!(how, "in a value that its text does not show");
    // Both together: the digests part before the text does.
    let flags = ["diff", "7", "--defect", "hidden-process-id", "--defect", "process-id"];
    let ended = vertebra(&folder, &flags).expect(1);
    assert!(ended.stdout.contains("\ndifferent: event "), "{}", ended.stdout);
}

fn a_comparison_can_be_had_as_json_with_both_verdicts() {
    let folder = folder("diff-json");
    let same = vertebra(&folder, &["diff", "7", "--json"]).expect(0).last();
    assert_eq!((&same["type"], &same["equal"]), (&"comparison".into(), &true.into()));
    assert_eq!(same["events"], same["sides"][0]["verdict"]["events"]);
    assert!(same.get("first").is_none(), "{same}");
    let other = vertebra(&folder, &["diff", "7", "8", "--json"]).expect(1).last();
    assert_eq!((&other["equal"], &other["sides"][1]["name"]), (&false.into(), &"B".into()));
    assert_eq!(other["sides"][1]["command"], "vertebra replay 8");
    for (side, seed) in [(0, 7), (1, 8)] {
        assert_eq!(other["sides"][side]["verdict"]["seed"], seed);
    }
    for list in ["before", "first", "second"] {
        assert!(other[list].is_array(), "{list} of {other}");
    }
}

fn another_program_is_asked_for_its_run_of_the_same_schedule() {
    let folder = folder("diff-program");
    let program = std::env::current_exe().expect("this binary has a path");
    let script = format!("#!/bin/sh\nexec {} \"$@\" --defect lie\n", program.display());
    fs::write(folder.join("other"), script).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.join("other"), mode).expect("a mode");
    let ended = vertebra(&folder, &["diff", "7", "--program-b", "./other"]).expect(1);
    assert!(ended.stdout.contains("\nreproduce  vertebra replay 7\n"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("\nreproduce  ./other replay 7\n"), "{}", ended.stdout);
    let note = "note: the two builds draw different schedules from seed 7; to compare them over one, name its file\n";
    assert_eq!(ended.stderr, note);
}

fn what_cannot_be_compared_is_refused() {
    let folder = folder("diff-refused");
    let refused = vertebra(&folder, &["diff", "7", "nothing.toml"]).expect(2);
    assert_eq!(refused.stderr, "error: nothing.toml: No such file or directory (os error 2)\n");
    let refused = vertebra(&folder, &["diff", "7", "--program-a", "./nothing"]).expect(2);
    assert_eq!(refused.stderr, "error: ./nothing: No such file or directory (os error 2)\n");
    let refused = vertebra(&folder, &["diff", "7", "--program-b", "true"]).expect(2);
    assert_eq!(refused.stderr, "error: B ended without a verdict (exit status: 0)\n");
}
