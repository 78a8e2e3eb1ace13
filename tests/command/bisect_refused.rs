//! What cannot be bisected: each error says what to do, with exit code 2.

use std::fs;
use std::path::Path;

use super::repository::{Repository, State};
use super::support::{self, folder, output, signal, wait_until};
use super::{command, tests};

tests![
    ends_that_are_not_what_they_should_be_are_refused,
    revisions_between_which_nothing_can_be_found_are_refused,
    changes_that_no_commit_has_are_refused_unless_the_bad_commit_is_named,
    a_folder_outside_of_repositories_and_a_machine_without_git_are_refused,
    commands_and_schedules_that_make_no_sense_are_refused,
    two_bisections_in_one_folder_are_refused,
    what_a_killed_bisection_had_started_keeps_others_away_until_it_ends,
    a_folder_with_something_else_in_it_is_refused,
    a_machine_that_cannot_build_is_no_reason_to_skip,
    a_child_that_somebody_else_ended_is_no_reason_to_skip,
];

/// Whether what is refused is so with one line, which has each of `parts`.
#[track_caller]
fn refuses(repository: &Repository, code: i32, flags: &[&str], parts: &[&str]) {
    let before = repository.everything();
    let refused = repository.bisect(&[flags, &["--work", "../kept"]].concat()).expect(code);
    assert_eq!(refused.stdout, "");
    let (_, error) = refused.stderr.split_once("error: ").expect("an error");
    for part in parts {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert!(repository.everything() == before, "the repository is as it was");
}

fn ends_that_are_not_what_they_should_be_are_refused() {
    use State::{Broken, Fine, Lies, Panics, Random, Unreadable};
    let repository = Repository::new("refused-ends", &[Fine, Lies, Broken, Unreadable, Random, Panics, Lies]);
    let bad = |bad: usize, code, parts: &[&str]| {
        let revision = format!("main~{}", 7 - bad);
        refuses(&repository, code, &["--good", "v1", "--bad", &revision], parts);
    };
    bad(
        3,
        2,
        &["(Commit 3) does not build: ", "it does not compile", "name another one with --bad", "build.log"],
    );
    bad(4, 2, &["(Commit 4) cannot read the schedule: ", "or write the schedule as that commit reads it"]);
    bad(5, 3, &["(Commit 5) is not deterministic: two runs", "name another one with --bad"]);
    let good = |good: usize, code, parts: &[&str]| {
        let revision = format!("main~{}", 7 - good);
        refuses(&repository, code, &["--good", &revision], parts);
    };
    good(2, 2, &["(Commit 2) fails as the bad one does: echo/", "; name an earlier one with --good"]);
    good(3, 2, &["(Commit 3) does not build: "]);
    good(5, 3, &["(Commit 5) is not deterministic: "]);
    good(6, 2, &["(Commit 6) fails otherwise: process/panic", "name another one with --good"]);

    // The scripts that run a commit are not in each commit.
    let run = ["bisect", "../schedule.toml", "--good", "v1", "--run", "./server {schedule}"];
    let refused = support::ended(&mut repository.vertebra(&run)).expect(2);
    assert!(refused.stderr.contains("(Commit 7) does not have the command: "), "{}", refused.stderr);
    let advice = "name another one with --bad, or say with --build and --run how it is built and run\n";
    assert!(refused.stderr.ends_with(advice), "{}", refused.stderr);
}

fn revisions_between_which_nothing_can_be_found_are_refused() {
    let repository = Repository::new("refused-revisions", &[State::Fine, State::Fine, State::Lies]);
    let who = ["-c", "user.name=A Tester", "-c", "user.email=tester@example.org"];
    let commit = ["commit-tree", "main^{tree}", "-p", "v1", "-m", "Elsewhere"];
    let elsewhere = repository.git(&[who.as_slice(), &commit].concat());
    refuses(&repository, 2, &["--good", "v9"], &["--good v9: there is no such commit here; `git log"]);
    refuses(&repository, 2, &["--good", "v1", "--bad=-x"], &["--bad -x: there is no such commit here"]);
    refuses(&repository, 2, &["--good", "main:state"], &["--good main:state: there is no such commit here"]);
    refuses(
        &repository,
        2,
        &["--good", "HEAD"],
        &["--good and --bad are one commit, ", "(Commit 3); name two"],
    );
    let parts =
        [" does not come from the good one, ", "name one that does, such as ", "(Commit 1), where the two"];
    refuses(&repository, 2, &["--good", &elsewhere], &parts);
    refuses(&repository, 2, &["--good", "main", "--bad", "v1"], &["(Commit 3) comes from the bad one, "]);

    let shallow = repository.folder.join("shallow");
    let origin = format!("file://{}", repository.path.display());
    repository.git(&["clone", "--quiet", "--depth", "1", &origin, &shallow.to_string_lossy()]);
    let mut bisection = repository.bisection(&["--good", "v1"]);
    let refused = support::ended(bisection.current_dir(shallow)).expect(2);
    assert!(refused.stderr.contains("and `git fetch --unshallow` brings the rest"), "{}", refused.stderr);
}

fn changes_that_no_commit_has_are_refused_unless_the_bad_commit_is_named() {
    let repository = Repository::new("refused-changes", &[State::Fine, State::Lies]);
    // A file that git does not know is none of them.
    fs::write(repository.path.join("notes"), "").expect("a file");
    repository.bisect(&["--good", "v1"]).expect(0);
    fs::write(repository.path.join("state"), "Fine").expect("a file");
    let reason = "the checkout has changes that no commit has: commit or stash them, or name the commit that fails \
                  with --bad\n";
    refuses(&repository, 2, &["--good", "v1"], &[reason]);
    let before = repository.everything();
    repository.bisect(&["--good", "v1", "--bad", "HEAD"]).expect(0);
    assert!(repository.everything() == before, "the changes are as they were");
}

fn a_folder_outside_of_repositories_and_a_machine_without_git_are_refused() {
    let outside = folder("refused-outside");
    // The folder of tests is in a repository, in which this one must not be found.
    let ceiling = outside.parent().expect("a parent");
    let bisect = |path: Option<&Path>| {
        let mut bisection = command(&outside, &["bisect", "7", "--good", "v1"]);
        bisection.env("GIT_CEILING_DIRECTORIES", ceiling);
        path.map(|path| bisection.env("PATH", path));
        support::ended(&mut bisection).expect(2).stderr
    };
    let reason =
        "error: the current folder is in no git repository; change to a clone of what is to be bisected\n";
    assert_eq!(bisect(None), reason);
    let reason =
        "error: git cannot be started: No such file or directory (os error 2); it is needed in PATH\n";
    assert_eq!(bisect(Some(&outside)), reason);
}

fn commands_and_schedules_that_make_no_sense_are_refused() {
    let repository = Repository::new("refused-commands", &[State::Fine, State::Lies]);
    let refused = |arguments: &[&str]| {
        let all = [&["bisect"], arguments, &["--good", "v1"]].concat();
        support::ended(&mut repository.vertebra(&all)).expect(2).stderr
    };
    let reason = "error: --run: {schedule} must stand where the schedule's path belongs\n";
    assert_eq!(refused(&["7", "--run", "sh run.sh"]), reason);
    let reason =
        "error: --run: {schedule} is quoted for the shell as it is; leave out the quotes around it\n";
    assert_eq!(refused(&["7", "--run", "sh run.sh '{schedule}'"]), reason);
    assert!(refused(&["7", "--trace", "sh run.sh {schedule}"]).contains("--run"));
    assert!(refused(&["7", "--timeout", "soon"]).contains("`soon` is no span of time"));
    assert_eq!(refused(&["nothing.toml"]), "error: nothing.toml: No such file or directory (os error 2)\n");
    assert_eq!(refused(&["7", "--members", "0"]), "error: seed 7: members: an echo has at least one\n");
    let run = ["--run", "sh run.sh {schedule}"];
    let reason = "error: --defect lie change what a seed draws; leave them out, or edit the schedule\n";
    assert_eq!(refused(&[["../schedule.toml", "--defect", "lie"].as_slice(), &run].concat()), reason);
    // Without --run, the schedule must be one of this system.
    fs::write(repository.folder.join("other.toml"), "format = 1\nsystem = \"other\"\n").expect("a file");
    let reason = "error: ../other.toml:2: this is a schedule of `other`, not of `echo`\n";
    assert_eq!(refused(&["../other.toml"]), reason);
}

fn two_bisections_in_one_folder_are_refused() {
    let repository = Repository::new("refused-two", &[State::Fine, State::Fine, State::Lies]);
    let child = repository.begin("0.2", &["--good", "v1"]);
    wait_until(|| !repository.log().is_empty());
    let refused = repository.bisect(&["--good", "v1"]).expect(2);
    let reason = " is in use by another bisection, or by what one that was killed had started; wait for its end, or \
                  name another folder with --work\n";
    assert!(refused.stderr.ends_with(reason), "{}", refused.stderr);
    repository.bisect(&["--good", "v1", "--work", "../kept"]).expect(0);
    output(child).expect(0);
}

fn what_a_killed_bisection_had_started_keeps_others_away_until_it_ends() {
    let repository = Repository::new("refused-orphan", &[State::Fine, State::Slow, State::Lies]);
    let slow = repository.folder.join("log.slow");
    let mut child = repository.begin("0", &["--good", "v1"]);
    wait_until(|| fs::read_to_string(&slow).is_ok_and(|process| process.ends_with('\n')));
    signal(&child, "KILL");
    child.wait().expect("the command ends");
    let refused = repository.bisect(&["--good", "v1"]).expect(2);
    assert!(refused.stderr.contains(", or by what one that was killed had started; "), "{}", refused.stderr);
    let process = fs::read_to_string(&slow).expect("a process");
    support::ended(&mut support::command(Path::new("kill"), &repository.folder, &[process.trim()])).expect(0);
    wait_until(|| repository.bisect(&["--good", "v1", "--timeout", "1s"]).code == Some(125));
    repository.git(&["fsck", "--strict"]);
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1);
}

