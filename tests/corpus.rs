//! Each schedule in `seeds/` gives the verdict that stands in its first line.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use vertebra::corpus::{Standing, check, files};
use vertebra_model::Etcd;

#[test]
fn each_schedule_of_the_corpus_gives_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let files = files(&[folder]).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert!(files.len() >= 2, "the corpus has {} schedules", files.len());
    let entries = check::<Etcd>(&files, 2, &AtomicBool::new(false));
    assert_eq!(entries.len(), files.len());
    for entry in entries {
        assert!(matches!(entry.standing, Standing::AsExpected { .. }), "{entry:?}");
    }
}
