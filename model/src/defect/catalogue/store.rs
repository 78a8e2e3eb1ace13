//! The store: revisions, compactions, the backend.

use super::{Class, Entry};
use crate::defect::Defect;

/// The entries of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        defect: Defect::UncheckedPages,
        title: "pages of the database are believed without their checksums",
        references: &["bbolt has none"],
        versions: "all",
        class: Class::Damage,
        mechanism: "The checksums of the database's pages are not looked at; bbolt's have none. What has rotted in a \
                    page is served, or ends the member that cannot read it. Only a comparison of the members' hashes finds the \
                    rest.",
        oracles: &[
            "soundness",
            "durability",
            "agreement",
            "process",
            "linearizable log",
            "linearizable history",
            "snapshot",
            "watch",
        ],
    },
    Entry {
        defect: Defect::CompactedTombstone,
        title: "a compaction takes the tombstone at its own revision away",
        references: &["etcd-io/etcd#18089"],
        versions: "to 3.5.15",
        class: Class::Watch,
        mechanism: "A deletion at the revision of a compaction is removed by it, though a watch may still begin \
                    there. A watch that has not been told of it yet never is. Members where it came earlier or later \
                    tell different stories.",
        oracles: &["watch"],
    },
    Entry {
        defect: Defect::RevisionOfRecords,
        title: "the revision is that of the newest record, where tombstones go",
        references: &["etcd-io/etcd#17780"],
        versions: "to 3.4.31 and 3.5.13",
        class: Class::Revision,
        mechanism: "After a restart the store's revision was that of its newest record. A compaction at a deletion \
                    had removed that record, and crashed before it was finished. The next write got a revision that \
                    was taken. It comes with the tombstone rule of etcd-io/etcd#18089, without which it cannot happen.",
        oracles: &["revisions", "agreement", "linearizable log", "watch", "durability"],
    },
    Entry {
        defect: Defect::OrphanTombstone,
        title: "a tombstone whose creation is compacted is not restored",
        references: &["etcd-io/etcd#19179"],
        versions: "3.5.16 and 3.5.17",
        class: Class::Watch,
        mechanism: "A compaction that was interrupted has removed what came before a deletion. At the restart the \
                    tombstone belongs to no key and is passed over. The compaction is carried on and removes it, and \
                    a watch from its revision on never hears of it.",
        oracles: &["watch", "agreement", "soundness"],
    },
    Entry {
        defect: Defect::UnfinishedCompactionForgotten,
        title: "a compaction that was not finished is forgotten at a restart",
        references: &["etcd: restore"],
        versions: "",
        class: Class::Divergence,
        mechanism: "A compaction that was scheduled and not finished is not taken up again. Revisions that others \
                    refuse are read, and some of their records are gone already. Members compute different hashes.",
        oracles: &["agreement", "serializable", "linearizable log", "durability", "liveness", "watch"],
    },
    Entry {
        defect: Defect::PhantomEntry,
        title: "an entry of a buffer that was used before is read again",
        references: &["etcd-io/etcd#17247"],
        versions: "main of February 2024",
        class: Class::Watch,
        mechanism: "A buffer of writes that is used again, and in which nothing was written since, counts one entry all \
                    the same: one from before the last commit. Readers see a revision twice. A watch that is being \
                    synced is told of an event a second time.",
        oracles: &["watch", "soundness", "process"],
    },
    Entry {
        defect: Defect::AttachmentKept,
        title: "a put leaves the key attached to the lease that it had",
        references: &["etcd: lessor.Detach"],
        versions: "",
        class: Class::Lease,
        mechanism: "A put with another lease, or none, does not take the key from the one that it was attached to. \
                    When that lease ends, the key is deleted. It was promised to live.",
        oracles: &["leases", "durability", "linearizable log", "agreement"],
    },
];
