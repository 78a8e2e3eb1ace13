//! What the command says of itself.

use insta::assert_snapshot;

use super::support::folder;
use super::{tests, vertebra};

tests![
    the_help_of_the_command_shows_its_verbs_and_exit_codes,
    the_help_of_sweep_has_examples_and_the_shape_of_its_json,
    the_help_of_replay_has_examples_and_the_shape_of_its_json,
    the_help_of_diff_has_examples_and_exit_codes,
    the_help_of_bisect_says_how_commits_are_judged,
    the_help_of_shrink_has_examples_and_the_shape_of_its_json,
    the_help_of_serve_has_examples_and_the_shape_of_its_json,
    the_help_of_conform_has_examples_and_the_shape_of_its_json,
    the_help_of_check_says_what_the_formats_are,
    the_help_of_corpus_says_what_is_renewed,
    the_help_of_hunt_says_what_a_trial_is,
    the_help_of_failures_says_what_the_states_are,
    the_help_of_merge_shows_where_ledgers_come_from,
    the_help_of_completions_says_where_they_go,
    completions_know_the_verbs_and_the_defects,
];

fn help(name: &str, verb: &[&str]) -> String {
    vertebra(&folder(name), &[verb, &["--help"]].concat()).expect(0).stdout
}

fn the_help_of_the_command_shows_its_verbs_and_exit_codes() {
    assert_snapshot!("help", help("help", &[]));
}

fn the_help_of_sweep_has_examples_and_the_shape_of_its_json() {
    assert_snapshot!("help_sweep", help("help-sweep", &["sweep"]));
}

fn the_help_of_replay_has_examples_and_the_shape_of_its_json() {
    assert_snapshot!("help_replay", help("help-replay", &["replay"]));
}

fn the_help_of_shrink_has_examples_and_the_shape_of_its_json() {
    assert_snapshot!("help_shrink", help("help-shrink", &["shrink"]));
}

fn the_help_of_serve_has_examples_and_the_shape_of_its_json() {
    assert_snapshot!("help_serve", help("help-serve", &["serve"]));
}

fn the_help_of_conform_has_examples_and_the_shape_of_its_json() {
    assert_snapshot!("help_conform", help("help-conform", &["conform"]));
}

fn the_help_of_check_says_what_the_formats_are() {
    assert_snapshot!("help_check", help("help-check", &["check"]));
}

fn the_help_of_hunt_says_what_a_trial_is() {
    assert_snapshot!("help_hunt", help("help-hunt", &["hunt"]));
}

fn the_help_of_corpus_says_what_is_renewed() {
    assert_snapshot!("help_corpus", help("help-corpus", &["corpus"]));
}

fn the_help_of_failures_says_what_the_states_are() {
    assert_snapshot!("help_failures", help("help-failures", &["failures"]));
}

fn the_help_of_merge_shows_where_ledgers_come_from() {
    assert_snapshot!("help_merge", help("help-merge", &["merge"]));
}

fn the_help_of_diff_has_examples_and_exit_codes() {
    assert_snapshot!("help_diff", help("help-diff", &["diff"]));
}

fn the_help_of_bisect_says_how_commits_are_judged() {
    assert_snapshot!("help_bisect", help("help-bisect", &["bisect"]));
}

fn the_help_of_completions_says_where_they_go() {
    assert_snapshot!("help_completions", help("help-completions", &["completions"]));
}

fn completions_know_the_verbs_and_the_defects() {
    let folder = folder("completions");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = vertebra(&folder, &["completions", shell]).expect(0).stdout;
        for word in [
            "sweep",
            "replay",
            "failures",
            "merge",
            "diff",
            "bisect",
            "shrink",
            "corpus",
            "fail-fast",
            "twice",
            "nightly",
            "reopen",
        ] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
        // What a flag takes is not completed for these.
        if !["elvish", "powershell"].contains(&shell) {
            assert!(script.contains("hidden-process-id"), "{shell} does not complete the defects");
        }
    }
}
