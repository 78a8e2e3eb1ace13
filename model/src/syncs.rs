//! The syncs of a member, by name, and which of them it leaves out.
//!
//! Each of them is there because something is lost without it. Leaving one out shows that the oracles would notice.

/// A sync that a member makes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sync {
    /// The file of a new database, before it gets its name.
    BackendCreateFile,
    /// The name of a new database.
    BackendCreateDirectory,
    /// What an earlier process wrote to the database and left unsynced.
    BackendOpenFile,
    /// The name that an earlier process gave the database.
    BackendOpenDirectory,
    /// The data pages of a commit, before its meta page is written.
    BackendData,
    /// The meta page of a commit.
    BackendMeta,
    /// The defragmented database, before it takes the place of the old one.
    DefragmentFile,
    /// The renaming of the defragmented database.
    DefragmentDirectory,
}

impl Sync {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BackendCreateFile,
        Self::BackendCreateDirectory,
        Self::BackendOpenFile,
        Self::BackendOpenDirectory,
        Self::BackendData,
        Self::BackendMeta,
        Self::DefragmentFile,
        Self::DefragmentDirectory,
    ];

    /// Its name in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BackendCreateFile => "backend-create-file",
            Self::BackendCreateDirectory => "backend-create-directory",
            Self::BackendOpenFile => "backend-open-file",
            Self::BackendOpenDirectory => "backend-open-directory",
            Self::BackendData => "backend-data",
            Self::BackendMeta => "backend-meta",
            Self::DefragmentFile => "defragment-file",
            Self::DefragmentDirectory => "defragment-directory",
        }
    }

    /// The sync of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sync| sync.name() == name)
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
