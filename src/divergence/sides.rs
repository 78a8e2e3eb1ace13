//! Two runs that are compared, with how each ended and how each is told again.

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::tell::ComparisonLine;
use super::{By, Comparison, Told};
use crate::exit::Refusal;
use crate::output::{Line, Output};
use crate::replay::Ending;
use crate::words::counted;

/// A run to be compared.
pub struct Run {
    /// Such as `culprit`.
    pub name: &'static str,
    /// The same at the beginning of a sentence: `The culprit`.
    pub title: &'static str,
    pub told: Told,
    /// The command that tells it again.
    pub command: String,
}

/// What is left of a run that was compared.
#[derive(Serialize)]
struct Side {
    name: &'static str,
    #[serde(skip)]
    title: &'static str,
    command: String,
    /// How its process ended, where it told no verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    verdict: Option<Ending>,
}

impl Side {
    fn of(run: &mut Run) -> Result<Self, Refusal> {
        let verdict = run.told.ending()?;
        let status = verdict.is_none().then(|| run.told.status());
        let command = std::mem::take(&mut run.command);
        Ok(Self { name: run.name, title: run.title, command, status, verdict })
    }

    fn tell(&self, out: &mut Output) {
        let ended = match &self.verdict {
            Some(ending) => {
                let signature = ending.failure.as_ref().map(|failure| failure.signature.as_str());
                let verdict = signature.unwrap_or(&ending.verdict);
                format!("{verdict}, {}, digest {}", counted(ending.events, "event"), ending.digest)
            }
            None => self.status.clone().unwrap_or_default(),
        };
        out.line(format_args!("{:<9}  {}", self.name, Line(&ended)));
        let command = out.paint(Style::new().bold(), Line(&self.command)).to_string();
        out.line(format_args!("reproduce  {command}"));
    }
}

/// Two runs, and where they part.
pub struct Parting {
    pub comparison: Comparison,
    sides: [Side; 2],
}

/// It as JSON.
#[derive(Serialize)]
pub struct PartingLine<'a> {
    #[serde(flatten)]
    comparison: ComparisonLine,
    sides: &'a [Side; 2],
}

impl Parting {
    /// Compares two runs by what they say.
    ///
    /// # Errors
    ///
    /// If what they tell cannot be read.
    pub fn of(mut first: Run, mut second: Run) -> Result<Self, Refusal> {
        let comparison = Comparison::new(&mut first.told, &mut second.told, By::Text)?;
        let sides = [Side::of(&mut first)?, Side::of(&mut second)?];
        Ok(Self { comparison, sides })
    }

    /// Whether both are one run, to the digest and to its end.
    pub fn is_equal(&self) -> bool {
        self.comparison.is_equal() && self.ends_are_equal()
    }

    fn ends_are_equal(&self) -> bool {
        let [first, second] = &self.sides;
        let end =
            |side: &Side| side.verdict.as_ref().map(|it| (it.digest.clone(), it.verdict.clone(), it.events));
        end(first) == end(second) && first.status == second.status
    }

    /// The first run that ended without a verdict, and how it did.
    pub fn without_verdict(&self) -> Option<(&'static str, &str)> {
        self.sides.iter().find_map(|side| side.status.as_deref().map(|status| (side.name, status)))
    }

    /// It as JSON.
    pub fn line(&self) -> PartingLine<'_> {
        PartingLine { comparison: self.comparison.line(self.is_equal()), sides: &self.sides }
    }

    /// Tells it as text.
    pub fn tell(&self, out: &mut Output) {
        if self.comparison.is_equal() && !self.ends_are_equal() {
            let different = out.paint(AnsiColor::Red.on_default().bold(), "different").to_string();
            let events = counted(self.comparison.events, "event");
            out.line(format_args!("{different}: both told the same {events}, and end otherwise"));
        } else if self.is_equal() {
            let equal = out.paint(AnsiColor::Green.on_default().bold(), "equal").to_string();
            let events = counted(self.comparison.events, "event");
            out.line(format_args!("{equal}      both runs told the same {events}"));
        } else {
            let titles = self.sides.each_ref().map(|side| side.title);
            self.comparison.tell(out, titles, "different");
        }
        for side in &self.sides {
            side.tell(out);
        }
    }
}
