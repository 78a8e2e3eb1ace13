//! The commit that broke a schedule.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::repository::{Repository, State};
use super::support::{self, Ended, output, signal, wait_until};
use super::tests;

tests![
    the_culprit_is_named_among_commits_that_cannot_be_judged,
    steps_and_result_can_be_had_as_json,
    an_interrupted_bisection_goes_on_where_it_was,
    a_killed_bisection_goes_on_where_it_was,
    what_is_known_is_used_again_until_it_is_to_be_forgotten,
    where_only_skipped_commits_are_left_all_of_them_are_listed,
    other_interleavings_are_tried_around_that_of_the_schedule,
    a_commit_that_fails_otherwise_is_skipped,
    a_seed_asks_each_commit_for_the_schedule_that_this_version_draws,
    a_system_without_verdicts_is_judged_by_exit_code_and_output,
    a_commit_that_takes_too_long_is_skipped_with_all_that_it_started,
    the_release_build_of_each_commit_is_what_runs_by_default,
    a_failure_that_was_there_before_the_good_commit_is_no_answer,
    a_culprit_without_a_parent_is_named,
    two_runs_that_print_the_same_and_end_otherwise_are_not_equal,
    a_run_that_prints_without_end_is_skipped,
    a_failure_in_the_ledger_is_looked_for_by_its_signature,
];

/// 32 commits: the 20th plants a defect, three do not build, two cannot read the schedule, one is not deterministic.
fn history() -> [State; 32] {
    let mut states = [State::Fine; 32];
    states[19..].fill(State::Lies);
    for (number, state) in [
        (16, State::Broken),
        (17, State::Unreadable),
        (18, State::Random),
        (21, State::Broken),
        (22, State::Unreadable),
        (24, State::Broken),
    ] {
        states[number - 1] = state;
    }
    states
}

#[track_caller]
fn names(ended: &Ended, repository: &Repository, culprit: usize) {
    let line = format!("culprit    {}\n", repository.hash(culprit));
    assert!(ended.stdout.contains(&line), "{line} is not in\n{}\n{}", ended.stdout, ended.stderr);
}

/// The numbers of the commits of which `text` stands in a line on standard error.
fn told(ended: &Ended, text: &str) -> BTreeSet<usize> {
    let lines = ended.stderr.lines().filter(|line| line.contains(text));
    let number = |line: &str| line.split_once("(Commit ")?.1.split_once(')')?.0.parse().ok();
    lines.filter_map(number).collect()
}

