//! Historic bugs that can be switched on.
//!
//! Each is planted where etcd had it, by its real mechanism. A plain sweep that knows nothing of it must find it;
//! with all of them off, a sweep must find nothing. They prove the oracles, and are not faults: a correct system
//! survives every fault and none of these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A bug.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Defect {
    /// A single member applies and acknowledges entries while they are still being written to its log.
    ///
    /// etcd-io/etcd#14370: with a quorum of one, an entry was committed as soon as it was appended, and the apply
    /// loop ran beside the write.
    AcknowledgeBeforeSync,
    /// A read's context goes over the network in `MsgReadIndex`, and a retry uses it again.
    ///
    /// etcd-io/etcd#20418: an old leader takes a late acknowledgement of the first attempt for one of the second,
    /// and confirms every read that was queued before it.
    ReuseReadContext,
    /// The checksums of the database's pages are not looked at.
    ///
    /// bbolt's pages have none, so that etcd serves what has rotted in them, until members compare their hashes.
    UncheckedPages,
    /// A database that is restored keeps its consistent index, which is of the log of another cluster.
    ///
    /// Entries of the new log up to there would count as applied; etcdutl writes it anew for that (`updateCIndex` in
    /// etcdutl/snapshot/v3_snapshot.go).
    RestoreKeepsIndex,
    /// When a snapshot is installed, what the roles of users came to before is believed further on.
    ///
    /// etcd-io/etcd#14571: the cache of merged permissions was not worked out anew. A member refused writes that all
    /// others applied.
    StalePermissions,
    /// A change of users and roles reaches the backend without the consistent index.
    ///
    /// etcd-io/etcd#11651: after a crash it was applied once more, and the auth revision was one ahead for ever: the
    /// member refused writes that all others applied.
    AuthWithoutIndex,
}

impl Defect {
    /// Every defect.
    pub const ALL: [Self; 6] = [
        Self::AcknowledgeBeforeSync,
        Self::ReuseReadContext,
        Self::UncheckedPages,
        Self::RestoreKeepsIndex,
        Self::StalePermissions,
        Self::AuthWithoutIndex,
    ];

    /// Its name on the command line and in schedules.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeSync => "acknowledge-before-sync",
            Self::ReuseReadContext => "reuse-read-context",
            Self::UncheckedPages => "unchecked-pages",
            Self::RestoreKeepsIndex => "restore-keeps-index",
            Self::StalePermissions => "stale-permissions",
            Self::AuthWithoutIndex => "auth-without-index",
        }
    }

    /// What it is, in a line.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeSync => {
                "a single member acknowledges before its log is synced (etcd-io/etcd#14370)"
            }
            Self::ReuseReadContext => "ReadIndex contexts are reused over the network (etcd-io/etcd#20418)",
            Self::UncheckedPages => {
                "pages of the database are believed without their checksums, as bbolt does it"
            }
            Self::RestoreKeepsIndex => {
                "a restored database keeps the consistent index of the old cluster's log"
            }
            Self::StalePermissions => {
                "permissions are not worked out anew from an installed snapshot (etcd-io/etcd#14571)"
            }
            Self::AuthWithoutIndex => {
                "users and roles are written without the consistent index (etcd-io/etcd#11651)"
            }
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Defect {
    type Err = String;

    /// The error is a sentence that lists the names there are.
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|defect| defect.name() == name).ok_or_else(|| {
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
            assert_eq!(defect.name().parse(), Ok(defect));
        }
        assert!("no-such".parse::<Defect>().unwrap_err().contains("acknowledge-before-sync"));
    }
}
