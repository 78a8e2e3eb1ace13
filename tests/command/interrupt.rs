//! Ctrl-C.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::support::{folder, output, signal, wait_until};
use super::{command, tests};

tests![
    an_interrupt_ends_a_sweep_with_the_summary_of_what_was_run,
    an_interrupted_sweep_that_found_something_says_so,
    a_second_interrupt_ends_the_command_at_once,
];

/// A sweep without end, of which some seeds are done.
fn sweep(folder: &Path, flags: &[&str]) -> Child {
    let arguments = [&["sweep", "--seeds", "0..", "--digests", "digests", "--jobs", "2"], flags].concat();
    let child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    wait_until(|| fs::metadata(folder.join("digests")).is_ok_and(|file| file.len() > 0));
    child.expect("the sweep starts")
}

fn an_interrupt_ends_a_sweep_with_the_summary_of_what_was_run() {
    for name in ["INT", "TERM"] {
        let folder = folder(&format!("interrupt-{name}"));
        let child = sweep(&folder, &["--json"]);
        signal(&child, name);
        let summary = output(child).expect(0).last();
        assert_eq!(summary["end"], "interrupt");
        // Every seed up to some place, and none beyond it.
        let digests = fs::read_to_string(folder.join("digests")).expect("the digests");
        assert_eq!(summary["seeds"], digests.lines().count());
        for (seed, line) in digests.lines().enumerate() {
            assert!(line.starts_with(&format!("{seed} ")), "{line}");
        }
    }
}

fn an_interrupted_sweep_that_found_something_says_so() {
    let child = sweep(&folder("interrupt-found"), &["--defect", "lie"]);
    signal(&child, "INT");
    let ended = output(child).expect(1);
    assert!(ended.stdout.contains(" seeds/s; interrupted\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nreproduce  vertebra replay 0 --defect lie\n"), "{}", ended.stdout);
}

fn a_second_interrupt_ends_the_command_at_once() {
    // Nobody reads what it prints, so that it waits, and cannot end by itself after the first.
    let arguments = ["sweep", "--seeds", "0..", "--defect", "lie", "--json"];
    let mut child = command(&folder("interrupt-twice"), &arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sweep starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("a first failure");
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().expect("a state").is_none(), "it waits for its reader");
    signal(&child, "INT");
    let code = child.wait().expect("the command ends").code();
    assert_eq!(code, Some(130));
}
