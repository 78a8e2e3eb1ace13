//! The command over the etcd cluster: the binary that people run.

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{Ended, folder};
use vertebra_model::Defect;
use vertebra_model::syncs::Sync;

mod support;

#[track_caller]
fn vertebra(folder: &Path, arguments: &[&str]) -> Ended {
    support::ended(&mut support::command(Path::new(env!("CARGO_BIN_EXE_vertebra")), folder, arguments))
}

/// The digests of some seeds, one on each line.
fn digests(name: &str, jobs: &str) -> String {
    let folder = folder(name);
    vertebra(&folder, &["sweep", "--seeds", "0..300", "--jobs", jobs, "--digests", "digests"]).expect(0);
    fs::read_to_string(folder.join("digests")).expect("the digests")
}

#[test]
fn a_sweep_without_defects_is_green_and_its_digests_do_not_depend_on_threads_or_folder() {
    let (one, two) = (digests("etcd-jobs-1", "1"), digests("etcd-jobs-2", "2"));
    assert_eq!(one.lines().count(), 300);
    for (line, other) in one.lines().zip(two.lines()) {
        assert_eq!(line, other);
    }
    // A run alone in its process is that of a sweep.
    for seed in ["0", "123", "299"] {
        let verdict = vertebra(&folder("etcd-jobs-replay"), &["replay", seed, "--json", "--quiet"]).expect(0);
        let line = format!("{seed} {}", verdict.last()["digest"].as_str().expect("a digest"));
        assert!(one.lines().any(|known| known == line), "{line} is not that of the sweep");
    }
}

#[test]
fn a_seed_and_its_schedule_file_are_the_same_run_in_each_size_of_cluster() {
    let folder = folder("etcd-file");
    for members in ["1", "3", "5"] {
        let told = vertebra(&folder, &["replay", "2", "--members", members]).expect(0).stdout;
        let (schedule, _) = told.split_once("\n   0.000000").expect("a schedule, then events");
        fs::create_dir_all(folder.join("elsewhere")).expect("a folder");
        fs::write(folder.join("elsewhere/2.toml"), schedule).expect("a file");
        let again = vertebra(&folder.join("elsewhere"), &["replay", "2.toml"]).expect(0).stdout;
        // Not `assert_eq`, which would print both.
        assert!(told == again, "{members} members");
        assert!(told.lines().any(|line| line == format!("members = {members}")));
    }
}

#[test]
fn two_processes_tell_the_same_in_each_size_of_cluster() {
    let folder = folder("etcd-twice");
    for members in ["1", "3", "5"] {
        let ended = vertebra(&folder, &["replay", "7", "--twice", "--members", members]).expect(0);
        assert!(ended.stdout.starts_with("equal "), "{}", ended.stdout);
    }
}

#[test]
fn filters_do_not_change_the_run() {
    let folder = folder("etcd-filters");
    let run =
        |flags: &[&str]| vertebra(&folder, &[&["replay", "3", "--json"], flags].concat()).expect(0).json();
    let (whole, filtered) = (run(&[]), run(&["--topic", "client", "--until", "2s"]));
    assert_eq!(whole.last(), filtered.last());
    assert!(filtered.len() > 2 && filtered.len() < whole.len());
    let client =
        |event: &&Value| event["topic"] == "client" && event["at_ns"].as_u64() <= Some(2_000_000_000);
    assert_eq!(whole.iter().filter(client).count(), filtered.len() - 2);
}

