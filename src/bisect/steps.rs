//! How far a bisection is, on standard error: a line for each commit that was judged and, on a terminal, one that
//! is drawn over and over while the next is under way. With `--json`, the steps stand on standard output too.

use std::io::Write;
use std::time::{Duration, Instant};

use anstyle::AnsiColor;
use serde::Serialize;

use super::judgement::{Judgement, Skip};
use super::worktree::Left;
use crate::drawn::Drawn;
use crate::git::Commit;
use crate::output::{Line, Output, complain};
use crate::words::{Span, counted};

/// Between two drawings of the line.
const PERIOD: Duration = Duration::from_millis(200);

/// What is told of the steps.
pub struct Steps {
    pub out: Output,
    pub json: bool,
    drawn: Drawn,
    told: Option<Instant>,
    /// The commit that is under way, and how much is left.
    head: (String, String),
    stage: (&'static str, Instant),
    pub counts: Counts,
}

/// How many commits were judged.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    bad: u64,
    good: u64,
    skipped: u64,
}

impl Counts {
    /// `5 commits: 2 bad, 3 good, 0 skipped`.
    pub fn text(self) -> String {
        let Self { bad, good, skipped } = self;
        format!("{}: {bad} bad, {good} good, {skipped} skipped", counted(bad + good + skipped, "commit"))
    }
}

/// A line of `--json`.
#[derive(Serialize)]
struct StepLine<'a> {
    r#type: &'static str,
    commit: &'a str,
    subject: &'a str,
    #[serde(flatten)]
    judgement: &'a Judgement,
    /// Whether an earlier bisection had judged it.
    known: bool,
    /// About how many are still to come, once that can be said.
    steps_left: Option<u64>,
}

impl Steps {
    pub fn new(json: bool) -> Self {
        Self {
            out: Output::stdout(),
            json,
            drawn: Drawn::new(),
            told: None,
            head: Default::default(),
            stage: ("", Instant::now()),
            counts: Counts::default(),
        }
    }

    /// Begins with a commit.
    pub fn begin(&mut self, commit: &Commit, left: Option<Left>) {
        self.stage = ("", Instant::now());
        self.head =
            (commit.short().to_owned(), left.map_or(String::new(), |left| format!("; {}", text(left))));
    }

    /// Says what happens to the commit from now on.
    pub fn stage(&mut self, stage: &'static str) {
        if stage != self.stage.0 {
            self.stage = (stage, Instant::now());
            self.told = None;
        }
        self.tick();
    }

    /// Draws the line, if it is time to.
    pub fn tick(&mut self) {
        if !self.drawn.is_terminal || self.told.is_some_and(|told| told.elapsed() < PERIOD) {
            return;
        }
        self.told = Some(Instant::now());
        let ((commit, left), (stage, since)) = (&self.head, self.stage);
        self.drawn.draw(&format!("{commit} {stage}, {}{left}", Span(since.elapsed())));
    }

    /// Tells what was found of a commit. `left` is how much is still to be done.
    pub fn judged(&mut self, commit: &Commit, judgement: &Judgement, known: bool, left: Option<Left>) {
        let (word, colour, remark) = match judgement {
            Judgement::Good => ("good", AnsiColor::Green, String::new()),
            Judgement::Bad { interleaving: None, .. } => ("bad", AnsiColor::Red, String::new()),
            Judgement::Bad { interleaving: Some(number), .. } => {
                ("bad", AnsiColor::Red, format!(", in interleaving {number}"))
            }
            Judgement::Skip(skip) => ("skip", AnsiColor::Yellow, format!(", {}", what(skip))),
        };
        match judgement {
            Judgement::Good => self.counts.good += 1,
            Judgement::Bad { .. } => self.counts.bad += 1,
            Judgement::Skip(_) => self.counts.skipped += 1,
        }
        let known_remark = if known { ", as was known" } else { "" };
        let left_remark = left.map_or(String::new(), |left| format!("; {}", text(left)));
        let style = self.drawn.style(colour.on_default().bold());
        self.clear();
        complain(format_args!("{style}{word:<4}{style:#}  {commit}{known_remark}{remark}{left_remark}"));
        if let Judgement::Skip(Skip { reason, .. }) = judgement
            && reason.contains('\n')
        {
            reason.lines().for_each(|line| complain(format_args!("      {}", Line(line))));
        }
        if self.json {
            let steps_left = left.map(|left| left.steps);
            let (commit, subject) = (commit.hash.as_str(), commit.subject.as_str());
            self.out.json(&StepLine { r#type: "step", commit, subject, judgement, known, steps_left });
            // At once: the next one may take minutes.
            let _ = self.out.flush();
        }
    }

    /// Takes the line off the terminal.
    pub fn clear(&mut self) {
        self.drawn.clear();
    }
}

fn text(left: Left) -> String {
    format!("{} left, about {}", counted(left.commits, "commit"), counted(left.steps, "step"))
}

/// Why a commit is skipped, in a line. A reason of several lines stands below it.
fn what(skip: &Skip) -> String {
    match skip.reason.contains('\n') {
        true => skip.cause.to_string(),
        false => Line(&skip.to_string()).to_string(),
    }
}
