//! What mutants tell of the oracles: a table by area, and the survivors.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::areas;
use crate::results::{Reason, Verdict};
use crate::trial::Outcome;

/// Numbers of one area.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    /// That compile, whether they were tried or not.
    pub viable: u64,
    pub tried: u64,
    pub killed: u64,
    pub out_of_time: u64,
    pub crashed: u64,
    /// Survivors that change something.
    pub altered: u64,
    /// Survivors that are reached and change nothing.
    pub unaltered: u64,
    pub not_reached: u64,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        self.tried += 1;
        *match outcome {
            Outcome::Killed { .. } => &mut self.killed,
            Outcome::OutOfTime { .. } => &mut self.out_of_time,
            Outcome::Crashed { .. } => &mut self.crashed,
            Outcome::Survived { reached: 0, .. } => &mut self.not_reached,
            Outcome::Survived { altered: 0, .. } => &mut self.unaltered,
            Outcome::Survived { .. } => &mut self.altered,
        } += 1;
    }

    /// The same without those that change nothing, of which no sweep can tell. How many of them there are among those that
    /// were not tried is taken to be as many.
    fn of_those_that_differ(&self) -> Self {
        let tried = self.tried - self.unaltered;
        let viable = (self.viable * tried).checked_div(self.tried).unwrap_or(0).max(tried);
        Self { viable, tried, unaltered: 0, ..*self }
    }

    fn noticed(&self) -> u64 {
        self.killed + self.out_of_time + self.crashed
    }

    /// The share of those tried that were noticed, and what it may be among all viable ones: Wilson's interval of 95 %,
    /// narrower where a sample is a good part of the whole. In percent.
    pub fn share(&self) -> Option<(f64, f64, f64)> {
        let (tried, noticed) = (self.tried as f64, self.noticed() as f64);
        if self.tried == 0 {
            return None;
        }
        let share = noticed / tried;
        let rest = (self.viable - self.tried) as f64 / (self.viable as f64 - 1.0).max(1.0);
        let square = 1.96_f64.powi(2) * rest;
        let middle = (share + square / (2.0 * tried)) / (1.0 + square / tried);
        let spread = (square * (share * (1.0 - share) / tried + square / (4.0 * tried * tried))).sqrt();
        let half = spread / (1.0 + square / tried);
        Some((100.0 * share, 100.0 * (middle - half), 100.0 * (middle + half)))
    }
}

/// The table by area, in Markdown. `viable` has how many compile in each area.
pub fn by_area(viable: &BTreeMap<String, u64>, verdicts: &[&Verdict]) -> String {
    let mut text = String::from(
        "| area | viable | tried | killed | out of time | crashed | survived: altered | unaltered | not reached | noticed of all \
         | of those that differ |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut all = Tally::default();
    for area in areas::names() {
        let mut tally = Tally { viable: viable.get(area).copied().unwrap_or(0), ..Tally::default() };
        verdicts.iter().filter(|verdict| verdict.mutant.area == area).for_each(|verdict| {
            tally.count(&verdict.outcome);
            all.count(&verdict.outcome);
        });
        all.viable += tally.viable;
        if tally.viable > 0 {
            row(&mut text, area, &tally);
        }
    }
    row(&mut text, "all", &all);
    text
}

fn row(text: &mut String, name: &str, tally: &Tally) {
    let Tally { viable, tried, killed, out_of_time, crashed, altered, unaltered, not_reached } = tally;
    let told = |share: Option<(f64, f64, f64)>| match share {
        Some((share, low, high)) => format!("{share:.1} % ({low:.1} to {high:.1})"),
        None => "-".to_owned(),
    };
    let (of_all, of_those_that_differ) = (told(tally.share()), told(tally.of_those_that_differ().share()));
    let _ = writeln!(
        text,
        "| {name} | {viable} | {tried} | {killed} | {out_of_time} | {crashed} | {altered} | {unaltered} | {not_reached} | \
         {of_all} | {of_those_that_differ} |"
    );
}

/// How many mutants each kind of violation killed, in Markdown: the most deadly first.
pub fn by_signature(verdicts: &[&Verdict]) -> String {
    let mut kills: BTreeMap<&str, u64> = BTreeMap::new();
    for verdict in verdicts {
        if let Outcome::Killed { signature, .. } = &verdict.outcome {
            *kills.entry(signature.split('/').next().unwrap_or(signature)).or_default() += 1;
        }
    }
    let mut kills: Vec<_> = kills.into_iter().collect();
    kills.sort_by_key(|(oracle, count)| (std::cmp::Reverse(*count), *oracle));
    let mut text = String::from("| the oracle that spoke first | mutants |\n| --- | ---: |\n");
    for (oracle, count) in kills {
        let _ = writeln!(text, "| {oracle} | {count} |");
    }
    text
}

/// The survivors in Markdown, with what is known of why.
pub fn survivors(verdicts: &[&Verdict], reasons: &[Reason]) -> String {
    let mut text = String::from("| where | what is mutated | reached | altered | why it survives |\n");
    text.push_str("| --- | --- | ---: | ---: | --- |\n");
    for verdict in verdicts {
        let Outcome::Survived { reached, altered } = verdict.outcome else { continue };
        let mutant = &verdict.mutant;
        let reason = reasons.iter().find(|reason| {
            reason.file == mutant.file && reason.function == mutant.function && reason.what == mutant.what
        });
        let reason = match reason {
            Some(reason) => &reason.reason,
            None if reached == 0 => "no seed comes there",
            None if altered == 0 => "no run goes otherwise",
            None => "**not looked at**",
        };
        let _ = writeln!(
            text,
            "| `{}:{}` `{}` | {} | {reached} | {altered} | {reason} |",
            mutant.file,
            mutant.line,
            mutant.function,
            mutant.what.replace('|', "\\|"),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons_and_closes_when_all_are_tried() {
        let tally = Tally {
            viable: 1_000_000,
            tried: 100,
            killed: 80,
            out_of_time: 4,
            crashed: 1,
            ..Tally::default()
        };
        let (share, low, high) = tally.share().unwrap();
        assert_eq!(format!("{share:.1} {low:.1} {high:.1}"), "85.0 76.7 90.7");
        let (share, low, high) = Tally { viable: 100, ..tally }.share().unwrap();
        assert_eq!(format!("{share:.1} {low:.1} {high:.1}"), "85.0 85.0 85.0");
        assert_eq!(Tally::default().share(), None);
        assert_eq!(Tally::default().of_those_that_differ().share(), None);
    }

    #[test]
    fn those_that_change_nothing_are_left_out_of_the_second_share() {
        let tally = Tally {
            viable: 1_000,
            tried: 100,
            killed: 68,
            altered: 10,
            unaltered: 20,
            not_reached: 2,
            ..Tally::default()
        };
        let differ = tally.of_those_that_differ();
        assert_eq!((differ.viable, differ.tried), (800, 80));
        assert_eq!(differ.share().map(|(share, ..)| share), Some(85.0));
    }
}
