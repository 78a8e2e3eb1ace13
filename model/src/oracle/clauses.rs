//! The clauses of all oracles, by their names.

/// By oracle: the names by which violations tell the rule that was broken. A test holds them to the heads of the oracles' files.
pub const CLAUSES: [(&str, &[&str]); 19] = [
    (
        "linearizable log",
        &[
            "log order",
            "lost write",
            "applied twice",
            "refused but applied",
            "phantom entry",
            "applied before invocation",
            "write reply",
            "read reply",
            "read without index",
            "error without index",
            "real-time order",
        ],
    ),
    (
        "linearizable history",
        &[
            "malformed reply",
            "impossible revision",
            "duplicate revision",
            "unexplained revision",
            "applied twice",
            "real-time order",
            "write reply",
            "read reply",
            "unfounded error",
            "lease order",
            "compaction",
        ],
    ),
    (
        "serializable",
        &["unknown revision", "future", "another's state", "content", "error without a reason", "went back"],
    ),
    ("commit window", &["acknowledged before commit", "read before commit", "stale read"]),
    ("refusals", &["unfounded", "overlooked"]),
    ("revisions", &["went back", "two writes", "two contents", "impossible key", "reused", "skipped"]),
    ("durability", &["revision", "put", "delete"]),
    ("agreement", &["revision", "state", "index"]),
    (
        "watch",
        &[
            "created first",
            "refused",
            "filter",
            "resumable",
            "ordered",
            "unique",
            "atomic",
            "reliable",
            "bookmarkable",
            "is-create",
            "content",
            "prev_kv",
            "header",
            "unknown",
            "future",
            "compacted",
            "batch",
            "fragments",
            "resumed",
            "after the end",
        ],
    ),
    (
        "leases",
        &[
            "early",
            "kept alive when gone",
            "denied",
            "list",
            "TTL",
            "deposed",
            "outlived",
            "checkpoint",
            "cleared again",
            "remaining",
            "primary",
            "attachment",
        ],
    ),
    ("locks", &["fencing", "mutual exclusion"]),
    ("kubernetes", &["one object", "optimistic", "list", "count", "turns", "expired", "cache", "no space"]),
    (
        "auth",
        &[
            "beyond permission",
            "old revision",
            "void token",
            "another's name",
            "revision",
            "refused",
            "state",
        ],
    ),
    ("soundness", &["damage", "corruption", "hashes", "kept", "hash refused", "hash of the log", "records"]),
    ("snapshot", &["store", "revision", "compacted", "records", "auth", "leases"]),
    (
        "raft",
        &[
            "election safety",
            "leader append-only",
            "log matching",
            "leader completeness",
            "state machine safety",
            "log gap",
            "term order",
            "committed entry dropped",
            "commit without quorum",
            "election without quorum",
            "no pre-vote",
            "leads without quorum",
            "election timeout",
            "not a voter",
            "two changes at once",
            "configuration",
            "configuration step",
            "removed member",
            "ended",
            "commit of an old term",
            "commit order",
            "apply order",
            "two votes",
            "state went back",
            "sent before durable",
            "snapshot",
            "next behind match",
            "read without quorum",
        ],
    ),
    (
        "storage",
        &[
            "index went back",
            "behind the snapshot",
            "beyond the commit",
            "snapshot's index",
            "compaction answered",
            "compaction again",
        ],
    ),
    (
        "liveness",
        &[
            "answers after healing",
            "converges after healing",
            "watches catch up after healing",
            "progress is told",
            "streams end",
            "responses are sent",
            "compactions go on",
            "compactions are told",
            "snapshots are due",
            "snapshots are made",
        ],
    ),
    (
        "resources",
        &[
            "log",
            "snapshots",
            "segments",
            "databases",
            "revocations",
            "channel",
            "unfinished",
            "watchers",
            "pages",
            "nodes",
            "file",
            "segment",
            "commits",
            "overdue",
            "disk",
        ],
    ),
];

/// The names by which violations tell their oracle, and by which a run can leave it out.
pub const NAMES: [&str; CLAUSES.len()] = {
    let mut names = [""; CLAUSES.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = CLAUSES[place].0;
        place += 1;
    }
    names
};

/// Whether `name` is that of an oracle, or of one of its clauses, as in `raft/two votes`.
///
/// # Errors
///
/// A sentence that lists the names there are.
pub fn known(name: &str) -> Result<(), String> {
    let (oracle, clause) =
        name.split_once('/').map_or((name, None), |(oracle, clause)| (oracle, Some(clause)));
    let Some((_, clauses)) = CLAUSES.iter().find(|(known, _)| *known == oracle) else {
        return Err(format!("there is no oracle `{oracle}`; there are: {}", NAMES.join(", ")));
    };
    match clause {
        Some(clause) if !clauses.contains(&clause) => {
            Err(format!("the oracle `{oracle}` has no clause `{clause}`; it has: {}", clauses.join(", ")))
        }
        _ => Ok(()),
    }
}

/// Whether names as above leave a clause of an oracle out, or all of them.
pub(crate) fn are_without(names: &[String], oracle: &str, clause: &str) -> bool {
    names.iter().any(|name| match name.split_once('/') {
        Some(one) => one == (oracle, clause),
        None => name == oracle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_an_oracle_or_of_one_of_its_clauses() {
        for name in ["raft", "raft/two votes", "auth/another's name"] {
            assert_eq!(known(name), Ok(()));
        }
        assert!(
            known("rafts/two votes")
                .unwrap_err()
                .contains("no oracle `rafts`; there are: linearizable log, ")
        );
        let unknown = known("raft/double vote").unwrap_err();
        assert!(
            unknown.contains("`raft` has no clause `double vote`; it has: election safety, "),
            "{unknown}"
        );
        assert!(known("raft/").is_err());
    }

    #[test]
    fn what_is_left_out_is_an_oracle_or_one_clause_of_it() {
        let without = ["raft/two votes".to_owned(), "watch".to_owned()];
        assert!(are_without(&without, "raft", "two votes"));
        assert!(!are_without(&without, "raft", "snapshot"));
        assert!(!are_without(&without, "linearizable log", "two votes"));
        assert!(are_without(&without, "watch", "unique"));
    }
}
