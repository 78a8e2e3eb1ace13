//! What Raft promises: votes, terms, commits, reads.

use super::{Class, Entry};
use crate::defect::Defect;

/// The entries of this file.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        defect: Defect::AcknowledgeBeforeSync,
        title: "a single member acknowledges before its log is synced",
        references: &["etcd-io/etcd#14370"],
        versions: "to 3.4.20 and 3.5.4",
        class: Class::Durability,
        mechanism: "With a quorum of one, an entry counted as committed as soon as it was appended. The apply loop \
                    ran beside the write of the log, and answered the client. A crash before the sync lost what had \
                    been acknowledged.",
        oracles: &[
            "raft",
            "durability",
            "linearizable log",
            "linearizable history",
            "commit window",
            "revisions",
        ],
    },
    Entry {
        defect: Defect::ReuseReadContext,
        title: "contexts of reads are used again over the network",
        references: &["etcd-io/etcd#20418"],
        versions: "3.5.0 to 3.5.27, 3.4.20 and later",
        class: Class::Linearizability,
        mechanism: "A read's context goes over the network in `MsgReadIndex`, and a retry uses it again. An old \
                    leader takes a late acknowledgement of the first attempt for one of the second. It confirms \
                    every read that was queued before it, with an index from before its successor's writes.",
        oracles: &["raft", "linearizable log", "linearizable history", "commit window", "serializable"],
    },
    Entry {
        defect: Defect::ReadBeforeOwnTerm,
        title: "a new leader answers reads before it has committed an entry of its term",
        references: &["etcd-io/etcd#7331"],
        versions: "to 3.1",
        class: Class::Linearizability,
        mechanism: "A leader knows that everything is committed that its predecessor committed only when an entry of \
                    its own term is. It answered reads with the commit index that it had as a follower. Writes of \
                    its predecessor that were acknowledged were not in what it read.",
        oracles: &["linearizable log", "linearizable history", "commit window"],
    },
    Entry {
        defect: Defect::LeaseBasedReads,
        title: "a leader answers reads on the strength of its clock",
        references: &["Raft dissertation, 6.4.1"],
        versions: "an option of etcd-io/raft",
        class: Class::Linearizability,
        mechanism: "Reads are answered without a round of heartbeats, as long as the leader heard from a quorum \
                    within an election timeout of its own clock. A leader that was paused, or whose clock is slow, \
                    does not know that another was elected meanwhile. It answers with what was true before.",
        oracles: &["raft", "linearizable log", "linearizable history", "commit window"],
    },
    Entry {
        defect: Defect::AnswerBeforeSave,
        title: "a follower answers before its log is written",
        references: &["Raft dissertation, 3.8"],
        versions: "",
        class: Class::Durability,
        mechanism: "Messages that say what is in the log, and votes, leave before the log is written. A crash \
                    between the two takes back what others count on. Entries are committed that fewer than a quorum \
                    has.",
        oracles: &["raft", "durability", "linearizable log", "linearizable history"],
    },
    Entry {
        defect: Defect::UnsavedVote,
        title: "a vote is not written to the log",
        references: &["Raft dissertation, 3.8"],
        versions: "",
        class: Class::Raft,
        mechanism: "The hard state is written without the vote. A member that restarts within a term does not know \
                    that it has voted in it. It votes a second time, for another candidate, and two members lead in \
                    one term.",
        oracles: &["raft"],
    },
    Entry {
        defect: Defect::UnsyncedVote,
        title: "a hard state without entries is not synced",
        references: &["etcd-io/raft: MustSync"],
        versions: "",
        class: Class::Raft,
        mechanism: "The log is synced only where entries were appended. A vote and a term alone stay in the page \
                    cache. A power failure takes back a vote that another member was elected with.",
        oracles: &["raft"],
    },
    Entry {
        defect: Defect::VoteTwice,
        title: "a member votes twice in one term",
        references: &["Raft dissertation, 3.4"],
        versions: "",
        class: Class::Raft,
        mechanism: "Whether there was a vote in this term is not looked at while no leader is known. Two candidates \
                    of one term can both get a quorum. Each of them overwrites what the other has committed.",
        oracles: &["raft"],
    },
    Entry {
        defect: Defect::VoteForShorterLog,
        title: "a member votes for a candidate whose log is behind its own",
        references: &["Raft dissertation, 3.6.1"],
        versions: "",
        class: Class::Raft,
        mechanism: "The restriction of elections is not looked at. A candidate that lacks committed entries can be \
                    elected. It replaces them with its own.",
        oracles: &["raft", "durability", "linearizable log", "linearizable history"],
    },
    Entry {
        defect: Defect::StaleTerm,
        title: "messages of a deposed leader are taken as if they were of the present term",
        references: &["Raft dissertation, 3.3"],
        versions: "",
        class: Class::Raft,
        mechanism: "Terms of entries and heartbeats that arrive are not compared with the own term. A leader that \
                    was deposed goes on to replace entries. Those that its successor has committed are among them.",
        oracles: &["raft", "durability", "linearizable log", "linearizable history"],
    },
    Entry {
        defect: Defect::NextBehindMatch,
        title: "a late refusal takes a leader back behind what a follower has",
        references: &["tikv/raft-rs#555"],
        versions: "raft 0.7",
        class: Class::Raft,
        mechanism: "Who refuses entries says up to where its log may match. A refusal that is late, or comes twice, \
                    reaches a leader that knows of more. It goes back to what the refusal names, and sends again what \
                    the follower has, or a snapshot in its place.",
        oracles: &["raft"],
    },
    Entry {
        defect: Defect::AppendWithoutCheck,
        title: "a follower appends without a look at the entry before",
        references: &["Raft dissertation, 3.5"],
        versions: "",
        class: Class::Raft,
        mechanism: "The term of the entry before those that arrive is not compared. A follower keeps entries that \
                    the leader has not, or lacks some, in front of those that it has. Its log matches no other's.",
        oracles: &["raft", "agreement", "process"],
    },
    Entry {
        defect: Defect::CommitByCounting,
        title: "a leader commits entries of older terms by counting who has them",
        references: &["Raft dissertation, 3.6.2"],
        versions: "",
        class: Class::Raft,
        mechanism: "An entry of an older term counts as committed as soon as a quorum has it. Another leader, which \
                    has it not and whose last entry is of a later term, can still be elected. It replaces what was \
                    committed.",
        oracles: &["raft", "durability", "linearizable log"],
    },
    Entry {
        defect: Defect::ApplyUncommitted,
        title: "entries are applied when they are appended",
        references: &["Raft dissertation, 3.5"],
        versions: "",
        class: Class::Raft,
        mechanism: "A member does not wait for the commit index before it applies what came to its log. Entries of a \
                    leader that is deposed are replaced later. What was applied stays, and members differ.",
        oracles: &["raft", "agreement"],
    },
    Entry {
        defect: Defect::LearnersCount,
        title: "learners count as voters after a restart",
        references: &["etcd-io/raft c84452600"],
        versions: "etcd-io/raft before 2019-08",
        class: Class::Membership,
        mechanism: "The configuration that a member starts with has no learners: those that there are count among \
                    the voters. They vote, and quorums are counted with them. Members that have not restarted count \
                    otherwise, and who waits for learners that are gone gets no quorum.",
        oracles: &["raft", "liveness"],
    },
    Entry {
        defect: Defect::ForgottenConfiguration,
        title: "a snapshot is of the members of the beginning",
        references: &["Raft dissertation, 4.4"],
        versions: "",
        class: Class::Membership,
        mechanism: "The configuration in a snapshot is that with which the cluster began. A member that installs it \
                    counts quorums by that, whatever was changed since. Removed members count again, new ones do \
                    not.",
        oracles: &["raft", "process", "liveness"],
    },
];
