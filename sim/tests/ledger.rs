//! The ledger as a library: what is recorded is there, states follow from it, and joining is a union.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vertebra_sim::coverage::Reached;
use vertebra_sim::ledger::{
    Finding, Joining, Ledger, Rate, Recorded, Run, SCHEDULES_MAX, Session, State, Sums, Version,
};
use vertebra_sim::seeds::Seeds;
use vertebra_sim::trace::Digest;
use vertebra_sim::{Instant, Report, Verdict, Violation};

const SYSTEM: &str = "test";

/// A path for one test, at which there is nothing.
fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ledger").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder.join("a.ledger")
}

fn write(path: &Path) -> Ledger {
    Ledger::write(path, SYSTEM, "a test").expect("a ledger")
}

fn read(path: &Path) -> Ledger {
    Ledger::read(path, SYSTEM).expect("a ledger")
}

/// A sweep that was made up.
#[derive(Clone, Copy)]
struct Sweep<'a> {
    build: &'a str,
    profile: &'a str,
    seeds: Seeds,
    /// Which seeds fail, and with which clause.
    fails: fn(u64) -> Option<&'static str>,
    began_ms: i64,
}

const SWEEP: Sweep<'static> = Sweep {
    build: "first",
    profile: "",
    seeds: Seeds { first: 0, last: 99 },
    fails: |seed| (seed % 10 == 3).then_some("threes"),
    began_ms: 1,
};

fn report(seed: u64, clause: Option<&'static str>) -> Report {
    let violation = |clause| Violation::new("oracle", clause, "", format!("seed {seed}"));
    Report {
        verdict: clause.map_or(Verdict::Pass, |clause| Verdict::Violation {
            violation: violation(clause),
            at: Instant::from_nanos(seed),
        }),
        digest: Digest(u128::from(seed)),
        virtual_time: Duration::from_nanos(10 + seed % 1_000),
        events: 1_000,
        operations: seed % 1_000,
        faults: 2,
        drawn: Vec::new(),
        spared: 0,
        excused: Vec::new(),
        let_pass: Vec::new(),
        unsettled: None,
        reached: Reached::default(),
    }
}

impl Sweep<'_> {
    fn session(&self) -> Session {
        Session {
            id: format!("{} {} {} {}", self.build, self.profile, self.seeds, self.began_ms),
            version: Version { build: self.build.to_owned(), commit: Some(format!("{} commit", self.build)) },
            profile: self.profile.to_owned(),
            seeds: self.seeds,
            is_nightly: false,
            jobs: 2,
            began_ms: self.began_ms,
            ending: None,
        }
    }

    /// Records it, all of it that is not done.
    fn record(&self, path: &Path) {
        let mut recorder = write(path).begin(&self.session()).expect("it begins");
        for seed in self.seeds.first..=self.seeds.last {
            let run = Run {
                seed,
                report: &report(seed, (self.fails)(seed)),
                members: if seed % 2 == 0 { 1 } else { 3 },
                schedule: (self.fails)(seed).map(|_| "a schedule"),
            };
            let recorded = recorder.record(&run).expect("it is recorded");
            assert!(!matches!(recorded, Recorded::Otherwise(_)), "{recorded:?}");
        }
        recorder.end("all-seeds", self.began_ms + 1).expect("it ends");
    }
}

/// A finding: id, number of failures, their seeds, the first and the last.
type Met = (String, u64, Vec<u64>, u64, u64);

/// Everything that does not depend on how a record came about.
fn everything(path: &Path) -> (Vec<Seeds>, Sums, Vec<Met>) {
    let ledger = read(path);
    let mut sums = Sums::default();
    let mut done = Vec::new();
    for swept in ledger.sessions().expect("sessions") {
        sums.add(&swept.sums);
        let Session { version, profile, .. } = swept.session;
        done.extend_from_slice(ledger.done(&profile, Some(&version.build)).expect("seeds").ranges());
    }
    done.sort_unstable();
    done.dedup();
    let told = |finding: Finding| {
        let seeds = ledger.seeds_of(&finding.id, u64::MAX).expect("seeds").0;
        (finding.id, finding.failures, seeds, finding.first.seed, finding.last.seed)
    };
    (done, sums, ledger.findings().expect("findings").into_iter().map(told).collect())
}

