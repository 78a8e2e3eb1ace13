//! The smallest schedule that fails in the same way.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::Value;

use super::support::{Ended, files, folder, output, signal, wait_until};
use super::{command, tests, vertebra};

tests![
    of_many_faults_the_two_that_it_takes_are_left_and_weaker,
    the_result_has_the_same_signature_and_says_how_it_comes_about,
    the_signature_is_kept_where_there_are_several_bugs,
    the_result_depends_neither_on_jobs_nor_on_speed,
    operations_that_it_does_not_take_are_not_performed,
    a_budget_of_candidates_ends_it_with_the_best_so_far,
    a_budget_of_time_ends_it_with_the_best_so_far,
    an_interrupt_ends_it_with_the_best_so_far,
    a_result_that_is_shrunk_again_stays_as_it_is,
    a_failure_in_the_ledger_is_shrunk,
    what_passes_is_refused,
    a_file_that_is_there_is_not_replaced_unasked,
    runs_that_differ_are_told_as_such,
    what_is_told_can_be_had_as_json,
];

/// A schedule of three members that fails when two of them were restarted. Two faults of 16 do that.
fn pair() -> String {
    let mut text = r#"format = 1
system = "echo"
seed = 5
duration = "20s"
settle_max = "30s"

[options]
members = 3
clients = 2
defects = ["pair"]

[network.peers]
latency_min = "212us"
latency_max = "2.371ms"

[network.clients]
latency_min = "500us"
latency_max = "5ms"
duplicate_ppm = 20000
duplicate_delay_max = "50ms"

[disk]
sync_latency_min = "500us"
sync_latency_max = "8ms"

[[clock]]
node = "member 2"
offset = "-150ms"
drift_ppm = 300
"#
    .to_owned();
    let kinds = [
        "kind = \"pause\"\ntarget = \"all members\"\nlasts = \"120ms\"",
        "kind = \"partition\"\nfrom = [\"member 1\"]\nto = [\"others\"]\ndirection = \"both\"\npackets = \"drop\"\nlasts = \"1s\"",
        "kind = \"reset\"\nfrom = [\"all clients\"]\nto = [\"all members\"]",
        "kind = \"disk-stall\"\ntarget = \"member 1\"\nextra_latency = \"7ms\"\nlasts = \"500ms\"",
        // There is no leader, so it meets nobody.
        "kind = \"kill\"\ntarget = \"leader\"\ndown = \"1s\"",
    ];
    for number in 0..14 {
        let kind = kinds[number % kinds.len()];
        text += &format!("\n[[fault]]\nat = \"{}ms\"\n{kind}\n", 1_000 + 731 * number);
        match number {
            3 => {
                text += "\n[[fault]]\nat = \"3.391472s\"\nkind = \"power-failure\"\ntarget = \"member 3\"\ndown = \"733ms\"\n"
            }
            8 => {
                text += "\n[[fault]]\nat = \"7.0001s\"\nkind = \"kill\"\ntarget = \"member 1\"\ndown = \"1.209s\"\n"
            }
            _ => {}
        }
    }
    text
}

/// Writes [`pair`] to a file, and shrinks it.
fn shrink_pair(folder: &Path, flags: &[&str]) -> Ended {
    fs::write(folder.join("pair.toml"), pair()).expect("a file");
    vertebra(folder, &[&["shrink", "pair.toml"], flags].concat())
}

fn saved(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect("a schedule was saved")
}

/// The lines of the `[[fault]]` tables.
fn faults(schedule: &str) -> &str {
    schedule.find("\n[[fault]]").map_or("", |start| &schedule[start..])
}

fn of_many_faults_the_two_that_it_takes_are_left_and_weaker() {
    let folder = folder("shrink-pair");
    shrink_pair(&folder, &[]).expect(0);
    let schedule = saved(&folder, "pair-shrunk.toml");
    // The power failure became a kill, and all is as short and round as it can be.
    let left = r#"
[[fault]]
at = "3s"
kind = "kill"
target = "member 3"
down = "1us"

[[fault]]
at = "7s"
kind = "kill"
target = "member 1"
down = "1us"
"#;
    assert_eq!(faults(&schedule), left);
    for line in ["clients = 1", "duration = \"8s\"", "\"client 1\" = \"none\"", "members = 3"] {
        assert!(schedule.lines().any(|other| other == line), "there is no `{line}` in\n{schedule}");
    }
    assert!(!schedule.contains("[[clock]]"), "{schedule}");
}

fn the_result_has_the_same_signature_and_says_how_it_comes_about() {
    let folder = folder("shrink-story");
    let told = shrink_pair(&folder, &["--save", "kept/story.toml"]).expect(0).stdout;
    let (first, told) = told.split_once('\n').expect("lines");
    assert!(first.contains(" candidates in "), "{first}");
    assert_snapshot!("shrunk", told);
    let schedule = saved(&folder, "kept/story.toml");
    let end = schedule.find("\nformat").expect("a format");
    assert_snapshot!("shrunk_head", &schedule[..end]);
    let replayed = vertebra(&folder, &["replay", "kept/story.toml", "--json", "--verdict"]).expect(1).last();
    assert_eq!(replayed["signature"], "echo/one restart at most");
    vertebra(&folder, &["corpus", "kept"]).expect(0);
}

