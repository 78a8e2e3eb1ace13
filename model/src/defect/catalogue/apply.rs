//! How entries are applied.

use super::{Class, Entry};
use crate::defect::Defect;

/// The entries of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        defect: Defect::IndexBeforeApply,
        title: "the consistent index moves before the entry is applied",
        references: &["etcd-io/etcd#13766"],
        versions: "3.5.0 to 3.5.2",
        class: Class::Divergence,
        mechanism: "The apply loop moves the consistent index before it has the lock of the backend. A commit that \
                    comes between writes the index without the entry's changes. After a crash the entry is passed \
                    over, on this member alone.",
        oracles: &["agreement", "durability", "raft", "linearizable log", "snapshot"],
    },
    Entry {
        defect: Defect::IndexOffByOne,
        title: "the last entry that the backend has is applied again",
        references: &["etcd: applyEntryNormal"],
        versions: "",
        class: Class::Divergence,
        mechanism: "After a restart entries count as new from the consistent index on, itself included. The last one \
                    that was committed is applied twice on this member. Revisions and versions are one ahead from \
                    there.",
        oracles: &["agreement", "revisions", "linearizable log", "process"],
    },
    Entry {
        defect: Defect::DefragmentWithoutIndex,
        title: "a defragmentation commits without the consistent index",
        references: &["etcd-io/etcd#14685"],
        versions: "3.5.0 to 3.5.5",
        class: Class::Divergence,
        mechanism: "Before it copies, a defragmentation commits what is pending, past the hook that writes the \
                    consistent index. A crash before the next commit leaves changes that the index does not tell of. \
                    They are applied twice.",
        oracles: &["agreement", "revisions", "linearizable log"],
    },
    Entry {
        defect: Defect::IndexOfOldBackend,
        title: "a new backend gets the consistent index of the old one",
        references: &["etcd-io/etcd#13908"],
        versions: "3.5.0 to 3.5.2",
        class: Class::Divergence,
        mechanism: "When a snapshot is installed, the consistent index is read from its backend only after leases \
                    were recovered, which commits. That commit writes the old backend's index into the new one. \
                    After a crash entries are applied that it has already.",
        oracles: &["storage", "agreement", "process", "revisions", "durability"],
    },
    Entry {
        defect: Defect::RestoreKeepsIndex,
        title: "a restored database keeps the consistent index of the old cluster's log",
        references: &["etcdutl: updateCIndex"],
        versions: "",
        class: Class::Divergence,
        mechanism: "A database that is restored keeps its consistent index, which is of the log of another cluster. \
                    Entries of the new log up to there count as applied. What they changed is missing on this \
                    member.",
        oracles: &[
            "linearizable log",
            "linearizable history",
            "durability",
            "agreement",
            "liveness",
            "soundness",
        ],
    },
    Entry {
        defect: Defect::StrippedRanges,
        title: "a member where nobody waits leaves the reads out of a transaction",
        references: &["etcd-io/etcd#18667"],
        versions: "to 3.6",
        class: Class::Divergence,
        mechanism: "Where the client of a transaction is at another member, its reads are left out, for nobody wants \
                    them. With them goes the refusal of a read at a compacted or future revision. The transaction is \
                    aborted on one member, and takes effect on the others.",
        oracles: &["agreement", "durability", "linearizable log"],
    },
    Entry {
        defect: Defect::SwapWhileDefragmenting,
        title: "a snapshot replaces the backend while it is defragmented",
        references: &["etcd-io/etcd#20271"],
        versions: "to 3.6",
        class: Class::Recovery,
        mechanism: "The database of a snapshot is put in its place without the lock that a defragmentation holds. \
                    The defragmented copy of the old database then takes that name. What is in the file is not what \
                    is in memory.",
        oracles: &["agreement", "durability", "soundness", "process", "liveness"],
    },
    Entry {
        defect: Defect::StalePermissions,
        title: "permissions are not worked out anew from an installed snapshot",
        references: &["etcd-io/etcd#14571"],
        versions: "to 3.4.21 and 3.5.5",
        class: Class::Divergence,
        mechanism: "The cache of what roles come to was not worked out anew when a snapshot was installed. Users \
                    that came with it were unknown to the cache. The member refused writes that all others applied.",
        oracles: &["agreement", "durability", "auth"],
    },
    Entry {
        defect: Defect::AuthWithoutIndex,
        title: "users and roles are written without the consistent index",
        references: &["etcd-io/etcd#11651"],
        versions: "to 3.4.4",
        class: Class::Divergence,
        mechanism: "A change of users and roles reached the backend without the consistent index. After a crash it \
                    was applied once more, and the auth revision was one ahead for ever. The member refused writes \
                    that all others applied.",
        oracles: &["agreement", "durability", "auth"],
    },
];
