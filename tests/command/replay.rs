//! A run as a timeline.

use insta::assert_snapshot;
use serde_json::Value;

use super::support::folder;
use super::{tests, vertebra};

tests![
    a_replay_tells_the_schedule_then_the_events_then_the_verdict,
    filters_choose_events_and_change_nothing_else,
    a_filter_that_nothing_satisfies_says_which_topics_there_are,
    every_event_has_the_digest_up_to_it,
    flags_that_contradict_a_file_are_refused,
    a_verdict_alone_is_that_of_the_whole_replay,
    what_is_no_seed_and_no_file_is_refused,
];

fn a_replay_tells_the_schedule_then_the_events_then_the_verdict() {
    let folder = folder("replay");
    let told = vertebra(&folder, &["replay", "11", "--members", "3", "--until", "700ms"]).expect(0);
    assert_snapshot!("short_trace", told.stdout);
}

fn events(lines: &[Value]) -> Vec<&Value> {
    // A mark is told, and is no event of the run.
    lines.iter().filter(|line| line["type"] == "event" && line["topic"] != "mark").collect()
}

fn filters_choose_events_and_change_nothing_else() {
    let folder = folder("replay-filters");
    let run =
        |flags: &[&str]| vertebra(&folder, &[&["replay", "7", "--json"], flags].concat()).expect(0).json();
    let whole = run(&[]);
    type Chosen = fn(&Value) -> bool;
    let cases: [(&[&str], Chosen); 7] = [
        (&["--topic", "client,fault"], |event| event["topic"] == "client" || event["topic"] == "fault"),
        (&["--topic", "client", "--topic", "fault"], |event| {
            event["topic"] == "client" || event["topic"] == "fault"
        }),
        (&["--node", "client 2"], |event| event["node"] == "client 2"),
        (&["--node", "world"], |event| event["node"].is_null()),
        (&["--grep", "came back"], |event| event["text"].as_str().is_some_and(|t| t.contains("came back"))),
        (&["--from", "1s", "--until", "2.5s"], |event| {
            event["at_ns"].as_u64().is_some_and(|at| (1_000_000_000..=2_500_000_000).contains(&at))
        }),
        (&["--topic", "network", "--node", "member 1", "--until", "3s"], |event| {
            event["topic"] == "network"
                && event["node"] == "member 1"
                && event["at_ns"].as_u64() <= Some(3_000_000_000)
        }),
    ];
    for (flags, chosen) in cases {
        let filtered = run(flags);
        let expected: Vec<&Value> = events(&whole).into_iter().filter(|event| chosen(event)).collect();
        assert!(!expected.is_empty(), "{flags:?} should choose something");
        assert_eq!(events(&filtered), expected, "{flags:?}");
        assert_eq!((filtered.first(), filtered.last()), (whole.first(), whole.last()), "{flags:?}");
    }
}

fn a_filter_that_nothing_satisfies_says_which_topics_there_are() {
    let folder = folder("replay-topics");
    let ended = vertebra(&folder, &["replay", "7", "--quiet", "--topic", "rafts"]).expect(0);
    let note = "note: no event is like that; the run has the topics client, fault, mark, network, process\n";
    assert_eq!(ended.stderr, note);
    let refused = vertebra(&folder, &["replay", "7", "--node", "leader"]).expect(2);
    assert!(refused.stderr.contains("`leader` is no node; write `member 1`"), "{}", refused.stderr);
}

fn every_event_has_the_digest_up_to_it() {
    let folder = folder("replay-digests");
    let lines = vertebra(&folder, &["replay", "7", "--json"]).expect(0).json();
    let (events, verdict) = (events(&lines), &lines[lines.len() - 1]);
    assert_eq!(verdict["events"], events.len());
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["event"], number + 1);
    }
    assert_eq!(events[events.len() - 1]["digest"], verdict["digest"]);
    assert_ne!(events[0]["digest"], verdict["digest"]);
}

fn flags_that_contradict_a_file_are_refused() {
    let folder = folder("replay-flags");
    vertebra(&folder, &["replay", "0", "--defect", "lie", "--members", "3", "--verdict"]).expect(1);
    let file = "vertebra-failures/0-members-3-lie.toml";
    let with = |flags: &[&str]| vertebra(&folder, &[&["replay", file, "--verdict"], flags].concat());
    with(&["--members", "3", "--defect", "lie"]).expect(1);
    for flags in [["--members", "1"], ["--defect", "panic"]] {
        let reason = "which has all options of its run; leave the flag out, or edit the file";
        let line = format!("error: {} contradicts {file}, {reason}\n", flags.join(" "));
        assert_eq!(with(&flags).expect(2).stderr, line);
    }
}

fn a_verdict_alone_is_that_of_the_whole_replay() {
    let folder = folder("replay-verdict");
    for flags in [["replay", "7"].as_slice(), &["replay", "7", "--defect", "lie"]] {
        let whole = vertebra(&folder, flags);
        let alone = vertebra(&folder, &[flags, &["--verdict"]].concat());
        assert_eq!(whole.code, alone.code);
        assert!(whole.stdout.ends_with(&format!("\n\n{}", alone.stdout)), "{}", alone.stdout);
    }
}

fn what_is_no_seed_and_no_file_is_refused() {
    let folder = folder("replay-nothing");
    let refused = vertebra(&folder, &["replay", "seven"]).expect(2);
    assert_eq!(refused.stderr, "error: seven: No such file or directory (os error 2)\n");
    let refused = vertebra(&folder, &["replay", "."]).expect(2);
    assert_eq!(refused.stderr, "error: .: Is a directory (os error 21)\n");
    let refused = vertebra(&folder, &["replay", "18446744073709551616"]).expect(2);
    assert!(refused.stderr.contains("the last seed is 18446744073709551615"), "{}", refused.stderr);
    let refused = vertebra(&folder, &["replay", "7", "--twice", "--topic", "raft"]).expect(2);
    assert!(refused.stderr.contains("cannot be used with"), "{}", refused.stderr);
}
