//! What a sweep runs, and what it says of it.

use std::time::{Duration, Instant};

use super::support::folder;
use super::{tests, vertebra};

tests![
    a_green_sweep_says_what_it_did,
    a_range_can_be_written_in_each_of_its_forms,
    a_sweep_that_has_a_time_ends_when_it_is_over,
    the_number_of_members_can_be_fixed,
    flags_that_make_no_sense_are_refused_before_anything_runs,
];

fn a_green_sweep_says_what_it_did() {
    let folder = folder("sweep-green");
    let text = vertebra(&folder, &["sweep", "--seeds", "0..50", "--jobs", "2"]).expect(0);
    assert_eq!(text.stderr, "", "progress is for terminals, and for logs of long sweeps");
    for part in
        ["50 seeds of 0..50 in ", " on 2 threads: ", "virtual time", "operations", "faults", "members"]
    {
        assert!(text.stdout.contains(part), "{part} is not in\n{}", text.stdout);
    }
    assert!(text.stdout.ends_with("\npass: no violation was found\n"));

    let json = vertebra(&folder, &["sweep", "--seeds", "0..50", "--json"]).expect(0);
    assert_eq!(json.json().len(), 1);
    let summary = json.last();
    assert_eq!((&summary["type"], &summary["end"]), (&"summary".into(), &"all-seeds".into()));
    assert_eq!((&summary["seeds"], &summary["failures"]), (&50.into(), &0.into()));
    assert_eq!((&summary["first_seed"], &summary["last_seed"]), (&0.into(), &49.into()));
    for sum in ["virtual_time_ns", "events", "operations", "faults"] {
        assert!(summary[sum].as_u64() > Some(0), "{sum} in {summary}");
    }
    let by_size = summary["members"].as_object().expect("a table of sizes");
    assert_eq!(by_size.values().filter_map(serde_json::Value::as_u64).sum::<u64>(), 50);
    assert!(std::fs::read_dir(&folder).expect("a folder").next().is_none(), "a green sweep leaves no file");
}

fn a_range_can_be_written_in_each_of_its_forms() {
    let folder = folder("sweep-ranges");
    for (range, first, seeds) in
        [("3..5", 3, 2), ("3..=5", 3, 3), ("7", 7, 1), ("18446744073709551614..", 0, 2)]
    {
        let summary = vertebra(&folder, &["sweep", "--json", "--seeds", range]).expect(0).last();
        assert_eq!(summary["seeds"], seeds, "{range}");
        assert!(first == 0 || summary["first_seed"] == first, "{range}");
    }
}

fn a_sweep_that_has_a_time_ends_when_it_is_over() {
    let (folder, begun) = (folder("sweep-time"), Instant::now());
    let summary = vertebra(&folder, &["sweep", "--json", "--time", "1s"]).expect(0).last();
    assert_eq!(summary["end"], "time");
    assert!(summary["seeds"].as_u64() > Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
}

fn the_number_of_members_can_be_fixed() {
    let folder = folder("sweep-members");
    let summary =
        vertebra(&folder, &["sweep", "--json", "--seeds", "0..9", "--members", "4"]).expect(0).last();
    assert_eq!(summary["members"], serde_json::json!({ "4": 9 }));
}

fn flags_that_make_no_sense_are_refused_before_anything_runs() {
    let folder = folder("sweep-flags");
    let refused = vertebra(&folder, &["sweep", "--seeds", "3..5", "--members", "0"]).expect(2);
    assert_eq!(refused.stderr, "error: seed 3: members: an echo has at least one\n");
    let cases: [(&[&str], &str); 8] = [
        (&["--seeds", "5..5"], "there is no seed in 5..5"),
        (&["--seeds", "five"], "write a range of seeds, as in `0..5000`"),
        (&["--seeds", "0..18446744073709551616"], "18446744073709551616 is too large"),
        (&["--jobs", "0"], "0 is not in 1..=512"),
        (&["--time", "10"], "`10` is no span of time"),
        (&["--defect", "lies"], "a similar value exists: 'lie'"),
        (&["--members", "70000"], "70000 is not in 0..=65535"),
        (&["--digests", "missing/file"], "error: missing/file: No such file or directory"),
    ];
    for (flags, reason) in cases {
        let refused = vertebra(&folder, &[&["sweep"], flags].concat()).expect(2);
        assert!(refused.stderr.contains(reason), "{flags:?}: {}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
}
