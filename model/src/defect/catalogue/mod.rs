//! What is known of each planted bug: where it comes from, how it works, and who must see it.

mod apply;
mod auth;
mod lease;
mod log;
mod raft;
mod store;
mod watch;

use std::fmt;

use serde::Serialize;

use super::Defect;

/// A bug, as it is told of.
#[derive(Debug)]
pub struct Entry {
    /// Which one.
    pub defect: Defect,
    /// What it is, in a line.
    pub title: &'static str,
    /// Where it was seen: an issue of a project, as `etcd-io/etcd#13766`, or what states the rule that it breaks. Where no
    /// such bug is known, the part of etcd in which it would be.
    pub references: &'static [&'static str],
    /// The releases that have it; empty where none is known.
    pub versions: &'static str,
    /// What comes of it.
    pub class: Class,
    /// How it works, in three sentences.
    pub mechanism: &'static str,
    /// The oracles that see it for what it is: one of them fires at least. `process` is a member that panics, `liveness`
    /// a cluster that does not recover.
    pub oracles: &'static [&'static str],
}

/// What comes of a bug.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// What was acknowledged is lost.
    Durability,
    /// Members that applied the same differ.
    Divergence,
    /// An answer fits no order of the operations.
    Linearizability,
    /// A revision goes back, or stands for two writes.
    Revision,
    /// A watch is told of something twice, too early, or not at all.
    Watch,
    /// A key outlives its lease, or does not live as long.
    Lease,
    /// Somebody may what it may not, or the reverse.
    Auth,
    /// Raft's own properties do not hold.
    Raft,
    /// Who counts as a member is not the same everywhere.
    Membership,
    /// A member ends, or cannot start.
    Recovery,
    /// What has rotted is served.
    Damage,
    /// It is in the client.
    Client,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Durability,
        Self::Divergence,
        Self::Linearizability,
        Self::Revision,
        Self::Watch,
        Self::Lease,
        Self::Auth,
        Self::Raft,
        Self::Membership,
        Self::Recovery,
        Self::Damage,
        Self::Client,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Durability => "durability",
            Self::Divergence => "divergence",
            Self::Linearizability => "linearizability",
            Self::Revision => "revision",
            Self::Watch => "watch",
            Self::Lease => "lease",
            Self::Auth => "auth",
            Self::Raft => "raft",
            Self::Membership => "membership",
            Self::Recovery => "recovery",
            Self::Damage => "damage",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// All entries, by the part of a member that they are planted in.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [
        raft::ENTRIES,
        log::ENTRIES,
        apply::ENTRIES,
        store::ENTRIES,
        watch::ENTRIES,
        lease::ENTRIES,
        auth::ENTRIES,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::NAMES;

    #[test]
    fn each_defect_has_one_entry_in_the_order_of_their_names_in_the_code() {
        let listed: Vec<_> = entries().map(|entry| entry.defect).collect();
        assert_eq!(listed, Defect::ALL);
    }

    #[test]
    fn an_entry_says_what_it_must() {
        for entry in entries() {
            let Entry { defect, title, references, mechanism, oracles, .. } = entry;
            assert!(!title.is_empty() && !title.ends_with('.') && title.len() <= 80, "{defect}: {title}");
            assert!(!references.is_empty(), "{defect} has no reference");
            let sentences = mechanism.matches(". ").count() + 1;
            assert!(mechanism.ends_with('.') && (2..=4).contains(&sentences), "{defect}: {mechanism}");
            assert!(!oracles.is_empty(), "nobody sees {defect}");
            for oracle in *oracles {
                let is_known = NAMES.contains(oracle) || ["process", "liveness"].contains(oracle);
                assert!(is_known, "{defect}: there is no oracle `{oracle}`");
            }
        }
    }
}
