//! Each schedule in `seeds/` gives the verdict that stands in its first line; and for each planted bug there is one that shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use vertebra::Subject;
use vertebra::corpus::{Standing, check, files};
use vertebra_model::defect::entries;
use vertebra_model::{Defect, Defects, Etcd, Options};
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{System, Violation, run};

/// Those that no sweep has found yet, whatever was added to it.
const NOT_FOUND: [Defect; 0] = [];

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

#[test]
fn each_schedule_of_the_corpus_gives_its_verdict() {
    let files = files(&[seeds()]).unwrap_or_else(|refusal| panic!("{refusal}"));
    let entries = check::<Etcd>(&files, 2, &AtomicBool::new(false));
    assert_eq!(entries.len(), files.len());
    for entry in entries {
        assert!(matches!(entry.standing, Standing::AsExpected { .. }), "{entry:?}");
    }
}

fn kept(defect: Defect) -> Schedule<Options> {
    let file = seeds().join("defects").join(format!("{}.toml", defect.name()));
    let text = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Schedule::read(defect.name(), &text, Etcd::NAME, Etcd::shape).expect("a schedule of this version")
}

fn violation(schedule: &Schedule<Options>) -> Option<Violation> {
    run::<Etcd>(schedule, None).verdict.violation().cloned()
}

/// Every oracle that would end the run, one after the other, without those before it.
fn noticed(mut schedule: Schedule<Options>) -> BTreeSet<&'static str> {
    let mut noticed = BTreeSet::new();
    while let Some(violation) = violation(&schedule) {
        if !noticed.insert(violation.oracle) || !Etcd::leave_out(&mut schedule.options, violation.oracle) {
            break;
        }
    }
    noticed
}

#[test]
fn each_planted_bug_has_a_schedule_in_which_the_right_oracle_sees_it_and_without_it_nobody_sees_anything() {
    let mut problems = Vec::new();
    for entry in entries().filter(|entry| !NOT_FOUND.contains(&entry.defect)) {
        let name = entry.defect.name();
        let mut schedule = kept(entry.defect);
        let switched_on: Vec<_> = schedule.options.defects.iter().collect();
        assert_eq!(switched_on, [entry.defect], "{name}");
        let noticed = noticed(schedule.clone());
        if !entry.oracles.iter().any(|oracle| noticed.contains(oracle)) {
            problems.push(format!("{name} is noticed by {noticed:?}, and not by any of {:?}", entry.oracles));
        }
        schedule.options.defects = Defects::NONE;
        if let Some(violation) = violation(&schedule) {
            problems.push(format!("{name} switched off: {}", violation.signature()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_schedule_is_kept_for_a_bug_that_is_not_planted() {
    let kept = Defect::ALL.iter().filter(|defect| !NOT_FOUND.contains(defect));
    let names: BTreeSet<_> = kept.map(|defect| format!("{}.toml", defect.name())).collect();
    for file in files(&[seeds().join("defects")]).unwrap_or_else(|refusal| panic!("{refusal}")) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(names.contains(&name), "seeds/defects/{name}");
    }
}
