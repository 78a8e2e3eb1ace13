//! The list.

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;
use vertebra_sim::ledger::{Finding, State};

use super::{Common, command, short, state_parser};
use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::ledger::Place;
use crate::output::{Line, Output};
use crate::words::{Count, counted};

/// Flags of `vertebra failures list`.
#[derive(Args, Debug)]
pub struct Listing {
    /// Only those in one of these states; may be repeated
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = state_parser())]
    states: Vec<State>,
}

pub fn list<S: Subject>(flags: &Listing, common: &Common) -> Result<Outcome, Refusal> {
    let ledger = common.place.read::<S>()?;
    let mut findings = ledger.findings()?;
    findings.retain(|finding| flags.states.is_empty() || flags.states.contains(&finding.state));
    let mut out = Output::stdout();
    for finding in &findings {
        match common.json {
            true => out.json(&FindingLine::new::<S>(finding, &common.place)),
            false => tell(&mut out, finding, &command::<S>(finding, &common.place)),
        }
    }
    if !common.json {
        tell_sums(&mut out, &findings, !flags.states.is_empty(), ledger.totals()?.seeds);
    }
    out.finish()?;
    Ok(Outcome::Pass)
}

/// A line of `failures --json`.
#[derive(Serialize)]
pub struct FindingLine<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
    /// The command that runs one of its failures again.
    command: String,
}

impl<'a> FindingLine<'a> {
    pub fn new<S: Subject>(finding: &'a Finding, place: &Place) -> Self {
        Self { r#type: "finding", finding, command: command::<S>(finding, place) }
    }
}

/// In which colour a state is shown.
pub fn style(state: State) -> Style {
    let colour = match state {
        State::New => AnsiColor::Red,
        State::Ongoing => AnsiColor::Yellow,
        State::Rare => AnsiColor::Magenta,
        State::Resolved => AnsiColor::Green,
    };
    colour.on_default().bold()
}

fn tell(out: &mut Output, finding: &Finding, command: &str) {
    let Finding { id, state, signature, failures, first, last, .. } = finding;
    let shown = out.paint(style(*state), format_args!("{state:<8}")).to_string();
    out.line(format_args!("{id}  {shown}  {}", Line(signature)));
    let (failures, first_commit, last_commit) =
        (counted(*failures, "failure"), short(&first.commit), short(&last.commit));
    let where_seen = match first_commit == last_commit {
        true if first.seed == last.seed => format!("seed {} at {first_commit}", first.seed),
        true => format!("seed {} to {} at {first_commit}", first.seed, last.seed),
        false => format!("seed {} at {first_commit} to seed {} at {last_commit}", first.seed, last.seed),
    };
    out.line(format_args!("           {failures}, {where_seen}"));
    let bold = out.paint(Style::new().bold(), Line(command)).to_string();
    out.line(format_args!("           {bold}\n"));
}

fn tell_sums(out: &mut Output, findings: &[Finding], is_chosen: bool, seeds: u64) {
    let seeds = counted(seeds, "seed");
    if findings.is_empty() {
        let such = if is_chosen { "such failure" } else { "failure" };
        return out.line(format_args!("no {such} in {seeds}"));
    }
    let states = State::ALL.into_iter().filter_map(|state| {
        let count = findings.iter().filter(|finding| finding.state == state).count();
        (count > 0).then(|| format!("{} {state}", Count(count as u64)))
    });
    let states: Vec<String> = states.collect();
    let kinds = counted(findings.len() as u64, "kind");
    out.line(format_args!("{kinds} of failure in {seeds}: {}", states.join(", ")));
}