#[test]
fn what_is_recorded_is_there() {
    let path = path("recorded");
    SWEEP.record(&path);
    let (done, sums, findings) = everything(&path);
    assert_eq!(done, [SWEEP.seeds]);
    assert_eq!((sums.seeds, sums.failures, sums.operations, sums.faults), (100, 10, 4_950, 200));
    assert_eq!(sums.virtual_time, Duration::from_nanos(5_950));
    assert_eq!(sums.members, [(1, 50), (3, 50)].into());
    let [(_, 10, seeds, 3, 93)] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(seeds, &[3, 13, 23, 33, 43, 53, 63, 73, 83, 93]);

    let ledger = read(&path);
    let finding = &ledger.findings().expect("findings")[0];
    assert_eq!((finding.state, finding.signature.as_str()), (State::New, "oracle/threes"));
    assert_eq!(finding.first.commit.as_deref(), Some("first commit"));
    let example = ledger.example(finding).expect("it is read").expect("there is one");
    assert_eq!((example.seed, example.at_ns, example.schedule.as_str()), (3, 3, "a schedule"));
    assert_eq!(example.digest, Digest(3).to_string());
    let last = ledger.last_session(None).expect("it is read").expect("there is one");
    assert_eq!(last, Session { ending: Some("all-seeds".to_owned()), ..SWEEP.session() });
}

#[test]
fn a_million_seeds_that_pass_are_one_row() {
    let path = path("million");
    let mut recorder = write(&path).begin(&SWEEP.session()).expect("it begins");
    let passed = report(7, None);
    for seed in 0..20_000 {
        let run = Run { seed, report: &passed, members: 3, schedule: None };
        assert_eq!(recorder.record(&run), Ok(Recorded::New));
    }
    let ledger = recorder.end("all-seeds", 2).expect("it ends");
    assert_eq!(ledger.done("", None).expect("seeds").ranges(), [Seeds { first: 0, last: 19_999 }]);
    drop(ledger);
    let bytes = std::fs::metadata(&path).expect("a file").len();
    assert!(bytes < 100_000, "{bytes} bytes, and each further seed changes a number in them");
    let beside = std::fs::read_dir(path.parent().expect("a folder")).expect("it is there").count();
    assert_eq!(beside, 2, "the ledger and its lock: what SQLite needs while it writes is gone");
}

#[test]
fn the_highest_seeds_are_in_order_too() {
    let path = path("highest");
    let seeds = Seeds { first: u64::MAX - 5, last: u64::MAX };
    let middle = Seeds { first: i64::MAX as u64 - 2, last: i64::MAX as u64 + 3 };
    let fails = |_| Some("always");
    Sweep { seeds, fails, began_ms: 1, ..SWEEP }.record(&path);
    Sweep { seeds: middle, fails, began_ms: 2, ..SWEEP }.record(&path);
    let (done, sums, findings) = everything(&path);
    assert_eq!(done, [middle, seeds]);
    assert_eq!(sums.seeds, 12);
    assert_eq!(findings[0].2.len(), 12);
    assert_eq!((findings[0].3, findings[0].4), (u64::MAX - 5, i64::MAX as u64 + 3));
}

#[test]
fn a_seed_that_is_done_again_counts_once_and_must_end_the_same() {
    let path = path("again");
    SWEEP.record(&path);
    let before = everything(&path);
    Sweep { began_ms: 2, ..SWEEP }.record(&path);
    assert_eq!(everything(&path), before);

    let mut recorder = write(&path).begin(&Sweep { began_ms: 3, ..SWEEP }.session()).expect("it begins");
    let mut record = |seed, report: &Report| {
        recorder.record(&Run { seed, report, members: 3, schedule: None }).expect("it is looked up")
    };
    assert_eq!(record(3, &report(3, Some("threes"))), Recorded::Again);
    let moved = Report { digest: Digest(99), ..report(3, Some("threes")) };
    let was = format!("oracle/threes, digest {}", Digest(3));
    assert_eq!(record(3, &moved), Recorded::Otherwise(was.clone()));
    assert_eq!(record(3, &report(3, None)), Recorded::Otherwise(was));
    assert_eq!(record(4, &report(4, Some("threes"))), Recorded::Otherwise("pass".to_owned()));
    drop(recorder);
    assert_eq!(everything(&path), before);
}

