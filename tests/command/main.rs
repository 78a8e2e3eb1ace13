//! The command from end to end, over a system that is made for it.
//!
//! The command that is tested must run the test's own system, also in the processes that `--twice` starts. So this
//! binary is both: started with `VERTEBRA_ECHO` in its environment, it is the command.

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::Arguments;

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod bisect;
mod bisect_refused;
mod corpus;
mod coverage;
mod determinism;
mod diff;
mod echo;
mod failures;
mod help;
mod hunt;
mod interrupt;
mod ledger;
mod replay;
mod repository;
mod shrink;
mod streams;
mod sweep;
mod triage;

use support::Ended;

const IS_COMMAND: &str = "VERTEBRA_ECHO";

/// The tests of a module, by their names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub fn tests() -> Vec<libtest_mimic::Trial> {
            vec![$(libtest_mimic::Trial::test(concat!(module_path!(), "::", stringify!($name)), || {
                $name();
                Ok(())
            })),*]
        }
    };
}
use tests;

/// The command over [`echo::Echo`], to be started in `folder`.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let program = std::env::current_exe().expect("this binary has a path");
    let mut command = support::command(&program, folder, arguments);
    command.env(IS_COMMAND, "1");
    command
}

/// Runs the command in `folder`.
#[track_caller]
fn vertebra(folder: &Path, arguments: &[&str]) -> Ended {
    support::ended(&mut command(folder, arguments))
}

fn main() -> ExitCode {
    if std::env::var_os(IS_COMMAND).is_some() {
        return vertebra::main::<echo::Echo>();
    }
    let modules = [
        bad_input::tests(),
        bisect::tests(),
        bisect_refused::tests(),
        corpus::tests(),
        coverage::tests(),
        determinism::tests(),
        diff::tests(),
        failures::tests(),
        help::tests(),
        hunt::tests(),
        interrupt::tests(),
        ledger::tests(),
        replay::tests(),
        shrink::tests(),
        streams::tests(),
        sweep::tests(),
        triage::tests(),
    ];
    libtest_mimic::run(&Arguments::from_args(), modules.into_iter().flatten().collect()).exit_code()
}
