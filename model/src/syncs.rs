//! The syncs of a member, by name, and which of them it leaves out.
//!
//! Each of them is there because something is lost without it. Leaving one out shows that the oracles would notice.

use serde::{Deserialize, Serialize};

/// A sync that a member makes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Sync {
    /// The file of a new database, before it gets its name.
    BackendCreateFile,
    /// What an earlier process wrote to the database and left unsynced.
    BackendOpenFile,
    /// The data pages of a commit, before its meta page is written.
    BackendData,
    /// The meta page of a commit.
    BackendMeta,
    /// The defragmented database, before it takes the place of the old one.
    DefragmentFile,
    /// The file that says what a snapshot stands for.
    SnapshotFile,
    /// The name of that file, and all names that were given in its directory before: those of databases too.
    SnapshotDirectory,
    /// The database that came with a snapshot from the leader.
    SnapshotDatabaseFile,
    /// Entries and hard states in the write-ahead log.
    LogAppend,
    /// The record of a snapshot in the log, before segments with those of older ones are removed.
    LogSnapshot,
    /// A segment of the log that is full.
    LogSegmentEnd,
    /// The head of a segment of the log.
    LogSegmentBegin,
    /// The name of a segment of the log.
    LogDirectory,
    /// What an earlier process wrote to the log and left unsynced.
    LogOpenFile,
    /// The names that an earlier process gave segments of the log.
    LogOpenDirectory,
}

impl Sync {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BackendCreateFile,
        Self::BackendOpenFile,
        Self::BackendData,
        Self::BackendMeta,
        Self::DefragmentFile,
        Self::SnapshotFile,
        Self::SnapshotDirectory,
        Self::SnapshotDatabaseFile,
        Self::LogAppend,
        Self::LogSnapshot,
        Self::LogSegmentEnd,
        Self::LogSegmentBegin,
        Self::LogDirectory,
        Self::LogOpenFile,
        Self::LogOpenDirectory,
    ];

    /// Its name in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BackendCreateFile => "backend-create-file",
            Self::BackendOpenFile => "backend-open-file",
            Self::BackendData => "backend-data",
            Self::BackendMeta => "backend-meta",
            Self::DefragmentFile => "defragment-file",
            Self::SnapshotFile => "snapshot-file",
            Self::SnapshotDirectory => "snapshot-directory",
            Self::SnapshotDatabaseFile => "snapshot-database-file",
            Self::LogAppend => "log-append",
            Self::LogSnapshot => "log-snapshot",
            Self::LogSegmentEnd => "log-segment-end",
            Self::LogSegmentBegin => "log-segment-begin",
            Self::LogDirectory => "log-directory",
            Self::LogOpenFile => "log-open-file",
            Self::LogOpenDirectory => "log-open-directory",
        }
    }

    /// The sync of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sync| sync.name() == name)
    }
}

impl From<Sync> for &'static str {
    fn from(sync: Sync) -> Self {
        sync.name()
    }
}

impl TryFrom<String> for Sync {
    type Error = String;

    /// The error is a sentence that lists the names there are.
    fn try_from(name: String) -> Result<Self, String> {
        Self::from_name(&name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|sync| sync.name()).collect();
            format!("there is no sync `{name}`; there are: {}", names.join(", "))
        })
    }
}

/// A set of syncs that are left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SkippedSyncs(u64);

impl SkippedSyncs {
    /// Every sync is made.
    pub const NONE: Self = Self(0);

    /// Whether `sync` is left out.
    #[must_use]
    pub fn contains(self, sync: Sync) -> bool {
        self.0 & (1 << sync as u32) != 0
    }
}

impl FromIterator<Sync> for SkippedSyncs {
    fn from_iter<I: IntoIterator<Item = Sync>>(syncs: I) -> Self {
        Self(syncs.into_iter().fold(0, |set, sync| set | (1 << sync as u32)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sync_has_a_name_of_its_own_and_is_found_by_it() {
        for sync in Sync::ALL {
            assert_eq!(Sync::from_name(sync.name()), Some(sync));
        }
        assert_eq!(Sync::from_name("backend"), None);
    }

    #[test]
    fn a_set_contains_what_it_was_made_of() {
        let skipped: SkippedSyncs = [Sync::BackendMeta, Sync::DefragmentFile].into_iter().collect();
        let contained: Vec<_> = Sync::ALL.into_iter().filter(|sync| skipped.contains(*sync)).collect();
        assert_eq!(contained, [Sync::BackendMeta, Sync::DefragmentFile]);
    }
}