fn a_folder_with_something_else_in_it_is_refused() {
    let repository = Repository::new("refused-folder", &[State::Fine, State::Lies]);
    let refused = repository.bisect(&["--good", "v1", "--work", "."]).expect(2);
    assert_eq!(refused.stderr, "error: . has something else in it; name an empty folder with --work\n");
    let refused = repository.bisect(&["--good", "v1", "--work", "state"]).expect(2);
    assert_eq!(refused.stderr, "error: state: File exists (os error 17)\n");
    // Other programs have locks too.
    let other = repository.folder.join("other");
    fs::create_dir_all(other.join("worktree")).expect("a folder");
    for file in ["lock", "worktree/precious"] {
        fs::write(other.join(file), "").expect("a file");
    }
    let refused = repository.bisect(&["--good", "v1", "--work", "../other"]).expect(2);
    let reason = "error: ../other has something else in it; name an empty folder with --work\n";
    assert_eq!(refused.stderr, reason);
    assert!(other.join("worktree/precious").exists());
}

fn a_machine_that_cannot_build_is_no_reason_to_skip() {
    let repository = Repository::new("refused-machine", &[State::Fine, State::Fine, State::Lies]);
    // The machine has room again when a file is there.
    let full = "error: No space left on device (os error 28)";
    let build = format!("test $(cat number) != 2 || test -e \"$LOG.room\" || {{ echo '{full}'; exit 1; }}");
    let bisect = || repository.bisect_with(&["--build", &build, "--run", "sh run.sh {schedule}"]);
    let refused = bisect().expect(2);
    let reason = format!("(Commit 2) cannot be built on this machine now: {full}\n");
    assert!(refused.stderr.ends_with(&reason), "{}", refused.stderr);
    fs::write(repository.folder.join("log.room"), "").expect("a file");
    let ended = bisect().expect(0);
    assert!(ended.stdout.contains("\nsubject    Commit 3\n"), "{}", ended.stdout);
    // Nor one that cannot run.
    let run = format!("test $(cat number) != 2 || {{ echo '{full}' >&2; exit 1; }}; sh run.sh {{schedule}}");
    let refused = repository.bisect_with(&["--run", &run]).expect(2);
    let reason = format!("(Commit 2) cannot be run on this machine now: {full}\n");
    assert!(refused.stderr.ends_with(&reason), "{}", refused.stderr);
}

fn a_child_that_somebody_else_ended_is_no_reason_to_skip() {
    let repository = Repository::new("refused-killed", &[State::Fine, State::Fine, State::Lies]);
    // The shell of the run itself, and a program that it starts.
    for (kill, signal) in [("kill -KILL $$", 9), ("{ sh -c 'kill -TERM $$'; exit $?; }", 15)] {
        let run = format!("test $(cat number) != 2 || {kill}; sh run.sh {{schedule}} --verdict");
        let refused = repository.bisect_with(&["--run", &run]).expect(2);
        let reason = format!(
            "(Commit 2): what runs was killed by signal {signal}, which says nothing of the commit; the same command \
             goes on from here. If it is the commit that does it, let --build or --run end with 125 then\n"
        );
        assert!(refused.stderr.ends_with(&reason), "{}", refused.stderr);
    }
}
