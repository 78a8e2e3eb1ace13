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
        self.defect().strip_prefix("unsynced-").expect("each has this prefix")
    }

    /// The name of the bug that it is to leave this sync out.
    #[must_use]
    pub fn defect(self) -> &'static str {
        match self {
            Self::BackendCreateFile => "unsynced-backend-create-file",
            Self::BackendOpenFile => "unsynced-backend-open-file",
            Self::BackendData => "unsynced-backend-data",
            Self::BackendMeta => "unsynced-backend-meta",
            Self::DefragmentFile => "unsynced-defragment-file",
            Self::SnapshotFile => "unsynced-snapshot-file",
            Self::SnapshotDirectory => "unsynced-snapshot-directory",
            Self::SnapshotDatabaseFile => "unsynced-snapshot-database-file",
            Self::LogAppend => "unsynced-log-append",
            Self::LogSnapshot => "unsynced-log-snapshot",
            Self::LogSegmentEnd => "unsynced-log-segment-end",
            Self::LogSegmentBegin => "unsynced-log-segment-begin",
            Self::LogDirectory => "unsynced-log-directory",
            Self::LogOpenFile => "unsynced-log-open-file",
            Self::LogOpenDirectory => "unsynced-log-open-directory",
        }
    }

    /// What is not synced without it, in a line.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::BackendCreateFile => "a new database is not synced before it gets its name",
            Self::BackendOpenFile => "a database is not synced when it is opened",
            Self::BackendData => "pages are not synced before the meta page is written",
            Self::BackendMeta => "the meta page is not synced when a commit ends",
            Self::DefragmentFile => "a defragmented database is not synced before it takes over",
            Self::SnapshotFile => "the file that says what a snapshot stands for is not synced",
            Self::SnapshotDirectory => "the name of that file is not synced",
            Self::SnapshotDatabaseFile => "a database from the leader is not synced",
            Self::LogAppend => "entries are not synced before members hear of them",
            Self::LogSnapshot => "the log's record of a snapshot is not synced",
            Self::LogSegmentEnd => "a full segment of the log is not synced",
            Self::LogSegmentBegin => "the head of a segment of the log is not synced",
            Self::LogDirectory => "the name of a segment of the log is not synced",
            Self::LogOpenFile => "the log is not synced when it is opened",
            Self::LogOpenDirectory => "names of segments are not synced when the log is opened",
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
