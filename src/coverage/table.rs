//! What runs reached, as tables: of the marks, of the failpoints, and of the kinds of faults.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use vertebra_sim::coverage::{Coverage, FailpointTally, FaultTally, MarkTally, Standing};

use crate::output::Output;
use crate::words::{Count, counted};

/// As JSON and people have it.
fn name(standing: Standing) -> &'static str {
    match standing {
        Standing::Reached => "reached",
        Standing::Missing => "missing",
        Standing::Dormant => "dormant",
    }
}

fn style(standing: Standing) -> Style {
    match standing {
        Standing::Reached => AnsiColor::Green.on_default(),
        Standing::Missing => AnsiColor::Red.on_default().bold(),
        Standing::Dormant => Style::new().dimmed(),
    }
}

/// A table: titles, and rows of which each has a standing, where it has one.
struct Table {
    title: String,
    columns: &'static [&'static str],
    rows: Vec<(Option<Standing>, Vec<String>)>,
}

/// So many of a thousand seeds, with the digits that matter.
fn per_thousand(count: u64, seeds: u64) -> String {
    let rate = count as f64 * 1_000.0 / seeds.max(1) as f64;
    match rate {
        0.0 => "0".to_owned(),
        100.0.. => Count(rate.round() as u64).to_string(),
        10.0.. => format!("{rate:.1}"),
        _ => format!("{rate:.2}"),
    }
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => format!("{:.0} %", part as f64 * 100.0 / whole as f64),
    }
}

fn tables(coverage: &Coverage) -> [Table; 3] {
    let Coverage { seeds, marks, failpoints, faults } = coverage;
    let title = |what: &str| format!("{what}, over {}; numbers are per 1,000 seeds", counted(*seeds, "seed"));
    let mark = |(name, tally): (_, &MarkTally)| {
        let MarkTally { possible, runs, hits } = *tally;
        let standing = tally.standing();
        let row = [percent(possible, *seeds), per_thousand(runs, *seeds), per_thousand(hits, *seeds), name];
        (Some(standing), row.to_vec())
    };
    let failpoint = |(name, tally): (_, &FailpointTally)| {
        let FailpointTally { runs, passed, struck, crashed } = *tally;
        let numbers = [runs, passed, struck, crashed].map(|count| per_thousand(count, *seeds));
        (Some(tally.standing()), numbers.into_iter().chain([name]).collect())
    };
    let fault = |(kind, tally): (_, &FaultTally)| {
        let FaultTally { runs, drawn, met } = *tally;
        (None, vec![percent(runs, *seeds), per_thousand(drawn, *seeds), percent(met, drawn), kind])
    };
    [
        Table {
            title: title("Marks"),
            columns: &["possible", "seeds", "hits", "mark"],
            rows: sorted(marks.iter().map(|(name, tally)| mark((name.to_string(), tally)))),
        },
        Table {
            title: title("Failpoints"),
            columns: &["seeds", "passed", "struck", "crashed", "failpoint"],
            rows: sorted(failpoints.iter().map(|(name, tally)| failpoint((name.to_string(), tally)))),
        },
        Table {
            title: title("Kinds of faults"),
            columns: &["in seeds", "drawn", "met somebody", "kind"],
            rows: faults.iter().map(|(name, tally)| fault((name.to_string(), tally))).collect(),
        },
    ]
}

type Rows = Vec<(Option<Standing>, Vec<String>)>;

/// What is missing first, and what is dormant last; by name within each.
fn sorted(rows: impl Iterator<Item = (Option<Standing>, Vec<String>)>) -> Rows {
    let mut rows: Rows = rows.collect();
    rows.sort_by_key(|(standing, _)| *standing);
    rows
}

