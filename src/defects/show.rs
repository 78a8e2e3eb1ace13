//! One, explained.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use vertebra_sim::schedule::Schedule;

use crate::exit::{Outcome, Refusal};
use crate::output::{Line, Output};
use crate::shrink::Story;
use crate::words::wrapped;
use crate::{Planted, Subject};

/// Where the schedules are that show each of them.
const FOLDER: &str = "seeds/defects";

/// Flags of `vertebra defects show`.
#[derive(Args, Debug)]
pub struct Flags {
    /// Which
    #[arg(value_name = "NAME")]
    name: String,
}

/// What `--json` tells.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    planted: &'a Planted,
    schedule: Option<&'a Path>,
    timeline: Vec<String>,
}

pub fn show<S: Subject>(flags: &Flags, json: bool) -> Result<Outcome, Refusal> {
    let all = S::defects();
    let Some(planted) = all.iter().find(|planted| planted.name == flags.name) else {
        return Err(unknown(&flags.name, &all));
    };
    let path = PathBuf::from(FOLDER).join(format!("{}.toml", planted.name));
    let timeline = match fs::read(&path) {
        Ok(bytes) => {
            let schedule =
                Schedule::<S::Options>::read(&path.display().to_string(), &bytes, S::NAME, S::shape);
            Story::of::<S>(&schedule.map_err(|error| Refusal::new(error.to_string()))?).0.lines
        }
        // Nothing is kept of it here.
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Refusal::new(format!("{}: {error}", path.display()))),
    };
    let mut out = Output::stdout();
    if json {
        let schedule = (!timeline.is_empty()).then_some(&*path);
        out.json(&Shown { planted, schedule, timeline });
    } else {
        tell(&mut out, planted, &path, &timeline);
    }
    out.finish()?;
    Ok(Outcome::Pass)
}

fn unknown(name: &str, all: &[Planted]) -> Refusal {
    let like: Vec<_> = all.iter().map(|planted| planted.name).filter(|known| known.contains(name)).collect();
    Refusal::new(match like.is_empty() {
        true => format!("there is no defect `{name}`; `vertebra defects` lists them"),
        false => format!("there is no defect `{name}`; is it one of these: {}", like.join(", ")),
    })
}

fn tell(out: &mut Output, planted: &Planted, path: &Path, timeline: &[String]) {
    let Planted { name, title, class, references, versions, mechanism, oracles, .. } = planted;
    out.line(format_args!("{}", out.paint(Style::new().bold(), name)));
    out.line(format_args!("  {title}"));
    for (head, text) in [
        ("class", (*class).to_owned()),
        ("seen in", references.join(", ")),
        ("versions", (*versions).to_owned()),
        ("seen by", oracles.join(", ")),
    ] {
        if !text.is_empty() {
            out.line(format_args!("  {head:<9} {text}"));
        }
    }
    if !mechanism.is_empty() {
        out.line(format_args!(""));
        wrapped(mechanism, 96).iter().for_each(|line| out.line(format_args!("  {line}")));
    }
    out.line(format_args!(""));
    if timeline.is_empty() {
        out.line(format_args!("find it    vertebra sweep --defect {name} --fail-fast"));
    } else {
        out.line(format_args!("what happens in {}", path.display()));
        timeline.iter().for_each(|line| out.line(format_args!("{}", Line(line))));
        out.line(format_args!(""));
        out.line(format_args!("replay     vertebra replay {}", path.display()));
    }
}
