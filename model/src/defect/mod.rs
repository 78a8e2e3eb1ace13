//! Historic bugs that can be switched on.
//!
//! Each is planted where etcd had it, by its real mechanism. A plain sweep that knows nothing of it must find it;
//! with all of them off, a sweep must find nothing. They prove the oracles, and are not faults: a correct system
//! survives every fault and none of these.
//!
//! To plant one: give it a name here and an entry in a file of `catalogue/`, and ask [`Defects::has`] where the code does what
//! it should do. A switched-off one costs a bit that is looked at.

mod catalogue;
mod set;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use catalogue::{Class, Entry, entries};
pub use set::Defects;

/// Names the bugs once: the type, all of them, and what they are called.
macro_rules! defects {
    ($($defect:ident = $name:literal,)*) => {
        /// A bug. What it does stands in its [`Entry`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum Defect {
            $(#[doc = concat!("`", $name, "`")] $defect,)*
        }

        impl Defect {
            /// Every defect.
            pub const ALL: &'static [Self] = &[$(Self::$defect),*];

            /// Its name on the command line and in schedules.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$defect => $name,)*
                }
            }
        }
    };
}

defects! {
    AcknowledgeBeforeSync = "acknowledge-before-sync",
    ReuseReadContext = "reuse-read-context",
    ReadBeforeOwnTerm = "read-before-own-term",
    LeaseBasedReads = "lease-based-reads",
    AnswerBeforeSave = "answer-before-save",
    UnsavedVote = "unsaved-vote",
    UnsyncedVote = "unsynced-vote",
    VoteTwice = "vote-twice",
    VoteForShorterLog = "vote-for-shorter-log",
    StaleTerm = "stale-term",
    NextBehindMatch = "next-behind-match",
    AppendWithoutCheck = "append-without-check",
    CommitByCounting = "commit-by-counting",
    ApplyUncommitted = "apply-uncommitted",
    LearnersCount = "learners-count",
    ForgottenConfiguration = "forgotten-configuration",
    TornTailTrusted = "torn-tail-trusted",
    ReplacedEntriesKept = "replaced-entries-kept",
    RetriedSync = "retried-sync",
    LogReleasedEarly = "log-released-early",
    SnapshotWithoutRecord = "snapshot-without-record",
    SnapshotBeforeCommit = "snapshot-before-commit",
    SnapshotsRace = "snapshots-race",
    IndexBeforeApply = "index-before-apply",
    IndexOffByOne = "index-off-by-one",
    DefragmentWithoutIndex = "defragment-without-index",
    IndexOfOldBackend = "index-of-old-backend",
    RestoreKeepsIndex = "restore-keeps-index",
    StrippedRanges = "stripped-ranges",
    SwapWhileDefragmenting = "swap-while-defragmenting",
    StalePermissions = "stale-permissions",
    AuthWithoutIndex = "auth-without-index",
    UncheckedPages = "unchecked-pages",
    CompactedTombstone = "compacted-tombstone",
    RevisionOfRecords = "revision-of-records",
    OrphanTombstone = "orphan-tombstone",
    UnfinishedCompactionForgotten = "unfinished-compaction-forgotten",
    PhantomEntry = "phantom-entry",
    AttachmentKept = "attachment-kept",
    EarlyProgress = "early-progress",
    StaleCursor = "stale-cursor",
    StarvedWatcher = "starved-watcher",
    FutureProgress = "future-progress",
    FutureLowered = "future-lowered",
    FutureRestorePanic = "future-restore-panic",
    WatchersForgotten = "watchers-forgotten",
    VictimsSynced = "victims-synced",
    UnfilteredCatchUp = "unfiltered-catch-up",
    SplitRevision = "split-revision",
    PresentAsPrevious = "present-as-previous",
    ResumeAtProgress = "resume-at-progress",
    NegativeLeasesForgotten = "negative-leases-forgotten",
    CheckpointNotWritten = "checkpoint-not-written",
    DeposedRevokes = "deposed-revokes",
    DeposedKeepsAlive = "deposed-keeps-alive",
    AttachmentsForgotten = "attachments-forgotten",
    ExpiredRenewed = "expired-renewed",
    ClientRetries = "client-retries",
    PreviousUnchecked = "previous-unchecked",
    UncheckedAtApply = "unchecked-at-apply",
    TokensOutlivePasswords = "tokens-outlive-passwords",
    OpenRangeUnchecked = "open-range-unchecked",
}

impl Defect {
    /// What is known of it.
    ///
    /// # Panics
    ///
    /// If the catalogue has no entry for it, which a test rules out.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        entries().find(|entry| entry.defect == self).expect("each defect has an entry")
    }

    /// What it is, in a line.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.entry().title
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Defect {
    type Err = String;

    /// The error is a sentence that lists the names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|defect| defect.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|defect| defect.name()).collect();
            format!("there is no defect `{name}`; there are: {}", names.join(", "))
        })
    }
}

impl From<Defect> for &'static str {
    fn from(defect: Defect) -> Self {
        defect.name()
    }
}

impl TryFrom<String> for Defect {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_found_by_its_name() {
        for defect in Defect::ALL {
            assert_eq!(defect.name().parse(), Ok(*defect));
        }
        assert!("no-such".parse::<Defect>().unwrap_err().contains("acknowledge-before-sync"));
    }
}