fn the_signature_is_kept_where_there_are_several_bugs() {
    let folder = folder("shrink-several");
    for seed in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        let bugs = ["--defect", "lie", "--defect", "panic", "--defect", "pair"];
        let found = vertebra(&folder, &[&["replay", seed, "--json", "--no-keep"], &bugs[..]].concat()).last();
        if found["verdict"] == "pass" {
            continue;
        }
        let name = format!("{seed}.toml");
        let arguments = [&["shrink", seed, "--json", "--save", &name], &bugs[..]].concat();
        let shrunk = vertebra(&folder, &arguments).expect(0).last();
        assert_eq!(shrunk["signature"], found["signature"], "of seed {seed}");
        let again = vertebra(&folder, &["replay", &name, "--json"]).expect(1).last();
        assert_eq!(again["signature"], found["signature"], "of the file of seed {seed}");
        // The other bugs are none of it.
        assert_eq!(shrunk["after"]["options"], serde_json::json!(["defects"]));
        let defects = saved(&folder, &name);
        let defects = defects.lines().find(|line| line.starts_with("defects")).expect("defects");
        assert!(!defects.contains(','), "{defects}");
    }
}

fn the_result_depends_neither_on_jobs_nor_on_speed() {
    let folder = folder("shrink-jobs");
    let budgets: [&[&str]; 3] = [&[], &["--candidates", "40"], &["--candidates", "150"]];
    for budget in budgets {
        let mut results = Vec::new();
        for jobs in ["1", "2", "7"] {
            let flags = [&["--jobs", jobs, "--json", "--save", "same.toml", "--force"], budget].concat();
            let mut told = shrink_pair(&folder, &flags).expect(0).last();
            told["wall_time_ms"] = Value::Null;
            results.push((told, saved(&folder, "same.toml")));
        }
        assert!(results.iter().all(|result| *result == results[0]), "with {budget:?}");
    }
}

fn operations_that_it_does_not_take_are_not_performed() {
    let folder = folder("shrink-operations");
    let arguments = ["shrink", "0", "--defect", "lie", "--json", "--save", "lie.toml"];
    let shrunk = vertebra(&folder, &arguments).expect(0).last();
    // One question is answered with a lie. It is not the first one.
    assert!(shrunk["before"]["operations"].as_u64() > Some(5), "{shrunk}");
    assert_eq!(shrunk["after"]["operations"], 1);
    let schedule = saved(&folder, "lie.toml");
    let performed: Vec<&str> = schedule.lines().filter(|line| line.starts_with("\"client ")).collect();
    assert!(performed.iter().any(|line| line.ends_with(" = \"7\"")), "{performed:?}");
}

fn a_budget_of_candidates_ends_it_with_the_best_so_far() {
    let folder = folder("shrink-candidates");
    let ended = shrink_pair(&folder, &["--candidates", "12"]).expect(0);
    assert!(ended.stdout.starts_with("12 candidates in "), "{}", ended.stdout);
    assert!(ended.stdout.lines().next().is_some_and(|line| line.ends_with("; the candidates are spent")));
    let left = faults(&saved(&folder, "pair-shrunk.toml")).matches("[[fault]]").count();
    assert!((2..16).contains(&left), "{left} faults are left");
    vertebra(&folder, &["replay", "pair-shrunk.toml"]).expect(1);
    let none = shrink_pair(&folder, &["--candidates", "0", "--save", "none.toml", "--json"]).expect(0).last();
    assert_eq!((&none["candidates"], &none["after"]), (&0.into(), &none["before"]));
}

/// A schedule in which one member is killed 150 times, which it takes all, so that there is much to try.
fn worn() -> String {
    let pair = pair().replace("\"pair\"", "\"worn\"").replace("\"20s\"", "\"60s\"");
    let mut text = pair[..pair.len() - faults(&pair).len()].to_owned();
    for number in 0..152 {
        let at = 1_001 + 251 * number;
        text += &format!(
            "\n[[fault]]\nat = \"{at}ms\"\nkind = \"kill\"\ntarget = \"member 2\"\ndown = \"123ms\"\n"
        );
    }
    text
}

fn a_budget_of_time_ends_it_with_the_best_so_far() {
    let folder = folder("shrink-time");
    fs::write(folder.join("worn.toml"), worn()).expect("a file");
    let shrunk = vertebra(&folder, &["shrink", "worn.toml", "--time", "1s", "--json"]).expect(0).last();
    assert_eq!(shrunk["end"], "time");
    vertebra(&folder, &["replay", "worn-shrunk.toml"]).expect(1);
}