#[test]
fn schedules_are_kept_of_the_first_failures_only() {
    let path = path("schedules");
    let fails = |_| Some("always");
    let first = Sweep { seeds: Seeds { first: 0, last: SCHEDULES_MAX / 2 }, fails, ..SWEEP };
    let rest = Sweep { seeds: Seeds { first: 0, last: 3 * SCHEDULES_MAX }, fails, began_ms: 2, ..SWEEP };
    first.record(&path);
    rest.record(&path);
    let connection = rusqlite::Connection::open(&path).expect("a database");
    let count = |query: &str| connection.query_row(query, (), |row| row.get::<_, u32>(0)).expect("a number");
    assert_eq!(u64::from(count("SELECT count(*) FROM schedule")), SCHEDULES_MAX);
    assert_eq!(u64::from(count("SELECT count(*) FROM failure")), 3 * SCHEDULES_MAX + 1);
}

/// The state of the one finding there is.
fn state(path: &Path) -> (State, bool, bool) {
    let findings = read(path).findings().expect("findings");
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    (finding.state, finding.is_closed, finding.is_back)
}

#[test]
fn a_state_follows_from_what_was_run() {
    let path = path("states");
    let passes = |_| None;
    SWEEP.record(&path);
    assert_eq!(state(&path).0, State::New);
    Sweep { build: "second", began_ms: 2, ..SWEEP }.record(&path);
    assert_eq!(state(&path).0, State::Ongoing);
    // One in ten seeds failed: of 20, 2 were to be expected, which says little.
    let few = Seeds { first: 100, last: 119 };
    Sweep { build: "third", seeds: few, fails: passes, began_ms: 3, ..SWEEP }.record(&path);
    assert_eq!(state(&path).0, State::Rare);
    let more = Seeds { first: 120, last: 139 };
    Sweep { build: "third", seeds: more, fails: passes, began_ms: 4, ..SWEEP }.record(&path);
    assert_eq!(state(&path).0, State::Resolved);
    // Seeds under other flags say nothing of it.
    Sweep { profile: "--members 1", fails: passes, began_ms: 5, ..SWEEP }.record(&path);
    assert_eq!(state(&path).0, State::Resolved);
    Sweep { build: "fourth", began_ms: 6, ..SWEEP }.record(&path);
    assert_eq!(state(&path).0, State::Ongoing);
}

#[test]
fn what_is_closed_is_resolved_until_it_is_seen_again() {
    let path = path("closed");
    SWEEP.record(&path);
    let ledger = Ledger::amend(&path, SYSTEM).expect("it can be written");
    let id = ledger.findings().expect("findings")[0].id.clone();
    assert_eq!(ledger.mark(&id, true, 5), Ok(true));
    assert_eq!(ledger.mark("F0", true, 5), Ok(false));
    assert_eq!(state(&path), (State::Resolved, true, false));
    assert_eq!(ledger.mark(&id, false, 6), Ok(true));
    assert_eq!(state(&path), (State::New, false, false));
    assert_eq!(ledger.mark(&id, true, 7), Ok(true));
    Sweep { build: "second", began_ms: 8, ..SWEEP }.record(&path);
    assert_eq!(state(&path), (State::Ongoing, false, true));
    // The same seeds in the same build are recorded already, and seen all the same.
    let ledger = Ledger::amend(&path, SYSTEM).expect("it can be written");
    assert_eq!(ledger.mark(&id, true, 9), Ok(true));
    assert_eq!(state(&path), (State::Resolved, true, false));
    Sweep { build: "second", began_ms: 10, ..SWEEP }.record(&path);
    assert_eq!(state(&path), (State::Ongoing, false, true));
}

