//! Who counts, and from which entry on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use vertebra_sim::verdict::Violation;

use super::{MemberId, RaftSafety, violation};

/// Who votes, and who only follows. All lists are in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Configuration {
    /// Those who vote.
    pub voters: Vec<MemberId>,
    /// Those who voted before, as long as both count: then the configuration is a joint one. Otherwise empty.
    pub outgoing: Vec<MemberId>,
    /// Those who follow without a vote.
    pub learners: Vec<MemberId>,
    /// Those who vote still, and will only follow when the joint configuration is left.
    pub learners_next: Vec<MemberId>,
}

impl Configuration {
    /// One in which these vote, and nobody else takes part.
    #[must_use]
    pub fn of(voters: &[MemberId]) -> Self {
        Self { voters: voters.to_vec(), ..Self::default() }
    }

    fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether this member has a vote.
    #[must_use]
    pub fn is_voter(&self, member: MemberId) -> bool {
        self.voters.contains(&member) || self.outgoing.contains(&member)
    }

    /// Everyone who votes, once or twice.
    pub fn all_voters(&self) -> impl Iterator<Item = MemberId> {
        self.voters.iter().chain(&self.outgoing).copied()
    }

    /// Everyone who takes part.
    pub fn members(&self) -> impl Iterator<Item = MemberId> {
        self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied()
    }

    /// Whether those who agree are a majority, and in a joint configuration one of either half.
    #[must_use]
    pub fn has_quorum(&self, agrees: impl Fn(MemberId) -> bool) -> bool {
        let majority = |half: &[MemberId]| {
            half.is_empty() || half.iter().filter(|member| agrees(**member)).count() * 2 > half.len()
        };
        majority(&self.voters) && majority(&self.outgoing)
    }

    /// Whether `next` can follow from one entry.
    fn leads_to(&self, next: &Self) -> bool {
        let changed = |one: &[MemberId], other: &[MemberId]| {
            let missing = |from: &[MemberId], of: &[MemberId]| {
                from.iter().filter(|member| !of.contains(member)).count()
            };
            missing(one, other) + missing(other, one)
        };
        match (self.is_joint(), next.is_joint()) {
            (false, false) => {
                let (voters, learners) =
                    (changed(&self.voters, &next.voters), changed(&self.learners, &next.learners));
                // A member more or less; or one whose role changes, who counts in both lists.
                voters <= 1 && learners <= 1
            }
            (false, true) => next.outgoing == self.voters,
            (true, false) => {
                let mut learners = [&self.learners[..], &self.learners_next].concat();
                learners.sort_unstable();
                next.voters == self.voters && next.learners == learners
            }
            (true, true) => false,
        }
    }
}

/// As in `voters 1, 2, 3; before them 1, 2; learners 4`.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "voters {}", Listed(&self.voters))?;
        for (name, members) in [
            ("before them", &self.outgoing),
            ("learners", &self.learners),
            ("learners then", &self.learners_next),
        ] {
            if !members.is_empty() {
                write!(f, "; {name} {}", Listed(members))?;
            }
        }
        Ok(())
    }
}

/// Members, with commas between them.
pub(super) struct Listed<'a>(pub(super) &'a [MemberId]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, member) in self.0.iter().enumerate() {
            write!(f, "{}{member}", if place > 0 { ", " } else { "" })?;
        }
        if self.0.is_empty() { f.write_str("nobody") } else { Ok(()) }
    }
}

/// The configurations of a log, by the entry from which each holds.
#[derive(Debug, Default)]
pub(super) struct Configurations {
    by_index: BTreeMap<u64, Configuration>,
    removed: BTreeSet<MemberId>,
}

impl Configurations {
    pub(super) fn new(first: Configuration) -> Self {
        Self { by_index: BTreeMap::from([(0, first)]), removed: BTreeSet::new() }
    }

    /// The one that holds for who has applied everything up to `index`.
    pub(super) fn in_force(&self, index: u64) -> &Configuration {
        let last = self.by_index.range(..=index).next_back();
        last.map(|(_, configuration)| configuration).expect("there is one from the beginning on")
    }

    /// `member` says that this one holds after entry `index`. Of all members the first to apply an entry has told of
    /// all changes before it, or somebody else had.
    pub(super) fn told(
        &mut self,
        member: MemberId,
        index: u64,
        configuration: Configuration,
    ) -> Result<(), Violation> {
        let known = self.in_force(index);
        if *known == configuration {
            return Ok(());
        }
        let last = self.by_index.last_key_value().map_or(0, |(index, _)| *index);
        if index <= last {
            return violation(
                "configuration",
                format!("member {member} has {configuration:?} after entry {index}, others {known:?}"),
            );
        }
        if !known.leads_to(&configuration) {
            return violation(
                "configuration step",
                format!("member {member} has {configuration:?} after entry {index}, and {known:?} before it"),
            );
        }
        if let Some(returned) = configuration.members().find(|member| self.removed.contains(member)) {
            return violation(
                "removed member",
                format!("entry {index} brings back member {returned}: {configuration:?}"),
            );
        }
        let gone = known.members().filter(|member| !configuration.members().any(|other| other == *member));
        let gone: Vec<_> = gone.collect();
        self.removed.extend(gone);
        self.by_index.insert(index, configuration);
        Ok(())
    }
}

impl RaftSafety {
    /// `member` ends itself because it was removed.
    ///
    /// # Errors
    ///
    /// It was not.
    pub fn ends(&self, member: MemberId) -> Result<(), Violation> {
        if self.configurations.removed.contains(&member) {
            return Ok(());
        }
        violation("ended", format!("member {member} ends as if it had been removed"))
    }
}
