//! Watches.

use super::{Class, Entry};
use crate::defect::Defect;

/// The entries of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        defect: Defect::EarlyProgress,
        title: "progress goes another way than the events before it",
        references: &["etcd-io/etcd#15220"],
        versions: "to 3.4.24 and 3.5.7",
        class: Class::Watch,
        mechanism: "A request for progress is answered at once, with the store's revision. Events up to there may \
                    still be in the queue of the stream, or unread for a watch that lags. The client goes on from a \
                    revision of which it was not told.",
        oracles: &["watch"],
    },
    Entry {
        defect: Defect::StaleCursor,
        title: "a watcher that was told does not move its cursor",
        references: &["etcd-io/etcd#15271"],
        versions: "to 3.5.7",
        class: Class::Watch,
        mechanism: "After a successful send the first revision that a watcher was not told of stays where it was. A \
                    snapshot from the leader makes all watchers begin from there. They are told of everything a \
                    second time.",
        oracles: &["watch"],
    },
    Entry {
        defect: Defect::StarvedWatcher,
        title: "a watcher that cannot be cancelled is taken for synced",
        references: &["etcd-io/etcd#17529"],
        versions: "to 3.4.30 and 3.5.12",
        class: Class::Watch,
        mechanism: "A watch that wants what is compacted is to be cancelled, and its channel is full. It goes on as \
                    if it had been told everything. What came between is lost without a word.",
        oracles: &["watch", "liveness"],
    },
    Entry {
        defect: Defect::FutureProgress,
        title: "a watch of the future is told of progress before its start",
        references: &["etcd-io/etcd#20221"],
        versions: "to 3.5.21 and 3.6.1",
        class: Class::Watch,
        mechanism: "Progress is told to watches that wait for a revision that is not written yet. The client takes \
                    the lower revision for where it is. It resumes there, and is told of events that it did not ask \
                    for.",
        oracles: &["watch"],
    },
    Entry {
        defect: Defect::FutureLowered,
        title: "a watch of the future begins at the present after a snapshot",
        references: &["etcd-io/etcd#20221"],
        versions: "to 3.5.21 and 3.6.1",
        class: Class::Watch,
        mechanism: "A snapshot from the leader makes all watchers unsynced, also those that wait for a later \
                    revision. The next look at them sets each to the present. They are told of events before their \
                    start.",
        oracles: &["watch"],
    },
    Entry {
        defect: Defect::FutureRestorePanic,
        title: "a watch of the future ends the member after a snapshot",
        references: &["etcd-io/etcd#9775"],
        versions: "to 3.3.5",
        class: Class::Recovery,
        mechanism: "A watcher that waits for a revision of the future is unsynced after a snapshot from the leader. \
                    The loop that syncs watchers takes for granted that there is none such. The member panics.",
        oracles: &["process"],
    },
    Entry {
        defect: Defect::WatchersForgotten,
        title: "watchers are lost when a snapshot is installed",
        references: &["etcd-io/etcd#9281"],
        versions: "to 3.3.1",
        class: Class::Watch,
        mechanism: "When a snapshot from the leader is installed, watchers are moved to another group, and the table \
                    by which they are found is not. They are told of nothing any more. Their streams stay open.",
        oracles: &["watch", "liveness"],
    },
    Entry {
        defect: Defect::VictimsSynced,
        title: "a watcher that was behind is taken for synced when it has room again",
        references: &["etcd: moveVictims"],
        versions: "",
        class: Class::Watch,
        mechanism: "A watcher whose channel was full is sent what it missed, and counts as synced without a look at \
                    what was written meanwhile. Those revisions are lost to it.",
        oracles: &["watch", "liveness"],
    },
    Entry {
        defect: Defect::UnfilteredCatchUp,
        title: "filters do not hold for watchers that lag",
        references: &["etcd: syncWatchers"],
        versions: "",
        class: Class::Watch,
        mechanism: "A watch's filters are looked at when a write is told of, and not when the past is. A watcher \
                    that is being synced hears of what it asked not to hear of.",
        oracles: &["watch"],
    },
    Entry {
        defect: Defect::SplitRevision,
        title: "a revision is split over two responses",
        references: &["etcd: eventBatch"],
        versions: "",
        class: Class::Watch,
        mechanism: "How much goes into a response is counted in events, not in revisions. A transaction that changed \
                    several keys is told of in two responses. A client that resumes between them never hears of the \
                    rest.",
        oracles: &["watch"],
    },
    Entry {
        defect: Defect::PresentAsPrevious,
        title: "the present value is told as the previous one",
        references: &["etcd: watchServer.sendLoop"],
        versions: "",
        class: Class::Watch,
        mechanism: "The previous value of a key is read at the present revision and not at the one before the event. \
                    A watcher that lags is told what came later.",
        oracles: &["watch"],
    },
    Entry {
        defect: Defect::ResumeAtProgress,
        title: "a client resumes at the revision of which it was told",
        references: &["etcd-io/etcd#15248"],
        versions: "clientv3 to 3.5.7",
        class: Class::Client,
        mechanism: "After progress the client notes that revision as the next one, instead of the one behind it. \
                    When its stream breaks, it asks for what it was told of. It hears of an event twice.",
        oracles: &["watch"],
    },
];