#[test]
fn the_shards_of_a_sweep_joined_in_any_order_and_however_often_are_the_sweep() {
    let whole = path("whole");
    SWEEP.record(&whole);
    let parts: Vec<PathBuf> = (1..=3).map(|part| path(&format!("part-{part}"))).collect();
    for (part, path) in (1..).zip(&parts) {
        let seeds = SWEEP.seeds.part(part, 3).expect("seeds enough");
        Sweep { seeds, ..SWEEP }.record(path);
    }
    for (name, order) in [("forth", [0, 1, 2]), ("back", [2, 1, 0]), ("mixed", [1, 2, 0])] {
        let joined = path(&format!("joined-{name}"));
        let paths = order.map(|part| parts[part].clone());
        let mut ledger = write(&joined);
        assert_eq!(ledger.merge(&paths, Joining::OneSweep).expect("they fit").failures, 10);
        let again = ledger.merge(&paths, Joining::OneSweep).expect("they fit");
        assert_eq!((again.sessions, again.failures), (0, 0));
        drop(ledger);
        let (done, sums, mut findings) = everything(&joined);
        let (whole_done, whole_sums, whole_findings) = everything(&whole);
        // All parts began at one moment, so that nothing says which failure came first.
        findings.iter_mut().for_each(|finding| finding.2.sort_unstable());
        assert_eq!((&done, &sums), (&whole_done, &whole_sums), "{name}");
        assert_eq!(findings[0].2, whole_findings[0].2, "{name}");
    }
}

#[test]
fn a_copy_from_the_midst_of_a_sweep_does_not_take_from_the_whole() {
    let (whole, copy) = (path("later"), path("earlier"));
    SWEEP.record(&whole);
    // The same session when it had come to seed 49.
    let mut recorder = write(&copy).begin(&SWEEP.session()).expect("it begins");
    for seed in 0..50 {
        let report = report(seed, (SWEEP.fails)(seed));
        let members = if seed % 2 == 0 { 1 } else { 3 };
        recorder.record(&Run { seed, report: &report, members, schedule: None }).expect("it is recorded");
    }
    drop(recorder);
    let expected = everything(&whole);
    for (name, order) in [("copy-first", [&copy, &whole]), ("copy-last", [&whole, &copy])] {
        let joined = path(name);
        write(&joined).merge(&order.map(PathBuf::clone), Joining::OneSweep).expect("they fit");
        assert_eq!(everything(&joined), expected, "{name}");
        let last = read(&joined).last_session(None).expect("it is read").expect("there is one");
        assert_eq!(last.ending.as_deref(), Some("all-seeds"), "{name}");
    }
}