fn an_interrupt_ends_it_with_the_best_so_far() {
    let folder = folder("shrink-interrupt");
    fs::write(folder.join("worn.toml"), worn()).expect("a file");
    let mut command = command(&folder, &["shrink", "worn.toml", "--json"]);
    command.env("ECHO_BEGAN", folder.join("began")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    wait_until(|| folder.join("began").exists());
    signal(&child, "INT");
    let shrunk = output(child).expect(130).last();
    assert_eq!(shrunk["end"], "interrupt");
    vertebra(&folder, &["replay", "worn-shrunk.toml"]).expect(1);
}

fn a_result_that_is_shrunk_again_stays_as_it_is() {
    let folder = folder("shrink-again");
    shrink_pair(&folder, &[]).expect(0);
    let again = vertebra(&folder, &["shrink", "pair-shrunk.toml", "--json"]).expect(0).last();
    assert_eq!(again["before"], again["after"]);
    let [once, twice] = ["pair-shrunk.toml", "pair-shrunk-shrunk.toml"].map(|name| saved(&folder, name));
    let schedule = |text: &str| text[text.find("\nformat").expect("a format")..].to_owned();
    assert_eq!(schedule(&once), schedule(&twice));
}

fn a_failure_in_the_ledger_is_shrunk() {
    let folder = folder("shrink-ledger");
    vertebra(&folder, &["sweep", "--seeds", "0..10", "--defect", "lie", "--no-keep"]).expect(1);
    let failures = vertebra(&folder, &["failures", "--json"]).expect(0).json();
    let id = failures[0]["id"].as_str().expect("an id");
    vertebra(&folder, &["shrink", id, "--save", "lie.toml"]).expect(0);
    assert!(
        saved(&folder, "lie.toml").starts_with("# verdict: echo/an answer is what was asked: too large\n")
    );
}

fn what_passes_is_refused() {
    let folder = folder("shrink-passes");
    let refused = vertebra(&folder, &["shrink", "0"]).expect(2);
    assert_eq!(refused.stderr, "error: seed 0 passes, so there is no failure to shrink\n");
    fs::write(folder.join("passes.toml"), pair().replace("\"pair\"", "")).expect("a file");
    let refused = vertebra(&folder, &["shrink", "passes.toml"]).expect(2);
    assert_eq!(refused.stderr, "error: passes.toml passes, so there is no failure to shrink\n");
    let refused = vertebra(&folder, &["shrink", "nowhere.toml"]).expect(2);
    assert!(refused.stderr.starts_with("error: nowhere.toml: "), "{}", refused.stderr);
    for flag in [["--time", "0s"], ["--jobs", "0"], ["--candidates", "-1"]] {
        vertebra(&folder, &[&["shrink", "0"], &flag[..]].concat()).expect(2);
    }
    assert_eq!(files(&folder), ["passes.toml"], "nothing is saved");
}

fn a_file_that_is_there_is_not_replaced_unasked() {
    let folder = folder("shrink-there");
    fs::write(folder.join("pair-shrunk.toml"), "mine").expect("a file");
    let refused = shrink_pair(&folder, &[]).expect(2);
    let said = "error: pair-shrunk.toml is there already; name another file with --save, or replace it with --force\n";
    assert_eq!(refused.stderr, said);
    assert_eq!(saved(&folder, "pair-shrunk.toml"), "mine");
    shrink_pair(&folder, &["--force"]).expect(0);
    assert!(saved(&folder, "pair-shrunk.toml").starts_with("# verdict: echo/one restart at most\n"));
}

fn runs_that_differ_are_told_as_such() {
    let folder = folder("shrink-differs");
    let arguments = ["shrink", "0", "--defect", "lie", "--defect", "run-count"];
    let ended = vertebra(&folder, &arguments).expect(3);
    let said = "error: non-determinism: two runs of the schedule differ\n\
                reproduce  vertebra replay 0 --defect lie --defect run-count --twice\n";
    assert_eq!(ended.stderr, said);
    assert!(files(&folder).is_empty());
}

fn what_is_told_can_be_had_as_json() {
    let folder = folder("shrink-json");
    let told = shrink_pair(&folder, &["--json"]).expect(0).json();
    assert_eq!(told.len(), 1);
    let told = &told[0];
    assert_eq!((&told["type"], &told["end"]), (&"shrunk".into(), &"smallest".into()));
    assert_eq!((&told["before"]["faults"], &told["after"]["faults"]), (&16.into(), &2.into()));
    assert_eq!((&told["after"]["operations"], &told["after"]["clients"]), (&0.into(), &1.into()));
    assert_eq!(told["after"]["options"], serde_json::json!(["defects"]));
    assert_eq!(told["command"], "vertebra replay pair-shrunk.toml");
    assert_eq!(told["schedule"], "pair-shrunk.toml");
    assert_eq!(told["signature"], "echo/one restart at most");
}
