//! One seed is one execution, to the byte; and where it is not, the command says so and where.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;

use super::support::folder;
use super::{tests, vertebra};

tests![
    digests_depend_neither_on_threads_nor_on_the_folder,
    a_replay_is_the_same_to_the_byte,
    a_seed_and_its_schedule_file_are_the_same_run,
    two_processes_tell_the_same,
    two_processes_tell_the_same_violation,
    planted_non_determinism_is_caught_and_its_event_is_named,
    non_determinism_that_no_text_shows_is_caught_too,
    a_comparison_can_be_had_as_json,
];

fn digests_depend_neither_on_threads_nor_on_the_folder() {
    let digests = |name: &str, jobs| {
        let folder = folder(name);
        vertebra(&folder, &["sweep", "--seeds", "0..400", "--jobs", jobs, "--digests", "digests"]).expect(0);
        fs::read_to_string(folder.join("digests")).expect("the digests")
    };
    let alone = digests("determinism-1", "1");
    assert_eq!(alone.lines().count(), 400);
    for (seed, line) in alone.lines().enumerate() {
        let digest = line.strip_prefix(&format!("{seed} ")).expect("seeds in order");
        assert_eq!(digest.len(), 32);
    }
    assert_eq!(alone, digests("determinism-2", "2"));
    assert_eq!(alone, digests("determinism-7", "7"));

    let folder = folder("determinism-replay");
    for seed in ["0", "17", "399"] {
        let verdict = vertebra(&folder, &["replay", seed, "--json", "--quiet"]).expect(0).last();
        let digest = verdict["digest"].as_str().expect("a digest");
        assert!(alone.contains(&format!("{seed} {digest}\n")), "seed {seed} has another digest in a replay");
    }
}

fn a_replay_is_the_same_to_the_byte() {
    let folder = folder("determinism-bytes");
    for arguments in [["replay", "5", "--members", "3"].as_slice(), &["replay", "5", "--json"]] {
        let (first, second) =
            (vertebra(&folder, arguments).expect(0), vertebra(&folder, arguments).expect(0));
        assert_eq!(first.stdout, second.stdout);
    }
}

fn a_seed_and_its_schedule_file_are_the_same_run() {
    let folder = folder("determinism-file");
    // One of them is larger than the whole numbers that TOML promises.
    for seed in ["3", "18446744073709551615"] {
        let told = vertebra(&folder, &["replay", seed]).expect(0).stdout;
        let (schedule, run) = told.split_once("\n   0.000000").expect("a schedule, then events");
        fs::write(folder.join("a schedule.toml"), schedule).expect("a file");
        let again = vertebra(&folder, &["replay", "a schedule.toml"]).expect(0).stdout;
        assert_eq!(told, again);
        assert!(run.contains("digest     "));
        let json = vertebra(&folder, &["replay", seed, "--json"]).expect(0).json();
        assert_eq!(json[0]["schedule"]["seed"].to_string().trim_matches('"'), seed);
    }
}

fn two_processes_tell_the_same() {
    let folder = folder("twice");
    let ended = vertebra(&folder, &["replay", "7", "--twice"]).expect(0);
    let verdict = vertebra(&folder, &["replay", "7", "--verdict"]).expect(0).stdout;
    let (equal, rest) = ended.stdout.split_once('\n').expect("two lines");
    assert!(equal.starts_with("equal      two processes told the same "), "{equal}");
    assert_eq!(rest, verdict);
}

fn two_processes_tell_the_same_violation() {
    let folder = folder("twice-violation");
    let ended = vertebra(&folder, &["replay", "7", "--twice", "--defect", "lie"]).expect(1);
    assert!(ended.stdout.starts_with("equal "), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("\nschedule   vertebra-failures/7-lie.toml\n"), "{}", ended.stdout);
    let file = vertebra(&folder, &["replay", "vertebra-failures/7-lie.toml", "--twice"]).expect(1);
    assert!(file.stdout.ends_with("\nschedule   vertebra-failures/7-lie.toml\n"), "{}", file.stdout);
}

fn planted_non_determinism_is_caught_and_its_event_is_named() {
    let folder = folder("twice-planted");
    let ended = vertebra(&folder, &["replay", "7", "--twice", "--defect", "process-id"]).expect(3);
    let lines = ended.stdout.lines().map(|line| match line.split_once(" is in process ") {
        Some((event, number)) => {
            assert!(number.parse::<u32>().is_ok(), "{line}");
            format!("{event} is in process [number]\n")
        }
        None => format!("{line}\n"),
    });
    assert_snapshot!("non_determinism", lines.collect::<String>());
}

fn non_determinism_that_no_text_shows_is_caught_too() {
    let folder = folder("twice-hidden");
    let ended = vertebra(&folder, &["replay", "7", "--twice", "--defect", "hidden-process-id"]).expect(3);
    assert!(ended.stdout.contains("\nnon-determinism: event "), "{}", ended.stdout);
    assert!(ended.stdout.contains(", in a value that its text does not show\n"), "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("  member 1   echo      knows nothing\n").count(), 2, "{}", ended.stdout);
}

fn a_comparison_can_be_had_as_json() {
    let folder = folder("twice-json");
    let lines = vertebra(&folder, &["replay", "7", "--twice", "--json"]).expect(0).json();
    let [comparison, verdict] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&comparison["type"], &comparison["equal"]), (&"comparison".into(), &true.into()));
    assert_eq!((&comparison["digest"], &comparison["events"]), (&verdict["digest"], &verdict["events"]));

    let ended = vertebra(&folder, &["replay", "7", "--twice", "--json", "--defect", "process-id"]).expect(3);
    let comparison = ended.last();
    let list = |field: &str| comparison[field].as_array().expect("a list").clone();
    let (before, first, second) = (list("before"), list("first"), list("second"));
    assert_eq!((&comparison["equal"], before.len()), (&false.into(), 10));
    let text = |lines: &[Value]| lines[0]["text"].as_str().expect("a text").to_owned();
    assert!(text(&first).starts_with("is in process "));
    assert!(text(&second).starts_with("is in process "));
    assert_ne!(text(&first), text(&second));
    assert_eq!(before[9]["event"].as_u64().map(|event| event + 1), first[0]["event"].as_u64());
}
