//! Each schedule in `seeds/` gives the verdict that stands in its first line.

use std::fs;
use std::path::Path;

use vertebra_model::Etcd;
use vertebra_sim::schedule::Schedule;
use vertebra_sim::{System, run};

#[test]
fn each_schedule_of_the_corpus_gives_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut schedules = 0;
    for entry in fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        schedules += 1;
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).expect("a schedule can be read");
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# verdict: "));
        let expected = expected.unwrap_or_else(|| panic!("{name}: its first line must tell its verdict"));
        let schedule = Schedule::read(&name, text.as_bytes(), Etcd::NAME, Etcd::shape);
        let schedule = schedule.unwrap_or_else(|error| panic!("{error}"));
        let verdict = run::<Etcd>(&schedule, None).verdict;
        assert_eq!(verdict.signature().unwrap_or_else(|| "pass".to_owned()), expected, "{name}");
    }
    assert!(schedules >= 2, "the corpus has {schedules} schedules");
}
