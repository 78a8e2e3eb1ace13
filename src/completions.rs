//! `vertebra completions`: what a shell needs to complete the command line.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::exit::{Outcome, Refusal};
use crate::output::Output;
use crate::{Subject, arguments};

/// Flags of `vertebra completions`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  vertebra completions bash > ~/.local/share/bash-completion/completions/vertebra
  vertebra completions zsh > ~/.zfunc/_vertebra
  vertebra completions fish > ~/.config/fish/completions/vertebra.fish")]
pub struct Flags {
    /// The shell
    shell: Shell,
}

/// Prints the completions for a shell.
pub fn completions<S: Subject>(flags: &Flags) -> Result<Outcome, Refusal> {
    // Into memory first: clap_complete panics when it cannot write, as on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut arguments::command::<S>(), "vertebra", &mut script);
    let mut out = Output::stdout();
    let _ = out.write_all(&script);
    out.finish()?;
    Ok(Outcome::Pass)
}
