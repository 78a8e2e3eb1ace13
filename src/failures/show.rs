//! Everything about one.

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use vertebra_sim::Instant;
use vertebra_sim::ledger::{Example, Finding, Occurrence, State};

use super::list::{FindingLine, style};
use super::{Common, command, short};
use crate::Subject;
use crate::exit::{Outcome, Refusal};
use crate::ledger::{Place, finding};
use crate::output::{Line, Output};
use crate::words::{Count, counted};

/// Seeds that are told.
const SEEDS_MAX: u64 = 10;

/// Flags of `vertebra failures show`.
#[derive(Args, Debug)]
pub struct Flags {
    /// Which, by its id or what that begins with
    #[arg(value_name = "ID")]
    id: String,
    /// Print the schedule of one of its failures, and nothing else
    #[arg(long)]
    schedule: bool,
}

pub fn show<S: Subject>(flags: &Flags, common: &Common) -> Result<Outcome, Refusal> {
    let ledger = common.place.read::<S>()?;
    let finding = finding(&ledger, &flags.id)?;
    let example = ledger.example(&finding)?;
    let (seeds, seeds_all) = ledger.seeds_of(&finding.id, SEEDS_MAX)?;
    let mut out = Output::stdout();
    match (&example, flags.schedule) {
        (Some(example), true) => out.line(format_args!("{}", example.schedule.trim_end())),
        (None, true) => return Err(Refusal::new(format!("no schedule of {} is kept", finding.id))),
        (_, false) if common.json => out.json(&ShownLine {
            finding: FindingLine::new::<S>(&finding, &common.place),
            example: example.as_ref(),
            seeds,
        }),
        (_, false) => {
            let command = command::<S>(&finding, &common.place);
            tell(&mut out, &finding, example.as_ref(), (&seeds, seeds_all), &command, &common.place);
        }
    }
    out.finish()?;
    Ok(Outcome::Pass)
}

/// What `failures show --json` prints.
#[derive(Serialize)]
struct ShownLine<'a> {
    #[serde(flatten)]
    finding: FindingLine<'a>,
    /// One of its failures: the first that the last build to have it recorded.
    example: Option<&'a Example>,
    /// The first few of its seeds.
    seeds: Vec<u64>,
}

fn tell(
    out: &mut Output,
    finding: &Finding,
    example: Option<&Example>,
    (seeds, seeds_all): (&[u64], u64),
    command: &str,
    place: &Place,
) {
    let Finding { id, state, signature, oracle, clause, profile, failures, first, last, seen, .. } = finding;
    out.line(format_args!("failure    {id}"));
    let painted = out.paint(style(*state), state).to_string();
    out.line(format_args!("state      {painted}: {}", reason(finding)));
    out.line(format_args!("signature  {}", Line(signature)));
    out.line(format_args!("oracle     {}", Line(oracle)));
    out.line(format_args!("clause     {}", Line(clause)));
    if !profile.is_empty() {
        out.line(format_args!("under      {profile}"));
    }
    if let Some(example) = example {
        let at = Instant::from_nanos(example.at_ns);
        out.line(format_args!("example    seed {} at {at} s, digest {}", example.seed, example.digest));
        for line in example.detail.lines() {
            out.line(format_args!("           {}", Line(line)));
        }
    }
    out.line(format_args!("seen       {} in {}", counted(*failures, "failure"), counted(seen.seeds, "seed")));
    let listed: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let more = match seeds_all.saturating_sub(seeds.len() as u64) {
        0 => String::new(),
        more => format!(" and {} more", Count(more)),
    };
    out.line(format_args!("seeds      {}{more}", listed.join(", ")));
    for (name, Occurrence { seed, commit, began_ms, .. }) in [("first", first), ("last", last)] {
        let began = chrono::DateTime::from_timestamp_millis(*began_ms);
        let began =
            began.map_or(String::new(), |began| format!(", sweep of {}", began.format("%Y-%m-%d %H:%M UTC")));
        out.line(format_args!("{name:<9}  seed {seed}, {}{began}", short(commit)));
    }
    out.line(format_args!("reproduce  {}", out.paint(Style::new().bold(), Line(command))));
    if example.is_some() {
        out.line(format_args!("schedule   vertebra failures show {id} --schedule{}", place.flag()));
    }
}

/// Why it is in its state.
fn reason(finding: &Finding) -> String {
    let Finding { state, is_closed, is_back, seeds_since, expected_since, .. } = finding;
    let since = counted(*seeds_since, "seed");
    let expected = format!("{expected_since:.1} failures were to be expected");
    match state {
        _ if *is_closed => "closed, and not seen since".to_owned(),
        State::New | State::Ongoing if *is_back => "closed before, and seen again".to_owned(),
        State::New => "no build before the latest had it".to_owned(),
        State::Ongoing => "the latest build has it, as one before had".to_owned(),
        State::Rare => {
            format!("not seen in {since} after that, where {expected}: too few to say that it is gone")
        }
        State::Resolved => format!("not seen in {since} after that, where {expected}"),
    }
}
