//! Runs a command under callgrind, and reads from its output where the instructions went.
//!
//! The output names, for each function, what it cost itself by source line (lines of inlined functions under the file
//! that these stand in) and what each of its calls cost, callees included. A part of the program therefore cost what
//! the calls into it cost, and what its lines cost where they were inlined into the rest.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Instructions, in total and of two parts of the program.
pub struct Profile {
    pub total: u64,
    /// What a sweep judges by: history, observer and oracles.
    pub oracles: u64,
    /// What makes two runs comparable: the hash over every event.
    pub digest: u64,
}

pub fn is_installed() -> bool {
    let version =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Counts the instructions of `command`; callgrind's output stays in `out` for whoever wants to know more.
pub fn run(command: &Command, out: &Path) -> Result<Profile, String> {
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !valgrind.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&valgrind.stderr)));
    }
    let text = std::fs::read_to_string(out).map_err(|error| format!("{}: {error}", out.display()))?;
    read(&text).ok_or_else(|| format!("{}: callgrind wrote no total", out.display()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Oracles,
    Digest,
    Rest,
}

impl Part {
    fn of_function(name: &str) -> Self {
        let oracles = ["vertebra_model::oracle", "vertebra_model::observer", "vertebra_model::history"];
        if oracles.iter().any(|module| name.contains(module)) {
            Self::Oracles
        } else if ["vertebra_sim::trace", "as core::hash::Hash>::hash", "xxh3_stateful"]
            .iter()
            .any(|function| name.contains(function))
        {
            Self::Digest
        } else {
            Self::Rest
        }
    }

    fn of_file(path: &str) -> Self {
        let oracles = ["model/src/oracle/", "model/src/observer", "model/src/history"];
        if oracles.iter().any(|file| path.contains(file)) {
            Self::Oracles
        } else if path.contains("sim/src/trace.rs") {
            Self::Digest
        } else {
            Self::Rest
        }
    }
}

/// Names are written once, behind a number that stands for them from then on.
#[derive(Default)]
struct Names<'a>(HashMap<&'a str, Part>);

impl<'a> Names<'a> {
    fn part(&mut self, text: &'a str, part: fn(&str) -> Part) -> Part {
        match text.split_once(' ') {
            Some((number, name)) => *self.0.entry(number).or_insert_with(|| part(name)),
            None => self.0.get(text).copied().unwrap_or(Part::Rest),
        }
    }
}

fn read(text: &str) -> Option<Profile> {
    let (mut functions, mut files) = (Names::default(), Names::default());
    let (mut function, mut file, mut callee) = (Part::Rest, Part::Rest, Part::Rest);
    let mut is_call = false;
    let mut profile = Profile { total: 0, oracles: 0, digest: 0 };
    for line in text.lines() {
        match line.split_once('=') {
            Some(("fn", name)) => function = functions.part(name, Part::of_function),
            Some(("cfn", name)) => callee = functions.part(name, Part::of_function),
            Some(("fl" | "fi" | "fe", name)) => file = files.part(name, Part::of_file),
            // Named here for the first time, perhaps.
            Some(("cfi" | "cfl", name)) => _ = files.part(name, Part::of_file),
            Some(("calls", _)) => is_call = true,
            _ if line.starts_with(|first: char| first.is_ascii_digit()) => {
                let instructions: u64 = line.split(' ').nth(1)?.parse().ok()?;
                let called = std::mem::take(&mut is_call);
                if !called {
                    profile.total += instructions;
                }
                // What happens within a part was counted where the part was entered.
                let part = match function {
                    Part::Rest if called && callee != Part::Rest => callee,
                    Part::Rest => file,
                    _ => continue,
                };
                match part {
                    Part::Oracles => profile.oracles += instructions,
                    Part::Digest => profile.digest += instructions,
                    Part::Rest => {}
                }
            }
            _ => {}
        }
    }
    (profile.total > 0).then_some(profile)
}