/// As text, in columns.
pub fn text(out: &mut Output, coverage: &Coverage) {
    for Table { title, columns, rows } in tables(coverage).iter().filter(|table| !table.rows.is_empty()) {
        let width = |column: usize| {
            let cells = rows.iter().map(|(_, row)| row[column].as_str()).chain([columns[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells = cells.enumerate().map(|(column, cell)| match column + 1 == columns.len() {
                true => cell.to_owned(),
                false => format!("{cell:>width$}", width = widths[column]),
            });
            cells.collect::<Vec<_>>().join("  ")
        };
        let is_judged = rows.iter().any(|(standing, _)| standing.is_some());
        let state = |word: &str| if is_judged { format!("{word:<9}") } else { String::new() };
        let title = out.paint(Style::new().bold(), title);
        out.line(format_args!("{title}"));
        out.line(format_args!("{}{}", state("state"), line(&mut columns.iter().copied())));
        for (standing, row) in rows {
            let shown = standing.map_or(String::new(), |standing| {
                out.paint(style(standing), state(name(standing))).to_string()
            });
            out.line(format_args!("{shown}{}", line(&mut row.iter().map(String::as_str))));
        }
        out.line(format_args!(""));
    }
}

/// As tables of Markdown, for a book.
pub fn markdown(out: &mut Output, coverage: &Coverage) {
    for (index, Table { title, columns, rows }) in
        tables(coverage).iter().filter(|table| !table.rows.is_empty()).enumerate()
    {
        if index > 0 {
            out.line(format_args!(""));
        }
        out.line(format_args!("{title}:\n"));
        let (last, numbers) = columns.split_last().unwrap_or((&"", &[]));
        let is_judged = rows.iter().any(|(standing, _)| standing.is_some());
        let state = |word: &str| if is_judged { format!(" {word} |") } else { String::new() };
        out.line(format_args!("| {last} |{} {} |", state("state"), numbers.join(" | ")));
        out.line(format_args!("| --- |{} {} |", state("---"), vec!["---:"; numbers.len()].join(" | ")));
        for (standing, row) in rows {
            let (name_of, numbers) = row.split_last().map_or(("", &[][..]), |(name, rest)| (name, rest));
            let state = standing.map_or(String::new(), |standing| state(name(standing)));
            out.line(format_args!("| {} |{state} {} |", name_of.replace('|', r"\|"), numbers.join(" | ")));
        }
    }
}

/// What `coverage --json` prints, and what `sweep --json` has under `coverage`.
#[derive(Serialize)]
pub struct CoverageLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    seeds: u64,
    marks: Vec<MarkLine<'a>>,
    failpoints: Vec<FailpointLine<'a>>,
    faults: Vec<FaultLine<'a>>,
}

#[derive(Serialize)]
struct MarkLine<'a> {
    name: &'a str,
    state: &'static str,
    possible: u64,
    seeds: u64,
    hits: u64,
}

#[derive(Serialize)]
struct FailpointLine<'a> {
    name: &'a str,
    state: &'static str,
    seeds: u64,
    passed: u64,
    struck: u64,
    crashed: u64,
}

#[derive(Serialize)]
struct FaultLine<'a> {
    kind: &'a str,
    seeds: u64,
    drawn: u64,
    met: u64,
}

impl<'a> CoverageLine<'a> {
    /// That of `coverage`.
    pub fn new(coverage: &'a Coverage) -> Self {
        let marks = coverage.marks.iter().map(|(mark, tally)| {
            let MarkTally { possible, runs: seeds, hits } = *tally;
            MarkLine { name: mark, state: name(tally.standing()), possible, seeds, hits }
        });
        let failpoints = coverage.failpoints.iter().map(|(failpoint, tally)| {
            let FailpointTally { runs: seeds, passed, struck, crashed } = *tally;
            FailpointLine { name: failpoint, state: name(tally.standing()), seeds, passed, struck, crashed }
        });
        let faults = coverage.faults.iter().map(|(kind, tally)| {
            let FaultTally { runs: seeds, drawn, met } = *tally;
            FaultLine { kind, seeds, drawn, met }
        });
        Self {
            r#type: None,
            seeds: coverage.seeds,
            marks: marks.collect(),
            failpoints: failpoints.collect(),
            faults: faults.collect(),
        }
    }
}

/// As one JSON object.
pub fn json(out: &mut Output, coverage: &Coverage) {
    out.json(&CoverageLine { r#type: Some("coverage"), ..CoverageLine::new(coverage) });
}
