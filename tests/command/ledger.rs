//! A sweep outlives its process: what is recorded, how it is gone on with, and what refuses to be recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use vertebra_sim::ledger::{Ledger, Sums};
use vertebra_sim::seeds::Seeds;

use super::support::{self, data, ended, files, folder, output, signal, wait_until};
use super::{command, tests, vertebra};

tests![
    a_sweep_that_is_killed_three_times_and_gone_on_with_is_the_undisturbed_one,
    a_sweep_whose_disk_is_full_says_so_and_is_gone_on_with,
    an_interrupted_sweep_says_how_it_goes_on,
    a_sweep_that_is_whole_has_nothing_to_go_on_with,
    a_sweep_of_another_build_is_not_gone_on_with,
    a_sweep_goes_on_with_the_flags_it_had,
    two_sweeps_on_one_ledger_are_refused,
    each_night_takes_seeds_that_were_never_done,
    a_commit_has_seeds_of_its_own,
    parts_joined_are_the_whole,
    a_part_needs_a_whole,
    what_another_build_or_profile_made_is_not_joined,
    a_seed_that_ends_otherwise_in_the_same_build_is_non_determinism,
    the_ledger_of_a_repository_is_in_the_data_of_its_user,
    a_ledger_that_cannot_be_used_is_a_clear_error,
    a_range_can_be_gone_on_with_before_there_is_a_ledger,
    a_night_that_is_gone_on_with_tells_of_that_night_alone,
    the_order_of_flags_makes_no_other_profile,
    a_refused_merge_leaves_no_file,
];

/// The defect makes each seed fail, so that there is something to compare besides sums.
const FLAGS: [&str; 2] = ["--defect", "lie"];

fn read(path: &Path) -> Ledger {
    Ledger::read(path, "echo").expect("a ledger")
}

/// Which seeds are done, of whatever profile.
fn done(path: &Path, profile: &str) -> Vec<Seeds> {
    read(path).done(profile, None).expect("seeds").ranges().to_vec()
}

/// What the ledger at `path` says of `profile`, but for when and in how many pieces that was done: seeds, sums, and
/// each table of failures.
fn record(path: &Path, profile: &str) -> (Vec<Seeds>, Sums, Vec<String>) {
    let ledger = read(path);
    let mut sums = Sums::default();
    for swept in ledger.sessions().expect("sessions") {
        if swept.session.profile == profile {
            sums.add(&swept.sums);
        }
    }
    let database = rusqlite::Connection::open(path).expect("a database");
    let query = "SELECT failure.seed, failure.digest, failure.at_ns, failure.detail, finding.signature,
                     finding.id, schedule.text
                 FROM failure JOIN finding ON finding.number = failure.finding
                 LEFT JOIN schedule ON schedule.failure = failure.number
                 WHERE finding.profile = ?1 ORDER BY failure.seed";
    let mut statement = database.prepare(query).expect("the tables are known");
    let rows = statement.query_map([profile], |row| {
        let columns = (0..7).map(|column| format!("{:?}", row.get_ref(column).expect("a column")));
        Ok(columns.collect::<Vec<_>>().join(" "))
    });
    let rows = rows.expect("rows").collect::<Result<_, _>>().expect("rows");
    (done(path, profile), sums, rows)
}

/// The end of what a sweep tells: its failures.
fn told_failures(stdout: &str) -> &str {
    stdout.split_once("\n\n").expect("failures stand after an empty line").1
}

