//! The write-ahead log and snapshots.

use super::{Class, Entry};
use crate::defect::Defect;

/// The entries of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        defect: Defect::TornTailTrusted,
        title: "the torn end of a log is not cut off",
        references: &["etcd: wal.Repair"],
        versions: "",
        class: Class::Recovery,
        mechanism: "What a power failure left of the last record stays in the file. New records are written behind \
                    it. The next start finds the damage, and everything behind it is lost or refused.",
        oracles: &["raft", "durability", "liveness", "soundness"],
    },
    Entry {
        defect: Defect::ReplacedEntriesKept,
        title: "entries that were replaced come back from the log",
        references: &["Raft dissertation, 3.5"],
        versions: "",
        class: Class::Raft,
        mechanism: "When the log is read, an entry does not take the place of those that were written before under \
                    its index. A member that was restarted has the entries of a deposed leader. It may count them as \
                    committed.",
        oracles: &["raft", "agreement", "durability", "process"],
    },
    Entry {
        defect: Defect::RetriedSync,
        title: "a sync that failed is tried again",
        references: &["PostgreSQL: fsyncgate"],
        versions: "",
        class: Class::Durability,
        mechanism: "A sync of the log that fails is repeated, and the second one succeeds: the page cache has \
                    dropped what it could not write. The log goes on over a hole. Acknowledged entries are gone with \
                    the next power failure.",
        oracles: &["raft", "durability", "soundness"],
    },
    Entry {
        defect: Defect::LogReleasedEarly,
        title: "segments are removed up to what is applied",
        references: &["etcd: wal.ReleaseLockTo"],
        versions: "",
        class: Class::Recovery,
        mechanism: "Segments of the log are removed whose entries are applied, though no snapshot stands for them. \
                    What the backend has not committed is in no place any more when the member crashes. It cannot \
                    start, or starts with a hole.",
        oracles: &["raft", "durability", "liveness", "soundness", "resources"],
    },
    Entry {
        defect: Defect::SnapshotWithoutRecord,
        title: "the newest snapshot file counts, whether the log knows of it or not",
        references: &["etcd-io/etcd#11888"],
        versions: "to 3.4.7",
        class: Class::Recovery,
        mechanism: "A crash comes between the file of a snapshot and its record in the log. At the start the file \
                    counts, and the log does not reach it. Entries between them are missing.",
        oracles: &["raft", "liveness", "process", "soundness"],
    },
    Entry {
        defect: Defect::SnapshotBeforeCommit,
        title: "a snapshot is saved before the backend is committed",
        references: &["etcd: EtcdServer.snapshot"],
        versions: "",
        class: Class::Durability,
        mechanism: "The file of a snapshot says that everything up to its index is in the backend, and the backend's \
                    commit comes later. A crash between them leaves a backend that is behind. The log from before \
                    the snapshot may be gone.",
        oracles: &["raft", "durability", "soundness", "liveness"],
    },
    Entry {
        defect: Defect::SnapshotsRace,
        title: "the backend of a snapshot is removed when a newer one comes",
        references: &["etcd-io/etcd#18055"],
        versions: "all",
        class: Class::Recovery,
        mechanism: "The raft loop removes the files of snapshots older than the newest that it has accepted. The \
                    apply loop has still to open one of them. It does not find it, and the member ends.",
        oracles: &["liveness", "process"],
    },
];
