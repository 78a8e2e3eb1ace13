//! What is told of failures, and what is kept.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use super::support::{files, folder};
use super::{tests, vertebra};

tests![
    failures_are_grouped_by_signature,
    the_first_schedules_of_a_signature_are_kept,
    the_command_of_a_failure_gives_the_same_failure,
    an_end_at_the_first_failure_does_not_depend_on_threads,
    a_panic_is_a_violation_of_the_place_where_it_happened,
    runs_of_one_seed_with_other_flags_are_kept_in_other_files,
    a_folder_that_cannot_be_written_leaves_the_violation_a_violation,
];

fn failures_are_grouped_by_signature() {
    let folder = folder("failures-summary");
    let ended = vertebra(&folder, &["sweep", "--seeds", "0..40", "--defect", "lie"]).expect(1);
    let (_, failures) = ended.stdout.split_once("\n\n").expect("failures stand after an empty line");
    assert_snapshot!("failure_summary", failures);
}

fn the_first_schedules_of_a_signature_are_kept() {
    let folder = folder("failures-kept");
    let ended = vertebra(&folder, &["sweep", "--seeds", "0..40", "--defect", "lie", "--failures", "a/b"]);
    ended.expect(1);
    let kept = files(&folder.join("a/b"));
    assert_eq!(kept, ["0-lie.toml", "1-lie.toml", "2-lie.toml", "3-lie.toml", "5-lie.toml"]);
    assert_snapshot!("schedule_file", fs::read_to_string(folder.join("a/b/0-lie.toml")).expect("a file"));
}

fn the_command_of_a_failure_gives_the_same_failure() {
    let folder = folder("failures-command");
    let flags = ["--seeds", "10..14", "--defect", "lie", "--defect", "lie", "--members", "2"];
    let swept = vertebra(&folder, &[&["sweep", "--json"], flags.as_slice()].concat()).expect(1).json();
    let (summary, failures) = swept.split_last().expect("a summary");
    assert_eq!(summary["failures"], failures.len());
    for failure in failures {
        let command = failure["command"].as_str().expect("a command");
        assert!(command.ends_with(" --members 2 --defect lie"), "each flag once: {command}");
        let arguments: Vec<&str> = command.split(' ').skip(1).chain(["--json", "--quiet"]).collect();
        let by_seed = vertebra(&folder, &arguments).expect(1).last();
        let file = failure["schedule"].as_str().expect("a path");
        let by_file = vertebra(&folder, &["replay", file, "--json", "--quiet"]).expect(1).last();
        for field in ["digest", "signature", "oracle", "clause", "detail", "at_ns", "seed"] {
            assert_eq!(by_seed[field], failure[field], "{field} of {command}");
            assert_eq!(by_file[field], failure[field], "{field} of {file}");
        }
        assert_eq!(by_seed["schedule"], failure["schedule"]);
        assert_eq!(by_file["command"], format!("vertebra replay {file}"));
    }
}

fn an_end_at_the_first_failure_does_not_depend_on_threads() {
    let folder = folder("failures-fast");
    let run = |jobs| {
        let flags = ["sweep", "--json", "--fail-fast", "--defect", "lie", "--members", "1", "--jobs", jobs];
        let mut lines = vertebra(&folder, &flags).expect(1).json();
        for line in &mut lines {
            for field in ["jobs", "wall_time_ms", "seeds_per_second"] {
                line.as_object_mut().expect("an object").remove(field);
            }
        }
        lines
    };
    let alone = run("1");
    assert_eq!(alone.last().map(|summary| &summary["end"]), Some(&Value::from("first-failure")));
    for jobs in ["2", "7"] {
        assert_eq!(alone, run(jobs), "with {jobs} threads");
    }
}

fn a_panic_is_a_violation_of_the_place_where_it_happened() {
    let folder = folder("failures-panic");
    let ended = vertebra(&folder, &["replay", "0", "--defect", "panic", "--quiet", "--json"]).expect(1);
    assert_eq!(ended.stderr, "", "a panic of the system under test is not one of the command");
    let verdict = ended.last();
    assert_eq!((&verdict["oracle"], &verdict["clause"]), (&"process".into(), &"panic".into()));
    assert!(verdict["signature"].as_str().is_some_and(|text| text.contains("echo.rs:")), "{verdict}");
    assert!(verdict["detail"].as_str().is_some_and(|text| text.contains("a planted panic")), "{verdict}");
}

fn runs_of_one_seed_with_other_flags_are_kept_in_other_files() {
    let folder = folder("failures-names");
    for flags in [["--members", "1"], ["--members", "3"], ["--defect", "panic"]] {
        let arguments = [&["replay", "0", "--verdict", "--defect", "lie"], flags.as_slice()].concat();
        vertebra(&folder, &arguments).expect(1);
    }
    let kept = files(&folder.join("vertebra-failures"));
    assert_eq!(kept, ["0-lie-panic.toml", "0-members-1-lie.toml", "0-members-3-lie.toml"]);
}

fn a_folder_that_cannot_be_written_leaves_the_violation_a_violation() {
    let folder = folder("failures-unwritable");
    // Permissions would not stop the superuser, as whom tests may run.
    fs::write(folder.join("file"), "").expect("a file");
    for arguments in [
        ["sweep", "--seeds", "0..3", "--defect", "lie", "--failures", "file/folder"],
        ["replay", "0", "--verdict", "--defect", "lie", "--failures", "file/folder"],
    ] {
        let ended = vertebra(&folder, &arguments).expect(1);
        let reason = "file/folder/0-lie.toml: Not a directory";
        assert!(ended.stderr.starts_with("error: the schedule "), "{}", ended.stderr);
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
        assert!(ended.stdout.contains(&format!("schedule   not kept: {reason}")), "{}", ended.stdout);
        assert!(ended.stdout.contains("reproduce  vertebra replay 0 --defect lie\n"), "{}", ended.stdout);
    }
}
