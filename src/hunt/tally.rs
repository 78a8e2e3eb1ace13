//! All trials of a bug.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Quarry;
use super::statistics::{Estimate, survival};
use super::trial::{Found, Trial};

/// What came of them.
#[derive(Debug, Serialize)]
pub struct Tally {
    pub name: String,
    pub class: &'static str,
    pub trials: u64,
    /// How many of them found it.
    pub found: u64,
    /// Until it was found.
    pub seeds: Estimate,
    /// The same, as time of one core in nanoseconds.
    pub cpu_ns: Estimate,
    /// After so many seeds, this share of the trials had not yet found it.
    pub survival: Vec<(u64, f64)>,
    /// Which oracle ended the run, and how often.
    pub first: BTreeMap<String, u64>,
    /// Which others would have.
    pub also: BTreeMap<String, u64>,
    /// The oracles that the catalogue names.
    pub named: Vec<&'static str>,
    /// In how many finds one of these fired.
    pub expected: u64,
    /// Of the different sets of kinds of faults that were drawn, the share with which it was found.
    pub profiles_share: f64,
    /// Kinds of faults that all finds have in their schedules.
    pub always: Vec<String>,
    /// Seeds that fail without it too.
    pub not_clean: Vec<u64>,
    /// The first find, to look at.
    pub example: Option<u64>,
}

/// The oracle in a signature.
fn oracle_of(signature: &str) -> &str {
    signature.split('/').next().unwrap_or(signature)
}

impl Tally {
    /// Of the first `trials_max` trials of `quarry`.
    pub fn new<'a>(quarry: &Quarry, trials: impl Iterator<Item = &'a Trial>, trials_max: u64) -> Self {
        let trials: Vec<&Trial> = trials.filter(|trial| trial.trial < trials_max).collect();
        let finds: Vec<(&Trial, &Found)> =
            trials.iter().filter_map(|trial| Some((*trial, trial.found.as_ref()?))).collect();
        let longer = trials.len() - finds.len();
        let estimate = |value: &dyn Fn(&Trial) -> u64| {
            Estimate::new(finds.iter().map(|(trial, _)| value(trial) as f64).collect(), longer)
        };
        let (mut first, mut also) = (BTreeMap::new(), BTreeMap::new());
        let mut expected = 0;
        for (_, found) in &finds {
            *first.entry(oracle_of(&found.signature).to_owned()).or_default() += 1;
            let others: BTreeSet<&str> = found.also.iter().map(|signature| oracle_of(signature)).collect();
            for other in &others {
                *also.entry((*other).to_owned()).or_default() += 1;
            }
            let is_named = |oracle: &str| quarry.oracles.contains(&oracle);
            expected += u64::from(
                is_named(oracle_of(&found.signature)) || others.iter().any(|other| is_named(other)),
            );
        }
        let profiles: u64 = trials.iter().map(|trial| trial.profiles).sum();
        let kinds = finds.iter().map(|(_, found)| found.faults.iter().collect::<BTreeSet<_>>());
        let always = kinds.reduce(|all, kinds| all.intersection(&kinds).copied().collect());
        Self {
            name: quarry.name.clone(),
            class: quarry.class,
            trials: trials.len() as u64,
            found: finds.len() as u64,
            seeds: estimate(&|trial| trial.seeds),
            cpu_ns: estimate(&|trial| trial.cpu_ns),
            survival: survival(finds.iter().map(|(trial, _)| trial.seeds).collect(), longer),
            first,
            also,
            named: quarry.oracles.clone(),
            expected,
            profiles_share: finds.len() as f64 / profiles.max(1) as f64,
            always: always.into_iter().flatten().cloned().collect(),
            not_clean: finds
                .iter()
                .filter(|(_, found)| found.without.is_some())
                .map(|(_, found)| found.seed)
                .collect(),
            example: finds.first().map(|(_, found)| found.seed),
        }
    }

    /// Whether an oracle that the catalogue names fired in nine of ten finds, if it names any.
    pub fn is_as_expected(&self) -> bool {
        self.named.is_empty() || self.expected * 10 >= self.found * 9
    }

    /// The oracles that ended runs, the most frequent one first.
    pub fn firsts(&self) -> String {
        let mut firsts: Vec<_> = self.first.iter().collect();
        firsts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
        let shown = firsts.into_iter().map(|(name, count)| match *count == self.found {
            true => name.clone(),
            false => format!("{name} {count}"),
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}
