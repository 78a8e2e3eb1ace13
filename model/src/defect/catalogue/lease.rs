//! Leases and locks.

use super::{Class, Entry};
use crate::defect::Defect;

/// The entries of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        defect: Defect::NegativeLeasesForgotten,
        title: "leases with negative numbers are not recovered",
        references: &["etcd-io/etcd#13676", "etcd-io/etcd#14239"],
        versions: "to 3.4.19 and 3.5.4",
        class: Class::Divergence,
        mechanism: "Leases are read from the backend from number 0 on. Those whose number is negative are gone after \
                    a restart, on this member alone. A put with such a lease is refused here and applied elsewhere.",
        oracles: &["agreement", "durability", "leases"],
    },
    Entry {
        defect: Defect::CheckpointNotWritten,
        title: "what a lease has left is not written to the backend",
        references: &["etcd-io/etcd#13508"],
        versions: "to 3.4.19 and 3.5.1",
        class: Class::Lease,
        mechanism: "A checkpoint changes the lease in memory alone. A restart gives the lease all of its time again, \
                    and members differ in what it has left. A lease can live for ever.",
        oracles: &["agreement", "leases"],
    },
    Entry {
        defect: Defect::DeposedRevokes,
        title: "a deposed leader goes on to revoke leases",
        references: &["etcd-io/etcd#15247", "etcd-io/etcd#16822"],
        versions: "to 3.4.31 and 3.5.12",
        class: Class::Lease,
        mechanism: "A leader that was paused finds leases expired by its clock, before it hears of its successor. It \
                    revokes them without making sure that it still leads. The successor had kept them alive.",
        oracles: &["leases"],
    },
    Entry {
        defect: Defect::DeposedKeepsAlive,
        title: "a deposed leader keeps leases alive",
        references: &["etcd-io/etcd#15247"],
        versions: "to 3.4.31 and 3.5.12",
        class: Class::Lease,
        mechanism: "A leader that does not know yet that it was deposed answers that a lease is kept alive. Its \
                    successor counts from its own beginning. The lease ends before the time that was promised.",
        oracles: &["leases"],
    },
    Entry {
        defect: Defect::AttachmentsForgotten,
        title: "which keys are attached to a lease is not recovered",
        references: &["etcd: lessor.Attach"],
        versions: "",
        class: Class::Lease,
        mechanism: "After a restart leases have no keys. When one ends, its keys stay, on this member alone. Members \
                    differ.",
        oracles: &["agreement", "leases", "durability"],
    },
    Entry {
        defect: Defect::ExpiredRenewed,
        title: "a lease that has expired is kept alive",
        references: &["etcd: lessor.Renew"],
        versions: "",
        class: Class::Lease,
        mechanism: "A lease whose time is over, and whose revocation is under way, is given its time again and the \
                    client is told so. The revocation takes effect all the same.",
        oracles: &["leases"],
    },
    Entry {
        defect: Defect::ClientRetries,
        title: "a client sends a write again that may have taken effect",
        references: &["jetcd 0.8.2", "etcd-io/etcd#14890"],
        versions: "jetcd to 0.8.2",
        class: Class::Client,
        mechanism: "A client that gets no answer sends the request again by itself, also a write. Both can take \
                    effect. The outcome of the second is told as that of the one operation.",
        oracles: &["linearizable history", "linearizable log", "revisions"],
    },
];