#[test]
fn what_another_build_or_profile_made_is_joined_as_history_only() {
    let (own, joined) = (path("own"), path("joined"));
    SWEEP.record(&own);
    let (build, profile) = (path("other-build"), path("other-profile"));
    Sweep { build: "second", began_ms: 2, ..SWEEP }.record(&build);
    Sweep { profile: "--members 1", began_ms: 3, ..SWEEP }.record(&profile);
    for (other, reason) in [
        (
            &build,
            "build second (commit second commi) made it, and build first (commit first commit) another one; ",
        ),
        (
            &profile,
            "it was made with `--members 1`, and another one with no flags that change what a seed draws; ",
        ),
    ] {
        let refused = write(&joined).merge(&[own.clone(), other.clone()], Joining::OneSweep);
        let text = refused.expect_err("they do not fit").to_string();
        assert!(text.starts_with(&format!("{}: {reason}", other.display())), "{text}");
        assert!(read(&joined).sessions().expect("sessions").is_empty(), "all or nothing");
    }
    write(&joined).merge(&[own, build, profile], Joining::History).expect("a history");
    let findings = read(&joined).findings().expect("findings");
    assert_eq!(findings.iter().map(|finding| finding.failures).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(read(&joined).done("", None).expect("seeds").count(), 100);
}

#[test]
fn seeds_that_two_ledgers_did_count_once_when_they_are_joined() {
    let (one, other, joined) = (path("overlap-one"), path("overlap-other"), path("overlap"));
    Sweep { seeds: Seeds { first: 0, last: 69 }, ..SWEEP }.record(&one);
    Sweep { seeds: Seeds { first: 30, last: 99 }, began_ms: 2, ..SWEEP }.record(&other);
    write(&joined).merge(&[other, one], Joining::OneSweep).expect("they fit");
    let ledger = read(&joined);
    assert_eq!(ledger.totals(), Ok(Rate { failures: 10, seeds: 100 }));
    let finding = ledger.findings().expect("findings").swap_remove(0);
    assert_eq!((finding.failures, finding.seen), (10, Rate { failures: 10, seeds: 100 }));
    assert_eq!((finding.first.seed, finding.last.seed), (3, 93));
    let (seeds, all) = ledger.seeds_of(&finding.id, 5).expect("seeds");
    assert_eq!((seeds, all), (vec![3, 13, 23, 33, 43], 10));
    let mut told = Vec::new();
    let session = Sweep { began_ms: 3, ..SWEEP }.session();
    let (before, _) = ledger.before(&session, |known| told.push(known.seed)).expect("it is read");
    assert_eq!((before.ranges(), told.len()), ([SWEEP.seeds].as_slice(), 10));
}

#[test]
fn a_seed_that_passed_here_and_failed_there_is_a_contradiction() {
    let (one, other) = (path("failed"), path("passed"));
    SWEEP.record(&one);
    Sweep { fails: |seed| (seed == 3).then_some("threes"), began_ms: 2, ..SWEEP }.record(&other);
    for (name, order) in [("forth", [&one, &other]), ("back", [&other, &one])] {
        let joined = path(&format!("contradiction-{name}"));
        let text = write(&joined)
            .merge(&order.map(PathBuf::clone), Joining::OneSweep)
            .expect_err("one of them is wrong");
        let text = text.to_string();
        assert!(
            text.contains("seed 13 ended as oracle/threes in one sweep, and passed in another one, although"),
            "{text}"
        );
        assert!(read(&joined).sessions().expect("sessions").is_empty(), "all or nothing");
    }
}

#[test]
fn a_sweep_that_was_killed_before_its_first_seed_says_nothing_of_its_build() {
    let path = path("empty-session");
    SWEEP.record(&path);
    drop(write(&path).begin(&Sweep { build: "second", began_ms: 2, ..SWEEP }.session()).expect("it begins"));
    assert_eq!(state(&path).0, State::New);
}

#[test]
fn two_ledgers_that_contradict_each_other_are_not_joined() {
    let (own, other) = (path("one"), path("contradiction"));
    SWEEP.record(&own);
    let mut recorder = write(&other).begin(&Sweep { began_ms: 9, ..SWEEP }.session()).expect("it begins");
    let moved = Report { digest: Digest(77), ..report(13, Some("threes")) };
    recorder.record(&Run { seed: 13, report: &moved, members: 3, schedule: None }).expect("it is recorded");
    drop(recorder);
    let before = everything(&own);
    let text = write(&own).merge(&[other], Joining::OneSweep).expect_err("a contradiction").to_string();
    assert!(text.contains("seed 13 ended as oracle/threes with digest 0"), "{text}");
    assert_eq!(everything(&own), before);
}

#[test]
fn one_sweep_writes_and_others_are_told_who() {
    let path = path("locked");
    let ledger = write(&path);
    let text = Ledger::write(&path, SYSTEM, "another").expect_err("it is taken").to_string();
    assert!(text.contains("a test writes into it; wait for its end"), "{text}");
    // Readers, and whoever closes a finding, do not have to wait.
    drop(Ledger::amend(&path, SYSTEM).expect("it can be marked"));
    drop(ledger);
    write(&path);
}

#[test]
fn a_ledger_has_one_lock_whatever_link_leads_to_it() {
    let path = path("linked");
    let link = path.with_file_name("a link");
    let ledger = write(&path);
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let text = Ledger::write(&link, SYSTEM, "another").expect_err("it is taken").to_string();
    assert!(text.starts_with(&format!("{}: a test writes into it", link.display())), "{text}");
    drop(ledger);
    write(&link);
}

#[test]
fn a_file_that_is_no_lock_is_not_made_one() {
    let path = path("no-lock");
    drop(write(&path));
    let lock = path.with_file_name("a.ledger-lock");
    assert_eq!(std::fs::read_to_string(&lock).expect("a lock"), "locked by a test");
    std::fs::write(&lock, "precious = 1\n").expect("a file");
    let text = Ledger::write(&path, SYSTEM, "a test").expect_err("it is something else").to_string();
    assert!(text.contains("a.ledger-lock, and that is something else"), "{text}");
    assert_eq!(std::fs::read_to_string(&lock).expect("a file"), "precious = 1\n");
}

#[test]
fn what_is_no_ledger_is_refused_and_left_as_it_is() {
    let expect = |path: &Path, reason: &str| {
        for text in [
            Ledger::read(path, SYSTEM).expect_err("no ledger").to_string(),
            Ledger::write(path, SYSTEM, "a test").expect_err("no ledger").to_string(),
        ] {
            assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
            assert!(text.contains(reason), "{text}");
        }
    };
    let text = path("text");
    std::fs::create_dir_all(text.parent().expect("a folder")).expect("a folder");
    std::fs::write(&text, "my novel\n".repeat(1_000)).expect("a file");
    expect(&text, "is no ledger, and is left as it is; name another file");
    assert!(std::fs::read_to_string(&text).expect("a file").starts_with("my novel"));

    let foreign = path("foreign");
    std::fs::create_dir_all(foreign.parent().expect("a folder")).expect("a folder");
    let connection = rusqlite::Connection::open(&foreign).expect("a database");
    connection.execute_batch("CREATE TABLE novel (text TEXT)").expect("a table");
    drop(connection);
    expect(&foreign, "is no ledger, and is left as it is; name another file");

    let system = path("system");
    drop(Ledger::write(&system, "another", "a test").expect("a ledger"));
    expect(&system, "it is a ledger of the system `another`, and this is `test`");

    let format = path("format");
    drop(write(&format));
    let connection = rusqlite::Connection::open(&format).expect("a database");
    connection.pragma_update(None, "user_version", 99).expect("a number");
    drop(connection);
    expect(&format, "its format is 99, and this version reads 2");

    let missing = path("missing");
    let text = Ledger::read(&missing, SYSTEM).expect_err("nothing").to_string();
    assert!(text.ends_with("there is no ledger; a sweep begins one"), "{text}");
    let folder = missing.parent().expect("a folder").to_owned();
    std::fs::create_dir_all(&folder).expect("a folder");
    let text = Ledger::write(&folder, SYSTEM, "a test").expect_err("a folder").to_string();
    assert!(text.ends_with("is no file; name one"), "{text}");
    let text = Ledger::read(&folder, SYSTEM).expect_err("a folder").to_string();
    assert!(text.ends_with("is no file; name one"), "{text}");

    let table = path("table");
    drop(write(&table));
    let connection = rusqlite::Connection::open(&table).expect("a database");
    connection.execute_batch("DROP TABLE tally").expect("a table");
    drop(connection);
    let text = read(&table).findings().expect_err("no table").to_string();
    assert!(
        text.contains("is damaged, and is left as it is") && text.contains("no such table: tally"),
        "{text}"
    );
}

#[test]
fn damage_is_noticed_before_anything_is_written() {
    let path = path("damaged");
    Sweep { seeds: Seeds { first: 0, last: 4_999 }, ..SWEEP }.record(&path);
    let whole = std::fs::read(&path).expect("a file");
    let mut noticed = 0;
    // A page at a time is filled with noise, but for the first, which is tried above.
    for page in 1..whole.len() / 4_096 {
        let mut damaged = whole.clone();
        damaged[page * 4_096..(page + 1) * 4_096].fill(0xa5);
        std::fs::write(&path, &damaged).expect("a file");
        let refused = Ledger::write(&path, SYSTEM, "a test").err().map(|error| error.to_string());
        noticed += usize::from(refused.is_some());
        if let Some(text) = refused {
            assert!(text.contains("is damaged, and is left as it is; put it back from a copy"), "{text}");
        }
        // Reading may pass by the page, and must not panic.
        if let Ok(ledger) = Ledger::read(&path, SYSTEM) {
            let _ = (ledger.findings(), ledger.sessions(), ledger.done("", None));
        }
        assert!(std::fs::read(&path).expect("a file") == damaged, "page {page} was changed");
    }
    assert_eq!(noticed, whole.len() / 4_096 - 1);
    for length in [0, 100, 4_096, whole.len() / 2] {
        std::fs::write(&path, &whole[..length]).expect("a file");
        let opened = Ledger::write(&path, SYSTEM, "a test");
        assert_eq!(opened.is_ok(), length == 0, "of {length} bytes");
    }
}
