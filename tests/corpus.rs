//! Each schedule in `seeds/` gives the verdict that stands in its first line; and each planted bug has one there, which is found
//! with it and passes without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use vertebra::Subject;
use vertebra::corpus::{Standing, check, files};
use vertebra_model::{Etcd, Options};
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{System, run};

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

#[test]
fn each_schedule_of_the_corpus_gives_its_verdict() {
    let files = files(&[seeds()]).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert!(files.len() >= 2, "the corpus has {} schedules", files.len());
    let entries = check::<Etcd>(&files, 2, &AtomicBool::new(false));
    assert_eq!(entries.len(), files.len());
    for entry in entries {
        assert!(matches!(entry.standing, Standing::AsExpected { .. }), "{entry:?}");
    }
}

/// The schedule of a planted bug.
fn kept(path: &Path) -> Schedule<Options> {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.display().to_string();
    Schedule::read(&name, &text, Etcd::NAME, Etcd::shape).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_schedule_of_each_planted_bug_passes_without_it() {
    for planted in Etcd::defects() {
        let path = seeds().join("defects").join(format!("{}.toml", planted.name));
        let mut schedule = kept(&path);
        let mut planted_options = schedule.options.clone();
        schedule.options.defects = Default::default();
        schedule.options.without_sync.clear();
        let mut only_this = schedule.options.clone();
        Etcd::plant(&mut only_this, planted.name).expect("it is one of those there are");
        planted_options.without_sync.sort_unstable();
        assert_eq!(planted_options, only_this, "{}: of another bug", path.display());
        assert_eq!(run::<Etcd>(&schedule, None).verdict.signature(), None, "{}", path.display());
    }
}

#[test]
fn an_oracle_that_the_catalogue_names_finds_each_planted_bug() {
    for planted in Etcd::defects().iter().filter(|planted| !planted.oracles.is_empty()) {
        let mut schedule = kept(&seeds().join("defects").join(format!("{}.toml", planted.name)));
        let mut fired = Vec::new();
        // The one that ends the run may be another: it is asked again without it.
        while let Some(violation) = run::<Etcd>(&schedule, None).verdict.violation() {
            fired.push(violation.oracle);
            if planted.oracles.contains(&violation.oracle)
                || !Etcd::leave_out(&mut schedule.options, violation.oracle)
            {
                break;
            }
        }
        let is_named = fired.iter().any(|oracle| planted.oracles.contains(oracle));
        assert!(is_named, "{}: {fired:?} instead of {:?}", planted.name, planted.oracles);
    }
}