#[test]
fn a_reader_that_goes_away_in_the_middle_is_no_error() {
    // More than a pipe holds, so that the rest is written when nobody reads any more.
    let folder = folder("etcd-head");
    assert!(vertebra(&folder, &["replay", "7", "--json"]).stdout.len() > 1 << 18);
    let program = Path::new(env!("CARGO_BIN_EXE_vertebra"));
    let (line, code) =
        support::first_line(&mut support::command(program, &folder, &["replay", "7", "--json"]));
    assert!(line.starts_with(r#"{"type":"schedule""#), "{line}");
    assert_eq!(code, Some(0));
}

#[test]
fn a_planted_bug_is_found_and_its_command_finds_it_again() {
    let folder = folder("etcd-defect");
    let flags =
        ["sweep", "--seeds", "0..300", "--fail-fast", "--json", "--defect", "acknowledge-before-sync"];
    let lines = vertebra(&folder, &flags).expect(1).json();
    let [failure, summary] = lines.as_slice() else { panic!("one failure and the summary: {lines:?}") };
    assert_eq!(summary["end"], "first-failure");
    let command = failure["command"].as_str().expect("a command");
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let told = vertebra(&folder, &arguments).expect(1).stdout;
    let text = |field: &str| failure[field].as_str().expect("a text");
    let endings = [
        ("violation", text("signature")),
        ("oracle", text("oracle")),
        ("clause", text("clause")),
        ("reproduce", command),
        ("schedule", text("schedule")),
        ("digest", text("digest")),
    ];
    for (name, value) in endings {
        assert!(told.lines().any(|line| line == format!("{name:<9}  {value}")), "{name} of\n{told}");
    }
    let by_file = vertebra(&folder, &["replay", text("schedule"), "--json", "--quiet"]).expect(1).last();
    assert_eq!((&by_file["digest"], &by_file["signature"]), (&failure["digest"], &failure["signature"]));
}

#[test]
fn every_defect_and_every_sync_is_listed_and_explained() {
    let folder = folder("etcd-defects");
    let listed = vertebra(&folder, &["defects", "--json"]).expect(0).json();
    let names: Vec<_> = listed.iter().filter_map(|planted| planted["name"].as_str()).collect();
    let defects = Defect::ALL.iter().map(|defect| defect.name());
    let syncs = Sync::ALL.iter().map(|sync| sync.defect());
    assert_eq!(names, defects.chain(syncs).collect::<Vec<_>>());
    assert!(names.len() >= 60, "{} defects", names.len());
    let shown = vertebra(&folder, &["defects", "show", "stale-cursor"]).expect(0).stdout;
    for said in ["etcd-io/etcd#15271", "to 3.5.7", "its cursor", "vertebra sweep --defect stale-cursor"] {
        assert!(shown.contains(said), "{said} is not in\n{shown}");
    }
    let text = |arguments: &[&str]| vertebra(&folder, arguments).expect(0).stdout;
    assert!(text(&["defects", "--class", "lease", "--about", "deposed"]).ends_with("2 defects of 77\n"));
    let refused = |arguments: &[&str]| vertebra(&folder, arguments).expect(2).stderr;
    let unknown = refused(&["defects", "show", "cursor"]);
    assert_eq!(unknown, "error: there is no defect `cursor`; is it one of these: stale-cursor\n");
    let hunt =
        vertebra(&folder, &["hunt", "--all", "--time", "1s", "--seeds", "1", "--trials", "1", "--json"]);
    // What one seed finds is not the question.
    let summary: Value = serde_json::from_str(hunt.stdout.lines().last().expect("a summary")).expect("JSON");
    assert_eq!(summary["defects"], Defect::ALL.len(), "syncs are hunted by their names");
    assert!(refused(&["defects", "--class", "no"]).starts_with("error: there is no class `no`; there are: "));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = folder("etcd-options");
    let refused = vertebra(&folder, &["replay", "7", "--members", "4"]).expect(2);
    assert_eq!(refused.stderr, "error: seed 7: members: a cluster has 1, 3 or 5 members, not 4\n");
    let refused = vertebra(&folder, &["sweep", "--seeds", "7", "--members", "4"]).expect(2);
    assert_eq!(refused.stderr, "error: seed 7: members: a cluster has 1, 3 or 5 members, not 4\n");
}
