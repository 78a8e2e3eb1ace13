//! `replay --twice`: the same run in two processes, compared as they tell it.
//!
//! Two processes, since what differs between runs is most often what differs between processes: addresses, the
//! keys of hash maps, what an earlier run left in a global.

use std::path::Path;
use std::process::Command;

use anstyle::AnsiColor;
use serde::Serialize;

use super::{Ending, Flags};
use crate::divergence::{By, Comparison, ComparisonLine, Told};
use crate::exit::Refusal;
use crate::output::Output;
use crate::words::counted;

/// A line of `replay --twice --json`.
#[derive(Serialize)]
struct TwiceLine<'a> {
    #[serde(flatten)]
    comparison: ComparisonLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    /// What shows the difference again.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// Runs the schedule of `flags` in two processes of `program`, and tells whether they differ and where. If they do
/// not, their common verdict is still to be told.
///
/// # Errors
///
/// If a process cannot be started, or ends without a verdict and does so as the other one does.
pub fn twice(program: &Path, flags: &Flags, out: &mut Output) -> Result<Option<Ending>, Refusal> {
    let start = || Told::by(Command::new(program).args(flags.source.told_as_json(&flags.context)));
    let (mut first, mut second) = (start()?, start()?);
    let comparison = Comparison::new(&mut first, &mut second, By::Line)?;
    if !comparison.is_equal() {
        tell_difference(out, flags, &comparison);
        return Ok(None);
    }
    let Some(ending) = comparison.ending() else {
        return Err(Refusal::new(format!("both runs ended without a verdict ({})", first.status())));
    };
    if flags.json {
        let digest = Some(ending.digest.as_str());
        out.json(&TwiceLine { comparison: comparison.line(true), digest, command: None });
    } else {
        let equal = out.paint(AnsiColor::Green.on_default().bold(), "equal").to_string();
        let events = counted(comparison.events, "event");
        out.line(format_args!("{equal}      two processes told the same {events}"));
    }
    Ok(Some(ending))
}

fn tell_difference(out: &mut Output, flags: &Flags, comparison: &Comparison) {
    let command = format!("{} --twice", flags.source.command("vertebra", &flags.context));
    if flags.json {
        return out.json(&TwiceLine {
            comparison: comparison.line(false),
            digest: None,
            command: Some(command),
        });
    }
    comparison.tell(out, ["The first run", "The second run"], "non-determinism");
    out.line(format_args!("reproduce  {command}"));
}
