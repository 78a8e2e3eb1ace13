//! What is told of a hunt.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::statistics::Estimate;
use super::tally::Tally;
use super::{End, of_trials};
use crate::output::Output;
use crate::words::{Count, Span, counted};

/// The last line of `hunt --json`.
#[derive(Serialize)]
pub struct Summary {
    r#type: &'static str,
    end: End,
    defects: u64,
    found: u64,
    trials: u64,
    wall_time_ms: u64,
    #[serde(skip)]
    wall_time: Duration,
}

impl Summary {
    pub fn new(tallies: &[Tally], end: End, wall_time: Duration) -> Self {
        Self {
            r#type: "summary",
            end,
            defects: tallies.len() as u64,
            found: tallies.iter().filter(|tally| tally.found > 0).count() as u64,
            trials: tallies.iter().map(|tally| tally.trials).sum(),
            wall_time_ms: u64::try_from(wall_time.as_millis()).unwrap_or(u64::MAX),
            wall_time,
        }
    }
}

#[derive(Serialize)]
struct TallyLine<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    tally: &'a Tally,
}

/// As JSON.
pub fn json(out: &mut Output, tallies: &[Tally], summary: &Summary) {
    for tally in tallies {
        out.json(&TallyLine { r#type: "defect", tally });
    }
    out.json(summary);
}

/// As people read it.
pub fn text(out: &mut Output, tallies: &[Tally], summary: &Summary, seeds: u64) {
    let width = tallies.iter().map(|tally| tally.name.len()).max().unwrap_or_default().max(6);
    let head = format!(
        "{:width$}  {:>7}  {:>22}  {:>26}  {:>8}  {:>9}  first to fire",
        "defect", "found", "seeds", "time of a core", "expected", "profiles"
    );
    out.line(format_args!("{}", out.paint(Style::new().bold(), head)));
    for tally in tallies {
        let style = match tally.found {
            0 => AnsiColor::Red.on_default().bold(),
            found if found < tally.trials => AnsiColor::Yellow.on_default(),
            _ => AnsiColor::Green.on_default(),
        };
        let found =
            out.paint(style, format!("{:>7}", format!("{}/{}", tally.found, tally.trials))).to_string();
        let expected = match tally.named[..] {
            [] => "-".to_owned(),
            _ => format!("{}/{}", tally.expected, tally.found),
        };
        let style = if tally.is_as_expected() { Style::new() } else { AnsiColor::Red.on_default() };
        let expected = out.paint(style, format!("{expected:>8}")).to_string();
        out.line(format_args!(
            "{:width$}  {found}  {:>22}  {:>26}  {expected}  {:>9}  {}",
            tally.name,
            interval(&tally.seeds, seeds_shown),
            interval(&tally.cpu_ns, time_shown),
            format!("{:.2} %", tally.profiles_share * 100.0),
            tally.firsts(),
        ));
        for seed in &tally.not_clean {
            let said = out.paint(AnsiColor::Red.on_default().bold(), "fails without it too");
            out.line(format_args!("{:width$}  seed {seed} {said}", ""));
        }
    }
    let Summary { end, defects, found, trials, .. } = *summary;
    let end = match end {
        End::All => "",
        End::Time => ", ended by --time",
        End::Interrupt => ", interrupted",
    };
    out.line(format_args!(""));
    out.line(format_args!(
        "{} of {} found in {} of {} at most, {}{end}",
        Count(found),
        counted(defects, "defect"),
        counted(trials, "trial"),
        counted(seeds, "seed"),
        Span(summary.wall_time),
    ));
    if let Some((tally, seed)) = tallies.iter().find_map(|tally| Some((tally, tally.example?))) {
        let flags: String = tally.name.split('+').map(|name| format!(" --defect {name}")).collect();
        out.line(format_args!("reproduce  vertebra replay {seed}{flags}"));
    }
    for tally in tallies.iter().filter(|tally| tally.found == 0 && tally.trials > 0) {
        let red = out.paint(AnsiColor::Red.on_default().bold(), "not found").to_string();
        out.line(format_args!("{red}  {} in {}", tally.name, of_trials(0, tally.trials)));
    }
}

/// `median (low-high)`.
pub fn interval(estimate: &Estimate, shown: fn(f64) -> String) -> String {
    let Estimate { median, low, high } = *estimate;
    let median = median.map_or_else(|| "longer".to_owned(), shown);
    match (low, high) {
        (None, None) => median,
        (low, high) => {
            let [low, high] = [low, high].map(|end| end.map_or_else(|| "?".to_owned(), shown));
            format!("{median} ({low} to {high})")
        }
    }
}

pub fn seeds_shown(seeds: f64) -> String {
    Count(seeds.round() as u64).to_string()
}

pub fn time_shown(nanoseconds: f64) -> String {
    Span(Duration::from_nanos(nanoseconds as u64)).to_string()
}
