//! Standard output and standard error, and those who read them.

use std::fs::File;
use std::process::Stdio;

use super::support::{self, ended, folder, output};
use super::{command, tests, vertebra};

tests![
    nothing_is_coloured_in_a_pipe,
    colours_can_be_forced_and_forbidden,
    a_reader_that_goes_away_is_no_error,
    a_sweep_ends_when_nobody_reads_its_lines,
    a_disk_that_is_full_is_reported,
    a_closed_standard_error_is_no_reason_to_panic,
];

const ESCAPE: char = '\x1b';

fn nothing_is_coloured_in_a_pipe() {
    let folder = folder("streams-plain");
    for arguments in [
        ["replay", "7", "--defect", "lie"].as_slice(),
        &["replay", "7", "--defect", "process-id", "--twice"],
        &["sweep", "--seeds", "0..9", "--defect", "lie"],
        &["sweep", "--seeds", "0..9"],
        &["--help"],
        &["replay", "--no-such-flag"],
    ] {
        let ended = vertebra(&folder, arguments);
        assert!(!ended.stdout.contains(ESCAPE) && !ended.stderr.contains(ESCAPE), "{arguments:?}");
    }
}

fn colours_can_be_forced_and_forbidden() {
    let folder = folder("streams-colours");
    let with = |variables: &[(&str, &str)]| {
        let mut command = command(&folder, &["replay", "7", "--quiet"]);
        ended(command.envs(variables.iter().copied())).expect(0).stdout
    };
    let (plain, coloured) = (with(&[]), with(&[("CLICOLOR_FORCE", "1")]));
    assert!(coloured.contains("\x1b[36mmember 1 \x1b[0m"), "a member has its colour: {coloured}");
    assert_eq!(with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), plain);
    assert!(!plain.contains(ESCAPE));
    // Colours are all that differs.
    let mut stripped = String::new();
    for (number, part) in coloured.split(ESCAPE).enumerate() {
        let text = if number == 0 { Some(part) } else { part.split_once('m').map(|(_, text)| text) };
        stripped.push_str(text.expect("an escape sequence has an end"));
    }
    assert_eq!(stripped, plain);
}

fn first_line(name: &str, arguments: &[&str]) -> (String, Option<i32>) {
    support::first_line(&mut command(&folder(name), arguments))
}

fn a_reader_that_goes_away_is_no_error() {
    let (line, code) = first_line("streams-head", &["replay", "7", "--json"]);
    assert!(line.starts_with(r#"{"type":"schedule""#));
    assert_eq!(code, Some(0));
    let (_, code) = first_line("streams-head-lie", &["replay", "7", "--defect", "lie"]);
    assert_eq!(code, Some(1), "the exit code says what was found, whoever reads");
    let (_, code) = first_line("streams-head-completions", &["completions", "zsh"]);
    assert_eq!(code, Some(0));
}

fn a_sweep_ends_when_nobody_reads_its_lines() {
    let (line, code) =
        first_line("streams-sweep", &["sweep", "--seeds", "0..", "--json", "--defect", "lie", "--jobs", "2"]);
    assert!(line.starts_with(r#"{"type":"failure","seed":0,"#), "{line}");
    assert_eq!(code, Some(1));
}

fn a_disk_that_is_full_is_reported() {
    let folder = folder("streams-full");
    let full = || File::options().write(true).open("/dev/full").expect("a device that is always full");
    let reason = "No space left on device (os error 28)";
    for (defect, code) in [(None, 2), (Some("--defect=lie"), 1)] {
        let arguments: Vec<&str> = ["replay", "7"].into_iter().chain(defect).collect();
        let child = command(&folder, &arguments).stdout(full()).stderr(Stdio::piped()).spawn();
        let ended = output(child.expect("the command starts")).expect(code);
        assert_eq!(ended.stderr, format!("error: standard output: {reason}\n"));

        let arguments: Vec<&str> =
            ["sweep", "--seeds", "0..9", "--digests", "/dev/full"].into_iter().chain(defect).collect();
        let ended = vertebra(&folder, &arguments).expect(code);
        assert_eq!(ended.stderr, format!("error: /dev/full: {reason}\n"));
    }
}

fn a_closed_standard_error_is_no_reason_to_panic() {
    let folder = folder("streams-closed");
    for arguments in [["replay", "7", "--topic", "nothing"].as_slice(), &["replay", "nothing.toml"]] {
        let mut child = command(&folder, arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        drop(child.stderr.take());
        let code = child.wait().expect("the command ends").code();
        assert_eq!(code, Some(if arguments.len() == 2 { 2 } else { 0 }), "{arguments:?}");
    }
}
