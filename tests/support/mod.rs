//! Starts the command as a user does, and looks at what it leaves behind.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The variables that would change what the command prints.
const UNSET: [&str; 7] =
    ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "CI", "GITHUB_ACTIONS", "RUST_BACKTRACE"];

/// What came of a command.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The objects of `--json`.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
            .collect()
    }

    /// The last object of `--json`.
    #[track_caller]
    pub fn last(&self) -> Value {
        self.json().pop().expect("there is a line")
    }

    /// The same, after a look at the exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// A folder for one test, empty at first.
pub fn folder(name: &str) -> PathBuf {
    let path = Path::new(TEMPORARY).join(name);
    for old in [&path, &data(&path)] {
        let _ = fs::remove_dir_all(old);
    }
    fs::create_dir_all(&path).expect("a folder for the test");
    path
}

/// The user's data in commands that are started in `folder`: outside of it, as it is for people, and the same for a
/// folder inside of it.
pub fn data(folder: &Path) -> PathBuf {
    let name = folder.strip_prefix(TEMPORARY).expect("a folder of a test").components().next();
    let name = name.expect("a folder in the temporary one").as_os_str().to_string_lossy().into_owned();
    Path::new(TEMPORARY).join(name + ".data")
}

/// `program` with `arguments`, to be started in `folder`.
pub fn command(program: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for variable in UNSET {
        command.env_remove(variable);
    }
    command.env("XDG_DATA_HOME", data(folder));
    command
}

/// Waits for what was started with piped streams. A command that does not end is one that failed.
#[track_caller]
pub fn ended(command: &mut Command) -> Ended {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    output(child)
}

/// Waits for `child`.
#[track_caller]
pub fn output(child: Child) -> Ended {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the command ends");
    let text = |bytes| String::from_utf8(bytes).expect("text in UTF-8");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Starts the command, reads a line of what it prints, and goes away. It must not complain; the exit code remains.
#[track_caller]
pub fn first_line(command: &mut Command) -> (String, Option<i32>) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the command starts");
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(64, child.stdout.take().expect("a pipe"));
    reader.read_line(&mut line).expect("a line");
    drop(reader);
    let ended = output(child);
    assert_eq!(ended.stderr, "");
    (line, ended.code)
}

/// Waits until `condition` holds, for up to 20 seconds.
#[track_caller]
pub fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not come to that");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal, as Ctrl-C sends `INT`.
#[track_caller]
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
}

/// The names of the files in `folder`, in order.
#[track_caller]
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
