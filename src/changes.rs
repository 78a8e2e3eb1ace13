//! The flags that change what a seed drew. A failure's command repeats them, so that it is the same run again.

use std::collections::BTreeSet;
use std::fmt::Write;

use clap::{Args, FromArgMatches};
use vertebra_sim::schedule::Schedule;
use vertebra_sim::schedule_with;

use crate::Subject;

/// Changes to the options of each run.
#[derive(Args, Clone, Debug, Default)]
pub struct Changes {
    /// Give the cluster N members, instead of the number that the seed draws
    #[arg(long, value_name = "N", help_heading = "The system")]
    pub members: Option<u16>,
    /// Switch a planted bug on, of those that `vertebra defects` lists; may be repeated
    // `arguments::command` adds the names that the system has.
    #[arg(long = "defect", value_name = "NAME", help_heading = "The system")]
    pub defects: Vec<String>,
    /// Let one to three faults of this kind, such as `bit-rot`, happen in each run besides those that the seed draws; may be
    /// repeated
    // `arguments::command` adds the names that there are.
    #[arg(long = "fault", value_name = "KIND", help_heading = "The system")]
    pub faults: Vec<String>,
}

impl Changes {
    /// The schedule of `seed`, with the changes.
    pub fn schedule<S: Subject>(&self, seed: u64) -> Result<Schedule<S::Options>, String> {
        let mut applied = Ok(());
        let schedule = schedule_with::<S>(seed, &self.added(), |options| applied = self.apply::<S>(options));
        applied.and(schedule)
    }

    fn apply<S: Subject>(&self, options: &mut S::Options) -> Result<(), String> {
        if let Some(members) = self.members {
            S::set_members(options, members);
        }
        self.planted().into_iter().try_for_each(|defect| S::plant(options, defect))
    }

    /// The first flag that would change `options`: a schedule file holds all of them, so there it has no place.
    pub fn contradiction<S: Subject>(&self, options: &S::Options) -> Result<Option<String>, String> {
        if let Some(fault) = self.added().first() {
            return Ok(Some(format!("--fault {fault}")));
        }
        for change in self.split() {
            let mut changed = options.clone();
            change.apply::<S>(&mut changed)?;
            if changed != *options {
                return Ok(Some(change.flags().trim_start().to_owned()));
            }
        }
        Ok(None)
    }

    /// The same changes, each alone.
    fn split(&self) -> impl Iterator<Item = Self> + use<'_> {
        let members = self.members.map(|members| Self { members: Some(members), ..Self::default() });
        let defects =
            self.defects.iter().map(|defect| Self { defects: vec![defect.clone()], ..Self::default() });
        members.into_iter().chain(defects)
    }

    /// The defects, each once, in an order that does not depend on that of the flags: it is one profile.
    fn planted(&self) -> BTreeSet<&str> {
        self.defects.iter().map(String::as_str).collect()
    }

    /// The faults, as above.
    fn added(&self) -> Vec<&str> {
        let faults: BTreeSet<&str> = self.faults.iter().map(String::as_str).collect();
        faults.into_iter().collect()
    }

    /// The flags that mean these changes, each after a space.
    pub fn flags(&self) -> String {
        let mut flags = String::new();
        if let Some(members) = self.members {
            let _ = write!(flags, " --members {members}");
        }
        for defect in self.planted() {
            let _ = write!(flags, " --defect {defect}");
        }
        for fault in self.added() {
            let _ = write!(flags, " --fault {fault}");
        }
        flags
    }

    /// The changes as a ledger names them: see `vertebra_sim::ledger`.
    pub fn profile(&self) -> String {
        self.flags().trim_start().to_owned()
    }

    /// The changes that a ledger names so.
    ///
    /// # Errors
    ///
    /// A sentence, when a version of the command wrote them whose flags this one does not have.
    pub fn of_profile(profile: &str) -> Result<Self, String> {
        let parser = Self::augment_args(clap::Command::new("profile").no_binary_name(true));
        let parsed = parser.try_get_matches_from(profile.split_whitespace());
        let changes = parsed.and_then(|matches| Self::from_arg_matches(&matches));
        changes.map_err(|_| format!("`{profile}` is no profile of this version"))
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.members.is_none() && self.defects.is_empty() && self.faults.is_empty()
    }

    /// The name of the file for the schedule of `seed`. Runs of one seed with other changes have other files.
    pub fn file_name(&self, seed: u64) -> String {
        let mut name = seed.to_string();
        if let Some(members) = self.members {
            let _ = write!(name, "-members-{members}");
        }
        for defect in self.planted() {
            let _ = write!(name, "-{defect}");
        }
        for fault in self.added() {
            let _ = write!(name, "-{fault}");
        }
        name + ".toml"
    }
}