fn the_culprit_is_named_among_commits_that_cannot_be_judged() {
    let repository = Repository::new("bisect", &history());
    let before = repository.everything();
    let ended = repository.bisect(&["--good", "v1", "--work", "../kept"]).expect(0);
    names(&ended, &repository, 20);
    assert!(repository.everything() == before, "the repository is as it was");

    // Which commits git chooses after one that was skipped is its own affair.
    let skipped = told(&ended, "skip  ");
    assert!(
        skipped.contains(&16) && skipped.is_subset(&BTreeSet::from([16, 17, 18, 21, 22, 24])),
        "{skipped:?}"
    );
    assert!(ended.stderr.contains("\n      error: it does not compile\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("; 31 commits left, about 5 steps\n"), "{}", ended.stderr);
    let part = "\nThe parent goes on:\n   2.996199  member 1   network   -> client 1: #17 answer 107\n";
    assert!(ended.stdout.contains(part), "{}", ended.stdout);
    assert!(ended.stdout.contains("\ndifferent: event 47 differs at 2.996199 s\n"), "{}", ended.stdout);
    // Both commands do what they say.
    for (line, code) in ended.stdout.lines().filter_map(|line| line.strip_prefix("reproduce  ")).zip([0, 1]) {
        let again = support::ended(&mut repository.shell(line)).expect(code).last();
        let digest = again["digest"].as_str().expect("a digest");
        assert!(ended.stdout.contains(&format!(" events, digest {digest}\n")), "{line}");
    }
}

fn steps_and_result_can_be_had_as_json() {
    let repository = Repository::new("bisect-json", &history());
    let lines = repository.bisect(&["--good", "v1", "--json"]).expect(0).json();
    let (result, steps) = lines.split_last().expect("a result");
    assert!(steps.iter().all(|step| step["type"] == "step" && step["known"] == false), "{steps:?}");
    let judged = |judgement: &str| steps.iter().filter(|step| step["judgement"] == judgement).count();
    let counts = ["bad", "good", "skip"].map(judged);
    assert_eq!(
        result["judged"],
        serde_json::json!({ "bad": counts[0], "good": counts[1], "skipped": counts[2] })
    );
    assert_eq!(steps[0]["signature"], "echo/an answer is what was asked: too large");
    let skipped = steps.iter().find(|step| step["subject"] == "Commit 16").expect("that in the middle");
    assert_eq!((&skipped["judgement"], &skipped["cause"]), (&"skip".into(), &"no-build".into()));
    assert_eq!((&result["type"], &result["end"]), (&"result".into(), &"culprit".into()));
    assert_eq!((&result["subject"], &result["date"]), (&"Commit 20".into(), &"1970-01-01T00:00:20Z".into()));
    assert_eq!(result["commit"], repository.hash(20));
    let comparison = &result["comparison"];
    assert_eq!((&comparison["equal"], &comparison["first"][0]["event"]), (&false.into(), &47.into()));
    let verdicts = [0, 1].map(|side| comparison["sides"][side]["verdict"]["verdict"].clone());
    assert_eq!(verdicts, [Value::from("pass"), Value::from("violation")]);
}

/// The bisection after one that ended early: it judges nothing again, and its answer is the same.
#[track_caller]
fn goes_on(repository: &Repository, ended: &Ended, judged_before: &[String]) {
    names(ended, repository, 20);
    let known = told(ended, ", as was known");
    assert!(known.len() >= 3, "{}", ended.stderr);
    for line in repository.log().iter().skip(judged_before.len()) {
        let number = line.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("a number");
        // The culprit and its parent run once more at the end.
        assert!(!known.contains(&number) || [19, 20].contains(&number), "{line} again: {}", ended.stderr);
    }
}

fn an_interrupted_bisection_goes_on_where_it_was() {
    let repository = Repository::new("bisect-interrupt", &history());
    // A bisection of the user's own is under way too.
    repository.git(&["bisect", "start", "main", "v1"]);
    let before = repository.everything();
    let flags = ["--good", "v1", "--bad", "main", "--json"];
    for name in ["INT", "TERM"] {
        let child = repository.begin("0.1", &flags);
        let already = repository.log().len();
        wait_until(|| repository.log().len() >= already + 9);
        signal(&child, name);
        let ended = output(child).expect(130);
        assert_eq!(ended.last()["end"], "interrupt");
        assert!(
            ended.stderr.ends_with("interrupted; the same command goes on from here\n"),
            "{}",
            ended.stderr
        );
        assert!(repository.everything() == before, "the repository is as it was");
    }
    let log = repository.log();
    let ended = repository.bisect(&flags[..4]).expect(0);
    goes_on(&repository, &ended, &log);
    assert!(repository.everything() == before, "the repository is as it was");
}

fn a_killed_bisection_goes_on_where_it_was() {
    let repository = Repository::new("bisect-kill", &history());
    let before = repository.everything();
    let mut child = repository.begin("0.2", &["--good", "v1"]);
    wait_until(|| repository.log().len() >= 9);
    signal(&child, "KILL");
    child.wait().expect("the command ends");
    let log = repository.log();
    // What it had started may still run for a moment, and keep others away from the worktree.
    let mut ended = repository.bisect(&["--good", "v1"]);
    while ended.stderr.contains(" is in use by ") {
        std::thread::sleep(Duration::from_millis(50));
        ended = repository.bisect(&["--good", "v1"]);
    }
    ended = ended.expect(0);
    goes_on(&repository, &ended, &log);
    assert!(repository.everything() == before, "the repository is as it was");
}

fn what_is_known_is_used_again_until_it_is_to_be_forgotten() {
    let repository = Repository::new("bisect-known", &history());
    let first = repository.bisect(&["--good", "v1"]).expect(0);
    let log = repository.log().len();
    let again = repository.bisect(&["--good", "v1"]).expect(0);
    assert_eq!(first.stdout, again.stdout);
    assert_eq!(repository.log()[log..], ["build 20", "run 20", "build 19", "run 19"]);
    let log = repository.log().len();
    let anew = repository.bisect(&["--good", "v1", "--anew"]).expect(0);
    assert_eq!((anew.stdout, anew.stderr), (first.stdout, first.stderr));
    assert_eq!(repository.log().len(), 2 * log - 4);
    // Another question is another one.
    let other = repository.bisect(&["--good", "v1", "--bad", "HEAD~1"]).expect(0);
    assert!(!other.stderr.contains("as was known"), "{}", other.stderr);
}

fn where_only_skipped_commits_are_left_all_of_them_are_listed() {
    let mut states = [State::Fine; 9];
    states[5..].fill(State::Lies);
    states[3..6].copy_from_slice(&[State::Broken, State::Unreadable, State::Random]);
    let repository = Repository::new("bisect-skipped", &states);
    let ended = repository.bisect(&["--good", "v1"]).expect(125);
    for (reason, number) in [
        ("does not build", 4),
        ("cannot read the schedule: edited.toml:1: format 99 is unknown", 5),
        ("is not deterministic: two runs of the schedule differ", 6),
    ] {
        assert_eq!(told(&ended, reason), BTreeSet::from([number]), "{reason}\n{}", ended.stderr);
    }
    for number in [4, 5, 6, 7] {
        let line = format!("\n{}  Commit {number}\n", repository.hash(number));
        assert!(ended.stdout.contains(&line), "{line} is not in\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains("Commit 3") && !ended.stdout.contains("Commit 8"), "{}", ended.stdout);
    let result = repository.bisect(&["--good", "v1", "--json"]).expect(125).last();
    assert_eq!(result["end"], "only-skipped");
    assert_eq!(result["candidates"].as_array().map(Vec::len), Some(4));
}

fn other_interleavings_are_tried_around_that_of_the_schedule() {
    let mut states = [State::Fine; 8];
    states[5..].fill(State::LiesSometimes);
    let repository = Repository::new("bisect-around", &states);
    let refused = repository.bisect(&["--good", "v1"]).expect(2);
    assert!(
        refused.stderr.contains(" passes: name one that fails with --bad; --around 20 tries other inter")
    );
    let refused = repository.bisect(&["--good", "v1", "--around", "1"]).expect(2);
    assert!(refused.stderr.contains(" passes, also in interleavings 1 to 1: "), "{}", refused.stderr);
    let ended = repository.bisect(&["--good", "v1", "--around", "3"]).expect(0);
    names(&ended, &repository, 6);
    assert!(ended.stderr.contains("(Commit 8), in interleaving 2\n"), "{}", ended.stderr);
    assert!(ended.stdout.contains("\n           in interleaving 2 of the schedule\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains(" ../schedule-interleaving-2.toml)\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\ndifferent: event "), "{}", ended.stdout);
}

fn a_commit_that_fails_otherwise_is_skipped() {
    let states = [State::Fine, State::Fine, State::Panics, State::Lies, State::Lies];
    let repository = Repository::new("bisect-otherwise", &states);
    let ended = repository.bisect(&["--good", "v1"]).expect(125);
    assert!(ended.stderr.contains("(Commit 3), fails otherwise: process/panic"), "{}", ended.stderr);
    let signature = "echo/an answer is what was asked: too large";
    let refused = repository.bisect(&["--good", "v1", "--bad", "HEAD~2", "--signature", signature]).expect(2);
    assert!(refused.stderr.contains("or the failure that is meant with --signature"), "{}", refused.stderr);
}

fn a_seed_asks_each_commit_for_the_schedule_that_this_version_draws() {
    let mut states = [State::Fine; 4];
    states[2..].fill(State::Lies);
    let repository = Repository::new("bisect-seed", &states);
    let run = ["--run", "sh run.sh {schedule}", "--good", "v1"];
    let mut bisection = repository.vertebra(&[&["bisect", "7", "--members", "2"], run.as_slice()].concat());
    names(&support::ended(&mut bisection).expect(0), &repository, 3);
    let drawn = support::ended(&mut repository.vertebra(&["replay", "7", "--members", "2"])).expect(0).stdout;
    let kept = repository.kept("schedule.toml");
    assert!(drawn.starts_with(&fs::read_to_string(kept).expect("a schedule")));
}

fn a_system_without_verdicts_is_judged_by_exit_code_and_output() {
    let states = [State::Fine, State::Broken, State::Fine, State::Lies, State::Lies];
    let repository = Repository::new("bisect-plain", &states);
    let run = "cat state; case $(cat state) in Lies) exit 1;; Broken) echo $$;; esac; : {schedule}";
    fs::write(repository.folder.join("schedule.toml"), "faults: none of a kind that vertebra knows")
        .expect("a file");
    let ended = repository.bisect_with(&["--run", run]).expect(0);
    names(&ended, &repository, 4);
    assert!(ended.stdout.contains("\nviolation  exit code 1\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nThe parent goes on:\n             Fine\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nculprit    exit status: 1\n"), "{}", ended.stdout);
}

fn a_commit_that_takes_too_long_is_skipped_with_all_that_it_started() {
    let states = [State::Fine, State::Slow, State::Lies];
    let repository = Repository::new("bisect-slow", &states);
    let ended = repository.bisect(&["--good", "v1", "--timeout", "1s"]).expect(125);
    let reason = "(Commit 2), gives no verdict: a run takes longer than 1.0 s, its --timeout";
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    let process = fs::read_to_string(repository.folder.join("log.slow")).expect("a process");
    let alive = std::path::Path::new("/proc").join(process.trim()).join("cwd").exists();
    assert!(!alive, "the grandchild {process} still runs");
}

fn the_release_build_of_each_commit_is_what_runs_by_default() {
    let mut states = [State::Fine; 6];
    states[1] = State::Unreadable;
    states[2] = State::Broken;
    states[4..].fill(State::Lies);
    let repository = Repository::new("bisect-default", &states);
    let before = repository.everything();
    let mut bisection =
        repository.vertebra(&["bisect", "../schedule.toml", "--good", "v1", "--work", "../kept"]);
    repository.put_cargo_into_path(&mut bisection);
    let ended = support::ended(&mut bisection).expect(0);
    names(&ended, &repository, 5);
    let log = repository.log();
    assert_eq!(log[0], "build 6: cargo build --release --locked --bin vertebra");
    assert!(log[1].starts_with("run 6: vertebra replay /"), "{}", log[1]);
    assert!(log[1].ends_with("/schedule.toml --json --verdict --no-keep"), "{}", log[1]);
    assert_eq!(repository.that("build").len(), log.iter().filter(|line| line.starts_with("build")).count());
    assert!(log[log.len() - 1].ends_with("/schedule.toml --json --no-keep"), "{log:?}");
    assert!(repository.everything() == before, "the repository is as it was");
    // The programs of both sides are kept, and no others.
    let commands: Vec<&str> =
        ended.stdout.lines().filter_map(|line| line.strip_prefix("reproduce  ")).collect();
    for (command, code) in commands.iter().zip([0, 1]) {
        assert!(command.starts_with("../kept/"), "{command}");
        support::ended(&mut repository.shell(command)).expect(code);
    }
    assert_eq!(support::files(&repository.kept("programs")).len(), 2);
}

/// Merges another branch into main, which is at a commit that passes; the merge fails.
fn merge(repository: &Repository, branch: &str) {
    let identity = ["-c", "user.name=A Tester", "-c", "user.email=tester@example.org"];
    let git = |arguments: &[&str]| repository.git(&[&identity[..], arguments].concat());
    git(&["commit", "--quiet", "--allow-empty", "--message", "Aside"]);
    git(&["checkout", "--quiet", "main"]);
    git(&["merge", "--quiet", "--no-commit", "--allow-unrelated-histories", "--strategy", "ours", branch]);
    fs::write(repository.path.join("state"), "Lies").expect("a file");
    git(&["commit", "--quiet", "--all", "--message", "Merge"]);
}

fn a_failure_that_was_there_before_the_good_commit_is_no_answer() {
    let repository = Repository::new("bisect-before", &[State::Lies, State::Fine]);
    repository.git(&["checkout", "--quiet", "-b", "side", "v1"]);
    merge(&repository, "side");
    let refused = repository.bisect(&["--good", "main^1"]).expect(2);
    let aside = repository.git(&["log", "-1", "--format=%h", "--abbrev=10", "side"]);
    let reason = format!("error: {aside} (Aside) is the first bad commit after ");
    assert!(refused.stderr.contains(&reason), "{}", refused.stderr);
    let first = &repository.hash(1)[..10];
    let reason = format!(", but its parent {first} (Commit 1) fails as well: the failure was there before, ");
    assert!(refused.stderr.contains(&reason), "{}", refused.stderr);
    assert_eq!(refused.stdout, "", "nobody is blamed");
}

fn a_culprit_without_a_parent_is_named() {
    let repository = Repository::new("bisect-root", &[State::Fine]);
    repository.git(&["checkout", "--quiet", "--orphan", "alone"]);
    fs::write(repository.path.join("state"), "Lies").expect("a file");
    repository.git(&["add", "--all"]);
    merge(&repository, "alone");
    let ended = repository.bisect(&["--good", "v1"]).expect(0);
    assert!(ended.stdout.contains("\nsubject    Aside\n"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("\n\nit has no parent to be compared with\n"), "{}", ended.stdout);
    let result = repository.bisect(&["--good", "v1", "--json"]).expect(0).last();
    assert_eq!((&result["subject"], &result["parent"]), (&"Aside".into(), &Value::Null));
}

fn two_runs_that_print_the_same_and_end_otherwise_are_not_equal() {
    let repository = Repository::new("bisect-silent", &[State::Fine, State::Fine, State::Lies]);
    let run = "test $(cat state) = Fine || exit 1; : {schedule}";
    let ended = repository.bisect_with(&["--run", run]).expect(0);
    assert!(ended.stdout.contains("\nsubject    Commit 3\n"), "{}", ended.stdout);
    let line = "\ndifferent: both told the same 0 events, and end otherwise\n";
    assert!(ended.stdout.contains(line), "{}", ended.stdout);
}

fn a_run_that_prints_without_end_is_skipped() {
    let repository = Repository::new("bisect-endless", &[State::Fine, State::Fine, State::Lies]);
    // A file with a hole in it is as long as one that was written, and takes no room.
    let run =
        "test $(cat number) != 2 || { truncate --size=2G /dev/stdout; sleep 60; }; sh run.sh {schedule}";
    let ended = repository.bisect_with(&["--run", run]).expect(125);
    assert!(
        ended.stderr.contains("(Commit 2), gives no verdict: a run prints without end"),
        "{}",
        ended.stderr
    );
}

fn a_failure_in_the_ledger_is_looked_for_by_its_signature() {
    let repository = Repository::new("bisect-ledger", &[State::Fine, State::Lies, State::Panics]);
    let ledger = ["--ledger", "../a ledger"];
    let vertebra =
        |arguments: &[&str]| support::ended(&mut repository.vertebra(&[arguments, &ledger].concat()));
    vertebra(&["sweep", "--seeds", "3..5", "--defect", "lie"]).expect(1);
    let list = vertebra(&["failures", "--json"]).expect(0).last();
    let id = list["id"].as_str().expect("an id");
    // The schedule has the defect; what a commit makes of it is its own affair.
    let run = "case $(cat state) in Fine) edit='/^defects/d' ;; Panics) edit='/^defects/s/lie/panic/' ;; esac
               sed \"$edit\" {schedule} > edited.toml; \"$PROGRAM\" replay edited.toml --json --no-keep";
    let bisect = |flags: &[&str]| vertebra(&[&["bisect", id, "--good", "v1", "--run", run], flags].concat());
    let ended = bisect(&["--bad", "main~1"]).expect(0);
    names(&ended, &repository, 2);
    let refused = bisect(&[]).expect(2);
    assert!(refused.stderr.contains("(Commit 3) fails otherwise: process/panic"), "{}", refused.stderr);
    let refused = bisect(&["--members", "5"]).expect(2);
    assert!(refused.stderr.starts_with("error: --members 5 change what a seed draws"), "{}", refused.stderr);
}