fn begin(folder: &Path, arguments: &[&str]) -> Child {
    command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn a_sweep_that_is_killed_three_times_and_gone_on_with_is_the_undisturbed_one() {
    let folder = folder("ledger-killed");
    let seeds = ["--seeds", "0..4000", "--jobs", "2"];
    let undisturbed =
        vertebra(&folder, &[&["sweep", "--ledger", "whole"], seeds.as_slice(), &FLAGS].concat()).expect(1);

    let path = folder.join("killed");
    let mut before = 0;
    for begun in 0..3 {
        let flags = match begun {
            0 => [&["sweep", "--ledger", "killed"], seeds.as_slice(), &FLAGS].concat(),
            _ => vec!["sweep", "--ledger", "killed", "--resume", "--jobs", "2"],
        };
        let mut sweep = begin(&folder, &flags);
        let count = || {
            let seeds = Ledger::read(&path, "echo").ok().and_then(|it| it.done("--defect lie", None).ok());
            seeds.map_or(0, |seeds| seeds.count())
        };
        wait_until(|| count() > before + 50);
        let seen = count();
        signal(&sweep, "KILL");
        sweep.wait().expect("it ends");
        before = count();
        assert!(before >= seen, "what was recorded is there");
        assert!(before < 4_000, "it was killed on the way");
    }
    let resumed = vertebra(&folder, &["sweep", "--ledger", "killed", "--resume"]).expect(1);
    assert!(resumed.stdout.contains(&format!("; {} were done before\n", before)), "{}", resumed.stdout);
    assert_eq!(told_failures(&resumed.stdout), told_failures(&undisturbed.stdout));
    let (whole, killed) = (record(&folder.join("whole"), "--defect lie"), record(&path, "--defect lie"));
    assert_eq!(whole.0, [Seeds { first: 0, last: 3_999 }]);
    assert_eq!(whole.2.len() as u64, whole.1.failures);
    // Not `assert_eq`, which would print all of it.
    assert_eq!((&whole.0, &whole.1), (&killed.0, &killed.1));
    assert!(whole.2 == killed.2, "the failures differ");
}

fn a_sweep_whose_disk_is_full_says_so_and_is_gone_on_with() {
    let folder = folder("ledger-full");
    let program = std::env::current_exe().expect("this binary has a path");
    // A limit on the size of files stands for the full disk: it needs no file system of its own.
    let script =
        "trap '' XFSZ; ulimit -f 300; exec \"$0\" sweep --seeds 0..800 --defect lie --ledger full --no-keep";
    let mut limited = support::command(Path::new("bash"), &folder, &["-c", script]);
    limited.arg(program).env(super::IS_COMMAND, "1");
    let ended = ended(&mut limited).expect(1);
    assert!(ended.stderr.contains("error: full: cannot be written or read ("), "{}", ended.stderr);
    assert!(ended.stderr.contains("is the disk full? What was recorded before is kept"), "{}", ended.stderr);
    assert!(ended.stdout.contains("; the ledger could not be written\n"), "{}", ended.stdout);
    let recorded = done(&folder.join("full"), "--defect lie");
    let [Seeds { first: 0, last }] = recorded.as_slice() else { panic!("{recorded:?}") };
    // What is told is what is recorded.
    assert!(ended.stdout.starts_with(&format!("{} seeds of 0..800 ", last + 1)), "{}", ended.stdout);

    vertebra(&folder, &["sweep", "--resume", "--ledger", "full"]).expect(1);
    vertebra(&folder, &["sweep", "--seeds", "0..800", "--defect", "lie", "--ledger", "whole"]).expect(1);
    let path = |name: &str| folder.join(name);
    assert!(record(&path("full"), "--defect lie") == record(&path("whole"), "--defect lie"));
}

fn an_interrupted_sweep_says_how_it_goes_on() {
    let folder = folder("ledger-interrupted");
    let path = folder.join("a ledger");
    let sweep = begin(&folder, &["sweep", "--seeds", "5..", "--ledger", "a ledger", "--members", "1"]);
    wait_until(|| {
        Ledger::read(&path, "echo")
            .is_ok_and(|ledger| ledger.done("--members 1", None).is_ok_and(|seeds| seeds.count() > 10))
    });
    signal(&sweep, "INT");
    let ended = output(sweep).expect(0);
    let note = "note: `vertebra sweep --resume --members 1 --ledger 'a ledger'` goes on from here\n";
    assert_eq!(ended.stderr, note);
    let [Seeds { first: 5, last }] = done(&path, "--members 1")[..] else { panic!("one interval") };
    let json =
        vertebra(&folder, &["sweep", "--resume", "--ledger", "a ledger", "--time", "1s", "--json"]).expect(0);
    assert_eq!(json.last()["seeds_before"], last - 4);
    assert_eq!(json.last()["end"], "time");
    let [Seeds { first: 5, last: later }] = done(&path, "--members 1")[..] else { panic!("one interval") };
    assert!(later > last);
}

fn a_sweep_that_is_whole_has_nothing_to_go_on_with() {
    let folder = folder("ledger-whole");
    vertebra(&folder, &["sweep", "--seeds", "0..20"]).expect(0);
    let again = vertebra(&folder, &["sweep", "--resume", "--json"]).expect(0).last();
    assert_eq!(
        (&again["end"], &again["seeds"], &again["seeds_before"]),
        (&"all-seeds".into(), &0.into(), &20.into())
    );
    // A range of its own: what is missing of it.
    let more = vertebra(&folder, &["sweep", "--resume", "--seeds", "10..25", "--json"]).expect(0).last();
    assert_eq!((&more["seeds"], &more["seeds_before"]), (&5.into(), &10.into()));
    // What was found stays found, although nothing is run.
    vertebra(&folder, &["sweep", "--seeds", "0..5", "--defect", "lie"]).expect(1);
    let found = vertebra(&folder, &["sweep", "--resume", "--json"]).expect(1).last();
    assert_eq!((&found["seeds"], &found["failures"]), (&0.into(), &4.into()));
}

fn a_sweep_of_another_build_is_not_gone_on_with() {
    let folder = folder("ledger-other-build");
    vertebra(&folder, &["sweep", "--seeds", "0..20"]).expect(0);
    let refused = ended(command(&folder, &["sweep", "--resume"]).env("ECHO_BUILD", "another")).expect(2);
    let reason = "the last sweep was made by build echo (commit of echo), and this is another (commit of another), in which";
    assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    let refused = vertebra(&folder, &["sweep", "--resume", "--ledger", "nowhere"]).expect(2);
    assert_eq!(refused.stderr, "error: nowhere: there is no ledger; a sweep begins one\n");
    assert!(!folder.join("nowhere").exists());
    let refused = vertebra(&folder, &["sweep", "--resume", "--members", "2"]).expect(2);
    assert!(
        refused.stderr.contains("there is no sweep to go on with; begin one without --resume"),
        "{}",
        refused.stderr
    );
}

fn a_sweep_goes_on_with_the_flags_it_had() {
    let folder = folder("ledger-flags");
    let flags = ["sweep", "--fail-fast", "--seeds", "3..10", "--members", "2", "--defect", "lie"];
    vertebra(&folder, &flags).expect(1);
    let rest = vertebra(&folder, &["sweep", "--resume", "--json"]).expect(1).last();
    assert_eq!((&rest["seeds"], &rest["seeds_before"], &rest["failures"]), (&6.into(), &1.into(), &7.into()));
    assert_eq!(rest["kinds"][0]["command"], "vertebra replay 3 --members 2 --defect lie");
    assert_eq!(rest["kinds"][0]["schedule"], "vertebra-failures/3-members-2-lie.toml");
}

fn two_sweeps_on_one_ledger_are_refused() {
    let folder = folder("ledger-two");
    let sweep = begin(&folder, &["sweep", "--seeds", "0..", "--ledger", "a"]);
    wait_until(|| !done_or_none(&folder.join("a")).is_empty());
    let refused = vertebra(&folder, &["sweep", "--seeds", "0..5", "--ledger", "a"]).expect(2);
    let holder = format!(
        "error: a: another sweep (process {}) writes into it; wait for its end, or name another file",
        sweep.id()
    );
    assert!(refused.stderr.starts_with(&holder), "{}", refused.stderr);
    // Whoever reads it does not have to wait, nor whoever sweeps without it.
    vertebra(&folder, &["failures", "--ledger", "a"]).expect(0);
    vertebra(&folder, &["sweep", "--seeds", "0..5", "--no-ledger"]).expect(0);
    signal(&sweep, "INT");
    output(sweep).expect(0);
    vertebra(&folder, &["sweep", "--seeds", "0..5", "--ledger", "a"]).expect(0);
}

fn done_or_none(path: &Path) -> Vec<Seeds> {
    let seeds = Ledger::read(path, "echo").ok().and_then(|ledger| ledger.done("", None).ok());
    seeds.map_or(Vec::new(), |seeds| seeds.ranges().to_vec())
}

fn each_night_takes_seeds_that_were_never_done() {
    let folder = folder("ledger-nightly");
    let sweep = |build: &str, flags: &[&str]| {
        let arguments = [&["sweep", "--json", "--ledger", "a"], flags].concat();
        let summary = ended(command(&folder, &arguments).env("ECHO_BUILD", build)).expect(0).last();
        let number = |field: &str| summary[field].as_u64().expect("a number");
        (number("first_seed"), number("last_seed"), number("seeds"))
    };
    assert_eq!(sweep("monday", &["--nightly", "--count", "10"]), (0, 9, 10));
    assert_eq!(sweep("monday", &["--seeds", "15..20"]), (15, 19, 5));
    assert_eq!(sweep("tuesday", &["--nightly", "--count", "10"]), (10, 24, 10));
    assert_eq!(sweep("tuesday", &["--nightly", "--count", "10"]), (25, 34, 10));
    assert_eq!(done(&folder.join("a"), ""), [Seeds { first: 0, last: 34 }]);
    let ledger = read(&folder.join("a"));
    assert_eq!(ledger.done("", Some("tuesday")).expect("seeds").count(), 20);
    // Under other flags the seeds are other runs.
    assert_eq!(sweep("tuesday", &["--nightly", "--count", "10", "--members", "1"]), (0, 9, 10));
    // A night that ended early is gone on with as a night: what Monday did is left out.
    let (first, last, seeds) = sweep("wednesday", &["--nightly", "--time", "1s"]);
    assert_eq!((first, last), (35, u64::MAX));
    let (again, _, _) = sweep("wednesday", &["--resume", "--time", "1s"]);
    assert_eq!(again, 35);
    assert!(ledger.done("", Some("wednesday")).expect("seeds").ranges()[0].count() > seeds);
}

fn a_commit_has_seeds_of_its_own() {
    let folder = folder("ledger-commit");
    let hash = "00000003e8ffffffffffffffffffffffffffffff";
    let summary = vertebra(&folder, &["sweep", "--json", "--seeds", hash, "--count", "7"]).expect(0).last();
    assert_eq!((&summary["first_seed"], &summary["seeds"]), (&1_000.into(), &7.into()));
}

fn parts_joined_are_the_whole() {
    let folder = folder("ledger-parts");
    let flags = ["sweep", "--seeds", "0..101", "--defect", "lie", "--ledger"];
    vertebra(&folder, &[&flags[..], &["whole"]].concat()).expect(1);
    let names = ["1.ledger", "2.ledger", "3.ledger"];
    for (part, name) in ["1/3", "2/3", "3/3"].iter().zip(names) {
        vertebra(&folder, &[&flags[..], &[name, "--shard", part]].concat()).expect(1);
    }
    let whole = record(&folder.join("whole"), "--defect lie");
    let failures = whole.1.failures;
    let joined =
        vertebra(&folder, &["merge", "all", names[2], names[0], names[1], "--json"]).expect(0).last();
    let told = ["seeds", "failures", "sweeps_joined"].map(|field| joined[field].as_u64());
    assert_eq!(told, [Some(101), Some(failures), Some(3)]);
    assert!(record(&folder.join("all"), "--defect lie") == whole);
    let again = vertebra(&folder, &["merge", "all", names[0], names[0], "all"]).expect(0).stdout;
    let nothing = format!(
        "joined     0 sweeps and 0 failures of 3 ledgers\nall has 101 seeds, {failures} of which failed\n"
    );
    assert_eq!(again, nothing);
    let list = |ledger: &str| {
        let list = vertebra(&folder, &["failures", "--ledger", ledger]).expect(0).stdout;
        list.replace(ledger, "")
    };
    assert_eq!(list("all"), list("whole"));
}

fn a_part_needs_a_whole() {
    let folder = folder("ledger-part");
    let cases: [(&[&str], &str); 5] = [
        (&["--shard", "1/3", "--seeds", "5.."], "what has no end has no parts; say with --count"),
        (&["--shard", "1/9", "--seeds", "0..3"], "0..3 has fewer seeds than 9, so part 1 has none"),
        (&["--shard", "4/3"], "write which of how many parts, as in `1/8` to `8/8`"),
        (&["--nightly", "--no-ledger"], "cannot be used with"),
        (&["--nightly", "--resume"], "cannot be used with"),
    ];
    for (flags, reason) in cases {
        let refused = vertebra(&folder, &[&["sweep"], flags].concat()).expect(2);
        assert!(refused.stderr.contains(reason), "{flags:?}: {}", refused.stderr);
    }
}

fn what_another_build_or_profile_made_is_not_joined() {
    let folder = folder("ledger-foreign-parts");
    vertebra(&folder, &["sweep", "--seeds", "0..9", "--ledger", "a"]).expect(0);
    vertebra(&folder, &["sweep", "--seeds", "9..12", "--ledger", "profile", "--members", "1"]).expect(0);
    let flags = ["sweep", "--seeds", "9..12", "--ledger", "build"];
    ended(command(&folder, &flags).env("ECHO_BUILD", "another")).expect(0);
    for (other, difference) in [
        (
            "profile",
            "profile: it was made with `--members 1`, and another one with no flags that change what a seed draws; ",
        ),
        (
            "build",
            "build: build another (commit of another) made it, and build echo (commit of echo) another one; ",
        ),
    ] {
        for arguments in [["merge", "a", other].as_slice(), &["merge", "new", "a", other]] {
            let refused = vertebra(&folder, arguments).expect(2);
            let reason = format!("error: {difference}a seed is another run there; --history joins");
            assert!(refused.stderr.starts_with(&reason), "{}", refused.stderr);
        }
    }
    assert_eq!(done(&folder.join("a"), ""), [Seeds { first: 0, last: 8 }]);
    let joined =
        vertebra(&folder, &["merge", "--history", "a", "profile", "build", "--json"]).expect(0).last();
    assert_eq!(joined["seeds"], 15);
    let refused = vertebra(&folder, &["merge", "a", "nowhere"]).expect(2);
    assert_eq!(refused.stderr, "error: nowhere: there is no ledger; a sweep begins one\n");
}

fn a_seed_that_ends_otherwise_in_the_same_build_is_non_determinism() {
    let folder = folder("ledger-differs");
    let flags = ["sweep", "--seeds", "0..3", "--defect", "lie", "--defect", "process-id", "--jobs", "1"];
    vertebra(&folder, &flags).expect(1);
    let differs = vertebra(&folder, &flags).expect(3);
    let reason =
        "error: non-determinism: seed 0 ended as echo/an answer is what was asked: too large, digest ";
    assert!(differs.stderr.starts_with(reason), "{}", differs.stderr);
    assert!(
        differs.stderr.contains("\nreproduce  vertebra replay 0 --defect lie --defect process-id --twice\n"),
        "{}",
        differs.stderr
    );
    assert!(differs.stdout.contains(
        "\nnon-determinism: 3 seeds ended otherwise than an earlier sweep of this build recorded\n"
    ));
    assert!(!differs.stdout.contains("pass"), "{}", differs.stdout);
    let actions = ["--junit", "report.xml"];
    let differs =
        ended(command(&folder, &[&flags[..], &actions].concat()).env("GITHUB_ACTIONS", "true")).expect(3);
    assert!(
        differs.stderr.contains("\n::error title=non-determinism::3 seeds ended otherwise than "),
        "{}",
        differs.stderr
    );
    let report = fs::read_to_string(folder.join("report.xml")).expect("a report");
    assert!(report.contains("<error message=\"3 seeds ended otherwise than "), "{report}");
    // And where nothing differs, sweeping again records nothing twice.
    vertebra(&folder, &["sweep", "--seeds", "0..3", "--defect", "lie"]).expect(1);
    vertebra(&folder, &["sweep", "--seeds", "0..3", "--defect", "lie"]).expect(1);
    let lines = vertebra(&folder, &["failures", "--json"]).expect(0).json();
    assert!(lines.iter().all(|line| line["failures"] == 3), "{lines:?}");
}

fn the_ledger_of_a_repository_is_in_the_data_of_its_user() {
    let folder = folder("ledger-default");
    let repository = folder.join("my system");
    let git = |arguments: &[&str], place: &Path| {
        let ended = ended(&mut support::command(Path::new("git"), place, arguments));
        ended.expect(0);
    };
    fs::create_dir_all(repository.join("src")).expect("a folder");
    git(&["init", "--quiet"], &repository);
    vertebra(&repository, &["sweep", "--seeds", "0..3"]).expect(0);
    vertebra(&repository.join("src"), &["sweep", "--seeds", "3..6"]).expect(0);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
    git(&[&identity[..], &["commit", "--quiet", "--allow-empty", "-m", "first"]].concat(), &repository);
    git(&["worktree", "add", "--quiet", "../another"], &repository);
    vertebra(&folder.join("another"), &["sweep", "--seeds", "6..9"]).expect(0);
    let ledgers: Vec<PathBuf> = files(&data(&folder).join("vertebra"))
        .into_iter()
        .filter(|name| name.starts_with("my system-") && name.ends_with(".ledger"))
        .map(|name| data(&folder).join("vertebra").join(name))
        .collect();
    let [ledger] = ledgers.as_slice() else { panic!("{ledgers:?}") };
    assert_eq!(done(ledger, ""), [Seeds { first: 0, last: 8 }]);
}

fn a_range_can_be_gone_on_with_before_there_is_a_ledger() {
    let folder = folder("ledger-none-yet");
    // So that a step of a pipeline may be started again.
    for seeds in [5, 0] {
        let summary = vertebra(&folder, &["sweep", "--resume", "--seeds", "0..5", "--json"]).expect(0).last();
        assert_eq!((&summary["seeds"], &summary["seeds_before"]), (&seeds.into(), &(5 - seeds).into()));
    }
}

fn a_night_that_is_gone_on_with_tells_of_that_night_alone() {
    let folder = folder("ledger-night");
    for range in ["0..10", "20..30"] {
        vertebra(&folder, &["sweep", "--seeds", range, "--defect", "lie"]).expect(1);
    }
    vertebra(&folder, &["sweep", "--nightly", "--count", "30", "--defect", "lie", "--fail-fast"]).expect(1);
    let rest = vertebra(&folder, &["sweep", "--resume", "--json"]).expect(1).last();
    assert_eq!((&rest["first_seed"], &rest["last_seed"]), (&10.into(), &49.into()));
    // The second seed of the night failed, and ended it.
    assert_eq!((&rest["seeds"], &rest["seeds_before"]), (&28.into(), &2.into()));
    assert_eq!(rest["kinds"][0]["first_seed"], 11);
    assert!(rest["failures"].as_u64() <= Some(30), "{rest}");
}

fn the_order_of_flags_makes_no_other_profile() {
    let folder = folder("ledger-order");
    let orders = [["--defect", "panic", "--defect", "lie"], ["--defect", "lie", "--defect", "panic"]];
    let ids = orders.map(|order| {
        let summary =
            vertebra(&folder, &[&["sweep", "--json", "--seeds", "0..3"], order.as_slice()].concat());
        let summary = summary.expect(1).last();
        assert_eq!(summary["kinds"][0]["command"], "vertebra replay 0 --defect lie --defect panic");
        summary["kinds"][0]["id"].as_str().expect("an id").to_owned()
    });
    assert_eq!(ids[0], ids[1]);
    let failures = vertebra(&folder, &["failures", "--json"]).expect(0).json();
    assert_eq!(failures.iter().map(|line| line["failures"].as_u64()).sum::<Option<u64>>(), Some(3));
}

fn a_refused_merge_leaves_no_file() {
    let folder = folder("ledger-refused-merge");
    vertebra(&folder, &["sweep", "--seeds", "0..3", "--ledger", "a"]).expect(0);
    vertebra(&folder, &["sweep", "--seeds", "0..3", "--ledger", "b", "--members", "1"]).expect(0);
    vertebra(&folder, &["merge", "new", "a", "b"]).expect(2);
    assert!(!files(&folder).iter().any(|name| name.starts_with("new")));
    // Names that SQLite takes for something else than files.
    for name in [":memory:", "file:a?mode=memory"] {
        vertebra(&folder, &["sweep", "--seeds", "0..3", "--ledger", name]).expect(0);
        assert_eq!(done(&folder.join(name), ""), [Seeds { first: 0, last: 2 }]);
    }
}

fn a_ledger_that_cannot_be_used_is_a_clear_error() {
    let folder = folder("ledger-unusable");
    fs::write(folder.join("novel"), "once upon a time\n".repeat(1_000)).expect("a file");
    fs::create_dir(folder.join("folder")).expect("a folder");
    for (path, reason) in [
        ("novel", "error: novel: is no ledger, and is left as it is; name another file\n"),
        ("novel/a", "error: novel/a: "),
        ("folder", "error: folder: is no file; name one\n"),
        ("/proc/a", "error: /proc/a: cannot be written ("),
        ("/dev/null", "error: /dev/null: is no file; name one\n"),
    ] {
        let refused = vertebra(&folder, &["sweep", "--seeds", "0..3", "--ledger", path]).expect(2);
        assert!(refused.stderr.starts_with(reason), "{}", refused.stderr);
        assert_eq!((refused.stderr.lines().count(), refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
        let refused = vertebra(&folder, &["failures", "--ledger", path]).expect(2);
        assert_eq!((refused.stderr.lines().count(), refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
    }
    assert!(fs::read_to_string(folder.join("novel")).expect("a file").starts_with("once upon a time"));
}
