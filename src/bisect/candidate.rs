//! A commit under test: how it is built, and how programs are started for it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Stop;
use super::child::{self, Ended};
use super::judgement::{Cause, Failed};
use super::state::{Folder, Place};
use super::steps::Steps;
use super::worktree::Worktree;
use crate::exit::Refusal;
use crate::git::{Commit, without_repository};
use crate::output::Line;
use crate::words::parse_span;

/// What stands for the schedule's path in a command.
pub const SCHEDULE: &str = "{schedule}";
/// The variable that says where the build folder is.
pub const TARGET: &str = "CARGO_TARGET_DIR";
/// What a build says when the machine is the reason that it failed, and not the commit.
const OF_THE_MACHINE: [&str; 7] = [
    "No space left on device",
    "(os error 28)",
    "signal: 9, SIGKILL",
    "failed to download",
    "failed to get",
    "Could not resolve host",
    "spurious network error",
];
/// What a program may print: more is an endless loop, which would fill the disk.
const OUTPUT_BYTES_MAX: u64 = 1 << 30;
/// The folder with the programs that were built.
const PROGRAMS: &str = "programs";
/// How many lines of a failed build are told.
const LINES: usize = 5;

/// Flags for how commits are built and run.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Recipe {
    /// Build each commit with this command of the shell, in its worktree [default: cargo's release
    /// build of `vertebra`; with --run, nothing]
    #[arg(long, value_name = "COMMAND", help_heading = "The commits")]
    pub build: Option<String>,
    /// Run the schedule, whose path stands for `{schedule}`, with this command of the shell
    /// [default: `vertebra replay` of the commit]
    #[arg(long, value_name = "COMMAND", help_heading = "The commits")]
    pub run: Option<String>,
    /// Tell a run event by event with this command, for the comparison at the end [default: that of --run]
    #[arg(long, value_name = "COMMAND", help_heading = "The commits", requires = "run")]
    pub trace: Option<String>,
    /// Skip a commit of which a run takes longer
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_span, help_heading = "The commits")]
    pub timeout: Duration,
}

impl Recipe {
    /// Refuses commands that would not run the schedule.
    pub fn check(&self) -> Result<(), Refusal> {
        for (flag, command) in [("--run", &self.run), ("--trace", &self.trace)] {
            let Some(command) = command else { continue };
            if !command.contains(SCHEDULE) {
                let reason = "must stand where the schedule's path belongs";
                return Err(Refusal::new(format!("{flag}: {SCHEDULE} {reason}")));
            }
            if ['"', '\''].iter().any(|quote| command.contains(&format!("{quote}{SCHEDULE}{quote}"))) {
                let reason = "is quoted for the shell as it is; leave out the quotes around it";
                return Err(Refusal::new(format!("{flag}: {SCHEDULE} {reason}")));
            }
        }
        Ok(())
    }
}

/// Where commits are built and run, one after the other.
pub struct Bench<'a> {
    pub recipe: &'a Recipe,
    pub worktree: &'a Worktree<'a>,
    pub folder: &'a Folder,
    pub place: Place,
    pub stop: &'a AtomicBool,
    pub steps: Steps,
    /// The hash of the commit that stands built in the worktree.
    pub built: Option<String>,
}

