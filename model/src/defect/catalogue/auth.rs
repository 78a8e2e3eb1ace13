//! Users and permissions.

use super::{Class, Entry};
use crate::defect::Defect;

/// The entries of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        defect: Defect::PreviousUnchecked,
        title: "a previous value is told without permission to read it",
        references: &["etcd-io/etcd#21683"],
        versions: "to 3.6.8",
        class: Class::Auth,
        mechanism: "A put in a transaction that wants the previous value is checked for the right to write alone. A \
                    user that may not read the key is told what it was, where a refusal is due.",
        oracles: &["auth", "linearizable log"],
    },
    Entry {
        defect: Defect::UncheckedAtApply,
        title: "permissions are not looked at again when a request is applied",
        references: &["etcd: authApplierV3"],
        versions: "",
        class: Class::Auth,
        mechanism: "A request is checked when it is proposed, and not when it is applied. A permission that was \
                    taken away between the two still counts.",
        oracles: &["auth", "linearizable log", "agreement"],
    },
    Entry {
        defect: Defect::TokensOutlivePasswords,
        title: "tokens stay valid when a password is changed",
        references: &["etcd: invalidateCachedPerm"],
        versions: "",
        class: Class::Auth,
        mechanism: "A change of a password, or the end of a user, leaves the tokens that were given before. Who has \
                    one goes on to be let in.",
        oracles: &["auth"],
    },
    Entry {
        defect: Defect::OpenRangeUnchecked,
        title: "an open range is checked by its first key alone",
        references: &["GHSA-xg4h-6gfc-h4m8"],
        versions: "to 3.5",
        class: Class::Auth,
        mechanism: "The permission for a range without an end is looked for as if it were for one key. A user that \
                    may read one key reads, and watches, everything behind it.",
        oracles: &["auth"],
    },
];
