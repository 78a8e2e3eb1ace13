//! What the README and the book show is what the command does.
//!
//! In a block marked `console`, each line after `$ ` is a command. It is run, and what it prints must be what stands
//! below it, if anything does. A block marked `console,exit=1` holds commands that end with that code. `cargo run
//! --release --` stands for the command itself; other programs that cargo runs are run as the tests built them.
//!
//! `UPDATE_BOOK=1 cargo test --test book` writes what is printed now into the files.

use std::fs;
use std::path::{Path, PathBuf};

use support::folder;
use vertebra_model::Etcd;
use vertebra_sim::schedule_of;

mod support;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Without `--release`, which would build everything once more.
const CARGO_RUN: &str = concat!(
    "'",
    env!("CARGO"),
    "' --config '",
    env!("CARGO_MANIFEST_DIR"),
    // Where cargo looks for it by itself lies above the folder in which a page's commands run, if the target folder does.
    "/.cargo/config.toml' run --quiet --manifest-path '",
    env!("CARGO_MANIFEST_DIR"),
    "/Cargo.toml'"
);

/// The pages in which commands stand.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = fs::read_dir(Path::new(ROOT).join("book/src"))
        .expect("the book is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(Path::new(ROOT).join("README.md"));
    pages.sort();
    pages
}

/// What a command prints on both streams, after a look at its exit code.
fn output(folder: &Path, command: &str, code: i32) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_vertebra"));
    let bin = program.parent().expect("a program is in a folder").display();
    let script = format!("PATH='{bin}':$PATH; exec 2>&1; {command}");
    let ended = support::ended(&mut support::command(Path::new("bash"), folder, &["-c", &script]));
    assert_eq!(ended.code, Some(code), "`{command}` printed\n{}", ended.stdout);
    ended.stdout
}

/// A line as far as it does not depend on how fast the machine is.
fn lasting(line: &str) -> &str {
    let is_timed = line.contains("seeds/s") || line.contains(" candidates in ");
    let end = line.find(" in ").filter(|_| is_timed);
    let end = end.or_else(|| line.find(" (").filter(|_| line.contains("times real time")));
    // Nor on the commit that was built, and the day.
    let end = end.or_else(|| line.find(" at commit ").or_else(|| line.find(" at an unknown commit")));
    let end = end.or_else(|| line.find(", commit ").or_else(|| line.find(", an unknown commit")));
    line[..end.unwrap_or(line.len())].trim_end()
}

/// Whether a line says how far the command is: only slow machines print those.
fn is_progress(line: &str) -> bool {
    let counts = line.split_once(' ').and_then(|(counts, _)| counts.split_once('/'));
    counts.is_some_and(|(done, all)| [done, all].iter().all(|count| count.parse::<u64>().is_ok()))
}

/// The page as it should be: with what its commands print.
fn refreshed(text: &str, folder: &Path) -> String {
    let mut lines = text.lines().peekable();
    let mut page = String::new();
    let mut keep = |line: &str| {
        page.push_str(line);
        page.push('\n');
    };
    while let Some(line) = lines.next() {
        keep(line);
        let Some(options) = line.strip_prefix("```console") else { continue };
        let code = options.strip_prefix(",exit=").map_or(0, |code| code.parse().expect("an exit code"));
        while let Some(line) = lines.next_if(|line| *line != "```") {
            keep(line);
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("`{line}` belongs to no command"));
            let mut shown = Vec::new();
            while let Some(line) = lines.next_if(|line| *line != "```" && !line.starts_with("$ ")) {
                shown.push(line);
            }
            let command = command
                .replace("cargo run --release -- ", "vertebra ")
                .replace("cargo run --release", CARGO_RUN);
            let printed = output(folder, &command, code);
            if shown.is_empty() {
                continue;
            }
            for (number, line) in printed.lines().filter(|line| !is_progress(line)).enumerate() {
                // What the page says of the speed is kept: it was measured with more care than here.
                let known = shown.get(number).filter(|shown| lasting(shown) == lasting(line));
                keep(known.copied().unwrap_or(line.trim_end()));
            }
        }
    }
    page
}

#[test]
fn every_command_prints_what_the_page_says() {
    let folder = folder("book");
    for name in ["book", "seeds"] {
        std::os::unix::fs::symlink(Path::new(ROOT).join(name), folder.join(name)).expect("a link");
    }
    let update = std::env::var_os("UPDATE_BOOK").is_some();
    let mut stale = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let new = refreshed(&text, &folder);
        if update {
            fs::write(&page, &new).expect("a page");
        }
        let differences = text.lines().zip(new.lines()).filter(|(old, new)| old != new);
        stale.extend(
            differences
                .take(3)
                .map(|(old, new)| format!("{}\n  says:    {old}\n  is now:  {new}", page.display())),
        );
        if text.lines().count() != new.lines().count() {
            stale.push(format!("{}: more or fewer lines are printed now", page.display()));
        }
    }
    assert!(
        update || stale.is_empty(),
        "{}\n`UPDATE_BOOK=1 cargo test --test book` writes what is printed now",
        stale.join("\n")
    );
}

#[test]
fn the_schedule_with_every_fault_has_every_kind_that_is_generated() {
    let file = Path::new(ROOT).join("book/schedules/every-fault.toml");
    let text = fs::read_to_string(file).expect("the schedule");
    for seed in 0..300 {
        let schedule = schedule_of::<Etcd>(seed, |_| ()).expect("drawn options make sense");
        for fault in schedule.faults {
            let kind = format!("kind = \"{}\"", fault.fault.kind());
            assert!(text.contains(&kind), "there is no fault with {kind}");
        }
    }
}