impl Bench<'_> {
    /// Builds a commit, unless it is built.
    pub fn build(&mut self, commit: &Commit) -> Result<(), Failed> {
        let keeps_program = self.recipe.run.is_none();
        let is_built = self.built.as_ref() == Some(&commit.hash);
        if is_built || keeps_program && self.program(commit).exists() {
            return Ok(());
        }
        self.built = None;
        self.steps.stage("is checked out");
        self.worktree.check_out(commit)?;
        let built = self.folder.build().join("release/vertebra");
        // That of another commit must not pass for one of this.
        let _ = fs::remove_file(&built);
        if let Some(mut command) = self.build_command() {
            let log = "build.log";
            let errors = self.file(log)?;
            let out = errors.try_clone().map_err(|error| self.place.refuse(log, error))?;
            command.stdout(out).stderr(errors);
            match self.child(commit, "builds", &mut command, None, log)? {
                Ended::Exited(status) if status.success() => {}
                _ => return Err(self.no_build(commit, log)),
            }
        }
        if keeps_program {
            self.keep_program(commit, &built)?;
        }
        self.built = Some(commit.hash.clone());
        Ok(())
    }

    fn no_build(&self, commit: &Commit, log: &str) -> Failed {
        let text =
            String::from_utf8_lossy(&fs::read(self.place.path.join(log)).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        // Compilers say what is wrong first, and most other programs last.
        let first = lines.iter().position(|line| line.starts_with("error"));
        let told = lines.iter().skip(first.unwrap_or(lines.len().saturating_sub(LINES))).take(LINES);
        let told: Vec<&str> = told.copied().collect();
        match of_the_machine(&text) {
            Some(line) => {
                Refusal::new(format!("{commit} cannot be built on this machine now: {line}")).into()
            }
            None if told.is_empty() => Failed::skip(Cause::NoBuild, "its build fails and prints nothing"),
            None => Failed::skip(Cause::NoBuild, told.join("\n")),
        }
    }

    /// The program of each commit is kept until the end, where two of them are run again.
    fn keep_program(&self, commit: &Commit, built: &Path) -> Result<(), Failed> {
        let program = self.program(commit);
        let name = program.strip_prefix(&self.place.path).unwrap_or(&program).display().to_string();
        let refuse = |error: std::io::Error| self.place.refuse(&name, error);
        if !built.exists() {
            let reason = "its build leaves no release/vertebra in the build folder, CARGO_TARGET_DIR";
            return Err(Failed::skip(Cause::NoCommand, reason));
        }
        let draft = program.with_extension("draft");
        fs::create_dir_all(self.place.path.join(PROGRAMS)).map_err(refuse)?;
        fs::copy(built, &draft).and_then(|_| fs::rename(&draft, &program)).map_err(refuse)?;
        Ok(())
    }

    /// Where the program of a commit is kept.
    pub fn program(&self, commit: &Commit) -> PathBuf {
        self.place.path.join(PROGRAMS).join(format!("vertebra-{}", commit.short()))
    }

    /// Removes the programs of all other commits, each of which is as large as a release build.
    pub fn forget_programs_but(&self, kept: &[&Commit]) {
        let kept: Vec<PathBuf> = kept.iter().map(|commit| self.program(commit)).collect();
        for entry in fs::read_dir(self.place.path.join(PROGRAMS)).into_iter().flatten().flatten() {
            if !kept.contains(&entry.path()) {
                // It costs room, and nothing else.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn build_command(&self) -> Option<Command> {
        match (&self.recipe.build, &self.recipe.run) {
            (Some(build), _) => Some(self.shell(build)),
            // What it takes to build some other system, nobody but the user knows.
            (None, Some(_)) => None,
            (None, None) => {
                let mut command = self.command("cargo");
                command.args(["build", "--release", "--locked", "--bin", "vertebra"]);
                // Set by a cargo that started us, and it would overrule the toolchain that a commit asks for.
                command.env_remove("RUSTUP_TOOLCHAIN");
                Some(command)
            }
        }
    }

    /// `text`, as the shell reads it.
    pub fn shell(&self, text: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", text]);
        command
    }

    /// `program`, to be started where the commit is checked out.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.worktree.path).env(TARGET, self.folder.build());
        // Nobody would see the question.
        command.env("GIT_TERMINAL_PROMPT", "0");
        without_repository(&mut command);
        command
    }

    /// A new file of the question, for what a child prints.
    pub fn file(&self, name: &str) -> Result<File, Refusal> {
        File::create(self.place.path.join(name)).map_err(|error| self.place.refuse(name, error))
    }

    /// Starts `command` for a commit, and waits for its end. What it prints goes to the file `output`.
    pub fn child(
        &mut self,
        commit: &Commit,
        stage: &'static str,
        command: &mut Command,
        limit: Option<Duration>,
        output: &str,
    ) -> Result<Ended, Stop> {
        self.steps.stage(stage);
        command.stdin(self.folder.input()?);
        let output = self.place.path.join(output);
        let goes_on = || {
            self.steps.tick();
            output.metadata().is_ok_and(|file| file.len() <= OUTPUT_BYTES_MAX)
        };
        child::run(command, limit, self.stop, goes_on).map_err(|stop| match stop {
            Stop::Killed(signal) => Refusal::new(format!(
                "{commit}: what {stage} was killed by signal {signal}, which says nothing of the commit; the same \
                 command goes on from here. If it is the commit that does it, let --build or --run end with 125 then"
            ))
            .into(),
            stop => stop,
        })
    }
}

/// The line of what a program printed that tells that the machine is the reason it failed.
pub fn of_the_machine(text: &str) -> Option<String> {
    let line = text.lines().find(|line| OF_THE_MACHINE.iter().any(|sign| line.contains(sign)))?;
    Some(Line(line.trim()).to_string())
}
